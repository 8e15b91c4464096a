"""The doctor never calls a right implementation wrong, and it names every planted fault.

The doctor's findings in public code and in the bugs of the museum agree with the recorded findings.
"""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.doctor import bound, examine
from minivae.doctor.calls import Call
from minivae.museum.exhibits import bugs, find
from minivae.rosetta import Convention
from tests.doctor import fresh, museum
from tests.doctor.examined import report_of
from tests.doctor.public import FINE, PUBLIC
from tests.doctor.styles import STYLES


def keys_of(report):
    return {finding.key for finding in report.findings if finding.verdict != "is"}


@pytest.mark.parametrize("name", [*fresh.RIGHT, *STYLES])
def test_correct_implementation_is_never_called_wrong(name):
    assert report_of((fresh.RIGHT | STYLES)[name]).wrong == []
    assert len(fresh.RIGHT | STYLES) == len(fresh.RIGHT) + len(STYLES)


@pytest.mark.parametrize("name", fresh.FAULTY)
def test_planted_fault_is_named_by_the_doctor(name):
    functions, *keys = fresh.FAULTY[name]
    found = [finding for finding in report_of(functions).findings if finding.verdict != "is"]
    for key in keys:
        assert any(key == finding.key or key in finding.words for finding in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLIC)
def test_public_code_gets_exactly_its_recorded_findings(name):
    functions, keys = PUBLIC[name]
    assert keys_of(report_of(functions)) - FINE == set(keys)


# The expected findings for each exhibit of the museum

GRADIENT = {"gradient"}
VISIBLE = {
    "exp-log-var": {"sampler-against-kl"}, "noise-forgotten": {"noise-forgotten"}, "noise-too-small": {"noise-scaled"},
    "noise-shared": {"noise-shared"}, "kl-log-var-sign": {"kl-coefficient"}, "log-var-squared": {"log-var-squared"},
    "log-sigma-squared": {"log-sigma-squared"}, "minus-one-dropped": {"minus-one-dropped"}, "divided-by-log-var": GRADIENT,
    "kl-mean-over-latents": {"kl-mean-over-latents", "hidden-beta-J"}, "kl-sum-over-batch": {"hidden-beta-B"},
    "mean-over-pixels": {"hidden-beta-D"}, "kl-wrong-sign": {"kl-wrong-sign"}, "validated-with-another-weight": GRADIENT,
    "clipped-probabilities": {"clipped-probabilities"}, "naive-softplus": {"naive-softplus"},
    "softened-sigma": {"unknown-cost", "gradient"}, "noise-drawn-twice": GRADIENT, "noise-not-in-gradient": GRADIENT,
    "half-forgotten": GRADIENT, "kl-pushes-away": GRADIENT, "sigmoid-on-a-linear-head": GRADIENT,
    "path-through-sigma-missing": GRADIENT, "decoders-gradient-in-the-encoder": GRADIENT, "weights-not-held-fixed": GRADIENT,
    "activation-skipped": GRADIENT, "before-the-activation": GRADIENT,
    "mean-declared-sum-differentiated": {"constant", "hidden-beta-D", "gradient"},
    "weights-upside-down": {"upside-down", "gradient"}, "no-max-subtracted": {"no-max-subtracted"},
}  # fmt: skip
OUTSIDE = "it changes a function that the doctor is not given"
INVISIBLE = {
    "sigma-or-variance": "it changes draws from p(x|z)", "minus-one-once": "it changes the KL of full covariances",
    "prior-too-wide": "it changes the sampled KL, a function of z", "weighted-bound": "it changes a report, not the loss",
    "grey-bytes": "it is in the data", "mu-plus-sigma": "a wrong mean of the encoder looks like a right one",
    "log-k-forgotten": OUTSIDE, "mean-of-logs": OUTSIDE, "nll-of-the-wrong-sign": OUTSIDE, "more-draws-than-asked": OUTSIDE,
    "adam-counts-epochs": OUTSIDE, "momentum-forgotten": OUTSIDE, "kl-logged-negative": OUTSIDE, "small-last-batch": OUTSIDE,
    "random-state-not-restored": OUTSIDE, "held-out-is-training": OUTSIDE, "trained-on-all": OUTSIDE,
    "labels-of-labels": OUTSIDE,
}  # fmt: skip


