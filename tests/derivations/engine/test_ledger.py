"""The ledger is complete, every verdict is as expected, and every check can fail.

Every entry is judged only once, and all tests use the result. Some tests plant an error in a link, which is one relation
between two sides of a formula, and check that the error is noticed. If the formula is printed in a source, these tests use
only the links that hold. If the formula is a corrected, intended or precise form of ours, they use all links.
"""

import ast
import inspect
import re
import sys
import textwrap
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings

from derivations.engine import judge as judge_module
from derivations.engine import ledger
from derivations.engine.domains import draw, pmf, point
from derivations.engine.equation import ERRATA, RELATIONS, Zero
from derivations.engine.judge import Computed, aligned, judge, judge_link, sides_of, value_and_scale
from derivations.engine.numerics import kl, kl_normal, log, mean
from derivations.engine.worlds import PAIR, TABLES, evidence, likelihood, posterior, prior
from derivations.pages import records
from derivations.pages.unicode import sides as printed_sides
from minivae import gaussian
from tests.helpers.readme import FILES
from tests.helpers.strategies import points

ROOT = Path(__file__).parents[3]
ODAIBO = """
    t1 t2 t3 t4 1 t5 t6 2 3 4 5 T1 t9 t26 t7 t8 6 7 8 9 10 11 t10 t11 t12 12 13 F1 14a 14b 14c 14d 14e 15 16 t13 t14 t15 F2
    17 18 19 20 21 22 t16 23 24 25 26 27 28 28r t17 t18 t19 t20 t21 t22 t23 t24 t27 29 30 31 32 33 34 35a 35b 35c 36
    37a 37b 37c 37d 38 39a 39b 39c 39d 39e 39f 40a 40b 40c t25 41 t28 t29 42 t30 t31 t32 43 44 t34
""".split()
BEYOND = """
    1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 58 33 34 54 51 52 28 29 39
    40 41 31 32 55 53 30 35 36 37 38 47 42 43 44 45 57 46 48 49 50 56
""".split()
INDEX = {"odaibo": ODAIBO, "lm": range(1, 45), "hong": range(1, 23), "cards": range(1, 36), "beyond": BEYOND}
ENTRIES = ledger.entries()
BY_ID = {entry.id: entry for entry in ENTRIES}
each_entry = pytest.mark.parametrize("id", BY_ID)


@cache
def judgements(id):
    return judge(BY_ID[id])


def forms(entry):
    """Yield (form, indices of links) for each form that can be computed.

    For a printed form, the indices are those of the links that hold. For a form that repairs a row of the ledger, all links
    are included.
    """
    if not entry.printed.free:
        yield entry.printed, [i for i, link in enumerate(computed(entry.printed, entry.tolerance).links) if link.ok]
    for form in repairs(entry):
        yield form, range(len(computed(form, entry.tolerance).links))


def repairs(entry):
    return [row.repair for row in entry.rows if row.repair]


shared = cache(Computed)


def computed(form, tolerance):
    return shared(form, tolerance, 1000, 0)                 # 1000 draws and seed 0: the defaults of `judge`


