"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": "VAE Objective", remarks on equation (28)."""

import numpy as np

from derivations.engine.domains import Symbol, positive, real, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import (
    complex_step,
    expect,
    integrate,
    kl_normal,
    kl_of_weights,
    log,
    log_density,
    log_density_full,
    need_positive,
    noise,
    normal,
    times,
    total,
)
from derivations.engine.worlds import (
    ENCODED,
    LINEAR,
    MU_P,
    SIGMA_P,
    TABLES,
    S,
    chosen,
    evidence,
    likelihood,
    linear_elbo,
    linear_log_evidence,
    linear_posterior,
    prior,
    small_vae,
)
from derivations.odaibo.bound import ELBO
from derivations.odaibo.objective import DATUM, NO_Z, NOT_A_DISTRIBUTION, POSTERIOR
from minivae.gaussian import kl_standard_normal, reparameterize
from minivae.likelihood import gaussian_log_prob


def linear_model(x):
    """Return mu, sigma, W, b, s of a linear VAE. q(z|x) has mu and sigma, (n, 1, 2). The decoder is x = z W + b + s eps."""
    vae = small_vae()
    (W, b), s = vae.layers("decoder")[0], np.exp(vae.params["log_sigma"])
    mu, log_var = vae.encode(x)
    return mu[:, None], np.exp(log_var / 2)[:, None], W, b, s


@equation(
    "odaibo.t17", "l.178",
    r"\mathrm{ELBO} := " + ELBO
    + r" = E_{\sim q_\theta(z|x_i)}\left[\log p(x_i, z) - \log q_\theta(z|x_i)\right]"
    r" = \left[\log p(x_i) - D_{KL}(q_\theta(z|x_i)||p(z|x_i))\right]",
    (DATUM,),
    kind="claim",
    claim="The text calls the right side of (28) the evidence lower bound (l.178).",
    says="The three forms of the ELBO are equal. minivae's ELBO has the same value.",
)  # fmt: skip
def t_17(x):
    mu, sigma, W, b, s = linear_model(x)
    eps, chances = noise(2)                                                     # (9, 2), (9,)
    z, x = mu + sigma * eps, x[:, None]                                         # (n, 9, 2), (n, 1, 3)
    average = lambda f: total(f * chances)  # noqa: E731
    log_q = log_density(z, mu, sigma).sum(axis=-1)
    joint = np.block([[np.eye(2), W], [W.T, W.T @ W + s**2 * np.eye(3)]])       # the covariance of (z, x)
    at = np.concatenate([z, np.broadcast_to(x, (*z.shape[:2], 3))], axis=-1)
    log_joint = log_density_full(at, np.concatenate([np.zeros(2), b]), joint)
    cov = np.linalg.inv(np.eye(2) + W @ W.T / s**2)                             # covariance of the posterior
    log_posterior = log_density_full(z, ((x - b) @ W.T @ cov / s**2)[:, 0], cov)
    kl_prior = sum(kl_normal(mu[..., j], sigma[..., j], 0, 1) for j in range(2))
    reconstruction = average(log_density(x, z @ W + b, s).sum(axis=-1))
    return (
        average(log_joint - log_q),
        ":=", -kl_prior + reconstruction,
        "=", average(log_joint) - average(log_q),
        "=", log_density_full(x, b, joint[2:, 2:]) - average(log_q - log_posterior),
    )  # fmt: skip


@t_17.tied("minivae.vae.VAE.elbo")
def _(x):
    # The ELBO is quadratic in the noise, so the mean over the four draws in `corners` is its exact expectation.
    corners = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])[:, None] * np.ones((len(x), 1))
    return small_vae().elbo(x, corners)[:, None]


@equation(
    "odaibo.t18", "l.178",
    r"\exp\left(-\beta D_{KL}(q_\theta(z|x_i)||p(z))"
    r" + E_{\sim q_\theta(z|x_i)}\left[\log p_\phi(x_i|z)\right]\right) \leq p(x_i)",
    (*TABLES, chosen("beta", r"\beta", 1, "1: the KL has its full weight")),
    kind="claim",
    claim='The text says that the ELBO "bounds the likelihood of the data" (l.178).',
    says="The ELBO is a lower bound of log p(x), so exp(ELBO) is a lower bound of p(x).",
    needs="the KL has its full weight (beta = 1), p(z) > 0, and q(z|x_i) sums to 1",
    outside=(POSTERIOR | {"beta": 0.25}, NOT_A_DISTRIBUTION | {"beta": 1}, NO_Z | {"beta": 1}),
    tight=POSTERIOR | {"beta": 1},
)  # fmt: skip
def t_18(p_xz, q, beta):
    p_z, beta = np.broadcast_to(prior(p_xz), q.shape), beta[..., None]
    return np.exp(-beta * kl_of_weights(q, p_z) + total(times(q, log(likelihood(p_xz))))), "<=", evidence(p_xz)


# A lower bound of log p(x) can rise while log p(x) falls. In the example x = w z + s eps, w changes and q stays N(0, 1).

STEP = vector("w", "(w, w')", 2, simple=((3**0.5, 1), (1, 2), (0.5, 1)))        # w before and after the change
FROM_TO = (STEP, positive("s", "s"), real("x", "x", simple=(2, 1, 0)))


def elbo_of(w, s, x):
    """Return the ELBO before and after the change of w, (n, 2), for q = N(0, 1)."""
    return linear_elbo(w[..., None], s[..., None], x[..., None], 0, 1)[..., 0]


@equation(
    "odaibo.t19", "l.178",
    r"\mathrm{sign}\left(\mathrm{ELBO}(w') - \mathrm{ELBO}(w)\right) ="
    r" \mathrm{sign}\left(\log p_{w'}(x_i) - \log p_w(x_i)\right)",
    FROM_TO, kind="claim", verdict="loose", tight={"w": (0, 0), "s": 1, "x": 1},
    claim='The text says that maximising the ELBO maximises the log probability "by proxy" (l.178).',
    says="Read literally, the text says: whenever the ELBO rises, log p(x) rises.",
    fault="Maximising the ELBO raises only a lower bound of log p(x). log p(x) itself can fall while the gap becomes "
    'smaller. The text\'s words "by proxy" do not exclude such a fall.',
)  # fmt: skip
def t_19(w, s, x):
    return np.sign(np.diff(elbo_of(w, s, x))), "=", np.sign(np.diff(linear_log_evidence(w, s, x)))


@t_19.precise(r"\mathrm{ELBO}(w) \leq \log p_w(x_i) = \mathrm{ELBO}(w) + D_{KL}(q(z)||p_w(z|x_i))")
def _(w, s, x):
    mu, sigma = linear_posterior(w, s, x)
    gap = kl_normal(0, 1, mu[..., None], sigma[..., None])[..., 0]
    return elbo_of(w, s, x), "<=", linear_log_evidence(w, s, x), "=", elbo_of(w, s, x) + gap


MANY = Symbol("J", "J", "a whole number, > 50", 1, lambda raw: 50 + np.ceil(10 * np.abs(raw)), (51, 100))


@equation(
    "odaibo.t20", "l.178",
    r"100\left(\left(\frac{E_{\sim p(z)}[p(x|z)^2]}{E_{\sim p(z)}[p(x|z)]^2}\right)^J - 1\right)"
    r" = 100\left(\left(\frac{5}{3}\right)^J - 1\right) > 10^{12}", (MANY,),
    kind="claim",
    claim='The text says that maximising the log probability directly is "typically" intractable (l.178).',
    says="The model has J independent coordinates, each with x = z + eps/2; the datum is x = 0. The left side is the number "
    "of draws from the prior for which the estimate of p(x) has a relative standard deviation of 10 %.",
    needs="more than 50 latent coordinates, and an integral that is estimated from draws of the prior",
    outside={"J": 2},
)  # fmt: skip
def t_20(J):
    p_x_given_z = lambda z: normal(0, z, 0.5)  # noqa: E731
    average = lambda f: integrate(lambda z: normal(z, 0, 1) * f(z), 0, 1)  # noqa: E731
    ratio = average(lambda z: p_x_given_z(z) ** 2) / average(p_x_given_z) ** 2
    return 100 * (ratio**J - 1), "=", 100 * ((5 / 3) ** J - 1), ">", 1e12


BETA = positive("beta", r"\beta", simple=(0.25, 0.5, 1, 2))
MORE = positive("more", r"\delta", simple=(0.25, 0.5, 1, 2))
USED = (positive("w", "w"), S, real("x", "x", simple=(2, 1, 0)), BETA, MORE)


@equation(
    "odaibo.t21", "l.178",
    r"D_{KL}(q_\beta||p(z)) ="
    r" \frac{d}{d\beta}\min_q\left(\beta D_{KL}(q||p(z)) - E_{\sim q}\left[\log p(x|z)\right]\right)"
    r" > D_{KL}(q_{\beta + \delta}||p(z))", USED,
    kind="claim",
    claim='The text calls the KL term "a regularizer" (l.178).',
    says="If the weight beta of the KL grows, the best q has a smaller KL from the prior.",
    needs="the decoder depends on z (w is not 0), and beta > 0",
    outside=({"w": 0, "s": 1, "x": 1, "beta": 1, "more": 1}, {"w": 1, "s": 1, "x": 1, "beta": -1, "more": 1}),
)  # fmt: skip
def t_21(w, s, x, beta, more):
    beta = need_positive("beta", beta)
    best = lambda beta: linear_posterior(w, s * np.sqrt(beta), x)  # mean and sigma of the best q  # noqa: E731

    def least(beta):  # the least loss over all q: -beta log(integral of p(z) p(x|z)^(1/beta) dz)
        v = w**2 + beta * s**2
        return (np.log(2 * np.pi * s**2) + beta * (np.log(v) - np.log(beta * s**2) + x**2 / v)) / 2

    kl_of = lambda beta: kl_normal(*best(beta), 0, 1)  # noqa: E731
    return kl_of(beta), "=", complex_step(least, beta), ">", kl_of(beta + more)


@t_21.tied("minivae.gaussian.kl_standard_normal")
def _(w, s, x, beta, more):
    mu, sigma = linear_posterior(w, s * np.sqrt(beta + more), x)
    return kl_standard_normal(mu, 2 * np.log(sigma))


X4 = vector("x", "x_i", 4, simple=((0.5, 0.5, 0.5, 0.5), (1, 0, 1, 0)))
OUT4 = vector("x_hat", r"\hat x", 4, simple=((0, 0, 0, 0), (1, 1, 0, 0)))
NOISE = positive("s", "s", simple=(0.5, 1, 2))


@equation(
    "odaibo.t22", "l.178", r"\log p_\phi(x_i|z) = \log p_\phi(\hat x|z)", (X4, OUT4, NOISE),
    kind="claim", verdict="loose",
    claim='The text calls the second term a measure of the likelihood of the "reconstructed data output" (l.178).',
    says="Read literally, the text says: log p(x_i|z) is the likelihood of the decoder's output x^.",
    fault="The second term of (28) is the expected log-likelihood of the input x_i, under a Gaussian with the output x^ as "
    "its mean. At a given z, the likelihood of the output x^ does not depend on x_i.",
)  # fmt: skip
def t_22(x, x_hat, s):
    return total(log_density(x, x_hat, s)), "=", total(log_density(x_hat, x_hat, s))


@t_22.precise(r"\log p_\phi(x_i|z) = -\frac{|x_i - \hat x|^2}{2 s^2} - \frac{D}{2}\log(2\pi s^2)")
def _(x, x_hat, s):
    return total(log(normal(x, x_hat, s))), "=", (
        -total((x - x_hat) ** 2) / (2 * s**2) - x.shape[-1] / 2 * np.log(2 * np.pi * s**2)
    )


@t_22.tied("minivae.likelihood.gaussian_log_prob")
def _(x, x_hat, s):
    return gaussian_log_prob(x, x_hat[None], np.log(s)[:, 0]).T


# The function `bent` returns a decoder f_K. At the K points where the Hermite polynomial He_K is 0, f_K(z) is equal to
# f_0(z) = w z. But f_K and f_0 have different losses. So a decoder's values at these K points do not determine its loss.

CURVED = (*LINEAR, *ENCODED, real("c", "c", simple=(0.4, 1)))
DEGREES = (2, 3, 5)


def bent(w, mu_q, sigma_q, c, K):
    """Return the function f_K(z) = w z + c He_K((z - mu_q) / sigma_q)."""
    return lambda z: w * z + c * np.polynomial.hermite_e.hermeval((z - mu_q) / sigma_q, [0] * K + [1])


def loss_of(decoder, s, x, mu_q, sigma_q):
    """Return KL(q || p(z)) - E_q[log p(x|z)] for p(x|z) = N(decoder(z), s^2)."""
    return kl_normal(mu_q, sigma_q, 0, 1) - expect(lambda z: log_density(x, decoder(z), s), mu_q, sigma_q)


def losses(w, s, x, mu_q, sigma_q, c):
    """Return the loss of f_0(z) = w z, (n, 1), and the losses of f_K for all K in DEGREES, (n, 3)."""
    curved = [loss_of(bent(w, mu_q, sigma_q, c, K), s, x, mu_q, sigma_q) for K in DEGREES]
    return loss_of(lambda z: w * z, s, x, mu_q, sigma_q), np.concatenate(curved, axis=1)


@equation(
    "odaibo.t23", "l.180",
    r"\{f_K(z) = w z + c\,He_K((z - \mu_q)/\sigma_q),\; f_0(z) = w z\}:\; \mathcal{L}(f_K) = \mathcal{L}(f_0)", CURVED,
    kind="claim", verdict="loose",
    claim='The text says that Gaussians give "a closed form for the loss function" (l.180); the abstract says this about '
    "the KL.",
    says="Suppose that a formula for the loss uses the values of the decoder at only K points. Then decoders with equal "
    "values at these K points, such as f_K and f_0, have equal losses.",
    fault="Only the KL has a closed form for every decoder. The reconstruction term is an integral over z: it depends on "
    "the decoder at every z.",
)  # fmt: skip
def t_23(w, s, x, mu_q, sigma_q, c):
    straight, curved = losses(w, s, x, mu_q, sigma_q, c)
    return curved, "=", straight


@t_23.precise(r"\{K = 2, 3, 5\}:\; \mathcal{L}(f_K) - \mathcal{L}(f_0) = \frac{c^2 K!}{2 s^2}")
def _(w, s, x, mu_q, sigma_q, c):
    straight, curved = losses(w, s, x, mu_q, sigma_q, c)
    scale = np.abs(straight) + np.abs(curved)
    return Zero(scale, curved - straight), "=", c**2 * np.array([2, 6, 120]) / (2 * s**2)


@t_23.tied("minivae.gaussian.reparameterize", draws=100)
def _(w, s, x, mu_q, sigma_q, c):
    eps, chances = noise(1, nodes=20)
    z = reparameterize(mu_q, 2 * np.log(sigma_q), eps[:, None])                 # (20, n, 1)
    log_p = lambda decoder: chances @ gaussian_log_prob(x, decoder(z), np.log(s)[:, 0])  # noqa: E731
    return np.stack([log_p(lambda z: w * z) - log_p(bent(w, mu_q, sigma_q, c, K)) for K in DEGREES], axis=1)


@equation(
    "odaibo.t24", "l.180",
    r"D_{KL}(N(\mu_q, \sigma_q^2)||N(0, 1)) = \frac{\mu_q^2 + \sigma_q^2 - 1}{2} - \log\sigma_q"
    r" \geq -\log\sigma_q - \frac{1}{2}",
    (real("mu_q", r"\mu_q"), positive("sigma_q", r"\sigma_q", 3, (0.1, 1e-3, 1e-6))),
    kind="claim", tight={"mu_q": 0, "sigma_q": 1e-6},
    claim='The text says that with Gaussians the approximate posterior has "variation or spread" (l.180).',
    says="As sigma_q goes to 0, the KL grows like -log sigma_q, without limit. So training keeps sigma_q above 0.",
)  # fmt: skip
def t_24(mu_q, sigma_q):
    closed_form = (mu_q**2 + sigma_q**2 - 1) / 2 - np.log(need_positive("sigma_q", sigma_q))
    return kl_normal(mu_q, sigma_q, 0, 1), "=", closed_form, ">=", -np.log(sigma_q) - 1 / 2


PRIORS = (MU_P, SIGMA_P, *LINEAR)


@equation(
    "odaibo.t27", "l.180",
    r"\int N(z; \mu_p, \sigma_p^2)\,p(x|f(z))\,dz = \int N(z; 0, 1)\,p(x|f(\mu_p + \sigma_p z))\,dz", PRIORS,
    kind="claim",
    claim="The text says that we can choose part of the structure of the latent variables (l.180).",
    says="The prior N(mu_p, sigma_p^2) with the decoder f(z) gives the same p(x) as the prior N(0, 1) with the decoder "
    "f(mu_p + sigma_p z).",
)  # fmt: skip
def t_27(mu_p, sigma_p, w, s, x):
    exact = normal(x, w * mu_p, np.sqrt(w**2 * sigma_p**2 + s**2))          # p(x) for f(z) = w z
    weight = lambda z: normal(z, 0, 1) * normal(x, w * (mu_p + sigma_p * z), s)  # noqa: E731
    where = linear_posterior(w * need_positive("sigma_p", sigma_p), s, x - w * mu_p)
    return exact, "=", integrate(weight, *where)
