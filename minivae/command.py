"""What every command does alike: run what was asked for, and end with the promised exit code.

0 fine, 1 a check failed, 2 usage or bad input, 130 interrupted.
"""

import argparse
import os
import sys


def run(parser: argparse.ArgumentParser, argv: list[str] | None) -> int:
    """Parse `argv` and call `options.command(options)`, which returns an exit code; without a command, help.

    Bad input (ValueError) and what the system refuses (OSError) is one line on stderr; a traceback only with `--debug`.
    """
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        code = options.command(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:                                 # whoever read stdout has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        if options.debug:
            raise
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
