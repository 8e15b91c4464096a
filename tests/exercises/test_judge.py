"""The judge passes correct solutions, however they are written. In wrong solutions it names the error and no other error."""

import cProfile
import gc
import profile
import sys

import numpy as np
import pytest

from minivae.exercises import judge
from minivae.exercises.answers import ANSWERS
from minivae.exercises.bonus import find
from tests.helpers.numeric import refused

GIVEN = "import numpy as np\nfrom minivae.exercises.given import *\n"


def verdict_on(number, source):
    names = {}
    exec(GIVEN + source, names)
    return judge.check_names(find(str(number)), names)


def words_on(number, source):
    """Return all words of the verdict on a wrong solution."""
    verdict = verdict_on(number, source)
    assert verdict.status in ("wrong", "error")
    return " ".join(word for finding in verdict.findings for word in finding.words)


RIGHT = [                                                   # (exercise, a correct solution that differs from minivae)
    (1, """
def affine_backward(d_y, x, weight, bias):
    return np.einsum("bo,io->bi", d_y, weight), np.einsum("bi,bo->io", x, d_y), np.einsum("bo->o", d_y)
"""),
    (1, """
def affine_backward(upstream, inputs, matrix, offset):
    d_x, d_w, d_b = np.zeros(inputs.shape), np.zeros(matrix.shape), np.zeros(offset.shape)
    for n in range(len(inputs)):
        for o in range(len(offset)):
            d_b[o] += upstream[n, o]
            for i in range(len(matrix)):
                d_x[n, i] += upstream[n, o] * matrix[i, o]
                d_w[i, o] += upstream[n, o] * inputs[n, i]
    return [d_x, d_w, d_b]
"""),
    (1, """
def affine_backward(d_y, x, weight, bias):
    d_y, x, weight = (a.astype(np.float32) for a in (d_y, x, weight))
    return d_y @ weight.T, (d_y.T @ x).T, d_y.T @ np.ones(len(d_y), np.float32)
"""),
    (2, "tanh_backward = lambda d_h, h: d_h * (1 - h) * (1 + h)"),
    (2, "def tanh_backward(d_h, h):\n    return (d_h / np.cosh(np.arctanh(h)) ** 2).astype(np.longdouble)"),
    (2, """
def tanh_backward(d_h, h):
    slope = h.copy()
    slope *= -h
    slope += 1
    slope *= d_h
    return slope
"""),
    (3, """
def sigmoid_backward(d_s, s):
    return d_s * (s - s**2)
def softplus_backward(d_out, a):
    return d_out * np.exp(-np.logaddexp(0, -a))
"""),
    (3, """
def sigmoid_backward(d_s, s):
    return d_s * (0.25 - (s - 0.5) * (s - 0.5))
def softplus_backward(d_out, a):
    e = np.exp(-abs(a))
    return d_out * np.where(a > 0, 1 / (1 + e), e / (1 + e))
"""),
    (4, "def log_sum_exp(a, axis=0):\n    return np.logaddexp.reduce(a, axis=axis)"),
    (4, """
def log_sum_exp(a, axis=0):
    found = []
    for row in np.moveaxis(a, axis, -1).reshape(-1, a.shape[axis]):
        largest = max(row)
        found.append(largest if largest == -np.inf else largest + np.log(sum(np.exp(v - largest) for v in row)))
    return np.array(found)
"""),
    (5, """
def log_sum_exp_backward(d_out, a, axis=0):
    return np.exp(a - np.logaddexp.reduce(a, axis=axis, keepdims=True)) * np.expand_dims(d_out, axis)
"""),
    (5, """
def log_sum_exp_backward(d_out, a, axis=0):
    columns = np.moveaxis(a, axis, 0)
    result = np.empty_like(columns)
    for k in range(columns.shape[1]):
        weights = np.exp(columns[:, k] - np.max(columns[:, k]))
        result[:, k] = d_out[k] * weights / np.sum(weights)
    return np.moveaxis(result, 0, axis)
"""),
    (6, """
def reparameterize(mean, log_variance, noise):
    return mean[None] + np.sqrt(np.exp(log_variance))[None] * noise
def reparameterize_backward(d_z, mean, log_variance, noise):
    d_sigma = np.einsum("lbj,lbj->bj", d_z, noise)
    return np.sum(d_z, 0), 0.5 * d_sigma * np.exp(0.5 * log_variance)
"""),
    (6, """
def reparameterize(mu, log_var, eps):
    return np.stack([mu + e * np.exp(log_var) ** 0.5 for e in eps])
def reparameterize_backward(d_z, mu, log_var, eps):
    d_mu, d_log_var = 0, 0
    for d, z in zip(d_z, reparameterize(mu, log_var, eps)):
        d_mu = d_mu + d
        d_log_var = d_log_var + d * (z - mu) / 2
    return d_mu, d_log_var
"""),
    (7, "def kl_standard_normal(mu, log_var):\n    return -0.5 * (1 + log_var - mu**2 - np.exp(log_var))"),
    (7, """
def kl_standard_normal(mu, log_var):
    sigma = np.exp(log_var / 2)
    return -np.log(sigma) + (sigma * sigma + np.square(mu)) / 2 - 1 / 2
"""),
    (8, """
def kl_standard_normal_backward(d_kl, mu, log_var):
    return np.multiply(d_kl, mu), d_kl * np.exp(log_var / 2) * np.sinh(log_var / 2)
"""),
    (8, """
def kl_standard_normal_backward(d_kl, mu, log_var):
    d_kl, mu, log_var = np.float32(d_kl), np.float32(mu), np.float32(log_var)
    return d_kl * mu, -0.5 * d_kl * (1 - np.exp(log_var))
"""),
    (9, """
def bernoulli_log_prob(x, logits):
    return -(x * np.logaddexp(0, -logits) + (1 - x) * np.logaddexp(0, logits)).sum(axis=2)
def bernoulli_log_prob_backward(d_out, x, logits):
    return np.einsum("lb,lbd->lbd", d_out, x - sigmoid(logits))
"""),
    (9, """
def bernoulli_log_prob(x, logits):
    sign = 2 * x - 1
    return -np.logaddexp(0, -sign * logits).sum(-1)
def bernoulli_log_prob_backward(d_out, x, logits):
    p = np.exp(-np.logaddexp(0, -logits))
    slope = np.where(x == 1, 1 - p, -p)
    slope *= d_out.reshape(*d_out.shape, 1)
    return slope
"""),
    (10, """
def gaussian_log_prob_backward(d_out, x, mean, log_sigma):
    variance = np.exp(2 * log_sigma)
    d_mean = d_out[:, :, None] * (x - mean) / variance
    return d_mean, np.sum(d_out[:, :, None] * ((x - mean) ** 2 / variance - 1))
"""),
    (10, """
def gaussian_log_prob_backward(d_out, x, mean, log_sigma):
    precision, total, d_mean = np.exp(-2 * log_sigma), 0.0, np.zeros_like(mean)
    for l, b, d in np.ndindex(mean.shape):
        d_mean[l, b, d] = d_out[l, b] * precision * (x[b, d] - mean[l, b, d])
        total += d_mean[l, b, d] * (x[b, d] - mean[l, b, d]) - d_out[l, b]
    return d_mean, total
"""),
    (11, """
def mlp_backward(d_out, hs, layers, activation, d_layers):
    d = d_out
    for i in range(len(layers) - 1, -1, -1):
        d_layers[i][0][:] = hs[i].T @ d
        d_layers[i][1][:] = d.sum(0)
        d = d @ layers[i][0].T
        if i:
            d = d * (1 - hs[i] ** 2)
    return d
"""),
    (11, """
def mlp_backward(d_out, hs, layers, activation, d_layers):
    _, act_backward = ACTIVATIONS[activation]
    d_h, d_weight, d_bias = affine_backward(d_out, hs[len(layers) - 1], *layers[-1])
    np.copyto(d_layers[-1][0], d_weight)
    np.copyto(d_layers[-1][1], d_bias)
    if len(layers) == 1:
        return d_h
    return mlp_backward(act_backward(d_h, hs[len(layers) - 1]), hs, layers[:-1], activation, d_layers[:-1])
"""),
    (12, """
def two_paths(d_z_px, d_z_kl, d_mu_kl, d_log_var_kl, mu, log_var, eps):
    d_z = d_z_px.reshape(eps.shape) + d_z_kl
    d_mu = d_mu_kl + d_z.sum(axis=0)
    return d_z, d_mu, d_log_var_kl + np.einsum("lbj,lbj,bj->bj", d_z, eps, np.exp(log_var / 2) / 2)
"""),
    (12, """
def two_paths(d_z_px, d_z_kl, d_mu_kl, d_log_var_kl, mu, log_var, eps):
    L, B, J = eps.shape
    d_z = np.array([d_z_px[l * B : (l + 1) * B] + d_z_kl[l] for l in range(L)])
    one, other = reparameterize_backward(d_z, mu, log_var, eps)
    one += d_mu_kl
    other += d_log_var_kl
    return d_z, one, other
"""),
    (13, """
def iw_loss_backward(d_loss, log_px_z, kl, beta):
    w = np.exp(log_px_z - kl - (log_px_z - kl).max(0))
    share = w / w.sum(0) / w.shape[1]
    return -d_loss * share, d_loss * share
def backward(self, x, eps, f, gradient):
    L, B, J = eps.shape
    step = OBJECTIVES[self.objective, self.estimator]
    d_px, d_kl = step.loss_backward(1.0, f.log_px_z, f.kl, self.beta)
    into_z, into_mu, into_log_var = step.kl_backward(d_kl, f.z, f.mu, f.log_var)
    d_out, *others = self.likelihood.log_prob_backward(d_px, x, f.out, *f.scale)
    into_z = into_z + mlp_backward(d_out.reshape(L * B, -1), f.decoder_hs, self.layers("decoder"), self.activation,
                                   self.layers("decoder", gradient)).reshape(L, B, J)
    into_mu = into_mu + into_z.sum(0)
    into_log_var = into_log_var + (into_z * (f.z - f.mu)).sum(0) / 2
    mlp_backward(np.hstack([into_mu, into_log_var]), f.encoder_hs, self.layers("encoder"), self.activation,
                 self.layers("encoder", gradient))
    if others:
        gradient["log_sigma"][...] = others[0]
    return gradient
"""),
    (14, """
def step(self, gradient):
    self.t += 1
    for i, g in enumerate(gradient.flat):
        self.m[i] += (1 - self.b1) * (g - self.m[i])
        self.v[i] += (1 - self.b2) * (g * g - self.v[i])
        first, second = self.m[i] / (1 - self.b1**self.t), self.v[i] / (1 - self.b2**self.t)
        self.params.flat[i] = self.params.flat[i] - self.lr * first / (second**0.5 + self.tiny)
"""),
    *((find(name).number, source) for name, source in ANSWERS.items()),
]  # fmt: skip


