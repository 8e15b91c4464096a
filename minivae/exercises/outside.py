"""Run a submission in a process of its own: bytes in, bytes out, with limits of time, memory and output."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import minivae
from minivae.exercises.pupil import MOST_BYTES, pack, unpack

CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from minivae.exercises.pupil import main; main(*sys.argv[2:])"
THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
MEGABYTES = 2000


class Ran(NamedTuple):
    """Results of a process: one for each call; or the reason why there is none. And what the submission printed."""

    results: list[dict]
    error: str
    printed: str


def run(file: Path, calls: list[dict], timeout: float) -> Ran:
    """Execute a file and make these calls in a new process; never raises for anything the file does."""
    root = str(Path(minivae.__file__).parents[1])
    file = Path(os.path.abspath(file))
    words = [str(file.parent), str(file), str(int(timeout) + 2), str(MEGABYTES)]
    with tempfile.TemporaryDirectory() as room, contextlib.ExitStack() as files:
        asked, out, said = (files.enter_context(open(Path(room) / name, "w+b")) for name in ("in", "out", "err"))
        asked.write(pack(calls))
        asked.seek(0)
        command = [sys.executable, "-c", CHILD, root, *words]
        child = subprocess.Popen(command, stdin=asked, stdout=out, stderr=said, cwd=room, env=os.environ | THREADS,
                                 start_new_session=True)
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            stop(child)
        out.seek(0)
        said.seek(0)
        printed = said.read(20_000).decode("utf-8", "replace")
        return judged(out.read(MOST_BYTES + 1), code, printed, len(calls), timeout)


def stop(child: subprocess.Popen) -> None:
    """End a process and those that it started in its session."""
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL) if hasattr(os, "killpg") else child.kill()
    child.wait()


def judged(data: bytes, code: int | None, printed: str, count: int, timeout: float) -> Ran:
    """Return the results in these bytes, or why they are none."""
    if code is None:
        return Ran([], f"no result after {timeout:g} seconds: is there a loop that does not end?", printed)
    try:
        results: Any = unpack(data)
        if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
            raise ValueError("no list of results")
    except ValueError:
        return Ran([], f"Python ended with exit code {code} before the results were complete.", printed)
    if len(results) == 1 and "error" in results[0]:
        return Ran([], str(results[0]["error"]), printed)
    if len(results) != count:
        return Ran([], "the process did not return one result for each call.", printed)
    return Ran(results, "", printed)
