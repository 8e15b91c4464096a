"""One moving line on a terminal, few plain ones elsewhere, and an estimate of the time that is left that is right."""

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


def test_elsewhere_it_prints_ten_plain_lines(clock):
    lines = run(io.StringIO(), clock).splitlines()
    assert len(lines) == 10
    assert lines[0] == " 10/100  text   90 s left" and lines[-1] == "100/100  text    0 s left"
    assert not any("\x1b" in line or "\r" in line for line in lines)


def test_on_a_terminal_it_is_one_line_no_wider_than_the_terminal(clock):
    shown = Progress(10, stream := Terminal(), lambda: clock["now"])
    clock["now"] += 1
    shown.update(1, "x" * 200)
    shown.end()
    assert stream.getvalue().count("\n") == 1 and stream.getvalue().startswith("\r\x1b[K")
    assert len(stream.getvalue().strip().removeprefix("\x1b[K")) < 60


def test_on_a_terminal_it_is_rewritten_ten_times_a_second_at_most_and_at_the_end(clock):
    text = run(Terminal(), clock, total=1000, seconds=0.001)
    assert 9 <= text.count("\r") <= 11 and "1000/1000" in text


def test_a_dumb_terminal_gets_plain_lines(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in run(Terminal(), clock)


def test_fewer_updates_than_lines_print_every_one(clock):
    assert len(run(io.StringIO(), clock, total=3).splitlines()) == 3


def test_who_is_gone_is_told_nothing_more_and_nothing_is_left_to_flush():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream:
        progress.tell("one", stream)
        progress.tell("two", stream)


def test_who_is_slow_hears_what_comes_later():
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
