"""Facts about an entry that the commands print, also as JSON: its judgement, its sides at a point, its code."""

import ast
import importlib
import inspect
import math
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from derivations.engine.domains import Inputs, Symbol, as_drawn, point
from derivations.engine.equation import Entry, Form, Row
from derivations.engine.judge import Judgement, Link, judge, split, value_and_scale
from derivations.engine.ledger import SOURCES, Found, entries, find, source_of
from derivations.pages.unicode import sides, unicode
from minivae.checks import refuse

ROOT = Path(__file__).parents[2]
BEST_TO_WORST = (                                           # verdicts from the best to the worst
    "holds", "defines", "prose", "figure", "holds-if", "loose", "copy", "slip", "wrong", "fails", "undecided",
)  # fmt: skip


class Judged(NamedTuple):
    """An entry, and the judgements of some or all of its rows."""

    entry: Entry
    rows: list[Judgement]

    @property
    def ok(self) -> bool:
        """True if every verdict is the expected one."""
        return all(judgement.ok for judgement in self.rows)

    @property
    def worst_row(self) -> Judgement:
        """The row that represents the entry: a row with an unexpected verdict if one exists, otherwise the worst row."""
        return max(self.rows, key=lambda judgement: (not judgement.ok, BEST_TO_WORST.index(judgement.verdict)))


def judged(found: list[Found], draws: int, seed: int, debug: bool = False) -> list[Judged]:
    """Judge the entries that were found. An entry that raises an error is undecided, and the error is the reason."""
    made = []
    for entry, rows in found:
        try:
            judgements = judge(entry, draws, seed)
        except Exception as error:                          # an error in one entry must not stop the others
            if debug or isinstance(error, MemoryError):     # lack of memory is not a fault of the entry
                raise
            why = f"{type(error).__name__}: {error}"
            judgements = [Judgement(row, "undecided", [], [], [], [], None, why) for row in entry.rows]
        wanted = {row.id for row in rows}
        made.append(Judged(entry, [judgement for judgement in judgements if judgement.row.id in wanted]))
    return made


def module_of(entry: Entry) -> str:
    """Return the module of an entry, such as "derivations.odaibo.bayes"; each module is a section of its source."""
    return inspect.unwrap(entry.printed.function).__module__


def matching(filter: str) -> list[Entry]:
    """Return the entries that a filter selects.

    The filter is the name of a source, the id of an entry or row, or a part of the text that `words_of` returns. "" selects
    all entries. Raises ValueError if the filter selects no entry.
    """
    everything = entries()
    if filter in ("", *SOURCES):
        return entries(filter)
    if exact := [entry for entry in everything if filter in (entry.id, *(row.id for row in entry.rows))]:
        return exact
    if chosen := [entry for entry in everything if filter.lower() in words_of(entry).lower()]:
        return chosen
    if re.match(rf"({'|'.join(SOURCES)})\.", filter):
        find(filter)                                        # raises ValueError and suggests existing ids
    words = f"a source ({', '.join(SOURCES)}), an id, or a word in a formula, its meaning or its function in minivae"
    refuse("FILTER", words, repr(filter), "See `derivations list`.")


def words_of(entry: Entry) -> str:
    """Return the text that a filter searches: formula, meaning, claim, place in the source, section, tied functions."""
    texts = (text for row in entry.rows for text in (row.says, row.claim))
    return "\n".join([unicode(entry.printed.latex), *texts, entry.ref, module_of(entry), *(tie.name for tie in entry.ties)])


def worst(judgement: Judgement) -> float:
    """Return the largest error of the printed form, divided by the tolerance; NaN if there is nothing to compute."""
    return max((link.error for link in judgement.links), default=math.nan)


def statement(entry: Entry, row: Row) -> str:
    """Return the statement of a row as text.

    Some entries have one row for each relation of a chain, such as a = b = c. The text for such a row is one relation with
    its two sides, such as a = b. For other rows, the text is the whole formula.
    """
    parts = sides(entry.printed.latex)
    if row.link is None or len(parts) <= row.link + 1:
        return unicode(entry.printed.latex)
    (_, left), (relation, right) = parts[row.link], parts[row.link + 1]
    return f"{left} {relation} {right}"


# Points, and the sides at a point


