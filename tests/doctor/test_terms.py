"""Each term of the doctor equals the formula in its name. A fit uses few terms and reports an error for each coefficient."""

import numpy as np
import pytest

from minivae.doctor import examine, terms
from minivae.doctor.terms import by, fit
from tests.doctor.fresh import bce, kl_rows, stable

RNG = np.random.default_rng(0)
X, O = RNG.uniform(0.1, 0.9, (2, 1, 1, 1))
M, S = np.full((1, 1, 1), -0.7), np.full((1, 1, 1), 1.3)
P, SP = 1 / (1 + np.exp(-O)), np.log(1 + np.exp(S))
COSTS = {
    "(x - o)^2": (X - O) ** 2, "BCE(x, o)": bce(X, O), "BCE(x, sigmoid(o))": bce(X, P), "|x - o|": abs(X - O),
    "BCE(o, x)": bce(O, X), "-x log o": -X * np.log(O), "-(1 - x) log(1 - o)": -(1 - X) * np.log(1 - O),
    "BCE(x, sigmoid(sigmoid(o)))": stable(X, P), "(x - sigmoid(o))^2": (X - P) ** 2,
    "(x - tanh(o))^2": (X - np.tanh(O)) ** 2, "softplus(o)": np.log(1 + np.exp(O)), "x o": X * O, "o": O,
    "exp(o)": np.exp(O),
    "log o": np.log(O),
    "log(1 - o)": np.log(1 - O), "(x - o)": X - O, "|x - o|^3": abs(X - O) ** 3, "(x - o)^4": (X - O) ** 4,
    "log cosh(x - o)": np.log((np.exp(X - O) + np.exp(O - X)) / 2), "x^2": X**2, "x": X, "entropy of x": bce(X, X),
    "log C(o)": np.log(2 * np.arctanh(1 - 2 * O) / (1 - 2 * O)),
}  # fmt: skip
KL = {
    "m^2": M**2, "exp(s)": np.exp(S), "s": S, "exp(2s)": np.exp(S) ** 2, "s^2": S**2, "log s": np.log(S), "sp^2": SP**2,
    "log sp": np.log(SP), "sp": SP, "exp(s/2)": np.exp(S) ** 0.5, "exp(-s)": 1 / np.exp(S), "exp(-2s)": np.exp(S) ** -2.0,
    "|m|": -M, "m": M, "m^2 exp(-s)": M**2 / np.exp(S), "m s": M * S, "m^2 exp(s)": M**2 * np.exp(S), "m^2 / s": M**2 / S,
    "sqrt s": S**0.5, "(1/s)": S**-1.0,
}  # fmt: skip


def test_each_term_of_the_doctor_equals_the_formula_in_its_name():
    for right, found in ((COSTS, terms.cost_terms(X, O)), (KL, terms.kl_terms(M, S))):
        assert found == {name: pytest.approx(value.ravel(), rel=1e-12) for name, value in right.items()}


@pytest.mark.parametrize("reading", terms.READINGS, ids=lambda reading: reading.name)
def test_kl_of_each_reading_uses_the_sigma_of_this_reading(reading):
    known, sigma = terms.kl_terms(M, S), reading.sigma(S).ravel()
    assert known[reading.spread] == pytest.approx(sigma**2)
    assert reading.factor * known[reading.log] == pytest.approx(np.log(sigma))
    assert reading.sigma(reading.neutral) == pytest.approx(1)
    assert terms.kl_of(reading, M, S).ravel() == pytest.approx((M.ravel() ** 2 + sigma**2 - 1) / 2 - np.log(sigma))


def test_cost_term_is_omitted_if_it_is_not_finite_at_one_draw():
    o = np.stack([O, -O])
    found = terms.cost_terms(np.stack([X, X]).reshape(2, 1, 1), o.reshape(2, 1, 1))
    assert "BCE(x, o)" not in found and "-x log o" not in found and "(x - o)^2" in found


def test_fit_omits_a_term_with_zero_coefficient_even_if_tried_first():
    a, b = np.random.default_rng(1).normal(size=(2, 30))
    found = fit(3 * a + 1, {"a": a, "b": b}, False, [("a", "b")])
    assert found.coefficients == {"a": pytest.approx(3)} and found.constant == pytest.approx(1)
    assert found.at({"a": np.array([2.0])}) == pytest.approx(7)


def test_coefficient_of_a_smaller_term_has_a_larger_error():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 30))
    noisy = 3 * a + 2000 * (b / 1000) + rng.uniform(-5e-5, 5e-5, 30)
    found = by(noisy + 4, {"a": a, "b": b / 1000}, ("a", "b"), 1e-4)
    assert 1e-5 < found.errors["a"] < 1e-2 and 1e-2 < found.errors["b"] < 10
    assert found.constant == pytest.approx(4, abs=1e-4)
    assert abs(found.coefficients["a"] - 3) <= found.errors["a"] and abs(found.coefficients["b"] - 2000) <= found.errors["b"]


SQUARES = "mean_B sum_D (x - o)^2 + mean_B sum_J KL"


