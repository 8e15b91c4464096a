"""Every hand-written backward is the gradient of its forward, and an error planted in any backward is noticed.

TABLE lists every backward function. A test reads the source and fails if a backward is not in TABLE.
"""

import ast
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minivae
from minivae import gaussian, likelihood, objective, ops
from tests.helpers.numeric import (
    ORACLES,
    central_difference,
    check_gradient,
    close,
    complex_step,
    random_problem,
)


class Case(NamedTuple):
    """A forward function, its backward function, and a description of the random inputs that check them."""

    forward: Callable                                       # (*inputs) -> output
    backward: Callable                                      # (d_out, *inputs) -> one gradient for each input in `wrt`
    inputs: str                                             # shapes of the inputs; "BI I ." means (B, I), (I,) and ()
    wrt: tuple[int, ...]                                    # indices of the inputs that have a gradient
    fit: Callable = lambda *inputs: inputs                  # makes valid inputs from standard normal draws


def halved(*inputs):
    """Return inputs so small that no tanh saturates; where tanh saturates, 1 - h^2 has no exact digits left."""
    return [a / 2 for a in inputs]


def half_integers(a):
    """Return half-integers, which are never near the kink of a ReLU."""
    return [np.rint(2 * a) + 0.5]


def whole_with_odd_biases(*inputs):
    """Return whole numbers as x and weights. Biases are odd multiples of 1/2 in layer 1, 1/4 in layer 2, 1/8 in layer 3.

    So all inputs of the first ReLU are odd multiples of 1/2, and all inputs of the second ReLU are odd multiples of 1/4. No
    input is near the kink.
    """
    fitted, grid = [], 1.0
    for a in inputs:
        grid /= 2 if a.ndim == 1 else 1
        fitted.append((2 * np.rint(a / grid / 2) + 1) * grid if a.ndim == 1 else np.sign(a) * np.ceil(np.abs(a)))
    return fitted


def counts(n):
    return lambda x, out: (np.clip(np.rint(n / 2 + x), 0, n).astype(int), out)


def from_output(act, act_backward):
    """Return the Case of an activation. Its backward takes the output of the activation, not its input."""
    return Case(act, lambda d_h, a: [act_backward(d_h, act(a))], "BH", (0,))


def affine_into(d_out, x, weight, bias):
    """Return d_x, d_W and d_b; `affine_backward` writes d_W and d_b into existing arrays."""
    into = np.full_like(weight, np.nan), np.full_like(bias, np.nan)
    d_x, _, _ = ops.affine_backward(d_out, x, weight, bias, into=into)
    return d_x, *into


def mlp_case(activation, wrt_x):
    def layers(weights_and_biases):
        return list(zip(weights_and_biases[::2], weights_and_biases[1::2]))

    def forward(x, *wb):
        return ops.mlp(x, layers(wb), activation)[-1]

    def backward(d_out, x, *wb):
        d_wb = [np.full_like(array, np.nan) for array in wb]
        hs = ops.mlp(x, layers(wb), activation)
        d_x = ops.mlp_backward(d_out, hs, layers(wb), activation, layers(d_wb), wrt_x=wrt_x)
        return [d_x, *d_wb] if wrt_x else d_wb

    fit = halved if activation == "tanh" else whole_with_odd_biases
    return Case(forward, backward, "BI IH H HJ J JO O", tuple(range(not wrt_x, 7)), fit)


def log_prob_case(kind, fit=lambda *inputs: inputs):
    """Return the Case of `log_prob` and its backward for one likelihood.

    The gradients are those in the decoder's output and in log_sigma (if the likelihood has it).
    """
    scales = len(kind.scale)
    inputs = "BD LBD" + " ." * scales
    return Case(kind.log_prob, kind.log_prob_backward, inputs, tuple(range(1, 2 + scales)), fit)


def loss_case(loss, loss_backward, inputs, beta):
    """Return the Case of a loss function with constant beta."""
    return Case(lambda *terms: loss(*terms, beta), lambda d, *terms: loss_backward(d, *terms, beta), inputs, (0, 1))


