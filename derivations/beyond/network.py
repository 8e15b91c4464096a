"""Beyond the sources: the operations of a network and their backward passes, one by one.

G is the gradient of a loss with respect to the output of an operation: a small change of the output changes the loss by
the sum of G times the change. So the gradient of the loss with respect to an input is the derivative of sum(G * output)
with respect to this input. This derivative is computed by complex step. From beyond.21 on, the output of a function is one
number, and G is 1. Each side of these entries consists of the values of functions and of their derivatives. The entries
compare relative errors, so the random inputs of a layer are drawn such that no sum in the layer is 0.
"""

import numpy as np
from numpy import exp, log, log1p

from derivations.beyond.divergences import between_tenths
from derivations.engine.domains import Symbol
from derivations.engine.equation import equation
from derivations.engine.numerics import complex_step, total
from minivae.checks import refuse
from minivae.objective import iw_loss, iw_loss_backward
from minivae.ops import (
    affine,
    affine_backward,
    log_sum_exp,
    log_sum_exp_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)


def gradient(f, at):
    """Return the derivative (..., P) of f with respect to every number of `at` (..., P), by complex step.

    f is called once, with P copies of `at` along a new first axis. In copy i, the complex step is added to number i. The
    result of f is (P, ...).
    """
    step = 1e-30
    moves = np.eye(at.shape[-1]).reshape(-1, *[1] * (at.ndim - 1), at.shape[-1])
    return np.moveaxis(f(at + 1j * step * moves).imag / step, 0, -1)


# A layer. Each drawn number is an odd multiple of 1/20. So a sum of three products is an odd multiple of 1/400, and the bias
# is an even multiple of 1/400. Therefore no result is 0.

SIZE = 3
EYE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def square(name, latex, simple):
    """Return a symbol for a 3 by 3 matrix."""
    make = lambda raw: between_tenths(raw).reshape(-1, SIZE, SIZE)  # noqa: E731
    return Symbol(name, latex, "3 by 3, each number drawn halfway between multiples of 0.1", SIZE**2, make, simple)


LAYER = (
    square("x", "X", ([[1, 2, 3], [0, 1, 0], [1, 0, 1]], EYE)),
    square("weight", "W", (EYE, [[0, 2, 1], [1, 0, 0], [1, 1, 0]])),
    Symbol("bias", "b", "real, drawn halfway between multiples of 0.1", SIZE, between_tenths, ((0, 0, 0), (1, -2, 0.5))),
    square("g", "G", (EYE, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])),
)


def as_matrix(numbers):
    """Reshape (..., 9) to (..., 3, 3)."""
    return numbers.reshape(*numbers.shape[:-1], SIZE, SIZE)


def as_row(*arrays):
    """Put all numbers of each draw into one row."""
    return np.hstack([array.reshape(len(array), -1) for array in arrays])


def need_fitting(x, weight, bias):
    """Raise ValueError if the shapes in X W + b do not fit. A bias of one number is not broadcast to several columns."""
    if (x.shape[-1], bias.shape[-1]) != weight.shape[1:]:
        got = f"X (B, {x.shape[-1]}), W {weight.shape[1:]}, b ({bias.shape[-1]},)"
        refuse("X, W and b", "of shapes (B, I), (I, O), (O,)", got, "Nothing is broadcast.")


def transposed(matrices):
    """Transpose each matrix of a stack."""
    return np.swapaxes(matrices, -2, -1)


@equation(
    "beyond.20", "backward pass of a layer",
    r"\left[Y_{nj} = \sum_i X_{ni}W_{ij} + b_j,\; \ell = \sum_{nj}G_{nj}Y_{nj}\right]:\;"
    r" \left(Y,\; \frac{\partial\ell}{\partial X},\; \frac{\partial\ell}{\partial W},\;"
    r" \frac{\partial\ell}{\partial b}\right)"
    r" = \left(Y,\; \sum_j G_{nj}W_{ij},\; \sum_n X_{ni}G_{nj},\; \sum_n G_{nj}\right)"
    r" = \left(XW + b,\; GW^T,\; X^T G,\; \sum_n G_n\right)", LAYER,
    says="A weight acts on every row of the batch, so its gradient is a sum over rows, not a mean.",
)  # fmt: skip
def eq_20(x, weight, bias, g):
    need_fitting(x, weight, bias)
    y = lambda x, w, b: np.einsum("...ni,...ij->...nj", x, w) + b[..., None, :]  # noqa: E731
    loss = lambda x, w, b: np.einsum("...nj,...nj->...", g, y(x, w, b))  # noqa: E731
    return (
        as_row(
            y(x, weight, bias),
            gradient(lambda x: loss(as_matrix(x), weight, bias), as_row(x)),
            gradient(lambda w: loss(x, as_matrix(w), bias), as_row(weight)),
            gradient(lambda b: loss(x, weight, b), bias),
        ),
        "=", as_row(
            y(x, weight, bias),
            np.einsum("knj,kij->kni", g, weight),
            np.einsum("kni,knj->kij", x, g),
            np.einsum("knj->kj", g),
        ),
        "=", as_row(
            x @ weight + bias[:, None], g @ transposed(weight), transposed(x) @ g, g.sum(axis=1)
        ),
    )  # fmt: skip


