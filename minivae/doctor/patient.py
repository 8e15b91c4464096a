"""Execute the file of the user in a separate process, which ends if a function hangs.

In that process, `python -c` imports this module and calls `main`. `main` writes one JSON document to stdout; what the user's
code prints goes to stderr.
"""

import contextlib
import faulthandler
import json
import os
import sys
import types
from pathlib import Path

from minivae.doctor.calls import Failed, Raised, in_users_words
from minivae.doctor.checkup import DATA, FUNCTIONS, SIZES, examine


def names_of(path: Path) -> dict:
    """Execute a file; return {name: value} for the names that the doctor uses. Raises Failed with the line of an error."""
    try:
        source = path.read_bytes()
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError) as error:              # null bytes in the file raise ValueError
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        raise Failed(f"{path}{where}: {type(error).__name__}: {getattr(error, 'msg', error)}.") from None
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    sys.modules[path.stem] = module if path.stem not in sys.modules else sys.modules[path.stem]
    sys.path.insert(0, str(path.parent))
    try:
        exec(code, vars(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Raised(in_users_words(error, str(path), "the file")) from None
    return {name: value for name, value in vars(module).items() if name in (*FUNCTIONS, *SIZES, *DATA)}


def report_on(path: str, seed: int) -> dict:
    """Return the report on a file, or {"error": words}, as a JSON document."""
    try:
        return examine(seed, path, **names_of(Path(path))).document()
    except ValueError as error:
        return {"error": str(error)}


def main(path: str, seed: str, timeout: str) -> None:
    """Examine a file and write the report, or {"error": words}, as JSON to stdout."""
    sys.dont_write_bytecode = True                          # write no .pyc files into the user's directory
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)                                           # from here on, printed text goes to stderr
    sys.stdout.reconfigure(line_buffering=True)             # after a crash, at most the last printed line is lost
    faulthandler.dump_traceback_later(float(timeout), exit=True, file=out)      # ends the process, even inside C code
    try:
        document = report_on(path, int(seed))
    except KeyboardInterrupt:
        os._exit(130)
    faulthandler.cancel_dump_traceback_later()
    with out:
        json.dump(document, out)
    with contextlib.suppress(Exception):
        sys.stdout.flush()                                  # os._exit does not flush
    os._exit(0)                                             # also ends threads that the user's file has started