def whole_model_case(**settings):
    """Return the Case of a whole model as a function of its P parameters; test_vae.py checks more settings."""
    vae, x, eps = random_problem(1, samples=2, features=3, **settings)
    models = {}                                             # {dtype: model}; cached, because making a model is slow

    def at(flat):
        if flat.dtype not in models:
            models[flat.dtype] = dataclasses.replace(vae, params=vae.params.like(np.empty_like(flat)))
        models[flat.dtype].params.flat[...] = flat
        return models[flat.dtype]

    def backward(d_loss, flat):
        model = at(flat)
        return [d_loss * model.backward(x, eps, model.forward(x, eps), model.params.zeros_like()).flat]

    assert vae.params.flat.size == P
    return Case(lambda flat: at(flat).forward(x, eps).loss, backward, "P", (0,))


P = 49                                                      # number of parameters of a model with layers 3 - 3 - 2 - 3 - 3
TABLE = {
    "ops.affine_backward": Case(ops.affine, ops.affine_backward, "BI IO O", (0, 1, 2)),
    "ops.affine_backward: into": Case(ops.affine, affine_into, "BI IO O", (0, 1, 2)),
    "ops.tanh_backward": from_output(ops.tanh, ops.tanh_backward),
    "ops.relu_backward": from_output(ops.relu, ops.relu_backward)._replace(fit=half_integers),
    "ops.sigmoid_backward": from_output(ops.sigmoid, ops.sigmoid_backward),
    "ops.softplus_backward": Case(ops.softplus, lambda d, a: [ops.softplus_backward(d, a)], "BH", (0,)),
    "ops.log_sum_exp_backward": Case(ops.log_sum_exp, lambda d, a: [ops.log_sum_exp_backward(d, a)], "LB", (0,)),
    "ops.log_sum_exp_backward: axis 1": Case(
        lambda a: ops.log_sum_exp(a, axis=1), lambda d, a: [ops.log_sum_exp_backward(d, a, axis=1)], "LBJ", (0,)
    ),
    "ops.mlp_backward: tanh": mlp_case("tanh", True),
    "ops.mlp_backward: relu": mlp_case("relu", True),
    "ops.mlp_backward: x is data": mlp_case("tanh", False),
    "gaussian.reparameterize_backward": Case(
        gaussian.reparameterize, gaussian.reparameterize_backward, "BJ BJ LBJ", (0, 1)
    ),
    "gaussian.kl_standard_normal_backward": Case(
        gaussian.kl_standard_normal, gaussian.kl_standard_normal_backward, "BJ BJ", (0, 1)
    ),
    "divergences.kl_diagonal_backward": Case(
        gaussian.kl_diagonal, gaussian.kl_diagonal_backward, "BJ BJ BJ BJ", (0, 1, 2, 3)
    ),
    "gaussian.log_normal_backward": Case(
        gaussian.log_normal, gaussian.log_normal_backward, "LBJ BJ BJ", (0, 1, 2)
    ),
    "gaussian.log_standard_normal_backward": Case(
        gaussian.log_standard_normal, lambda d, z: [gaussian.log_standard_normal_backward(d, z)], "LBJ", (0,)
    ),
    "divergences.entropy_diagonal_backward": Case(
        gaussian.entropy_diagonal, lambda d, v: [gaussian.entropy_diagonal_backward(d, v)], "BJ", (0,)
    ),
    "likelihood.bernoulli_log_prob_backward": Case(
        likelihood.bernoulli_log_prob,
        lambda *inputs: [likelihood.bernoulli_log_prob_backward(*inputs)],
        "BD LBD",
        (1,),
        counts(1),
    ),
    "likelihood.binomial_log_prob_backward": Case(
        lambda x, logits: likelihood.binomial_log_prob(x, logits, 5),
        lambda *inputs: [likelihood.binomial_log_prob_backward(*inputs, 5)],
        "BD LBD",
        (1,),
        counts(5),
    ),
    "likelihood.gaussian_log_prob_backward": Case(
        likelihood.gaussian_log_prob, likelihood.gaussian_log_prob_backward, "BD LBD .", (1, 2)
    ),
    "likelihood.Bernoulli.log_prob_backward": log_prob_case(likelihood.Bernoulli(), counts(1)),
    "likelihood.Binomial.log_prob_backward": log_prob_case(likelihood.Binomial(16), counts(16)),
    "likelihood.Gaussian.log_prob_backward": log_prob_case(likelihood.Gaussian("learned")),
    "objective.kl_analytic_backward": Case(             # without d_z: the analytic KL does not depend on z
        objective.kl_analytic, lambda *inputs: objective.kl_analytic_backward(*inputs)[1:], "LBJ BJ BJ", (1, 2)
    ),
    "objective.kl_sampled_backward": Case(objective.kl_sampled, objective.kl_sampled_backward, "LBJ BJ BJ", (0, 1, 2)),
    "objective.kl_path_backward": Case(                 # only d_z: the gradients for mu and log_var are 0
        objective.kl_sampled, lambda *inputs: objective.kl_path_backward(*inputs)[:1], "LBJ BJ BJ", (0,)
    ),
    "objective.elbo_loss_backward: analytic": loss_case(objective.elbo_loss, objective.elbo_loss_backward, "LB B", 0.5),
    "objective.elbo_loss_backward: sampled": loss_case(objective.elbo_loss, objective.elbo_loss_backward, "LB LB", 2),
    "objective.iw_loss_backward": loss_case(objective.iw_loss, objective.iw_loss_backward, "LB LB", 1),
    "vae.VAE.backward": whole_model_case(),
    "vae.VAE.backward: sampled": whole_model_case(estimator="sampled", beta=0.5),
    "vae.VAE.backward: importance-weighted": whole_model_case(estimator="sampled", objective="iwae"),
}


