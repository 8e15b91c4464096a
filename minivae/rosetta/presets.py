"""Losses from public code and posts, each with its source. These are descriptions, not criticism.

A preset may leave out the number of features or of latent dimensions if its translation does not depend on this number.
"""

from typing import NamedTuple

from minivae.checks import choice
from minivae.rosetta import Convention


class Preset(NamedTuple):
    """A loss as someone has written it, its source, and a remark on the loss."""

    convention: Convention
    source: str
    remark: str


ANTIXK = {"reduce": "mean", "features": 3 * 64 * 64, "latent": 128}             # CelebA images: 3 colours, 64 x 64 pixels
PRESETS = {
    "antixk-train": Preset(
        Convention("mse", **ANTIXK, kl_weight=0.00025),
        "AntixK/PyTorch-VAE, models/vanilla_vae.py in training; issues #11, #23, #35, #40, #56, #95",
        "The issues ask about the weight 0.00025: it nearly cancels the mean over 12,288 features.",
    ),
    "antixk-validation": Preset(
        Convention("mse", **ANTIXK, kl_weight=1.0),
        "AntixK/PyTorch-VAE, experiment.py in validation",
        "This is not the training loss: the weight of the KL is 4,000 times larger than in training.",
    ),
    "pythae-mse": Preset(
        Convention("mse", recon_weight=0.5),
        'clementchadebec/benchmark_VAE (pythae), reconstruction_loss="mse"',
        "A sum with the factor 1/2: minus the ELBO of a decoder with sigma = 1.",
    ),
    "abhayran": Preset(
        Convention("mse"),
        "abhayran/VAE-numpy at 9efe3fb",
        "Without the factor 1/2, the decoder's variance is 1/2.",
    ),
    "hong": Preset(
        Convention("mse"),
        "Hong, Derivations, at beta = 1 (ledger entry hong.11)",
        "The text says that both terms are sums.",
    ),
    "yanndubs-gaussian": Preset(
        Convention("mse", recon_weight=255.0),
        'YannDubs/disentangling-vae, disvae/models/losses.py, rec_dist="gaussian"',
        "Pixels are scaled to 0..255, which gives a factor 255^2; the sum is divided by 255 once.",
    ),
    "keras-blog": Preset(
        Convention("bce", reduce="mean", kl_reduce="mean", features=784, latent=2),
        "an early Keras blog post, as quoted in keras-team/keras issue #6015",
        "Both terms are means: over 784 features and over 2 latent dimensions.",
    ),
    "keras-io": Preset(
        Convention("bce", kl_reduce="mean", latent=2),
        "keras-team/keras-io, examples/generative/vae.py at issue #270",
        "Only the KL is a mean, over 2 latent dimensions.",
    ),
    "pytorch-examples-old": Preset(
        Convention("bce", reduce="mean", kl_weight=1 / 784, features=784, latent=20),
        "pytorch/examples, vae/main.py, as quoted in issue #294",
        "Both terms are divided by the number of pixels: beta is still 1.",
    ),
    "minivae": Preset(
        Convention("bce"),
        "this package, with any of its likelihoods",
        "Sum over features and latent dimensions, mean over the batch.",
    ),
}


def preset(name: str) -> Preset:
    """Return the preset with this name. Raises ValueError if the name is unknown."""
    return PRESETS[choice("preset", name, PRESETS)]
