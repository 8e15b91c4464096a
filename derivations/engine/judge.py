"""Links of a chain, judged one by one, and the verdict of a row with its witness.

If every link of a row holds, its verdict is `holds`, `defines`, or `holds-if`: that one needs a point outside the
assumption at which the row fails. If a link fails, the verdict is `wrong`, `slip` or `loose`, as the entry says, but only
if a form is attached that holds; otherwise it is `fails`. `copy` says that a sign may be lost in our copy of the source,
and needs no such form. Where no verdict can be computed it is `undecided`, and `why` gives the reason. No row is expected
to fail or to be undecided.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from derivations.engine.domains import Inputs, draw, point, simple_points
from derivations.engine.equation import ERRATA, RELATIONS, Entry, Form, Row, Tie, Zero
from minivae.checks import whole_number

UNDECIDED = 1000                                            # tolerances: a smaller miss is undecided
ENOUGH = 1000                                               # draws: fewer can agree to the last bit by chance
PIECE = 500                                               # draws that are computed at once: memory stays small
REFUSAL = re.compile(r" must be .*; got ", re.DOTALL)       # what minivae.checks.refuse says, and no other ValueError
ROUNDED = ("real", "> 0")                                   # rules that a number rounded to two digits still obeys


@dataclass(frozen=True)
class Link:
    """One relation between two sides, judged over many draws."""

    relation: str
    left: float                 # both sides at the worst draw
    right: float
    residual: float             # the worst miss
    tolerance: float            # what was allowed there
    misses: float               # the worst miss in tolerances

    @property
    def state(self) -> str:
        """holds, fails or undecided."""
        return "holds" if self.misses <= 1 else "undecided" if self.misses <= UNDECIDED else "fails"

    @property
    def ok(self) -> bool:
        """True if the link holds."""
        return self.state == "holds"


@dataclass(frozen=True)
class Judgement:
    """The computed verdict of a row, and everything that led to it.

    Row and entry say the rest: `row.id`, `row.expected`, `row.fault`, `row.repair.latex`, `entry.ref`.
    """

    row: Row
    verdict: str
    links: list[Link]           # of the printed form
    repaired: list[Link]        # of the corrected or intended form
    ties: list[tuple[str, Link]]
    free: list[str]             # letters that the printed form does not bind
    witness: dict | None        # the simplest point at which the first false link fails
    why: str
    first_false: int | None = None      # that link, among `links`
    at_witness: Link | None = None      # the same link, there: with the values of both sides

    @property
    def ok(self) -> bool:
        """True if the verdict is the expected one."""
        return self.verdict == self.row.expected


# Sides and links


def split(statement: tuple) -> tuple[list, list[str]]:
    """Split (side, relation, side, ...) into sides and relations."""
    if not isinstance(statement, tuple):
        raise ValueError(f"a statement is a tuple of sides and relations; got a {type(statement).__name__}.")
    sides, relations = list(statement[::2]), list(statement[1::2])
    known = all(isinstance(relation, str) and relation in RELATIONS for relation in relations)
    if statement and not (known and len(sides) == len(relations) + 1 > 1):
        raise ValueError(f"a statement is side, relation, side, ...; got relations {relations} for {len(sides)} sides.")
    return sides, relations


def value_and_scale(side) -> tuple[NDArray, NDArray]:
    """The numbers of a side, and the magnitude its error is compared with."""
    if np.iscomplexobj(side):
        raise ValueError("a side is real; got complex numbers. Take the part that is meant.")
    if isinstance(side, Zero):
        scale = np.abs(np.asarray(side.scale, float))
        value, scale = np.broadcast_arrays(np.asarray(side.value, float), scale)
        return np.where(np.isfinite(scale), value, np.nan), np.maximum(scale, np.abs(value))
    value = np.asarray(side, float)
    return value, np.abs(value)


def aligned(*arrays: NDArray) -> list[NDArray]:
    """Arrays of draws with as many axes each: a number for every draw, (n, 1), stands beside (n, 4, 5) as (n, 1, 1)."""
    most = max(array.ndim for array in arrays)
    if any(array.ndim not in (0, most) and array.size != len(array) for array in arrays):
        shapes = [array.shape for array in arrays]
        raise ValueError(f"sides must have as many axes each, or one number for every draw; got {shapes}.")
    return [array if array.ndim in (0, most) else array.reshape(-1, *[1] * (most - 1)) for array in arrays]


def miss(left, relation: str, right, rel: float) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return the miss of a relation in tolerances, element by element; then both sides and the tolerance.

    The tolerance is `rel` times the larger magnitude of the two sides: small numbers need small errors. NaN satisfies
    no relation. An infinity equals an infinity of the same sign and nothing else. A strict relation counts as clearly missed
    where the sides agree.
    """
    left, left_scale, right, right_scale = aligned(*value_and_scale(left), *value_and_scale(right))
    left, right, scale = np.broadcast_arrays(left, right, np.maximum(left_scale, right_scale))
    allowed = rel * scale
    with np.errstate(all="ignore"):
        apart = np.abs(left - right)
        if relation in ("=", ":="):
            misses = np.where(left == right, 0.0, np.where(np.isfinite(scale), apart / allowed, np.inf))
        elif relation in ("<=", ">="):
            under = left <= right if relation == "<=" else left >= right
            misses = np.where(under, 0.0, np.where(np.isfinite(scale), apart / allowed, np.inf))
        else:
            order = {"<": left < right, ">": left > right, "!=": np.isfinite(scale)}[relation]
            differ = (apart > allowed) | (np.isinf(apart) & (np.isinf(left) | np.isinf(right)))
            misses = np.where(order & differ, 0.0, np.inf)
    return misses, left, right, allowed


