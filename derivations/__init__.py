"""Every equation, claim and figure of a tutorial as a function that can be called, stepped through, and fail.

Read it in this order:

    odaibo, lm, hong, cards   the entries, in the order of each source: any of their files is a good place to begin
    equation     what an entry is, and the registry of all entries
    domains      what a letter of a source may be: one description for draws and values to check by hand
    worlds       where checks take place: finite tables, events, Gaussians, linear-Gaussian models
    numerics     expectations by exact sums and by quadrature, divergences without a logarithm, complex steps
    judge        from sides and relations to a verdict with a witness
    graph        which number of the model depends on which, found by changing them
    figures      the figures of the sources redrawn, each proving what it shows before it is saved
    beyond       what the sources leave out: every hand gradient, bounds, exact models
    compare      the same thing in every source, side by side
    questions    what the sources ask, answered by computation
    trace        one training step of minivae, line by line; fourways: its gradient in four ways
    reading      what proves a function of minivae, and which tests hold it

Beside them: ledger (finding entries), records (what is known of one), ties (its look at a changed minivae), unicode
and pages (writing it), flashcards and quiz (learning it), cli.
"""
