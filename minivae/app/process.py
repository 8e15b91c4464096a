"""Other processes, which work while this process goes on."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor


@contextlib.contextmanager
def other_processes(count: int | None = None) -> Iterator[Executor]:
    """Context with an executor that runs calls in `count` other processes; the default is one process per core.

    If there can be no other process, the calls run in a thread. Raises ChildProcessError if an other process is killed, for
    example because the memory is full.
    """
    with executor(count) as pool:
        try:
            yield pool
        except BrokenExecutor:
            raise ChildProcessError("a process of this command was killed, perhaps for lack of memory") from None


def executor(count: int | None = None) -> Executor:
    """Return an executor with `count` processes or, in a daemonic process or a system without semaphores, with one thread."""
    if not multiprocessing.current_process().daemon:        # a daemonic process must not start others
        with contextlib.suppress(ImportError, NotImplementedError, OSError):
            return ProcessPoolExecutor(count, initializer=end_with_parent)
    return ThreadPoolExecutor(1)


def end_with_parent() -> None:
    """Make this process end silently on Ctrl-C, and when its parent ends, even if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
