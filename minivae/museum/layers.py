"""The museum's checks of a copy of the package, in groups. A group is called a layer and has checks of one kind.

Each layer is a function that raises Noticed if a check finds a fault in the copy. Many checks compare a result of the copy
with the correct value, from a plain loop or a closed form. Other checks compute one quantity in two ways with the copy's
code: for example, the gradient by `VAE.gradient` and by complex steps of the loss (derivatives without rounding error).
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
LEDGER = "derivations.engine.ties"                                 # module of the layer "ledger"; it can be missing


def noticed(copy: SimpleNamespace) -> dict[str, str | None]:
    """Run all layers of checks on a copy of the package; return {name of a layer: its message}.

    The message of a layer is `None` if none of its checks finds a fault.
    """
    return {name: message_of(layer, copy) for name, layer in layers().items()}


def message_of(layer: Callable, copy: SimpleNamespace) -> str | None:
    """Run one layer of checks on a copy of the package; return the layer's message, or None if no check finds a fault.

    If the copy raises an error, the message is the type and the text of the error.
    """
    try:
        with np.errstate(all="ignore"):
            layer(copy)
    except Noticed as message:
        return str(message)
    except Exception as error:                              # caused by the bug: the unchanged package raises no error
        return f"{type(error).__name__}: {error}"
    return None


def layers() -> dict[str, Callable]:
    """Return {name of a layer of checks: its function}; the layer "ledger" needs the package `derivations`."""
    here = {
        "shapes": shapes, "loss": loss, "gradient": gradient, "joint": joint,
        "ordering": ordering, "evidence": evidence, "loop": loop_layer.loop,
    }  # fmt: skip
    return here | ({"ledger": importlib.import_module(LEDGER).ties} if importlib.util.find_spec("derivations") else {})


MEANING = {
    "shapes": "shapes and dtypes; results must be finite, and bad input refused",
    "loss": "the loss against a textbook formula, for given mu, log_var and decoder output",
    "gradient": "the gradient against numerical derivatives (complex steps), with fixed noise",
    "joint": "sampler, density and KL describe one distribution, checked by numerical integration",
    "ordering": "KL >= 0 and ELBO <= IW_k <= log p(x); IW_k rises with k",
    "evidence": "the results for a linear model against the closed form of its log p(x)",
    "loop": "Adam, epochs, the log, resuming, and the data",
    "ledger": "the code against the equations of four tutorials",
}


# The layer "shapes"


def shapes(copy: SimpleNamespace) -> None:
    """Check that all results of a model have the right shape and dtype and are finite.

    Also check that softplus and log_sum_exp are finite at large numbers, and that a likelihood refuses values outside its
    range.
    """
    for kind in KINDS:
        for dtype in (np.float32, np.float64):
            vae, x, _ = problem(copy, kind, dtype=dtype)
            eps = vae.draw_noise(np.random.default_rng(0), 3, 2)
            mu, log_var = vae.encode(x)
            results = {"noise": (eps, (2, 3, 2)), "mu": (mu, (3, 2)), "log_var": (log_var, (3, 2))}
            results |= {"mean": (vae.decode(mu), x.shape), "elbo": (vae.elbo(x, eps), (3,)), "loss": (vae.loss(x, eps), ())}
            results["gradient"] = vae.gradient(x, eps).flat, vae.params.flat.shape
            for name, (array, shape) in results.items():
                insist(np.shape(array) == shape, f"{kind}: {name} has shape {np.shape(array)} instead of {shape}")
                insist(array.dtype == dtype, f"{kind}: {name} is {array.dtype} instead of {np.dtype(dtype)}")
                insist(np.isfinite(array).all(), f"{kind}: {name} is not finite")
    large = np.array([[1e4, -1e4]])
    insist(np.isfinite(copy.ops.softplus(large)).all(), "log(1 + e^a) at a = 10000 is not finite")
    log_sum = copy.ops.log_sum_exp(large - 2e4, axis=1)
    insist(np.isfinite(log_sum).all(), "log sum exp of numbers near -10000 is not finite")
    for kind in ("bernoulli", "binomial"):
        try:
            likelihood_of(copy, kind).check(np.array([[0.0, 255.0]]))
        except ValueError:
            continue
        raise Noticed(f"{kind}: a value of 255 is not refused")


# The layer "loss"


def loss(copy: SimpleNamespace) -> None:
    """Compare the model's loss with a loss that plain Python computes from the outputs of encoder, sampler and decoder."""
    for kind in KINDS:
        for settings in ({"beta": 1.5}, {"beta": 1.5, "estimator": "sampled"}, {"decoder": 40.0}):
            vae, x, eps = problem(copy, kind, sigma=0.7, **settings)
            f = vae.forward(x, eps)
            notice(f"loss, {kind}", f.loss, textbook_loss(vae, f, x, kind))


