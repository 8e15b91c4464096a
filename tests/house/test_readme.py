"""The README is executed: every command, every Python session, every number, every name, every file."""

import ast
import doctest
import importlib
import io
import re
import tokenize

import pytest

import derivations
import minivae
from derivations.engine import ledger
from tests.helpers.png import png_texts
from tests.helpers.readme import README, ROOT, SETUP, blocks, sessions


def same(printed, shown):
    """The same words, and numbers as near as two seeds are: 5 % for large ones, half of themselves for small ones."""
    word = re.compile(r"-?\d+\.\d+|\S+")
    printed, shown = word.findall(printed), word.findall(shown)
    if len(printed) != len(shown):
        return False
    for a, b in zip(printed, shown):
        if re.fullmatch(r"-?\d+\.\d+", b):
            if not re.fullmatch(r"-?\d+\.\d+", a) or abs(float(a) - float(b)) > abs(float(b)) * (0.05 if abs(float(b)) > 20 else 0.5):
                return False
        elif a != b:
            return False
    return True


def test_the_comparison_of_outputs_can_fail():
    shown = "ELBO  -135.7 +- 0.009  files  a.png"
    assert same("ELBO -137.1 +- 0.010 files a.png", shown)
    for printed in ("ELBO -135.7 +- 0.009 files b.png", "ELBO -150.0 +- 0.009 files a.png", "ELBO -135.7 +- 0.009 files",
                    "ELBO -135.7 +- 0.02 files a.png", "ELBO nan +- 0.009 files a.png", "ELBO 135.7 +- 0.009 files a.png"):
        assert not same(printed, shown), printed


def test_every_command_runs_in_order_and_prints_what_is_shown(readme_commands):
    commands = list(sessions())
    assert len(commands) >= 6 and sum(bool(output) for _, output in commands) >= 1
    assert {command.split()[0] for command, _ in commands} == {"minivae", "derivations"}
    for each in readme_commands:
        assert each["code"] == 0, each["err"]
        shown, printed = each["output"], each["printed"]
        assert not shown or same(printed, shown), f"{each['command']} printed\n{printed}"
    assert [(each["command"], each["output"]) for each in readme_commands] == commands


def test_the_two_lines_that_set_up_end_in_the_main_job_and_in_pytest_and_ci_runs_them():
    lines = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ " + SETUP)]
    assert [line.split()[-1] for line in lines] == ["train", "pytest"]
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_every_python_session_prints_what_is_shown():
    sessions = "\n".join(blocks("python"))
    assert sessions.count(">>>") > 10
    test = doctest.DocTestParser().get_doctest(sessions, {}, "README.md", "README.md", 0)
    report = io.StringIO()
    assert doctest.DocTestRunner().run(test, out=report.write).failed == 0, report.getvalue()


CORE = ("ops", "gaussian", "likelihood", "objective", "params", "vae", "adam")


def count_code(source):
    """Lines with code on them: no blank line, no comment, no docstring."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_the_size_of_the_core_is_what_the_readme_says():
    sources = [(ROOT / "minivae" / f"{name}.py").read_text() for name in CORE]
    lines, code = (int(number) for number in re.search(r"is (\d+) lines, (\d+) of them code", README).groups())
    assert lines == sum(len(source.splitlines()) for source in sources)
    assert code == sum(count_code(source) for source in sources)
    assert code < 600


def test_every_name_and_file_that_is_mentioned_exists():
    names = set(re.findall(r"`([a-z]+(?:\.[A-Za-z_]+)+)`", README))
    files = {name for name in names if name.endswith((".py", ".csv", ".npy", ".npz"))}
    assert len(names - files) >= 15
    for name in names - files:
        module, *attributes = name.split(".")
        found = importlib.import_module(f"minivae.{module}")
        for attribute in attributes:
            found = getattr(found, attribute)
    for path in re.findall(r"`(tests/[\w/.]+)`", README) + re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / path).exists(), path


PACKAGES = [path.parent for name in ("minivae", "derivations") for path in sorted((ROOT / name).rglob("__init__.py"))]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_entrance_of_a_package_names_every_module_in_it(package):
    modules = {path.stem for path in package.glob("[!_]*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    entrance = (package / "__init__.py").read_text(encoding="utf-8")
    assert modules - set(re.findall(r"\w+", entrance)) == set()


def test_the_size_of_the_ledger_is_what_the_readme_says():
    said = {source: int(rows) for source, rows in re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", README, re.MULTILINE)}
    sources = [source for source in ledger.SOURCES if source != "beyond"]
    assert said == {source: sum(len(entry.rows) for entry in ledger.entries(source)) for source in sources}
    assert int(re.search(r"of four tutorials as a function, (\d+) rows in all", README)[1]) == sum(said.values())
    numbered = [entry for entry in ledger.entries("odaibo") if entry.id.removeprefix("odaibo.").isdigit()]
    assert int(re.search(r"(\d+) numbered equations", README)[1]) == len(numbered)


def test_every_picture_carries_the_alt_text_that_the_readme_gives_it():
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", README, re.DOTALL)
    assert pictures
    for alt, path in pictures:
        assert " ".join(alt.split()) == " ".join(png_texts(ROOT / path)["Description"].split())


@pytest.mark.parametrize("word", ["TODO", "HERO", "OUTPUT", "BENCHMARK"])
def test_nothing_is_left_to_fill_in(word):
    assert word not in README
