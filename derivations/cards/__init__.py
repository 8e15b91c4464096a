"""Machine Learning Research Flashcards, "Auto-Encoding Variational Bayes".

Importing this package enters all its entries into the ledger. Each file has the entries of one card, or of half a card;
`architecture` also has entries about other cards. The ledger keeps the order of the files below, and the order of the
entries in each file. `fits` has computations for `reverse_kl`.
"""

from derivations.cards import elbo, derive, loss  # noqa: F401, I001
from derivations.cards import reverse_kl, reparameterization, architecture  # noqa: F401, I001
