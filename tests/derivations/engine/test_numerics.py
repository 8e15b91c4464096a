"""Exact sums and quadrature agree with closed forms and other methods, and refuse bad input."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from derivations.engine import numerics, worlds
from derivations.engine.domains import pmf, positive, real
from derivations.engine.numerics import expect, integrate, kl, kl_normal, mean, minus_log, noise, normal
from tests.helpers.numeric import refused
from tests.helpers.strategies import points

NAN, INF = np.nan, np.inf
PMFS = (pmf("q", "q"), pmf("p", "p"))
PAIR = (real("mu_q", "m"), positive("sigma_q", "s"), real("mu_p", "m"), positive("sigma_p", "s"))


# Refusals


@pytest.mark.parametrize("bad", [0, -1, NAN, INF, [[1.0], [-1e-300]]])
def test_standard_deviation_must_be_finite_and_positive(bad):
    for call in (
        lambda: normal(0.0, 0.0, bad),
        lambda: expect(lambda z: z, 0.0, bad),
        lambda: integrate(lambda z: z, 0.0, bad),
        lambda: kl_normal(0.0, bad, 0.0, 1.0),
        lambda: kl_normal(0.0, 1.0, 0.0, bad),
    ):
        with pytest.raises(ValueError, match=r"sigma\w* must be finite and > 0"):
            call()


@pytest.mark.parametrize(
    "bad", [(0.1, 0.1), (1.5, -0.5), (0.5, 0.5 + 1e-9), (NAN, 1), (0, 0), (INF, 1), (1, 1), ((0.5, 0.5), (0.1, 0.1))]
)
def test_probabilities_must_be_non_negative_and_sum_to_one(bad):
    refused(
        lambda: numerics.need_pmf("q", bad),
        "q",
        "non-negative weights that sum to one",
        "weights that do not",
        "Divide",
    )
    good = np.full(np.shape(bad), 0.5)
    for call in (lambda: kl(bad, good), lambda: kl(good, bad), lambda: mean(bad, good)):
        with pytest.raises(ValueError, match="sum to one"):
            call()


@pytest.mark.parametrize("q, p", [((0.5, 0.5), (1.0,)), ((0.5, 0.5), ((0.5, 0.5),)), (((1.0,), (1.0,)), ((0.5, 0.5),))])
def test_kl_refuses_distributions_of_different_shapes(q, p):
    with pytest.raises(ValueError, match="q and p must be of one shape"):
        kl(q, p)


# Divergences of finite distributions


@given(st.floats(1e-15, 1e15))
def test_minus_log_agrees_with_the_logarithm(t):
    assert abs(minus_log(np.array(t)) + math.log(t)) < 3e-14 * (1 + abs(math.log(t)))


def test_minus_log_of_one_is_zero():
    assert minus_log(np.array([1.0])) == 0


def test_kl_calls_no_logarithm_of_numpy(monkeypatch):
    for name in ("log", "log2", "log10", "log1p", "logaddexp", "exp", "power", "arctanh"):
        monkeypatch.delattr(np, name)
    assert abs(kl((0.5, 0.5), (0.9, 0.1))[0] - 0.5108256237659907) < 1e-14


@given(points(PMFS))
def test_kl_equals_its_definition_with_logarithms(values):
    q, p = values["q"][0].tolist(), values["p"][0].tolist()
    terms = [a * (math.log(a) - math.log(b)) for a, b in zip(q, p)]
    assert abs(kl(**values).item() - math.fsum(terms)) < 1e-13


@given(points(PMFS))
def test_kl_equals_the_derivative_of_the_renyi_sum(values):
    """The Renyi sum is `sum q^a p^(1-a)`. Computing its derivative at a = 1 needs neither log(q/p) nor quadrature."""
    q, p = values["q"], values["p"]
    slope = numerics.complex_step(lambda a: np.sum(q**a * p ** (1 - a)), 1.0)
    assert abs(kl(q, p).item() - slope) < 1e-12


@given(points(PMFS))
def test_kl_is_zero_for_equal_distributions_and_never_negative(values):
    assert kl(**values).item() > -1e-14 and kl(values["q"], values["q"]).item() == 0


@pytest.mark.parametrize("n", [2, 3, 8, 100])
def test_kl_from_a_point_mass_to_uniform_is_log_n(n):
    one, all_ = np.eye(n), np.full((n, n), 1 / n)
    assert np.allclose(kl(one, all_), math.log(n), rtol=1e-14, atol=0)


def test_kl_is_infinite_only_where_p_is_zero_and_q_is_not():
    q, p = (
        np.array([[0.6, 0.4, 0], [0.5, 0.3, 0.2], [1, 0, 0]]),
        np.array([[0.5, 0.3, 0.2], [0.6, 0.4, 0], [0, 0.5, 0.5]]),
    )
    found = kl(q, p).ravel()
    assert found[0] == pytest.approx(0.6 * math.log(1.2) + 0.4 * math.log(4 / 3), rel=1e-14)
    assert list(found[1:]) == [INF, INF]
    refused(lambda: numerics.need_covered(q, p), "p", "> 0 wherever q > 0", "p = 0 with q > 0", "infinite")
    numerics.need_covered(q[:1], p[:1])


@pytest.mark.parametrize("denominator", [10, 1000])
def test_small_divergences_are_accurate(denominator):
    """The exact KL is the sum of (2d)^n / n over all even n >= 2."""
    d = Fraction(1, denominator)
    exact = sum(Fraction(2 * d) ** n / n for n in range(2, 60, 2))
    found = kl((0.5, 0.5), (0.5 + float(d), 0.5 - float(d))).item()
    assert found == pytest.approx(float(exact), abs=2e-15)


def test_terms_of_weight_zero_are_zero():
    assert list(numerics.times(np.array([0, 0, 2.0]), np.array([INF, NAN, 3]))) == [0, 0, 6]
    assert list(numerics.ratio(np.array([0, 1.0, 2]), np.array([0, 0, 4.0]))) == [0, INF, 0.5]
    assert mean((1.0, 0.0), np.array([3.0, INF])) == 3 and numerics.log(np.array(0.0)) == -INF


# Gaussians


def double_factorial(n):
    return math.prod(range(n, 0, -2))


@pytest.mark.parametrize("power", range(0, 21))
def test_quadrature_gives_the_moments_of_a_standard_normal(power):
    exact = 0 if power % 2 else double_factorial(power - 1)
    size = double_factorial(power if power % 2 else power - 1) or 1
    for found in (expect(lambda z: z**power, 0.0, 1.0), integrate(lambda z: z**power * normal(z, 0, 1), 0.0, 1.0)):
        assert abs(found.item() - exact) < 1e-11 * max(size, 1)


@given(points(PAIR[:2]))
def test_two_kinds_of_quadrature_agree(values):
    mu, sigma = values["mu_q"], values["sigma_q"]
    for f in (np.cos, lambda z: np.exp(z / 4), lambda z: z**4 - z):
        by_nodes, by_trapezoids = expect(f, mu, sigma), integrate(lambda z: normal(z, mu, sigma) * f(z), mu, sigma)
        assert abs(by_nodes - by_trapezoids).item() < 1e-11 * (1 + abs(by_nodes).item() + sigma.item() ** 4)


@given(points(PAIR))
def test_kl_of_gaussians_equals_the_closed_form_and_is_not_negative(values):
    mu_q, sigma_q, mu_p, sigma_p = (values[symbol.name] for symbol in PAIR)
    closed = np.log(sigma_p / sigma_q) + (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_p**2) - 1 / 2
    assert abs(kl_normal(**values) - closed).item() < 1e-12 * (1 + closed.item()) and closed.item() > -1e-15


@given(points(PAIR[:2]))
def test_normal_density_agrees_with_its_logarithm(values):
    mu, sigma = values["mu_q"].item(), values["sigma_q"].item()
    for z in (mu, mu + sigma, 0.3):
        exact = math.exp(-((z - mu) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
        assert normal(z, mu, sigma) == pytest.approx(exact, rel=1e-13)
        if exact > 0:
            assert numerics.log_density(z, mu, sigma) == pytest.approx(math.log(exact), rel=1e-13, abs=1e-13)


def test_standard_normal_density_has_the_known_digits():
    assert normal(0.0, 0.0, 1.0) == pytest.approx(0.3989422804014327, rel=1e-15)
    assert normal(1.0, 0.0, 1.0) == pytest.approx(0.24197072451914337, rel=1e-15)


# Derivatives


@pytest.mark.parametrize(
    "f, slope", [(np.exp, np.exp), (np.sin, np.cos), (lambda t: t**3, lambda t: 3 * t**2), (np.log, lambda t: 1 / t)]
)
def test_numerical_slopes_agree_with_known_derivatives(f, slope):
    at = np.array([0.3, 1.0, 2.5])
    assert np.abs(numerics.complex_step(f, at) - slope(at)).max() < 1e-14 * np.abs(slope(at)).max()
    assert np.abs(numerics.central_difference(f, at) - slope(at)).max() < 1e-8


# `noise(L)` returns nodes and weights for expectations over L independent standard normal numbers


@pytest.mark.parametrize("L", [0, -1, 1.5, True, None])
def test_noise_refuses_a_number_of_draws_that_is_not_whole_and_positive(L):
    refused(lambda: noise(L), "the number of draws", "a whole number >= 1", repr(L), "")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_noise_nodes_have_the_moments_of_independent_standard_normals(count):
    eps, weights = noise(count)
    assert weights.sum() == pytest.approx(1, rel=1e-14)
    assert (weights @ eps) == pytest.approx(np.zeros(count), abs=1e-14)
    assert (eps.T * weights) @ eps == pytest.approx(np.eye(count), abs=1e-13)
    assert weights @ eps**4 == pytest.approx(np.full(count, 3), rel=1e-13)


# Covariance matrices


@pytest.mark.parametrize("rho", [1, -1, 1.5, NAN])
def test_a_covariance_that_is_not_positive_definite_is_refused(rho):
    cov, mu = worlds.covariance(np.ones((1, 2)), np.full((1, 1), rho)), np.zeros((1, 2))
    rule = "finite" if np.isnan(rho) else "positive definite"
    refused(lambda: numerics.kl_normal_full(mu, cov, mu, np.eye(2)[None]), "cov", rule, "", "")
