"""Run a command of the project in a fork of this process, which saves the time of the imports."""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path


def run_forked(main: Callable, arguments: list[str], directory: Path, **environment: str) -> tuple[int, str, str]:
    """Run main(arguments) in this directory, with an empty stdin; return its exit code, stdout and stderr."""
    sys.stdout.flush()
    sys.stderr.flush()
    with open(os.devnull) as empty, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            run_in_child(main, arguments, directory, environment, (empty, out, err))
        _, status = os.waitpid(child, 0)
        printed = [(file.seek(0), file.read())[1] for file in (out, err)]
    return os.waitstatus_to_exitcode(status), *printed


def run_in_child(main, arguments, directory, environment, files):
    """Run main in the child process, with these files as stdin, stdout and stderr; never return."""
    code = 1
    try:
        os.chdir(directory)
        os.environ.update(environment)
        for number, file in enumerate(files):
            os.dup2(file.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = files
        code = main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
