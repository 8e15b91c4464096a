"""The layers of checks. Each looks at a copy of the package and says what it notices, or nothing.

A layer knows what is right from elsewhere: from numbers written out again, from complex steps, from exact sums.
"""

import dataclasses
import importlib
import importlib.util
import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from minivae.museum import loop_layer
from minivae.museum.problems import (
    Noticed,
    complex_gradient,
    insist,
    likelihood_of,
    linear_world,
    noise_nodes,
    notice,
    problem,
)  # fmt: skip

KINDS = ("bernoulli", "binomial", "gaussian")
LEDGER = "derivations.engine.ties"                                 # a layer of the ledger's own: nothing here may import it


def noticed(copy: SimpleNamespace) -> dict[str, str | None]:
    """For every layer what it has to say about a copy, None if nothing. An error that the copy raises is noticed."""
    return {name: said(layer, copy) for name, layer in layers().items()}


def said(layer: Callable, copy: SimpleNamespace) -> str | None:
    """What one layer has to say."""
    try:
        with np.errstate(all="ignore"):
            layer(copy)
    except Noticed as words:
        return str(words)
    except Exception as error:                              # whatever it is: the right package raises nothing
        return f"{type(error).__name__}: {error}"
    return None


def layers() -> dict[str, Callable]:
    """Every layer by its name; the ledger's ties, where the package `derivations` is there."""
    own = {
        "shapes": shapes, "loss": loss, "gradient": gradient, "joint": joint,
        "ordering": ordering, "evidence": evidence, "loop": loop_layer.loop,
    }  # fmt: skip
    return own | ({"ledger": importlib.import_module(LEDGER).ties} if importlib.util.find_spec("derivations") else {})


MEANING = {
    "shapes": "shapes, dtypes, finite numbers, and what is refused",
    "loss": "the loss against an oracle, given mu, log_var and the decoder's output",
    "gradient": "the gradient against complex steps, noise held fixed",
    "joint": "sampler, density and KL describe one distribution: quadrature nodes as noise",
    "ordering": "KL >= 0 and ELBO <= IW_k <= log p(x), tighter with k",
    "evidence": "a linear model whose log p(x) is known",
    "loop": "Adam, epochs, what is logged, resume, and the data",
    "ledger": "the ledger's ties: equations of four tutorials",
}


# 1  shapes


def shapes(copy: SimpleNamespace) -> None:
    """Everything a user asks of a model has the promised shape and dtype, and is finite, for large numbers too."""
    for kind in KINDS:
        for dtype in (np.float32, np.float64):
            vae, x, _ = problem(copy, kind, dtype=dtype)
            eps = vae.draw_noise(np.random.default_rng(0), 3, 2)
            mu, log_var = vae.encode(x)
            made = {"noise": (eps, (2, 3, 2)), "mu": (mu, (3, 2)), "log_var": (log_var, (3, 2))}
            made |= {"mean": (vae.decode(mu), x.shape), "elbo": (vae.elbo(x, eps), (3,)), "loss": (vae.loss(x, eps), ())}
            made["gradient"] = vae.gradient(x, eps).flat, vae.params.flat.shape
            for name, (array, shape) in made.items():
                insist(np.shape(array) == shape, f"{kind}: {name} has shape {np.shape(array)} instead of {shape}")
                insist(array.dtype == dtype, f"{kind}: {name} is {array.dtype} instead of {np.dtype(dtype)}")
                insist(np.isfinite(array).all(), f"{kind}: {name} is not finite")
    large = np.array([[1e4, -1e4]])
    insist(np.isfinite(copy.ops.softplus(large)).all(), "log(1 + e^a) at a = 10000 is not finite")
    far = copy.ops.log_sum_exp(large - 2e4, axis=1)
    insist(np.isfinite(far).all(), "log sum exp of numbers near -10000 is not finite")
    for kind in ("bernoulli", "binomial"):
        try:
            likelihood_of(copy, kind).check(np.array([[0.0, 255.0]]))
        except ValueError:
            continue
        raise Noticed(f"{kind}: a value of 255 is not refused")


# 2  the loss


def loss(copy: SimpleNamespace) -> None:
    """The loss is the one written down, number by number, given what encoder, sampler and decoder put out."""
    for kind in KINDS:
        for settings in ({"beta": 1.5}, {"beta": 1.5, "estimator": "sampled"}, {"decoder": 40.0}):
            vae, x, eps = problem(copy, kind, sigma=0.7, **settings)
            f = vae.forward(x, eps)
            notice(f"loss, {kind}", f.loss, textbook_loss(vae, f, x, kind))


def textbook_loss(vae: object, f: object, x: np.ndarray, kind: str) -> float:
    """beta KL - log p(x|z), mean over data and draws, from mu, log_var, z and the decoder's output."""
    total = 0.0
    for l, b in np.ndindex(f.z.shape[:2]):
        for d in range(x.shape[1]):
            total -= log_p(kind, x[b, d], f.out[l, b, d], *(math.exp(own) for own in f.scale))
        for m, v, z in zip(f.mu[b], f.log_var[b], f.z[l, b]):
            closed = (m * m + math.exp(v) - 1 - v) / 2
            drawn = (z * z - (z - m) ** 2 / math.exp(v) - v) / 2
            total += vae.beta * (closed if vae.estimator == "analytic" else drawn)
    return total / (len(f.z) * len(x))


