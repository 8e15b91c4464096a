"""minivae/README.md lists the files to change for a new likelihood, activation, ..., and every list is complete.

The test makes every addition in a copy of the project, changes only the listed files, and checks the copy in a subprocess.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import pytest

from derivations.app import cli as derivations
from derivations.study import code_map
from minivae.app import cli as minivae
from minivae.likelihood import LIKELIHOODS
from minivae.museum import exhibits, layers
from minivae.museum.patched import package
from minivae.objective import OBJECTIVES
from minivae.ops import ACTIVATIONS
from tests import mutants
from tests.helpers.readme import PAGES
from tests.helpers.trained import end_quickly

LISTS = {                                                   # heading "Add ..." -> paths that the README lists there
    heading: re.findall(r"^\* `([^`]+)`", text, re.MULTILINE)
    for heading, text in re.findall(r"^### (Add .*)\n((?:(?!#).*\n)*)", PAGES["minivae/README.md"], re.MULTILINE)
}

# The changes for each heading: path -> {old text in the file: new text}. If the old text is "", the test appends the new
# text to the file.

LIKELIHOOD = {
    "minivae/likelihood.py": {
        "class Likelihood:\n": '''def poisson_log_prob(x: NDArray, log_rate: NDArray) -> NDArray:
    """log p(x|z) = sum_d ( x l - e^l - log x! )   (L, B)   [beyond.59]"""
    log_factorial = np.vectorize(math.lgamma)(x + 1.0).astype(log_rate.dtype)
    return (x * log_rate - np.exp(log_rate) - log_factorial).sum(axis=-1)


def poisson_log_prob_backward(d_out, x, log_rate):
    """d/dl log p(x|z) = x - e^l:   observed minus expected   [beyond.59]"""
    return d_out[..., None] * (x - np.exp(log_rate))


class Likelihood:
''',
        "LIKELIHOODS = {kind.name: kind for kind in (Bernoulli, Binomial, Gaussian)}": '''@dataclass(frozen=True)
class Poisson(Likelihood):
    """Every feature is a count without an upper limit: x in {0, 1, 2, ...}."""

    name, takes_counts = "poisson", True

    def check(self, x, argument="x"):
        if x.min() < 0 or (x != np.rint(x)).any():
            refuse(argument, "whole numbers from 0 for the Poisson likelihood", "others", "Give counts.")

    def log_prob(self, x, out):
        return poisson_log_prob(x, out)

    def log_prob_backward(self, d_out, x, out):
        return (poisson_log_prob_backward(d_out, x, out),)

    def mean(self, out):
        return np.exp(out)

    def sample(self, rng, out):
        return rng.poisson(np.exp(out))

    def output_for(self, mean):
        return np.log(np.maximum(mean, 0.01))


LIKELIHOODS = {kind.name: kind for kind in (Bernoulli, Binomial, Gaussian, Poisson)}''',
    },
    "minivae/app/options.py": {"bernoulli, binomial or gaussian": "bernoulli, binomial, gaussian or poisson"},
    "derivations/beyond/likelihoods.py": {
        "    log_binomials,\n)\n": "    log_binomials,\n    poisson_log_prob,\n    poisson_log_prob_backward,\n)\n",
        "": r'''

COUNT = Symbol("count", "x", "a count", 1, lambda raw: np.rint(2 * np.abs(raw)), (1, 0, 3))


@equation(
    "beyond.59", "Poisson log-likelihood in the logarithm of the rate",
    r"\left(\log P(X=x),\; \frac{d}{d\ell}\log P(X=x)\right) = \left(x\ell - e^\ell - \log x!,\; x - e^\ell\right)",
    (COUNT, LOGITS), says="The slope in the logarithm of the rate is the count minus the expected count.",
)  # fmt: skip
def eq_59(count, logits):
    factorial = np.cumprod([1, *range(1, 19)])[count.astype(int)]
    log_p = lambda logits: log(exp(-exp(logits)) * exp(logits) ** count / factorial)  # noqa: E731
    return (
        np.hstack([log_p(logits), complex_step(log_p, logits)]),
        "=", np.hstack([count * logits - exp(logits) - log(factorial), count - exp(logits)]),
    )  # fmt: skip


@eq_59.tied("minivae.likelihood.poisson_log_prob")
@eq_59.tied("minivae.likelihood.poisson_log_prob_backward")
def _(count, logits):
    log_p, slope = poisson_log_prob, poisson_log_prob_backward
    return np.hstack([log_p(count, logits[None]).T, slope(np.ones((1, len(count))), count, logits[None])[0]])
''',
    },
    "tests/core/test_gradients.py": {
        "TABLE = {\n": '''TABLE = {
    "likelihood.poisson_log_prob_backward": Case(
        likelihood.poisson_log_prob, lambda *inputs: [likelihood.poisson_log_prob_backward(*inputs)],
        "BD LBD", (1,), counts(5),
    ),
    "likelihood.Poisson.log_prob_backward": log_prob_case(likelihood.Poisson(), counts(5)),
''',
    },
}  # fmt: skip

ACTIVATION = {
    "minivae/ops.py": {
        "def softplus(": '''def leaky_relu(a: NDArray) -> NDArray:
    """h = max(a, a / 10), any shape"""
    return np.maximum(a, a / 10)


def leaky_relu_backward(d_h, h):
    """dh/da = 1 where h > 0, else 1/10   [beyond.60]"""
    return d_h * np.where(h > 0, 1, h.dtype.type(0.1))


def softplus(''',
        '"relu": (relu, relu_backward)': '"relu": (relu, relu_backward), "leaky_relu": (leaky_relu, leaky_relu_backward)',
    },
    "minivae/app/options.py": {"tanh or relu": "tanh, relu or leaky_relu"},
    "derivations/beyond/network.py": {
        "    affine_backward,\n": "    affine_backward,\n    leaky_relu,\n    leaky_relu_backward,\n",
        "": r'''

@equation(
    "beyond.60", "slope of the leaky ReLU",
    r"\left[f(a) = \frac{a + 9\max(a, 0)}{10}\right]:\; \left(f,\; f'\right) = "
    r"\left(\max(a, a/10),\; (1 + 9 \cdot 1_{a > 0})/10\right)",
    (A,), says="Below 0 the slope is a tenth of the slope above.",
)  # fmt: skip
def eq_60(a):
    f = lambda a: (a + 9 * sharp(a)) / 10  # noqa: E731
    return np.hstack([f(a), complex_step(f, a)]), "=", np.hstack([np.maximum(a, a / 10), (1 + 9 * (a > 0)) / 10])


@eq_60.tied("minivae.ops.leaky_relu")
@eq_60.tied("minivae.ops.leaky_relu_backward")
def _(a):
    return np.hstack([leaky_relu(a), leaky_relu_backward(np.ones_like(a), leaky_relu(a))])
''',
    },
    "tests/core/test_gradients.py": {
        '    "ops.sigmoid_backward"': '''    "ops.leaky_relu_backward":
        from_output(ops.leaky_relu, ops.leaky_relu_backward)._replace(fit=half_integers),
    "ops.sigmoid_backward"''',
    },
}  # fmt: skip

ESTIMATOR = {
    "minivae/objective.py": {
        "# Step 7: the loss": '''def kl_nonnegative(z: NDArray, mu: NDArray, log_var: NDArray) -> NDArray:
    """KL estimated at every draw, (L, B):   w - 1 - log w with w = p(z) / q(z|x), never negative   [beyond.61]"""
    log_w = log_standard_normal(z) - log_normal(z, mu, log_var)
    return np.expm1(log_w) - log_w


def kl_nonnegative_backward(d_kl, z, mu, log_var):
    """Gradients in z, mu and log_var: d/dlog_w = w - 1   [beyond.61]"""
    log_w = log_standard_normal(z) - log_normal(z, mu, log_var)
    return kl_sampled_backward(-d_kl * np.expm1(log_w), z, mu, log_var)


# Step 7: the loss''',
        "OBJECTIVES = {": '''OBJECTIVES = {
    ("elbo", "nonnegative"): Objective(kl_nonnegative, kl_nonnegative_backward, elbo_loss, elbo_loss_backward),
   ''',
    },
    "minivae/app/options.py": {"analytic, sampled or path": "analytic, sampled, path or nonnegative"},
    "derivations/beyond/gradients.py": {
        "from minivae.gaussian import":
            "from minivae.objective import kl_nonnegative, kl_nonnegative_backward\nfrom minivae.gaussian import",
        "": r'''

LONG = np.arange(-260, 261) / 20                            # all of q and of p
NEAR_ONE = Symbol("sigma", r"\sigma", "from 0.7 to 1.4", 1, lambda raw: exp(np.tanh(raw) / 3), (1, 0.8))


@equation(
    "beyond.61", "a KL estimate that is never negative",
    r"\left(D_{KL}(q \| p),\; \frac{d}{d\mu} D_{KL}(q \| p)\right)"
    r" = \left(E_q\left[\frac{p(z)}{q(z)} - 1 - \log\frac{p(z)}{q(z)}\right],\; \mu\right)",
    (MU, NEAR_ONE), says="p/q is 1 on average, so p/q - 1 changes no mean, and u - 1 - log u is never negative.",
)  # fmt: skip
def eq_61(mu, sigma):
    kl = lambda mu: -log(sigma) + (mu**2 + sigma**2 - 1) / 2  # noqa: E731
    log_w = log_q(LONG, 0, 1) - log_q(LONG, mu, sigma)
    mean = total(density(LONG, mu, sigma) * (exp(log_w) - 1 - log_w) / 20)
    return np.hstack([kl(mu), complex_step(kl, mu)]), "=", np.hstack([mean, mu])


@eq_61.tied("minivae.objective.kl_nonnegative")
@eq_61.tied("minivae.objective.kl_nonnegative_backward")
def _(mu, sigma):
    z, weights, log_var = (LONG + 0 * mu).T[..., None], (density(LONG, mu, sigma) / 20).T, 2 * log(sigma)
    d_z, d_mu, _ = kl_nonnegative_backward(weights, z, mu, log_var)
    return np.hstack([(weights * kl_nonnegative(z, mu, log_var)).sum(axis=0)[:, None], d_mu + d_z.sum(axis=0)])
''',
    },
    "tests/core/test_gradients.py": {
        '    "objective.kl_path_backward"': '''    "objective.kl_nonnegative_backward": Case(
        objective.kl_nonnegative, objective.kl_nonnegative_backward, "LBJ BJ BJ", (0, 1, 2)
    ),
    "objective.kl_path_backward"''',
    },
}  # fmt: skip

FORMAT = {
    "minivae/data/files.py": {
        "READERS = {": """def read_raw(path: Path, how: Reading) -> Raw:
    \"\"\"Read bytes without a header, 64 of them for each picture.\"\"\"
    return Raw(np.fromfile(path, np.uint8).reshape(-1, 64), grey=True)


