"""Callables in the styles of public code, written before the doctor was run on any of them.

`RIGHT` has right implementations. `FAULTY` has a tuple for each planted fault: an implementation with this fault, then
the keys or words that the findings of the doctor must contain.
"""

import numpy as np

RNG = np.random.default_rng(12345)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def kl_rows(mu, lv):
    return -0.5 * np.sum(1 + lv - mu**2 - np.exp(lv), axis=1)


def bce(x, p):
    return -(x * np.log(p) + (1 - x) * np.log(1 - p))


def stable(x, a):
    return np.maximum(a, 0) - a * x + np.log1p(np.exp(-np.abs(a)))


class Tensor:
    """A stand-in for a tensor of another library: it is float32, and only .detach().numpy() returns its numbers."""

    def __init__(self, value):
        self.value = np.asarray(value, dtype=np.float32)

    def detach(self):
        return self

    def numpy(self):
        return self.value


def float32_loss(x, output, mu, log_var):
    x, output, mu, log_var = (np.asarray(a, np.float32) for a in (x, output, mu, log_var))
    rec = np.sum((x - output) ** 2, dtype=np.float32)
    return Tensor((rec - np.float32(0.5) * np.sum(1 + log_var - mu**2 - np.exp(log_var),
                                                  dtype=np.float32)) / np.float32(len(x)))


def float32_bce(x, output, mu, log_var):
    x, output, mu, log_var = (np.asarray(a, np.float32) for a in (x, output, mu, log_var))
    rec = np.mean(np.sum(stable(x, output), axis=1, dtype=np.float32), dtype=np.float32)
    return Tensor(rec + np.mean(kl_rows(mu, log_var).astype(np.float32), dtype=np.float32))


def loops(x, output, mu, log_var):
    total = 0.0
    for i in range(len(x)):
        for d in range(x.shape[1]):
            total += -x[i, d] * np.log(output[i, d]) - (1 - x[i, d]) * np.log(1 - output[i, d])
        for j in range(mu.shape[1]):
            total += 0.5 * (mu[i, j] ** 2 + np.exp(log_var[i, j]) - 1 - log_var[i, j])
    return total / len(x)


def softplus_loss(x, output, mu, rho):
    sigma = np.log1p(np.exp(rho))
    return (((x - output) ** 2).sum(1) / 2 + (0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)).sum(1)).mean()


def binary_only(x, output, mu, log_var):
    if not np.isin(x, (0, 1)).all():
        raise ValueError("targets must be 0 or 1")
    return (bce(x, output).sum(1) + kl_rows(mu, log_var)).mean()


def fixed_784(x, output, mu, log_var):
    if x.shape[1] != 784:
        raise ValueError(f"expected 784 pixels, got {x.shape[1]}")
    return 784 * bce(x, output).mean(axis=1).mean() + kl_rows(mu, log_var).mean()


def gaussian_nll(x, output, mu, log_var, sigma=0.1):
    nll = 0.5 * ((x - output) / sigma) ** 2 + np.log(sigma) + 0.5 * np.log(2 * np.pi)
    return np.mean(np.sum(nll, axis=-1) + kl_rows(mu, log_var))


def clipped(x, output, mu, log_var):
    p = np.clip(output, 1e-7, 1 - 1e-7)
    return np.mean(np.sum(bce(x, p), axis=1) + kl_rows(mu, log_var))


def guarded(x, output, mu, log_var):
    rec = -(x * np.log(output + 1e-8) + (1 - x) * np.log(1 - output + 1e-8))
    return np.mean(rec.sum(1) + kl_rows(mu, log_var))


def einsum_loss(x, output, mu, log_var):
    r = x - output
    kl = 0.5 * (np.einsum("bj,bj->b", mu, mu) + np.exp(log_var).sum(1) - mu.shape[1] - log_var.sum(1))
    return (np.einsum("bd,bd->b", r, r) + kl).mean()


def optimal(x, output, mu, log_var):
    D = x.shape[1]
    return 0.5 * D * np.log(np.mean((x - output) ** 2)) + kl_rows(mu, log_var).mean()


def clamped(x, output, mu, log_var):
    lv = np.clip(log_var, -20, 20)
    return np.mean(stable(x, output).sum(1) + kl_rows(mu, lv))


def own_noise(mu, log_var, rng=np.random.default_rng(7)):
    return mu + np.exp(0.5 * log_var) * rng.standard_normal(mu.shape)


def lme(log_w):
    top = log_w.max(axis=0)
    return (top + np.log(np.mean(np.exp(log_w - top), axis=0))).mean()


