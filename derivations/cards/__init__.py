"""Machine Learning Research Flashcards, "Auto-Encoding Variational Bayes": importing this enters it all.

A file holds the entries of one question, or of two. The order of the files here, and of the entries in each, is the
order of the ledger.
"""

from derivations.cards import elbo, derive, loss, reverse_kl  # noqa: F401, I001
