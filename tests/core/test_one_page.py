"""`minivae/one_page.py` computes the same numbers as `VAE`; the tests notice errors planted in functions of one_page.py."""

import ast
import contextlib
import copy
import inspect
import io
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from minivae import VAE, Adam, Binomial, digits, one_page
from minivae.gaussian import kl_standard_normal
from tests.helpers.numeric import close, random_problem

SOURCE = Path(one_page.__file__).read_text(encoding="utf-8")
LINES = SOURCE.splitlines()
LAYERS = ("encoder.1", "encoder.2", "decoder.1", "decoder.2")
LR = 5e-3                                                   # learning rate of Adam in one_page.py


def page_arrays(params):
    """Return copies of a model's arrays in the order of one_page.py, where mu and log_var have separate parameters."""
    arrays = []
    for layer in LAYERS:
        weight, bias = params[f"{layer}.weight"], params[f"{layer}.bias"]
        heads = 2 if layer == "encoder.2" else 1
        for W, b in zip(np.split(weight, heads, axis=1), np.split(bias, heads)):
            arrays += [W.copy(), b.copy()]
    return arrays


def model_of(arrays):
    """Return a VAE with the parameters of one_page.py; `arrays` has them in the order of that file."""
    W_h, b_h, W_mu, b_mu, W_log_var, b_log_var, *decoder = arrays
    (D, H), J = W_h.shape, W_mu.shape[1]
    vae = VAE.init(np.random.default_rng(0), D, J, (H,), dtype=np.float64, likelihood=Binomial(16), activation="tanh")
    values = [W_h, b_h, np.hstack([W_mu, W_log_var]), np.hstack([b_mu, b_log_var]), *decoder]
    names = [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
    for name, value in zip(names, values, strict=True):
        vae.params[name][...] = value
    return vae


def close_lists(actual, desired, rel):
    """Raise AssertionError unless all pairs of arrays agree, relative to the largest entry of each array."""
    assert len(actual) == len(desired)
    for a, b in zip(actual, desired):
        close(a, b, rel=rel)


# Four functions compare one_page.py with `VAE` and `Adam`: gradient, Adam steps, initial weights and training.
# `page` is the module `one_page`, or a copy of it with a planted error.

@cache
def problem(seed):
    """Return a random model, data, noise, a tuple (reconstruction, KL, loss), and the gradient; B, D, H and J all differ."""
    vae, x, eps = random_problem(seed, Binomial(16), rows=5, features=6, latent=2, hidden=(3,))
    kl = kl_standard_normal(*vae.encode(x)).sum(axis=-1)
    return vae, x, eps, (vae.elbo(x, eps) + kl, kl, vae.loss(x, eps)), page_arrays(vae.gradient(x, eps))


def compare_gradient(page, seeds=(0, 1)):
    """Raise AssertionError unless one_page.py and VAE compute the same reconstruction, KL, loss and gradient."""
    for seed in seeds:
        vae, x, eps, terms, gradient = problem(seed)
        params = page_arrays(vae.params)
        results = page.forward(params, x.astype(int), eps[0])
        close_lists(results[-3:], terms, rel=1e-12)
        close_lists(page.backward(params, x.astype(int), eps[0], results), gradient, rel=1e-12)


@cache
def adam_steps(scale):
    """Return the initial parameters and a list of five Adam steps, each (gradient of size `scale`, new parameters)."""
    rng = np.random.default_rng(5)
    params = problem(0)[0].params.astype(np.float64)
    optimiser, start, path = Adam(params, lr=LR), page_arrays(params), []
    for _ in range(5):
        gradient = params.like(scale * rng.normal(1, 1, params.flat.size))
        optimiser.step(gradient)
        path.append((page_arrays(gradient), page_arrays(params)))
    return start, path


def compare_adam(page):
    """Raise AssertionError unless one_page.py and Adam make the same steps, with gradients of size 1 and of size 1e-6.

    Gradients of size 1e-6 test Adam's constant `tiny`: for such gradients, `tiny` changes a step by about 1 %.
    """
    for scale in (1.0, 1e-6):
        start, path = adam_steps(scale)
        params, m, v = copy.deepcopy(start), [np.zeros(a.shape) for a in start], [np.zeros(a.shape) for a in start]
        for t, (gradient, desired) in enumerate(path, start=1):
            page.adam(params, gradient, m, v, t)
            close_lists([a - b for a, b in zip(params, start)], [a - b for a, b in zip(desired, start)], rel=1e-11)


def compare_start(page):
    """Raise AssertionError unless initial weights are normal draws divided by the square root of the number of inputs."""
    vae = VAE.init(np.random.default_rng(0), page.D, page.J, (page.H,))
    rng = np.random.default_rng(3)
    desired = [rng.standard_normal(a.shape) / len(a) ** 0.5 if a.ndim == 2 else 0.0 * a for a in page_arrays(vae.params)]
    close_lists(page.initial_params(np.random.default_rng(3)), [a.astype(float) for a in desired], rel=1e-14)


def train_the_model(data, epochs):
    """Train VAE with the initial weights, batches and noise of one_page.py; return its parameters and the text to print."""
    rng, lines = np.random.default_rng(0), []
    vae = model_of(one_page.initial_params(rng))
    optimiser = Adam(vae.params, lr=LR)

    def measure(label, x):
        eps = rng.standard_normal((1, len(x), vae.latent))
        kl, elbo = kl_standard_normal(*vae.encode(x)).sum(axis=-1).mean(), vae.elbo(x, eps).mean()
        lines.append(f"{label}: reconstruction {elbo + kl:.2f}, KL {kl:.2f}, ELBO {elbo:.2f} nats\n")

    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(data.train_x))
        for rows in np.split(order, range(one_page.BATCH, len(order), one_page.BATCH)):
            x = data.train_x[rows].astype(float)
            optimiser.step(vae.gradient(x, rng.standard_normal((1, len(x), vae.latent))))
        if epoch in range(10, epochs + 1, 10):
            measure(f"epoch {epoch:3}, training set", data.train_x)
    measure(f"epoch {epochs:3}, held-out set", data.test_x)
    return page_arrays(vae.params), "".join(lines)


