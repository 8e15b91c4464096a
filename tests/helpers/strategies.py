"""Hypothesis strategies for the symbols of a ledger entry; `Symbol.make` turns raw numbers into a value of its symbol.

Hypothesis shrinks the raw numbers towards 0. So a real number shrinks to 0, a positive number to 1, and a list of weights to
equal weights.
"""

import numpy as np
from hypothesis import strategies as st

MOST = 300  # raw numbers are n / 100 for n from -MOST to MOST: within -3 to 3, like almost all standard normal draws


def raw_numbers(count):
    """Return a strategy for `count` numbers in steps of 0.01, so that counterexamples are short."""
    return st.lists(st.integers(-MOST, MOST).map(lambda n: n / 100), min_size=count, max_size=count)


def values_of(symbol):
    """Return a strategy for one value of a symbol, for example an array (1,) for a number or (size,) for a vector."""
    return raw_numbers(symbol.size).map(lambda raw: symbol.make(np.array([raw]))[0])


def points(inputs):
    """Return a strategy for the keyword arguments of an entry's function: {name of a symbol: value of shape (1, ...)}."""
    return st.fixed_dictionaries({symbol.name: values_of(symbol).map(lambda value: value[None]) for symbol in inputs})
