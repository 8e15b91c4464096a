"""Files are read exactly, bad files are refused, and the split is fixed and stratified; its parts do not overlap."""

import gzip
import struct
import time
from importlib import resources

import numpy as np
import pytest

from minivae import checks, data
from minivae.app import cli
from minivae.data import DataError, files, formats
from minivae.data import mnist as mnist_files
from tests.helpers.numeric import refused
from tests.helpers.trained import trained


def test_bundled_digits_are_all_1797_images_of_the_uci_set():
    digits = data.digits()
    assert len(digits.train_x) + len(digits.test_x) == 1797
    both = np.concatenate([digits.train_x, digits.test_x])
    assert both.dtype == np.uint8 and both.min() == 0 and both.max() == 16 and both.shape == (1797, 64)
    assert digits.trials == 16 and digits.image_shape == (8, 8)
    labels = np.concatenate([digits.train_y, digits.test_y])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert f"{len(digits.train_x):,} to train on, {len(digits.test_x)} held out" in data.digits.__doc__


def test_the_bundled_file_states_its_authors_and_licence():
    with resources.files("minivae.data").joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        attribution = str(stored["attribution"])
    for part in ("Alpaydin", "Kaynak", "1998", "CC BY 4.0", "https://"):
        assert part in attribution


def test_the_split_is_stratified_and_the_same_every_time():
    first, second = data.digits(), data.digits()
    assert (first.test_x == second.test_x).all() and (first.train_y == second.train_y).all()
    train, test = np.bincount(first.train_y), np.bincount(first.test_y)
    assert (np.abs(test / (train + test) - 0.2) < 0.01).all()


def test_no_row_is_in_both_training_and_held_out_data():
    x = np.arange(23)[:, None]
    train_x, test_x, _, _ = data.hold_out(x, None)
    assert sorted([*train_x[:, 0], *test_x[:, 0]]) == list(range(23))


def test_counts_as_fractions_are_float32_numbers_from_0_to_1():
    fractions = data.digits().as_fractions()
    assert fractions.train_x.dtype == np.float32 and fractions.trials is None
    assert (fractions.train_x * 16 == data.digits().train_x).all()
    assert fractions.as_fractions() is fractions


@pytest.mark.parametrize("with_labels", [True, False])
def test_npz_npy_and_csv_give_the_same_rows(tmp_path, with_labels):
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 9)), rng.integers(0, 3, 20)
    np.savez(tmp_path / "a.npz", x=x, **({"y": y} if with_labels else {}))
    np.save(tmp_path / "a.npy", x)
    np.savetxt(tmp_path / "a.csv", x, delimiter=",")        # nine columns are not read as pictures of 3x3 pixels
    from_npz, from_npy, from_csv = (data.load(str(tmp_path / f"a.{kind}")) for kind in ("npz", "npy", "csv"))
    assert (from_npy.train_x == from_csv.train_x).all() and (from_npy.test_x == from_csv.test_x).all()
    assert from_npz.image_shape is None and from_npz.name == "a.npz"
    if with_labels:
        assert sorted([*from_npz.train_y, *from_npz.test_y]) == sorted(y)
        labels = {tuple(row): label for row, label in zip(x, y)}
        assert all(labels[tuple(row)] == label for row, label in zip(from_npz.train_x, from_npz.train_y))
    else:
        assert from_npz.train_y is None and (from_npz.train_x == from_npy.train_x).all()


def idx(array, code, axes=None):
    shape = array.shape if axes is None else axes
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + array.tobytes()


@pytest.mark.parametrize("code, dtype", [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_idx_type_is_read_back(tmp_path, code, dtype, pack):
    array = np.arange(60).reshape(5, 3, 4).astype(dtype)
    (tmp_path / "file").write_bytes(pack(idx(array, code)))
    read = formats.read_idx(tmp_path / "file")
    assert read.dtype == dtype and (read == array).all()


def test_mnist_directory_keeps_its_split_and_is_read_as_fractions(tmp_path):
    rng = np.random.default_rng(1)
    images = {part: rng.integers(0, 256, (n, 4, 4), dtype=np.uint8) for part, n in (("train", 6), ("t10k", 3))}
    for part, array in images.items():
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(array, 8)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(len(array), dtype=np.uint8), 8))
    mnist = data.load(str(tmp_path))
    assert mnist.image_shape == (4, 4) and mnist.train_x.dtype == np.float32
    assert (mnist.train_x[:] == images["train"].reshape(6, 16) / np.float32(255)).all()
    assert mnist.train_x.levels.dtype == np.uint8
    assert mnist.test_y.tolist() == [0, 1, 2]
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte.*missing"):
        data.load(str(tmp_path))


