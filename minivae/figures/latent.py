"""Plots of a model and what it makes of data: each returns a Figure and its alt text; `drawing.save` writes both.

Those of training are in figures_learning, those of the bound in figures_evidence; `all_figures` has what suits a run.

Shapes: x (N, D) data, labels (N,) whole numbers or None, image_shape (H, W) with H W = D. Numbers: nats.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse, Rectangle
from numpy.typing import NDArray

from minivae import checks
from minivae.data import Dataset
from minivae.evidence.rates import ACTIVE
from minivae.figures.style import (
    BLUE,
    CLASSES,
    DARK,
    DASHED,
    GREY,
    Drawn,
    Shape,
    at_right,
    explain,
    minus,
    number,
    page,
    percent,
    show,
    spread,
    styled,
    write,
)  # fmt: skip
from minivae.figures.training import loss_curves, sigma_and_error
from minivae.gaussian import kl_standard_normal, reparameterize
from minivae.vae import VAE

PRIOR = NormalDist()
RADII = (1, 2, 3)
MOST_CODES, MOST_ROWS, MOST_BARS = 2000, 10, 24             # glyphs in a map, rows of a traversal, named bars

# What is accepted, and what is drawn of it


def latent_is(vae: VAE, rule: str, allowed: bool) -> None:
    """Refuse a model with another number of latent dimensions than the figure is for."""
    if not allowed:
        remedy = "Use latent_line for one, latent_map and manifold for two, traversals for more."
        checks.refuse("vae", f"a model with {rule}", str(vae.latent), remedy)


def shape_of(vae: VAE, image_shape: Shape) -> Shape:
    """(H, W), refused unless H W = D."""
    shape = checks.sizes("image_shape", image_shape)
    if len(shape) != 2 or math.prod(shape) != vae.features:
        rule = f"(height, width) with height * width = {vae.features}"
        checks.refuse("image_shape", rule, repr(image_shape), "It says how one row of the data is a picture.")
    return shape


def labels_of(labels: NDArray | None, rows: int) -> NDArray | None:
    """Labels (rows,) as integers, refused unless they are whole numbers, one for each row."""
    if labels is None:
        return None
    labels = checks.real_array("labels", labels, (rows,))
    if (labels != np.rint(labels)).any():
        checks.refuse("labels", "whole numbers", "fractions", "Number the classes 0, 1, 2, ...")
    return labels.astype(int)


def one_of_each(labels: NDArray) -> NDArray:
    """Row numbers: the first row of every class, then the second of every class, and so on."""
    rank = np.zeros(len(labels), int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    return np.lexsort((labels, rank))


def prior_quantiles(n: int) -> NDArray:
    """z (n,) that cut N(0, 1) into n parts of equal mass, the median of each: the inverse normal CDF."""
    return np.array([PRIOR.inv_cdf((i + 0.5) / n) for i in range(checks.whole_number("n", n, 1))])


# The latents in use


@styled
def kl_per_dimension(vae: VAE, x: NDArray) -> Drawn:
    """How many nats each latent dimension carries about x, most informative first, and which are active."""
    vae.check_noise()
    mu, log_var = vae.encode(x)
    kl, activity = kl_standard_normal(mu, log_var).mean(axis=0), mu.var(axis=0)         # (J,) each
    J, order, active = len(kl), np.argsort(-kl, kind="stable"), activity > ACTIVE
    figure = page(min(9.0, 3.0 + 0.6 * max(J, 4)), 4.0)
    axes = figure.subplots()
    axes.bar(range(J), kl[order], 0.7, color=[BLUE if active[u] else "white" for u in order], edgecolor=BLUE)
    side = max(0.7, 1.5 - J / 2)                            # no bar is as wide as the page
    axes.set(xlim=(-side, J - 1 + side), xticks=[], xlabel="latent dimension, most informative first")
    axes.set_ylabel("KL( q(z|x) \u2016 p(z) ), mean (nats)")
    if J <= MOST_BARS:                                      # more names would overlap
        axes.set_xticks(range(J), [f"$z_{{{u + 1}}}$\n{number(activity[u])}" for u in order], color=DARK)
        axes.text(-0.03, -0.125, "A", transform=axes.transAxes, ha="right", va="center", size=9)
        axes.bar_label(axes.containers[0], fmt="%.2f" if kl.max() >= 0.1 else "%.1g", padding=2, size=8)
    finding = f"{active.sum()} of {J} latent dimensions active; together {number(kl.sum())} nats"
    caption = f"Filled: active, A > {ACTIVE}. Hollow: inactive, the code hardly depends on x."
    explain(figure, finding, f"A: variance of posterior means over data (Burda et al. 2016). {caption}")
    values = ", ".join(f"z{u + 1} {number(kl[u])}" for u in order[:MOST_ROWS])
    unnamed = f", {J - MOST_ROWS} more with less" if J > MOST_ROWS else ""
    least = f"The least A = Var(mu) is {number(activity.min())}, the threshold {ACTIVE}"
    return figure, f"Bar chart of mean KL in nats by latent dimension: {values}{unnamed}. {finding}. {least}."


# Pictures


@styled
def reconstructions(
    vae: VAE, x: NDArray, rng: np.random.Generator, image_shape: Shape, labels: NDArray | None = None, n=10
) -> Drawn:
    """n data; for each a z ~ q(z|x), the mean of p(x|z), and a draw from p(x|z): the blur is the mean's.

    With labels the first datum of every class is shown, then the second, until there are n.
    """
    shape, n = shape_of(vae, image_shape), checks.whole_number("n", n, 1)
    x = vae.check_data(x)
    labels = labels_of(labels, len(x))
    z = reparameterize(*vae.encode(x), vae.draw_noise(checks.generator("rng", rng), len(x)))[0]     # (N, J)
    rows = {"data": x, "mean of p(x|z)": vae.decode(z), "draw from p(x|z)": vae.sample(rng, z)}
    variance = [number(np.var(images, axis=0, dtype=float).mean()) for images in rows.values()]
    chosen = np.arange(len(x))[:n] if labels is None else one_of_each(labels)[:n]
    images, columns = np.concatenate([images[chosen] for images in rows.values()]), len(chosen)
    figure = page(max(6.0, 0.72 * columns + 2.6), 3.4)
    axes = figure.subplots()
    show(axes, vae, images, shape, columns, ink=x, names=[*rows], notes=variance)
    at_right(axes, 3.3, "pixel\nvariance", GREY)
    axes.set_xticks(np.arange(columns) + 0.5, [""] * columns if labels is None else labels[chosen], size=10)
    axes.tick_params(labelbottom=False, labeltop=True, labelcolor=DARK)
    finding = "Blur is the mean of p(x|z); a draw from it has noise instead"
    caption = "the mean keeps what z explains, a draw adds the model's noise."
    explain(figure, finding, f"Both from the same z ~ q(z|x). Pixel variance over {len(x)} data: {caption}")
    return figure, (
        f"Grid of images, {columns} columns, three rows: data, mean of p(x|z), draw from p(x|z); z ~ q(z|x). "
        f"{finding}: the pixel variance is {variance[0]} for the data, {variance[1]} for the means and "
        f"{variance[2]} for the draws."
    )


@styled
def prior_samples(
    vae: VAE, rng: np.random.Generator, image_shape: Shape, n: int = 64, x: NDArray | None = None
) -> Drawn:
    """What the model makes up: for n draws z ~ N(0, I) the mean of p(x|z), and a draw from p(x|z).

    Given data x, their mean pixel is stated beside: where no code of the data is, nothing trains the decoder.
    """
    shape, n = shape_of(vae, image_shape), checks.whole_number("n", n, 1)
    z = checks.generator("rng", rng).standard_normal((n, vae.latent))
    pictures = {"mean of p(x|z)": vae.decode(z), "draw from p(x|z), same z": vae.sample(rng, z)}
    means, draws = pictures.values()
    figure = page(8.4, 5.0)
    for axes, (title, images) in zip(figure.subplots(1, 2), pictures.items()):
        show(axes, vae, images, shape, math.ceil(math.sqrt(n)), ink=means if x is None else x)
        axes.set_title(title)
    data = f", {number(vae.check_data(x).mean())} in the data" if x is not None else ""
    noise = number(np.sqrt(((draws - means) ** 2).mean()))                      # root mean square
    seen = f"Mean pixel {number(means.mean())} left, {number(draws.mean())} right{data}. "
    seen += f"Typical difference of a draw from its mean: {noise} a pixel."
    explain(figure, f"{n} draws z ~ N(0, I), decoded", seen)
    return figure, f"Two grids of {n} images decoded from z ~ N(0, I): {', and '.join(pictures)}. {seen}"


@styled
def traversals(vae: VAE, x: NDArray, image_shape: Shape, n: int = 11) -> Drawn:
    """For J > 2: a row for each latent dimension, walked over n quantiles of the prior, the others at 0.

    Sorted by KL; ten rows are drawn at most, and what is left out is said. An odd n has 0 in the middle.
    """
    latent_is(vae, "more than two latent dimensions", vae.latent > 2)
    shape, z = shape_of(vae, image_shape), prior_quantiles(n)
    kl = kl_standard_normal(*vae.encode(x)).mean(axis=0)    # (J,)
    order = np.argsort(-kl, kind="stable")
    rows, rest = order[:MOST_ROWS], order[MOST_ROWS:]
    codes = np.zeros((len(rows), n, vae.latent))
    codes[np.arange(len(rows)), :, rows] = z
    images, nats = vae.decode(codes.reshape(-1, vae.latent)), [f"{number(kl[u])} nats" for u in rows]
    figure = page(0.55 * n + 2.0, 0.55 * len(rows) + 1.6)
    axes = figure.subplots()
    show(axes, vae, images, shape, n, names=[f"$z_{{{u + 1}}}$" for u in rows], notes=nats)
    axes.tick_params(labelbottom=True)
    axes.set_xticks(np.arange(n) + 0.5, [minus(f"{value:.1f}") for value in z])
    axes.set_xlabel("value of the coordinate")
    finding = f"One latent dimension at a time: z{rows[0] + 1} carries {nats[0]}, z{rows[-1] + 1} {nats[-1]}"
    caption = "Each row walks one coordinate over quantiles of the prior, the others at 0. Sorted by mean KL."
    if len(rest):
        caption += f" Left out: {len(rest)} dimensions with less, {number(kl[rest].sum())} nats together."
    explain(figure, finding, caption)
    grid = f"Decoded images: {len(rows)} latent dimensions at {n} values from {z[0]:.2f} to {z[-1]:.2f}"
    return figure, f"{grid}. {finding}. {caption}"


# Latent space of two dimensions, and of one


def draw_map(axes: Axes, vae: VAE, x: NDArray, labels: NDArray | None = None) -> str:
    """Codes mu of x as glyphs of class, posteriors to 2 sigma, circles of the prior; says what is seen."""
    latent_is(vae, "two latent dimensions", vae.latent == 2)
    mu, log_var = vae.encode(x)
    labels, sigma = labels_of(labels, len(x)), np.exp(log_var / 2) * vae.noise  # no noise, no ellipses
    low = np.minimum(-3.2, (mu - 2 * sigma).min(axis=0))                        # (2,)
    high = np.maximum(3.2, (mu + 2 * sigma).max(axis=0))
    centre, reach = (low + high) / 2, 0.52 * (high - low).max()                 # a square that holds all
    (left, bottom), (right, top) = centre - reach, centre + reach
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    every = math.ceil(len(x) / MOST_CODES)
    draw_codes(axes, mu[::every], labels if labels is None else labels[::every])
    for i in np.argsort(mu[:, 0], kind="stable")[:: math.ceil(len(x) / 9)]:     # a few, from left to right
        axes.add_patch(Ellipse(mu[i], *(4 * sigma[i]), fill=False, ec=DARK, lw=1.1, zorder=6))
    held = [1 - math.exp(-r * r / 2) for r in RADII]        # prior mass within radius r
    inside = percent([(np.hypot(*mu.T) < r).mean() for r in RADII])
    glyphs, drawn = "Dots" if labels is None else "Glyphs", f" (1 in {every} drawn)" if every > 1 else ""
    seen = f"{glyphs}: posterior means of {len(x)} data{drawn}. "
    seen += "Ellipses: q(z|x) of a few, to 2 sigma. " if vae.noise else ""
    seen += f"Circles of radius 1, 2, 3 hold {percent(held)} of the prior, {inside} of these means."
    places = np.empty((0, 2))
    if labels is not None:
        right, places = draw_classes(axes, mu, labels, reach)
        seen += f" {100 * right:.0f} % are nearest to the median of their class."
    draw_prior(axes, held, places, named=reach < 7)
    return seen


def draw_prior(axes: Axes, held: list[float], places: NDArray, named: bool) -> None:
    """The circles of RADII and what they hold of the prior, named in an upper direction far from `places` (K, 2)."""
    turn = np.pi / 2 + np.pi / 12 * np.array([0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5])
    beam = np.stack([np.cos(turn), np.sin(turn)], axis=-1)  # (11, 2)
    names = np.multiply.outer(RADII, beam)                  # (3, 11, 2)
    room = np.linalg.norm(names[:, :, None] - places, axis=-1).min(axis=(0, 2), initial=np.inf)     # (11,)
    for r, mass, at in zip(RADII, held, names[:, room.argmax()]):
        axes.add_patch(Circle((0, 0), r, fill=False, **DASHED))
        if named:
            write(axes, *at, f"{100 * mass:.0f} %", size=8, color=GREY)


def draw_codes(axes: Axes, mu: NDArray, labels: NDArray | None) -> None:
    """mu (N, 2) as small glyphs in the colour of their class; as dots without labels."""
    if labels is None:
        axes.scatter(*mu.T, 8, color=BLUE, alpha=0.6, lw=0)
        return
    for label in np.unique(labels):
        axes.scatter(*mu[labels == label].T, 26, color=CLASSES[label % 10], marker=f"${label}$", lw=0.2)


def draw_classes(axes: Axes, mu: NDArray, labels: NDArray, reach: float) -> tuple[float, NDArray]:
    """A large glyph at the median of every class; returns what fraction of mu is nearest to its own, and where they are."""
    classes = np.unique(labels)
    medians = np.array([np.median(mu[labels == label], axis=0) for label in classes])   # (K, 2)
    places = spread(medians, reach / 8)
    for label, median, place in zip(classes, medians, places):
        axes.plot(*zip(median, place), color=CLASSES[label % 10], lw=0.8)      # from where it was pushed away
        write(axes, *place, label, size=17, weight="bold", color=CLASSES[label % 10])
    distance = np.linalg.norm(mu[:, None] - medians, axis=-1)                   # (N, K)
    return float((classes[distance.argmin(axis=1)] == labels).mean()), places


def draw_manifold(axes: Axes, vae: VAE, image_shape: Shape, n: int) -> str:
    """Decoded means over n x n quantiles of the prior, z_1 to the right, z_2 upward; says what is seen."""
    latent_is(vae, "two latent dimensions", vae.latent == 2)
    shape, z = shape_of(vae, image_shape), prior_quantiles(n)
    codes = np.stack(np.meshgrid(z, z[::-1]), axis=-1).reshape(-1, 2)           # highest z_2 in the top row
    images = vae.decode(codes)
    show(axes, vae, images, shape, n, gap=0)
    axes.hlines(range(1, n), 0, n, color="white", lw=1.2)   # drawn over the picture, which has no gaps
    axes.vlines(range(1, n), 0, n, color="white", lw=1.2)
    ticks = [-2, -1, -0.5, 0, 0.5, 1, 2]
    for axis, name in ((axes.xaxis, "$z_1$"), (axes.yaxis, "$z_2$")):
        axis.set_ticks([n * PRIOR.cdf(value) for value in ticks], [minus(f"{value:g}") for value in ticks])
        axis.set_label_text(f"{name}, even in prior mass")
    axes.tick_params(length=3, labelbottom=True)
    return (
        f"Each of the {n * n} tiles is 1/{n * n} of the prior, from {z[0]:.2f} to {z[-1]:.2f} both ways. "
        f"Over the tiles the standard deviation of a pixel is {number(images.std(axis=0).mean())}."
    )


ENCODER, DECODER = "Where the encoder puts the data", "What the decoder makes of every place"


@styled
def latent_map(vae: VAE, x: NDArray, labels: NDArray | None = None) -> Drawn:
    """For J = 2: where the encoder puts x, on the circles of the prior."""
    figure = page(6.2, 6.7)
    seen = draw_map(figure.subplots(), vae, x, labels)
    explain(figure, ENCODER, seen)
    return figure, f"Scatter plot of the latent space, z2 against z1, on equal axes. {seen}"


@styled
def manifold(vae: VAE, image_shape: Shape, n: int = 20) -> Drawn:
    """For J = 2: the decoded mean at every point of a grid that is even in prior mass."""
    figure = page(6.2, 6.7)
    seen = draw_manifold(figure.subplots(), vae, image_shape, n)
    explain(figure, DECODER, seen)
    return figure, f"Grid of {n} by {n} decoded images, z1 to the right, z2 upward. {seen}"


@styled
def hero(vae: VAE, x: NDArray, labels: NDArray | None, image_shape: Shape) -> Drawn:
    """For J = 2: the latent map and the manifold side by side, in the same orientation."""
    figure, n = page(10.4, 5.6), 16
    left, right = figure.subplots(1, 2)
    codes, tiles = draw_map(left, vae, x, labels), draw_manifold(right, vae, image_shape, n)
    edge = prior_quantiles(n)[-1]
    left.add_patch(Rectangle((-edge, -edge), 2 * edge, 2 * edge, fill=False, ec=BLUE, lw=1.2, zorder=3))
    write(left, 0, -edge, "tiles", size=9, color=BLUE)
    left.set_title(ENCODER, weight="bold")
    right.set_title(DECODER, weight="bold")
    explain(figure, "", codes)
    return figure, f"Left, scatter plot of the latent space. {codes} Right, a grid of decoded images. {tiles}"


@styled
def latent_line(
    vae: VAE, x: NDArray, labels: NDArray | None = None, image_shape: Shape | None = None, n: int = 20
) -> Drawn:
    """For J = 1: where the encoder puts x, a row for each class; if x are images, under n decoded means."""
    latent_is(vae, "one latent dimension", vae.latent == 1)
    z = vae.encode(x)[0][:, 0]                              # (N,)
    labels = labels_of(labels, len(z))
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
        colour = BLUE if labels is None else CLASSES[label % 10]
        rows.scatter(here, np.full(len(here), i), 90, color=colour, marker="|", lw=1, alpha=0.7)
    rows.vlines([-3, -2, -1, 1, 2, 3], -0.6, len(groups) - 0.4, **DASHED)
    rows.set_yticks(range(len(groups)), [*groups], size=10, color=DARK)
    rows.set(xlim=(low, high), ylim=(len(groups) - 0.4, -0.6), xlabel="$z_1$")
    rows.set_ylabel("class" if labels is not None else "")
    held = percent([PRIOR.cdf(r) - PRIOR.cdf(-r) for r in RADII])
    inside = percent([(abs(z) < r).mean() for r in RADII])
    seen = f"Within 1, 2, 3 of zero (dashed): {held} of the prior, {inside} of {len(z)} posterior means."
    explain(figure, f"{ENCODER}: one latent dimension", seen)
    above = "" if image_shape is None else f", below {n} images decoded from even steps"
    return figure, f"Posterior means by class along z1 from {low:.1f} to {high:.1f}{above}. {seen}"


def all_figures(
    vae: VAE, data: Dataset, history: Sequence, rng: np.random.Generator, log_px: float | None = None
) -> dict[str, Drawn]:
    """Every figure that suits this model and the held-out part of these data, by name."""
    x, labels, shape, J = data.test_x, data.test_y, data.image_shape, vae.latent
    drawn = {"loss_curves": loss_curves(history, log_px)} if len(history) else {}
    with_sigma = [record for record in history if record.sigma and record.train_mse]       # in older runs, not all have
    if with_sigma and vae.objective == "elbo":
        drawn["sigma_and_error"] = sigma_and_error(with_sigma, vae.features)
    if vae.noise:
        drawn["kl_per_dimension"] = kl_per_dimension(vae, x)
    if J == 1:
        drawn["latent_line"] = latent_line(vae, x, labels, shape)
    if J == 2:
        drawn["latent_map"] = latent_map(vae, x, labels)
    if shape is not None:
        if J == 2:
            drawn |= {"manifold": manifold(vae, shape), "hero": hero(vae, x, labels, shape)}
        if J > 2:
            drawn["traversals"] = traversals(vae, x, shape)
        drawn["reconstructions"] = reconstructions(vae, x, rng, shape, labels)
        drawn["prior_samples"] = prior_samples(vae, rng, shape, x=x)
    return drawn
