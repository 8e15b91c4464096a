"""Every likelihood sums or integrates to one over x, and its mean and samples agree with its probabilities."""

import dataclasses
import functools
import itertools
import math
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae.gaussian import log_normal
from minivae.likelihood import LIKELIHOODS as KINDS
from minivae.likelihood import (
    Bernoulli,
    Binomial,
    Gaussian,
    bernoulli_log_prob,
    binomial_log_prob,
    binomial_log_prob_backward,
    gaussian_log_prob,
    gaussian_log_prob_backward,
    log_binomials,
    make_likelihood,
    optimal_log_sigma,
)
from tests.helpers.numeric import close, every_likelihood, gaussian_line, random_data, refused

LOGITS = np.array([[0.3, -1.7, 4.0], [-6.0, 0.0, 2.2]])


def every_x(n, features):
    """Return all rows of data whose features are whole numbers 0..n, (rows, features)."""
    return np.array(list(itertools.product(range(n + 1), repeat=features)), float)


def probabilities(logits):
    return np.array([[1 / (1 + math.exp(-l)) for l in row] for row in logits])


def test_bernoulli_probability_is_a_product_over_pixels_and_sums_to_one():
    x = every_x(1, 3)
    for logits, p in zip(LOGITS, probabilities(LOGITS)):
        expected = np.where(x == 1, p, 1 - p).prod(axis=1)
        probability = np.exp(bernoulli_log_prob(x, np.broadcast_to(logits, (1, *x.shape))))[0]
        close(probability, expected, rel=1e-13)
        close(probability.sum(), 1.0, rel=1e-13)
        close(probability @ x, Bernoulli().mean(logits), rel=1e-13)


@pytest.mark.parametrize("n", [1, 2, 5, 16, 255])
def test_binomial_probability_equals_the_textbook_formula_and_sums_to_one(n):
    x = every_x(n, 1)
    for logit, p in zip(LOGITS.ravel(), probabilities(LOGITS).ravel()):
        expected = np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])
        probability = np.exp(binomial_log_prob(x, np.full((1, n + 1, 1), logit), n))[0]
        close(probability, expected, rel=1e-11)
        close(probability.sum(), 1.0, rel=1e-12)
        close(probability @ x[:, 0], Binomial(n).mean(logit), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 255])
def test_binomial_coefficients_are_exact_except_for_rounding_errors(n):
    exact = [math.log(math.comb(n, k)) for k in range(n + 1)]
    close(log_binomials(n), exact, rel=1e-14)
    close(log_binomials(n, np.dtype(np.float32)), exact, rel=1e-7)


def test_binomial_probability_of_several_features_is_a_product():
    x = every_x(3, 2)
    logits = np.repeat(LOGITS[:, None, :2], len(x), axis=1)
    both = binomial_log_prob(x, logits, 3)
    first, second = (binomial_log_prob(x[:, [d]], logits[..., [d]], 3) for d in (0, 1))
    close(both, first + second, rel=1e-14)
    close(np.exp(both).sum(axis=1), np.ones(2), rel=1e-13)


def test_bernoulli_is_binomial_with_one_trial():
    rng = np.random.default_rng(0)
    x, logits = rng.integers(0, 2, (4, 3)).astype(float), rng.normal(size=(2, 4, 3))
    close(binomial_log_prob(x, logits, 1), bernoulli_log_prob(x, logits), rel=1e-15)


@pytest.mark.parametrize("log_sigma", [-2.0, 0.0, 1.3])
def test_gaussian_is_the_normal_density_and_integrates_to_one(log_sigma):
    mean, log_sigma = np.array([0.4, -3.0]), np.array(log_sigma)
    axes = [gaussian_line(m, np.exp(log_sigma)) for m in mean]
    x = np.stack(np.meshgrid(*(nodes[::2] for nodes, _ in axes)), axis=-1).reshape(-1, 2)
    log_prob = gaussian_log_prob(x, np.broadcast_to(mean, (1, *x.shape)), log_sigma)
    close(log_prob[0], log_normal(x, mean, 2 * log_sigma), rel=1e-14)
    weights = np.exp(log_prob[0]) * math.prod(2 * spacing for _, spacing in axes)
    close(weights.sum(), 1.0, rel=1e-12)
    close(weights @ x, Gaussian().mean(mean), rel=1e-12)
    close(weights @ (x - mean) ** 2, np.full(2, np.exp(2 * log_sigma)), rel=1e-12)


