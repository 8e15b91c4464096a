"""LM, "Variational AutoEncoder": importing this package enters all its entries into the ledger.

Each file has entries from one or two sections of the source; a long section has several files. The ledger keeps the order
of the files below and the order of the entries in each file.
"""

from derivations.lm import first_display, model, latent_space, bound, more_about_elbo  # noqa: F401, I001
from derivations.lm import neural_networks, simple_vae, loss  # noqa: F401, I001
