"""Benchmarks run and notice planted faults: too large exponents, and values that are off by more than their stated error."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from derivations.engine import ledger
from minivae.data import load
from minivae.evidence import exact_linear
from tests.benchmarks import evidence, exact, files, model, scaling, timing
from tests.helpers.linear import linear_model
from tests.helpers.samples import idx, write

SIZES = (1, 10, 100, 1000)


def planted(cost, growth):
    """Return a `scaling.Table`: each of its three rounds gives the value cost(n) for the size n."""
    return scaling.Table("plant", "n", SIZES, lambda sizes, *_: {"s": {n: [cost(n)] * 3 for n in sizes}}, {"s": growth})


@pytest.mark.parametrize("p", [0, 0.5, 1, 2, 3])
@pytest.mark.parametrize("c", [1e-6, 40])
def test_fit_to_a_power_law_returns_its_exponent(p, c):
    assert timing.exponent({n: c * n**p for n in SIZES}) == pytest.approx(p, abs=1e-12)


def test_fit_of_an_exponent_ignores_sizes_smaller_than_start():
    values = {n: max(n, 50.0) for n in SIZES}
    assert timing.exponent(values, start=100) == pytest.approx(1) and timing.exponent(values) < 0.7


def test_subtracting_the_first_value_removes_a_constant_cost_from_the_fit():
    growth = scaling.Growth("affine", 1, above_first=True)
    values = {n: [1000 + 3.0 * n] for n in (1, 2, 3, 4, 5, 6)}
    assert scaling.fitted(values, growth) == pytest.approx(1)
    assert [row["exponent"] for row in scaling.rows_of(values, growth)] == [None, None, *[pytest.approx(1)] * 4]
    assert scaling.fitted({n: [1000 + 3.0 * n * n] for n in values}, growth) > scaling.LINEAR


def test_linear_cost_stays_within_its_bound(capsys):
    assert scaling.run({"plant": planted(lambda n: 2e-3 * n, scaling.Growth("linear", 10))}, 1, 1) == 0
    out, err = capsys.readouterr()
    assert "s ~ n ^ 1.000, fitted from 10 to 1,000" in out and err == ""


@pytest.mark.parametrize(
    "cost, growth",
    [
        (lambda n: 2e-3 * n * n, scaling.Growth("linear", 10)),
        (lambda n: 1 + 1e-3 * n * n, scaling.Growth("linear", 10)),             # plus a constant cost
        (lambda n: 1 + 1e-3 * n * n, scaling.Growth("affine", 1, above_first=True)),
        (lambda n: 50 + 8 * 100 * n / 2**20, scaling.Growth("constant", 10, 1e-4)),
        (lambda n: 1 / n, scaling.Growth("affine", 1, above_first=True)),       # the cost falls: no exponent can be fitted
    ],
)
def test_cost_that_grows_faster_than_its_bound_is_noticed(cost, growth, capsys):
    assert scaling.run({"plant": planted(cost, growth)}, 1, 1) == 1
    assert "plant: s grows with exponent" in capsys.readouterr().err
    assert scaling.run({"plant": planted(cost, growth)}, 1, 1, as_json=True) == 1
    assert len(json.loads(capsys.readouterr().out)["faults"]) == 1


class Work:
    """A contender: an object to be timed. Each of its steps moves a fake clock forward by n^p seconds."""

    def __init__(self, clock, n, p):
        self.clock, self.cost = clock, n**p

    def restart(self):
        self.clock.now += 1000.0                            # the time of a restart must not be counted

    def steps(self, count):
        self.clock.now += count * self.cost


@pytest.mark.parametrize("p, code", [(1, 0), (2, 1)])
def test_exponent_is_fitted_to_the_measured_times_of_training_steps(monkeypatch, p, code):
    clock = SimpleNamespace(now=0.0)
    clock.perf_counter, clock.sleep = lambda: clock.now, lambda seconds: None
    monkeypatch.setattr(timing, "time", clock)
    monkeypatch.setattr(scaling, "Start", lambda size: size)
    monkeypatch.setattr(scaling, "Minivae", lambda size: Work(clock, size.batch, p))
    table = replace(scaling.TABLES["batch"], sizes=SIZES, growth={"ms": scaling.Growth("linear", 1)})
    assert scaling.run({"batch": table}, 5.0, 1) == code
    assert scaling.measured(table, 5.0)["ms"]["exponent"] == pytest.approx(p)


@pytest.mark.slow
def test_every_scaling_table_runs_and_states_its_theory(monkeypatch, capsys):
    monkeypatch.setattr(scaling, "MODEL", scaling.Size((16, 8, 2), "relu", 4))
    monkeypatch.setattr(timing, "PAUSE", 0)
    entries = ledger.entries()[:2]
    monkeypatch.setattr(ledger, "entries", lambda: entries)
    tables = {}
    for name, table in scaling.TABLES.items():
        growth = {column: replace(each, start=1, bound=math.inf) for column, each in table.growth.items()}
        tables[name] = replace(table, sizes=(2, 4, 8), rounds=1 if name == "evidence" else 2, growth=growth)
    codes = [scaling.run({name: table}, 0.001, 1) for name, table in tables.items()]
    out = capsys.readouterr().out
    assert all(table.title in out and each.theory.split("\n")[0] in out
               for table in tables.values() for each in table.growth.values())
    # The exit code of `depth` may be 1: its training steps are so short that timing noise can hide the effect of depth.
    assert [code for name, code in zip(tables, codes) if name != "depth"] == [0] * 6


@pytest.mark.parametrize("name", scaling.TABLES)
def test_every_exponent_is_fitted_to_at_least_three_sizes(name):
    table = scaling.TABLES[name]
    for growth in table.growth.values():
        points = growth.points({n: float(n) for n in table.sizes})
        assert sum(n >= growth.start for n in points) >= 3


@pytest.mark.slow
def test_measured_memory_excludes_the_parent_process():
    large = np.ones(200 * 2**17)                            # 200 MiB
    assert evidence.peak_alone(10, 4, 8)["MiB"] < large.nbytes / 2**20 < evidence.peak_so_far()


def contender(loss, *gradient):
    return SimpleNamespace(name="other", loss_and_gradient=lambda: (loss, [np.array(array) for array in gradient]))


def test_contenders_agree_if_loss_and_gradient_are_almost_equal():
    right = contender(2.0, [[1.0, -2.0]], [0.5])
    assert model.disagreement(contender(2.0 + 1e-5, [[1.0, -2.0001]], [0.5]), right) is None


@pytest.mark.parametrize(
    "other, message",
    [
        (contender(2.001, [[1.0, -2.0]], [0.5]), "loss 2.001, but other has 2"),
        (contender(math.nan, [[1.0, -2.0]], [0.5]), "loss nan"),
        (contender(2.0, [[1.0, -2.002]], [0.5]), "gradient off by 0.001 of its largest entry"),
        (contender(2.0, [[1.0, -2.0]], [math.nan]), "gradient off by nan"),
        (contender(2.0, [[math.nan, -2.0]], [0.5]), "gradient off by nan"),
        (contender(2.0, [[-1.0, 2.0]], [-0.5]), "gradient off by 2"),
    ],
)
def test_contender_with_a_wrong_loss_or_gradient_is_noticed(other, message):
    assert message in model.disagreement(other, contender(2.0, [[1.0, -2.0]], [0.5]))


# The benchmark of common kinds of data files

def test_format_of_every_benchmark_data_file_is_recognised(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("mnist", "fashion_mnist"):
        (tmp_path / name).mkdir()
        for part, n in (("train", 120), ("t10k", 30)):
            write(tmp_path / name / f"{part}-images-idx3-ubyte.gz", idx(rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)))
            write(tmp_path / name / f"{part}-labels-idx1-ubyte.gz", idx((np.arange(n) % 10).astype(np.uint8)))
    found = {}
    for kind in files.KINDS:
        path, options = files.make(kind, tmp_path, tmp_path, 60)
        about = load(str(path), **dict([(options[0].strip("-"), options[1])] if options else [])).about
        found[kind] = about.train, about.held_out, about.features, about.image_shape, about.taken_for[:4]
        assert len(about.classes) == 10 and (kind == "table") == ("Ankle boot" in about.classes)
    grey = (784, (28, 28), "grey")
    assert found == {"idx": (120, 30, *grey), "kaggle": (50, 10, *grey), "keras": (60, 10, *grey),
                     "table": (50, 10, 16, None, "frac")}   # fmt: skip


@pytest.mark.slow
def test_benchmark_measures_time_memory_and_exit_code_of_a_process(tmp_path):
    parent = np.ones(300 * 2**17)                           # 300 MiB in the parent process: they must not be counted
    code, seconds, peak = files.measured(["plot", str(tmp_path)])
    assert code == 2 and 0.05 < seconds and 20 < peak < parent.nbytes / 2**20


# The benchmark of exact log p(x)


@pytest.mark.parametrize("latent", [1, 2])
@pytest.mark.parametrize("accuracy", [1e-7, 1e-4])
def test_reference_log_px_of_the_benchmark_equals_the_closed_form(latent, accuracy):
    vae, x = linear_model(0, latent, sigma=0.02)            # posteriors far narrower than the cells of the first grid
    assert np.abs(exact.reference(vae, x, accuracy) - exact_linear(vae, x).log_px).max() < accuracy


@pytest.mark.parametrize("off, code", [(0.9, 0), (1.1, 1)])
def test_exact_benchmark_fails_if_the_true_error_exceeds_the_estimated_error(off, code, monkeypatch, capsys):
    vae, x = linear_model(0, latent=1, rows=2)
    found = SimpleNamespace(log_px=exact_linear(vae, x).log_px + [0.001 * off, 0], error=np.full(2, 0.001))
    # `exact.main` replaces these four functions and does not restore them. So monkeypatch restores them after the test.
    for name in ("draw_model", "draw_training", "explore", "report"):
        monkeypatch.setattr(exact.app_train, name, None)
    monkeypatch.setattr(exact, "trained", lambda *rest: (vae, x))
    monkeypatch.setattr(exact, "exact_log_px", lambda *rest: found)
    assert exact.main(["--only", "J = 1", "--seeds", "1"]) == code
    assert f" {off:.2f} " in capsys.readouterr().out
