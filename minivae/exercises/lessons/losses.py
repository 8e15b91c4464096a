"""Lessons about the loss: sums and means, the 1/2 in exp(log_var / 2), BCE on grey values, negative losses, sigma, beta."""

from dataclasses import replace

import numpy as np

from minivae.evidence import exact_log_px
from minivae.evidence.sweep import measure
from minivae.exercises.lessons.frame import Finding, Setup, held_out, lesson, nats, trained
from minivae.gaussian import kl_standard_normal
from minivae.likelihood import Gaussian, bernoulli_log_prob, gaussian_log_prob
from minivae.museum import tour
from minivae.museum.exhibits import find as exhibit
from minivae.museum.patched import package
from minivae.rosetta import Convention, translate


@lesson(
    1,
    question="Do I sum or average over pixels and latent dimensions? Is it not only a constant factor?",
    asked="keras-team/keras #6015, pytorch/examples #290, AntixK/PyTorch-VAE #35",
    predict="Take a mean over the 64 pixels and a mean over the 2 latent dimensions. How large is the KL after training?",
    choices=("about the same as with sums", "half as large", "nearly 0"),
    answer=2,
    code=("minivae.rosetta.convention:translate", "minivae.objective:elbo_loss"),
    ledger="hong.11",
    test="test_posterior_collapses_for_a_loss_with_averages_but_not_with_sums",
)
def reductions(setup: Setup) -> Finding:
    """Train once for each choice of sums and means, with the beta that this choice implies."""
    x, _ = held_out(setup, "bernoulli")
    rng, kl, rows = np.random.default_rng(setup.seed), {}, []
    for reduce, kl_reduce in (("sum", "sum"), ("sum", "mean"), ("mean", "sum"), ("mean", "mean")):
        beta = translate(Convention("bce", reduce=reduce, kl_reduce=kl_reduce, features=64, latent=2)).reading.beta
        point = measure(trained(setup, "bernoulli", beta=beta), x, rng, beta)
        kl[f"{reduce} over D,\n{kl_reduce} over J"] = point.rate
        rows.append((f"{reduce} D, {kl_reduce} J", f"beta {beta:g}, KL {nats(point.rate)}, ELBO {nats(point.elbo)}"))
    sums, *_, means = kl.values()
    caption = "0/1 digits, D = 64 pixels, J = 2 latent dimensions. Each bar: one training."
    return Finding(
        means, "nats of KL with two means", rows, means < 0.05 and sums > 0.5,
        f"Up to a factor, a loss with means over D and J is a loss with sums and beta = D/J = {beta:g}. The KL falls from "
        f"{nats(sums)} to {nats(means)}: the model ignores z. A factor on the whole loss is harmless; a factor on one "
        "term is a beta.",
        lambda figures: figures.bars(kl, "KL after training (nats)", "A mean over pixels: the model ignores z", caption),
    )  # fmt: skip


@lesson(
    2,
    question="Why log-variance, where does the 1/2 come from, and is it sigma or sigma squared?",
    asked="keras-team/keras #3283, AntixK/PyTorch-VAE #69, Cross Validated, question 486203",
    predict="Write z = mu + exp(log_var) * eps by mistake, without the / 2. How does the loss look?",
    choices=("worse, so one sees the mistake", "the same", "better than the right one"),
    answer=2,
    code=("minivae.gaussian:reparameterize", "minivae.gaussian:kl_standard_normal"),
    ledger="beyond.12",
    test="test_mean_of_log_q_minus_log_p_over_draws_equals_the_kl",
)
def log_variance(setup: Setup) -> Finding:
    """Train the right model, and a model with the museum's bug exp-log-var; compare each ELBO with the exact log p(x)."""
    bug = exhibit("exp-log-var")
    right, broken = (tour.trained(package(changes), bug, setup.seed, setup.epochs) for changes in ((), bug.changes))
    above = {name: each.elbo - each.log_px for name, each in (("right", right), ("without / 2", broken))}
    rows = [
        (name, f"training loss {each.loss:.2f}; held-out 'ELBO' {each.elbo:.2f}, exact log p(x) {each.log_px:.2f}")
        for name, each in (("right", right), ("without / 2", broken))
    ]
    finding = "With the bug, the 'lower bound' is above log p(x)"
    caption = "Held-out digits. A lower bound is at most 0 here, up to the noise of its draws."
    return Finding(
        above["without / 2"], "nats by which the 'lower bound' of the broken model is above log p(x)", rows,
        above["without / 2"] > 0.3 and above["right"] < 0.1 and broken.loss < right.loss,
        "log_var is log sigma^2: the encoder's output may be any real number, and the variance exp(log_var) is positive. "
        "sigma = sqrt(exp(log_var)) = exp(log_var / 2): the 1/2 is the square root. Without it the loss looks better by "
        f"{nats(right.loss - broken.loss)}, but minus the loss is no longer a lower bound of log p(x). No loss curve shows "
        "this; a test that compares sampler, density and KL does.",
        lambda figures: figures.bars(above, "'ELBO' minus log p(x) (nats)", finding, caption),
    )  # fmt: skip


