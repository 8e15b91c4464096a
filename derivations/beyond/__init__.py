"""Steps that a complete derivation needs and that the four sources omit. Importing this package enters them into the ledger.

Every entry is our own statement, so the verdicts `slip` and `wrong` do not occur. An entry compares the sides of an
equation or inequality. If a function of `minivae` computes one of these sides, the result of the function is compared as
well. The ledger keeps the order of the files below and the order of the entries in each file.
"""

from derivations.beyond import elbo, aggregate  # noqa: F401, I001
from derivations.beyond import gradients, divergences, likelihoods, network, model  # noqa: F401
from derivations.beyond import gaussians, information, linear, posterior  # noqa: F401
from derivations.beyond import bounds, algorithms  # noqa: F401
