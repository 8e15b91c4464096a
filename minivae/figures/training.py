"""Figures of training: each function returns a Figure and its alt text.

`history` contains the records of one training, one for each epoch; `points` are the results of a sweep. Values are in nats.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence.rates import ACTIVE
from minivae.figures.style import (
    BLUE,
    DARK,
    DASHED,
    GREY,
    HALO,
    ORANGE,
    Drawn,
    at_right,
    explain,
    minus,
    number,
    page,
    spread,
    styled,
)  # fmt: skip

PARTS = ("reconstruction", "kl", "elbo")
FIELDS = ["epoch", *(f"{who}_{part}" for who in ("train", "test") for part in PARTS)]


# Figures of one training


@styled
def loss_curves(
    history: Sequence, log_px: float | None = None, elbo: float | None = None, rows: int | None = None
) -> Drawn:
    """Draw the ELBO and its two parts against the epoch, for the training and the held-out data.

    `history` contains the records that `train` yields. `log_px` is the exact log p(x), and `elbo` is the ELBO: each is a
    mean over `rows` held-out data points, measured after training. The label of the held-out ELBO shows `elbo` or, if that
    is `None`, the value of the last record. A model without noise has no ELBO: only the reconstruction is drawn.
    """
    if not len(history):
        checks.refuse("history", "one record or more", "none", "Train first, then draw.")
    log_px = log_px if log_px is None else checks.real_number("log_px", log_px)
    elbo = elbo if elbo is None else checks.real_number("elbo", elbo)
    if history[-1].test_elbo is None:
        return reconstruction_curve(columns_of(history, ["epoch", "train_reconstruction", "test_reconstruction"]))
    columns = columns_of(history, FIELDS)
    figure = page(8.4, 4.8)
    panels = figure.subplot_mosaic([["elbo", "reconstruction"], ["elbo", "kl"]], width_ratios=(1.15, 1))
    draw_curves(panels["elbo"], columns, "elbo", tall=True, exact=log_px, measured=elbo)
    for part in ("reconstruction", "kl"):
        draw_curves(panels[part], columns, part, tall=False, valued=elbo is None)
        panels[part].set_ylabel("nats")
    panels["elbo"].set_ylabel("nats per data point")
    panels["elbo"].set_title("ELBO = reconstruction \u2212 KL", weight="bold")
    panels["reconstruction"].set_title("reconstruction, $E_q$ log p(x|z)")
    panels["kl"].set_title("KL( q(z|x) \u2016 p(z) )")
    epochs, first, last = columns["epoch"], columns["test_elbo"][0], columns["test_elbo"][-1] if elbo is None else elbo
    finding = f"The held-out ELBO ends at {number(last)} nats"
    if log_px is not None:
        side = "below" if last <= log_px else "above"       # random errors can raise the ELBO above log p(x)
        finding += f", {number(abs(log_px - last))} {side} the exact log p(x)"
    explain(figure, finding, how_measured(log_px, elbo, rows))
    return figure, (
        f"Line charts of ELBO, reconstruction and KL against epoch {epochs[0]:.0f} to {epochs[-1]:.0f}. {finding}. "
        f"It began at {number(first)}; the training ELBO ends at {number(columns['train_elbo'][-1])}."
    )


def how_measured(log_px: float | None, elbo: float | None, rows: int | None) -> str:
    """Return the caption of the loss curves, which says how each curve, dot and line was measured."""
    sentences = ["Training curves: means over each epoch. Held-out curves: after each epoch, one draw of z per data point."]
    marks = [name for name, value in (("dot", elbo), ("dashed line", log_px)) if value is not None]
    if marks:
        of = "held-out data" if rows is None else f"{rows} held-out data points"
        draws = "" if elbo is None else " with many draws of z"
        sentences.append(f"{' and '.join(marks).capitalize()}: measured after training, on {of}{draws}.")
    if log_px is not None:
        sentences.append("The training curve shows other data, so it may cross the dashed line.")
    return " ".join([*sentences, "Training raises the ELBO; its parts may rise or fall."])


def columns_of(history: Sequence, fields: list[str]) -> dict[str, NDArray]:
    """Return {field: its values in all records, (epochs,)} for these fields."""
    rows = [[getattr(record, field) for field in fields] for record in history]
    return dict(zip(fields, checks.real_array("history", rows, (None, len(fields)), float).T))


def reconstruction_curve(columns: dict[str, NDArray]) -> Drawn:
    """Draw log p(x|z) at z = mu(x) for a model without noise. It is not a bound of log p(x)."""
    figure = page(8.4, 4.6)
    axes = figure.subplots()
    draw_curves(axes, columns, "reconstruction", tall=True)
    axes.set(xlabel="epoch", ylabel="nats per data point")
    axes.set_title("reconstruction, log p(x|z) at z = \u03bc(x)", weight="bold")
    epochs, train, test = columns.values()
    finding = f"The held-out reconstruction ends at {number(test[-1])} nats"
    caption = "Means over the data. A plain autoencoder draws no z, so it has no KL and no lower bound on log p(x)."
    explain(figure, finding, caption)
    return figure, (
        f"Line chart of the reconstruction, training and held-out, against epoch {epochs[0]:.0f} to {epochs[-1]:.0f}. "
        f"{finding}. It began at {number(test[0])}; the training curve ends at {number(train[-1])}."
    )


def draw_curves(
    axes: Axes, columns: dict[str, NDArray], part: str, tall: bool, exact: float | None = None,
    measured: float | None = None, valued: bool = True,
) -> None:  # fmt: skip
    """Draw one panel: the training and held-out curves of `part`, a line at `exact`, a dot at `measured`, and labels.

    If `valued` is True, each label also shows a number. `valued` is False in the panels of reconstruction and KL if the ELBO
    was measured with many draws of z. The reason: the last points of the reconstruction and KL curves come from one draw of
    z, so their difference is not the measured ELBO.
    """
    epochs, train, test = (columns[field] for field in ("epoch", f"train_{part}", f"test_{part}"))
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, train, color=ORANGE, lw=1.2, marker=marker)
    axes.plot(epochs, test, color=BLUE, lw=1.8, marker=marker)
    ends = {"training": (train[-1], ORANGE), "held out": (test[-1], BLUE)}
    if measured is not None:
        axes.plot(epochs[-1], measured, "o", color=BLUE, mec="white", ms=8, zorder=4, clip_on=False)
        ends["held out"] = measured, BLUE
    if exact is not None:
        axes.axhline(exact, color=BLUE, lw=1.2, ls=(0, (4, 2)))
        ends["exact log p(x),\nheld out"] = exact, BLUE
    values = np.array([[value] for value, _ in ends.values()])                  # (2 or 3, 1)
    low, high = span_of(train, test, values[:, 0])
    axes.set(xlim=(epochs[0] - 0.5, epochs[-1] + 0.5), ylim=(low, high))
    axes.set_xlabel("epoch" if part != "reconstruction" else "")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    if not low <= test[0] <= high:
        arrow, y, side = ("\u2193", 0.03, "bottom") if test[0] < low else ("\u2191", 0.97, "top")
        text = minus(f"{arrow} starts at {number(test[0])}")
        axes.text(0.98, y, text, transform=axes.transAxes, ha="right", va=side, size=9, color=BLUE)
    line = (high - low) / (10 if exact is not None else 20 if tall else 8)      # height of a label
    for (name, (value, colour)), (y,) in zip(ends.items(), spread(values, line)):
        at_right(axes, y, minus(f"{name} {number(value)}") if valued else name, colour)


def span_of(train: NDArray, test: NDArray, others: NDArray) -> tuple[float, float]:
    """Return the limits of the y axis.

    The first tenth of the epochs is ignored if it makes the range of the values at least three times as large.
    """
    whole, later = (np.concatenate([train[skip:], test[skip:], others]) for skip in (0, len(train) // 10))
    shown = whole if np.ptp(whole) < 3 * np.ptp(later) else later
    margin = 0.08 * np.ptp(shown) or 0.5
    return shown.min() - margin, shown.max() + margin


@styled
def sigma_and_error(history: Sequence, features: int) -> Drawn:
    """Draw two curves over the epochs: sigma^2 of a Gaussian likelihood, and the mean squared error.

    The mean squared error is the optimal value of sigma^2.

    `history` contains records of a training with learned or optimal sigma; `features` is D. The objective must be the ELBO:
    with importance weights the optimal sigma^2 is different.
    """
    D = checks.whole_number("features", features, 1)
    rows = [[record.epoch, record.sigma, record.train_mse, record.test_reconstruction] for record in history]
    if not rows or any(value is None for row in rows for value in row):
        remedy = "Train with --likelihood gaussian and a sigma that is learned or optimal."
        got = f"{len(rows)} records, some without sigma" if rows else "none"
        checks.refuse("history", "one record or more, all with sigma", got, remedy)
    epochs, sigma, error, reconstruction = checks.real_array("history", rows, (None, 4), float).T
    variance = sigma**2
    if min(variance.min(), error.min()) <= 0:
        checks.refuse("history", "above 0 in sigma and train_mse", "0 or less", "The axis is logarithmic.")
    held_out = variance[-1] * (-2 * reconstruction[-1] / D - math.log(2 * math.pi * variance[-1]))
    figure = page(8.4, 4.6)
    draw_noise(figure.subplots(), epochs, variance, error)
    finding = f"The decoder's sigma\u00b2 ends at {compared(variance[-1], error[-1])}"
    loss = "D/2 log sigma\u00b2 + D MSE / (2 sigma\u00b2)".replace(" ", "\u00a0")         # prevents line breaks in `loss`
    other = f"On held-out data, the mean squared error ends at {number(held_out)}."
    caption = (
        "Both curves: training data, mean over features, one z ~ q(z|x) per data point, after each epoch. The loss "
        f"contains {loss}, which is smallest at sigma\u00b2 = MSE (ledger entry hong.14). {other}"
    )
    explain(figure, finding, caption)
    return figure, (
        f"Line chart of sigma\u00b2 and mean squared error, epoch {epochs[0]:.0f} to {epochs[-1]:.0f}: "
        f"sigma\u00b2 begins at {number(variance[0])}, the error at {number(error[0])}. {finding}. {other}"
    )


def draw_noise(axes: Axes, epochs: NDArray, variance: NDArray, error: NDArray) -> None:
    """Draw sigma^2 and the mean squared error, with labels at the right. The error is a broad line, so both are visible."""
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, error, color=BLUE, lw=5, alpha=0.4, marker=marker, ms=9, solid_capstyle="round")
    axes.plot(epochs, variance, color=ORANGE, lw=1.6, marker=marker, ms=4)
    low, high = (math.log10(edge) for edge in (min(variance.min(), error.min()), max(variance.max(), error.max())))
    margin = max(0.06 * (high - low), 0.02)
    axes.set(xlim=(epochs[0] - 0.5, epochs[-1] + 0.5), yscale="log", ylim=(10 ** (low - margin), 10 ** (high + margin)))
    axes.set(xlabel="epoch", ylabel="squared units of the data (logarithmic)")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    log_ticks(axes)
    ends = {"mean squared error": (error[-1], BLUE), "sigma\u00b2 of the decoder": (variance[-1], ORANGE)}
    places = spread(np.log10([[value] for value, _ in ends.values()]), (high - low + 2 * margin) / 9)
    for (name, (value, colour)), (y,) in zip(ends.items(), places):
        at_right(axes, 10**y, minus(f"{name}\n{number(value)}"), colour)


def compared(variance: float, error: float) -> str:
    """Return text that compares sigma^2 with the mean squared error; a difference below 0.01 % is left out."""
    off = 100 * (variance / error - 1)
    if abs(off) < 0.01:
        return f"the mean squared error, {number(error)}"
    if variance > 2 * error:
        return f"{number(variance)}, {number(variance / error)} times the mean squared error of {number(error)}"
    side = "above" if off > 0 else "below"
    return f"{number(variance)}, {number(abs(off))} % {side} the mean squared error of {number(error)}"


def log_ticks(axes: Axes) -> None:
    """Set ticks on a logarithmic y axis: powers of ten; if fewer than three are visible, also 2, 5, 20, 50, ... or finer."""
    low, high = axes.get_ylim()
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((10,), (10, 20, 50), range(10, 100, 10), range(10, 100, 5), range(10, 100)):
        ticks = [tick for power in powers for digit in digits if low <= (tick := digit / 10 * 10.0**power) <= high]
        if len(ticks) > 2:
            break
    axes.set_yticks(ticks, [minus(f"{tick:g}") for tick in ticks])
    axes.set_yticks([], minor=True)


# Figures of many trainings


@styled
def rate_distortion(points: Sequence, swept: str) -> Drawn:
    """Draw two panels: distortion against rate (KL), one point for each training of a sweep; and the active dimensions.

    `points` are the results of `sweep.sweep`; `swept` is the option with several values: "beta", "sigma" or "latent".
    """
    if not points:
        checks.refuse("points", "one point or more", "none", "Train first, then draw.")
    names = [f"{point.value:g}" if not isinstance(point.value, str) else point.value for point in points]
    best = max(range(len(points)), key=lambda i: points[i].elbo)
    figure = page(9.6, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    draw_rates(left, points, names, swept)
    draw_use(right, points, names, swept)
    finding = f"The highest held-out ELBO, {number(points[best].elbo)} nats, is at {swept} {names[best]}"
    collapsed = [name for name, point in zip(names, points) if point.active == 0]
    none_active = f"; no latent dimension is active at {swept} {', '.join(collapsed)}"
    finding += none_active if collapsed else "; every model has active latent dimensions"
    caption = f"Dashed: all pairs of rate and distortion with an ELBO of {number(points[best].elbo)}. "
    caption += f"A latent dimension is active if the variance of its mean \u03bc(x) over the data is above {ACTIVE}."
    if swept == "beta":
        caption += " At beta = 1 (orange ring), minus the loss is the ELBO. At a larger beta, minus the loss is a looser "
        caption += "bound of log p(x); at a smaller beta, it may not be a bound."
    explain(figure, finding, caption)
    first, last = points[0], points[-1]
    return figure, (
        f"Distortion against rate for {len(points)} values of {swept}: from rate {number(first.rate)}, distortion "
        f"{number(first.distortion)} nats at {names[0]} to {number(last.rate)}, {number(last.distortion)} at {names[-1]}. "
        f"{finding}."
    )


def draw_rates(axes: Axes, points: Sequence, names: Sequence[str], swept: str) -> None:
    """Draw a point (rate, distortion) for each model. All points on the dashed line have the ELBO of the best model.

    A grey line joins the points of the models, in the order of their rates. If beta was swept, draw a ring around the point
    of the model with beta = 1.
    """
    rate, distortion = np.array([[point.rate, point.distortion] for point in points]).T
    order = np.argsort(rate, kind="stable")
    axes.plot(rate[order], distortion[order], color=GREY, lw=0.8, zorder=1)
    axes.scatter(rate, distortion, 30, color=BLUE, zorder=3)
    right = 1.12 * rate.max() + 0.1
    margin = 0.12 * np.ptp(distortion) or 1.0
    axes.set(xlim=(-0.04 * right, right), ylim=(distortion.min() - margin, distortion.max() + margin))
    along = np.array(axes.get_xlim())
    axes.plot(along, -max(point.elbo for point in points) - along, **DASHED)
    ends = np.stack([axes.get_xlim(), axes.get_ylim()])                         # (2, 2)
    inches = np.array([4.6, 3.2]) / (ends[:, 1] - ends[:, 0])
    at = np.stack([rate, distortion], axis=1)               # (points, 2)
    for name, point, xy, place in zip(names, points, at, label_places(at * inches, names) / inches):
        is_elbo = swept == "beta" and point.beta == 1
        if is_elbo:
            axes.scatter(*xy, 130, facecolor="none", edgecolor=ORANGE, lw=1.6, zorder=4)
        colour = ORANGE if is_elbo else DARK
        axes.text(*place, name, ha="center", va="center", size=9, color=colour, path_effects=HALO)
    axes.set_title(f"Rate and distortion; numbers: {swept}", weight="bold")
    axes.set(xlabel="rate, KL( q(z|x) \u2016 p(z) ) (nats)", ylabel="distortion, \u2212E log p(x|z) (nats)")


def label_places(points: NDArray, names: Sequence[str]) -> NDArray:
    """Return the centre of each label in inches, (K, 2).

    The function places one label after another, each on one of eight sides of its point. It takes the side on which the
    label covers the fewest points and earlier labels.
    """
    sides = np.array([(1, 1), (1, 0), (1, -1), (0, 1), (0, -1), (-1, 1), (-1, 0), (-1, -1)])
    halves = np.array([(0.045 * len(name) + 0.05, 0.09) for name in names])     # half the widths and heights of labels
    places = np.empty((0, 2))
    for point, half in zip(points, halves):
        tried = point + sides * (half + 0.07)               # (8, 2)
        on_points = (np.abs(tried[:, None] - points) < half + 0.08).all(axis=-1).sum(axis=1)
        on_labels = (np.abs(tried[:, None] - places) < half + halves[: len(places)]).all(axis=-1).sum(axis=1)
        places = np.concatenate([places, tried[[(on_points + on_labels).argmin()]]])
    return places


def draw_use(axes: Axes, points: Sequence, names: Sequence[str], swept: str) -> None:
    """Draw a bar for each training: stacked KLs of all latent dimensions. Above, write the number of active dimensions."""
    highest = max(point.rate for point in points) or 1.0
    for i, point in enumerate(points):
        top = np.cumsum(point.kls)
        axes.bar(i, point.kls, 0.7, top - point.kls, color=BLUE, edgecolor="white", lw=0.8)
        text = f"{point.active} of {point.latent}" if len(points) <= 8 else f"{point.active}"
        axes.text(i, top[-1] + 0.015 * highest, text, ha="center", va="bottom", size=9)
    axes.set_xticks(range(len(points)), names, color=DARK)
    axes.set(xlim=(-0.7, len(points) - 0.3), ylim=(0, 1.1 * highest), xlabel=swept)
    axes.set_ylabel("KL of each latent dimension, stacked (nats)")
    axes.set_title("Active latent dimensions", weight="bold")
