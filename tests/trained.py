"""A model trained on the bundled digits, once for all tests that want one."""

import functools

import numpy as np

from minivae import data
from minivae.likelihood import Binomial
from minivae.train import train
from minivae.vae import VAE


@functools.cache
def trained():
    """(vae, data, history): two latent dimensions, forty epochs, a second or less."""
    digits = data.digits()
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, 64, 2, (64,), likelihood=Binomial(16), data_mean=digits.train_x.mean(axis=0))
    return vae, digits, list(train(vae, digits, rng, epochs=40))
