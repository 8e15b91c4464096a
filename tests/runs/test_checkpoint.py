"""A saved model is loaded bit for bit; a damaged or foreign file is refused."""

import json
import os
import tracemalloc

import numpy as np
import pytest

from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.runs import checkpoint, files
from minivae.runs.checkpoint import CheckpointError
from minivae.vae import VAE
from tests.helpers.numeric import random_vae, refused

MODELS = {
    "default": {},
    "float64": {"dtype": np.float64},
    "deep": {"hidden": (5, 4, 3)},
    "linear": {"hidden": ()},
    "autoencoder": {"noise": False, "beta": 0.0},
    "sampled": {"estimator": "sampled", "activation": "relu", "beta": 0.25},
    "binomial": {"likelihood": Binomial(7)},
    "fixed": {"likelihood": Gaussian(0.3)},
    "learned": {"likelihood": Gaussian("learned")},
    "optimal": {"likelihood": Gaussian("optimal")},
}


@pytest.mark.parametrize("name", MODELS)
def test_model_survives_save_and_load_bit_for_bit(tmp_path, name):
    vae = random_vae(np.random.default_rng(0), **{"likelihood": Bernoulli(), **MODELS[name]})
    checkpoint.save(tmp_path / "model.npz", vae)
    back = checkpoint.load(tmp_path / "model.npz")
    assert back.params.flat.tobytes() == vae.params.flat.tobytes() and back.dtype == vae.dtype
    assert back.params.shapes == vae.params.shapes
    assert checkpoint.describe(back) == checkpoint.describe(vae)
    assert back.likelihood == vae.likelihood and back.hidden == vae.hidden and back.noise == vae.noise


def saved(tmp_path, **changes):
    """Save a model, replace some arrays of the file (None: remove the array); return the path of the file."""
    path = tmp_path / "model.npz"
    checkpoint.save(path, random_vae(np.random.default_rng(1), dtype=np.float32))
    with np.load(path) as stored:
        members = {**{name: stored[name] for name in stored.files}, **changes}
    np.savez(path, **{name: array for name, array in members.items() if array is not None})
    return path


def about(tmp_path, **changes):
    with np.load(saved(tmp_path)) as stored:
        document = json.loads(str(stored["about"]))
    document["model"] |= changes.pop("model", {})
    return np.array(json.dumps(document | changes))


@pytest.mark.parametrize(
    "member, array, message",
    [
        ("params/encoder.1.bias", None, "arrays are missing, or do not belong"),
        ("params/extra", np.zeros(3), "arrays are missing, or do not belong"),
        ("params/encoder.1.bias", np.zeros(9, np.float32), r"encoder\.1\.bias must be of shape \(3,\); got \(9,\)"),
        ("params/encoder.1.bias", np.zeros(3, np.float64), r"encoder\.1\.bias must be finite float32"),
        ("params/encoder.1.bias", np.full(3, np.nan, np.float32), r"encoder\.1\.bias must be finite"),
        ("about", None, "not a model written by minivae"),
        ("about", np.array("{}"), "not a model written by minivae"),
        ("about", np.array([1, 2], dtype=object), "not a model written by minivae"),
    ],
)
def test_error_for_a_damaged_model_file_mentions_the_file(tmp_path, member, array, message):
    with pytest.raises(CheckpointError, match=rf"model\.npz: .*{message}"):
        checkpoint.load(saved(tmp_path, **{member: array}))


STATE = {"m": np.zeros(3), "order": np.arange(3)}
# {case: (arrays, numbers, words of the error)}. `save` must refuse these arrays and numbers: they cannot be read back.
NOT_LOADED = {
    "object": ({"m": np.array([1, None])}, {"epoch": 1}, "training/m holds Python objects"),
    "unpicklable": ({"m": np.array([lambda: 0])}, {"epoch": 1}, "training/m holds Python objects"),
    "structured": ({"m": np.zeros(3, "f4,i4")}, {"epoch": 1}, "m: an array of numbers is expected"),
    "complex": ({"m": np.zeros(3, complex)}, {"epoch": 1}, "m: an array of numbers is expected; got dtype '<c16'"),
    "datetime": ({"m": np.zeros(3, "M8[s]")}, {"epoch": 1}, "m: an array of numbers is expected"),
    "bytes": ({"m": np.array([b"x"])}, {"epoch": 1}, "m: an array of numbers is expected"),
    "a name with a directory": ({"../m": np.zeros(3)}, {"epoch": 1}, "plain, different names"),
    "no epoch": (STATE, {"done": 1}, "only a part of the state of a training"),
    "an epoch that is a fraction": (STATE, {"epoch": 1.5}, "only a part of the state of a training"),
    "no numbers": (STATE, None, "only a part of the state of a training"),
    "no arrays": (None, {"epoch": 1}, "only a part of the state of a training"),
    "no JSON": (STATE, {"epoch": np.int64(1)}, "not JSON serializable"),
}


@pytest.mark.parametrize("arrays, numbers, words", NOT_LOADED.values(), ids=NOT_LOADED)
def test_save_refuses_a_state_that_cannot_be_loaded_and_keeps_old_file(tmp_path, arrays, numbers, words):
    path, vae = tmp_path / "model.npz", random_vae(np.random.default_rng(1), dtype=np.float32)
    checkpoint.save(path, vae, STATE, {"epoch": 1})
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"model\.npz: not written, .* earlier file, if any, is unchanged\.") as info:
        checkpoint.save(path, vae, arrays, numbers)
    assert words in str(info.value) and f".{path.name}." not in str(info.value)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.npz"]


