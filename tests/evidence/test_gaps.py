"""Compare the gap between ELBO and log p(x), and its parts, with closed forms and brute-force sums."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minivae.evidence import exact_linear, exact_log_px, gap, gaps, with_best_encoder
from minivae.evidence.slopes import log_px_z_and_slope
from minivae.gaussian import kl_full, log_normal, log_standard_normal
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.vae import VAE
from tests.helpers.linear import closed_elbo, linear_model
from tests.helpers.numeric import central_difference, close, every_likelihood, random_problem, refused
from tests.helpers.trained import trained

small_linear_models = st.builds(
    linear_model,
    seed=st.integers(0, 2**32 - 1),
    latent=st.integers(1, 2),
    features=st.integers(1, 5),
    sigma=st.sampled_from([0.2, 1.0, 3.0]),
    rows=st.integers(1, 4),
)


@settings(max_examples=25)
@example(linear_model(seed=540, latent=2, features=1, sigma=3.0, rows=1))       # the encoder's standard deviation is 400
@given(small_linear_models)
def test_gap_parts_of_a_linear_model_agree_with_their_closed_forms(model):
    vae, x = model
    found, exact, best = gap(vae, x), exact_linear(vae, x), with_best_encoder(vae)
    mu, log_var = vae.encode(x)
    covs, diagonals = np.repeat(exact.cov[None], len(x), axis=0), np.exp(log_var)[:, :, None] * np.eye(vae.latent)
    kl = kl_full(mu, diagonals, exact.mean, covs)
    close(found.log_px, exact.log_px, rel=1e-8)
    close(found.elbo, closed_elbo(vae, x), rel=1e-8)
    close(found.kl, kl, rel=1e-8, abs_=1e-8)
    close(found.approximation, exact.log_px - closed_elbo(best, x), rel=1e-7, abs_=1e-7)
    close(found.amortisation, closed_elbo(best, x) - closed_elbo(vae, x), rel=1e-7, abs_=1e-7)
    close(found.mu, best.encode(x)[0], rel=1e-4, abs_=1e-4)
    close(found.log_var, best.encode(x)[1], rel=1e-4, abs_=1e-4)


@pytest.mark.slow
@settings(max_examples=20)
@example(1, Binomial(5), 2)                                 # for this seed, the grid leaves out a node at its border
@example(200327, Binomial(5), 2)                            # a search with few nodes ends 1.7e-4 nats below the best ELBO
@given(st.integers(0, 2**32 - 1), st.sampled_from([Bernoulli(), Binomial(5), Gaussian(0.5)]), st.integers(1, 2))
def test_gap_parts_of_a_nonlinear_model_are_consistent(seed, likelihood, latent):
    vae, x, _ = random_problem(seed, likelihood, latent=latent, rows=2)
    found = gap(vae, x)
    close(found.kl, found.log_px - found.elbo, rel=0, abs_=1e-6)
    close(found.approximation + found.amortisation, found.log_px - found.elbo, rel=1e-12, abs_=1e-12)
    assert (found.approximation >= -found.error).all() and (found.amortisation >= 0).all() and (found.error < 1e-5).all()
    for _ in range(5):                                      # no nearby Gaussian is better
        mu, log_var = (p + 0.01 * np.random.default_rng(seed).normal(size=p.shape) for p in (found.mu, found.log_var))
        assert (gaps.expected(vae, x, mu, log_var, 1e-9)[0] < found.best_elbo + 1e-6).all()


@pytest.mark.parametrize("latent", [1, 2])
def test_kl_to_the_posterior_agrees_with_brute_force(latent):
    """Compute KL(q || p(z|x)) as a sum over one wide grid. A sum over the same grid gives p(x), which normalises p(z|x)."""
    vae, x, _ = random_problem(3, Gaussian(0.4), latent=latent, rows=2)
    mu, log_var = vae.encode(x)
    reach = max(8, (np.abs(mu) + 9 * np.exp(log_var / 2)).max())
    axis = np.linspace(-reach, reach, 6001 if latent == 1 else 401)
    z = np.stack(np.meshgrid(*[axis] * latent, indexing="ij"), axis=-1).reshape(-1, 1, latent)
    cell = (axis[1] - axis[0]) ** latent
    joint, log_q = vae.log_likelihood(x, z) + log_standard_normal(z), log_normal(z.repeat(2, axis=1), mu, log_var)
    log_px = np.log(np.exp(joint).sum(axis=0) * cell)
    kl = (np.exp(log_q) * (log_q - joint + log_px)).sum(axis=0) * cell
    found = gap(vae, x)
    close(found.log_px, log_px, rel=1e-8)
    close(found.kl, kl, rel=1e-7)


def test_gap_and_kl_agree_on_a_trained_model():
    vae, data, _ = trained()
    found = gap(vae, data.test_x[:6])
    close(found.kl, found.log_px - found.elbo, rel=0, abs_=1e-6)
    assert (found.approximation > 0).all() and (found.amortisation > 0).all()
    assert found.amortisation.mean() > 5 * found.approximation.mean()   # the encoder causes most of the gap


def test_error_of_the_gap_is_below_three_times_a_loose_tolerance():
    vae, data, _ = trained()
    loose, fine = gap(vae, data.test_x[:6], 1e-4), gap(vae, data.test_x[:6])
    for part in ("log_px", "elbo", "kl", "best_elbo", "approximation", "amortisation"):
        close(getattr(loose, part), getattr(fine, part), rel=0, abs_=3e-4)
    assert loose.error.max() < 3e-4


def test_descent_from_a_distant_start_finds_the_best_gaussian():
    vae, x = linear_model(2, 2)
    far = np.concatenate([np.full((len(x), 2), 3.0), np.full((len(x), 2), -4.0)], axis=1)
    mu, log_var = with_best_encoder(vae).encode(x)
    close(gaps._descend(vae, x, far, nodes=12), np.concatenate([mu, log_var], axis=1), rel=1e-4)


def test_posterior_moments_by_quadrature_agree_with_the_closed_form():
    vae, x = linear_model(5, 2, sigma=0.05)
    found, exact = exact_log_px(vae, x), exact_linear(vae, x)
    close(found.mean, exact.mean, rel=1e-9)
    close(found.cov, np.repeat(exact.cov[None], len(x), axis=0), rel=1e-8)


@every_likelihood
def test_slope_of_log_px_z_agrees_with_central_differences(likelihood):
    vae, x, z = random_problem(1, likelihood, samples=2, hidden=(3, 4))
    log_px_z, slope = log_px_z_and_slope(vae, x, z)
    close(log_px_z, vae.log_likelihood(x, z), rel=1e-14)
    close(slope, central_difference(lambda z: vae.log_likelihood(x, z).sum(), [z], 0), rel=1e-7)


@pytest.mark.parametrize("latent", [1, 2])
def test_reported_gap_error_includes_the_effect_of_relu_kinks(latent):
    vae, x, _ = random_problem(0, Gaussian(0.3), activation="relu", hidden=(5,), latent=latent)
    found = gap(vae, x)
    assert 1e-7 < found.error.max() < 1e-2
    assert (np.abs(found.kl - (found.log_px - found.elbo)) <= 2 * found.error).all()


def test_gap_refuses_bad_arguments():
    rng = np.random.default_rng(0)
    x = np.zeros((2, 4))
    refused(lambda: gap(VAE.init(rng, 4, 3, ()), x), "vae", "one or two latent dimensions", "3", "lower_bounds")
    refused(lambda: gap(VAE.init(rng, 4, 2, (), noise=False), x), "vae", "noise", "deterministic", "Its encoder")
    refused(lambda: gap(VAE.init(rng, 4, 2, ()), x, 0), "tolerance", "> 0", "0", "Check")


PLANTED = {
    "exp(log_var) as standard deviation": ("reparameterize", lambda mu, log_var, eps: mu + np.exp(log_var) * eps),
    "KL without the factor 1/2": ("kl_standard_normal", lambda mu, log_var: mu * mu + np.expm1(log_var) - log_var),
    "the prior left out": ("log_standard_normal", lambda z: np.zeros(z.shape[:-1])),
    "marginal variances for the best Gaussian": (
        "_matching", lambda mean, cov: np.concatenate([mean, np.log(np.diagonal(cov, axis1=1, axis2=2))], axis=1)
    ),
    "no gradient of the KL": ("kl_standard_normal_backward", lambda d_kl, mu, log_var: (0, 0)),
    "no gradient of log_var through z": ("reparameterize_backward", lambda d_z, mu, log_var, eps: (d_z.sum(0), 0 * mu)),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_error_in_the_gap_is_noticed(fault, monkeypatch):
    monkeypatch.setattr(gaps, *PLANTED[fault])
    if fault.startswith("marginal"):                        # skip the descent, which would repair this fault
        monkeypatch.setattr(gaps, "_descend", lambda vae, x, start, nodes, tolerance: start)
    with pytest.raises(AssertionError):
        test_gap_parts_of_a_linear_model_agree_with_their_closed_forms.hypothesis.inner_test(linear_model(2, 2))
        test_descent_from_a_distant_start_finds_the_best_gaussian()


def test_reported_gap_error_is_at_least_the_sum_of_both_elbo_errors(monkeypatch):
    """The amortisation gap is a difference of two ELBOs, so its error can be the sum of their errors."""
    refine = gaps._refine
    monkeypatch.setattr(gaps, "_refine", lambda vae, x, *rest: (refine(vae, x, *rest)[0], np.full(len(x), 1e-3)))
    vae, x, _ = random_problem(1, Gaussian(1.0), latent=1, rows=2)
    assert (gap(vae, x).error >= 2e-3).all()


def test_gap_error_does_not_depend_on_gaussians_that_the_search_rejects():
    """For one data point, the first search ends at a wide Gaussian. The ELBO of this Gaussian has an error of 69 nats.

    The second search finds a better Gaussian.
    """
    rng = np.random.default_rng(41)
    vae = VAE.init(rng, 3, 2, (6,), dtype=np.float64, likelihood=Gaussian(0.05))
    for weight, bias in vae.layers("decoder"):
        weight *= 2
        bias[...] = rng.normal(size=bias.shape)
    vae.layers("encoder")[-1][1][...] = 2, 2, -1, -1
    assert (gap(vae, vae.decode(rng.normal(size=(2, 2)))).error < 1e-6).all()


def test_descents_leave_out_between_33_and_75_percent_of_all_nodes():
    sizes = [(nodes[J], J) for J in (1, 2) for nodes in (gaps.SEARCH, gaps.POLISH)]
    left_out = [1 - len(gaps.gauss_hermite(n, J, gaps.LIGHT)[1]) / n**J for n, J in sizes]
    assert (round(100 * min(left_out)), round(100 * max(left_out))) == (33, 75)