FEW = SimpleNamespace(train_x=digits().train_x[:40], test_x=digits().test_x[:9])
trained_on_few = cache(lambda epochs: train_the_model(FEW, epochs))


def compare_training(page, data=FEW, epochs=11, rel=1e-10):
    """Raise AssertionError unless training with one_page.py and with VAE gives the same parameters and the same text.

    `page` must be a copy of the module, because this function replaces the data and the number of epochs of `page`. By
    default, training takes 11 epochs: the module prints a line every ten epochs, and another line at the end.
    """
    page.digits, page.EPOCHS = (lambda: data), epochs
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        params = page.train()
    desired, text = trained_on_few(epochs) if data is FEW else train_the_model(data, epochs)
    close_lists(params, desired, rel=rel)
    assert printed.getvalue() == text


COMPARISONS = {
    "initial_params": compare_start,
    "forward": compare_gradient,
    "backward": compare_gradient,
    "adam": compare_adam,
    "report": compare_training,
    "train": compare_training,
}


def test_one_page_and_vae_have_equal_loss_terms_and_gradient():
    compare_gradient(one_page, seeds=range(20))


def test_adam_in_one_page_takes_the_same_steps_as_the_class_adam():
    compare_adam(one_page)


def test_initial_weights_of_one_page_are_normal_draws_of_the_right_scale():
    compare_start(one_page)


def test_one_page_and_vae_have_equal_parameters_after_322_steps():
    """Train on the digits for seven epochs of 46 mini-batches."""
    compare_training(executed(ast.parse(SOURCE)), digits(), 7, rel=1e-9)


def test_one_page_prints_the_numbers_that_the_class_vae_computes():
    compare_training(executed(ast.parse(SOURCE)))


# Planted errors: a slip is a small mistake in one syntax node

OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
OPERATORS |= {ast.Pow: ast.Mult, ast.MatMult: ast.Mult}
FUNCTIONS = {"tanh": "sin", "exp": "expm1", "logaddexp": "maximum", "sqrt": "abs", "sum": "mean", "mean": "sum"}
# In each string, a planted error replaces a name by the name after it, and the last name by the first.
SAME_SHAPE = (
    "mu log_var sigma z eps",
    "h g",
    "logits softplus x",
    "log_px_z kl",
    "W_mu W_log_var",
    "b_mu b_log_var",
    "d_mu_kl d_log_var_kl d_z d_sigma d_log_var_z",
    "d_mu d_log_var d_z",
    "d_kl d_log_px_z",
    "d_logits p",
    "d_h d_pre_g",
    "d_g d_pre_g",
    "d_pre_h d_h",
    "m v",
    "m_hat v_hat",
    "b1 b2",
    "lr tiny",
    "train_x test_x",
    "fan_in fan_out",
)
CONFUSED_NAMES = {a: b for names in map(str.split, SAME_SHAPE) for a, b in zip(names, names[1:] + names[:1])}


