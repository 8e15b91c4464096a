"""The command `minivae exercises`: exit codes, JSON, the files that it writes or keeps, and the grades of a class."""

import json
import os
import shutil
import time
from xml.etree import ElementTree

import pytest

from minivae.app import cli
from minivae.exercises import judge, notebook
from minivae.exercises.bonus import BONUS, find
from minivae.exercises.judge import Verdict
from minivae.exercises.report import every
from tests.exercises.test_judge import RIGHT as RIGHT_SOLUTIONS

RIGHT = "def tanh_backward(d_h, h):\n    print('mine')\n    return d_h * (1 - h * h)\n"
WRONG = "def tanh_backward(d_h, h):\n    return 2 * d_h * (1 - h * h)\n"
LOOP = "import numpy as np\ndef reparameterize(mu, log_var, eps): return mu + np.exp(log_var / 2) * eps\n" \
       "def reparameterize_backward(*arrays):\n    while True: pass\n"
IMPORTS = "from minivae.ops import tanh_backward\n"


@pytest.fixture
def run(capsys):
    """Return a function: it runs `minivae exercises` with the given words, and returns exit code, stdout and stderr."""
    def run_words(*words):
        try:
            code = cli.main(["exercises", *map(str, words)])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run_words


@pytest.fixture
def folder(tmp_path, run):
    """Return a folder in which the command has written all exercises."""
    code, out, _ = run("--out", tmp_path / "mine")
    assert code == 0 and out.startswith("15 exercises written") and "check 1 --out" in out
    return tmp_path / "mine"


def fill(folder, text, name="02_tanh_backward.py"):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(text)
    return folder


def test_writing_exercises_again_keeps_the_files_of_the_learner(folder, run):
    assert sorted(path.name for path in folder.iterdir()) == [f"{each.stem}.py" for each in every()]
    fill(folder, RIGHT)
    (folder / "03_sigmoid_softplus.py").unlink()
    _, out, _ = run("--out", folder, "--json")
    assert json.loads(out)["written"] == [str(folder / "03_sigmoid_softplus.py")]
    assert (folder / "02_tanh_backward.py").read_text() == RIGHT


def test_exercise_notebooks_are_written_once_and_kept(tmp_path, run):
    code, out, _ = run("--notebook", tmp_path / "books")
    assert code == 0 and "02_tanh_backward.ipynb" in [path.name for path in (tmp_path / "books").iterdir()]
    for exercise in every():
        text = (tmp_path / "books" / f"{exercise.stem}.ipynb").read_text(encoding="utf-8")
        assert json.loads(text) == notebook.of_exercise(exercise)
    assert "0 exercises written" in run("--notebook", tmp_path / "books")[1]


@pytest.mark.slow
def test_check_returns_exit_code_0_only_for_a_passed_exercise(folder, run):
    code, out, _ = run("check", "2", "--out", folder)
    assert code == 1 and "not started" in out and f"edit {folder}" in out
    fill(folder, WRONG)
    code, out, _ = run("--out", folder, "check", "tanh_backward")
    assert code == 1 and "2 x the right array" in out and "hint 2" in out
    assert "Next: get a hint with minivae exercises hint 2\n" in run("--out", folder, "check", "1-3")[1]
    fill(folder, RIGHT)
    code, out, err = run("check", "2", "--out", folder)
    assert code == 0 and "02_tanh_backward: passed" in out and "show 2" in out and "mine" in err
    assert f"Next: edit {folder}/03_sigmoid_softplus.py" in out
    code, out, _ = run("check", "2", "3", "--out", folder)
    assert code == 1 and "03_sigmoid_softplus: not started\n1 of 2 passed" in out
    assert run("check", "2-3", "3", "--out", folder)[:2] == (code, out)
    for text, said in ((None, "not started\n  . the file\n      is missing"), ("", "e the file\n      is empty"),
                       (RIGHT.replace("tanh_b", "tan_b"), "no function tanh_backward; your functions are tan_backward")):
        (folder / "02_tanh_backward.py").write_text(text or "")
        _ = text is None and (folder / "02_tanh_backward.py").unlink()
        code, out, _ = run("check", "2", "--out", folder)
        step = "correct the error, then: minivae exercises check" if text else "minivae exercises reset"
        assert code == 1 and said in out and f"Next: {step} 2 --out {folder}" in out


