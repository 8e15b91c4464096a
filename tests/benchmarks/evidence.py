"""How far estimators of log p(x) get, and what they cost.

    python -m tests.benchmarks.evidence memory [--k 50 500 5000] [--rows 10000] [--features 784]

memory: the largest memory that `lower_bounds` needs for every k, each in a process of its own, on synthetic data and a
linear decoder with a Gaussian likelihood: the peak of the whole process, Python, NumPy and the data included.
"""

import argparse
import json
import resource
import subprocess
import sys
import time


def peak_of(k: int, rows: int, features: int) -> dict:
    """Peak memory in MiB and seconds of one call, in this process."""
    import numpy as np

    from minivae import VAE, Gaussian, lower_bounds

    rng = np.random.default_rng(0)
    vae = VAE.init(rng, features, 20, (), likelihood=Gaussian(1.0))
    x = rng.standard_normal((rows, features), np.float32)
    start = time.perf_counter()
    bounds = lower_bounds(vae, x, k, rng)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024          # ru_maxrss is in bytes there, elsewhere in KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    return {"k": k, "MiB": peak, "seconds": seconds, "iw_bound": float(bounds.iw_bound.mean())}


def memory(options) -> None:
    """A table, one row for each k."""
    print(f"lower_bounds on {options.rows:,} x {options.features}")
    print(f"{'k':>8}{'peak MiB':>12}{'seconds':>10}{'IW bound':>12}")
    for k in options.k:
        again = [sys.executable, "-m", "tests.benchmarks.evidence", "peak", "--k", str(k)]
        again += ["--rows", str(options.rows), "--features", str(options.features)]
        found = json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout)
        print(f"{found['k']:8,}{found['MiB']:12.0f}{found['seconds']:10.1f}{found['iw_bound']:12.2f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evidence", description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["memory", "peak"])
    parser.add_argument("--k", type=int, nargs="+", default=[50, 500, 5000])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=784)
    options = parser.parse_args()
    if options.what == "peak":
        print(json.dumps(peak_of(options.k[0], options.rows, options.features)))
    else:
        memory(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
