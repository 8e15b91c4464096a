"""A museum of real bugs, each re-created by changing a line or two of this package's source. Reading order:

    exhibits     the bugs: objective, gradient, bounds, training, data

    patched      a copy of the package in memory with changed lines
    problems     small models and data for the checks
    layers       the layers (groups) of checks; each one tests a copy of the package
    loop_layer   the checks of Adam, the training loop and the split of the data

    tour         train the right and the broken model; run all checks on all bugs; choose the bug whose name `--blind` hides
    figures      the figure: a row for each bug, a column for each layer of checks
    command      the command `minivae museum`
"""
