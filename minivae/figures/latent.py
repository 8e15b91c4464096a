"""Figures of the latent space: each function returns a Figure and its alt text.

Shapes: x (N, D) data, labels (N,) whole numbers or None, image_shape (H, W) with H W = D. Values are in nats.
"""

import math
import re
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse, Rectangle
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence.rates import ACTIVE
from minivae.figures.arguments import Class, Names, classes_of, latent_is, shape_of
from minivae.figures.style import (
    BLUE,
    DARK,
    DASHED,
    GREY,
    Drawn,
    Shape,
    explain,
    minus,
    number,
    page,
    percent,
    show,
    styled,
    write,
)  # fmt: skip
from minivae.gaussian import kl_standard_normal
from minivae.vae import VAE

PRIOR = NormalDist()
RADII = (1, 2, 3)
MASS_WITHIN = [1 - math.exp(-r * r / 2) for r in RADII]     # prior probability within these radii, in two dimensions
MOST_CODES = 2000                                           # largest number of points in a map
MOST_NAMED = 10                                             # largest number of KL values in an alt text
MOST_BARS = 24                                              # if there are more bars, the bars have no names


def prior_quantiles(n: int) -> NDArray:
    """Split N(0, 1) into n parts of equal probability; return the median z of each part, (n,)."""
    return np.array([PRIOR.inv_cdf((i + 0.5) / n) for i in range(checks.whole_number("n", n, 1))])


# Active latent dimensions


@styled
def kl_per_dimension(vae: VAE, x: NDArray) -> Drawn:
    """Draw the mean KL of each latent dimension in nats, largest first, and mark the active dimensions."""
    vae.check_noise()
    mu, log_var = vae.encode(x)
    kl, variance = kl_standard_normal(mu, log_var).mean(axis=0), mu.var(axis=0)         # (J,) each
    J, order, active = len(kl), np.argsort(-kl, kind="stable"), variance > ACTIVE
    figure = page(min(9.6, 3.2 + 0.6 * max(J, 4)), 4.0)
    axes = figure.subplots()
    axes.bar(range(J), kl[order], 0.7, color=[BLUE if active[u] else "white" for u in order], edgecolor=BLUE)
    side = max(0.7, 1.5 - J / 2)                            # room beside the bars: a single bar must not fill the page
    axes.set(xlim=(-side, J - 1 + side), xticks=[])
    axes.set_ylabel("mean KL( q(z|x) \u2016 p(z) ) in nats")
    axes.set_xlabel("latent dimension, largest KL first")
    if J <= MOST_BARS:                                      # with more bars, the names would overlap
        axes.set_xlabel("latent dimension, largest KL first\n(second row: variance of its mean \u03bc(x) over the data)")
        names = [f"$z_{{{u + 1}}}$\n{number(variance[u])}" for u in order]
        axes.set_xticks(range(J), names, color=DARK, size=9 if J <= 12 else 7)
        axes.bar_label(axes.containers[0], [small(kl[u], kl.max()) for u in order], padding=2, size=8)
    finding = f"{active.sum()} of {J} latent dimensions active; sum of all KLs: {number(kl.sum())} nats"
    caption = f"Filled bar: active dimension; the variance of its mean \u03bc(x) over the data is above {ACTIVE} "
    caption += "(Burda et al. 2016). Hollow bar: inactive dimension; its code hardly depends on x."
    explain(figure, finding, caption)
    values = ", ".join(f"z{u + 1} {number(kl[u])}" for u in order[:MOST_NAMED])
    unnamed = f", and {J - MOST_NAMED} smaller ones" if J > MOST_NAMED else ""
    alt = f"Bar chart of mean KL in nats by latent dimension: {values}{unnamed}. {finding}. "
    return figure, f"{alt}The smallest variance of the means is {number(variance.min())}."


def small(value: float, largest: float) -> str:
    """Format the value of a bar: with one significant digit if all bars are below 0.1, else with two decimals or "<0.01"."""
    if largest < 0.1:
        return f"{value:.1g}"
    return f"{value:.2f}" if value >= 0.005 else "<0.01"


# Two dimensions


