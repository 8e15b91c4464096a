"""Lessons about p and q: how to compute log p(x), the names of the networks, the direction of the KL."""

from dataclasses import replace

import numpy as np

from minivae.evidence import exact_log_px, lower_bounds
from minivae.evidence.sums import log_mean_exp
from minivae.exercises.lessons.frame import Finding, Setup, held_out, lesson, nats, trained
from minivae.gaussian import log_normal

COUNTS = (1, 10, 100, 1000)


@lesson(
    11,
    question="How do I compute log p(x)? Can I not average p(x|z) over z from the prior?",
    asked="Cross Validated, question 476826; bjlkeng.io, 'Importance sampling and estimating marginal likelihood'",
    predict="Average p(x|z) over 100 draws of z ~ N(0, I), J = 2. How far is its log below the exact log p(x)?",
    choices=("less than 0.1 nats", "more than 1 nat", "it is above log p(x)"),
    answer=1,
    code=("minivae.evidence.bounds:lower_bounds", "minivae.evidence.quadrature:exact_log_px"),
    ledger="lm.12",
    test="test_every_bound_of_a_linear_model_agrees_with_its_closed_form",
)
def evidence(setup: Setup) -> Finding:
    """Estimate log p(x) with z from the prior and with z from q(z|x); compare both estimates with the exact value."""
    x, _ = held_out(setup)
    vae, rng = trained(setup).astype(np.float64), np.random.default_rng(setup.seed)
    exact = float(exact_log_px(vae, x, 0.01, 2048).log_px.mean())
    bounds = lower_bounds(vae, x, COUNTS, rng)
    log_px_z = vae.log_likelihood(x.astype(float), rng.standard_normal((COUNTS[-1] * 5, 1, 2)))      # (5000, N)
    prior = []
    for k in COUNTS:
        blocks = log_px_z.reshape(-1, k, len(x))            # each block of k draws gives one estimate of log p(x)
        prior.append(float(log_mean_exp(blocks, axis=1).mean()))
    weighted = bounds.iw_bound.mean(axis=1)
    rows = [("exact, by numerical integration", nats(exact)), ("ELBO", nats(float(bounds.elbo.mean())))]
    rows += [(f"draws: {k}", f"prior {p:.1f}, encoder {w:.2f} nats") for k, p, w in zip(COUNTS, prior, weighted)]
    below = exact - prior[2]
    lines = {"z ~ q(z|x),\nimportance\nweighted": exact - weighted, "z ~ p(z)": exact - np.array(prior)}
    finding = f"100 draws: {below:.1f} nats too low with z from the prior, {exact - weighted[2]:.2f} with z from the encoder"
    caption = f"Distance below log p(x), mean over {len(x)} held-out digits. Both axes are logarithmic."
    panel = ("", "draws of z per digit", "log p(x) minus estimate (nats)", np.array(COUNTS), lines, (), "xy")
    return Finding(
        below, "nats by which the log of the average over 100 draws from the prior is below log p(x)", rows,
        below > 1 and 0 < exact - weighted[2] < below / 3 and exact > bounds.elbo.mean(),
        f"Few draws from the prior hit the narrow posterior. With z ~ q(z|x) and weights p(x, z) / q(z|x), the estimate "
        f"from 100 draws is {nats(float(exact - weighted[2]))} below log p(x). With more latent dimensions, draws from the "
        "prior become useless.",
        lambda figures: figures.curves([figures.Panel(*panel)], finding, caption),
    )  # fmt: skip


