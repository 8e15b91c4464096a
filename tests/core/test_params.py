"""The named arrays of a Params object share their memory with its flat vector, also in every kind of copy of the object."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae.params import Params
from tests.helpers.numeric import close

SHAPES = {"weight": (2, 3), "bias": (3,), "log_sigma": ()}


def numbered():
    return Params(SHAPES, np.arange(10.0))


def test_params_arrays_lie_in_the_flat_vector_in_order():
    params = numbered()
    close(params["weight"], [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], rel=0)
    close(params["bias"], [6.0, 7.0, 8.0], rel=0)
    close(params["log_sigma"], 9.0, rel=0)
    assert list(params) == list(SHAPES) and len(params) == 3
    assert params.shapes == SHAPES and "bias" in params and "scale" not in params


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=5))
def test_every_entry_of_the_flat_vector_belongs_to_one_array(shapes):
    shapes = {str(i): tuple(shape) for i, shape in enumerate(shapes)}
    size = sum(int(np.prod(shape)) for shape in shapes.values())
    params = Params(shapes, np.arange(size, dtype=float))
    assert {name: array.shape for name, array in params.items()} == shapes
    flat = np.concatenate([np.zeros(0), *(array.ravel() for array in params.values())])
    close(flat, np.arange(size, dtype=float), rel=0)


def shares_one_memory(params):
    """Return True if a write into any array changes `params.flat`, and a write into `params.flat` changes every array."""
    for name, array in params.items():
        params.flat[...] = 0
        array[...] = 7
        if (params.flat == 7).sum() != array.size:
            return False
        params.flat[...] = 0
        if (array != 0).any() or (params[name] != 0).any():
            return False
    return True


def test_arrays_and_vector_share_their_memory():
    flat = np.zeros(10)
    params = Params(SHAPES, flat)
    assert params.flat is flat                              # not copied
    assert shares_one_memory(params)


def test_params_share_their_memory_with_a_slice_of_a_longer_vector():
    whole = np.arange(20.0)
    params = Params(SHAPES, whole[::2])
    close(params["weight"], [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]], rel=0)
    params["weight"][...] = -1
    close(whole[:12:2], np.full(6, -1.0), rel=0)
    assert shares_one_memory(params)


COPIES = {
    "copy()": lambda params: params.copy(),
    "like()": lambda params: params.like(params.flat.copy()),
    "astype()": lambda params: params.astype(np.float64),
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda params: pickle.loads(pickle.dumps(params)),
}


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
def test_params_copy_has_equal_numbers_in_new_memory(make):
    params = numbered()
    twin = make(params)
    assert twin.shapes == SHAPES and not np.shares_memory(twin.flat, params.flat)
    for name in SHAPES:
        close(twin[name], params[name], rel=0)
    assert shares_one_memory(twin)
    close(params.flat, np.arange(10.0), rel=0)


def test_params_layers_are_pairs_of_weight_and_bias_in_order():
    shapes = {"a.1.weight": (1, 2), "a.1.bias": (2,), "b.1.weight": (2, 1), "b.1.bias": (1,), "log_sigma": ()}
    shapes |= {"a.2.weight": (2, 2), "a.2.bias": (2,)}
    params = Params(shapes, np.arange(14.0))
    assert list(params.layers) == ["a", "b"]
    for part, numbers in {"a": "12", "b": "1"}.items():
        for (weight, bias), i in zip(params.layers[part], numbers, strict=True):
            assert weight is params[f"{part}.{i}.weight"] and bias is params[f"{part}.{i}.bias"]
    assert np.shares_memory(copy.deepcopy(params).layers["a"][0][0], params.flat) is False


def test_methods_zeros_like_and_astype_keep_names_and_shapes():
    zeros, single = numbered().zeros_like(), numbered().astype(np.float32)
    assert zeros.shapes == single.shapes == SHAPES
    close(zeros.flat, np.zeros(10), rel=0)
    assert single.flat.dtype == single["weight"].dtype == np.float32


@pytest.mark.parametrize("flat", [np.zeros(9), np.zeros(11), np.zeros((10, 1)), np.zeros(())])
def test_params_refuse_a_flat_vector_of_the_wrong_shape(flat):
    with pytest.raises(ValueError, match=r"flat must be an ndarray of shape \(10,\) .*; got ndarray of shape"):
        Params(SHAPES, flat)


def test_unknown_array_name_raises_key_error():
    with pytest.raises(KeyError):
        numbered()["scale"]
