"""LM, "Variational AutoEncoder": importing this enters it all.

A file holds the entries under one or two headings of the source. The order of the files here, and of the
entries in each, is the order of the ledger.
"""

from derivations.lm import first_display, model, latent_space, bound, more_about_elbo  # noqa: F401, I001
from derivations.lm import neural_networks, simple_vae, loss  # noqa: F401, I001