def draw(case, seed, sizes):
    """Return random inputs of these sizes and a random output gradient, drawn until the slopes are `resolvable`."""
    rng = np.random.default_rng(seed)
    for _ in range(100):
        inputs, d_out = draw_once(case, rng, sizes)
        slopes = {i: complex_step(number(case, d_out), inputs, i) for i in case.wrt}
        if resolvable(case, inputs, d_out, slopes):
            return inputs, d_out
    raise AssertionError(f"no draw of {sizes} has slopes that a central difference resolves")


def draw_once(case, rng, sizes):
    shapes = [tuple(sizes[letter] for letter in word if letter != ".") for word in case.inputs.split()]
    inputs = case.fit(*(np.asarray(rng.normal(size=shape)) for shape in shapes))
    return inputs, rng.normal(size=case.forward(*inputs).shape)


def number(case, d_out):
    """Return a function of the inputs: sum(d_out * forward(*inputs)). Its gradient must be backward(d_out, *inputs)."""
    return lambda *inputs: (d_out * case.forward(*inputs)).sum()


def resolvable(case, inputs, d_out, slopes):
    """Return True if the error of a central difference is well below its tolerance for every input.

    The function `number(case, d_out)` adds terms. Rounding changes each term by about 1e-16 of its size. A central
    difference divides the changes of the terms by the step, 1e-5. So its rounding error is about 1e-11 of the sum of the
    absolute terms. A central difference also ignores the third derivative, which causes an error of about 1e-10. If a
    slope is at least 0.01 and at least 1/100 of the sum of the absolute terms, each error is at most 1e-8 of the slope.
    The tolerance is 1e-7.
    """
    terms = np.abs(d_out * case.forward(*inputs)).sum()
    return all(np.abs(slope).max() > max(0.01, terms / 100) for slope in slopes.values())


def check(case, inputs, d_out, gradients, oracle):
    check_gradient(number(case, d_out), inputs, dict(zip(case.wrt, gradients)), oracle)


def backwards_in_the_source():
    """Return every function and method of minivae/*.py whose name ends in "backward".

    The names have the form module.function or module.Class.method. The file one_page.py has its own tests and is left out.
    `Likelihood.log_prob_backward` is left out too: this method of an interface only raises NotImplementedError.
    """
    found = set()
    for path in set(Path(minivae.__file__).parent.glob("*.py")) - {Path(minivae.__file__).parent / "one_page.py"}:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        homes = [(path.stem, tree), *((f"{path.stem}.{node.name}", node) for node in classes)]
        for home, node in homes:
            names = [child.name for child in node.body if isinstance(child, ast.FunctionDef)]
            found |= {f"{home}.{name}" for name in names if name.endswith("backward")}
    return found - {"likelihood.Likelihood.log_prob_backward"}


def test_path_gradient_reaches_mu_and_log_var_only_through_z():
    inputs, d_kl = draw(TABLE["objective.kl_path_backward"], 0, SQUARE)
    _, d_mu, d_log_var = objective.kl_path_backward(d_kl, *inputs)
    assert d_mu.shape == d_log_var.shape == (3, 3) and not d_mu.any() and not d_log_var.any()


@pytest.mark.parametrize("eps", [0, 1])
def test_path_gradient_is_finite_where_the_gradient_of_log_q_is_zero(eps):
    mu, log_var = np.array([[1.0, -2]]), np.zeros((1, 2))
    for d in objective.kl_path_backward(np.ones((1, 1)), mu[None] + eps, mu, log_var):
        assert np.isfinite(d).all()