def lme_rows(log_w):
    top = log_w.max(axis=1, keepdims=True)
    return np.squeeze(top, 1) + np.log(np.mean(np.exp(log_w - top), axis=1))


def tied(x, output, mu, log_var):
    return (((x - output) ** 2).sum(1) + kl_rows(mu, log_var)).mean()


def tied_gradient(x, output, mu, log_var):
    B = len(x)
    return 2 * (output - x) / B, mu / B, (np.exp(log_var) - 1) / 2 / B


def linear_vae():
    """Return a linear VAE in plain NumPy: params, loss_and_gradient and sizes."""
    rng = np.random.default_rng(1)
    params = {"W": rng.normal(size=(6, 4)) * 0.1, "b": np.zeros(4), "V": rng.normal(size=(2, 6)) * 0.1, "c": np.zeros(6)}

    def loss_and_gradient(params, x, eps, fault=""):
        B = len(x)
        h = x @ params["W"] + params["b"]
        mu, lv = h[:, :2], h[:, 2:]
        sigma = np.exp(lv / 2)
        z = mu + sigma * eps
        out = z @ params["V"] + params["c"]
        loss = (stable(x, out).sum() + kl_rows(mu, lv).sum()) / B
        d_out = (sigmoid(out) - x) / B
        d_z = d_out @ params["V"].T
        d_mu, d_lv = d_z + mu / B, d_z * eps * sigma / 2 + (np.exp(lv) - 1) / 2 / B
        d_h = np.hstack([d_mu, d_lv])
        return loss, {"W": x.T @ d_h, "b": d_h.sum(0), "V": z.T @ d_out, "c": d_out.sum(0)}

    return {"loss_and_gradient": loss_and_gradient, "params": params, "features": 6, "latent": 2}


def with_gradient(change):
    """Return the model of linear_vae with one change: `change(gradient, x)` replaces some arrays of the gradient."""
    made = linear_vae()
    right = made["loss_and_gradient"]

    def loss_and_gradient(params, x, eps):
        loss, gradient = right(params, x, eps)
        return loss, gradient | change(gradient, x)

    return made | {"loss_and_gradient": loss_and_gradient}


DECODER = RNG.normal(size=(1, 6))


def whole(sampler, loss=lambda x, o, m, v: (stable(x, o).sum(1) + kl_rows(m, v)).mean()):
    """Return a model with encoder, sampler, decoder, loss and log p(x|z), for J = 1."""
    return {
        "encode": lambda x: (0.4 * (x - 0.5) @ DECODER.T, -1.0 + 0 * x[:, :1]),
        "sample": sampler,
        "decode": lambda z: z @ DECODER,
        "loss": loss,
        "log_px_given_z": lambda x, o: -stable(x, o).sum(1),
        "features": 6,
        "latent": 1,
    }


def right_draw(mu, log_var, eps):
    return mu + np.exp(log_var / 2) * eps