@pytest.mark.slow
def test_check_of_all_exercises_counts_14_but_prints_only_begun_ones(folder, run):
    fill(folder, RIGHT)
    code, out, _ = run("check", "--out", folder, "-q")
    assert code == 1 and out.splitlines()[0] == "02_tanh_backward: passed" and "1 of 14 passed" in out
    code, out, _ = run("check", "--out", folder, "--json", "--seed", "4")
    found = json.loads(out)
    assert code == 1 and (found["passed"], found["of"], found["seed"]) == (1, 14, 4)
    assert [each["status"] for each in found["exercises"]].count("not started") == 14
    code, out, _ = run("list", "--out", folder)
    assert code == 1 and out.count("not started") == 14
    assert out.splitlines()[1].split()[:3] == ["2", "tanh_backward", "passed"]


def test_hints_are_numbered_and_solutions_are_shown_only_after_a_pass(folder, run):
    assert [run("hint", "2", n, "--out", folder)[1] for n in (1, 3)] == [
        f"02_tanh_backward, hint {n} of 3: {find('2').hints[n - 1]}\n" for n in (1, 3)]
    fill(folder, WRONG)
    code, out, _ = run("show", "2", "--out", folder)
    assert code == 1 and "shown when the exercise is passed" in out and "1 - h" not in out
    fill(folder, RIGHT)
    code, out, _ = run("show", "2", "--out", folder)
    assert code == 0 and "return d_h * (1 - h * h)" in out
    assert json.loads(run("show", "3", "--out", folder, "--json")[1])["solution"] == []


def test_reset_writes_the_blank_and_keeps_every_earlier_file(folder, run):
    path = folder / "02_tanh_backward.py"
    for text in (RIGHT, WRONG):
        fill(folder, text)
        assert run("reset", "2", "--out", folder)[0] == 0 and path.read_text() == find("2").file()
    assert [(folder / f"{path.name}.{end}").read_text() for end in ("old", "old2")] == [RIGHT, WRONG]
    path.unlink()
    path.symlink_to(folder / "nowhere")                     # `reset` renames a link and does not write its target
    assert run("reset", "2", "--out", folder)[0] == 0 and not (folder / "nowhere").exists() and path.is_file()


@pytest.mark.parametrize(
    "words, said",
    [
        (["check"], "There is no folder `exercises` here."),
        (["check", "--out", "none"], "Write it: minivae exercises --out none"),
        (["hint", "99"], "from 1 to 15"), (["hint", "2", "4"], "1, 2 or 3"),
        (["check", "1-16", "--out", "."], "a range within 1-15"), (["check", "3-1", "--out", "."], "got '3-1'"),
        (["check", "1-", "--out", "."], "a number from 1 to 15"),
        (["--out", "{}/file", "list"], "Write it: minivae exercises"), (["--notebook", "{}/file"], "must be a directory"),
        (["grade", "{}"], "a folder with submissions"), (["grade", "{}/file"], "FOLDER must be"),
        (["juggle"], "invalid choice"),
        (["check", "2", "--seed", "-1"], "--seed"), (["check", "2", "--timeout", "0"], "--timeout"),
    ],
)  # fmt: skip
def test_wrong_arguments_give_exit_code_2_and_a_remedy(words, said, tmp_path, monkeypatch, run):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*(word.format(tmp_path) for word in words))
    assert code == 2 and out == "" and said in err and "Traceback" not in err


@pytest.mark.slow
def test_bonus_exercise_passes_only_if_its_check_notices_the_planted_bugs(folder, run):
    whole = "import numpy as np\n" + RIGHT_SOLUTIONS[-1][1]
    fill(folder, whole, "15_write_the_check.py")
    assert run("check", "15", "--out", folder)[0] == 0
    fill(folder, whole.split("    eps, step =")[0], "15_write_the_check.py")      # this check computes no gradients
    code, out, _ = run("check", "write_the_check", "--out", folder)
    assert code == 1 and "+ check, exp-log-var" in out and "x check, half-forgotten" in out and "not noticed" in out
    assert run("check", "--out", folder, "--json")[1].count('"wrong"') >= 1


def test_exception_in_a_submitted_check_is_reported_with_its_line(folder, run):
    fill(folder, "import numpy as np\ndef check(gaussian):\n    p = gaussian.log_normal(np.ones((1, 2)))\n    return p > 0",
         "15_write_the_check.py")  # fmt: skip
    code, out, _ = run("check", "15", "--out", folder)
    assert code == 1 and "line 3: TypeError" in out and "  + " not in out and "Next: correct the error" in out


