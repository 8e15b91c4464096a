"""All figures of a run; its model, data and history determine which figures there are."""

from collections.abc import Sequence

import numpy as np

from minivae.data import Dataset
from minivae.figures.arguments import class_names
from minivae.figures.latent import hero, kl_per_dimension, latent_line, latent_map, manifold
from minivae.figures.pictures import prior_samples, reconstructions, traversals
from minivae.figures.style import Drawn
from minivae.figures.training import loss_curves, sigma_and_error
from minivae.vae import VAE


def all_figures(
    vae: VAE, data: Dataset, history: Sequence, rng: np.random.Generator, log_px: float | None = None,
    elbo: float | None = None,
) -> dict[str, Drawn]:  # fmt: skip
    """Return {name: (figure, alt text)} for the figures of a training, of its model and of the held-out data.

    `log_px` and `elbo` are averages over the held-out data, measured after training. A value that is `None` is not drawn.
    """
    return training_figures(vae, history, log_px, elbo, len(data.test_x)) | model_figures(vae, data, rng)


def training_figures(
    vae: VAE, history: Sequence, log_px: float | None = None, elbo: float | None = None, rows: int | None = None
) -> dict[str, Drawn]:
    """Return {name: (figure, alt text)} for the figures of a training.

    `log_px` and `elbo` are averages over `rows` held-out data points.
    """
    drawn = {"loss_curves": loss_curves(history, log_px, elbo, rows)} if len(history) else {}
    # Without a learned or optimal sigma, `sigma` and `train_mse` of every record are `None`.
    with_sigma = [record for record in history if record.sigma and record.train_mse]
    if with_sigma and vae.objective == "elbo":
        drawn["sigma_and_error"] = sigma_and_error(with_sigma, vae.features)
    return drawn


def model_figures(vae: VAE, data: Dataset, rng: np.random.Generator) -> dict[str, Drawn]:
    """Return {name: (figure, alt text)} for the figures of a model and the held-out data."""
    x, labels, shape, J = data.test_x, data.test_y, data.image_shape, vae.latent
    names, drawn = class_names(data), {}
    if vae.noise:
        drawn["kl_per_dimension"] = kl_per_dimension(vae, x)
    if J == 1:
        drawn["latent_line"] = latent_line(vae, x, labels, shape, classes=names)
    if J == 2:
        drawn["latent_map"] = latent_map(vae, x, labels, names)
    if shape is not None:
        if J == 2:
            drawn |= {"manifold": manifold(vae, shape), "hero": hero(vae, x, labels, shape, names)}
        if J > 2:
            drawn["traversals"] = traversals(vae, x, shape)
        drawn["reconstructions"] = reconstructions(vae, x, rng, shape, labels, classes=names)
        drawn["prior_samples"] = prior_samples(vae, rng, shape, x=x)
    return drawn
