"""`Progress` shows the remaining seconds: in one rewritten line on a terminal, in a few plain lines elsewhere."""

import contextlib
import io
import os

import pytest

from minivae.app import progress
from minivae.app.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 0


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.delenv("TERM", raising=False)
    monkeypatch.setattr(progress.os, "get_terminal_size", lambda fd: progress.os.terminal_size((60, 24)))
    times = {"now": 100.0}
    return times


def run(stream, clock, total=100, seconds=1.0):
    shown = Progress(total, stream, lambda: clock["now"])
    for done in range(1, total + 1):
        clock["now"] += seconds
        shown.update(done, "text")
    shown.end()
    return stream.getvalue()


def test_progress_prints_ten_plain_lines_without_a_terminal(clock):
    lines = run(io.StringIO(), clock).splitlines()
    assert len(lines) == 10
    assert lines[0] == " 10/100  text   90 s left" and lines[-1] == "100/100  text    0 s left"
    assert not any("\x1b" in line or "\r" in line for line in lines)


def test_progress_is_one_line_that_is_narrower_than_the_terminal(clock):
    shown = Progress(10, stream := Terminal(), lambda: clock["now"])
    clock["now"] += 1
    shown.update(1, "x" * 200)
    shown.end()
    assert stream.getvalue().count("\n") == 1 and stream.getvalue().startswith("\r\x1b[K")
    assert len(stream.getvalue().strip().removeprefix("\x1b[K")) < 60


def test_progress_rewrites_its_line_about_ten_times_a_second(clock):
    text = run(Terminal(), clock, total=1000, seconds=0.001)
    assert 9 <= text.count("\r") <= 11 and "1000/1000" in text


def test_progress_prints_plain_lines_on_a_dumb_terminal(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in run(Terminal(), clock)


def test_progress_prints_every_update_if_the_updates_are_few(clock):
    assert len(run(io.StringIO(), clock, total=3).splitlines()) == 3


def test_progress_prints_at_most_nineteen_plain_lines(clock):
    assert max(len(run(io.StringIO(), clock, total).splitlines()) for total in range(1, 120)) == 19


def test_messages_to_a_closed_pipe_are_discarded():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream:
        progress.tell("one", stream)
        progress.tell("two", stream)


def test_messages_to_a_full_pipe_are_skipped_until_it_is_read():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    with open(reading, "rb", buffering=0) as reader, open(writing, "w", encoding="utf-8") as stream:
        progress.tell("one", stream)
        reader.readall()
        progress.tell("two", stream)
        assert reader.readall().endswith(b"two\n")
