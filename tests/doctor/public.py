"""Losses and samplers found in public code, rewritten in NumPy. This code was not used to develop the doctor.

`PUBLIC[name]` is (functions, keys). `keys` has the keys of the expected findings. The test ignores findings with a key in
FINE or with the verdict "is".
"""

import numpy as np

from tests.doctor.fresh import bce, kl_rows, sigmoid, stable

FINE = {"log-of-zero", "ignored-entries"}


def kl_entries(m, v):
    return -0.5 * (1 + v - m**2 - np.exp(v))


def mse(x, o):
    return ((x - o) ** 2).mean()


def total(recon, kl):
    """Return a loss: recon(x, o) + kl(m, v)."""
    return {"loss": lambda x, o, m, v: recon(x, o) + kl(m, v)}


def clamped_loss(x, o, m, v):
    m, v = np.clip(m, -10, 10), np.clip(v, -10, 10)
    kl = -0.5 * np.sum(1 + v - m**2 - np.exp(v), axis=-1)
    return mse(x, o) + (np.zeros(len(kl)) if np.isnan(kl).any() else kl).mean()


def by_counts(x, o, m, v, beta=0.5):
    b, latents = m.shape
    rec = np.sum(np.square(x - o)) / x.shape[1] / b
    return rec + beta * (-0.5 * np.sum(1 + v - np.square(m) - np.exp(v), axis=1)).sum() / latents / b


def masked(x, o, m, v):
    weight = np.ones(x.shape[1])
    weight[2:4] = 5.0
    return (((o - x) ** 2) * weight).sum() + 0.5 * kl_rows(m, v).sum()


def to_prior(mean, variance):
    """Return the KL to a prior N(mean, variance), as topic models write it."""
    def kl(m, v):
        terms = np.exp(v) / variance + (m - mean) ** 2 / variance + np.log(variance) - v
        return 0.5 * (terms.sum(axis=1) - m.shape[1])

    return kl


def guarded_sigma(m, s):
    return 0.5 * np.sum(m**2 + s**2 - np.log(1e-8 + s**2) - 1, axis=1)


def general_kl(qm, qv, pm=0.0, pv=1.0):
    return (0.5 * (np.log(pv) - np.log(qv) + qv / pv + (qm - pm) ** 2 / pv - 1)).sum(-1)


def keras_bce(x, o):
    p = np.clip(o, 1e-7, 1 - 1e-7)
    return -(x * np.log(p + 1e-7) + (1 - x) * np.log(1 - p + 1e-7)).mean(-1)


def huber_mean(x, o):
    r = np.abs(x - o)
    return np.where(r < 1, 0.5 * r * r, r - 0.5).mean()


def log_mean_exp_over(axis):
    def bound(w):
        top = w.max(axis=axis, keepdims=True)
        return np.log(np.exp(w - top).sum(axis)) + np.squeeze(top, axis) - np.log(w.shape[axis])

    return bound


def held_weights(w):
    p = np.exp(w - w.max(0))
    return -((p / p.sum(0)) * w).mean()


