"""Compare annealed importance sampling with closed forms and quadrature: its bias, transitions, lower and upper bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.evidence import annealed, annealing, exact_linear, exact_log_px, lower_bounds, sandwich
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.vae import VAE
from tests.helpers.linear import closed_log_px, linear_model
from tests.helpers.numeric import close, random_problem, refused

LIMIT = 8                                                   # tolerance in standard errors of a mean over at least 50 chains


@pytest.mark.slow
@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0.5, 1.0, 3.0]))
def test_annealed_log_px_of_linear_models_agrees_with_the_closed_form(seed, latent, sigma):
    vae, x = linear_model(seed, latent, sigma=sigma, rows=3)
    found = annealed(vae, x, np.random.default_rng(seed), chains=100, distributions=60, start="prior")
    assert found.error.max() < 0.3 and found.acceptance.min() > 0.6
    assert (np.abs(found.log_px - closed_log_px(vae, x)) <= LIMIT * found.error + found.error**2).all()


@pytest.mark.slow
@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([Bernoulli(), Binomial(5), Gaussian(0.5)]), st.integers(1, 2))
def test_annealed_log_px_of_nonlinear_models_agrees_with_quadrature(seed, likelihood, latent):
    vae, x, _ = random_problem(seed, likelihood, latent=latent, rows=2)
    found = annealed(vae, x, np.random.default_rng(seed), chains=100, distributions=60, start="prior")
    assert found.error.max() < 0.3
    assert (np.abs(found.log_px - exact_log_px(vae, x).log_px) <= LIMIT * found.error + found.error**2).all()


@pytest.mark.parametrize("start", ["encoder", "prior"])
@pytest.mark.parametrize("distributions", [1, 2, 7])
def test_annealed_weights_have_the_right_mean_in_both_directions(start, distributions):
    """Chains from the start distribution have `E[w] = p(x)`; reverse chains from the posterior have `E[1/w] = 1/p(x)`."""
    vae, x = linear_model(2, 2, sigma=1.5, rows=2)
    (weight, bias), = vae.layers("encoder")
    weight[...], bias[:2], bias[2:] = 0, 0.1, -0.1          # q is near the prior, so neither w nor 1/w varies much
    exact, rng = exact_linear(vae, x), np.random.default_rng(distributions)
    path = annealing._tuned(vae, x, rng, distributions, 2, start)
    log_w, _ = annealing._forward(vae, x, path, 8_000, rng)
    posterior = exact.mean + rng.standard_normal((8_000, 2, 2)) @ np.linalg.cholesky(exact.cov).T
    log_1_w, _ = annealing._reverse(vae, x, path, posterior, rng)
    for ratio in (np.exp(log_w - exact.log_px), np.exp(log_1_w + exact.log_px)):
        error = ratio.std(axis=0) / 8_000**0.5
        assert error.max() < 0.05
        assert (np.abs(ratio.mean(axis=0) - 1) <= 6 * error).all()


def tempered_posterior(vae, x, beta):
    """Return mean and covariance of the Gaussian density that is proportional to N(z; 0, I) p(x|z)^beta."""
    W, b = vae.layers("decoder")[0]
    precision = beta / np.exp(2 * vae.params["log_sigma"])
    cov = np.linalg.inv(np.eye(vae.latent) + precision * W @ W.T)
    return precision * (x - b) @ W.T @ cov, cov


def check_transition():
    """Apply a transition to draws from a tempered posterior; check that their mean and covariance do not change.

    The steps of the transition are so long that some of the moves are rejected.
    """
    vae, x = linear_model(4, 2, rows=2)
    rng, beta, draws = np.random.default_rng(0), 0.6, 40_000
    mean, cov = tempered_posterior(vae, x, beta)
    root = np.linalg.cholesky(cov)
    path = annealing._tuned(vae, x, rng, 1, 3, "prior")
    z = mean + rng.standard_normal((draws, 2, 2)) @ root.T
    here = annealing._densities(vae, x, path, z)
    moved, there, accepted = annealing._transition(vae, x, path, beta, np.full(2, 0.75), z, here, rng)
    assert 0.2 < accepted.mean() < 0.95
    for a, b in zip(there, annealing._densities(vae, x, path, moved)):
        close(a, b, rel=1e-12)                              # the cached densities are those at the new point
    u = (moved - mean) @ np.linalg.inv(root).T              # u is N(0, I) if `moved` follows the tempered posterior
    assert np.abs(u.mean(axis=0)).max() <= 6 / draws**0.5
    second = np.einsum("lni,lnj->nij", u, u) / draws
    assert np.abs(second - np.eye(2)).max() <= 6 * (2 / draws) ** 0.5
    assert np.abs(np.corrcoef(z[:, 0, 0], moved[:, 0, 0])[0, 1]) < 0.95                     # the draws have moved


def test_annealed_transition_does_not_change_the_tempered_posterior():
    check_transition()


def test_annealing_with_one_distribution_is_importance_sampling():
    vae, x = linear_model(1, 2, rows=2, sigma=1.5)
    found = annealed(vae, x, np.random.default_rng(0), chains=2000, distributions=1, start="encoder")
    plain = lower_bounds(vae, x, 2000, np.random.default_rng(1))
    error = np.hypot(found.error, plain.iw_bound_se)
    assert (np.abs(found.log_px - plain.iw_bound) <= LIMIT * error).all()


def test_annealing_underestimates_its_error_only_if_it_starts_from_a_narrow_encoder():
    """q(z|x) has the posterior's mean but 1/30 of its sigma: all chains stay near the mean, so their weights agree."""
    vae, x = linear_model(3, 2, sigma=1.0, rows=50)
    W, b = vae.layers("decoder")[0]
    cov = np.linalg.inv(W @ W.T + np.eye(2))
    (weight, bias), = vae.layers("encoder")
    weight[:, :2], bias[:2] = W.T @ cov, -b @ W.T @ cov
    weight[:, 2:], bias[2:] = 0, np.log(np.diagonal(cov) / 30**2)
    np.testing.assert_allclose(vae.encode(x)[0], exact_linear(vae, x).mean, rtol=1e-9)
    missed = {}
    for name, start in (("encoder", {"start": "encoder"}), ("default", {})):
        found = annealed(vae, x, np.random.default_rng(0), distributions=30, **start)
        missed[name] = (closed_log_px(vae, x) - found.log_px) / found.error                 # in units of `error`
        assert found.acceptance.min() > 0.6                 # acceptance is high even if `error` is far too small
    assert np.median(missed["encoder"]) > 4 and missed["encoder"].max() > 15
    assert abs(np.median(missed["default"])) < 0.5 and np.abs(missed["default"]).max() < 5


