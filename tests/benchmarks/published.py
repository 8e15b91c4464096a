"""Train models as published, or in at most two hours, and compare their results on MNIST with the published results.

    python -m tests.benchmarks.published NAME ... --data DIR [--epochs N] [--k 5000] [--rows N] [--out DIR]
                                           [--threads N] [--processes N]

The --data directory has the four files of MNIST. Names:
    vae, iwae-5, iwae-50    Burda, Grosse and Salakhutdinov (2016), one stochastic layer: 784-200-200-50, tanh, Adam
                            (epsilon 1e-4), mini-batches of 20, each with new binary draws, and eight stages i = 0, ..., 7
                            of 3^i epochs at a learning rate of `0.001 * 10^(-i/7)`. Measured: -log p(x) of the test set,
                            estimated by the bound with 5,000 importance weights. Published: 86.76, 85.54, 84.78 nats.
    vae-2h, iwae-5-2h       The same models in at most two hours of one core, with a schedule of our own: Adam with
                            epsilon 1e-8, mini-batches of 50, and a learning rate that falls along half a cosine from 0.001
                            to 0. The KL of vae-2h has a weight that grows from 0.01 to 1 in the first 100 epochs.
    grey                    The basic VAE of PyTorch's examples: 784-400-20, ReLU, Adam 1e-3, mini-batches of 128, grey
                            fractions as targets, 10 epochs, initial weights as in PyTorch's Linear. Measured: -ELBO of
                            the test set, one draw per image. The example prints about 105.5. Grey fractions are not
                            binary data, so this number is a score and not a likelihood.

`--threads N` sets the number of threads of each process (default 1, because these matrix products are small). Training uses
one process, and `--processes N` sets the number of processes that measure. The test images are binarized once, with a fixed
seed. `--epochs N` stops after N epochs of the full schedule. `--rows N` measures at most N evenly spaced test images. The
minutes of training are processor time. After every epoch, the benchmark saves the state of the training in --out, by default
in published-out. If the command is stopped, start it again: it continues from the saved state. Every result is appended to
results.jsonl in --out, with its setting and commit.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.evidence import peak_so_far
from tests.benchmarks.timing import run_with_threads


class Setting(NamedTuple):
    """A published result, and the settings of a training that should reproduce this result."""

    published: float
    hidden: tuple[int, ...]
    latent: int
    activation: str
    batch: int
    epochs: int
    tiny: float                 # Adam's epsilon
    samples: int = 1
    binarize: bool = True
    schedule: str = "stages"    # learning rate: stages, cosine or constant
    warm_up: int = 1            # epochs until beta, the weight of the KL, is 1

    def rate(self, epoch: int) -> float:
        """Return Adam's learning rate in this epoch; epochs count from 1."""
        if self.schedule == "cosine":
            return 1e-3 * (1 + math.cos(math.pi * (epoch - 1) / self.epochs)) / 2
        return 1e-3 * 10 ** (-stage_of(epoch) / 7) if self.schedule == "stages" else 1e-3

    def beta(self, epoch: int) -> float:
        """Return the weight of the KL in this epoch."""
        return min(1.0, epoch / self.warm_up)


STAGES = [3**i for i in range(8)]                           # epochs of each stage; 3,280 together
BURDA = Setting(86.76, (200, 200), 50, "tanh", 20, sum(STAGES), 1e-4)
TWO_HOURS = BURDA._replace(batch=50, epochs=1000, tiny=1e-8, schedule="cosine", warm_up=100)
SETTINGS = {
    "vae": BURDA,
    "iwae-5": BURDA._replace(published=85.54, samples=5),
    "iwae-50": BURDA._replace(published=84.78, samples=50),
    "vae-2h": TWO_HOURS,
    "iwae-5-2h": TWO_HOURS._replace(published=85.54, epochs=500, samples=5, warm_up=1),
    "grey": Setting(105.5, (400,), 20, "relu", 128, 10, 1e-8, binarize=False, schedule="constant"),
}


def stage_of(epoch: int) -> int:
    """Return the stage of an epoch: 0 for epoch 1, 1 for the next 3, 2 for the next 9, and so on."""
    return next(i for i in range(len(STAGES)) if epoch <= sum(STAGES[: i + 1]))


def start(setting: Setting, data, epochs: int):
    """Return a new training of the model that the setting describes."""
    import numpy as np

    from minivae import VAE, Bernoulli
    from minivae.adam import Adam
    from minivae.train import Training

    rng = np.random.default_rng(0)
    kind = {"objective": "iwae", "estimator": "sampled"} if setting.samples > 1 else {}
    kind |= {"likelihood": Bernoulli(), "activation": setting.activation, "data_mean": data.train_x.mean(axis=0)}
    vae = VAE.init(rng, data.train_x.shape[1], setting.latent, setting.hidden, **kind)
    if not setting.binarize:
        draw_as_torch(vae, rng)
    training = Training(vae, data, rng, epochs=epochs, batch=setting.batch, samples=setting.samples)
    training.optimiser = Adam(vae.params, setting.rate(1), tiny=setting.tiny)
    return training


def draw_as_torch(vae, rng) -> None:
    """Draw the weights and biases uniformly: between -1/sqrt(I) and 1/sqrt(I) for a layer with I inputs."""
    for part in ("encoder", "decoder"):
        for weight, bias in vae.layers(part):
            for array in (weight, bias):
                array[...] = rng.uniform(-1, 1, array.shape) / len(weight) ** 0.5


