"""The benchmark of waiting times runs each command in a new process and reports the commands that are too slow."""

import importlib
import json
import sys

import pytest

from tests.benchmarks import waiting
from tests.benchmarks.waiting import Seconds, Wait

CHEAP = Wait("derivations --version", 10.0, {"parser": ["derivations.app.cli.make_parser"]})


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Run the benchmark for one round of a cheap command; return the exit code and the measured numbers."""
    file = tmp_path_factory.mktemp("waiting") / "waiting.json"
    code = waiting.main(["--rounds", "1", "--json", str(file)], [CHEAP])
    return code, json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_waiting_benchmark_runs_one_round_of_a_cheap_command(measured):
    code, found = measured
    (seconds,), = found["seconds"][CHEAP.command].values()
    wall, cpu = seconds
    assert code == 0 and 0 < cpu < 10 and 0 < wall < 10


def test_waiting_benchmark_measures_the_time_of_each_part_of_a_command(measured):
    parts = measured[1]["parts"][CHEAP.command]
    assert list(parts) == ["imports", "parser", "other processes", "rest"] and parts.pop("other processes") == 0
    assert all(value > 0 for value in parts.values())


@pytest.mark.slow
def test_waiting_benchmark_includes_the_process_that_draws_the_figures(tmp_path):
    training = Wait("minivae train --epochs 1 --out run -q", 10.0, {"training": ["minivae.app.train.run_epochs"]})
    assert waiting.parts_of(training, tmp_path)["other processes"] > 0.3


def test_planted_slow_command_is_reported_with_exit_code_1(monkeypatch, capsys, tmp_path):
    waits = [CHEAP._replace(target=0.1), CHEAP._replace(command="minivae --help", target=0.5)]
    monkeypatch.setattr(waiting, "parts_of", lambda wait, folder: {"rest": 1.0})
    slept = {"derivations --version": 0.2, "minivae --help": 0.3}
    monkeypatch.setattr(waiting, "timed", lambda command, folder, checkout: Seconds(slept[command], 0.01))
    assert waiting.main(["--rounds", "3"], waits) == 1
    out, err = capsys.readouterr()
    assert err == "derivations --version takes 0.20 s, more than its target of 0.1 s\n"
    assert "| `minivae --help` | 0.5 | 0.30 (0.30 to 0.30) | 0.01 (0.01 to 0.01) | rest 1.00 |" in out


def test_sleeping_process_is_timed_by_the_wall_clock(tmp_path):
    seconds = waiting.run_timed([sys.executable, "-S", "-c", "import time; time.sleep(0.3)"], "nap", tmp_path, tmp_path)
    assert seconds.wall >= 0.3 > seconds.cpu


def test_waiting_benchmark_stops_if_a_command_fails(tmp_path):
    with pytest.raises(SystemExit, match="ended with exit code 3"):
        waiting.run_timed([sys.executable, "-S", "-c", "raise SystemExit(3)"], "plant", tmp_path, tmp_path)


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--only", "no such command"]])
def test_waiting_benchmark_refuses_bad_options(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        waiting.main(arguments)
    assert "--rounds must be at least 1" in capsys.readouterr().err


def test_every_function_listed_for_a_timed_part_exists():
    for wait in waiting.WAITS:
        for name in (name for names in wait.parts.values() for name in names):
            module, _, function = name.rpartition(".")
            assert callable(getattr(importlib.import_module(module), function)), name
