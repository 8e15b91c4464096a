"""Run a large suite in two processes: conftest.py hands pytest's loop over the tests to `run_on_two_cores`.

The fork comes after collection, so nothing is imported or collected twice. Each process takes one file at a time; files
that wait for long commands come first. The child writes its reports to a file, and the parent passes them on to
pytest: progress, failures, exit code and options such as -x and --durations are as in one process.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator

import pytest

MANY = 1000                                                 # fewer tests than this run in one process


def run_on_two_cores(session: pytest.Session, slow_fixtures: frozenset) -> bool | None:
    """Run all tests and return True, or return None where pytest's own loop has to: see `worthwhile`."""
    files = in_files(session.items, slow_fixtures)
    if not worthwhile(session, files):
        return None
    second = Second(session, deck_of(len(files)))
    second.start(files)
    try:
        for item, following in dealt(files, second.deck):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            second.pass_on_reports()
        while second.pass_on_reports():
            time.sleep(0.05)
    finally:
        second.stop()
    return True


def worthwhile(session: pytest.Session, files: list) -> bool:
    """Return whether there are many tests, two cores, a safe fork and nobody at a debugger."""
    option = session.config.option
    alone = option.collectonly or option.usepdb or option.trace or option.capture != "fd" or session.testsfailed
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1      # elsewhere threads make a fork unsafe
    return not alone and len(session.items) >= MANY and 1 < len(files) <= 256 and cores > 1


def in_files(items: list, slow_fixtures: frozenset) -> list[list]:
    """The tests by file, in their order, but first the files with a test that uses a slow fixture."""
    files = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    return sorted(files.values(), key=lambda file: not any(slow_fixtures & {*item.fixturenames} for item in file))


def deck_of(count: int) -> int:
    """A pipe that holds one byte per file: each can be read once, by either process."""
    deck, end = os.pipe()
    os.write(end, bytes(range(count)))
    os.close(end)
    return deck


def dealt(files: list[list], deck: int) -> Iterator[tuple]:
    """Every test that this process draws from the deck, with the next one of its file, or None after the last.

    After a None pytest ends all fixtures, those of the session too: the next file is drawn only when this one has ended.
    """
    for card in iter(lambda: os.read(deck, 1), b""):
        file = files[card[0]]
        yield from zip(file, [*file[1:], None])


class Second:
    """The second process, as the first one sees it."""

    def __init__(self, session: pytest.Session, deck: int):
        self.session, self.deck = session, deck
        self.room = session.config._tmp_path_factory.mktemp("second", numbered=False)
        self.reports = (self.room / "reports").open("wb+", buffering=0)
        self.read, self.begun, self.pid, self.status = 0, "", 0, None

    def start(self, files: list[list]) -> None:
        """Fork. Captured output goes through files that the processes must not share, so each gets new ones."""
        capture = self.session.config.pluginmanager.getplugin("capturemanager")
        capture.stop_global_capturing()
        sys.stdout.flush()
        sys.stderr.flush()
        first, self.pid = os.getpid(), os.fork()
        capture.start_global_capturing()
        capture.suspend_global_capture()
        if not self.pid:
            self.be(files, first)

    def be(self, files: list[list], first: int) -> None:
        """Run tests in the child until the deck is empty or the first process is gone; never return."""
        config, status = self.session.config, 1
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)    # a shell may have started us deaf to it
            config._tmp_path_factory._basetemp = self.room  # the parent removes it with its own
            config.pluginmanager.register(Reporter(self.reports))
            try:
                for item, following in dealt(files, self.deck):
                    config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    if os.getppid() != first:
                        break
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                config.pluginmanager.getplugin("runner").pytest_sessionfinish(self.session)     # ends fixtures that are left
            status = 0
        except KeyboardInterrupt:
            pass                                            # the parent says so
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)                                # whatever happens: the rest is the parent's

    def pass_on_reports(self) -> bool:
        """Give pytest all reports that are complete; return whether more may come."""
        alive = self.is_alive()                             # asked first: what it wrote before it ended is read below
        hook, written = self.session.config.hook, os.pread(self.reports.fileno(), 1 << 30, self.read)
        for line in written[: written.rfind(b"\n") + 1].splitlines(keepends=True):
            self.read += len(line)
            self.begun, location, reports = json.loads(line)
            for data in reports:
                report = hook.pytest_report_from_serializable(config=self.session.config, data=data)
                hook.pytest_runtest_logreport(report=report)
            if reports:
                hook.pytest_runtest_logfinish(nodeid=self.begun, location=tuple(location))
            else:
                hook.pytest_runtest_logstart(nodeid=self.begun, location=tuple(location))
        if self.status:
            self.session.shouldfail = f"the second process ended with {self.status} in {self.begun}"
        if self.session.shouldfail:
            raise self.session.Failed(self.session.shouldfail)
        if self.session.shouldstop:
            raise self.session.Interrupted(self.session.shouldstop)
        return alive

    def is_alive(self) -> bool:
        """Return whether it runs; note its exit code (minus the signal that ended it) when it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is None

    def stop(self) -> None:
        """Interrupt it if it still runs, as Ctrl-C would, and kill it if that has no effect for ten seconds."""
        for number, seconds in ((signal.SIGINT, 10), (signal.SIGKILL, 10)):
            until = time.monotonic() + seconds
            if self.is_alive():
                os.kill(self.pid, number)
            while self.is_alive() and time.monotonic() < until:
                time.sleep(0.02)
        os.close(self.deck)
        self.reports.close()


class Reporter:
    """A plugin of the second process: write a line when a test begins, and one with its reports when it has ended."""

    def __init__(self, file):
        self.file = file

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run one test as pytest does, but report it to the file."""
        self.write(item, [])
        config = item.config
        reports = config.pluginmanager.getplugin("runner").runtestprotocol(item, log=False, nextitem=nextitem)
        self.write(item, [config.hook.pytest_report_to_serializable(config=config, report=report) for report in reports])
        return True

    def write(self, item: pytest.Item, reports: list) -> None:
        """One line: the test, where it stands, and what came of it."""
        self.file.write(json.dumps([item.nodeid, item.location, reports]).encode() + b"\n")
