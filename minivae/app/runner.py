"""Run a command: parse the options, call it, and turn errors into a message on stderr and an exit code.

Exit codes: 0 success, 1 a check failed, 2 wrong usage or bad input, 130 interrupted, 143 terminated.
"""

import argparse
import codecs
import contextlib
import json
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from minivae.app.progress import discard, tell

TEXTS = {"data": str, "label": str, "delimiter": str, "out": Path, "resume": Path}    # options whose value is any text


def run(parser: argparse.ArgumentParser, argv: list[str] | str | None) -> int:
    """Parse `argv`, call `options.command(options)` and return its exit code; without a command, print the help.

    After bad input (ValueError), an error of the system (OSError) or too little memory, print a message on stderr. With
    `--debug`, raise the error, so that Python prints a traceback. The exit code is the same even if stderr is closed or
    full. After wrong usage or `--help`, return an exit code, too: a SystemExit would end a notebook's cell or a thread.
    """
    ready_streams()
    try:
        with without_mplbackend():
            try:
                options = parsed(parser, argv)
            except SystemExit as end:                       # argparse has printed the help or an error message
                flush_or_discard(sys.stdout)
                return int(end.code or 0)
            return exit_code(parser, options)
    finally:
        flush_or_discard(sys.stderr)


def parsed(parser: argparse.ArgumentParser, argv: list[str] | str | None) -> argparse.Namespace:
    """Return the options of a command line, given as one text or as a list of words, numbers and paths.

    For --label=--, argparse before Python 3.13 gives the value []; this value is replaced by the typed text "--".
    """
    if argv is not None:
        argv = shlex.split(argv) if isinstance(argv, str) else [str(word) for word in argv]
    options, rest = parser.parse_known_args(argv)
    if rest:                                                # the shell replaces *.png by many names: show three
        more = f" and {len(rest) - 3} more. Name their directory instead." if len(rest) > 3 else ""
        parser.error(f"unrecognized arguments: {' '.join(rest[:3])}{more}")
    for name, kind in TEXTS.items():
        if getattr(options, name, None) == []:
            setattr(options, name, kind("--"))
    return options


def exit_code(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Run the command and return its exit code. If an error ends the command, return the exit code for this error."""
    if options.command is None:
        parser.print_help()
        return 0
    try:
        with interruptible():
            code = options.command(options)
            getattr(sys.stdout, "flush", int)()             # if sys.stdout was replaced, it may have no flush
        return code
    except BrokenPipeError:                                 # the reader of stdout has ended, for example `head`
        discard(sys.stdout)
        return 0
    except (ValueError, OSError, MemoryError) as error:
        if options.debug:
            raise
        tell(f"{parser.prog}: {in_options(str(error), options) or 'not enough memory'}")
        flush_or_discard(sys.stdout)
        return 2
    except KeyboardInterrupt:
        tell(f"{parser.prog}: interrupted")
        return 130


def in_options(message: str, options: argparse.Namespace) -> str:
    """Return an error message with options in place of arguments: `--latent` for latent, `--latent 1` for latent=1."""
    found = re.match(r"((?:every (?:\w+ (?:in|of) )?)?)(\w+) must be ", message)
    if not found or found[2] in ("run", "path", "name") or not hasattr(options, found[2]):
        return message
    name, rest = found[2], message[found.end() :]
    option = "-n" if name == "n" else f"--{name}"

    def typed(example: re.Match) -> str:
        return f"{option} " + example[1].strip("'(),").replace(", ", "x" if name == "image" else ",")

    return f"{found[1]}{option} must be " + re.sub(rf"\b{name}=(\([^)]*\)|'[^']*'|[\w.-]*\w)", typed, rest)


def ready_streams() -> None:
    """Replace closed streams (None) by the null device; make stdout escape characters that it cannot encode."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    if hasattr(sys.stdout, "reconfigure"):                  # a test's substitute for stdout may lack this method
        codecs.register_error("minivae.escaped", escaped)
        sys.stdout.reconfigure(errors="minivae.escaped")


def escaped(error: UnicodeEncodeError) -> tuple[str, int]:
    """Return JSON escapes for characters that cannot be encoded, so that a JSON document stays valid."""
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def flush_or_discard(stream: TextIO) -> None:
    """Flush the stream. If this raises an error, discard the output."""
    try:
        getattr(stream, "flush", int)()
    except OSError:
        discard(stream)


@contextlib.contextmanager
def without_mplbackend() -> Iterator[None]:
    """Hide the variable MPLBACKEND from matplotlib inside `with`: it can name a backend that matplotlib does not know.

    At the end, restore the variable. If matplotlib was imported inside `with`, also give matplotlib the backend that the
    variable names, because notebooks need it.
    """
    before, imported = os.environ.pop("MPLBACKEND", None), "matplotlib" in sys.modules
    try:
        yield
    finally:
        if before is not None:
            os.environ["MPLBACKEND"] = before
            if not imported and "matplotlib" in sys.modules:
                with contextlib.suppress(ValueError):
                    sys.modules["matplotlib"].rcParams["backend"] = before


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Make Ctrl-C raise KeyboardInterrupt inside `with`, also while NumPy is imported.

    Without this, the import of NumPy would turn the KeyboardInterrupt into an ImportError.
    """
    interrupts = []

    def interrupt(number, frame):
        interrupts.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if before is signal.default_int_handler:                # keep a handler that the calling code has set
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except ImportError:
        if interrupts:
            raise KeyboardInterrupt from None
        raise
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def use_one_thread() -> None:
    """Use one BLAS thread, because products of small matrices are slower with two or more threads.

    If the user has set the number of threads, keep this number. The function has no effect if NumPy was imported before.
    """
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    if "numpy" not in sys.modules and not any(name in os.environ for name in names):
        os.environ |= dict.fromkeys(names, "1")
