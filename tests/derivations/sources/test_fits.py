"""Fits of one Gaussian q to a mixture p of two Gaussians with the means -d and d (d is the argument `apart`).

The tests compare KLs with sums on a grid, and check that no other Gaussian q has a smaller KL than the fit.
"""

import numpy as np
import pytest

from derivations.cards import fits
from tests.helpers.numeric import refused

APART = np.array([0.8, 2.0, 2.5, 3.0, 4.0])[:, None]
POINTS = [(0.8, 0, 1.3), (2, 1, 0.4), (3, -3, 1), (3, 0, 10**0.5), (4, 2, 2)]


def both_kl_on_a_grid(apart, mu, sigma):
    """Return KL(p || q) and KL(q || p), summed over a fine grid."""
    z = np.linspace(-40, 40, 160001)
    bell = lambda mu, sigma: np.exp(-(((z - mu) / sigma) ** 2) / 2) / (np.sqrt(2 * np.pi) * sigma)  # noqa: E731
    p, q = (bell(-apart, 1) + bell(apart, 1)) / 2, bell(mu, sigma)
    seen = (p > 0) & (q > 0)
    p, q = p[seen], q[seen]
    return [(a * np.log(a / b)).sum() * (z[1] - z[0]) for a, b in ((p, q), (q, p))]


@pytest.mark.parametrize("apart, mu, sigma", POINTS)
def test_forward_and_reverse_kl_agree_with_sums_on_a_grid(apart, mu, sigma):
    both = [kl(apart, mu, sigma) for kl in (fits.kl_forward, fits.kl_reverse)]
    np.testing.assert_allclose(both, both_kl_on_a_grid(apart, mu, sigma), rtol=1e-10)


@pytest.mark.parametrize("apart, mu, sigma", POINTS)
def test_derivatives_of_the_reverse_kl_equal_central_differences(apart, mu, sigma):
    at, step = np.array([mu, np.log(sigma)], float), 1e-5
    gradient, hessian = fits.reverse_slopes(apart, mu, sigma)
    for i, d in enumerate(step * np.eye(2)):
        f = lambda at: fits.kl_reverse(apart, at[0], np.exp(at[1]))  # noqa: E731
        g = lambda at: fits.reverse_slopes(apart, at[0], np.exp(at[1]))[0]  # noqa: E731
        assert abs((f(at + d) - f(at - d)) / (2 * step) - gradient[i]) < 1e-8
        np.testing.assert_allclose((g(at + d) - g(at - d)) / (2 * step), hessian[i], atol=1e-8)


def test_forward_and_reverse_fit_have_the_smallest_kl_in_their_direction():
    mu, sigma = np.linspace(-6, 6, 61)[:, None], np.geomspace(0.3, 6, 41)
    for apart in APART.ravel():
        for kl, fit in ((fits.kl_forward, fits.fit_forward), (fits.kl_reverse, fits.best_reverse)):
            least, on_grid = kl(apart, *fit(apart)), kl(apart, mu, sigma).min()
            assert least <= on_grid < least + 0.01


def test_mu_and_sigma_of_the_fits_have_the_known_values():
    """Fit q to two mixtures, with means 3 and -3, and with means 0.8 and -0.8; check mu and sigma of the fits.

    For means 3 and -3, the test also checks the forward and the reverse KL.
    """
    np.testing.assert_allclose(fits.fit_forward(3), (0, np.sqrt(10)), atol=1e-12)
    right, left = fits.fit_reverse(3, 3), fits.fit_reverse(3, -3)
    np.testing.assert_allclose(right, (2.984306, 1.023369), atol=1e-6)
    np.testing.assert_allclose(right, (-left[0], left[1]), atol=1e-12)
    assert abs(fits.kl_reverse(3, *right) - 0.688769) < 1e-6 and abs(fits.kl_forward(3, 0, 10**0.5) - 0.461995) < 1e-6
    np.testing.assert_allclose(fits.best_reverse(0.8), (0, 1.273423), atol=1e-6)


def test_fits_for_several_distances_minimise_the_kl_for_each_distance():
    for fit in (lambda a: fits.fit_reverse(a, a), lambda a: fits.fit_reverse(a, 0), fits.best_reverse):
        mu, sigma = fit(APART)
        gradient, hessian = fits.reverse_slopes(APART, mu, sigma)
        assert mu.shape == APART.shape and np.abs(gradient).max() < 1e-9 and (np.linalg.eigvalsh(hessian) > 0).all()
        np.testing.assert_allclose(mu.ravel(), [fit(apart)[0] for apart in APART.ravel()], atol=1e-9)


def test_reverse_fit_covers_two_close_gaussians_and_one_of_two_distant_gaussians():
    mu, _ = fits.best_reverse(np.array([0.8, 2.5, 2.8, 2.9, 3, 4]))
    np.testing.assert_allclose(mu[:3], 0, atol=1e-9)
    np.testing.assert_allclose(mu[3:], (2.9, 3, 4), atol=0.03)


def test_mass_in_an_interval_equals_the_integral_of_the_density():
    z = np.linspace(-1, 1, 20001)
    middle = (z[1:] + z[:-1]) / 2
    p = np.exp(fits.log_mixture(middle, 3.0)).mean() * 2
    q = np.exp(fits.log_gaussian(middle, 0.5, 2.0)).mean() * 2
    assert abs(fits.mixture_mass(3.0, -1, 1) - p) < 1e-8 and abs(fits.mass(0.5, 2.0, -1, 1) - q) < 1e-8


def test_negative_sigma_and_a_start_far_from_any_minimum_are_refused():
    for kl in (fits.kl_forward, fits.kl_reverse):
        refused(lambda: kl(3, 0, -1), "sigma", "> 0", "-1", "above zero")
    refused(lambda: fits.fit_reverse(3, 1e4), "start", "minimum", "10000", "modes")


@pytest.mark.parametrize("fit", [fits.fit_forward, fits.best_reverse])
def test_fits_for_repeated_distances_equal_the_separate_fits(fit):
    mu, sigma = fit(np.array([[3.0], [2.5], [3.0]]))
    assert mu.shape == sigma.shape == (3, 1)
    for k, apart in enumerate((3.0, 2.5, 3.0)):
        np.testing.assert_allclose((mu[k, 0], sigma[k, 0]), fit(apart), rtol=1e-12, atol=1e-12)
