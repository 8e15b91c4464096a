"""The trace shows what runs, all of it; the four gradients agree, and a wrong one by hand is noticed."""

import ast
import inspect
import io
import json
import sys
import textwrap

import numpy as np
import pytest

from derivations.app import cli
from derivations.study import fourways, trace
from minivae import ops, vae
from minivae.vae import VAE

LIKELIHOODS = list(fourways.SETTINGS)
each_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS)
each_estimator = pytest.mark.parametrize("estimator", ["analytic", "sampled", "path"])


def run(capsys, *arguments):
    code = cli.main(["trace", *map(str, arguments)])
    return code, *capsys.readouterr()


# Line by line


@each_likelihood
@each_estimator
def test_trace_records_every_number_of_the_forward(likelihood, estimator):
    given = fourways.problem(likelihood, 1, estimator)
    f = given.vae.forward(given.x, given.eps)
    made, _ = trace.training_step(given)
    last = {one.name: one.value for one in made}
    for name in ("mu", "log_var", "z", "out", "log_px_z", "kl", "loss"):
        np.testing.assert_array_equal(last[name], getattr(f, name), err_msg=name)
    assert [one.step for one in made if one.step] == sorted(one.step for one in made if one.step)


def assigned(method):
    """The names that the statements of a method give to numbers."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    targets = [target for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets]
    names = [node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return {node.id for node in names if isinstance(node.ctx, ast.Store)}


NO_NUMBERS = {"L", "B", "J", "objective", "encoder", "decoder", "d_encoder", "d_decoder"}


@each_likelihood
def test_trace_shows_every_line_of_the_model(likelihood):
    given = fourways.problem(likelihood, 0, "sampled")
    forward, backward = trace.training_step(given)
    for method, made in ((VAE.forward, forward), (VAE.backward, backward)):
        shown = {one.name.split("[")[0] for one in made}
        missing = assigned(method) - shown - NO_NUMBERS
        assert missing <= ({"scale", "d_scale"} if likelihood != "gaussian" else set()), missing


def test_trace_shows_the_line_that_made_a_number():
    source, given = inspect.getsource(ops).splitlines(), fourways.problem()
    made, _ = trace.training_step(given)
    one = next(one for one in made if one.file == "ops.py" and one.function == "affine")
    assert one.source == "return x @ weight + bias" and source[one.line - 1].strip().startswith(one.source)
    weight, bias = given.vae.params["encoder.1.weight"], given.vae.params["encoder.1.bias"]
    np.testing.assert_array_equal(one.value, given.x @ weight + bias)


def test_trace_follows_a_changed_model(monkeypatch):
    """Nothing of the model is written down a second time."""
    before = {one.name: one.value for one in trace.training_step(fourways.problem())[0]}
    monkeypatch.setattr(vae, "reparameterize", lambda mu, log_var, eps: mu + np.exp(log_var) * eps)
    after = {one.name: one.value for one in trace.training_step(fourways.problem())[0]}
    assert before["mu"] == after["mu"] and before["z"] != after["z"]


def test_trace_copies_numbers_before_they_change():
    """`out += 1` must not change what `out = 2 * x` showed."""
    code, known = "def in_place(x):\n    out = 2 * x\n    out += 1\n    return out\n", {}
    exec(compile(code, ops.__file__, "exec"), known)
    first, second = [one for one in trace.record(lambda: known["in_place"](np.ones(2))) if one.name == "out"]
    assert first.value.tolist() == [2, 2] and second.value.tolist() == [3, 3]


def test_trace_cites_the_ids_of_the_called_function():
    made = {one.name: one for part in trace.training_step(fourways.problem()) for one in part if one.depth == 0}
    assert made["z"].ids == ("cards.29", "odaibo.t31") and "beyond.14" in made["d_mu_kl"].ids
    assert made["kl"].ids == ("odaibo.40c", "beyond.51") and made["log_px_z"].ids == ("beyond.18",)


def test_record_restores_an_earlier_trace_function():
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


def test_record_passes_on_an_error_of_the_model():
    given = fourways.problem()
    with pytest.raises(ValueError):
        trace.record(lambda: given.vae.forward(given.x[:, :2], given.eps))
    assert len(trace.record(lambda: given.vae.forward(given.x, given.eps))) > 20


# Four ways


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
    assert estimator != "path" or least["complex step"] < 3                     # at one noise, the score is missing


def test_problem_has_numbers_with_one_decimal():
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
def test_four_ways_notice_a_wrong_gradient_by_hand(wrong, monkeypatch, capsys):
    monkeypatch.setattr(vae, "reparameterize_backward", wrong)
    least = {way: min(found) for way, found in fourways.agreement(fourways.four_ways(fourways.problem())).items()}
    assert all(digits < 3 for digits in least.values()), least
    assert run(capsys)[0] == 1


def test_integral_alone_notices_a_wrong_sampler(monkeypatch):
    """exp(log_var) as standard deviation, in the forward and, consistently, in the backward: no other way can tell."""
    monkeypatch.setattr(vae, "reparameterize", lambda mu, log_var, eps: mu + np.exp(log_var) * eps)
    monkeypatch.setattr(
        vae, "reparameterize_backward", lambda d, mu, log_var, eps: (d.sum(0), (d * eps).sum(0) * np.exp(log_var))
    )
    least = {way: min(found) for way, found in fourways.agreement(fourways.four_ways(fourways.problem())).items()}
    assert least["complex step"] >= 11 and least["integral over z"] < 3


@pytest.mark.parametrize("a, b, expected", [(1, 1, 16), (1, 1 + 1.1e-5, 4), (1, -1, 0), (0, 0, 16), (1, np.nan, 0), (0, np.inf, 0)])
def test_digits_counts_agreeing_digits(a, b, expected):
    assert fourways.digits(a, b, 1.0) == expected


# The command


@each_likelihood
def test_trace_command_shows_every_step_and_all_gradients(likelihood, capsys):
    code, out, err = run(capsys, "--likelihood", likelihood)
    assert code == 0 and err == ""
    formulas = "return mu + sigma * eps", "return d_kl * mu, d_kl * np.expm1(log_var) / 2", "reparameterize(...) (1, 1, 1) = "
    for text in (*formulas, "z = reparameterize(mu, log_var, eps)", "d_z = d_z_px.reshape(L, B, J) + d_z_kl", "encoder.1.weight[2, 1]"):
        assert text in out
    assert out.index("\nforward\n") < out.index("\nbackward\n") and not any(line != line.rstrip() for line in out.splitlines())


def test_trace_command_prints_json(capsys):
    document = json.loads(run(capsys, "--json", "--seed", 3, "--likelihood", "gaussian")[1])
    assert document["seed"] == 3 and len(document["gradient"]) == 28 and document["digits"]["complex step"] >= 11
    line = next(one for one in document["forward"] if one["name"] == "z")
    assert {"name", "shape", "value", "ids", "source", "file", "line", "step"} <= set(line) and line["shape"] == [1, 1, 1]


def test_trace_step_waits_after_every_line_until_input_ends(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n" * 3))
    asked = []
    monkeypatch.setattr(cli, "waited", lambda wait=cli.waited: asked.append(wait()) or asked[-1])
    code, stepped, _ = run(capsys, "--step")
    assert code == 0 and asked == [True, True, True, False]
    assert stepped == run(capsys)[1]


@pytest.mark.parametrize("bad", [("--likelihood", "poisson"), ("--estimator", "wrong"), ("--seed", "-1")])
def test_trace_command_refuses_bad_input_in_one_line(bad, capsys):
    code, out, err = run(capsys, *bad)
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and "must be" in err
