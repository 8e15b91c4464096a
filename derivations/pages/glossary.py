"""Explanations of the words for verdicts. This module imports nothing, so that `--help` stays fast."""

MEANINGS = {                                                # in the order in which tables list them
    "holds": "true as it stands",
    "holds-if": "true wherever the stated assumption holds, but not everywhere",
    "defines": "gives a name to something",
    "slip": "wrong letters or signs, but the meaning is evident",
    "wrong": "a reader who uses it gets a wrong number; a corrected form holds",
    "loose": "right in spirit, not to the letter; a precise form is given",
    "copy": "perhaps damaged by copying: our texts are transcriptions",
    "figure": "a figure's claim, computed; it holds",
    "prose": "a remark in text; its computable part holds",
    "fails": "false, although no fault was expected",
    "undecided": "no verdict could be computed",
}


def glossary(words: set[str] | None = None) -> list[str]:
    """Return one line for each verdict in `words`; without `words`, return one line for every verdict."""
    return [f"{word:12}{meaning}" for word, meaning in MEANINGS.items() if words is None or word in words]