def draw_map(
    axes: Axes, vae: VAE, x: NDArray, labels: NDArray | None = None, classes: Names = None
) -> tuple[str, str]:
    """Draw the means of q(z|x), some q(z|x) as ellipses, and circles of the prior; return caption and alt text."""
    latent_is(vae, "two latent dimensions", vae.latent == 2)
    mu, log_var = vae.encode(x)
    labels, every_class = classes_of(labels, len(x), classes)
    sigma = np.exp(log_var / 2) * vae.noise                 # 0 for a model without noise
    some = np.argsort(mu[:, 0], kind="stable")[:: math.ceil(len(x) / 9)]        # at most nine data points, sorted by z_1
    low, high = limits(np.concatenate([mu, mu[some] - 2 * sigma[some], mu[some] + 2 * sigma[some]]))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    axes.locator_params(integer=True, nbins=8)
    every = math.ceil(len(x) / MOST_CODES)
    drawn = mu[::every]
    draw_codes(axes, drawn, labels if labels is None else labels[::every], every_class)
    for i in some:
        axes.add_patch(Ellipse(mu[i], *(4 * sigma[i]), fill=False, ec=DARK, lw=1.1, zorder=4))
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)[:, None]
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)                  # (48, 1, 2)
    outlines = (mu[some] + 2 * sigma[some] * circle).reshape(-1, 2)
    inside = percent([(np.hypot(*mu.T) < r).mean() for r in RADII])
    short = are_short(every_class)
    kind = "Dots" if labels is None else "Numerals" if short else "Symbols"
    part = f" (1 in {every} drawn)" if every > 1 else ""
    by_class = "" if labels is None else f"; each {kind.lower()[:-1]} is the class" + ", named near its median" * (not short)
    means = f"{'means of q(z|x)' if vae.noise else 'codes'} for {len(x)} data points"
    caption = f"{kind}: {means}{part}{by_class}. "
    caption += f"Ellipses: q(z|x) of {len(some)} data points, out to 2 sigma. " if vae.noise else ""
    caption += f"Dashed circles, radius 1, 2 and 3, contain {percent(MASS_WITHIN)} of the prior "
    caption += f"and {inside} of these {'means' if vae.noise else 'codes'}."
    alt = f"{means}; {inside} of them lie within radius 1, 2 and 3 (prior: {percent(MASS_WITHIN)})."
    places = np.empty((0, 2))
    if labels is not None:
        avoided = drawn if short else np.concatenate([drawn, outlines])         # short names are readable on ellipses
        right, places = draw_classes(axes, mu, labels, avoided, every_class)
        caption += f" The nearest class median predicts the class of {100 * right:.0f} % of the data points."
        alt += f" The nearest class median predicts the class of {100 * right:.0f} %."
    draw_prior(axes, np.concatenate([drawn, outlines, places]), named=(high - low).max() < 14)
    return caption, alt


def limits(points: NDArray) -> tuple[NDArray, NDArray]:
    """Return the lower left and upper right corner (2,) of a map that contains all points (N, 2) and the prior's circles."""
    low, high = np.minimum(-RADII[-1], points.min(axis=0)), np.maximum(RADII[-1], points.max(axis=0))
    size = np.maximum(high - low, 0.6 * (high - low).max())                     # width / height from 0.6 to 1 / 0.6
    return (low + high) / 2 - 0.53 * size, (low + high) / 2 + 0.53 * size


def draw_prior(axes: Axes, taken: NDArray, named: bool) -> None:
    """Draw circles with the radii RADII; with `named`, write on each circle the prior probability inside it.

    The text is at the place on the circle that is farthest from the points `taken` (K, 2).
    """
    angle = np.pi / 2 + np.pi / 24 * np.array([0, *(side * step for step in range(1, 24) for side in (1, -1))])
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1)               # (47, 2) directions, upward first
    labels = np.multiply.outer(RADII, direction)            # (3, 47, 2)
    distance = np.linalg.norm(labels[:, :, None] - taken, axis=-1).min(axis=2, initial=np.inf)  # (3, 47)
    for r, mass, places, free in zip(RADII, MASS_WITHIN, labels, distance):
        axes.add_patch(Circle((0, 0), r, fill=False, **DASHED))
        if named:                                           # drawn over the ellipses, under the class names
            write(axes, *places[free.argmax()], f"{100 * mass:.0f} %", size=8, color=GREY, zorder=4.5)