RIGHT = {
    "bce-sums": {"loss": lambda x, o, m, v: (bce(x, o).sum(1) + kl_rows(m, v)).mean()},
    "bce-loops": {"loss": loops},
    "bce-logits": {"loss": lambda x, o, m, v: (stable(x, o).sum(1) + kl_rows(m, v)).mean()},
    "bce-logits-logaddexp": {"loss": lambda x, o, m, v: (np.logaddexp(0, o) - x * o).sum() / len(x) + kl_rows(m, v).mean()},
    "bce-clipped": {"loss": clipped},
    "bce-guarded": {"loss": guarded},
    "bce-binary-only": {"loss": binary_only},
    "bce-784": {"loss": fixed_784, "features": 784, "latent": 20},
    "bce-total-sum": {"loss": lambda x, o, m, v: bce(x, o).sum() + kl_rows(m, v).sum()},
    "bce-means": {"loss": lambda x, o, m, v: bce(x, o).mean() + 0.5 * (m**2 + np.exp(v) - 1 - v).mean()},
    "mse-sum": {"loss": lambda x, o, m, v: ((x - o) ** 2).sum() + kl_rows(m, v).sum()},
    "mse-half": {"loss": lambda x, o, m, v: 0.5 * ((x - o) ** 2).sum(1).mean() + kl_rows(m, v).mean()},
    "mse-mean-0.00025": {"loss": lambda x, o, m, v: ((x - o) ** 2).mean() + 0.00025 * kl_rows(m, v).mean()},
    "mse-norm": {"loss": lambda x, o, m, v: np.linalg.norm(x - o) ** 2 / len(x) + kl_rows(m, v).mean()},
    "mse-einsum": {"loss": einsum_loss},
    "mse-per-row": {"loss": lambda x, o, m, v: ((x - o) ** 2).sum(1) + kl_rows(m, v)},
    "beta-4": {"loss": lambda x, o, m, v: (bce(x, o).sum(1) + 4 * kl_rows(m, v)).mean()},
    "dict": {"loss": lambda x, o, m, v: {"recon": bce(x, o).sum(1).mean(), "loss": (bce(x, o).sum(1) + kl_rows(m,
        v)).mean()}},
    "tuple": {"loss": lambda x, o, m, v: ((bce(x, o).sum(1) + kl_rows(m, v)).mean(), bce(x, o).sum(1).mean(), kl_rows(m,
        v).mean())},
    "elbo": {"loss": lambda x, o, m, v: -(bce(x, o).sum(1) + kl_rows(m, v)).mean()},
    "gaussian-0.1": {"loss": gaussian_nll},
    "optimal-sigma": {"loss": optimal},
    "float32-mse": {"loss": float32_loss},
    "float32-logits": {"loss": float32_bce},
    "log-sigma": {"loss": lambda x, o, m,
                  ls: (((x - o) ** 2).sum(1) + (0.5 * (m**2 + np.exp(2 * ls) - 1) - ls).sum(1)).mean(),
                  "sample": lambda m, ls, eps: m + np.exp(ls) * eps},
    "sigma": {"loss": lambda x, o, m, s: (((x - o) ** 2).sum(1) + (0.5 * (m**2 + s**2 - 1) - np.log(s)).sum(1)).mean(),
              "sample": lambda m, s, eps: m + s * eps},
    "variance": {"kl": lambda m, v: 0.5 * np.sum(m**2 + v - np.log(v) - 1), "sample": lambda m, v,
                 eps: m + np.sqrt(v) * eps},
    "softplus": {"loss": softplus_loss, "sample": lambda m, r, eps: m + np.log1p(np.exp(r)) * eps},
    "clamped": {"loss": clamped},
    "kl-entries": {"kl": lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v)},
    "kl-and-loss": {"kl": kl_rows, "loss": lambda x, o, m, v: (bce(x, o).sum(1) + kl_rows(m, v)).mean()},
    "own-noise": {"kl": kl_rows, "sample": own_noise},
    "global-noise": {"kl": kl_rows, "sample": lambda m, v: m + np.sqrt(np.exp(v)) * np.random.randn(*m.shape)},
    "gradient": {"loss": tied, "gradient": tied_gradient},
    "gradient-dict": {"loss": tied, "gradient": lambda *a: dict(zip(("output", "mu", "log_var"), tied_gradient(*a)))},
    "model": linear_vae(),
    "iw-0": {"iw_bound": lme},
    "iw-1": {"iw_bound": lme_rows},
    "iw-loss": {"iw_bound": lambda w: -lme(w)},
    "log-px": {"log_px_given_z": lambda x, o: (x * np.log(o) + (1 - x) * np.log(1 - o)).sum(-1)},
    "categorical": {"loss": lambda x, o, m, v: (-(x * np.log(o)).sum(1) + kl_rows(m, v)).mean()},
    "poisson": {"loss": lambda x, o, m, v: ((o - x * np.log(o)).sum(1) + kl_rows(m, v)).mean()},
    "laplace": {"loss": lambda x, o, m, v: (np.abs(x - o).sum(1) + kl_rows(m, v)).mean()},
    "whole": whole(right_draw),
    "free-bits": {"loss": lambda x, o, m, v: (bce(x, o).sum(1) + np.maximum(0.5 * (m**2 + np.exp(v) - 1 - v),
        0.25).sum(1)).mean()},
    "precision": {"kl": lambda m, lp: 0.5 * np.sum(m**2 + np.exp(-lp) - 1 + lp), "sample": lambda m, lp,
                  eps: m + np.exp(-lp / 2) * eps},
}


class Annealed:
    """A loss whose KL weight grows with the number of calls."""

    def __init__(self):
        self.step = 0

    def __call__(self, x, output, mu, log_var):
        self.step += 1
        return (bce(x, output).sum(1) + min(1, self.step / 10000) * kl_rows(mu, log_var)).mean()


def in_place(x, output, mu, log_var):
    rec = bce(x, output).sum(1)
    np.exp(log_var, out=log_var)
    return (rec + 0.5 * (mu**2 + log_var - 1 - np.log(log_var)).sum(1)).mean()


