"""Error messages of `train` suggest remedies. With these remedies, training finds the structure of the data."""

import bz2
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minivae import data, runs
from minivae.app import cli
from minivae.app import train as app_train
from minivae.app.run_data import data_of
from minivae.evidence.rates import ACTIVE
from tests.helpers.samples import csv_of, idx, pictures, write
from tests.helpers.trained import draw_nothing

GREY = pictures(60)                                         # 60 pictures of 8x8 bytes, bright on the left or on the right
FLAT, Y = GREY.reshape(60, 64), np.arange(60) % 2
TABLE = (FLAT[:, 2:60:7] / 255).round(3)                    # 9 pixels of each picture, divided by 255
KIND = np.where(Y, "cat", "dog")
HEAD = list("abcdefghi")
COLUMNS = [f"{a},{b}" for a, b in TABLE[:, [0, 8]]]


def lines(head, of_row):
    """Return a CSV text: the line `head`, then the line `of_row(i, columns)` for each picture i.

    The argument `columns` is the text of two cells: two pixels of picture i. Both pixels are bright only in one class.
    """
    return f"{head}\n" + "\n".join(of_row(i, columns) for i, columns in enumerate(COLUMNS)) + "\n"


def text(name, content):
    return lambda: write(Path(name), content)


def npy(x, name="a.npy"):
    return lambda: (np.save(name, x), name)[1]


def npz(**arrays):
    return lambda: (np.savez("a.npz", **arrays), "a.npz")[1]


def mnist(*prefixes, left_out=(), room="d"):
    """Return a function that writes four IDX files for each prefix into a directory, but not the files in `left_out`."""
    def make():
        Path(room).mkdir(parents=True)
        for prefix in prefixes:
            for part, n in (("train", 40), ("t10k", 20)):
                for kind, array in (("images", GREY[:n]), ("labels", Y[:n].astype(np.uint8))):
                    if f"{part}-{kind}" not in left_out:
                        write(Path(room) / f"{prefix}{part}-{kind}-idx{array.ndim}-ubyte.gz", idx(array))
        return room.split("/")[0]

    return make


def photographs(*rooms):
    """Return a function that writes pictures of two kinds into directories: bright on the left or on the right."""
    def make():
        image = pytest.importorskip("PIL.Image")            # Pillow, which matplotlib requires
        for i, picture in enumerate(GREY):
            room = Path("d", rooms[i % len(rooms)])
            room.mkdir(parents=True, exist_ok=True)
            image.fromarray(picture).save(room / f"{i}.{('PNG', 'jpg')[i // 2 % 2]}")
        return "d"

    return make


def home():
    os.environ["HOME"] = os.getcwd()
    return text("a.csv", csv_of(TABLE))() and "~/a.csv"


ADD = r"(?P<add>--[a-z]+ ('[^']+'|[^\s.:;,')]+|,))"          # matches an option with its value, such as --label 0
OPTIONS, SHELL = rf"(Add|add|Write|Try|use) {ADD}", r"(?P<shell>\b(cut|sed|tr|gunzip|iconv|grep|bunzip2|tar) .*)$"
LINES, ROW, LEFT = r"n Python:\s+(?P<python>.*)$", r"(?P<row>line \d+).*leave the row out", r"(?P<left>Leave \S+ out)"
GAUSSIAN, IN_LINE = r"or use (?P<add>--likelihood gaussian)", r"(?P<python>np\.save\('{}', .*?\))[;.]( |$)"
ELSEWHERE, EXPRESSION = r"--data (?P<data>\S+)$", r"Write (?P<value>x[^.]*(\.reshape[^.]*)?)\.?$"

