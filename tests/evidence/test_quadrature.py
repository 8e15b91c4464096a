"""ELBO, importance-weighted bound and log p(x) have the right order, and quadrature agrees with closed forms of log p(x)."""

import math

import numpy as np
import pytest

from minivae.evidence import exact_linear, exact_log_px, lower_bounds, quadrature
from minivae.evidence.bounds import _Blocks
from minivae.gaussian import log_normal, log_standard_normal
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.ops import log_sum_exp
from minivae.vae import VAE
from tests.helpers.numeric import close
from tests.helpers.trained import trained


def linear_gaussian(rng, latent, features, sigma, scale=1.0):
    """Return a VAE without hidden layers, data x, and the exact log p(x). The VAE's encoder is the exact posterior.

    x = z W + b + sigma * noise; the rows of W are orthogonal, so the posterior is a diagonal Gaussian.
    """
    vae = VAE.init(rng, features, latent, (), dtype=np.float64, likelihood=Gaussian(sigma), estimator="sampled")
    directions = np.linalg.qr(rng.normal(size=(features, latent)))[0].T                     # (J, D)
    W, b = directions * scale * rng.uniform(0.5, 2, (latent, 1)), rng.normal(size=features)
    variance = 1 / (1 + (W * W).sum(axis=1) / sigma**2)                                     # posterior variance, (J,)
    (encoder_weight, encoder_bias), = vae.layers("encoder")
    (decoder_weight, decoder_bias), = vae.layers("decoder")
    decoder_weight[...], decoder_bias[...] = W, b
    encoder_weight[:, :latent] = W.T * variance / sigma**2
    encoder_weight[:, latent:] = 0
    encoder_bias[:] = np.concatenate([-b @ encoder_weight[:, :latent], np.log(variance)])
    x = rng.normal(size=(7, latent)) @ W + b + sigma * rng.normal(size=(7, features))
    covariance = W.T @ W + sigma**2 * np.eye(features)
    r = x - b
    log_det = np.linalg.slogdet(2 * math.pi * covariance)[1]
    return vae, x, -(np.einsum("bd,bd->b", r, np.linalg.solve(covariance, r.T).T) + log_det) / 2


@pytest.mark.parametrize("latent", [1, 2, 5])
def test_log_weight_of_every_draw_from_the_exact_posterior_is_log_px(latent):
    rng = np.random.default_rng(latent)
    vae, x, log_px = linear_gaussian(rng, latent, 8, sigma=0.6)
    for _ in range(5):
        close(vae.elbo(x, vae.draw_noise(rng, len(x))), log_px, rel=1e-10)
    bounds = lower_bounds(vae, x, 50, rng)
    close(bounds.iw_bound, log_px, rel=1e-10)
    # The KL in `bounds.elbo` is exact, but a mean over draws estimates E log p(x|z). So `bounds.elbo` has an error.
    assert (np.abs(bounds.elbo - log_px) <= 6 * bounds.elbo_se).all()


@pytest.mark.parametrize("latent", [1, 2])
@pytest.mark.parametrize("sigma", [1e-3, 1e-2, 0.1, 1.0, 3.0])
def test_quadrature_agrees_with_the_closed_form_at_every_posterior_width(latent, sigma):
    vae, x, log_px = linear_gaussian(np.random.default_rng(3), latent, 4, sigma)
    exact = exact_log_px(vae, x, tolerance=1e-4)
    close(exact.log_px, log_px, rel=1e-8)
    assert (exact.error <= 1e-4).all()


def narrow_posterior(sd, mean):
    """Return a linear model and a datum whose 2-d posterior has this mean and sd. The encoder always returns N(0, I)."""
    vae = VAE.init(np.random.default_rng(0), 2, 2, (), dtype=np.float64, likelihood=Gaussian(1.0))
    slope = np.sqrt(1 / np.square(sd) - 1)
    vae.params.flat[...] = 0
    vae.layers("decoder")[0][0][...] = np.diag(slope)
    return vae, (mean / (np.square(sd) * slope))[None]


