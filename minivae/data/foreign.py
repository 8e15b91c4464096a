"""Recognise, by the first bytes, file types that minivae does not read, and tell the user how to convert such files."""

import os
import re
import shlex
import zipfile
import zlib
from pathlib import Path

from minivae.data.raw import converted_name, quoted
from minivae.data.remedies import filtered

BEGINNING = 4096                                            # number of bytes that are read to recognise a file
READ = "These are read: .npz, .npy, text (.csv, .tsv), IDX, and a directory of IDX files; text and IDX also as .gz."

# HDF, PICKLE and similar constants contain lines of code that convert one kind of file. In these lines, the function
# `sentence` replaces {path}, {npz} and other names in braces. An entry of SIGNS describes one kind of file: (pattern of the
# first bytes, name of the kind, lines of code).
HDF = ("import h5py, numpy as np; f = h5py.File({path!r}); print(list(f))", "np.savez({npz!r}, x=f['x'], y=f['y'])")
PICKLE = (
    "import pickle, numpy as np; d = pickle.load({open}({path!r}, 'rb'), encoding='latin1')   # only if you trust it",
    "np.savez({npz!r}, x=d['data'], y=d['labels'])   # with the names that print(d) shows",
)
PICTURE = (
    "import numpy as np; from pathlib import Path; from PIL import Image",
    "files = sorted(f for f in Path({home!r}).rglob('*') if f.suffix.lower() in {suffixes})",
    "x = [np.asarray(Image.open(f).convert('L').resize((28, 28))) for f in files]   # grey; 28, 28: width and height",
    "np.savez({npz!r}, x=x)",
)
CLASSES = (*PICTURE[:-1], "np.savez({npz!r}, x=x, y=[f.parent.name for f in files])   # the directories are the classes")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
MATLAB = ("import numpy as np; from scipy.io import loadmat; m = loadmat({path!r}); print(m.keys())",
          "np.savez({npz!r}, x=m['X'], y=m['y'])")          # fmt: skip
PARQUET = ("import pandas", "pandas.read_parquet({path!r}).to_csv({csv!r}, index=False)")
EXCEL = ("import pandas", "pandas.read_excel({path!r}).to_csv({csv!r}, index=False)")
SVMLIGHT = ("import numpy as np; from sklearn.datasets import load_svmlight_file; x, y = load_svmlight_file({path!r})",
            "np.savez({npz!r}, x=x.toarray(), y=y)")        # fmt: skip
JSON = ("import json, numpy as np; f = {open}({path!r})", "np.save({npy!r}, np.array(json.load(f))); f.close()")
RECORDS = ("import pandas", "pandas.read_json({path!r}, lines={lines}).to_csv({csv!r}, index=False)")
FEATHER = ("import pandas", "pandas.read_feather({path!r}).to_csv({csv!r}, index=False)")
STATA = ("import pandas", "pandas.read_stata({path!r}).to_csv({csv!r}, index=False)")
MARKET = ("import numpy as np; from scipy.io import mmread; m = mmread({path!r})",
          "np.save({npy!r}, m.toarray() if hasattr(m, 'toarray') else m)")      # fmt: skip
SQLITE = ("import pandas, sqlite3; c = sqlite3.connect({path!r}); print(*c.execute('select name from sqlite_master'))",
          "pandas.read_sql('select * from NAME', c).to_csv({csv!r}, index=False)   # with a name that this shows")
FITS = ("import numpy as np; from astropy.io import fits; f = fits.open({path!r}); f.info()", "np.save({npy!r}, f[0].data)")
NIFTI = ("import numpy as np, nibabel; x = nibabel.load({path!r}).get_fdata()",
         "np.save({npy!r}, np.moveaxis(x, -1, 0))   # one row for each slice")  # fmt: skip
SOUND = ("import numpy as np; from scipy.io import wavfile; rate, x = wavfile.read({path!r})",
         "np.save({npy!r}, x[: len(x) // 256 * 256].reshape(-1, 256))   # rows of 256 samples, of one channel")
