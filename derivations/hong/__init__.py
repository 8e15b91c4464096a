"""Hong, "Derivations": importing this package enters all its entries into the ledger.

Each file has the entries about one subject. The ledger keeps the order of the files below and the order of the entries
in each file. `world` has the model in which most entries are computed.
"""

from derivations.hong import notation, divergence, likelihood, loss, words  # noqa: F401, I001
