"""A finding: what was measured, the two numbers that show it, and what to write instead."""

from dataclasses import asdict, dataclass, field

VERDICTS = ("is", "unusual", "wrong", "cannot tell")


@dataclass(frozen=True)
class Finding:
    """One statement about one function of the user.

    Attributes
    ----------
    verdict : str
        "is": a convention. "unusual": it may be meant. "wrong". "cannot tell": nothing was confirmed.
    about : str
        The name of the user's function.
    words : str
        The statement.
    measured, expected : float or None
        The number that the function returns, and the number that the statement compares it with.
    compared : str
        What `expected` is.
    instead : str
        The line to write instead; "" if there is none.
    exhibit : str
        The bug of the museum with this mistake; "" if there is none.
    key : str
        A fixed name of the statement, for programs.
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


@dataclass
class Report:
    """All findings, the translation of the loss (a dict of the Rosetta, or None), and what could not be seen."""

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
        """Return the report as plain JSON types; numbers that JSON does not have become words."""
        findings = [{name: _plain(value) for name, value in asdict(finding).items()} for finding in self.findings]
        return {"seed": self.seed, "given": self.given, "findings": findings, "rosetta": self.rosetta} | {
            "unseen": self.unseen, "wrong": len(self.wrong)
        }  # fmt: skip


def _plain(value):
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    return value


def text(document: dict) -> str:
    """Return a report, as its JSON document, as lines for a terminal."""
    lines = []
    for found in document["findings"]:
        lines.append(f"{found['verdict']:12} {found['about']}: {found['words']}")
        if found["measured"] is not None:
            lines.append(f"{'':12}   measured {_number(found['measured'])}; {found['compared']} "
                         f"{_number(found['expected'])}")
        if found["instead"]:
            lines.append(f"{'':12}   write    {found['instead']}")
        if found["exhibit"]:
            lines.append(f"{'':12}   example  minivae museum {found['exhibit']}")
    if document["rosetta"]:
        from minivae.rosetta.command import page

        lines += ["", "The loss, translated (see minivae rosetta):", *page(document["rosetta"]).splitlines()]
    lines += ["", "What these measurements cannot see:", *(f"  - {line}" for line in document["unseen"])]
    count = document["wrong"]
    return "\n".join([*lines, "", f"{count or 'nothing'} wrong" + (f"; seed {document['seed']}")])


def _number(value):
    return value if isinstance(value, str) else f"{value:.6g}"
