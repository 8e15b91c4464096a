"""The judge: it checks the links of a chain one by one, and gives each row a verdict and, if a link fails, a witness.

A row is one link of an entry, or the whole entry. A witness is a point at which a link fails. If every link of a row holds,
the verdict is `holds`, `defines` or `holds-if` (for a figure or a remark: `figure` or `prose`). `holds-if` also needs a
point outside the assumption at which the row fails. If a link fails or a letter has no value, and the row has a second form
that holds, the verdict is `wrong`, `slip` or `loose`, as the entry expects. If a link fails and the row has no second form,
the verdict is `fails`. An entry expects the verdict `copy` if our copy of the source may be damaged, for example by a lost
minus sign. Then the source itself may be right, so the entry need not have a second form. If no verdict can be computed,
the judge returns `undecided`, and `why` gives the reason; if the only reason is that a link is undecided, `why` is "". No
entry expects `fails` or `undecided`, so the tests fail if the judge returns one of these two verdicts.
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

UNDECIDED = 1000                                            # a link is undecided if its error is 1 to 1000 tolerances
ENOUGH = 1000                                               # with fewer draws, different sides can be equal by chance
PIECE = 500                                                 # to save memory, one call computes a side for at most 500 draws
REFUSAL = re.compile(r" must be .*; got ", re.DOTALL)       # matches messages of minivae.checks.refuse, not other errors
ROUNDED = ("real", "> 0")                                   # only symbols with these rules are rounded in a counterexample


@dataclass(frozen=True)
class Link:
    """One relation between two sides, judged over many draws."""

    relation: str
    left: float                 # the value of each side at the worst draw, which is the draw with the largest error
    right: float
    residual: float             # |left - right| at the worst draw
    tolerance: float            # the largest allowed |left - right| at the worst draw
    error: float                # the error at the worst draw, divided by the tolerance: at most 1 if the link holds

    @property
    def state(self) -> str:
        """The result of the link: "holds", "fails" or "undecided"."""
        return "holds" if self.error <= 1 else "undecided" if self.error <= UNDECIDED else "fails"

    @property
    def ok(self) -> bool:
        """True if the link holds."""
        return self.state == "holds"


@dataclass(frozen=True)
class Judgement:
    """The computed verdict of a row, and the numbers behind it.

    The row has the id, the verdict that the ledger expects (`expected`), the text of the fault (`fault`), and the formula
    of the second form (`repair.latex`). The place in the source is the `ref` of the entry.
    """

    row: Row
    verdict: str
    links: list[Link]           # the links of the printed form
    repaired: list[Link]        # the links of the corrected, intended or precise form
    ties: list[tuple[str, Link]]        # (minivae function, link that checks its result), only for the last row of an entry
    free: list[str]             # letters that the printed form does not define
    witness: dict | None        # a point at which the first false link fails; if possible, a simple point
    why: str                    # reason for "undecided", unless the reason is an undecided link in `links`; otherwise ""
    first_false: int | None = None      # index in `links` of the first link that fails
    at_witness: Link | None = None      # the first false link, judged at the witness only

    @property
    def ok(self) -> bool:
        """True if the verdict is the expected one."""
        return self.verdict == self.row.expected


# Sides and links


def split(statement: tuple) -> tuple[list, list[str]]:
    """Split (side, relation, side, ...) into a list of sides and a list of relations."""
    if not isinstance(statement, tuple):
        raise ValueError(f"a statement is a tuple of sides and relations; got a {type(statement).__name__}.")
    sides, relations = list(statement[::2]), list(statement[1::2])
    known = all(isinstance(relation, str) and relation in RELATIONS for relation in relations)
    if statement and not (known and len(sides) == len(relations) + 1 > 1):
        raise ValueError(f"a statement is (side, relation, side, ...); got relations {relations} for {len(sides)} sides.")
    return sides, relations


def value_and_scale(side) -> tuple[NDArray, NDArray]:
    """Return the numbers of a side and the scale of each number: |number|, or in a `Zero` max(|number|, its scale)."""
    if np.iscomplexobj(side):
        raise ValueError("a side must be real; got complex numbers. Take the real or the imaginary part.")
    if isinstance(side, Zero):
        scale = np.abs(np.asarray(side.scale, float))
        value, scale = np.broadcast_arrays(np.asarray(side.value, float), scale)
        return np.where(np.isfinite(scale), value, np.nan), np.maximum(scale, np.abs(value))
    value = np.asarray(side, float)
    return value, np.abs(value)


def aligned(*arrays: NDArray) -> list[NDArray]:
    """Give arrays of draws the same number of axes: beside an array (n, 4, 5), an array (n, 1) becomes (n, 1, 1)."""
    most = max(array.ndim for array in arrays)
    if any(array.ndim not in (0, most) and array.size != len(array) for array in arrays):
        shapes = [array.shape for array in arrays]
        raise ValueError(f"sides must have the same number of axes, or one number for every draw; got {shapes}.")
    return [array if array.ndim in (0, most) else array.reshape(-1, *[1] * (most - 1)) for array in arrays]


def scaled_error(left, relation: str, right, rel: float) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return four arrays: the error of a relation divided by the tolerance, the left side, the right side, the tolerance.

    The tolerance is `rel` times the larger scale of the two sides (see `value_and_scale`). NaN satisfies no relation. An
    infinity is equal only to itself, and `!=` is false if a side is infinite. For a strict relation (<, > or !=), the error
    is infinite if the relation is false, or if finite sides differ by at most the tolerance. Otherwise, the error is 0.
    """
    left, left_scale, right, right_scale = aligned(*value_and_scale(left), *value_and_scale(right))
    left, right, scale = np.broadcast_arrays(left, right, np.maximum(left_scale, right_scale))
    allowed = rel * scale
    with np.errstate(all="ignore"):
        apart = np.abs(left - right)
        if relation in ("=", ":="):
            errors = np.where(left == right, 0.0, np.where(np.isfinite(scale), apart / allowed, np.inf))
        elif relation in ("<=", ">="):
            under = left <= right if relation == "<=" else left >= right
            errors = np.where(under, 0.0, np.where(np.isfinite(scale), apart / allowed, np.inf))
        else:
            order = {"<": left < right, ">": left > right, "!=": np.isfinite(scale)}[relation]
            differ = (apart > allowed) | (np.isinf(apart) & (np.isinf(left) | np.isinf(right)))
            errors = np.where(order & differ, 0.0, np.inf)
    return errors, left, right, allowed


