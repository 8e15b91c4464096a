"""The operations of a multilayer perceptron, each with its backward right under it.

`d_x` is the gradient of the loss in `x`. A backward takes the gradient in its operation's output first, then what the
operation was called with, and returns one gradient for each of those, in their order. The two activations take their
*output* instead, because 1 - h^2 and h > 0 are cheaper than the activation done again. Nothing is remembered between
a forward and its backward; every one can be called alone.
"""

import numpy as np
from numpy.typing import NDArray


def affine(x: NDArray, weight: NDArray, bias: NDArray) -> NDArray:
    """x W + b   with x (B, I), W (I, O), b (O,); returns (B, O)   [beyond.20]"""
    out = x @ weight                                        # (B, O)
    out += bias                                             # in place: one array less
    return out


def affine_backward(d_out, x, weight, bias, *, into=(None, None), wrt_x=True):
    """Gradients in x, W and b; `into` holds arrays for the last two, as `out=` does in NumPy   [beyond.20]"""
    d_x = d_out @ weight.T if wrt_x else None               # (B, I)   dX = dY W'
    d_weight = np.matmul(x.T, d_out, out=into[0])           # (I, O)   dW = X' dY
    d_bias = np.sum(d_out, axis=0, out=into[1])             # (O,)     b is added to every row: all rows' gradients meet
    return d_x, d_weight, d_bias


def tanh(a: NDArray) -> NDArray:
    """h = tanh(a), any shape"""
    return np.tanh(a)


def tanh_backward(d_h, h):
    """dh/da = 1 - tanh(a)^2 = 1 - h^2   [beyond.21]"""
    d_a = h * h
    np.subtract(1, d_a, out=d_a)
    d_a *= d_h
    return d_a


def relu(a: NDArray) -> NDArray:
    """h = max(a, 0), any shape"""
    return np.maximum(a, 0)


def relu_backward(d_h, h):
    """dh/da = 1 where h > 0, else 0   (at the kink itself: 0)   [beyond.22]"""
    return d_h * (h > 0)


def softplus(a: NDArray) -> NDArray:
    """log(1 + e^a) = max(a, 0) + log(1 + e^-|a|), which neither overflows nor loses the tail; any shape"""
    # min(a, -a) is -|a|, but a complex step passes through it. Nothing has a name, so that its memory is free at once.
    return np.log1p(np.exp(np.minimum(a, -a))) + np.maximum(a, 0)


def softplus_backward(d_out, a):
    """d/da log(1 + e^a) = sigmoid(a)   [beyond.22]"""
    return d_out * sigmoid(a)


def sigmoid(a: NDArray) -> NDArray:
    """1 / (1 + e^-a) = 1/2 + 1/2 tanh(a/2), which never overflows; right to one unit in the last place of 1"""
    out = np.tanh(a / 2)
    out *= 0.5
    out += 0.5
    return out


def sigmoid_backward(d_s, s):
    """ds/da = s (1 - s), from the output s   [beyond.23]"""
    return d_s * s * (1 - s)


def log_sum_exp(a: NDArray, axis: int = 0) -> NDArray:
    """log sum exp(a) along an axis, the largest entry taken out first; -inf where all entries are -inf"""
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(a - top).sum(axis=axis)) + top.squeeze(axis)


def log_sum_exp_backward(d_out, a, axis=0):
    """d/da_l log sum exp(a) = exp(a_l) / sum exp(a), the softmax: every entry's share   [beyond.24]"""
    share = np.exp(a - a.max(axis=axis, keepdims=True))     # of an entry, relative to the largest
    share /= share.sum(axis=axis, keepdims=True)
    return np.expand_dims(d_out, axis) * share


ACTIVATIONS = {"tanh": (tanh, tanh_backward), "relu": (relu, relu_backward)}


def mlp(x: NDArray, layers: list, activation: str) -> list[NDArray]:
    """Affine layers with an activation between them: `layers` holds (weight, bias) pairs, the last stays linear.

    Returns what every layer put out, the input first and the result last: the backward needs them all.
    """
    act, _ = ACTIVATIONS[activation]
    hs = [x]
    for weight, bias in layers[:-1]:
        hs.append(act(affine(hs[-1], weight, bias)))        # (B, H)
    hs.append(affine(hs[-1], *layers[-1]))                  # (B, O)
    return hs


def mlp_backward(d_out, hs, layers, activation, d_layers=None, wrt_x=True):
    """Write the gradients in every weight and bias into `d_layers`; return the gradient in x, (B, I), or None.

    With `wrt_x=False` the input is data, and nobody asks for its gradient: one large product less. Without `d_layers`
    nobody asks for those in the weights: one less in every layer.
    """
    _, act_backward = ACTIVATIONS[activation]
    d_h = d_out                                             # (B, O)
    for i in reversed(range(len(layers))):
        is_last, is_first = i == len(layers) - 1, i == 0
        d_a = d_h if is_last else act_backward(d_h, hs[i + 1])
        if d_layers is None:
            d_h = d_a @ layers[i][0].T
            continue
        d_h, _, _ = affine_backward(d_a, hs[i], *layers[i], into=d_layers[i], wrt_x=wrt_x or not is_first)
    return d_h