def test_save_refuses_a_likelihood_that_minivae_does_not_define(tmp_path):
    class Mine(Bernoulli):
        name = "mine"

    with pytest.raises(CheckpointError, match="not written, .*likelihood must be one of .* got 'mine'"):
        checkpoint.save(tmp_path / "model.npz", VAE.init(np.random.default_rng(0), 4, likelihood=Mine()))
    assert os.listdir(tmp_path) == []


def test_newer_file_format_and_unknown_activation_are_reported(tmp_path):
    with pytest.raises(CheckpointError, match="newer minivae"):
        checkpoint.load(saved(tmp_path, about=about(tmp_path, format=checkpoint.FORMAT + 1)))
    with pytest.raises(CheckpointError, match="activation must be one of relu, tanh; got 'sine'"):
        checkpoint.load(saved(tmp_path, about=about(tmp_path, model={"activation": "sine"})))


@pytest.mark.parametrize("number", [0, -1, 1.5, True, float("nan"), None, "2", [2]])
def test_unknown_format_number_is_refused(tmp_path, number):
    with pytest.raises(CheckpointError, match=r"model\.npz: not a model written by minivae"):
        checkpoint.load(saved(tmp_path, about=about(tmp_path, format=number)))


@pytest.mark.parametrize("training", [[], 0, "x", True, {}, [1], {"epoch": "1"}, {"epoch": None}, {"epoch": 1.0}])
def test_malformed_training_state_is_refused(tmp_path, training):
    path = saved(tmp_path, about=about(tmp_path, training=training), **{"training/m": np.zeros(3)})
    with pytest.raises(CheckpointError, match=r"model\.npz: it has only a part of the state of a training"):
        checkpoint.read(path)


@pytest.mark.parametrize(
    "model",
    [
        {"features": 10**9}, {"features": 10**30}, {"features": 2**32, "hidden": [2**32]}, {"features": "4"},
        {"features": None}, {"hidden": [10**5, 10**5]}, {"hidden": 10**9}, {"hidden": "3"}, {"hidden": [[3]]},
        {"latent": 10**18}, {"latent": 2.0},
        {"likelihood": {"name": "binomial", "n": 0}}, {"likelihood": None}, {"nonsense": 1},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_model_is_refused_without_using_much_memory(tmp_path, model):
    path = saved(tmp_path, about=about(tmp_path, model=model))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"model\.npz: .{,500}$"):
            checkpoint.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a model", None])
def test_file_without_model_is_refused(tmp_path, content):
    path = tmp_path / "model.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.npz"):
        checkpoint.load(path)


def test_truncated_model_file_is_refused(tmp_path):
    whole = saved(tmp_path).read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            checkpoint.load(tmp_path / "cut.npz")


@pytest.mark.parametrize("broken", ["os.fsync", "os.replace"])
def test_failed_write_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path, monkeypatch, broken):
    path = tmp_path / "model.npz"
    checkpoint.save(path, VAE.init(np.random.default_rng(0), 4))
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(broken, fail)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, VAE.init(np.random.default_rng(1), 4))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.npz"]


def test_error_of_a_failed_save_mentions_the_path_and_no_temporary_file(tmp_path):
    path = tmp_path / "nowhere" / "model.npz"
    with pytest.raises(FileNotFoundError) as info:
        checkpoint.save(path, VAE.init(np.random.default_rng(0), 4))
    assert info.value.filename == str(path)


@pytest.mark.parametrize("make, what", [(os.mkdir, "a directory"), (os.mkfifo, "a pipe or a device")])
@pytest.mark.parametrize("linked", [False, True])
def test_save_refuses_to_replace_special_files(tmp_path, make, what, linked):
    path = tmp_path / "there"
    make(path)
    kind = path.lstat().st_mode
    if linked:
        path = tmp_path / "link"
        path.symlink_to("there")
    write = files.write_atomically(path)
    refused(write.__enter__, "the file", "a regular file", f"{str(path)!r}, which is {what}", "Name another")
    refused(lambda: files.must_be_free("x", "new", [path], True), "the file", "a regular file", what, "Name another")
    assert (tmp_path / "there").lstat().st_mode == kind and set(os.listdir(tmp_path)) <= {"there", "link"}


@pytest.mark.parametrize("there", [False, True])
def test_saving_to_a_symbolic_link_writes_its_target_and_keeps_the_link(tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    file, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    file.write_text("before") if there else None
    link.symlink_to(file)
    with files.write_atomically(link, "w") as opened:
        opened.write("after")
    assert link.is_symlink() and file.read_text() == "after" and os.listdir(file.parent) == ["file"]


def test_existing_file_is_replaced_only_with_overwrite(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("nowhere")
    files.must_be_free("--out", "new", [tmp_path / "c"], False)
    for path in (tmp_path / "a", tmp_path / "b"):
        files.must_be_free("--out", "new", [path], True)
        refused(lambda: files.must_be_free("--out", "new", [path], False), "--out", "new", str(path), "Add --overwrite")
