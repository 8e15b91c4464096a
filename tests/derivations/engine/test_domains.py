"""Random values, simple values and examples from Hypothesis satisfy the rule of their Symbol.

A Symbol describes the values that a letter of a tutorial can have. For example, the rule of a `positive` symbol is > 0.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from derivations.engine import domains, worlds
from derivations.engine.domains import (
    Symbol,
    as_drawn,
    conditional,
    draw,
    joint,
    pmf,
    point,
    positive,
    positives,
    ranks_with_sum,
    real,
    simple_points,
    vector,
)
from tests.helpers.strategies import points

TABLE = ((0.5, 0, 0.5), (1, 0, 0))
SYMBOLS = {
    "real": real("a", "a"),
    "positive": positive("a", "a"),
    "vector": vector("a", "a", 3, simple=((0, 0, 0), (1, 0, -1))),
    "positives": positives("a", "a", 2),
    "pmf": pmf("a", "a", 3),
    "pmf with zeros": pmf("a", "a", 3, zeros=True),
    "joint": joint("a", "a", 2, 2),
    "conditional": conditional("a", "a", 2, 2),
    "event": worlds.event("a", "a", ((1, 1, 0, 0),)),
}


def satisfies_rule(kind, values):
    """Return True if all values (n, ...) satisfy the rule of their kind."""
    if not np.isfinite(values).all():
        return False
    if kind in ("real", "vector"):
        return True
    if kind in ("positive", "positives"):
        return (values > 0).all()
    if kind == "event":
        return np.isin(values, (0, 1)).all() and values.any(axis=-1).all()
    low = (values >= 0) if kind in ("pmf with zeros", "conditional") else (values > 0)
    sums = values.sum(axis=(-1, -2) if kind == "joint" else -1)
    return low.all() and np.abs(sums - 1).max() < 1e-12


@pytest.mark.parametrize("kind", SYMBOLS)
def test_draws_and_simple_values_satisfy_the_rule_of_their_symbol(kind):
    symbol = SYMBOLS[kind]
    values = draw((symbol,), np.random.default_rng(0), 500)["a"]
    assert len(values) == 500 and values.ndim == 1 + as_drawn(symbol.simple[0]).ndim
    assert satisfies_rule(kind, values) and satisfies_rule(kind, simple_points((symbol,))["a"])


@pytest.mark.parametrize("kind", SYMBOLS)
def test_hypothesis_examples_obey_the_rule_and_have_the_shape_of_a_draw(kind):
    symbol = SYMBOLS[kind]
    shape = draw((symbol,), np.random.default_rng(0), 1)["a"].shape

    @given(points((symbol,)))
    def check(values):
        assert values["a"].shape == shape and satisfies_rule(kind, values["a"])

    check()


@pytest.mark.parametrize(
    "kind, bad",
    [
        ("positive", [[0.0]]),
        ("pmf", [[0.5, 0.5, 0]]),
        ("joint", [[[0.5, 0.5], [0.5, 0.5]]]),
        ("event", [[0, 0]]),
        ("real", [[np.nan]]),
    ],
)
def test_values_that_break_the_rule_of_their_kind_are_rejected(kind, bad):
    assert not satisfies_rule(kind, np.array(bad))


def test_draws_contain_zeros_only_if_the_symbol_allows_them():
    with_zeros = draw((pmf("a", "a", zeros=True),), np.random.default_rng(0), 4000)["a"]
    assert 0.1 < (with_zeros == 0).mean() < 0.2 and (with_zeros.max(axis=-1) > 0).all()
    assert (draw((pmf("a", "a"),), np.random.default_rng(0), 4000)["a"] > 0).all()


def test_draws_have_the_stated_standard_deviation():
    """Check means and standard deviations to six standard errors. By chance, a check fails about twice in 10^9."""
    values = draw((real("a", "a"), positive("s", "s")), np.random.default_rng(0), 20000)
    for sample, spread in ((values["a"], 1.2), (np.log(values["s"]), 0.5)):
        assert abs(sample.std() - spread) < 6 * spread / np.sqrt(2 * 20000) and abs(
            sample.mean()
        ) < 6 * spread / np.sqrt(20000)


def test_letters_are_drawn_independently_and_repeatably():
    inputs = (real("a", "a"), real("b", "b"))
    one, two, other = (draw(inputs, np.random.default_rng(seed), 10) for seed in (0, 0, 1))
    assert (one["a"] == two["a"]).all() and not (one["a"] == one["b"]).any() and not (one["a"] == other["a"]).any()


def test_drawn_numbers_and_simple_points_cannot_be_changed():
    inputs = (real("a", "a"), positive("s", "s"))
    for values in (draw(inputs, np.random.default_rng(0), 3), simple_points(inputs)):
        with pytest.raises(ValueError, match="read-only"):
            values["s"] += 1


def test_simplest_points_come_first():
    values = simple_points((real("a", "a", simple=(0, 1, 2)), real("b", "b", simple=(5, 6))))
    assert values["a"].shape == (6, 1)
    assert list(zip(values["a"].ravel(), values["b"].ravel())) == [(0, 5), (0, 6), (1, 5), (1, 6), (2, 5), (2, 6)]


def test_every_letter_varies_among_the_first_200_combinations_of_simple_values():
    inputs = tuple(real(f"a{i}", "a", simple=tuple(range(9))) for i in range(8))
    values = simple_points(inputs)
    assert all(len(np.unique(column)) > 2 and len(column) == domains.MOST_SIMPLE for column in values.values())


def test_statement_without_letters_has_no_simple_points_and_no_draws():
    assert simple_points(()) == {} == draw((), np.random.default_rng(0), 5)


@given(st.lists(st.integers(1, 4), max_size=4), st.integers(0, 12))
def test_ranks_with_sum_yields_all_tuples_with_the_given_sum(sizes, step):
    every = [tuple(int(i) for i in ranks) for ranks in np.ndindex(*sizes)]
    assert list(ranks_with_sum(step, sizes)) == [ranks for ranks in every if sum(ranks) == step]


def test_point_has_the_shape_of_one_draw():
    made = point(a=1, p=(0.5, 0.5), table=TABLE)
    assert {name: value.shape for name, value in made.items()} == {"a": (1, 1), "p": (1, 2), "table": (1, 2, 3)}


@pytest.mark.parametrize("name, simple", [("a b", (1,)), ("", (1,)), ("a", ())])
def test_symbol_without_name_or_simple_values_is_refused(name, simple):
    with pytest.raises(ValueError, match="a symbol needs"):
        Symbol(name, "a", "real", 1, lambda raw: raw, simple)
