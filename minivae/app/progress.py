"""One line that moves on a terminal; plain lines, and few of them, everywhere else. Always on stderr."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO


def tell(message: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Say it on stderr, unless nobody listens any more: that is no reason to stop."""
    try:
        print(message, file=stream or sys.stderr, end=end, flush=True)
    except BlockingIOError:                                 # a slow reader, who may hear the next one
        pass
    except OSError:
        unheard(stream or sys.stderr)


def say(options: argparse.Namespace, message: str) -> None:
    """Tell it, unless it is to be quiet."""
    if not options.quiet:
        tell(message)


def unheard(stream: TextIO) -> None:
    """Send what a stream still holds, and all to come, nowhere: a flush that fails at exit makes 120 of the exit code."""
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


class Progress:
    """Say how far a loop has come and when it will end.

    Parameters
    ----------
    total : int
        How many updates there will be.
    stream : text file
        Where to write; its `isatty` decides between one moving line and plain ones.
    clock : function
        Seconds, as `time.monotonic` gives them.
    """

    def __init__(self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self.total, self.stream, self.clock = total, stream or sys.stderr, clock
        self.moving = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.began, self.said = clock(), -1e9
        self.plain_every = max(1, total // 10)

    def update(self, done: int, text: str) -> None:
        """`done` of `total` are done; `text` says what came of it."""
        now = self.clock()
        left = (now - self.began) / done * (self.total - done)
        line = f"{done:{len(str(self.total))}d}/{self.total}  {text}  {left:3.0f} s left"
        if self.moving and (now - self.said > 0.1 or done == self.total):
            self.said = now
            tell("\r\x1b[K" + line[: os.get_terminal_size(self.stream.fileno()).columns - 1], self.stream, end="")
        elif not self.moving and (done % self.plain_every == 0 or done == self.total):
            tell(line, self.stream)

    def end(self) -> None:
        """Leave the moving line behind, so that what follows begins on a line of its own."""
        if self.moving:
            tell("", self.stream)


class Silent(Progress):
    """A progress that says nothing."""

    def __init__(self):
        pass

    def update(self, done: int, text: str) -> None:
        pass

    def end(self) -> None:
        pass
