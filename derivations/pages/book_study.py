"""Chapters for learners (questions, lessons, museum of bugs, table of public losses), and the links from entries to them."""

import re
import textwrap
from pathlib import Path

from derivations.pages.book_code import hanging
from derivations.pages.book_text import prose
from derivations.pages.html import BrokenPage, Html, article, grouped, link, listed, markup, note, scrolling, tag
from derivations.pages.records import fetch
from derivations.study import code_map, questions
from minivae import museum
from minivae.exercises.lessons.frame import Lesson, lessons, place
from minivae.museum.command import function_at
from minivae.museum.exhibits import Bug, bugs
from minivae.museum.layers import MEANING
from minivae.museum.patched import Change
from minivae.rosetta.command import cells, document
from minivae.rosetta.presets import PRESETS

MATRIX = Path(museum.__file__).with_name("README.md")       # has the table of bugs and checks, which takes 15 s to compute


def chapters(answers: list[questions.Answer], of_bugs: dict[str, list[str]]) -> list[tuple[str, str, list[Html]]]:
    """Return the anchor, the title and the text of every chapter."""
    return [
        ("questions", "Questions that the sources leave open", [answer_article(*one) for one in enumerate(answers, 1)]),
        ("lessons", "Lessons: what learners ask most often", lesson_articles()),
        ("museum", "The museum: real bugs, and the rows that check the changed function", exhibits(of_bugs)),
        ("rosetta", "The Rosetta: what a loss really is", [rosetta()]),
    ]


def related(answers: list[questions.Answer], of_bugs: dict[str, list[str]]) -> dict[str, list[tuple[str, str]]]:
    """Return {id of an entry or row: (anchor, title) of every question, lesson, convention and bug about it}."""
    found = [(id, (f"question.{i}", answer.question)) for i, answer in enumerate(answers, 1) for id in answer.ids]
    for one in lessons():
        title = f"lesson {one.number}: {one.question} (minivae exercises lesson {one.number})"
        found.append((one.ledger, (f"lesson.{one.number}", title)))
    for name, one in PRESETS.items():
        found += [(id, (f"rosetta.{name}", f"Rosetta, {name}")) for id in code_map.ID.findall(one.source)]
    for bug in bugs():
        found += [(id, (f"museum.{bug.name}", f"bug: {bug.title}")) for id in proving(of_bugs[bug.name])]
    return grouped(found)


def changed_functions(bug: Bug) -> list[str]:
    """Return the dotted names of the functions that a bug changes. Names outside `code_map.functions()` are left out."""
    found = []
    for change in bug.changes:
        text = Path(fetch(f"minivae.{change.module}").__file__).read_text(encoding="utf-8")
        line = text[: text.index(change.right.lstrip("\n"))].count("\n") + 1
        found.append(f"minivae.{change.module}.{function_at(text, line)}")
    return [name for name in dict.fromkeys(found) if name in code_map.functions()]


def proving(names: list[str]) -> list[str]:
    """Return the ids of the entries that are tied to at least one of the functions in `names`."""
    return list(dict.fromkeys(id for name in names for id in code_map.ties().get(name, ())))


def answer_article(number: int, answer: questions.Answer) -> Html:
    """Return a question with its table and its answer."""
    anchor = f"question.{number}"
    rows = [tag("tr", *(tag("td", questions.cell(value), class_="n") for value in row)) for row in answer.rows]
    table = tag("table", tag("tr", *(tag("th", title) for title in answer.columns)), *rows)
    head = tag("h4", link(anchor, answer.question, class_="id"))
    rows_of = note("Rows: ", listed(map(link, answer.ids)))
    return tag("article", head, scrolling(table, answer.question), tag("p", prose(answer.says)), rows_of, id=anchor,
               data_words=answer.question, class_="wide")


def lesson_articles() -> list[Html]:
    """Return every lesson: the question, the possible answers, the command that shows the answer, and code to read."""
    about = "Each lesson is a command: it asks for a prediction, runs for some seconds, and shows a number and a figure."
    return [tag("p", about), *map(lesson_article, lessons())]


