"""Strict readers of arrays: IDX (plain or gzipped), .npy and .npz. They return the right array or raise `Damaged`.

They execute nothing. They check the size in the header against the file before they allocate memory, use every byte of the
file, and verify every checksum.
"""

import ast
import errno
import math
import os
import re
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 20                                             # at most this many bytes are read at once
DEFLATE = 1032                                              # one packed byte unpacks to at most this many bytes
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 32                                              # the limit of NumPy 1; NumPy 2 allows 64 axes
LONGEST_HEADER = 10_000                                     # NumPy accepts no .npy header with more characters than this
LAST = b"PK\5\6"                                           # the first 4 of the last 22 bytes of a zip without a comment
DESCRIPTORS = (12, 16, 20, 24)                              # possible lengths of the data descriptor after a zip member
PLAIN = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|U\d{1,6})")                          # allowed dtypes: numbers and text
REMEDIES = {
    "|O": " Objects are pickled, which can run any code. Save numbers with x.astype(float), labels with y.astype(str).",
    "|S": " Save text with .astype(str).",
    "<M": " Save dates with .astype(str), as labels.",
    "<c": " Save the parts with .real, .imag or abs().",
}


class Damaged(ValueError):
    """Raised for a file that is damaged or cannot be used as data; the message says what is wrong."""


def regular(path: Path) -> Path:
    """Return `path`. Refuses pipes and devices, because reading from them may never end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):   # a directory is refused when it is opened
        raise Damaged("a regular file is expected; this is a pipe or a device.")
    return path


def shaped(content: bytearray, dtype: np.dtype, shape: tuple[int, ...], order: str = "C") -> NDArray:
    """Return the bytes `content` as an array of numbers or text. Raises Damaged if that is impossible."""
    try:
        array = np.frombuffer(content, dtype).reshape(shape, order=order)
    except (ValueError, OverflowError) as error:            # for example the shape (0, 10**30), which has 0 bytes
        raise Damaged(f"the bytes do not form an array of {dtype} with shape {shape}.") from error
    if dtype.kind == "U" and np.frombuffer(content, f"{dtype.byteorder}u4").max(initial=0) > sys.maxunicode:
        raise Damaged("its text is not valid Unicode.")
    return array


def read_idx(path: Path) -> NDArray:
    """Read an array in LeCun's IDX format, plain or gzipped.

    The bytes are 0, 0, the type, the number of axes, the length of each axis, then the numbers, all big-endian. Raises
    Damaged for a file with any other content.
    """
    with open(regular(path), "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        read, limit = (unpacking(file), size * DEFLATE) if packed else (file.read, size)
        head = exactly(read, 4, "the magic number")
        if head[:2] != b"\0\0" or head[2] not in IDX_TYPES:
            raise Damaged(f"not an IDX file: it should begin with 0, 0 and a type code; it begins with {bytes(head)!r}.")
        if not 1 <= head[3] <= MOST_AXES:
            raise Damaged(f"an IDX file has 1 to {MOST_AXES} axes; the fourth byte of this file says {head[3]}.")
        shape = struct.unpack(f">{head[3]}I", exactly(read, 4 * head[3], "the lengths of the axes"))
        dtype = np.dtype(IDX_TYPES[head[2]])
        announced = math.prod(shape) * dtype.itemsize       # Python's integers do not overflow
        if announced > limit:
            raise Damaged(f"the header announces {announced:,} bytes, shape {shape}; the file cannot hold them.")
        content = exactly(read, announced, f"the numbers of shape {shape}")
        if read(1):
            raise Damaged(f"there is something after the {announced:,} bytes of shape {shape}.")
    return shaped(content, dtype, shape)


def exactly(read: Callable[[int], bytes], count: int, what: str) -> bytearray:
    """Read exactly `count` bytes, in pieces, so that a wrong size in a header cannot fill the memory."""
    content = bytearray()
    while len(content) < count:
        piece = read(min(count - len(content), PIECE))
        if not piece:
            raise Damaged(f"it ends {count - len(content):,} bytes too early, inside {what}.")
        content += piece
    return content


def unpacking(file: IO[bytes]) -> Callable[[int], bytes]:
    """Return a function that unpacks a gzip stream of one member.

    At the end of the stream, the returned function verifies checksum and length, and refuses further bytes. `gzip.open`
    also verifies checksum and length there, but accepts zeros and a second gzip stream after the end.
    """
    stream = zlib.decompressobj(wbits=31)                   # wbits=31 means gzip: zlib verifies checksum and length

    def read(count: int) -> bytes:
        try:
            while not stream.eof:
                packed = stream.unconsumed_tail or file.read(PIECE)
                if piece := stream.decompress(packed, count):
                    return piece
                if not packed and not stream.eof:
                    raise Damaged("the gzip stream is cut short.")
        except zlib.error as error:
            raise Damaged(f"the gzip stream is damaged ({error}).") from error
        if stream.unused_data or file.read(1):
            raise Damaged("there is something after the end of the gzip stream.")
        return b""

    return read


def read_npy(path: Path) -> NDArray:
    """Read the array of an .npy file. Raises Damaged for any other file, and for pickled objects."""
    with open(regular(path), "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        return array_of(file.read, size)


def array_of(read: Callable[[int], bytes], size: int) -> NDArray:
    """Read one array in NumPy's format from a stream of `size` bytes."""
    magic = exactly(read, 8, "the magic number of an .npy")
    if magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
        raise Damaged(f"not an .npy: it begins with {bytes(magic)!r}.")
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(exactly(read, width, "the length of the header"), "little")
    if length > LONGEST_HEADER:
        raise Damaged(f"a header of {length:,} characters is too long.")
    shape, dtype, fortran = header_of(exactly(read, length, "the header"))
    announced = math.prod(shape) * dtype.itemsize
    if announced != size - 8 - width - length:
        left = size - 8 - width - length
        raise Damaged(f"the header announces {announced:,} bytes, shape {shape} of {dtype}; there are {left:,}.")
    content = exactly(read, announced, f"the numbers of shape {shape}")
    if read(1):
        raise Damaged("there is something after the last number.")
    return shaped(content, dtype, shape, "F" if fortran else "C")


