"""What every command does alike: run what was asked for, and end with the promised exit code.

0 fine, 1 a check failed, 2 usage or bad input, 130 interrupted.
"""

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator

from minivae.progress import tell, unheard


def run(parser: argparse.ArgumentParser, argv: list[str] | None) -> int:
    """Parse `argv` and call `options.command(options)`, which returns an exit code; without a command, help.

    Bad input (ValueError) and what the system refuses (OSError) is one line on stderr; a traceback only with `--debug`.
    """
    options = parser.parse_args(argv)
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
        return 2
    except KeyboardInterrupt:
        tell(f"{parser.prog}: interrupted")
        return 130


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
