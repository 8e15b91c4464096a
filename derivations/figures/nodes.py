"""Boxes and arrows: the pen of the figures that show what depends on what."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, PathPatch
from matplotlib.path import Path

from minivae.figures.style import BLUE, DARK, GREY, ORANGE


class Node(NamedTuple):
    """What stands where, and how it looks."""

    place: tuple[float, float]
    text: str
    kind: str
    size: float = 10.5


STYLES = {                                                  # half width, half height, rounding, look
    "value": (0.45, 0.32, 0.32, {"fc": "white", "ec": DARK, "lw": 1.3}),
    "data": (0.45, 0.32, 0.32, {"fc": "#e3e3e3", "ec": DARK, "lw": 1.3}),       # observed, as in graphical models
    "noise": (0.45, 0.32, 0.32, {"fc": "white", "ec": GREY, "lw": 1.3, "ls": (0, (3, 2))}),
    "step": (0.72, 0.45, 0.06, {"fc": "#dceaf5", "ec": BLUE, "lw": 1.3}),
    "term": (1.12, 0.32, 0.06, {"fc": "#fbe9d9", "ec": ORANGE, "lw": 1.3}),
    "sum": (0.55, 0.38, 0.06, {"fc": ORANGE, "ec": ORANGE, "lw": 1.3}),
}  # fmt: skip
HEAD = "-|>,head_length=5,head_width=2.6"


def draw_node(axes: Axes, name: str, node: Node) -> Patch:
    """A node with its text."""
    (x, y), text, kind, size = node
    w, h, rounding, look = STYLES[kind]
    box = f"round,pad=0,rounding_size={rounding}"
    patch = FancyBboxPatch((x - w, y - h), 2 * w, 2 * h, box, zorder=3, gid=name, **look)
    axes.add_patch(patch)
    colour = "white" if kind == "sum" else DARK
    axes.text(x, y, text, ha="center", va="center", size=size, color=colour, zorder=4)
    return patch


def draw_arrow(
    axes: Axes, nodes: dict[str, Node], patches: dict[str, Patch], start: str, end: str, bent: Path | None = None,
    **look,
) -> None:  # fmt: skip
    """An arrow from edge to edge; a bent one passes over what it crosses."""
    look = {"arrowstyle": HEAD, "color": DARK, "lw": 1.2, "joinstyle": "miter", "gid": f"{start}->{end}"} | look
    if bent is None:
        ends = {
            "posA": nodes[start].place,
            "posB": nodes[end].place,
            "patchA": patches[start],
            "patchB": patches[end],
        }
        axes.add_patch(FancyArrowPatch(**ends, **({"shrinkA": 1, "shrinkB": 1, "zorder": 1} | look)))
        return
    axes.add_patch(PathPatch(bent, fill=False, ec="white", lw=6, zorder=1.5))
    axes.add_patch(FancyArrowPatch(path=bent, zorder=2, **look))