def test_every_museum_exhibit_has_a_recorded_verdict():
    assert {bug.name for bug in bugs()} == {*VISIBLE, *INVISIBLE} and not {*VISIBLE} & {*INVISIBLE}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*VISIBLE, *(name for name in INVISIBLE if INVISIBLE[name] != OUTSIDE)])
def test_museum_exhibit_gets_exactly_its_recorded_findings(name):
    bug = find(name)
    unchanged = {"beta"} if "beta" in bug.settings else set()            # reported for the unchanged model, too
    assert keys_of(examine(**museum.callables(bug.changes, **bug.settings))) == VISIBLE.get(name, set()) | unchanged


def test_doctor_finds_nothing_unusual_or_wrong_in_unchanged_minivae():
    assert keys_of(examine(**museum.callables(()))) == set()


# The doctor finds the reductions and weights of a random loss

REDUCTIONS = st.sampled_from(["sum", "mean"])


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["mse", "bce"]), REDUCTIONS, REDUCTIONS, REDUCTIONS, REDUCTIONS,
    st.sampled_from([0.5, 1.0, 255.0, 1e-3]), st.sampled_from([0.0, 1.0, 0.00025, 4.0]),
)  # fmt: skip
def test_doctor_finds_the_convention_of_a_random_loss(cost, features, batch, latents, kl_batch, u, v):
    reduce = {"sum": np.sum, "mean": np.mean}

    def loss(x, output, mu, log_var):
        r = (x - output) ** 2 if cost == "mse" else fresh.bce(x, output)
        kl = (mu**2 + np.exp(log_var) - 1 - log_var) / 2
        return u * reduce[batch](reduce[features](r, axis=1)) + v * reduce[kl_batch](reduce[latents](kl, axis=1))

    found = Convention(**examine(loss=loss, features=784, latent=20, batch=64).rosetta["convention"])
    if v == 0:
        latents, kl_batch = "sum", "mean"
    sigma = None
    if cost == "mse" and found.reconstruction == "gaussian":
        pytest.fail("a squared error without a normaliser is not a density")
    assert found == Convention(cost, sigma, features, batch, latents, kl_batch, u, v, 784, 20, 64)


# Sizes and precision


def test_doctor_finds_the_right_beta_of_a_float32_loss_for_784_features():
    def loss(x, output, mu, log_var):
        x, output, mu, log_var = (a.astype(np.float32) for a in (x, output, mu, log_var))
        if x.shape[1] != 784:
            raise ValueError("784 pixels")
        return fresh.Tensor(np.float32(0.5) * ((x - output) ** 2).sum(1).mean() + fresh.kl_rows(mu, log_var).mean())

    found = examine(loss=loss, features=784, latent=20)
    assert found.wrong == [] and found.rosetta["reading"]["beta"] == pytest.approx(1)


def test_loss_with_kl_weight_0_00025_is_translated_for_the_given_sizes():
    report = examine(**fresh.RIGHT["mse-mean-0.00025"], features=3 * 64 * 64, latent=128)
    assert report.rosetta["reading"]["beta"] == pytest.approx(1.536)
    assert report.rosetta["elbo"]["sigma"] == pytest.approx(1.2394, abs=1e-4)


