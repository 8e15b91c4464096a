"""The operations of a multilayer perceptron, each with its backward directly below.

`d_x` is the gradient of the loss with respect to `x`; in short, the gradient in x. A backward takes the gradient in the
operation's output, then the operation's inputs. It returns one gradient for each of these inputs, in the same order.
The backward of tanh, relu and sigmoid takes the output, not the input, so it computes no tanh. A forward stores nothing.
"""

import numpy as np
from numpy.typing import NDArray


def affine(x: NDArray, weight: NDArray, bias: NDArray) -> NDArray:
    """y = x W + b   with x (B, I), W (I, O), b (O,); returns (B, O)   [beyond.20]"""
    return x @ weight + bias

def affine_backward(d_y, x, weight, bias, *, into=(None, None), wrt_x=True):
    """Gradients in x, W and b   [beyond.20]

    The gradients in W and b are written to the arrays `into`, if given: this saves 10 % of a training step with the layers
    784-200-200-50. If x is data, use `wrt_x=False`: then d_x is None, which saves a large matrix product.
    """
    d_x = d_y @ weight.T if wrt_x else None                 # (B, I)
    d_weight = np.matmul(x.T, d_y, out=into[0])             # (I, O)
    d_bias = d_y.sum(axis=0, out=into[1])                   # (O,)     b is added to every row: sum over the rows
    return d_x, d_weight, d_bias


def tanh(a: NDArray) -> NDArray:
    """h = tanh(a), any shape"""
    return np.tanh(a)

def tanh_backward(d_h, h):
    """dh/da = 1 - tanh(a)^2 = 1 - h^2   [beyond.21]"""
    return d_h * (1 - h * h)


def relu(a: NDArray) -> NDArray:
    """h = max(a, 0), any shape"""
    return np.maximum(a, 0)

def relu_backward(d_h, h):
    """dh/da = 1 where h > 0, else 0   (0 at the kink, a = 0)   [beyond.22]"""
    return d_h * (h > 0)


def softplus_excess(a: NDArray) -> NDArray:
    """softplus(a) - max(a, 0) = log(1 + e^-|a|); the right-hand side does not overflow; any shape"""
    return np.log1p(np.exp(np.minimum(a, -a)))              # -|a|; for a complex step, np.abs would lose the imaginary part

def softplus(a: NDArray) -> NDArray:
    """log(1 + e^a), any shape"""
    return np.maximum(a, 0) + softplus_excess(a)

def softplus_backward(d_out, a):
    """d/da log(1 + e^a) = sigmoid(a)   [beyond.22]"""
    return d_out * sigmoid(a)


def sigmoid(a: NDArray) -> NDArray:
    """1 / (1 + e^-a) = (1 + tanh(a/2)) / 2; the right-hand side does not overflow; any shape"""
    return (1 + np.tanh(a / 2)) / 2

def sigmoid_backward(d_s, s):
    """ds/da = s (1 - s), from the output s   [beyond.23]"""
    return d_s * s * (1 - s)


def log_sum_exp(a: NDArray, axis: int = 0) -> NDArray:
    """log sum exp(a) along an axis, with the largest entry subtracted first; -inf where all entries are -inf"""
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(a - top).sum(axis=axis)) + top.squeeze(axis)

def log_sum_exp_backward(d_out, a, axis=0):
    """d/da_l log sum exp(a) = exp(a_l) / sum exp(a): the softmax   [beyond.24]"""
    e = np.exp(a - a.max(axis=axis, keepdims=True))         # exp(a) / its largest entry: no overflow
    return np.expand_dims(d_out, axis) * e / e.sum(axis=axis, keepdims=True)


ACTIVATIONS = {"tanh": (tanh, tanh_backward), "relu": (relu, relu_backward)}


def mlp(x: NDArray, layers: list, activation: str) -> list[NDArray]:
    """Affine layers, given as (weight, bias) pairs. The activation follows every layer but the last.

    Returns x and the output of every layer, from first to last; `mlp_backward` reads all but the last output.
    """
    act, _ = ACTIVATIONS[activation]
    hs = [x]
    for weight, bias in layers[:-1]:
        hs.append(act(affine(hs[-1], weight, bias)))        # (B, H)
    hs.append(affine(hs[-1], *layers[-1]))                  # (B, O)
    return hs

def mlp_backward(d_out, hs, layers, activation, d_layers=None, wrt_x=True):
    """Write the gradients in weights and biases into `d_layers`; return the gradient in x, (B, I), or None if not `wrt_x`.

    If `d_layers` is None, only the gradient in x is computed; `wrt_x` is ignored.
    """
    _, act_backward = ACTIVATIONS[activation]
    d_a = d_out                                             # (B, O)   the last layer is linear
    for i in reversed(range(len(layers))):
        if d_layers is None:
            d_h = d_a @ layers[i][0].T
        else:
            d_h, _, _ = affine_backward(d_a, hs[i], *layers[i], into=d_layers[i], wrt_x=wrt_x or i > 0)
        if i > 0:
            d_a = act_backward(d_h, hs[i])                  # (B, H)
    return d_h
