"""The doctor has a phrase for each known difference between an array and the right array, and None for other differences."""

import numpy as np
import pytest

from minivae.doctor import words
from minivae.doctor.words import Probe

SIZES = ({"B": 3, "D": 7, "J": 2}, {"B": 5, "D": 11, "J": 4})


def probes(change):
    rng = np.random.default_rng(0)
    made = []
    for sizes in SIZES:
        right = rng.normal(size=(sizes["B"], sizes["J"]))
        made.append(Probe(change(right, sizes), right, sizes))
    return made


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda a, n: a / 2, "1/2 x the right array"),
        (lambda a, n: -a, "-1 x the right array"),
        (lambda a, n: a * n["B"], "B x the right array"),
        (lambda a, n: 2 * a / n["J"], "2/J x the right array"),
        (lambda a, n: a * n["D"] / n["B"], "D/B x the right array"),
        (lambda a, n: a / n["B"] / n["J"], "1/(B J) x the right array"),
        (lambda a, n: 1.7 * a, "1.7 x the right array"),
        (lambda a, n: 0 * a, "zero everywhere"),
        (lambda a, n: a * (1 + 1e-3 * np.arange(a.size).reshape(a.shape)), None),
        (lambda a, n: a + 1e-3, None),
        (lambda a, n: a * (1.1 if n["B"] == 3 else 1.2), None),
    ],
)
def test_constant_ratio_to_the_correct_array_is_described_in_words(change, said):
    assert words.describe(probes(change)) == said


def test_ratio_counts_as_the_batch_size_only_if_equal_at_two_sizes():
    one = [(2.0, {"B": 2})]
    assert words.name_ratio(one) == "2"
    assert words.name_ratio([(2.0, {"B": 2}), (3.0, {"B": 3})]) == "B"
    assert words.name_ratio([(2.0, {"B": 2}), (2.0, {"B": 3})]) == "2"
    assert words.name_ratio([(2.0, {"B": 2}), (3.1, {"B": 3})]) is None


def test_transposed_and_clipped_and_partly_right_arrays_are_named():
    right = np.arange(1.0, 7.0).reshape(2, 3)
    assert words.variant(right.T, right, {}) == "the right array, transposed"
    assert words.variant(np.clip(right, -4, 4), right, {}) == "the right array, clipped to +-4"
    assert words.variant(right + 1, right, {"another": right + 1}) == "another"
    assert words.variant(right + 1, right, {"another": right + 1.1}) is None
    changed = right.copy()
    changed[:, 1] *= 3
    assert words.columns([Probe(changed, right, {})]) == "right, except for column 1 (counted from 0)"


def test_known_factors_and_weighted_sums_of_known_arrays_are_named():
    rng = np.random.default_rng(1)
    right, other = rng.normal(size=(2, 4, 5))
    assert words.known_function(right * other, right, {"f": other}) == "f"
    assert words.known_function(right * other, right, {"f": other + 1e-3}) is None
    assert words.combination(2 * right - other / 4, {"a": right, "b": other}) == pytest.approx({"a": 2, "b": -0.25})
    assert words.combination(right * other, {"a": right, "b": other}) is None
    assert words.combination(right, {}) is None