@pytest.mark.parametrize("mean", [(0.0625, 0.0625), (1.0625, 0.5625)])
def test_quadrature_is_not_misled_by_coarse_grids_that_agree(mean):
    """Grids of spacing 0.25 and 0.125 agree to 1e-15 on this posterior, and both are off by 0.0214 nats."""
    vae, x = narrow_posterior((0.1, 0.06), mean)
    exact = exact_log_px(vae, x)
    off = np.abs(exact.log_px - exact_linear(vae, x).log_px)
    assert off < 1e-6 and (off <= exact.error).all() and exact.error < 1e-3


@pytest.mark.parametrize("sd", [(0.1, 0.06), (0.02, 0.9), (0.004, 0.004)])
def test_reported_quadrature_error_is_at_least_the_difference_from_the_closed_form(sd):
    for shift in np.linspace(0, 0.125, 9):
        vae, x = narrow_posterior(sd, (0.5 + shift, shift))
        exact = exact_log_px(vae, x)
        assert np.abs(exact.log_px - exact_linear(vae, x).log_px) <= exact.error


@pytest.mark.parametrize("slope", [(300, 200), (1, 80), (700, 0), (41, -40)])
def test_quadrature_follows_a_ridge_that_is_thinner_than_its_first_grid(slope):
    """One feature, two latent coordinates: the posterior is a ridge of width 1 / |slope|, far longer than it is wide."""
    vae = VAE.init(np.random.default_rng(0), 1, 2, (), dtype=np.float64, likelihood=Gaussian(1.0))
    vae.params.flat[...] = 0
    vae.layers("decoder")[0][0][...] = np.transpose([slope])
    x = np.array([[0.3], [14.0], [150.0]])
    exact = exact_log_px(vae, x, tolerance=1e-2)
    assert (np.abs(exact.log_px - exact_linear(vae, x).log_px) <= exact.error).all()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_reported_quadrature_error_is_at_least_the_true_error_for_steep_decoders(activation):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        vae = VAE.init(rng, 3, 1, (8,), dtype=np.float64, likelihood=Gaussian(0.03), activation=activation)
        for weight, bias in vae.layers("decoder"):
            weight *= 3
            bias[...] = rng.normal(size=bias.shape)
        vae.layers("encoder")[0][0][...] = 0
        x = vae.decode(rng.normal(size=(5, 1))) + 0.03 * rng.normal(size=(5, 3))
        z = np.linspace(-8, 8, 40_001)[:, None]
        log_joint = vae.log_likelihood(x, z[:, None]) + log_standard_normal(z)[:, None]
        brute = log_sum_exp(log_joint) + math.log(16 / 40_000)
        for tolerance in (1e-2, 1e-4):
            exact = exact_log_px(vae, x, tolerance)
            assert (np.abs(exact.log_px - brute) <= exact.error + 1e-7).all() and (exact.error <= tolerance).all()


@pytest.mark.parametrize("seed, row", [(2931, 3), (2460, 3), (2311, 1), (2883, 0)])
def test_quadrature_error_is_large_enough_if_coarse_grids_agree_by_chance(seed, row):
    """A ReLU decoder has kinks, so the values of coarse grids can agree by chance although all of them are wrong.

    `quadrature._discretisation` compares the values of interleaved grids with n times the spacing. Let s(n) be the largest
    relative difference between one of these values and the mean of these values. For a decoder with kinks, the function
    returns the largest of s(2), s(3) and s(6) / 6. Suppose that the function returned the larger of s(2) and s(3) / 3. Then,
    for the data of this test, the true error would be 1.2 to 2.3 times the reported error.
    """
    rng = np.random.default_rng(seed)
    vae = VAE.init(rng, 16, 1, (8,), dtype=np.float64, likelihood=Binomial(16), activation="relu")
    vae.params.flat[...] *= rng.uniform(1, 6)
    x = rng.binomial(16, vae.decode(rng.standard_normal((12, 1))) / 16)[[row]]
    z = np.linspace(-9, 9, 400_001)[:, None]
    brute = log_sum_exp(vae.log_likelihood(x, z[:, None]) + log_standard_normal(z)[:, None]) + math.log(18 / 400_000)
    exact = exact_log_px(vae, x)
    assert np.abs(exact.log_px - brute) <= exact.error + 1e-7 and exact.error < 2e-3


