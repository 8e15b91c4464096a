"""Draw training data on a sheet; no model is needed. `sample_sheet` returns a Figure and its alt text."""

import math

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from minivae import checks
from minivae.data import Dataset
from minivae.figures.arguments import Class, class_names, classes_of
from minivae.figures.pictures import one_of_each
from minivae.figures.style import Drawn, explain, number, page, styled

MOST_NAMED = 25                                             # if more rows of a table are drawn, class names are left out
NAME = 9                                                    # largest length of a class name above a tile, in characters


@styled
def sample_sheet(data: Dataset, rng: np.random.Generator, n: int = 100) -> Drawn:
    """Draw n training data points, chosen at random: images as tiles, rows of a table as lines of grey cells.

    With labels, the first data point of every class comes first, then the second of every class, and so on.
    """
    n = min(checks.whole_number("n", n, 1), len(data.train_x))
    chosen = np.sort(checks.generator("rng", rng).permutation(len(data.train_x))[: max(n, 2000)])
    labels = None if data.train_y is None else data.train_y[chosen]
    order = np.arange(len(chosen))[:n] if labels is None else one_of_each(labels)[:n]
    x, labels = np.asarray(data.train_x[chosen[order]], float), None if labels is None else labels[order]
    labels, classes = classes_of(labels, len(x), class_names(data), 16 if data.image_shape is None else NAME)
    names = None if labels is None else [classes[label] for label in labels]
    figure = page(8.4, 8.0 if data.image_shape else 6.0)
    axes = figure.subplots()
    if data.image_shape is not None:
        what = draw_tiles(axes, x, data.image_shape, names)
    else:
        what = draw_rows(axes, x, names)
    about = "" if data.about is None else f" Data: {data.about.line().removeprefix('read ')}."
    explain(figure, f"{n} of {len(data.train_x):,} training rows", f"{what}{about}")
    return figure, f"{n} training rows. {what}{about}"


def draw_tiles(axes: Axes, x: NDArray, shape: tuple[int, int], names: list[Class] | None) -> str:
    """Draw each data point as an image, dark on white, with its class above; return a sentence for the caption."""
    (H, W), columns = shape, math.ceil(math.sqrt(len(x)))
    gap_x, gap_y = max(1, W // 14), max(1, H // 14) if names is None else max(2, H // 3)        # room for class names
    rows = math.ceil(len(x) / columns)
    sheet = np.full((rows, columns, H + gap_y, W + gap_x), np.nan)                              # NaN is drawn white
    sheet.reshape(-1, H + gap_y, W + gap_x)[: len(x), gap_y:, gap_x:] = x.reshape(-1, H, W)
    axes.imshow(sheet.transpose(0, 2, 1, 3).reshape(rows * (H + gap_y), -1), "gray_r")
    axes.axis("off")
    for i, name in enumerate(names or ()):
        place = (i % columns * (W + gap_x) + gap_x - 0.5, i // columns * (H + gap_y) + gap_y - 1)
        axes.text(*place, name.name, size=min(8, 60 / columns), color=name.colour, va="bottom")
    return f"White is {number(x.min())}, black is {number(x.max())}" + ("." if names is None else ". Above each: its class.")


def draw_rows(axes: Axes, x: NDArray, names: list[Class] | None) -> str:
    """Draw each row as a line of grey cells; each feature is scaled to its range. Return a sentence for the caption."""
    low, high = x.min(axis=0), x.max(axis=0)
    axes.imshow((x - low) / np.where(high > low, high - low, 1), "gray_r", aspect="auto", vmin=0, vmax=1)
    axes.set(xlabel="feature, counted from 0", ylabel="training row")
    axes.locator_params(axis="x", integer=True)
    if names is not None and len(names) <= MOST_NAMED:
        axes.set_yticks(range(len(names)), [one.name for one in names], size=8)
        for text, one in zip(axes.get_yticklabels(), names):
            text.set_color(one.colour)
    else:
        axes.set_yticks([])
    return "White is the smallest, black the largest value of each feature in these rows."