def judge_link(left, relation: str, right, rel: float) -> Link:
    """Judge one relation at all draws; the element with the largest error decides. A relation of empty arrays fails."""
    errors, left, right, allowed = scaled_error(left, relation, right, rel)
    if not errors.size:
        return Link(relation, np.nan, np.nan, np.nan, np.nan, np.inf)
    worst = int(np.argmax(errors))
    a, b, tolerance, far = (float(array.ravel()[worst]) for array in (left, right, allowed, errors))
    return Link(relation, a, b, abs(a - b), tolerance, far)


def judge_sides(sides: list, relations: list[str], rel: float) -> list[Link]:
    """Judge every link between neighbouring sides."""
    return [judge_link(sides[i], relation, sides[i + 1], rel) for i, relation in enumerate(relations)]


# Compute the sides of a form


def sides_of(form: Form, values: dict) -> tuple[list, list[str]]:
    """Compute a form: return its sides and relations. NumPy's warnings are off: the judge handles infinities and NaN."""
    if missing := [symbol.name for symbol in form.inputs if symbol.name not in values]:
        raise ValueError(f"a point must give every letter a value; {', '.join(missing)} has none. Add it.")
    with np.errstate(all="ignore"):
        return split(form.function(**{symbol.name: values[symbol.name] for symbol in form.inputs}))


class Run(NamedTuple):
    """Values of a form's letters at `count` points, and the values of the form's sides at these points."""

    values: dict[str, NDArray]
    count: int
    sides: list

    def errors_of(self, i: int, relation: str, rel: float) -> NDArray:
        """Return, for each point, the error of link i divided by the tolerance, (count,)."""
        errors, *_ = scaled_error(self.sides[i], relation, self.sides[i + 1], rel)
        per_point = errors.ndim and len(errors) == self.count               # False if both sides are constants
        return errors.reshape(self.count, -1).max(axis=1) if per_point else np.full(self.count, errors.max())

    def different_sides(self) -> int:
        """Return the number of different sides. Two sides are equal only if all their bits are equal."""
        return len({value_and_scale(side)[0].tobytes() for side in self.sides})

    def point(self, k: int) -> dict[str, NDArray]:
        """Return the k-th point."""
        return {name: values[k] for name, values in self.values.items()}


