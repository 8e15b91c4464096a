"""Rosetta: translate a loss with sums, means and weights into one canonical form.

    convention   the translation: effective beta, sigma, and whether minus the loss is a lower bound of log p(x)
    presets      losses from public code and posts
    command      the command `minivae rosetta`
"""

_NAMES = ("Convention", "Reading", "Translation", "translate")


def __getattr__(name: str):
    """Import `convention` when one of its names is first used, because `minivae --help` must not import NumPy."""
    if name not in _NAMES:
        raise AttributeError(f"module 'minivae.rosetta' has no attribute {name!r}")
    from minivae.rosetta import convention

    return getattr(convention, name)
