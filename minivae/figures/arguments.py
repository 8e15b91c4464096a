"""Checks of the arguments that several figures share: the latent size, the image shape, the labels."""

import math

from numpy.typing import NDArray

from minivae import checks
from minivae.figures.style import Shape
from minivae.vae import VAE


def latent_is(vae: VAE, rule: str, allowed: bool) -> None:
    """Refuse a model whose number of latent dimensions does not suit the figure."""
    if not allowed:
        remedy = "Use latent_line for one, latent_map and manifold for two, traversals for more."
        checks.refuse("vae", f"a model with {rule}", str(vae.latent), remedy)


def shape_of(vae: VAE, image_shape: Shape) -> Shape:
    """Return (H, W); refuse a shape whose H W is not D."""
    side = next(n for n in range(math.isqrt(vae.features), 0, -1) if vae.features % n == 0)
    shape = checks.sizes("image_shape", image_shape, f"image_shape=({side}, {vae.features // side})")
    if len(shape) != 2 or math.prod(shape) != vae.features:
        rule = f"(height, width) with height * width = {vae.features}"
        checks.refuse("image_shape", rule, repr(image_shape), "It is the shape of one row of the data as an image.")
    return shape


def labels_of(labels: NDArray | None, rows: int) -> NDArray | None:
    """Return labels (rows,) as integers; names of classes become 0, 1, ... in alphabetical order."""
    return None if labels is None else checks.class_numbers("labels", labels, rows)[0].astype(int)
