"""Exhibits of the training loop: Adam, mini-batches, the log, resuming."""

from minivae.museum.exhibits import COMMON, Bug
from minivae.museum.patched import Change

STEP = "self.optimiser.step(self.gradient)"

BUGS = (
    Bug(
        "adam-counts-epochs",
        "Adam's bias correction counted in epochs",
        "y0ast/Variational-Autoencoder, VAE.py (b3c71bf)",
        "t is the number of the epoch instead of the step, so all steps of an epoch have the same, wrong correction.",
        (Change("train", STEP, "self.optimiser.t = self.epoch - 1\n        self.optimiser.step(self.gradient)"),),
    ),
    Bug(
        "momentum-forgotten",
        "Adam without momentum",
        "danielkurniadi/Numpy-VAE (29e08eb), the decoder's Adam",
        "m does not contain earlier gradients. Training still works, but more slowly.",
        (Change("adam", "m *= self.b1", "m *= 0"),),
    ),
    Bug(
        "kl-logged-negative",
        "-KL logged as KL",
        "AntixK/PyTorch-VAE #68",
        "The log shows a KL below 0, and an ELBO that is too high by twice the KL.",
        (Change("train", "self.kl += float(f.kl.mean()) * len(rows)", "self.kl -= float(f.kl.mean()) * len(rows)"),),
    ),
    Bug(
        "small-last-batch",
        "a small last mini-batch that counts as much as the others",
        COMMON,
        "The loss is a mean over the batch: if the last batch has one row, this row has the weight of a batch of 128.",
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
        "the random state not restored on resume",
        "tensorflow/probability #1286",
        "A resumed run draws other noise and another order of the rows, so it ends differently from an uninterrupted run.",
        (Change("train", 'self.rng.bit_generator.state = numbers["rng"]', 'numbers["rng"]'),),
    ),
)
