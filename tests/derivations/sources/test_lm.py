"""Tests of LM's entries at extreme points: tables with zeros, data far from the mean, p(x) near 1."""

import itertools

import numpy as np
import pytest

from derivations.engine import ledger
from derivations.engine.domains import point
from derivations.engine.judge import judge_sides, outside, sides_of
from derivations.lm.latent_space import samples_by_quadrature, samples_needed

ENTRIES = {entry.id: entry for entry in ledger.entries("lm")}
JOINTS = (
    ((0.1, 0.4), (0.3, 0.2)), ((0.3, 0), (0.3, 0.4)), ((0.5, 0), (0, 0.5)), ((0.5, 0.5), (0, 0)), ((0.5, 0), (0.5, 0)),
    ((0, 0.4), (0, 0.6)), ((1, 0), (0, 0)), ((1 - 1e-9, 1e-10), (4e-10, 5e-10)),
)  # fmt: skip
ENCODERS = tuple(itertools.product(((1, 0), (0, 1), (0.5, 0.5), (1 - 1e-9, 1e-9)), repeat=2))
# Conditions on a table p = p(x, z) and an encoder q = q(z|x). An entry holds if its condition in ASSUMPTIONS is true.
POSITIVE_X = lambda p, q: (p.sum(axis=1) > 0).all()  # noqa: E731
POSITIVE_X_AND_Z = lambda p, q: POSITIVE_X(p, q) and (p.sum(axis=0) > 0).all()  # noqa: E731
POSITIVE_JOINT = lambda p, q: (p > 0).all()  # noqa: E731
COVERING = lambda p, q: (q[p > 0] > 0).all()  # noqa: E731
ASSUMPTIONS = {
    "lm.2": lambda p, q: COVERING(p, q) and (p.sum(axis=0) > 0).all(),
    "lm.13": lambda p, q: COVERING(p, q) and POSITIVE_X(p, q),
    **dict.fromkeys(("lm.16", "lm.17"), POSITIVE_JOINT),
    **dict.fromkeys(("lm.23", "lm.27"), POSITIVE_X),
    **dict.fromkeys(("lm.18", "lm.21", "lm.22", "lm.28", "lm.29", "lm.30"), POSITIVE_X_AND_Z),
}


def holds(id, **letters):
    entry = ENTRIES[id]
    form = entry.rows[0].repair or entry.printed
    return all(link.ok for link in judge_sides(*sides_of(form, point(**letters)), entry.tolerance))


def tables_where(assumed):
    return [(p, q) for p in JOINTS for q in ENCODERS if assumed(np.array(p), np.array(q))]


def test_assumptions_are_listed_for_every_conditional_entry_about_tables():
    letters = {id: {symbol.name for symbol in entry.printed.inputs} for id, entry in ENTRIES.items() if entry.needs}
    assert {id for id, names in letters.items() if names == {"p_xz", "q"}} == set(ASSUMPTIONS)


@pytest.mark.parametrize("id", ASSUMPTIONS)
def test_entries_about_tables_hold_whenever_their_assumption_holds(id):
    tables = tables_where(ASSUMPTIONS[id])
    assert len(tables) > 10 and [both for both in tables if not holds(id, p_xz=both[0], q=both[1])] == []


@pytest.mark.parametrize("id", ["lm.16", "lm.17"])
def test_lm_16_and_17_are_undefined_if_a_joint_probability_is_0(id):
    assert outside(ENTRIES[id], {"p_xz": JOINTS[1], "q": ((0.5, 0.5), (0.5, 0.5))}).state == "undefined"


@pytest.mark.parametrize("id", ["lm.36", "lm.37", "lm.38"])
def test_two_forms_of_the_log_likelihood_agree_far_from_the_mean(id):
    assert holds(id, x=(6, 0, -6), f=(0, 0, 0), var=0.01)


def test_lm_43_holds_if_p_x_underflows():
    assert holds("lm.43", w=0, s=0.1, x=6, mu_q=6, sigma_q=1)


def test_number_of_needed_samples_is_the_number_stated_in_lm_12():
    for d in (1, 20):
        assert abs(samples_needed(1, 0.5, 0, d) / (100 * ((5 / 3) ** d - 1)) - 1) < 1e-12


def test_number_of_needed_samples_agrees_with_quadrature():
    w, s, x = (np.array([values]).T for values in ((1.0, 0.5, 2.0), (0.5, 1.0, 0.7), (1.0, -2.0, 0.5)))
    assert np.abs(samples_needed(w, s, x, 3) / samples_by_quadrature(w, s, x, 3) - 1).max() < 1e-12


def test_first_simple_point_of_lm_25_has_different_mu_and_different_s():
    mu, s = (ENTRIES["lm.25"].printed.inputs[i].simple[0] for i in (0, 3))
    assert mu[0] != mu[1] and s[0] != s[1]
