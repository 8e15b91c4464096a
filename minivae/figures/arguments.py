"""Checks of the arguments that several figures share: the latent size, the image shape, the labels."""

import math

import numpy as np
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
    shape = checks.sizes("image_shape", image_shape)
    if len(shape) != 2 or math.prod(shape) != vae.features:
        rule = f"(height, width) with height * width = {vae.features}"
        checks.refuse("image_shape", rule, repr(image_shape), "It is the shape of one row of the data as an image.")
    return shape


def labels_of(labels: NDArray | None, rows: int) -> NDArray | None:
    """Return labels (rows,) as integers; refuse fractions, or more or fewer labels than rows."""
    if labels is None:
        return None
    labels = checks.real_array("labels", labels, (rows,))
    if (labels != np.rint(labels)).any():
        checks.refuse("labels", "whole numbers", "fractions", "Number the classes 0, 1, 2, ...")
    return labels.astype(int)