@lesson(
    6,
    question="BCE or MSE? My images are grey, not black and white. Why does the BCE stay so high?",
    asked="pytorch/examples #460, fchollet/dlwp #109, Cross Validated, question 350211",
    predict="The decoder returns exactly the grey image x. How large is the binary cross-entropy?",
    choices=("0", "the entropy of the grey values, far above 0", "infinite"),
    answer=1,
    code=("minivae.likelihood:bernoulli_log_prob", "minivae.data.dataset:draw_binary"),
    ledger="beyond.18",
    test="test_bernoulli_probability_is_a_product_over_pixels_and_sums_to_one",
)
def grey_values(setup: Setup) -> Finding:
    """Compute the cross-entropy of a perfect reconstruction, for grey and for 0/1 digits."""
    floor = {}
    for kind in ("bernoulli", "grey"):
        x = held_out(setup, kind)[0].astype(float)
        p = np.clip(x, 1e-12, 1 - 1e-12)
        floor[kind] = -float(bernoulli_log_prob(x, np.log(p / (1 - p))[None]).mean())
    point = measure(trained(setup, "grey"), held_out(setup, "grey")[0], np.random.default_rng(setup.seed), "grey")
    p = np.linspace(0.01, 0.99, 99)
    cost = {f"x = {x:g}": -x * np.log(p) - (1 - x) * np.log(1 - p) for x in (0, 0.5, 1)}
    rows = [
        ("reconstruction term of a trained model, grey", nats(point.distortion)),
        ("perfect reconstruction, grey digits", nats(floor["grey"])),
        ("perfect reconstruction, 0/1 digits", nats(abs(floor["bernoulli"]))),
        ("one pixel x = 0.5, the best p", f"BCE {cost['x = 0.5'].min():.3f} at p = {p[cost['x = 0.5'].argmin()]:.2f}"),
    ]
    finding = f"A grey pixel x = 0.5 costs at least {cost['x = 0.5'].min():.3f} nats"
    caption = "Binary cross-entropy of one pixel. The minimum is at p = x, but it is 0 only for x = 0 and x = 1."
    return Finding(
        floor["grey"], "nats that a perfect reconstruction of a grey digit still costs", rows,
        5 < floor["grey"] < point.distortion and abs(floor["bernoulli"]) < 1e-6,
        f"The reconstruction term is {nats(point.distortion)}. {nats(floor['grey'])} of it are the entropy of the grey "
        "values: no model can remove them. "
        "The minimum is still at p = x, so training works, but with grey values BCE is a loss and not a log-likelihood.",
        lambda figures: figures.curves([figures.Panel("", "p", "BCE (nats)", p, cost)], finding, caption),
    )  # fmt: skip


