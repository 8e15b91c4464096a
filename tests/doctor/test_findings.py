"""Every finding has a key. For each key, one function gets a finding with this key, and a similar function does not."""

import json
from pathlib import Path

import numpy as np
import pytest

from minivae.doctor import Finding
from minivae.doctor.findings import KEYS
from tests.doctor import fresh
from tests.doctor.examined import report_of
from tests.doctor.fresh import bce, kl_rows, lme, right_draw, sigmoid, stable, tied, tied_gradient, whole
from tests.doctor.public import PUBLIC, held_weights, to_prior
from tests.doctor.styles import STYLES, free_bits, normalised


def loss(recon=lambda x, o: bce(x, o).sum(1), kl=kl_rows):
    """Return a loss: the mean over the batch of reconstruction + KL."""
    return {"loss": lambda x, o, m, v: (recon(x, o) + kl(m, v)).mean()}


def kl(f):
    """Return a KL that is the sum of f over the latents."""
    return {"kl": lambda m, v: f(m, v).sum(1)}


def sampler(sample, f=kl_rows):
    return {"kl": f, "sample": sample}


def log_c(o):
    return np.log(2 * np.arctanh(1 - 2 * o) / (1 - 2 * o)).sum(1)


def gauss(x, o):
    return 0.5 * ((x - o) ** 2).sum(1) / 0.04 + x.shape[1] * np.log(0.2)


def square(x, o):
    return ((x - o) ** 2).sum(1)


def fixed_d(x, o, m, v):
    if x.shape[1] != 7:
        raise ValueError("7 features")
    return tied(x, o, m, v)


def robust(x, o):
    r = np.abs(x - o)
    return np.where(r < 4, r**2, r**3).sum(1)


def smooth(x, o):
    r = np.abs(x - o)
    return np.where(r < 1, r**2, 2 * r - 1).sum(1)


def unchanged(m, v):
    """Return the KL of each entry. The function overwrites m with the same numbers."""
    m[...] = -(-m)
    return 0.5 * (m**2 + np.exp(v) - 1 - v)


class Stateful:
    """A loss that adds 1 once in every `period` calls, starting with the first call."""

    def __init__(self, period):
        self.calls, self.period = 0, period

    def __call__(self, *arguments):
        self.calls += 1
        return tied(*arguments) + (self.calls % self.period == 1)


def clipped(m, v, low):
    return kl_rows(m, np.clip(v, -low, low))


RNG = np.random.default_rng(3)
NORMAL = np.log(2 * np.pi) / 2                              # log of the normaliser of N(0, 1), for one feature
FAULTY = {name: functions for name, (functions, *_) in fresh.FAULTY.items()}
RIGHT, DRAW, BAYES = fresh.RIGHT["bce-sums"], sampler(right_draw), fresh.RIGHT["iw-0"]
MINUS, MINUS_KL = {"loss": lambda *a: -tied(*a)}, loss(kl=lambda m, v: -kl_rows(m, v))
ROBUST, SMOOTH, ROOT = loss(robust), loss(smooth), loss(lambda x, o: np.sqrt(square(x, o)))
DENSITY, WIDE = loss(lambda x, o: gauss(x, o) + x.shape[1] * NORMAL), {"kl": to_prior(0.0, 2.0)}
CONTINUOUS = loss(lambda x, o: bce(x, o).sum(1) - log_c(o))
ONE_EPS, DOUBLED = (sampler(lambda m, v, eps: m + np.exp(v / 2) * eps[:1]),
                    sampler(lambda m, v, eps: m + 2 * np.exp(v / 2) * eps))
