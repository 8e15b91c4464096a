"""Change one place of the code, run the tests, and see whether a test fails ("kills" the mutant: the changed code).

    python -m tests.mutants                        all bugs that `minivae museum` lists
    python -m tests.mutants exp-log-var -j 2       chosen bugs, two at a time
    python -m tests.mutants --core 100 --seed 0    100 random one-token mutants of the core
    python -m tests.mutants --evidence 200         200 random mutants of the folders evidence and rosetta
    python -m tests.mutants --doctor 60            60 random mutants of the folder doctor

Each mutant is a copy of the project in a temporary directory. The tests of the changed modules (TESTS) run there until
one fails; for random mutants, more tests follow (MORE_TESTS). Tests of the museum are left out, because they would fail
for every change. The exit code is 1 if a mutant survives: no test fails, and it is not in the list EQUIVALENT.
"""

import argparse
import functools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from minivae.museum.exhibits import bugs, find
from minivae.museum.patched import changed
from tests.helpers import one_token

ROOT = Path(__file__).parents[1]
TIMEOUT = 200                                               # seconds for all tests of one mutant
TREE = ("minivae", "derivations", "tests", "setup.cfg", "README.md")
# {module: files of its tests}. The files run in this order, so the file that notices a bug soonest comes first.
TESTS = {
    "checks": ("core/test_input", "core/test_likelihood"),
    "divergences": ("core/test_gaussian", "core/test_gradients"),
    "ops": ("core/test_ops", "evidence/test_quadrature", "core/test_gradients", "core/test_vae"),
    "gaussian": ("core/test_gaussian", "core/test_gradients", "core/test_vae"),
    "likelihood": ("core/test_likelihood", "core/test_input", "core/test_gradients", "core/test_vae"),
    "objective": ("core/test_vae", "core/test_iwae", "core/test_gradients", "evidence/test_quadrature"),
    "vae": ("core/test_vae", "core/test_iwae", "core/test_gradients", "evidence/test_quadrature", "core/test_input"),
    "params": ("core/test_params",),
    "adam": ("core/test_adam", "core/test_train"),
    "train": ("core/test_train", "core/test_adam", "runs/test_resume"),
    "data.dataset": ("data/test_data",),
    "doctor.balance": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.bound": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.calls": ("doctor/test_command", "doctor/test_doctor"),
    "doctor.checkup": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.command": ("doctor/test_command",),
    "doctor.constants": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.findings": ("doctor/test_findings", "doctor/test_command"),
    "doctor.gradient": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.loss": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.names": ("doctor/test_terms", "doctor/test_findings", "doctor/test_doctor"),
    "doctor.networks": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.patient": ("doctor/test_command",),
    "doctor.probe": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.sampler": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.special": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.terms": ("doctor/test_terms", "doctor/test_findings", "doctor/test_doctor"),
    "doctor.weights": ("doctor/test_findings", "doctor/test_doctor"),
    "doctor.words": ("doctor/test_words", "doctor/test_doctor"),
    "evidence.annealing": ("evidence/test_annealing",),
    "evidence.bounds": ("evidence/test_bounds", "evidence/test_quadrature"),
    "evidence.descent": ("evidence/test_linear", "evidence/test_gaps"),
    "evidence.gaps": ("evidence/test_gaps",),
    "evidence.gradients": ("evidence/test_gradient_noise",),
    "evidence.linear": ("evidence/test_linear",),
    "evidence.quadrature": ("evidence/test_quadrature",),
    "evidence.rates": ("evidence/test_rates",),
    "evidence.slopes": ("evidence/test_gaps",),
    "evidence.sums": ("evidence/test_bounds", "evidence/test_quadrature", "evidence/test_rates"),
    "evidence.sweep": ("rosetta/test_convention",),
    "rosetta.command": ("rosetta/test_command",),
    "rosetta.convention": ("rosetta/test_convention",),
    "rosetta.presets": ("rosetta/test_convention",),
}
EVIDENCE = tuple(module for module in TESTS if module.startswith(("evidence.", "rosetta.")))
DOCTOR = tuple(module for module in TESTS if module.startswith("doctor."))
MORE_TESTS = {                                              # tests that run if the tests of the changed module pass
    "core": ("tests/core",),
    "evidence": ("tests/evidence", "tests/rosetta", "tests/app/test_sweep.py", "tests/app/test_evaluate.py"),
    "doctor": ("tests/doctor",),
}
CORE = ("ops", "gaussian", "likelihood", "objective", "params", "vae", "adam", "train")
NO_COPY = "equivalent: a copy of the array has the same numbers"
SECOND_OF_TWO = "equivalent: axis 1 is the last axis of this array"
OVERWRITTEN = "equivalent: the changed values are never used"
CHUNKS = "equivalent: changes only the size of chunks"
AT_THE_LIMIT = "equivalent: differs only at the limit itself, which is arbitrary"
SHAPE = "equivalent: mu and log_var have the same shape"
EQUIVALENT = {                                              # {end of a mutant's name: why the mutant changes no result}
    "1 -> 2  in  log_factorial = [math.lgamma(k + 1) for k in range(n + 1)]": "equivalent: one more entry, never used",
    "- -> +  in  return log_coefficient.sum(axis=-1) + n * bernoulli_log_prob(x / n, logits)": SECOND_OF_TWO,
    "False -> True  in  x = self.data.take(rows, self.rng).astype(self.vae.dtype, copy=False)": NO_COPY,
    "1 -> 2  in  out = self._decode(z.reshape(-1, self.latent))[-1].reshape(*z.shape[:2], -1)":
        "equivalent: NumPy treats -2 like -1",
    "** -> *  in  affordable = np.bincount(which, minlength=len(x)) * 2**vae.latent <= MAX_NODES": "equivalent: J is 1 or 2",
    "> -> >=  in  again = (affordable & (error > tolerance))[which]"
    "                                   # (pairs,)": AT_THE_LIMIT,
    "zeros -> ones  in  mean, cov = np.zeros((len(x), vae.latent)), np.zeros((len(x), vae.latent, vae.latent))": OVERWRITTEN,
    "1 -> 2  in  rows = max(1, 4 * sums.AT_ONCE // (COARSE[vae.latent] + 1) ** vae.latent)": CHUNKS,
    "max -> min  in  rows = max(1, sums.AT_ONCE // (IN_CACHE * len(mu)))": CHUNKS,
    "0 -> 1  in  ratio = np.where(known, log_sum_2, 0) - 2 * np.where(known, log_sum, 0) + np.log(count)": OVERWRITTEN,
    "1 -> 2  in  points = spacing * (np.arange(-int(9 / spacing), int(9 / spacing) + 1) + offset)":
        "equivalent: the weight of one more node rounds to 0",
    "mu -> log_var  in  noise = np.broadcast_to(eps, (len(eps), *mu.shape))"
    "                                 # (L, n, J)": SHAPE,
    "mu -> log_var  in  d_mu, d_log_var = kl_standard_normal_backward(np.repeat(d_kl[:, None], mu.shape[1], axis=1), mu, "
    "log_var)": SHAPE,
    "<= -> <  in  if not 1e-300 <= number <= 1e300:                       # leaves room for later "
    "factors: float64 ends at 1.8e308": AT_THE_LIMIT,
    "> -> >=  in  if above[worst] > unsure[worst]:": AT_THE_LIMIT,
    "<= -> <  in  return (slope, constant) if np.abs(slope * x + constant - y).max() <= enough else None": AT_THE_LIMIT,
    "<= -> <  in  right = r * r if r <= delta else delta * (2 * r - delta)": "equivalent: both formulas agree at delta",
    "* -> /  in  if pattern and all(same(weights[name], first * c, error) for name, c in zip(names, pattern)):":
        "equivalent: dividing by 1 or -1 equals multiplying by it",
    "< -> <=  in  if 0 < most < np.abs(right).max() and close(given, np.clip(right, -most, most), rel):":
        "equivalent: then the array is right, and only wrong arrays are described",
    "* -> /  in  o = np.where(np.abs(x - o) < 0.05, x + 0.08 * np.where(x < 0.5, 1, -1), o)":
        "equivalent: dividing by 1 or -1 equals multiplying by it",
    "1 -> 2  in  o = np.where(np.abs(x - o) < 0.05, x + 0.08 * np.where(x < 0.5, 1, -1), o)":
        "equivalent: the distance from the kink is arbitrary",
    "0 -> 1  in  for chosen in itertools.combinations(paths[0], count):":
        "equivalent: all probes have paths of the same names",
}


