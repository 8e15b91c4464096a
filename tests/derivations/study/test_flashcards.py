"""Flashcards: ledger rows with a short answer have a card; exports keep every character; the quiz ends without errors."""

import csv
import html
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from derivations.app import cli
from derivations.engine import ledger
from derivations.engine.equation import ERRATA, Entry, Form, Row
from derivations.engine.judge import Judgement
from derivations.pages import records
from derivations.pages.unicode import latex_sides, sides
from derivations.study import flashcards, quiz
from derivations.study.flashcards import Card, Formula

ROOT = Path(__file__).parents[3]
HARD = Card(
    "odaibo.900",
    "slip",
    ("a\ttab, a <b>tag</b> & an &lt;", "two\nlines\n\nand \"quotes\"", Formula("a < b \\& c > d")),
    ("?", "5 $ and 6 $", Formula("x")),
)


JUDGED = records.judged                                    # the real function; some tests replace records.judged


@cache
def judged_items():
    return JUDGED(ledger.find_all([]), 50, 0)


def judged_before(found, *_):
    """Stand-in for records.judged: return the stored judgements of the entries in `found`."""
    ids = {entry.id for entry, _ in found}
    return [item for item in judged_items() if item.entry.id in ids]


@cache
def all_cards():
    return flashcards.cards(judged_items())


def from_anki(text):
    """Read a file as Anki does: skip the header lines, unquote the fields, and decode the HTML."""
    rows = [row for row in csv.reader(io.StringIO(text), dialect="excel-tab") if not row[0].startswith("#")]
    for front, back, id, tag in rows:
        lines = [[html.unescape(line) for line in field.split("<br>")] for field in (front, back)]
        yield id, tag, *lines


def shown(lines, opening, closing):
    """Return one side of a card as single lines, with `opening` and `closing` around formulas."""
    marked = [opening + line + closing if isinstance(line, Formula) else line for line in lines]
    return "\n".join(marked).split("\n")


def test_every_faulty_row_has_a_card_that_asks_what_is_wrong():
    rows = {judgement.row.id: judgement for item in judged_items() for judgement in item.rows}
    made = {card.id: card for card in all_cards()}
    assert list(made) == [id for id in rows if id in made]
    for id, judgement in rows.items():
        asks = id in made and "What is wrong with this line?" in made[id].question
        assert asks == (judgement.row.expected in ERRATA)
        if judgement.row.expected in (*ERRATA, "loose", "copy"):
            repair = judgement.row.repair
            assert judgement.row.fault in made[id].answer and (not repair or Formula(repair.latex) in made[id].answer)


def planted(verdict, claim="", latex="t = 2t"):
    repair = Form(None, "2t = t + t", ())
    row = Row("odaibo.900", verdict, "A sentence.", claim=claim, fault="True only for t = 0.", repair=repair)
    entry = Entry("odaibo.900", "l.900", Form(lambda: None, latex, ()), rows=[row], kind="claim" if claim else "equation")
    return flashcards.card(entry, Judgement(row, verdict, [], [], [], [], None, ""))


def test_card_of_loose_wording_asks_for_a_precise_form():
    card = planted("loose", "The text calls t its own double (l.9).")
    asked = "Loose wording. Where is it false if read literally, and what is the precise form?"
    where = card.question[0]
    assert card.question == (where, asked, "The text calls t its own double (l.9).", "Read here as:", Formula("t = 2t"))
    assert card.answer[0] == "True only for t = 0." and card.answer[2:4] == ("More precisely:", Formula("2t = t + t"))
    assert not [line for line in (*card.question, *card.answer) if re.search("wrong|error|fault", line)]


def test_card_asks_what_a_damaged_copy_may_have_lost():
    card = planted("copy")
    assert "This copy of the line may be damaged. What may be lost?" in card.question and "Perhaps meant:" in card.answer
    assert not [line for line in (*card.question, *card.answer) if "wrong" in line]


def test_card_of_a_claim_reports_what_the_source_says():
    assert planted("wrong", "The text says so (l.9).").question[2:4] == ("The text says so (l.9).", "Read here as:")
    assert planted("wrong").question[2:] == ("A sentence.", Formula("t = 2t"))


def sides_to_answer(card):
    """Return the sides of the formula that the learner must write; [] if the question does not ask for a formula."""
    asks_for_sides = card.question[-2] in ("How does the line continue?", "How is it defined?")
    (formula,) = [line for line in card.answer if isinstance(line, Formula)]
    return [side for _, side in sides(formula)[1:] if not side.startswith("[")] if asks_for_sides else []


