"""On README.md and all other pages, commands and Python sessions run; tables, numbers, names, links and texts are right."""

import ast
import importlib
import io
import re
import tokenize

import pytest

import derivations.app.cli
import minivae.app.cli
from derivations.engine import ledger
from derivations.engine.equation import VERDICTS
from derivations.pages.glossary import MEANINGS
from minivae.museum.exhibits import bugs
from tests.helpers import readme
from tests.helpers.readme import PAGES, README, ROOT, SETUP, alt_text, blocks, fences, pictures, sessions

PROGRAMS = {"minivae": minivae.app.cli, "derivations": derivations.app.cli}
every_page = pytest.mark.parametrize("name", PAGES)


def same(printed, shown):
    """Return True if both texts have the same words and whole numbers, and their decimal numbers are close.

    Two decimal numbers are close if they differ by at most 5 %. For numbers from -20 to 20, a difference of 50 % is allowed.
    """
    word = re.compile(r"-?\d+\.\d+|\S+")
    printed, shown = word.findall(printed), word.findall(shown)
    if len(printed) != len(shown):
        return False
    for a, b in zip(printed, shown):
        if re.fullmatch(r"-?\d+\.\d+", b):
            tolerance = abs(float(b)) * (0.05 if abs(float(b)) > 20 else 0.5)
            if not re.fullmatch(r"-?\d+\.\d+", a) or abs(float(a) - float(b)) > tolerance:
                return False
        elif a != b:
            return False
    return True


def test_function_same_rejects_wrong_words_and_numbers_outside_the_tolerance():
    shown = "ELBO  -135.7 +- 0.009  files  a.png"
    assert same("ELBO -137.1 +- 0.010 files a.png", shown)
    for printed in ("ELBO -135.7 +- 0.009 files b.png", "ELBO -150.0 +- 0.009 files a.png", "ELBO -135.7 +- 0.009 files",
                    "ELBO -135.7 +- 0.02 files a.png", "ELBO nan +- 0.009 files a.png", "ELBO 135.7 +- 0.009 files a.png"):
        assert not same(printed, shown), printed


@pytest.fixture
def page_results(name, tmp_path):
    """Run all sessions of a page; return each with its exit code, output and error."""
    return list(readme.run_page(PAGES[name], tmp_path))


@pytest.mark.slow
@every_page
def test_commands_and_examples_print_what_the_page_shows(name, page_results):
    for shown, code, printed, error in page_results:
        assert code == 0, error
        optional = not shown.text and shown.kind == "console"       # a page may leave out the output of a command
        assert optional or same(printed, shown.text), f"{shown.command} printed\n{printed}"
    assert [shown for shown, *_ in page_results] == sessions(PAGES[name])


def test_pages_show_sessions_with_output():
    every = [each for page in PAGES.values() for each in sessions(page)]
    shown = {kind: [each.text for each in every if each.kind == kind] for kind in ("console", "python")}
    assert len(shown["console"]) >= 30 and sum(map(bool, shown["console"])) >= 6
    assert len(shown["python"]) >= 20 and sum(map(bool, shown["python"])) >= 5


def test_running_a_page_reports_a_wrong_command_and_a_wrong_example(tmp_path):
    page = "```console\n$ minivae rosetta --list | head -n 1\n$ minivae juggle\n$ minivae\n```\n"
    codes = [(shown.command.split()[1], code) for shown, code, *_ in readme.run_page(page, tmp_path)]
    assert codes == [("rosetta", 0), ("juggle", 2)]
    page = "```python\n>>> 1 + 1\n2\n\n>>> int('x')\n```\n"
    assert [(printed, code) for _, code, printed, _ in readme.run_page(page, tmp_path)] == [("2\n", 0), ("", 1)]


def test_text_after_the_debugger_prompt_is_given_to_the_debugger(tmp_path):
    page = "```python\n>>> import pdb\n>>> pdb.runcall(lambda a: a + 1, 2)\n(Pdb) p a + 40\n42\n(Pdb) q\n```\n"
    *_, (_, code, printed, error) = readme.run_page(page, tmp_path)
    assert code == 0 and printed.endswith("(Pdb) p a + 40\n42\n(Pdb) q\n"), error