# Grey levels as bytes, and random binarization


def test_rows_selected_from_grey_bytes_are_divided_by_255():
    levels = np.random.default_rng(0).integers(0, 256, (50, 7), dtype=np.uint8)
    grey = data.Grey(levels)
    assert grey.levels is levels and len(grey) == 50 and grey.shape == (50, 7)
    for rows in (slice(3, 9), np.array([4, 4, 0])):
        assert grey[rows].dtype == np.float32 and (grey[rows] == levels[rows] / np.float32(255)).all()
    np.testing.assert_allclose(grey.mean(axis=0), (levels / 255).mean(axis=0), rtol=1e-12)


def frequency_error(draw, draws=20_000):
    """Compare the frequency of ones with level / 255, for levels 1 to 254; return the largest error, in standard errors."""
    levels = np.tile(np.arange(256, dtype=np.uint8), (draws, 1))
    p = np.arange(1, 255) / 255
    x = draw(levels)
    assert set(np.unique(x)) == {0, 1} and not x[:, 0].any() and x[:, 255].all()
    return np.abs((x[:, 1:255].mean(axis=0) - p) / np.sqrt(p * (1 - p) / draws)).max()


def test_grey_level_g_becomes_1_with_probability_g_over_255():
    rng = np.random.default_rng(1)
    assert frequency_error(lambda levels: data.Grey(levels).draw(slice(None), rng)) < 5.5   # fails for 1 seed in 1e5
    assert frequency_error(lambda levels: data.draw_binary(levels / np.float32(255), rng)) < 5.5


def test_dividing_grey_levels_by_256_instead_of_255_is_noticed_when_binarizing():
    def biased(levels):                                     # draws 1 with probability level / 256
        u = np.random.default_rng(1).integers(0, 256, levels.shape, dtype=np.uint8)
        return np.where(levels == 255, 1, u < levels)

    assert frequency_error(biased) > 5.5


def test_batches_get_new_binary_draws_but_held_out_rows_do_not(tmp_path):
    for binary in (data.digits().binarized(), data.load(mnist(tmp_path)).binarized()):
        rng = np.random.default_rng(0)
        one, two = (binary.take(np.arange(5), rng) for _ in range(2))
        assert one.dtype == np.float32 and set(np.unique(one)) == {0, 1} and (one != two).any()
        assert set(np.unique(binary.test_x)) == {0, 1} and binary.test_x.dtype == np.float32
    again = data.load(mnist(tmp_path)).binarized()
    assert (again.test_x == binary.test_x).all() and again.trials is None


def test_binarize_refuses_data_outside_0_to_1(tmp_path):
    np.save(tmp_path / "x.npy", np.linspace(-0.5, 1, 60).reshape(20, 3))
    with pytest.raises(ValueError, match="--binarize must be given for fractions 0..1; got values from -0.5 to"):
        data.load(str(tmp_path / "x.npy")).binarized()


