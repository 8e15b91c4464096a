"""A model trained on the bundled digits, once for all tests that want one; and trainings that end quickly."""

import dataclasses
import functools

import numpy as np

from minivae import data
from minivae.app import train as app_train
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


def end_quickly(patch):
    """Let the commands that train measure on forty held-out rows and draw nothing: most of their time goes there."""
    measure = app_train.measure

    def measure_forty(vae, data, *rest):
        few = {name: rows[:40] for name in ("test_x", "test_y") if (rows := getattr(data, name)) is not None}
        return measure(vae, dataclasses.replace(data, **few), *rest)

    patch.setattr(app_train, "measure", measure_forty)
    patch.setattr(app_train, "draw", lambda *_: [])
