"""Lower bounds of log p(x) agree with exact values, increase with the number of draws, and are never NaN."""

import math
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.evidence import bounds, lower_bounds
from minivae.gaussian import log_normal, log_standard_normal
from minivae.vae import VAE
from tests.helpers.linear import closed_elbo, closed_log_px, linear_model, linear_models
from tests.helpers.numeric import close, gaussian_line, random_data, random_vae, refused

# Largest accepted error of a bound, in standard errors. If the errors are normally distributed, only about 1 of 10^12 runs
# of the first test finds a larger error.
LIMIT = 8


@settings(max_examples=60)
@given(linear_models, st.integers(0, 2**32 - 1))
def test_every_bound_of_a_linear_model_agrees_with_its_closed_form(model, seed):
    vae, x = model
    found = lower_bounds(vae, x, (1, 10, 1000), np.random.default_rng(seed))
    elbo, log_px = closed_elbo(vae, x), closed_log_px(vae, x)
    assert (np.abs(found.elbo - elbo) <= LIMIT * found.elbo_se + 1e-9).all()
    assert (np.abs(found.iw_bound[0] - elbo) <= LIMIT * found.iw_bound_se[0] + 1e-9).all()
    assert (found.iw_bound[0] <= found.iw_bound[1] + 1e-9).all()        # true for any draws: all k use the same 1000 draws
    assert (found.iw_bound[1] <= found.iw_bound[2] + 1e-9).all()
    assert (found.iw_bound[2] <= log_px + LIMIT * found.iw_bound_se[2] + 1e-9).all()


@pytest.mark.parametrize("seed", range(4))
def test_importance_bound_converges_to_log_px_if_q_is_the_prior(seed):
    """The weights are bounded, so the estimated bound is nearly normally distributed.

    The bias of this estimate is about half its squared standard error.
    """
    vae, x = linear_model(seed, 2)
    vae.layers("encoder")[0][0][...] = 0
    vae.layers("encoder")[0][1][...] = 0                    # q is the prior
    found = lower_bounds(vae, x, 20_000, np.random.default_rng(seed))
    error = found.iw_bound_se
    assert error.max() < 0.1
    assert (np.abs(found.iw_bound - closed_log_px(vae, x)) <= 7 * error + error**2).all()


def test_importance_bound_with_two_draws_equals_a_double_integral():
    """For a nonlinear decoder, compute E log((w_1 + w_2) / 2) as a sum over all pairs of nodes."""
    rng = np.random.default_rng(0)
    vae = random_vae(rng, latent=1, hidden=(3,))
    x = random_data(rng, vae.likelihood, 3)
    mu, log_var = vae.encode(x)
    z, h = gaussian_line(mu, np.exp(log_var / 2))                                           # (N, nodes)
    z = z.T[..., None]                                                                      # (nodes, N, 1)
    log_q = log_normal(z, mu, log_var)
    log_w = vae.log_likelihood(x, z) + log_standard_normal(z) - log_q
    both = np.logaddexp(log_w[:, None], log_w[None, :]) - math.log(2)                       # (nodes, nodes, N)
    exact = (np.exp(log_q[:, None] + log_q[None, :]) * both).sum(axis=(0, 1)) * h[:, 0] ** 2
    found = lower_bounds(vae, x, (1, 2, 60_000), np.random.default_rng(1))
    assert (np.abs(found.iw_bound[1] - exact) <= 7 * found.iw_bound_se[1]).all()
    # IW_2 is more than ten standard errors above IW_1. So IW_1 would fail the assertion above, which allows only seven.
    assert (found.iw_bound_se[1] < 0.1 * (exact - found.iw_bound[0])).all()


