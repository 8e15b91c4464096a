"""Writing files so that a crash leaves the old one or the new one, whole, and that nothing is overwritten unasked."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from minivae.checks import refuse


@contextlib.contextmanager
def write_atomically(path: Path, mode: str = "wb") -> Iterator[IO]:
    """`with write_atomically(path) as file`: the bytes are on disk under `path` when the block ends, or not at all.

    Raises ValueError, before the block, if there is something that is not a regular file.
    """
    path = destination(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")    # same directory: a rename there is one indivisible step
    try:
        with open(temporary, mode, encoding=None if "b" in mode else "utf-8", newline=None if "b" in mode else "") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, temporary, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error    # what there is no room for, say
        raise


def destination(path: Path) -> Path:
    """Where what is written to `path` goes: through a link, to where it leads. Refused unless a regular file, or none yet.

    A rename would put a regular file in the place of a pipe, a device or a link.
    """
    target = Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)
    if target.exists() and not target.is_file():
        came = f"{str(path)!r}, which is {'a directory' if target.is_dir() else 'a device or the like'}"
        refuse("the file", "a regular one, or a new one", came, "Name another.")
    return target


def must_be_free(argument: str, rule: str, paths: Iterable[Path], overwrite: bool) -> None:
    """Refuse what is there already and may not be overwritten, or cannot be: `argument` must be `rule`."""
    for path in paths:
        destination(path)
        if os.path.lexists(path) and not overwrite:
            refuse(argument, rule, f"{path}, which exists", "Add --overwrite, or name another.")


def sync_directory(path: Path) -> None:
    """Make a rename in this directory last through a power cut, where the system can."""
    with contextlib.suppress(OSError):                      # some systems open no directories
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