@pytest.mark.slow
@pytest.mark.parametrize(
    "cost, kl, formula",
    [
        (lambda x, o: ((x - o) ** 2).sum(1), kl_rows, SQUARES),
        (lambda x, o: ((x - o) ** 2).sum(1) + 2.3, kl_rows, f"{SQUARES} + constant"),
        (lambda x, o: ((x - o) ** 2 / 2 + np.log(2 * np.pi) / 2).sum(1), kl_rows,
         f"0.5 {SQUARES} + the normaliser of a Gaussian"),
        (lambda x, o: ((x - o) ** 2 / 0.02 + np.log(0.1)).sum(1), kl_rows, f"50 {SQUARES} + constant"),
        (lambda x, o: ((x - o) ** 2).mean(1), lambda m, v: -kl_rows(m, v) / m.shape[1],
         "mean_B mean_D (x - o)^2 - mean_B mean_J KL"),
        (lambda x, o: ((x - o) ** 2).sum(1) * x.shape[1], lambda m, v: 0, "mean_B D sum_D (x - o)^2"),
        (lambda x, o: (o - x * np.log(o)).sum(1), lambda m, v: 4 * m.sum(1),
         "mean_B sum_D (o - x log o) + mean_B sum_J ( 4 m )"),
        (lambda x, o: 3, kl_rows, "mean_B sum_J KL + constant"), (lambda x, o: 0, kl_rows, "mean_B sum_J KL"),
        (lambda x, o: stable(x, o).sum(1), lambda m, v: 0.5 * len(m), "mean_B sum_D BCE(x, sigmoid(o)) + constant"),
        (lambda x, o: bce(x, o).sum(1), lambda m, v: kl_rows(m, v - 2), "mean_B sum_D BCE(x, o) + mean_B sum_J KL"),
        (lambda x, o: bce(x, o).sum(1), lambda m, v: np.maximum(kl_rows(m, v).mean(), 5),
         "mean_B sum_D BCE(x, o) + a function of mu and log_var"),
        (lambda x, o: 0, lambda m, v: 0, "a constant"),
        (lambda x, o: (np.exp(o) - x * o).sum(1), kl_rows, "mean_B sum_D (exp(o) - x o) + mean_B sum_J KL"),
        (lambda x, o: (np.exp(o) + x * o).sum(1), kl_rows, "mean_B sum_D ( exp(o) + x o ) + mean_B sum_J KL"),
        (lambda x, o: -((1 - x) * np.log(1 - o)).sum(1), kl_rows, "mean_B sum_D ( -(1 - x) log(1 - o) ) + mean_B sum_J KL"),
        (lambda x, o: 2 * (x * np.log(o)).sum(1), kl_rows, "mean_B sum_D ( 2 x log o ) + mean_B sum_J KL"),
        (lambda x, o: (2 * o - x * np.log(o)).sum(1), kl_rows, "mean_B sum_D ( 2 o - x log o ) + mean_B sum_J KL"),
        (lambda x, o: 4 * (x - o).sum(1), kl_rows, "mean_B sum_D ( 4 (x - o) ) + mean_B sum_J KL"),
        (lambda x, o: (4 * bce(x, o) - np.log(o)).sum(1), lambda m, v: (4 / v).sum(1),
         "mean_B sum_D ( 4 BCE(x, o) - log o ) + mean_B sum_J ( 4 (1/s) )"),
        (lambda x, o: np.where(np.abs(x - o) < 1, (x - o) ** 2, 2 * np.abs(x - o) - 1).sum(1), kl_rows,
         "mean_B sum_D Huber(x - o; delta = 1) + mean_B sum_J KL"),
    ],
)  # fmt: skip
def test_loss_is_written_as_a_formula(cost, kl, formula):
    found = examine(loss=lambda x, o, m, v: np.mean(cost(x, o) + kl(m, v))).findings
    words = next(finding.words for finding in found if finding.key == "formula")
    assert words == formula


@pytest.mark.parametrize("power, formula", [(1, "0.5 J mean_B sum_D (x - o)^2"), (-1, "0.5 (1/J) mean_B sum_D (x - o)^2")])
def test_factor_j_or_1_over_j_is_written_before_the_sums(power, formula):
    found = examine(loss=lambda x, o, m, v: (((x - o) ** 2).sum(1) * m.shape[1] ** power / 2 + kl_rows(m, v)).mean())
    assert found.findings[0].words == f"{formula} + mean_B sum_J KL"


@pytest.mark.parametrize(
    "cost, measured, expected",
    [
        (lambda x, o: 2 * bce(x, o) + 0.6 * np.log(o), 0.6, 0.0), (lambda x, o: 2 * o - x * np.log(o), 2, 1),
        (lambda x, o: bce(x, o) - 2 * np.log(2 * np.arctanh(1 - 2 * o) / (1 - 2 * o)), -2, -1),
        (lambda x, o: bce(x, o) - bce(x, x), -1, 0), (lambda x, o: bce(x, o) - x * np.log(o), -1, 0),
        (lambda x, o: 3 * np.log(o) + x * o, 1, 0),
    ],
)  # fmt: skip
def test_finding_about_an_unknown_cost_compares_a_coefficient_with_its_expected_value(cost, measured, expected):
    report = examine(loss=lambda x, o, m, v: (cost(x, o).sum(1) + kl_rows(m, v)).mean())
    [found] = [finding for finding in report.findings if finding.key == "other-cost"]
    assert (found.measured, found.expected) == pytest.approx((measured, expected))


@pytest.mark.parametrize(
    "kl, odd, measured, expected",
    [
        (lambda m, v: m**2 / 2, "exp(s)", 0, 0.5), (lambda m, v: m**2 + v**0.5, "sqrt s", 1, 0),
        (lambda m, v: (np.abs(m) + np.exp(v) - 1 - v) / 2, "|m|", 0.5, 0), (lambda m, v: 3 * m, "m", 3, 0),
        (lambda m, v: (v + (1 + m**2) / np.exp(v) - 1) / 2, "exp(-s)", 0.5, 0),
    ],
)  # fmt: skip
def test_finding_about_an_unknown_kl_compares_a_coefficient_with_its_expected_value(kl, odd, measured, expected):
    report = examine(kl=lambda m, v: kl(m, v).sum())
    [found] = [finding for finding in report.findings if finding.key in ("only-mu", "other-kl", "reverse-kl")]
    assert (found.measured, found.expected) == pytest.approx((measured, expected)) and f"of {odd} is" in found.compared