def test_cards_ask_only_what_a_person_can_answer():
    """Every answer is a sentence or one short formula. No card asks for a tuple, a figure, a remark or a repetition."""
    assert len(all_cards()) > 200                                 # of 256 rows
    kinds = {judgement.row.id: judgement.row.expected for item in judged_items() for judgement in item.rows}
    assert not [card.id for card in all_cards() if kinds[card.id] in ("figure", "prose")]
    for card in all_cards():
        assert sum(map(len, sides_to_answer(card))) <= 100, card.id
        assert not [side for side in sides_to_answer(card) if re.match(r"\(.*, .*\)$", side)], card.id
    for id in ("beyond.16", "beyond.49", "lm.32", "odaibo.37d", "odaibo.F2", "hong.12"):
        assert id not in {card.id for card in all_cards()}
    for id in ("odaibo.28", "odaibo.40c", "beyond.33", "hong.10", "lm.25"):
        assert id in {card.id for card in all_cards()}


@pytest.mark.parametrize(
    "latex, expected",
    [
        (r"\mathcal{L}(\theta, \phi) = 0", True),             # theta and phi are arguments, not a tuple
        ("a = (b, c)", False),
        ("(a, b) = c", True),                               # the question shows the tuple; the answer is c
        ("a = " + " + ".join("b" * 30), False),             # an answer of 117 characters is too long
        ("a = b = [" + " + ".join("b" * 30) + "]", True),   # a side in square brackets is not part of the answer
        ("a = a", False),
    ],
)
def test_tuples_and_long_formulas_and_repetitions_have_no_card(latex, expected):
    row = Row("odaibo.900", "holds", "")
    entry = Entry("odaibo.900", "l.900", Form(lambda: None, latex, ()), rows=[row])
    assert flashcards.answerable(entry, Judgement(row, "holds", [], [], [], [], None, "")) is expected


def test_card_asks_whether_a_claim_needs_an_assumption():
    made = {card.id: card for card in all_cards()}
    asked = "Does it hold in general, or only under an assumption?"
    assert asked in made["odaibo.t7"].question and "It holds without an assumption:" in made["odaibo.t7"].answer
    assert asked in made["odaibo.t25"].question
    assert made["odaibo.t25"].answer[-2].startswith("Sufficient assumption: the coordinates of z")


def test_cards_do_not_show_the_answer_in_the_question():
    for card in all_cards():
        formulas = [line for line in card.answer if isinstance(line, Formula)]
        assert all(line not in card.question for line in formulas), card.id


def test_anki_export_keeps_tabs_and_newlines_and_angle_brackets():
    for card in (HARD, *all_cards()[:40]):
        ((id, tag, front, back),) = from_anki(flashcards.anki([card]))
        assert (id, tag) == (card.id, card.verdict)
        assert front == shown(card.question, "\\[", "\\]") and back == shown(card.answer, "\\[", "\\]"), card.id


def test_anki_export_begins_with_its_header_lines():
    lines = flashcards.anki(all_cards()).splitlines()
    assert lines[:4] == ["#separator:tab", "#html:true", "#columns:Front\tBack\tId\tTags", "#tags column:4"]
    assert len(list(from_anki("\n".join(lines)))) == len(all_cards())


def from_obsidian(text):
    """Yield the cards of a note: blocks between empty lines, with a line `?` between question and answer."""
    heading, tag, *blocks = re.split(r"\n\n+", text.strip())
    assert heading.startswith("# ") and tag == "#flashcards/derivations"
    for block in blocks:
        question, answer = re.split(r"^\?$", block, flags=re.MULTILINE)
        sides_of_card = (part.strip("\n").split("\n") for part in (question, answer))
        yield [[html.unescape("" if line == "<br>" else line) for line in side] for side in sides_of_card]


def test_obsidian_export_keeps_tabs_and_newlines_and_angle_brackets():
    for card in (HARD, *all_cards()[:40]):
        ((question, answer),) = from_obsidian(flashcards.obsidian([card], "Title"))
        assert question == shown(card.question, "$$", "$$") and answer == shown(card.answer, "$$", "$$"), card.id


def test_obsidian_export_has_all_cards():
    assert len(list(from_obsidian(flashcards.obsidian(all_cards(), "Title")))) == len(all_cards())


