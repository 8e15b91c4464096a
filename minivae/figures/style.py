"""The pen that every figure is drawn with: one style, the page, tiles of images, labels in place, numbers as text.

No pyplot, no display, no global state: figures are drawn under `STYLE` alone, whatever the user's settings.
Pictures are dark ink on white paper. Colour never speaks alone: curves, classes, bars are labelled in place.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from minivae import checks
from minivae.likelihood import Gaussian
from minivae.runs.files import write_atomically
from minivae.vae import VAE

Shape = tuple[int, int]                                     # (H, W) of an image
Drawn = tuple[Figure, str]                                  # a figure and its alt text

DARK, GREY, BLUE, ORANGE = "#1a1a1a", "#5f6368", "#0868ac", "#b85c00"
# Found by search: all stand out from white; the closest two are 1.9 times as far apart as the closest two of
# matplotlib's petroff10, to normal and to colour-blind eyes. tests/test_figures.py measures both.
CLASSES = "#0897f6 #d10100 #442991 #d57c00 #7a02ef #13765a #9c4fad #1a1a1a #978a9d #702632".split()
HALO = [withStroke(linewidth=4, foreground="white")]
DASHED = {"color": GREY, "lw": 0.9, "ls": (0, (4, 3)), "zorder": 1}
FAMILIES = (
    *("axes.", "figure.", "font.", "image.", "lines.", "markers.", "mathtext.", "patch.", "path."),
    *("savefig.", "scatter.", "text.", "xaxis.", "xtick.", "yaxis.", "ytick."),
)
STYLE = {
    **{key: value for key, value in matplotlib.rcParamsDefault.items() if key.startswith(FAMILIES)},
    "axes.titlesize": 10, "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
    "text.color": DARK, "axes.labelcolor": DARK, "axes.titlecolor": DARK, "axes.edgecolor": GREY,
    "xtick.color": GREY, "ytick.color": GREY, "xtick.labelsize": 9, "ytick.labelsize": 9, "savefig.dpi": 150,
}  # fmt: skip
styled = matplotlib.rc_context(STYLE)                       # a decorator: in force while the function runs


@styled
def save(figure: Figure, alt: str, path: str | Path) -> None:
    """Write a PNG whose metadata hold the alt text as Description; the same figure gives the same bytes."""
    if Path(path).suffix.lower() != ".png":
        checks.refuse("path", "the name of a .png file", repr(str(path)), "Try figure.savefig(path).")
    metadata = {"Title": "minivae", "Description": alt, "Software": "minivae"}
    with write_atomically(path) as file:
        figure.savefig(file, format="png", metadata=metadata)
    figure.set_layout_engine("none")                        # drawn again, it would move by a pixel or so


def page(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    figure = Figure((width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)
    return figure


def explain(figure: Figure, title: str, caption: str) -> None:
    """The finding above, how to read the figure below."""
    width = figure.get_figwidth()
    if title:
        figure.suptitle(minus(fill(title, int(10.5 * width))), x=0.012, ha="left", size=11, weight="bold")
    figure.supxlabel(minus(fill(caption, int(14 * width))), x=0.012, ha="left", size=9, color=GREY)


def show(
    axes: Axes, vae: VAE, images: NDArray, shape: Shape, columns: int, *,
    gap=1, span=None, ink=None, names=(), notes=(),
) -> None:  # fmt: skip
    """images (n, D) as one picture, `columns` tiles a row from the top left; a tile is one unit in size.

    gap: pixels of bare paper around a tile. span: left and right end, if not 0 and `columns`. ink: images
    whose range is white to black, if not these. names, notes: what to write left and right of the rows.
    """
    (H, W), rows = (side + 2 * gap for side in shape), math.ceil(len(images) / columns)
    left, right = span or (0, columns)
    tiles = np.full((rows * columns, H, W), np.nan)                             # NaN is bare paper
    tiles[: len(images), gap : H - gap, gap : W - gap] = images.reshape(-1, *shape)
    picture = tiles.reshape(rows, columns, H, W).transpose(0, 2, 1, 3).reshape(rows * H, columns * W)
    low, high = ink_range(vae, images if ink is None else ink)
    aspect = H / W * (right - left) / columns
    axes.imshow(picture, "gray_r", vmin=low, vmax=high, extent=(left, right, 0, rows), aspect=aspect)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)
    heights = rows - 0.5 - np.arange(rows)
    axes.set_yticks(heights[: len(names)], names, size=10, color=DARK)
    for y, note in zip(heights, notes):
        at_right(axes, y, note, DARK)


def ink_range(vae: VAE, images: NDArray) -> tuple[float, float]:
    """White and black: all that a pixel can be or, if that has no bounds, the range of these images."""
    if isinstance(vae.likelihood, Gaussian):
        return float(images.min()), float(images.max())
    return 0.0, float(getattr(vae.likelihood, "n", 1))


def write(axes: Axes, x: float, y: float, text: str | int, **style) -> None:
    """Text in the middle of a crowd: centred, with a white halo."""
    axes.text(x, y, text, ha="center", va="center", path_effects=HALO, zorder=5, **style)


def at_right(axes: Axes, y: float, text: str, colour: str) -> None:
    """A direct label at height y, just outside the right edge."""
    axes.annotate(text, (1.02, y), xycoords=("axes fraction", "data"), color=colour, va="center", size=9)


def spread(places: NDArray, apart: float) -> NDArray:
    """Places of labels (K, d), pushed until no two are much closer than `apart`; d is 1 or 2."""
    turn = 2.4 * np.arange(len(places))                     # equal places part in different directions
    start = np.stack([np.cos(turn), np.sin(turn)], axis=1)[:, : places.shape[1]]
    places = places + 1e-3 * apart * start
    for _ in range(200):
        gaps = places[:, None] - places                     # (K, K, d)
        distance = np.linalg.norm(gaps, axis=-1, keepdims=True) + 1e-12
        places = places + (gaps * np.maximum(apart / distance - 1, 0) / 4).sum(axis=1)
    return places


def number(value: float) -> str:
    """One decimal from 10 on, three digits below."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:#.3g}"


def minus(text: str) -> str:
    """`text` with the true minus sign before digits."""
    return "".join("\u2212" if a == "-" and b.isdigit() else a for a, b in zip(text, text[1:] + " "))


def percent(fractions: Sequence[float]) -> str:
    """Fractions as '39.3, 86.5 and 98.9 %'."""
    *most, last = (f"{100 * f:.3g}" for f in fractions)
    return f"{', '.join(most)} and {last} %"
