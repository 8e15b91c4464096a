"""The engine: from the sides of an equation to a verdict. Read it in this order:

    equation     the entries and their registry
    domains      the values that a letter can have: random draws, and simple values to check by hand
    worlds       models with known probabilities: finite tables, events, Gaussians, linear-Gaussian models
    numerics     expectations by exact sums and by quadrature, the KL without calling log, complex steps
    judge        from sides and relations to a verdict; a witness is a point at which the statement fails
    graph        the dependencies between the numbers of a model, found by changing them one at a time
    ledger       the search for entries by id
    ties         the comparison of a changed copy of minivae with the entries, for the museum of bugs (minivae/museum)
"""
