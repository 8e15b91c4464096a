"""One style for all figures: colours, the page, image tiles, labels next to curves, numbers as text.

Figures need no pyplot and no display. They are drawn with the settings `STYLE`; the user's matplotlib settings have no
effect. Images are dark on white. Colour is never the only label: curves, classes and bars have labels next to them.
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
# Colours of the ten classes, found by a search. All are clearly visible on white. For colour-blind and for normal eyes, the
# smallest distance between two colours is 1.9 times as large as in matplotlib's palette petroff10 (tested in tests/figures).
CLASSES = "#95611a #1a1a1a #7c14ae #8f0000 #0098fd #198982 #2101fc #274d5e #859e04 #ff28ba".split()
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
styled = matplotlib.rc_context(STYLE)                       # decorator: STYLE is used while the decorated function runs


@styled
def save(figure: Figure, alt: str, path: str | Path) -> None:
    """Write a PNG; its metadata has the alt text as Description. The same figure gives the same bytes."""
    if Path(path).suffix.lower() != ".png":
        checks.refuse("path", "the name of a .png file", repr(str(path)), "Try figure.savefig(path).")
    metadata = {"Title": "minivae", "Description": alt, "Software": "minivae"}
    with write_atomically(path) as file:
        figure.savefig(file, format="png", metadata=metadata)
    figure.set_layout_engine("none")                        # else a second save shifts parts of the figure by about a pixel


def page(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    figure = Figure((width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
    return figure


def explain(figure: Figure, title: str, caption: str) -> None:
    """Write a title above the figure and a caption below it."""
    width = figure.get_figwidth()
    if title:
        figure.suptitle(lines_of(title, int(10.5 * width)), x=0.012, ha="left", size=11, weight="bold")
    figure.supxlabel(lines_of(caption, int(14 * width)), x=0.012, ha="left", size=9, color=GREY)


def lines_of(text: str, width: int) -> str:
    """Break text into lines, but not before '%'; replace hyphens before digits by minus signs."""
    return minus(fill(text.replace(" %", "\u00a0%"), width))


def show(
    axes: Axes, vae: VAE, images: NDArray, shape: Shape, columns: int, *,
    gap=1, span=None, ink=None, names=(), notes=(),
) -> None:  # fmt: skip
    """Draw images (n, D) as one picture with `columns` tiles per row, from the top left.

    gap: empty pixels around a tile. span: x coordinates of the picture's left and right edge (default: 0 and `columns`, so
    a tile is one unit wide). ink: pixel values (default: `images`). With a Gaussian likelihood, the smallest pixel value of
    `ink` is drawn white, and the largest one black. names: texts to the left of the rows. notes: texts to the right.
    """
    (H, W), rows = (side + 2 * gap for side in shape), math.ceil(len(images) / columns)
    left, right = span or (0, columns)
    tiles = np.full((rows * columns, H, W), np.nan)                             # NaN is drawn white
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
    """Return the pixel values that are drawn white and black: for a Gaussian, the smallest and largest value in `images`.

    For other likelihoods, return the smallest and largest possible pixel value: 0 and 1, or 0 and n for a binomial.
    """
    if isinstance(vae.likelihood, Gaussian):
        return float(images.min()), float(images.max())
    return 0.0, float(getattr(vae.likelihood, "n", 1))


def write(axes: Axes, x: float, y: float, text: str | int, **style) -> None:
    """Write centred text with a white halo, so that it can be read on top of points and lines."""
    axes.text(x, y, text, ha="center", va="center", path_effects=HALO, **{"zorder": 5} | style)


def at_right(axes: Axes, y: float, text: str, colour: str) -> None:
    """Write a label at height y, just outside the right edge of the panel."""
    axes.annotate(text, (1.02, y), xycoords=("axes fraction", "data"), color=colour, va="center", size=9)


def spread(places: NDArray, apart: float) -> NDArray:
    """Return the places of K labels, (K, 1) or (K, 2), after 200 steps that move labels apart.

    In each step, any two labels with a distance below `apart` move away from each other.
    """
    angle = 2.4 * np.arange(len(places))                    # different directions, so that equal places move apart
    start = np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, : places.shape[1]]
    places = places + 1e-3 * apart * start
    for _ in range(200):
        gaps = places[:, None] - places                     # (K, K, d)
        distance = np.linalg.norm(gaps, axis=-1, keepdims=True) + 1e-12
        places = places + (gaps * np.maximum(apart / distance - 1, 0) / 4).sum(axis=1)
    return places


def number(value: float) -> str:
    """Format a number: with one decimal if it is at least 10 in size, else with three significant digits."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:#.3g}"


def minus(text: str) -> str:
    """Replace each hyphen before a digit by a minus sign."""
    return "".join("\u2212" if a == "-" and b.isdigit() else a for a, b in zip(text, text[1:] + " "))


def percent(fractions: Sequence[float]) -> str:
    """Format fractions as '39.3, 86.5 and 98.9 %'."""
    *most, last = (f"{100 * f:.3g}" for f in fractions)
    return f"{', '.join(most)} and {last} %"