def test_formula_has_the_same_sides_in_latex_and_in_unicode():
    for item in judged_items():
        latex = item.entry.printed.latex
        assert len(latex_sides(latex)) == len(sides(latex)), latex
        assert "".join(r + s for r, s in latex_sides(latex)).replace(" ", "") == latex.replace(" ", "")
    expected = [("", "a"), ("=", "b_{i=1}"), (r"\leq", r"\left(c = d\right)")]
    assert latex_sides(r"a = b_{i=1} \leq \left(c = d\right)") == expected


def run(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.mark.slow
def test_cards_command_writes_anki_and_obsidian_files_and_refuses_to_overwrite_them(tmp_path, capsys, monkeypatch):
    where = "--anki", tmp_path / "a.tsv", "--obsidian", tmp_path / "notes", "--draws", 50
    code, out, _ = run(capsys, "cards", *where)
    notes = [str(tmp_path / "notes" / f"{source}.md") for source in ledger.SOURCES]
    assert code == 0 and out.splitlines() == [str(tmp_path / "a.tsv"), *notes]
    assert len(list(from_anki((tmp_path / "a.tsv").read_text(encoding="utf-8")))) == len(all_cards())
    code, _, err = run(capsys, "cards", *where)
    assert code == 2 and "exists" in err and "--overwrite" in err
    monkeypatch.setattr(records, "judged", judged_before)
    code, _, err = run(capsys, "cards", *where, "--overwrite")
    rows = sum(len(item.rows) for item in judged_items())
    assert code == 0 and err.startswith(f"{len(all_cards())} cards for {rows} rows; ")
    assert run(capsys, "cards")[0] == 2


@pytest.mark.parametrize("name", ["", "pipe"])
def test_cards_command_refuses_directories_and_pipes(tmp_path, capsys, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    monkeypatch.setattr(records, "judged", None)            # judging an entry would raise an error
    code, out, err = run(capsys, "cards", "--anki", name, "--overwrite")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert err.startswith("derivations: the file must be a regular file")
    assert (tmp_path / "pipe").is_fifo() and os.listdir(tmp_path) == ["pipe"]


def test_cards_command_prints_json(capsys, monkeypatch):
    monkeypatch.setattr(records, "judged", judged_before)
    documents = json.loads(run(capsys, "cards", "--json", "--draws", 50)[1])
    assert [document["id"] for document in documents] == [card.id for card in all_cards()]
    assert set(documents[0]) == {"id", "verdict", "question", "answer"}


def asked(answers):
    out, replies = io.StringIO(), iter(answers)

    def read():
        reply = next(replies, EOFError())
        if isinstance(reply, BaseException):
            raise reply
        return reply

    return quiz.ask(all_cards()[:3], out, read), out.getvalue()


def test_quiz_shows_the_answer_after_the_return_key_and_counts_known_cards():
    tally, text = asked(["", "y", "", "what?", "N", "", "y"])
    assert tally == (2, [all_cards()[1].id]) and "3 of 3" in text
    _, text = asked([EOFError()])
    assert all_cards()[0].question[0] in text and all_cards()[0].answer[-1] not in text


@pytest.mark.parametrize("end", [EOFError(), KeyboardInterrupt(), "q", "QUIT"])
@pytest.mark.parametrize("before", [[], [""], ["", "y"], ["", "y", ""]])
def test_quiz_can_be_ended_at_any_question(end, before):
    tally, _ = asked([*before, end])
    assert tally == (int("y" in before), [])


def process(*arguments):
    command = [sys.executable, "-m", "derivations", "quiz", "--draws", "20", *arguments]
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


@pytest.mark.slow
def test_quiz_ends_at_the_end_of_its_input():
    out, err = process("odaibo", "-n", "2").communicate("\ny\n", timeout=60)
    assert "2 of 2" in out and out.endswith("1 known, 0 missed\n") and err == ""
    out, err = process("odaibo", "--faults", "-n", "1", "--json").communicate("\nn\n", timeout=60)
    assert json.loads(out)["known"] == 0 and len(json.loads(out)["missed"]) == 1 and "What is wrong" in err


@pytest.mark.slow
def test_quiz_ends_at_an_interrupt():
    asking = process("odaibo")
    while ">" not in (text := asking.stdout.readline()) and "of 10" not in text:
        pass
    time.sleep(0.2)
    asking.send_signal(signal.SIGINT)
    out, err = asking.communicate(timeout=60)
    assert asking.returncode == 0 and out.endswith("0 known, 0 missed\n") and err == ""


def test_quiz_prints_the_same_text_if_the_seed_is_the_same(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    command = ("quiz", "cards", "-n", 1, "--draws", 20, "--seed")
    once, again, other = (run(capsys, *command, seed)[1] for seed in (3, 3, 4))
    assert once == again != other
