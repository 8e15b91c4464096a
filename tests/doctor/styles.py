"""Right implementations in other styles than those of fresh.py. The doctor must not call any of them wrong."""

import numpy as np

from tests.doctor.fresh import bce, kl_rows, lme, sigmoid, stable, tied_gradient


def normalised(m, axis):
    return (m - m.mean(axis, keepdims=True)) / m.std(axis, keepdims=True)


def kl_of_normalised(gamma, axis=0, tiny=0.0):
    """Return a function that normalises mu and then computes the KL.

    Over the given axis, by default the batch, the normalised mu has mean 0 and, if `tiny` is 0, mean square gamma^2.
    """
    def kl(mu, log_var):
        centred = mu - mu.mean(axis, keepdims=True)
        return kl_rows(gamma * centred / np.sqrt((centred**2).mean(axis, keepdims=True) + tiny), log_var)

    return kl


def masked(x, output, mu, log_var):
    inside = np.zeros(x.shape[1])
    inside[1:-1] = 1
    return ((bce(x, output) * inside).sum(1) + kl_rows(mu, log_var)).mean()


def kl_softplus(mu, rho):
    sigma = np.log(1 + np.exp(rho))
    return (-np.log(sigma) + (sigma**2 + mu**2) / 2 - 1 / 2).sum()


def kl_of_std(mu, std):
    return np.sum(0.5 * (mu**2 + std**2 - 1) - np.log(std), axis=-1)


def loss_with_helper(x, output, mu, log_var):
    return (((x - output) ** 2).sum(1) + kl_of_std(mu, np.exp(0.5 * log_var))).mean()


def sample_std(mu, std, eps):
    return mu + std * eps


def kl_log_var(mu, log_var):
    return kl_rows(mu, log_var)


def free_bits(level):
    def loss(x, o, m, v):
        return (bce(x, o).sum(1) + np.maximum(0.5 * (m**2 + np.exp(v) - 1 - v), level).sum(1)).mean()

    return loss


def rows(x, output, mu, log_var):
    return ((x - output) ** 2).sum(1) + kl_rows(mu, log_var)


def relu_model():
    """Return a VAE with ReLU layers, where finite differences may cross a kink."""
    rng = np.random.default_rng(4)
    params = {"W": rng.normal(size=(6, 24)), "U": rng.normal(size=(24, 4)) * 0.3, "V": rng.normal(size=(2, 24)),
              "T": rng.normal(size=(24, 6)) * 0.3}

    def loss_and_gradient(p, x, eps):
        B = len(x)
        a = x @ p["W"]
        h = np.maximum(a, 0)
        out = h @ p["U"]
        mu, lv = out[:, :2], out[:, 2:]
        z = mu + np.exp(lv / 2) * eps
        b = z @ p["V"]
        g = np.maximum(b, 0)
        o = g @ p["T"]
        loss = (stable(x, o).sum() + kl_rows(mu, lv).sum()) / B
        d_o = (sigmoid(o) - x) / B
        d_b = d_o @ p["T"].T * (b > 0)
        d_z = d_b @ p["V"].T
        d_out = np.hstack([d_z + mu / B, d_z * eps * np.exp(lv / 2) / 2 + (np.exp(lv) - 1) / 2 / B])
        d_a = d_out @ p["U"].T * (a > 0)
        return loss, {"W": x.T @ d_a, "U": h.T @ d_out, "V": z.T @ d_b, "T": g.T @ d_o}

    return {"loss_and_gradient": loss_and_gradient, "params": params, "features": 6, "latent": 2}


def shifted(mu, raw):
    """Return the KL for log_var = raw - 2."""
    return kl_rows(mu, raw - 2)


def several_draws(mu, log_var):
    return mu + np.exp(log_var / 2) * np.random.randn(4, *mu.shape)


def one_data_point(log_w):
    top = log_w.max()
    return top + np.log(np.exp(log_w - top).mean())


def learned_prior(mu, log_var):
    j = np.arange(mu.shape[1])
    mean, var = 0.1 * j, 1 + 0.2 * j
    return 0.5 * (np.log(var) - log_var + (np.exp(log_var) + (mu - mean) ** 2) / var - 1).sum(1)


def sampled_kl(mu, log_var):
    """Mean of log q - log p over four fixed draws."""
    eps = np.random.default_rng(0).normal(size=(4, *mu.shape))
    z = mu + np.exp(log_var / 2) * eps
    return (0.5 * (z**2 - eps**2 - log_var)).mean(0).sum(1)


