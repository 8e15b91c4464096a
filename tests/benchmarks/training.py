"""Time of one training step: this project, PyTorch, JAX, and the matrix products alone.

    python -m tests.benchmarks.training [--threads N] [--rounds N] [--seconds S] [--only NAME ...] [--json]

A step is: draw noise, forward, backward, Adam. Nothing else is timed. The model has a Bernoulli likelihood, an analytic
KL and float32 numbers, and the batch is already in memory. Before the timing, every contender except the rooflines must
return the loss and gradient of minivae for the same parameters and noise, to 1e-4 (float32 sums depend on their order).
A contender with other values is not timed, and the exit code is 1.

Contenders (above the tables, the benchmark lists the contenders that are not installed):
    roofline        the matrix products alone, `np.matmul(..., out=)` into existing arrays, with NumPy's BLAS;
                    PyTorch and JAX use other BLAS libraries, which may be faster
    roofline+adam   roofline and minivae's Adam update: a lower limit for a step in NumPy
    minivae         this project
    torch           PyTorch, eager, `torch.optim.Adam(fused=True)`
    torch.compile   PyTorch, the whole step (noise, gradient, Adam) as one compiled function
    jax             JAX, the whole step as one `jax.jit`, which may overwrite the old parameters and moments

Columns of the table:
    ms              time of one step, in milliseconds. Every round measures this time once; the table shows the median
    25 %..75 %      first and third quartile of the same times, in milliseconds
    / roofline      median of the ratio (time of the contender) / (time of the roofline in the same round)
    minivae /       median of the ratio (time of minivae) / (time of the contender in the same round);
                    a ratio below 1 means that minivae is faster

All contenders use the same number of threads (default 1). The benchmark sets the environment variables of BLAS
libraries and `torch.set_num_threads`. XLA, the compiler of JAX, uses one thread per core. So on systems that can limit
a process to some cores, the benchmark uses as many cores as threads. If you choose several threads, run no other program
at the same time: the other program can take the core of one thread, and then all other threads wait for this thread.

The benchmark times only early training steps: in every round, each contender starts again from the initial parameters.
After many steps, Adam's moments of dead units become subnormal numbers, and processors compute with such numbers much
more slowly. This benchmark does not measure such late steps.
"""

import argparse
import json
import sys

import numpy as np

from minivae.adam import Adam
from tests.benchmarks import timing
from tests.benchmarks.model import B1, B2, LR, PARTS, TINY, Minivae, Size, Start, disagreement

try:
    import torch
except ImportError:
    torch = None
try:
    import jax
except ImportError:
    jax = None

SIZES = (
    Size((64, 128, 2), "tanh", 64),
    Size((784, 400, 20), "relu", 128),
    Size((784, 200, 200, 50), "tanh", 20),
    Size((784, 400, 20), "relu", 1000),
)


# Each class is a timing.Contender. Before the timing, `prepare` compares the loss and gradient of every peer with minivae's.


class Roofline:
    """Only the matrix products of a step: for every network layer, the output, dW and dX (no dX for the first layer)."""

    name = "roofline"

    def __init__(self, start: Start):
        rng = np.random.default_rng(0)
        forward, backward = [], []
        for weight, _ in (pair for part in PARTS for pair in start.layers(part)):
            is_first = not forward
            fan_in, fan_out = weight.shape
            h = start.x if is_first else rng.standard_normal((len(start.x), fan_in), np.float32)
            d = rng.standard_normal((len(start.x), fan_out), np.float32)
            forward.append((h, weight, np.empty_like(d)))
            backward.append((h.T, d, np.empty_like(weight)))                    # dW
            if not is_first:
                backward.append((d, weight.T, np.empty_like(h)))                # dX
        self.products = forward + backward[::-1]

    def restart(self):
        pass

    def steps(self, count):
        for _ in range(count):
            for a, b, out in self.products:
                np.matmul(a, b, out=out)


class RooflineAndAdam(Roofline):
    """Matrix products and the Adam update, without noise, activations and likelihood."""

    name = "roofline+adam"

    def __init__(self, start: Start):
        super().__init__(start)
        self.first, self.gradient = start.vae.params, start.vae.gradient(start.x, start.eps)
        self.restart()

    def restart(self):
        self.adam = Adam(self.first.copy(), LR, B1, B2, TINY)

    def steps(self, count):
        for _ in range(count):
            super().steps(1)
            self.adam.step(self.gradient)


