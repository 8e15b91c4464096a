"""`derivations trace` shows every line of code that computes a number in a training step.

The command computes the gradient of the step in four ways. The four gradients agree, unless the gradient by hand is wrong.
"""

import ast
import importlib
import inspect
import io
import json
import re
import sys
import textwrap

import numpy as np
import pytest

from derivations.app import cli
from derivations.app import study as commands
from derivations.study import fourways, trace
from minivae import ops, vae
from minivae.vae import VAE

LIKELIHOODS = list(fourways.SETTINGS)
each_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS)
each_estimator = pytest.mark.parametrize("estimator", ["analytic", "sampled", "path"])


def run(capsys, *arguments):
    code = cli.main(["trace", *map(str, arguments)])
    return code, *capsys.readouterr()


def step_numbers(given):
    """Return the numbers of the forward and of the backward pass of a training step."""
    return tuple(trace.numbers(lines) for lines in trace.training_step(given))


# The training step, line by line


@each_likelihood
@each_estimator
def test_trace_records_every_number_of_the_forward_pass(likelihood, estimator):
    given = fourways.problem(likelihood, 1, estimator)
    f = given.vae.forward(given.x, given.eps)
    made, _ = step_numbers(given)
    last = {one.name: one.value for one in made}
    for name in ("mu", "log_var", "z", "out", "log_px_z", "kl", "loss"):
        np.testing.assert_array_equal(last[name], getattr(f, name), err_msg=name)
    assert [one.step for one in made if one.step] == sorted(one.step for one in made if one.step)