def test_formula_findings_have_equal_measured_and_expected_numbers():
    for name in ("bce-sums", "mse-mean-0.00025", "softplus", "gaussian-0.1"):
        formula = next(found for found in report_of(fresh.RIGHT[name]).findings if found.key == "formula")
        assert formula.measured == pytest.approx(formula.expected, rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
def test_another_seed_gives_the_same_findings(seed):
    for functions, *_ in (fresh.FAULTY["uniform"], fresh.FAULTY["mu-missing"], fresh.FAULTY["gradient-no-half"]):
        assert keys_of(examine(seed=seed, **functions)) == keys_of(report_of(functions))


def test_doctor_restores_the_global_random_state():
    np.random.seed(5)
    np.random.standard_normal()                             # NumPy draws two normal numbers and now caches the second
    before = np.random.get_state(legacy=False)
    examine(**fresh.RIGHT["global-noise"])
    after = np.random.get_state(legacy=False)
    assert (after["state"].pop("key") == before["state"].pop("key")).all() and after == before and after["has_gauss"]
    report = examine(loss=lambda x, o, m, v: np.random.rand())
    assert keys_of(report) >= {"noise-inside"} and report.wrong == []


@pytest.mark.parametrize(
    "functions, words",
    [
        ({}, "at least one of"),
        ({"los": abs}, "must be among"),
        ({"loss": 3}, "loss must be a function"),
        ({"loss": lambda x, o, m, v: None}, "must return numbers"),
        ({"loss": lambda x, o, m, v: {"a": 1.0}}, "the key 'loss'"),
        ({"loss": lambda x, o, m, v: x}, "one number, or one for each row"),
        ({"loss": lambda x: 0.0}, "takes 1 positional argument"),
        ({"kl": fresh.kl_rows, "sample": lambda m, v, eps: m[0]}, "the shape of mu"),
        ({"loss": fresh.tied, "gradient": lambda *a: a[0]}, "must return arrays for output, mu and log_var"),
        ({"loss": fresh.tied, "gradient": lambda x, o, m, v: (o, m[:1], v)}, "the array for mu must have the shape (3, 5)"),
        ({"iw_bound": lambda w: (fresh.lme(w), fresh.lme(w))}, "got several parts"),
        (fresh.with_gradient(lambda gradient, x: {"W": np.ones(3)}), "params['W'] differs"),
        ({"kl": fresh.kl_rows, "latent": 2.5}, "latent must be a whole number"),
        ({"iw_bound": fresh.lme, "axis": "rows"}, "axis must be 0 or 1"),
        ({"loss": lambda x, o, m, v: "1.0"}, "loss must return numbers; got str"),
        ({"loss": lambda x, o, m, v: {}}, "got an empty dict"),
        ({"loss": lambda x, o, m, v: ()}, "got nothing"),
        ({"kl": lambda m, v: m[:0]}, "kl must return a number; got nothing"),
        ({"kl": lambda m, v: [[1.0], [1.0, 2.0]]}, "got lists of different lengths"),
        ({"encode": lambda x: {}, "features": 6}, "encode must return an array; got nothing"),
        ({"decode": lambda z: z[:, :0], "latent": 2}, "decode must return an array; got nothing"),
        ({"encode": lambda x: 1.0, "features": 6}, "encode must return an array with one row for each row of x"),
        ({"decode": lambda z: z[:2], "latent": 2}, "decode must return an array with one row for each row of z"),
        ({"loss_and_gradient": lambda p, x, e: 1.0, "params": np.ones(3), "features": 4, "latent": 2},
         "must return (loss, gradient)"),
        ({**fresh.whole(fresh.right_draw), "encode": lambda x: (x,)}, "encode must return two arrays"),
        ({**fresh.whole(fresh.right_draw), "encode": lambda x: x}, "encode must return two arrays"),
        ({**fresh.whole(fresh.right_draw), "x": np.zeros((3, 5))}, "x must be an array of finite numbers, 6 in each row"),
        ({**fresh.whole(fresh.right_draw), "x": [[1], [2, 3]]}, "x must be an array of finite numbers, 6 in each row"),
    ],
)
def test_error_about_an_unusable_function_says_what_is_wrong(functions, words):
    with pytest.raises(ValueError) as error:
        examine(**functions)
    assert words in str(error.value)


# Unusual functions that are measured nevertheless


def one_latent(functions):
    """Return arguments of `examine`: `latent` = 1, and functions that raise ValueError if mu has more than one column."""
    def checked(f):
        @functools.wraps(f)
        def g(m, v, *rest):
            if m.shape[1] != 1:
                raise ValueError("needs one latent dimension")
            return f(m, v, *rest)

        return g

    return {name: checked(f) for name, f in functions.items()} | {"latent": 1}


def thousand_rows(m, v):
    if len(m) != 1000:
        raise ValueError("needs 1,000 rows")
    return fresh.kl_rows(m, v)


def named(report):
    return {(finding.about, finding.key, finding.verdict) for finding in report.findings}


@pytest.mark.parametrize("sample", [fresh.right_draw, lambda m, v: fresh.right_draw(m, v, np.random.normal(size=m.shape))])
def test_doctor_measures_functions_that_accept_only_one_latent_dimension(sample):
    report = examine(**one_latent({"kl": fresh.kl_rows, "sample": sample}))
    right = {("kl", "formula", "is"), ("sample", "same-gaussian", "is"), ("kl", "size-refused", "cannot tell")}
    assert right <= named(report)
    assert report.wrong == []


def test_kl_that_is_constant_at_all_measured_points_is_reported_as_unknown():
    named = {finding.key: finding.verdict for finding in report_of(STYLES["free-bits-8"]).findings}
    assert named["unknown-kl"] == "cannot tell" and "free-bits" not in named


def test_prior_of_a_kl_is_named_with_its_mean_and_variance():
    [found] = [finding for finding in report_of(PUBLIC["topic-prior-mean"][0]).findings if finding.key == "other-prior"]
    assert "N(0.3, 0.98)" in found.words and found.measured == pytest.approx(0.98)


def test_normaliser_without_log_sigma_is_reported():
    def log_px(x, o):
        return -(((x - o) ** 2) / 0.08 + np.log(2 * np.pi) / 2).sum(1)

    [found] = [finding for finding in examine(log_px_given_z=log_px).findings if finding.key == "half-normaliser"]
    assert "contains only log 2 pi" in found.words and found.expected == pytest.approx(found.measured - 21 * np.log(0.2))


def test_reconstruction_multiplied_by_d_has_weight_50_for_50_features():
    def loss(x, o, m, v):
        return (x.shape[1] * fresh.stable(x, o).sum(1) + fresh.kl_rows(m, v)).mean()

    convention = examine(loss=loss, features=50).rosetta["convention"]
    assert [convention[name] for name in ("reduce", "recon_weight", "kl_weight")] == ["sum", 50, 1]


def two_latents(kl):
    """Return a model with two latent dimensions whose loss contains the given KL."""
    decoder = np.random.default_rng(5).normal(size=(2, 6))
    return fresh.whole(fresh.right_draw, lambda x, o, m, v: (fresh.stable(x, o).sum(1) + kl(m, v)).mean()) | {
        "encode": lambda x: (0.2 * (x - 0.5) @ decoder.T, np.full((len(x), 2), -1.0)),
        "decode": lambda z: z @ decoder, "latent": 2,
    }  # fmt: skip


def bound_of(functions):
    return [finding for finding in examine(**functions).findings if finding.key == "bound"]


def test_finding_about_the_bound_ignores_a_missing_minus_one_in_the_kl():
    [right] = bound_of(two_latents(fresh.kl_rows))
    [dropped] = bound_of(two_latents(lambda m, v: (m**2 + np.exp(v) - v).mean(1)))    # for two latents, mean = sum / 2
    assert right.verdict == dropped.verdict == "is"
    assert [dropped.measured, dropped.expected] == pytest.approx([right.measured, right.expected])


def sigma_draw(mu, std, eps):
    return mu + std * eps


def named_loss(x, output, mu, log_var):
    return (fresh.stable(x, output).sum(1) + fresh.kl_rows(mu, log_var)).mean()


WRONG_DRAW, RIGHT_BOUND = "no: sample does not draw z from the Gaussian of the KL. ", "yes: minus the loss is the ELBO"


@pytest.mark.parametrize(
    "functions, words",
    [
        (fresh.whole(fresh.right_draw), RIGHT_BOUND),
        (fresh.FAULTY["bound-exp-log-var"][0], f"{WRONG_DRAW}The formula alone says {RIGHT_BOUND}"),
        (fresh.whole(lambda m, v, eps: m), f"{WRONG_DRAW}The formula alone says {RIGHT_BOUND}"),
        (fresh.whole(lambda m, v, eps: m + np.exp(v / 2) * eps[:1]), RIGHT_BOUND),
        (fresh.whole(sigma_draw, named_loss) | {"encode": lambda x: (0.2 * (x - 0.5) @ fresh.DECODER.T, 0.1 + 0 * x[:, :1])},
         f"no: minus the loss was measured above log p(x). The formula alone says {RIGHT_BOUND}"),
        ({"loss": lambda x, o, m, v: fresh.stable(x, o).sum(1).mean(), "sample": lambda m, v, eps: m},
         "no: without a KL this is the loss of a plain autoencoder"),
    ],
)  # fmt: skip
def test_report_says_whether_loss_and_sampler_together_give_a_bound(functions, words):
    report = examine(**functions)
    assert report.rosetta["bound_in_words"] == words and f"a bound   {words}\n" in str(report)


@pytest.mark.parametrize(
    "log_px",
    [lambda x, o: -fresh.stable(x, o).mean(1), lambda x, o: fresh.stable(x, o).sum(1), lambda x, o: np.cos(x * o).sum(1),
     lambda x, o: -2 * fresh.stable(x, o).sum(1)],
)  # fmt: skip
def test_loss_is_not_compared_with_a_density_that_is_not_normalised(log_px):
    assert bound_of(fresh.whole(fresh.right_draw) | {"log_px_given_z": log_px}) == []


def all_rows(x, o):
    return -fresh.stable(x, o).sum()


@pytest.mark.parametrize("log_px", [lambda x, o: -fresh.stable(x, o), all_rows])
def test_bound_does_not_depend_on_the_shape_that_log_px_returns(log_px):
    [right] = bound_of(fresh.whole(fresh.right_draw))
    [found] = bound_of(fresh.whole(fresh.right_draw) | {"log_px_given_z": log_px})
    assert [found.measured, found.expected] == pytest.approx([right.measured, right.expected])


def test_bound_is_the_same_if_the_loss_is_multiplied_by_a_factor():
    [right] = bound_of(fresh.whole(fresh.right_draw))
    [found] = bound_of(fresh.whole(fresh.right_draw, lambda *a: -3 * named_loss(*a)))
    assert [found.measured, found.expected] == pytest.approx([right.measured, right.expected])


def test_bound_is_computed_for_the_data_x_of_the_examined_file():
    x = np.array([[0, 1, 1, 0, 0, 1], [1, 1, 1, 0, 0, 0]])
    [found] = bound_of(fresh.whole(fresh.right_draw) | {"x": x.ravel()})
    assert found.verdict == "is" and "for each of 2 data points" in found.words
    z = np.linspace(-9, 9, 2001)[:, None]
    log_px_given_z = -fresh.stable(x[:, None], z @ fresh.DECODER).sum(axis=2)
    log_joint = log_px_given_z - z[:, 0] ** 2 / 2 - np.log(2 * np.pi) / 2
    assert np.isclose(np.log(np.exp(log_joint).sum(axis=1) * 0.009), found.expected).sum() == 1


def test_loss_with_half_the_kl_is_not_compared_with_log_px():
    def loss(x, o, m, v):
        return (fresh.stable(x, o).sum(1) + fresh.kl_rows(m, v) / 2).mean()

    [found] = bound_of(fresh.whole(fresh.right_draw, loss))
    assert (found.verdict, found.measured, found.expected) == ("cannot tell", 0.5, 1) and "beta is below 1" in found.words


def test_loss_is_not_compared_with_log_px_if_integrals_do_not_converge():
    sharp = {"decode": lambda z: 4000 * np.sin(40 * z) @ fresh.DECODER}
    [found] = bound_of(fresh.whole(fresh.right_draw) | sharp)
    assert found.verdict == "cannot tell" and "did not converge" in found.words


@pytest.mark.parametrize("data", [[[1], [2, 3]], "text", np.nan])
def test_invalid_data_are_refused_also_for_a_single_feature(data):
    with pytest.raises(ValueError, match="1 in each row"):
        bound.rows_of_data(data, 1)


def test_kl_that_accepts_only_one_batch_size_is_measured_at_that_size():
    assert ("kl", "formula", "is") in named(examine(kl=thousand_rows, batch=1000))


def test_gradient_in_a_scalar_parameter_is_compared_with_finite_differences():
    def squares(p, x, eps):
        return p["a"] ** 2 + (p["b"] ** 2).sum(), {"a": 2 * p["a"], "b": 2.5 * p["b"]}

    report = examine(loss_and_gradient=squares, params={"a": 0.5, "b": np.ones(3)}, features=4, latent=2)
    assert [finding.verdict for finding in report.findings] == ["is", "wrong"]
    assert "1.25 x the right array" in report.wrong[0].words


def test_gradient_in_a_list_of_parameters_is_compared_by_position():
    def squares(p, x, eps):
        return (p[0] ** 2).sum() + (p[1] ** 2).sum(), [2 * p[0], 3 * p[1]]

    report = examine(loss_and_gradient=squares, params=[np.ones(2), np.ones(3)], features=4, latent=2)
    assert [finding.verdict for finding in report.findings] == ["is", "wrong"]
    assert "the gradient in params[1] " in report.wrong[0].words


def test_noise_inside_a_network_or_model_is_reported():
    model = fresh.linear_vae()

    def loss_and_gradient(params, x, eps):
        return model["loss_and_gradient"](params, x, np.random.standard_normal(eps.shape))

    assert named(examine(**model | {"loss_and_gradient": loss_and_gradient})) == {
        ("loss_and_gradient", "noise-inside", "cannot tell")}
    decode = {"decode": lambda z: np.repeat(z, 3, axis=1) + np.random.standard_normal((len(z), 6)), "latent": 2}
    assert named(examine(**decode)) == {("decode", "not-repeatable", "unusual")}


def test_doctor_reports_a_kl_that_deviates_from_its_formula_near_the_prior():
    def doubled(mu, log_var):
        total = fresh.kl_rows(mu, log_var).sum()
        return 2 * total if total < 1 else total

    [found] = [finding for finding in examine(kl=doubled).findings if finding.key == "unknown-kl"]
    assert found.measured == pytest.approx(2 * found.expected) and 0 < found.expected < 1


def test_clipped_probabilities_are_reported_once():
    keys = [finding.key for finding in report_of(fresh.RIGHT["bce-clipped"]).findings]
    assert keys.count("clipped-probabilities") == 1


def test_error_in_the_user_function_is_reported_with_file_and_line():
    def kl(mu, log_var):
        raise ZeroDivisionError("a reason")

    line = kl.__code__.co_firstlineno + 1
    with pytest.raises(ValueError, match=f"test_doctor.py, line {line}, in kl: ZeroDivisionError: a reason"):
        examine(kl=kl)


def test_constant_kl_is_reported_as_wrong():
    report = examine(kl=lambda m, v: 1.5)
    assert [finding.key for finding in report.wrong] == ["no-kl"] and report.wrong[0].measured == 1.5


def test_doctor_neither_accepts_nor_rejects_a_kl_near_the_largest_float():
    report = examine(kl=lambda m, v: 1e308 * m.sum())
    assert report.wrong == [] and not {("kl", "formula", "is"), ("kl", "no-kl", "wrong")} & named(report)


def one_nan(f):
    """Wrap f so that the first entry, or the first row, of its result is NaN."""
    @functools.wraps(f)
    def g(*arguments):
        result = f(*arguments)
        first = result[0] if isinstance(result, tuple) else result
        first[0] = np.nan
        return result

    return g


@pytest.mark.parametrize(
    "name, function",
    [
        ("loss", lambda x, o, m, v: fresh.kl_rows(m, v)),
        ("kl", fresh.kl_rows),
        ("sample", fresh.right_draw),
        ("sample", lambda m, v: m + np.exp(v / 2) * np.random.normal(size=m.shape)),
        ("encode", lambda x: (x[:, :2].copy(), x[:, 1:3])),
        ("decode", lambda z: np.repeat(z, 6, axis=1)),
        ("iw_bound", lambda w: w.mean(0)),
    ],
)
def test_nan_in_part_of_a_result_is_reported_only_as_not_finite(name, function):
    report = examine(**{"kl": fresh.kl_rows, "features": 6, "latent": 2} | {name: one_nan(function)})
    of_it = [finding for finding in report.findings if finding.about == name and finding.verdict != "is"]
    assert [(finding.key, finding.verdict) for finding in of_it] == [("not-finite", "cannot tell")]
    assert of_it[0].measured >= 1 and of_it[0].expected == 0


def test_nan_in_a_gradient_is_reported_as_wrong():
    def gradient(x, o, m, v):
        in_mu = m / len(m)
        in_mu[0] = np.nan
        return fresh.tied_gradient(x, o, m, v)[0], in_mu, fresh.tied_gradient(x, o, m, v)[2]

    wrong = examine(loss=fresh.tied, gradient=gradient).wrong
    assert len(wrong) == 1 and "the gradient in mu" in wrong[0].words and "NaN or infinite entries" in wrong[0].words


def test_changed_argument_is_reported_with_its_entry_before_and_after_the_call():
    def changed(m, v):
        m[1, 1] += 1
        return fresh.kl_rows(m, v)

    wrong = examine(kl=changed).wrong[0]
    assert wrong.key == "changes-argument" and wrong.measured == pytest.approx(wrong.expected + 1)


OUTPUT, MU, LOG_VAR = "the gradient in output", "the gradient in mu", "the gradient in log_var"


@pytest.mark.parametrize(
    "which, change, factor",
    [
        (0, lambda g, x, o, m, v: g * o * (1 - o), "o (1 - o)"), (0, lambda g, x, o, m, v: g * (x - o), "(x - o)"),
        (0, lambda g, x, o, m, v: g / fresh.sigmoid(o), "1 / (sigmoid(o))"), (0, lambda g, x, o, m, v: g * x, "x"),
        (0, lambda g, x, o, m, v: g * (1 - o * o), "1 - o^2"), (0, lambda g, x, o, m, v: g / o / 2, "1/2 1 / (o)"),
        (0, lambda g, x, o, m, v: g * fresh.sigmoid(o) * (1 - fresh.sigmoid(o)), "s (1 - s), s = sigmoid(o)"),
        (1, lambda g, x, o, m, v: g * np.exp(v / 2), "sigma"), (1, lambda g, x, o, m, v: 2 * g * m, "2 mu"),
        (2, lambda g, x, o, m, v: g / np.exp(v), "1 / (exp(log_var))"), (2, lambda g, x, o, m, v: g * v, "log_var"),
        (2, lambda g, x, o, m, v: g * fresh.sigmoid(v) * (1 - fresh.sigmoid(v)), "s (1 - s), s = sigmoid(log_var)"),
    ],
)  # fmt: skip
def test_extra_factor_in_a_gradient_is_named(which, change, factor):
    def gradient(*arguments):
        right = list(fresh.tied_gradient(*arguments))
        right[which] = change(right[which], *arguments)
        return right

    [wrong] = examine(loss=fresh.tied, gradient=gradient).wrong
    assert wrong.words.startswith((OUTPUT, MU, LOG_VAR)[which])
    assert wrong.words.endswith(f"what you return equals the right array x {factor}")


def test_exchanged_gradients_of_mu_and_log_var_are_named():
    def gradient(*arguments):
        in_output, in_mu, in_log_var = fresh.tied_gradient(*arguments)
        return in_output, in_log_var, in_mu

    wrong = [finding.words for finding in examine(loss=fresh.tied, gradient=gradient).wrong]
    assert [words.partition(" is not that of your loss; ")[::2] for words in wrong] == [
        (MU, f"what you return equals {LOG_VAR}"), (LOG_VAR, f"what you return equals {MU}"),
    ]  # fmt: skip


def test_huber_loss_in_single_precision_is_named_with_its_delta():
    def loss(x, o, m, v):
        x, o, m, v = (a.astype(np.float32) for a in (x, o, m, v))
        r = np.abs(x - o)
        huber = np.where(r < 3, r**2 / 2, 3 * r - np.float32(4.5)).sum(1)
        return np.mean(huber + fresh.kl_rows(m, v))

    [found] = [finding for finding in examine(loss=loss).findings if finding.key == "huber"]
    assert "quadratic up to |x - o| = 3, linear beyond" in found.words


def test_wrong_column_of_a_weight_gradient_is_named():
    def change(gradient, x):
        wrong = gradient["W"].copy()
        wrong[:, 2] *= 1.5
        return {"W": wrong}

    [wrong] = examine(**fresh.with_gradient(change)).wrong
    assert wrong.words.endswith("it is right, except for column 2 (counted from 0)")


def test_loss_written_for_784_features_is_translated_for_784_features():
    convention = report_of(fresh.RIGHT["bce-784"]).rosetta["convention"]
    assert [convention[name] for name in ("features", "recon_weight", "kl_weight")] == [784, 1, 1]


def test_doctor_reports_a_constant_kl_where_large_sigma_is_clipped():
    def kl(mu, sigma):
        sigma = np.minimum(sigma, 3.5)
        return (0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)).sum(1)

    [clip] = [finding for finding in examine(kl=kl).findings if finding.key == "clipped-log-var"]
    assert "the KL is constant where the second argument exceeds 4" in clip.words
    assert clip.measured < clip.expected