class Outcome(NamedTuple):
    """Result for a mutant: its name, the failed test ("" if none failed) and the output of pytest."""

    name: str
    killer: str
    output: str


def outcome(bug, *further: str) -> Outcome:
    """Apply a bug to a copy of the project; run tests until one fails.

    The tests of the changed modules run first. If they pass, the tests in the paths `further` run.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy_of_tree = Path(folder)
        plant(bug.changes, copy_of_tree)
        try:
            done = run_tests(copy_of_tree, tests_of(bug.changes))
            if further and not done.returncode:
                done = run_tests(copy_of_tree, [], *further)
        except subprocess.TimeoutExpired:
            return Outcome(bug.name, f"no result after {TIMEOUT} s", "")
    killer = re.search(r"^(?:FAILED|ERROR) tests/(\S+(?: [^-\n]*)?)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) and not killer:
        raise RuntimeError(done.stdout + done.stderr)
    return Outcome(bug.name, killer[1].strip() if killer else "", done.stdout)


def run_tests(folder: Path, names: list[str], *chosen: str) -> subprocess.CompletedProcess:
    """Run these tests in a copy of the project until one fails; `chosen` are more arguments of pytest."""
    files = [f"tests/{name}.py" for name in names]
    command = [sys.executable, "-m", "pytest", "--all", "-x", "-q", "-p", "no:cacheprovider", *files, *chosen]
    settings = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DEBUG_TEMPROOT": str(folder)}
    settings["HYPOTHESIS_PROFILE"] = "repeatable"           # regardless of the user's settings
    return subprocess.run(command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=TIMEOUT)


def plant(changes, copy_of_tree: Path) -> None:
    """Copy the project to `copy_of_tree`, and apply `changes` to the copy."""
    for name in TREE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, copy_of_tree / name)
    for change in changes:
        path = copy_of_tree / change.file
        path.write_text(changed(path.read_text(encoding="utf-8"), [change]), encoding="utf-8")


def tests_of(changes) -> list[str]:
    """Return the names of the test files of the changed modules, without repetitions."""
    return list(dict.fromkeys(name for change in changes for name in TESTS[change.module]))


def mutants_of(modules: tuple[str, ...]) -> tuple[one_token.Mutant, ...]:
    """Return every one-token mutant of these modules."""
    return tuple(mutant for module in modules for mutant in mutants_of_one(module))


@functools.cache
def mutants_of_one(module: str) -> tuple[one_token.Mutant, ...]:
    """Return every one-token mutant of a module."""
    path = ROOT / "minivae" / f"{module.replace('.', '/')}.py"
    return tuple(one_token.mutants(module, path.read_text("utf-8")))


def sample(count: int, seed: int, modules: tuple[str, ...] = CORE) -> list[one_token.Mutant]:
    """Return `count` mutants of these modules, chosen at random; return all mutants if there are fewer."""
    return random.Random(seed).sample(mutants_of(modules), min(count, len(mutants_of(modules))))


def main() -> int:
    """Print the outcome of every mutant."""
    parser = argparse.ArgumentParser("python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of bugs that `minivae museum` lists (default: all)")
    parser.add_argument("--core", type=int, metavar="N", help="test N one-token mutants of the core instead of bugs")
    parser.add_argument("--evidence", type=int, metavar="N", help="test N mutants of the folders evidence and rosetta")
    parser.add_argument("--doctor", type=int, metavar="N", help="test N mutants of the folder doctor")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the sample (default: 0)")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="mutants tested at the same time (default: 1)")
    options = parser.parse_args()
    rooms = {"core": CORE, "evidence": EVIDENCE, "doctor": DOCTOR}
    if room := next((name for name in rooms if getattr(options, name)), None):
        chosen, further = sample(getattr(options, room), options.seed, rooms[room]), MORE_TESTS[room]
    else:
        chosen, further = [find(name) for name in options.names] or bugs(), ()
    survived = equivalent = 0
    with ThreadPoolExecutor(options.j) as pool:
        for name, killer, _ in pool.map(lambda bug: outcome(bug, *further), chosen):
            reason = next((why for end, why in EQUIVALENT.items() if name.endswith(end)), "")
            survived, equivalent = survived + (not killer and not reason), equivalent + bool(reason)
            print(f"{name:34} {killer or reason or 'SURVIVED'}", flush=True)
    print(f"{len(chosen) - survived - equivalent} of {len(chosen)} killed, {equivalent} equivalent, {survived} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