@lesson(
    7,
    question="My loss is negative. My probabilities are above 1. Is that a bug?",
    asked="Cross Validated, question 630079; AI Stack Exchange, question 17790",
    predict="How high is the density of a Gaussian with sigma = 0.1 at its mean?",
    choices=("at most 1", "about 4", "infinite"),
    answer=1,
    code=("minivae.likelihood:gaussian_log_prob", "minivae.likelihood:Bernoulli.check"),
    ledger="odaibo.t4",
    test="test_data_outside_0_to_1_are_refused_for_bernoulli",
)
def negative_loss(setup: Setup) -> Finding:
    """Compute a density above 1, log p(x|z) for pixels of two scales, the BCE of a target x = 1.2, and the smallest KL."""
    zero, sigma = np.zeros((1, 1)), np.log(0.1)
    peak = float(np.exp(gaussian_log_prob(zero, zero[None], sigma))[0, 0])
    x = held_out(setup, "grey")[0].astype(float)
    mean = np.broadcast_to(x.mean(axis=0), x.shape)[None]
    scaled = (gaussian_log_prob(255 * x, 255 * mean, sigma + np.log(255)) - gaussian_log_prob(x, mean, sigma)).mean()
    logits, log_var = np.linspace(-5, 60, 200), np.linspace(-4, 3, 200)
    bce = {f"x = {v:g}": -bernoulli_log_prob(np.full((1, 1), v), logits[:, None, None])[:, 0] for v in (1, 1.2)}
    kl = {"KL": kl_standard_normal(np.zeros(200), log_var)}
    value = np.linspace(-0.5, 0.5, 201)
    density = {"density": np.exp(-(value**2) / 0.02) * peak}
    rows = [
        ("64 pixels, each at its mean", f"log p(x|z) = {64 * np.log(peak):.1f} nats, so the loss can be negative"),
        ("pixels 0..255 instead of 0..1, same model", f"log p(x|z) changes by {scaled:.1f} nats = -64 log 255"),
        ("BCE of x = 1.2 at logit 60", f"{bce['x = 1.2'][-1]:.1f} nats; it falls without limit as the logit grows"),
        ("smallest KL to the prior, for log_var from -4 to 3", f"{nats(kl['KL'].min())}: it is 0 only at the prior"),
    ]
    caption = "Left: a density may exceed 1; its area is 1. Middle: BCE needs x in [0, 1]. Right: the KL is never below 0."
    return Finding(
        peak, "density of N(0, 0.1^2) at 0, which is 1 / (0.1 sqrt(2 pi))", rows,
        peak > 1 and kl["KL"].min() >= 0 and bce["x = 1.2"][-1] < -5 < bce["x = 1"].min(),
        "A density is not a probability: it may be above 1, and then minus its log is negative. With a "
        "Gaussian decoder, that is no bug. A negative BCE means targets outside [0, 1]. A negative KL from the "
        "closed form is always a bug.",
        lambda figures: figures.curves([
            figures.Panel("A density above 1", "x", "density", value, density, [(1, "1")]),
            figures.Panel("BCE of a target above 1", "logit", "BCE (nats)", logits, bce, [(0, "")]),
            figures.Panel("The KL", "log_var, at mu = 0", "KL (nats)", log_var, kl, [(0, "")]),
        ], "Three causes of a negative loss, one of them harmless", caption),
    )  # fmt: skip