def cost(kl, recon=bce):
    """Return {"loss": f}. For each data point, f adds the sums of `recon` and of `kl`; f returns the mean over the data.

    The result of `recon` is (B, D), and the result of `kl` is (B, J).
    """
    return {"loss": lambda x, o, m, v: (recon(x, o).sum(1) + kl(m, v).sum(1)).mean()}


def wrong_gradient(change):
    return {"loss": tied, "gradient": lambda *a: change(*tied_gradient(*a), *a)}


FAULTY = {
    "exp-log-var": ({"kl": kl_rows, "sample": lambda m, v, eps: m + np.exp(v) * eps}, "sampler-against-kl"),
    "exp-log-var-no-eps": ({"kl": kl_rows, "sample": lambda m, v: m + np.exp(v) * np.random.randn(*m.shape)},
                           "sampler-against-kl"),
    "half-twice": ({"kl": kl_rows, "sample": lambda m, v, eps: m + np.exp(v / 4) * eps}, "sampler-against-kl"),
    "raw-log-var": ({"kl": kl_rows, "sample": lambda m, v, eps: m + v * eps}, "sampler-against-kl"),
    "noise-small": ({"kl": kl_rows, "sample": lambda m, v, eps: m + 0.01 * np.exp(v / 2) * eps}, "noise-scaled"),
    "no-noise": ({"kl": kl_rows, "sample": lambda m, v, eps: m}, "noise-forgotten"),
    "uniform": ({"kl": kl_rows, "sample": lambda m, v: m + np.exp(v / 2) * np.random.rand(*m.shape)}, "mean", "not-normal"),
    "uniform-centred": ({"kl": kl_rows, "sample": lambda m, v: m + np.exp(v / 2) * np.sqrt(3) * np.random.uniform(-1, 1,
        m.shape)}, "not-normal"),
    "one-eps-for-rows": ({"kl": kl_rows, "sample": lambda m, v: m + np.exp(v / 2) * np.random.randn(m.shape[1])},
                         "noise-shared"),
    "one-eps-for-latents": ({"kl": kl_rows, "sample": lambda m, v: m + np.exp(v / 2) * np.random.randn(len(m), 1)},
                            "noise-shared"),
    "mu-plus-sigma": ({"kl": kl_rows, "sample": lambda m, v, eps: m + np.exp(v / 2) * (1 + eps)}, "mean"),
    "log-var-sign": (cost(lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 + v)), "kl-coefficient"),
    "mu-sign": (cost(lambda m, v: 0.5 * (-(m**2) + np.exp(v) - 1 - v)), "kl-coefficient"),
    "log-var-squared": (cost(lambda m, v: 0.5 * (m**2 + v**2 - 1 - v)), "log-var-squared"),
    "log-sigma-squared": (cost(lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - (v / 2) ** 2)), "log-sigma-squared"),
    "mu-not-squared": (cost(lambda m, v: 0.5 * (m + np.exp(v) - 1 - v)), "other-kl"),
    "log-term-doubled": (cost(lambda m, v: 0.5 * (m**2 + np.exp(v) - 1) - v), "kl-coefficient"),
    "exp-forgotten-half": (cost(lambda m, v: 0.5 * m**2 + np.exp(v) - 0.5 - 0.5 * v), "kl-coefficient"),
    "mu-missing": (cost(lambda m, v: 0.5 * (np.exp(v) - 1 - v)), "kl-coefficient"),
    "reverse-kl": (cost(lambda m, v: 0.5 * (v + (1 + m**2) / np.exp(v) - 1)), "reverse-kl"),
    "minus-kl": (cost(lambda m, v: -0.5 * (m**2 + np.exp(v) - 1 - v)), "kl-wrong-sign"),
    "minus-one-dropped": ({"kl": lambda m, v: 0.5 * (m**2 + np.exp(v) - v).sum(1)}, "minus-one-dropped"),
    "minus-one-once": ({"kl": lambda m, v: 0.5 * ((m**2 + np.exp(v) - v).sum(1) - 1)}, "minus-one-once"),
    "first-latent": ({"loss": lambda x, o, m, v: (bce(x, o).sum(1) + 0.5 * (m**2 + np.exp(v) - 1 - v)[:, 0]).mean()},
                     "ignored-entries"),
    "first-row": ({"loss": lambda x, o, m, v: bce(x, o).sum(1).mean() + kl_rows(m, v)[0]}, "ignored-entries"),
    "kl-batch-sum": ({"loss": lambda x, o, m, v: bce(x, o).sum(1).mean() + kl_rows(m, v).sum()}, "hidden-beta-B"),
    "pixel-mean": ({"loss": lambda x, o, m, v: bce(x, o).mean() + kl_rows(m, v).mean()}, "hidden-beta-D"),
    "latent-mean": ({"loss": lambda x, o, m, v: (bce(x, o).sum(1) + 0.5 * (m**2 + np.exp(v) - 1 - v).mean(1)).mean()},
                    "hidden-beta-J"),
    "swapped": ({"loss": lambda x, o, m, v: (bce(o, x).sum(1) + kl_rows(m, v)).mean()}, "arguments-exchanged"),
    "half-bce": ({"loss": lambda x, o, m, v: (-((1 - x) * np.log(1 - o)).sum(1) + kl_rows(m, v)).mean()},
                 "half-cross-entropy"),
    "two-sigmoids": ({"loss": lambda x, o, m, v: (stable(x, sigmoid(o)).sum(1) + kl_rows(m, v)).mean()}, "sigmoid-twice"),
    "root": ({"loss": lambda x, o, m, v: np.sqrt(((x - o) ** 2).sum(1)).mean() + kl_rows(m, v).mean()}, "root"),
    "huber": ({"loss": lambda x, o, m, v: (np.where(np.abs(x - o) < 1, 0.5 * (x - o) ** 2,
                                                    np.abs(x - o) - 0.5).sum(1) + kl_rows(m, v)).mean()}, "huber"),
    "naive-softplus": ({"loss": lambda x, o, m, v: (np.log(1 + np.exp(o)) - x * o).sum(1).mean() + kl_rows(m, v).mean()},
                       "naive-softplus"),
    "annealed": ({"loss": Annealed()}, "counter"),
    "in-place": ({"loss": in_place}, "changes-argument"),
    "no-kl": ({"loss": lambda x, o, m, v: bce(x, o).sum(1).mean()}, "no-kl"),
    "capacity": ({"loss": lambda x, o, m, v: bce(x, o).sum(1).mean() + 100 * np.abs(kl_rows(m, v).mean() - 5.0)},
                 "capacity"),
    "iw-no-k": ({"iw_bound": lambda w: np.log(np.exp(w).sum(0)).mean()}, "log-sum-exp"),
    "iw-mean-of-logs": ({"iw_bound": lambda w: w.mean(0)}, "mean"),
    "iw-upside-down": ({"iw_bound": lambda w: lme(-w)}, "upside-down"),
    "iw-no-max": ({"iw_bound": lambda w: np.log(np.exp(w).mean(0)).mean()}, "no-max-subtracted"),
    "gradient-no-half": (wrong_gradient(lambda o, m, v, *a: (o, m, 2 * v)), "2 x the right array"),
    "gradient-minus": (wrong_gradient(lambda o, m, v, *a: (o, -m, v)), "-1 x the right array"),
    "gradient-no-mean": (wrong_gradient(lambda o, m, v, *a: (o * len(m), m, v)), "B x the right array"),
    "gradient-per-latent": (wrong_gradient(lambda o, m, v, *a: (o, m / m.shape[1], v)), "1/J x the right array"),
    "gradient-no-one": (wrong_gradient(lambda o, m, v, x, *a: (o, m, np.exp(a[2]) / 2 / len(x))), "1/(2 B)"),
    "gradient-zero": (wrong_gradient(lambda o, m, v, *a: (o, m, 0 * v)), "zero everywhere"),
    "gradient-sigmoid": (wrong_gradient(lambda o, m, v, x, out, *a: (o * out * (1 - out), m, v)), "o (1 - o)"),
    "gradient-exchanged": (wrong_gradient(lambda o, m, v, *a: (o, v, m)), "the gradient in log_var"),
    "gradient-clipped": (wrong_gradient(lambda o, m, v, *a: (np.clip(o, -0.3, 0.3), m, v)), "clipped to"),
    "model-b-without-mean": (with_gradient(lambda g, x: {"b": len(x) * g["b"]}), "B x the right array"),
    "model-V-minus": (with_gradient(lambda g, x: {"V": -g["V"]}), "-1 x the right array"),
    "model-W-half": (with_gradient(lambda g, x: {"W": np.hstack([g["W"][:, :2], 0 * g["W"][:, 2:]])}),
                     "except for columns 2, 3"),
    "bound-exp-log-var": (whole(lambda m, v, eps: m + np.exp(v) * eps), "bound"),
}  # fmt: skip