# {name of a case: (function that writes the data, options of `train`, remedies)}. A remedy is a regular expression that
# finds a suggestion in an error message. The test runs `train`, follows the first remedy, runs `train` again, and so on.
TABLE_OF_REMEDIES = {
    "counts": (npy(FLAT // 40), "", [rf"use {ADD[:-1]}( --trials 5))"]),
    "counts, divided": (npy(FLAT // 40), "", [r"(?P<divide>divide by \d+)"]),
    "counts, gaussian": (npy(FLAT // 40), "", [GAUSSIAN]),
    "binomial alone": (npy(FLAT // 40), "--likelihood binomial", [r"Add (?P<add>--trials N)"]),
    "too few trials": (npy(FLAT // 40), "--trials 3", [OPTIONS]),
    "trials of fractions": (npy(TABLE), "--trials 3", [LEFT]),
    "large numbers": (npy(FLAT * 7.0), "", [r"(?P<divide>divide by [\d.]*\d)"]),
    "large numbers, gaussian": (npy(FLAT * 7.0), "", [GAUSSIAN]),
    "negative": (npy(TABLE - 0.5), "", [GAUSSIAN]),
    "whole numbers to 239": (npy(FLAT[:, :48].astype(int)), "", [r"(?P<divide>Divide by 255)"]),
    "whole numbers as pictures": (npy(FLAT[:, :48].astype(int)), "", [r"(?P<add>--image HEIGHTxWIDTH)"]),
    "whole numbers, gaussian": (npy(FLAT[:, :48].astype(int)), "", [r"use (?P<add>--likelihood gaussian)"]),
    "sigma": (npy(TABLE), "--sigma 0.2", [OPTIONS]),
    "binarized gaussian": (npy(TABLE), "--binarize --likelihood gaussian", [OPTIONS]),
    "wrong shape": (npy(FLAT), "--image 9x9", [OPTIONS]),
    "transposed table": (npy(TABLE), "--transpose", [r"Add (?P<add>--image HEIGHTxWIDTH)"]),
    "colours": (npy(np.stack([GREY] * 3, -1)), "", [IN_LINE.format("grey.npy")]),
    "colours, flat": (npy(np.stack([GREY] * 3, 1)), "", [IN_LINE.format("flat.npy")]),
    "opacity": (npy(np.stack([GREY / 255] * 4, 1)), "", [IN_LINE.format("grey.npy")]),
    "two channels": (npy(np.stack([GREY / 255] * 2, -1)), "", [EXPRESSION]),
    "one axis": (npy(TABLE[:, 0]), "--likelihood gaussian", [r"Write (?P<value>x\[:, None\])"]),
    "one row of pictures": (npy(GREY[None]), "", [EXPRESSION]),
    "semicolons": (text("a.csv", csv_of(TABLE, ";")), "", [OPTIONS]),
    "tabs": (text("a.csv", csv_of(TABLE, "\t")), "", [OPTIONS]),
    "bars": (text("a.csv", csv_of(TABLE, "|")), "", [OPTIONS]),
    "blanks": (text("a.amat", csv_of(TABLE, " ")), "", [OPTIONS]),
    "commas in a tsv": (text("a.tsv", csv_of(TABLE)), "", [OPTIONS]),
    "decimal commas": (text("a.csv", csv_of(TABLE, ";").replace(".", ",")), "", [OPTIONS, SHELL]),
    "decimal commas, tsv.gz": (text("a.tsv.gz", csv_of(TABLE, "\t").replace(".", ",")), "", [SHELL]),
    "mixed header": (text("a.csv", "0,b,c\n" + csv_of(TABLE[:, :3])), "", [SHELL]),
    "years as a header": (text("a.csv", "1999,2000,2001\n" + csv_of(TABLE[:, 3:6])), "", [SHELL]),
    "units": (text("a.csv", csv_of(TABLE, header=HEAD).replace("\n", "\nm,m,m,m,s,s,s,s,s\n", 1)), "", [SHELL]),
    "ends": (text("a.csv", csv_of(TABLE).replace("\n", ",\n")), "", [SHELL]),
    "ends of a tsv": (text("a.tsv", csv_of(TABLE, "\t").replace("\n", "\t\n")), "", [SHELL]),
    "latin1": (text("a.csv", csv_of(TABLE, header=["größe", *HEAD[1:]]).encode("latin1")), "", [SHELL]),
    "utf-16": (text("a.csv", csv_of(TABLE).encode("utf-16")), "", [SHELL]),
    "index": (text("a.csv", csv_of(TABLE, label=range(60))), "", [SHELL]),
    "index in a gz": (text("a.csv.gz", csv_of(TABLE, label=range(60))), "", [SHELL]),
    "classes first": (text("a.csv", csv_of(FLAT // 40, label=Y)), "", [r"(?P<add>--label 0)", GAUSSIAN]),
    "text column": (text("a.csv", csv_of(TABLE, header=[*HEAD, "kind"], label=KIND, at=-1)), "", [OPTIONS]),
    "text column, no header": (text("a.csv", csv_of(TABLE, label=KIND)), "", [OPTIONS]),
    "text column, left out": (text("a.csv", csv_of(TABLE, label=KIND, at=3)), "", [SHELL]),
    "text columns": (text("a.csv", lines("kind,a,b,name", lambda i, row: f"{KIND[i]},{row},x{i % 3}")), "",
                     [rf"{OPTIONS}.*: {SHELL}"]),
    "text beside labels": (text("a.csv", lines("x,0,0,cat", lambda i, row: f"x{i},{row},{KIND[i]}")), "--label 3",
                           [rf"With {ADD}, .*: {SHELL}"]),
    "another case": (text("a.csv", lines("Kind,a,b", lambda i, row: f"{KIND[i]},{row}")), "--label kind", [OPTIONS]),
    "true and false": (text("a.csv", csv_of(TABLE, label=KIND == "cat")), "", [SHELL]),
    "per cent": (text("a.csv", csv_of(TABLE, label=[f"{y}%" for y in Y])), "", [SHELL]),
    "missing number": (text("a.csv", csv_of(TABLE) + ",1" * 8 + "\n"), "", [ROW]),
    "missing label": (text("a.csv", csv_of(TABLE, label=KIND) + ",1" * 9 + "\n"), "--label 0", [ROW]),
    "unknown names": (npz(first=TABLE, second=Y), "", [LINES]),
    "unknown label": (npz(x=TABLE, y=Y), "--label kind", [LEFT]),
    "fractions as labels": (npz(x=TABLE, y=TABLE[:, 0]), "", [LINES]),
    "labels of rows": (npz(x_train=TABLE, y_train=TABLE, x_test=TABLE[:9], y_test=TABLE[:9]), "", [LINES]),
    "every row a class": (npz(x=TABLE, y=np.arange(60)), "", [LINES]),
    "names of rows": (text("a.csv", lines("gene,a,b", lambda i, row: f"g{i},{row}")), "", [rf"names the rows, .*: {SHELL}"]),
    "names of rows beside classes": (text("a.tsv", lines("cell,kind,a,b", lambda i, row: f"c{i},{KIND[i]},{row}")
                                          .replace(",", "\t")), "", [rf"To use column 'kind' .*{OPTIONS}.*: {SHELL}"]),
    "ragged": (text("a.csv", csv_of(TABLE) + "1,1\n"), "", [ROW]),
    "pictures": (photographs("."), "", [LINES]),
    "pictures of classes": (photographs("cat", "dog"), "", [LINES]),
    "one picture of many": (lambda: photographs("cat")() + "/cat/0.PNG", "", [LINES]),
    "json": (text("a.json", json.dumps(TABLE.tolist())), "", [LINES]),
    "json, packed": (text("a.json.gz", json.dumps(TABLE.tolist())), "", [LINES]),
    "arff": (text("a.arff", f"@relation a\n{csv_of(TABLE)}"), "", [SHELL]),
    "bzip2": (text("a.csv.bz2", bz2.compress(csv_of(TABLE).encode())), "", [SHELL]),
    "packed npy": (lambda: write(Path("b.npy.gz"), Path(npy(TABLE)()).read_bytes()), "", [SHELL]),
    "several sets": (mnist("k49-", "kmnist-"), "", [ELSEWHERE]),
    "labels of one part": (mnist("", left_out=["t10k-labels"]), "", [ELSEWHERE]),
    "test files alone": (mnist("", left_out=["train-images", "train-labels"]), "", [ELSEWHERE]),
    "one directory deeper": (mnist("", room="d/e"), "", [ELSEWHERE]),
    "a file in a directory": (lambda: npy(TABLE)() and ".", "", [ELSEWHERE]),
    "label of IDX files": (mnist(""), "--label 0", [LEFT]),
    "home": (home, "", [r"--data (?P<data>\S+)$"]),
}  # fmt: skip


def followed(found, path, options):
    """Carry out the remedy that an error message suggests; return the path and the options of the next command.

    `found` is the match object of a regular expression that finds the remedy in the message. The names of its groups say
    what the test has to do.
    """
    before = set(os.listdir())
    done = {name: value for name, value in found.groupdict().items() if value}
    for name, value in done.items():
        if name == "add":                                   # replace placeholders as a user would
            shape = shape_for(path) if "WIDTH" in value else ""
            options = [*options, *shlex.split(value.replace("HEIGHTxWIDTH", shape).replace(" N", " 6"))]
        elif name == "left":
            options = options[:-2]
        elif name == "data":
            path = shlex.split(value)[0]
        elif name == "shell":
            subprocess.run(value, shell=True, check=True)
        elif name == "python":
            exec(value.replace("\n  ", "\n"), {"np": np, "x": np.load(path) if path.endswith("npy") else None})
        elif name == "value":
            np.save("b.npy", eval(value, {"x": np.load(path)}))
        elif name == "divide":
            np.save("b.npy", np.load(path) / float(value.split()[-1]))
        else:
            kept = Path(path).read_text().split("\n")
            del kept[int(value.split()[-1]) - 1]
            Path(path).write_text("\n".join(kept))
    made = sorted(set(os.listdir()) - before)
    return (made[0] if made else path), options


def shape_for(path):
    features = np.load(path)[0].size
    return f"6x{features // 6}" if features % 6 == 0 else f"3x{features // 3}"


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Work in an empty directory; the train command skips measuring and drawing, which take most of its time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    draw_nothing(monkeypatch)
    for name in ("report", "explore", "lower_bounds"):
        monkeypatch.setattr(app_train, name, lambda *_: [])
    monkeypatch.setattr(app_train, "measure", lambda *_: ({}, None))


def trained(path, options):
    """Train on the data file `path`; return the exit code of the train command."""
    settings = ["--hidden", "8", "--epochs", "25", "--batch", "12", "--lr", "0.02", "-q", "--out", "run"]
    return cli.main(["train", *settings, "--data", path, *options])


def most_active():
    """Return the variance of mu over the held-out data, for the most active latent dimension of the run."""
    run = runs.read(Path("run"))
    return run.vae.encode(data_of(run).test_x)[0].var(axis=0).max()


@pytest.mark.slow
@pytest.mark.parametrize("case", TABLE_OF_REMEDIES)
def test_training_after_all_remedies_finds_the_structure_of_the_data(case, room, capsys):
    make, options, remedies = TABLE_OF_REMEDIES[case]
    path, options = make(), options.split()
    for remedy in remedies:
        assert trained(path, options) == 2
        message = capsys.readouterr().err.rstrip()
        found = re.search(remedy, message, re.DOTALL)
        assert found, message
        path, options = followed(found, path, options)
    assert trained(path, options) == 0, capsys.readouterr().err
    assert most_active() > ACTIVE


@pytest.mark.parametrize("rooms, classes", [([""], None), (["cat", "dog"], ("cat", "dog")), (["train/cat", "train/dog"], 2)])
def test_converted_pictures_are_complete_and_keep_their_classes(room, capsys, rooms, classes):
    assert trained(path := photographs(*rooms)(), []) == 2
    message = capsys.readouterr().err.rstrip()
    assert "it seems to be a directory of pictures" in message and "missing" not in message
    path, _ = followed(re.search(LINES, message, re.DOTALL), path, [])
    read = data.load(path)
    assert path == "d-converted.npz" and read.about.train + read.about.held_out == 60 and read.about.image_shape == (28, 28)
    assert read.about.classes == (("cat", "dog") if classes else None)


def test_no_latent_dimension_is_active_if_small_values_are_divided_by_255(room):
    """The values are whole numbers from 0 to 6, so the remedy "divide by 255" is wrong for them."""
    path, options = followed(re.search("(?P<divide>divide by 255)", "divide by 255"), npy(FLAT // 40)(), [])
    assert trained(path, options) == 0 and most_active() < ACTIVE
