"""Time and memory of training on common kinds of files: Fashion-MNIST, Kaggle's csv, Keras' npz, a table with text.

    python -m tests.benchmarks.files DIR [--epochs N] [--rows N] [--out DIR] [--only NAME ...] [--json]

DIR must contain the directories mnist and fashion_mnist, with the IDX files of MNIST and Fashion-MNIST. The benchmark
converts these IDX files to the kinds kaggle, keras and table; this conversion is not timed. For each kind of file, a
separate process runs `minivae train`. With --out, the converted files, the runs and the figures are kept.

Kinds of files:
    idx      the published IDX files of Fashion-MNIST
    kaggle   MNIST as train.csv: first the names of the columns, then for each image its label and its 784 pixels
    keras    MNIST as mnist.npz with the arrays x_train, y_train, x_test and y_test
    table    Fashion-MNIST as table.csv: for each image, the means of 16 blocks of 7 x 7 pixels, and the name of its class

Columns of the table:
    file     size of the data, in MB
    seconds  time from the start of the training process to its end
    peak     largest memory of the training process, in MiB
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minivae import data

NAMES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot".split(",")
CHILD = """import sys
from minivae.app.cli import main
code = main(sys.argv[1:])
from tests.benchmarks.evidence import peak_so_far           # after main, which sets BLAS threads before NumPy is imported
print("\\n", code, peak_so_far())
"""
KINDS = ("idx", "kaggle", "keras", "table")


def make(kind: str, home: Path, out: Path, rows: int | None) -> tuple[Path, list[str]]:
    """Make a file of this kind, with at most `rows` training rows; return its path and the options that `train` needs."""
    if kind == "idx":
        return home / "fashion_mnist", []
    whole = data.load(str(home / ("fashion_mnist" if kind == "table" else "mnist")))
    x, y = whole.train_x.levels[:rows], whole.train_y[:rows]
    if kind == "keras":
        test = data.load(str(home / "mnist")).test_x[: None if rows is None else max(1, rows // 6)]
        test = np.rint(test * 255).astype(np.uint8).reshape(-1, 28, 28)
        parts = {"x_train": x.reshape(-1, 28, 28), "y_train": y, "x_test": test, "y_test": whole.test_y[: len(test)]}
        np.savez(out / "mnist.npz", **parts)
        return out / "mnist.npz", []
    if kind == "kaggle":
        header, path = ",".join(["label", *(f"pixel{i}" for i in range(784))]), out / "train.csv"
        np.savetxt(path, np.column_stack([y, x]), "%d", ",", header=header, comments="")
        return path, ["--label", "label"]
    blocks = x.reshape(-1, 4, 7, 4, 7).mean(axis=(2, 4)).reshape(-1, 16) / 255
    lines = [",".join([*(f"block{i}" for i in range(16)), "kind"])]
    lines += [",".join([*(f"{value:.3f}" for value in row), NAMES[label]]) for row, label in zip(blocks, y)]
    (out / "table.csv").write_text("\n".join(lines) + "\n")
    return out / "table.csv", ["--label", "kind"]


def measured(arguments: Sequence[str]) -> tuple[int, float, float]:
    """Run `minivae` with these arguments; return its exit code, its time in seconds and its peak memory in MiB."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    code, peak = done.stdout.splitlines()[-1].split()
    return int(code), time.perf_counter() - began, float(peak)


def size_of(path: Path) -> int:
    """Return the size in bytes of a file, or of all files in a directory together."""
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size


def main(argv: Sequence[str] | None = None) -> int:
    """Train on each chosen kind of file and print a table; return 1 if a training failed."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.files", description=__doc__.split("\n")[0])
    parser.add_argument("home", type=Path, metavar="DIR", help="directory with mnist and fashion_mnist")
    parser.add_argument("--epochs", type=int, default=1, metavar="N", help="number of epochs (default: %(default)s)")
    parser.add_argument("--rows", type=int, metavar="N", help="training rows in each file (default: all)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep files and runs in this new directory")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, metavar="NAME", help="file kinds (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as room:
        out = options.out or Path(room)
        out.mkdir(parents=True, exist_ok=True)
        for kind in options.only:
            path, how = make(kind, options.home, out, options.rows)
            command = ["train", "--data", str(path), *how, "-q"]
            code, seconds, peak = measured([*command, "--epochs", str(options.epochs), "--out", str(out / kind)])
            rows.append({"kind": kind, "file": size_of(path) / 1e6, "seconds": seconds, "peak": peak, "code": code})
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"{'kind':8} {'file/MB':>8} {'seconds':>8} {'peak/MiB':>9}")
        for row in rows:
            failed = "  failed" if row["code"] else ""
            print(f"{row['kind']:8} {row['file']:8.1f} {row['seconds']:8.1f} {row['peak']:9.0f}{failed}")
    return int(any(row["code"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