class Computed:
    """The sides of a form at the simple points and at random draws. Each side is computed only once at each point.

    The random draws are divided into groups of PIECE draws. The sides are computed for one group after another.
    """

    def __init__(self, form: Form, rel: float, draws: int, seed: int):
        self.form, self.rel = form, rel
        values = drawn(form.inputs, draws, seed)            # {} if the statement has no letters
        starts = range(0, draws, PIECE) if values else [0]
        self.random = [self.run({name: v[k : k + PIECE] for name, v in values.items()}) for k in starts]
        self.simple = self.run(simple_points(form.inputs)) if values else self.random[0]
        self.runs = [self.simple, *self.random]
        made = [judge_sides(run.sides, self.relations, rel) for run in self.runs]
        self.links = [worst_of(links) for links in zip(*made)]

    def run(self, values: dict) -> Run:
        """Compute the sides of the form at the given points."""
        sides, self.relations = sides_of(self.form, values)
        return Run(values, len(next(iter(values.values()))) if values else 1, sides)

    def witness(self, i: int) -> dict:
        """Return the simplest point at which link i fails.

        If the link fails at no simple point, take the draw with the largest error and round its values to two digits. If
        the link also fails at these rounded values, return the rounded values; otherwise, return the draw itself. A letter
        is rounded only if its rule is in ROUNDED, because rounding could violate other rules, such as a sum of 1.
        """
        simple = self.simple.errors_of(i, self.relations[i], self.rel) > UNDECIDED
        if simple.any():
            return self.simple.point(int(np.argmax(simple)))
        errors = [run.errors_of(i, self.relations[i], self.rel) for run in self.random]
        worst = max(range(len(errors)), key=lambda k: errors[k].max())
        found = self.random[worst].point(int(np.argmax(errors[worst])))
        rounded = {s.name: two_digits(found[s.name]) if s.rule in ROUNDED else found[s.name] for s in self.form.inputs}
        try:
            return rounded if self.link_at(rounded, i).state == "fails" else found
        except ValueError:
            return found

    def link_at(self, values: dict, i: int) -> Link:
        """Judge link i at one point."""
        return judge_sides(*sides_of(self.form, point(**values)), self.rel)[i]

    def same_computation(self, seed: int) -> bool:
        """Return True if the form has letters and, at every point, all sides have the same bits."""
        if not self.form.inputs or any(run.different_sides() > 1 for run in self.runs):
            return False
        draws = sum(run.count for run in self.random)
        return draws >= ENOUGH or Computed(self.form, self.rel, ENOUGH, seed).same_computation(seed)


@functools.lru_cache(maxsize=4)
def drawn(inputs: Inputs, draws: int, seed: int) -> dict[str, NDArray]:
    """Return random values of the letters `inputs`; cached, because neighbouring entries often have the same letters."""
    return draw(inputs, np.random.default_rng(seed), draws)


def worst_of(links: Iterable[Link]) -> Link:
    """Return the link with the largest error, relative to its tolerance."""
    return max(links, key=lambda link: link.error)


def two_digits(values: NDArray) -> NDArray:
    """Round every number to two significant digits."""
    return np.reshape([float(f"{value:.2g}") for value in np.ravel(values)], np.shape(values))


# Verdicts


def judge(entry: Entry, draws: int = 1000, seed: int = 0) -> list[Judgement]:
    """Judge every row of an entry at `draws` random draws, and at the simple points of its letters, such as 0 and 1."""
    whole_number("draws", draws, 1)
    printed = None if entry.printed.free else Computed(entry.printed, entry.tolerance, draws, seed)
    lettered = entry.rows[0].link is not None
    if lettered and printed and len(printed.links) != len(entry.rows):
        got = f"{len(entry.rows)} rows for {len(printed.links)} links"
        raise ValueError(f"{entry.id} must have a row for every link; got {got}.")
    return [judge_row(entry, row, printed, draws, seed) for row in entry.rows]


def judge_row(entry: Entry, row: Row, printed: Computed | None, draws: int, seed: int) -> Judgement:
    """Judge one row. `printed` has the sides of the printed form, or is `None` if this form has an undefined letter."""
    repaired = Computed(row.repair, entry.tolerance, draws, seed) if row.repair else None
    holding, free = repaired or printed, entry.printed.free
    if holding is None and row.expected == "copy":
        return Judgement(row, "copy", [], [], [], free, None, "")
    if holding is None:
        return Judgement(row, "undecided", [], [], [], free, None, f"undefined letters {free}, and no second form")
    links = [] if printed is None else printed.links if row.link is None else [printed.links[row.link]]
    repaired_links = repaired.links if repaired else []
    ties = tied_links(entry, holding) if row is entry.rows[-1] else []
    why = problem(entry, row, holding, repaired_links or links, repaired_links, ties, seed)
    false = next((i for i, link in enumerate(links) if link.state == "fails"), None)
    witness, there = None, None
    if false is not None:
        i = (row.link or 0) + false
        witness = printed.witness(i)
        there = printed.link_at(witness, i)
    verdict = verdict_of(entry, row, links, repaired_links, why)
    return Judgement(row, verdict, links, repaired_links, ties, free, witness, why, false, there)