@lesson(
    15,
    question="Is theta the encoder or the decoder? What is p, what is q, what is the likelihood?",
    asked="Cross Validated, questions 601441 and 446715",
    predict="How large is the gradient of KL( q(z|x) || p(z) ) in the weights of the decoder?",
    choices=("as large as in the encoder", "small, but not 0", "exactly 0"),
    answer=2,
    code=("minivae.vae:VAE.backward", "minivae.vae:VAE.layers"),
    ledger="odaibo.28",
    test="test_notation_shows_that_sources_use_different_letters",
)
def notation(setup: Setup) -> Finding:
    """Compute the gradient of each term of the loss with respect to the weights of the encoder and of the decoder."""
    x, _ = held_out(setup)
    vae = trained(setup).astype(np.float64)
    eps = vae.draw_noise(np.random.default_rng(setup.seed), len(x))
    both, without_kl = (replace(vae, beta=beta).gradient(x, eps) for beta in (1.0, 0.0))
    size = {}
    for term, gradient in (("-log p(x|z)", without_kl.flat), ("KL", both.flat - without_kl.flat)):
        named = vae.params.like(gradient)
        for part in ("encoder", "decoder"):
            size[f"{term}\nin the {part}"] = max(float(np.abs(w).max()) for w, _ in named.layers[part])
    rows = [
        ("q(z|x)", "encoder: mu, log_var = vae.encode(x); theta in Odaibo, phi in the other sources"),
        ("p(x|z)", "decoder: vae.decode(z); phi in Odaibo, theta in the other sources; called the likelihood"),
        ("p(z)", "prior N(0, I): no parameters"),
        ("p(z|x)", "posterior: the decoder and the prior define it; q(z|x) is an approximation of it"),
    ]
    *others, zero = size.values()
    caption = "Largest entry of the gradient in the weights. q(z|x) depends on the encoder's parameters only."
    return Finding(
        zero, "largest gradient of the KL in a weight of the decoder", rows, zero == 0 and min(others) > 0,
        "q belongs to the encoder and p(x|z) to the decoder, whichever letters a text uses. The KL to the prior contains "
        "only q, so it gives the decoder no gradient. -log p(x|z) gives the decoder a gradient, and the encoder "
        "another one, through z.",
        lambda figures: figures.bars(size, "largest gradient in a weight", "The KL gives the decoder no gradient", caption),
    )  # fmt: skip


@lesson(
    16,
    question="What is the difference between KL(q || p) and KL(p || q)?",
    asked="many explainers of variational inference",
    predict="p has two peaks, at -2 and 2. One Gaussian q minimises KL(q || p). What does q look like?",
    choices=("wide, over both peaks", "narrow, on one peak", "narrow, between the peaks"),
    answer=1,
    code=("minivae.gaussian:log_normal", "minivae.evidence.gaps:gap"),
    ledger="cards.22",
    test="test_forward_and_reverse_fit_have_the_smallest_kl_in_their_direction",
)
def direction(setup: Setup) -> Finding:
    """Fit one Gaussian to a mixture of two Gaussians, once for each direction of the KL, by a search over mu and sigma."""
    z = np.linspace(-8, 8, 801)
    density = lambda mu, sigma: log_normal(z[:, None], np.full(1, mu), np.full(1, 2 * np.log(sigma)))  # noqa: E731
    log_p = np.logaddexp(density(-2.0, 0.5), density(2.0, 0.5)) - np.log(2)
    best = {}
    for mu in np.linspace(0, 3, 31):
        for sigma in np.linspace(0.3, 3, 28):
            log_q = density(mu, sigma)
            reverse, forward = ((np.exp(a) * (a - b)).sum() * 0.02 for a, b in ((log_q, log_p), (log_p, log_q)))
            for name, kl in (("KL(q || p)", reverse), ("KL(p || q)", forward)):
                best[name] = min(best.get(name, (np.inf,)), (kl, mu, sigma))
    rows = [(f"smallest {name}", f"{kl:.3f} nats, at mu = {mu:.1f}, sigma = {s:.1f}") for name, (kl, mu, s) in best.items()]
    (_, mu, narrow), (_, centre, wide) = best.values()
    lines = {"p": np.exp(log_p)} | {f"least\n{name}": np.exp(density(m, s)) for name, (_, m, s) in best.items()}
    finding = f"KL(q || p) chooses one peak, KL(p || q) covers both: {wide / narrow:.1f} times as wide"
    caption = "p: two Gaussians with sigma 0.5. By symmetry, the peak at -2 would be as good."
    return Finding(
        wide / narrow, "sigma of the q that minimises KL(p || q), divided by that for KL(q || p)", rows,
        wide / narrow > 3 and mu > 1.5 and centre < 0.2,
        "KL(q || p) is large where q has mass and p has none, so q stays inside one peak. KL(p || q) is large where p has "
        "mass and q has none, so q covers both. The ELBO uses KL(q || p): this is a mean over q, and q is easy to sample.",
        lambda figures: figures.curves([figures.Panel("", "z", "density", z, lines)], finding, caption),
    )  # fmt: skip
