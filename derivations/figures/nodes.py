"""Boxes and arrows for figures of a calculation: an arrow shows that one number depends on another.

Dark arrows carry values forward. Orange arrows carry gradients back, parallel to the dark ones.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, PathPatch
from matplotlib.path import Path

from minivae.figures.style import BLUE, DARK, GREY, ORANGE

Place = tuple[float, float]


class Node(NamedTuple):
    """A box with a centre, a text, and a kind (one of STYLES)."""

    place: Place
    text: str
    kind: str
    size: float = 10.5


STYLES = {                                                  # {kind: (half width, half height, radius of the corners, style)}
    "value": (0.45, 0.32, 0.32, {"fc": "white", "ec": DARK, "lw": 1.3}),
    "data": (0.45, 0.32, 0.32, {"fc": "#e3e3e3", "ec": DARK, "lw": 1.3}),       # grey: observed data
    "noise": (0.45, 0.32, 0.32, {"fc": "white", "ec": GREY, "lw": 1.3, "ls": (0, (3, 2))}),
    "step": (0.72, 0.45, 0.06, {"fc": "#dceaf5", "ec": BLUE, "lw": 1.3}),
    "term": (1.12, 0.32, 0.06, {"fc": "#f1f1f1", "ec": GREY, "lw": 1.3}),
    "sum": (0.55, 0.38, 0.06, {"fc": DARK, "ec": DARK, "lw": 1.3}),
}  # fmt: skip
HEAD = "-|>,head_length=5,head_width=2.6"
LANE = 0.085                                                # half of the distance between two parallel arrows
BACK = {"color": ORANGE, "lw": 1.7}


def draw_node(axes: Axes, name: str, node: Node) -> Patch:
    """Draw a node with its text; return its box."""
    (x, y), text, kind, size = node
    w, h, rounding, look = STYLES[kind]
    box = f"round,pad=0,rounding_size={rounding}"
    patch = FancyBboxPatch((x - w, y - h), 2 * w, 2 * h, box, zorder=3, gid=name, **look)
    axes.add_patch(patch)
    colour = "white" if kind == "sum" else DARK
    axes.text(x, y, text, ha="center", va="center", size=size, color=colour, zorder=4)
    return patch


def draw_arrow(
    axes: Axes, patches: dict[str, Patch], start: str, end: str, places: tuple[Place, Place], *,
    both: bool, over: bool = False,
) -> None:  # fmt: skip
    """Draw an arrow from the edge of one node to the edge of another. If `both` is True, also draw an arrow back.

    The arrow back is for the gradient. The two arrows are parallel. Each arrow is moved to the left of its direction, so
    that the arrows do not overlap. If `over` is True, the arrow crosses another arrow, and the crossed arrow is interrupted.
    """
    a, b = np.array(places)
    along = (b - a) / np.linalg.norm(b - a)
    left = both * LANE * np.array([-along[1], along[0]])
    arrows = [(f"{start}->{end}", start, end, a + left, b + left, {"color": DARK, "lw": 1.2})]
    if both:
        arrows += [(f"gradient {end}->{start}", end, start, b - left, a - left, BACK)]
    for gid, tail, head, first, last, look in arrows:
        ends = {"posA": tuple(first), "posB": tuple(last), "patchA": patches[tail], "patchB": patches[head]}
        if over:                                            # a white band behind this arrow hides part of the crossed arrow
            axes.add_patch(FancyArrowPatch(**ends, arrowstyle="-", color="white", lw=6, shrinkA=8, shrinkB=8, zorder=1.5))
        shape = {"arrowstyle": HEAD, "joinstyle": "miter", "shrinkA": 1, "shrinkB": 1, "zorder": 2 if over else 1}
        axes.add_patch(FancyArrowPatch(**ends, **shape, **look, gid=gid))


def draw_bent(axes: Axes, start: str, end: str, bent: Path) -> None:
    """Draw an arrow along a path. This arrow interrupts the arrows that it crosses."""
    axes.add_patch(PathPatch(bent, fill=False, ec="white", lw=6, zorder=1.5))
    look = {"arrowstyle": HEAD, "color": DARK, "lw": 1.2, "joinstyle": "miter"}
    axes.add_patch(FancyArrowPatch(path=bent, zorder=2, gid=f"{start}->{end}", **look))


def draw_legend(axes: Axes, x: float, y: float) -> None:
    """Draw the legend of dark and orange arrows, from (x, y) downward."""
    for line, (text, ends, look) in enumerate(
        (("values, forward", (0, 0.5), {"color": DARK, "lw": 1.2}), ("gradients, back", (0.5, 0), BACK))
    ):
        height = y - 0.33 * line
        tail, head = ((x + end, height) for end in ends)
        axes.add_patch(FancyArrowPatch(tail, head, arrowstyle=HEAD, joinstyle="miter", shrinkA=0, shrinkB=0, **look))
        axes.text(x + 0.62, height, text, va="center", size=10, color=look["color"])
