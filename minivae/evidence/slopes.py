"""log p(x|z) and its gradient in z: used to sample z (annealing), to fit a Gaussian (gaps) and to estimate gradients."""

import numpy as np
from numpy.typing import NDArray

from minivae.ops import mlp, mlp_backward
from minivae.vae import VAE


def log_px_z_and_slope(vae: VAE, x: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
    """Return log p(x|z) (L, N) and its gradient in z (L, N, J), for data x (N, D) and codes z (L, N, J)."""
    hs = mlp(z.reshape(-1, vae.latent), vae.layers("decoder"), vae.activation)
    out = hs[-1].reshape(*z.shape[:2], -1)                                                  # (L, N, D)
    log_px_z = vae.likelihood.log_prob(x, out, *vae.scale)                                    # (L, N)
    d_out, *_ = vae.likelihood.log_prob_backward(np.ones_like(log_px_z), x, out, *vae.scale)  # (L, N, D)
    d_z = mlp_backward(d_out.reshape(len(hs[-1]), -1), hs, vae.layers("decoder"), vae.activation)
    return log_px_z, d_z.reshape(z.shape)
