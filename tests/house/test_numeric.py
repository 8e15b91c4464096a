"""The numerical checkers accept right values and raise an error for every kind of wrong value."""

import numpy as np
import pytest

from tests.helpers.numeric import (
    ORACLES,
    central_difference,
    check_gradient,
    check_model_gradient,
    close,
    complex_step,
    gaussian_density,
    gaussian_line,
    noise_nodes,
    random_problem,
    refused,
)

ONE_TO_SIX = np.arange(1.0, 7).reshape(2, 3)


def wrong_in_one_entry(value):
    array = ONE_TO_SIX.copy()
    array[1, 0] = value
    return array


@pytest.mark.parametrize(
    "actual, desired",
    [
        (ONE_TO_SIX[:1], ONE_TO_SIX),                       # pairs 1 to 4: NumPy would broadcast these arrays
        (np.ones(()), np.ones(3)),
        (np.ones(3), np.ones((3, 1))),
        (np.ones((0,)), np.ones((1,))),
        (np.ones(2, int), np.ones(2)),
        (np.ones(2, complex), np.ones(2)),
        (np.ones(2, bool), np.ones(2, int)),
        (wrong_in_one_entry(np.nan), ONE_TO_SIX),
        (ONE_TO_SIX, wrong_in_one_entry(np.nan)),
        (wrong_in_one_entry(np.nan), wrong_in_one_entry(np.nan)),
        (wrong_in_one_entry(np.inf), ONE_TO_SIX),
        (ONE_TO_SIX, wrong_in_one_entry(np.inf)),
        (wrong_in_one_entry(-np.inf), wrong_in_one_entry(np.inf)),
        (wrong_in_one_entry(4 + 1.1e-5), ONE_TO_SIX),
        (ONE_TO_SIX * (1 + 1.1e-6), ONE_TO_SIX),
        (np.full(2, 1e-300), np.zeros(2)),                  # only zero is close to zero
        (np.zeros(2), np.full(2, 1e-300)),
        (np.array([0], np.uint8), np.array([255], np.uint8)),
    ],
)
def test_function_close_rejects_nan_and_wrong_shapes_and_types_and_values(actual, desired):
    with pytest.raises(AssertionError):
        close(actual, desired, rel=1e-6)


def test_function_close_accepts_nearly_equal_values():
    close(ONE_TO_SIX * (1 + 0.9e-6), ONE_TO_SIX, rel=1e-6)
    close(wrong_in_one_entry(4 + 0.9 * 6e-6), ONE_TO_SIX, rel=1e-6)         # `rel` is relative to the largest entry, 6
    close(ONE_TO_SIX.astype(np.float32), ONE_TO_SIX, rel=0)
    close(np.full(2, 1e-300), np.zeros(2), rel=0, abs_=1e-299)
    close([np.inf, -np.inf, 1.0], [np.inf, -np.inf, 1.0], rel=0)
    close(1.0, np.ones(()), rel=0)
    close(np.ones((0, 3)), np.ones((0, 3)), rel=0)


def test_function_close_reports_the_place_and_both_values():
    with pytest.raises(AssertionError, match=r"1 of 6 .* most at \(1, 0\): .*4\.5.* instead of .*4\.0.*"):
        close(wrong_in_one_entry(4.5), ONE_TO_SIX, rel=1e-6)


def cubes_and_sines(a, b):
    return (a**3).sum() + (np.sin(b) * a[0, 0]).sum()


A, B = ONE_TO_SIX / 3, np.array([0.1, -2.0])
D_A, D_B = 3 * A**2 + np.sin(B).sum() * np.array([[1, 0, 0], [0, 0, 0]]), np.cos(B) * A[0, 0]