def laplace_kl(mu, log_b):
    """KL(Laplace(mu, b) || Laplace(0, 1))."""
    b = np.exp(log_b)
    return (np.abs(mu) + b * np.exp(-np.abs(mu) / b) - 1 - log_b).sum(1)


def sample_laplace(mu, log_b):
    u = np.random.uniform(-0.5, 0.5, mu.shape)
    return mu - np.exp(log_b) * np.sign(u) * np.log(1 - 2 * np.abs(u))


def student(x, output, mu, log_var):
    return (2 * np.log1p((x - output) ** 2 / 3)).sum(1).mean() + kl_rows(mu, log_var).mean()


def mmd(x, output, mu, log_var):
    d = ((mu[:, None] - mu[None]) ** 2).sum(-1)
    return ((x - output) ** 2).sum(1).mean() + np.exp(-d / 2).mean()


def scaled_std(mu, s):
    """Return the KL for sigma = 0.1 softplus(s)."""
    sigma = 0.1 * np.logaddexp(0, s)
    return (0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)).sum(1)


STYLES = {
    "normalised-mean": {"kl": kl_of_normalised(0.5)},
    "normalised-mean-gamma-1": {"kl": lambda m, v: kl_of_normalised(1.0)(m, v).mean()},
    "normalised-mean-tiny": {"kl": kl_of_normalised(0.5, tiny=1e-5), "sample": lambda m, v,
                             eps: normalised(m, 0) * 0.5 + np.exp(v / 2) * eps},
    "normalised-mean-loss": {"loss": lambda x, o, m, v: ((x - o) ** 2).sum(1).mean() + kl_of_normalised(0.7)(m, v).mean(),
                             "sample": lambda m, v, eps: normalised(m, 0) * 0.7 + np.exp(v / 2) * eps},
    "unit-row-mean": {"kl": lambda m, v: kl_rows(m / np.linalg.norm(m, axis=1, keepdims=True), v),
                      "sample": lambda m, v: m / np.linalg.norm(m, axis=1,
                                                                keepdims=True) + np.exp(v / 2) * np.random.randn(*m.shape)},
    "masked-features": {"loss": masked},
    "naive-softplus-sigma": {"kl": kl_softplus, "sample": lambda m, r, eps: m + np.log(1 + np.exp(r)) * eps},
    "naive-softplus-logits": {"loss": lambda x, o, m, v: ((np.log(1 + np.exp(o)) - x * o).sum(1) + kl_rows(m, v)).mean()},
    "kl-takes-std": {"loss": loss_with_helper, "kl": kl_of_std},
    "sampler-takes-std": {"kl": kl_log_var, "sample": sample_std},
    "free-bits-2": {"loss": free_bits(2.0)},
    "free-bits-8": {"loss": free_bits(8.0)},
    "gradient-of-the-rows-sum": {"loss": rows, "gradient": lambda *a: [len(a[0]) * g for g in tied_gradient(*a)]},
    "gradient-of-the-rows-mean": {"loss": rows, "gradient": tied_gradient},
    "elbo-with-descent-gradient": {"loss": lambda *a: -rows(*a).mean(), "gradient": tied_gradient},
    "elbo-with-ascent-gradient": {"loss": lambda *a: -rows(*a).mean(),
                                  "gradient": lambda *a: [-g for g in tied_gradient(*a)]},
    "relu-model": relu_model(),
    "shifted-log-var": {"kl": shifted, "sample": lambda m, r, eps: m + np.exp((r - 2) / 2) * eps},
    "shifted-log-var-loss": {"loss": lambda x, o, m, v: bce(x, o).sum(1).mean() + shifted(m, v).mean()},
    "shifted-log-var-unknown-cost": {"loss": lambda *a: student(*a) - kl_rows(*a[2:]).mean() + shifted(*a[2:]).mean()},
    "scaled-softplus": {"kl": scaled_std},
    "several-draws": {"kl": kl_rows, "sample": several_draws},
    "weights-of-one-data-point": {"iw_bound": one_data_point},
    "iw-without-mean": {"iw_bound": lambda w: np.array([lme(c[:, None]) for c in w.T])},
    "learned-prior": {"kl": learned_prior},
    "sampled-kl": {"kl": sampled_kl},
    "laplace-posterior": {"kl": laplace_kl, "sample": sample_laplace},
    "uniform-posterior": {"sample": lambda m, w: m + w * (np.random.rand(*m.shape) - 0.5)},
    "student": {"loss": student},
    "mmd": {"loss": mmd},
}  # fmt: skip