@pytest.mark.parametrize("most, kept", [(1, 1), (2, 2), (100, 89), (355, 355), (1000, 355)])
def test_a_limited_held_out_set_has_evenly_spaced_rows_and_their_labels(most, kept):
    digits = data.digits()
    limited = digits.few(most)
    assert len(limited.test_x) == len(limited.test_y) == kept and limited.train_x is digits.train_x
    step = -(-355 // kept)
    assert (limited.test_x == digits.test_x[::step]).all() and (limited.test_y == digits.test_y[::step]).all()


def test_removal_of_the_training_rows_keeps_the_held_out_rows():
    digits = data.digits()
    held_out = digits.without_training()
    assert held_out.train_x.shape == (0, 64) and held_out.train_y is None
    assert held_out.test_x is digits.test_x and held_out.test_y is digits.test_y


NO_IMAGES = np.zeros((0, 4, 4), np.uint8)


def mnist(path, **changed):
    """Write four small MNIST files into the directory `path`; `changed` replaces some of their arrays. Return the path."""
    rng = np.random.default_rng(2)
    images = {
        f"{part}-images-idx3-ubyte": rng.integers(0, 256, (n, 4, 4), dtype=np.uint8)
        for part, n in (("train", 6), ("t10k", 3))
    }
    labels = {f"{part}-labels-idx1-ubyte": np.arange(n, dtype=np.uint8) for part, n in (("train", 6), ("t10k", 3))}
    for name, array in (images | labels | changed).items():
        (path / name).write_bytes(idx(array, 8))
    return str(path)


def test_idx_directory_ignores_a_directory_named_like_a_file(tmp_path):
    """Kaggle's archive has a file train-images.idx3-ubyte beside a directory train-images-idx3-ubyte."""
    source = mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").rename(tmp_path / "train-images.idx3-ubyte")
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    assert len(data.load(source).train_x) == 6


@pytest.mark.parametrize(
    "name, array, message",
    [
        ("train-images-idx3-ubyte", NO_IMAGES, r"train-images-idx3-ubyte: .*got uint8 of shape \(0, 4, 4\)"),
        ("t10k-images-idx3-ubyte", NO_IMAGES, r"t10k-images-idx3-ubyte: .*got uint8 of shape \(0, 4, 4\)"),
        ("t10k-images-idx3-ubyte", np.zeros((3, 2, 8), np.uint8), r"same size.*\(4, 4\).*\(2, 8\)"),
        ("train-labels-idx1-ubyte", np.zeros(5, np.uint8), "every image needs a label; .* 6 images and 5 labels"),
    ],
)
def test_idx_directory_with_empty_or_inconsistent_files_is_refused(tmp_path, name, array, message):
    with pytest.raises(DataError, match=message):
        data.load(mnist(tmp_path, **{name: array}))


def test_error_for_an_unreadable_file_in_an_idx_directory_mentions_the_file(tmp_path, monkeypatch):
    def refusing(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(mnist_files, "read_idx", refusing)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: cannot be read \(Permission denied\)"):
        data.load(mnist(tmp_path))


NOT_WHOLE = [np.full(20, np.nan), np.full(20, np.inf), np.arange(20) / 2, np.full(20, 1e300)]


@pytest.mark.parametrize("y", NOT_WHOLE)
def test_labels_that_are_not_whole_numbers_are_refused(tmp_path, y):
    np.savez(tmp_path / "x.npz", x=np.zeros((20, 2)), y=y)
    with pytest.raises(DataError, match=r"x\.npz: labels y must be whole numbers"):
        data.load(str(tmp_path / "x.npz"))


def test_integer_labels_of_more_than_64_bits_are_refused():
    with pytest.raises(ValueError, match="labels must be whole numbers of 64 bits; got 1180591620717411303424. Number the"):
        checks.class_numbers("labels", [2**70, 1], 2)


def test_classes_too_small_for_held_out_rows_are_reported(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((20, 2)), y=np.arange(20) // 4)
    words = r"a class of at least 5 rows is needed to hold out one row; the largest class has 4 \(number of classes: 5\)"
    with pytest.raises(DataError, match=words):
        data.load(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("encoding, end", [("utf-8", "\n"), ("utf-8-sig", "\r\n")])
def test_csv_written_by_spreadsheets_is_read(tmp_path, encoding, end):
    (tmp_path / "a.csv").write_bytes(end.join(["0,0.5", "1,0.25"] * 5).encode(encoding))
    assert data.load(str(tmp_path / "a.csv")).train_x[:4].tolist() == [[0, 0.5], [1, 0.25]] * 2


def test_file_too_large_for_memory_is_mentioned_in_the_error(tmp_path, monkeypatch):
    def full(path):
        raise MemoryError

    monkeypatch.setattr(files, "read_npy", full)
    np.save(tmp_path / "x.npy", np.zeros((9, 2)))
    with pytest.raises(DataError, match=r"x\.npy: .*memory"):
        data.load(str(tmp_path / "x.npy"))


GOOD = idx(np.zeros((4, 2), np.uint8), 8)
BAD_FILES = {
    "absent.npy": None,
    "empty.idx": b"",
    "page.idx": b"<!DOCTYPE html><html></html>",
    "cut.idx": GOOD[:-1],
    "long.idx": GOOD + b"\0",
    "type.idx": GOOD[:2] + b"\x0a" + GOOD[3:],
    "header.idx": GOOD[:7],
    "lies.idx": idx(np.zeros(4, np.uint8), 8, axes=(2**31, 2**31, 4)),
    "cut.idx.gz": gzip.compress(GOOD)[:-9],
    "crc.idx.gz": gzip.compress(GOOD)[:-8] + b"\0\0\0\0" + gzip.compress(GOOD)[-4:],
    "empty.npy": b"",
    "pickle.npy": b"\x80\x04K\x01.",
    "words.csv": b"a,b\nc,d\n",
    "zip.npz": b"PK\x03\x04",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_error_for_a_missing_or_damaged_file_mentions_the_file(tmp_path, name):
    path = tmp_path / name
    if BAD_FILES[name] is not None:
        path.write_bytes(BAD_FILES[name])
    with pytest.raises(DataError, match=name):
        data.load(str(path))


def test_csv_comment_is_skipped_only_if_it_is_the_whole_line(tmp_path):
    rows = ["0,0.5", "1,0.25"] * 5
    (tmp_path / "a.csv").write_text("\n".join(["# two columns", *rows]))
    assert len(data.load(str(tmp_path / "a.csv")).train_x) == 8
    (tmp_path / "a.csv").write_text("\n".join([*rows, "0,1 # 0.5,0.5"]))
    with pytest.raises(DataError, match=r"a\.csv: line 11 has 3 cells; the first line has 2"):
        data.load(str(tmp_path / "a.csv"))


def test_a_fifth_of_each_class_is_held_out_even_with_many_classes():
    y = np.random.default_rng(0).integers(-3, 4, 200)
    x = np.arange(200)[:, None]
    train_x, test_x, train_y, test_y = data.hold_out(x, y)
    for label in np.unique(y):
        np.testing.assert_array_equal(test_x[test_y == label], x[y == label][4::5])
    assert len(train_x) + len(test_x) == 200 and len(train_y) == len(train_x)
    many = np.repeat(np.arange(200_000), 5)
    began = time.process_time()
    assert len(data.hold_out(many, many)[1]) == 200_000 and time.process_time() - began < 10


@pytest.mark.parametrize("bad", [0, -1, 1.5])
def test_limit_of_held_out_rows_is_at_least_one(bad):
    refused(lambda: data.digits().few(bad), "most", "a whole number >= 1", repr(bad), "Try")


@pytest.mark.parametrize("how", [{"label": 0}, {"label": ""}, {"image": (8, 8)}, {"trials": 8}, {"transpose": True}])
def test_bundled_digits_accept_no_setting_except_their_number_of_trials(how):
    (name,) = how
    refused(lambda: data.load("digits", **how), f"--{name}", "used with --data PATH", "the bundled digits", "Leave it out")
    assert data.load("digits", trials=16, transpose=False).trials == 16


@pytest.mark.parametrize("bad", [None, 5, b"digits"])
def test_load_accepts_only_a_path(bad):
    refused(lambda: data.load(bad), "source", "'digits' or a path", repr(bad), "load()")


def test_data_are_refused_if_their_mean_overflows(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.full((50, 4), 1e308))
    words = ["train", "--data", str(tmp_path / "x.npy"), "--likelihood", "gaussian", "--out", str(tmp_path / "run")]
    assert cli.main(words) == 2 and not (tmp_path / "run").exists()
    printed = capsys.readouterr().err
    assert printed.startswith("minivae: --data must be small enough to have a mean") and printed.count("\n") == 1


def test_csv_file_that_is_a_link_to_a_device_is_refused(tmp_path):
    (tmp_path / "zeros.csv").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"zeros\.csv: a regular file is expected"):
        data.load(str(tmp_path / "zeros.csv"))


def test_object_arrays_are_refused_without_unpickling(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "bomb.npz", x=np.array([Bomb()], dtype=object))
    for name in ("bomb.npy", "bomb.npz"):
        with pytest.raises(DataError, match=name):
            data.load(str(tmp_path / name))


@pytest.mark.parametrize("x, y", [(np.zeros(5), None), (np.zeros((9, 2)), np.zeros(8)), (np.zeros((3, 2)), None)])
def test_arrays_of_wrong_shape_or_with_too_few_rows_are_refused(tmp_path, x, y):
    np.savez(tmp_path / "x.npz", x=x, **({} if y is None else {"y": y}))
    with pytest.raises(DataError, match=r"x\.npz"):
        data.load(str(tmp_path / "x.npz"))


def test_nan_in_a_file_is_refused(tmp_path):
    np.save(tmp_path / "nan.npy", np.full((10, 3), np.nan))
    with pytest.raises(DataError, match=r"nan\.npy: x must be finite; got nan"):
        data.load(str(tmp_path / "nan.npy"))


def test_digits_vary_more_around_the_decoded_mean_than_samples_of_the_model():
    """Divide each squared error by the binomial variance n p (1 - p). Use only pixels with p between 0.05 and 0.95.

    The mean of these ratios is near 1 for samples of the model, but above 2 for the digits.
    """
    vae, digits, _ = trained()
    mu, _ = vae.encode(digits.test_x)
    mean = vae.decode(mu).astype(float)                     # n p
    drawn = vae.sample(np.random.default_rng(0), mu)
    unsure = (0.05 < mean / 16) & (mean / 16 < 0.95)
    spread = [((x - mean) ** 2 / (mean * (1 - mean / 16)))[unsure].mean() for x in (digits.test_x, drawn)]
    assert spread[0] > 2 and abs(spread[1] - 1) < 0.1