def test_byte_order_mark_is_accepted_and_wrong_encoding_gets_a_remedy(folder, run):
    (folder / "02_tanh_backward.py").write_bytes(b"\xef\xbb\xbf" + bytes(RIGHT, "utf-8"))
    assert run("check", "2", "--out", folder)[0] == 0
    (folder / "02_tanh_backward.py").write_bytes(b"# \xe4\n" + bytes(RIGHT, "utf-8"))
    assert "save it as UTF-8" in run("check", "2", "--out", folder)[1]
    for source, said in ((RIGHT.replace("h * h", "h^2"), "A power is `**`"), (RIGHT[:-2], "In `return d_h * (1 - h * h`")):
        fill(folder, source)
        assert said in run("check", "2", "--out", folder)[1]


def test_commands_use_the_current_folder_if_it_has_exercises(folder, run, monkeypatch):
    monkeypatch.chdir(folder)
    assert run("check", "2")[0] == 1 and " 1  affine_backward " in run("list", "-q")[1]
    (folder / "02_tanh_backward.py").unlink()
    code, out, _ = run()
    assert code == 0 and out.splitlines() == ["1 exercise written to ., 14 kept as they are.",
                                              "Begin with 02_tanh_backward.py; then: minivae exercises check 2"]
    assert run("-q")[1] == "" and "See what is done: minivae exercises list" in run()[1]


def test_unique_beginning_of_an_exercise_name_can_replace_the_name(folder, run):
    assert [run("hint", word, "-q")[1][:2] for word in ("bonus", "tanh", "kl", "07", "exercises/08_kl_backward.py")] == [
        "15", "02", "07", "07", "08"]
    for word, said in (("log_sum", "The names are log_sum_exp, log_sum_exp_backward."), ("1-3", "affine_backward, tanh"),
                       ("nb/02_tanh_backward.ipynb", "third code cell")):
        code, _, err = run("hint", word)
        assert code == 2 and said in err


@pytest.mark.slow
def test_exception_in_the_judge_affects_only_one_exercise(folder, run, monkeypatch):
    fill(folder, RIGHT)
    honest = judge.judge
    monkeypatch.setattr(judge, "judge", lambda part, *rest: part.title == "tanh_backward" and 1 / 0 or honest(part, *rest))
    code, out, _ = run("check", "2", "--out", folder)
    assert code == 1 and "02_tanh_backward: error" in out and "the judge failed with ZeroDivisionError" in out
    table = run("grade", fill(folder.parent / "all" / "ada", RIGHT).parent, "-q")[1].splitlines()
    assert table[1].split()[:3] == ["ada", ".", "e"]


# Grading the submissions of a class


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    """Return a folder of submissions: folders of students, files named after exercise and student, copies, notebooks."""
    top = tmp_path_factory.mktemp("class")
    fill(top / "ada" / "exercises", RIGHT)
    fill(top / "ada", WRONG, "02_tanh_backward (1).py")
    os.utime(top / "ada" / "02_tanh_backward (1).py", (1e9, 1e9))       # older, so it does not count
    fill(top, WRONG, "bob_02_tanh_backward.py")
    fill(top, LOOP, "06_reparameterize-eve.py")
    fill(top, IMPORTS, "02_tanh_backward_mia-1.py")
    document = notebook.of_exercise(find("2"))
    document["cells"][2]["source"] = RIGHT
    fill(top / "zoe", notebook.text_of(document), "02_tanh_backward.ipynb")
    lone = '{"cells": [{"cell_type": "code", "source": ["\\ud800"]}]}'      # half a surrogate pair: UTF-8 cannot encode it
    fill(top / "zoe", lone, "03_sigmoid_softplus.ipynb")
    fill(top, "", "util.py")
    fill(top, "", "tom.zip")
    (top / "none?").mkdir()
    (top / "none!").mkdir()
    fill(top / "__MACOSX", WRONG)
    return top


@pytest.fixture(scope="module")
def graded(submissions, tmp_path_factory):
    """Grade `submissions`; return the duration in seconds, the printed JSON, and the folder with JUnit file and feedback."""
    out, begin, printed = tmp_path_factory.mktemp("graded"), time.monotonic(), []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("builtins.print", lambda *texts, **how: printed.append(" ".join(map(str, texts))))
        words = ["--timeout", "4", "--junit", f"{out}/new/marks.xml", "--feedback", f"{out}/back", "--json", "-q"]
        assert cli.main(["exercises", "grade", str(submissions), *words]) == 1
    return time.monotonic() - begin, json.loads(printed[-1]), out


@pytest.mark.slow
def test_grading_finds_every_student_and_file(graded):
    _, found, _ = graded
    status = {each["student"]: [e["status"] for e in each["exercises"] if e["status"] != "not started"]
              for each in found["students"]}  # fmt: skip
    assert status == {"ada": ["passed"], "bob": ["wrong"], "eve": ["error"], "mia": ["passed"], "none!": [], "none?": [],
                      "zoe": ["passed", "error"]}
    assert {"util.py: no exercise has this name", "tom.zip: an archive; unpack it first"} <= set(found["notes"])
    assert any("the newest is graded: ada/exercises" in note for note in found["notes"])
    assert "no security boundary" in found["warning"]