def test_ci_runs_both_setup_commands_of_the_readme():
    shown = [line for fence in fences(README, "console") for line in fence[1].splitlines()]
    lines = [line[2:] for line in shown if line.startswith("$ " + SETUP)]
    assert [line.split()[-1] for line in lines] == ["train", "pytest"]
    ci = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in ci and "-m pytest -m slow $slow)" in ci            # because a plain pytest leaves out slow tests


MATRIX = "minivae museum --matrix --markdown"                # its output is checked in tests/museum/test_museum.py


BLOCKS = [block for page in PAGES.values() for block in blocks(page)]


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.command)
def test_generated_block_of_a_page_equals_the_output_of_its_command(block, capsys):
    if block.command == MATRIX:
        return
    program, *arguments = block.command.split()
    if program == "sed":
        printed = readme.run_command(block.command, ROOT)[1]
    else:
        assert PROGRAMS[program].main(arguments) == 0
        printed = capsys.readouterr().out
    assert block.text == printed, "python -m tests.helpers.readme --write"
    assert len(printed.splitlines()) > 2


def test_pages_have_all_generated_tables():
    commands = {block.command for page in PAGES.values() for block in blocks(page)}
    sources = [source for source in ledger.SOURCES if source != "beyond"]
    errata = {f"derivations errata {source} --markdown" for source in sources}
    tables = {"minivae rosetta --markdown", "derivations compare --markdown", "derivations map --markdown"}
    assert commands >= errata | tables | {MATRIX}


def test_rewriting_a_page_updates_outputs_and_blocks_and_alt_texts():
    picture = "![old](tests/pictures/hero.png)\n"
    example = "```python\n>>> 1 + 1\n3\n```\n"
    block = "<!-- $ sed -n 1p LICENSE -->\n```\nold\n```\n<!-- end -->\n"
    page = f"{example}{block}{picture}```console\n$ minivae --version\nold\n```\n"
    new = readme.rewritten("README.md", page)
    assert [each.text for each in sessions(new)] == ["2\n", f"minivae {minivae.__version__}\n"]
    assert blocks(new)[0].text == (ROOT / "LICENSE").read_text().splitlines(True)[0]
    assert pictures(new)[0].text == alt_text("README.md", "tests/pictures/hero.png")


CORE = ("ops", "gaussian", "likelihood", "objective", "params", "vae", "adam")