def sample(form: Form) -> dict:
    """Return a simple point: every letter has one of its simple values. The function tries three points.

    1. Letters with the same rule, such as "> 0", have different simple values. The first of these letters has its second
       value, the second letter has its third value, and so on. A letter with too few simple values has its last simple
       value. The first simple value of a letter is often special: mu = 0, sigma = 1. Equal letters (q = p) are special,
       too.
    2. Every letter has its second simple value.
    3. Every letter has its first simple value.

    The function returns the first point at which all sides are finite and at least one side is not 0. Without such a point,
    it returns the first point at which all sides are 0. If no point has finite sides, it returns the third point.
    """
    all_zero = []
    for step, start in ((1, 1), (0, 1), (0, 0)):
        values = chosen(form.inputs, step, start)
        try:
            sides = sides_at(form, values)
        except ValueError:                                  # outside the assumption of the form
            continue
        if all(np.isfinite(side).all() for side in sides):
            if not sides or any(side.any() for side in sides):
                return values
            all_zero.append(values)
    return all_zero[0] if all_zero else values


def chosen(inputs: Inputs, step: int, start: int) -> dict:
    """Choose one simple value for each letter; return {name: value}.

    The chosen value has the index `start + step * k`. Here, k is the number of earlier letters with the same rule. If the
    letter has too few simple values, its last one is chosen.
    """
    values, seen = {}, Counter()
    for symbol in inputs:
        values[symbol.name] = symbol.simple[min(start + step * seen[symbol.rule], len(symbol.simple) - 1)]
        seen[symbol.rule] += 1
    return values


def sides_at(form: Form, values: dict) -> list[np.ndarray]:
    """Return the value of every side at one point, without axes of length one."""
    values = {symbol.name: values[symbol.name] for symbol in form.inputs}
    with np.errstate(all="ignore"):                         # an undefined value is printed as undefined
        try:
            sides = split(form.function(**point(**values)))[0]
        except IndexError as error:
            raise ValueError(f"The lengths of these values do not match: {error}") from error
    return [np.squeeze(value_and_scale(side)[0]) for side in sides]


def holding(entry: Entry, row: Row | None = None) -> Form:
    """Return the form that holds: the corrected, intended or precise form if it exists, otherwise the printed form."""
    rows = entry.rows if row is None else [row]
    return next((row.repair for row in rows if row.repair), entry.printed)


def shown(entry: Entry) -> Form:
    """Return the printed form. If the printed form has an undefined letter, return the form that holds."""
    return holding(entry) if entry.printed.free else entry.printed


def letters(entry: Entry) -> dict[str, Symbol]:
    """Return {name: letter} for the printed form and the forms that hold."""
    forms = [entry.printed, *(row.repair for row in entry.rows if row.repair)]
    return {symbol.name: symbol for form in forms for symbol in form.inputs}


def parse_point(text: str, entry: Entry) -> dict:
    """Read a point such as "mu_q=0.5,sigma_q=2" or "p=[0.5,0.5]" and return {letter: value}.

    Raise ValueError if `text` has a letter that the entry does not have, or a value that the rule of its letter forbids.
    """
    known, values = letters(entry), {}
    for part in re.split(r",(?=\s*\w+\s*=)", text):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name not in known:
            rule = f"LETTER=VALUE with letters of {entry.id}: {', '.join(known) or 'it has none'}"
            refuse("--at", rule, repr(part.strip()), f"Try {example(entry)}.")
        values[name] = check_value(known[name], value)
    return values


def example(entry: Entry) -> str:
    """Return an `--at` option that works for the entry, or "without --at" if the entry has no letters."""
    point = ",".join(f"{name}={plain(value)}" for name, value in sample(shown(entry)).items())
    return f"--at '{point}'" if "[" in point else f"--at {point}" if point else "without --at"


def plain(value) -> str:
    """Return a value as a user types it: 0.5 or [0.5,0.5]."""
    return str(np.asarray(value).tolist()).replace(" ", "")