def train_or_resume(name: str, data, epochs: int, out: Path) -> tuple:
    """Start or resume a training and finish it. Return the training, and the CPU time of all epochs together, in seconds."""
    from minivae.app.progress import Progress
    from minivae.runs import checkpoint

    setting, model, log = SETTINGS[name], out / f"{name}.npz", out / f"{name}.json"
    training, history = start(setting, data, epochs), []
    if model.exists():
        saved = checkpoint.read(model)
        history = json.loads(log.read_text())
        training.optimiser.lr = saved.numbers["lr"]
        training.vae.params.flat[...] = saved.vae.params.flat
        training.restore(saved.arrays, saved.numbers)
        del history[training.epoch - 1 :]
    left = epochs + 1 - training.epoch
    progress = Progress(max(left, 1))
    while training.epoch <= epochs:
        training.optimiser.lr, began = setting.rate(training.epoch), time.process_time()
        training.vae = replace(training.vae, beta=setting.beta(training.epoch))
        record = next(record for record in training.steps() if record is not None)
        history.append({"epoch": record.epoch, "elbo": record.test_elbo, "seconds": time.process_time() - began})
        log.write_text(json.dumps(history))
        checkpoint.save(model, training.vae, *training.state())
        progress.update(left - (epochs - record.epoch), f"{name}: held-out ELBO {record.test_elbo:.2f}")
    progress.end()
    return training, sum(row["seconds"] for row in history)


def nll(vae, x, k: int, processes: int = 1) -> tuple[float, float]:
    """Estimate the mean of -log p(x) with k importance weights for each x.

    Return the estimate and its standard error. The error comes from the random draws of z.
    """
    import numpy as np

    from minivae.app.progress import Progress

    parts = np.array_split(x, max(1, len(x) // 100))
    progress, bounds, errors = Progress(len(parts)), [], []
    with ProcessPoolExecutor(processes) as pool:            # BLAS threads would speed up only the matrix products
        for found in pool.map(bounds_of, repeat(vae), parts, repeat(k), range(len(parts))):
            bounds.append(found.iw_bound)
            errors.append(found.iw_bound_se)
            progress.update(len(bounds), f"-log p(x) {-np.concatenate(bounds).mean():.2f}")
    progress.end()
    errors = np.concatenate(errors)
    return -float(np.concatenate(bounds).mean()), float((errors**2).sum() ** 0.5 / len(errors))


def bounds_of(vae, x, k: int, seed: int):
    """Return the `lower_bounds` of one part of the images. Each part has a different `seed`, so its noise is independent."""
    import numpy as np

    from minivae import lower_bounds

    return lower_bounds(vae, x, k, np.random.default_rng([1, seed]))


def run(name: str, options: argparse.Namespace) -> dict:
    """Train, measure, and append the result to results.jsonl; return the result."""
    from minivae import data
    from minivae.train import evaluate

    setting = SETTINGS[name]
    epochs = min(options.epochs or setting.epochs, setting.epochs)
    whole = data.load(str(options.data))
    dataset = whole.binarized() if setting.binarize else whole
    training, seconds = train_or_resume(name, dataset, epochs, options.out)
    done = {"setting": name, **setting._asdict(), "epochs_done": training.epoch - 1, "seconds": round(seconds, 1)}
    done["MiB"] = round(peak_so_far())                      # peak of the training; the measurement below could raise it
    test_x = dataset.few(options.rows or len(dataset.test_x)).test_x
    began = time.perf_counter()
    if setting.binarize:
        done["measured"], done["error"] = nll(training.vae, test_x, options.k, options.processes)
        done["k"] = options.k
    else:
        done["measured"], done["error"] = -evaluate(training.vae, test_x, training.rng)[2], None
    done |= {"rows": len(test_x), "seconds_to_measure": round(time.perf_counter() - began, 1)}
    done |= {"data": options.data.name, "threads": options.threads, "commit": commit()}
    with open(options.out / "results.jsonl", "a") as file:
        file.write(json.dumps(done) + "\n")
    return done


def commit() -> str:
    """Return the commit of this checkout, followed by "+" if tracked files differ from the commit; "unknown" without git."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=here).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + "+" * bool(changed)


def table(rows: list[dict]) -> str:
    """Return a text with a row for each result: setting, epochs, time, memory, test images, measured, published."""
    lines = [f"{'setting':10}{'epochs':>14}{'minutes':>9}{'MiB':>6}{'test data':>11}{'measured':>18}{'published':>11}"]
    for row in rows:
        error = "" if row["error"] is None else f" +- {row['error']:.3f}"
        epochs = f"{row['epochs_done']} of {row['epochs']}"
        measured = f"{row['measured']:.2f}{error}"
        lines.append(
            f"{row['setting']:10}{epochs:>14}{row['seconds'] / 60:9.1f}{row['MiB']:6}{row['rows']:>11}"
            f"{measured:>18}{row['published']:>11}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=SETTINGS, metavar="NAME", help=", ".join(SETTINGS))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--epochs", type=int, metavar="N")
    parser.add_argument("--k", type=int, default=5000)
    parser.add_argument("--rows", type=int, metavar="N")
    parser.add_argument("--out", type=Path, default=Path("published-out"), metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    for name in ("epochs", "k", "rows", "threads", "processes"):
        value = getattr(options, name)
        if value is not None and value < 1 + (name == "k"):
            parser.error(f"--{name} must be at least {1 + (name == 'k')}; got {value}.")
    code = run_with_threads("tests.benchmarks.published", options.threads, cores=max(options.threads, options.processes))
    if code is not None:
        return code
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [run(name, options) for name in options.names]
    print(table(rows))
    return 0 if all(math.isfinite(row["measured"]) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