@pytest.mark.slow
def test_endless_loop_gives_one_error_after_the_time_limit(graded):
    seconds, found, _ = graded
    (eve,) = [each for each in found["students"] if each["student"] == "eve"]
    first, second = eve["exercises"][5]["findings"]
    assert (first["function"], first["status"]) == ("reparameterize", "right")     # judged before the endless loop
    assert second["function"] == "reparameterize_backward" and "no result after 4 seconds" in second["words"][0]
    assert seconds < 30


@pytest.mark.slow
def test_submission_that_imports_minivae_gets_a_flag_and_an_exclamation_mark(graded, submissions, run):
    flags = {each["student"]: each["exercises"][1]["flags"] for each in graded[1]["students"]}
    assert [name for name in flags if flags[name]] == ["mia"] and "imports minivae: from minivae.ops" in flags["mia"][0]
    only = fill(submissions.parent / "only", IMPORTS, "02_tanh_backward_mia.py")
    code, out, err = run("grade", only)
    assert code == 1 and out.splitlines()[1].split() == ["mia", ".", "+", *13 * ".", "1", "!"] and "security boundary" in err


@pytest.mark.slow
def test_junit_file_and_feedback_contain_every_student(graded):
    _, found, out = graded
    root = ElementTree.parse(out / "new" / "marks.xml").getroot()
    assert [suite.get("name") for suite in root] == [each["student"] for each in found["students"]]
    bob = root[1]
    assert (bob.get("tests"), bob.get("failures"), bob.get("errors"), bob.get("skipped")) == ("15", "1", "0", "14")
    assert "2 x the right array" in bob[1][0].text and bob[1][0].tag == "failure" and root[2][5][0].tag == "error"
    texts = {path.name: path.read_text() for path in (out / "back").iterdir()}
    assert sorted(texts) == ["ada.txt", "bob.txt", "eve.txt", "mia.txt", "none_.txt", "none__.txt", "zoe.txt"]
    assert texts["ada.txt"].startswith("1 of 14 passed") and "2 x the right array" in texts["bob.txt"]
    assert "no notebook" in texts["zoe.txt"]


@pytest.mark.slow
def test_grade_replaces_existing_files_only_if_overwrite_is_given(graded, submissions, run, tmp_path):
    out = shutil.copytree(graded[2], tmp_path / "out")
    for words in (["--feedback", out / "back"], ["--junit", out / "new" / "marks.xml"]):
        code, _, err = run("grade", submissions, *words, "-q")
        assert code == 2 and "which exists. Add --overwrite" in err
    only = fill(tmp_path / "two" / "ada", RIGHT).parent
    assert run("grade", only, "--junit", out / "new" / "marks.xml", "--overwrite", "-q")[0] == 1
    assert len(ElementTree.parse(out / "new" / "marks.xml").getroot()) == 1


@pytest.mark.parametrize(
    "bonus, code, count", [("not started", 0, "14 of 14"), ("wrong", 1, "14 of 15"), ("passed", 0, "15 of 15")])
def test_bonus_exercise_counts_only_after_it_is_begun(bonus, code, count, submissions, tmp_path, run, monkeypatch):
    def passed(exercise, *rest):
        return Verdict(exercise, bonus if exercise is BONUS else "passed")

    monkeypatch.setattr("minivae.exercises.grade.check", passed)
    monkeypatch.setattr("minivae.exercises.judge.check", passed)
    assert [run("grade", submissions, "-q")[0], run("list", "--out", tmp_path)[0]] == [code, code]
    got, out, _ = run("check", "--out", tmp_path)
    assert got == code and f"{count} passed" in out and ("hint 15" in out) == (code == 1)


def test_answers_copied_from_seed_0_are_wrong_for_another_seed(tmp_path, run):
    part = find("2").parts[0]
    copied = [[a.tolist() for a in draw.arguments] for draw in part.draws(0)]
    source = f"import numpy as np\nKNOWN = {copied}\ndef tanh_backward(d_h, h):\n" \
             "    for d, known in KNOWN:\n        if np.array_equal(h, known): return d_h * (1 - h * h)\n    return h\n"
    fill(tmp_path, source)
    assert [run("check", "2", "--out", tmp_path, "--seed", seed)[0] for seed in (0, 7)] == [0, 1]
