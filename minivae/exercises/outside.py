"""Run a submission in a process of its own, with limits of time, memory and output."""

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
    """Output of a process: the results of the calls, in order; a message for calls without a result; the printed text."""

    results: list[dict]
    error: str
    printed: str
    executed: bool              # False if executing the file raises an error or does not end


def run(file: Path, calls: list[dict], timeout: float) -> Ran:
    """Execute a file in a new process, and make these calls there. An error raised by the file is returned as text."""
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
        return judged(out.read(MOST_BYTES + 1), code, printed, timeout)


def stop(child: subprocess.Popen) -> None:
    """Kill a process and the processes that it started in its session."""
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL) if hasattr(os, "killpg") else child.kill()
    child.wait()


def judged(data: bytes, code: int | None, printed: str, timeout: float) -> Ran:
    """Read the results from the output of the process.

    If executing the learner's file raised an error, the first line of the output contains this error.
    """
    results: list[dict] = []
    with contextlib.suppress(ValueError):                   # the last line may be incomplete
        for line in data.splitlines():
            result: Any = unpack(line)
            if not isinstance(result, dict):
                break
            results.append(result)
    if len(results) == 1 and "error" in results[0]:
        return Ran([], str(results[0]["error"]), printed, False)
    ended = f"Python ended with exit code {code} before the results were complete."
    error = ended if code is not None else f"no result after {timeout:g} seconds: is there a loop that does not end?"
    return Ran(results[1:], error, printed, bool(results))
