"""The pages of the project (README.md, the READMEs of the folders, ERRATA.md): run what they show, or write it anew.

    python -m tests.helpers.readme DIRECTORY     run every session of every page there: JSON on stdout, for the tests
    python -m tests.helpers.readme --write       replace all outputs, generated blocks and alt texts by fresh ones
    python -m tests.helpers.readme --write minivae/README.md        the same for one page

A session is a `$ command` in a console fence or a `>>> example` in a Python fence. The sessions of a page run in order, in
a directory of its own. A generated block stands between `<!-- $ COMMAND -->` and `<!-- end -->`.
"""

import contextlib
import functools
import importlib
import io
import json
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
    """A text on a page that some command or file has to confirm: the command, the text, and where on the page it stands."""

    kind: str                   # "console", "python", "block" or "alt"
    command: str
    text: str
    span: tuple[int, int]


def fences(page: str, language: str) -> Iterator[re.Match]:
    """The fenced texts of one language, in order."""
    return re.finditer(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def found(kind: str, pattern: str, page: str, start: int = 0, end: int | None = None, flags=re.MULTILINE) -> Iterator[Shown]:
    """Every match of a pattern whose groups are a command and the text that it has to confirm."""
    for match in re.compile(pattern, flags).finditer(page, start, len(page) if end is None else end):
        yield Shown(kind, match["command"], match["text"], match.span("text"))


CONSOLE = r"^\$ (?P<command>.*)\n(?P<text>(?:(?!\$ ).*\n)*)"
PYTHON = r"^(?P<command>>>> .*\n(?:\.\.\. .*\n)*)(?P<text>(?:(?!>>> ).+\n)*)"


def sessions(page: str) -> list[Shown]:
    """The console and Python sessions of a page, in order, without the two commands that set up (.ci/run runs those)."""
    everything = [
        shown
        for kind, pattern in (("console", CONSOLE), ("python", PYTHON))
        for fence in fences(page, kind)
        for shown in found(kind, pattern, page, *fence.span(1))
    ]
    return sorted((s for s in everything if not s.command.startswith(SETUP)), key=lambda shown: shown.span)


def blocks(page: str) -> list[Shown]:
    """The generated blocks of a page; a fence around the text is not part of it."""
    pattern = r"<!-- \$ (?P<command>.*?) -->\n(?:```\w*\n)?(?P<text>.*?)(?:```\n)?<!-- end -->"
    return list(found("block", pattern, page, flags=re.DOTALL))


def pictures(page: str) -> list[Shown]:
    """The alt texts of a page; their command is the path of the picture."""
    return list(found("alt", r"!\[(?P<text>.*?)\]\((?P<command>.*?)\)", page, flags=re.DOTALL))


def alt_text(name: str, picture: str) -> str:
    """The alt text in the metadata of a picture that a page shows, on one line."""
    return " ".join(png_texts((ROOT / name).parent / picture)["Description"].split())


# Running


def run_command(command: str, directory: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a shell command in which `minivae`, `derivations` and `python` are this checkout's.

    A plain `minivae` or `derivations`, with a filter behind it or none, runs in a fork, which saves it the imports.
    """
    plain = re.fullmatch(r"(minivae|derivations) ([\w.,=/ -]*)(?: \| (.*))?", command)
    if not plain:
        return in_shell(command, directory)
    program, words, behind = plain.groups()
    code, out, err = run_forked(main_of(program), words.split(), directory, COLUMNS="100")
    if behind:
        filtered, out, more = in_shell(behind, directory, out)
        code, err = filtered or code, err + more
    return code, out, err


@functools.cache
def main_of(program: str) -> Callable:
    """The main function of a program, with all modules imported that its commands import late."""
    late = ("matplotlib.backends.backend_agg", "minivae.figures", "minivae.museum.command", "derivations.figures")
    for name in (*late, f"{program}.app.cli"):
        importlib.import_module(name)
    return sys.modules[f"{program}.app.cli"].main


def in_shell(command: str, directory: Path, typed: str = "") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that bash runs, with this text as its stdin."""
    script = SHELL.format(root=shlex.quote(str(ROOT)), python=shlex.quote(sys.executable)) + command
    settings = {"input": typed, "capture_output": True, "text": True, "timeout": 150}
    done = subprocess.run(["bash", "-c", script], cwd=directory, **settings)
    return done.returncode, done.stdout, done.stderr


class Typed(io.StringIO):
    """Standard input that echoes what is typed, as a terminal does; for the debugger."""

    def readline(self, *size):
        line = super().readline(*size)
        print(line, end="")
        return line


def run_python(shown: Shown, names: dict) -> tuple[int, str, str]:
    """Exit code, output and error of one example; after the prompt (Pdb) it types what the page types."""
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
    """Every session of a page with its exit code, output and error; the first failure is the last session."""
    names = {"__name__": "__main__"}
    with contextlib.chdir(directory):
        for shown in sessions(page):
            python = shown.kind == "python"
            came = run_python(shown, names) if python else run_command(shown.command, directory)
            yield shown, *came
            if came[0]:
                return


def run_everything(directory: Path) -> list[dict]:
    """Every session of every page, each page in a folder of its own."""
    came = []
    for name, page in PAGES.items():
        room = directory / name.replace("/", "-")
        room.mkdir()
        for shown, code, printed, error in run_page(page, room):
            session = {"page": name, "kind": shown.kind, "command": shown.command, "shown": shown.text}
            came.append(session | {"code": code, "printed": printed, "err": error})
    return came


# Writing


def fresh_texts(name: str, page: str) -> Iterator[tuple[Shown, str]]:
    """Everything on a page that can be written anew, with its new text."""
    with tempfile.TemporaryDirectory() as room:
        for shown, code, printed, error in run_page(page, Path(room)):
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
    """The page with everything that can be written anew."""
    for shown, text in sorted(fresh_texts(name, page), key=lambda both: both[0].span, reverse=True):
        start, end = shown.span
        page = page[:start] + text + page[end:]
    return page


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        for chosen in sys.argv[2:] or PAGES:
            (ROOT / chosen).write_text(rewritten(chosen, PAGES[chosen]), encoding="utf-8")
    else:
        print(json.dumps(run_everything(Path(sys.argv[1]))))