PUBLIC = {
    "bce-sum": (total(lambda x, o: bce(x, o).sum(), lambda m, v: kl_entries(m, v).sum()), ()),
    "mse-sum-kl-mean-0.00025": (total(lambda x, o: ((x - o) ** 2).sum(), lambda m, v: 0.00025 * kl_rows(m, v).mean()),
                                ("hidden-beta-B",)),
    "exp-with-minus": (total(lambda x, o: ((x - o) ** 2).sum(), lambda m, v: 0.5 * (m * m - np.exp(v) - v - 1).sum()),
                       ("kl-coefficient",)),
    "mse-mean-kl-mean": (total(mse, lambda m, v: kl_entries(m, v).mean()), ("hidden-beta-D", "hidden-beta-J")),
    "mse-mean-kl-sum": (total(mse, lambda m, v: kl_entries(m, v).sum()), ("hidden-beta-D", "hidden-beta-B")),
    "dict-minus-kld": ({"loss": lambda x, o, m, v: {"loss": mse(x, o) + kl_rows(m, v).mean(), "recons_loss": mse(x, o),
                                                    "KLD": -kl_rows(m, v).mean()}}, ("hidden-beta-D",)),
    "minus-2.5-times-5": (total(mse, lambda m, v: 5 * -2.5 * (1 + v - np.exp(v) - m**2).mean(1).mean()), ("hidden-beta-D",
        "hidden-beta-J")),
    "plus-1e-12": (total(lambda x, o: ((x - o) ** 2).sum() + 1e-12, lambda m, v: kl_entries(m, v).sum()), ()),
    "rand-not-randn": ({"kl": kl_rows, "sample": lambda m, v: m + np.random.rand(*m.shape) * np.exp(0.5 * v)}, ("mean",
        "not-normal")),
    "bce-mean-times-d": (total(lambda x, o: (keras_bce(x, o) * x.shape[1]).mean(), lambda m, v: kl_rows(m, v).mean()), ()),
    "clamped-and-nan": ({"loss": clamped_loss}, ("hidden-beta-D", "clipped-log-var")),
    "mse-times-features": (total(lambda x, o: (((x - o) ** 2).mean(1) * x.shape[1]).mean(), lambda m, v: kl_rows(m,
        v).mean()), ()),
    "l1-mean": (total(lambda x, o: np.abs(x - o).mean(), lambda m, v: kl_entries(m, v).mean()), ("hidden-beta-D",
        "hidden-beta-J")),
    "divided-by-counts": ({"loss": by_counts}, ("hidden-beta-D", "hidden-beta-J")),
    "kl-sum-then-batch": (total(mse, lambda m, v: 0.5 * np.sum(-1 - v + m**2 + np.exp(v)) / len(m)), ("hidden-beta-D",)),
    "logits-mean-kl-sum": (total(lambda x, o: stable(x, o).mean(), lambda m, v: kl_entries(m, v).sum()), ("hidden-beta-D",
        "hidden-beta-B")),
    "sigma-guarded": (total(lambda x, o: ((x - o) ** 2).sum(1).mean(), lambda m, s: guarded_sigma(m,
        s).mean()) | {"sample": lambda m, s, eps: m + s * eps}, ()),
    "sigma-guarded-bce": ({"loss": lambda x, o, m, s: tuple(a.mean() for a in (
        -(x * np.log(o + 1e-12) + (1 - x) * np.log(1 - o + 1e-12)).sum(1)
        + 0.5 * np.sum(m**2 + s**2 - np.log(s**2 + 1e-12) - 1,
                                                                               axis=1),
        bce(x, o), guarded_sigma(m, s)))}, ()),
    "minus-elbo-sigma": (total(lambda x, o: bce(x, o).sum(1).mean(), lambda m,
                               s: 0.5 * (m**2 + s**2 - np.log(s**2) - 1).sum(1).mean()), ()),
    "mse-times-1000": (total(lambda x, o: 1000 * mse(x, o), lambda m, v: kl_rows(m, v).mean()), ("hidden-beta-D",)),
    "vector-kl-mean": (total(mse, lambda m, v: kl_entries(m, v).mean(-1)), ("hidden-beta-D", "hidden-beta-J")),
    "log-1e-10": (total(lambda x, o: -(x * np.log(1e-10 + o) + (1 - x) * np.log(1e-10 + 1 - o)).sum(1).mean(), lambda m,
                        v: kl_rows(m, v).mean()), ()),
    "784-mean": (total(lambda x, o: 784 * mse(x, o), lambda m, v: kl_entries(m, v).mean()), ("hidden-beta-D",
        "hidden-beta-J")),
    "log-px-plus-kl": (total(lambda x, o: -stable(x, o).sum(1).mean(), lambda m, v: kl_rows(m, v).mean()),
                       ("kl-wrong-sign",)),
    "logsigma": (total(lambda x, o: ((x - o) ** 2).sum(), lambda m, s: -0.5 * np.sum(1 + 2 * s - m**2 - np.exp(2 * s))), ()),
    "general-kl-variance": ({"kl": general_kl, "sample": lambda m, v, eps: m + np.sqrt(v) * eps}, ()),
    "masked-mse": ({"loss": masked}, ("unknown-cost",)),
    "mse-half-kl-0.5": (total(lambda x, o: ((x - o) ** 2).sum(), lambda m, v: 0.5 * kl_entries(m, v).sum()), ()),
    "topic-prior": (total(lambda x, o: -(x * np.log(o + 1e-10)).sum(1).mean(), lambda m, v: to_prior(0.0, 0.98)(m,
        v).mean()), ("other-prior", "half-cross-entropy")),
    "topic-prior-mean": ({"kl": to_prior(0.3, 0.98)}, ("other-prior",)),
    "elbo-over-batch": ({"loss": lambda x, o, m, v: (-bce(x, o).sum() + 0.5 * np.sum(v + 1 - m**2 - np.exp(v))) / len(x)},
                        ()),
    "likelihood-plus-kl": ({"loss": lambda x, o, m,
                            s: -(-((x - o) ** 2).sum() + 0.5 * np.sum(np.log(1 / s**2) + m**2 + s**2 - 1))},
                            ("kl-wrong-sign",)),
    "l1-beta": (total(lambda x, o: np.abs(x - o).sum(), lambda m, v: 4 * kl_entries(m, v).sum()), ()),
    "bce-sum-minus-kl-mean": (total(lambda x, o: bce(x, o).sum(), lambda m, v: -0.5 * (1 + v - m**2 - np.exp(v)).mean()),
                              ("hidden-beta-B", "hidden-beta-J")),
    "exp-log-var": ({"kl": kl_rows, "sample": lambda m, v: np.random.randn(*v.shape) * np.exp(v) + m},
                    ("sampler-against-kl",)),
    "sigmoid-of-log-var": ({"kl": kl_rows, "sample": lambda m, v: m + np.exp(sigmoid(v)) * np.random.randn(*m.shape)},
                           ("sampler-against-kl",)),
    "mu-plus-std": ({"kl": kl_rows, "sample": lambda m, v: m + np.exp(v)}, ("noise-forgotten",)),
    "variance-as-std": ({"kl": general_kl, "sample": lambda m, v, eps: m + eps * v}, ("sampler-against-kl",)),
    "sqrt-of-exp": ({"kl": kl_rows, "sample": lambda m, v: m + np.random.randn(*m.shape) * np.sqrt(np.exp(v))}, ()),
    "smooth-l1": (total(huber_mean, lambda m, v: kl_rows(m, v).mean()), ("huber", "hidden-beta-D")),
    "rmse": (total(lambda x, o: np.sqrt(mse(x, o)), lambda m, v: kl_entries(m, v).mean()), ("root",)),
    "iw-rows": ({"iw_bound": log_mean_exp_over(1)}, ()),
    "iw-draws": ({"iw_bound": lambda w: log_mean_exp_over(0)(w).mean()}, ()),
    "iw-held-weights": ({"iw_bound": held_weights}, ("sum-w-log-w-/-K",)),
    "latent-gradient-over-j": ({"loss": lambda x, o, m, v: 0.5 * ((x - o) ** 2).sum(1).mean() + kl_rows(m, v).mean(),
                                "gradient": lambda x, o, m, v: ((o - x) / len(x), m / m.shape[1] / len(x),
                                                                -(1 - np.exp(v)) / m.shape[1] / 2 / len(x))}, ("gradient",)),
}  # fmt: skip