def assigned(method):
    """Return the names of the variables that a method assigns."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    targets = [target for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets]
    names = [node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return {node.id for node in names if isinstance(node.ctx, ast.Store)}


NO_NUMBERS = {"L", "B", "J", "objective", "encoder", "decoder", "d_encoder", "d_decoder"}


@each_likelihood
def test_trace_shows_every_numeric_variable_of_the_model(likelihood):
    given = fourways.problem(likelihood, 0, "sampled")
    forward, backward = step_numbers(given)
    for method, made in ((VAE.forward, forward), (VAE.backward, backward)):
        shown = {one.name.split("[")[0] for one in made}
        missing = assigned(method) - shown - NO_NUMBERS
        assert missing <= ({"scale", "d_scale"} if likelihood != "gaussian" else set()), missing


def test_trace_shows_the_line_that_made_a_number():
    source, given = inspect.getsource(ops).splitlines(), fourways.problem()
    made, _ = step_numbers(given)
    one = next(one for one in made if one.file == "ops.py" and one.function == "affine")
    assert one.source == "return x @ weight + bias" and source[one.line - 1].strip().startswith(one.source)
    weight, bias = given.vae.params["encoder.1.weight"], given.vae.params["encoder.1.bias"]
    np.testing.assert_array_equal(one.value, given.x @ weight + bias)


def test_trace_follows_a_changed_model(monkeypatch):
    """The trace records the code that runs, so a changed model gives a changed trace."""
    before = {one.name: one.value for one in step_numbers(fourways.problem())[0]}
    monkeypatch.setattr(vae, "reparameterize", lambda mu, log_var, eps: mu + np.exp(log_var) * eps)
    after = {one.name: one.value for one in step_numbers(fourways.problem())[0]}
    assert before["mu"] == after["mu"] and before["z"] != after["z"]


def test_trace_copies_numbers_before_they_change():
    """The line `out += 1` must not change the number that the trace shows for `out = 2 * x`."""
    code, known = "def in_place(x):\n    out = 2 * x\n    out += 1\n    return out\n", {}
    exec(compile(code, ops.__file__, "exec"), known)
    lines = trace.record(lambda: known["in_place"](np.ones(2)))
    first, second = [one for one in trace.numbers(lines) if one.name == "out"]
    assert first.value.tolist() == [2, 2] and second.value.tolist() == [3, 3]


def test_trace_cites_the_ledger_ids_of_the_called_function():
    made = {one.name: one for part in step_numbers(fourways.problem()) for one in part if one.depth == 0}
    assert made["z"].ids == ("cards.29", "odaibo.t31") and "beyond.14" in made["d_mu_kl"].ids
    assert made["kl"].ids == ("odaibo.40c", "beyond.51") and made["log_px_z"].ids == ("beyond.18",)


def test_earlier_trace_function_is_restored_after_record():
    def mine(frame, event, argument):
        return None

    def fails():
        raise KeyError("no")

    before = sys.gettrace()
    sys.settrace(mine)
    try:
        trace.record(lambda: None)
        assert sys.gettrace() is mine
        with pytest.raises(KeyError):
            trace.record(fails)
        assert sys.gettrace() is mine
    finally:
        sys.settrace(before)


def test_error_raised_by_a_recorded_model_reaches_the_caller_of_trace_record():
    given = fourways.problem()
    with pytest.raises(ValueError):
        trace.record(lambda: given.vae.forward(given.x[:, :2], given.eps))
    assert len(trace.numbers(trace.record(lambda: given.vae.forward(given.x, given.eps)))) > 20


def shown_steps(lines):
    """Return the step numbers in the printed headings of the trace, in order. Equal neighbours count once."""
    found = [text[0] for text in trace.step_text(lines, 100) if text[0].isdigit()]
    return [number for number, before in zip(found, ["", *found]) if number != before]


@each_likelihood
@each_estimator
def test_trace_shows_steps_1_to_7_and_then_7_to_1(likelihood, estimator):
    forward, backward = trace.training_step(fourways.problem(likelihood, 0, estimator))
    assert shown_steps(forward) == list("1234567") and shown_steps(backward) == list("7654321")
    made = {one.name for one in trace.numbers(backward) if one.step == "1"}
    assert {"gradient[encoder.1.weight]", "gradient[encoder.2.bias]"} <= made


def test_trace_prints_a_call_before_the_lines_of_the_called_function():
    forward, backward = (list(trace.step_text(lines, 100)) for lines in trace.training_step(fourways.problem()))
    at = next(i for i, text in enumerate(forward) if text.startswith("3  z = reparameterize(mu, log_var, eps)"))
    heading, sigma, returned, z = [text.strip() for text in forward[at : at + 4]]
    assert heading.count("\n") == 0 and sigma.startswith("sigma = np.exp(log_var / 2)") and "\n" in sigma
    assert returned.startswith("return mu + sigma * eps") and z.startswith("z (1, 1, 1) = ")
    last = next(i for i, text in enumerate(backward) if text.startswith("1  mlp_backward(d_heads"))
    assert "d_weight (3, 2)" in "".join(backward[last:]) and "gradient[encoder.1.weight] (3, 2)" in backward[-1]


def test_trace_shows_a_result_under_the_name_that_the_caller_assigns():
    text = "\n".join("\n".join(trace.step_text(lines, 100)) for lines in trace.training_step(fourways.problem("gaussian")))
    assert "reparameterize(...)" not in text and "squared_error(...) (1, 1) = " in text
    assert re.search(r"^ +d_mean \(1, 1, 3\) = ", text, re.MULTILINE)


REUSE = """
import numpy as np
def outer(d, x):
    d_mean, d_x = reuses(d, x), 0
    return d_mean
def reuses(d, x):
    r = x - 1
    d_mean = np.multiply(r, d, out=r)
    return d_mean