def judge_link(left, relation: str, right, rel: float) -> Link:
    """Judge one relation over all draws by its worst element. A relation between empty arrays counts as missed."""
    misses, left, right, allowed = miss(left, relation, right, rel)
    if not misses.size:
        return Link(relation, np.nan, np.nan, np.nan, np.nan, np.inf)
    worst = int(np.argmax(misses))
    a, b, tolerance, far = (float(array.ravel()[worst]) for array in (left, right, allowed, misses))
    return Link(relation, a, b, abs(a - b), tolerance, far)


def judge_sides(sides: list, relations: list[str], rel: float) -> list[Link]:
    """Every link between sides that are computed."""
    return [judge_link(sides[i], relation, sides[i + 1], rel) for i, relation in enumerate(relations)]


# Forms, computed


def sides_of(form: Form, values: dict) -> tuple[list, list[str]]:
    """The sides and relations of a form. NumPy gives no warnings here: infinities and NaN are judged."""
    if missing := [symbol.name for symbol in form.inputs if symbol.name not in values]:
        raise ValueError(f"a point needs every letter of its form; without {', '.join(missing)} it is none.")
    with np.errstate(all="ignore"):
        return split(form.function(**{symbol.name: values[symbol.name] for symbol in form.inputs}))


class Run(NamedTuple):
    """Points, how many, and the sides of a form there."""

    values: dict[str, NDArray]
    count: int
    sides: list

    def misses_of(self, i: int, relation: str, rel: float) -> NDArray:
        """Return by how much link i fails at each point, in units of its tolerance, (count,)."""
        misses, *_ = miss(self.sides[i], relation, self.sides[i + 1], rel)
        per_point = misses.ndim and len(misses) == self.count               # else the sides are the same at every point
        return misses.reshape(self.count, -1).max(axis=1) if per_point else np.full(self.count, misses.max())

    def different_sides(self) -> int:
        """Return the number of sides without those that equal another side to the last bit."""
        return len({value_and_scale(side)[0].tobytes() for side in self.sides})

    def point(self, k: int) -> dict[str, NDArray]:
        """The k-th of the points."""
        return {name: values[k] for name, values in self.values.items()}