@eq_20.tied("minivae.ops.affine", draws=20)
@eq_20.tied("minivae.ops.affine_backward", draws=20)
def _(x, weight, bias, g):
    # All draws form one large layer, so one call is enough. X, b and G of all draws are joined along the last axis. The
    # matrices W of all draws become the diagonal blocks of one large matrix.
    wide = lambda each: np.hstack(list(each))  # noqa: E731
    apart = lambda both: np.stack(np.split(both, len(x), axis=-1))  # noqa: E731
    large = np.zeros((len(x), SIZE, len(x), SIZE))
    np.einsum("kikj->kij", large)[...] = weight
    large = large.reshape(len(x) * SIZE, -1)
    y = affine(wide(x), large, bias.ravel())
    d_x, d_large, d_bias = affine_backward(wide(g), wide(x), large, bias.ravel())
    d_weight = np.einsum("kikj->kij", d_large.reshape(len(x), SIZE, len(x), SIZE))
    return as_row(apart(y), apart(d_x), d_weight, apart(d_bias))


# Activation functions and log-sum-exp. Each side of an entry consists of the values of its functions and of their slopes.

A = Symbol("a", "a", "real, drawn halfway between multiples of 0.1", 1, between_tenths, (1, -1, 2, -0.5))


@equation(
    "beyond.21", "slope of tanh",
    r"\left[h = \frac{e^a - e^{-a}}{e^a + e^{-a}}\right]:\; \left(h,\; \frac{dh}{da}\right)"
    r" = \left(h,\; \frac{(e^a + e^{-a})^2 - (e^a - e^{-a})^2}{(e^a + e^{-a})^2}\right)"
    r" = \left(\tanh a,\; 1 - \tanh^2 a\right)", (A,),
    says="The slope is 1 - h^2, by the quotient rule. So the backward pass needs only the output h.",
)  # fmt: skip
def eq_21(a):
    h = lambda a: (exp(a) - exp(-a)) / (exp(a) + exp(-a))  # noqa: E731
    above, below = exp(a) - exp(-a), exp(a) + exp(-a)
    return (
        np.hstack([h(a), complex_step(h, a)]),
        "=", np.hstack([h(a), (below**2 - above**2) / below**2]),
        "=", np.hstack([np.tanh(a), 1 - np.tanh(a) ** 2]),
    )  # fmt: skip


@eq_21.tied("minivae.ops.tanh")
@eq_21.tied("minivae.ops.tanh_backward")
def _(a):
    h = tanh(a)
    return np.hstack([h, tanh_backward(1, h)])


def sharp(a, c=100_000):
    """Return softplus(c a) / c for a large c, without overflow. The argument may be complex."""
    positive = np.real(a) > 0
    return np.where(positive, a, 0) + log1p(exp(np.where(positive, -c * a, c * a))) / c


@equation(
    "beyond.22", "slope of the softplus, and of its limit max(a, 0)",
    r"\left[f(a) = \log(1+e^a),\; g(a) = \lim_{c \to \infty}\frac{f(ca)}{c}\right]:\;"
    r" \left(f,\; f',\; g,\; g'\right)"
    r" = \left(f,\; \frac{e^a}{1+e^a},\; g,\; \lim_{c \to \infty}f'(ca)\right)"
    r" = \left(\max(a, 0) + \log(1+e^{-|a|}),\; \frac{1}{1+e^{-a}},\; \max(a, 0),\; 1_{a > 0}\right)", (A,),
    says="The slope of the softplus is the sigmoid. As c grows, the scaled softplus becomes the ReLU, with slope 0 or 1.",
    needs="a is not 0 (max(a, 0) has no slope at 0)", outside={"a": 0},
)  # fmt: skip
def eq_22(a):
    f = lambda a: log(1 + exp(a))  # noqa: E731
    far_out = 100_000 * a
    return (
        np.hstack([f(a), complex_step(f, a), sharp(a), complex_step(sharp, a)]),
        "=", np.hstack([f(a), exp(a) / (1 + exp(a)), sharp(a), 1 / (1 + exp(-far_out))]),
        "=", np.hstack([
            np.maximum(a, 0) + log1p(exp(-np.abs(a))), 1 / (1 + exp(-a)), np.maximum(a, 0), a > 0
        ]),
    )  # fmt: skip


