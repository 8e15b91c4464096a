"""What the four sources leave out of a complete derivation: importing this enters it all.

Here nothing is printed elsewhere, so nothing is a slip or wrong: every entry is a statement of our own, with its
assumption, a point outside it and, wherever `minivae` computes a side, that very function as one more link. The order
of the files here, and of the entries in each, is the order of the ledger.
"""

from derivations.beyond import elbo, aggregate  # noqa: F401, I001
from derivations.beyond import gradients, divergences, likelihoods, network, model  # noqa: F401
from derivations.beyond import gaussians, information, linear, posterior  # noqa: F401
from derivations.beyond import bounds, algorithms  # noqa: F401
