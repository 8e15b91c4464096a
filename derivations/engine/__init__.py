"""The engine: from the sides of an equation to a verdict. Read it in this order:

    equation     what an entry is, and the registry of all entries
    domains      what a letter of a source may be: one description for draws and values to check by hand
    worlds       where checks take place: finite tables, events, Gaussians, linear-Gaussian models
    numerics     expectations by exact sums and by quadrature, divergences without a logarithm, complex steps
    judge        from sides and relations to a verdict with a witness
    graph        which number of the model depends on which, found by changing them
    ledger       finding entries
    ties         the ledger's look at a changed minivae, for the museum
"""