def test_gradient_table_has_a_row_for_every_backward_in_the_source():
    assert {name.split(":")[0] for name in TABLE} == backwards_in_the_source()


DIFFERENT = dict(zip("LBDIHJO", range(2, 9))) | {"P": 49}
# In some cases of TABLE, an axis of length one is allowed: {name of the case: {index of the input: letters of such axes}}
MAY_BE_ONE = {
    "gaussian.reparameterize_backward": {2: "B"},
    "likelihood.bernoulli_log_prob_backward": {1: "B"},
    "likelihood.binomial_log_prob_backward": {1: "B"},
    "likelihood.gaussian_log_prob_backward": {1: "B"},
    "likelihood.Bernoulli.log_prob_backward": {1: "B"},
    "likelihood.Binomial.log_prob_backward": {1: "B"},
    "likelihood.Gaussian.log_prob_backward": {1: "B"},
    "objective.kl_analytic_backward": {0: "LBJ"},           # input 0 is z, which the analytic KL does not use
}
# In these cases, the backward function uses only the shape of each array, so it need not compare the axes of two arrays.
COMBINES_NOTHING = {"objective.elbo_loss_backward: analytic", "objective.elbo_loss_backward: sampled"}


def with_an_axis_of_one(arrays):
    """Yield copies of the list `arrays`. In each copy, one array is cut: one of its axes gets the length one.

    An axis is cut only if another array has the same axis. Each result has three parts: the index of the array that is cut,
    the letter of the axis, and the new list.
    """
    letters = {size: letter for letter, size in DIFFERENT.items()}
    for i, array in enumerate(arrays):
        others = {n for other in (*arrays[:i], *arrays[i + 1 :]) for n in np.shape(other)}
        for axis in (axis for axis, n in enumerate(np.shape(array)) if n in others):
            yield i, letters[array.shape[axis]], [*arrays[:i], array.take([0], axis), *arrays[i + 1 :]]


@pytest.mark.parametrize("name", [name for name in TABLE if not name.startswith(("ops", "vae"))])
def test_axis_of_length_one_is_refused_and_not_broadcast(name):
    inputs, d_out = draw_once(TABLE[name], np.random.default_rng(0), DIFFERENT)
    tried = [(TABLE[name].forward, *cut) for cut in with_an_axis_of_one(inputs)]
    if name not in COMBINES_NOTHING:
        tried += [(TABLE[name].backward, i - 1, *cut) for i, *cut in with_an_axis_of_one([d_out, *inputs])]
    for function, i, letter, arrays in tried:
        if letter not in MAY_BE_ONE.get(name, {}).get(i, ""):
            with pytest.raises(ValueError, match="must be .* got .*Nothing is broadcast"):
                function(*arrays)


SIZES = st.fixed_dictionaries({letter: st.integers(1, 4) for letter in "LBDIHJO"} | {"P": st.just(P)})
ONES, SQUARE = (dict.fromkeys("LBDIHJO", size) | {"P": P} for size in (1, 3))
REPORTED = ONES | {"B": 3, "I": 3, "H": 3}


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=settings.default.max_examples // 5)  # a fifth of the usual number of examples for each case
@given(seed=st.integers(0, 2**32 - 1), sizes=SIZES)
@example(seed=0, sizes=ONES)                                # all sizes are 1
@example(seed=2_318_184_297, sizes=REPORTED)                # this example failed once: see the next test
def test_every_backward_is_the_gradient_of_its_forward(name, seed, sizes):
    case = TABLE[name]
    inputs, d_out = draw(case, seed, sizes)
    gradients = case.backward(d_out, *inputs)
    assert len(gradients) == len(case.wrt)
    for oracle in ORACLES:
        check(case, inputs, d_out, gradients, oracle)


