"""The words for verdicts, explained. Imports nothing, so that `--help` stays fast."""

MEANINGS = {                                                # in the order in which tables list them
    "holds": "true as printed",
    "holds-if": "true under the assumption that the entry names, false without it",
    "defines": "gives a name to something",
    "slip": "a misprint: false as printed, true as it was evidently meant",
    "wrong": "false as printed; numbers show it, and a corrected form holds",
    "figure": "the claim of a figure, computed; it holds",
    "prose": "a remark in words; what can be computed of it holds",
    "fails": "false, although no fault was expected",
    "undecided": "no verdict could be computed",
}


def glossary(words: set[str] | None = None) -> list[str]:
    """One line for each of these verdicts; for all of them without `words`."""
    return [f"{word:12}{meaning}" for word, meaning in MEANINGS.items() if words is None or word in words]
