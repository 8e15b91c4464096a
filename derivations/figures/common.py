"""What every figure needs: the refusal to show what is not so, and the file it ends in."""

import pathlib

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minivae.figures.style import DARK, GREY, styled

LEADER = {"arrowstyle": "-", "color": GREY, "lw": 0.8, "shrinkA": 2, "shrinkB": 4}


class NotShown(Exception):
    """A figure's numbers do not show what the figure says."""


def shows(fact: bool, claim: str) -> None:
    """Refuse to draw what is not so."""
    if not fact:
        raise NotShown(f"the figure would not show that {claim}")


def point(axes: Axes, x: float, y: float, colour: str = DARK, **look) -> None:
    """A point that a sentence of the figure is about; one on the edge is not cut."""
    axes.plot(x, y, "o", **({"color": colour, "ms": 6, "zorder": 6, "clip_on": False} | look))


@styled
def save_svg(figure: Figure, alt: str, path: pathlib.Path, name: str) -> None:
    """Write an SVG whose metadata hold the alt text; the same figure gives the same bytes."""
    metadata = {"Title": name, "Description": alt, "Date": None, "Creator": "derivations"}
    with matplotlib.rc_context({"svg.hashsalt": "derivations", "svg.fonttype": "path"}):
        figure.savefig(path, format="svg", metadata=metadata)