class Torch:
    """PyTorch in eager mode; its weights have shape (out, in)."""

    name = "torch"

    def __init__(self, start: Start):
        torch.manual_seed(0)
        self.activation = getattr(torch, start.vae.activation)
        self.x = torch.tensor(start.x)
        self.eps = torch.tensor(start.eps[0])
        parts = [[torch.tensor(a.T.copy()) for pair in start.layers(part) for a in pair] for part in PARTS]
        self.cut, self.first = len(parts[0]), parts[0] + parts[1]
        self.prepare()
        self.restart()

    def prepare(self):
        self.params = [p.clone().requires_grad_() for p in self.first]

    def restart(self):
        with torch.no_grad():
            for p, first in zip(self.params, self.first):
                p.copy_(first)
        self.adam = torch.optim.Adam(self.params, LR, (B1, B2), TINY, fused=True)

    def loss(self, params, x, eps):
        mu, log_var = self._mlp(x, params[: self.cut]).chunk(2, dim=1)
        logits = self._mlp(mu + torch.exp(log_var / 2) * eps, params[self.cut :])
        kl = (mu * mu + torch.exp(log_var) - 1 - log_var).sum() / 2
        cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (kl + cross_entropy) / len(x)

    def _mlp(self, h, params):
        for i in range(0, len(params) - 2, 2):
            h = self.activation(torch.nn.functional.linear(h, params[i], params[i + 1]))
        return torch.nn.functional.linear(h, params[-2], params[-1])

    def steps(self, count):
        for _ in range(count):
            self.adam.zero_grad()
            self.loss(self.params, self.x, torch.randn_like(self.eps)).backward()
            self.adam.step()

    def loss_and_gradient(self):
        loss = self.loss(self.params, self.x, self.eps)
        return loss.item(), [d.numpy().T for d in torch.autograd.grad(loss, self.params)]


class TorchCompile(Torch):
    """PyTorch with torch.compile. Adam is compiled too: for small models, it is fastest to compile the whole step."""

    name = "torch.compile"

    def prepare(self):
        # Without a reset, torch compiles the next model for variable shapes, which is slower.
        torch.compiler.reset()
        self.params, self.m, self.v = ([p.clone() for p in self.first] for _ in range(3))
        self.t = torch.zeros(())
        self.loss_and_d = torch.compile(torch.func.grad_and_value(self.loss))   # used only to compare with minivae
        self.step = torch.compile(self._step, fullgraph=True)

    def restart(self):                                      # in place, because the compiled step uses these tensors
        for p, first in zip(self.params, self.first):
            p.copy_(first)
        for moment in (*self.m, *self.v, self.t):
            moment.zero_()

    def _step(self):
        self.t.add_(1)
        sum_1, sum_2 = 1 - B1**self.t, 1 - B2**self.t
        grads = torch.func.grad(self.loss)(self.params, self.x, torch.randn_like(self.eps))
        for p, g, m, v in zip(self.params, grads, self.m, self.v):
            m.mul_(B1).add_(g, alpha=1 - B1)
            v.mul_(B2).addcmul_(g, g, value=1 - B2)
            p.sub_(LR / sum_1 * m / ((v / sum_2).sqrt() + TINY))

    def steps(self, count):
        for _ in range(count):
            self.step()

    def loss_and_gradient(self):
        d, loss = self.loss_and_d(self.params, self.x, self.eps)
        return loss.item(), [array.numpy().T for array in d]


class Jax:
    name = "jax"

    def __init__(self, start: Start):
        self.activation = {"tanh": jax.numpy.tanh, "relu": jax.nn.relu}[start.vae.activation]
        self.x, self.eps = jax.numpy.array(start.x), jax.numpy.array(start.eps[0])
        self.first = [start.layers(part) for part in PARTS]
        self.step = jax.jit(self._step, donate_argnums=0)
        self.restart()

    def restart(self):
        params = jax.tree.map(jax.numpy.array, self.first)
        m, v = (jax.tree.map(jax.numpy.zeros_like, params) for _ in range(2))
        self.state = (params, m, v, jax.numpy.zeros(()), jax.random.key(0))

    def loss(self, params, x, eps):
        encoder, decoder = params
        mu, log_var = jax.numpy.split(self._mlp(x, encoder), 2, axis=1)
        logits = self._mlp(mu + jax.numpy.exp(log_var / 2) * eps, decoder)
        kl = (mu * mu + jax.numpy.exp(log_var) - 1 - log_var).sum() / 2
        return (kl + (jax.nn.softplus(logits) - x * logits).sum()) / len(x)

    def _mlp(self, h, layers):
        for weight, bias in layers[:-1]:
            h = self.activation(h @ weight + bias)
        weight, bias = layers[-1]
        return h @ weight + bias

    def _step(self, state, x):
        params, m, v, t, key = state
        key, now = jax.random.split(key)
        eps = jax.random.normal(now, self.eps.shape, x.dtype)
        d = jax.grad(self.loss)(params, x, eps)
        t += 1
        sum_1, sum_2 = 1 - B1**t, 1 - B2**t
        m = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, m, d)
        v = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, v, d)
        params = jax.tree.map(
            lambda p, m, v: p - LR / sum_1 * m / (jax.numpy.sqrt(v / sum_2) + TINY), params, m, v
        )
        return params, m, v, t, key

    def steps(self, count):
        for _ in range(count):
            self.state = self.step(self.state, self.x)
        jax.block_until_ready(self.state)                   # wait only after the last step, as in real training

    def loss_and_gradient(self):
        loss, d = jax.jit(jax.value_and_grad(self.loss))(self.state[0], self.x, self.eps)
        return float(loss), [np.asarray(array) for array in jax.tree.leaves(d)]


