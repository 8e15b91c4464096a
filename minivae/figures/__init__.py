"""Figures: each function returns a matplotlib Figure and its alt text; `style.save` writes both into a PNG.

    latent       the latent space: map, manifold, line, KL of each dimension
    pictures     images from the decoder: reconstructions, samples, traversals
    samples      a sheet of the data, before training
    training     loss curves, sigma, rate and distortion
    evidence     the bounds, the gap, posteriors
    run          `all_figures`: the figures of a trained model and its history

    style        colours, page, tiles, labels, numbers as text
    arguments    checks of latent size, image shape and labels
"""

from minivae.figures.latent import hero, kl_per_dimension, latent_line, latent_map, manifold
from minivae.figures.pictures import prior_samples, reconstructions, traversals
from minivae.figures.run import all_figures
from minivae.figures.samples import sample_sheet

__all__ = [
    "all_figures", "hero", "kl_per_dimension", "latent_line", "latent_map", "manifold", "prior_samples", "reconstructions",
    "sample_sheet", "traversals",
]  # fmt: skip
