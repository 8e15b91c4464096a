"""Common errors of students: the message names the cause, says which errors follow from it, and says nothing false."""

import pytest

from minivae.exercises import judge
from minivae.exercises.bonus import find
from minivae.exercises.report import document, lines_of
from tests.exercises.test_judge import verdict_on, words_on

SOFTMAX = """
def log_sum_exp_backward(d_out, a, axis=0):
    e = np.exp(a - LARGEST)
    return np.expand_dims(d_out, axis) * e / e.sum(axis, keepdims=True)
"""
SCALE = """
def gaussian_log_prob_backward(d_out, x, mean, log_sigma):
    sigma = np.exp(log_sigma)
    u = (x - mean) / sigma
    d = d_out[..., None]
    return d * u / sigma, D_LOG_SIGMA
"""
TWO_PATHS = """
def two_paths(d_z_px, d_z_kl, d_mu_kl, d_log_var_kl, mu, log_var, eps):
    L, B, J = eps.shape
    d_z = ROWS + d_z_kl
    d_mu, d_log_var = reparameterize_backward(d_z, mu, log_var, eps)
    return d_z, d_mu + d_mu_kl, d_log_var + d_log_var_kl
"""
WHOLE = """
def iw_loss_backward(d_loss, log_px_z, kl, beta):
    share = log_sum_exp_backward(np.full(kl.shape[1], d_loss / kl.shape[1]), log_px_z - kl)
    return -share, share
def backward(self, x, eps, f, gradient):
    L, B, J = eps.shape
    step = OBJECTIVES[self.objective, self.estimator]
    d_px, d_kl = step.loss_backward(1.0, f.log_px_z, f.kl, self.beta)
    into_z, into_mu, into_log_var = step.kl_backward(d_kl, f.z, f.mu, f.log_var)
    d_out, *others = self.likelihood.log_prob_backward(d_px, x, f.out, *f.scale)
    d_rows = d_out.reshape(L * B, -1)
    d_z = mlp_backward(d_rows, f.decoder_hs, self.layers("decoder"), self.activation, self.layers("decoder", gradient))
    into_z = into_z + d_z.reshape(L, B, J)
    d_mu, d_log_var = reparameterize_backward(into_z, f.mu, f.log_var, eps)
    d_mu, d_log_var = d_mu + into_mu, d_log_var + into_log_var
    d_heads = np.hstack([d_mu, d_log_var])
    mlp_backward(d_heads, f.encoder_hs, self.layers("encoder"), self.activation, self.layers("encoder", gradient))
    if others:
        gradient["log_sigma"][...] = others[0]
    return gradient
"""
ADAM = """
def step(self, gradient):
    self.t += 1
    g = gradient.flat
    self.m = self.b1 * self.m + (1 - self.b1) * g
    self.v = self.b2 * self.v + (1 - self.b2) * SQUARE
    m_hat, v_hat = self.m / (1 - self.b1**T), self.v / (1 - self.b2**T)
    self.params.flat[...] -= FACTOR * self.lr * m_hat / (np.sqrt(v_hat) + self.tiny)
"""
FORWARD_6 = "def reparameterize(mu, log_var, eps):\n    return mu + np.exp(log_var / 2) * eps\n"
KL = "def kl_standard_normal_backward(d_kl, mu, log_var): return d_kl * mu, d_kl * (D)"
KL_7 = "def kl_standard_normal(mu, log_var): return KL"
SIGMA = """
def reparameterize_backward(d_z, mu, log_var, eps):
    sigma = np.exp(log_var / 2)
    return d_z.sum(0), D
"""
BERNOULLI = """
def bernoulli_log_prob(x, logits):
    p = np.clip(sigmoid(logits), 1e-7, 1 - 1e-7)
    return LOG_P
def bernoulli_log_prob_backward(d_out, x, logits):
    p = sigmoid(logits)
    return SLOPE
"""
SOFTPLUS = "def sigmoid_backward(d_s, s): return S\ndef softplus_backward(d_out, a): return d_out * sigmoid(a) * (D)"
LAYERS = """
def mlp_backward(d_out, hs, layers, activation, d_layers):
    act, act_backward = ACTIVATIONS[activation]
    d = d_out
    for i in reversed(range(len(layers))):
        d, weight, bias = affine_backward(d, hs[i], *layers[i])
        d_layers[i][0][...] = weight
        d_layers[i][1][...] = bias
        d = act_backward(d, hs[i]) if i WHEN else d
    return d
"""
LSE = """
def log_sum_exp(a, axis=0):
    c = a.max(axis, keepdims=True)
    c = np.where(c > -np.inf, c, 0)
    return (np.log(np.exp(a - c).sum(axis, keepdims=True)) + c)END
"""
STEP = ADAM.replace("T)", "self.t)")
ROWS = "d_z_px.reshape(B, L, J).swapaxes(0, 1)"
FAULTS = [                                                  # exercise, source, {old text: new text}, expected words
    (2, "def tanh_backward(d_h, h): return d_h * 1 - h**2", {}, "brackets are missing"),
    (2, "def tanh_backward(d_h, h): return d_h * (1 - h)**2", {}, "(1 - h)^2 is not 1 - h^2"),
    (5, SOFTMAX, {"LARGEST": "a.max()"}, "the largest of all entries is subtracted"),
    (5, SOFTMAX, {"LARGEST": "0"}, "overflow encountered in exp"),
    (4, "def log_sum_exp(a, axis=0):\n    c = a.max(axis, keepdims=True)\n"
        "    return np.log(np.exp(a - c).sum(axis)) + c.squeeze(axis)", {}, "invalid value encountered in subtract"),
    (6, FORWARD_6, {"np.exp(log_var / 2)": "np.sqrt(log_var)"}, "invalid value encountered in sqrt"),
    (2, "def tanh_backward(d_h, h): return h * (1 - d_h**2)", {}, "d_h and h are exchanged"),
    (7, "def kl_standard_normal(mu, log_var): return (mu**2 + np.exp(2 * log_var) - 1 - 2 * log_var) / 2", {},
     "read as log sigma, but it is log sigma^2"),
    (7, "def kl_standard_normal(mu, log_var): return ((1 + mu**2) / np.exp(log_var) - 1 + log_var) / 2", {},
     "the KL in the other direction"),
    (8, KL, {"D": "np.exp(log_var / 2) - np.exp(-log_var / 2)"}, "the gradient in sigma, not in log_var"),
    (8, KL, {"D": "(1 - np.exp(-log_var)) / 2"}, "the gradient in sigma^2, not in log_var"),
    (8, KL, {"D": "np.exp(2 * log_var) - 1"}, "log_var is read as log sigma"),
    (8, KL, {"D": "np.exp(log_var) / 2"}, "the KL has log_var also outside of exp"),
    (10, SCALE, {"D_LOG_SIGMA": "d * (u**2 - 1)"}, "the sum is missing"),
    (10, SCALE, {"D_LOG_SIGMA": "(d * (u**2)).sum() - d_out.sum()"}, "each of the D features has one"),
    (10, SCALE, {"D_LOG_SIGMA": "(d * u**2).sum()"}, "the terms log sigma are missing"),
    (10, SCALE, {"D_LOG_SIGMA": "(d * (u**2 - 1)).sum() / sigma"}, "the gradient in sigma, not in log sigma"),
    (10, SCALE, {"D_LOG_SIGMA": "(d * (u**2 / 2 - 1)).sum()"}, "u^2 / 2 is a term of log p itself"),
    (11, "def mlp_backward(d_out, hs, layers, activation, d_layers): return hs[0]", {},
     "was not written"),
    (12, TWO_PATHS, {"ROWS": ROWS}, "the rows of d_z_px are read as (B, L)"),
    (12, TWO_PATHS, {"ROWS": ROWS}, "is wrong only because of d_z"),
    (13, WHOLE, {"d_out.reshape": "d_out.swapaxes(0, 1).reshape"}, "the rows of d_out are ordered as (B, L)"),
    (13, WHOLE, {"[d_mu, d_log_var]": "[d_log_var, d_mu]"}, "the two heads are exchanged"),
    (13, WHOLE, {"= d_mu + into_mu": "= d_mu * into_mu"}, "is computed later than d_encoder.2.weight"),
    (13, WHOLE, {"self.beta)": "1)"}, "beta is 1, not self.beta"),
    (14, ADAM, {"**T": ""}, "b1 and b2 must be raised to the power t"),
    (14, ADAM, {"T)": "self.t)", "-= FACTOR": "+= FACTOR"}, "the sign of the step is wrong"),
    (14, ADAM, {"T)": "self.t)", "flat[...] -=": "flat = self.params.flat -"}, "write into self.params.flat itself"),
    (14, ADAM, {"SQUARE": "g", "T)": "self.t)"}, "v is computed from g, not from g^2"),
    (14, ADAM, {"T)": "(self.t + 1))"}, "t is one too large"),
    (14, ADAM, {"T)": "self.t)", "FACTOR": "g"}, "is computed later than theta after call 1"),
    (9, BERNOULLI, {"LOG_P": "(x * logits - np.logaddexp(0, logits)).sum(0)"}, "you summed over L; sum over D instead"),
    (9, BERNOULLI, {"LOG_P": "(x * logits - np.logaddexp(0, logits)).sum(1)"}, "you summed over B; sum over D instead"),
    (9, BERNOULLI, {"LOG_P": "(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(-1)"},
     "is right for the other inputs, wrong for large logits: is something clipped"),
    (9, BERNOULLI, {"SLOPE": "d_out[..., None] * (x / p - (1 - x) / (1 - p))"},
     "this is the gradient in p, not in the logits"),
    (9, BERNOULLI, {"SLOPE": "x - sigmoid(logits)"}, "d_out is missing"),
    (11, LAYERS, {"...] =": "...] +=", "WHEN": "> 0"}, "assign with `=`, do not add with `+=`"),
    (11, LAYERS, {"WHEN": "< len(layers) - 1"}, "act_backward is called one layer too late"),
    (6, FORWARD_6 + SIGMA, {"D": "(d_z * eps).sum(0) * np.exp(log_var) / 2"},
     "sigma^2 = exp(log_var) is used instead of sigma"),
    (6, FORWARD_6 + SIGMA, {"D": "(d_z * eps * sigma).sum(0)"}, "the 1/2 of log sigma = log_var / 2 is missing"),
    (14, STEP, {"self.t += 1": "", "**self.t": "**(self.t + 1)"}, "self.t is still 0 after three steps"),
    (14, STEP, {"self.t += 1": ""}, "self.t is still 0 after three steps"),
    (14, STEP, {"self.m =": "m =", "self.v =": "v =", "m_hat, v_hat = self.m": "m_hat, v_hat = m", ", self.v": ", v"},
     "self.m and self.v are still 0 after three steps"),
    (7, KL_7, {"KL": "(mu**2 + np.exp(0.5 * log_var) - 1 - log_var) / 2"},
     "exp(log_var / 2) is sigma, but the KL has sigma^2"),
    (7, KL_7, {"KL": "0.5 * mu**2 + np.exp(log_var) - 1 - log_var"},
     "equals 1/2 x mu^2 + exp(log_var) - log_var - 1: the factors of exp(log_var), log_var, 1 are wrong"),
    (7, KL_7, {"KL": "(mu + np.exp(log_var) - 1 - log_var) / 2"}, "the factors of mu^2, mu are wrong"),
    (8, KL, {"d_kl * (D)": "0.5 * d_kl * np.exp(log_var) - 1"}, "the factors of d_kl, 1 are wrong"),
    (8, KL, {"D": "(np.exp(2 * log_var) - 1) / 2"}, "the factors of d_kl exp(log_var), d_kl exp(2 log_var) are wrong"),
    (8, KL, {"D": "(np.exp(log_var) - 1) / 2", "d_kl *": "d_kl.sum() *"},
     "`d_kl` is summed, but each of its entries counts alone"),
    (3, SOFTPLUS, {"S": "d_s * s * (1 - s)", "D": "1 - sigmoid(a)"}, "this has the slope of sigmoid, not of softplus"),
    (3, SOFTPLUS, {"S": "d_s / (s * (1 - s))", "D": "1"}, "d_s is divided by the slope"),
    (4, LSE, {"END": ""}, "one axis of length 1 is left: `keepdims`?"),
    (4, LSE, {"END": ".squeeze()"}, "an axis of length 1 is missing: `squeeze()`"),
    (12, TWO_PATHS, {"ROWS + d_z_kl": "d_z_px.reshape(L, B, J)", "d_mu + d_mu_kl": "d_mu"}, "uses d_z, which is wrong"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number, source, replaced, words", FAULTS, ids=[f"{n}-{k}" for k, (n, *_) in enumerate(FAULTS)])
def test_message_about_a_common_error_gives_the_cause(number, source, replaced, words):
    rest = {"SQUARE": "g**2", "FACTOR *": "", "LOG_P": "(x * logits - np.logaddexp(0, logits)).sum(-1)",
            "SLOPE": "d_out[..., None] * (x - sigmoid(logits))"}
    for old, new in (replaced | {old: new for old, new in rest.items() if old not in replaced}).items():
        source = source.replace(old, new)
    if number == 6 and "backward" not in source:
        source += "def reparameterize_backward(d_z, mu, log_var, eps): return mu, mu"
    said = words_on(number, source)
    assert words in said and "overflows above 709" not in said and "in place of" not in said


def test_five_sources_in_this_file_pass_without_their_planted_errors():
    sources = {5: SOFTMAX.replace("LARGEST", "a.max(axis, keepdims=True)"), 13: WHOLE,
               10: SCALE.replace("D_LOG_SIGMA", "(d * (u**2 - 1)).sum()"),
               12: TWO_PATHS.replace("ROWS", "d_z_px.reshape(L, B, J)"),
               14: ADAM.replace("SQUARE", "g**2").replace("FACTOR *", "").replace("T)", "self.t)")}  # fmt: skip
    for number, source in sources.items():
        assert verdict_on(number, source).status == "passed", number


# The same error in forward and backward

LOOPS = """
def reparameterize(mu, log_var, eps):
    z = np.zeros(eps.shape)
    for l in range(len(eps)):
        z[l] = mu + np.exp(log_var SIGMA) * eps[l]
    return z
def reparameterize_backward(d_z, mu, log_var, eps):
    return d_z.sum(0), (d_z * eps).sum(0) * np.exp(log_var SIGMA) SIGMA
"""


def check_file(folder, number, source):
    """Judge a file in a separate process; return the verdict and the lines to print."""
    file = folder / f"{find(str(number)).stem}.py"
    file.write_text(f"import numpy as np\n{find(str(number)).import_line()}\n{source}")
    verdict = judge.check(find(str(number)), file)
    return verdict, "\n".join(lines_of(verdict))


def printed_lines(number, source):
    """Judge functions in this process; return the lines to print."""
    return "\n".join(lines_of(verdict_on(number, source)))


def test_judge_reports_an_error_shared_by_forward_and_backward(tmp_path):
    assert verdict_on(6, LOOPS.replace("SIGMA", "/ 2")).status == "passed"
    verdict, text = check_file(tmp_path, 6, LOOPS.replace("SIGMA", ""))
    assert verdict.printed == "" and "no gradient check can see this error" in text
    assert "your reparameterize (central differences)" in text
    other = LOOPS.replace("SIGMA", "").replace("eps).sum(0) *", "eps).sum(0) * 3 *")
    assert "central differences" not in printed_lines(6, other)


def test_message_about_a_forgotten_factor_says_only_that_it_is_missing():
    source = SCALE.replace("D_LOG_SIGMA", "(d * (u**2 - 1)).sum()")
    said = words_on(10, source.replace("d * u / sigma", "d * u"))
    assert "gives the same numbers: a factor is missing" in said and "read as" not in said
    names = document(verdict_on(10, source.replace("d * u / sigma", "d * u")))["findings"][0]["names"]
    assert names and all("`...` is missing" in name for name in names)


def test_line_that_computes_a_correct_array_is_not_blamed():
    source = TWO_PATHS.replace("ROWS", "d_z_px.reshape(L, B, J)").replace("ward(d_z,", "ward(d_z - d_z_kl,")
    assert "in the line of `d_z`" not in words_on(12, source)


def test_judge_rejects_new_arrays_in_d_layers_but_accepts_filled_ones():
    source = "def mlp_backward(d_out, hs, layers, activation, d_layers):\n    d = d_out\n    for i in (2, 1, 0):\n" \
             "        d, *d_layers[i] = affine_backward(d, hs[i], *layers[i])\n" \
             "        d = d * (1 - hs[i]**2) if i else d\n    return d"
    assert "you put a new array into the list" in words_on(11, source)
    right = source.replace("d, *d_layers[i] =", "d, w, b =").replace("        d = d *", "        d_layers[i][0][:] = w\n"
                           "        d_layers[i][1][:] = b\n        d = d *")  # fmt: skip
    assert verdict_on(11, right).status == "passed"


def test_judge_notices_a_lost_axis_of_size_1():
    source = "def log_sum_exp(a, axis=0):\n    top = a.max(axis, keepdims=True)\n" \
             "    top = np.where(top > -np.inf, top, 0)\n" \
             "    return (np.log(np.exp(a - top).sum(axis, keepdims=True)) + top).squeeze(SQUEEZED)"
    assert "instead of (1,)" in words_on(4, source.replace("SQUEEZED", ""))
    assert verdict_on(4, source.replace("SQUEEZED", "axis")).status == "passed"


def test_message_about_an_unwritten_gradient_says_that_it_is_zero():
    said = words_on(13, WHOLE.replace("if others:", "if False:"))
    assert "was not written: it is still 0" in said and "in place of" not in said


def test_first_wrong_line_of_a_long_function_is_named_once(tmp_path):
    blank = find("13").file().partition('"""\n\n')[2]
    backward = blank[blank.index("def backward") :].replace("..., ...                             # 7",
                                                           "objective.loss_backward(-1, f.log_px_z, f.kl, self.beta)")
    _, text = check_file(tmp_path, 13, WHOLE.partition("def backward")[0] + backward)
    lines = text.splitlines()
    assert lines[0].endswith("wrong") and len(lines) == 8 and "is still in lines" in lines[-1]
    assert "equals -1 x the right array" in lines[4] and "backward, d_log_px_z, d_kl (the ELBO" in lines[3]
    filled = {"d_px": "d_log_px_z", "d_z = mlp": "d_z_px = mlp", "d_z.reshape(L": "d_z_px.reshape(L",
              "into_z = into_z": "d_z = into_z", "ward(into_z,": "ward(d_z,", "1.0": "-1",
              "d_mu, d_log_var = rep": "d_mu_z, d_log_var_z = rep",
              "= d_mu + into_mu, d_log_var +": "= d_mu_z + into_mu, d_log_var_z +"}
    source = WHOLE
    for old, new in filled.items():
        source = source.replace(old, new)
    text = printed_lines(13, source)
    assert len(text.splitlines()) == 7 and "is wrong only because of d_log_px_z, d_kl" in text
    text = printed_lines(13, source.replace("(-1,", "(1,").replace("[d_mu, d_log_var]", "[d_log_var, d_mu]"))
    assert "backward, d_heads" in text and text.count("the two heads are exchanged") == 1


# A learner's file: blanks, variable names, line numbers


def test_filled_blank_is_judged_although_other_blanks_are_unfilled(tmp_path):
    blank = find("1").file()
    text = printed_lines(1, blank.replace("d_bias = ...", "d_bias = d_y.sum(axis=0)"))
    assert text.startswith("01_affine_backward: not finished") and "+ affine_backward, d_bias" in text
    assert ". affine_backward, d_weight\n      d_weight is still `...`" in text
    text = printed_lines(1, blank.replace("d_bias = ...", "d_bias = d_y.mean(axis=0)"))
    assert "wrong" in text.splitlines()[0] and "1/B x the right array" in text
    blank = find("9").file().replace("logits):\n    ...", "logits):\n    return x", 1)
    _, text = check_file(tmp_path, 9, blank)
    assert text.count("bernoulli_log_prob_backward") == 1 and ". bernoulli_log_prob_backward" in text


def test_array_of_wrong_shape_is_reported_although_a_blank_is_unfilled(tmp_path):
    source = TWO_PATHS.replace("ROWS", "d_z_px.reshape(L, B, J)").replace("d_mu, d_log_var = rep", "_, d_log_var_z = rep")
    lines = "    d_mu_z, d_mu, d_log_var = d_z[:, 0], 2 * d_mu_kl, ...\n    return d_z, d_mu, d_log_var"
    source = source.replace("    return d_z, d_mu + d_mu_kl, d_log_var + d_log_var_kl", lines)
    _, text = check_file(tmp_path, 12, source)
    assert "x two_paths, d_mu_z\n      has shape (3, 2), that is (L, J) instead of (5, 2), that is (B, J)" in text
    assert "equals 2 x d_mu_kl" in text and ". two_paths, d_log_var" in text


def test_numpy_warning_is_printed_with_the_line_of_the_file(tmp_path):
    _, text = check_file(tmp_path, 2, "def tanh_backward(d_h, h):\n    return np.sqrt(-1 - h * h)")
    assert "NumPy warned: line 4: invalid value encountered in sqrt" in text


def test_exception_is_reported_with_its_line_and_array_shapes(tmp_path):
    _, text = check_file(tmp_path, 1,
                         "def affine_backward(d_y, x, weight, bias):\n    d_x = d_y @ weight  # no\n"
                         "    d_weight = x.T @ d_y\n    d_bias = d_x.sum(axis=0)\n    return d_x, d_weight, d_bias\n")
    assert "In `d_x = d_y @ weight`, d_y is (5, 3), weight is (7, 3)" in text and "gufunc" not in text
    assert "+ affine_backward, d_weight" in text and ". affine_backward, d_bias\n      uses d_x, which failed" in text


def test_verdict_mentions_only_variables_of_the_learners_code():
    source = "def log_sum_exp(a, axis=0):\n    c = a.max(axis, keepdims=True)\n" \
             "    return np.log(np.exp(a - c).sum(axis)) + axis"
    text = printed_lines(4, source)
    assert "wrong" in text and "top" not in text
    source = "def step(self, gradient):\n    g = gradient.flat\n" \
             "    self.params.flat[...] -= self.lr * g / (np.abs(g) + 2 * self.tiny)"
    text = printed_lines(14, source)
    assert "floor" not in text and "sum_2" not in text


def test_message_about_an_additional_sum_mentions_the_axis():
    text = printed_lines(7, "def kl_standard_normal(mu, log_var):\n"
                   "    return ((mu**2 + np.exp(log_var) - 1 - log_var) / 2).sum(1)")  # fmt: skip
    assert "that is (B,)" in text and "you also took the sum over J" in text
