"""Fair timing of several implementations (contenders): equal threads and cores, alternating turns, medians and quartiles."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Protocol, TypeVar

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
PAUSE = 0.05                                                # seconds; idle BLAS threads keep a core busy for about 0.025 s
Name = TypeVar("Name", str, int)


class Contender(Protocol):
    def restart(self) -> None:
        """Return to the initial state."""

    def steps(self, count: int) -> None:
        """Do `count` steps; return when the last step is done."""


def run_with_threads(module: str, threads: int, cores: int | None = None) -> int | None:
    """Run `module` with the same arguments in a new process limited to this many threads; return its exit code.

    If the thread variables already have this number, as in the new process, return None and start no process. If
    the system can limit the cores, the new process can use only `threads` cores. For a module that starts more processes,
    give `cores`: the number of cores that all these processes together can use.

    A new process is needed because NumPy reads the thread variables when it is imported. XLA, the compiler of JAX, ignores
    these variables. So its threads are limited only if the system can limit the cores.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-(cores or threads) :])
    wanted = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return None
    return subprocess.call([sys.executable, "-m", module, *sys.argv[1:]], env=os.environ | wanted)


def seconds_per_step(contender: Contender, count: int) -> float:
    start = time.perf_counter()
    contender.steps(count)
    return (time.perf_counter() - start) / count


def interleave(
    contenders: Mapping[Name, Contender], rounds: int, seconds: float, least: int = 3
) -> dict[Name, list[float]]:
    """Return {name: seconds per step in every round} for each contender.

    In every round, each contender has one turn. A turn takes about `seconds`, but has at least `least` steps. The order
    changes from round to round. Every turn begins at the initial state, so the same steps are timed in all rounds.
    Before every turn, there is a pause in which the threads of the previous contender fall asleep: for a while, a
    thread without work keeps its core busy. Then the next contender does a few untimed steps, which wake up its
    threads. Before the first round, each contender warms up for the length of two turns.
    """
    counts = {}
    for name, contender in contenders.items():
        counts[name] = max(least, int(seconds / warm_up(contender, 2 * seconds, least)))
    times = {name: [] for name in contenders}
    names = list(contenders)
    for i in range(rounds):
        k = i % len(names)
        for name in names[k:] + names[:k]:
            time.sleep(PAUSE)
            contenders[name].restart()
            contenders[name].steps(1 + counts[name] // 10)
            times[name].append(seconds_per_step(contenders[name], counts[name]))
    return times


def warm_up(contender: Contender, seconds: float, least: int) -> float:
    """Run steps for `seconds`, to warm up compilers and caches. Return the time per step in the last `least` steps."""
    contender.steps(least)
    start, per_step = time.perf_counter(), None
    while per_step is None or time.perf_counter() - start < seconds:
        per_step = seconds_per_step(contender, least)
    return per_step


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(times: dict[str, list[float]], name: str, other: str) -> float:
    """Return the median over rounds of time(name) / time(other). A slow round changes both times, but hardly the ratio."""
    return statistics.median(a / b for a, b in zip(times[name], times[other]))


def exponent(values: dict[int, float], start: int = 0) -> float:
    """Fit value = c n^p to the points with n >= start; return p, the least-squares slope of log(value) against log(n)."""
    import numpy as np

    points = [(n, value) for n, value in values.items() if n >= start]
    return float(np.polyfit(*np.log(np.array(points, float)).T, 1)[0])


def environment(threads: int) -> dict[str, str | int]:
    """Return a description of the machine and the software; the measured times depend on both."""
    import numpy as np

    return {
        "cpu": cpu_name(),
        "threads": threads,
        "held to": held_to(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": blas_name(np),
    }


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def blas_name(np) -> str:
    """Return name and version of the BLAS library of this NumPy."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def held_to() -> str:
    """Return a phrase about the cores that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return "all cores, because this system cannot limit them; JAX may use more threads than the others"
    return f"cores {sorted(os.sched_getaffinity(0))} of {os.cpu_count()}"