def count_code(source):
    """Return the number of lines with code, without blank lines, comments and docstrings."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_readme_states_the_size_of_the_core():
    sources = [(ROOT / "minivae" / f"{name}.py").read_text() for name in CORE]
    stated = [int(number) for number in re.search(r"has (\d+) lines, (\d+) of them code", README).groups()]
    assert stated == [sum(len(source.splitlines()) for source in sources), sum(count_code(source) for source in sources)]
    assert stated[1] < 600


def test_readme_states_the_length_of_the_code_outside_the_core():
    stated = re.search(r"The rest, ([\d,]+) lines of `minivae` and ([\d,]+) of\s`derivations`", README).groups()
    for package, number in zip(("minivae", "derivations"), stated):
        read = [f"{name}.py" for name in (*CORE, "train", "one_page")] if package == "minivae" else []
        files = [path for path in (ROOT / package).rglob("*.py") if path.name not in read or path.parent.name != package]
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
        assert abs(lines - int(number.replace(",", ""))) < 0.1 * lines, lines


def test_front_page_states_correct_numbers_of_exhibits_and_hidden_units_and_epochs():
    (exhibits,) = re.findall(r"which checks notice each of (\d+) bugs", README)
    assert int(exhibits) == len(bugs())
    words = r"with (\d+) hidden units \(the command uses ([\d,]+)\) and (\d+) epochs:.*?hidden=\((\d+),\).*?epochs=(\d+)\)"
    units, command, epochs, typed_units, typed_epochs = re.search(words, README, re.DOTALL).groups()
    assert (units, epochs) == (typed_units, typed_epochs)
    assert tuple(map(int, command.split(","))) == minivae.app.cli.DEFAULTS["hidden"]


def rows_between(first, last):
    """Return the ledger rows of the numbered equations from `first` to `last`, in the order of the source."""
    entries = [entry for entry in ledger.entries(first.split(".")[0]) if entry.id.split(".")[1].isdigit()]
    ids = [entry.id for entry in entries]
    return [row for entry in entries[ids.index(first) : ids.index(last) + 1] for row in entry.rows]


def test_errata_page_and_ledger_agree_on_right_and_wrong_equations():
    text = PAGES["derivations/ERRATA.md"]
    steps, wrong = re.search(r"Every equation (from.*?)\n(Five of the seven wrong lines.*?)\n\n", text, re.DOTALL).groups()
    chains = re.findall(r"`([\w.]+)` to `([\w.]+)`", steps)
    single = set(re.findall(r"`([\w.]+)`", steps)) - {id for chain in chains for id in chain}
    assert len(chains) == 2 and len(single) == 3
    for row in [row for ends in (*chains, *((id, id) for id in single)) for row in rows_between(*ends)]:
        assert row.expected in ("holds", "holds-if", "defines", "prose"), row.id
    named = re.findall(r"`([\w.]+)`", wrong)
    assert len(named) == 5
    for id in named:
        assert any(row.expected == "wrong" for row in rows_between(id, id)), id


def test_front_page_stays_within_its_length_limit():
    assert len(README.splitlines()) <= 200 and (ROOT / "README.md").stat().st_size <= 12_288


def resolved(name):
    """Return the object with this dotted name; the package may be left out: `ops.relu` is `minivae.ops.relu`."""
    module, *attributes = name.split(".")
    for package in ("minivae.", "derivations.", ""):
        try:
            found = importlib.import_module(package + module)
        except ModuleNotFoundError:
            continue
        while attributes:
            attribute = attributes.pop(0)
            if not hasattr(found, attribute):
                importlib.import_module(f"{found.__name__}.{attribute}")
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(name)


FILES = (".py", ".csv", ".html", ".npy", ".npz", ".json", ".tsv", ".png", ".gz", ".md", ".cfg")


@every_page
def test_names_on_a_page_exist_in_the_project(name, capsys):
    page = PAGES[name]
    for dotted in set(re.findall(r"`([a-z_]+(?:\.[A-Za-z_]+)+)`", page)):
        assert dotted.endswith(FILES) or resolved(dotted) is not None
    for path in re.findall(r"`((?:tests|minivae|derivations)/[\w/.]+)`", page):
        # In the code map, `derivations/app/test_cli.py` means `tests/derivations/app/test_cli.py`.
        assert (ROOT / path).exists() or (ROOT / "tests" / path).exists(), path
    for program, command, words in re.findall(r"`(minivae|derivations) ([a-z]+)([^`\n]*)`", page):
        assert PROGRAMS[program].main([command, "--help"]) == 0
        options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert set(re.findall(r"--[a-z-]+", words)) <= options, (command, words)


@every_page
def test_page_links_have_existing_targets(name):
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", PAGES[name]):
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, anchor


PACKAGES = [path.parent for name in ("minivae", "derivations") for path in sorted((ROOT / name).rglob("__init__.py"))]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_package_docstring_lists_every_module_of_the_package(package):
    modules = {path.stem for path in package.glob("[!_]*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    entrance = (package / "__init__.py").read_text(encoding="utf-8")
    assert modules - set(re.findall(r"\w+", entrance)) == set()


def test_ledger_readme_states_the_numbers_of_statements_and_equations():
    page = PAGES["derivations/README.md"]
    stated = {source: int(rows) for source, rows in re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", page, re.MULTILINE)}
    sources = [source for source in ledger.SOURCES if source != "beyond"]
    assert stated == {source: sum(len(entry.rows) for entry in ledger.entries(source)) for source in sources}
    assert int(re.search(r"have (\d+) statements", page)[1]) == sum(stated.values())
    numbered = [entry for entry in ledger.entries("odaibo") if entry.id.removeprefix("odaibo.").isdigit()]
    assert int(re.search(r"(\d+) numbered equations", page)[1]) == len(numbered)


def test_pages_explain_verdicts_in_the_same_words_as_the_commands():
    front = " ".join(README.split()).lower()
    for word in VERDICTS:
        assert f"| `{word}` | {MEANINGS[word]} |" in PAGES["derivations/README.md"]
        assert f"`{word}`: {MEANINGS[word].lower()}." in front


@every_page
def test_pages_give_every_picture_the_alt_text_of_the_picture_file(name):
    assert pictures(README)
    for picture in pictures(PAGES[name]):
        assert picture.text == alt_text(name, picture.command)


@pytest.mark.parametrize("word", ["TODO", "HERO", "OUTPUT", "BENCHMARK"])
def test_pages_contain_no_placeholder(word):
    assert not [name for name, page in PAGES.items() if word in page]
