"""Exhibits that lie beside the model: its bounds, its training loop, its data."""

from minivae.museum.copies import Change
from minivae.museum.exhibits import Bug

STEP = "self.optimiser.step(self.gradient)"
SPLIT = "return x[~held], x[held], None if y is None else y[~held], None if y is None else y[held]"

BOUNDS = (
    Bug(
        "weights-upside-down",
        "importance weights from the loss instead of minus the loss",
        "AntixK/PyTorch-VAE, models/iwae.py and miwae.py; #34, PR #53",
        "The worst draw gets the largest weight. The result lies below the ELBO, where it should lie above.",
        (
            Change(
                "vae",
                "bound = log_sum_exp(log_w) - np.log(len(log_w)).astype(log_w.dtype)",
                "bound = (log_sum_exp_backward(np.ones(log_w.shape[1], log_w.dtype), -log_w) * log_w).sum(axis=0)",
            ),
            Change(
                "vae",
                "return log_sum_exp_backward(np.ones(f.kl.shape[1], self.dtype), f.log_px_z - f.kl)",
                "return log_sum_exp_backward(np.ones(f.kl.shape[1], self.dtype), f.kl - f.log_px_z)",
            ),
        ),
        {"objective": "iwae", "estimator": "sampled", "samples": 5},
    ),
    Bug(
        "log-k-forgotten",
        "log K forgotten in the importance-weighted bound",
        "scVI-dev #8",
        "The sum of the weights instead of their mean: log K nats too much, so that more draws look better without end.",
        (
            Change(
                "evidence.bounds",
                "self.whole.add(sums[: len(ends)] - np.log(self.k))",
                "self.whole.add(sums[: len(ends)])",
            ),
        ),
    ),
    Bug(
        "mean-of-logs",
        "the mean of the logs for the log of the mean",
        "generative-tf #1",
        "By Jensen's inequality that is the ELBO again: a thousand draws buy nothing.",
        (
            Change("evidence.bounds", "block.add(log_w)", "block.add(log_w.mean(axis=0) + 0 * log_w)"),
        ),
    ),
    Bug(
        "no-max-subtracted",
        "log sum exp without the largest entry taken out",
        "IWAE #2 and #3",
        "exp of -1000 is 0 and its logarithm -inf: log-likelihoods of real images are that small.",
        (
            Change(
                "ops",
                "top = a.max(axis=axis, keepdims=True)\n",
                "top = np.zeros_like(a.max(axis=axis, keepdims=True))\n",
            ),
        ),
        {"objective": "iwae", "estimator": "sampled", "samples": 5},
    ),
    Bug(
        "nll-of-the-wrong-sign",
        "the mean of log p(x) under the name of its negative",
        "pythae, get_nll in eight models; 18 lines of its tests expect a negative number",
        "The sign of the one number that models are compared by.",
        (
            Change("evidence.quadrature", "return log_px, error, mean, cov", "return -log_px, error, mean, cov"),
        ),
    ),
    Bug(
        "more-draws-than-asked",
        "the number of draws replaced by the size of a chunk",
        "pythae, get_nll: n_samples below batch_size",
        "Whoever asks for 2 draws is given thousands, and compares bounds of different tightness.",
        (
            Change(
                "evidence.bounds",
                "counts = checked_counts(k)",
                "counts = [max(count, 4000) for count in checked_counts(k)]",
            ),
        ),
    ),
    Bug(
        "mu-plus-sigma",
        "encode returns mu + sigma",
        "MONAI #8413",
        "Training never asks for it; whoever encodes data later gets codes that are off by one standard deviation.",
        (
            Change(
                "vae",
                "        return mu, log_var\n\n    def decode",
                "        return mu + np.exp(log_var / 2), log_var\n\n    def decode",
            ),
        ),
    ),
)

LOOP = (
    Bug(
        "adam-counts-epochs",
        "Adam's bias correction counted in epochs",
        "y0ast, VAE.py",
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
        "named in public threads on VAE code",
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
        "named in public threads on VAE code",
        "The run goes on with other noise and another order: nothing that was interrupted can be repeated.",
        (Change("train", 'self.rng.bit_generator.state = numbers["rng"]', 'numbers["rng"]'),),
    ),
)

DATA = (
    Bug(
        "held-out-is-training",
        "the held-out rows are rows that were learned from",
        "orybkin, train_vae.py (sigma-VAE): SVHN(split='train') as test set",
        "Overfitting becomes invisible.",
        (
            Change(
                "data",
                SPLIT,
                "test = np.flatnonzero(~held)[: held.sum()]\n"
                "    return x[~held], x[test], None if y is None else y[~held], None if y is None else y[test]",
            ),
        ),
    ),
    Bug(
        "trained-on-all",
        "training on everything, the held-out rows included",
        "keras-io, the VAE example: train and test are concatenated",
        "The held-out ELBO is one of rows that were learned from.",
        (Change("data", SPLIT, "return x, x[held], y, None if y is None else y[held]"),),
    ),
    Bug(
        "labels-of-labels",
        "labels[labels[...]]",
        "abhayran/VAE-numpy (9efe3fb), the loader",
        "Nothing is learned from labels, so only the colours of the latent map are wrong. Its gradients are all right.",
        (
            Change(
                "data",
                SPLIT,
                "return x[~held], x[held], None if y is None else y[y[~held]], None if y is None else y[y[held]]",
            ),
        ),
    ),
)

BUGS = (*BOUNDS, *LOOP, *DATA)
