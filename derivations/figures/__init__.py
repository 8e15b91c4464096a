"""The figures of the sources, redrawn. Before a figure is saved, its text is checked with the numbers in the figure.

A figure function returns the Figure and its alt text, a description for blind readers. The function raises `NotShown` if
the numbers do not support the text. The tests give wrong numbers to the function and expect this error. A figure has the
name of its entry, with a hyphen: lm-3 shows lm.3.

    common, nodes   shared parts: the check of texts; boxes and arrows
    digits          the figure of `derivations questions`: an autoencoder and a VAE on the same digits
    font, inline    for the HTML page of `derivations book`: a font with tall brackets; figures inside the page
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
    """Draw and check the figures with these names, or all figures if `names` is empty; then write each as SVG and PNG.

    Return path and alt text of each file. Nothing is written if a name is unknown, if a file exists and `overwrite` is
    false, or if the check of a figure fails.
    """
    names = [known(name) for name in dict.fromkeys(names)] or list(FIGURES)
    return write(out, overwrite, {name: FIGURES[name] for name in names})


def write(out: pathlib.Path, overwrite: bool, figures: dict[str, Callable[[], Drawn]]) -> list[dict]:
    """Draw all figures, then write all files; return path and alt text of each file."""
    paths = places(out, overwrite, figures)
    drawn = {name: draw() for name, draw in figures.items()}
    make_directory(out)
    for name, (figure, alt) in drawn.items():
        save(figure, alt, out / f"{name}.png")
        save_svg(figure, alt, out / f"{name}.svg", name)
    return [{"path": str(path), "alt": drawn[path.stem][1]} for path in paths]


def places(out: pathlib.Path, overwrite: bool, names: Iterable[str]) -> list[pathlib.Path]:
    """Return the paths of the SVG and PNG files for these names; raise ValueError if a file must not be written."""
    paths = [must_be_directory(out) / f"{name}.{kind}" for name in names for kind in ("svg", "png")]
    must_be_free("--out", "without earlier figures", paths, overwrite)
    return paths


def known(name: str) -> str:
    """Return `name` if it is the name of a figure; otherwise raise ValueError and suggest the most similar name."""
    if name not in FIGURES:
        near = difflib.get_close_matches(name, FIGURES, 1, 0)
        checks.refuse("NAME", "the name of a figure", repr(name), f"Did you mean {near[0]}?")
    return name
