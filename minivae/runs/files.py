"""Write files. After a crash, a file is either the complete old one or the complete new one.

Existing files are overwritten only on request.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from minivae.checks import refuse


@contextlib.contextmanager
def write_atomically(path: Path, mode: str = "wb") -> Iterator[IO]:
    """Open a temporary file for a `with` block.

    If the block ends without an error, the temporary file replaces `path`. After an error, the temporary file is deleted.
    Raises ValueError, before the block, if `path` exists and is not a regular file.
    """
    path = destination(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")    # in the same directory, so os.replace is atomic
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
            raise OSError(error.errno, error.strerror, str(path)) from error    # users know `path`, not the temporary file
        raise


def destination(path: Path) -> Path:
    """Return `path`, or its target if it is a link. Refuse an existing path that is not a regular file.

    Without this function, the rename in `write_atomically` would replace a pipe, a device or a link by a regular file.
    """
    target = Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)
    if target.exists() and not target.is_file():
        got = f"{str(path)!r}, which is {'a directory' if target.is_dir() else 'a pipe or a device'}"
        refuse("the file", "a regular file, or a new one", got, "Name another.")
    return target


def must_be_free(argument: str, rule: str, paths: Iterable[Path], overwrite: bool) -> None:
    """Refuse existing paths that are not regular files.

    Without `overwrite`, also refuse existing regular files and links. Then the message begins "`argument` must be `rule`".
    """
    for path in paths:
        destination(path)
        if os.path.lexists(path) and not overwrite:
            refuse(argument, rule, f"{path}, which exists", "Add --overwrite, or name another.")


def sync_directory(path: Path) -> None:
    """Write the renames in this directory to disk, so that they survive a power cut. Not all systems support this."""
    with contextlib.suppress(OSError):                      # some systems cannot open directories
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
