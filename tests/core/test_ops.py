"""The operations of minivae.ops equal their definitions up to rounding, also for very large inputs."""

import decimal
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae import ops
from tests.helpers.numeric import close, complex_step

EDGES = [0.0, 1e-300, 1e-9, 0.5, 1.0, 17.0, 36.7, 40.0, 700.0, 745.0, 1e4, 1e38, 1e308]
EDGES = np.array(EDGES + [-a for a in EDGES])
NEVER_OVERFLOWS = {"over": "raise", "invalid": "raise", "divide": "raise"}      # a result may underflow to 0


def exact(function, a):
    """Compute function(a) with 90 digits and round the result to a float."""
    with decimal.localcontext(decimal.Context(prec=90, Emin=-(10**9), Emax=10**9)):
        return float(function(decimal.Decimal(a)))


def exact_softplus(a):
    return a + (1 + (-a).exp()).ln() if a > 100 else a.exp() if a < -100 else (1 + a.exp()).ln()


def exact_sigmoid(a):
    return 1 / (1 + (-a).exp()) if a > -10000 else decimal.Decimal(0)


def test_affine_output_is_a_sum_over_inputs_plus_the_bias():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), rng.normal(size=2)
    out = [[sum(x[b, i] * weight[i, o] for i in range(4)) + bias[o] for o in range(2)] for b in range(3)]
    close(ops.affine(x, weight, bias), out, rel=1e-14)


def test_tanh_and_relu_equal_their_definitions():
    a = np.array([[-2.0, -0.0, 3.0], [0.5, -1e308, 1e308]])
    close(ops.tanh(a), [[np.tanh(v) for v in row] for row in a], rel=1e-15)
    close(ops.relu(a), [[0.0, 0.0, 3.0], [0.5, 0.0, 1e308]], rel=0)


def test_relu_backward_is_zero_at_the_kink():
    close(ops.relu_backward(np.full(3, 7.0), ops.relu(np.array([-1.0, 0.0, 1.0]))), [0.0, 0.0, 7.0], rel=0)


@given(st.floats(-800, 800))
def test_softplus_keeps_full_precision_where_it_is_nearly_zero(a):
    close(ops.softplus(np.array(a)), exact(exact_softplus, a), rel=1e-15, abs_=5e-324)


@given(st.floats(-800, 800))
def test_absolute_error_of_sigmoid_is_at_most_the_machine_epsilon(a):
    close(ops.sigmoid(np.array(a)), exact(exact_sigmoid, a), rel=0, abs_=2.3e-16)


@pytest.mark.parametrize("dtype, ulp", [(np.float64, 2.3e-16), (np.float32, 1.2e-7)])
def test_softplus_and_sigmoid_never_overflow(dtype, ulp):
    a = EDGES[np.abs(EDGES) < np.finfo(dtype).max].astype(dtype)
    with np.errstate(**NEVER_OVERFLOWS):
        softplus, sigmoid = ops.softplus(a), ops.sigmoid(a)
    assert softplus.dtype == sigmoid.dtype == dtype
    tiny = float(np.finfo(dtype).smallest_subnormal)
    for i, value in enumerate(a.astype(float)):
        close(softplus[i], exact(exact_softplus, value), rel=2 * ulp, abs_=tiny)
        close(sigmoid[i], exact(exact_sigmoid, value), rel=0, abs_=ulp)