def are_short(classes: dict[int, Class]) -> bool:
    """Return True if all class names are short: one or two letters or digits, perhaps after a minus sign."""
    return all(re.fullmatch(r"-?[A-Za-z0-9]{1,2}", one.name) for one in classes.values())


def draw_codes(axes: Axes, mu: NDArray, labels: NDArray | None, classes: dict[int, Class]) -> None:
    """Draw codes mu (N, 2) as short class names or symbols, in the colour of their class; without labels, draw dots."""
    if labels is None:
        axes.scatter(*mu.T, 8, color=BLUE, alpha=0.6, lw=0)
        return
    for label in np.unique(labels):
        colour, symbol, name = classes[label]
        size, marker = (15 * (1 + len(name)), rf"$\mathrm{{{name}}}$") if are_short(classes) else (18, symbol)
        axes.scatter(*mu[labels == label].T, size, color=colour, marker=marker, lw=0.2, zorder=2)


def draw_classes(
    axes: Axes, mu: NDArray, labels: NDArray, drawn: NDArray, named: dict[int, Class]
) -> tuple[float, NDArray]:
    """Write the name of each class at a free place near the median of its codes; draw a line from the name to the median.

    Names avoid the points `drawn` (M, 2), see `free_places`. Returns two results. The first is the fraction of codes mu
    (N, 2) that are nearer to the median of their own class than to any other median. The second is the centre of each
    name, (K, 2). If at least one name has more than two characters, the second result also contains both ends of every
    name, (3K, 2).
    """
    classes = np.unique(labels)
    medians = np.array([np.median(mu[labels == label], axis=0) for label in classes])   # (K, 2)
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    longest = max(len(named[label].name) for label in classes)
    size = (16 if len(classes) <= 12 else 11) if longest <= 2 else 10
    inches = axes.get_position().width * axes.figure.get_figwidth()
    wide = max(1.0, 0.26 * longest), max(1.0, 1.7 * longest / inches)           # a character is about 0.09 inches wide
    places = free_places(medians, drawn, low, high, *wide)
    for label, median, place in zip(classes, medians, places):
        colour = named[label].colour
        if np.linalg.norm(place - median) > 0.04 * (high - low).max():          # a shorter line would look like a dot
            axes.plot(*zip(median, place), color=colour, lw=0.9, zorder=1)
        write(axes, *place, minus(named[label].name), size=size, weight="bold", color=colour)
    distance = np.linalg.norm(mu[:, None] - medians, axis=-1)                   # (N, K)
    if longest > 2:                                         # a long name is wide: return also its left and right end
        half = np.array([0.007 * longest * (high - low).max(), 0])
        places = np.concatenate([places, places - half, places + half])
    return float((classes[distance.argmin(axis=1)] == labels).mean()), places


def free_places(
    medians: NDArray, drawn: NDArray, low: NDArray, high: NDArray, wide: float = 1.0, wide_apart: float = 1.0
) -> NDArray:
    """Return a place for the label of each median, (K, 2): a grid point near the median that is free or nearly free.

    A grid point is free if a label there covers no point of `drawn` and no other label. Labels are wider than high, so
    horizontal distances are divided: by `wide` between a label and a point, by `wide_apart` between two labels.
    """
    scale, scale_apart = np.array([wide, 1.0]), np.array([wide_apart, 1.0])
    size = (high - low).max()
    clear = 0.03 * size                                     # smallest allowed distance of a label from a point
    apart = 0.055 * size                                    # smallest allowed distance of a label from another label
    edges = np.minimum(apart * scale, 0.3 * (high - low))
    axis_1, axis_2 = (np.arange(a + edge, b - edge, size / 80) for a, b, edge in zip(low, high, edges))
    grid = np.stack(np.meshgrid(axis_1, axis_2), axis=-1).reshape(-1, 2)        # (G, 2)
    to_points = distances(grid / scale, drawn / scale).min(axis=1) / clear      # (G,)   at least 1 if no point is too near
    places = np.empty((0, 2))
    for median in medians:
        to_labels = distances(grid / scale_apart, places / scale_apart).min(axis=1, initial=np.inf) / apart
        overlap = np.maximum(0, 1 - np.minimum(to_points, to_labels))           # overlap costs more than a long line
        cost = np.linalg.norm(grid - median, axis=1) / size + 10 * overlap
        places = np.concatenate([places, grid[[cost.argmin()]]])
    return places


