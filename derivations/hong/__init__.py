"""Hong, "Derivations": importing this enters it all.

A file holds the entries about one thing. The order of the files here, and of the entries in each, is the
order of the ledger. `world` has the model that the checks are made on.
"""

from derivations.hong import notation, divergence, likelihood, loss, words  # noqa: F401, I001