def textbook_loss(vae: object, f: object, x: np.ndarray, kind: str) -> float:
    """Return the mean of beta KL - log p(x|z) over data and draws, for the mu, log_var, z and decoder outputs in `f`."""
    total = 0.0
    for l, b in np.ndindex(f.z.shape[:2]):
        for d in range(x.shape[1]):
            total -= log_p(kind, x[b, d], f.out[l, b, d], *(math.exp(log_sigma) for log_sigma in f.scale))
        for m, v, z in zip(f.mu[b], f.log_var[b], f.z[l, b]):
            closed = (m * m + math.exp(v) - 1 - v) / 2
            sampled = (z * z - (z - m) ** 2 / math.exp(v) - v) / 2
            total += vae.beta * (closed if vae.estimator == "analytic" else sampled)
    return total / (len(f.z) * len(x))


def log_p(kind: str, x: float, out: float, sigma: float = 1.0) -> float:
    """Return log p(x|z) of one feature."""
    if kind == "gaussian":
        return -((x - out) ** 2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
    n = {"bernoulli": 1, "binomial": 16}[kind]
    return math.log(math.comb(n, int(x))) + x * out - n * (math.log1p(math.exp(-abs(out))) + max(out, 0.0))


# The layer "gradient"


PROBLEMS = (
    {"likelihood": "bernoulli", "beta": 1.5},
    {"likelihood": "binomial", "estimator": "sampled"},
    {"likelihood": "gaussian", "sigma": "learned"},
    {"likelihood": "gaussian", "sigma": "optimal"},
    {"likelihood": "bernoulli", "objective": "iwae", "estimator": "sampled"},
)


def gradient(copy: SimpleNamespace) -> None:
    """Compare each array of the gradient with complex steps; the tolerance is 1e-9 of the array's largest entry."""
    for settings in PROBLEMS:
        vae, x, eps = problem(copy, **settings)

        def loss_at(flat, vae=vae, x=x, eps=eps):
            return dataclasses.replace(vae, params=vae.params.like(flat)).forward(x, eps).loss

        got, expected = vae.gradient(x, eps), vae.params.like(complex_gradient(loss_at, vae.params.flat))
        for name in vae.params:
            notice(f"gradient in {name}, {settings['likelihood']}", got[name], expected[name], 1e-9)


# The layer "joint": one distribution for sampler, density and KL


def joint(copy: SimpleNamespace) -> None:
    """Check that the sampler of z, its density and the closed-form KL describe one distribution.

    Quadrature nodes replace the random noise of z, so weighted means over these nodes are exact. The expected value of
    log p(x) is minus the entropy of x. So the mean of log p(x) over 40,000 random x is compared with minus the entropy.
    """
    rng, g = np.random.default_rng(1), copy.gaussian
    mu, log_var = rng.normal(size=(2, 3, 2))
    eps, weights = noise_nodes(2, 3)
    z = g.reparameterize(mu, log_var, eps)                                      # (L, B, J)
    mean = np.tensordot(weights, z, 1)
    notice("mean of the drawn z", mean, mu)
    notice("variance of the drawn z", np.tensordot(weights, (z - mean) ** 2, 1), np.exp(log_var))
    kl = weights @ (g.log_normal(z, mu, log_var) - g.log_standard_normal(z))                # (B,)
    notice("KL of the drawn z, against its closed form", kl, g.kl_standard_normal(mu, log_var).sum(axis=-1))
    vae, *_ = problem(copy)
    noise = vae.draw_noise(np.random.default_rng(2), 4000, 5)                   # (L, B, J): 40,000 numbers
    insist((noise[:, 0] != noise[:, 1]).all(), "two data points get the same noise")
    insist(abs(noise.std() - 1) < 0.03, f"noise has standard deviation {noise.std():.3g}")
    out, log_sigma = np.zeros((40_000, 1)), np.log(0.3)
    x = copy.likelihood.Gaussian(0.3).sample(np.random.default_rng(3), out, log_sigma)
    scored = copy.likelihood.gaussian_log_prob(x, out[None], log_sigma).mean()
    entropy = copy.gaussian.entropy_diagonal(np.array(2 * log_sigma))           # E log p(x) = -H if x ~ p
    insist(abs(scored + entropy) < 0.03, f"draws of x have mean log density {scored:.3g} instead of {-entropy:.3g}")


# The layer "ordering": the order of the bounds


def ordering(copy: SimpleNamespace) -> None:
    """Check KL >= 0 and ELBO < IW_2 < IW_200 <= log p(x): more draws give a tighter bound."""
    mu, log_var = np.meshgrid([0.0, 0.3], np.linspace(-4, 2, 61))
    lowest = copy.gaussian.kl_standard_normal(mu, log_var).min()
    insist(lowest >= 0, f"KL is {lowest:.3g} somewhere")
    vae, x, _ = linear_world(copy, widen=1.0)
    rows, bounds = np.repeat(x, 50, axis=0), copy.evidence.lower_bounds
    by_2, by_200 = (bounds(vae, rows, k, np.random.default_rng(5)) for k in (2, 200))
    exact = copy.evidence.exact_log_px(vae, x).log_px.mean()
    in_order("the ELBO", by_2.elbo.mean(), "IW_2", by_2.iw_bound.mean())
    in_order("IW_2", by_2.iw_bound.mean(), "IW_200", by_200.iw_bound.mean())
    insist(by_200.iw_bound.mean() <= exact + 0.01, f"IW_200 is {by_200.iw_bound.mean():.2f}, above log p(x) = {exact:.2f}")
    rows = np.repeat(x, 200, axis=0)
    weighted = dataclasses.replace(vae, estimator="sampled", objective="iwae")
    eps = np.random.default_rng(6).standard_normal((8, len(rows), 2))
    in_order("the ELBO", vae.elbo(rows, eps).mean(), "the objective of 8 draws", -weighted.loss(rows, eps))
    insist(-weighted.loss(rows, eps) <= exact, "the objective of 8 draws is above log p(x)")


def in_order(low: str, a: float, high: str, b: float) -> None:
    """Raise Noticed unless a + 0.03 < b. In the unchanged package, b is at least 0.1 nats larger than a."""
    insist(a + 0.03 < b, f"{low} is {a:.2f}, not below {high}, {b:.2f}")


# The layer "evidence"


def evidence(copy: SimpleNamespace) -> None:
    """Check a linear model whose q(z|x) is the posterior: quadrature, ELBO and importance weights must give log p(x)."""
    for beta in (1.0, 4.0):
        vae, x, log_px = linear_world(copy, beta)
        notice("log p(x) by quadrature", copy.evidence.exact_log_px(vae, x).log_px, log_px)
        eps, weights = noise_nodes(2, len(x))
        elbo = sum(weight * vae.elbo(x, node[None]) for weight, node in zip(weights, eps))
        notice(f"the ELBO at the posterior, beta {beta:g}", elbo, log_px)
        posterior = copy.evidence.lower_bounds(vae, x, 2, np.random.default_rng(0))
        notice("every importance weight at the posterior", posterior.iw_bound, log_px)
