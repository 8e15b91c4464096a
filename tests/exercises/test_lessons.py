"""Each lesson has the right result, a figure, valid links and a notebook; a planted error changes the verdict."""

import functools
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from derivations.engine.ledger import entries
from minivae.app import cli
from minivae.exercises import notebook
from minivae.exercises.lessons import command, figures
from minivae.exercises.lessons.frame import Setup, find, lessons, place, run
from minivae.exercises.report import every
from minivae.figures.style import CLASSES
from minivae.museum.exhibits import find as exhibit
from minivae.museum.patched import Change, load
from tests.helpers.numeric import refused
from tests.helpers.png import png_texts

QUICK = Setup(seed=0, epochs=18, rows=40)
NUMBERS = {                                                 # lesson -> lowest and highest accepted result
    "reductions": (0, 0.01), "log_variance": (0.5, 2), "collapse": (0, 0.01), "infinite_loss": (16, 17.5),
    "mean_or_sample": (0.6, 1.4), "grey_values": (12, 15), "negative_loss": (3.98, 4), "reparameterise": (5e3, 5e5),
    "mse_and_sigma": (10 - 1e-8, 10 + 1e-8), "holes": (0.4, 2), "evidence": (1.5, 20), "blur": (0.15, 0.5),
    "grid": (0.489, 0.491), "beta": (2, 8), "notation": (0, 0), "direction": (4, 4.4), "gradient_check": (0, 1e-8),
    "unused": (1, 15),
}  # fmt: skip
every_lesson = pytest.mark.parametrize("each", lessons(), ids=lambda each: each.name)


def main(words):
    return cli.main(["exercises", "lesson", *words])


@functools.cache
def names_of_tests():
    """Return the names of all test functions. A regular expression finds them, because parsing is slower."""
    files = Path(__file__).parents[1].rglob("test_*.py")
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)}


@pytest.fixture(scope="module")
def found():
    """Run every lesson with short trainings; return the results by name."""
    return {each.name: run(each, QUICK) for each in lessons()}


def test_lessons_have_the_numbers_one_to_eighteen():
    assert [each.number for each in lessons()] == list(range(1, 19)) and NUMBERS.keys() == {e.name for e in lessons()}
    assert find("3") is find("collapse")


@pytest.mark.slow
@every_lesson
def test_lesson_result_lies_between_its_expected_limits(each, found):
    low, high = NUMBERS[each.name]
    assert low <= found[each.name].number <= high and found[each.name].holds


@every_lesson
def test_references_of_each_lesson_exist(each):
    for function in each.code:
        file, _, line = place(function).partition(" ")[0].partition(":")
        name = function.rpartition(":")[2].rpartition(".")[2]
        source = (Path(__file__).parents[2] / file).read_text(encoding="utf-8").splitlines()
        assert any(f"def {name}(" in text for text in source[int(line) - 1 : int(line) + 2])
    assert each.ledger in {entry.id for entry in entries()}
    assert each.test in names_of_tests()


@pytest.mark.slow
@every_lesson
def test_lesson_texts_are_complete_and_short(each, found):
    assert each.question.endswith("?") and each.predict.rstrip().endswith(("?", ".")) and each.asked
    assert len(each.choices) == 3 and 0 <= each.answer < 3 and len(set(each.choices)) == 3
    sentences = [part for part in found[each.name].verdict.split(". ") if part]
    assert 1 <= len(sentences) <= 4 and max(len(part.split()) for part in sentences) <= 32


@pytest.mark.slow
@every_lesson
def test_lesson_figure_has_alt_text_with_a_number(each, found):
    figure, alt = found[each.name].picture()
    assert 40 < len(alt) < 700 and any(letter.isdigit() for letter in alt)
    figure.savefig(io.BytesIO(), format="png", dpi=40)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["collapse", "mean_or_sample", "blur"])
