"""A run comes back as it was written, and nothing that is not a run is ever touched."""

import numpy as np
import pytest

from minivae import runs
from minivae.checkpoint import Saved
from minivae.train import Record
from tests.numeric import close, random_vae


def a_run(path):
    history = [Record(i, *np.random.default_rng(i).normal(size=6).tolist()) for i in (1, 2, 3)]
    return runs.Run(runs.create(path), {"data": "digits", "seed": 3}, history, Saved(random_vae(np.random.default_rng(0))))


def test_a_run_comes_back_as_it_was_written(tmp_path):
    run = a_run(tmp_path / "run")
    runs.write(run)
    back = runs.read(tmp_path / "run")
    assert back.config == run.config and back.history == run.history and back.path == run.path
    close(back.vae.params.flat, run.vae.params.flat, rel=0)


def test_a_run_is_not_overwritten_unless_asked(tmp_path):
    runs.write(a_run(tmp_path))
    with pytest.raises(ValueError, match="out must be a new or an empty directory; got .*holds a run.*--overwrite"):
        runs.create(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    runs.create(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_that_is_no_run_is_refused_and_left_alone(tmp_path, overwrite):
    (tmp_path / "model.npz").write_text("not ours")
    with pytest.raises(ValueError, match="is not empty"):
        runs.create(tmp_path, overwrite)
    assert (tmp_path / "model.npz").read_text() == "not ours"


def test_a_file_in_the_place_of_a_run_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="which is a file"):
        runs.create(tmp_path / "file", overwrite=True)


def test_a_directory_without_a_run_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="RUN must be the directory of a run.*minivae train"):
        runs.read(tmp_path)