class Computed:
    """A form with its sides computed once: at the simple points, and at random draws, a piece at a time."""

    def __init__(self, form: Form, rel: float, draws: int, seed: int):
        self.form, self.rel = form, rel
        values = drawn(form.inputs, draws, seed)            # {} for a statement about no letter
        starts = range(0, draws, PIECE) if values else [0]
        self.random = [self.run({name: v[k : k + PIECE] for name, v in values.items()}) for k in starts]
        self.simple = self.run(simple_points(form.inputs)) if values else self.random[0]
        self.runs = [self.simple, *self.random]
        made = [judge_sides(run.sides, self.relations, rel) for run in self.runs]
        self.links = [worst_of(links) for links in zip(*made)]

    def run(self, values: dict) -> Run:
        """The form, computed at some points."""
        sides, self.relations = sides_of(self.form, values)
        return Run(values, len(next(iter(values.values()))) if values else 1, sides)

    def witness(self, i: int) -> dict:
        """The simplest point at which link i fails; if none does, the draw that misses most, rounded if that fails."""
        simple = self.simple.misses_of(i, self.relations[i], self.rel) > UNDECIDED
        if simple.any():
            return self.simple.point(int(np.argmax(simple)))
        misses = [run.misses_of(i, self.relations[i], self.rel) for run in self.random]
        worst = max(range(len(misses)), key=lambda k: misses[k].max())
        found = self.random[worst].point(int(np.argmax(misses[worst])))
        rounded = {s.name: two_digits(found[s.name]) if s.rule in ROUNDED else found[s.name] for s in self.form.inputs}
        try:
            return rounded if self.link_at(rounded, i).state == "fails" else found
        except ValueError:
            return found

    def link_at(self, values: dict, i: int) -> Link:
        """Link i at one point."""
        return judge_sides(*sides_of(self.form, point(**values)), self.rel)[i]

    def same_computation(self, seed: int) -> bool:
        """Return True if all sides agree to the last bit everywhere; always False for fixed numbers, which may agree."""
        if not self.form.inputs or any(run.different_sides() > 1 for run in self.runs):
            return False
        draws = sum(run.count for run in self.random)
        return draws >= ENOUGH or Computed(self.form, self.rel, ENOUGH, seed).same_computation(seed)


@functools.lru_cache(maxsize=4)
def drawn(inputs: Inputs, draws: int, seed: int) -> dict[str, NDArray]:
    """The random draws of a form: neighbours in the ledger often have the same letters."""
    return draw(inputs, np.random.default_rng(seed), draws)


def worst_of(links: Iterable[Link]) -> Link:
    """The one that missed most."""
    return max(links, key=lambda link: link.misses)


def two_digits(values: NDArray) -> NDArray:
    """Every number rounded to two significant digits."""
    return np.reshape([float(f"{value:.2g}") for value in np.ravel(values)], np.shape(values))


# Verdicts


def judge(entry: Entry, draws: int = 1000, seed: int = 0) -> list[Judgement]:
    """The computed verdict of every row of an entry, over `draws` random draws and the simple points."""
    whole_number("draws", draws, 1)
    printed = None if entry.printed.free else Computed(entry.printed, entry.tolerance, draws, seed)
    lettered = entry.rows[0].link is not None
    if lettered and printed and len(printed.links) != len(entry.rows):
        got = f"{len(entry.rows)} rows for {len(printed.links)} links"
        raise ValueError(f"{entry.id} must have a row for every link; got {got}.")
    return [judge_row(entry, row, printed, draws, seed) for row in entry.rows]


def judge_row(entry: Entry, row: Row, printed: Computed | None, draws: int, seed: int) -> Judgement:
    """The verdict of one row, given its entry's printed form."""
    repaired = Computed(row.repair, entry.tolerance, draws, seed) if row.repair else None
    holding, free = repaired or printed, entry.printed.free
    if holding is None and row.expected == "copy":
        return Judgement(row, "copy", [], [], [], free, None, "")
    if holding is None:
        return Judgement(row, "undecided", [], [], [], free, None, f"free letters {free}, and no reading of them")
    links = [] if printed is None else printed.links if row.link is None else [printed.links[row.link]]
    mended = repaired.links if repaired else []
    ties = tied_links(entry, holding) if row is entry.rows[-1] else []
    why = problem(entry, row, holding, mended or links, mended, ties, seed)
    false = next((i for i, link in enumerate(links) if link.state == "fails"), None)
    witness, there = None, None
    if false is not None:
        i = (row.link or 0) + false
        witness = printed.witness(i)
        there = printed.link_at(witness, i)
    verdict = verdict_of(entry, row, links, mended, why)
    return Judgement(row, verdict, links, mended, ties, free, witness, why, false, there)