@given(st.floats(0, 1e4))
def test_softplus_and_sigmoid_satisfy_their_symmetry_formulas(a):
    a = np.array(a)
    close(ops.softplus(a), a + ops.softplus(-a), rel=1e-15)
    close(ops.sigmoid(a) + ops.sigmoid(-a), np.array(1.0), rel=2.3e-16)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_log_sum_exp_backward_is_the_softmax_along_its_axis(axis):
    rng = np.random.default_rng(4)
    a = rng.normal(size=(2, 3, 4))
    d_out = rng.normal(size=ops.log_sum_exp(a, axis).shape)
    gradient, expected = ops.log_sum_exp_backward(d_out, a, axis), np.empty_like(a)
    for place in np.ndindex(a.shape):
        others, shared = list(place), list(place)
        others[axis] = slice(None)
        del shared[axis]
        expected[place] = d_out[tuple(shared)] * math.exp(a[place]) / sum(map(math.exp, a[tuple(others)]))
    close(gradient, expected, rel=1e-14)
    slopes = complex_step(lambda a: (d_out * ops.log_sum_exp(a, axis)).sum(), [a], 0)
    close(gradient, slopes, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_log_sum_exp_and_its_backward_do_not_overflow(dtype, shift):
    """Test four columns: equal numbers; softmax weights in the ratio 3:1 or e:1; a weight of 0; a weight that underflows."""
    log_3 = 1.0 if shift else math.log(3)                   # 1e4 + log 3 is rounded in float32; 1e4 + 1 is not
    three = math.exp(log_3)
    a = np.array([[0, log_3, -np.inf, -2e4], [0, 0, 0, 0]], dtype) + dtype(shift)
    with np.errstate(**NEVER_OVERFLOWS):
        value, gradient = ops.log_sum_exp(a), ops.log_sum_exp_backward(np.array([1, 2, 3, 4], dtype), a)
    precision = np.finfo(dtype).eps
    assert value.dtype == gradient.dtype == dtype
    close(value, np.array([math.log(2), math.log(1 + three), 0, 0]) + shift, rel=2 * precision)
    expected = np.array([[0.5, 2 * three / (1 + three), 0, 0], [0.5, 2 / (1 + three), 3, 4]])
    close(gradient, expected, rel=2 * precision)


def random_layers(rng, *widths):
    return [(rng.normal(size=pair), rng.normal(size=pair[1])) for pair in zip(widths, widths[1:])]


@pytest.mark.parametrize("activation, act", [("tanh", np.tanh), ("relu", lambda a: a * (a > 0))])
def test_mlp_returns_the_outputs_of_all_layers_and_the_last_is_linear(activation, act):
    rng = np.random.default_rng(1)
    x, layers = rng.normal(size=(3, 4)), random_layers(rng, 4, 5, 6, 2)
    (w1, b1), (w2, b2), (w3, b3) = layers
    h1 = act(x @ w1 + b1)
    h2 = act(h1 @ w2 + b2)
    hs = ops.mlp(x, layers, activation)
    assert hs[0] is x
    for h, expected in zip(hs[1:], [h1, h2, h2 @ w3 + b3], strict=True):
        close(h, expected, rel=1e-14)


@pytest.mark.parametrize("activation", ops.ACTIVATIONS)
def test_mlp_of_one_layer_is_affine(activation):
    rng = np.random.default_rng(2)
    x, layers = rng.normal(size=(3, 4)), random_layers(rng, 4, 2)
    close(ops.mlp(x, layers, activation)[-1], ops.affine(x, *layers[0]), rel=0)


def test_mlp_backward_skips_the_gradient_for_x_on_request():
    rng = np.random.default_rng(3)
    x, layers = rng.normal(size=(3, 4)), random_layers(rng, 4, 5, 2)
    hs, d_out = ops.mlp(x, layers, "tanh"), rng.normal(size=(3, 2))
    d_with, d_without = (
        [(np.empty_like(weight), np.empty_like(bias)) for weight, bias in layers] for _ in range(2)
    )
    assert ops.mlp_backward(d_out, hs, layers, "tanh", d_with).shape == x.shape
    assert ops.mlp_backward(d_out, hs, layers, "tanh", d_without, wrt_x=False) is None
    for (d_weight, d_bias), (same_weight, same_bias) in zip(d_with, d_without):
        close(d_weight, same_weight, rel=0)
        close(d_bias, same_bias, rel=0)


@pytest.mark.parametrize("activation", ops.ACTIVATIONS)
def test_mlp_backward_without_weight_gradients_returns_the_same_gradient_for_x(activation):
    rng = np.random.default_rng(5)
    x, layers = rng.normal(size=(3, 4)), random_layers(rng, 4, 5, 6, 2)
    hs, d_out = ops.mlp(x, layers, activation), rng.normal(size=(3, 2))
    d_layers = [(np.empty_like(weight), np.empty_like(bias)) for weight, bias in layers]
    d_x = ops.mlp_backward(d_out, hs, layers, activation, d_layers)
    close(ops.mlp_backward(d_out, hs, layers, activation), d_x, rel=0)


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid", "softplus"])
def test_operations_on_float32_return_float32(name):
    a = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    out = getattr(ops, name)(a)
    assert out.dtype == getattr(ops, f"{name}_backward")(np.ones_like(a), out).dtype == np.float32
