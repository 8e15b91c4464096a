"""The doctor: measure a VAE that somebody already has, given as plain functions, and say what it is and what is wrong.

    calls        call the user's functions safely: copies, tensors, errors with the user's line, noise, changed arguments
    terms        the dictionary: known costs of a feature, known terms of a KL, five readings of the second argument
    fit          find the few terms of the dictionary that a measured function is made of
    words        turn numbers into words: known factors, known functions, paths, variants of an array
    probe        terms and reductions of a function, by calls at several sizes
    names        names for the terms: kind of cost, reading of the KL, a coefficient that is off
    measured     what is known about one function
    constants    the constant of a loss
    clips        points far from the fit
    steady       equal results of equal calls, unchanged arguments
    findings     a finding: verdict, two numbers, what to write instead
    loss         the loss, the KL, log p(x|z): terms, reductions, constants, clips; ends in the Rosetta
    special      losses outside the dictionary: roots, optimal sigma, free bits, capacity
    sampler      how z is drawn, and whether the KL describes the same Gaussian
    gradient     a gradient against finite differences of the user's own loss
    weights      the importance-weighted bound
    bound        minus the loss against the exact log p(x) of the user's own model
    networks     encoder and decoder: width, coupled rows, do they fit the loss
    balance      signs, weights and readings of the parts, beside each other
    translation  the loss as a convention of the Rosetta
    checkup      all checks, in order
    patient      the file of the user, run in a process of its own
    command      the command `minivae doctor`
"""

_HOMES = {"examine": "checkup", "Report": "findings", "Finding": "findings"}


def __getattr__(name: str):
    """Import a public name at its first use: `minivae --help` must not import NumPy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'minivae.doctor' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"minivae.doctor.{_HOMES[name]}"), name)
