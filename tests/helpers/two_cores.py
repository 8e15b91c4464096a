"""Run a large suite in two processes: `run_on_two_cores` replaces the loop in which pytest runs the tests.

The process forks after pytest has collected the tests, so nothing is imported or collected twice. Each process takes one
file at a time; files that wait for long commands come first. The child writes its reports to a file, and the parent passes
them on to pytest: progress, failures, exit code and options such as -x and --durations are as in one process.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator

import pytest

MANY = 1000                                                 # if there are fewer tests, they run in one process
SLOW = 50                                                   # a test with the marker `slow` counts as this many tests


def run_on_two_cores(session: pytest.Session, slow_fixtures: frozenset) -> bool | None:
    """Run all tests and return True, or return None so that pytest runs them (see `can_use_two_processes`)."""
    files = grouped_by_file(session.items, slow_fixtures)
    if not can_use_two_processes(session, files):
        return None
    second = Second(session, queue_of(len(files)))
    second.start(files)
    try:
        for item, following in tests_to_run(files, second.queue):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            second.pass_on_reports()
        while second.pass_on_reports():
            time.sleep(0.05)
    finally:
        second.stop()
    return True


def can_use_two_processes(session: pytest.Session, files: list) -> bool:
    """Return True if the tests are many or slow, and if two processes are possible.

    Two processes need two cores, a safe fork and 2 to 256 files. They are impossible with a debugger, with the options -s
    (no capture) and --collect-only, and after a failure during collection.
    """
    option = session.config.option
    alone = option.collectonly or option.usepdb or option.trace or option.capture != "fd" or session.testsfailed
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1      # on other systems threads make a fork unsafe
    weight = sum(SLOW if item.get_closest_marker("slow") else 1 for item in session.items)
    return not alone and weight >= MANY and 1 < len(files) <= 256 and cores > 1


def grouped_by_file(items: list, slow_fixtures: frozenset) -> list[list]:
    """Return the tests of each file in order; files with a test that uses a slow fixture come first."""
    files = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    return sorted(files.values(), key=lambda file: not any(slow_fixtures & {*item.fixturenames} for item in file))


def queue_of(count: int) -> int:
    """Return the read end of a pipe. The pipe contains one byte for each file: the number of the file.

    Each byte can be read only once. The process that reads a byte runs the tests of the file with this number.
    """
    queue, end = os.pipe()
    os.write(end, bytes(range(count)))
    os.close(end)
    return queue


def tests_to_run(files: list[list], queue: int) -> Iterator[tuple]:
    """Take files from the queue until it is empty. For each test of a file, yield the test and the next test of the file.

    A process takes its next file only when all tests of the current file are done. So when the last test of a file runs, the
    next test is not known yet. The pair then ends with `None`, so pytest ends all fixtures, also those of the session.
    """
    for index in iter(lambda: os.read(queue, 1), b""):
        file = files[index[0]]
        yield from zip(file, [*file[1:], None])


class Second:
    """The second process: the first process starts it, reads its reports and stops it."""

    def __init__(self, session: pytest.Session, queue: int):
        self.session, self.queue = session, queue
        self.directory = session.config._tmp_path_factory.mktemp("second", numbered=False)
        self.reports = (self.directory / "reports").open("wb+", buffering=0)
        self.read, self.running, self.pid, self.status = 0, "", 0, None

    def start(self, files: list[list]) -> None:
        """Fork, with new capture files for each process, because the processes must not share them."""
        capture = self.session.config.pluginmanager.getplugin("capturemanager")
        capture.stop_global_capturing()
        sys.stdout.flush()
        sys.stderr.flush()
        first, self.pid = os.getpid(), os.fork()
        capture.start_global_capturing()
        capture.suspend_global_capture()
        if not self.pid:
            self.run_child(files, first)

    def run_child(self, files: list[list], first: int) -> None:
        """Run tests in the child process until the queue is empty or the first process has ended; then end the child."""
        config, status = self.session.config, 1
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # `stop` sends SIGINT; a shell may have disabled SIGINT
            config._tmp_path_factory._basetemp = self.directory  # the parent removes this directory
            config.pluginmanager.register(Reporter(self.reports))
            try:
                for item, following in tests_to_run(files, self.queue):
                    config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    if os.getppid() != first:
                        break
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                config.pluginmanager.getplugin("runner").pytest_sessionfinish(self.session)     # end the fixtures
            status = 0
        except KeyboardInterrupt:
            pass                                            # the parent reports the interrupt
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)                                # after a return, the child would continue as a second pytest

    def pass_on_reports(self) -> bool:
        """Give pytest all reports that are complete; return True if more may come."""
        alive = self.is_alive()                             # checked before reading, so that no report is missed
        hook, written = self.session.config.hook, os.pread(self.reports.fileno(), 1 << 30, self.read)
        for line in written[: written.rfind(b"\n") + 1].splitlines(keepends=True):
            self.read += len(line)
            self.running, location, reports = json.loads(line)
            for data in reports:
                report = hook.pytest_report_from_serializable(config=self.session.config, data=data)
                hook.pytest_runtest_logreport(report=report)
            if reports:
                hook.pytest_runtest_logfinish(nodeid=self.running, location=tuple(location))
            else:
                hook.pytest_runtest_logstart(nodeid=self.running, location=tuple(location))
        if self.status:
            self.session.shouldfail = f"the second process ended with {self.status} in {self.running}"
        if self.session.shouldfail:
            raise self.session.Failed(self.session.shouldfail)
        if self.session.shouldstop:
            raise self.session.Interrupted(self.session.shouldstop)
        return alive

    def is_alive(self) -> bool:
        """Return True if the process runs. If the process has ended, store its exit code (-9 if signal 9 ended it)."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is None

    def stop(self) -> None:
        """Interrupt the process as Ctrl-C does, and kill it if it still runs after ten seconds."""
        for number, seconds in ((signal.SIGINT, 10), (signal.SIGKILL, 10)):
            until = time.monotonic() + seconds
            if self.is_alive():
                os.kill(self.pid, number)
            while self.is_alive() and time.monotonic() < until:
                time.sleep(0.02)
        os.close(self.queue)
        self.reports.close()


class Reporter:
    """Plugin of the second process. It writes one line before each test, and one line with the reports after the test."""

    def __init__(self, file):
        self.file = file

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run one test as pytest does, but write its reports to `self.file` instead of printing them."""
        self.write(item, [])
        config = item.config
        reports = config.pluginmanager.getplugin("runner").runtestprotocol(item, log=False, nextitem=nextitem)
        self.write(item, [config.hook.pytest_report_to_serializable(config=config, report=report) for report in reports])
        return True

    def write(self, item: pytest.Item, reports: list) -> None:
        """Write one line: the test, its location and its reports."""
        self.file.write(json.dumps([item.nodeid, item.location, reports]).encode() + b"\n")
