"""Tests of LM's figures: each figure draws the numbers that were checked, and faulty figures are refused."""

import numpy as np
import pytest

from derivations.figures import lm, lm_loss
from tests.helpers.drawn import by_gid, drawn, line, refused, words

# lm-3


def test_figure_lm_3_shows_the_evidence_the_elbo_and_the_printed_integral():
    axes = drawn("lm-3")[0].axes[0]
    (w, evidence), (_, elbo), (_, printed) = (line(axes, name) for name in ("evidence", "elbo", "printed"))
    variance = w**2 + 0.25
    np.testing.assert_allclose(evidence, -np.log(2 * np.pi * variance) / 2 - 1 / (2 * variance), rtol=1e-12)
    np.testing.assert_allclose(elbo, evidence, rtol=1e-9)
    np.testing.assert_allclose(printed, -np.log(2 * np.pi / 4) / 2 - 2 * (1 + w**2), rtol=1e-9)
    assert axes.get_xlim() == (-2, 2) and axes.get_ylim()[0] < printed.min() and evidence.max() < axes.get_ylim()[1]


bias = lm.three_lines()
w = bias["w"]


def three_lines(change=None, **faulty):
    """Return a function that draws the figure with some numbers replaced, or with `change` added to all three lines."""
    moved = {} if change is None else {name: bias[name] + change for name in ("evidence", "printed", "elbo")}
    return lambda: lm.bias(bias | moved | faulty)


posterior_to_prior = lm.kl_diagonal(w / (w**2 + 0.25), np.log(0.25 / (w**2 + 0.25)), 0.0, 0.0)
# {fault: (function that draws the faulty figure, part of the error message)}
FAULTS = {
    "no w = 2": (lambda: lm.bias({name: values[w < 2] for name, values in bias.items()}), "w = 0 and w = 2"),
    "the integral of p(x|z) p(z)": (three_lines(printed=bias["evidence"]), "the gap is KL"),
    "the KL in the other direction": (three_lines(kl=posterior_to_prior), "the gap is KL"),
    "the ELBO at the prior": (three_lines(elbo=bias["printed"]), "ELBO with q = p(z|x) is ln p(x)"),
    "no gap": (three_lines(printed=bias["evidence"], kl=0 * w), "the gap is 0 at w = 0 only"),
    "all lines raised by w^2 / 10": (three_lines(w**2 / 10), "ln p(x) is largest at"),
    "a spike where ln p(x) is largest": (
        three_lines(5 * np.exp(-(((abs(w) - 0.87) / 0.03) ** 2))),
        "printed integral is largest at w = 0",
    ),
    "another value at w = 2": (three_lines(-0.01 * (w == 2)), "at w = 2 both sides are"),
}


# lm-11


def test_lm_11_draws_z_and_g_of_z_in_the_same_colour():
    left, right = drawn("lm-11")[0].axes
    z, g = (axes.collections[0].get_offsets().data for axes in (left, right))
    rho = np.linalg.norm(z, axis=1)
    np.testing.assert_allclose(g, z / 10 + z / rho[:, None], rtol=1e-12)
    for axes in (left, right):
        np.testing.assert_allclose(axes.collections[0].get_array(), rho, rtol=1e-12)
        (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        points = axes.collections[0].get_offsets()
        assert axes.get_aspect() == 1 and low < points[:, 0].min() and points[:, 0].max() < high
        assert bottom < points[:, 1].min() and points[:, 1].max() < top
    assert by_gid(right, "edge").radius == 1 and len(z) == 1500
    assert [c.radius for c in left.patches] == [1, 2, 3] and [c.radius for c in right.patches] == [1.1, 1.2, 1.3, 1]


def test_colours_of_figure_lm_11_darken_with_the_radius():
    brightness = lm.COLOURS(np.linspace(0, 1, 50))[:, :3] ** 2.2 @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) < 0).all() and brightness[0] > 8 * brightness[-1]


def test_histogram_of_figure_lm_11_agrees_with_its_points_and_density_curve():
    right = drawn("lm-11")[0].axes[1]
    radius = np.linalg.norm(right.collections[0].get_offsets(), axis=1)
    (inside,) = right.child_axes
    mass = sum(bar.get_height() * bar.get_width() for bar in inside.patches)
    assert mass == pytest.approx(1, abs=1e-9)
    within = sum(bar.get_height() * bar.get_width() for bar in inside.patches if bar.get_x() < 1.099)
    assert within == pytest.approx((radius < 1.1).mean(), abs=0.01)
    r, density = line(inside, "density")
    np.testing.assert_allclose(density, 100 * (r - 1) * np.exp(-50 * (r - 1) ** 2), rtol=1e-9)


ring = lm.ring()


def points(z=None, map=lm.to_ring, **faulty):
    z = ring["z"] if z is None else z
    return lambda: lm.doersch_ring(ring | {"z": z, "g": map(z)} | faulty)


def turned(z):
    return lm.to_ring(z) @ np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]])


