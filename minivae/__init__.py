"""A variational autoencoder in NumPy, every gradient written by hand. Read these files, in this order:

    one_page     the whole VAE on one page; start here
    ops          affine, tanh, relu, softplus, sigmoid, and the multilayer perceptron made of them
    gaussian     log-densities, the reparameterised draw, the KL to the prior
    likelihood   p(x|z): Bernoulli, Binomial, Gaussian
    objective    the KL term and the loss: ELBO (analytic, sampled, path) and importance-weighted bound
    vae          the model: forward in seven steps, backward in the same seven, reversed
    adam         the optimiser
    train        mini-batches and epochs
    params       named arrays on one flat vector
    checks       refuse bad input
    divergences  not needed by the model: the KL between any two Gaussians, entropy

You can use these folders without reading them:

    data         data sets from files and arrays
    runs         save a training run, and read it again
    evidence     log p(x), exactly and by bounds
    figures      figures of data, models and results
    museum       real bugs, and the checks that notice them
    rosetta      translate a loss with sums, means and weights into an ELBO with some beta
    doctor       measures your own loss
    explorer     a page for the browser
    exercises    write the gradients yourself
    app          the commands
"""

import importlib

from minivae import _moved

_moved.install()
__version__ = "0.1.0"

_HOMES = {
    "VAE": "vae",
    "Bernoulli": "likelihood",
    "Binomial": "likelihood",
    "Gaussian": "likelihood",
    "Params": "params",
    "Adam": "adam",
    "Dataset": "data",
    "digits": "data",
    "load": "data",
    "lower_bounds": "evidence",
    "exact_log_px": "evidence",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    """Import a name when it is first used, so that `import minivae` is fast."""
    if old := _moved.fetch("minivae", name):
        return old
    if name not in _HOMES:
        raise AttributeError(f"module 'minivae' has no attribute {name!r}")
    return getattr(importlib.import_module(f"minivae.{_HOMES[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