def tied_links(entry: Entry, holding: Computed) -> list[tuple[str, Link]]:
    """Call the minivae functions that the entry is tied to, and compare each result with the last side of the entry.

    The function and the side are computed for the same draws. The side is taken from the entry's second form, because the
    printed form can be false; if the entry has no second form, the side is taken from the printed form.
    """
    links = {}                                              # if several ties share a function, call it only once
    for tie in entry.ties:
        if (tie.function, tie.draws) not in links:
            runs = holding.random[:1] if tie.draws else holding.random
            links[tie.function, tie.draws] = worst_of(tied_link(entry, run, tie) for run in runs)
    return [(tie.name, links[tie.function, tie.draws]) for tie in entry.ties]


def tied_link(entry: Entry, run: Run, tie: Tie) -> Link:
    """Compare the result of one minivae function with the last side of the entry.

    Use the first `tie.draws` draws of the run. If `tie.draws` is None, use all draws of the run.
    """
    side = value_and_scale(run.sides[-1])[0] if run.sides else np.array(np.nan)
    side = side[: tie.draws] if side.ndim and len(side) == run.count else side
    return judge_link(side, "=", tie.function(**{k: v[: tie.draws] for k, v in run.values.items()}), entry.tolerance)


def verdict_of(entry: Entry, row: Row, links: list[Link], repaired: list[Link], why: str) -> str:
    """Return the verdict that follows from the states of the links, or "undecided"."""
    if why or any(link.state == "undecided" for link in [*links, *repaired]):
        return "undecided"
    if entry.printed.free or any(link.state == "fails" for link in links):
        return row.expected if row.expected == "copy" or row.expected in (*ERRATA, "loose") and repaired else "fails"
    if row.expected in ("figure", "prose"):
        return row.expected
    if all(link.relation == ":=" for link in links):
        return "defines"
    return "holds-if" if is_needed(entry, row) else "holds"


def problem(entry: Entry, row: Row, holding: Computed, links: list, repaired: list, ties: list, seed: int) -> str:
    """Return the reason why no verdict can be computed, or "". `links` belong to the form that is expected to hold."""
    if row.expected == "copy" and not repaired:
        return ""                                           # the source may be right, so no corrected form is required
    for name, link in ties:
        if not link.ok:
            return f"{name} differs from the statement: it gives {link.right!r}, the statement {link.left!r}"
    if any(not link.ok for link in repaired):
        return "the corrected form does not hold"
    if not links and row.expected not in ("figure", "prose"):
        return "the statement has no relation"
    if any(link.relation != ":=" for link in links) and holding.same_computation(seed):
        return "all sides are equal to the last bit, as if computed in the same way; compute one side in another way"
    if any(link.relation in ("<=", ">=") for link in links) and not is_tight(entry, row, holding.form):
        return "the sides of an inequality are not equal at the point `tight`"
    return ""


def is_tight(entry: Entry, row: Row, form: Form) -> bool:
    """Return True if every inequality of the row is an equality at the point `tight` of the entry."""
    if entry.tight is None:
        return False
    sides, relations = sides_of(form, point(**entry.tight))
    whole = row.link is None or row.repair is not None
    tight = [i for i, relation in enumerate(relations) if relation in ("<=", ">=") and (whole or i == row.link)]
    return all(judge_link(sides[i], "=", sides[i + 1], entry.tolerance).ok for i in tight)


# Outside the assumption


class Outside(NamedTuple):
    """A point outside the assumption, and the links of the printed form that fail there.

    A link fails if its sides are numbers that do not satisfy the relation. A link is undefined if a side is NaN. If the
    entry raises an error at the point, all links are undefined, and `refusal` has the error message.
    """

    values: dict
    failing: set[int]
    undefined: set[int]
    refusal: str = ""

    @property
    def state(self) -> str:
        """The result at the point: "fails", "undefined" or "holds"."""
        return "fails" if self.failing else "undefined" if self.undefined else "holds"


def outside(entry: Entry, values: dict) -> Outside:
    """Find the links that fail at a point, and those that are undefined there."""
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
    """Return True if the row fails without the assumption. The points `entry.outside` violate the assumption.

    At each of these points, at least one link must fail or be undefined. At one or more of these points, a link of `row`
    must fail. If the entry has a text `undefined`, an undefined link of `row` counts as a failing link.
    """
    points = [outside(entry, values) for values in entry.outside]
    counting = [at.failing | at.undefined if entry.undefined else at.failing for at in points]
    fails = any(links and row.link in (None, *links) for links in counting)
    return fails and all(at.state != "holds" for at in points)