def slips(node):
    """Yield copies of a syntax node with one slip each: another operator, number, function or name, or a swap in a tuple."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.AugAssign(target, op, value):
            yield ast.AugAssign(target, OPERATORS[type(op)](), value)
        case ast.UnaryOp(ast.USub(), operand):
            yield operand
        case ast.Constant(int() as number):
            yield ast.Constant(number + 1)
        case ast.Constant(float() as number):
            yield ast.Constant(number * 1.001)
        case ast.Attribute(value, "T"):
            yield value
        case ast.Attribute(value, name) if name in FUNCTIONS:
            yield ast.Attribute(value, FUNCTIONS[name], node.ctx)
        case ast.Name(name, ast.Load()) if name in CONFUSED_NAMES:
            yield ast.Name(CONFUSED_NAMES[name], node.ctx)
        case ast.Tuple(parts, context):
            for i in range(len(parts) - 1):
                yield ast.Tuple([*parts[:i], parts[i + 1], parts[i], *parts[i + 2 :]], context)


def with_slips(function):
    """Plant every slip in the body of a function, one at a time; yield the line number and the changed line."""
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function][1:]
    line_of = {node.lineno: node for node in statements}
    for parent in [function, *(node for statement in function.body for node in ast.walk(statement))]:
        for field, value in list(ast.iter_fields(parent)):
            if parent is function and field != "body":
                continue                                    # plant no slips in arguments and type hints
            for i, node in enumerate(value if isinstance(value, list) else [value]):
                for slip in slips(node):
                    ast.fix_missing_locations(ast.copy_location(slip, node))
                    set_node(parent, field, i, slip)
                    line = slip if isinstance(slip, ast.stmt) else line_of[node.lineno]
                    if ast.unparse(slip) != ast.unparse(node):
                        yield node.lineno, ast.unparse(line).split("\n")[0]
                    set_node(parent, field, i, node)


def set_node(parent, field, i, node):
    """Set a field of a syntax node, or entry i of the field if the field is a list."""
    value = getattr(parent, field)
    if isinstance(value, list):
        value[i] = node
    else:
        setattr(parent, field, node)


def executed(tree):
    """Execute a syntax tree of minivae/one_page.py; return the result as a new module."""
    page = ModuleType("copy_of_one_page")
    exec(compile(tree, "copy_of_one_page.py", "exec"), page.__dict__)
    return page


def survivors(name):
    """Plant each slip in a function. Return the numbers of the changed lines, and the changed lines that no test notices."""
    tree = ast.parse(SOURCE)
    numbers, unnoticed = set(), set()
    for number, line in with_slips(function_in(tree, name)):
        numbers.add(number)
        page = executed(tree)
        try:
            with np.errstate(all="ignore"):
                COMPARISONS[name](page)
        except Exception:                                   # noticed by a different number or an error
            continue
        unnoticed.add(line)
    return numbers, unnoticed


def function_in(tree, name):
    return next(node for node in tree.body if getattr(node, "name", "") == name)


EQUIVALENT = {                                              # slips that do not change the result
    "d_kl, d_log_px_z = (1 / len(logits), -1 / len(x))",    # logits and x have the same length, the batch size
    "d_kl, d_log_px_z = (1 / len(x), -1 / len(logits))",
    "v, m, t = ([0.0] * len(params), [0.0] * len(params), 0)",                              # m and v are both zeros at first
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_every_error_planted_in_a_function_of_one_page_is_noticed(name):
    numbers, unnoticed = survivors(name)
    assert unnoticed <= EQUIVALENT
    if name in ("forward", "backward", "adam"):             # errors were planted in every line except the docstring
        first, *body = function_in(ast.parse(SOURCE), name).body
        statements = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.stmt)]
        assert numbers == {node.lineno for node in statements}


# Each pair plants an error in a line of one_page.py that defines DOTS or LOG_C, the constants of Binomial(16, p).
@pytest.mark.parametrize(
    "old, new", [("[1, 1]", "[1, 2]"), ("1], DOTS)", "1], DOTS + 1)"), ("J = 16,", "J = 17,"), ("np.log(", "np.log1p(")]
)
def test_error_planted_in_the_binomial_constants_of_one_page_is_noticed(old, new):
    assert SOURCE.count(old) == 1
    with pytest.raises(AssertionError, match="entries differ"):
        compare_gradient(executed(ast.parse(SOURCE.replace(old, new))))


# Length, step numbers, shape comments and the debugger session

def test_one_page_has_at_most_120_lines_two_imports_and_no_class():
    nodes = list(ast.walk(ast.parse(SOURCE)))
    imports = [ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert len(LINES) <= 120
    assert imports == ["import numpy as np", "from minivae.data import digits"]
    assert not [node for node in nodes if isinstance(node, ast.ClassDef)]


def numbered(function):
    """Return (line number, code, step, comment) for each line of `function` that has a step number."""
    lines, start = inspect.getsourcelines(function)
    found = [(n, re.fullmatch(r" +(\S.*?) +# (\d)  (\(.*)\n", line)) for n, line in enumerate(lines, start)]
    return [(n, match[1], int(match[2]), match[3]) for n, match in found if match]


def test_backward_of_one_page_reverses_the_steps_of_forward():
    forward = [step for _, _, step, _ in numbered(one_page.forward)]
    backward = [step for _, _, step, _ in numbered(one_page.backward)]
    assert list(dict.fromkeys(forward)) == [1, 2, 3, 4, 5, 6, 7] and forward == sorted(forward)
    assert list(dict.fromkeys(backward)) == [7, 6, 5, 4, 3, 2, 1] and backward == sorted(backward, reverse=True)
    # Three or four statements have no step number: the docstring, one or two that unpack a list or a tuple, and `return`.
    for function in (one_page.forward, one_page.backward):
        statements = ast.parse(inspect.getsource(function)).body[0].body
        assert len(numbered(function)) == len(statements) - (3 if function is one_page.forward else 4)


def test_line_that_joins_two_gradient_paths_contains_a_plus_sign():
    met = [code for _, code, _, comment in numbered(one_page.backward) if "two paths" in comment]
    assert [code.split(" = ")[0] for code in met] == ["d_log_var", "d_mu", "d_h"]
    assert all(code.count(" + ") == 1 for code in met)


def locals_of(function, *arguments):
    """Return the result of a function and its local variables at the moment of its return."""
    caught = {}

    def watch(frame, event, _):
        if event == "return" and frame.f_code is function.__code__:
            caught.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        result = function(*arguments)
    finally:
        sys.setprofile(before)
    return result, caught


def test_every_shape_comment_states_the_actual_shape():
    vae, x, eps, *_ = problem(0)
    params, sizes = page_arrays(vae.params), {"B": 5, "D": 6, "H": 3, "J": 2}
    results, forward = locals_of(one_page.forward, params, x.astype(int), eps[0])
    _, backward = locals_of(one_page.backward, params, x.astype(int), eps[0], results)
    for function, arrays in (one_page.forward, forward), (one_page.backward, backward):
        for _, code, _, comment in numbered(function):
            names = code.split(" = ")[0].split(", ")
            shapes = re.match(r"\([BDHJ, ]*\)( and \([BDHJ, ]*\))?", comment)[0].split(" and ")
            for name, shape in zip(names, shapes if len(shapes) > 1 else shapes * len(names), strict=True):
                assert (name, np.shape(arrays[name])) == (name, tuple(sizes[size] for size in re.findall("[BDHJ]", shape)))


def test_pdb_steps_through_one_page_as_its_docstring_says():
    def line_of(code):
        return next(n for n, line in enumerate(LINES, start=1) if line.strip().startswith(code))

    call, back, optimise = (line_of(code) for code in ("results =", "gradient =", "adam(params"))
    start = line_of("rng, data =")
    assert f"Type `b {start}`, then `c`: it runs to line {start}, the first line of train." in one_page.__doc__
    through_forward = ["s"] + ["n"] * (len(numbered(one_page.forward)) + 2)
    through_backward = ["s"] + ["n"] * (len(numbered(one_page.backward)) + 3)
    commands = [f"b {start}", "c", *["n"] * (call - start), *through_forward, "p z.shape", "p z[0]", "n", "n"]
    commands += [*through_backward, "n", "n", "n", "s", "n", "q"]
    done = subprocess.run(
        [sys.executable, "-m", "pdb", "-m", "minivae.one_page"],
        input="\n".join(commands) + "\n", capture_output=True, text=True, timeout=60, cwd=Path(one_page.__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""
    visited = [int(n) for n in re.findall(r"one_page\.py\((\d+)\)", done.stdout)]
    for function in one_page.forward, one_page.backward:
        lines = [n for n, *_ in numbered(function)]
        assert [n for n in visited if n in lines] == lines
    assert visited[0] == 1 and {call, back, optimise, line_of("lr, b1")} <= set(visited)
    assert f"({one_page.BATCH}, {one_page.J})\n" in done.stdout and re.search(r"array\(\[\S+, +\S+\]\)", done.stdout)
