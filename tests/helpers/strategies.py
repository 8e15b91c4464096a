"""Hypothesis strategies for the letters of a source: the same `Symbol.make` that turns random numbers into draws.

Hypothesis shrinks the raw numbers towards 0: a real to 0, what is positive to 1, weights to equal ones.
"""

import numpy as np
from hypothesis import strategies as st

MOST = 300  # hundredths: normal draws go no further than 3 sigma


def raw_numbers(count):
    """`count` numbers of the size that a normal draw has, in steps of a hundredth: a short counterexample."""
    return st.lists(st.integers(-MOST, MOST).map(lambda n: n / 100), min_size=count, max_size=count)


def values_of(symbol):
    """One draw of a symbol: (1,) for a number, (size,) for a vector, a table for a table."""
    return raw_numbers(symbol.size).map(lambda raw: symbol.make(np.array([raw]))[0])


def points(inputs):
    """One draw of every symbol, as keyword arguments of an entry's function: arrays (1, ...)."""
    return st.fixed_dictionaries({symbol.name: values_of(symbol).map(lambda value: value[None]) for symbol in inputs})