STATEFUL, HELD = {"loss": Stateful(3)}, PUBLIC["iw-held-weights"][0]
TIMES_K = {"iw_bound": lambda w: -held_weights(w) * len(w)}
MODEL = {"loss_and_gradient": lambda p, x, e: (float(p @ p), 2 * p), "params": np.ones(3), "features": 6, "latent": 2}
PAIRS = {                                                   # {key: (functions with this finding, similar ones without it)}
    "all-entries": (STYLES["weights-of-one-data-point"], {"iw_bound": lambda w: np.log(np.exp(w).sum())}),
    "arguments-exchanged": (FAULTY["swapped"], loss(lambda x, o: (bce(o, x) + bce(x, o)).sum(1))),
    "beta": (loss(kl=lambda m, v: 2 * kl_rows(m, v)), loss(square, lambda m, v: 2 * kl_rows(m, v))),
    "bound": (FAULTY["bound-exp-log-var"],
              whole(right_draw) | {"log_px_given_z": lambda x, o: -2 * stable(x, o).sum(1)}),
    "capacity": ({"loss": lambda x, o, m, v: bce(x, o).sum(1).mean() + np.abs(kl_rows(m, v).mean() - 5)},
                 {"loss": lambda x, o, m, v: bce(x, o).sum(1).mean() + np.abs(kl_rows(m, v).mean())}),
    "changes-argument": (FAULTY["in-place"], kl(unchanged)),
    "clipped-log-var": (loss(kl=lambda m, v: clipped(m, v, 10)), loss(kl=lambda m, v: clipped(m, v, 1000))),
    "clipped-probabilities": (loss(lambda x, o: bce(x, np.clip(o, 1e-6, 1 - 1e-6)).sum(1)), RIGHT),
    "constant": ({"kl": lambda m, v: kl_rows(m, v).sum() + 0.3}, DENSITY),
    "counter": (FAULTY["annealed"], STATEFUL),
    "elbo": (MINUS, MINUS_KL),
    "fixed-mean-square": (STYLES["normalised-mean"], kl(lambda m, v: 0.5 * (np.exp(v) - 1 - v))),
    "formula": (RIGHT, loss(lambda x, o: np.cos(x * o).sum(1))),
    "free-bits": (fresh.RIGHT["free-bits"], {"loss": free_bits(0.0)}),
    "gradient": (fresh.RIGHT["gradient"], {"loss": tied}),
    "guarded-log": (loss(lambda x, o: -(x * np.log(o + 1e-7) + (1 - x) * np.log(1 - o + 1e-7)).sum(1)),
                    loss(lambda x, o: bce(x, np.clip(o, 1e-7, 1 - 1e-7)).sum(1))),
    "half-cross-entropy": (FAULTY["half-bce"], fresh.RIGHT["poisson"]),
    "half-normaliser": (loss(gauss), DENSITY),
    "hidden-beta-B": ({"loss": lambda x, o, m, v: square(x, o).mean() + kl_rows(m, v).sum()},
                      fresh.RIGHT["mse-sum"]),
    "hidden-beta-D": (loss(lambda x, o: ((x - o) ** 2).mean(1)), {"loss": lambda x, o, m, v: tied(x, o, m, v) / x.shape[1]}),
    "hidden-beta-J": (loss(kl=lambda m, v: kl_rows(m, v) / m.shape[1]), loss(kl=lambda m, v: kl_rows(m, v) / 5)),
    "huber": (SMOOTH, ROBUST),
    "ignored-entries": (FAULTY["first-latent"], STYLES["free-bits-2"]),
    "kl-coefficient": (kl(lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - 2 * v)), kl(lambda m, v: m**2 + np.exp(v) - 1 - v)),
    "kl-mean-over-latents": ({"kl": lambda m, v: kl_rows(m, v) / m.shape[1]}, {"kl": lambda m, v: kl_rows(m, v) / len(m)}),
    "kl-overflow": (kl(lambda m, r: 0.5 * (m**2 + np.logaddexp(0, r) ** 2 - 1) - np.log(np.log(1 + np.exp(r)))),
                    kl(lambda m, r: 0.5 * (m**2 + np.logaddexp(0, r) ** 2 - 1) - np.log(np.logaddexp(0, r)))),
    "kl-scaled": ({"kl": lambda m, v: 2 * kl_rows(m, v)}, kl(lambda m, s: 0.5 * (m**2 + np.exp(2 * s) - 1) - s)),
    "kl-wrong-sign": (MINUS_KL, MINUS),
    "log-mean-exp": (BAYES, FAULTY["iw-no-k"]),
    "log-of-zero": (RIGHT, fresh.RIGHT["bce-logits"]),
    "log-sigma-squared": (kl(lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - (v / 2) ** 2)),
                          kl(lambda m, v: 0.5 * (m**2 + np.exp(v) - 1) - v / 2)),
    "log-sum-exp": (FAULTY["iw-no-k"], BAYES),
    "log-var-squared": (kl(lambda m, v: 0.5 * (m**2 + v**2 - 1 - v)), kl(lambda m, v: 0.5 * (m**2 + v**2 - 1) - np.log(v))),
    "max": ({"iw_bound": lambda w: w.max(0)}, FAULTY["iw-no-k"]),
    "mean": (FAULTY["mu-plus-sigma"], DOUBLED),
    "minus-one-dropped": (FAULTY["minus-one-dropped"], kl(lambda m, v: 0.5 * (m**2 + np.exp(v) - v - 1))),
    "minus-one-once": (FAULTY["minus-one-once"], FAULTY["minus-one-dropped"]),
    "naive-softplus": (STYLES["naive-softplus-logits"], fresh.RIGHT["bce-logits"]),
    "needs": ({"loss_and_gradient": MODEL["loss_and_gradient"]}, MODEL),
    "no-cost": ({"loss": lambda x, o, m, v: kl_rows(m, v).mean()}, loss(lambda x, o: 1e-3 * square(x, o))),
    "no-kl": ({"loss": lambda x, o, m, v: square(x, o).mean()}, loss(kl=lambda m, v: 1e-3 * kl_rows(m, v))),
    "no-loss": ({"loss": lambda *a: tied(*a) + np.random.rand(), "gradient": tied_gradient},
                fresh.RIGHT["gradient"]),
    "no-max-subtracted": (FAULTY["iw-no-max"], BAYES),
    "no-square": (ROBUST, SMOOTH),
    "noise-forgotten": (FAULTY["no-noise"], sampler(lambda m, v, eps: m + 1e-3 * np.exp(v / 2) * eps)),
    "noise-inside": (sampler(lambda m, v, eps: m + np.exp(v / 2) * (eps + 0.1 * RNG.normal(size=m.shape))),
                     ONE_EPS),
    "noise-scaled": (sampler(lambda m, v, eps: m + 0.5 * np.exp(v / 2) * eps), FAULTY["exp-log-var"]),
    "noise-shared": (ONE_EPS,
                     sampler(lambda m, v, eps: m + np.exp(v[:1] / 2) * eps)),
    "noise-repeated": (sampler(lambda m, v: m + np.exp(v / 2) * np.random.default_rng(0).normal(size=m.shape)),
                       sampler(lambda m, v: m + np.exp(v / 2) * RNG.normal(size=m.shape))),
    "normaliser-sign": (loss(lambda x, o: bce(x, o).sum(1) + log_c(o)), CONTINUOUS),
    "not-probabilities": ({"decode": lambda z: z[:, :1] * np.ones(6), **RIGHT},
                          {"decode": lambda z: 1 / (1 + np.exp(-z[:, :1] * np.ones(6))), **RIGHT}),
    "same-output": ({"encode": lambda x: (x[:, :2], x[:, :2])}, {"encode": lambda x: (x[:, :2], x[:, 1:3])}),
    "two-sigmas": ({"log_px_given_z": lambda x, o: -square(x, o) / 0.6 - x.shape[1] * (np.log(0.3) + NORMAL)},
                   {"log_px_given_z": lambda x, o: -square(x, o) / 0.18 - x.shape[1] * (np.log(0.3) + NORMAL)}),
    "wrong-axis": ({"iw_bound": lme, "axis": 1}, {"iw_bound": lme, "axis": 0}),
    "not-additive": ({"loss": lambda x, o, m, v: square(x, o).mean() * kl_rows(m, v).mean()},
                     fresh.RIGHT["optimal-sigma"]),
    "not-finite": (loss(kl=lambda m, v: np.log(-v).sum(1)), RIGHT),
    "not-linear": (sampler(lambda m, v, eps: m + np.exp(v / 2) * np.tanh(eps)),
                   sampler(lambda m, v, eps: m + np.exp(v / 2) * eps[:, :1])),
    "not-normal": (sampler(lambda m, v: m + np.exp(v / 2) * RNG.choice([-1, 1], m.shape)),
                   sampler(lambda m, v: m + np.exp(v / 2) * RNG.normal(size=m.shape))),
    "not-repeatable": (STATEFUL, {"loss": Stateful(10**9)}),
    "only-mu": (kl(lambda m, v: 0.5 * m**2), kl(lambda m, v: 0.5 * m**2 - 1e-3 * v)),
    "optimal-sigma": (fresh.RIGHT["optimal-sigma"],
                      loss(lambda x, o: 0.5 * x.shape[1] * np.log(0.1 + ((x - o) ** 2).mean()))),
    "other-cost": (loss(lambda x, o: (bce(x, o) + 0.3 * np.log(o)).sum(1)), CONTINUOUS),
    "other-kl": (kl(lambda m, v: 0.5 * (np.abs(m) + np.exp(v) - 1 - v)), WIDE),
    "other-prior": (WIDE, STYLES["scaled-softplus"]),
    "reduction": ({"loss": lambda x, o, m, v: square(x, o).sum() / (len(x) + 1) + kl_rows(m, v).mean()},
                  {"loss": lambda x, o, m, v: square(x, o).sum() / len(x) + kl_rows(m, v).mean()}),
    "reverse-kl": (kl(lambda m, v: 0.5 * (v + (1 + m**2) / np.exp(v) - 1)),
                   kl(lambda m, v: 0.5 * (m**2 + np.exp(-v) - 1 + v))),
    "root": (ROOT, loss(lambda x, o: np.abs(x - o).sum(1))),
    "rows-coupled": ({"encode": lambda x: (normalised(x, 0), x), "features": 6}, {"encode": lambda x: (normalised(x, 1), x),
                                                                                  "features": 6}),
    "same-gaussian": (DRAW, FAULTY["exp-log-var"]),
    "sampler-against-kl": (FAULTY["exp-log-var"], DOUBLED),
    "sampler-varies": (sampler(lambda m, v, eps: m + np.exp(v / (2 if len(m) == 3 else 1)) * eps),
                       FAULTY["exp-log-var"]),
    "scaled-sigma": (STYLES["scaled-softplus"], kl(lambda m, v: 0.5 * (m**2 + 2 * np.exp(v) - 1 - v))),
    "shape": ({"kl": kl_rows}, {"kl": lambda m, v: kl_rows(m, v).sum()}),
    "sigmoid-twice": (FAULTY["two-sigmoids"], loss(lambda x, o: bce(x, sigmoid(o)).sum(1))),
    "sign": ({"log_px_given_z": lambda x, o: bce(x, o).sum(1)}, fresh.RIGHT["log-px"]),
    "size-refused": ({"loss": fixed_d}, {"loss": tied}),
    "sum": ({"iw_bound": lambda w: w.sum(0)}, FAULTY["iw-mean-of-logs"]),
    "sum-w-log-w": (TIMES_K, HELD),
    "sum-w-log-w-/-K": (HELD, TIMES_K),
    "two-readings": ({**RIGHT, "kl": lambda m, s: (0.5 * (m**2 + np.exp(2 * s) - 1) - s).sum(1)},
                     fresh.RIGHT["kl-and-loss"]),
    "unknown": ({"iw_bound": lambda w: np.median(w, 0)}, STYLES["weights-of-one-data-point"]),
    "unknown-cost": (loss(lambda x, o: np.cos(3 * x * o).sum(1)), ROOT),
    "unknown-kl": (kl(lambda m, v: np.cos(m * v)), fresh.RIGHT["free-bits"]),
    "upside-down": ({"iw_bound": lambda w: -lme(-w)}, fresh.RIGHT["iw-loss"]),
    "width": ({"sample": lambda m, v, eps: m + np.exp(v / 2) * eps}, DRAW),
    "width-unknown": ({"encode": lambda x: (x @ np.ones((777, 2)), x @ np.ones((777, 2)))},
                      {"encode": lambda x: (x @ np.ones((6, 2)), x @ np.ones((6, 2)))}),
}  # fmt: skip


RECORDED = json.loads((Path(__file__).parent / "shown.json").read_text(encoding="utf-8"))
DRAWN = {"noise-inside", "not-normal"}             # the numbers in these findings are different in each run


def shown(finding):
    """Return the verdict, the two numbers (four digits) and the exhibit of a finding."""
    numbers = [None if n is None else f"{n:.4g}" for n in (finding.measured, finding.expected)]
    return [finding.verdict, *numbers, finding.exhibit]


def test_every_key_of_a_finding_has_an_example_and_a_counterexample():
    assert KEYS == {*PAIRS}
    with pytest.raises(RuntimeError, match="a key"):
        Finding("is", "loss", "no-such-key", "words")


@pytest.mark.slow
@pytest.mark.parametrize("key", PAIRS)
def test_finding_is_reported_for_its_example_but_not_for_its_counterexample(key):
    function, similar = PAIRS[key]
    found = [finding for finding in report_of(function).findings if finding.key == key]
    assert found and key not in {finding.key for finding in report_of(similar).findings}
    first = found[0]
    assert key in DRAWN or shown(first) == RECORDED[key]