def header_of(text: bytearray) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Return shape, dtype and fortran_order (a bool) from an .npy header, a dict literal with three entries."""
    try:
        header = ast.literal_eval(text.decode("latin1").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise Damaged("the header is not a dict of plain values.") from error
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise Damaged("the header should have exactly descr, fortran_order and shape.")
    descr, shape, fortran = header["descr"], header["shape"], header["fortran_order"]
    if not isinstance(descr, str) or not PLAIN.fullmatch(descr):
        raise Damaged(f"an array of numbers is expected; got dtype {descr!r}.{REMEDIES.get(str(descr)[:2], '')}")
    lengths = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape) and len(shape) <= MOST_AXES
    if not lengths or type(fortran) is not bool:
        raise Damaged(f"the header has no valid shape and order: {shape!r}, {fortran!r}.")
    return shape, np.dtype(descr), fortran


def read_npz(path: Path) -> dict[str, NDArray]:
    """Return {name: array} for all arrays of an .npz. Raises Damaged if any name, size or checksum is wrong."""
    with open(regular(path), "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 22))
        if not file.read().startswith(LAST):
            raise Damaged("not a complete .npz: it does not end as a zip archive does.")
        try:
            with zipfile.ZipFile(file) as archive:
                refuse_extra_bytes(archive, file)
                return members_of(archive, size)
        except Damaged:
            raise
        except Exception as error:                          # zipfile raises nine types of error for damaged files
            if isinstance(error, OSError) and error.errno != errno.EINVAL:              # EINVAL: a seek before byte 0
                raise
            raise Damaged(f"not a complete .npz ({type(error).__name__}: {error}).") from error


def refuse_extra_bytes(archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    """Check that every byte before the zip's list of members belongs to a member. `zipfile` does not check this."""
    place, behind = 0, (0,)
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        if member.header_offset - place not in behind:
            raise Damaged(f"there are bytes that belong to no array, before {member.filename!r}.")
        file.seek(member.header_offset + 26)                # lengths of the member's name and of its extra field
        lengths = struct.unpack("<2H", exactly(file.read, 4, "the header of a member"))
        place = member.header_offset + 30 + sum(lengths) + member.compress_size
        behind = DESCRIPTORS if member.flag_bits & 8 else (0,)
    if archive.start_dir - place not in behind:
        raise Damaged("there are bytes that belong to no array, before the list of members.")


def members_of(archive: zipfile.ZipFile, size: int) -> dict[str, NDArray]:
    """Return {name: array} for an open archive. Raises Damaged if it is empty, or if a name occurs twice or is unusual."""
    if not archive.infolist():
        raise Damaged("there is no array in it.")
    found = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        odd = member.filename == name or re.search(r"[\\:]|^/|//|(^|/)\.\.?(/|$)|[^ -~]", name) or not name
        if odd or member.is_dir() or name in found:
            raise Damaged(f"its members should be .npy files with plain, different names; got {member.filename!r}.")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Damaged(f"{name} is encrypted, or compressed with a method that .npz files do not use.")
        if member.file_size > size * DEFLATE:
            raise Damaged(f"the archive announces {member.file_size:,} bytes for {name}; the file cannot hold them.")
        with archive.open(member) as stream:
            try:
                found[name] = array_of(stream.read, member.file_size)
            except Damaged as error:
                raise Damaged(f"{name}: {error}") from error
    return found