@pytest.mark.parametrize("at_once", [40, 2_000, 2_000_000])
def test_importance_bound_averages_over_blocks_of_k_draws(at_once, monkeypatch):
    vae, x = linear_model(3, 2)
    monkeypatch.setattr("minivae.evidence.sums.AT_ONCE", at_once)       # with AT_ONCE = 40: one draw at a time
    found = lower_bounds(vae, x, (3, 7, 50), np.random.default_rng(5))
    eps = np.random.default_rng(5).standard_normal((50, len(x), 2))
    mu, log_var = vae.encode(x)
    z = mu + np.exp(log_var / 2) * eps
    log_w = vae.log_likelihood(x, z) + log_standard_normal(z) - log_normal(z, mu, log_var)
    for k, bound in zip((3, 7, 50), found.iw_bound):
        blocks = log_w[: 50 // k * k].reshape(-1, k, len(x))
        close(bound, np.log(np.exp(blocks).mean(axis=1)).mean(axis=0), rel=1e-12)
    whole = lower_bounds(vae, x, 50, np.random.default_rng(5))
    close(found.iw_bound[-1], whole.iw_bound, rel=0)
    close(found.iw_bound_se[-1], whole.iw_bound_se, rel=0)


def test_standard_errors_of_bounds_match_repeated_runs():
    """The standard deviation of 200 runs is wrong by more than 30 % with a probability of only about 1e-8."""
    vae, x = linear_model(4, 2, sigma=1.0)
    for array in vae.layers("encoder")[0]:
        array[...] = 0                                      # q is the prior: the weights are bounded
    ks = (1, 2, 20, 400)
    runs = [lower_bounds(vae, x[:1], ks, np.random.default_rng(seed)) for seed in range(200)]
    spread = np.std([run.iw_bound[:, 0] for run in runs], axis=0, ddof=1)
    stated = np.sqrt(np.mean([run.iw_bound_se[:, 0] ** 2 for run in runs], axis=0))
    assert (0.7 < stated / spread).all() and (stated / spread < 1.4).all()


# Log weights of any size: q is the prior, so an importance weight is p(x|z). The tests take log p(x|z) from a table.


def bounds_of_log_weights(table, monkeypatch, k):
    """Return the bounds for a table (L, N) of log weights, one row per draw."""
    table = np.array(table, float)
    vae, x = linear_model(0, 1, rows=table.shape[1])
    for array in vae.layers("encoder")[0]:
        array[...] = 0
    rows = iter(table)
    monkeypatch.setattr(VAE, "log_likelihood", lambda self, x, z: np.stack([next(rows) for _ in z]))
    return lower_bounds(vae, x, k, np.random.default_rng(0))


def test_bounds_survive_log_weights_that_differ_by_ten_thousand_nats(monkeypatch):
    table = [[0.0, -1e4], [-1e4, -2e4], [-5e3, -1e4], [1.0, -3e4]]
    found = bounds_of_log_weights(table, monkeypatch, (1, 2, 4))
    expected = [
        [(0 - 1e4 - 5e3 + 1) / 4, -1.75e4],
        [(0 + 1 - 2 * math.log(2)) / 2, -1e4 - math.log(2)],
        [math.log((1 + math.e) / 4), -1e4 + math.log(2 / 4)],
    ]
    close(found.iw_bound, expected, rel=0, abs_=1e-9)
    assert np.isfinite(found.iw_bound_se).all()


INF = math.inf


def test_bounds_accept_some_weights_of_zero(monkeypatch):
    found = bounds_of_log_weights([[-INF, 0.0], [2.0, -INF], [-INF, -INF], [1.0, -INF]], monkeypatch, (1, 2, 4))
    mean = math.log((math.exp(2) + math.e) / 4)
    expected = [[-INF, -INF], [(2 + 1 - 2 * math.log(2)) / 2, -INF], [mean, -math.log(4)]]
    close(found.iw_bound, expected, rel=0, abs_=1e-12)
    close(found.reconstruction, [-INF, -INF], rel=0)
    close(found.elbo, [-INF, -INF], rel=0)
    close(found.elbo_se, [INF, INF], rel=0)
    assert not np.isnan(found.iw_bound_se).any()


def test_bounds_are_minus_infinity_if_all_weights_are_zero(monkeypatch):
    found = bounds_of_log_weights([[-INF, 0.0]] * 6, monkeypatch, (2, 6))
    close(found.iw_bound, [[-INF, 0.0], [-INF, 0.0]], rel=0, abs_=1e-15)
    assert (found.iw_bound_se[:, 0] == INF).all() and (found.iw_bound_se[:, 1] < 1e-6).all()


@pytest.mark.parametrize("value", [math.nan, INF])
def test_log_weights_of_nan_or_infinity_are_refused(value, monkeypatch):
    rule = "a number or -inf", f"{value} for 1 of 4"
    refused(lambda: bounds_of_log_weights([[0.0, 1.0], [value, 0.0]], monkeypatch, 2), "log p(x|z)", *rule, "overflows")


def test_bounds_of_an_overflowing_decoder_are_minus_infinity_without_a_warning():
    vae, x = linear_model(0, 1)
    vae.layers("decoder")[0][0][...] = 1e200                # squares overflow: p(x|z) is 0
    assert (lower_bounds(vae, x, 5, np.random.default_rng(0)).iw_bound == -INF).all()
    vae.layers("decoder")[0][0][...] = 1e308
    vae.layers("encoder")[0][1][...] = 20.0                 # now the decoder's means overflow, too
    bound = lower_bounds(vae, x, 5, np.random.default_rng(0)).iw_bound
    assert (bound == -INF).all()


def test_memory_of_bounds_does_not_grow_with_k(monkeypatch):
    vae, x = linear_model(0, 2, rows=50)
    monkeypatch.setattr("minivae.evidence.sums.AT_ONCE", 50_000)                  # 20 draws at once

    def peak(k):
        tracemalloc.start()
        lower_bounds(vae, x, k, np.random.default_rng(0))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2)
    assert peak(2_000) < 1.2 * peak(100)