def test_reported_quadrature_error_includes_rounding_if_data_are_far_from_zero():
    """A shift of data and decoder by a million changes only the precision: numbers near 10^6 are multiples of 2^-33."""
    rng = np.random.default_rng(0)
    for sigma in (0.01, 1.0):
        vae = VAE.init(rng, 4, 2, (5,), dtype=np.float64, likelihood=Gaussian(sigma))
        vae.layers("encoder")[0][0][...] = 0
        bias = vae.layers("decoder")[-1][1]
        x = np.round((vae.decode(rng.normal(size=(7, 2))) + sigma * rng.normal(size=(7, 4))) * 2**20) / 2**20
        near = exact_log_px(vae, x)
        bias += 1e6
        far = exact_log_px(vae, x + 1e6)
        assert (np.abs(far.log_px - near.log_px) <= far.error + near.error).all()


def test_quadrature_reports_an_infinite_error_for_an_unresolved_posterior():
    vae, x = narrow_posterior((0.004, 0.004), (0.06, 0.06))
    assert exact_log_px(vae, x, finest=1024).error == math.inf
    assert exact_log_px(vae, x, finest=1 << 16).error < 1e-3


@pytest.fixture
def refinements(monkeypatch):
    """Return a list that grows by one element each time a grid is refined."""
    found, refine = [], quadrature._with_neighbours
    monkeypatch.setattr(quadrature, "_with_neighbours", lambda *rest: (found.append(1), refine(*rest))[1])
    return found


@pytest.mark.parametrize("finest, expected", [(255, 0), (256, 1), (511, 1), (512, 2)])
def test_argument_finest_limits_the_number_of_grid_intervals(finest, expected, refinements):
    exact_log_px(*narrow_posterior((0.004, 0.004), (0.06, 0.06)), finest=finest)
    assert len(refinements) == expected


def test_grid_is_refined_only_if_the_finer_grid_has_few_enough_nodes(refinements, monkeypatch):
    vae, x = narrow_posterior((0.004, 0.004), (0.06, 0.06))
    low, spacing, shape = quadrature._first_grid(*vae.encode(x), 128)
    nodes = len(quadrature._near_on_first_grid(vae, x, low, spacing, shape, quadrature.SPARE - np.log(1e-3))[0])
    for limit, expected in ((4 * nodes - 1, 0), (4 * nodes, 1)):
        refinements.clear()
        monkeypatch.setattr(quadrature, "MAX_NODES", limit)
        exact_log_px(vae, x, finest=256)
        assert len(refinements) == expected


def test_quadrature_ignores_the_width_of_q_if_wider_than_the_prior():
    vae, x = narrow_posterior((0.1, 0.06), (0.5, 0.3))
    vae.layers("encoder")[0][1][2:] = 12                    # the encoder's sd is 400
    exact = exact_log_px(vae, x, tolerance=1e-8)
    close(exact.log_px, exact_linear(vae, x).log_px, rel=1e-9)
    assert exact.error < 1e-8


@pytest.mark.parametrize("latent", [1, 2])
def test_quadrature_works_with_a_wrong_encoder(latent):
    vae, x, log_px = linear_gaussian(np.random.default_rng(4), latent, 4, 0.05)
    for array in vae.layers("encoder")[0]:
        array[...] = 0
    close(exact_log_px(vae, x, tolerance=1e-4).log_px, log_px, rel=1e-8)


