"""Figures of the bounds of log p(x), the gap and the posteriors: each function returns a Figure and its alt text.

Shapes: the data x are (N, D). An array with one number for each data point is (N,). Values are in nats.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence import Bounds, Gap, Rates, exact_log_px
from minivae.evidence.rates import log_aggregate
from minivae.figures.arguments import Names, classes_of, latent_is, shape_of
from minivae.figures.latent import MASS_WITHIN, RADII, draw_prior, limits
from minivae.figures.style import (
    BLUE,
    DARK,
    DASHED,
    GREY,
    HALO,
    ORANGE,
    Drawn,
    Shape,
    at_right,
    explain,
    minus,
    number,
    page,
    percent,
    spread,
    styled,
)  # fmt: skip
from minivae.gaussian import log_standard_normal
from minivae.vae import VAE

NAMES = ("bounds_by_k", "aggregate", "gap_split", "posteriors")
MASSES = (0.5, 0.95)                                        # probabilities inside the contours
NODES = 161                                                 # a map has about 2 * NODES grid points on its longer axis


# Bounds against the number of weights


@styled
def bounds_by_k(k: Sequence[int], bounds: Bounds, exact: NDArray | None = None) -> Drawn:
    """Draw the mean importance-weighted bound against k.

    `bounds` is the result of `lower_bounds` for these k; `exact` (N,) is log p(x), or None if it is not known. If `exact` is
    given, a second panel shows log p(x) minus the bound: mean, median and middle 80 % of the data points.
    """
    if len(k) != len(bounds.iw_bound):
        rule = f"the {len(bounds.iw_bound)} values given to lower_bounds"
        checks.refuse("k", rule, f"{len(k)} values", "Give the same k.")
    k, N = np.array(k), bounds.iw_bound.shape[1]
    mean, error = bounds.iw_bound.mean(axis=1), np.sqrt((bounds.iw_bound_se**2).sum(axis=1)) / N     # (K,) each
    figure = page(8.8 if exact is not None else 5.4, 4.2)
    panels = np.atleast_1d(figure.subplots(1, 1 if exact is None else 2))
    draw_rise(panels[0], k, mean, error, float(bounds.elbo.mean()), None if exact is None else float(exact.mean()))
    caption = f"Means over {N} data points. Band: plus and minus two standard errors due to the draws of z."
    finding = f"From k = {k[0]} to {k[-1]} the bound rises by {number(mean[-1] - mean[0])} nats"
    if exact is not None:
        left = exact - bounds.iw_bound                      # (K, N)
        draw_distance(panels[1], k, left)
        side = "below" if mean[-1] <= exact.mean() else "above"           # random errors can raise the bound above log p(x)
        finding += f" and ends {number(abs(left[-1].mean()))} {side} log p(x)"
        caption += " Right: log p(x) minus the bound of each data point; shaded: the middle 80 % of the points."
        if np.quantile(left, 0.1, axis=1).min() < 0:
            caption += " Values below 0 are random errors of the draws: only the mean bound is at most log p(x)."
    explain(figure, finding, caption)
    each = list(zip(k, mean)) if len(k) <= 5 else [(k[0], mean[0]), (k[-1], mean[-1])]
    values = ", ".join(f"k = {n} gives {number(m)}" for n, m in each)
    exact_value = "" if exact is None else f" The exact log p(x) is {number(exact.mean())}."
    return figure, f"Line chart of the importance-weighted bound against k: {values} nats.{exact_value} {finding}."


def draw_rise(axes: Axes, k: NDArray, mean: NDArray, error: NDArray, elbo: float, exact: float | None) -> None:
    """Draw the mean bound for each k with its error band, and lines at the ELBO and log p(x)."""
    axes.fill_between(k, mean - 2 * error, mean + 2 * error, color=BLUE, alpha=0.3, lw=0)
    axes.plot(k, mean, color=BLUE, lw=1.4, marker="o", ms=4)
    top = mean.max() if exact is None else exact
    room = top - elbo or 1.0
    along_k(axes, k)
    axes.set(ylim=(elbo - 0.12 * room, top + 0.12 * room), ylabel="nats per data point")
    axes.axhline(elbo, **DASHED)
    axes.text(k[-1], elbo - 0.02 * room, minus(f"ELBO {number(elbo)}"), ha="right", va="top", size=9, color=GREY)
    if exact is not None:
        axes.axhline(exact, color=ORANGE, lw=1.4)
        axes.text(k[0], exact + 0.02 * room, minus(f"exact log p(x) {number(exact)}"), va="bottom", size=9, color=ORANGE)
    for n, value in zip(k, mean):
        place = {"xytext": (5, -12), "textcoords": "offset points"}
        axes.annotate(minus(number(value)), (n, value), **place, size=9, color=BLUE, path_effects=HALO)
    axes.set_title("The bound", weight="bold")


def draw_distance(axes: Axes, k: NDArray, left: NDArray) -> None:
    """Draw `left` (K, N), which is log p(x) - IW_k, against k.

    For each k, draw the mean over the data points, the median, and the range from the 10 % to the 90 % quantile.
    """
    low, median, high = np.quantile(left, (0.1, 0.5, 0.9), axis=1)              # (K,) each
    mean = left.mean(axis=1)
    axes.fill_between(k, low, high, color=BLUE, alpha=0.15, lw=0)
    axes.axhline(0, color=ORANGE, lw=1.4)
    axes.plot(k, mean, color=BLUE, lw=1.4, marker="o", ms=4)
    axes.plot(k, median, color=DARK, lw=1.4, marker="s", ms=4)
    along_k(axes, k)
    axes.set_ylabel("log p(x) \u2212 bound (nats)")
    axes.set_title("Remaining distance to log p(x)", weight="bold")
    ends = {"90 % are below": (high[-1], GREY), "mean": (mean[-1], BLUE), "median": (median[-1], DARK)}
    bottom, top = axes.get_ylim()
    places = spread(np.array([[value] for value, _ in ends.values()]), (top - bottom) / 16)
    for (name, (value, colour)), (y,) in zip(ends.items(), places):
        at_right(axes, y, minus(f"{name} {number(value)}"), colour)


def along_k(axes: Axes, k: NDArray) -> None:
    """Make the x axis a logarithmic axis of k, with free space at both ends."""
    axes.set(xscale="log", xlim=(k[0] / 1.5, k[-1] * 1.5), xlabel="k, number of importance weights")
    axes.set_xticks(k, [f"{n:,}" for n in k])
    axes.set_xticks([], minor=True)


# The two parts of the gap between the ELBO and log p(x)


@styled
def gap_split(parts: Gap) -> Drawn:
    """Draw the two parts of the gap between the ELBO and log p(x).

    The upper panel has one bar, log p(x) = ELBO + amortisation gap + approximation gap, for the means over the data. The
    lower panel has a bar for each data point, with its two gaps. `parts` is the result of `evidence.gap`.
    """
    elbo, amortisation, approximation, log_px = means = [
        float(getattr(parts, name).mean()) for name in ("elbo", "amortisation", "approximation", "log_px")
    ]
    figure = page(8.4, 5.0)
    above, below = figure.subplots(2, 1, height_ratios=(1, 1.5))
    draw_bar(above, *means)
    fraction = draw_data(below, parts)
    total = log_px - elbo
    shares = f"{number(amortisation)} from the encoder and {number(approximation)} from the Gaussian shape"
    finding = f"The gap of {number(total)} nats: {shares}"
    tenth = f"the 10 % of points with the largest gaps have {100 * fraction:.0f} % of the total gap"
    caption = (
        "Amortisation, the encoder's error: the ELBO of the best Gaussian for each data point minus the ELBO. "
        "Approximation, the error of the best Gaussian: log p(x) minus the ELBO of the best Gaussian. "
        f"Below: one bar for each of {len(parts.elbo)} data points; {tenth}."
    )
    explain(figure, finding, caption)
    sum_of = f"ELBO {elbo:.2f} + amortisation {amortisation:.2f} + approximation {approximation:.2f} = log p(x) {log_px:.2f}"
    return figure, f"Above, one bar: {sum_of} nats. Below, the gap of each of {len(parts.elbo)} data points: {tenth}."


def draw_bar(axes: Axes, elbo: float, amortisation: float, approximation: float, log_px: float) -> None:
    """Draw one horizontal bar from the ELBO to log p(x): first the amortisation gap, then the approximation gap.

    On the left, a short grey piece stands for the ELBO; the length of this piece has no meaning.
    """
    total = log_px - elbo or 1.0
    left = elbo - 0.3 * total
    pieces = ((left, elbo, GREY), (elbo, elbo + amortisation, BLUE), (elbo + amortisation, log_px, ORANGE))
    for start, end, colour in pieces:
        axes.barh(0, end - start, 0.5, start, color=colour, edgecolor="white", lw=0.8)
    axes.set(xlim=(left, log_px + 0.12 * total), ylim=(-0.75, 0.95), yticks=[], xlabel="nats, mean over the data points")
    axes.spines["left"].set_visible(False)
    axes.text((left + elbo) / 2, 0, minus(f"\u2026 ELBO\n{elbo:.2f}"), ha="center", va="center", size=9, color="white")
    inside = amortisation > 0.2 * total
    place = (elbo + amortisation / 2, 0) if inside else (elbo, -0.5)
    text = f"amortisation {amortisation:.2f}"
    axes.text(*place, text, ha="center" if inside else "left", va="center", size=9, color="white" if inside else BLUE)
    axes.text(log_px, -0.5, f"approximation {approximation:.2f}", ha="right", va="center", size=9, color=ORANGE)
    axes.plot([log_px, log_px], [-0.35, 0.5], color=DARK, lw=1.2)
    axes.text(log_px, 0.55, minus(f"log p(x) {log_px:.2f}"), ha="right", va="bottom", size=9)
    axes.set_title("log p(x) = ELBO + amortisation + approximation", weight="bold")


def draw_data(axes: Axes, parts: Gap) -> float:
    """Draw a bar for each data point, largest gap first.

    Returns a fraction: the sum of the largest 10 % of the gaps, divided by the sum of all gaps.
    """
    gaps = parts.log_px - parts.elbo                        # (N,)
    order, places = np.argsort(-gaps, kind="stable"), np.arange(len(gaps))
    approximation, amortisation = parts.approximation[order], parts.amortisation[order]
    width = 0.85 if len(gaps) <= 200 else 1.0
    axes.bar(places, approximation, width, color=ORANGE, hatch="////", edgecolor="white", lw=0)
    axes.bar(places, amortisation, width, approximation, color=BLUE)
    axes.set(xlim=(-0.7, len(gaps) - 0.3), xticks=[], xlabel="data points, largest gap first")
    axes.set_ylabel("log p(x) \u2212 ELBO (nats)")
    axes.text(0.98, 0.9, "amortisation", transform=axes.transAxes, ha="right", size=9, color=BLUE)
    axes.text(0.98, 0.8, "approximation (hatched)", transform=axes.transAxes, ha="right", size=9, color=ORANGE)
    first = math.ceil(len(gaps) / 10)
    return float(gaps[order[:first]].sum() / max(gaps.sum(), 1e-300))


def unbroken(text: str) -> str:
    """Return `text` with non-breaking spaces."""
    return text.replace(" ", "\u00a0")


# Posteriors


@styled
def posteriors(
    vae: VAE, x: NDArray, parts: Gap, labels: NDArray | None = None, image_shape: Shape | None = None, n: int = 6,
    classes: Names = None,
) -> Drawn:  # fmt: skip
    """Draw contours of the posterior, the encoder's Gaussian and the best Gaussian for n data points; J must be 2.

    `parts` is the result of `evidence.gap` for x. The data points are sorted by KL; n evenly spaced data points are drawn.
    """
    latent_is(vae, "two latent dimensions", vae.latent == 2)
    vae, (labels, every_class) = vae.astype(np.float64), classes_of(labels, len(x), classes)
    x = vae.check_data(x)
    n = min(checks.whole_number("n", n, 1), len(x))
    kl = parts.kl                                           # (N,)
    chosen = np.argsort(kl, kind="stable")[np.linspace(0, len(x) - 1, n).round().astype(int)]
    exact = exact_log_px(vae, x[chosen])
    mu, log_var = vae.encode(x[chosen])
    columns = min(n, 3)
    rows = math.ceil(n / columns)
    figure = page(2.9 * columns + 0.4, 3.1 * rows + 1.0)
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in panels[n:]:
        axes.set_axis_off()
    for axes, i, mean, cov, m, v in zip(panels, chosen, exact.mean, exact.cov, mu, log_var):
        best = parts.mu[i], parts.log_var[i]
        draw_posterior(axes, vae, x[i], parts.log_px[i], (mean, cov), (m, v), best)
        which = "" if labels is None else f", class {every_class[labels[i]].name}"
        axes.set_title(minus(f"KL {number(kl[i])} nats{which}"), weight="bold", y=1.02)
        if image_shape is not None:
            thumbnail(axes, x[i], shape_of(vae, image_shape))
    for axes in panels[:n]:
        axes.set_xlabel("$z_1$" if axes in panels[max(0, n - columns) :] else "")
        axes.set_ylabel("$z_2$" if axes in panels[::columns] else "", rotation=0, va="center")
    for line, (name, colour) in enumerate((("p(z|x)", BLUE), ("q(z|x)", ORANGE), ("best (dashed)", DARK))):
        box = {"transform": panels[0].transAxes, "ha": "right", "size": 9, "zorder": 5, "path_effects": HALO}
        panels[0].text(0.98, 0.18 - 0.075 * line, name, color=colour, **box)
    finding = f"KL( q(z|x) \u2016 p(z|x) ) of {len(x)} data points: from {number(kl.min())} to {number(kl.max())} nats"
    caption = (
        f"Contours contain {unbroken(percent(MASSES))} of the exact posterior p(z|x), of the encoder's q(z|x), and of the "
        "best diagonal Gaussian. Each panel has its own scale, the same on both axes."
    )
    explain(figure, finding, caption)
    best, worst = (
        f"KL {number(kl[i])} = amortisation {number(parts.amortisation[i])} + approximation {number(parts.approximation[i])}"
        for i in chosen[[0, -1]]
    )
    return figure, (
        f"{n} panels with contours of p(z|x), q(z|x) and the best Gaussian, from the best to the worst of {len(x)} data "
        f"points. Best: {best}. Worst: {worst} nats."
    )


def draw_posterior(axes: Axes, vae: VAE, x: NDArray, log_px: float, exact: tuple, encoder: tuple, best: tuple) -> None:
    """Draw p(z|x) of one x (D,) as filled contours, and two Gaussians as ellipses.

    `exact` is (mean, covariance) of p(z|x). `encoder` is (mu, log_var) of q(z|x). `best` is (mu, log_var) of the best
    Gaussian.
    """
    (mean, cov), (mu, log_var) = exact, encoder
    reach = np.stack([4.0 * np.sqrt(np.diagonal(cov)), 3.2 * np.exp(log_var / 2), 3.2 * np.exp(best[1] / 2)])   # (3, 2)
    centres = np.stack([mean, mu, best[0]])
    low, high = (centres - reach).min(axis=0), (centres + reach).max(axis=0)
    centre, half = (low + high) / 2, (high - low).max() / 2
    # The grid is finer near the posterior and near the best Gaussian, because both may be narrow.
    fine = [np.linspace(c - r, c + r, NODES // 2) for c, r in zip(centres[[0, 2]], reach[[0, 2]])]
    axis_1, axis_2 = np.sort(np.concatenate([np.linspace(centre - half, centre + half, NODES), *fine]), axis=0).T
    density = posterior_density(vae, x, log_px, axis_1, axis_2)                 # one row for each z2
    levels = levels_of(density, np.outer(np.gradient(axis_2), np.gradient(axis_1)))
    axes.contourf(axis_1, axis_2, density, [*levels, np.inf], colors=["#b5d3ea", "#5c9ccb"])
    axes.contour(axis_1, axis_2, density, levels, colors=BLUE, linewidths=0.8)
    for (m, v), style in ((best, {"ec": DARK, "ls": (0, (3, 2)), "lw": 1.0}), ((mu, log_var), {"ec": ORANGE, "lw": 1.6})):
        for mass in MASSES:
            size = 2 * math.sqrt(-2 * math.log(1 - mass)) * np.exp(v / 2)       # (2,)   axes of an ellipse with this mass
            axes.add_patch(Ellipse(m, *size, fill=False, zorder=4, **style))
    axes.set(xlim=axis_1[[0, -1]], ylim=axis_2[[0, -1]], aspect="equal")
    axes.locator_params(nbins=4)


def posterior_density(vae: VAE, x: NDArray, log_px: float, axis_1: NDArray, axis_2: NDArray) -> NDArray:
    """Return p(z|x) = p(x|z) p(z) / p(x) at each pair of z1 and z2, with one row for each z2."""
    z = np.stack(np.meshgrid(axis_1, axis_2), axis=-1).reshape(-1, 1, 2)        # (L, 1, 2)
    log_joint = vae.log_likelihood(x[None], z) + log_standard_normal(z)         # (L, 1)
    return np.exp(log_joint - log_px).reshape(len(axis_2), len(axis_1))


def levels_of(density: NDArray, cell: NDArray | float) -> list[float]:
    """Return a density level for each probability in MASSES, lowest level first.

    If L is the level for a probability m, then the region where the density is above L has the probability m. `cell` is the
    area of a grid cell: one number, or one number for each grid point.
    """
    order = np.argsort(-density, axis=None)
    falling, mass = density.ravel()[order], np.cumsum((density * cell).ravel()[order])
    places = [min(int(np.searchsorted(mass, target)), len(mass) - 1) for target in sorted(MASSES, reverse=True)]
    low, high = (float(falling[place]) for place in places)
    return [low, max(high, low * (1 + 1e-9))]


def thumbnail(axes: Axes, x: NDArray, shape: Shape) -> None:
    """Draw the data point as a small image above the right end of the panel."""
    inset = axes.inset_axes((0.82, 1.02, 0.18, 0.18))
    inset.imshow(x.reshape(shape), "gray_r")
    inset.set_axis_off()


# The aggregate posterior


@styled
def aggregate(vae: VAE, x: NDArray, rates: Rates) -> Drawn:
    """Draw the aggregate posterior q(z), the mean of q(z|x) over the data, and circles of the prior; J must be 2.

    The circles are at 1, 2 and 3 standard deviations of the prior. `rates` is the result of `rate_distortion` for x.
    """
    latent_is(vae, "two latent dimensions", vae.latent == 2)
    vae = vae.astype(np.float64)
    mu, log_var = vae.encode(vae.check_data(x))
    reach = 3 * np.exp(log_var / 2)
    low, high = limits(np.concatenate([mu - reach, mu + reach]))
    steps = np.round(2 * NODES * (high - low) / (high - low).max()).astype(int)
    axis_1, axis_2 = (np.linspace(a, b, n) for a, b, n in zip(low, high, steps))
    z = np.stack(np.meshgrid(axis_1, axis_2), axis=-1).reshape(-1, 2)
    density = np.exp(log_aggregate(z, mu, log_var)).reshape(len(axis_2), -1)    # one row for each z2
    figure = page(6.2, 1.5 + 5.3 * (high - low)[1] / (high - low)[0])
    axes = figure.subplots()
    low_level, high_level = levels_of(density, (axis_1[1] - axis_1[0]) * (axis_2[1] - axis_2[0]))
    axes.contourf(axis_1, axis_2, density, [low_level, high_level, np.inf], colors=["#b5d3ea", "#5c9ccb"])
    draw_prior(axes, mu, named=True)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    axes.locator_params(integer=True, nbins=8)
    inside = f"{percent(mass_in_circles(mu, log_var))} of q(z)"
    estimate = f"{rates.marginal_kl:.3f} \u00b1 {rates.surgery_se:.3f}"
    finding = f"The aggregate posterior q(z) is {estimate} nats from the prior"
    negative = " An estimate can be negative, a KL cannot." * (rates.marginal_kl < 0)
    caption = (
        f"q(z) is the mean of q(z|x) over {len(x)} data points. Dark and light: the smallest regions with "
        f"{unbroken(percent(MASSES))} of q(z). Dashed circles, radius 1, 2 and 3, contain {percent(MASS_WITHIN)} of the "
        f"prior and {inside}. Rate {number(rates.kl)} = mutual information {number(rates.mutual_information)} + "
        f"KL( q(z) \u2016 p(z) ) {number(rates.marginal_kl)}, both estimated from draws; \u00b1: standard error.{negative}"
    )
    explain(figure, finding, caption)
    return figure, (
        f"Density of the aggregate posterior in the latent space, z2 against z1. {finding}. "
        f"Within radius 1, 2 and 3 lie {inside} and {percent(MASS_WITHIN)} of the prior."
    )


def mass_in_circles(mu: NDArray, log_var: NDArray) -> list[float]:
    """Return, for each radius in RADII, the probability that z ~ q(z) lies in the circle with this radius around 0.

    The function uses Gauss-Hermite quadrature. q(z) is the mean of N(mu_n, sigma_n^2) over all n; mu and log_var are (N, 2).
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weight = np.outer(weights, weights) / weights.sum() ** 2                    # (40, 40)
    sigma = np.exp(log_var / 2)
    first, second = (m[:, None] + s[:, None] * nodes for m, s in zip(mu.T, sigma.T))        # (N, 40) each
    squares = first[:, :, None] ** 2 + second[:, None, :] ** 2                  # (N, 40, 40)
    return [float(((squares < r * r) * weight).sum(axis=(1, 2)).mean()) for r in RADII]
