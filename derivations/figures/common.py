"""Parts of every figure: the check of its claims, marked points, the SVG file."""

import pathlib

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minivae.figures.style import DARK, GREY, styled

LEADER = {"arrowstyle": "-", "color": GREY, "lw": 0.8, "shrinkA": 2, "shrinkB": 4}


class NotShown(Exception):
    """Raised when a figure's numbers do not support its text."""


def shows(fact: bool, claim: str) -> None:
    """Raise NotShown if `fact` is false; `claim` describes what the figure should show."""
    if not fact:
        raise NotShown(f"the figure would not show that {claim}")


def point(axes: Axes, x: float, y: float, colour: str = DARK, **look) -> None:
    """Draw a point that the text mentions. A point at the edge of the axes is not cut off."""
    axes.plot(x, y, "o", **({"color": colour, "ms": 6, "zorder": 6, "clip_on": False} | look))


@styled
def save_svg(figure: Figure, alt: str, path: pathlib.Path, name: str) -> None:
    """Write an SVG file with the alt text in its metadata. The same figure always gives the same file."""
    metadata = {"Title": name, "Description": alt, "Date": None, "Creator": "derivations"}
    with matplotlib.rc_context({"svg.hashsalt": "derivations", "svg.fonttype": "path"}):
        figure.savefig(path, format="svg", metadata=metadata)