R = ("x <- readRDS({path!r})   # or load({path!r}) for an .rda", "write.csv(x, {csv!r}, row.names=FALSE)")
SPARSE = ("import numpy as np; from scipy.sparse import load_npz", "np.save({npy!r}, load_npz({path!r}).toarray())")
TORCH = ("import torch, numpy as np", "np.save({npy!r}, torch.load({path!r}, weights_only=True).numpy())")
SIGNS = (
    (rb"\x89HDF\r\n", "an HDF5 file (.h5, .hdf5, or .mat of MATLAB 7.3)", HDF),
    (rb"MATLAB 5\.0", "a .mat file of MATLAB", MATLAB),
    (rb"\x80[\x02-\x05]", "a pickle, which can run any code when it is opened", PICKLE),
    (rb"\([ld]p\d|cnumpy", "a pickle, which can run any code when it is opened", PICKLE),
    (rb"II\*\0|MM\0\*|RIFF.{4}WEBP|\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0{4}|P[1-6]\s+(#|\d+\s+\d+\s)", "one picture", PICTURE),
    (rb"PAR1", "a Parquet file", PARQUET),
    (rb"ARROW1|FEA1", "a Feather file (Arrow)", FEATHER),
    (rb"<stata_dta>", "a file of Stata", STATA),
    (rb"%%MatrixMarket", "a matrix in Matrix Market format", MARKET),
    (rb"SQLite format 3", "a database of SQLite", SQLITE),
    (rb"SIMPLE  = ", "a FITS file", FITS),
    (rb".{344}(n\+1|ni1)\0", "a NIfTI file", NIFTI),
    (rb"RIFF.{4}WAVE", "a sound file (.wav)", SOUND),
    (rb"X\n\0\0\0[\2\3]|RD[AX][23]\n", "data of R (.rds, .rda)", R),
    (rb"\xd0\xcf\x11\xe0", "an old Excel file (.xls)", EXCEL),
    (rb"(?i)\s*(<!DOCTYPE|<html|<\?xml)", "a web page: the download failed, or the address is that of a page", ()),
    (rb"version https://git-lfs", "a pointer of Git LFS, without the data: `git lfs pull` downloads them", ()),
    (rb"%PDF", "a PDF", ()),
    (rb"BZh[1-9]1AY", "packed with bzip2", ("bunzip2 -k {word}",)),
    (rb"\xfd7zXZ", "packed with xz", ("unxz -k {word}",)),
    (rb"\x28\xb5\x2f\xfd", "packed with zstd", ("unzstd {word}",)),
    (rb"7z\xbc\xaf", "a 7z archive", ("7z x {word}",)),
    (rb"(?i)(%[^\n]*\n|\s)*@relation", "an ARFF file of Weka", ("| grep -v '^[%@]'",)),
    (rb"\s*\{[^\n]*\}\s*\n\s*\{|\s*(\[\s*)?\{", "JSON with names", RECORDS),
    (rb"\s*\[", "JSON", JSON),
    (rb"[+-]?[\d.]+( +\d+:[-+.\deE]+)+", "a file of LIBSVM (svmlight)", SVMLIGHT),
    (rb"[\xff\xfe]{2}", "text in UTF-16", ("| iconv -f utf-16 -t utf-8",)),
)


def beginning(path: Path) -> tuple[bytes, bool]:
    """Return the first bytes of a file, and True if the file is gzipped.

    The bytes of a gzipped file are unpacked; if this fails, no bytes are returned.
    """
    with open(path, "rb") as file:
        head = file.read(BEGINNING)
    if not head.startswith(b"\x1f\x8b"):
        return head, False
    try:
        return zlib.decompressobj(wbits=31).decompress(head, BEGINNING), True
    except zlib.error:
        return b"", True