def distances(a: NDArray, b: NDArray) -> NDArray:
    """Return the distance of each point a (G, 2) from each point b (M, 2), as an array (G, M)."""
    return np.hypot(a[:, None, 0] - b[:, 0], a[:, None, 1] - b[:, 1])


def draw_manifold(axes: Axes, vae: VAE, image_shape: Shape, n: int) -> tuple[str, str]:
    """Draw decoded means at n x n quantiles of the prior, z_1 to the right, z_2 upward; return caption and alt text."""
    latent_is(vae, "two latent dimensions", vae.latent == 2)
    shape, z = shape_of(vae, image_shape), prior_quantiles(n)
    codes = np.stack(np.meshgrid(z, z[::-1]), axis=-1).reshape(-1, 2)           # highest z_2 in the top row
    images = vae.decode(codes)
    show(axes, vae, images, shape, n, gap=0)
    axes.hlines(range(1, n), 0, n, color="white", lw=1.2)   # white lines separate the tiles
    axes.vlines(range(1, n), 0, n, color="white", lw=1.2)
    ticks = [-2, -1, -0.5, 0, 0.5, 1, 2]
    for axis, name, line in ((axes.xaxis, "$z_1$", "column"), (axes.yaxis, "$z_2$", "row")):
        axis.set_ticks([n * PRIOR.cdf(value) for value in ticks], [minus(f"{value:g}") for value in ticks])
        axis.set_label_text(f"{name}, each {line} equally probable under the prior")
    axes.tick_params(length=3, labelbottom=True)
    ends, spread = f"from {z[0]:.2f} to {z[-1]:.2f}", number(images.std(axis=0).mean())
    caption = f"Images: the decoder's mean at {n} x {n} values of z, {ends} in each coordinate. "
    caption += f"Each image represents 1/{n * n} of the prior probability. "
    caption += f"The standard deviation of a pixel over the images is {spread}, averaged over pixels."
    alt = f"{n} by {n} images decoded from z1 (to the right) and z2 (upward) {ends}"
    return caption, f"{alt}; the standard deviation of a pixel over them is {spread}."


ENCODER, DECODER = "Where the encoder puts the data", "What the decoder draws at each z"


@styled
def latent_map(vae: VAE, x: NDArray, labels: NDArray | None = None, classes: Names = None) -> Drawn:
    """Draw the codes of x in the latent plane, and circles at 1, 2 and 3 standard deviations of the prior; J must be 2."""
    figure = page(6.2, 6.7)
    axes = figure.subplots()
    caption, alt = draw_map(axes, vae, x, labels, classes)
    figure.set_figheight(1.35 + 5.3 * ratio(axes))
    explain(figure, ENCODER, caption)
    return figure, f"Scatter plot of the latent space, z2 against z1: {alt}"


@styled
def manifold(vae: VAE, image_shape: Shape, n: int = 20) -> Drawn:
    """Draw the decoded mean at each z of a grid. All cells of the grid have equal prior probability; J must be 2."""
    figure = page(6.2, 6.7)
    axes = figure.subplots()
    caption, alt = draw_manifold(axes, vae, image_shape, n)
    figure.set_figheight(1.4 + 5.2 * min(2.0, max(0.5, image_shape[0] / image_shape[1])))
    explain(figure, DECODER, caption)
    return figure, f"Grid of {alt}"