@pytest.mark.parametrize("number, source", RIGHT, ids=[f"{number}-{k}" for k, (number, _) in enumerate(RIGHT)])
def test_correct_solutions_in_other_forms_pass_and_no_error_is_named(number, source):
    verdict = verdict_on(number, source)
    assert verdict.status == "passed", verdict.findings
    assert not any(finding.names for finding in verdict.findings)


# Wrong solutions

RIGHT_8 = "d_kl * mu, d_kl * np.expm1(log_var) / 2"
BACKWARD = "reparameterize_backward(d_z, mu, log_var, eps)"
PATHS = """
    d_z = d_z_px.reshape(eps.shape) + d_z_kl
    d_mu, d_log_var = reparameterize_backward(d_z, mu, log_var, eps)
    return d_z, d_mu, d_log_var + d_log_var_kl"""
WRONG = [                                                   # exercise, head and body of a function, words of the message
    (1, "affine_backward(d_y, x, weight, bias): return d_y @ weight.T, x.T @ d_y", "must return 3 results"),
    (1, "affine_backward(d_y, x, weight, bias): return d_y @ weight.T, x.T @ d_y, d_y", "the sum over B is missing"),
    (1, "affine_backward(d_y, x, weight, bias): return d_y @ weight.T, x.T @ d_y, d_y.mean(0)", "1/B x the right array"),
    (1, "affine_backward(d_y, x, weight, bias): return d_y @ weight.T, d_y.T @ x, d_y.sum(0)", "array, transposed"),
    (1, "affine_backward(d_y, x, weight): return 0", "TypeError"),
    (2, "tanh_backward(d_h, h): pass", "is the `return` missing?"),
    (2, "tanh_backward(d_h, h): return d_h * ...", "TypeError"),
    (2, "tanh_backward(d_h, h): return 'h'", "must be an array; got 'h'"),
    (2, "tanh_backward(d_h, h): return d_h * (1 - h * h) + 0j", "complex"),
    (2, "tanh_backward(d_h, h): d_h *= 1 - h * h; return d_h", "changes its input d_h"),
    (2, "tanh_backward(d_h, h): return d_h * np.random.default_rng().normal()", "not repeatable"),
    (2, "tanh_backward(d_h, h): return d_h / 0", "is inf at"),
    (2, "tanh_backward(d_h, h): return np.ones((5, 11))", "(H, 11) instead of (3, 5), that is (B, H)"),
    (2, "tanh_backward(d_h, h): return np.zeros((5, 0))", "has shape (5, 0)"),
    (6, f"reparameterize(mu, log_var, eps): return mu + eps\ndef {BACKWARD}: pass", "is the `return` missing?"),
    (6, f"reparameterize(mu, log_var, eps): return mu + eps\ndef {BACKWARD}: return eps, 0 * eps", "has shape (3, 5, 2)"),
    (2, "tanh_backward(d_h, h): return 0 * h", "zero everywhere"),
    (2, "tanh_backward(d_h, h): return (2 * d_h * (1 - h * h)).astype(np.longdouble)", "equals 2 x the right array"),
    (2, "tanh_backward(d_h, h): return (d_h * (1 - h * h)).astype('float16')", "dtype float16: use float64"),
    (2, "tanh_backward(d_h, h): return (d_h * (1 - h * h)).astype(object)", "d_a has dtype object: use float64"),
    (2, "tanh_backward(d_h, h): return (d_h * (1 - h * h)).tolist()", "d_a is a list: return an array"),
    (2, "tanh_backward(d_h, h): h **= 2; return d_h * (1 - h)", "`**=` and `[...] =` write into h itself"),
    (2, "tanh_backward(d_h, h): return np.clip(d_h * (1 - h * h), -0.1, 0.1)", "clipped to +-0.1"),
    (2, "tanh_backward(d_h, h): return d_h * np.arange(h.size).reshape(h.shape) * h", "undecided"),
    (4, "log_sum_exp(a, axis=0): return np.log(np.exp(a).sum(axis))", "overflow encountered in exp"),
    (6, f"{BACKWARD}: pass", "no function reparameterize"),
    (7, "kl_standard_normal(mu, log_var): return (mu**2 + np.exp(log_var) - 1 + log_var) / 2", "sign of log_var flipped"),
    (8, f"kl_standard_normal_backward(d_kl, mu, log_var): a, b = {RIGHT_8}; return b, a", "equals the right d_log_var"),
    (8, "kl_standard_normal_backward(d_kl, mu, log_var): return d_kl * mu, ...", "d_log_var is still `...`"),
    (12, f"two_paths(d_z_px, d_z_kl, d_mu_kl, d_log_var_kl, mu, log_var, eps): {PATHS}", "equals the right array - d_mu_kl"),
    (14, "step(self, gradient): theta = self.params.flat - self.lr * gradient.flat", "write into self.params.flat itself"),
    (15, "check(gaussian): return True", "not noticed: exp(log_var) used as a standard deviation"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number, body, words", WRONG, ids=[f"{number}-{k}" for k, (number, *_) in enumerate(WRONG)])
def test_message_about_a_wrong_solution_describes_the_error(number, body, words):
    assert words in words_on(number, f"def {body}")


LATE = """
def step(self, gradient):
    self.m[...] = self.b1 * self.m + (1 - self.b1) * gradient.flat
    self.v[...] = self.b2 * self.v + (1 - self.b2) * gradient.flat**2
    m_hat, v_hat = self.m / (1 - self.b1**self.t), self.v / (1 - self.b2**self.t)
    self.params.flat[...] -= self.lr * m_hat / (np.sqrt(v_hat) + self.tiny)
    self.t += 1
"""


def test_message_mentions_division_by_zero_if_adam_increases_t_too_late():
    verdict, words = verdict_on(14, LATE), words_on(14, LATE)
    assert verdict.status == "wrong" and "divide by zero encountered" in words and "exp" not in words
    assert not any(finding.names for finding in verdict.findings)   # NaN parameters do not show which mistake was made


# Judging under a profiler: the judge itself calls `sys.setprofile` to read the variables of a learner's function

STEPS = """
def gaussian_log_prob_backward(d_out, x, mean, log_sigma):
    sigma = np.exp(log_sigma / 3)
    u = (x - mean) / sigma
    return d_out[..., None] * u / sigma, (d_out[..., None] * (u * u - 1)).sum()
"""


@pytest.mark.slow
def test_judge_restores_an_earlier_profiler_and_sends_it_all_events():
    events, before = [], sys.getprofile()

    def mine(frame, event, value):
        events.append((event, frame.f_code.co_name))

    sys.setprofile(mine)
    try:
        verdict = verdict_on(10, STEPS)
        assert sys.getprofile() is mine
    finally:
        sys.setprofile(before)
    calls = [events.count((event, "gaussian_log_prob_backward")) for event in ("call", "return")]
    assert calls[0] == calls[1] >= 4                        # the judge draws inputs twice, and makes two calls per draw
    assert [finding.array for finding in verdict.findings][0] == "sigma"


def test_python_profiler_counts_calls_of_a_function_that_is_judged():
    profiler = profile.Profile()
    gc.disable()                                            # `profile` fails if gc closes a generator in the meantime
    try:
        verdict = profiler.runcall(verdict_on, 10, STEPS)
    finally:
        gc.enable()
    profiler.create_stats()
    calls = {name: each[1] for (_, _, name), each in profiler.stats.items()}
    assert calls["gaussian_log_prob_backward"] >= 4 and verdict.findings[0].array == "sigma"


def test_judge_works_under_cprofile_or_refuses_it_in_one_sentence(tmp_path):
    file = tmp_path / "10_gaussian_backward.py"
    file.write_text("import cProfile\nimport numpy as np\ncProfile.Profile().enable()\n" + STEPS)
    finding, profiler = judge.check(find("10"), file).findings[0], cProfile.Profile()
    if sys.version_info >= (3, 12):                         # since 3.12, cProfile does not use sys.setprofile
        assert profiler.runcall(verdict_on, 10, STEPS).findings[0].array == finding.array == "sigma"
    else:
        refused(lambda: profiler.runcall(verdict_on, 10, STEPS), "profiler", "a Python function", "Profile", "Stop it")
        assert finding.status == "error" and "the active profiler must be a Python function; got Profile" in finding.words[0]
    assert verdict_on(10, STEPS).findings[0].array == "sigma"
