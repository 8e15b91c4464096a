"""A run is unchanged after writing and reading, and other files and directories are never changed."""

import json
import os

import numpy as np
import pytest

from minivae import figures, runs
from minivae.runs import directory
from minivae.runs.checkpoint import Saved
from minivae.train import Record
from tests.helpers.numeric import close, random_vae, refused
from tests.helpers.trained import trained

CONFIG = {"data": "digits", "seed": 3, "epochs": 3, "model": {}}


def a_run(path):
    history = [Record(i, *np.random.default_rng(i).normal(size=6).tolist()) for i in (1, 2, 3)]
    return runs.Run(runs.create(path), CONFIG, history, Saved(random_vae(np.random.default_rng(0))))


def test_run_survives_write_and_read(tmp_path):
    run = a_run(tmp_path / "run")
    runs.write(run)
    back = runs.read(tmp_path / "run")
    assert back.config == run.config and back.history == run.history and back.path == run.path
    close(back.vae.params.flat, run.vae.params.flat, rel=0)


def with_sigma(path, *cells):
    """Write a run of three epochs. Only the second epoch has sigma and train_mse; `cells` has these two values."""
    run = a_run(path)
    run.history[1] = run.history[1]._replace(**dict(zip(("sigma", "train_mse"), cells)))
    runs.write(run)
    return run


def test_history_keeps_sigma_and_leaves_missing_cells_empty(tmp_path):
    run = with_sigma(tmp_path, 0.1 + 0.2, 1e-7)
    assert runs.read(tmp_path).history == run.history
    lines = (tmp_path / "history.csv").read_text().splitlines()
    for line, end in zip(lines, (",sigma,train_mse", ",,", f",{0.1 + 0.2},1e-07", ",,"), strict=True):
        assert line.endswith(end)


def test_history_of_an_older_version_has_no_sigma_but_is_readable(tmp_path):
    run = a_run(tmp_path)
    runs.write(run)
    path = tmp_path / "history.csv"
    path.write_text("".join(f"{line.rsplit(',', 2)[0]}\n" for line in path.read_text().splitlines()))
    assert "sigma" not in path.read_text() and runs.read(tmp_path).history == run.history


DAMAGES = [
    (",0.5,0.25", ",0.5,"), (",0.5,0.25", ",0.5,nan"), (",0.5,0.25", ",inf,0.25"), (",0.5,0.25", ",0.5"),
    (",sigma,", ",sigmo,"), (",0.5,", ",much,"),
]  # fmt: skip


@pytest.mark.parametrize("old, new", DAMAGES)
def test_history_with_damaged_sigma_or_squared_error_is_refused(tmp_path, old, new):
    with_sigma(tmp_path, 0.5, 0.25)
    path = tmp_path / "history.csv"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    refused(lambda: runs.read(tmp_path), "RUN", "the directory of a run", "history.csv is damaged", "train")


@pytest.mark.parametrize("column", ["kl", "elbo"])
def test_history_row_that_lacks_only_kl_or_only_elbo_is_refused(tmp_path, column):
    run = a_run(tmp_path)
    run.history[1] = run.history[1]._replace(**{f"test_{column}": None})
    runs.write(run)
    refused(lambda: runs.read(tmp_path), "RUN", "the directory of a run", "history.csv is damaged", "train")


def test_run_is_overwritten_only_on_request(tmp_path):
    runs.write(a_run(tmp_path))
    with pytest.raises(ValueError, match="out must be a new or an empty directory; got .*holds a run.*--overwrite"):
        runs.create(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    runs.create(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_directory_without_run_is_refused_and_unchanged(tmp_path, overwrite):
    (tmp_path / "model.npz").write_text("not ours")
    with pytest.raises(ValueError, match="is not empty"):
        runs.create(tmp_path, overwrite)
    assert (tmp_path / "model.npz").read_text() == "not ours"


def test_file_instead_of_a_run_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="which is a file"):
        runs.create(tmp_path / "file", overwrite=True)
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path / "link", tmp_path / "link" / "run"):
        words = "out must be a directory; got .*link, which is a link to a path that does not exist"
        with pytest.raises(ValueError, match=words):
            runs.create(path)
    assert runs.make_directory(tmp_path / "new" / "one").is_dir()


def test_a_directory_without_a_run_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="RUN must be the directory of a run.*minivae train"):
        runs.read(tmp_path)


# Files of other programs