def test_figures_of_digit_lessons_label_each_class_in_its_own_colour(name, found):
    figure, alt = found[name].picture()
    shown = {text.get_text(): text.get_color() for text in figure.axes[0].get_xticklabels()}
    assert shown == {str(label): CLASSES[label] for label in range(10)}


# Planted errors

PLANTED = {
    "reductions": ("losses", (Change("rosetta.convention", "1 / self.features if", "1.0 if"),)),
    "negative_loss": ("losses", exhibit("kl-log-var-sign").changes),
    "infinite_loss": ("gradients", exhibit("naive-softplus").changes),
    "gradient_check": ("gradients", exhibit("half-forgotten").changes),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_planted_error_changes_the_verdict_of_a_lesson(name):
    where, changes = PLANTED[name]
    module = f"minivae.exercises.lessons.{where}"
    right, broken = (getattr(load([module], planted)[module], name).run(Setup(0, 10, 20)) for planted in ((), changes))
    assert right.holds and not broken.holds
    assert command.verdict(right) == right.verdict and command.verdict(broken).startswith("Not as expected")


@pytest.mark.slow
def test_log_variance_lesson_reports_an_unexpected_result_if_its_bug_is_replaced(monkeypatch):
    each = find("log_variance")
    monkeypatch.setitem(each.run.__globals__, "exhibit", lambda name: exhibit("minus-one-once"))
    broken = run(each, QUICK._replace(epochs=5))
    assert not broken.holds and broken.number < 0.3


# The command `minivae exercises lesson`


def test_list_of_lessons_has_all_names_and_its_json_has_all_numbers(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(each.name in text for each in lessons()) and "18 lessons" in text
    assert main(["--json"]) == 0
    assert [row["number"] for row in json.loads(capsys.readouterr().out)] == list(range(1, 19))


@pytest.mark.slow
def test_command_lesson_prints_the_measured_number_and_the_answer_and_links(tmp_path, capsys):
    words = ["negative_loss", "--out", str(tmp_path)]
    assert main(words) == 0
    text = " ".join(capsys.readouterr().out.split())
    each = find("7")
    shown = [each.question, each.predict, "3.989", each.ledger, each.test, "b) about 4", "minivae exercises lesson 8"]
    assert [part for part in shown if part not in text] == []
    picture = tmp_path / "lesson_07_negative_loss.png"
    assert main(words) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["holds"] and document["ledger"] == each.ledger and document["number"] == pytest.approx(3.989, abs=1e-3)
    assert png_texts(picture)["Description"] == document["files"][0]["alt"]


@pytest.mark.slow
def test_repeated_lesson_overwrites_only_its_own_figure(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "minivae-lessons" / "lesson_07_negative_loss.png"
    assert [main(["7", "-q"]), main(["7", "-q"])] == [0, 0] and capsys.readouterr().out.count("answer    b) about 4") == 2
    assert main(["7", "-q", "--out", "minivae-lessons"]) == 2   # in a folder given with --out, no file is overwritten
    picture.write_bytes(b"\x89PNG of someone else")
    assert main(["7", "-q"]) == 2 and "Add --overwrite" in capsys.readouterr().err
    assert picture.read_bytes() == b"\x89PNG of someone else"


def test_lesson_with_an_unexpected_result_returns_exit_code_1(tmp_path, capsys):
    assert main(["collapse", "--epochs", "1", "--rows", "20", "--out", str(tmp_path)]) == 1
    assert "Not as expected" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, parts",
    [
        (["19"], ("LESSON", "1 to 18", "'19'")), (["3", "--epochs", "0"], ("--epochs", ">= 1")),
        (["3", "--rows", "5"], ("--rows", ">= 20")), (["3", "--seed", "-1"], ("--seed", ">= 0")),
    ],
)  # fmt: skip
def test_lesson_refuses_bad_input_in_one_line(words, parts, tmp_path, capsys):
    assert main([*words, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(part in error for part in parts)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lesson_at_a_terminal_waits_for_a_prediction_unless_quiet_or_json(tmp_path, monkeypatch):
    monkeypatch.setattr("minivae.figures.style.save", lambda *arguments: None)

    def shown(answer, *words):
        asked = []
        monkeypatch.setattr("sys.stdin", Terminal())
        monkeypatch.setattr("sys.stdout", out := Terminal())
        words = ["exercises", "lesson", "7", "--overwrite", "--out", str(tmp_path), *words]
        options = cli.make_parser().parse_args(words)
        command.visit(options, lambda: asked.append(1) or answer)
        return len(asked), out.getvalue()

    count, text = shown("A\n")
    assert count == 1 and "You said a: not right. b) about 4" in text
    assert shown("")[0] == 1 and shown("a", "-q")[0] == shown("a", "--json")[0] == 0


# Notebooks


@pytest.mark.slow
def test_lesson_notebooks_have_the_question_and_run_in_plain_python(tmp_path, capsys):
    assert main(["--notebook", str(tmp_path)]) == 0
    paths = sorted(tmp_path.glob("*.ipynb"))
    assert [str(path) for path in paths] == capsys.readouterr().out.split() and len(paths) == 18
    assert main(["--notebook", str(tmp_path)]) == 2
    for each, path in zip(lessons(), paths):
        document = json.loads(path.read_text(encoding="utf-8"))
        assert (document["nbformat"], document["cells"][0]["cell_type"]) == (4, "markdown")
        assert each.question in "".join(document["cells"][0]["source"])
        names = {}
        for cell in document["cells"]:
            if cell["cell_type"] == "code":
                source = "".join(cell["source"]).replace("epochs=40, rows=100", "epochs=18, rows=40")
                names["shown"] = last_value(source, names)
        assert names["found"].holds and f"def {each.name}(setup" in "".join(document["cells"][2]["source"])


def last_value(source, names):
    """Execute a cell; return the variable `found` of the notebook, or None if it does not exist yet."""
    exec(source, names)
    return names["found"] if "found" in names else None


def test_lesson_notebook_runs_the_code_that_its_cell_shows():
    code = ["".join(cell["source"]) for cell in notebook.of_lesson(find("7"))["cells"] if cell["cell_type"] == "code"]
    broken = code[1].replace("bernoulli_log_prob(", "no_such_name(")
    assert broken != code[1]
    names = {}
    exec(code[0], names)
    exec(broken, names)
    with pytest.raises(NameError):
        exec(code[2], names)


@pytest.mark.parametrize("kind", ["lesson", "exercise"])
def test_first_code_cell_says_how_to_install_minivae_if_its_import_fails(kind, monkeypatch):
    document = notebook.of_lesson(find("7")) if kind == "lesson" else notebook.of_exercise(every()[0])
    code = next("".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code")
    for name in [name for name in sys.modules if name.partition(".")[0] == "minivae"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "minivae", None)       # None makes Python raise ModuleNotFoundError
    with pytest.raises(ImportError, match=r"minivae.* run `%pip install PATH` in a new cell"):
        exec(code, {})


@pytest.mark.slow
def test_notebook_cells_keep_their_text_and_figures_have_alt_text(found):
    text, code = notebook.cells_of("Question?\nMore", "a = 1\nb = 2")
    assert "".join(text["source"]) == "Question?\nMore" and code["source"] == ["a = 1\n", "b = 2"]
    assert len(notebook.cells_of("", "a")) == 1
    shown = found["direction"].show()
    assert isinstance(shown, figures.Shown) and shown._repr_png_().startswith(b"\x89PNG")
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.feed(shown._repr_html_())
    assert tags[0][0] == "img" and tags[0][1]["alt"] == shown.alt


def test_message_for_an_unknown_lesson_gives_the_valid_numbers():
    refused(lambda: find("collaps"), "LESSON", "1 to 18", "'collaps'", "Leave out LESSON")