@pytest.fixture(scope="module", autouse=True)
def compute_every_form_once():
    """Compute every form only once: the judge and the tests use the same draws, so they can share the numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge_module, "Computed", shared)
        yield


# The ledger is complete


@pytest.mark.parametrize("source", INDEX)
def test_every_row_of_a_source_exists_once_in_order(source):
    rows = [row.id for entry in ledger.entries(source) for row in entry.rows]
    assert rows == [f"{source}.{id}" for id in INDEX[source]]


def test_tutorials_have_198_rows_and_the_source_beyond_has_58_rows():
    assert list(INDEX) == list(ledger.SOURCES)
    assert sum(len(INDEX[source]) for source in INDEX if source != "beyond") == 198 and len(BEYOND) == 58


def test_every_numbered_equation_of_odaibo_has_an_entry():
    numbers = [int(entry.id.split(".")[1]) for entry in ENTRIES if re.fullmatch(r"odaibo\.\d+", entry.id)]
    assert numbers == list(range(1, 45))  # in printed order


def test_reference_of_a_numbered_equation_contains_its_number():
    for entry in ENTRIES:
        number = re.fullmatch(r"odaibo\.(\d+)r?", entry.id)
        if number and not re.search(rf"\({number[1]}( recalled)?\)", entry.ref):
            pytest.fail(f"{entry.id} has the reference {entry.ref}")


def cited():
    """Search files for ids of rows and entries; yield (id, name of the file) for each id that is found."""
    id = r"(?:odaibo|lm|hong|cards|beyond)\.(?:[tTF]?\d+\w*)"
    for path in [*ROOT.glob("minivae/**/*.py"), *ROOT.glob("derivations/**/*.py"), *FILES]:
        for found in re.findall(rf"(?<![\w.]){id}", path.read_text(encoding="utf-8")):
            yield found, path.name
        for found in re.findall(r"\[((?:odaibo|lm|hong|cards|beyond)\.[^\]\s,]*)", path.read_text(encoding="utf-8")):
            yield found, path.name


def test_every_id_that_is_cited_exists():
    known = {id for entry in ENTRIES for id in (entry.id, *(row.id for row in entry.rows))}
    found = set(cited())
    assert len(found) > 20
    assert {(id, file) for id, file in found if id not in known} == set()


# Verdicts are as expected


@each_entry
def test_every_row_has_its_expected_verdict(id):
    for judgement in judgements(id):
        got = judgement.verdict, judgement.why, [link.state for link in judgement.links]
        assert judgement.ok, f"{judgement.row.id} should be {judgement.row.expected}: {got}"


def test_every_row_has_the_texts_that_its_verdict_needs():
    for entry in ENTRIES:
        for row in entry.rows:
            assert row.says and row.says[-1] in ".!?)\"'" and "\n" not in row.says, row.id
            assert bool(row.fault) == (row.expected in (*ERRATA, "loose", "copy")), row.id
            assert bool(row.repair) == (row.expected in (*ERRATA, "loose")) or row.expected == "copy", row.id
        conditional = any(row.expected == "holds-if" for row in entry.rows)
        assert not conditional or (entry.needs and entry.outside), entry.id


def test_every_false_row_has_a_witness():
    for id in BY_ID:
        for judgement in judgements(id):
            if judgement.verdict in (*ERRATA, "loose", "copy") and not judgement.free:
                assert judgement.witness is not None and not judgement.at_witness.ok, judgement.row.id
                assert judgement.at_witness.relation == judgement.links[judgement.first_false].relation, judgement.row.id


def test_loose_rows_are_false_if_read_literally_and_true_in_precise_form():
    loose = [judgement for id in BY_ID for judgement in judgements(id) if judgement.row.expected == "loose"]
    for judgement in loose:
        assert judgement.repaired and all(link.ok for link in judgement.repaired), judgement.row.id
        assert judgement.free or any(link.state == "fails" for link in judgement.links), judgement.row.id
    assert len(loose) > 10


def test_verbal_statements_have_a_claim_and_printed_formulas_do_not():
    """A claim says in our words what the source says. It quotes at most ten words, because long quotes need a permission."""
    for entry in ENTRIES:
        for row in entry.rows:
            assert bool(row.claim) == (entry.kind in ("claim", "table") and ledger.source_of(entry) != "beyond"), row.id
            if row.claim:
                assert re.search(r"\(?l\.\d+", row.claim) and row.claim[-1] == ".", row.id
                quoted = [len(words.split()) for words in re.findall(r'"([^"]*)"', row.claim)]
                assert row.claim.count('"') == 2 * len(quoted) and sum(quoted) <= MOST_QUOTED, (row.id, quoted)


MOST_QUOTED = 10                                            # largest number of quoted words in one claim
# {verdict: ids of rows}. If several rows have the same fault, only the first of them is in this list. The list is written by
# hand: a list computed from the ledger would always agree with the ledger.
FAULTS = {
    "slip": {"odaibo.t6", "odaibo.10", "odaibo.29", "hong.15", "hong.6"},
    "wrong": {"odaibo.41", "odaibo.42", "lm.3", "lm.35", "lm.37", "lm.38", "hong.10"},
}


def test_all_rows_of_a_group_have_the_same_source_and_verdict():
    rows = {row.id: row for entry in ENTRIES for row in entry.rows}
    for row in rows.values():
        first = rows[row.group]
        assert first.group == first.id, f"{row.id} is in the group of {first.id}, which is in that of {first.group}"
        assert row.id.split(".")[0] == first.id.split(".")[0] and row.expected == first.expected, row.id


@pytest.mark.parametrize("verdict", ERRATA)
def test_tutorials_have_five_slips_and_seven_wrong_statements(verdict):
    found = {row.group for entry in ENTRIES for row in entry.rows if row.expected == verdict}
    assert {group for group in found if not group.startswith("beyond")} == FAULTS[verdict]


def used_letters(function):
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_every_undefined_letter_of_a_formula_occurs_in_its_code():
    forms_with_free = {entry.id: entry.printed for entry in ENTRIES if entry.printed.free}
    unused = {id: {*form.free} - used_letters(form.function) for id, form in forms_with_free.items()}
    assert len(unused) >= 2 and not any(unused.values()), unused


# {relation in a printed formula: the same relation in the code}
WRITTEN = {"≤": "<=", "≥": ">=", "≠": "!=", "→": ":="}


def relations_of(form, tolerance):
    """Return the relations of a form, for example ["=", "<="].

    The relations are part of the result of the form's function. If a letter is undefined, the function cannot run; then the
    relations are read from the code of the function.
    """
    if not form.free:
        return computed(form, tolerance).relations
    tree = ast.parse(textwrap.dedent(inspect.getsource(form.function)))
    (returned,) = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)][-1:]
    return [item.value for item in returned.elts if isinstance(item, ast.Constant) and item.value in RELATIONS]


def test_every_formula_has_the_same_relations_as_its_code():
    for entry in ENTRIES:
        for form in (entry.printed, *repairs(entry)):
            relations = [WRITTEN.get(relation, relation) for relation, _ in printed_sides(form.latex)[1:]]
            assert relations == relations_of(form, entry.tolerance), f"{entry.id}: {form.latex}"


# The checks notice wrong sides and wrong relations


def moved(side, other, by):
    """Return the numbers of a side, changed by the relative error `by`.

    Where the side is 0, add `by` times the larger scale of the two sides. If both scales are 0, add `by`.
    """
    value, scale = value_and_scale(side)
    value, scale, theirs = aligned(value, scale, value_and_scale(other)[1])
    size = np.where(value != 0, np.abs(value), np.maximum(scale, theirs))
    return value + by * np.where(size == 0, 1, size)


def unnoticed(left, relation, right, tolerance):
    """Yield a description of every planted error that the link does not notice."""
    for by in (1e-4, -1e-4):
        if judge_link(moved(left, right, by), relation, right, tolerance).ok:
            yield f"left side moved by {by}"
        if judge_link(left, relation, moved(right, left, by), tolerance).ok:
            yield f"right side moved by {by}"


@each_entry
def test_small_error_in_any_side_of_any_equation_is_noticed(id):
    entry = BY_ID[id]
    for form, holding in forms(entry):
        made = computed(form, entry.tolerance)
        for i in holding:
            if made.relations[i] in ("=", ":="):
                left, right = made.random[0].sides[i : i + 2]
                assert list(unnoticed(left, made.relations[i], right, entry.tolerance)) == [], (
                    f"link {i} of {form.latex}"
                )


def inequalities(*relations):
    """Yield (entry, form, link number, relation) for every link that holds and has one of these relations."""
    for entry in ENTRIES:
        for form, holding in forms(entry):
            made = computed(form, entry.tolerance).relations
            yield from ((entry, form, i, made[i]) for i in holding if made[i] in relations)


def test_error_is_noticed_at_the_point_where_an_inequality_becomes_an_equality():
    for entry, form, i, _ in inequalities("<=", ">="):
        left, right = sides_of(form, point(**entry.tight))[0][i : i + 2]
        assert list(unnoticed(left, "=", right, entry.tolerance)) == [], f"{entry.id}, link {i} of {form.latex}"


def test_swapped_sides_of_any_inequality_are_noticed():
    assert len(list(inequalities("<", ">", "<=", ">="))) >= 99
    for entry, form, i, relation in inequalities("<", ">", "<=", ">="):
        left, right = computed(form, entry.tolerance).random[0].sides[i : i + 2]
        assert not judge_link(right, relation, left, entry.tolerance).ok, f"{entry.id}, link {i} of {form.latex}"


@pytest.mark.slow
@each_entry
def test_other_seeds_make_no_true_link_false_and_no_link_undecided(id):
    """The seed changes only the random draws. The Hypothesis profile sets the number of seeds."""
    entry = BY_ID[id]
    for form, holding in forms(entry):
        for seed in range(1, 1 + settings.default.max_examples // 20):
            values = draw(form.inputs, np.random.default_rng(seed), 100)
            sides, relations = sides_of(form, values)
            links = [
                judge_link(sides[i], relation, sides[i + 1], entry.tolerance) for i, relation in enumerate(relations)
            ]
            assert [link.state for link in links if link.state == "undecided"] == [], f"seed {seed}"
            assert all(links[i].ok for i in holding), f"seed {seed}"


def test_planted_errors_above_the_tolerance_are_noticed_and_smaller_errors_are_not():
    assert len(list(unnoticed(1.0, "=", 1.0, 1e-3))) == 4 and len(list(unnoticed(0.0, "=", Zero(1.0), 1e-3))) == 2
    assert (
        list(unnoticed(1.0, "=", 1.0, 1e-9))
        == list(unnoticed(0.0, "=", Zero(1e-30), 1e-9))
        == list(unnoticed(0.0, "=", 0.0, 1e-9))
        == []
    )


def test_recorded_calls_contain_only_functions_that_really_run():
    log_normal = gaussian.log_normal.__code__
    assert log_normal in calls(gaussian.log_normal, dict.fromkeys(("z", "mu", "log_var"), np.zeros((1, 1))))
    assert log_normal not in calls(gaussian.log_standard_normal, {"z": np.zeros((1, 1))})


# Ties. A tie compares the result of a minivae function with the last side of an entry.


TIES = [(entry.id, tie.name, tie.function) for entry in ENTRIES for tie in entry.ties]


def calls(function, values):
    """Return the code objects of all functions that a call runs."""
    seen = set()
    sys.setprofile(lambda frame, event, _: seen.add(frame.f_code) if event == "call" else None)
    try:
        function(**values)
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize("id, name, function", TIES, ids=[f"{id}-{name}" for id, name, _ in TIES])
def test_function_of_a_tie_calls_the_minivae_function_named_in_the_tie(id, name, function):
    assert name.startswith("minivae.")
    target = records.fetch(name)
    target = target.__init__ if inspect.isclass(target) else target
    entry = BY_ID[id]
    form = entry.rows[-1].repair or entry.printed
    values = draw(form.inputs, np.random.default_rng(0), 3)
    assert inspect.unwrap(target).__code__ in calls(function, values)
    assert not [letter for letter in inspect.signature(function).parameters if letter not in values]


# Identities that the ledger uses, checked with Hypothesis, which simplifies a counterexample

Q_P = (pmf("q", "q"), pmf("p", "p"))


@given(points(Q_P))
@example(point(q=(0.5, 0.5), p=(0.5, 0.5)))
@example(point(q=(1, 0), p=(1e-9, 1 - 1e-9)))
def test_divergence_is_zero_for_equal_distributions_and_positive_for_others(values):
    q, p = values["q"], values["p"]
    forward, backward = kl(q, p).item(), kl(p, q).item()
    assert forward > -1e-14 and backward > -1e-14
    assert (forward < 1e-12) == bool(np.abs(q - p).max() < 1e-6)


@given(points(PAIR))
@example(point(mu_q=0, sigma_q=1, mu_p=0, sigma_p=1))
def test_kl_of_minivae_equals_the_integral(values):
    mu_q, sigma_q, mu_p, sigma_p = (values[symbol.name] for symbol in PAIR)
    log_var_q, log_var_p = 2 * np.log(sigma_q), 2 * np.log(sigma_p)
    pair, integral = gaussian.kl_diagonal(mu_q, log_var_q, mu_p, log_var_p).item(), kl_normal(**values).item()
    assert abs(pair - integral) < 1e-12 * (1 + integral) and pair >= 0
    standard, integral = gaussian.kl_standard_normal(mu_q, log_var_q).item(), kl_normal(mu_q, sigma_q, 0, 1).item()
    assert abs(standard - integral) < 1e-12 * (1 + integral) and standard >= 0


@given(points(TABLES))
def test_three_forms_of_the_elbo_agree_and_never_exceed_the_log_evidence(values):
    p_xz, q = values["p_xz"], values["q"]
    log_p_x = np.log(evidence(p_xz))
    joint = mean(q, np.log(p_xz) - log(q))                  # q may be zero: 0 log 0 = 0
    reconstruction = mean(q, np.log(likelihood(p_xz))) - kl(q, np.broadcast_to(prior(p_xz), q.shape))
    gap = kl(q, posterior(p_xz))
    assert np.abs(joint - reconstruction).max() < 1e-12 and np.abs(log_p_x - gap - joint).max() < 1e-12
    assert (joint <= log_p_x + 1e-13).all()


@given(points(TABLES[:1]))
def test_the_elbo_equals_the_log_evidence_if_q_is_the_posterior(values):
    p_xz = values["p_xz"]
    q = posterior(p_xz)
    assert np.abs(mean(q, np.log(p_xz) - np.log(q)) - np.log(evidence(p_xz))).max() < 1e-13
