"""Progress and messages, on stderr: on a terminal one line that is rewritten, elsewhere fewer than twenty plain lines."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO


def tell(message: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Print a message on stderr. If stderr is closed or full, the message is lost, but the command continues."""
    stream = stream or sys.stderr
    try:
        print(message, file=stream, end=end, flush=hasattr(stream, "flush"))
    except BlockingIOError:                                 # the pipe is full now; there may be space for the next message
        pass
    except OSError:
        discard(stream)


def say(options: argparse.Namespace, message: str) -> None:
    """Print a message on stderr unless --quiet."""
    if not options.quiet:
        tell(message)


def discard(stream: TextIO) -> None:
    """Send all present and later output of a stream to the null device.

    Otherwise, the stream could not be flushed when Python exits, and the exit code would be 120.
    """
    with contextlib.suppress(OSError, AttributeError), open(os.devnull, "wb") as nowhere:  # not every stream has a fileno
        os.dup2(nowhere.fileno(), stream.fileno())


class Progress:
    """Progress of a loop: prints how many updates are done and how many seconds are left.

    Parameters
    ----------
    total : int
        Number of updates.
    stream : text file
        Where to print. A terminal gets one line that is rewritten; any other file gets fewer than twenty plain lines.
    clock : function
        Returns the time in seconds, like `time.monotonic`.
    """

    def __init__(self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self.total, self.stream, self.clock = total, stream or sys.stderr, clock
        self.rewrites = getattr(self.stream, "isatty", bool)() and os.environ.get("TERM") != "dumb"
        self.began, self.last_printed = clock(), -1e9
        self.plain_every = max(1, total // 10)

    def update(self, done: int, text: str) -> None:
        """Print the number of updates done, `text`, and the seconds left. Not every call prints."""
        now = self.clock()
        left = (now - self.began) / done * (self.total - done)
        line = f"{done:{len(str(self.total))}d}/{self.total}  {text}  {left:3.0f} s left"
        if self.rewrites and (now - self.last_printed > 0.1 or done == self.total):
            self.last_printed = now
            tell("\r\x1b[K" + line[: os.get_terminal_size(self.stream.fileno()).columns - 1], self.stream, end="")
        elif not self.rewrites and (done % self.plain_every == 0 or done == self.total):
            tell(line, self.stream)

    def end(self) -> None:
        """End the line that `update` rewrites, so that later output begins on a new line."""
        if self.rewrites:
            tell("", self.stream)


class Silent(Progress):
    """Progress that prints nothing, for --quiet."""

    def __init__(self):
        pass

    def update(self, done: int, text: str) -> None:
        pass

    def end(self) -> None:
        pass
