"""Steps that the four sources leave out of a complete derivation: importing this module enters all of them.

Every entry is a statement of our own, so none is a slip or wrong. Where `minivae` computes a side, that function is
compared as well. The order of the files here, and of the entries in each, is the order of the ledger.
"""

from derivations.beyond import elbo, aggregate  # noqa: F401, I001
from derivations.beyond import gradients, divergences, likelihoods, network, model  # noqa: F401
from derivations.beyond import gaussians, information, linear, posterior  # noqa: F401
from derivations.beyond import bounds, algorithms  # noqa: F401
