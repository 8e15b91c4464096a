"""Common kinds of files: each is read correctly, or refused with a remedy that works if the user types it."""

import gzip
import json
import pickle
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from minivae import data, figures
from minivae.app import cli
from minivae.data import DataError
from minivae.figures.arguments import class_names, classes_of, shown
from minivae.likelihood import Gaussian
from minivae.train import train
from minivae.vae import VAE
from tests.helpers.samples import csv_of, idx, pictures, write
from tests.helpers.trained import end_quickly

RNG = np.random.default_rng(5)
GREY, Y = pictures(), np.arange(40) % 2                     # GREY: bytes, (40, 8, 8)
FLAT, TABLE = GREY.reshape(40, 64), RNG.random((40, 9)).round(3)
NAMES = np.where(Y, "cat", "a dog")
PIXELS = [f"pixel{i}" for i in range(64)]


def savez(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def save(path, array):
    np.save(path, array)
    return str(path)


def mnist(path, prefix="", **left_out):
    """Write the IDX files of the training and test part, except those named in `left_out`."""
    for part, n in (("train", 30), ("test" if prefix else "t10k", 10)):
        for kind, array in (("images", GREY[:n]), ("labels", (1 + Y[:n]).astype(np.uint8))):
            if f"{part}_{kind}" not in left_out:
                axes = array.ndim
                write(path / f"{prefix}{part}-{kind}-idx{axes}-ubyte.gz", idx(array))
    return str(path)


# For each kind of file that minivae reads: a function that writes the file, arguments of `data.load`, and the expected
# result: numbers of training rows, held-out rows, features and classes, shape of a picture, meaning of the values.
WHITE, COUNTS = "grey levels of bytes, divided by 255", "counts of 6 trials"
KAGGLE = csv_of(FLAT, header=["label", *PIXELS], label=Y)
READ = {
    "keras npz": (lambda p: savez(p / "a.npz", x_train=GREY[:30], y_train=Y[:30], x_test=GREY[30:], y_test=Y[30:]), {},
                  (30, 10, 64, 2, (8, 8), WHITE)),
    "medmnist npz": (lambda p: savez(p / "a.npz", train_images=GREY[:20], val_images=GREY[:5], test_images=GREY[:9],
                                     train_labels=Y[:20, None], val_labels=Y[:5, None], test_labels=Y[:9, None]), {},
                     (20, 9, 64, 2, (8, 8), WHITE)),
    "kmnist npz": (lambda p: savez(p / "a.npz", arr_0=GREY), {}, (32, 8, 64, None, (8, 8), WHITE)),
    "X and y": (lambda p: savez(p / "a.npz", X=TABLE, y=Y), {}, (32, 8, 9, 2, None, "fractions")),
    "images and labels": (lambda p: savez(p / "a.npz", images=GREY, labels=Y), {}, (32, 8, 64, 2, (8, 8), WHITE)),
    "data and target": (lambda p: savez(p / "a.npz", data=TABLE, target=Y), {}, (32, 8, 9, 2, None, "fractions")),
    "one array of any name": (lambda p: savez(p / "a.npz", spectra=TABLE), {}, (32, 8, 9, None, None, "fractions")),
    "XTrain": (lambda p: savez(p / "a.npz", XTrain=TABLE, XTest=TABLE[:5]), {}, (40, 5, 9, None, None, "fractions")),
    "test part beside x, y": (lambda p: savez(p / "a.npz", x=TABLE, y=Y, x_test=TABLE[:7], y_test=Y[:7]), {},
                              (40, 7, 9, 2, None, "fractions")),
    "train part alone": (lambda p: savez(p / "a.npz", x_train=GREY, y_train=Y), {}, (32, 8, 64, 2, (8, 8), WHITE)),
    "labels by name": (lambda p: savez(p / "a.npz", x=TABLE, fine=NAMES),
        {"label": "fine"}, (32, 8, 9, 2, None, "fractions")),
    "labels by name, train part": (lambda p: savez(p / "a.npz", x_train=TABLE, fine=NAMES), {"label": "fine"},
                                   (32, 8, 9, 2, None, "fractions")),
    "labels by name beside y_train": (lambda p: savez(p / "a.npz", x_train=TABLE, y_train=np.arange(40) % 5, fine=NAMES),
                                      {"label": "fine"}, (32, 8, 9, 2, None, "fractions")),
    "bytes npy": (lambda p: save(p / "a.npy", GREY), {}, (32, 8, 64, None, (8, 8), WHITE)),
    "flat bytes npy": (lambda p: save(p / "a.npy", FLAT), {}, (32, 8, 64, None, (8, 8), WHITE)),
    "bytes of 0 and 1": (lambda p: save(p / "a.npy", FLAT // 128), {}, (32, 8, 64, None, (8, 8), "zeros and ones")),
    "bytes as int64": (lambda p: save(p / "a.npy", GREY.astype(int)), {}, (32, 8, 64, None, (8, 8), WHITE)),
    "bytes as floats": (lambda p: save(p / "a.npy", FLAT.astype(float)), {}, (32, 8, 64, None, (8, 8), WHITE)),
    "axis of length one last": (lambda p: save(p / "a.npy", GREY[..., None]), {}, (32, 8, 64, None, (8, 8), WHITE)),
    "axis of length one first": (lambda p: save(p / "a.npy", GREY[:, None]), {}, (32, 8, 64, None, (8, 8), WHITE)),
    "flat and an axis": (lambda p: save(p / "a.npy", TABLE[..., None]), {}, (32, 8, 9, None, None, "fractions")),
    "an extra axis": (lambda p: save(p / "a.npy", TABLE[:, None]), {}, (32, 8, 9, None, None, "fractions")),
    "table of 16 columns": (lambda p: save(p / "a.npy", RNG.random((20, 16))), {}, (16, 4, 16, None, None, "fractions")),
    "shape by the user": (lambda p: save(p / "a.npy", RNG.random((20, 60))), {"image": "6x10"},
                          (16, 4, 60, None, (6, 10), "fractions")),
    "shape makes grey": (lambda p: write(p / "a.csv", csv_of(FLAT[:, :24])), {"image": "4x6"},
                         (32, 8, 24, None, (4, 6), WHITE)),
    "counts": (lambda p: save(p / "a.npy", np.arange(30).reshape(10, 3) % 6), {"trials": 6}, (8, 2, 3, None, None, COUNTS)),
    "kaggle csv": (lambda p: write(p / "train.csv", KAGGLE), {"label": "label"}, (32, 8, 64, 2, (8, 8), WHITE)),
    "kaggle csv.gz": (lambda p: write(p / "train.csv.gz", KAGGLE), {"label": "label"}, (32, 8, 64, 2, (8, 8), WHITE)),
    "no header, label first": (lambda p: write(p / "a.csv", csv_of(FLAT, label=Y)), {"label": 0},
                               (32, 8, 64, 2, (8, 8), WHITE)),
    "16 pixels by their names": (lambda p: write(p / "a.csv", csv_of(FLAT[:, :16], header=[f"{i}x{j}" for i in range(4)
                                 for j in range(4)])), {}, (32, 8, 16, None, (4, 4), WHITE)),
    "iris": (lambda p: write(p / "iris.csv", csv_of(TABLE, header=[*"abcdefghi", "species"], label=NAMES, at=-1)),
             {"label": "species"}, (32, 8, 9, 2, None, "fractions")),
    "iris.data": (lambda p: write(p / "iris.data", csv_of(TABLE, label=NAMES, at=-1)), {"label": -1},
                  (32, 8, 9, 2, None, "fractions")),
    "label inside": (lambda p: write(p / "a.csv", csv_of(TABLE, label=NAMES, at=4)), {"label": 4},
                     (32, 8, 9, 2, None, "fractions")),
    "semicolons": (lambda p: write(p / "a.csv", csv_of(TABLE, ";")),
        {"delimiter": ";"}, (32, 8, 9, None, None, "fractions")),
    "tsv with header": (lambda p: write(p / "a.tsv", csv_of(TABLE, "\t", list("abcdefghi"))), {},
                        (32, 8, 9, None, None, "fractions")),
    "tsv.gz": (lambda p: write(p / "a.tsv.gz", csv_of(TABLE, "\t")), {}, (32, 8, 9, None, None, "fractions")),
    "blanks": (lambda p: write(p / "a.amat", csv_of(TABLE, "   ")),
        {"delimiter": "space"}, (32, 8, 9, None, None, "fractions")),
    "Windows": (lambda p: write(p / "a.csv", "\ufeff" + csv_of(TABLE, header=list("abcdefghi"), end="\r\n")), {},
                (32, 8, 9, None, None, "fractions")),
    "quoted": (lambda p: write(p / "a.csv", '"x","y"\n' + '"0.5",1\n' * 9), {}, (8, 1, 2, None, None, "fractions")),
    "one IDX file": (lambda p: write(p / "apple.idx", idx(GREY)), {}, (32, 8, 64, None, (8, 8), WHITE)),
    "one IDX file of MNIST": (lambda p: write(p / "train-images-idx3-ubyte.gz", idx(GREY)), {},
                              (32, 8, 64, None, (8, 8), WHITE)),
    "emnist by directory": (lambda p: mnist(p, "emnist-letters-"), {}, (30, 10, 64, 2, (8, 8), WHITE)),
    "emnist by prefix": (lambda p: mnist(p, "emnist-letters-") + mnist(p, "emnist-digits-")[:0] + "/emnist-letters", {},
                         (30, 10, 64, 2, (8, 8), WHITE)),
    "train files alone": (lambda p: mnist(p, t10k_images=1, t10k_labels=1), {}, (24, 6, 64, 2, (8, 8), WHITE)),
    "pictures alone": (lambda p: mnist(p, train_labels=1, t10k_labels=1), {}, (30, 10, 64, None, (8, 8), WHITE)),
    "npy of another name": (lambda p: (np.save(p / "x.npy", TABLE), str((p / "x.npy").rename(p / "features")))[1], {},
                            (32, 8, 9, None, None, "fractions")),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_file_in_a_public_format_is_interpreted_correctly(kind, tmp_path):
    make, how, expected = READ[kind]
    read = data.load(make(tmp_path), **how)
    about = read.about
    classes = None if about.classes is None else len(about.classes)
    assert (about.train, about.held_out, about.features, classes, about.image_shape, about.taken_for) == expected
    assert (len(read.train_x), len(read.test_x)) == expected[:2] and read.train_x.shape[1] == expected[2]
    assert isinstance(read.train_x, data.Grey) == (expected[-1] == WHITE)
    part = f"{expected[0]:,} rows to train on, {expected[1]:,} held out"
    assert part in about.line() and "\n" not in about.line() and json.dumps(about.document())


# For each kind of file that is refused: a function that writes the file, arguments of `data.load`, and a pattern that the
# error message must match.
H5, SPARSE = b"\x89HDF\r\n\x1a\n" + bytes(99), dict(indices=[0], indptr=[0, 1], shape=[1, 1], data=[1.0], format=b"csr")
REFUSED = {
    "text column": (lambda p: write(p / "a.csv", csv_of(TABLE, header=[*"abcdefghi", "kind"], label=NAMES, at=-1)), {},
                    "column 'kind' holds text, 'a dog'.*--label kind"),
    "text column, no header": (lambda p: write(p / "a.csv", csv_of(TABLE, label=NAMES)),
        {}, "column 0 holds text.*--label 0"),
    "unknown column": (lambda p: write(p / "a.csv", "a,b\n1,2\n"), {"label": "c"}, "--label c is not one of.*a, b"),
    "only column by name": (lambda p: write(p / "a.csv", "y\n0\n1\n"), {"label": "y"}, "only one column.*no column is left"),
    "only column by number": (lambda p: write(p / "a.csv", "0\n1\n"), {"label": 0}, "only one column.*no column is left"),
    "semicolons": (lambda p: write(p / "a.csv", csv_of(TABLE, ";")), {}, "semicolons, not commas. Add --delimiter ';'"),
    "tabs": (lambda p: write(p / "a.csv", csv_of(TABLE, "\t")), {}, "tabs, not commas. Add --delimiter tab"),
    "commas in a tsv": (lambda p: write(p / "a.tsv", csv_of(TABLE)), {}, "commas, not tabs. Add --delimiter ,"),
    "blanks": (lambda p: write(p / "a.amat", csv_of(TABLE, " ")), {}, "blanks, not commas. Add --delimiter space"),
    "decimal commas": (lambda p: write(p / "a.csv", csv_of(TABLE, ";").replace(".", ",")), {"delimiter": ";"},
                       "decimal comma. Write points instead: tr , ."),
    "empty file": (lambda p: write(p / "a.csv", ""), {}, "the file is empty"),
    "empty file, packed": (lambda p: write(p / "a.csv.gz", ""), {}, "the file is empty"),
    "comments alone": (lambda p: write(p / "a.csv", "# nothing\n\n"), {}, "the file is empty"),
    "header alone": (lambda p: write(p / "a.csv", "a,b\n"), {}, "a header, but no row below it"),
    "one row": (lambda p: write(p / "a.csv", "1,0\n"), {}, "at least 5 rows"),
    "missing number": (lambda p: write(p / "a.csv", "a,b\n1,0\n,1\n"), {}, "line 3: column 'a' is empty: a missing number"),
    "NA": (lambda p: write(p / "a.csv", "a,b\n1,0\n1,NA\n"), {}, "line 3: column 'b' is 'NA': a missing number"),
    "ragged": (lambda p: write(p / "a.csv", "1,0\n1,1,1\n"), {}, "line 2 has 3 cells; the first line has 2"),
    "missing label": (lambda p: write(p / "a.csv", "a,1\nb,0\n,1\n"), {"label": 0}, "line 3: its label is missing"),
    "latin1": (lambda p: write(p / "a.csv", "größe,b\n1,0\n".encode("latin1")), {}, "not in UTF-8.*iconv -f latin1"),
    "utf-16": (lambda p: write(p / "a.csv", "a,b\n1,0\n".encode("utf-16")), {}, "UTF-16.*iconv -f utf-16"),
    "damaged gz": (lambda p: (write(p / "b.gz", KAGGLE), write(p / "a.csv.gz2", (p / "b.gz").read_bytes()[:-4]),
                              str((p / "a.csv.gz2").rename(p / "a.csv.gz")))[-1], {"label": 0}, "gzip stream is cut short"),
    "unknown names": (lambda p: savez(p / "a.npz", first=TABLE, second=Y),
        {}, r"np\.savez\('a-converted.npz', x=a\['first'\]"),
    "pickled labels": (lambda p: savez(p / "a.npz", x=TABLE, y=NAMES.astype(object)), {}, r"pickled.*y\.astype\(str\)"),
    "colours last": (lambda p: save(p / "a.npy", np.stack([GREY] * 3, -1)), {}, r"three colours.*x\.mean\(-1\) / 255"),
    "colours first": (lambda p: save(p / "a.npy", np.stack([GREY] * 3, 1)), {}, r"three colours.*x\.mean\(1\) / 255"),
    "one axis": (lambda p: save(p / "a.npy", TABLE[0]), {}, r"x\[:, None\]"),
    "labels of two kinds": (lambda p: savez(p / "a.npz", x=TABLE, y=np.ones((40, 3))), {}, r"not one-hot. .*y\[:, 0\]"),
    "too few labels": (lambda p: savez(p / "a.npz", x=TABLE, y=Y[:-1]), {}, r"shape \(40,\), one for each row"),
    "labels of one row": (lambda p: savez(p / "a.npz", x=TABLE, y=Y[None]),
        {}, r"labels y must be of shape \(40,\).*\(1, 40\)"),
    "fractions as text labels": (lambda p: write(p / "a.csv", csv_of(TABLE)),
        {"label": 0}, "labels y must be whole.*fractions"),
    "no columns": (lambda p: save(p / "a.npy", np.zeros((9, 0))), {}, "x must be non-empty"),
    "labels of the test part alone": (lambda p: savez(p / "a.npz", x_train=TABLE, x_test=TABLE, y_test=Y),
        {}, "both the training and the test rows need labels"),
    "hdf5": (lambda p: write(p / "a.h5", H5), {}, "HDF5.*h5py.File"),
    "matlab": (lambda p: write(p / "a.mat", b"MATLAB 5.0 MAT-file" + bytes(150)), {}, "MATLAB.*loadmat"),
    "pickle": (lambda p: write(p / "a.pkl", pickle.dumps({"x": 1})),
        {}, "a pickle, which can run any code.*only if you trust"),
    "packed pickle": (lambda p: write(p / "mnist.pkl.gz", pickle.dumps([1])), {}, "a pickle.*gzip"),
    "pickle named npy": (lambda p: write(p / "a.npy", pickle.dumps([1])), {}, "a pickle"),
    "libsvm": (lambda p: write(p / "a.libsvm", "1 3:0.5 7:1\n-1 2:1\n"), {}, "LIBSVM.*load_svmlight_file"),
    "sparse npz": (lambda p: savez(p / "a.npz", **SPARSE), {}, "sparse matrix of SciPy.*load_npz"),
    "web page": (lambda p: write(p / "train.gz", "<!DOCTYPE html><html>"), {}, "a web page: the download failed"),
    "arff": (lambda p: write(p / "a.arff", "% c\n@relation iris\n@data\n1,2\n"), {}, "ARFF.*grep -v"),
    "json": (lambda p: write(p / "a.json", "[[1, 0], [0, 1]]"), {}, "JSON.*json.load"),
    "wrong shape": (lambda p: save(p / "a.npy", TABLE), {"image": "2x4"}, "image must be a shape of 9 pixels.*--image 3x3"),
    "transposed table": (lambda p: save(p / "a.npy", TABLE),
        {"transpose": True}, "transpose must be used with pictures.*--image"),
    "too few trials": (lambda p: save(p / "a.npy", FLAT // 10), {"trials": 6}, "trials must be at least.*--trials 23"),
    "several sets": (lambda p: mnist(p, "emnist-letters-") and mnist(p, "emnist-digits-"),
        {}, "several sets.*emnist-digits"),
    "labels of one part": (lambda p: mnist(p, t10k_labels=1), {}, "t10k-labels-idx1-ubyte.*missing"),
    "test files alone": (lambda p: mnist(p, train_images=1, train_labels=1),
        {}, "train-images-idx3.*missing.*--data .*t10k-images"),
    "IDX labels": (lambda p: write(p / "train-labels-idx1-ubyte", idx(Y.astype(np.uint8))), {}, "like a file of labels"),
    "other directory": (lambda p: savez(p / "a.npz", x=TABLE) and str(p), {}, r"--data .*a\.npz"),
    "two text columns": (lambda p: write(p / "a.csv", "a,kind,colour\n" + "0,cat,red\n1,dog,red\n" * 9), {},
                         "'kind', 'colour' hold text.*add --label kind, .*cut -d, -f1-2 < "),
    "text beside the labels": (lambda p: write(p / "a.csv", "0,cat,red\n1,dog,red\n" * 9), {"label": 2},
                               "With --label 1, leave it out: cut -d, -f1,3 < "),
    "another case": (lambda p: write(p / "a.csv", "a,Kind\n" + "0,cat\n1,dog\n" * 9), {"label": "kind"},
                     "Write --label Kind"),
    "units": (lambda p: write(p / "a.csv", "a,b\nkg,m\n" + "0,1\n" * 9), {}, "such as 'kg'. Is it a unit.*sed 2d < "),
    "true and false": (lambda p: write(p / "a.csv", "a,b\n" + "True,1\nFalse,0\n" * 9), {}, "write 1 and 0: sed -E"),
    "per cent": (lambda p: write(p / "a.csv", "a,b\n" + "15%,1\n" * 9), {}, "tr -d % < "),
    "thousands": (lambda p: write(p / "a.csv", 'a,b\n"1,234",1\n"2,345",0\n'), {}, "read_csv.*thousands=','"),
    "ends": (lambda p: write(p / "a.csv", csv_of(TABLE).replace("\n", ",\n")), {},
             "ends with a separator.*sed 's/,[$]//' < "),
    "no such array": (lambda p: savez(p / "a.npz", x=TABLE, y=Y), {"label": "kind"}, "labels are in y. Leave --label out"),
    "label beside IDX labels": (lambda p: mnist(p), {"label": "0"}, "--label is for columns of a table.*Leave --label out"),
    "fractions as labels": (lambda p: savez(p / "a.npz", x=TABLE, y=TABLE[:, 0]),
        {}, r"fractions.*np\.savez\('a-converted.npz', x=a\['x'\]\)"),
    "every row a class": (lambda p: savez(p / "a.npz", x=TABLE, y=range(40)),
        {}, r"largest class has 1 \(number of classes: 40\).*Without labels"),
    "missing labels": (lambda p: savez(p / "a.npz", x=TABLE, y=np.where(Y, np.nan, 1)), {}, "missing labels .nan"),
    "colours and opacity": (lambda p: save(p / "a.npy", np.stack([GREY] * 4, -1)), {}, r"x\[\.\.\., :3\]\.mean\(-1\)"),
    "one row of pictures": (lambda p: save(p / "a.npy", GREY[None]), {}, r"Write x\[0\]"),
    "feather": (lambda p: write(p / "a.feather", b"ARROW1" + bytes(9)), {}, "Feather.*read_feather"),
    "tiff": (lambda p: write(p / "a.tif", b"II*\0" + bytes(9)), {}, "one picture"),
    "matrix market": (lambda p: write(p / "a.mtx", "%%MatrixMarket matrix\n"), {}, "Matrix Market.*mmread"),
    "fits": (lambda p: write(p / "a.fits", "SIMPLE  =  T"), {}, "FITS.*astropy"),
    "r": (lambda p: write(p / "a.rds.gz", b"X\n\0\0\0\3"), {}, "data of R.*in R:"),
    "records": (lambda p: write(p / "a.jsonl", '{"a": 1}\n{"a": 2}\n'), {}, "JSON with names.*lines=True"),
    "unknown": (lambda p: write(p / "a.bin", bytes(range(1, 99))), {}, "kind is not recognised.*These are read"),
    "delimiter": (lambda p: write(p / "a.csv", "1,2\n"), {"delimiter": "1"}, "delimiter must be one character"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_unreadable_kind_of_file_is_refused_with_a_remedy(kind, tmp_path, monkeypatch):
    make, how, words = REFUSED[kind]
    monkeypatch.setattr(pickle, "loads", None)
    path = make(tmp_path)
    with pytest.raises(ValueError) as refused:
        data.load(path, **how)
    assert re.search(words, str(refused.value), re.DOTALL), str(refused.value)
    if kind != "delimiter":                                 # a wrong delimiter is refused before the file is opened
        assert isinstance(refused.value, DataError) and str(tmp_path) in str(refused.value)


# Labels


@pytest.mark.parametrize(
    "y, numbers, names",
    [
        (NAMES, Y, ("a dog", "cat")),
        (Y[:, None], Y, None),
        (np.eye(2)[Y], Y, None),
        (np.eye(2, dtype=bool)[Y], Y, None),
        (2 * Y - 1, 2 * Y - 1, None),
        (Y * 1000 - 7, Y * 1000 - 7, None),
        (Y.astype(float), Y, None),
        (Y.astype(str), Y, None),
        (np.char.add(Y.astype(str), ".0"), Y, None),
        (Y.astype(bool), Y, None),
        (np.arange(40) % 5 * 10 + 10, np.arange(40) % 5 * 10 + 10, None),
    ],
)
def test_labels_of_every_kind_are_accepted(y, numbers, names, tmp_path):
    read = data.load(savez(tmp_path / "a.npz", x=np.arange(40.0)[:, None] * [1, 2], y=y))
    assert (read.train_y == numbers[read.train_x[:, 0].astype(int)]).all() and read.classes == names
    assert (read.test_y == numbers[read.test_x[:, 0].astype(int)]).all() and read.train_y.dtype.kind in "ui"
    assert len(read.about.classes) == len(np.unique(numbers))


def test_equal_text_labels_have_equal_numbers_in_training_and_test_data(tmp_path):
    read = data.load(savez(tmp_path / "a.npz", x=TABLE, y=NAMES, x_test=TABLE[:3], y_test=["cat", "cat", "emu"]))
    assert read.classes == ("a dog", "cat", "emu") and read.test_y.tolist() == [1, 1, 2] and set(read.train_y) == {0, 1}


# Warnings


@pytest.mark.parametrize(
    "content, warned",
    [
        (csv_of(FLAT, label=Y), "the first column looks like 2 classes.*--label 0"),
        (csv_of(FLAT, label=Y, at=-1), "the last column looks like 2 classes.*--label 64"),
        (csv_of(TABLE, header=[*"abcdefghi", "target"], label=Y, at=-1), "the last column looks like.*--label target"),
        (csv_of(TABLE, label=range(40)), "the first column counts the rows, 0 to 39.*: cut -d, -f2-10 < "),
        (csv_of(TABLE, ";", label=range(7, 47)), "counts the rows, 7 to 46.*: cut -d';' -f2-10 < "),
        (csv_of(TABLE, header=[*"ab", "class", *"cdefghi"], label=Y, at=2), "column 2 looks like 2 classes.*--label class"),
        ("1999,2000,2001\n" + csv_of(TABLE[:, :3]), "line 1 is 1999, 2000, 2001, ...: a header"),
        (csv_of(TABLE, header=["", *"abcdefghi"], label=range(1, 41)), "the first column counts the rows, 1 to 40"),
        ("0,1,2\n" + csv_of(TABLE[:, :3]), "line 1 is 0, 1, 2, ...: a header.*sed 1d"),
        (csv_of(TABLE), None),
        (csv_of(FLAT), None),
        (csv_of(TABLE, label=Y), None),
    ],
)
def test_suspicious_column_or_header_gives_a_warning(content, warned, tmp_path):
    how = {"delimiter": ";"} if ";" in content else {}
    notes = data.load(write(tmp_path / "a.csv", content), **how).about.notes
    assert re.search(warned, notes[0]) if warned else notes == ()


def test_index_column_next_to_a_label_column_also_gives_a_warning(tmp_path):
    rows = np.column_stack([range(1, 41), Y, TABLE])
    path = write(tmp_path / "a.csv", csv_of(rows, header=["Id", "label", *"abcdefghi"]))
    counted, classes = data.load(path).about.notes
    assert "counts the rows" in counted and "column 1 looks like 2 classes" in classes and "--label label" in classes
    for label in ("label", 1):
        assert [note[:33] for note in data.load(path, label=label).about.notes] == [counted[:33]]


def test_message_for_a_missing_file_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write(tmp_path / "a.csv", csv_of(TABLE))
    for source, words in (("https://a.org/b.csv", "curl -LO https://a.org/b.csv"), ("~/a.csv", f"Write --data {path}"),
                          ("mnist", "the bundled digits"), ("no/a.csv", "Is the path right?"),
                          ("", "an empty text")):           # fmt: skip
        with pytest.raises(ValueError, match=re.escape(words)):
            data.load(source)


def test_excel_line_that_states_the_separator_is_skipped(tmp_path):
    path = write(tmp_path / "a.csv", "sep=;\n" + csv_of(TABLE, ";", header=list("abcdefghi")))
    assert data.load(path, delimiter=";").train_x.shape == (32, 9)


def test_transpose_swaps_height_and_width_of_pictures(tmp_path):
    x = pictures(20, 6, 9)
    read = data.load(save(tmp_path / "a.npy", x), transpose=True)
    assert read.image_shape == (9, 6) and (read.train_x.levels[0].reshape(9, 6) == x[0].T).all()
    assert "pictures 9x6, transposed" in read.about.line()
    flat = data.load(save(tmp_path / "a.npy", x.reshape(20, -1) / 255), transpose=True, image=(6, 9))
    np.testing.assert_allclose(flat.train_x[0].reshape(9, 6), x[0].T / 255)


# The commands `data`, `train` and `plot`


def run(words, capsys):
    code = cli.main(words)
    return code, capsys.readouterr()


@pytest.mark.slow
def test_data_command_prints_what_it_reads_and_draws_a_sheet_of_samples(tmp_path, capsys):
    for make, options in ((READ["kaggle csv"][0], ["--label", "label"]), (READ["one array of any name"][0], [])):
        words = ["data", make(tmp_path), *options, "--out", str(sheet := tmp_path / f"of{len(options)}")]
        code, printed = run(words, capsys)
        assert code == 0 and "32 rows to train on, 8 held out" in printed.out
        assert run(words, capsys)[0] == 2                   # refused: the sheet exists, and --overwrite is missing
        document = json.loads(run([*words, "--overwrite", "--json"], capsys)[1].out)
        assert document["train"] == 32 and document["files"][0]["alt"] and document["line"].startswith("read ")
        assert list(sheet.iterdir()) == [sheet / "data.png"]


@pytest.mark.slow
def test_saved_run_contains_the_options_with_which_its_data_were_read(tmp_path, capsys, monkeypatch):
    end_quickly(monkeypatch)
    path, out = write(tmp_path / "a.csv", csv_of(TABLE, ";", label=NAMES)), str(tmp_path / "run")
    words = ["train", "--data", path, "--delimiter", ";", "--label", "0", "--image", "3x3", "--epochs", "1", "--hidden", "4"]
    code, printed = run([*words, "--out", out, "--json"], capsys)
    document = json.loads(printed.out)
    assert code == 0 and document["read"]["image_shape"] == [3, 3] and document["read"]["classes"] == ["a dog", "cat"]
    assert "read a.csv: 32 rows to train on" in printed.err
    again = cli.make_parser().parse_args(shlex.split(document["command"])[1:])
    assert (again.delimiter, again.label, again.image) == (";", "0", "3x3")
    assert run(["plot", out], capsys)[0] == 0
    assert run(["train", "--resume", out, "--epochs", "2", "-q"], capsys)[0] == 0
    config = json.loads(Path(out, "config.json").read_text())
    Path(out, "config.json").write_text(json.dumps(config | {"reading": {"label": [1]}}))
    assert run(["plot", out], capsys)[0] == 2


@pytest.mark.slow
def test_run_of_an_older_version_reads_its_data_as_before(tmp_path, capsys, monkeypatch):
    end_quickly(monkeypatch)
    path, out = save(tmp_path / "a.npy", FLAT.astype(float)), str(tmp_path / "run")
    monkeypatch.setattr("minivae.data.meaning.is_grey", lambda parts, raw, how: False)
    assert run(["train", "--data", path, "--likelihood", "gaussian", "--epochs", "1", "--out", out, "-q"], capsys)[0] == 0
    config = json.loads(Path(out, "config.json").read_text())
    del config["reading"]
    Path(out, "config.json").write_text(json.dumps(config))
    monkeypatch.undo()
    end_quickly(monkeypatch)
    assert run(["plot", out], capsys)[0] == 0


TYPED = [("--hidden 0", "--hidden 128"), ("--latent 0", "--latent 1"), ("--epochs 0", "--epochs 1"),
         ("--image 0x8", "--image 28x28"), ("--save-every 0", "--save-every 1")]


@pytest.mark.parametrize("wrong, typed", TYPED)
def test_remedy_for_a_bad_option_is_a_valid_option(wrong, typed, tmp_path, capsys):
    code, printed = run(["train", *wrong.split(), "--out", str(tmp_path / "no")], capsys)
    assert code == 2 and re.search(f"(Try|Write) {typed}[.]", printed.err) and wrong.split()[0] in printed.err


def test_refusal_of_a_table_mentions_the_label_column(tmp_path, capsys):
    path = write(tmp_path / "a.csv", KAGGLE)
    code, printed = run(["train", "--data", path, "--out", str(tmp_path / "no")], capsys)
    assert code == 2 and "--label label" in printed.err and printed.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["hdf5", "pickle", "libsvm", "sparse npz", "json"])
def test_conversion_code_in_an_error_message_is_valid_python(kind, tmp_path):
    with pytest.raises(DataError) as refused:
        data.load(REFUSED[kind][0](tmp_path))
    lines = [line.strip() for line in str(refused.value).split("\n")[1:]]
    assert len(lines) == 2 and compile("\n".join(lines), kind, "exec")


def test_conversion_code_in_an_error_message_writes_a_readable_file(tmp_path):
    for make in (lambda p: write(p / "a.json", json.dumps(TABLE.tolist())), REFUSED["unknown names"][0]):
        with pytest.raises(DataError) as refused:
            data.load(make(tmp_path))
        lines = [line.strip() for line in re.split("[Ii]n Python:", str(refused.value))[1].split("\n")]
        subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, check=True)
    assert {file.name for file in tmp_path.glob("a-converted*")} == {"a-converted.npy", "a-converted.npz"}
    for file in tmp_path.glob("a-converted*"):
        assert len(data.load(str(file)).train_x) == 32


# The library


class Frame:
    """Imitation of pandas' DataFrame, with only the methods that these tests need."""

    def __init__(self, **columns):
        self.columns, self.held = list(columns), list(map(np.asarray, columns.values()))
        self.dtypes, self.shape = [column.dtype for column in self.held], (len(self.held[0]), len(self.held))

    def __array__(self, dtype=None, copy=None):
        kinds = {column.dtype.kind for column in self.held}
        return np.stack([column.astype(object if kinds & {"U", "O"} else float) for column in self.held], axis=1)

    def __getitem__(self, name):
        return self.held[self.columns.index(name)]

    def drop(self, columns):
        return Frame(**{name: column for name, column in zip(self.columns, self.held) if name not in columns})

    def select_dtypes(self, kind):
        return Frame(**{name: column for name, column in zip(self.columns, self.held) if column.dtype.kind in "buif"})


class Sparse:
    shape = (40, 9)

    def toarray(self):
        return TABLE


def test_only_numeric_columns_of_a_data_frame_are_accepted():
    frame = Frame(a=TABLE[:, 0], b=Y)
    read = data.from_arrays(frame, NAMES.tolist())
    assert read.train_x.shape == (32, 2) and read.classes == ("a dog", "cat")
    assert data.Dataset("x", frame, frame).train_x.shape == (40, 2)
    text = Frame(a=Y, c=NAMES)
    with pytest.raises(ValueError, match=r"columns c hold no numbers.*df\.drop\(columns=\['c'\]\).*add label='ITS NAME'"):
        data.from_arrays(text)
    assert len(data.from_arrays(text.drop(columns=["c"])).train_x) == 32
    with pytest.raises(ValueError, match=r"columns b, c, d, e, f hold no numbers.*df\.select_dtypes\('number'\)"):
        data.from_arrays(text := Frame(a=Y, **dict.fromkeys("bcdefg", NAMES)))
    assert len(data.from_arrays(text.select_dtypes("number")).train_x) == 32


@pytest.mark.parametrize("label", ["kind", -1, 1])
def test_argument_label_selects_a_column_of_a_data_frame(label):
    frame = Frame(a=TABLE[:, 0], kind=NAMES)
    for read in (data.from_arrays(frame, label=label), data.from_arrays(frame, test_x=frame, label=label)):
        assert read.train_x.shape[1] == 1 and read.classes == ("a dog", "cat") and not read.about.notes
    with pytest.raises(ValueError, match="test_x must be a DataFrame with the column 'kind'"):
        data.from_arrays(frame, test_x=TABLE[:, :1], label=label)


def test_data_frames_with_objects_or_missing_numbers_are_refused_with_a_remedy():
    numbers = np.array([*range(39), "3"], object)
    with pytest.raises(ValueError, match=r"a DataFrame of objects. Convert it: df\.astype\(float\)"):
        data.from_arrays(Frame(a=numbers))
    with pytest.raises(ValueError, match=r"columns a have missing numbers.*df\.dropna\(\)\.astype\(float\)"):
        data.from_arrays(Frame(a=np.where(Y, None, numbers), b=Y))
    with pytest.raises(ValueError, match="missing labels"):
        data.from_arrays(TABLE, np.where(Y, None, NAMES))
    with pytest.raises(ValueError, match=r"got a Dataset. Give its rows, \.test_x"):
        VAE.init(np.random.default_rng(0), 9).encode(data.from_arrays(TABLE))


def test_warning_for_the_index_of_a_data_frame_suggests_iloc():
    note, = data.from_arrays(Frame(a=np.arange(40), b=TABLE[:, 0])).about.notes
    assert "counts the rows, 0 to 39, and the model is trained on it; to leave it out: df.iloc[:, 1:]" in note


@pytest.mark.parametrize("call", [data.from_arrays, data.load])
def test_error_for_an_unknown_keyword_mentions_the_function_and_known_keywords(call):
    with pytest.raises(TypeError, match=rf"data\.{call.__name__} has no keyword argument 'lable'; it has label, .*trials\. "
                                        "Did you mean label\\?"):
        call(TABLE if call is data.from_arrays else "digits", lable=0)
    with pytest.raises(TypeError, match="no keyword argument 'sep'; it has label, delimiter.*trials[.]$"):
        call(TABLE if call is data.from_arrays else "digits", sep=";")


def test_error_about_a_wrong_object_suggests_a_call_that_works():
    vae = VAE.init(np.random.default_rng(0), 9)
    with pytest.raises(ValueError, match=r"sparse matrix. Convert it with \.toarray\(\)"):
        vae.encode(Sparse())
    assert vae.encode(Sparse().toarray())[0].shape == (40, 2)
    with pytest.raises(ValueError, match=r"data\.from_arrays"):
        train(vae, TABLE, np.random.default_rng(0))
    assert len(list(train(vae, data.from_arrays(TABLE), np.random.default_rng(0), epochs=1))) == 1
    with pytest.raises(ValueError, match=r"data\.from_arrays"):
        data.load(TABLE)
    with pytest.raises(ValueError, match=r"train_y must be of shape \(40,\)"):
        data.Dataset("x", TABLE, TABLE, Y[:3], Y)
    with pytest.raises(ValueError, match="Try features=64"):
        VAE.init(np.random.default_rng(0), features=(8, 8))
    with pytest.raises(ValueError, match="Gaussian"):
        vae.encode(TABLE - 5)
    VAE.init(np.random.default_rng(0), 9, likelihood=Gaussian("optimal")).encode(TABLE - 5)


def test_labels_must_be_given_for_training_and_test_data_or_for_neither():
    assert data.from_arrays(TABLE.astype(np.float16), Y, TABLE[:5], Y[:5]).test_y.tolist() == Y[:5].tolist()
    assert data.from_arrays(TABLE, Y.astype(object)).train_y.dtype == np.int64
    with pytest.raises(ValueError, match="test_y must be given together with y"):
        data.from_arrays(TABLE, Y, TABLE)


def test_figures_accept_text_labels_and_refuse_a_wrong_image_shape():
    vae = VAE.init(np.random.default_rng(0), 9)
    assert "40 data points" in figures.latent_map(vae, TABLE, NAMES.tolist())[1]
    with pytest.raises(ValueError, match=r"image_shape must be \(height, width\).*Write image_shape=\(3, 3\)"):
        figures.reconstructions(vae, TABLE, np.random.default_rng(0), image_shape=8)


def test_reading_raises_no_warnings(tmp_path):
    with warnings.catch_warnings(action="error"):
        for kind in ("kaggle csv.gz", "keras npz", "iris", "emnist by directory"):
            room = tmp_path / kind.replace(" ", "")
            room.mkdir()
            data.load(READ[kind][0](room), **READ[kind][1])
    assert gzip.decompress((tmp_path / "kagglecsv.gz" / "train.csv.gz").read_bytes()).startswith(b"label,pixel0")


# Classes in figures


def coloured(figure):
    """Return {text: its colours} for every text in a figure, also for the class names above columns."""
    figure.draw_without_rendering()
    found = {}
    for axes in figure.axes:
        above = [] if axes.get_xlabel() else axes.get_xticklabels()             # no x label: the tick labels are class names
        for text in (*axes.texts, *above):
            found.setdefault(text.get_text(), set()).add(text.get_color())
    return found


CLASS_NAMES = {
    "two long names": ["an extremely long name of a cat", "an extremely long name of a dog"],
    "signs of mathematics": ["US$ and C$", "a_b^c"],
    "tens": [10, 20, 30],
    "47 classes": list(range(47)),
    "far apart": [-7, 0, 993, 10**6],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLASS_NAMES)
def test_class_has_the_same_name_and_colour_in_every_figure(kind):
    names = np.array(CLASS_NAMES[kind])
    y = np.arange(47 * 20) % len(names)
    read, rng = data.from_arrays(RNG.random((len(y), 9)), names[y], image=(3, 3)), np.random.default_rng(0)
    classes = class_names(read)
    _, drawn = classes_of(read.test_y, len(read.test_y), classes)
    assert len({one.name for one in drawn.values()}) == len(names)
    assert max(len(one.name) for one in drawn.values()) <= 18
    assert len({one.colour for one in drawn.values()}) == min(10, len(names))
    some = read.test_y != min(read.test_y)                  # the first class is left out; the others must keep their colours
    x, part = read.test_x[some], read.test_y[some]
    two, one = (VAE.init(rng, 9, J) for J in (2, 1))
    latent_map, pictures_of = figures.latent_map(two, x, part, classes)[0], figures.reconstructions
    rows = pictures_of(two, x, rng, (3, 3), part, classes=classes)[0]
    figures.latent_line(one, x, part, classes=classes)[0].draw_without_rendering()
    for figure in (latent_map, rows):
        colours = coloured(figure)
        for label, (colour, _, name) in drawn.items():
            assert colours.get(name.replace("-", "\u2212"), colours.get(name, {colour})) == {colour}, label
    assert drawn[max(drawn)].name.replace("-", "\u2212") in coloured(latent_map)


def test_class_names_are_short_and_distinct_and_the_font_can_draw_them():
    assert shown(["cat", "dog"]) == ["cat", "dog"]
    long = shown(["long name number one, a", "long name number one, b"])
    assert long == ["long name \u2026ne, a", "long name \u2026ne, b"]
    assert shown(["long name x then the end", "long name y then the end"], 9) == ["1: lon\u2026"[:7], "2: lon\u2026"[:7]]
    assert shown(["\u304a", "a$b", " ", "\n"]) == ["#1", r"a\$b", "#3", "#4"]


def test_class_names_must_cover_all_labels():
    with pytest.raises(ValueError, match="classes must be names of all labels; got none for 1"):
        classes_of(np.array([0, 1]), 2, {0: "cat"})