def test_doctor_reports_a_constant_kl_where_small_log_var_is_clipped():
    report = examine(kl=lambda m, v: fresh.kl_rows(m, np.maximum(v, -9)))
    [clip] = [finding for finding in report.findings if finding.key == "clipped-log-var"]
    assert "the KL is constant where the second argument is below -10" in clip.words


def test_kl_is_not_called_constant_if_it_has_no_known_formula():
    """This KL sets every negative log_var to 0. Therefore it agrees with no known formula near the prior."""
    report = examine(kl=lambda m, v: fresh.kl_rows(m, np.maximum(v, 0)))
    assert [finding.words for finding in report.findings if finding.key == "formula"] == ["a function of mu and log_var"]


@pytest.mark.parametrize("sign, instead", [(1, "bce - log_C"), (-1, "log_C - bce")])
def test_wrong_sign_of_the_bernoulli_normaliser_is_reported_for_losses_and_elbos(sign, instead):
    def loss(x, o, m, v):
        log_c = np.log(2 * np.arctanh(1 - 2 * o) / (1 - 2 * o))
        return sign * ((fresh.bce(x, o) + log_c).sum(1) + fresh.kl_rows(m, v)).mean()

    [wrong] = [finding for finding in examine(loss=loss).wrong if finding.key == "normaliser-sign"]
    assert wrong.instead == instead and (wrong.measured, wrong.expected) == pytest.approx((sign, -sign))


