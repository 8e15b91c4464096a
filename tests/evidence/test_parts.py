"""Tests of parts in which a bug would hardly change the estimates: first grids, chunks, steps, step sizes, limits."""

import numpy as np
import pytest

from minivae import ops
from minivae.evidence import annealing, descent, gaps, gradients, linear, quadrature, rates, sums
from minivae.likelihood import Gaussian
from minivae.vae import VAE
from tests.helpers.numeric import close, random_problem, refused


def test_first_grid_covers_eight_standard_deviations_of_prior_and_encoder_gaussians():
    mu, log_var = np.array([[10.0, 0], [-9, -1]]), np.full((2, 2), 2 * np.log([1, 0.5]))
    low, spacing, shape = quadrature._first_grid(mu, log_var, 64)
    close(low, [-17.0, -8.0], rel=1e-15)
    close(spacing, 35 / 64, rel=1e-15)
    assert shape == (65, 31)                                # axis 2: 16 / spacing = 29.3, rounded up to 30 intervals


@pytest.fixture
def decoded(monkeypatch):
    """Return a list to which every call of `log_likelihood` appends its number of codes."""
    numbers, log_likelihood = [], VAE.log_likelihood
    monkeypatch.setattr(VAE, "log_likelihood", lambda vae, x, z: (numbers.append(len(z)), log_likelihood(vae, x, z))[1])
    return numbers


def codes_and_values(vae, x, n):
    """Return n codes (n, 2), the grid index of each code (n, 2), and log p(x, z) at each code for one datum (n, 1).

    The grid indices are (1, 1), (2, 1), ..., (n, 1).
    """
    index = np.stack([np.arange(1, n + 1), np.ones(n, int)], axis=1)
    z = index / 4
    return z, index, vae.log_likelihood(x, z[:, None]) + quadrature.log_standard_normal(z)[:, None]


@pytest.mark.parametrize("n, chunks", [(1, [1]), (2, [2]), (3, [2, 1]), (4, [2, 2]), (5, [2, 2, 1])])
def test_nodes_are_decoded_in_chunks_that_fit_in_memory(n, chunks, monkeypatch, decoded):
    vae, x, _ = random_problem(0, Gaussian(1.0), latent=2, rows=1)
    z, index, right = codes_and_values(vae, x, n)
    monkeypatch.setattr(sums, "AT_ONCE", 2 * sums.IN_CACHE * quadrature.widest(vae))
    decoded.clear()
    close(quadrature._on_pairs(vae, x, np.zeros(n, int), index, z), right[:, 0], rel=1e-14)
    assert decoded == chunks
    decoded.clear()
    close(quadrature._on_shared_nodes(vae, x, z), right, rel=1e-14)
    assert decoded == chunks


def test_box_contains_nodes_of_high_density_and_a_margin_of_one_node():
    index = np.array([[3, 5], [4, 5], [9, 9], [0, 2]])
    log_joint = np.array([0, -7.9, -8.1, -3])               # -8.1 is negligible; -3 belongs to another datum
    box = quadrature._box(log_joint, index, np.array([0, 3]), np.array([0, 0, 0, 1]))
    assert box.tolist() == [[[2, 4], [5, 6]], [[-1, 1], [1, 3]]]


def test_trapezoid_has_symmetric_nodes_and_weights():
    for spacing in (1, 1 / 2, 1 / 5):
        eps, weights = gaps._trapezoid(spacing, 1)
        close(eps[:, 0, 0], -eps[::-1, 0, 0], rel=0, abs_=0)
        close(weights, weights[::-1], rel=1e-15)


def test_gap_error_is_the_sum_of_log_px_and_log_ratio_errors(monkeypatch):
    """KL(q(z|x) || p(z|x)) = log ratio + log p(x), so its error is 0.5 + 0.25. No other error in `gap` is larger."""
    vae, x, _ = random_problem(1, Gaussian(1.0), latent=2, rows=3)
    exact = gaps.exact_log_px(vae, x)
    monkeypatch.setattr(gaps, "exact_log_px", lambda *rest: exact._replace(error=np.full(3, 0.25)))
    monkeypatch.setattr(gaps, "_log_ratio", lambda *rest: (np.zeros(3), np.full(3, 0.5)))
    close(gaps.gap(vae, x).error, np.full(3, 0.75), rel=1e-12)


def test_descent_from_a_minimum_evaluates_the_function_once():
    points = []
    descent.minimise(lambda z, which: (points.append(z), ((z**2).sum(axis=1), 2 * z))[1], np.zeros((1, 2)), 1e-9)
    assert len(points) == 1


def test_gap_keeps_the_encoders_gaussian_if_no_descent_finds_a_better_one(monkeypatch):
    monkeypatch.setattr(gaps, "_descend", lambda vae, x, start, *rest: start + 5)
    vae, x, _ = random_problem(1, Gaussian(1.0), latent=2, rows=3)
    found = gaps.gap(vae, x)
    close(np.stack([found.mu, found.log_var]), np.stack(vae.encode(x)), rel=1e-12)
    assert not found.amortisation.any()


