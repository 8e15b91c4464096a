"""Run the commands and examples on the pages (README.md, READMEs of folders, ERRATA.md), or renew their outputs.

    python -m tests.helpers.readme --write       renew all outputs, generated blocks and alt texts
    python -m tests.helpers.readme --write minivae/README.md        renew one page

A session is a `$ command` in a console fence or a `>>> example` in a Python fence. The sessions of a page run in order,
in a separate directory. A generated block lies between `<!-- $ COMMAND -->` and `<!-- end -->`.
"""

import contextlib
import functools
import importlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.helpers.forked import run_forked
from tests.helpers.png import png_texts

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "README.md", *sorted(ROOT.glob("minivae/**/*.md")), *sorted(ROOT.glob("derivations/**/*.md"))]
PAGES = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in FILES}
README = PAGES["README.md"]
SETUP = "python3 -m venv .venv && "
SHELL = """set -o pipefail
export PYTHONPATH={root} COLUMNS=100
python() {{ {python} "$@"; }}
minivae() {{ python -m minivae "$@"; }}
derivations() {{ python -m derivations "$@"; }}
"""


class Shown(NamedTuple):
    """A text on a page, the command (or file) that must produce it, and its position on the page."""

    kind: str                   # "console", "python", "block" or "alt"
    command: str
    text: str
    span: tuple[int, int]


def fences(page: str, language: str) -> Iterator[re.Match]:
    """Return a match for every code fence of this language on the page, in order."""
    return re.finditer(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def found(kind: str, pattern: str, page: str, start: int = 0, end: int | None = None, flags=re.MULTILINE) -> Iterator[Shown]:
    """Yield a `Shown` for every match of the pattern on the page. The pattern has the groups `command` and `text`."""
    for match in re.compile(pattern, flags).finditer(page, start, len(page) if end is None else end):
        yield Shown(kind, match["command"], match["text"], match.span("text"))


CONSOLE = r"^\$ (?P<command>.*)\n(?P<text>(?:(?!\$ ).*\n)*)"
PYTHON = r"^(?P<command>>>> .*\n(?:\.\.\. .*\n)*)(?P<text>(?:(?!>>> ).+\n)*)"


def sessions(page: str) -> list[Shown]:
    """Return the console and Python sessions of a page in order, without the setup commands (.ci/run runs those)."""
    everything = [
        shown
        for kind, pattern in (("console", CONSOLE), ("python", PYTHON))
        for fence in fences(page, kind)
        for shown in found(kind, pattern, page, *fence.span(1))
    ]
    return sorted((s for s in everything if not s.command.startswith(SETUP)), key=lambda shown: shown.span)


def blocks(page: str) -> list[Shown]:
    """Return the generated blocks of a page, without the fence around the text."""
    pattern = r"<!-- \$ (?P<command>.*?) -->\n(?:```\w*\n)?(?P<text>.*?)(?:```\n)?<!-- end -->"
    return list(found("block", pattern, page, flags=re.DOTALL))


def pictures(page: str) -> list[Shown]:
    """Return the alt texts of a page's pictures. The field `command` holds the path of the picture."""
    return list(found("alt", r"!\[(?P<text>.*?)\]\((?P<command>.*?)\)", page, flags=re.DOTALL))


def alt_text(name: str, picture: str) -> str:
    """Read the alt text from the metadata of a page's picture; return it as one line."""
    return " ".join(png_texts((ROOT / name).parent / picture)["Description"].split())


# Running


def run_command(command: str, directory: Path) -> tuple[int, str, str]:
    """Run a shell command with minivae, derivations and python of this checkout; return its exit code, stdout and stderr.

    A simple command of `minivae` or `derivations`, alone or before a pipe, runs in a fork, which saves the time of imports.
    """
    plain = re.fullmatch(r"(minivae|derivations) ([\w.,=/ -]*)(?: \| (.*))?", command)
    if not plain:
        return in_shell(command, directory)
    program, words, filter_command = plain.groups()
    code, out, err = run_forked(main_of(program), words.split(), directory, COLUMNS="100")
    if filter_command:
        filtered, out, more = in_shell(filter_command, directory, out)
        code, err = filtered or code, err + more
    return code, out, err


@functools.cache
def main_of(program: str) -> Callable:
    """Import a program and the large modules that its commands need; return the program's function `main`.

    All forks share these modules, so they are imported only once.
    """
    late = ("matplotlib.backends.backend_agg", "minivae.figures", "minivae.museum.command", "derivations.figures")
    for name in (*late, f"{program}.app.cli"):
        importlib.import_module(name)
    return sys.modules[f"{program}.app.cli"].main


def in_shell(command: str, directory: Path, typed: str = "") -> tuple[int, str, str]:
    """Run a command in bash with the text `typed` as its stdin; return exit code, stdout and stderr."""
    script = SHELL.format(root=shlex.quote(str(ROOT)), python=shlex.quote(sys.executable)) + command
    settings = {"input": typed, "capture_output": True, "text": True, "timeout": 150}
    done = subprocess.run(["bash", "-c", script], cwd=directory, **settings)
    return done.returncode, done.stdout, done.stderr


class Typed(io.StringIO):
    """Standard input for the debugger; like a terminal, it prints what is typed."""

    def readline(self, *size):
        line = super().readline(*size)
        print(line, end="")
        return line


def run_python(shown: Shown, names: dict) -> tuple[int, str, str]:
    """Run one example; after each (Pdb) prompt, enter the input that the page shows; return exit code, output, error."""
    source = re.sub(r"^(>>>|\.\.\.) ?", "", shown.command, flags=re.MULTILINE)
    before, sys.stdin = sys.stdin, Typed("".join(re.findall(r"^\(Pdb\) (.*\n)", shown.text, re.MULTILINE)))
    code, printed, error = 0, io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "<page>", "single"), names)
    except Exception:
        code, error = 1, traceback.format_exc()
    finally:
        sys.stdin = before
    return code, printed.getvalue().replace(f"{ROOT}{os.sep}", ""), error


def run_page(page: str, directory: Path) -> Iterator[tuple[Shown, int, str, str]]:
    """Yield every session of a page with its exit code, output and error; stop after the first failure."""
    names = {"__name__": "__main__"}
    with contextlib.chdir(directory):
        for shown in sessions(page):
            python = shown.kind == "python"
            results = run_python(shown, names) if python else run_command(shown.command, directory)
            yield shown, *results
            if results[0]:
                return


# Writing


def fresh_texts(name: str, page: str) -> Iterator[tuple[Shown, str]]:
    """Yield every generated text of a page with its new text: the output of its command, or the alt text of its picture."""
    with tempfile.TemporaryDirectory() as folder:
        for shown, code, printed, error in run_page(page, Path(folder)):
            if code:
                raise SystemExit(f"{name}: {shown.command}\n{error}")
            if shown.text:
                yield shown, printed
    for shown in blocks(page):
        code, printed, error = run_command(shown.command, ROOT)
        if code:
            raise SystemExit(f"{name}: {shown.command}\n{error}")
        yield shown, printed
    for shown in pictures(page):
        yield shown, alt_text(name, shown.command)


def rewritten(name: str, page: str) -> str:
    """Return the page with all generated texts renewed."""
    for shown, text in sorted(fresh_texts(name, page), key=lambda both: both[0].span, reverse=True):
        start, end = shown.span
        page = page[:start] + text + page[end:]
    return page


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"]:
        raise SystemExit(__doc__)
    for chosen in sys.argv[2:] or PAGES:
        (ROOT / chosen).write_text(rewritten(chosen, PAGES[chosen]), encoding="utf-8")
