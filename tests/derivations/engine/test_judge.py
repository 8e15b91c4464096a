"""The judge accepts true statements and rejects false statements.

An entry of the ledger is a statement of a tutorial, often a chain such as a = b <= c. A link of this chain is one relation
with its two sides. A row is a part of an entry with its own verdict: one link, or the whole entry. A tie compares the result
of a minivae function with the last side of an entry.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from derivations.engine.domains import draw, pmf, positive, real, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.judge import judge, judge_link, split
from minivae.checks import refuse

A, B, S = real("a", "a"), real("b", "b"), positive("s", "s")
INF, NAN = np.inf, np.nan
NUMBERS = itertools.count(100)


@pytest.fixture(autouse=True)
def empty_ledger(monkeypatch):
    """Use an empty ledger, so that these tests add no entries to the real ledger."""
    monkeypatch.setattr("derivations.engine.equation.LEDGER", {})


def enter(function, inputs=(A,), id="test.1", **options):
    """Return a new entry with placeholder texts."""
    return equation(id, "l.1", "test", inputs, says="A test.", **options)(function)


def judged(function, inputs=(A,), **options):
    """Return the judgement of a new entry that has a single row."""
    (judgement,) = judge(enter(function, inputs, f"test.{next(NUMBERS)}", **options))
    return judgement


def state(left, relation, right, rel=1e-9):
    return judge_link(left, relation, right, rel).state


# Links


@pytest.mark.parametrize("relation", ["=", ":=", "<=", ">=", "<", ">", "!="])
@pytest.mark.parametrize("left, right", [(NAN, NAN), (NAN, 1), (1, NAN), (NAN, INF), ([1, 1, NAN], [1, 1, 1])])
def test_nan_satisfies_no_relation(left, relation, right):
    assert state(left, relation, right) == "fails"


@pytest.mark.parametrize("relation", ["=", ":=", "<=", ">=", "<", ">", "!="])
@pytest.mark.parametrize("infinity", [INF, -INF])
def test_infinity_equals_itself_and_is_never_less_than_itself(relation, infinity):
    assert state(infinity, relation, infinity) == ("holds" if "=" in relation and relation != "!=" else "fails")


@pytest.mark.parametrize("left, right", [(INF, -INF), (-INF, INF), (INF, 5), (5, INF), (-INF, 5), (INF, 0), (0, -INF)])
@pytest.mark.parametrize("relation", ["=", ":="])
def test_infinity_equals_no_other_value(left, relation, right):
    assert state(left, relation, right) == "fails"


@pytest.mark.parametrize(
    "relation, holding",
    [("=", ()), (":=", ()), ("!=", ()), ("<", ("5 inf",)), ("<=", ("5 inf",)), (">", ("inf 5",)), (">=", ("inf 5",))],
)
def test_finite_number_is_less_than_infinity_and_never_equals_it(relation, holding):
    for left, right in ((5.0, INF), (INF, 5.0)):
        assert state(left, relation, right) == ("holds" if f"{left:g} {right:g}" in holding else "fails")


@pytest.mark.parametrize("relation", ["<", ">", "!="])
@pytest.mark.parametrize("apart", [0, 1e-12, -1e-12, 1e-10, -1e-10])
def test_strict_relation_fails_where_the_sides_agree(relation, apart):
    assert state(1.0, relation, 1 + apart) == "fails"


@pytest.mark.parametrize(
    "relation, left, right",
    [("<", 1, 2), (">", 2, 1), ("!=", 1, 2), ("<=", 1, 2), (">=", 2, 1), ("<=", 1, 1), ("<=", 0, 0)],
)
def test_swapping_different_sides_breaks_every_relation_except_unequal(relation, left, right):
    assert state(left, relation, right) == "holds"
    if left != right:
        assert state(right, relation, left) == ("holds" if relation == "!=" else "fails")


@pytest.mark.parametrize("size", [1.0, 1e-300, 1e-30, 1e30, 1e300, -1.0])
@pytest.mark.parametrize(
    "error, expected",
    [(0, "holds"), (1e-12, "holds"), (1e-7, "undecided"), (9e-7, "undecided"), (2e-6, "fails"), (1e-4, "fails")],
)
def test_state_of_a_link_depends_only_on_the_relative_error(size, error, expected):
    for sign in (1, -1):
        assert state(size * (1 + sign * error), "=", size) == state(size, "=", size * (1 + sign * error)) == expected


def test_tiny_unequal_numbers_are_not_equal():
    assert state(1e-30, "=", 2e-30) == state(0.0, "=", 1e-300) == state(0.0, ">=", 1e-300) == "fails"
    assert state(0.0, "=", 0.0) == state(0.0, "=", -0.0) == "holds"


def test_error_of_a_zero_side_is_divided_by_its_given_scale():
    """`Zero(scale)` is a side of an equation in which terms of size `scale` cancel, so only rounding errors are left."""
    assert state(1e-14, "=", Zero(1.0)) == state(Zero(1.0), "=", 1e-14) == "holds"
    assert state(1e-14, "=", Zero(1e-8)) != "holds" and state(1e-14, "=", 0.0) == state(1.0, "=", Zero(1.0)) == "fails"
    for value in (0.0, 1.0):
        assert state(value, "=", Zero(INF)) == state(value, "=", Zero(NAN)) == state(value, "<=", Zero(NAN)) == "fails"


def test_link_that_is_false_at_one_draw_fails_and_reports_both_sides():
    left = np.ones((1000, 3))
    left[517, 1] = 1.5
    link = judge_link(left, "=", np.ones((1000, 1)), 1e-9)
    assert (link.state, link.left, link.right, link.residual) == ("fails", 1.5, 1.0, 0.5)
    assert not link.ok and link.tolerance == pytest.approx(1.5e-9) and link.error == pytest.approx(0.5 / 1.5e-9)


def test_relation_between_empty_sides_fails():
    assert state(np.zeros((0, 1)), "=", np.zeros((0, 1))) == "fails"


def test_each_scalar_is_compared_with_the_table_of_the_same_draw():
    table, number = np.arange(24.0).reshape(2, 3, 4), np.array([[11.0], [23.0]])
    assert (
        state(table, "<=", number)
        == state(table, "<=", number[:, :, None])
        == state(table, "<=", number[:, 0])
        == "holds"
    )
    assert state(table, "<=", number[::-1]) == "fails"
    assert state(number[:, 0], "=", number) == "holds"      # shapes (2,) and (2, 1): one comparison per draw, not 2 x 2


@pytest.mark.parametrize(
    "left, right",
    [((2, 4), (2, 3, 4)), ((1, 4), (1, 3, 4)), ((2, 3), (2, 3, 4)), ((2, 3, 4), (2, 2, 4)), ((3, 1), (2, 1))],
)
def test_sides_of_incompatible_shapes_are_an_error(left, right):
    with pytest.raises(ValueError):
        state(np.zeros(left), "=", np.zeros(right))


def test_side_with_a_complex_number_is_refused():
    with pytest.raises(ValueError, match="real"):
        state(1 + 0j, "=", 1.0)


@pytest.mark.parametrize(
    "statement", [np.ones(3), [1, "=", 1], (1, "=="), (1, "=", 2, "="), (1, "~", 2), (1,), (1, 2, 3), ("=", 1)]
)
def test_a_malformed_statement_is_an_error(statement):
    with pytest.raises(ValueError, match="a statement is"):
        split(statement)


# Verdicts


def test_identity_holds():
    judgement = judged(lambda a: ((a + 1) ** 2, "=", a**2 + 2 * a + 1))
    assert (judgement.verdict, judgement.ok, judgement.witness, judgement.first_false) == ("holds", True, None, None)


@pytest.mark.parametrize("error, verdict", [(1e-4, "fails"), (9e-7, "undecided"), (1e-12, "holds")])
def test_size_of_a_planted_error_decides_the_verdict(error, verdict):
    judgement = judged(lambda a: ((a + 3) ** 2 * (1 + error), "=", a**2 + 6 * a + 9))
    assert judgement.verdict == verdict and judgement.ok == (verdict == "holds")


@pytest.mark.parametrize("expected", ["holds", "holds-if", "defines", "slip", "wrong", "figure", "prose"])
def test_undecided_statement_matches_no_expected_verdict(expected):
    nearly = lambda a: ((a + 3) ** 2 * (1 + 1e-7), "=", a**2 + 6 * a + 9)  # noqa: E731
    judgement = judged(nearly, verdict=expected)
    assert judgement.verdict == "undecided" and not judgement.ok


def test_undecided_is_refused_as_an_expected_verdict():
    with pytest.raises(ValueError, match="verdict"):
        enter(lambda a: (a, "=", a), verdict="undecided")


@pytest.mark.parametrize("expected", ["holds-if", "slip", "wrong", "defines"])
def test_true_equation_holds_even_if_a_fault_or_condition_is_expected(expected):
    judgement = judged(lambda a: ((a + 1) ** 2, "=", a**2 + 2 * a + 1), verdict=expected)
    assert judgement.verdict == "holds" and not judgement.ok


@pytest.mark.parametrize("expected", ["holds", "holds-if", "slip", "wrong", "defines", "figure", "prose"])
def test_false_statement_without_a_corrected_form_fails(expected):
    judgement = judged(lambda a: (a + 1, "=", a + 2), verdict=expected)
    assert judgement.verdict == "fails" and not judgement.ok


@pytest.mark.parametrize("expected", ["slip", "wrong"])
@pytest.mark.parametrize("term, verdict", [(1, None), (1 + 1e-7, "undecided"), (2, "undecided")])
def test_false_statement_needs_a_corrected_form_that_holds(expected, term, verdict):
    entry = enter(lambda a: ((a + 1) ** 2, "=", a**2 + 1), verdict=expected)
    attach = entry.corrected if expected == "wrong" else entry.intended
    attach("test")(lambda a: ((a + 1) ** 2, "=", a**2 + 2 * a + term))
    (judgement,) = judge(entry)
    assert judgement.verdict == (verdict or expected) and judgement.ok == (verdict is None)
    assert not judgement.links[0].ok and judgement.repaired[0].ok == (verdict is None)


def test_row_with_the_verdict_slip_refuses_a_corrected_form():
    with pytest.raises(ValueError, match="slip"):
        enter(lambda a: (a, "=", a + 1), verdict="slip").corrected("test")


def test_true_statement_is_not_judged_wrong_even_with_a_corrected_form():
    entry = enter(lambda a: ((a + 1) ** 2, "=", a**2 + 2 * a + 1), verdict="wrong")
    entry.corrected("test")(lambda a: ((a + 1) ** 2, "=", a * (a + 2) + 1))
    (judgement,) = judge(entry)
    assert judgement.verdict == "holds" and not judgement.ok


def test_definition_gets_the_verdict_named_defines():
    assert judged(lambda a: (2 * a, ":=", a + a), verdict="defines").ok  # in a definition, sides may be equal in every bit
    assert judged(lambda a: (a**2 + 2 * a, ":=", a * (a + 2)), verdict="defines").ok
    assert judged(lambda a: (a**2 + 2 * a, ":=", a * (a + 2), "=", (a + 1) ** 2 - 1)).verdict == "holds"


def test_only_figures_and_prose_may_have_nothing_to_compute():
    assert all(judged(lambda a: (), verdict=expected).ok for expected in ("figure", "prose"))
    for expected in ("holds", "defines", "wrong"):
        judgement = judged(lambda a: (), verdict=expected)
        assert judgement.verdict == "undecided" and "no relation" in judgement.why


@pytest.mark.parametrize("expected", ["figure", "prose"])
def test_figure_or_prose_with_a_false_link_gets_the_verdict_fails(expected):
    assert judged(lambda a: (a, "<", a + 1), verdict=expected).ok
    assert judged(lambda a: (a + 1, "<", a), verdict=expected).verdict == "fails"


def test_statement_whose_sides_are_computed_identically_is_undecided():
    same = judged(lambda a: (np.exp(a), "=", np.exp(a)))
    assert same.verdict == "undecided" and "in another way" in same.why
    assert judged(lambda a: (np.exp(a), "=", np.exp(a), "=", np.exp(a / 2) ** 2)).ok


def test_judge_accepts_sides_that_are_exactly_equal_by_chance():
    entry = enter(lambda a: (a / 10 * 10, "=", a))
    assert all(judge(entry, 1, seed)[0].ok for seed in range(10))


def test_exactly_equal_sides_are_accepted_in_a_statement_without_letters():
    assert judged(lambda: (0.5, "=", 0.25 + 0.25), ()).ok
    judgement = judged(lambda: (0.5, "=", 0.25 + 0.5), ())
    assert judgement.verdict == "fails" and judgement.witness == {} and judgement.at_witness.right == 0.75


@pytest.mark.parametrize("draws", [1, 2, 1000])
def test_true_identity_holds_for_one_draw_and_for_many(draws):
    entry = enter(lambda a, s: (s * np.exp(a), "=", np.exp(a + np.log(s))), (A, S))
    assert judge(entry, draws)[0].ok


@pytest.mark.parametrize("at", [0, 999, 1000, 2499])
def test_judge_notices_a_single_draw_at_which_the_statement_is_false(at):
    """The judge computes 500 draws at a time. The statement is false at one of 2,500 draws, and this draw is the witness."""
    (a,) = draw((A,), np.random.default_rng(0), 2500)["a"][at]
    entry = enter(
        lambda a_: (a_ + 3, "=", np.where(a_ == a, 9, 6) / 2 + a_), (replace(A, name="a_", rule="", simple=(50,)),)
    )
    (judgement,) = judge(entry, 2500)
    assert judgement.verdict == "fails" and judgement.witness == {"a_": a}


@pytest.mark.parametrize("draws, at, noticed", [(None, 0, True), (None, 2499, True), (50, 49, True), (50, 50, False)])
def test_tie_compares_all_draws_or_only_the_stated_number_of_draws(draws, at, noticed):
    (bad,) = draw((A,), np.random.default_rng(0), 2500)["a"][at]
    entry = enter(lambda a: ((a + 3) ** 2, "=", a**2 + 6 * a + 9))
    entry.tied("minivae.ops.relu", draws)(lambda a: (a + 3) ** 2 + (a == bad))
    assert (judge(entry, 2500)[0].verdict == "undecided") == noticed and judge(entry, 2500, 1)[0].ok


@pytest.mark.parametrize("draws", [0, -1, 1.5, True])
def test_number_of_draws_must_be_a_positive_whole_number(draws):
    with pytest.raises(ValueError, match="draws must be a whole number >= 1"):
        judge(enter(lambda a: (a, "=", a)), draws)


def test_entry_that_changes_its_draws_raises_an_error():
    def changing(a):
        a += 1
        return a, "=", a

    with pytest.raises(ValueError, match="read-only"):
        judged(changing)


# Inequalities. The option `tight` of an entry is a point, called the tight point. At the tight point, the two sides of each
# inequality (<= or >=) must be equal.


SQUARE = lambda a, b: (2 * a * b, "<=", a**2 + b**2)  # noqa: E731
ONE = {"a": 1, "b": 1}


def test_sides_of_an_inequality_must_be_equal_at_the_tight_point():
    assert judged(SQUARE, (A, B), tight=ONE).ok
    for tight in (None, {"a": 1, "b": 2}, {"a": 1, "b": 1 + 1e-4}):
        judgement = judged(SQUARE, (A, B), tight=tight)
        assert judgement.verdict == "undecided" and "are not equal" in judgement.why
    assert not judged(lambda a, b: (2 * a * b, "<=", 1.0001 * (a**2 + b**2)), (A, B), tight=ONE).ok
    assert not judged(lambda a, b: (2 * a * b, "<=", 0.9999 * (a**2 + b**2)), (A, B), tight=ONE).ok


def test_judge_notices_a_swapped_inequality():
    assert judged(lambda a, b: (a**2 + b**2, "<=", 2 * a * b), (A, B), tight=ONE).verdict == "fails"


@pytest.mark.parametrize("swapped", [False, True])
def test_judge_notices_a_swapped_strict_inequality(swapped):
    less, more = (lambda a: a), (lambda a: a + 1)
    judgement = judged(lambda a: (more(a), "<", less(a)) if swapped else (less(a), "<", more(a)))
    assert judgement.verdict == ("fails" if swapped else "holds")


def test_a_strict_inequality_fails_where_there_is_equality():
    judgement = judged(lambda a, b: (2 * a * b, "<", a**2 + b**2), (A, B))
    assert judgement.verdict == "fails"
    assert judgement.witness == {"a": 0, "b": 0}  # random draws never have a = b, so only the simple values show the fault


def test_corrected_form_does_not_need_every_letter_of_the_tight_point():
    """The tight point has values for the letters a and b. The corrected form has no b, so the value of b is not used."""
    entry = enter(lambda a, b: (2 * a * b, "<", a**2 + b**2), (A, B), verdict="wrong", tight={"a": 0, "b": 0})
    entry.corrected("test", inputs=(A,))(lambda a: (Zero(1.0), "<=", a**2))
    (judgement,) = judge(entry)
    assert judgement.ok


def test_tight_point_without_a_value_for_every_letter_is_refused():
    with pytest.raises(ValueError, match="every letter.*b has none"):
        judged(SQUARE, (A, B), tight={"a": 1})


# Assumptions. `needs` states the assumption of an entry. The points in `outside` violate the assumption. A true row gets the
# conditional verdict, `holds-if`, under two conditions. First, some link of the entry fails or is undefined at each point in
# `outside`. Second, the row itself fails at one or more of these points. If the entry has a text `undefined`, an undefined
# row counts as failing, too.


def log_square(s):
    if (np.asarray(s) <= 0).any():
        refuse("s", "> 0", "less", "Take another.")
    return np.log(s**2), "=", 2 * np.log(s)


def test_error_outside_the_assumption_means_that_the_statement_is_undefined():
    outside = {"s": -1}
    assert judged(log_square, (S,), needs="s > 0", outside=outside).verdict == "holds"
    assert judged(log_square, (S,), needs="s > 0", outside=outside, undefined="log s has no value").verdict == "holds-if"


def test_nan_outside_the_assumption_means_that_the_statement_is_undefined():
    nan = lambda s: (np.log(s**2), "=", 2 * np.log(s))  # noqa: E731
    assert judged(nan, (S,), needs="s > 0", outside={"s": -1}).verdict == "holds"
    assert judged(nan, (S,), needs="s > 0", outside={"s": -1}, undefined="log s has no value").verdict == "holds-if"


@pytest.mark.parametrize("outside", [(), {"s": 2}, ({"s": -1}, {"s": 2})])
def test_conditional_verdict_needs_points_at_which_the_statement_fails(outside):
    judgement = judged(log_square, (S,), needs="s > 0", outside=outside, undefined="log s has no value")
    assert judgement.verdict == "holds" and not judgement.ok


def test_entry_with_outside_points_must_also_state_its_assumption():
    judgement = judged(log_square, (S,), outside={"s": -1}, undefined="log s has no value")
    assert judgement.verdict == "holds-if" and not judgement.ok


def test_failure_outside_the_assumption_gives_the_conditional_verdict():
    assert (
        judged(lambda s: (np.sqrt(s**2), "=", s * s / s), (S,), needs="s > 0", outside={"s": -1}).verdict == "holds-if"
    )


def test_undecided_result_outside_the_assumption_gives_no_conditional_verdict():
    """At s = 7, the judge cannot tell if the statement fails, so the verdict is not `holds-if`: s < 7 may be unnecessary."""
    nearly = lambda s: (np.sqrt(s**2), "=", s * s / s * np.where(s == 7, 1 + 1e-7, 1))  # noqa: E731
    assert judged(nearly, (S,), needs="s < 7", outside={"s": 7}).verdict == "holds"


def test_programming_error_at_a_point_outside_the_assumption_is_raised():
    def broken(s):
        return np.log(s**2), "=", 2 * np.log(s) + (np.zeros(2) + np.zeros(3) if (s < 0).any() else 0)

    with pytest.raises(ValueError, match="broadcast"):
        judged(broken, (S,), needs="s > 0", outside={"s": -1})


# Letters


def test_undefined_letter_of_a_formula_is_reported():
    entry = enter(lambda a, j: (a[j], "=", a), (A,), verdict="slip")
    (judgement,) = judge(entry)
    assert (judgement.verdict, judgement.free, judgement.ok) == ("undecided", ["j"], False)
    entry.intended("test")(lambda a: ((a + 1) ** 2, "=", a**2 + 2 * a + 1))
    (judgement,) = judge(entry)
    assert (judgement.verdict, judgement.free, judgement.links, judgement.ok) == ("slip", ["j"], [], True)


@pytest.mark.parametrize("expected", ["holds", "defines", "figure"])
def test_form_with_undefined_letters_never_holds(expected):
    assert not judged(lambda a, j: (a, "=", a), verdict=expected).ok


# Chains


CHAIN = lambda a: ((a + 1) ** 2, "=", a**2 + 2 * a + 1, "=", a**2 + 2 * a + 2, "=", a**2 + 2 * a + 3)  # noqa: E731


def test_judgement_reports_the_first_false_link_of_a_chain():
    judgement = judged(CHAIN)
    assert judgement.first_false == 1 and [link.state for link in judgement.links] == ["holds", "fails", "fails"]
    assert judgement.witness == {"a": 0} and (judgement.at_witness.left, judgement.at_witness.right) == (1, 2)


def test_links_of_a_chain_are_judged_separately():
    entry = enter(CHAIN, rows="abc", verdict={"b": "wrong", "c": "slip"})
    entry.corrected("test", "b")(lambda a: (a**2 + 2 * a + 1, "=", a * (a + 2) + 1))
    entry.intended("test", "c")(lambda a: (a**2 + 2 * a + 2, "=", (a + 1) ** 2 + 1))
    judgements = judge(entry)
    assert [judgement.verdict for judgement in judgements] == ["holds", "wrong", "slip"]
    assert [judgement.row.id for judgement in judgements] == ["test.1a", "test.1b", "test.1c"]
    assert [(judgement.at_witness.left, judgement.at_witness.right) for judgement in judgements[1:]] == [(1, 2), (2, 3)]


def test_sides_of_a_corrected_inequality_must_be_equal_at_the_tight_point():
    chain = lambda a, b: ((a - b) ** 2 + 2 * a * b, "=", a**2 + b**2, ">=", 2 * a * b, ">=", 0 * a)  # noqa: E731
    entry = enter(chain, (A, B), rows="abc", verdict={"c": "wrong"}, tight={"a": 1, "b": 1})
    entry.corrected("test", "c")(lambda a, b: (2 * a * b, ">=", -(a**2) - b**2))
    assert [judgement.verdict for judgement in judge(entry)] == ["holds", "holds", "undecided"]
    entry.tight = {"a": 0, "b": 0}
    assert [judgement.verdict for judgement in judge(entry)] == ["holds", "holds", "wrong"]


@pytest.mark.parametrize("letters", ["ab", "abcd"])
def test_chain_must_have_as_many_rows_as_links(letters):
    with pytest.raises(ValueError, match="a row for every link"):
        judge(enter(CHAIN, rows=letters))


def test_letter_that_belongs_to_no_row_is_refused():
    with pytest.raises(ValueError, match="says must have letters"):
        equation("test.2", "l.1", "test", (A,), says={"d": "?"}, rows="abc")
    with pytest.raises(ValueError, match="verdict must have letters"):
        equation("test.2", "l.1", "test", (A,), says="A test.", verdict={"a": "wrong"})
    with pytest.raises(ValueError, match="letter must be the letter of a row"):
        enter(CHAIN, rows="abc").corrected("test", "d")


def test_repeated_id_is_refused():
    enter(CHAIN)
    with pytest.raises(ValueError, match="must be new"):
        enter(CHAIN)


def partly(s):
    """The first link needs s > 0; the second link holds for all s except 0."""
    return np.sqrt(s**2), "=", s * s / s, "=", (2 * s + s) / 3


def test_only_a_link_that_fails_outside_the_assumption_gets_the_conditional_verdict():
    outside = {"s": -1}
    assert [j.verdict for j in judge(enter(partly, (S,), rows="ab", needs="s > 0", outside=outside))] == [
        "holds-if",
        "holds",
    ]


def test_conditional_verdict_requires_that_a_link_fails_at_every_outside_point():
    bounds = lambda a: (np.minimum(a + 9, 18), "=", (a**2 - 81) / (a - 9), "=", np.maximum(a + 9, 0))  # noqa: E731
    outside = ({"a": 10}, {"a": -10})
    entry = enter(bounds, rows="ab", needs="|a| < 9", outside=outside)
    assert [judgement.verdict for judgement in judge(entry)] == ["holds-if"] * 2
    entry.outside = (*outside, {"a": 8})                    # at a = 8, both links hold
    assert [judgement.verdict for judgement in judge(entry)] == ["holds"] * 2


def test_link_independent_of_the_assumption_may_have_the_verdict_holds():
    entry = enter(partly, (S,), rows="ab", needs="s > 0", outside={"s": -1}, verdict={"b": "holds"})
    assert all(judgement.ok for judgement in judge(entry))


# Witnesses: points at which a link fails


def test_witness_is_the_simplest_point_where_the_sides_differ():
    judgement = judged(lambda a, b: ((a + b) ** 2, "=", a**2 + b**2), (A, B))
    assert judgement.witness == {"a": 1, "b": 1} and judgement.witness["a"].shape == (1,)
    assert (judgement.at_witness.left, judgement.at_witness.right, judgement.at_witness.residual) == (4, 2, 2)


def test_witness_found_by_random_draws_is_rounded():
    limit = real("a", "a", simple=(0,))
    judgement = judged(lambda a: (a + 1, "=", np.where(np.abs(a) > 3, 7.0, 1.0) + a), (limit,))
    (a,) = judgement.witness["a"]
    assert abs(a) > 3 and a == float(f"{a:.2g}") and judgement.at_witness.right == a + 7


def test_witness_is_not_rounded_to_a_point_where_the_sides_agree():
    integer = real("a", "a", simple=(0,))
    judgement = judged(lambda a: (np.sin(50 * np.pi * a) ** 2, "=", 0 * a), (integer,), tolerance=1e-3)
    (a,) = judgement.witness["a"]
    assert a != float(f"{a:.2g}") or abs(np.sin(50 * np.pi * a)) > 1e-3
    assert judgement.at_witness.state == "fails"


def test_witness_that_consists_of_probabilities_is_not_rounded():
    p = pmf("p", "p", 9, simple=((1, 0, 0),))
    judgement = judged(lambda p: (p[:, :1] * p[:, 1:2], "=", 0 * p[:, :1]), (p,))
    assert judgement.witness["p"].sum() == pytest.approx(1, abs=1e-15) and judgement.at_witness.state == "fails"


def test_witness_is_not_rounded_if_the_rounded_point_is_refused():
    def picky(a):
        if a.size == 1 and a.item() == float(f"{a.item():.2g}") and a.item() != 0:
            refuse("a", "unround", "round", "")
        return np.abs(a) + 1, "=", np.where(a == 0, 1, 3 + a)

    judgement = judged(picky, (real("a", "a", spread=0.1, simple=(0,)),))
    assert judgement.verdict == "fails" and judgement.at_witness.state == "fails"


def test_witness_is_found_if_a_side_is_a_table_or_a_constant():
    v = vector("v", "v", 2)
    table = judged(lambda v: (v[:, :, None] * v[:, None, :], "=", np.ones((1, 1, 1))), (v,))
    assert list(table.witness["v"]) == [0, 0] and (table.at_witness.left, table.at_witness.right) == (0, 1)
    constant = judged(lambda v: (1.0, "=", 2.0, "=", v[:, :1]), (v,))
    assert list(constant.witness["v"]) == [0, 0] and constant.first_false == 0


# Ties


@pytest.mark.parametrize(
    "error, verdict", [(0, "holds"), (1e-12, "holds"), (1e-7, "undecided"), (1e-4, "undecided"), (NAN, "undecided")]
)
def test_tied_function_must_return_the_last_side_of_its_entry(error, verdict):
    entry = enter(lambda a: ((a + 3) ** 2, "=", a**2 + 6 * a + 9))
    entry.tied("minivae.ops.relu")(lambda a: (a + 3) ** 2 * (1 + error))
    (judgement,) = judge(entry)
    assert judgement.verdict == verdict and [name for name, _ in judgement.ties] == ["minivae.ops.relu"]
    assert verdict == "holds" or "minivae.ops.relu" in judgement.why


def test_tied_function_gets_only_the_letters_of_the_corrected_form():
    entry = enter(lambda a, b: ((a + 3) ** 2, "=", a**2 + 9), (A, B), verdict="wrong")
    entry.corrected("test", inputs=(A,))(lambda a: ((a + 3) ** 2, "=", a**2 + 6 * a + 9))
    entry.tied("minivae.ops.relu")(lambda a: (a + 3) * (a + 3))
    assert judge(entry)[0].ok


def test_entry_with_a_tie_must_also_have_an_equation():
    entry = enter(lambda a: (), verdict="prose")
    entry.tied("minivae.ops.relu")(lambda a: a)
    assert not judge(entry)[0].ok


# Loose wording, and damage by copying


def test_verdict_loose_requires_a_false_literal_reading_and_a_true_precise_form():
    entry = enter(lambda a: (a * a, "=", a), verdict="loose", id="test.loose1")
    assert judge(entry)[0].verdict == "fails"
    entry.precise("test")(lambda a: (a * a - a, "=", a * (a - 1)))
    assert judge(entry)[0].verdict == "loose"
    entry.precise("test")(lambda a: (a * a, "=", 2 * a))
    assert judge(entry)[0].verdict == "undecided"
    true = enter(lambda a: (a * a - a, "=", a * (a - 1)), verdict="loose", id="test.loose2")
    true.precise("test")(lambda a: (a * a - a, "=", a * (a - 1)))
    assert judge(true)[0].verdict == "holds"


def test_verdict_copy_needs_no_corrected_form():
    assert judged(lambda a: (a * a, "=", a), verdict="copy").verdict == "copy"
    assert judged(lambda a, j: (a[j], "=", a), verdict="copy").verdict == "copy"
    assert judged(lambda a: (a * a - a, "=", a * (a - 1)), verdict="copy").verdict == "holds"


def test_row_without_a_given_group_has_its_own_id_as_group():
    texts = {"group": {"b": "test.1"}, "claim": {"a": "l.3 says so"}}
    entry = enter(lambda a: (a, "=", a, "=", a), rows="ab", id="test.pair", **texts)
    assert [(row.group, row.claim) for row in entry.rows] == [("test.paira", "l.3 says so"), ("test.1", "")]
