"""Exhibits with a bug in the data: in the choice of the training or held-out rows, or in the labels."""

from minivae.museum.exhibits import Bug
from minivae.museum.patched import Change

SPLIT = "return x[~held], x[held], None if y is None else y[~held], None if y is None else y[held]"

BUGS = (
    Bug(
        "held-out-is-training",
        "the held-out rows are training rows",
        "orybkin/sigma-vae-pytorch, train_vae.py (8873c56): SVHN(split='train') as test set",
        "The held-out ELBO is measured on rows that were used for training, so it does not show overfitting.",
        (
            Change(
                "data.dataset",
                SPLIT,
                "test = np.flatnonzero(~held)[: held.sum()]\n"
                "    return x[~held], x[test], None if y is None else y[~held], None if y is None else y[test]",
            ),
        ),
    ),
    Bug(
        "trained-on-all",
        "training on all rows, the held-out rows included",
        "keras-team/keras-io, examples/generative/vae.py (cca4efb)",
        "The held-out rows were used for training, so their ELBO does not show overfitting.",
        (Change("data.dataset", SPLIT, "return x, x[held], y, None if y is None else y[held]"),),
    ),
    Bug(
        "labels-of-labels",
        "labels indexed by labels: labels[labels[...]]",
        "abhayran/VAE-numpy, data.py (9efe3fb)",
        "Training does not use labels, so only the colours of the latent map are wrong. All gradients are right.",
        (
            Change(
                "data.dataset",
                SPLIT,
                "return x[~held], x[held], None if y is None else y[y[~held]], None if y is None else y[y[held]]",
            ),
        ),
    ),
)
