"""Plots of the distance between the bound and log p(x): each function returns a Figure and its alt text.

Shapes: x (N, D) data, one number for every datum (N,). Numbers: nats.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse
from numpy.typing import NDArray

from minivae import checks
from minivae.drawing import (
    BLUE, DARK, DASHED, GREY, HALO, ORANGE, Shape, at_right, explain, minus, number, page, percent, spread, styled, write,
)  # fmt: skip
from minivae.evidence import Bounds, Gap, Rates, exact_log_px
from minivae.evidence.rates import log_aggregate
from minivae.figures import Drawn, labels_of, latent_is, shape_of
from minivae.gaussian import log_standard_normal
from minivae.vae import VAE

NAMES = ("bounds_by_k",)
MASSES = (0.5, 0.95)                                        # of the regions that are outlined
NODES = 161                                                 # of a map, on each axis
RADII = (1, 2, 3)


# Bounds against the number of weights


@styled
def bounds_by_k(k: Sequence[int], bounds: Bounds, exact: NDArray | None = None) -> Drawn:
    """Importance-weighted bounds rising with k to the exact log p(x), and how far each datum still is from it.

    `bounds` are those of `lower_bounds` for these k; `exact` (N,) is log p(x), or None where it is not known.
    """
    if len(k) != len(bounds.iw_bound):
        checks.refuse("k", f"the {len(bounds.iw_bound)} numbers of draws of the bounds", str(len(k)), "Give the same k.")
    k, N = np.array(k), bounds.iw_bound.shape[1]
    mean, error = bounds.iw_bound.mean(axis=1), np.sqrt((bounds.iw_bound_se**2).sum(axis=1)) / N     # (K,) each
    figure = page(8.8 if exact is not None else 5.4, 4.2)
    panels = np.atleast_1d(figure.subplots(1, 1 if exact is None else 2))
    draw_rise(panels[0], k, mean, error, float(bounds.elbo.mean()), None if exact is None else float(exact.mean()))
    caption = f"Means of {N} data; band: two standard errors of the draws to either side, thinner than the line where it cannot be seen."
    finding = f"From k = {k[0]} to {k[-1]} the bound rises by {number(mean[-1] - mean[0])} nats"
    if exact is not None:
        left = exact - bounds.iw_bound                      # (K, N)
        draw_rest(panels[1], k, left)
        finding += f"; {number(left[-1].mean())} below log p(x) remain"
        caption += " Right: the distance to log p(x), datum by datum, on a logarithmic axis."
    explain(figure, finding, caption)
    each = ", ".join(f"k = {n} {number(m)} plus or minus {e:.2g}" for n, m, e in zip(k, mean, error))
    truth = "" if exact is None else f" The exact log p(x) is {number(exact.mean())}."
    return figure, f"Line chart of the importance-weighted bound against k, logarithmic: {each}.{truth} {finding}. {caption}"


def draw_rise(axes: Axes, k: NDArray, mean: NDArray, error: NDArray, elbo: float, exact: float | None) -> None:
    """The mean bound of every k with its band, the ELBO as its beginning and log p(x) as its limit."""
    axes.fill_between(k, mean - 2 * error, mean + 2 * error, color=BLUE, alpha=0.3, lw=0)
    axes.plot(k, mean, color=BLUE, lw=1.4, marker="o", ms=4)
    top = mean.max() if exact is None else exact
    room = top - elbo or 1.0
    axes.set(xscale="log", ylim=(elbo - 0.12 * room, top + 0.12 * room), xlabel="k, importance weights", ylabel="nats per datum")
    axes.set_xticks(k, [f"{n:,}" for n in k])
    axes.minorticks_off()
    axes.axhline(elbo, **DASHED)
    axes.text(k[-1], elbo - 0.02 * room, minus(f"ELBO {number(elbo)}"), ha="right", va="top", size=9, color=GREY)
    if exact is not None:
        axes.axhline(exact, color=ORANGE, lw=1.4)
        axes.text(k[0], exact + 0.02 * room, minus(f"exact log p(x) {number(exact)}"), va="bottom", size=9, color=ORANGE)
    for n, value in zip(k, mean):
        axes.annotate(minus(number(value)), (n, value), (0, 7), textcoords="offset points", ha="center", size=9, color=BLUE, path_effects=HALO)
    axes.set_title("The bound", weight="bold")


def draw_rest(axes: Axes, k: NDArray, left: NDArray) -> None:
    """log p(x) - IW_k (K, N): its mean, its median, and the middle 80 % of the data."""
    low, median, high = np.maximum(np.quantile(left, (0.1, 0.5, 0.9), axis=1), 1e-6)        # (K,) each
    mean = np.maximum(left.mean(axis=1), 1e-6)
    axes.fill_between(k, low, high, color=BLUE, alpha=0.18, lw=0)
    axes.plot(k, mean, color=BLUE, lw=1.4, marker="o", ms=4)
    axes.plot(k, median, color=ORANGE, lw=1.4, marker="s", ms=4)
    axes.set(xscale="log", yscale="log", xlabel="k, importance weights", ylabel="log p(x) \u2212 bound (nats)")
    axes.set_ylim(low.min() / 1.3, high.max() * 1.3)
    axes.set_xticks(k, [f"{n:,}" for n in k])
    axes.xaxis.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_title("What is left of the gap", weight="bold")
    middle = (low[-1] * high[-1]) ** 0.5
    ends = np.log([[mean[-1]], [median[-1]]])
    apart = np.log(high.max() / low.min()) / 12
    for (name, colour), (y,) in zip((("mean", BLUE), ("median", ORANGE)), np.exp(spread(ends, apart))):
        value = mean[-1] if name == "mean" else median[-1]
        at_right(axes, y, f"{name} {number(value)}", colour)
    axes.text(k[0], (low[0] * middle) ** 0.5 if len(k) == 1 else low[0] / 1.05, "band: 80 % of the data", va="top", size=9, color=GREY)
