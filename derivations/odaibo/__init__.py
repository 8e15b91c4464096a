"""Odaibo, "Tutorial: Deriving the Standard Variational Autoencoder (VAE) Loss Function".

Importing this package enters all its entries into the ledger. Each file has entries from one or two sections of the source;
a long section has several files. The ledger keeps the order of the files below and the order of the entries in each file.
"""

from derivations.odaibo import bayes, divergence, objective, bound, claims, closed_form, loss, batch  # noqa: F401, I001
