"""Odaibo, "Tutorial: Deriving the Standard Variational Autoencoder (VAE) Loss Function": importing this enters it all.

A file holds the entries under one or two headings of the source. Nobody has to keep the list of files: every module
of this package is imported, and the ledger is sorted by the line of the source an entry stands on.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
