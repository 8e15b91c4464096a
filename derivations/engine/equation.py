"""The entries of the ledger: the parts of an entry, and the registry of all entries.

An entry is a plain function of arrays of draws. The function returns the sides of a printed statement and the relations
between the sides, in printed order:

    @equation("odaibo.40", "l.258-262 (40)", r"... = ... = ...", (MU_Q, SIGMA_Q), rows="abc", ...)
    def eq_40(mu_q, sigma_q):
        return -kl_normal(mu_q, sigma_q, 0, 1), "=", log(sigma_q) - ..., "=", ...

A link is one relation with its two sides: a = b = c has two links. A row is a part of an entry that gets its own verdict. If
an entry has `rows="abc"`, each link of its chain is a row: `odaibo.40a` is the first link of odaibo.40. Otherwise, the
whole entry is one row. `needs` states a sufficient assumption, and `outside` has points that violate this assumption.

If a source states something in a sentence without a formula, `claim` reports the sentence, and the formula is our
interpretation of the sentence.
If the printed form is false or has an undefined letter, the entry has a second form that holds. The verdict `copy` means:
our copy of the source may be damaged, for example by a lost minus sign. For this verdict, the second form is optional. A
decorator attaches the second form: `corrected` if the printed form gives a wrong number, `intended` for a slip with an
evident meaning or for `copy`, `precise` for loose wording.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from derivations.engine.domains import Inputs

RELATIONS = ("=", ":=", "<=", ">=", "<", ">", "!=")
KINDS = ("equation", "claim", "table", "figure")
# {decorator: verdicts}. A decorator attaches a second form to a row; the row must have one of these verdicts.
REPAIRS = {"corrected": ("wrong",), "intended": ("slip", "copy"), "precise": ("loose",)}
# The verdicts that are errors of a source. "loose" (the words of the source are not precise) and "copy" (our copy of the
# source may be damaged) are not errors of the source.
ERRATA = ("slip", "wrong")
VERDICTS = ("holds", "holds-if", "defines", *ERRATA, "loose", "copy", "figure", "prose")


@dataclass(frozen=True)
class Form:
    """One way to write the statement. `function` gets draws of the letters and returns the sides and their relations."""

    function: Callable
    latex: str
    inputs: Inputs

    @property
    def free(self) -> list[str]:
        """Letters that the statement uses but `inputs` does not have. With such letters, no side can be computed."""
        bound = {symbol.name for symbol in self.inputs}
        return [name for name in inspect.signature(self.function).parameters if name not in bound]


@dataclass(frozen=True)
class Zero:
    """A side that can be near 0 because numbers of size `scale` cancel.

    The error of this side is relative to `scale`, or to |value| if |value| is larger than `scale`.
    """

    scale: object
    value: object = 0.0


@dataclass
class Row:
    """A part of an entry that gets its own verdict: one link, or the whole entry (`link=None`).

    `claim` reports a sentence of the source. If a row has a `claim`, the source prints no formula, and the formula of the
    row is our interpretation of the sentence. All rows of one `group` have the same fault. The name of a group is the id of
    one of its rows.
    """

    id: str
    expected: str
    says: str
    link: int | None = None
    fault: str = ""
    repair: Form | None = None
    claim: str = ""
    group: str = ""

    def __post_init__(self):
        self.group = self.group or self.id


@dataclass
class Entry:
    """An entry of the ledger; see the module's docstring."""

    id: str
    ref: str
    printed: Form
    needs: str = ""
    outside: tuple[dict, ...] = ()
    tight: dict | None = None
    tolerance: float = 1e-9
    kind: str = "equation"
    undefined: str = ""
    rows: list[Row] = field(default_factory=list)
    ties: list["Tie"] = field(default_factory=list)

    def __call__(self, *args, **kwargs):
        return self.printed.function(*args, **kwargs)

    def row(self, letter: str = "") -> Row:
        """Return the row with this letter; for "", return the only row."""
        ids = [row.id for row in self.rows]
        if self.id + letter not in ids:
            raise ValueError(f"letter must be the letter of a row; got {letter!r}. The rows are {ids}.")
        return self.rows[ids.index(self.id + letter)]

    def corrected(self, latex: str, letter: str = "", inputs: Inputs | None = None):
        """Attach the correct form to a row with the verdict `wrong`."""
        return self._repair("corrected", latex, letter, inputs)

    def intended(self, latex: str, letter: str = "", inputs: Inputs | None = None):
        """Attach the form that the source evidently means. The row must have the verdict `slip` or `copy`."""
        return self._repair("intended", latex, letter, inputs)

    def precise(self, latex: str, letter: str = "", inputs: Inputs | None = None):
        """Attach the precise form to a row with the verdict `loose`. The printed form must fail or have no value."""
        return self._repair("precise", latex, letter, inputs)

    def _repair(self, name, latex, letter, inputs):
        row = self.row(letter)
        if row.expected not in REPAIRS[name]:
            verdicts = " or ".join(REPAIRS[name])
            raise ValueError(f"`{name}` must be for a row with the verdict {verdicts}; got {row.id}: {row.expected}.")

        def attach(function: Callable) -> Callable:
            row.repair = Form(function, latex, inputs or self.printed.inputs)
            return function

        return attach

    def tied(self, name: str, draws: int | None = None):
        """Attach a function that calls minivae's function `name` and returns the last side of the entry (see `Tie`).

        The judge passes many draws in one call. Some attached functions make a separate model for every draw, and this
        takes time. Set `draws` to limit the number of draws for such a function.
        """

        def attach(function: Callable) -> Callable:
            self.ties.append(Tie(name, function, draws))
            return function

        return attach


