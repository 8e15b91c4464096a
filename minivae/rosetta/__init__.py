"""The Rosetta: translate a loss with sums, means and weights into one canonical form.

    convention   the translation: effective beta, sigma, and whether the loss bounds log p(x)
    presets      losses as public code and posts write them
    command      the command `minivae rosetta`
"""

_NAMES = ("Convention", "Reading", "Translation", "translate")


def __getattr__(name: str):
    """Import `convention` at the first use of one of its names: `minivae --help` must not import NumPy."""
    if name not in _NAMES:
        raise AttributeError(f"module 'minivae.rosetta' has no attribute {name!r}")
    from minivae.rosetta import convention

    return getattr(convention, name)
