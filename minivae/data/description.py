"""Describe the data that were read, in one line."""

from typing import NamedTuple

MOST_NAMED = 5                                              # if there are more classes than this, only three are named


class Description(NamedTuple):
    """The data that were read, and how they were interpreted."""

    source: str
    train: int                                  # number of rows to train on
    held_out: int
    features: int
    classes: tuple[str, ...] | None             # names of the classes, sorted; None if there are no labels
    image_shape: tuple[int, int] | None
    low: float                                  # smallest stored value
    high: float                                 # largest stored value
    taken_for: str                              # "fractions", "counts of 16 trials", ...
    split: str                                  # how the held-out rows were chosen
    orientation: str
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the description in one line, without the notes."""
        shape, named = self.image_shape, self.classes or ()
        pictures = "no pictures (--image HxW gives a shape)"
        if shape is not None:
            pictures = f"pictures {shape[0]}x{shape[1]}, {self.orientation}"
        texts = [repr(name) if "," in name or not name.strip() else name for name in named]
        names = ", ".join(texts) if len(named) <= MOST_NAMED else f"{texts[0]}, {texts[1]}, ..., {texts[-1]}"
        labels = "no labels" if self.classes is None else f"{len(named)} class{'es' * (len(named) > 1)} ({names})"
        values = f"values {self.low:g} to {self.high:g}: {self.taken_for}"
        rows = f"{self.train:,} rows to train on, {self.held_out:,} held out ({self.split})"
        features = f"{self.features:,} feature{'s' * (self.features > 1)}"
        return f"read {self.source}: {rows}; {features}; {labels}; {pictures}; {values}"

    def document(self) -> dict:
        """Return the description for JSON."""
        return self._asdict() | {"line": self.line()}
