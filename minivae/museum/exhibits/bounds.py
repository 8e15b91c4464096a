"""Exhibits of the bounds and of the exact log p(x)."""

from minivae.museum.exhibits import Bug
from minivae.museum.patched import Change

BUGS = (
    Bug(
        "weights-upside-down",
        "importance weights from the loss instead of minus the loss",
        "AntixK/PyTorch-VAE, models/iwae.py (f71e454); #34, PR #53",
        "The worst draw gets the largest weight. The result is below the ELBO instead of above it.",
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
        "log K missing in the importance-weighted bound",
        "YosefLab/scVI-dev #8",
        "The weights are summed, not averaged: the bound is log K nats too high, so it rises with K without limit.",
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
        "the mean of the logs instead of the log of the mean",
        "arahuja/generative-tf #1",
        "The mean of log w estimates the ELBO, so a thousand draws do not make the bound tighter.",
        (
            Change("evidence.bounds", "block.add(log_w)", "block.add(log_w.mean(axis=0) + 0 * log_w)"),
        ),
    ),
    Bug(
        "no-max-subtracted",
        "log-sum-exp computed without subtracting the largest entry",
        "xqding/Importance_Weighted_Autoencoders #2, #3",
        "exp(-1000) is 0 in floating point, so the result is -inf. Real images can have log-likelihoods below -1000.",
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
        "the mean of log p(x) reported as -log p(x)",
        "clementchadebec/benchmark_VAE, src/pythae/models/vae/vae_model.py (24939dc): get_nll",
        "The sign is wrong: a better model gets a worse number, and models are compared by this number.",
        (
            Change("evidence.quadrature", "return log_px, error, mean, cov", "return -log_px, error, mean, cov"),
        ),
    ),
    Bug(
        "more-draws-than-asked",
        "all draws of a chunk used, not only the requested number",
        "clementchadebec/benchmark_VAE, src/pythae/models/vae/vae_model.py (24939dc): get_nll",
        "A call for 2 draws uses thousands, so its result cannot be compared with other bounds from 2 draws.",
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
        "Training does not call encode, so training is right. Codes computed later are wrong by one standard deviation.",
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
