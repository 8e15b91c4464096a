"""Adam equals the textbook's algorithm except for rounding errors, works in place and allocates no large array."""

import tracemalloc

import numpy as np
import pytest

from minivae.adam import BLOCK, RESET, Adam
from minivae.params import Params
from tests.helpers.numeric import close, refused


def textbook_adam(theta, gradients, lr=1e-3, b1=0.9, b2=0.999, tiny=1e-8):
    """Yield theta after every step of Adam. The lines are those of Algorithm 1 of Kingma and Ba (2015)."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        m_hat = m / (1 - b1**t)
        v_hat = v / (1 - b2**t)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + tiny)
        yield theta


def vector(flat):
    return Params({"all": (flat.size,)}, flat)


def random_gradients(size, scale=1.0, steps=60, dtype=np.float64):
    """Return random gradients whose mean over the steps is not zero, so that both moments of Adam matter."""
    rng = np.random.default_rng(size)
    pull = rng.normal(size=size)
    return [(scale * (pull + rng.normal(size=size))).astype(dtype) for _ in range(steps)]


SETTINGS = [
    {},
    {"lr": 0.1},
    {"b1": 0.0},
    {"b2": 0.0},
    {"b1": 0.5, "b2": 0.9, "lr": 2.0},
    {"b1": 0.99, "b2": 0.9999},
    {"tiny": 1e-2},                                         # large: adding `tiny` at a wrong place changes the result
    {"tiny": 1.0, "b2": 0.9},
]


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("settings", SETTINGS, ids=repr)
def test_adam_equals_the_textbook_update_for_sixty_steps(settings, scale):
    start, gradients = np.random.default_rng(0).normal(size=7), random_gradients(7, scale)
    optimiser = Adam(vector(start.copy()), **settings)
    for gradient, expected in zip(gradients, textbook_adam(start, gradients, **settings)):
        optimiser.step(vector(gradient))
        close(optimiser.params.flat - start, expected - start, rel=1e-12, abs_=1e-15)
    assert optimiser.t == 60


@pytest.mark.parametrize("b, reset", [(0.5, True), (0.9, False)])
def test_resetting_tiny_moments_changes_no_step(b, reset):
    """Compare Adam (`reset_tiny_moments` runs 17 times) with textbook Adam. From step 6 on, 4 of 8 gradient entries are 0.

    With b = 0.5, the moments for these entries become tiny, and step 1,024 sets them to 0; 64 more steps follow. With
    b = 0.9, no moment is ever tiny.
    """
    start = np.random.default_rng(1).normal(size=8)
    gradients = random_gradients(8, steps=17 * RESET)
    for gradient in gradients[5:]:
        gradient[:4] = 0
    optimiser = Adam(vector(start.copy()), b1=b, b2=b)
    for gradient, expected in zip(gradients, textbook_adam(start, gradients, b1=b, b2=b)):
        optimiser.step(vector(gradient))
    assert optimiser.m[:4].all() == optimiser.v[:4].all() == (not reset)
    close(optimiser.params.flat - start, expected - start, rel=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_of_dead_units_become_zero_and_never_subnormal(dtype):
    optimiser = Adam(vector(np.zeros(3, dtype)), b2=0.9)
    for t in range(12_000):
        optimiser.step(vector(np.full(3, t == 0, dtype)))
        if t % RESET == 0:
            for moment in (optimiser.m, optimiser.v):
                assert ((moment == 0) | (moment >= np.finfo(dtype).tiny)).all()
    assert not optimiser.m.any() and not optimiser.v.any()


@pytest.mark.parametrize("size", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 5])
def test_adam_updates_every_parameter_for_any_vector_size(size):
    start, gradients = np.random.default_rng(1).normal(size=size), random_gradients(size, steps=3)
    optimiser = Adam(vector(start.copy()))
    for gradient in gradients:
        optimiser.step(vector(gradient))
    *_, expected = textbook_adam(start, gradients)
    close(optimiser.params.flat - start, expected - start, rel=1e-12)


def test_first_adam_step_is_minus_lr_times_the_gradient_sign():
    """The bias correction makes the first step independent of the gradient's size."""
    params = vector(np.zeros(3))
    Adam(params, lr=0.01, tiny=1e-30).step(vector(np.array([1e-9, -3.0, 1e9])))
    close(params.flat, [-0.01, 0.01, -0.01], rel=1e-14)


def test_adam_does_not_change_a_parameter_with_zero_gradient():
    params = vector(np.array([1.0, 2.0]))
    optimiser = Adam(params)
    for _ in range(3):
        optimiser.step(vector(np.array([0.0, 1.0])))
    assert params.flat[0] == 1 and params.flat[1] < 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_step_updates_in_place_and_leaves_the_gradient_unchanged(dtype):
    params = Params({"weight": (3, 2), "bias": (2,)}, np.ones(8, dtype))
    flat, weight, bias = params.flat, params["weight"], params["bias"]
    gradient = params.like(np.arange(1, 9, dtype=dtype))
    optimiser = Adam(params)
    moments = optimiser.m, optimiser.v
    optimiser.step(gradient)
    assert params.flat is flat and params["weight"] is weight and params["bias"] is bias
    assert np.shares_memory(weight, flat) and (weight < 1).all() and (bias < 1).all()
    assert optimiser.m is moments[0] and optimiser.v is moments[1]
    assert {array.dtype for array in (flat, *moments)} == {np.dtype(dtype)}
    close(gradient.flat, np.arange(1, 9, dtype=dtype), rel=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_in_float32_agrees_with_float64(dtype):
    start, gradients = np.random.default_rng(2).normal(size=9), random_gradients(9)
    optimiser = Adam(vector(start.astype(dtype)))
    for gradient in gradients:
        optimiser.step(vector(gradient.astype(dtype)))
    *_, expected = textbook_adam(start, gradients)
    close(optimiser.params.flat, expected, rel=1e-6)


def test_adam_step_allocates_no_large_array():
    params = vector(np.ones(16 * BLOCK))
    gradient, optimiser = vector(np.ones(16 * BLOCK)), Adam(params)
    optimiser.step(gradient)                                # before the measurement, in case a first call allocates more
    tracemalloc.start()
    try:
        optimiser.step(gradient)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * BLOCK * params.flat.itemsize


def test_adam_memory_measurement_notices_an_extra_array():
    tracemalloc.start()
    try:
        np.ones(BLOCK)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak > 1000 * 8


@pytest.mark.parametrize("bad", [0, 0.0, -1e-3, np.nan, np.inf, None, "0.001", True])
def test_a_learning_rate_that_is_not_positive_is_refused(bad):
    refused(lambda: Adam(vector(np.zeros(1)), lr=bad), "lr", "a finite number > 0", repr(bad), "scale")


@pytest.mark.parametrize("name", ["b1", "b2"])
@pytest.mark.parametrize("bad", [1.0, 1.5, -0.1, np.nan, None, "0.9"])
def test_a_decay_rate_outside_its_range_is_refused(name, bad):
    refused(lambda: Adam(vector(np.zeros(1)), **{name: bad}), name, "1", repr(bad), "")


@pytest.mark.parametrize("bad", [0.0, -1e-8, np.nan, None])
def test_adam_epsilon_that_is_not_positive_is_refused(bad):
    refused(lambda: Adam(vector(np.zeros(1)), tiny=bad), "tiny", "a finite number > 0", repr(bad), "scale")


@pytest.mark.parametrize("bad", [None, np.zeros(2)])
def test_adam_accepts_only_an_object_of_class_params(bad):
    refused(lambda: Adam(bad), "params", "a Params", type(bad).__name__, "vae.params")