def tied_links(entry: Entry, holding: Computed) -> list[tuple[str, Link]]:
    """Judge minivae's functions at the same draws: each is compared with the last side of the true form."""
    links = {}                                              # one call may stand for several functions of minivae
    for tie in entry.ties:
        if (tie.function, tie.draws) not in links:
            runs = holding.random[:1] if tie.draws else holding.random
            links[tie.function, tie.draws] = worst_of(tied_link(entry, run, tie) for run in runs)
    return [(tie.name, links[tie.function, tie.draws]) for tie in entry.ties]


def tied_link(entry: Entry, run: Run, tie: Tie) -> Link:
    """One function of minivae at the draws of one run, or at the first of them."""
    side = value_and_scale(run.sides[-1])[0] if run.sides else np.array(np.nan)
    side = side[: tie.draws] if side.ndim and len(side) == run.count else side
    return judge_link(side, "=", tie.function(**{k: v[: tie.draws] for k, v in run.values.items()}), entry.tolerance)


def verdict_of(entry: Entry, row: Row, links: list[Link], mended: list[Link], why: str) -> str:
    """Return the verdict that follows from the numbers, or "undecided"."""
    if why or any(link.state == "undecided" for link in [*links, *mended]):
        return "undecided"
    if entry.printed.free or any(link.state == "fails" for link in links):
        return row.expected if row.expected == "copy" or row.expected in (*ERRATA, "loose") and mended else "fails"
    if row.expected in ("figure", "prose"):
        return row.expected
    if all(link.relation == ":=" for link in links):
        return "defines"
    return "holds-if" if is_needed(entry, row) else "holds"


def problem(entry: Entry, row: Row, holding: Computed, links: list, mended: list, ties: list, seed: int) -> str:
    """The reason why no verdict can be computed, or "". `links` are those of the form that should hold."""
    if row.expected == "copy" and not mended:
        return ""                                           # a lost sign needs no corrected form
    for name, link in ties:
        if not link.ok:
            return f"{name} is not what the statement says: {link.right!r} for {link.left!r}"
    if any(not link.ok for link in mended):
        return "the corrected form does not hold"
    if not links and row.expected not in ("figure", "prose"):
        return "nothing is stated"
    if any(link.relation != ":=" for link in links) and holding.same_computation(seed):
        return "every side is the same computation: two routes are needed"
    if any(link.relation in ("<=", ">=") for link in links) and not is_tight(entry, row, holding.form):
        return "an inequality is not reached at the stated point"
    return ""


def is_tight(entry: Entry, row: Row, form: Form) -> bool:
    """Return True if every inequality of the row is an equality at the stated point."""
    if entry.tight is None:
        return False
    sides, relations = sides_of(form, point(**entry.tight))
    whole = row.link is None or row.repair is not None
    tight = [i for i, relation in enumerate(relations) if relation in ("<=", ">=") and (whole or i == row.link)]
    return all(judge_link(sides[i], "=", sides[i + 1], entry.tolerance).ok for i in tight)


# Outside the assumption


class Outside(NamedTuple):
    """A point outside the assumption, and the links of the printed form that fail there.

    A link fails where its sides are numbers that break the relation. It is undefined where a side is NaN, and all are
    where the input is refused: `refusal` says why.
    """

    values: dict
    failing: set[int]
    undefined: set[int]
    refusal: str = ""

    @property
    def state(self) -> str:
        """fails, undefined or holds."""
        return "fails" if self.failing else "undefined" if self.undefined else "holds"


def outside(entry: Entry, values: dict) -> Outside:
    """The links that fail at a point, and those that are undefined there."""
    try:
        links = judge_sides(*sides_of(entry.printed, point(**values)), entry.tolerance)
    except ValueError as error:
        if not REFUSAL.search(str(error)):
            raise
        return Outside(values, set(), set(range(max(1, len(entry.rows)))), str(error))
    failing = {i for i, link in enumerate(links) if link.state == "fails"}
    undefined = {i for i in failing if np.isnan([links[i].left, links[i].right]).any()}
    return Outside(values, failing - undefined, undefined)


def is_needed(entry: Entry, row: Row) -> bool:
    """Return whether no point outside the assumption satisfies the entry, and this row fails at one of them.

    An entry that says why its statement is `undefined` outside needs no failure, only a point that is undefined.
    """
    points = [outside(entry, values) for values in entry.outside]
    counting = [at.failing | at.undefined if entry.undefined else at.failing for at in points]
    fails = any(links and row.link in (None, *links) for links in counting)
    return fails and all(at.state != "holds" for at in points)