def test_quadrature_finds_both_modes_of_a_posterior():
    rng = np.random.default_rng(5)
    vae = VAE.init(rng, 3, 1, (4,), dtype=np.float64, likelihood=Gaussian(0.05), activation="relu")
    (_, _), (weight, bias) = vae.layers("decoder")
    first, _ = vae.layers("decoder")[0]
    first[...] = [[1, -1, 1, -1]]                           # pairs of units add up to |z|: z and -z give the same output
    weight[...] = rng.normal(size=(2, 3))[[0, 0, 1, 1]]
    x = vae.decode(np.array([[0.7], [1.9]]))
    z = np.linspace(-9, 9, 2_000_001)[:, None, None]
    brute = log_sum_exp(vae.log_likelihood(x, z) - z[..., 0] ** 2 / 2 - math.log(2 * math.pi) / 2) + math.log(18 / 2e6)
    close(exact_log_px(vae, x, tolerance=1e-5).log_px, brute, rel=1e-7)


def test_elbo_is_below_importance_bound_and_importance_bound_below_log_px():
    vae, data, _ = trained()
    x = data.test_x[:100]
    bounds = lower_bounds(vae, x, 300, np.random.default_rng(0))
    exact = exact_log_px(vae, x)
    assert bounds.elbo.mean() + 6 * bounds.elbo_se.mean() < bounds.iw_bound.mean()
    assert bounds.iw_bound.mean() < exact.log_px.mean() - exact.error.max()
    assert (bounds.elbo - 6 * bounds.elbo_se < exact.log_px + exact.error).all()


def test_reported_quadrature_error_is_at_least_the_difference_from_a_finer_quadrature():
    vae, data, _ = trained()
    x = data.test_x[:40]
    rough, fine = exact_log_px(vae, x, tolerance=1e-2), exact_log_px(vae, x, tolerance=1e-9)
    assert (np.abs(rough.log_px - fine.log_px) <= rough.error + fine.error).all()
    assert rough.error.max() > fine.error.max()


def test_quadrature_and_bounds_give_equal_numbers_if_computed_in_chunks(monkeypatch):
    vae, data, _ = trained()
    x = data.test_x[:12]
    whole = exact_log_px(vae, x), lower_bounds(vae, x, 60, np.random.default_rng(1))
    monkeypatch.setattr("minivae.evidence.sums.AT_ONCE", 40_000)
    parts = exact_log_px(vae, x), lower_bounds(vae, x, 60, np.random.default_rng(1))
    close(parts[0].log_px, whole[0].log_px, rel=1e-12)
    for a, b in zip(parts[1], whole[1]):
        close(a, b, rel=1e-9)


