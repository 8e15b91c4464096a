"""Exhibits of the bounds and of the exact log p(x)."""

from minivae.museum.exhibits import Bug
from minivae.museum.patched import Change

BUGS = (
    Bug(
        "weights-upside-down",
        "importance weights from the loss instead of minus the loss",
        "AntixK/PyTorch-VAE, models/iwae.py (f71e454); #34, PR #53",
        "The worst draw gets the largest weight. The result lies below the ELBO, where it should lie above.",
        (
            Change(
                "objective",
                "return log_sum_exp(log_w) - math.log(len(log_w))",
                "return (log_sum_exp_backward(np.ones_like(log_w[0]), -log_w) * log_w).sum(axis=0)",
            ),
            Change(
                "objective",
                "d_log_w = log_sum_exp_backward(d_bound, log_w)",
                "d_log_w = log_sum_exp_backward(d_bound, -log_w)",
            ),
        ),
        {"objective": "iwae", "estimator": "sampled", "samples": 5},
    ),
    Bug(
        "log-k-forgotten",
        "log K forgotten in the importance-weighted bound",
        "YosefLab/scVI-dev #8",
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
        "arahuja/generative-tf #1",
        "By Jensen's inequality that is the ELBO again: a thousand draws buy nothing.",
        (
            Change("evidence.bounds", "block.add(log_w)", "block.add(log_w.mean(axis=0) + 0 * log_w)"),
        ),
    ),
    Bug(
        "no-max-subtracted",
        "log sum exp without the largest entry taken out",
        "xqding/Importance_Weighted_Autoencoders #2, #3",
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
        "clementchadebec/benchmark_VAE, src/pythae/models/vae/vae_model.py (24939dc): get_nll",
        "The sign of the one number that models are compared by.",
        (
            Change("evidence.quadrature", "return log_px, error, mean, cov", "return -log_px, error, mean, cov"),
        ),
    ),
    Bug(
        "more-draws-than-asked",
        "the number of draws replaced by the size of a chunk",
        "clementchadebec/benchmark_VAE, src/pythae/models/vae/vae_model.py (24939dc): get_nll",
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
        "Project-MONAI/MONAI #8413",
        "Training never asks for it; whoever encodes data later gets codes that are off by one standard deviation.",
        (
            Change(
                "vae",
                "return self._heads(self._encode(self.check_data(x))[-1])",
                "mu, log_var = self._heads(self._encode(self.check_data(x))[-1])\n"
                "        return mu + np.exp(log_var / 2), log_var",
            ),
        ),
    ),
)
