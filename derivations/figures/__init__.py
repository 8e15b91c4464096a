"""The figures of the sources redrawn. Each proves what it shows with the very numbers it draws, before it is saved.

A figure function returns the Figure and its alt text; it raises `NotShown` if its numbers do not say what it says. It
can be given other numbers to draw: that is how the tests see it refuse them. A figure is named after the row of the
ledger to which it belongs.

    digits, nodes, common   what several of them need: models of digits, boxes and arrows, claims that are checked
"""

import difflib
import pathlib
from collections.abc import Callable, Iterable, Sequence

from derivations.figures import cards_fits, cards_plate, cards_trick, hong, lm, lm_loss, odaibo
from derivations.figures.common import NotShown, save_svg
from minivae import checks
from minivae.figures.style import Drawn, save
from minivae.runs import make_directory, must_be_directory
from minivae.runs.files import must_be_free

__all__ = ["FIGURES", "NotShown", "places", "write", "write_all"]

FIGURES: dict[str, Callable[[], Drawn]] = {
    "odaibo-F1": odaibo.log_and_tangent,
    "odaibo-F2": odaibo.schematic,
    "lm-3": lm.bias,
    "lm-11": lm.doersch_ring,
    "lm-43": lm_loss.loss,
    "hong-10": hong.sign,
    "cards-15": cards_plate.plate,
    "cards-23": cards_fits.forward,
    "cards-24": cards_fits.reverse,
    "cards-30": cards_trick.trick,
}


def write_all(out: pathlib.Path, overwrite: bool, names: Sequence[str] = ()) -> list[dict]:
    """Draw and prove the figures of these names, or all of them; then write each as SVG and PNG.

    Returns path and alt text of each file. Nothing is written if a name is unknown, a file exists and is not to be
    overwritten, or a figure does not show what it says.
    """
    names = [known(name) for name in dict.fromkeys(names)] or list(FIGURES)
    return write(out, overwrite, {name: FIGURES[name] for name in names})


def write(out: pathlib.Path, overwrite: bool, figures: dict[str, Callable[[], Drawn]]) -> list[dict]:
    """Draw all, then write all; path and alt text of each file."""
    paths = places(out, overwrite, figures)
    drawn = {name: draw() for name, draw in figures.items()}
    make_directory(out)
    for name, (figure, alt) in drawn.items():
        save(figure, alt, out / f"{name}.png")
        save_svg(figure, alt, out / f"{name}.svg", name)
    return [{"path": str(path), "alt": drawn[path.stem][1]} for path in paths]


def places(out: pathlib.Path, overwrite: bool, names: Iterable[str]) -> list[pathlib.Path]:
    """The files that figures of these names go to; refused, before there are any, if they cannot."""
    paths = [must_be_directory(out) / f"{name}.{kind}" for name in names for kind in ("svg", "png")]
    must_be_free("--out", "without earlier figures", paths, overwrite)
    return paths


def known(name: str) -> str:
    """`name`, which must be that of a figure; if not, the nearest is offered."""
    if name not in FIGURES:
        near = difflib.get_close_matches(name, FIGURES, 1, 0)
        checks.refuse("NAME", "of a figure", repr(name), f"Did you mean {near[0]}?")
    return name