def log_p(kind: str, x: float, out: float, sigma: float = 1.0) -> float:
    """log p(x|z) of one feature."""
    if kind == "gaussian":
        return -((x - out) ** 2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
    n = {"bernoulli": 1, "binomial": 16}[kind]
    return math.log(math.comb(n, int(x))) + x * out - n * (math.log1p(math.exp(-abs(out))) + max(out, 0.0))


# 3  the gradient


PROBLEMS = (
    {"likelihood": "bernoulli", "beta": 1.5},
    {"likelihood": "binomial", "estimator": "sampled"},
    {"likelihood": "gaussian", "sigma": "learned"},
    {"likelihood": "gaussian", "sigma": "optimal"},
    {"likelihood": "bernoulli", "objective": "iwae", "estimator": "sampled"},
)


def gradient(copy: SimpleNamespace) -> None:
    """The gradient is that of the loss in every parameter, array by array, relative to the array's largest entry."""
    for settings in PROBLEMS:
        vae, x, eps = problem(copy, **settings)

        def loss_at(flat, vae=vae, x=x, eps=eps):
            return dataclasses.replace(vae, params=vae.params.like(flat)).forward(x, eps).loss

        came, wanted = vae.gradient(x, eps), vae.params.like(complex_gradient(loss_at, vae.params.flat))
        for name in vae.params:
            notice(f"gradient in {name}, {settings['likelihood']}", came[name], wanted[name], 1e-9)


# 4  one distribution


def joint(copy: SimpleNamespace) -> None:
    """What draws z, what scores it and the closed KL are one distribution; so are what draws x and what scores it."""
    rng, g = np.random.default_rng(1), copy.gaussian
    mu, log_var = rng.normal(size=(2, 3, 2))
    eps, weights = noise_nodes(2, 3)
    z = g.reparameterize(mu, log_var, eps)                                      # (L, B, J)
    mean = np.tensordot(weights, z, 1)
    notice("mean of the drawn z", mean, mu)
    notice("variance of the drawn z", np.tensordot(weights, (z - mean) ** 2, 1), np.exp(log_var))
    drawn = weights @ (g.log_normal(z, mu, log_var) - g.log_standard_normal(z))             # (B,)
    notice("KL of what is drawn, and in closed form", drawn, g.kl_standard_normal(mu, log_var).sum(axis=-1))
    vae, *_ = problem(copy)
    noise = vae.draw_noise(np.random.default_rng(2), 4000, 5)                   # (L, B, J): 40,000 numbers
    insist((noise[:, 0] != noise[:, 1]).all(), "two data are given the same noise")
    insist(abs(noise.std() - 1) < 0.03, f"noise has standard deviation {noise.std():.3g}")
    out, log_sigma = np.zeros((40_000, 1)), np.log(0.3)
    x = copy.likelihood.Gaussian(0.3).sample(np.random.default_rng(3), out, log_sigma)
    scored = copy.likelihood.gaussian_log_prob(x, out[None], log_sigma).mean()
    entropy = copy.gaussian.entropy_diagonal(np.array(2 * log_sigma))           # E log p = -H, for draws from p
    insist(abs(scored + entropy) < 0.03, f"draws x have mean log density {scored:.3g}, where -H is {-entropy:.3g}")


# 5  the bounds


def ordering(copy: SimpleNamespace) -> None:
    """KL >= 0 and ELBO <= IW_2 <= IW_1000 <= log p(x), and more draws bring more."""
    mu, log_var = np.meshgrid([0.0, 0.3], np.linspace(-4, 2, 61))
    lowest = copy.gaussian.kl_standard_normal(mu, log_var).min()
    insist(lowest >= 0, f"KL is {lowest:.3g} somewhere")
    vae, x, _ = linear_world(copy, widen=1.0)
    rows, bounds = np.repeat(x, 50, axis=0), copy.evidence.lower_bounds
    few, many = (bounds(vae, rows, k, np.random.default_rng(5)) for k in (2, 200))
    exact = copy.evidence.exact_log_px(vae, x).log_px.mean()
    in_order("the ELBO", few.elbo.mean(), "IW_2", few.iw_bound.mean())
    in_order("IW_2", few.iw_bound.mean(), "IW_200", many.iw_bound.mean())
    insist(many.iw_bound.mean() <= exact + 0.01, f"IW_200 is {many.iw_bound.mean():.2f}, above log p(x) = {exact:.2f}")
    rows = np.repeat(x, 200, axis=0)
    weighted = dataclasses.replace(vae, estimator="sampled", objective="iwae")
    eps = np.random.default_rng(6).standard_normal((8, len(rows), 2))
    in_order("the ELBO", vae.elbo(rows, eps).mean(), "the objective of 8 draws", -weighted.loss(rows, eps))
    insist(-weighted.loss(rows, eps) <= exact, "the objective of 8 draws is above log p(x)")


def in_order(low: str, a: float, high: str, b: float) -> None:
    """Notice unless a is clearly below b. In the right package they are a tenth of a nat apart or more."""
    insist(a + 0.03 < b, f"{low} is {a:.2f}, not below {high}, {b:.2f}")


# 6  the evidence


def evidence(copy: SimpleNamespace) -> None:
    """Where the posterior is known: the quadrature is exact, and the ELBO is log p(x), whatever beta is."""
    for beta in (1.0, 4.0):
        vae, x, log_px = linear_world(copy, beta)
        notice("log p(x) by quadrature", copy.evidence.exact_log_px(vae, x).log_px, log_px)
        eps, weights = noise_nodes(2, len(x))
        elbo = sum(weight * vae.elbo(x, node[None]) for weight, node in zip(weights, eps))
        notice(f"the ELBO at the posterior, beta {beta:g}", elbo, log_px)
        posterior = copy.evidence.lower_bounds(vae, x, 2, np.random.default_rng(0))
        notice("every importance weight at the posterior", posterior.iw_bound, log_px)
