"""Small files in the formats of public data sets, made from seeded random numbers: no data are copied."""

import gzip
import struct

import numpy as np


def idx(array, code=8):
    """Return the content of an IDX file that holds this array (code 8: unsigned bytes)."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def pictures(n=40, height=8, width=8, seed=0):
    """Return n random images of bytes; bright in the left half for even indices, in the right half for odd ones."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 40, (n, height, width))
    x[::2, :, : width // 2] += 200
    x[1::2, :, width // 2 :] += 200
    return x.astype(np.uint8)


def csv_of(x, separator=",", header=None, label=None, at=0, end="\n"):
    """Return rows of numbers as CSV text; the labels, if given, become column `at` (-1: the last)."""
    rows = [[f"{value:g}" for value in row] for row in x]
    for row, text in zip(rows, label if label is not None else ()):
        row.insert(at if at >= 0 else len(row), str(text))
    return end.join([separator.join(row) for row in ([header] if header else []) + rows]) + end


def write(path, content):
    """Write text or bytes, gzipped if the name ends with .gz; return the path as text."""
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)
