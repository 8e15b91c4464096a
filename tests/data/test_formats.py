"""The readers of IDX, .npy and .npz files return the right array, or raise `Damaged` for a damaged file.

Some damaged files are written by hand, one for each known kind of damage; others have random changes. The size in the header
of a file limits the memory that a reader uses.
"""

import gzip
import io
import math
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minivae.data import formats
from minivae.data.formats import Damaged


def idx(array, code=8, shape=None, axes=None):
    shape = array.shape if shape is None else shape
    head = bytes([0, 0, code, len(shape) if axes is None else axes])
    return head + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def npy(array=None, header=None, version=1, data=None):
    """Return the bytes of an .npy file, from an array or a hand-written header."""
    if header is None:
        header = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape}, }}"
    text = header.encode("latin1") + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + (array.tobytes() if data is None else data)


def npz(members, **settings):
    """Return the bytes of an .npz file with one member for each (name, content) pair; names may be repeated."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **settings) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, archive.compression)
    return file.getvalue()


def read(tmp_path, reader, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    return reader(path)


# Good files are read


TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
BYTES = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
PACKED = gzip.compress(idx(BYTES))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda b: gzip.compress(b, 0)], ids=["plain", "gz", "stored gz"])
@pytest.mark.parametrize("code, dtype", TYPES.items())
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 0), (1, 1, 1, 1), (2, 3, 4, 5)])
def test_idx_of_every_type_and_shape_is_read(tmp_path, pack, code, dtype, shape):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    found = read(tmp_path, formats.read_idx, pack(idx(array, code)))
    assert found.dtype == dtype and np.array_equal(found, array) and found.shape == shape


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "<U7"])
@pytest.mark.parametrize("order", "CF")
def test_arrays_saved_by_numpy_are_read(tmp_path, dtype, order):
    array = np.asarray(np.arange(12).reshape(3, 4).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", first=array, second=array[0, 0])
    np.savez_compressed(tmp_path / "b.npz", **{"params/a.b": array})
    found = [formats.read_npy(tmp_path / "a.npy"), formats.read_npz(tmp_path / "a.npz")["first"]]
    found.append(formats.read_npz(tmp_path / "b.npz")["params/a.b"])
    for one in found:
        assert np.array_equal(one, array) and one.dtype == array.dtype
    assert formats.read_npz(tmp_path / "a.npz")["second"] == array[0, 0]


# Damaged files are refused


GOOD = idx(BYTES)
BAD_IDX = {
    "empty": b"",
    "an HTML page": b"<!DOCTYPE html>\n<html><body>404</body></html>",
    "a pickle": pickle.dumps(BYTES),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "a zip": npz([("x.npy", npy(BYTES))]),
    "little-endian": GOOD[:4] + struct.pack("<3I", 4, 3, 2) + GOOD[16:],
    "magic 1": b"\1" + GOOD[1:],
    "magic 2": b"\0\1" + GOOD[2:],
    "no axes": bytes([0, 0, 8, 0]) + bytes(24),
    "too many axes": bytes([0, 0, 8, 255]) + bytes(2000),
    "33 axes": bytes([0, 0, 8, 33]) + struct.pack(">33I", *[1] * 33) + b"\0",
    "wraps around in 32 bits": idx(BYTES, shape=(2**16, 2**16, 1)),
    "wraps around in 64 bits": idx(BYTES, shape=(2**31, 2**31, 4)),
    "larger than all memory": idx(BYTES, shape=(2**32 - 1,) * 8),
    "one axis too long": idx(BYTES, shape=(5, 3, 2)),
    "one axis too short": idx(BYTES, shape=(3, 3, 2)),
    "fewer axes than stated": idx(BYTES, axes=4),
    "more axes than stated": idx(BYTES, axes=2),
    "no rows, and data": idx(BYTES, shape=(0, 3, 2)),
    "no rows, and axes that are too long": idx(BYTES[:0], shape=(0, 2**32 - 1, 2**32 - 1, 2**32 - 1)),
    "a wider type": idx(BYTES, 13),
    "a narrower type": idx(BYTES.astype(">f4"), 8),
    "trailing newline": GOOD + b"\n",
    "trailing zeros": GOOD + bytes(512),
    "two files": GOOD + GOOD,
    "a gzip of a gzip": gzip.compress(PACKED),
    "a gzip of nothing": gzip.compress(b""),
    "a gzip of a page": gzip.compress(b"<html>"),
    "a gzip with one byte too many": gzip.compress(GOOD + b"\0"),
    "a gzip with one byte too few": gzip.compress(GOOD[:-1]),
    "gzip: bad checksum": PACKED[:-8] + bytes(4) + PACKED[-4:],
    "gzip: bad length": PACKED[:-4] + bytes(4),
    "gzip: no trailer": PACKED[:-8],
    "gzip: half a trailer": PACKED[:-3],
    "gzip: garbage after": PACKED + b"garbage",
    "gzip: zeros after": PACKED + bytes(8),
    "gzip: two members": PACKED + PACKED,
    "gzip: header alone": PACKED[:10],
    "gzip: two bytes": b"\x1f\x8b",
    "gzip: another method": PACKED[:2] + b"\7" + PACKED[3:],
    "gzip: reserved flags": PACKED[:3] + b"\xe0" + PACKED[4:],
    "zlib, not gzip": zlib.compress(GOOD),
    "a bomb that announces little": gzip.compress(idx(BYTES) + bytes(10**7)),
    "a small file that announces 200 GB": gzip.compress(idx(np.zeros(0, np.uint8), shape=(2**31, 100))),
} | {f"type code {code:#04x}": idx(BYTES, code) for code in (0, 1, 7, 0x0A, 0x0F, 0x10, 0x80, 0xFF)}
BAD_IDX |= {f"cut after {n} bytes": GOOD[:n] for n in (1, 2, 3, 4, 7, 8, 15, 16, 17, 39)}
BAD_IDX |= {f"gzip cut after {n} bytes": PACKED[:n] for n in (3, 9, 11, 20, len(PACKED) - 9, len(PACKED) - 1)}


@pytest.mark.parametrize("content", BAD_IDX.values(), ids=BAD_IDX)
def test_a_damaged_idx_is_refused(tmp_path, content):
    assert len(BAD_IDX) >= 60
    with pytest.raises(Damaged):
        read(tmp_path, formats.read_idx, content)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def head(descr="'<f8'", order="False", shape="(2,)", more=""):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}{more}}}"


OBJECTS = io.BytesIO()
np.save(OBJECTS, np.array([Bomb()], dtype=object), allow_pickle=True)
TWO = np.arange(2.0)
WHOLE = npy(TWO)
BAD_HEADERS = {
    "a list": head("[('a', '<f8')]"),
    "objects": head("'|O'"),
    "raw bytes instead of numbers": head("'|V8'"),
    "complex": head("'<c16'"),
    "dates": head("'<M8[s]'"),
    "an unknown dtype": head("'<q9'"),
    "a wide float": head("'<f16'"),
    "no quotes": head("float64"),
    "a call": head("__import__('os').getcwd()"),
    "a power": head("'<f8'", shape="(9**9**9,)"),
    "a negative length": head(shape="(-2,)"),
    "a list as shape": head(shape="[2]"),
    "a number as shape": head(shape="2"),
    "a fraction in the shape": head(shape="(2.0,)"),
    "True in the shape": head(shape="(True, 2)"),
    "33 axes": head(shape="(1,) * 33"),
    "33 axes, written out": head(shape=f"({'1, ' * 33})"),
    "too long": head(shape="(3,)"),
    "too short": head(shape="(1,)"),
    "wraps around": head(shape="(2**62, 2**62)"),
    "larger than all memory": head(shape="(4611686018427387904, 4611686018427387904)"),
    "order 1": head(order="1"),
    "order None": head(order="None"),
    "an entry too many": head(more=", 'x': 1"),
    "an entry is missing": "{'descr': '<f8', 'shape': (2,)}",
    "not a dict": "('<f8', False, (2,))",
    "nothing": "",
    "deep": "(" * 5000 + ")" * 5000,
    "deeper": "-" * 9000 + "1",
    "an open string": "{'descr': '",
    "a zero byte": head() + "\0",
    "over the limit": head() + " " * 20_000,
}
BAD_NPY = {
    "empty": b"",
    "a page": b"<html></html>",
    "a pickle": pickle.dumps(TWO),
    "pickled objects": OBJECTS.getvalue(),
    "version 0": b"\x93NUMPY\0" + WHOLE[7:],
    "version 9": b"\x93NUMPY\x09" + WHOLE[7:],
    "a stated header length that is too large": WHOLE[:8] + b"\xff\xff" + WHOLE[10:],
    "a stated header length that is too small": WHOLE[:8] + b"\x10\0" + WHOLE[10:],
    "four gigabytes of header": b"\x93NUMPY\2\0\xff\xff\xff\xff" + WHOLE[10:],
    "one byte too many": WHOLE + b"\0",
    "one byte too few": WHOLE[:-1],
    "two arrays": WHOLE + WHOLE,
    "text of length 0": npy(header=head("'<U0'"), data=b""),
    "invalid Unicode": npy(header=head("'<U1'", shape="()"), data=b"\xff" * 4),
    "invalid Unicode, big-endian": npy(header=head("'>U1'", shape="()"), data=b"\0\x11\0\0"),
} | {f"header: {name}": npy(header=text, version=2, data=TWO.tobytes()) for name, text in BAD_HEADERS.items()}
NO_ARRAY = (10**30, 2**63, f"{2**62}, {2**62}")             # too long for NumPy, even in an array without rows
BAD_NPY |= {f"no rows, and axes of length {n}": npy(header=head(shape=f"(0, {n})"), data=b"") for n in NO_ARRAY}
BAD_NPY |= {f"cut after {n} bytes": WHOLE[:n] for n in (1, 5, 6, 7, 8, 9, 10, 30)}


@pytest.mark.parametrize("content", BAD_NPY.values(), ids=BAD_NPY)
def test_a_damaged_npy_is_refused_alone_and_inside_an_npz(tmp_path, content):
    with pytest.raises(Damaged):
        read(tmp_path, formats.read_npy, content)
    with pytest.raises(Damaged, match="x:"):
        read(tmp_path, formats.read_npz, npz([("good.npy", WHOLE), ("x.npy", content)]))


ARCHIVE = npz([("x.npy", WHOLE)])


def with_bytes_before(content, before):
    """Insert eight bytes into the zip `content`, before the first occurrence of `before`.

    The end of a zip file states where the list of members begins; add 8 to this number.
    """
    place, end = content.index(before), content.rindex(b"PK\5\6")
    start = struct.pack("<I", struct.unpack_from("<I", content, end + 16)[0] + 8)
    return content[:place] + b"8 bytes!" + content[place : end + 16] + start + content[end + 20 :]


def patched(content, old, new, count=-1):
    assert old in content
    return content.replace(old, new, count)


NAMES = (
    "x", "x.txt", ".npy", "/x.npy", "../x.npy", "a/../x.npy", "./x.npy", "a//x.npy", "a\\x.npy", "c:x.npy",
    "x\n.npy", "\xe9.npy", "d/",
)  # fmt: skip
BAD_NPZ = {
    "empty": b"",
    "a page": b"<html></html>",
    "no members": npz([]),
    "an .npy": WHOLE,
    "a gzip": gzip.compress(WHOLE),
    "PK alone": b"PK\3\4",
    "no directory": ARCHIVE[: ARCHIVE.rindex(b"PK\1\2")],
    "half a directory": ARCHIVE[:-30],
    "no end": ARCHIVE[:-22],
    "a comment": npz([("x.npy", WHOLE)])[:-2] + b"\5\0hello",
    "garbage after": ARCHIVE + b"garbage",
    "garbage before": b"#!/bin/sh\n" + ARCHIVE,
    "a picture before": b"\x89PNG\r\n\x1a\n" + bytes(500) + ARCHIVE,
    "garbage before the directory": with_bytes_before(ARCHIVE, b"PK\1\2"),
    "one name twice": npz([("x.npy", WHOLE), ("y.npy", WHOLE)]).replace(b"y.npy", b"x.npy"),
    "a wrong checksum": patched(ARCHIVE, struct.pack("<I", zlib.crc32(WHOLE)), bytes(4)),
    "a changed number": patched(ARCHIVE, TWO.tobytes(), (TWO + 1).tobytes()),
    "bzip2": npz([("x.npy", WHOLE)], compression=zipfile.ZIP_BZIP2),
    "lzma": npz([("x.npy", WHOLE)], compression=zipfile.ZIP_LZMA),
    "marked as encrypted": patched(
        patched(ARCHIVE, b"PK\3\4\x14\0\0", b"PK\3\4\x14\0\1"),
        b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1",
    ),  # fmt: skip
    "a bomb": npz([("x.npy", npy(np.zeros(0), header=head(shape="(100000000000,)")))], compression=zipfile.ZIP_DEFLATED),
    "a bomb that announces little": npz([("x.npy", WHOLE + bytes(10**7))], compression=zipfile.ZIP_DEFLATED),
} | {f"a member named {name!r}": npz([(name, WHOLE)]) for name in NAMES}
BAD_NPZ |= {f"cut after {n} bytes": ARCHIVE[:n] for n in range(3, len(ARCHIVE), len(ARCHIVE) // 32)}


@pytest.mark.parametrize("content", BAD_NPZ.values(), ids=BAD_NPZ)
def test_a_damaged_npz_is_refused(tmp_path, content):
    assert len(BAD_NPZ) >= 60
    with pytest.raises(Damaged):
        read(tmp_path, formats.read_npz, content)


def test_reading_a_directory_or_a_missing_file_raises_an_os_error(tmp_path):
    for reader in (formats.read_idx, formats.read_npy, formats.read_npz):
        for path in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(OSError):
                reader(path)


def test_an_npz_that_was_written_to_a_pipe_is_read(tmp_path):
    """The size and the checksum of each array are written after the array, because a program cannot go back in a pipe."""

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *place):
            raise OSError

        def tell(self):
            raise OSError

    with zipfile.ZipFile(pipe := Pipe(), "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, WHOLE)
    found = read(tmp_path, formats.read_npz, pipe.getvalue())
    assert [*found] == ["x", "y"] and np.array_equal(found["y"], TWO)


@pytest.mark.parametrize("reader", [formats.read_idx, formats.read_npy, formats.read_npz])
def test_pipes_and_devices_are_refused_without_waiting(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(Damaged, match="a regular file is expected"):
            reader(tmp_path / name)


# Random damage


def edits(content):
    """Return a hypothesis strategy for one to three changes: flip bits, cut or insert bytes, copy bytes within the file."""
    place = st.integers(0, len(content))
    length = st.integers(1, 40)
    flip = st.tuples(st.just("flip"), place, st.integers(1, 255))
    cut = st.tuples(st.just("cut"), place, length)
    insert = st.tuples(st.just("insert"), place, st.binary(min_size=1, max_size=40))
    splice = st.tuples(st.just("splice"), place, st.tuples(place, length))
    return st.lists(st.one_of(flip, cut, insert, splice), min_size=1, max_size=3)


def edited(content, changes):
    for kind, at, how in changes:
        before, after = content[:at], content[at:]
        if kind == "flip" and after:
            after = bytes([after[0] ^ how]) + after[1:]
        elif kind == "cut":
            after = after[how:]
        elif kind == "insert":
            after = how + after
        elif kind == "splice":
            after = content[how[0] : sum(how)] + after
        content = before + after
    return content


FLOATS = np.linspace(0, 1, 20).reshape(4, 5).astype(">f8")
SEVERAL = {"x": np.arange(12.0).reshape(3, 4), "y": np.arange(3), "about": np.array("text")}


def good_npz(pack):
    file = io.BytesIO()
    pack(file, **SEVERAL)
    return file.getvalue()


STORED, DEFLATED = good_npz(np.savez), good_npz(np.savez_compressed)
PACKED_FLOATS = gzip.compress(idx(FLOATS, 14))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("edited") / "file"


def all_right(found):
    return set(found) <= set(SEVERAL) and all(np.array_equal(found[name], SEVERAL[name]) for name in found)


@given(changes=edits(PACKED_FLOATS))
@example(changes=[("flip", 3, 8)])                          # with this bit, gzip expects a file name
def test_edited_gzip_gives_the_right_array_or_is_refused(file, changes):
    file.write_bytes(edited(PACKED_FLOATS, changes))
    try:
        assert np.array_equal(formats.read_idx(file), FLOATS)
    except Damaged:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("content", [STORED, DEFLATED], ids=["stored", "deflated"])
@given(data=st.data())
def test_edited_npz_gives_the_right_arrays_or_is_refused(file, content, data):
    """The names of arrays have no checksum, so an edit can rename an array. But the numbers of every array must be right."""
    file.write_bytes(edited(content, data.draw(edits(content))))
    try:
        found = formats.read_npz(file)
    except Damaged:
        return
    right = [array.tobytes() for array in SEVERAL.values()]
    assert all(array.tobytes() in right for array in found.values())


def test_flipped_bits_of_an_npz_are_noticed_or_harmless(file):
    silent = 0
    for place in range(0, len(STORED), 3):
        file.write_bytes(edited(STORED, [("flip", place, 1 << place % 8)]))
        try:
            silent += not all_right({k: v for k, v in formats.read_npz(file).items() if k in SEVERAL})
        except Damaged:
            pass
    assert silent == 0


# Memory and time


def cost(path, reader):
    """Return "read" or "refused", and the peak memory in MiB; tracemalloc counts NumPy arrays as well."""
    tracemalloc.start()
    try:
        reader(path)
        end = "read"
    except Damaged:
        end = "refused"
    finally:
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    return end, peak


def bomb(announced, content):
    """Return a function that makes a gzipped IDX file: its header announces `announced` bytes; `content` zeros follow."""
    return lambda: gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", announced) + bytes(content))


def deflated_bomb():
    return npz([("x.npy", WHOLE + bytes(MANY))], compression=zipfile.ZIP_DEFLATED)


def npz_with_too_large_a_shape():
    return npz([("x.npy", npy(header=head(shape="(9999999999,)"), data=bytes(80)))])


MANY = 64 * 2**20


@pytest.mark.slow
@pytest.mark.parametrize(
    "reader, content, end, most",
    [
        (formats.read_idx, bomb(1000, MANY), "refused", 4),  # the header states 1,000 bytes, but 64 MiB follow
        (formats.read_idx, bomb(2**32 - 1, 1000), "refused", 4),                 # states 4 GiB, but 1,000 bytes follow
        (formats.read_idx, bomb(MANY, MANY - 1), "refused", 64 + 64),
        (formats.read_npz, deflated_bomb, "refused", 4),
        (formats.read_npz, npz_with_too_large_a_shape, "refused", 4),
        (formats.read_idx, bomb(2**25, 2**25), "read", 32 + 64),
    ],
    ids=[
        "gzip bomb", "gzip with too large a shape", "gzip one byte short",
        "npz bomb", "npz with too large a shape", "valid 32 MiB",
    ],  # fmt: skip
)
def test_memory_for_reading_is_limited_even_if_the_header_is_wrong(tmp_path, reader, content, end, most):
    (tmp_path / "file").write_bytes(content())
    start = time.perf_counter()
    ended, memory = cost(tmp_path / "file", reader)
    assert ended == end and memory < most and time.perf_counter() - start < 5


def test_memory_measurement_notices_an_array_of_32_mib(tmp_path):
    (tmp_path / "file").write_bytes(idx(np.zeros(MANY // 2, np.uint8)))
    ended, memory = cost(tmp_path / "file", formats.read_idx)
    assert ended == "read" and memory >= MANY / 2**21