def lesson_article(one: Lesson) -> Html:
    """Return one lesson, without its answer."""
    anchor, run = f"lesson.{one.number}", f"minivae exercises lesson {one.number}"
    reads = [(function.replace(":", "."), place(function).partition(" ")[2]) for function in one.code]
    read = listed(link(name, short) if name in code_map.functions() else tag("code", short) for name, short in reads)
    left = tag("p", one.predict), tag("ol", *(tag("li", text) for text in one.choices), type="a")
    right = (
        tag("pre", tag("code", f"$ {run}")),
        note("Row: ", link(one.ledger), ". Read: ", read, ". Test: ", tag("code", one.test)), note("Asked in: ", one.asked),
    )  # fmt: skip
    head = markup(link(anchor, f"lesson {one.number}", class_="id"), " ", one.question)
    return article(anchor, head, left, right, f"lesson {one.number} {one.question} {one.name}")


def exhibits(of_bugs: dict[str, list[str]]) -> list[Html]:
    """Return the table of bugs and checks, then every bug: origin, changed lines, entries that check the changed code."""
    about = "trains the correct and the broken model and prints which checks notice the bug."
    parts = [*matrix(), tag("p", tag("code", "minivae museum NAME"), " ", about)]
    return [*parts, *(exhibit(bug, of_bugs[bug.name]) for bug in bugs())]


def exhibit(bug: Bug, names: list[str]) -> Html:
    """Return the article of one bug; `names` are the functions that the bug changes."""
    anchor, ids = f"museum.{bug.name}", proving(names)
    left = [tag("p", bug.models)]
    if names:
        left.append(tag("p", "Changes ", listed(link(name, name.removeprefix("minivae.")) for name in names)))
    left += [note("Entries that check the changed code: ", listed(map(link, ids)))] if ids else []
    left.append(note(f"Seen in: {bug.seen}"))
    head = markup(link(anchor, bug.name, class_="id"), " ", bug.title)
    return article(anchor, head, left, map(difference, bug.changes), f"{bug.name} {bug.title} {bug.models}")


def matrix() -> list[Html]:
    """Return a paragraph, a list that explains the layers (kinds of checks), and the table of the museum's README.

    The table has a row for each bug and a column for each layer. If this README is not installed, return [].
    """
    if not MATRIX.exists():
        return []
    rows = [line[2:-2].split(" | ") for line in re.findall(r"^\| .*\|$", MATRIX.read_text(encoding="utf-8"), re.M)]
    marks = {row[0]: row[2:] for row in rows if len(row) > 2}
    if missing := [bug.name for bug in bugs() if len(marks.get(bug.title, ())) != len(MEANING)]:
        raise BrokenPage(f"{MATRIX.name} of the museum has no complete row for {missing[0]}; generate its table again")
    lines = [tag("tr", tag("th", "bug"), *(tag("th", layer) for layer in MEANING))]
    for bug in bugs():
        cells = (tag("td", tag("b", "X") if "**" in mark else mark) for mark in marks[bug.title])
        lines.append(tag("tr", tag("td", link(f"museum.{bug.name}", bug.title)), *cells))
    meanings = (tag("li", tag("b", name), ": ", prose(meaning)) for name, meaning in MEANING.items())
    command = tag("code", "minivae museum --matrix")
    about = tag("p", "x: this layer of checks notices the bug. X: no other layer does. ", command, " computes this table.")
    return [about, tag("ul", *meanings), scrolling(tag("table", *lines, class_="matrix"), "bugs and layers")]


def difference(change: Change) -> Html:
    """Return the correct and the broken lines of a change."""
    right, broken = (textwrap.dedent(text.strip("\n")) for text in (change.right, change.broken))
    lines = [(f"- {line}", "del") for line in right.splitlines()] + [(f"+ {line}", "ins") for line in broken.splitlines()]
    return hanging((line, tag(kind, line)) for line, kind in lines)


def rosetta() -> Html:
    """Return a table of the forms of the loss in public code. Ids of entries in this table are links."""
    heads = ("convention", "written", "D", "J", "beta", "gradient ×", "sigma if beta = 1", "a bound", "seen in")
    rows = [tag("tr", *(tag("th", head) for head in heads))]
    for name, one in PRESETS.items():
        texts = [*cells(document(one.convention, name)), one.source]
        parts = re.split(f"({code_map.ID.pattern})", texts[-1])
        last = [link(part) if code_map.ID.fullmatch(part) else part for part in parts]
        rows.append(tag("tr", *(tag("td", text) for text in texts[:-1]), tag("td", *last), id=f"rosetta.{name}"))
    about = (
        "Each row translates a loss, written with sums, means and weights. The column beta has the true weight of the KL. "
        "The column \"a bound\" says whether minus the loss, in nats, is a lower bound of log p(x). The command minivae "
        "rosetta translates other losses."
    )
    return markup(tag("p", about), scrolling(tag("table", *rows), "public conventions"))