@pytest.mark.parametrize("sign, how, instead", [(1, "the loss falls if", "reconstruction + kl"),
                                                (-1, "like an ELBO, but rises if", "log_px_given_z - kl")])  # fmt: skip
def test_wrong_sign_of_the_kl_is_described_for_losses_and_elbos(sign, how, instead):
    [wrong] = examine(loss=lambda x, o, m, v: sign * (fresh.stable(x, o).sum(1) - fresh.kl_rows(m, v)).mean()).wrong
    assert how in wrong.words and wrong.instead == instead


def test_doctor_distinguishes_the_importance_weighted_bound_from_its_negative():
    words = [examine(iw_bound=f).findings[0].words for f in (fresh.lme_rows, lambda w: -fresh.lme_rows(w))]
    assert words[0].endswith(": the importance-weighted bound")
    assert words[1].endswith(": minus the importance-weighted bound")


def test_doctor_cannot_tell_if_user_code_converts_log_var_into_log_sigma():
    def log_sigma_kl(mu, log_sigma):
        return (0.5 * (mu**2 + np.exp(2 * log_sigma) - 1) - log_sigma).sum(1)

    def loss(x, output, mu, log_var):
        return (fresh.bce(x, output).sum(1) + fresh.kl_rows(mu, log_var)).mean()

    [found] = [finding for finding in examine(loss=loss, kl=log_sigma_kl).findings if finding.key == "two-readings"]
    assert found.verdict == "cannot tell" and found.expected == pytest.approx(np.exp(0.65))


def test_function_counts_as_double_precision_if_float32_cannot_represent_a_result():
    call = Call("kl", lambda a: a)
    call.raw(np.array([0.5, 0.25]))
    assert call.single
    call.raw(np.array([0.5, 0.1]))
    assert not call.single


def test_shown_bound_and_expected_value_belong_to_the_same_data_point():
    [found] = examine(iw_bound=fresh.lme_rows).findings
    assert found.key == "log-mean-exp" and found.verdict == "is" and found.measured == pytest.approx(found.expected)


def test_finding_about_negative_decoder_values_shows_the_smallest_value():
    bernoulli = fresh.RIGHT["bce-sums"]
    [wrong] = examine(decode=lambda z: np.minimum(z[:, :1], 1) * np.ones(6), latent=2, **bernoulli).wrong
    assert wrong.key == "not-probabilities" and wrong.measured < 0 and wrong.expected == 0