READERS = {""",
        '    ".csv": read_table,\n': '    ".csv": read_table,\n    ".raw": read_raw,\n',
        "from numpy.typing import ArrayLike": "import numpy as np\nfrom numpy.typing import ArrayLike",
    },
    "minivae/app/options.py": {".csv, .tsv": ".csv, .tsv, .raw"},
}

ENTRY = {
    "derivations/beyond/bounds.py": {
        "": r'''

@equation(
    "beyond.62", "a square is never negative", r"(a - b)^2 = a^2 - 2ab + b^2",
    (Symbol("a", "a", "real", 1, lambda raw: raw, (1, 2)), Symbol("b", "b", "real", 1, lambda raw: raw, (3, 1))),
    says="Expand the square.",
)  # fmt: skip
def eq_62(a, b):
    return (a - b) ** 2, "=", a**2 - 2 * a * b + b**2
''',
    },
}

EXHIBIT = {
    "minivae/museum/exhibits/gradient.py": {
        "HEADS = (\n": '''HEADS = (
    Bug(
        "bias-forgotten",
        "the gradient in the biases is zero",
        "an example",
        "All biases stay at their initial values. The weights still train.",
        (Change("ops", "d_bias = d_y.sum(axis=0, out=into[1])", "d_bias = (0 * d_y).sum(axis=0, out=into[1])"),),
    ),
''',
    },
}  # fmt: skip

ADDED = {
    "Add a likelihood": LIKELIHOOD,
    "Add an activation": ACTIVATION,
    "Add an estimator of the KL": ESTIMATOR,
    "Add a data format": FORMAT,
    "Add an entry to the ledger": ENTRY,
    "Add an exhibit": EXHIBIT,
}


# Checks of the additions. They pass in a copy of the project with all additions, but fail in the project itself.


def check_gradient(name):
    """Compare the result of a backward function with both numerical gradients; `name` is its key in the gradient table."""
    from tests.core import test_gradients as table

    case = table.TABLE[name]
    inputs, d_out = table.draw(case, 0, table.SQUARE)
    for oracle in table.ORACLES:
        table.check(case, inputs, d_out, case.backward(d_out, *inputs), oracle)


def check_train(*words):
    """Check that training for one epoch with these options succeeds."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as room:
        end_quickly(patch)
        assert minivae.main(["train", "-q", "--epochs", "1", "--hidden", "8", "--out", f"{room}/run", *words]) == 0


def check_likelihood():
    check_gradient("likelihood.poisson_log_prob_backward")
    check_gradient("likelihood.Poisson.log_prob_backward")
    check_train("--likelihood", "poisson")
    assert derivations.main(["check", "beyond.59", "-q"]) == 0


def check_activation():
    check_gradient("ops.leaky_relu_backward")
    check_train("--activation", "leaky_relu")
    assert derivations.main(["check", "beyond.60", "-q"]) == 0


def check_estimator():
    check_gradient("objective.kl_nonnegative_backward")
    check_train("--estimator", "nonnegative")
    assert derivations.main(["check", "beyond.61", "-q"]) == 0


def check_format():
    with tempfile.TemporaryDirectory() as room:
        file = Path(room) / "x.raw"
        file.write_bytes(bytes(range(256)) * 20)
        check_train("--data", str(file))
    assert ".raw" in train_help()


def check_entry():
    assert derivations.main(["check", "beyond.62", "-q"]) == 0


def check_exhibit():
    bug = exhibits.find("bias-forgotten")
    assert layers.noticed(package(bug.changes))["gradient"]


CHECKS = (check_likelihood, check_activation, check_estimator, check_format, check_entry, check_exhibit)


def traceback_of(check):
    """Return "" if a check passes, else its traceback."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check()
            return ""
    except Exception:
        return traceback.format_exc()


# The README lists the files to change for each addition. Test that these lists are complete.


@pytest.fixture(scope="module")
def tracebacks(tmp_path_factory):
    """Run every check in the extended copy; return {heading: traceback of its check, or "" if the check passed}."""
    room = tmp_path_factory.mktemp("extended")
    mutants.plant([], room)
    for changes in ADDED.values():
        for path, texts in changes.items():
            source = (room / path).read_text(encoding="utf-8")
            for old, new in texts.items():
                assert not old or old in source, (path, old)
                source = source.replace(old, new) if old else source + new
            (room / path).write_text(source, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(room)}
    command = [sys.executable, "-m", "tests.house.test_extending"]
    done = subprocess.run(command, cwd=room, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("heading", ADDED)
def test_extension_works_after_changing_only_the_listed_files(heading, tracebacks):
    assert tracebacks[heading] == ""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_each_check_of_an_extension_fails_if_the_extension_is_missing(check):
    assert traceback_of(check)


@pytest.mark.slow
def test_gradient_table_and_ledger_and_help_of_train_contain_all_extensions(tracebacks):
    assert tracebacks["rules"] == ""


def test_readme_names_exactly_the_changed_files_for_each_addition():
    assert {heading: sorted(paths) for heading, paths in LISTS.items()} == {h: sorted(paths) for h, paths in ADDED.items()}


def train_help():
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        minivae.main(["train", "--help"])
    return printed.getvalue()


def test_help_of_train_contains_every_likelihood_and_activation_and_estimator():
    estimators = {estimator for _, estimator in OBJECTIVES}
    assert {*LIKELIHOODS, *ACTIVATIONS, *estimators} <= set(re.findall(r"\w+", train_help()))


def check_rules():
    """Check that the gradient table, the ledger and the help of train contain everything that is new in the copy."""
    from tests.core import test_gradients as table

    assert {name.split(":")[0] for name in table.TABLE} == table.backwards_in_the_source()
    assert [place.name for place in code_map.reading_map() if not place.tied] == []
    test_help_of_train_contains_every_likelihood_and_activation_and_estimator()


if __name__ == "__main__":
    print(json.dumps({heading: traceback_of(check) for heading, check in zip((*ADDED, "rules"), (*CHECKS, check_rules))}))
