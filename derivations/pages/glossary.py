"""Explanations of the verdicts. This module imports nothing, so that `--help` stays fast."""

MEANINGS = {                                                # in the order in which the tables show them
    "holds": "always true",
    "holds-if": "true wherever the stated assumption holds, but not everywhere",
    "defines": "a definition",
    "slip": "wrong letters or signs, but the meaning is evident",
    "wrong": "using the line gives a wrong number; a corrected form holds",
    "loose": "everyday words, false if read literally; a precise form is given",
    "copy": "perhaps damaged by copying: our texts are transcriptions",
    "figure": "a picture that is correct",
    "prose": "a remark; its computable part holds",
    "fails": "false, although no fault was expected",
    "undecided": "no verdict could be computed",
}


def glossary(words: set[str] | None = None) -> list[str]:
    """Return one line for each verdict in `words`. For None, return one line for every verdict."""
    return [f"{word:12}{meaning}" for word, meaning in MEANINGS.items() if words is None or word in words]
