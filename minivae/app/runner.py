"""What every command does alike: run what was asked for, and end with the promised exit code.

0 fine, 1 a check failed, 2 usage or bad input, 130 interrupted, 143 terminated.
"""

import argparse
import codecs
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import TextIO

from minivae.app.progress import tell, unheard


def run(parser: argparse.ArgumentParser, argv: list[str] | None) -> int:
    """Parse `argv` and call `options.command(options)`, which returns an exit code; without a command, help.

    Bad input (ValueError) and what the system refuses (OSError) is one line on stderr; a traceback only with `--debug`.
    A stderr that nothing can be written to changes no exit code.
    """
    ready_streams()
    os.environ["MPLBACKEND"] = "agg"                        # a command shows no windows, whatever a notebook has set
    try:
        return exit_code(parser, parser.parse_args(argv))
    finally:
        give_up(sys.stderr)


def exit_code(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """The command's own, or that of how it ended."""
    if options.command is None:
        parser.print_help()
        return 0
    try:
        with interruptible():
            code = options.command(options)
            sys.stdout.flush()
        return code
    except BrokenPipeError:                                 # whoever read stdout has seen enough
        unheard(sys.stdout)
        return 0
    except (ValueError, OSError, MemoryError) as error:
        if options.debug:
            raise
        tell(f"{parser.prog}: {str(error) or 'more than fits into the memory of this machine'}")
        give_up(sys.stdout)
        return 2
    except KeyboardInterrupt:
        tell(f"{parser.prog}: interrupted")
        return 130


def ready_streams() -> None:
    """One that was closed before the start is empty, not None; what stdout cannot encode is escaped, not fatal."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    if hasattr(sys.stdout, "reconfigure"):                  # what stands for it in a test may have none
        codecs.register_error("minivae.escaped", escaped)
        sys.stdout.reconfigure(errors="minivae.escaped")


def escaped(error: UnicodeEncodeError) -> tuple[str, int]:
    """What cannot be encoded, as JSON writes it: a document stays one, and in other text it can be read."""
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def give_up(stream: TextIO) -> None:
    """What it holds and cannot write is lost."""
    try:
        stream.flush()
    except OSError:
        unheard(stream)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt here, even in the import of NumPy, which makes an ImportError of it."""
    asked = []

    def interrupt(number, frame):
        asked.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:                # else somebody has another use for it
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except ImportError:
        if asked:
            raise KeyboardInterrupt from None
        raise
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