PLANTED = {
    "sampler with exp(log_var) as standard deviation": (
        "reparameterize", lambda mu, log_var, eps: mu + np.exp(log_var) * eps,
    ),  # fmt: skip
    "prior left out of the weight": ("log_standard_normal", lambda z: 0 * z.sum(axis=-1)),
    "density of q inverted": ("log_normal", lambda z, mu, log_var: -log_normal(z, mu, log_var)),
    "mean of the logs for log of the mean": ("_Blocks", lambda k: _Blocks(1)),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_error_in_the_importance_weights_is_noticed(fault, monkeypatch):
    rng = np.random.default_rng(8)
    vae, x, log_px = linear_gaussian(rng, 2, 6, 0.6)
    vae.layers("encoder")[0][1][2:] += 1.0                  # q is too wide; an exact q would hide two planted faults
    close(lower_bounds(vae, x, 20_000, rng).iw_bound, log_px, rel=3e-3)
    monkeypatch.setattr(f"minivae.evidence.bounds.{PLANTED[fault][0]}", PLANTED[fault][1])
    with pytest.raises(AssertionError):
        close(lower_bounds(vae, x, 20_000, rng).iw_bound, log_px, rel=3e-3)


def test_standard_errors_match_repeated_runs_if_q_is_too_wide():
    """The standard deviation of 200 runs has a relative error of about 5 %. The tolerance, 30 %, is six times this error."""
    vae, x, _ = linear_gaussian(np.random.default_rng(6), 2, 5, 1.0)
    vae.layers("encoder")[0][1][2:] += 0.3                  # q is a little too wide
    runs = [lower_bounds(vae, x[:1], 400, np.random.default_rng(seed)) for seed in range(200)]
    for value, se in (("elbo", "elbo_se"), ("iw_bound", "iw_bound_se")):
        spread = np.std([getattr(run, value)[0] for run in runs], ddof=1)
        stated = np.mean([getattr(run, se)[0] for run in runs])
        assert 0.7 < stated / spread < 1.3


def test_log_sum_exp_of_large_numbers_does_not_overflow():
    assert log_sum_exp(np.array([[1e4], [1e4]]))[0] == pytest.approx(1e4 + math.log(2), rel=1e-15)
    assert log_sum_exp(np.array([[-1e4], [-np.inf]]))[0] == -1e4
    assert log_sum_exp(np.array([[-np.inf], [-np.inf]]))[0] == -np.inf


def test_quadrature_refuses_bad_arguments():
    far, x, _ = linear_gaussian(np.random.default_rng(0), 1, 3, 1.0)
    far.layers("decoder")[0][1][...] = 1e200
    with pytest.raises(ValueError, match="x must be possible under the model; got .* for 7 of 7 rows.*underflows"):
        exact_log_px(far, x)
    far.layers("decoder")[0][0][...] = 1e308
    with pytest.raises(ValueError, match="must be a number or -inf; got nan"):
        exact_log_px(far, x)
    vae = VAE.init(np.random.default_rng(0), 4, 3, (), likelihood=Bernoulli())
    with pytest.raises(ValueError, match="one or two latent dimensions; got 3.*lower_bounds"):
        exact_log_px(vae, np.ones((2, 4)))
    for tolerance in (0, -1e-3, math.nan, math.inf, "fine", None):
        with pytest.raises(ValueError, match="tolerance must be a finite number > 0; got"):
            exact_log_px(far, x, tolerance)
    for finest in (0, 127, 1.5e3, "a"):
        with pytest.raises(ValueError, match="finest must be a whole number >= 128; got"):
            exact_log_px(far, x, finest=finest)
    with pytest.raises(ValueError, match="k must be a whole number >= 2; got 1"):
        lower_bounds(vae, np.ones((2, 4)), 1, np.random.default_rng(0))


def far_from_the_encoder(latent, mean):
    """Return a linear model, data, and log p(x) for the data. The encoder always returns N(0, I).

    The posterior of data point i has the mean `mean[i]` and sd 0.4.
    """
    rng = np.random.default_rng(4)
    vae, _, _ = linear_gaussian(rng, latent, 6, sigma=1.0)
    (weight, bias), = vae.layers("decoder")
    weight *= np.sqrt(5.25 / (weight * weight).sum(axis=1, keepdims=True))
    for array in vae.layers("encoder")[0]:
        array[...] = 0
    x = mean * 6.25 / 5.25 @ weight + bias
    squares = ((x - bias) ** 2).sum(axis=1) - (((x - bias) @ weight.T) ** 2).sum(axis=1) / 6.25
    return vae, x, -(squares + 6 * math.log(2 * math.pi) + latent * math.log(6.25)) / 2


@pytest.mark.parametrize("latent", [1, 2])
def test_reported_quadrature_error_includes_the_posterior_mass_outside_the_grid(latent):
    """The grid ends at 8; the posteriors have from 1e-9 to one half of their mass outside the grid."""
    mean = np.zeros((9, latent))
    mean[:, 0] = [-5.6, 5.6, 5.8, -5.9, -6.4, 6.8, -7.2, 7.6, 8.0]
    vae, x, log_px = far_from_the_encoder(latent, mean)
    found = exact_log_px(vae, x, finest=128)
    off = np.abs(found.log_px - log_px)
    assert (off <= found.error + 1e-12).all()
    assert (off[2:] > 1e-9).all() and (found.error[:4] < 1e-4).all()
