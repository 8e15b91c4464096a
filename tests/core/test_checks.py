"""Checks of arguments refuse bad values with a message, convert good values exactly, and leave inputs unchanged."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae import checks
from tests.helpers.numeric import close, refused


def test_error_message_contains_argument_and_rule_and_value_and_remedy():
    refused(lambda: checks.refuse("x", "small", "a big one", "Divide."), "x", "small", "a big one", "Divide.")


EXACT = st.integers(0, 100)                                 # every dtype in TYPES represents these numbers exactly
TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


@given(st.lists(st.lists(EXACT, min_size=3, max_size=3), min_size=1, max_size=4), st.sampled_from(TYPES))
def test_converted_array_has_the_same_values(rows, kind):
    for order, target in itertools.product("<>", [None, np.float32, np.float64]):
        given_array = np.array(rows, np.dtype(kind).newbyteorder(order))
        array = checks.real_array("x", given_array, (None, 3), target)
        assert array.dtype.isnative and array.flags.c_contiguous
        close(array.astype(float), np.array(rows, float), rel=0)
        assert given_array.dtype == np.dtype(kind).newbyteorder(order)


@pytest.mark.parametrize(
    "dtype, kept",
    [("?", "u1"), ("f2", "f4"), ("u1", "u1"), ("f8", "f8"), (">i4", "i4"), (">f4", "f4"), (">f2", "f4")],
)
def test_conversion_keeps_dtype_except_bool_and_float16(dtype, kept):
    assert checks.real_array("x", np.ones((2, 3), dtype), (2, 3)).dtype == np.dtype(kept)


def test_array_of_right_dtype_and_layout_is_reused_and_no_input_changes():
    array = np.ones((2, 3))
    assert checks.real_array("x", array, (None, 3), np.float64) is array
    backwards = np.arange(6.0).reshape(2, 3)[::-1]
    copy = checks.real_array("x", backwards, (None, 3))
    copy[...] = 0
    close(backwards, [[3.0, 4.0, 5.0], [0.0, 1.0, 2.0]], rel=0)


@pytest.mark.parametrize(
    "bad, shape, rule, got, remedy",
    [
        (np.ma.ones(2), (2,), "a plain array", "a masked array", "Fill"),
        ([[1, 2], [3]], (2, 2), "shape (2, 2)", "unequal length", "same length"),
        (["1"], (1,), "an array of real numbers", "dtype <U1", "astype(float)"),
        ([1j], (1,), "an array of real numbers", "dtype complex128", ".real, .imag or abs()"),
        ([None], (1,), "an array of real numbers", "dtype object", "without text and missing values"),
        ([2**70], (1,), "an array of real numbers", "dtype object", "astype(float)"),
        (np.zeros((2, 1)), (2, 3), "shape (2, 3)", "shape (2, 1)", "Reshape"),
        (np.zeros(3), (None, 3), "shape (any, 3)", "shape (3,)", "Reshape"),
        (np.zeros((1, 2, 3)), (None, 3), "shape (any, 3)", "shape (1, 2, 3)", "Reshape"),
        (np.zeros(2), (3,), "shape (3,)", "shape (2,)", "Reshape"),
        (np.zeros((0, 3)), (None, 3), "non-empty", "shape (0, 3)", "at least one row"),
        ([1.0, np.nan], (2,), "finite", "nan at index (1,)", "Find where"),
        ([[1.0], [-np.inf]], (2, 1), "finite", "-inf at index (1, 0)", "Find where"),
    ],
)
def test_check_of_an_array_refuses_wrong_shapes_and_non_finite_numbers(bad, shape, rule, got, remedy):
    for dtype in (None, np.float32, np.float64):
        refused(lambda dtype=dtype: checks.real_array("x", bad, shape, dtype), "x", rule, got, remedy)


def test_numbers_too_large_for_the_dtype_are_refused_without_a_warning():
    words = "x", "range of float32", "beyond", "float64"
    for big in ([1e39], [-1e300]):
        refused(lambda big=big: checks.real_array("x", big, (1,), np.float32), *words)
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        huge = np.array([np.longdouble("1e4000")])
        refused(lambda: checks.real_array("x", huge, (1,), np.float64), "x", "range of float64", "beyond", "")


@pytest.mark.parametrize("good", [1, 7, np.int8(7), np.uint64(7), np.int64(7)])
def test_whole_numbers_of_every_type_are_returned_as_int(good):
    assert type(checks.whole_number("k", good, 1)) is int and checks.whole_number("k", good, 1) == good


@pytest.mark.parametrize("bad", [0, -3, 1.0, 1.5, np.float64(2), True, np.True_, "3", None, [3], 1j, np.nan])
def test_check_of_a_whole_number_refuses_other_types_and_too_small_numbers(bad):
    refused(lambda: checks.whole_number("k", bad, 1), "k", "a whole number >= 1", repr(bad), "k=1")


def test_error_message_suggests_a_whole_number_that_is_valid():
    refused(lambda: checks.whole_number("k", 3, 5), "k", "a whole number >= 5", "3", "k=5")
    refused(lambda: checks.whole_number("k", -1, 0), "k", "a whole number >= 0", "-1", "k=1")
    assert checks.whole_number("k", 0, 0) == 0


@pytest.mark.parametrize("good", [0, 1, 0.5, np.float32(0.5), np.float64(3), np.int8(2)])
def test_real_numbers_of_every_type_are_returned_as_float(good):
    assert type(checks.real_number("beta", good, at_least=0)) is float
    assert checks.real_number("beta", good, at_least=0) == good


NO_NUMBERS = [np.nan, np.inf, -np.inf, -0.1, "1", b"1", None, True, np.True_, 1j, [1.0, 2.0], 10**400]


@pytest.mark.parametrize("bad", NO_NUMBERS, ids=lambda bad: repr(bad)[:20])
def test_non_finite_numbers_and_numbers_out_of_range_are_refused(bad):
    got, remedy = repr(bad), "scale"
    refused(lambda: checks.real_number("beta", bad, at_least=0), "beta", "a finite number >= 0", got, remedy)
    refused(lambda: checks.real_number("lr", bad, above=0), "lr", "a finite number > 0", got, remedy)


@pytest.mark.parametrize("bad", [np.array([0.5]), np.ma.masked, np.ma.array(0.5)])
def test_check_of_a_real_number_refuses_arrays(bad):
    refused(lambda: checks.real_number("beta", bad, at_least=0), "beta", "a finite number >= 0", "", "scale")


@pytest.mark.parametrize(
    "limits, rule",
    [
        ({}, "a finite number"),
        ({"at_least": 0}, "a finite number >= 0"),
        ({"above": 0.5}, "a finite number > 0.5"),
        ({"at_least": 0, "below": 1}, "a finite number >= 0 and < 1"),
    ],
)
def test_refusal_of_a_number_mentions_only_the_given_limits(limits, rule):
    with pytest.raises(ValueError) as info:
        checks.real_number("b1", np.nan, **limits)
    assert str(info.value) == f"b1 must be {rule}; got nan. Check its sign and scale."


def test_zero_is_accepted_with_at_least_0_but_refused_with_above_0():
    assert checks.real_number("beta", 0, at_least=0) == 0
    refused(lambda: checks.real_number("lr", 0, above=0), "lr", "a finite number > 0", "0", "scale")
    assert checks.real_number("any", -1e300) == -1e300


@pytest.mark.parametrize("bad", ["tan", "TANH", "", None, 1, ["tanh"], b"tanh", np.array(["tanh"])])
def test_message_for_an_unknown_choice_lists_the_valid_choices(bad):
    options = ("tanh", "relu")
    refused(lambda: checks.choice("act", bad, options), "act", "one of relu, tanh", repr(bad), "spelling")
    assert checks.choice("act", "tanh", options) == "tanh"
    assert checks.choice("act", "relu", {"relu": 1}) == "relu"


@pytest.mark.parametrize("good", [(), [], (3,), [3, 4], np.array([3, 4]), range(1, 3), (n for n in (3, 4))])
def test_layer_widths_are_returned_as_a_tuple_of_ints(good):
    widths = checks.sizes("hidden", good)
    assert type(widths) is tuple and all(type(width) is int for width in widths)


@pytest.mark.parametrize("bad", [3, "3", b"3", None, 3.5, np.array(3)])
def test_layer_widths_must_be_a_sequence(bad):
    width = bad if str(bad) == "3" else 128                 # the message suggests 3 if the input is 3 or "3"
    words = "hidden", "a tuple of layer widths", repr(bad), f"hidden=({width},)"
    refused(lambda: checks.sizes("hidden", bad), *words)


@pytest.mark.parametrize("bad", [(0,), (3, -1), (2.5,), ("3",), (True,), ((3,),), np.ones((2, 2), int)])
def test_layer_width_must_be_a_whole_number(bad):
    words = "every width in hidden", "a whole number >= 1", "", "hidden=(128,)"
    refused(lambda: checks.sizes("hidden", bad), *words)


def test_generator_check_refuses_values_of_other_types():
    rng = np.random.default_rng(0)
    assert checks.generator("rng", rng) is rng
    for bad in (None, 0, np.random, np.random.RandomState(0), np.random.PCG64(0)):
        words = "rng", "Generator", type(bad).__name__, "default_rng(seed)"
        refused(lambda bad=bad: checks.generator("rng", bad), *words)


def test_arrays_may_lack_leading_axes_but_must_have_the_same_last_axes():
    one, many = np.zeros(3), np.zeros((2, 4, 3))
    checks.same_axes(one, many, 0.5)
    checks.same_axes(many, one, 0.5)
    checks.same_axes(0.5, many)
    for wrong in (np.zeros(1), np.zeros((1, 3)), np.zeros((2, 3))):
        for arrays in ((wrong, many), (many, wrong)):
            refused(lambda pair=arrays: checks.same_axes(*pair), "arrays", "the same last axes", "", "Nothing is broadcast")
