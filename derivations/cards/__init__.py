"""Machine Learning Research Flashcards, "Auto-Encoding Variational Bayes": importing this enters it all.

A file holds the entries of one question, or a part of them. The order of the files here, and of the entries
in each, is the order of the ledger. `fits` holds the computations of reverse_kl.
"""

from derivations.cards import elbo, derive, loss  # noqa: F401, I001
from derivations.cards import reverse_kl, reparameterization, architecture  # noqa: F401, I001
