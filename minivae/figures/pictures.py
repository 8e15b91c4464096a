"""Figures of images from the decoder: each function returns a Figure and its alt text.

Shapes: x (N, D) data, labels (N,) whole numbers or None, image_shape (H, W) with H W = D. Values are in nats.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from minivae import checks
from minivae.data.dataset import pixels_of
from minivae.figures.arguments import Class, Names, classes_of, latent_is, shape_of
from minivae.figures.latent import prior_quantiles
from minivae.figures.style import DARK, GREY, Drawn, Shape, at_right, explain, minus, number, page, show, styled
from minivae.gaussian import kl_standard_normal, reparameterize
from minivae.vae import VAE

MOST_ROWS = 10                                              # largest number of latent dimensions in the traversals


def one_of_each(labels: NDArray) -> NDArray:
    """Return indices of data points: the first of each class, then the second of each class, and so on."""
    rank = np.zeros(len(labels), int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    return np.lexsort((labels, rank))


@styled
def reconstructions(
    vae: VAE, x: NDArray, rng: np.random.Generator, image_shape: Shape, labels: NDArray | None = None, n=10,
    classes: Names = None,
) -> Drawn:  # fmt: skip
    """Draw three rows of n images: data points x; the mean of p(x|z) for a z ~ q(z|x); a sample from p(x|z) for this z.

    The mean is blurred, the sample is not. With labels, the first data point of each class is shown, then the second of each
    class, until n data points are shown.
    """
    shape, n = shape_of(vae, image_shape), checks.whole_number("n", n, 1)
    x = vae.check_data(x)
    labels, every_class = classes_of(labels, len(x), classes)
    z = reparameterize(*vae.encode(x), vae.draw_noise(checks.generator("rng", rng), len(x)))[0]     # (N, J)
    rows = {"data": x, "mean of p(x|z)": vae.decode(z), "sample from p(x|z)": vae.sample(rng, z)}
    variance = [number(np.var(images, axis=0, dtype=float).mean()) for images in rows.values()]
    chosen = np.arange(len(x))[:n] if labels is None else one_of_each(labels)[:n]
    images, columns = np.concatenate([images[chosen] for images in rows.values()]), len(chosen)
    figure = page(max(6.0, 0.72 * columns + 2.6), 3.4)
    axes = figure.subplots()
    show(axes, vae, images, shape, columns, ink=x, names=[*rows], notes=variance)
    at_right(axes, 3.3, "pixel\nvariance", GREY)
    name_columns(axes, [None] * columns if labels is None else [every_class[label] for label in labels[chosen]])
    code = "the same z ~ q(z|x)" if vae.noise else "the same z = \u03bc(x)"
    caption = f"Both lower rows are decoded from {code}. A sample is the mean plus the noise of p(x|z). "
    caption += f"Pixel variance: over {len(x)} data points, averaged over pixels."
    explain(figure, "The mean of p(x|z) is blurred; a sample from p(x|z) is noisy instead", caption)
    return figure, (
        f"Images in {columns} columns and three rows: data, mean of p(x|z), sample from p(x|z). The pixel variance is "
        f"{variance[0]} for the data, {variance[1]} for the means and {variance[2]} for the samples."
    )


def name_columns(axes: Axes, classes: Sequence[Class | None]) -> None:
    """Write the name of a class above each column of images, in the colour of the class; None means no name."""
    names = [each.name if each else "" for each in classes]
    axes.tick_params(labelbottom=False, labeltop=True)
    slanted = {"rotation": 35, "ha": "left", "rotation_mode": "anchor"} if max(map(len, names)) > 4 else {}
    axes.set_xticks(np.arange(len(names)) + 0.5, names, size=10, **slanted)
    for text, each in zip(axes.get_xticklabels(), classes):
        text.set_color(each.colour if each else DARK)


@styled
def prior_samples(
    vae: VAE, rng: np.random.Generator, image_shape: Shape, n: int = 64, x: NDArray | None = None,
    pixels: Sequence[float] | None = None,
) -> Drawn:  # fmt: skip
    """Draw n new images: for each z ~ N(0, I), the mean of p(x|z) and a sample from p(x|z).

    `pixels` contains the smallest, the average and the largest pixel value of the data. If `pixels` or the data x are
    given, the caption contains the average pixel of the data, too. The average pixel of the new images may differ,
    because q(z), the distribution of the codes of the data, is not exactly N(0, I).
    """
    shape, n = shape_of(vae, image_shape), checks.whole_number("n", n, 1)
    z = checks.generator("rng", rng).standard_normal((n, vae.latent))
    pictures = {"mean of p(x|z)": vae.decode(z), "sample from p(x|z), same z": vae.sample(rng, z)}
    means, samples = pictures.values()
    pixels = pixels if x is None else pixels_of(vae.check_data(x))
    columns = math.ceil(math.sqrt(n))
    height = 3.9 * math.ceil(n / columns) * (shape[0] + 2) / (columns * (shape[1] + 2))     # panel height in inches
    figure = page(8.4, min(height, 8.0) + 0.95)
    for axes, (title, images) in zip(figure.subplots(1, 2), pictures.items()):
        show(axes, vae, images, shape, columns, ink=means if pixels is None else np.array(pixels))
        axes.set_title(title)
    data = f", {number(pixels[1])} in the data" if pixels is not None else ""
    noise = number(np.sqrt(((samples - means) ** 2).mean()))
    average = f"Average pixel: {number(means.mean())} left, {number(samples.mean())} right{data}."
    caption = f"{average} A sample differs from its mean by {noise} per pixel (root mean square)."
    explain(figure, f"{n} new images, decoded from z ~ N(0, I)", caption)
    return figure, f"Two grids of {n} images decoded from z ~ N(0, I): {' and '.join(pictures)}. {caption}"


@styled
def traversals(vae: VAE, x: NDArray, image_shape: Shape, n: int = 11) -> Drawn:
    """Draw a row of images for each latent dimension, at n quantiles of the prior; J must be above 2.

    All other dimensions are 0. The rows are sorted by KL. At most ten rows are drawn; the caption gives the number and KL of
    the dimensions without a row. If n is odd, the middle column is z = 0.
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
    at_right(axes, len(rows) + 0.15, "mean KL", GREY)
    axes.tick_params(labelbottom=True)
    axes.set_xticks(np.arange(n) + 0.5, [minus(f"{value:.1f}") for value in z])
    axes.set_xlabel("value of the changed coordinate")
    finding = f"One latent dimension at a time: the KL of z{rows[0] + 1} is {nats[0]}, of z{rows[-1] + 1} {nats[-1]}"
    left_out = f" Not shown: {len(rest)} dimensions, {number(kl[rest].sum())} nats in all." if len(rest) else ""
    caption = "Each row changes one coordinate of z, over quantiles of the prior; all others are 0. "
    explain(figure, finding, f"{caption}Rows are sorted by mean KL.{left_out}")
    grid = f"Decoded images: {len(rows)} latent dimensions at {n} values from {z[0]:.2f} to {z[-1]:.2f}"
    return figure, f"{grid}. {finding}.{left_out}"