norm = np.linalg.norm(ring["z"], axis=1, keepdims=True)
FAULTS |= {
    "a smaller ring": (points(map=lambda z: 0.9 * lm.to_ring(z)), "no point lies inside"),
    "a rotated ring": (points(map=turned), "keeps its direction"),
    "a ring reflected in its centre": (points(map=lambda z: -lm.to_ring(z)), "keeps its direction"),
    "a wider ring": (points(map=lambda z: lm.to_ring(z) + z / 10), "1 + |z| / 10"),
    "a squared determinant": (points(area=(0.1 + 1 / lm.RHO) ** 2), "determinant of the Jacobian"),
    "no determinant": (points(area=1 + 0 * lm.RHO), "determinant of the Jacobian"),
    "a density without the determinant": (points(density=ring["density"] * ring["area"]), "has mass 1"),
    "a density in reverse order": (points(density=ring["density"][::-1]), "that of z divided by the determinant"),
    "draws that are too wide": (points(z=2 * ring["z"]), "mean radius"),
    "draws on a circle": (points(z=ring["z"] / norm * np.sqrt(np.pi / 2)), "Rayleigh"),
}


# lm-43


def test_loss_terms_equal_the_level_on_every_contour_line_of_lm_43():
    fit = lambda mu, sigma: np.log(2 * np.pi / 4) / 2 + 2 * ((2 - mu) ** 2 + sigma**2)  # noqa: E731
    kl = lambda mu, sigma: (mu**2 + sigma**2 - 1) / 2 - np.log(sigma)  # noqa: E731
    total = lambda mu, sigma: fit(mu, sigma) + kl(mu, sigma)  # noqa: E731
    for axes, term in zip(drawn("lm-43")[0].axes, (fit, kl, total, kl)):
        _, contours = axes.collections
        assert len(contours.levels) == len(contours.get_paths()) > 5
        for level, contour in zip(contours.levels, contours.get_paths()):
            seen = contour.vertices[contour.vertices[:, 1] > 0.1]
            np.testing.assert_allclose(term(*seen.T), level, atol=0.01)


def test_every_panel_of_lm_43_prints_the_values_at_its_minima():
    """Three panels print the lowest reconstruction, KL and loss. The fourth prints the KL at the minimum for each beta."""
    written = [text for text, _ in words(drawn("lm-43")[0])]
    for expected in ("$x/w$: 0.23", "prior: 0.00", "posterior: 2.63"):
        assert expected in written
    values = {f"$\\beta$ = {b}: {kl:.2f}" for b, kl in (("1/4", 2.717588), ("1", 1.684719), ("4", 0.596574))}
    assert values <= set(written)


def test_lm_43_marks_the_minima_and_draws_their_path_over_beta():
    axes = drawn("lm-43")[0].axes
    single = [artist.get_data() for panel in axes for artist in panel.lines if len(artist.get_xdata()) == 1]
    marked = [(float(x[0]), float(y[0])) for x, y in single]
    expected = [(2, 0), (0, 1), (1.6, 0.2**0.5)]
    expected += [(2 / (1 + b / 4), (b / 4 / (1 + b / 4)) ** 0.5) for b in (0.25, 1, 4)]
    np.testing.assert_allclose(marked, expected, atol=1e-12)
    mu, sigma = line(axes[3], "path")
    np.testing.assert_allclose(sigma**2, 1 - mu / 2, atol=1e-12)
    assert all(panel.get_aspect() == 1 and panel.get_xlim() == (-1, 3) for panel in axes)


terms = lm_loss.terms()
mu, sigma, fit, kl, best, path = terms.values()
cut = np.s_[:, mu < 1]


def loss(**faulty):
    return lambda: lm_loss.loss(terms | faulty)


FAULTS |= {
    "the KL is subtracted": (loss(kl=-kl), "the sum is -ELBO"),
    "the reconstruction at the mean of q": (loss(reconstruction=fit - 2 * sigma**2), "the sum is -ELBO"),
    "one wrong number": (
        loss(kl=kl + 0.1 * (np.arange(len(mu)) == 7) * (sigma == sigma[7])),
        "everywhere",
    ),
    "a posterior outside the grid": (
        loss(mu=mu[mu < 1], reconstruction=fit[cut], kl=kl[cut]),
        "the sum is least at the posterior",
    ),
    "sum of shifted terms": (loss(reconstruction=fit + mu, kl=kl - mu), "the reconstruction is best"),
    "sum of slightly shifted terms": (loss(reconstruction=fit + 0.01, kl=kl - 0.01), "the KL has its minimum, 0"),
    "betas in reverse order": (loss(best=best[::-1]), "the KL at the minimum falls"),
    "another posterior": (loss(best=best + [[0, 0], [0, 0.01], [0, 0]]), "the minimum at beta = 1"),
    "another minimum at 1/4": (loss(best=best + [[0, 0.03], [0, 0], [0, 0]]), "beta = 0.25 is least"),
    "another minimum at 4": (loss(best=best + [[0, 0], [0, 0], [0.001, 0]]), "beta = 4 is least"),
    "a path at some distance from the minima": (loss(path=path + [0, 0.05]), "passes the minimum for beta"),
    "a path in reverse order": (loss(path=path[::-1]), "falls along the path"),
    "a path that ends too soon": (loss(path=path[100:-100]), "from the best reconstruction to the prior"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_drawing_an_lm_figure_from_faulty_input_raises_an_error(fault):
    refused(*FAULTS[fault])