def test_binomial_is_the_only_likelihood_for_counts():
    assert [name for name, kind in KINDS.items() if kind.takes_counts] == ["binomial"]


@every_likelihood
def test_log_prob_is_equal_for_broadcast_and_for_repeated_decoder_output(likelihood):
    """Decoder output of shape (3, 1, 4) is broadcast to all five data points. Repeated output has shape (3, 5, 4)."""
    rng = np.random.default_rng(1)
    x, out = random_data(rng, likelihood, rows=5), rng.normal(size=(3, 1, 4))
    scale_values = (np.array(0.3),) * len(likelihood.scale)
    copies = likelihood.log_prob(x, np.repeat(out, 5, axis=1), *scale_values)
    close(likelihood.log_prob(x, out, *scale_values), copies, rel=1e-13)


def test_gaussian_log_prob_uses_the_sigma_of_each_data_row():
    rng = np.random.default_rng(2)
    x, mean, log_sigma = rng.normal(size=(5, 4)), rng.normal(size=(3, 1, 4)), rng.normal(size=5)
    rows = [gaussian_log_prob(x[[b]], mean, log_sigma[b]) for b in range(5)]
    for out in (mean, np.repeat(mean, 5, axis=1)):
        close(gaussian_log_prob(x, out, log_sigma), np.concatenate(rows, axis=1), rel=1e-14)


def test_squared_error_is_exact_if_datum_and_mean_are_large_and_close():
    x, mean = np.array([[1e8 + 1]]), np.array([[[1e8]]])
    close(gaussian_log_prob(x, mean, np.array(0.0)), [[-(1 + math.log(2 * math.pi)) / 2]], rel=1e-15)


