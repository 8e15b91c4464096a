"""The results of a run: measure the model, draw the figures, write the explorer, print the numbers."""

import importlib
import json
import math
from concurrent.futures import Future

import numpy as np

from minivae.app.progress import say
from minivae.app.typed import held_out_points, pasted
from minivae.evidence import exact_log_px
from minivae.explorer.evidence import EXPLORER, Evidence
from minivae.runs.files import write_atomically

MEASURED = 500                                              # largest number of held-out rows that are measured and drawn
IW_DRAWS = 1000                                             # number of draws k of the importance-weighted bound
EXPLORER_BYTES = 400_000                                    # `train` leaves out a larger page; `minivae explore` writes it
UNIT = "in nats per data point (unit of the natural logarithm; 1 nat = 1.44 bits)"
GAP = "gap = log p(x) - ELBO = KL(q(z|x) || p(z|x)): how far the encoder's Gaussian is from the exact posterior"


def measure(vae, data, bounds: Future | None) -> tuple[dict, Evidence | None]:
    """Return the means of the bounds and of the exact log p(x), in nats, and the Evidence of the held-out rows.

    Another process computes the bounds while this function computes the exact log p(x). `bounds` is `None` for a model
    without noise, because such a model has no q(z|x). In the results, a number that does not exist is `None`. But
    without noise, the results do not have the key `reconstruction_se`.
    """
    evidence = None
    names = ("reconstruction", "kl", "elbo", "elbo_se", "iw_bound", "iw_bound_se", "log_px", "log_px_error", "gap")
    results = dict.fromkeys(names) | {"iw_k": IW_DRAWS, "held_out": len(data.test_x)}
    if vae.latent <= 2:
        exact = exact_log_px(vae, data.test_x)
        error = float(exact.error.max())
        evidence = Evidence(exact.log_px, exact.error, exact.box)
        results |= {"log_px": float(exact.log_px.mean()), "log_px_error": error if math.isfinite(error) else None}
    if bounds:
        b = bounds.result()
        for name, values in b._asdict().items():
            mean_se = (values**2).sum() ** 0.5 / len(values)
            results[name] = float(mean_se if name.endswith("_se") else values.mean())
        results["reconstruction_se"] = results["elbo_se"]   # the KL is in closed form: it has no standard error
        evidence = evidence or Evidence(b.iw_bound, b.iw_bound_se, None, IW_DRAWS, b.elbo, b.elbo_se)
    if bounds and vae.latent <= 2:
        results["gap"] = results["log_px"] - results["elbo"]
    return results, evidence


def import_figures() -> None:
    """Import the modules that draw the figures and write the explorer; this takes half a second."""
    for module in ("minivae.figures.run", "minivae.explorer.build"):
        importlib.import_module(module)


def draw_training(run, rows: int, results: dict) -> list[dict]:
    """Draw and save the figures of a run's training; `results` contains means over `rows` held-out data points."""
    from minivae.figures.run import training_figures        # imported here, because the import takes half a second

    return saved(run, training_figures(run.vae, run.history, results.get("log_px"), results.get("elbo"), rows))


def draw_model(run, data) -> list[dict]:
    """Draw and save the figures of a run's model; `data` has the held-out rows that the figures show."""
    from minivae.figures.run import model_figures

    return saved(run, model_figures(run.vae, data, np.random.default_rng(run.config["seed"])))


def saved(run, figures: dict) -> list[dict]:
    """Save the figures in the run's directory; return path and alt text of each."""
    from minivae.figures import style

    files = []
    for name, (figure, alt) in figures.items():
        path = run.path / f"{name}.png"
        style.save(figure, alt, path)
        files.append({"path": str(path), "alt": alt})
    return files


def explore(run, data, evidence: Evidence, step: int) -> str | None:
    """Write the explorer's page and return its path. For a large page, or a model without noise, only return None.

    The held-out rows of `data` are every step-th row of the whole held-out set.
    """
    from minivae.explorer import build                      # imported here, because it imports matplotlib

    if not run.vae.noise:
        return None
    page = build.build(run.vae, data, run.path.resolve().name, evidence, step)
    if len(page) > EXPLORER_BYTES:
        return None
    with write_atomically(run.path / EXPLORER) as file:
        file.write(page.encode())
    return str(run.path / EXPLORER)


def report(options, run, results: dict) -> None:
    """Print the results on stdout: tables, or one JSON document."""
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print("\n".join([*table(results), "files"]))
    for file in ("config.json", "history.csv", "model.npz", "results.json"):
        print(f"  {run.path / file}")
    for file in results["files"]:
        print(f"  {file['path']}")
    if results["explorer"]:
        print(f"  {results['explorer']}   open it in a browser")
    print(f"again  {results['command']}")
    path = pasted(run.path)
    if run.vae.noise:
        print(f"next   minivae evaluate {path}{' --gap' * (run.vae.latent <= 2)}")
    else:
        print(f"next   minivae sample {path}")
    if run.vae.noise and not results["explorer"] and not options.no_explorer:
        print(f"or     minivae explore {path}")
    say(options, f"{results['seconds']:.1f} s in all")


def table(results: dict) -> list[str]:
    """Return the lines of a table. Each row has a name, a number, its standard error (if it has one) and its meaning.

    If the gap is known, its definition is below the table.
    """
    k, error = results["iw_k"], results["log_px_error"]
    rows = [
        ("reconstruction", "reconstruction", "reconstruction_se", "mean log p(x|z), with z drawn from the encoder's q(z|x)"),
        ("KL", "kl", None, "KL(q(z|x) || p(z)): how far the encoder's Gaussian is from the prior"),
        ("ELBO", "elbo", "elbo_se", "reconstruction - KL: a lower bound of log p(x)"),
        (f"IW bound, k={k}", "iw_bound", "iw_bound_se", "importance-weighted: a tighter lower bound, from k draws of z"),
        ("exact log p(x)", "log_px", None, by_integration(math.inf if error is None else error)),
        ("gap", "gap", "elbo_se", "log p(x) - ELBO"),
    ]
    lines = [f"{held_out_points(results['held_out'])}; mean +- standard error of the draws", UNIT]
    for label, key, se, meaning in rows:
        if results[key] is not None:
            error = f"+- {results[se]:.3f}" if se else ""
            lines.append(f"  {label:18} {results[key]:9.3f} {error:9}  {meaning}")
    if results["log_px"] is None:
        return [*lines, "  (the exact log p(x) is computed for one or two latent dimensions)"]
    if results["gap"] is None:
        return lines
    parts = "the command after `next` splits it into the encoder's error and the error of the best diagonal Gaussian"
    return [*lines, GAP, parts]


def by_integration(error: float) -> str:
    """Return a phrase about log p(x): the method, and an upper limit of the error (0.001 or a larger power of ten)."""
    if error == math.inf:
        return "by numerical integration over z, error unknown: some posterior is narrower than the finest grid"
    below = max(0.001, 10.0 ** math.ceil(math.log10(error))) if error > 0 else 0.001
    return f"by numerical integration over z, error below {below:g} nats"
