"""Every equation, claim and figure of a tutorial as a function that can be called, stepped through, and fail.

Read it in this order:

    odaibo       the entries, in the order of the source: any of its files is a good place to begin
    equation     what an entry is, and the registry of all entries
    domains      what a letter of a source may be: one description for draws and values to check by hand
    worlds       where checks take place: finite tables, events, Gaussians, linear-Gaussian models
    numerics     expectations by exact sums and by quadrature, divergences without a logarithm, complex steps
    judge        from sides and relations to a verdict with a witness
    graph        which number of the model depends on which, found by changing them
    figures      the figures of the source redrawn, each proving what it shows before it is saved

Beside them: ledger (finding entries), records (what is known of one), ties (its look at a changed
minivae), unicode and pages (writing it), cli.
"""
