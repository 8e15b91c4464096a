"""Figures of the lessons: bars, curves, images, grids of images. Each function returns a Figure and its alt text."""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from minivae.data import Dataset
from minivae.figures.arguments import class_names, classes_of
from minivae.figures.evidence import aggregate  # noqa: F401   imported for the lessons
from minivae.figures.pictures import name_columns, reconstructions  # noqa: F401
from minivae.figures.style import (
    BLUE, DARK, DASHED, GREY, ORANGE, Drawn, at_right, explain, minus, number, page, show, spread, styled,
)  # fmt: skip
from minivae.figures.training import rate_distortion  # noqa: F401
from minivae.vae import VAE

COLOURS = (BLUE, ORANGE, DARK, GREY)
SHAPE = (8, 8)


class Shown(NamedTuple):
    """A figure that a notebook displays as a picture with alt text."""

    figure: Figure
    alt: str

    def _repr_png_(self) -> bytes:
        with io.BytesIO() as file:
            self.figure.savefig(file, format="png", dpi=100)
            return file.getvalue()

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self._repr_png_()).decode()
        return f'<img src="data:image/png;base64,{picture}" alt="{self.alt.replace(chr(34), chr(39))}">'


@styled
def bars(values: dict[str, float], ylabel: str, finding: str, caption: str, log=False) -> Drawn:
    """Draw a bar for each value, and write the value above or below the bar. The last bar is orange."""
    figure = page(max(4.6, 1.3 * len(values) + 1.4), 3.9)
    axes = figure.subplots()
    heights = [*values.values()]
    shown = axes.bar(range(len(values)), heights, 0.6, color=[BLUE] * (len(values) - 1) + [ORANGE])
    axes.bar_label(shown, [minus(number(height)) if height else "0" for height in heights], padding=3, size=9)
    axes.set_xticks(range(len(values)), [*values], color=DARK)
    axes.set(ylabel=ylabel, yscale="log" if log else "linear", xlim=(-0.7, len(values) - 0.3))
    axes.margins(y=0.15)
    if log:
        axes.set_ylim(bottom=1)
    if min(heights) < 0:
        axes.axhline(0, color=DARK, lw=1)
    explain(figure, finding, caption)
    listed = ", ".join(f"{' '.join(name.split())}: {number(height)}" for name, height in values.items())
    return figure, minus(f"Bar chart, {ylabel}. {listed}. {finding}.")


class Panel(NamedTuple):
    """Curves over the same x. Each pair in `levels` is the height and the label of a dashed line."""

    title: str
    xlabel: str
    ylabel: str
    x: NDArray
    curves: dict[str, NDArray]
    levels: Sequence[tuple[float, str]] = ()
    log: str = ""               # logarithmic axes: "x", "y" or "xy"


@styled
def curves(panels: Sequence[Panel], finding: str, caption: str) -> Drawn:
    """Draw panels of curves. In a panel with several curves, each curve has its name at its right end."""
    figure = page(3.9 * len(panels) + 1.4, 4.1)
    texts = []
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels):
        style = {"lw": 1.7, "ms": 4, "marker": "o" if len(panel.x) <= 20 else None}
        for y, colour in zip(panel.curves.values(), COLOURS):
            axes.plot(panel.x, y, color=colour, **style)
        for level, name in panel.levels:
            axes.axhline(level, **DASHED)
            axes.text(0.02, level, minus(name), transform=axes.get_yaxis_transform(), size=9, color=GREY, va="bottom")
        axes.set(xlabel=panel.xlabel, ylabel=panel.ylabel, xlim=(panel.x[0], panel.x[-1]))
        axes.set_title(panel.title, weight="bold")
        axes.set(**{f"{axis}scale": "log" for axis in panel.log})
        if panel.x.dtype.kind == "i" and "x" not in panel.log:
            axes.locator_params(axis="x", integer=True)
        name_ends(axes, panel)
        ends = [f"{name} from {number(float(y[0]))} to {number(float(y[-1]))}" for name, y in panel.curves.items()]
        texts.append(f"{panel.title or panel.ylabel}, against {panel.xlabel}: {'; '.join(ends)}")
    explain(figure, finding, caption)
    return figure, minus(" ".join(f"{'Line chart. ' + '. '.join(texts)}. {finding}.".split()))


