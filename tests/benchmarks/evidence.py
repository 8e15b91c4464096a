"""Accuracy and cost of estimators of log p(x).

    python -m tests.benchmarks.evidence linear [--latent 2 5 10]                                  (twenty minutes)
    python -m tests.benchmarks.evidence memory [--k 50 500 5000] [--rows 10000] [--features 784]  (about five minutes)

linear: compare a trained linear VAE with probabilistic PCA (pPCA), its analytic optimum. The model has a Gaussian
likelihood with learned sigma; the data are the 1,442 training digits, with pixels from 0 to 1. The training draws no
noise: it averages the loss over fixed values of eps. For a linear model, this mean equals the expected loss. BFGS minimises
this mean, so only the initial weights are random. The exit code is 1 if log p(x) misses the optimum by more than 1e-6 nats.

memory: measure the peak memory of `lower_bounds` for each k, in a separate process, on synthetic data and a linear
decoder with a Gaussian likelihood. The peak is that of the whole process, with Python, NumPy and the data.
"""

import argparse
import json
import resource
import subprocess
import sys
import time


def peak_of(k: int, rows: int, features: int) -> dict:
    """Call `lower_bounds` in this process; return k, the peak memory in MiB, the time in seconds and the mean bound."""
    import numpy as np

    from minivae import VAE, Gaussian, lower_bounds

    rng = np.random.default_rng(0)
    vae = VAE.init(rng, features, 20, (), likelihood=Gaussian(1.0))
    x = rng.standard_normal((rows, features), np.float32)
    start = time.perf_counter()
    bounds = lower_bounds(vae, x, k, rng)
    seconds = time.perf_counter() - start
    return {"k": k, "MiB": peak_so_far(), "seconds": seconds, "iw_bound": float(bounds.iw_bound.mean())}


def peak_so_far() -> float:
    """Return the peak memory of this process so far, in MiB.

    On Linux, VmHWM in /proc is read, because ru_maxrss of a new process begins with the value of its parent.
    """
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024      # ru_maxrss is in bytes on macOS, in KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def peak_alone(k: int, rows: int, features: int) -> dict:
    """Return the result of `peak_of` in a new process, because the peak memory of a process never decreases."""
    again = [sys.executable, "-m", "tests.benchmarks.evidence", "peak", "--k", str(k)]
    again += ["--rows", str(rows), "--features", str(features)]
    return json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout)


def linear(options) -> int:
    """Print one row for each number of latent dimensions; return 1 if a trained model misses the optimum."""
    import numpy as np

    from minivae import VAE, Gaussian, digits
    from minivae.evidence import exact_linear, ppca
    from tests.helpers.linear import fit_linear

    x = digits().as_fractions().train_x.astype(np.float64)
    missed = 0
    print(f"{'J':>4}{'pPCA':>16}{'trained':>16}{'difference':>14}{'ELBO':>16}{'sigma':>10}{'angle':>10}{'seconds':>9}")
    for latent in options.latent:
        start = time.perf_counter()
        rng = np.random.default_rng(0)
        settings = {"dtype": np.float64, "data_mean": x.mean(axis=0)}
        vae = VAE.init(rng, 64, latent, (), likelihood=Gaussian("learned"), **settings)
        elbo = fit_linear(vae, x, 1e-11)
        best, trained = ppca(x, latent), exact_linear(vae, x).log_px.mean()
        cosines = np.linalg.svd(np.linalg.qr(vae.layers("decoder")[0][0].T)[0].T @ np.linalg.qr(best.weight.T)[0])[1]
        angle = np.arccos(min(1, cosines.min()))            # largest angle between the two decoders' subspaces, in radians
        sigma, seconds = np.exp(vae.params["log_sigma"]), time.perf_counter() - start
        numbers = f"{best.log_px:16.9f}{trained:16.9f}{best.log_px - trained:14.1e}{elbo:16.9f}"
        print(f"{latent:4}{numbers}{sigma:10.6f}{angle:10.1e}{seconds:9.1f}", flush=True)
        missed |= abs(best.log_px - trained) > 1e-6
    return missed


def memory(options) -> None:
    """Print the peak memory, the seconds and the bound of `lower_bounds` for each k."""
    print(f"lower_bounds on {options.rows:,} x {options.features}")
    print(f"{'k':>8}{'peak MiB':>12}{'seconds':>10}{'IW bound':>12}")
    for k in options.k:
        found = peak_alone(k, options.rows, options.features)
        print(f"{found['k']:8,}{found['MiB']:12.0f}{found['seconds']:10.1f}{found['iw_bound']:12.2f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evidence", description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["linear", "memory", "peak"])
    parser.add_argument("--latent", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--k", type=int, nargs="+", default=[50, 500, 5000])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=784)
    options = parser.parse_args()
    if options.what == "linear":
        return int(linear(options))
    if options.what == "peak":
        print(json.dumps(peak_of(options.k[0], options.rows, options.features)))
    else:
        memory(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