def test_directory_with_a_foreign_config_is_not_a_run(tmp_path):
    """Other programs may also write a config.json, so this file name does not prove that a directory is a run."""
    for name, text in {"config.json": '{"name": "my app"}', "model.npz": "mine", "cat.png": "mine"}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="is not empty"):
        runs.create(tmp_path, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["cat.png", "config.json", "model.npz"]
    assert runs.listed(tmp_path) == []


def test_overwriting_a_run_removes_only_its_own_files(tmp_path):
    run = a_run(tmp_path)
    runs.write(run)
    for name in (*directory.WRITTEN, ".model.npz.17", "cat.png", ".model.npz.mine", "notes.npz"):
        (tmp_path / name).touch()
    runs.write(run)
    runs.create(tmp_path, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == [".model.npz.mine", "cat.png", "notes.npz"]


@pytest.mark.slow
@pytest.mark.parametrize("latent", [1, 2, 3])
def test_files_deleted_by_overwrite_include_every_figure(latent):
    _, digits, history = trained()
    vae = random_vae(np.random.default_rng(0), features=64, latent=latent)
    history = [record._replace(sigma=1.0, train_mse=0.5) for record in history]
    drawn = figures.all_figures(vae, digits.as_fractions(), history, np.random.default_rng(0))
    assert "sigma_and_error" in drawn
    assert {f"{name}.png" for name in drawn} <= set(directory.WRITTEN)


def test_interrupted_overwriting_can_be_repeated(tmp_path, monkeypatch):
    runs.write(a_run(tmp_path))
    unlink = directory.Path.unlink

    def cut_short(path, missing_ok=False):
        if path.name == "model.npz":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(directory.Path, "unlink", cut_short)
        with pytest.raises(KeyboardInterrupt):
            runs.create(tmp_path, overwrite=True)
    assert runs.create(tmp_path, overwrite=True) == tmp_path and os.listdir(tmp_path) == []


def test_temporary_files_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / ".config.json.4711").write_text("{")
    runs.create(tmp_path)
    assert os.listdir(tmp_path) == []


def test_code_runs_without_a_lock_if_the_system_cannot_lock_directories(tmp_path, monkeypatch):
    def unsupported(*arguments):
        raise OSError(9, "Bad file descriptor")             # as on NFS

    monkeypatch.setattr(directory.fcntl, "flock", unsupported)
    with runs.locked(tmp_path):
        pass
    monkeypatch.setattr(directory, "fcntl", None)
    monkeypatch.setattr(os, "open", unsupported)            # some systems cannot open directories
    with runs.locked(tmp_path):
        pass


# Damaged runs


WITHOUT = [{name: value for name, value in CONFIG.items() if name != left_out} for left_out in CONFIG]
BAD_VALUES = {"data": 5}, {"data": None}, {"seed": "x"}, {"seed": -1}, {"epochs": 2.5}, {"model": []}
OTHERS = [CONFIG | change for change in BAD_VALUES]
BAD_CONFIGS = ["", "{", "[]", "null", "5", '"config"', "[" * 100_000, *map(json.dumps, [{}, *WITHOUT, *OTHERS])]


@pytest.mark.parametrize("text", BAD_CONFIGS)
def test_run_with_damaged_config_is_refused_and_not_listed(tmp_path, text):
    runs.write(a_run(tmp_path / "bad"))
    runs.write(a_run(tmp_path / "good"))
    (tmp_path / "bad" / "config.json").write_text(text)
    refused(lambda: runs.read(tmp_path / "bad"), "RUN", "the directory of a run", "config.json is damaged", "train")
    assert [run.path.name for run in runs.listed(tmp_path)] == ["good"]
    with pytest.raises(ValueError, match="is not empty"):
        runs.create(tmp_path / "bad", overwrite=True)


TWO = "\n2,"
BAD_EPOCHS = [("epoch,", "age,"), (TWO, "\ntwo,"), (TWO, "\n7,"), (TWO, f"\n{'2' * 200_000},"), (TWO, "\n2,1,")]


@pytest.mark.parametrize("old, new", BAD_EPOCHS)
def test_run_with_damaged_history_is_refused_and_not_listed(tmp_path, old, new):
    runs.write(a_run(tmp_path))
    path = tmp_path / "history.csv"
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode(), 1))
    refused(lambda: runs.read(tmp_path), "RUN", "the directory of a run", "history.csv is damaged", "train")
    assert runs.listed(tmp_path) == []


@pytest.mark.parametrize("name", ["config.json", "history.csv", "model.npz"])
def test_run_is_refused_at_once_if_a_file_is_a_pipe(tmp_path, name):
    runs.write(a_run(tmp_path))
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}.*regular file"):
        runs.read(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "history.csv", "model.npz"])
def test_unreadable_run_does_not_hide_other_runs(tmp_path, name):
    for run in "ab":
        runs.write(a_run(tmp_path / run))
    (tmp_path / "a" / name).unlink()
    (tmp_path / "a" / name).mkdir()
    assert [run.path.name for run in runs.listed(tmp_path)] == ["b"]


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"log_px": "abc"}', '{"log_px": NaN}', '{"log_px": true}'])
def test_damaged_results_are_refused(tmp_path, text):
    assert runs.results(tmp_path) == {}
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match="results.json is damaged"):
        runs.results(tmp_path)
