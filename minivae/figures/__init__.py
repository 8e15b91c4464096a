"""Figures: each function returns a matplotlib Figure and its alt text; `style.save` writes both into a PNG.

    style        colours, page, tiles, labels, numbers as text
    latent       the latent space, the decoder's pictures; `all_figures` has what suits a run
    training     loss curves, sigma, rate and distortion
    evidence     the bounds, the gap, posteriors
"""

from minivae.figures.latent import (
    all_figures,
    hero,
    kl_per_dimension,
    latent_line,
    latent_map,
    manifold,
    prior_samples,
    reconstructions,
    traversals,
)

__all__ = [
    "all_figures", "hero", "kl_per_dimension", "latent_line", "latent_map", "manifold", "prior_samples", "reconstructions",
    "traversals",
]  # fmt: skip
