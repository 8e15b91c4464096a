"""A Symbol describes the values that a letter of a source can have.

The symbol's function `make` turns real numbers, `raw` (n, size), into n values of the letter. The raw numbers come from
`np.random` or, in some tests, from Hypothesis, a library that searches for simple counterexamples. `simple` lists values
that a person can check by hand. The judge tests each statement at random draws and at the simple values. If the statement
is false, the judge looks for a counterexample among the simple values first.

Random draws and simple values are read-only arrays, because several functions get the same arrays. Scalars are arrays
(n, 1), so that the nodes of a quadrature (a weighted sum that computes an integral) fit along the last axis. Vectors are
(n, size), tables (n, rows, columns).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

MOST_SIMPLE = 200                                           # largest number of combinations of simple values


@dataclass(frozen=True, eq=False)
class Symbol:
    """A letter of a source. `rule` describes the allowed values; `make` turns `size` real numbers into one value."""

    name: str
    latex: str
    rule: str
    size: int
    make: Callable[[NDArray], NDArray]
    simple: tuple

    def __post_init__(self):
        if not self.name.isidentifier() or not self.simple:
            raise ValueError(f"a symbol needs a Python name and simple values; got {self.name!r}, {self.simple!r}.")


Inputs = tuple[Symbol, ...]


def draw(inputs: Inputs, rng: np.random.Generator, n: int) -> dict[str, NDArray]:
    """Return {name of the symbol: n random values of its letter}."""
    return {symbol.name: frozen(symbol.make(rng.standard_normal((n, symbol.size)))) for symbol in inputs}


@cache
def simple_points(inputs: Inputs) -> dict[str, NDArray]:
    """Return at most MOST_SIMPLE combinations of simple values, as {name of the symbol: its values in all combinations}.

    Combinations of values near the beginning of each symbol's list `simple` come first.
    """
    chosen = first_ranks(tuple(len(symbol.simple) for symbol in inputs))
    columns = zip(inputs, chosen.T)
    return {symbol.name: frozen(np.array([as_drawn(v) for v in symbol.simple])[ranks]) for symbol, ranks in columns}


@cache
def first_ranks(sizes: tuple[int, ...]) -> NDArray:
    """Return at most MOST_SIMPLE tuples of ranks: the tuples with the smallest sums.

    There are several lists, and list i has sizes[i] values. A tuple of ranks chooses one value of each list:
    number i of the tuple is the index of the chosen value in list i.
    """
    ranked = (ranks for rank_sum in range(sum(sizes) - len(sizes) + 1) for ranks in ranks_with_sum(rank_sum, sizes))
    first = [ranks for _, ranks in zip(range(MOST_SIMPLE), ranked)]
    return np.array(first, int).reshape(len(first), len(sizes))


def ranks_with_sum(rank_sum: int, sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield, in lexicographic order, every tuple of ranks whose sum is `rank_sum`. The i-th rank is below sizes[i]."""
    if not sizes:
        yield from [()] if rank_sum == 0 else []
        return
    largest = sum(sizes[1:]) - len(sizes[1:])               # the largest sum of the other ranks
    for rank in range(max(0, rank_sum - largest), min(rank_sum, sizes[0] - 1) + 1):
        yield from ((rank, *others) for others in ranks_with_sum(rank_sum - rank, sizes[1:]))


def frozen(array: NDArray) -> NDArray:
    """Make the array read-only and return it."""
    array.flags.writeable = False
    return array


def as_drawn(value) -> NDArray:
    """Return a value in the shape of a draw: a number becomes an array (1,), an array keeps its shape."""
    return np.atleast_1d(np.asarray(value, float))


def point(**values) -> dict[str, NDArray]:
    """Return the given values as one draw, (1, ...)."""
    return {name: as_drawn(value)[None] for name, value in values.items()}


def real(name: str, latex: str, spread: float = 1.2, simple: Sequence = (0, 1, -1, 2, 0.5)) -> Symbol:
    """Any real number."""
    return Symbol(name, latex, "real", 1, lambda raw: spread * raw, tuple(simple))


def positive(name: str, latex: str, spread: float = 0.5, simple: Sequence = (1, 2, 0.5, 3)) -> Symbol:
    """A number above zero."""
    return Symbol(name, latex, "> 0", 1, lambda raw: np.exp(spread * raw), tuple(simple))


def vector(name: str, latex: str, size: int, spread: float = 1.2, simple: Sequence = ((0, 0), (1, 0), (1, -1))) -> Symbol:
    """Real numbers, (n, size)."""
    return Symbol(name, latex, "real", size, lambda raw: spread * raw, tuple(simple))


def positives(
    name: str, latex: str, size: int, spread: float = 0.5, simple: Sequence = ((1, 1), (2, 1), (0.5, 2))
) -> Symbol:
    """Numbers above zero, (n, size)."""
    return Symbol(name, latex, "> 0", size, lambda raw: np.exp(spread * raw), tuple(simple))


PMFS = ((0.5, 0.5, 0), (0.9, 0.1, 0), (0.5, 0.25, 0.25), (0.25, 0.5, 0.25), (0.2, 0.3, 0.5))
FULL_PMFS = tuple(pmf for pmf in PMFS if 0 not in pmf) + ((0.25, 0.25, 0.5),)


def pmf(name: str, latex: str, size: int = 5, zeros: bool = False, simple: Sequence | None = None) -> Symbol:
    """Weights that sum to one, (n, size). With `zeros`, some weights are zero: about a seventh of them for size 5."""
    rule = ">= 0, summing to 1" if zeros else "> 0, summing to 1"
    default = PMFS if zeros else FULL_PMFS
    return Symbol(name, latex, rule, size, lambda raw: weights(raw, zeros), tuple(simple or default))


def joint(name: str, latex: str, rows: int = 4, columns: int = 5) -> Symbol:
    """A joint table p(x, z) > 0 that sums to one, (n, rows, columns): one row for each x, one column for each z."""
    simple = ([[0.1, 0.4], [0.3, 0.2]], [[0.5, 0.1], [0.1, 0.3]], [[0.25, 0.25], [0.25, 0.25]])
    make = lambda raw: weights(raw, False).reshape(-1, rows, columns)  # noqa: E731
    return Symbol(name, latex, "> 0, summing to 1", rows * columns, make, simple)


def conditional(name: str, latex: str, rows: int = 4, columns: int = 5) -> Symbol:
    """A table q(z|x), (n, rows, columns): every row sums to one; about a seventh of the entries are zero."""
    simple = ([[0.5, 0.5], [0.5, 0.5]], [[0.2, 0.8], [0.6, 0.4]], [[0.25, 0.75], [0.5, 0.5]], [[1, 0], [0.5, 0.5]])
    make = lambda raw: weights(raw.reshape(-1, rows, columns), True)  # noqa: E731
    return Symbol(name, latex, ">= 0, every row summing to 1", rows * columns, make, simple)


def weights(raw: NDArray, zeros: bool) -> NDArray:
    """Return softmax(1.5 * raw) along the last axis; with `zeros`, weights far below the largest become zero."""
    scaled = 1.5 * (raw - raw.max(axis=-1, keepdims=True))
    unnormalised = np.where(scaled < -3.5, 0, np.exp(scaled)) if zeros else np.exp(scaled)
    return unnormalised / unnormalised.sum(axis=-1, keepdims=True)
