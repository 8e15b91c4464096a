"""Exhibits of the data: what is held out, and labels."""

from minivae.museum.exhibits import Bug
from minivae.museum.patched import Change

SPLIT = "return x[~held], x[held], None if y is None else y[~held], None if y is None else y[held]"

BUGS = (
    Bug(
        "held-out-is-training",
        "the held-out rows are rows that were learned from",
        "orybkin/sigma-vae-pytorch, train_vae.py (8873c56): SVHN(split='train') as test set",
        "Overfitting becomes invisible.",
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
        "training on everything, the held-out rows included",
        "keras-team/keras-io, examples/generative/vae.py (cca4efb)",
        "The held-out ELBO is one of rows that were learned from.",
        (Change("data.dataset", SPLIT, "return x, x[held], y, None if y is None else y[held]"),),
    ),
    Bug(
        "labels-of-labels",
        "labels[labels[...]]",
        "abhayran/VAE-numpy, data.py (9efe3fb)",
        "Nothing is learned from labels, so only the colours of the latent map are wrong. Its gradients are all right.",
        (
            Change(
                "data.dataset",
                SPLIT,
                "return x[~held], x[held], None if y is None else y[y[~held]], None if y is None else y[y[held]]",
            ),
        ),
    ),
)
