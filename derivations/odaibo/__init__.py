"""Odaibo, "Tutorial: Deriving the Standard Variational Autoencoder (VAE) Loss Function": importing it adds its entries.

A file holds the entries under one or two headings of the source. The order of the files here, and of the entries in
each, is the order of the ledger.
"""

from derivations.odaibo import bayes, divergence, objective, bound, claims, closed_form, loss, batch  # noqa: F401, I001
