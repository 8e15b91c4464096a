"""The command `minivae doctor` examines the user's file in a separate process and prints the report.

Modules that import NumPy are imported when the command runs: `minivae --help` must not import NumPy.
"""

import argparse
import itertools
import json
import os
import re
import sys
from pathlib import Path
from typing import BinaryIO

import minivae
from minivae.app.progress import say, tell

ABOUT = """Measure the functions of your own VAE; say what its loss is and what is wrong. The command executes FILE.
In FILE it looks for functions of NumPy arrays. Give at least one: loss(x, output, mu, log_var), kl(mu, log_var),
sample(mu, log_var, eps), log_px_given_z(x, output), encode(x), decode(z), gradient(x, output, mu, log_var),
loss_and_gradient(params, x, eps), iw_bound(log_w) of log importance weights. FILE may also give the sizes features,
latent and batch, and params, x and axis; minivae/doctor/README.md explains them. Exit code 1 if something is wrong."""
EXAMPLES = """examples:
  minivae doctor my_vae.py                       what is my loss, and is it right?
  minivae doctor my_vae.py --json                the same for programs
"""
CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from minivae.doctor.patient import main; main(*sys.argv[2:])"
LINES = 10                                                  # at most this many lines of the file's output are shown
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    raw, brief = argparse.RawDescriptionHelpFormatter, "measure your own VAE: what its loss is, and what is wrong"
    parser = commands.add_parser("doctor", help=brief, description=ABOUT, epilog=EXAMPLES, formatter_class=raw)
    parser.set_defaults(command=doctor_command)
    parser.add_argument("file", type=Path, metavar="FILE", help="a Python file with your functions; it is executed")
    parser.add_argument("--seed", type=int, default=0, help="random seed for the inputs of your functions (default: 0)")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S",
                        help="end the examination after S seconds (default: 30)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the report, no progress message")
    parser.add_argument("--debug", action="store_true", help="show minivae's traceback of an error")


def doctor_command(options: argparse.Namespace) -> int:
    """Examine the file and print the report; return 1 if something is wrong."""
    from minivae import checks
    from minivae.doctor.findings import text

    if not options.file.is_file():
        checks.refuse("FILE", "an existing file", repr(str(options.file)), "Give the path of a file with your functions.")
    checks.whole_number("--seed", options.seed, 0)
    checks.real_number("--timeout", options.timeout, above=0, below=1e6)
    say(options, f"doctor: executing {options.file}")
    document = {"file": str(options.file)} | examined(options.file, options.seed, options.timeout)
    print(json.dumps(document, indent=2) if options.json else text(document))
    return 1 if document["wrong"] else 0


def examined(file: Path, seed: int, timeout: float) -> dict:
    """Return the report on a file as a JSON document. Raises ValueError if the file fails, exits or needs too much time."""
    root = str(Path(minivae.__file__).parents[1])
    environment = os.environ if any(name in os.environ for name in THREADS) else os.environ | dict.fromkeys(THREADS, "1")
    words = [sys.executable, "-c", CHILD, root, str(file), str(seed), str(timeout)]
    import subprocess                                       # not at the top: `--help` would take 3 ms longer
    import threading

    pipe = subprocess.PIPE
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment)
    printed = threading.Thread(target=show_first_lines, args=(child.stderr,), daemon=True)
    printed.start()
    try:
        with child.stdout:
            said = child.stdout.read().decode("utf-8", "replace")
        code = child.wait()
    finally:
        child.kill()                                        # after Ctrl-C, the child still runs
    printed.join(timeout=1)                                 # a process started by the file may keep the pipe open
    try:
        document = json.loads(said)
    except ValueError:
        raise ValueError(ended(file, said, code, timeout)) from None
    if "error" in document:
        raise ValueError(document["error"])
    return document


def show_first_lines(stream: BinaryIO) -> None:
    """Print on stderr the first LINES lines of a stream, and the number of further lines.

    A line of more than 1000 bytes is split into lines of at most 1000 bytes.
    """
    lines = iter(lambda: stream.readline(1000), b"")
    with stream:
        for line in itertools.islice(lines, LINES):
            tell(line.decode("utf-8", "replace").removesuffix("\n"))
        more = sum(1 for _ in lines)
    if more:
        tell(f"doctor: {more:,} more lines that the file printed are not shown")


def ended(file: Path, said: str, code: int, timeout: float) -> str:
    """Return the error message for a process that ended without a report: after a timeout, a crash or an exit."""
    if not said.startswith("Timeout"):
        how = f"by a crash (signal {-code})" if code < 0 else f"with exit code {code}"
        return f"{file}: the file ended Python {how} before the report was complete. Remove the exit or the crash."
    frames = re.findall(r'File "(.*)", line (\d+) in (\S+)', said)
    line = next((f", line {line}, in {name}" for path, line, name in frames if path == str(file)), "")
    return f"{file}{line}: not finished after {timeout:g} seconds. Make it faster, or give more time with --timeout."