@every_likelihood
def test_log_prob_allocates_no_large_array_if_all_data_share_one_output(likelihood):
    x, out = random_data(np.random.default_rng(0), likelihood, 100, 50), np.zeros((100, 1, 50))
    scale_values = (np.array(0.3),) * len(likelihood.scale)
    tracemalloc.start()
    try:
        likelihood.log_prob(x, out, *scale_values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * 100 * 50                            # an array of shape (L, B, D) takes 8 times as many bytes


@every_likelihood
def test_log_prob_keeps_the_order_of_draws_and_data(likelihood):
    """Compare log p, (L, B), with values computed separately for each draw and each datum."""
    rng = np.random.default_rng(2)
    x, out = random_data(rng, likelihood, rows=3), rng.normal(size=(2, 3, 4))
    scale_values = (np.array(-0.2),) * len(likelihood.scale)
    together = likelihood.log_prob(x, out, *scale_values)
    for l, b in np.ndindex(2, 3):
        close(together[l, b], likelihood.log_prob(x[[b]], out[[l]][:, [b]], *scale_values)[0, 0], rel=1e-13)


def test_log_prob_is_finite_and_right_at_logits_of_ten_thousand():
    x, logits = np.array([[1.0, 0.0, 1.0, 0.0]]), np.array([[[1e4, -1e4, -1e4, 1e4]]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        close(bernoulli_log_prob(x, logits), [[-2e4]], rel=1e-15)
        close(binomial_log_prob(16 * x, logits, 16), [[-32e4]], rel=1e-15)
        d_logits = binomial_log_prob_backward(np.ones((1, 1)), 16 * x, logits, 16)
        close(d_logits, [[[0.0, 0.0, 16.0, -16.0]]], rel=0)


def test_optimal_sigma_maximises_the_likelihood():
    rng = np.random.default_rng(3)
    x, mean = rng.normal(size=(5, 3)), rng.normal(size=(2, 5, 3))
    best = optimal_log_sigma(x, mean)
    close(np.exp(2 * best), ((x - mean) ** 2).mean(), rel=1e-14)
    close(optimal_log_sigma(x, mean[:, :1]), optimal_log_sigma(x, np.repeat(mean[:, :1], 5, axis=1)), rel=1e-14)
    _, slope = gaussian_log_prob_backward(np.full((2, 5), 1 / 10), x, mean, best)
    close(slope, 0.0, rel=0, abs_=1e-14)
    height = [gaussian_log_prob(x, mean, best + step).mean() for step in (-1e-3, 0, 1e-3)]
    assert height[1] > max(height[0], height[2])


@pytest.mark.parametrize("sigma, learns", [(0.7, False), ("optimal", False), ("learned", True)])
def test_sigma_has_a_gradient_if_learned_and_is_fitted_if_optimal(sigma, learns):
    """Test three settings of sigma. A fixed sigma, such as 0.7, has the gradient 0 and is not fitted."""
    rng = np.random.default_rng(4)
    x, mean, log_sigma = rng.normal(size=(5, 3)), rng.normal(size=(2, 5, 3)), np.array(0.4)
    likelihood = Gaussian(sigma)
    d_mean, d_log_sigma = likelihood.log_prob_backward(np.ones((2, 5)), x, mean, log_sigma)
    right = gaussian_log_prob_backward(np.ones((2, 5)), x, mean, log_sigma)
    close(d_mean, right[0], rel=0)
    close(d_log_sigma, right[1] if learns else 0 * right[1], rel=0)
    fitted = optimal_log_sigma(x, mean) if sigma == "optimal" else log_sigma
    close(likelihood.fit(x, mean, log_sigma), (fitted,), rel=0)


@pytest.mark.parametrize("sigma, log_sigma", [(2, math.log(2)), ("learned", 0.0), ("optimal", 0.0), (1, 0.0)])
def test_sigma_starts_at_its_fixed_value_or_at_1_if_not_fixed(sigma, log_sigma):
    assert Gaussian(sigma).start() == (pytest.approx(log_sigma, rel=1e-15),)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_likelihood
def test_likelihood_results_keep_the_dtype_of_the_model(likelihood, dtype):
    rng = np.random.default_rng(5)
    x, out = random_data(rng, likelihood, 3, dtype=dtype), rng.normal(size=(2, 3, 4)).astype(dtype)
    scale_values = (np.array(0.3, dtype),) * len(likelihood.scale)
    d_out, *_ = likelihood.log_prob_backward(np.ones((2, 3), dtype), x, out, *scale_values)
    for array in (
        likelihood.log_prob(x, out, *scale_values),
        d_out,
        likelihood.mean(out),
        likelihood.output_for(likelihood.mean(out[0])),
        likelihood.encoder_input(x),
    ):
        assert array.dtype == dtype


SAMPLES = 40000


@every_likelihood
def test_sampled_data_have_the_mean_and_variance_of_the_likelihood(likelihood):
    """Moments may be off by 6 standard errors; with random seeds, a correct sampler would fail in one of 10^8 runs.

    A standard error is 1/200 of a standard deviation, so a sigma that is wrong by 5 % is noticed.
    """
    out = np.broadcast_to(np.array([0.3, -1.7, 2.0]), (SAMPLES, 3))
    scale_values = (np.array(np.log(0.7)),) * len(likelihood.scale)
    x = likelihood.sample(np.random.default_rng(6), out, *scale_values)
    assert x.shape == out.shape
    mean, n = likelihood.mean(out[0]), getattr(likelihood, "n", 1)
    variance = np.full(3, 0.49) if scale_values else mean * (1 - mean / n)
    close(x.mean(axis=0), mean, rel=0, abs_=6 * np.sqrt(variance.max() / SAMPLES))
    fourth = ((x - mean) ** 4).mean(axis=0)
    error = np.sqrt((fourth - variance**2) / SAMPLES)
    close(((x - mean) ** 2).mean(axis=0), variance, rel=0, abs_=6 * error.max())
    assert np.corrcoef(x.T)[np.triu_indices(3, 1)] == pytest.approx(0, abs=6 / np.sqrt(SAMPLES))
    likelihood.check(x)


def test_events_of_probability_zero_are_never_sampled():
    """Use a generator that returns only 0; a real generator returns exactly 0 with probability 2^-53."""
    zeros = SimpleNamespace(random=np.zeros)
    close(Bernoulli().sample(zeros, np.array([-1e4, 1e4])), np.array([0, 1], np.uint8), rel=0)


@every_likelihood
def test_likelihood_is_frozen_and_hashable(likelihood):
    with pytest.raises(dataclasses.FrozenInstanceError):
        likelihood.name = "another"
    assert {likelihood: 1}[dataclasses.replace(likelihood)] == 1


@given(st.floats(0.01, 0.99))
def test_decoder_output_for_a_given_mean_reproduces_the_mean(p):
    for likelihood, mean in ((Bernoulli(), p), (Binomial(16), 16 * p), (Gaussian(), p)):
        mean = np.array([mean])
        close(likelihood.mean(likelihood.output_for(mean)), mean, rel=1e-14)


def test_constant_features_start_at_a_probability_of_1_or_99_percent():
    close(Bernoulli().output_for(np.array([0.0, 1.0])), [math.log(1 / 99), math.log(99)], rel=1e-13)
    close(Binomial(16).output_for(np.array([0.0, 16.0])), [math.log(1 / 99), math.log(99)], rel=1e-13)


def test_encoder_input_divides_counts_by_n_and_leaves_other_data_unchanged():
    x = np.array([[0.0, 8.0, 16.0]])
    close(Binomial(16).encoder_input(x), [[0.0, 0.5, 1.0]], rel=0)
    assert Bernoulli().encoder_input(x) is x and Gaussian().encoder_input(x) is x


@every_likelihood
def test_a_likelihood_is_made_from_its_name_and_settings(likelihood):
    assert make_likelihood(likelihood.name, **dataclasses.asdict(likelihood)) == likelihood


def test_message_for_an_unknown_likelihood_lists_the_known_likelihoods():
    for bad in ("poisson", "Bernoulli", "", None, Bernoulli):
        refused(lambda: make_likelihood(bad), "likelihood", ", ".join(sorted(KINDS)), repr(bad), "spelling")


@pytest.mark.parametrize("bad", [0, -1, 1.5, 16.0, True, "16", None, np.nan])
def test_a_number_of_trials_that_is_not_a_whole_number_is_refused(bad):
    refused(lambda: Binomial(bad), "n", "a whole number >= 1", repr(bad), "n=1")


@pytest.mark.parametrize("bad", [0, 0.0, -1, -0.5, np.nan, np.inf, None, True, [1.0], 1j])
def test_a_sigma_that_is_not_positive_is_refused(bad):
    refused(lambda: Gaussian(bad), "sigma", "a finite number > 0", repr(bad), "scale")


@pytest.mark.parametrize("bad", ["", "Learned", "0.5", "fixed"])
def test_an_unknown_word_for_sigma_is_refused(bad):
    refused(lambda: Gaussian(bad), "sigma", "a number, 'learned' or 'optimal'", repr(bad), "sigma=1")


def test_likelihood_settings_are_stored_as_plain_numbers():
    """A NumPy number would change the dtype of results, and the negative of an unsigned number would wrap around."""
    assert type(Binomial(np.uint8(16)).n) is int and type(Gaussian(np.float32(0.5)).sigma) is float
    assert Gaussian(1) == Gaussian() and Binomial(16) == Binomial()


@pytest.mark.parametrize("whole", [np.int64(16), np.int8(16), np.uint8(16), np.uint64(16)])
def test_number_of_trials_may_be_any_type_of_whole_number(whole):
    rng = np.random.default_rng(7)
    x = random_data(rng, Binomial(16), 3, dtype=np.float32)
    logits = rng.normal(size=(2, 3, 4)).astype(np.float32)
    expected, got = Binomial(16), Binomial(whole)
    for method, arguments in (
        ("log_prob", (x, logits)),
        ("log_prob_backward", (np.ones((2, 3), np.float32), x, logits)),
        ("mean", (logits,)),
        ("encoder_input", (x,)),
    ):
        right, actual = (np.asarray(getattr(kind, method)(*arguments)) for kind in (expected, got))
        assert actual.dtype == right.dtype
        close(actual, right, rel=0)


def test_cached_coefficients_cannot_be_changed_and_samples_keep_the_dtype():
    with pytest.raises(ValueError, match="read-only"):
        log_binomials(3)[1] = 99
    out = np.zeros((2, 3), np.float32)
    assert Gaussian(1.0).sample(np.random.default_rng(0), out, np.float32(0)).dtype == np.float32


# Rounding errors. The expected numbers were computed once from the definition, with 60 digits of Python's module decimal.

HALF_LOG_2PI = 0.91893853320467274178
EIGHT = np.array([20.25, -20.25, 0.5, -3.125, 104, -60.5, 7.75, -(2.0**-10)])           # eight logits, exact in float32
# {number of trials: (x for each of the eight logits; sum of log p(x|z) over these eight values of x)}
SEEN = {
    1: ([1, 0, 0, 0, 1, 0, 1, 1], -1.7111422974365195489),
    16: ([16, 0, 9, 2, 16, 0, 16, 7], -5.6422534238346890027),
}
DTYPES = pytest.mark.parametrize("dtype, rel", [(np.float32, 2e-6), (np.float64, 1e-14)])


def by_every_route(log_prob, x, out):
    """Return log p(x|z) of three data, (3, 3), computed in three ways.

    Row 0: the data one by one. Row 1: together, with a copy of `out` for each datum. Row 2: together, sharing one `out`.
    """
    alone = np.concatenate([log_prob(row[None], out) for row in x], axis=1)
    return np.concatenate([alone, log_prob(x, np.repeat(out, 3, axis=1)), log_prob(x, out)])


@pytest.mark.parametrize("times", [1, 98, 25_000])
@pytest.mark.parametrize("n", SEEN)
@DTYPES
def test_bernoulli_and_binomial_log_prob_are_accurate_for_many_features(n, times, dtype, rel):
    eight, right = SEEN[n]
    x, logits = np.tile(np.array(eight, dtype), (3, times)), np.tile(EIGHT.astype(dtype), times)[None, None]
    log_prob = Bernoulli().log_prob if n == 1 else Binomial(n).log_prob
    close(by_every_route(log_prob, x, logits), np.full((3, 3), times * right, dtype), rel=rel)


@pytest.mark.parametrize("features", [784, 200_000])
@DTYPES
def test_log_prob_of_nearly_certain_pixels_is_accurate_and_never_positive(features, dtype, rel):
    x = (np.arange(features) % 2 * np.ones((3, 1))).astype(dtype)
    right = np.full((3, 3), -1.6052280538972330555e-9 * features, dtype)
    close(by_every_route(bernoulli_log_prob, x, 20.25 * (2 * x[None, :1] - 1)), right, rel=rel)
    logits = np.random.default_rng(0).normal(0, 30, (1, 3, features)).astype(dtype)
    x = (logits[0] > 0).astype(dtype)
    assert (bernoulli_log_prob(x, logits) <= 0).all() and (bernoulli_log_prob(x, logits[:, :1]) <= 0).all()


# Values of (x - mean) / unit. `offset` and `unit` below are chosen so that x and the mean are exact in `dtype`.
OFF = np.array([3, -1, 0, 5, -2, 1, 0, -4.0])


@pytest.mark.parametrize("times", [1, 98, 25_000])
@pytest.mark.parametrize(
    "dtype, rel, offset, unit, log_sigma, right",
    [
        (np.float32, 2e-6, 2.0**20, 2.0**-3, -2.25, -28.734003209615675624),
        (np.float32, 2e-6, -(2.0**17), 2.0**-6, -4.5, -26.743683551797233545),
        (np.float64, 1e-14, 2.0**20, 2.0**-3, -2.25, -28.734003209615675624),
        (np.float64, 1e-14, -(2.0**20), 2.0**-10, -7.0, 16.535492813336626839),
    ],
)
def test_gaussian_log_prob_is_accurate_far_from_zero(dtype, rel, offset, unit, log_sigma, right, times):
    mean = np.tile(np.arange(8.0), times)
    x = (offset + unit * (mean + np.tile([OFF, -OFF, OFF[::-1]], times))).astype(dtype)     # equal squared error in each row
    out, log_sigma = (offset + unit * mean).astype(dtype)[None, None], np.array(log_sigma, dtype)
    log_prob = functools.partial(gaussian_log_prob, log_sigma=log_sigma)
    close(by_every_route(log_prob, x, out), np.full((3, 3), times * right, dtype), rel=rel)


@pytest.mark.parametrize(
    "dtype, rel, sigma, right",
    [
        (np.float32, 4e-6, 1e-20, 40.632773754990527034),
        (np.float32, 4e-6, 1e-38, 82.079324011480380724),
        (np.float64, 1e-15, 1e-155, 351.48175088087242968),
        (np.float64, 1e-15, 1e-300, 685.35658936500922131),
        (np.float64, 1e-15, 5e-324, 739.02113338817669434),
    ],
)
def test_gaussian_log_prob_is_right_for_tiny_sigma(dtype, rel, sigma, right):
    log_sigma = np.array(Gaussian(sigma).start()[0], dtype)
    x, mean, zero = np.full((3, 2), 3 * dtype(sigma), dtype), np.zeros((1, 1, 2), dtype), np.zeros((3, 2), dtype)
    log_prob = functools.partial(gaussian_log_prob, log_sigma=log_sigma)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        close(by_every_route(log_prob, x, mean), np.full((3, 3), 2 * right, dtype), rel=rel)
        close(by_every_route(log_prob, zero, mean), np.full((3, 3), -2 * (log_sigma + HALF_LOG_2PI)), rel=rel)
        d_mean, d_log_sigma = gaussian_log_prob_backward(np.ones((1, 1), dtype), zero[:1], mean, log_sigma)
    assert not d_mean.any() and d_log_sigma == -2


@pytest.mark.parametrize(
    "dtype, power, right",
    [
        (np.float32, -66, -44.774758842428733769),
        (np.float32, -140, -96.067650203864668660),
        (np.float32, 100, 70.287673130522187594),
        (np.float64, -600, -414.91535326143952900),
        (np.float64, -1060, -733.76305631901437133),
        (np.float64, 900, 624.80541757847843513),
    ],
)
def test_the_optimal_sigma_is_right_for_data_on_any_scale(dtype, power, right):
    x = np.ldexp(OFF, power).astype(dtype)[None]
    log_sigma = optimal_log_sigma(x, np.zeros((1, 1, 8), dtype))
    close(log_sigma, np.array(right, dtype), rel=4 * np.finfo(dtype).eps)
    assert log_sigma.dtype == dtype


def test_optimal_sigma_exists_unless_the_fit_is_perfect():
    x = np.array([[1.0, -1.0], [0.0, 0.5]])
    close(optimal_log_sigma(x, np.array([[[1, -1], [0, -0.5]]])), np.log(0.5), rel=1e-15)   # x - mean: 0 three times, 1 once
    close(optimal_log_sigma(x, -x[None]), np.log(1.5), rel=1e-15)
    refused(lambda: optimal_log_sigma(x, x[None]), "sigma", "above zero", "error of 0", "Give sigma a number")
