"""Measure a VAE that a user gives as plain functions: name its loss, and report what is wrong.

    command      the command `minivae doctor`
    patient      execute the user's file in a separate process
    checkup      run all checks in order
    calls        call the user's functions safely; check that results are finite and repeatable
    loss         examine the loss, the KL or log p(x|z): terms, reductions, ignored entries
    probe        call a function at several sizes to find its terms and reductions
    terms        the known costs and KL terms; fit measured numbers by as few terms as possible
    names        name the cost, the meaning of the KL's second argument (log-variance, sigma, ...), or a wrong coefficient
    constants    explain the additive constant of a loss
    special      recognise roots of squared errors, optimal sigma, free bits, capacities; check extreme arguments
    balance      compare sign and weight of cost and KL; write the loss as a Convention of minivae.rosetta
    sampler      measure how z is drawn, and compare it with the Gaussian of the KL
    networks     check encoder and decoder: width of the input, rows that depend on other rows, fit to the loss
    gradient     compare a gradient with finite differences of the user's own loss
    words        describe the difference of two arrays in words
    weights      recognise the importance-weighted bound
    bound        compare minus the loss with the exact log p(x) of the user's own model
    findings     a finding (verdict, two numbers, what to write instead) and the report
"""

_HOMES = {"examine": "checkup", "Report": "findings", "Finding": "findings"}


def __getattr__(name: str):
    """Import a public name at its first use: `minivae --help` must not import NumPy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'minivae.doctor' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"minivae.doctor.{_HOMES[name]}"), name)