"""


def test_trace_gives_a_reused_array_the_name_of_its_new_variable(tmp_path, monkeypatch):
    (tmp_path / "reuse_of_an_array.py").write_text(REUSE)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reuse_of_an_array")
    monkeypatch.setattr(trace, "SHOWN", (module,))
    lines = trace.record(lambda: module.outer(np.array(2.0), np.array([1.0, 3.0])))
    assert [(one.name, one.value.tolist()) for one in trace.numbers(lines)] == [
        ("r", [0.0, 2.0]), ("d_mean", [0.0, 4.0]), ("d_mean", [0.0, 4.0]),
    ]  # fmt: skip


# The gradient, computed in four ways


@each_likelihood
@each_estimator
@pytest.mark.parametrize("seed", range(4))
def test_four_ways_give_the_same_gradient(likelihood, estimator, seed):
    given = fourways.problem(likelihood, seed, estimator)
    gradients = fourways.four_ways(given)
    assert len(gradients) == (28 if likelihood == "gaussian" else 27)
    least = {way: min(found) for way, found in fourways.agreement(gradients).items()}
    ways = fourways.ENOUGH if estimator != "path" else {"integral over z": 11}
    assert all(least[way] >= enough for way, enough in ways.items()) and fourways.agrees(given, gradients), least
    assert estimator != "path" or least["complex step"] < 3     # the path gradient is correct only on average over eps


def test_random_numbers_of_the_small_problem_have_one_decimal():
    for seed in range(20):
        model, x, eps = fourways.problem("gaussian", seed)
        for array in (model.params.flat, x, eps):
            np.testing.assert_array_equal(np.round(array, 1), array)
        assert np.abs(model.params.flat).min() > 0.05


WRONG = {
    "sigma for sigma / 2": lambda d, mu, log_var, eps: (d.sum(0), (d * eps).sum(0) * np.exp(log_var / 2)),
    "no noise": lambda d, mu, log_var, eps: (d.sum(0), 0 * log_var),
    "a sign": lambda d, mu, log_var, eps: (-d.sum(0), (d * eps).sum(0) * np.exp(log_var / 2) / 2),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_four_gradients_disagree_if_the_gradient_by_hand_is_wrong(wrong, monkeypatch, capsys):
    monkeypatch.setattr(vae, "reparameterize_backward", wrong)
    least = {way: min(found) for way, found in fourways.agreement(fourways.four_ways(fourways.problem())).items()}
    assert all(digits < 3 for digits in least.values()), least
    assert run(capsys)[0] == 1


def test_only_the_integral_notices_a_wrong_standard_deviation_of_the_draws(monkeypatch):
    """Both passes use exp(log_var) as standard deviation. At the given noise, all gradients still agree."""
    monkeypatch.setattr(vae, "reparameterize", lambda mu, log_var, eps: mu + np.exp(log_var) * eps)
    monkeypatch.setattr(
        vae, "reparameterize_backward", lambda d, mu, log_var, eps: (d.sum(0), (d * eps).sum(0) * np.exp(log_var))
    )
    least = {way: min(found) for way, found in fourways.agreement(fourways.four_ways(fourways.problem())).items()}
    assert least["complex step"] >= 11 and least["integral over z"] < 3


AGREEING_DIGITS = [(1, 1, 16), (1, 1 + 1.1e-5, 4), (1, -1, 0), (0, 0, 16), (1, np.nan, 0), (0, np.inf, 0)]


@pytest.mark.parametrize("a, b, expected", AGREEING_DIGITS)
def test_digits_returns_the_number_of_agreeing_digits(a, b, expected):
    assert fourways.digits(a, b, 1.0) == expected


# The command `derivations trace`


@each_likelihood
def test_trace_command_shows_every_step_and_all_gradients(likelihood, capsys):
    code, out, err = run(capsys, "--likelihood", likelihood)
    assert code == 0 and err == ""
    formulas = "return mu + sigma * eps", "return d_kl * mu, d_kl * np.expm1(log_var) / 2", "\n     z (1, 1, 1) = "
    lines = "z = reparameterize(mu, log_var, eps)", "d_z = d_z_px.reshape(L, B, J) + d_z_kl"
    for text in (*formulas, *lines, "encoder.1.weight[2, 1]"):
        assert text in out
    assert out.index("\nforward\n") < out.index("\nbackward\n")
    assert not any(line != line.rstrip() for line in out.splitlines())


def test_trace_command_prints_json(capsys):
    document = json.loads(run(capsys, "--json", "--seed", 3, "--likelihood", "gaussian")[1])
    assert document["seed"] == 3 and len(document["gradient"]) == 28 and document["digits"]["complex step"] >= 11
    line = next(one for one in document["forward"] if one["name"] == "z")
    assert {"name", "shape", "value", "ids", "source", "file", "line", "step"} <= set(line) and line["shape"] == [1, 1, 1]


def test_trace_with_option_step_waits_after_every_line_until_input_ends(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n" * 3))
    asked = []
    monkeypatch.setattr(commands, "waited", lambda wait=commands.waited: asked.append(wait()) or asked[-1])
    code, stepped, _ = run(capsys, "--step")
    assert code == 0 and asked == [True, True, True, False]
    assert stepped == run(capsys)[1]


@pytest.mark.parametrize("bad", [("--likelihood", "poisson"), ("--estimator", "wrong"), ("--seed", "-1")])
def test_trace_command_refuses_bad_input_in_one_line(bad, capsys):
    code, out, err = run(capsys, *bad)
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and "must be" in err
