"""Measure a VAE that a user gives as plain functions: name its loss, and report what is wrong.

    command      the command `minivae doctor`
    patient      execute the user's file in a process of its own
    checkup      all checks, in order
    calls        call the user's functions safely: copies, tensors, errors with the user's line, steady finite results
    loss         the loss, the KL, log p(x|z): terms, reductions, ignored entries
    probe        terms and reductions of a function, by calls at several sizes
    terms        the dictionary: known costs, terms of a KL, readings of the second argument; fit few terms to numbers
    names        name the terms: kind of cost, reading of the KL, a wrong coefficient; results for one function
    constants    the constant of a loss
    special      losses outside the dictionary: roots, optimal sigma, free bits, capacity; points far from the fit
    balance      compare signs, weights and readings of the parts; the loss as a convention of the Rosetta
    sampler      how z is drawn, and whether the KL describes the same Gaussian
    networks     encoder and decoder: width, coupled rows, fit to the loss
    gradient     a gradient against finite differences of the user's own loss
    words        turn numbers into words: known factors, functions, paths, variants of an array
    weights      the importance-weighted bound
    bound        minus the loss against the exact log p(x) of the user's own model
    findings     a finding (verdict, two numbers, what to write instead) and the report
"""

_HOMES = {"examine": "checkup", "Report": "findings", "Finding": "findings"}


def __getattr__(name: str):
    """Import a public name at its first use: `minivae --help` must not import NumPy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'minivae.doctor' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"minivae.doctor.{_HOMES[name]}"), name)