def name_ends(axes: Axes, panel: Panel) -> None:
    """Write each curve's name to the right of its end, without overlaps. A single curve gets no name."""
    if len(panel.curves) == 1:
        return
    low, high = axes.get_ylim()
    scale = np.log10 if "y" in panel.log else np.asarray
    ends = np.array([np.clip(y[np.isfinite(y)][-1], low, high) for y in panel.curves.values()])
    places = spread(scale(ends)[:, None], float(scale(high) - scale(low)) / 9)[:, 0]
    for name, y, colour in zip(panel.curves, 10**places if "y" in panel.log else places, COLOURS):
        at_right(axes, y, name, colour)


@styled
def images(
    vae: VAE, rows: dict[str, NDArray], notes: Sequence[str], labels: NDArray, data: Dataset, finding: str, caption: str
) -> Drawn:
    """Draw one row of images (n, 64) for each name; write a note on the right. The classes of the images are labels (n,)."""
    columns, stacked = len(labels), np.concatenate([*rows.values()])
    labels, classes = classes_of(labels, columns, class_names(data))
    figure = page(0.62 * columns + 3.0, 0.66 * len(rows) + 1.3)
    axes = figure.subplots()
    show(axes, vae, stacked, SHAPE, columns, ink=stacked[:columns], names=[*rows], notes=notes)
    name_columns(axes, [classes[label] for label in labels])
    explain(figure, finding, caption)
    listed = ", ".join(f"{name}: {note}" if note else name for name, note in zip(rows, notes))
    columns = ", ".join(classes[label].name for label in labels)
    return figure, minus(f"Rows of images of the classes {columns}; {listed}. {finding}.")


@styled
def grids(vae: VAE, axis_values: dict[str, NDArray], finding: str, caption: str) -> Drawn:
    """Draw a square grid of decoded images for each array of axis values; a frame marks the images with |z1|, |z2| < 1."""
    figure = page(4.4 * len(axis_values), 5.6)
    for axes, (name, z) in zip(figure.subplots(1, len(axis_values)), axis_values.items()):
        codes = np.stack(np.meshgrid(z, z[::-1]), axis=-1).reshape(-1, 2)
        show(axes, vae, vae.decode(codes), SHAPE, len(z), gap=0)
        first, inside = np.flatnonzero(np.abs(z) < 1)[0], (np.abs(z) < 1).sum()
        axes.add_patch(Rectangle((first, first), inside, inside, fill=False, ec=ORANGE, lw=2.2))
        axes.set_xticks([0.5, len(z) / 2, len(z) - 0.5], [minus(f"{v:.2g}") for v in (z[0], 0, z[-1])])
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("$z_1$")
        axes.set_title(name, weight="bold")
    explain(figure, finding, caption)
    return figure, minus(f"Two grids of decoded images: {' and '.join(axis_values)}. {finding}.")


@styled
def proportional(x: NDArray, y: NDArray, slope: float, names: tuple[str, str], finding: str, caption: str) -> Drawn:
    """Draw points (x, y) and the line y = slope x."""
    figure = page(5.6, 4.6)
    axes = figure.subplots()
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, slope * ends, color=ORANGE, lw=1.2)
    axes.scatter(x, y, 12, color=BLUE, alpha=0.6, lw=0)
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.text(0.04, 0.93, f"line: slope {slope:.4g}", transform=axes.transAxes, color=ORANGE, size=9)
    explain(figure, finding, caption)
    return figure, f"Scatter plot of {len(x)} points, {names[1]} against {names[0]}. {finding}."
