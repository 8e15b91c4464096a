"""Timing side by side: the same threads and cores for all, alternating turns, medians and their spread."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Protocol, TypeVar

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
PAUSE = 0.05                                                # seconds; idle threads spin for about half of it
Name = TypeVar("Name", str, int)


class Contender(Protocol):
    def restart(self) -> None:
        """Be as freshly made."""

    def steps(self, count: int) -> None:
        """Do so many steps; return when the last is done."""


def run_with_threads(module: str, threads: int, cores: int | None = None) -> int | None:
    """Run `module` again, same arguments, in a process held to this many threads; return its exit code.

    It is held to as many cores, or to `cores` of them if it has processes of its own.

    Returns None in that process itself. It takes a second process because NumPy reads the variables when it
    is imported. What does not read them (XLA) is held by the set of cores, where the system can restrict it.
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
    """Seconds per step of each contender, by its name: a list with one number for every round.

    In every round each contender gets a turn of about `seconds`, of `least` steps if they take longer; who begins
    changes from round to round. A turn starts afresh, so the same stretch of training is timed however many
    rounds there are. A pause before it lets the threads of the one before fall asleep, and a few steps that are
    not timed wake its own. Before all rounds, each runs for two turns to get warm.
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
    """Run until compilers and caches are warm; return the seconds that a step takes then."""
    contender.steps(least)
    start, per_step = time.perf_counter(), None
    while per_step is None or time.perf_counter() - start < seconds:
        per_step = seconds_per_step(contender, least)
    return per_step


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(times: dict[str, list[float]], name: str, other: str) -> float:
    """Median over rounds of time(name) / time(other): what slows a whole round cancels."""
    return statistics.median(a / b for a, b in zip(times[name], times[other]))


def exponent(values: dict[int, float], start: int = 0) -> float:
    """p of value = c n^p, from {n: value}: the slope of log value over log n from n = start on, by least squares."""
    import numpy as np

    points = [(n, value) for n, value in values.items() if n >= start]
    return float(np.polyfit(*np.log(np.array(points, float)).T, 1)[0])


def environment(threads: int) -> dict[str, str | int]:
    """What times depend on: the machine, and what runs on it."""
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
    """Which BLAS this NumPy was built with."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def held_to() -> str:
    """The cores this process is held to."""
    if not hasattr(os, "sched_getaffinity"):
        return "all cores; this system has no other way, so JAX may use more threads than the others"
    return f"cores {sorted(os.sched_getaffinity(0))} of {os.cpu_count()}"
