"""VAE from scratch, no vectorisation (for the lecture)."""
import math
import numpy as np


def kl(mu, log_var):
    batch, latent = mu.shape
    out = np.zeros(batch)
    for b in range(batch):
        for j in range(latent):
            m = float(mu[b, j])
            s = float(log_var[b, j])
            out[b] += 0.5 * (m * m + math.exp(s) - 1.0 - s)
    return out


def log_px_given_z(x, output):
    batch, dim = x.shape
    out = np.zeros(batch)
    for b in range(batch):
        for d in range(dim):
            p = min(max(float(output[b, d]), 1e-7), 1 - 1e-7)
            t = float(x[b, d])
            out[b] += t * math.log(p) + (1 - t) * math.log(1 - p)
    return out


def loss(x, output, mu, log_var):
    total = 0.0
    for k, l in zip(kl(mu, log_var), log_px_given_z(x, output)):
        total += k - l
    return total / len(x)


def sample(mu, log_var, eps):
    z = np.empty_like(mu)
    for idx in np.ndindex(*mu.shape):
        z[idx] = mu[idx] + math.sqrt(math.exp(log_var[idx])) * eps[idx]
    return z