@eq_22.tied("minivae.ops.softplus")
@eq_22.tied("minivae.ops.softplus_excess")
@eq_22.tied("minivae.ops.softplus_backward")
@eq_22.tied("minivae.ops.relu")
@eq_22.tied("minivae.ops.relu_backward")
def _(a):
    h = relu(a)
    return np.hstack([softplus(a), softplus_backward(1, a), h, relu_backward(1, h)])


@equation(
    "beyond.23", "slope of the sigmoid",
    r"\left[s = \frac{1}{1+e^{-a}}\right]:\; \left(s,\; \frac{ds}{da}\right)"
    r" = \left(s,\; \frac{1}{1+e^{-a}}\,\frac{e^{-a}}{1+e^{-a}}\right)"
    r" = \left(\frac{1}{2} + \frac{1}{2}\tanh\frac{a}{2},\; s(1-s)\right)", (A,),
    says="The slope is s (1 - s): the probability of a 1 times the probability of a 0. The slope is largest at s = 1/2, "
    "where it is 1/4.",
)  # fmt: skip
def eq_23(a):
    s = lambda a: 1 / (1 + exp(-a))  # noqa: E731
    return (
        np.hstack([s(a), complex_step(s, a)]),
        "=", np.hstack([s(a), 1 / (1 + exp(-a)) * (exp(-a) / (1 + exp(-a)))]),
        "=", np.hstack([1 / 2 + np.tanh(a / 2) / 2, s(a) * (1 - s(a))]),
    )  # fmt: skip


@eq_23.tied("minivae.ops.sigmoid")
@eq_23.tied("minivae.ops.sigmoid_backward")
def _(a):
    s = sigmoid(a)
    return np.hstack([s, sigmoid_backward(1, s)])


LOG_W = Symbol(
    "log_w", r"\ell", "real, drawn halfway between multiples of 0.1", 4, between_tenths,
    ((0, 0, 0, 0), (0, 1, 2, 3), (1, -1, 2, 0)),
)


@equation(
    "beyond.24", "slopes of log-sum-exp; the weights of IWAE, Burda et al. 2016",
    r"\left[f(\ell) = \log\sum_j e^{\ell_j}\right]:\; \left(f,\; \frac{\partial f}{\partial\ell_k}\right)"
    r" = \left(f,\; \frac{e^{\ell_k}}{\sum_j e^{\ell_j}}\right)"
    r" = \left(m + \log\sum_j e^{\ell_j-m},\; \frac{e^{\ell_k-m}}{\sum_j e^{\ell_j-m}}\right)", (LOG_W,),
    says="The gradient of log sum e^l is the softmax: each e^l, divided by the sum of all e^l. m is the largest l; "
    "subtracting m avoids overflow.",
)  # fmt: skip
def eq_24(log_w):
    f = lambda l: log(exp(l).sum(axis=-1))  # noqa: E731, E741
    most = log_w.max(axis=-1, keepdims=True)
    weights, shifted = exp(log_w), exp(log_w - most)
    return (
        np.hstack([f(log_w)[:, None], gradient(f, log_w)]),
        "=", np.hstack([f(log_w)[:, None], weights / total(weights)]),
        "=", np.hstack([most + log(total(shifted)), shifted / total(shifted)]),
    )  # fmt: skip


@eq_24.tied("minivae.ops.log_sum_exp")
def _(log_w):
    f = lambda l: log_sum_exp(l, axis=-1)  # noqa: E731, E741
    return np.hstack([f(log_w)[:, None], gradient(f, log_w)])


@eq_24.tied("minivae.ops.log_sum_exp_backward")
def _(log_w):
    by_hand = log_sum_exp_backward(np.ones(len(log_w)), log_w, axis=-1)
    return np.hstack([log_sum_exp(log_w, axis=-1)[:, None], by_hand])


@eq_24.tied("minivae.objective.iw_loss", draws=20)
@eq_24.tied("minivae.objective.iw_loss_backward", draws=20)
def _(log_w):
    l, B = log_w.T, len(log_w)                              # (K, B), for K draws and B data
    f = [log(len(l)) - iw_loss(row[:, None], np.zeros((len(row), 1)), 1) for row in log_w]
    by_hand, _ = iw_loss_backward(-B, l, 0 * l, 1)          # d_loss = -B: the loss is minus a mean over B data
    return np.hstack([np.reshape(f, (-1, 1)), by_hand.T])