@pytest.mark.parametrize("k", [[], [1], [10, 1], [5, 5]])
def test_lower_bounds_require_increasing_k_and_a_last_k_above_1(k):
    vae, x = linear_model(0, 1)
    refused(lambda: lower_bounds(vae, x, k, np.random.default_rng(0)), "k", "in increasing order", str(k), "Try k=")


def test_lower_bounds_refuse_a_k_that_is_not_a_whole_number():
    vae, x = linear_model(0, 1)
    refused(lambda: lower_bounds(vae, x, (0.5, 2), np.random.default_rng(0)), "every k", "a whole number", "0.5", "Try")


@pytest.mark.parametrize("k", [10**30, [1, 10**30], 10**4000, sys.maxsize + 1])
def test_lower_bounds_refuse_too_many_draws(k):
    vae, x = linear_model(0, 1)
    refused(lambda: lower_bounds(vae, x, k, np.random.default_rng(0)), "k", "at most 9", "bits", "Try k=")


@pytest.mark.parametrize("k", [[1, [2]], [[1], [2, 3]]])
def test_lower_bounds_refuse_nested_lists_as_k(k):
    vae, x = linear_model(0, 1)
    refused(lambda: lower_bounds(vae, x, k, np.random.default_rng(0)), "k", "a whole number, or several", str(k), "Try k=")


class ShiftedByOne(bounds._Blocks):
    def add(self, log_w):
        super().add(np.concatenate([log_w[1:], log_w[:1]]))


PLANTED = {
    "the sum of the weights for their mean": lambda k: WithoutDivision(k),
    "blocks begin one draw late": ShiftedByOne,
}


class WithoutDivision(bounds._Blocks):
    def mean(self):
        return super().mean() + math.log(self.k)


@pytest.mark.parametrize("fault", PLANTED)
def test_error_planted_in_the_blocks_of_draws_is_noticed(fault, monkeypatch):
    monkeypatch.setattr(bounds, "_Blocks", PLANTED[fault])
    with pytest.raises(AssertionError):
        test_importance_bound_averages_over_blocks_of_k_draws(2_000_000, monkeypatch)
