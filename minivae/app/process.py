"""Run functions in other processes, while this process continues."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor


@contextlib.contextmanager
def other_processes(count: int | None = None) -> Iterator[Executor]:
    """Context with an executor that runs calls in `count` other processes; the default is one process per core.

    If no other process can start, the calls run in a thread. Raises ChildProcessError if one of the processes is killed,
    for example because the memory is full.
    """
    with executor(count) as pool:
        try:
            yield pool
        except BrokenExecutor:
            raise ChildProcessError("a process of this command was killed, perhaps for lack of memory") from None


def executor(count: int | None = None) -> Executor:
    """Return an executor with `count` processes. In a daemonic process, or without semaphores, it has one thread instead."""
    if not multiprocessing.current_process().daemon:        # a daemonic process must not start other processes
        with contextlib.suppress(ImportError, NotImplementedError, OSError):
            return ProcessPoolExecutor(count, initializer=end_with_parent)
    return ThreadPoolExecutor(1)


def mapped(pool: Executor, function: Callable, arguments: Iterable) -> Iterator:
    """Yield function(argument) for all arguments, in order, and cancel no call.

    Do not use `pool.map`: on Ctrl-C it cancels calls while the processes end, and Python 3.11 can then print a traceback.
    """
    for future in [pool.submit(function, argument) for argument in arguments]:
        yield future.result()


def end_with_parent() -> None:
    """Make this process end when its parent ends or is killed. Ctrl-C ends it, too, unless the process ignores SIGINT."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:   # Ctrl-C must not end a command in the background of a shell
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