OURS = ("roofline", "roofline+adam", "minivae")
CONTENDERS = {c.name: c for c in (Roofline, RooflineAndAdam, Minivae, Torch, TorchCompile, Jax)}


def installed() -> tuple[list[str], list[str]]:
    """Return the contenders that can run here, and a sentence about each peer that is not installed."""
    missing = [name for name, module in (("torch", torch), ("jax", jax)) if module is None]
    names = [name for name in CONTENDERS if name.split(".")[0] not in missing]
    return names, [f"{name} is not installed here, so it is not in the table." for name in missing]


def prepare(size: Size, names: list[str]) -> tuple[dict, list[str]]:
    """Make the contenders. Return {name: contender} for those without a fault, and a sentence about each fault.

    A fault is a wrong loss or gradient, or an error of another library. An error in our own code is raised. Rooflines
    compute only matrix products, with or without Adam, so they have no loss to check.
    """
    start = Start(size)
    reference = Minivae(start)
    ready, faults = {}, []
    for name in names:
        try:
            contender = CONTENDERS[name](start)
            fault = None if name.startswith("roofline") else disagreement(contender, reference)
            contender.steps(1)
        except Exception as error:                          # if another library fails, report this and continue
            if name in OURS:
                raise
            fault = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        if fault is None:
            ready[name] = contender
        else:
            faults.append(f"{name} at {size}: {fault}")
    return ready, faults


def summary(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return the numbers of the table: {contender: {column: number}}."""
    rows = {}
    for name, seconds in times.items():
        low, middle, high = (1e3 * q for q in timing.quartiles(seconds))
        rows[name] = {"ms": middle, "ms_25": low, "ms_75": high}
        if "roofline" in times:
            rows[name]["over_roofline"] = timing.ratio(times, name, "roofline")
        if "minivae" in times:
            rows[name]["minivae_over_this"] = timing.ratio(times, "minivae", name)
    return rows


def environment(threads: int) -> dict[str, str | int]:
    return timing.environment(threads) | {
        "torch": torch.__version__ if torch else "not installed",
        "jax": jax.__version__ if jax else "not installed",
    }


def print_table(size: Size, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{size}")
    print(f"  {'':14} {'ms':>9} {'25 %..75 %':>17} {'/ roofline':>11} {'minivae /':>10}")
    for name, row in rows.items():
        spread = f"{row['ms_25']:.3f}..{row['ms_75']:.3f}"
        ratios = [f"{row[key]:.2f}" if key in row else "-" for key in ("over_roofline", "minivae_over_this")]
        print(f"  {name:14} {row['ms']:9.3f} {spread:>17} {ratios[0]:>11} {ratios[1]:>10}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of every contender (default 1)")
    parser.add_argument("--rounds", type=int, default=15, help="number of turns of each contender (default 15)")
    parser.add_argument("--seconds", type=float, default=0.15, help="length of one turn in seconds (default 0.15)")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, metavar="NAME", help="measure only these contenders")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the tables")
    args = parser.parse_args()
    if args.threads < 1 or args.rounds < 2:
        parser.error("--threads must be at least 1 and --rounds at least 2")
    return args


def main() -> int:
    args = arguments()
    code = timing.run_with_threads("tests.benchmarks.training", args.threads)
    if code is not None:
        return code
    if torch:
        torch.set_num_threads(args.threads)
    names, notes = installed()
    names = [name for name in names if name in (args.only or names)]
    result = {"environment": environment(args.threads), "notes": notes, "sizes": {}}
    if not args.json:
        facts = [f"{key:8} {value}" for key, value in result["environment"].items()]
        print(*facts, *notes, sep="\n", flush=True)
    faults = []
    for size in SIZES:
        ready, new_faults = prepare(size, names)
        rows = summary(timing.interleave(ready, args.rounds, args.seconds)) if ready else {}
        result["sizes"][str(size)] = rows
        faults += new_faults
        if not args.json:
            print_table(size, rows)
    if args.json:
        print(json.dumps(result | {"faults": faults}, indent=1))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
