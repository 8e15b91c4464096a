"""A finding: what was measured, the two numbers that show it, and what to write instead."""

import math
from dataclasses import asdict, dataclass, field

VERDICTS = ("is", "unusual", "wrong", "cannot tell")
KEYS = frozenset("""
    all-entries arguments-exchanged beta bound capacity changes-argument clipped-log-var clipped-probabilities constant
    counter elbo fixed-mean-square formula free-bits gradient guarded-log half-cross-entropy half-normaliser
    hidden-beta-B hidden-beta-D hidden-beta-J huber ignored-entries kl-coefficient kl-mean-over-latents kl-overflow
    kl-scaled kl-wrong-sign log-mean-exp log-of-zero log-sigma-squared log-sum-exp log-var-squared max mean
    minus-one-dropped minus-one-once naive-softplus needs no-cost no-kl no-loss no-max-subtracted no-square
    noise-forgotten noise-inside noise-repeated noise-scaled noise-shared normaliser-sign not-additive not-finite
    not-linear not-normal not-probabilities not-repeatable only-mu optimal-sigma other-cost other-kl other-prior
    reduction reverse-kl root rows-coupled same-gaussian same-output sampler-against-kl sampler-varies scaled-sigma shape
    sigmoid-twice sign size-refused sum sum-w-log-w sum-w-log-w-/-K two-readings two-sigmas unknown unknown-cost
    unknown-kl upside-down width width-unknown wrong-axis
""".split())


@dataclass(frozen=True)
class Finding:
    """One statement about one function of the user.

    Attributes
    ----------
    verdict : str
        "is": says what the function computes, or that two results agree. "unusual": may be intended. "wrong": a mistake.
        "cannot tell": nothing was confirmed.
    about : str
        The name of the user's function.
    words : str
        The statement.
    measured, expected : float or None
        The number that was measured, and the number with which the statement compares it.
    compared : str
        A phrase that says what `expected` is.
    instead : str
        The line to write instead, or "".
    exhibit : str
        The name of the museum exhibit with this mistake, or "".
    key : str
        A name for programs; it stays the same if the words change.
    """

    verdict: str
    about: str
    key: str
    words: str
    measured: float | None = None
    expected: float | None = None
    compared: str = "by this formula"
    instead: str = ""
    exhibit: str = ""

    def __post_init__(self):
        for name in ("measured", "expected"):               # plain floats, not NumPy's; + 0.0 turns -0.0 into 0.0
            if getattr(self, name) is not None:
                object.__setattr__(self, name, float(getattr(self, name)) + 0.0)
        if self.verdict not in VERDICTS or self.key not in KEYS:
            raise RuntimeError(f"a finding needs a verdict of VERDICTS and a key of KEYS; got {self.verdict}, {self.key}")


@dataclass
class Report:
    """All findings, the translation of the loss (a dict of the Rosetta, or None), and a list of what was not measured."""

    seed: int
    given: list[str]
    findings: list[Finding] = field(default_factory=list)
    rosetta: dict | None = None
    unseen: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[Finding]:
        """The findings with the verdict "wrong"."""
        return [finding for finding in self.findings if finding.verdict == "wrong"]

    def __str__(self) -> str:
        return text(self.document())

    def document(self) -> dict:
        """Return the report as plain JSON types; NaN and infinite numbers become text."""
        findings = [{name: _plain(value) for name, value in asdict(finding).items()} for finding in self.findings]
        return {"seed": self.seed, "given": self.given, "findings": findings, "rosetta": self.rosetta,
                "unseen": self.unseen, "wrong": len(self.wrong)}


def _plain(value):
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def text(document: dict) -> str:
    """Return the text of a report for a terminal; `document` is the report as a JSON document."""
    lines = []
    for found in document["findings"]:
        lines.append(f"{found['verdict']:12} {found['about']}: {found['words']}")
        if found["measured"] is not None:
            measured, expected = (_number(found[name]) for name in ("measured", "expected"))
            lines.append(f"{'':12}   measured {measured}; {found['compared']} {expected}")
        if found["instead"]:
            lines.append(f"{'':12}   instead  {found['instead']}")
        if found["exhibit"]:
            lines.append(f"{'':12}   example  minivae museum {found['exhibit']}")
    if document["rosetta"]:
        from minivae.rosetta.command import page

        about = "The loss, translated for z drawn from the Gaussian of the KL (m: mean of p(x|z); see minivae rosetta):"
        lines += ["", about]
        lines += page(document["rosetta"]).splitlines()
    lines += ["", "What these measurements cannot see:", *(f"  - {line}" for line in document["unseen"])]
    return "\n".join([*lines, "", f"{document['wrong'] or 'nothing'} wrong; seed {document['seed']}"])


def _number(value):
    return value if isinstance(value, str) else f"{value:.6g}"
