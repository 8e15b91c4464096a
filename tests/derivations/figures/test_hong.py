"""Tests of Hong's figure: it shows the numbers that were checked, and faulty figures are refused."""

import numpy as np
import pytest

from derivations.figures import hong
from tests.helpers.drawn import drawn, line, refused, words

brackets = hong.brackets()
sigma, right, printed = brackets.values()


def test_hong_10_shows_the_bracket_with_plus_and_with_minus_log_sigma():
    figure, _ = drawn("hong-10")
    s, good = line(figure.axes[0], "right")
    _, bad = line(figure.axes[0], "printed")
    np.testing.assert_allclose(np.exp((s**2 - 1) / 2 - good), s, rtol=1e-12)
    np.testing.assert_allclose(np.exp(bad - (s**2 - 1) / 2), s, rtol=1e-12)
    written = [text for text, _ in words(figure)]
    assert "1.808" in written and "\u22122.798" in written
    np.testing.assert_allclose([good[s == 0.1][0], bad[s == 0.1][0]], [1.807585, -2.797585], atol=1e-6)
    marked = {tuple(float(v[0]) for v in a.get_data()) for a in figure.axes[0].lines if len(a.get_xdata()) == 1}
    assert marked == {(0.1, good[s == 0.1][0]), (0.1, bad[s == 0.1][0]), (1, 0)}


def sign(**faulty):
    return lambda: hong.sign(brackets | faulty)


log, half = np.log(sigma), (sigma**2 - 1) / 2
# {fault: (function that draws the faulty figure, part of the error message)}
FAULTS = {
    "no sigma = 1": (lambda: hong.sign({name: v[sigma != 1] for name, v in brackets.items()}), "sigma = 1 and"),
    "correct and printed bracket exchanged": (sign(right=printed, printed=right), "the correct bracket is the KL"),
    "the correct bracket times -1": (sign(right=-printed), "the correct bracket is the KL"),
    "a KL with fewer digits": (sign(right=right * (1 + 3e-10)), "is minivae's KL"),
    "a KL of 1e-14 at sigma = 1": (sign(right=right + 1e-14), "0 at sigma = 1"),
    "the correct sign in the printed bracket": (sign(printed=right), "always falls"),
    "no logarithm": (sign(printed=half), "below log sigma"),
    "another value at 0.1": (sign(printed=printed - 0.001 * (sigma == 0.1)), "at sigma = 0.1 the brackets are"),
    "another value at 0.5": (sign(printed=printed - 0.001 * (sigma == 0.5)), "sign of log sigma"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_drawing_a_hong_figure_from_faulty_input_raises_an_error(fault):
    refused(*FAULTS[fault])