def check_value(symbol: Symbol, text: str) -> np.ndarray:
    """Read a number or a list. Raise ValueError if the value breaks the rule of its letter, such as "> 0"."""
    try:
        value = as_drawn(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        value = np.array([math.nan])
    total = value.sum(axis=-1) if "every row" in symbol.rule else value.sum()
    allowed = np.isfinite(value).all() and value.ndim == as_drawn(symbol.simple[0]).ndim and value.size > 0
    several = as_drawn(symbol.simple[0]).size > 1
    allowed &= value.size == 1 or several                   # a list is refused where a number is needed
    if symbol.rule.startswith(">"):
        allowed &= bool((value >= 0).all() if symbol.rule.startswith(">=") else (value > 0).all())
    allowed &= "summing to 1" not in symbol.rule or bool(np.allclose(total, 1, rtol=0, atol=1e-9))
    allowed &= "a probability" not in symbol.rule or bool((value <= 1).all())
    allowed &= "event" not in symbol.rule or bool(np.isin(value, (0, 1)).all() and value.any())
    if not allowed:
        listed = "rows of numbers [[...], ...]" if as_drawn(symbol.simple[0]).ndim > 1 else "numbers [...]"
        form = listed if several else "a number"
        remedy = f"Try {symbol.name}={plain(symbol.simple[-1])}."
        refuse(symbol.name, f"{form} ({symbol.rule})", text or "nothing", remedy)
    return value


# Code


def located(function) -> str:
    """Return file:line of a function, relative to the project."""
    function = inspect.unwrap(function)
    path = Path(inspect.getsourcefile(function))
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    line = function.__code__.co_firstlineno if inspect.isfunction(function) else inspect.getsourcelines(function)[1]
    return f"{shown}:{line}"


def fetch(name: str):
    """Return the object with a dotted name, such as minivae.vae.VAE.forward."""
    words = name.split(".")
    for length in range(len(words), 0, -1):
        try:
            found = importlib.import_module(".".join(words[:length]))
        except ModuleNotFoundError:
            continue
        for word in words[length:]:
            found = getattr(found, word)
        return found
    raise ValueError(f"a tied function must exist; got {name!r}.")


def code_of(entry: Entry) -> list:
    """Return the functions of an entry, in the order of their lines in the file."""
    repairs = [row.repair.function for row in entry.rows if row.repair]
    functions = [entry.printed.function, *repairs, *(tie.function for tie in entry.ties)]
    return sorted(dict.fromkeys(functions), key=lambda function: inspect.unwrap(function).__code__.co_firstlineno)


# Entries as JSON


def number(value: float) -> float | None:
    """Return the number, or None for infinity and NaN, which JSON does not have."""
    return float(value) if math.isfinite(value) else None


def finite(value):
    """Return the value with None in place of infinity and NaN, also inside lists and dicts."""
    if isinstance(value, dict):
        return {key: finite(value) for key, value in value.items()}
    if isinstance(value, list):
        return [finite(value) for value in value]
    return number(value) if isinstance(value, float) else value


def lists(values: dict | None) -> dict | None:
    """Return a point as lists and numbers, for JSON."""
    return values and {name: np.squeeze(as_drawn(value)).tolist() for name, value in values.items()}


def link_record(id: str, verdict: str, link: Link | None) -> dict:
    """Return one link of a formula for JSON. If a letter of the formula is undefined, `link` and all numbers are None."""
    keys = ("relation", "left", "right", "residual", "tolerance", "ok")
    if link is None:
        return {"id": id, "verdict": verdict} | dict.fromkeys(keys) | {"ok": False}
    numbers = (number(value) for value in (link.left, link.right, link.residual, link.tolerance))
    return {"id": id, "verdict": verdict} | dict(zip(keys, (link.relation, *numbers, link.state == "holds")))


def source_record(entry: Entry, row: Row) -> dict:
    """Return a row's claim, our formula for the claim, and the row's group of faults.

    For a printed formula, the claim and our formula are None.
    """
    reading = statement(entry, row) if row.claim else None
    return {"claim": row.claim or None, "reading": reading, "group": row.group}


def link_records(item: Judged) -> list[dict]:
    """Return a record for every link of an entry.

    If an entry has one row for each link, the record of a link has the verdict of its row. Otherwise, the verdict in the
    record is the state of the link.
    """
    made = []
    for judgement in item.rows:
        row, links = judgement.row, judgement.links
        if row.link is not None:
            record = link_record(row.id, judgement.verdict, links[0] if links else None)
            record |= {"expected": row.expected, "fault": row.fault or None, "witness": lists(judgement.witness)}
            record |= {"corrected": row.repair and row.repair.latex}
            made.append(record | source_record(item.entry, row))
        for i, link in enumerate(links if row.link is None else ()):
            made.append(link_record(row.id + (chr(ord("a") + i) if len(links) > 1 else ""), link.state, link))
    return made


def record(item: Judged) -> dict:
    """Return an entry for JSON. If it has several rows, fields such as "verdict" and "fault" are those of `worst_row`."""
    entry, judgement = item.entry, item.worst_row
    row = judgement.row
    return {
        "id": entry.id,
        "source": source_of(entry),
        "ref": entry.ref,
        "kind": entry.kind,
        "latex": entry.printed.latex,
        "statement": unicode(entry.printed.latex),
        "says": {judgement.row.id: judgement.row.says for judgement in item.rows},
        "needs": entry.needs or None,
        "expected": row.expected,
        "verdict": judgement.verdict,
        "ok": item.ok,
        "why": judgement.why or None,
        "links": link_records(item),
        "tied_to": [tie.name for tie in entry.ties],
        "fault": row.fault or None,
        "witness": lists(judgement.witness),
        "corrected": row.repair and row.repair.latex,
    } | source_record(entry, row)
