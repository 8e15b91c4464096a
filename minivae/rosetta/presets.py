"""Losses as public code and posts write them, each with its source. These are descriptions, not criticism.

A convention leaves out D or J if its translation does not depend on it.
"""

from typing import NamedTuple

from minivae.checks import choice
from minivae.rosetta import Convention


class Preset(NamedTuple):
    """A convention, its source, and remarks."""

    convention: Convention
    source: str
    remark: str


ANTIXK = {"reduce": "mean", "features": 3 * 64 * 64, "latent": 128}             # CelebA at 64x64, in colour
PRESETS = {
    "antixk-train": Preset(
        Convention("mse", **ANTIXK, kl_weight=0.00025),
        "AntixK/PyTorch-VAE, models/vanilla_vae.py in training; issues #11, #23, #35, #40, #56, #95",
        "The weight 0.00025 that the issues ask about nearly undoes the mean over 12,288 features.",
    ),
    "antixk-validation": Preset(
        Convention("mse", **ANTIXK, kl_weight=1.0),
        "AntixK/PyTorch-VAE, experiment.py in validation",
        "Not what is trained on: the KL weighs 4,000 times as much.",
    ),
    "pythae-mse": Preset(
        Convention("mse", recon_weight=0.5),
        'clementchadebec/benchmark_VAE (pythae), reconstruction_loss="mse"',
        "Sum, with the 1/2: the ELBO of a decoder with sigma = 1.",
    ),
    "abhayran": Preset(
        Convention("mse"),
        "abhayran/VAE-numpy at 9efe3fb",
        "Without the 1/2 the decoder's variance is 1/2.",
    ),
    "hong": Preset(
        Convention("mse"),
        "Hong, Derivations, at beta = 1 (ledger row hong.11)",
        "Sums over features and latents, said in so many words.",
    ),
    "yanndubs-gaussian": Preset(
        Convention("mse", recon_weight=255.0),
        'YannDubs/disentangling-vae, disvae/models/losses.py, rec_dist="gaussian"',
        "Pixels on a scale of 255, the sum divided by 255 once.",
    ),
    "keras-blog": Preset(
        Convention("bce", reduce="mean", kl_reduce="mean", features=784, latent=2),
        "an early Keras blog post, as quoted in keras-team/keras issue #6015",
        "Two means, over different numbers of things.",
    ),
    "keras-io": Preset(
        Convention("bce", kl_reduce="mean", latent=2),
        "keras-team/keras-io, examples/generative/vae.py at issue #270",
        "Only the KL is a mean.",
    ),
    "pytorch-examples-old": Preset(
        Convention("bce", reduce="mean", kl_weight=1 / 784, features=784, latent=20),
        "pytorch/examples, vae/main.py, as quoted in issue #294",
        "Both divided by the number of pixels: only the size of the steps changes.",
    ),
    "minivae": Preset(
        Convention("bce"),
        "this package, with any of its likelihoods",
        "Sum over features and latents, mean over the batch.",
    ),
}


def preset(name: str) -> Preset:
    """Return the preset with this name. Raises ValueError if the name is unknown."""
    return PRESETS[choice("preset", name, PRESETS)]
