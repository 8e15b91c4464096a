"""A museum of real bugs: each a change of a line or two of this package's own source. Read it in this order:

    exhibits     the bugs: objective, gradient, bounds, training, data
    patched      a copy of the package in memory with lines changed
    problems     small models and data to try a copy on
    layers       the layers of checks: what each of them notices about a copy
    loop_layer   the layer that looks at the training loop and the data
    tour         trained side by side, bugs against layers, and a bug to be found
    figures      bugs against layers as a picture
    command      the command `minivae museum`
"""
