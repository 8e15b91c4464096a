"""Lessons about training: NaN, the reparameterised draw, checks of a hand-written gradient."""

import numpy as np

import minivae
from minivae.evidence import gradient_noise
from minivae.exercises.lessons.frame import Finding, Setup, held_out, lesson, trained
from minivae.gaussian import kl_standard_normal
from minivae.likelihood import bernoulli_log_prob
from minivae.museum.exhibits import find as exhibit
from minivae.museum.patched import package
from minivae.museum.problems import problem


@lesson(
    4,
    question="My loss is NaN or infinite. Do I have to clip log_var or the logits?",
    asked="AppliedDataSciencePartners/WorldModels #9, AntixK/PyTorch-VAE #16, synthcity #331",
    predict="Write the BCE of x = 0 as -log(1 - sigmoid(logit)), in float32. From which logit on is it infinite?",
    choices=("about 17", "about 89, where exp overflows", "never"),
    answer=0,
    code=("minivae.likelihood:bernoulli_log_prob", "minivae.ops:softplus"),
    ledger="beyond.18",
    test="test_log_prob_is_finite_and_right_at_logits_of_ten_thousand",
)
def infinite_loss(setup: Setup) -> Finding:
    """Compute the BCE of x = 0 in float32 with a naive and with a stable formula. Also compute the gradient of np.clip."""
    logits = np.linspace(0, 100, 1001, dtype=np.float32)
    with np.errstate(all="ignore"):
        naive = -np.log(1 - 1 / (1 + np.exp(-logits)))
        stable = -bernoulli_log_prob(np.zeros((1, 1), np.float32), logits[:, None, None])[:, 0]
        overflow = next(v for v in range(200) if not np.isfinite(np.exp(np.float32(v))))
    infinite = float(logits[~np.isfinite(naive)].min(initial=np.inf))
    off = float(np.abs(stable - logits)[logits > 20].max())
    slope = float(np.diff(np.clip([19.9, 20.1], -10, 10)).item() / 0.2)
    rows = [
        ("stable form at logit 100", f"{stable[-1]:.1f} nats; its error is below {off + 1e-6:.0e}"),
        ("exp(log_var) is infinite in float32 from", f"log_var = {overflow}"),
        ("gradient through clip(log_var, -10, 10) at log_var = 20", f"{slope:g}"),
    ]
    finding = f"The naive form is infinite from logit {infinite:.1f} on"
    caption = "BCE of x = 0 in float32. The naive curve (orange) ends where 1 - sigmoid(logit) is rounded to 0."
    lines = {"stable": stable, "naive": naive}
    return Finding(
        infinite, "smallest logit at which the naive BCE is infinite in float32", rows,
        15 < infinite < 20 and bool(np.isfinite(stable).all()) and off < 1e-4,
        f"sigmoid({infinite:.1f}) is rounded to 1, and log(1 - 1) is minus infinity. Write log(1 + e^l) as max(l, 0) + "
        "log(1 + e^-|l|): this never overflows. Clipping only hides the cause: outside the clip the gradient is 0.",
        lambda figures: figures.curves([figures.Panel("", "logit", "BCE (nats)", logits, lines)], finding, caption),
    )  # fmt: skip


@lesson(
    8,
    question="Why reparameterise? Can I not backpropagate through the random sample?",
    asked="Cross Validated, question 474889; pytorch/examples #592",
    predict="The pathwise estimate uses z = mu + sigma eps and the chain rule from z to mu. The score-function estimate "
    "multiplies log p(x|z) by d log q(z|x) / d mu. The two estimates have equal means. How much "
    "larger is the variance of the score-function estimate?",
    choices=("about equal", "about 10 times", "more than 1000 times"),
    answer=2,
    code=("minivae.evidence.gradients:gradient_noise", "minivae.gaussian:reparameterize_backward"),
    ledger="lm.42",
    test="test_score_function_has_more_variance_than_pathwise_and_a_baseline_reduces_it",
)
def reparameterise(setup: Setup) -> Finding:
    """Estimate the gradient of the ELBO in mu and log_var in three ways; compare the three means and variances."""
    x, draws = held_out(setup)[0][:20], 2000
    noise = gradient_noise(trained(setup), x, np.random.default_rng(setup.seed), draws)
    variance = {name: float(each.variance.mean()) for name, each in noise._asdict().items()}
    ratio, reduced = (variance[name] / variance["pathwise"] for name in ("score", "baseline"))
    error = np.sqrt((noise.score.variance + noise.pathwise.variance) / draws)   # (20, 4)   standard error of each difference
    apart = np.abs(noise.score.mean - noise.pathwise.mean) / error
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)  # quadrature over N(0, 1), exact for these polynomials
    z, weights = 1 + nodes, weights / weights.sum()
    toy = [(weights @ g, weights @ g**2 - (weights @ g) ** 2) for g in (2 * z, z**2 * nodes)]
    rows = [
        ("largest difference of the two means, in standard errors", f"{apart.max():.1f} (below 6: only noise)"),
        ("variance with the mean as baseline / variance of the pathwise estimate", f"{reduced:.3g}"),
        ("pathwise estimate 2 z of d/dmu E[z^2], at mu = sigma = 1", "mean {:.0f}, variance {:.0f}".format(*toy[0])),
        ("score-function estimate z^2 (z - mu) of the same gradient", "mean {:.0f}, variance {:.0f}".format(*toy[1])),
    ]
    names = {"pathwise": "pathwise", "baseline": "score function\nwith baseline", "score": "score\nfunction"}
    bars = {text: variance[name] for name, text in names.items()}
    caption = f"Gradient of the ELBO in mu and log_var, one draw, mean over {len(x)} digits. Logarithmic axis."
    finding = f"The score-function estimate has {ratio:,.0f} times the variance"
    return Finding(
        ratio, "variance of the score-function estimate / variance of the pathwise estimate", rows,
        ratio > 1000 and variance["score"] > variance["baseline"] > variance["pathwise"] and apart.max() < 6,
        "No: a drawn z is a constant, so its derivative in mu is 0. The score-function estimate needs no derivative of z "
        f"and has the right mean, but {ratio:,.0f} times the variance of the pathwise estimate, because it does not use "
        "the slope of log p(x|z). "
        f"If the mean of log p(x|z) over other draws is subtracted as a baseline, the factor is {reduced:.3g}.",
        lambda figures: figures.bars(bars, "variance of the estimate", finding, caption, log=True),
    )  # fmt: skip


