"""Hong, "Derivations": importing this enters it all.

A file holds the entries about one thing. The order of the files here, and of the entries in each, is the
order of the ledger.
"""

from derivations.hong import notation, divergence, likelihood, loss, words  # noqa: F401, I001
