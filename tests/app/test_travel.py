"""Moved runs find their data, printed commands can be pasted, and commands work inside threads and notebooks."""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import runs
from minivae.app import cli, evaluate, results, runner, sweep, typed
from minivae.data.raw import quoted
from minivae.runs import directory
from tests.helpers.samples import pictures
from tests.helpers.trained import end_quickly

RESULTS = "reconstruction kl elbo elbo_se iw_bound iw_bound_se log_px log_px_error gap".split()

TRAIN = ["train", "--epochs", "1", "--hidden", "4", "-q"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Train quickly, and let `plot` draw nothing, because the tests only check that `plot` finds the data."""
    end_quickly(monkeypatch)
    for name in ("draw_model", "draw_training"):
        monkeypatch.setattr(results, name, lambda *_: [])


def trained_in(room, data="d/x.npz", out="run"):
    """Make data and a run in a directory, with relative paths; return the path of the run."""
    (room / "d").mkdir(parents=True)
    np.savez(room / "d" / "x.npz", x=pictures(), y=np.arange(40) % 2)
    with contextlib.chdir(room):
        assert cli.main([*TRAIN, "--data", data, "--out", out]) == 0
    return room / out


def needs_data(run, *more):
    """Run the three commands that need the data of a run; return their exit codes."""
    again = str(run.parent / f"of_{run.name}")
    evaluated = ["evaluate", str(run), "--k", "2", "--rows", "3", *more]
    words = ["plot", str(run), "--out", again, "--overwrite", *more], evaluated, [*TRAIN[:1], "--resume", str(run), *more]
    return [cli.main([*each, "-q"]) for each in words]


def test_run_can_be_used_from_another_directory(tmp_path, monkeypatch, capsys):
    run = trained_in(tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    assert needs_data(run) == [0, 0, 0]


def test_data_that_moved_together_with_the_run_are_found(tmp_path, capsys):
    run = trained_in(tmp_path / "home")
    shutil.move(tmp_path / "home", tmp_path / "new")
    assert needs_data(tmp_path / "new" / "run") == [0, 0, 0]
    assert not (tmp_path / "home").exists() and run.name == "run"


def test_run_that_moves_without_its_data_finds_them_at_the_old_path(tmp_path, capsys):
    shutil.move(trained_in(tmp_path / "home"), tmp_path / "away")
    assert needs_data(tmp_path / "away") == [0, 0, 0]


@pytest.mark.slow
def test_moved_data_are_found_if_an_option_gives_their_path(tmp_path, capsys):
    run = trained_in(tmp_path / "home")
    new = shutil.move(tmp_path / "home" / "d" / "x.npz", tmp_path / "y.npz")
    assert needs_data(run) == [2, 2, 2] and capsys.readouterr().err.count("add --data PATH") == 3
    page = ["explore", str(run), "--out", str(tmp_path / "page.html"), "-q"]
    assert cli.main(page) == 2 and "add --data PATH" in capsys.readouterr().err
    assert cli.main([*page, "--data", str(new)]) == 0
    assert needs_data(run, "--data", str(new)) == [0, 0, 0]
    config = runs.read(run).config
    assert config["data"] == str(new) and f"--data {new}" in config["command"]
    assert needs_data(run) == [0, 0, 0]                     # needs no --data: resuming has stored the new path


def test_error_about_the_wrong_kind_of_data_shows_the_training_options(tmp_path, capsys):
    table = tmp_path / "a.csv"
    table.write_text("kind,a\n" + "cat,1\ndog,0\n" * 20)
    train = ["train", "--data", str(table), "--label", "kind", "--epochs", "1", "--hidden", "4", "-q", "--no-explorer"]
    assert cli.main([*train, "--out", str(tmp_path / "run")]) == 0
    (tmp_path / "b.csv").write_text("a\n" + "1\n0\n" * 20)
    assert cli.main(["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "b.csv")]) == 2
    assert "The run was trained with --label kind: PATH must hold data of the same kind." in capsys.readouterr().err


def test_data_with_another_checksum_than_in_training_are_refused(tmp_path, capsys):
    run = trained_in(tmp_path / "home")
    np.savez(tmp_path / "other.npz", x=pictures(seed=1))
    assert needs_data(run, "--data", str(tmp_path / "other.npz")) == [2, 2, 2]
    assert capsys.readouterr().err.count("--data must be the data on which") == 3
    assert needs_data(run, "--data", "digits") == [2, 2, 2]


def test_original_data_are_found_if_the_file_beside_the_run_differs(tmp_path, capsys):
    run = shutil.copytree(trained_in(tmp_path / "home"), tmp_path / "copy" / "run")
    (tmp_path / "copy" / "d").mkdir()
    np.savez(tmp_path / "copy" / "d" / "x.npz", x=pictures(seed=1))
    assert needs_data(run) == [0, 0, 0]


@pytest.mark.slow
def test_sample_needs_no_data(tmp_path, capsys):
    run = trained_in(tmp_path / "home")
    shutil.rmtree(tmp_path / "home" / "d")
    assert cli.main(["sample", str(run), "-n", "4"]) == 0
    assert np.load(run / "samples.npy").shape == (4, 8, 8) and (run / "samples.png").exists()
    held_out = pictures()[np.r_[8:40:10, 9:40:10]] / 255    # every fifth row of each class is held out
    assert cli.main(["sample", str(run), "--json", "--overwrite"]) == 0
    assert f"{held_out.mean():.3f} in the data" in capsys.readouterr().out
    config = runs.read(run).config
    for wrong in ([8], [8, 9], "8x8", [True, 64], [-8, -8]):
        runs.write_json(run / "config.json", config | {"image_shape": wrong})
        assert cli.main(["sample", str(run), "--overwrite"]) == 2
    assert "its image_shape is" in capsys.readouterr().err
    for wrong in (0.5, [0.0, 2.0, 1.0], [0, 1], ["a", "b", "c"]):
        runs.write_json(run / "config.json", config | {"pixels": wrong})
        assert cli.main(["sample", str(run), "--overwrite"]) == 2
    assert "its pixels are" in capsys.readouterr().err


@pytest.mark.slow
def test_older_run_that_stores_no_data_path_or_image_shape_works(tmp_path, monkeypatch, capsys):
    run = trained_in(tmp_path / "home")
    config = runs.read(run).config
    del config["data_places"], config["image_shape"]
    runs.write_json(run / "config.json", config)
    monkeypatch.chdir(tmp_path / "home")
    assert needs_data(Path("run")) == [0, 0, 0] and cli.main(["sample", "run", "-n", "2"]) == 0
    assert (run / "samples.png").exists()
    shutil.rmtree(tmp_path / "home" / "d")
    assert cli.main(["sample", "run", "-n", "2", "--out", "alone"]) == 0
    assert "no picture, because this older run" in capsys.readouterr().err and os.listdir("alone") == ["samples.npy"]


@pytest.mark.parametrize("places", [[], "home", {"absolute": 3}])
def test_invalid_data_paths_in_the_config_are_refused(places, tmp_path, capsys):
    run = trained_in(tmp_path / "home")
    runs.write_json(run / "config.json", runs.read(run).config | {"data_places": places})
    assert cli.main(["plot", str(run)]) == 2 and "its data_places are" in capsys.readouterr().err


def test_error_for_resuming_with_too_few_epochs_suggests_the_right_number(tmp_path, capsys):
    run = trained_in(tmp_path / "home")
    assert cli.main(["train", "--resume", str(run), "--epochs", "3", "-q"]) == 0
    assert cli.main(["train", "--resume", str(run), "--epochs", "2"]) == 2
    assert "Try --epochs 3." in capsys.readouterr().err


# A command prints how to repeat it. The parser must read the original options from the printed line.

PATHS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=12)
PATHS = PATHS | PATHS.map(lambda text: f"-{text}") | st.sampled_from(["--", "-", "a b", "it's", '"', "-1", "--out", "$(x)"])
MOST = settings(max_examples=50, deadline=None)
PARSER = cli.make_parser()


def same(value, other):
    """Return True for equal values; -x and ./-x are the same path."""
    return value == other or (isinstance(value, str) and value == f"./{other}" and other.startswith("-"))


def parsed(command):
    """Return the options of a printed command, as the shell and the parser read it."""
    words = shlex.split(command)
    assert words[0] == "minivae"
    return runner.parsed(PARSER, words[1:])


@MOST
@given(PATHS, PATHS, PATHS, PATHS, st.sampled_from([None, (), (8, 4)]))
def test_command_printed_by_train_is_parsed_to_the_same_options(data, label, delimiter, out, hidden):
    given = Namespace(**cli.DEFAULTS | {"data": data, "label": label, "delimiter": delimiter, "out": Path(out), "epochs": 3})
    given = Namespace(**vars(given) | ({} if hidden is None else {"hidden": hidden}) | {"transpose": True, "resume": None})
    again = cli.completed(parsed(cli.command_again(given)))
    for name in ("data", "label", "delimiter", "out", "epochs", "hidden", "transpose"):
        assert same(getattr(again, name), getattr(given, name)), name
    longer = cli.completed(parsed(typed.replaced(cli.command_again(given), "data", label)))
    assert same(longer.data, label) and (longer.label, longer.epochs) == (label, 3)


@MOST
@given(PATHS, PATHS, PATHS)
def test_command_printed_by_evaluate_or_sweep_is_parsed_to_the_same_options(run, data, out):
    common = {"out": Path(out), "seed": 1, "data": data}
    asked = Namespace(run=Path(run), k=(1, 10), ais=True, exact=False, gap=True, rows=7, **common)
    again = parsed(evaluate.command_again(asked))
    assert all(same(getattr(again, name), value) for name, value in vars(asked).items())
    reading = {"label": data, "delimiter": None, "image": None, "transpose": None, "trials": 3}
    asked = Namespace(beta=(0.5, 1.0), sigma=None, latent=(2,), likelihood=None, hidden=(), epochs=2, batch=5, lr=1e-5,
                      **common, **reading)                  # fmt: skip
    again = parsed(sweep.command_again(asked))
    assert all(same(getattr(again, name), value) for name, value in vars(asked).items())


@MOST
@given(PATHS)
def test_paths_in_printed_commands_are_parsed_to_the_same_paths(path):
    assert parsed(typed.line(["minivae", "train", *typed.option("resume", Path(path))])).resume == Path(path)
    for words in (f"minivae evaluate {typed.pasted(Path(path))} --gap", f"minivae sample {quoted(Path(path))}"):
        assert parsed(words).run == Path(path)


def test_printed_commands_work_for_names_that_begin_with_a_dash(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("-x y.csv").write_text("-k,a,b\n" + "".join(f"{'cat' if i % 2 else 'dog'},{i % 2},0.5\n" for i in range(20)))
    assert cli.main([*TRAIN, "--data=-x y.csv", "--label=-k", "--out=-run"]) == 0
    printed = capsys.readouterr().out
    again = re.search("again  minivae (.*)", printed)[1]
    assert cli.main([*shlex.split(again), "--overwrite", "-q"]) == 0
    following = re.search("next   minivae (.*)", capsys.readouterr().out)[1]
    assert cli.main([*shlex.split(following), "-q"]) == 0
    evaluated = re.search("again  minivae (.*)", capsys.readouterr().out)[1]
    assert cli.main([*shlex.split(evaluated), "-q"]) == 0


def test_text_about_one_held_out_data_point_uses_the_singular():
    assert [typed.held_out_points(held_out) for held_out in (1, 2)] == ["1 held-out data point", "2 held-out data points"]
    assert results.table(dict.fromkeys(RESULTS) | {"held_out": 1, "iw_k": 10})[0].startswith("1 held-out data point;")


def test_column_whose_name_is_two_hyphens_can_be_the_label(tmp_path, capsys):
    path = tmp_path / "x.csv"
    path.write_text("a,--\n" + "0.5,1\n0,0\n" * 9)
    assert cli.main(["data", str(path), "--label=--", "--out", str(tmp_path / "sheet")]) == 0
    assert "1 feature; 2 classes (0, 1)" in capsys.readouterr().out


# Threads and notebooks


class Cell:
    """Replacement for sys.stdout, as in a notebook: the object has a method `write`, but is not a file."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)


@pytest.mark.slow
def test_commands_in_a_thread_return_their_exit_codes(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", pictures())
    path, codes = str(tmp_path / "x.npy"), []
    cell, errors = Cell(), Cell()
    monkeypatch.setattr("sys.stdout", cell)
    monkeypatch.setattr("sys.stderr", errors)

    def work():
        codes.append(cli.main([*TRAIN[:-1], "--data", path, "--out", str(tmp_path / "run")]))
        codes.append(cli.main(["sweep", "--data", path, "--latent", "1,2", "--epochs", "1", "--out", str(tmp_path / "s")]))
        codes.append(cli.main(["runs", str(tmp_path), "--json"]))
        codes.append(cli.main(["plot", str(tmp_path / "no")]))
        codes.append(cli.main(["train", "--epochs", "many"]))
        codes.append(cli.main(["train", "--help"]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [0, 0, 0, 2, 2, 0], errors.text
    assert "held-out data points" in cell.text and "RUN must be the directory of a run" in errors.text


@pytest.mark.slow
def test_notebook_keeps_its_matplotlib_backend_after_a_command(tmp_path):
    script = (
        "import os, sys; from minivae.app.cli import main\n"
        "code = main(['data', '--out', sys.argv[1], '-q'])\n"
        "import matplotlib\n"
        "print(code, os.environ['MPLBACKEND'], matplotlib.rcParams['backend'])\n"
    )
    for backend, kept in (("svg", "svg"), ("nonsense", None)):
        words = [sys.executable, "-c", script, str(tmp_path / backend)]
        done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": backend})
        last = done.stdout.splitlines()[-1:]
        assert kept is None or last == [f"0 {backend} {kept}"], done.stderr
        assert (tmp_path / backend / "data.png").exists()


def test_config_stores_the_relative_and_absolute_path_of_the_data(tmp_path):
    run = trained_in(tmp_path / "home")
    stored = json.loads((run / "config.json").read_text())
    assert stored["data"] == "d/x.npz" and stored["image_shape"] == [8, 8]
    absolute = os.path.realpath(tmp_path / "home" / "d" / "x.npz")
    assert stored["data_places"] == {"from_run": "../d/x.npz", "absolute": absolute}
    assert directory.read_config(run) == stored