@pytest.mark.parametrize("start", ["encoder", "prior"])
def test_log_px_lies_between_lower_and_upper_bound(start):
    vae, _ = linear_model(6, 3, sigma=1.0)
    (weight, bias), = vae.layers("encoder")
    weight[...], bias[...] = 0, 0
    found = sandwich(vae, 200, np.random.default_rng(0), chains=10, distributions=30, start=start)
    exact = closed_log_px(vae, found.x)
    for below, above in ((found.lower, exact), (exact, found.upper)):
        distance = above - below
        assert distance.mean() >= -6 * distance.std() / 200**0.5
    both = found.upper - found.lower
    assert 0 < both.mean() < 0.2 and (found.acceptance > 0.5).all()


def test_more_distributions_bring_lower_and_upper_bound_closer():
    vae, _, _ = random_problem(0, Gaussian(0.2), latent=3)
    widths = []
    for distributions in (1, 10, 100):
        found = sandwich(vae, 100, np.random.default_rng(1), chains=4, distributions=distributions, start="prior")
        widths.append((found.upper - found.lower).mean())
    assert widths[0] > 4 * widths[1] > 16 * widths[2] > 0


def test_annealing_in_chunks_agrees_with_the_closed_form(monkeypatch):
    vae, x = linear_model(0, 2, rows=7, sigma=1.5)
    monkeypatch.setattr("minivae.evidence.sums.AT_ONCE", 500)            # two data points at a time
    found = annealed(vae, x, np.random.default_rng(0), chains=50, distributions=10, start="prior")
    assert (np.abs(found.log_px - closed_log_px(vae, x)) <= LIMIT * found.error + found.error**2).all()
    many = sandwich(vae, 7, np.random.default_rng(0), chains=50, distributions=10, start="prior")
    exact = closed_log_px(vae, many.x)
    assert np.abs(many.lower - exact).max() < 0.5 and np.abs(many.upper - exact).max() < 0.5


@pytest.mark.parametrize("start", ["encoder", "prior"])
def test_annealing_schedule_runs_from_0_to_1(start):
    beta = annealing.schedule(20, start)
    assert beta[0] == 0 and beta[-1] == 1 and len(beta) == 21 and (np.diff(beta) > 0).all()