def line(points, which):
    """Return 3 x + 4 y and its gradient."""
    return points @ [3.0, 4.0], np.tile([3.0, 4.0], (len(points), 1))


def test_first_step_of_a_descent_has_length_one():
    points, values = descent.minimise(line, np.zeros((2, 2)), 1e-9, max_steps=1)
    close(points, np.tile([-0.6, -0.8], (2, 1)), rel=1e-14)
    close(values, np.full(2, -5.0), rel=1e-14)


def test_descent_with_a_scale_limits_the_length_of_its_first_step():
    """In units of sqrt(scale), the first step has at most the length CAREFUL; in this test it has exactly this length."""
    scale = np.array([[4.0, 1.0]])
    points, _ = descent.minimise(line, np.zeros((1, 2)), 1e-9, max_steps=1, scale=scale)
    close((points**2 / scale).sum(), descent.CAREFUL**2, rel=1e-14)
    close(points[0, 0] / points[0, 1], 3.0, rel=1e-14)      # the direction is scale * gradient = (12, 4)


@pytest.mark.parametrize("taken", [1.0, 0.5, 0.25])
def test_descent_accepts_a_step_if_the_value_falls_by_just_enough(taken):
    """The function is 0 at the start point 0, `-SUFFICIENT * taken` at the point `taken`, and 1 at all other points.

    The returned slope is -1 everywhere, so the predicted decrease is `taken`.
    """

    def f(points, which):
        enough = np.where(points[:, 0] == taken, -descent.SUFFICIENT * taken, 1.0)
        return np.where(points[:, 0] == 0, 0, enough), -np.ones_like(points)

    points, _ = descent.minimise(f, np.zeros((1, 1)), 1e-9, max_steps=1)
    assert points[0, 0] == taken


def small_model(seed=0):
    vae, x, _ = random_problem(seed, Gaussian(0.7), latent=2, rows=3)
    return vae.astype(np.float64), x, np.random.default_rng(seed)


@pytest.mark.parametrize("start", ["prior", "encoder"])
def test_slope_of_the_log_start_density_agrees_with_central_differences(start):
    vae, x, rng = small_model()
    path = annealing._tuned(vae, x, rng, 3, 1, start)
    z, step = rng.normal(size=(1, 3, 2)), np.array([1e-6, 0])
    difference = (path.log_start(z + step)[0] - path.log_start(z - step)[0]) / 2e-6
    close(path.log_start(z)[1][..., 0], difference, rel=1e-7)


def test_reverse_chains_make_the_forward_steps_in_reverse_order(monkeypatch):
    vae, x, rng = small_model()
    path = annealing._tuned(vae, x, rng, 5, 1, "prior")
    steps, transition = [], annealing._transition

    def recorded(vae, x, path, beta, size, *rest):
        steps.append((beta, *size))
        return transition(vae, x, path, beta, size, *rest)

    monkeypatch.setattr(annealing, "_transition", recorded)
    annealing._forward(vae, x, path, 2, rng)
    forward = steps.copy()
    steps.clear()
    annealing._reverse(vae, x, path, rng.normal(size=(2, 3, 2)), rng)
    assert len(set(forward)) == 4 and steps == forward[::-1]


def test_tuning_makes_ten_transitions_at_the_first_beta_and_one_at_others(monkeypatch):
    betas, transition = [], annealing._transition

    def recorded(vae, x, path, beta, *rest):
        betas.append(beta)
        return transition(vae, x, path, beta, *rest)

    monkeypatch.setattr(annealing, "_transition", recorded)
    vae, x, rng = small_model()
    annealing._tuned(vae, x, rng, 5, 1, "prior")
    assert [betas.count(beta) for beta in dict.fromkeys(betas)] == [10, 1, 1, 1]


def test_annealing_accepts_the_smallest_settings():
    vae, x, rng = small_model()
    assert np.isfinite(annealing.annealed(vae, x, rng, chains=2, distributions=1, leapfrogs=1).log_px).all()


def test_signal_to_noise_ratios_are_finite_if_some_weights_have_no_gradient():
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, 4, 2, (3,), activation="relu", dtype=np.float64)
    vae.layers("encoder")[0][1][...] = [-100, 1, 1]         # the first hidden unit is always 0
    with np.errstate(all="raise"):
        found = gradients.iw_signal_to_noise(vae, rng.integers(0, 2, (3, 4)), (1, 2), rng, repeats=6)
    assert np.isfinite([found.encoder, found.decoder]).all()


def test_ppca_raises_an_error_if_its_best_sigma_is_only_rounding_error():
    words = ("latent", "so small that the model does not fit x perfectly", "1", "Pass a number as sigma")
    refused(lambda: linear.ppca([[1, 0], [-1, 0], [0, 1e-9], [0, -1e-9]], 1), *words)
    refused(lambda: linear.ppca(np.ones((3, 2)), 1), *words)
    assert linear.ppca([[1, 0], [-1, 0], [0, 1e-6], [0, -1e-6]], 1).sigma == pytest.approx(1e-6 / np.sqrt(2))