@lesson(
    17,
    question="Is my hand-written gradient right? How close to the finite difference is close enough?",
    asked="Cross Validated, question 184220",
    predict="Compare a right gradient with central differences at the best step, in float64. How large is the error?",
    choices=("0.01", "0.0001", "below 0.00000001"),
    answer=2,
    code=("minivae.vae:VAE.backward", "minivae.gaussian:kl_standard_normal_backward"),
    ledger="beyond.25",
    test="test_planted_error_in_any_backward_is_noticed",
)
def gradient_check(setup: Setup) -> Finding:
    """Compare a right gradient, and the gradient of a broken model, with central differences at several step sizes."""
    steps, bug = np.logspace(-1, -12, 12), exhibit("half-forgotten")
    broken = package(bug.changes)
    errors = {
        name: np.array([error_of(copy, step) for step in steps])
        for name, copy in (("right", minivae), ("1/2 forgotten", broken))
    }
    log_var, h = np.array([[-1.0, 0.5, 2.0]]), 1e-5
    mu, one = np.zeros((1, 3)), np.ones((1, 3))
    numeric = (kl_standard_normal(mu, log_var + h) - kl_standard_normal(mu, log_var - h)) / (2 * h)
    ratio = broken.gaussian.kl_standard_normal_backward(one, mu, log_var)[1] / numeric
    best = int(errors["right"].argmin())
    lowest = {name: float(each.min()) for name, each in errors.items()}
    rows = [
        ("best step", f"{steps[best]:.0e}"),
        ("smallest error of the broken gradient", f"{lowest['1/2 forgotten']:.2g}"),
        ("broken dKL/dlog_var, analytic / numeric", ", ".join(f"{value:.4f}" for value in ratio[0])),
    ]
    finding = "The error of a right gradient has a sharp minimum, that of a wrong one a plateau"
    caption = "Left of the minimum, rounding errors grow; right of it, errors of the differences. The noise eps is fixed."
    lines = {name: each[::-1] for name, each in errors.items()}
    panel = ("", "step", "largest error / largest entry", steps[::-1], lines, (), "xy")
    return Finding(
        lowest["right"], "smallest error of the right gradient, relative to its largest entry", rows,
        lowest["right"] < 1e-8 and lowest["1/2 forgotten"] > 1e-3,
        f"Float precision explains an error of {lowest['right']:.0e}, never one of {lowest['1/2 forgotten']:.1g}. Print "
        f"analytic / numeric, too: if it is constant, here {ratio.mean():.3g}, a factor of the gradient is wrong.",
        lambda figures: figures.curves([figures.Panel(*panel)], finding, caption),
    )  # fmt: skip


def error_of(copy: object, step: float) -> float:
    """Return the largest error of a gradient, divided by the gradient's largest entry.

    `copy` is a copy of the package minivae. The gradient of one of its models is compared with central differences.
    """
    model, x, eps = problem(copy)
    analytic, flat = model.gradient(x, eps).flat, model.params.flat
    numeric = np.empty_like(analytic)
    for i, value in enumerate(flat.copy()):
        ends = []
        for flat[i] in (value + step, value - step):
            ends.append(model.loss(x, eps))
        flat[i] = value
        numeric[i] = (ends[0] - ends[1]) / (2 * step)
    return float(np.abs(numeric - analytic).max() / np.abs(analytic).max())