def seems(path: Path, head: bytes, packed: bool) -> str | None:
    """Return a sentence if minivae does not read this kind of file, else None.

    The sentence names the kind of file and says how to convert the file.
    """
    for sign, what, lines in SIGNS:
        if re.match(sign, head, re.DOTALL):
            return sentence(path, what, lines, packed)
    if head[257:262] == b"ustar":
        return sentence(path, "a tar archive", ("tar xf {word}",), False)
    if head.startswith(b"\x93NUMPY") and packed:
        return sentence(path, "a gzipped .npy", ("gunzip -k {word}",), False)
    return inside_zip(path) if head.startswith(b"PK\3\4") else None


def inside_zip(path: Path) -> str | None:
    """Return a sentence about a zip file that is not an .npz of arrays; the names of its members show its kind.

    Return None for an .npz of arrays, and for a damaged file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:                                       # damaged: `read_npz` reads the file later and raises an error
        return None
    if {"indices.npy", "indptr.npy", "shape.npy"} <= set(names):
        return sentence(path, "a sparse matrix of SciPy", SPARSE, False)
    if any(name.startswith("xl/") for name in names):
        return sentence(path, "an Excel file (.xlsx)", EXCEL, False)
    if any(name.endswith("data.pkl") for name in names):
        return sentence(path, "a file of PyTorch, a pickle in a zip", TORCH, False)
    if not all(name.endswith(".npy") for name in names):
        return sentence(path, "a zip archive", ("unzip {word}",), False)
    return None


def sentence(path: Path, what: str, lines: tuple[str, ...], packed: bool) -> str:
    """Return a sentence that says what kind of file this is (`what`), and the lines of code that convert the file."""
    parts = {"path": str(path), "word": quoted(path)}
    if lines[:1] == PICTURE[:1]:
        home = path if path.is_dir() else path.parent
        found = {file.suffix.lower() for file in [*pictures_in(home), path] if file.suffix}
        parts |= {"home": str(home), "suffixes": sorted(found), "npz": f"{home.resolve().name or 'pictures'}-converted.npz"}
    parts = {kind: str(converted_name(path, f".{kind}")) for kind in ("npz", "npy", "csv")} | parts
    parts["open"] = "__import__('gzip').open" if packed else "open"
    parts["lines"] = path.suffix.lower() in (".jsonl", ".ndjson") or ".jsonl." in path.name.lower()
    kind = f"it seems to be {what}. {READ}"
    if not lines:
        return kind
    filled = [filtered(path, line[2:]) if line.startswith("| ") else line.format(**parts) for line in lines]
    how = "in Python" if filled[0].startswith("import") else "in R" if lines is R else "in a shell"
    return f"{kind} To convert it, {how}:\n  " + "\n  ".join(filled)


def pictures_in(home: Path) -> list[Path]:
    """Return the files with the suffix of a picture, in a directory and up to two levels below it."""
    return [file for depth in ("*", "*/*", "*/*/*") for file in home.glob(depth) if file.suffix.lower() in SUFFIXES]


def elsewhere(source: str) -> str:
    """Return advice for a path that cannot be read."""
    home = os.path.expanduser(source)
    if re.match(r"\w+://", source):
        return f"Nothing is downloaded. Run curl -LO {shlex.quote(source)}, then give the path of the file."
    if source.startswith("~") and os.path.exists(home):
        return f"Write --data {shlex.quote(home)}"
    if re.fullmatch(r"[\w-]+", source):
        return "Is the path right? A name alone works for the bundled digits only."
    return "Is the path right?"


def of_directory(path: Path) -> str:
    """Return text about a directory without IDX files: it says what the directory contains, and gives a remedy."""
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    endings = (".npz", ".npy", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
    data = [file for file in files if file.name.lower().endswith(endings) or "idx" in file.name]
    if data:
        return f"it holds other files. Name one of them: --data {quoted(data[0])}"
    inner = [file for file in files if file.is_dir() and any("idx" in one.name for one in file.iterdir())]
    if inner:
        return f"the files are one directory deeper: --data {quoted(inner[0])}"
    rooms = {file.parent for file in pictures_in(path)}
    if rooms:
        return sentence(path, "a directory of pictures", CLASSES if len(rooms) > 1 and path not in rooms else PICTURE, False)
    return f"it holds no data. {READ}"
