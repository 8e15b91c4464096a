"""A variational autoencoder in NumPy, every gradient written by hand. Read it in this order:

    ops          affine, tanh, relu, softplus, sigmoid, and the multilayer perceptron they make
    gaussian     densities, the reparameterised draw, KL divergences, entropy
    likelihood   p(x|z): Bernoulli, Binomial, Gaussian
    params       named arrays on one flat vector
    vae          the model: forward in seven steps, backward in the same seven, reversed
    adam         the optimiser
    train        mini-batches and epochs
    evidence     how close the bound is to log p(x), and what is in between
    figures      every picture, with the pen of drawing; figures_learning: of training; figures_evidence: of the gap

Beside them: data (the bundled digits, and files) and strict (its readers), checkpoint and runs (what is kept), learn
and evaluate (the commands train and evaluate), progress, cli, command, checks; rosetta, conventions and
rosetta_command (what a loss with sums, means and weights really is); sweep and sweep_command (many short trainings:
rate, distortion, collapse). And a museum of real bugs.
"""

import importlib

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
    """Names are fetched when they are first asked for, so that `import minivae` costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'minivae' has no attribute {name!r}")
    return getattr(importlib.import_module(f"minivae.{_HOMES[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