def test_annealing_reports_minus_infinity_if_all_weights_are_zero():
    vae, x = linear_model(0, 1)
    vae.layers("decoder")[0][0][...] = 1e200                # squares overflow: p(x|z) is 0
    found = annealed(vae, x, np.random.default_rng(0), distributions=3, start="prior")
    assert (found.log_px == -np.inf).all() and (found.error == np.inf).all()


def test_annealing_survives_log_likelihoods_that_vary_by_ten_thousand_nats():
    """The noise is so small that log p(x|z) varies by more than 10,000 nats over draws from the prior."""
    vae, x = linear_model(1, 1, sigma=0.02, spread=1.0)
    (weight, bias), = vae.layers("encoder")
    weight[...], bias[...] = 0, 0
    z = np.random.default_rng(0).standard_normal((100, len(x), 1))
    log_px_z = vae.log_likelihood(x, z)
    assert np.ptp(log_px_z, axis=0).min() > 1e4
    found = annealed(vae, x, np.random.default_rng(0), chains=50, distributions=400, start="prior")
    assert (np.abs(found.log_px - closed_log_px(vae, x)) <= LIMIT * found.error + found.error**2).all()


def test_annealing_refuses_bad_arguments():
    vae, x = linear_model(0, 1)
    rng = np.random.default_rng(0)
    for name, low in (("chains", 1), ("distributions", 0), ("leapfrogs", 0)):
        refused(lambda: annealed(vae, x, rng, **{name: low}), name, "a whole number", str(low), "Try")
        refused(lambda: sandwich(vae, 3, rng, **{name: low}), name, "a whole number", str(low), "Try")
    refused(lambda: annealed(vae, x, rng, start="q"), "start", "encoder, prior", "'q'", "Check")
    refused(lambda: sandwich(vae, 0, rng), "rows", "a whole number", "0", "Try")
    plain = VAE.init(rng, 4, 2, (), noise=False)
    from_it = lambda: annealed(plain, np.zeros((2, 4)), rng, start="encoder")  # noqa: E731
    refused(from_it, "start", "'prior'", "'encoder'", "encoder returns")
    wild = VAE.init(rng, 4, 2, (), dtype=np.float64)
    wild.params.flat[...] = 1e308                           # logits are infinite
    refused(lambda: annealed(wild, np.zeros((2, 4)), rng, start="prior"), "log p(x, z)", "a number", "", "overflows")


def accept_every_proposal(vae, x, path, beta, size, z, here, rng):
    """Make the original transition, but accept every proposal."""
    moved, there, accepted = annealing.ORIGINAL(vae, x, path, beta, size, z, here, AlwaysAccepting(rng))
    return moved, there, accepted


class AlwaysAccepting:
    """A random generator whose uniform numbers are so small that every proposal is accepted."""

    def __init__(self, rng):
        self.standard_normal = rng.standard_normal

    def random(self, shape):
        return np.full(shape, 1e-300)


def half_of_the_prior(vae, x, path, z):
    log_start, log_joint, d_start, d_joint = annealing.ORIGINAL(vae, x, path, z)
    return log_start, log_joint + (z**2).sum(axis=-1) / 4, d_start, d_joint


PLANTED = {
    "every proposal accepted": ("_transition", accept_every_proposal),
    "half of the prior left out": ("_densities", half_of_the_prior),
    "a beta too small": (
        "_transition", lambda vae, x, path, beta, *rest: annealing.ORIGINAL(vae, x, path, beta**2, *rest)
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_error_in_the_annealed_transitions_is_noticed(fault, monkeypatch):
    name, wrong = PLANTED[fault]
    monkeypatch.setattr(annealing, "ORIGINAL", getattr(annealing, name), raising=False)
    monkeypatch.setattr(annealing, name, wrong)
    with pytest.raises(AssertionError):
        check_transition()


@pytest.mark.parametrize("fault", ["the schedule ends at 0.9", "transitions ahead of the weights"])
def test_planted_error_in_the_annealed_weights_is_noticed(fault, monkeypatch):
    schedule, transition = annealing.schedule, annealing._transition
    if fault.startswith("the schedule"):
        monkeypatch.setattr(annealing, "schedule", lambda T, start: 0.9 * schedule(T, start))
    else:
        monkeypatch.setattr(annealing, "_transition", lambda *a: transition(*a[:3], min(1, a[3] * 1.5), *a[4:]))
    with pytest.raises(AssertionError):
        test_annealed_weights_have_the_right_mean_in_both_directions("prior", 7)