def test_coordinate_is_active_only_if_its_variance_exceeds_the_threshold(monkeypatch):
    vae, x, _ = small_model()
    spread = rates.rate_distortion(vae, x, np.random.default_rng(0), draws=2).variance_of_means
    monkeypatch.setattr(rates, "ACTIVE", spread[0])
    active = rates.rate_distortion(vae, x, np.random.default_rng(0), draws=2).active
    assert list(active) == [False, spread[1] > spread[0]]


def test_integral_that_is_minus_infinity_on_both_grids_has_error_zero():
    vae, x, _ = small_model()
    rules = [gaps.gauss_hermite(nodes, 2) for nodes in (4, 8)]
    values, error = gaps._refine(vae, x, rules, lambda rows, eps: np.full((len(eps), len(rows)), -np.inf), 1e-9)
    assert (values == -np.inf).all() and not error.any()


def pairs_of(shares):
    """Return three arrays, one entry per node with p > 0: the node's index in the grid, p, and the index of the datum."""
    who, *index = np.nonzero(shares)
    return np.stack(index, axis=-1), shares[shares > 0], who


def test_probability_outside_the_grid_is_extrapolated_from_the_two_outermost_layers():
    lines = [0.02, 0.1, 0.5, 0.3, 0.07, 0.01], [0.2, 0.1, 0.4, 0.3, 0, 0], [0, 0.5, 0.5, 0, 0, 0], [1, 0, 0, 0, 0, 0]
    right = np.array([2 * (0.02**2 / 0.08 + 0.01**2 / 0.06), np.inf, 0, np.inf])
    close(quadrature._outside(*pairs_of(np.array(lines)), (6,), np.zeros(4)), right, rel=1e-14)
    some_left_out = quadrature._outside(*pairs_of(np.array(lines)), (6,), np.array([0, 0.25, 0.25, 0.25]))
    # In the last of the `lines`, p is 1 at the border node and 0 at the next node. The 1 is above left_out = 0.25, so
    # `_outside` extrapolates p beyond the border. The extrapolated p does not fall, so its sum is infinite.
    close(some_left_out, np.array([right[0], 2 * 0.2, 0, np.inf]), rel=1e-14)
    square = np.outer([0.1, 0.4, 0.3, 0.2], [0.2, 0.3, 0.4, 0.1])
    right = 2 * (0.1**2 / 0.3 + 0.2**2 / 0.1 + 0.2**2 / 0.1 + 0.1**2 / 0.3)
    close(quadrature._outside(*pairs_of(square[None]), (4, 4), np.zeros(1)), np.array([right]), rel=1e-14)


def disagreement(p, n):
    """Split `p` into n interleaved parts and sum each part.

    Return the largest relative difference between one of the n sums and the mean of all n sums.
    """
    return max(abs(n * p[k::n].sum() / p.sum() - 1) for k in range(n))


@pytest.mark.parametrize("kinks", [False, True])
@pytest.mark.parametrize("period", [2, 3, 6])
def test_discretisation_error_is_estimated_from_interleaved_grids(period, kinks):
    k = np.arange(36)
    p = np.exp(-((k - 17.3) ** 2) / 50) * (1 + 0.1 * np.cos(2 * np.pi * k / period))
    p /= p.sum()
    two, three, six = (disagreement(p, n) for n in (2, 3, 6))
    found = quadrature._discretisation(*pairs_of(p[None]), kinks)
    close(found, np.array([max(two, three, six / 6) if kinks else max(two, three * three / six)]), rel=1e-12, abs_=1e-15)


@pytest.mark.parametrize("activation", ["tanh", "relu", "leaky"])
def test_every_activation_except_tanh_is_assumed_to_have_kinks(activation, monkeypatch):
    found, estimate = set(), quadrature._discretisation
    monkeypatch.setattr(quadrature, "_discretisation", lambda *rest, kinks: (found.add(kinks), estimate(*rest, kinks))[1])
    monkeypatch.setitem(ops.ACTIVATIONS, "leaky", ops.ACTIVATIONS["relu"])      # as if minivae had this activation
    vae, x, _ = random_problem(0, latent=1, activation=activation)
    quadrature.exact_log_px(vae, x)
    assert found == {activation != "tanh"}


def test_interleaved_grids_differ_at_least_as_much_if_their_spacing_is_doubled():
    """A sum with spacing 3h is a mean of 2^J sums with spacing 6h.

    So the error of this mean is at most the largest error of the 2^J sums.
    """
    rng = np.random.default_rng(0)
    for shape in ((200, 40), (200, 12, 13)):
        index, p, row = pairs_of(rng.dirichlet(np.ones(np.prod(shape[1:])) / 3, 200).reshape(shape))
        three, six = (quadrature._disagreement(index, p, row, n) for n in (3, 6))
        assert (three <= six * (1 + 1e-12)).all()