@pytest.mark.parametrize("slope, rel", [(complex_step, 1e-15), (central_difference, 1e-9)])
def test_numerical_gradients_equal_a_known_gradient_and_do_not_change_inputs(slope, rel):
    before = A.copy(), B.copy()
    close(slope(cubes_and_sines, [A, B], 0), D_A, rel=rel)
    close(slope(cubes_and_sines, [A, B], 1), D_B, rel=rel)
    assert (A == before[0]).all() and (B == before[1]).all()


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_gradient_checker_accepts_the_right_gradient(oracle):
    check_gradient(cubes_and_sines, [A, B], {0: D_A, 1: D_B}, oracle)


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda g: g * (1 + 1e-4),
        lambda g: g + 1e-4 * np.abs(g).max() * (np.arange(g.size) == 0).reshape(g.shape),   # wrong in one entry
        lambda g: -g,
        lambda g: 0 * g,
        lambda g: np.nan * g,
        lambda g: g[None],
        lambda g: g[:1],
        lambda g: g.sum(),
        lambda g: g.astype(complex),
    ],
)
def test_the_gradient_checker_notices_a_wrong_gradient_in_any_input(oracle, spoil):
    for wrong in ({0: spoil(D_A), 1: D_B}, {0: D_A, 1: spoil(D_B)}):
        with pytest.raises(AssertionError, match=f"by {oracle}"):
            check_gradient(cubes_and_sines, [A, B], wrong, oracle)


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_gradient_checker_notices_that_a_tiny_gradient_is_wrong(oracle):
    small = [1e-12 * A, 1e-12 * B]
    with pytest.raises(AssertionError):
        check_gradient(lambda a, b: 1e-9 * (a.sum() + b.sum()), small, {0: np.zeros(A.shape)}, oracle)


@pytest.mark.parametrize("oracle", ORACLES)
def test_checker_of_model_gradients_reports_which_parameter_is_wrong(oracle, monkeypatch):
    vae, x, eps = random_problem(0)
    right = vae.gradient(x, eps)
    check_model_gradient(vae, x, eps, oracle)
    for name in right:
        wrong = right.copy()
        wrong[name][...] *= 1 + 1e-4
        monkeypatch.setattr(type(vae), "gradient", lambda self, x, eps, wrong=wrong: wrong)
        with pytest.raises(AssertionError, match=f"gradient for {name}, by {oracle}"):
            check_model_gradient(vae, x, eps, oracle)


def test_noise_nodes_have_the_moments_of_standard_normal_noise():
    eps, weights = noise_nodes(latent=2, rows=3)
    assert eps.shape == (25, 3, 2)
    for power, moment in enumerate([1.0, 0.0, 1.0, 0.0, 3.0, 0.0, 15.0, 0.0, 105.0]):
        close(np.tensordot(weights, eps**power, 1), np.full((3, 2), moment), rel=1e-13, abs_=1e-13)
    close(weights @ (eps[:, 0, 0] * eps[:, 0, 1]) ** 2, 1.0, rel=1e-13)
    with pytest.raises(AssertionError):
        close(weights @ eps[:, 0, 0] ** 10, 945.0, rel=1e-3)            # the rule is exact only below degree 10


@pytest.mark.parametrize("mu, sigma", [(0.0, 1.0), (-3.0, 0.01), (50.0, 7.0)])
def test_nodes_of_the_trapezoid_rule_integrate_gaussians_exactly(mu, sigma):
    nodes, spacing = gaussian_line(mu, sigma)
    density = gaussian_density(nodes, mu, sigma) * spacing
    close(density.sum(), 1.0, rel=1e-13)
    close((density * (nodes - mu)).sum(), 0.0, rel=0, abs_=1e-13 * sigma)
    close((density * (nodes - mu) ** 2).sum(), sigma**2, rel=1e-13)


def test_checker_of_error_messages_requires_all_four_parts():
    def complain(message, kind=ValueError):
        def call():
            raise kind(message)

        return call

    words = "x", "finite", "nan", "Find"
    refused(complain("x must be finite; got nan at index 3. Find where it comes from."), *words)
    refused(complain("x must be finite; got\n[nan 1.]\nFind where it comes from."), *words)
    for message in (
        "y must be finite; got nan. Find it.",
        "x must be small; got nan. Find it.",
        "x must be finite; got inf. Find it.",
        "x must be finite; got nan. Lose it.",
        "x must be finite; got nan.",
        "x must be finite.",
        "bad x",
    ):
        with pytest.raises(AssertionError):
            refused(complain(message), *words)
    with pytest.raises(TypeError):
        refused(complain("x must be finite; got nan. Find it.", TypeError), *words)
    with pytest.raises(pytest.fail.Exception):
        refused(lambda: None, *words)
