"""Exhibits of the training loop: Adam, mini-batches, what is logged, resuming."""

from minivae.museum.exhibits import COMMON, Bug
from minivae.museum.patched import Change

STEP = "self.optimiser.step(self.gradient)"

BUGS = (
    Bug(
        "adam-counts-epochs",
        "Adam's bias correction counted in epochs",
        "y0ast/Variational-Autoencoder, VAE.py (b3c71bf)",
        "All steps of an epoch are corrected alike, as if the first epoch had one step: they are of the wrong size.",
        (Change("train", STEP, "self.optimiser.t = self.epoch - 1\n        self.optimiser.step(self.gradient)"),),
    ),
    Bug(
        "momentum-forgotten",
        "Adam forgets its momentum",
        "danielkurniadi/Numpy-VAE (29e08eb), the decoder's Adam",
        "m is the newest gradient alone: it learns, only slower.",
        (Change("adam", "m *= self.b1", "m *= 0"),),
    ),
    Bug(
        "kl-logged-negative",
        "-KL logged as KL",
        "AntixK/PyTorch-VAE #68",
        "The log shows a divergence below 0, and with it an ELBO that is too high.",
        (Change("train", "self.kl += float(f.kl.mean()) * len(rows)", "self.kl -= float(f.kl.mean()) * len(rows)"),),
    ),
    Bug(
        "small-last-batch",
        "a small last mini-batch that counts as much as the others",
        COMMON,
        "With a mean over the batch, the rows of a last batch of one weigh as much as 128 others together.",
        (
            Change(
                "train",
                "return np.array_split(order, math.ceil(len(order) / batch))",
                "return [order[start : start + batch] for start in range(0, len(order), batch)]",
            ),
        ),
    ),
    Bug(
        "random-state-not-restored",
        "the state of the generator not restored on resume",
        "tensorflow/probability #1286",
        "The run goes on with other noise and another order: nothing that was interrupted can be repeated.",
        (Change("train", 'self.rng.bit_generator.state = numbers["rng"]', 'numbers["rng"]'),),
    ),
)