@styled
def hero(vae: VAE, x: NDArray, labels: NDArray | None, image_shape: Shape, classes: Names = None) -> Drawn:
    """Draw the latent map and the manifold side by side, in the same orientation; J must be 2."""
    figure, n = page(10.4, 5.6), 16
    left, right = figure.subplots(1, 2)
    (caption, alt), _ = draw_map(left, vae, x, labels, classes), draw_manifold(right, vae, image_shape, n)
    widths = 1 / ratio(left), min(2.0, max(1.0, image_shape[1] / image_shape[0]))       # the panels have equal heights
    left.get_gridspec().set_width_ratios(widths)
    figure.set_figheight(1.15 + 9.0 / sum(widths))
    edge = prior_quantiles(n)[-1]
    left.add_patch(Rectangle((-edge, -edge), 2 * edge, 2 * edge, fill=False, ec=BLUE, lw=1.2, zorder=3))
    left.set_title(ENCODER, weight="bold")
    right.set_title(DECODER, weight="bold")
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.985))   # a margin above the titles of the panels
    explain(figure, "", f"{caption} Blue square: the values of z that are decoded on the right.")
    return figure, f"Left, {alt} Right, images decoded on a {n} by {n} grid, {-edge:.2f} to {edge:.2f}."


def ratio(axes: Axes) -> float:
    """Return height / width of the visible part of the plane."""
    return float(np.ptp(axes.get_ylim()) / np.ptp(axes.get_xlim()))


# One dimension


@styled
def latent_line(
    vae: VAE, x: NDArray, labels: NDArray | None = None, image_shape: Shape | None = None, n: int = 20,
    classes: Names = None,
) -> Drawn:  # fmt: skip
    """Draw the codes of x in one row for each class; with `image_shape`, also draw n decoded means. J must be 1."""
    latent_is(vae, "one latent dimension", vae.latent == 1)
    z = vae.encode(x)[0][:, 0]                              # (N,)
    labels, every_class = classes_of(labels, len(z), classes)
    low, high = min(-3.2, 1.02 * z.min()), max(3.2, 1.02 * z.max())
    groups = {"data": z} if labels is None else {label: z[labels == label] for label in np.unique(labels)}
    height = 0.3 * len(groups) + 0.3
    figure = page(8.4, height + 2.2)
    if image_shape is None:
        rows = figure.subplots()
    else:
        above, rows = figure.subplots(2, sharex=True, height_ratios=(0.5, height))
        edges = np.linspace(low, high, checks.whole_number("n", n, 1) + 1)
        images = vae.decode((edges[1:] + edges[:-1])[:, None] / 2)
        show(above, vae, images, shape_of(vae, image_shape), n, gap=0, span=(low, high))
    for i, (label, here) in enumerate(groups.items()):
        colour = BLUE if labels is None else every_class[label].colour
        rows.scatter(here, np.full(len(here), i), 90, color=colour, marker="|", lw=1, alpha=0.7)
    rows.vlines([-3, -2, -1, 1, 2, 3], -0.6, len(groups) - 0.4, **DASHED)
    names = [every_class[label].name if label in every_class else label for label in groups]
    rows.set_yticks(range(len(groups)), names, size=10, color=DARK)
    rows.set(xlim=(low, high), ylim=(len(groups) - 0.4, -0.6), xlabel="$z_1$")
    rows.set_ylabel("class" if labels is not None else "")
    prior_mass = percent([PRIOR.cdf(r) - PRIOR.cdf(-r) for r in RADII])
    inside = percent([(abs(z) < r).mean() for r in RADII])
    means = "means of q(z|x)" if vae.noise else "codes"
    shares = f"Within 1, 2 and 3 of zero (dashed) lie {prior_mass} of the prior and {inside} of the {len(z)} {means}"
    by_class = "" if labels is None else ", one row for each class"
    above = "" if image_shape is None else "Top: decoded images, each for the $z_1$ below its middle. "
    explain(figure, f"{ENCODER}: one latent dimension", f"{above}Ticks: {means}{by_class}. {shares}.")
    above = "" if image_shape is None else f", below {n} decoded images"
    return figure, f"{means.capitalize()} along z1 from {low:.1f} to {high:.1f}{above}. {shares}."