def test_gradient_smaller_than_rounding_errors_is_reported_as_not_resolvable():
    """The gradient in the last bias (input 6) is only -0.01: too small for the check by central differences.

    The function `number(case, d_out)` returns a sum. The absolute values of its terms add up to 1060, so the rounding error
    of the central difference is larger than the tolerance.
    """
    layers = [[[4, 2, 4], [-4, -4, -2], [2, 2, -2]], [1.5, 0.5, 1.5], [[2], [2], [2]], [-0.5], [[2]], [2.5]]
    inputs = [np.array(a, float) for a in ([[2, -6, -2], [2, -2, 2], [4, -4, 4]], *layers)]
    case, d_out = TABLE["ops.mlp_backward: relu"], np.array([[0.9102284], [0.77149715], [-1.69217503]])
    gradients = case.backward(d_out, *inputs)
    check(case, inputs, d_out, gradients, "complex step")
    with pytest.raises(AssertionError, match="input 6, by central difference"):
        check_gradient(number(case, d_out), inputs, {6: gradients[6]}, "central difference")
    assert not resolvable(case, inputs, d_out, dict(zip(case.wrt, gradients)))
    d_out = np.abs(d_out)                                   # now the gradient in the last bias, d_out.sum(), is far from 0
    check(case, inputs, d_out, case.backward(d_out, *inputs), "central difference")


@pytest.mark.parametrize("name", ["ops.relu_backward", "ops.mlp_backward: relu"])
def test_no_central_difference_crosses_the_kink_of_a_relu(name, monkeypatch):
    """Check that no input of relu changes its sign in a central difference, and that every input is more than 1/8 from 0."""
    case, fed, relu = TABLE[name], [], ops.relu

    def spy(a):
        fed.append(a)
        return relu(a)

    monkeypatch.setitem(ops.ACTIVATIONS, "relu", (spy, ops.relu_backward))
    case = case._replace(forward=spy) if name == "ops.relu_backward" else case
    for seed in range(20):
        inputs, d_out = draw(case, seed, ONES | {"B": 2, "I": 3, "H": 1 + seed % 4, "J": 2})
        fed.clear()
        case.forward(*inputs)
        sides, calls = [a > 0 for a in fed], len(fed)
        for index in case.wrt:
            central_difference(number(case, d_out), inputs, index)
        assert len(fed) > 2 * calls
        for n, a in enumerate(fed):
            assert np.abs(a).min() > 1 / 8 and ((a > 0) == sides[n % calls]).all(), f"{name}, seed {seed}: {a}"


@pytest.mark.parametrize("name", TABLE)
def test_forward_and_backward_do_not_write_into_their_arguments(name):
    case = TABLE[name]
    inputs, d_out = draw(case, 2, SQUARE)
    d_out = np.asarray(d_out)
    for array in (d_out, *inputs):
        array.flags.writeable = False
    before = [array.copy() for array in (d_out, *inputs)]
    case.backward(d_out, *inputs)
    for array, old in zip((d_out, *inputs), before):
        close(array, old, rel=0)


PLANTS = {
    "scaled by 1 + 1e-4": lambda d: d * (1 + 1e-4),
    "sign flipped": lambda d: -d,
    "transposed": lambda d: d.T if d.ndim > 1 else d[::-1] if d.ndim else None,     # a vector is reversed
    "dropped": lambda d: 0 * d,
}


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("name", TABLE)
def test_planted_error_in_any_backward_is_noticed(name, oracle):
    case = TABLE[name]
    inputs, d_out = draw(case, 3, SQUARE)                   # all sizes are 3: a transposed matrix has the same shape
    right = list(case.backward(d_out, *inputs))
    check(case, inputs, d_out, right, oracle)
    for index, gradient in zip(case.wrt, right):
        for plant, spoil in PLANTS.items():
            spoilt = spoil(np.asarray(gradient))
            if spoilt is None or (plant == "transposed" and np.ptp(gradient) == 0):
                continue                                    # a number, or an array of equal entries, equals its transpose
            assert spoilt.shape == np.shape(gradient)
            assert np.abs(spoilt - gradient).max() > 0.9e-4 * np.abs(gradient).max() > 0, plant
            with pytest.raises(AssertionError, match=f"input {index}, by {oracle}: .* entries differ"):
                check_gradient(number(case, d_out), inputs, {index: spoilt}, oracle)
                pytest.fail(f"the gradient for input {index}, {plant}, passes")


def test_gradients_for_mu_and_log_var_are_sums_over_draws():
    """The gradient for three draws together is the sum of the gradients for each draw alone."""
    rng = np.random.default_rng(4)
    mu, log_var = rng.normal(size=(2, 3, 2))
    d_z, eps = rng.normal(size=(2, 3, 3, 2))
    together = gaussian.reparameterize_backward(d_z, mu, log_var, eps)
    alone = [gaussian.reparameterize_backward(d_z[[i]], mu, log_var, eps[[i]]) for i in range(3)]
    for whole, parts in zip(together, zip(*alone)):
        close(whole, sum(parts), rel=1e-14)
