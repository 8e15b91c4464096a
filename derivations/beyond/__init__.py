"""What the four sources leave out of a complete derivation: importing this enters it all.

Here nothing is printed elsewhere, so nothing is a slip or wrong: every entry is a statement of our own, with its
assumption, its witness outside it and, wherever `minivae` computes a side, that very function as one more link.
"""

from derivations.beyond import elbo, aggregate, bounds, algorithms  # noqa: F401, I001