class Tie(NamedTuple):
    """A comparison with minivae. `function` calls minivae's function `name`, and must return the last side of the entry.

    The call can be indirect: `function` may call another function of minivae, which calls `name`. If the last row of the
    entry has a second form, `function` must return the last side of this form.
    """

    name: str
    function: Callable
    draws: int | None                                       # number of draws to compare; None means all


LEDGER: dict[str, Entry] = {}
Texts = str | dict[str, str]                                # one text for all rows, or {row letter: text}


def equation(
    id: str,
    ref: str,
    latex: str,
    inputs: Inputs = (),
    *,
    says: Texts,
    verdict: Texts = "holds",
    rows: str = "",
    fault: Texts = "",
    claim: Texts = "",
    group: Texts = "",
    needs: str = "",
    outside: tuple[dict, ...] | dict = (),
    undefined: str = "",
    tight: dict | None = None,
    tolerance: float = 1e-9,
    kind: str = "equation",
):
    """Enter a function into the ledger. A link is a relation between two neighbouring sides: a = b <= c has two links.

    A row is a part of the entry that gets its own verdict: one link, or the whole entry. The arguments are:

    id          the permanent id of the entry, such as "odaibo.40"
    ref         the place of the statement in the source, such as "l.258-262 (40)"
    latex       the statement as the source prints it
    inputs      the letters of the statement; each `Symbol` has the rule for the values of its letter
    says        the meaning of the statement in plain words
    verdict     the verdict that the judge must reach. The default is "holds-if" if `needs` is given, otherwise "holds".
                If the verdict is "figure" or "prose", every link must hold. A function with nothing to compute returns ().
    rows        "" if the whole entry is one row; "abc" if the entry has three links and each link is a row
    fault       an explanation of the fault, if the printed form has a fault
    claim       our report of a sentence of the source, if the source has no formula and `latex` is our interpretation
    group       the id of one of the rows that have the same fault; the default is the row's own id
    needs       an assumption that is sufficient for the statement
    outside     points that violate the assumption. At each point of `outside`, at least one link must fail or be undefined.
                Every "holds-if" row must fail at one or more points of `outside`.
    undefined   the reason why links are undefined at some points of `outside`. If a reason is given, a "holds-if" row also
                fails at a point at which a link of the row is undefined.
    tight       the point at which every <= and >= of the statement becomes an equality
    tolerance   the largest relative error of a link that holds
    kind        the kind of statement: one of `KINDS`
    """
    if id in LEDGER:
        raise ValueError(f"id must be new; got {id!r}, which is in the ledger. Ids are permanent.")
    known_words(id, "kind", {kind}, KINDS)
    expected = dict.fromkeys(rows or [""], "holds-if" if needs else "holds")
    expected |= by_letter(id, "verdict", "" if verdict == "holds" else verdict, rows)
    known_words(id, "verdict", set(expected.values()), VERDICTS)
    made = [Row(id + letter, expected[letter], "", link) for link, letter in (enumerate(rows) if rows else [(None, "")])]
    for name, text in (("says", says), ("fault", fault), ("claim", claim), ("group", group)):
        for letter, row_text in by_letter(id, name, text, rows).items():
            setattr(made[rows.index(letter)], name, row_text)

    def enter(function: Callable) -> Entry:
        points = (outside,) if isinstance(outside, dict) else tuple(outside)
        LEDGER[id] = Entry(id, ref, Form(function, latex, inputs), needs, points, tight, tolerance, kind, undefined, made)
        return LEDGER[id]

    return enter


def known_words(id: str, argument: str, words: set[str], known: tuple[str, ...]) -> None:
    """Raise ValueError if one of the words is not in `known`."""
    if unknown := words - set(known):
        raise ValueError(f"{argument} must be one of {known}; got {sorted(unknown)} in {id}.")


def by_letter(id: str, argument: str, value: Texts, rows: str) -> dict[str, str]:
    """Return {letter: text} for the rows; a single text is used for all rows."""
    if not isinstance(value, dict):
        return dict.fromkeys(rows or [""], value) if value else {}
    if not set(value) <= set(rows):
        raise ValueError(f"{argument} must have letters of rows as keys; got {sorted(value)} in {id}. The rows: {rows!r}.")
    return value