@lesson(
    9,
    question="Where does the MSE come from? What is the decoder's sigma, and how is it related to beta?",
    asked="Cross Validated, question 446715",
    predict="Loss 1: a Gaussian decoder with sigma^2 = 0.1, beta = 1. Loss 2: half the squared error + 0.1 KL. How are the "
    "gradients related?",
    choices=("unrelated", "proportional, with factor 10", "equal"),
    answer=1,
    code=("minivae.likelihood:gaussian_log_prob", "minivae.rosetta.convention:implied_sigma"),
    ledger="hong.15",
    test="test_squared_error_determines_only_the_product_of_beta_and_sigma_squared",
)
def mse_and_sigma(setup: Setup) -> Finding:
    """Compare the gradients of two losses; train with three values of sigma^2."""
    variance = 0.1
    x, _ = held_out(setup, "gaussian")
    rng = np.random.default_rng(setup.seed)
    vae = trained(setup, "gaussian", sigma=variance**0.5).astype(np.float64)
    vae.params["log_sigma"][...] = np.log(variance) / 2     # the exact float64 value; training rounded it to float32
    squares = replace(vae, params=vae.params.copy(), likelihood=Gaussian(1.0), beta=variance)
    squares.params["log_sigma"][...] = 0
    eps = vae.draw_noise(rng, len(x))
    ours, theirs = vae.gradient(x, eps).flat[:-1], squares.gradient(x, eps).flat[:-1]  # log_sigma is fixed: drop its entry
    ratio = float((ours @ theirs) / (theirs @ theirs))
    off = float(np.abs(ours - ratio * theirs).max() / np.abs(ours).max())
    rows = [("largest deviation from this factor", f"{off:.0e} of the largest entry")]
    kls = []
    for each in (1.0, variance, 0.02):
        point = measure(trained(setup, "gaussian", sigma=each**0.5), x, rng, each)
        error = 2 * each * (point.distortion - 32 * np.log(2 * np.pi * each))
        kls.append(point.rate)
        rows.append((f"trained with sigma^2 = {each:g}", f"KL {nats(point.rate)}, squared error {error:.2f}"))
    finding = f"Every entry of the gradient has the same ratio, {ratio:.4g}"
    caption = "Each point: one weight or bias. The factor is 1/sigma^2 for all, so the two losses have the same minimum."
    names = "d(half squared error + 0.1 KL)", "d(-log p(x|z) + KL), sigma^2 = 0.1"
    return Finding(
        ratio, "gradient of minus the ELBO at sigma^2 = 0.1, divided by that of half the squared error + 0.1 KL", rows,
        abs(ratio * variance - 1) < 1e-9 and off < 1e-9 and kls == sorted(kls),
        "The squared error comes from a Gaussian with fixed sigma, and sigma^2 plays the role of beta: "
        f"-log p + KL = (half squared error + sigma^2 KL) / sigma^2 + constant. A smaller sigma gives a larger KL: from "
        f"{nats(kls[0])} to {nats(kls[-1])}.",
        lambda figures: figures.proportional(theirs, ours, ratio, names, finding, caption),
    )  # fmt: skip


@lesson(
    14,
    question="What value of beta should I use?",
    asked="BVAE-tf #2 and #6, cryodrgn #19",
    predict="Train with beta = 0.25. Is minus the loss still a lower bound of log p(x)?",
    choices=("yes, a looser one", "yes, a tighter one", "no, it can be above log p(x)"),
    answer=2,
    code=("minivae.objective:elbo_loss", "minivae.evidence.sweep:measure"),
    ledger="beyond.45",
    test="test_loss_can_be_below_minus_log_px_for_beta_below_1",
)
def beta(setup: Setup) -> Finding:
    """Train with several betas; compare minus the loss with the exact log p(x)."""
    x, _ = held_out(setup)
    points, above, rows = [], {}, []
    for each in (0.25, 1.0, 4.0, 16.0):
        vae = trained(setup, beta=each)
        point = measure(vae, x, np.random.default_rng(setup.seed), each)
        log_px = float(exact_log_px(vae, x, 0.01, 2048).log_px.mean())
        above[each] = -point.distortion - each * point.rate - log_px
        points.append(point)
        rows.append((f"beta {each:g}", f"minus the loss - log p(x) = {above[each]:+.2f} nats; ELBO {point.elbo:.1f} nats"))
    return Finding(
        above[0.25], "nats by which minus the loss is above log p(x), at beta = 0.25", rows,
        above[0.25] > 0.3 and max(above[1.0], above[4.0], above[16.0]) < 0 and above[1.0] == max(list(above.values())[1:]),
        "With beta below 1, minus the loss is not a lower bound of log p(x); with beta above 1, the bound is looser. A "
        "beta chooses a point on the curve of rate (KL) and distortion. Compare models by the ELBO, whose "
        "beta is always 1, and never by their losses.",
        lambda figures: figures.rate_distortion(points, "beta"),
    )  # fmt: skip
