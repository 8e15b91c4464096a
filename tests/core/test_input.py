"""Invalid input is refused with a message; valid input gives the same results in every type and memory layout.

A refusal is a ValueError. Its message has four parts: argument, rule, value and remedy; `refused` checks all four.
"""

import warnings

import numpy as np
import pytest

from minivae.evidence import lower_bounds
from minivae.figures import kl_per_dimension
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.params import Params
from minivae.vae import VAE
from tests.helpers.numeric import arrays_in, close, every_likelihood, random_problem, random_vae, refused


def coins():
    return np.random.default_rng(15).integers(0, 2, (4, 3)).astype(float)


def spoilt(value):
    x = coins()
    x[2, 1] = value
    return x


BAD_DATA = {
    "a vector": (np.zeros(3), "of shape (any, 3)", "shape (3,)", "Reshape"),
    "one feature": (np.zeros((4, 1)), "of shape (any, 3)", "shape (4, 1)", "Reshape"),
    "a feature too many": (np.zeros((4, 4)), "of shape (any, 3)", "shape (4, 4)", "Reshape"),
    "images": (np.zeros((4, 3, 1)), "of shape (any, 3)", "shape (4, 3, 1)", "Reshape"),
    "a number": (0.0, "of shape (any, 3)", "shape ()", "Reshape"),
    "no rows": (np.zeros((0, 3)), "non-empty", "shape (0, 3)", "at least one row"),
    "an empty list": ([], "of shape (any, 3)", "shape (0,)", "Reshape"),
    "NaN": (spoilt(np.nan), "finite", "nan at index (2, 1)", "Find where"),
    "infinity": (spoilt(np.inf), "finite", "inf at index (2, 1)", "Find where"),
    "minus infinity": (spoilt(-np.inf), "finite", "-inf at index (2, 1)", "Find where"),
    "half-precision NaN": (spoilt(np.nan).astype(np.float16), "finite", "nan at index (2, 1)", "Find where"),
    "masked": (np.ma.masked_equal(coins(), 1), "a plain array", "a masked array", "Fill"),
    "masked rows": ([*np.ma.masked_equal(coins(), 1)], "a plain array", "a masked array", "Fill"),
    "nothing masked": (np.ma.array(coins()), "a plain array", "a masked array", "Fill"),
    "objects": (coins().astype(object), "real numbers", "dtype object", "astype"),
    "None": (None, "real numbers", "dtype object", "missing values"),
    "complex": (coins() + 0j, "real numbers", "dtype complex128", "abs()"),
    "strings": (coins().astype(str), "real numbers", "dtype <U", "astype"),
    "bytes": (coins().astype(bytes), "real numbers", "dtype |S", "astype"),
    "dates": (coins().astype("datetime64[s]"), "real numbers", "dtype datetime64", "astype"),
    "ragged": ([[0, 1, 0], [1, 1]], "shape (any, 3)", "unequal length", "same length"),
    "a dict": ({"x": 1}, "real numbers", "dtype object", "array of numbers"),
}
METHODS = {
    "loss": lambda vae, x: vae.loss(x, np.zeros((1, 4, 2))),
    "gradient": lambda vae, x: vae.gradient(x, np.zeros((1, 4, 2))),
    "elbo": lambda vae, x: vae.elbo(x, np.zeros((1, 4, 2))),
    "encode": lambda vae, x: vae.encode(x),
}


@every_likelihood
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad, rule, got, remedy", BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_are_refused_by_the_methods_loss_gradient_elbo_and_encode(likelihood, method, bad, rule, got, remedy):
    vae = random_vae(np.random.default_rng(0), likelihood, features=3)
    refused(lambda: METHODS[method](vae, bad), "x", rule, got, remedy)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "likelihood, value, rule, got, remedy",
    [
        (Bernoulli(), 255, "within 0..1", "0 to 255", "Divide by 255."),
        (Bernoulli(), 127, "within 0..1", "0 to 127", "counts 0..127: use likelihood=Binomial(127), or divide by 127"),
        (Bernoulli(), 2, "within 0..1", "0 to 2", "counts 0..2: use likelihood=Binomial(2)"),
        (Bernoulli(), 256, "within 0..1", "0 to 256", "Rescale"),
        (Bernoulli(), -0.5, "within 0..1", "-0.5 to 1", "Rescale"),
        (Bernoulli(), 1.0000001, "within 0..1", "0 to 1.0000001", "Rescale"),
        (Binomial(16), 17, "whole numbers 0..16 for Binomial(16)", "0 to 17", "Use Binomial(17)"),
        (Binomial(16), -1, "whole numbers 0..16 for Binomial(16)", "-1 to 1", "counts"),
        (Binomial(16), 0.5, "whole numbers 0..16 for Binomial(16)", "not all whole", "counts"),
    ],
)
def test_data_that_do_not_fit_the_likelihood_are_refused(method, likelihood, value, rule, got, remedy):
    vae = random_vae(np.random.default_rng(0), likelihood, features=3)
    assert {0, 1} == set(np.delete(coins().ravel(), 7))     # `spoilt` replaces entry 7; all other entries are 0 or 1
    for dtype in (np.float64, np.float32) if value % 1 else (np.float64, np.float32, np.int16):
        bad = spoilt(value).astype(dtype)
        refused(lambda bad=bad: METHODS[method](vae, bad), "x", rule, got, remedy)


def test_message_for_negative_numbers_suggests_rescaling_instead_of_division_by_255():
    vae = random_vae(np.random.default_rng(0), features=3)
    refused(lambda: vae.encode(255 * coins() - 1), "x", "within 0..1", "-1.0 to 254.0", "Rescale")


@pytest.mark.parametrize("method", METHODS)
def test_data_too_large_for_the_dtype_of_the_model_are_refused(method):
    vae = random_vae(np.random.default_rng(0), Gaussian(), features=3, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(lambda: METHODS[method](vae, spoilt(1e300)), "x", "range of float32", "beyond", "float64")


def test_message_for_whole_counts_out_of_range_does_not_mention_fractions():
    vae = random_vae(np.random.default_rng(0), Binomial(16), features=3)
    with pytest.raises(ValueError) as info:
        vae.encode(spoilt(17.0))
    assert "not all whole" not in str(info.value)


BAD_NOISE = {
    "one draw without its axis": (np.zeros((4, 2)), "of shape (any, 4, 2)", "shape (4, 2)", "Reshape"),
    "a row too few": (np.zeros((1, 3, 2)), "of shape (any, 4, 2)", "shape (1, 3, 2)", "Reshape"),
    "one row for all": (np.zeros((1, 1, 2)), "of shape (any, 4, 2)", "shape (1, 1, 2)", "Reshape"),
    "a coordinate too many": (np.zeros((1, 4, 3)), "of shape (any, 4, 2)", "shape (1, 4, 3)", "Reshape"),
    "no draws": (np.zeros((0, 4, 2)), "non-empty", "shape (0, 4, 2)", "at least one"),
    "NaN": (np.full((1, 4, 2), np.nan), "finite", "nan at index (0, 0, 0)", "Find where"),
    "None": (None, "real numbers", "dtype object", "array of numbers"),
    "a generator": (np.random.default_rng(0), "real numbers", "dtype object", "array of numbers"),
}


@pytest.mark.parametrize("method", ["loss", "gradient", "elbo"])
@pytest.mark.parametrize("bad, rule, got, remedy", BAD_NOISE.values(), ids=BAD_NOISE)
def test_noise_of_the_wrong_shape_is_refused(method, bad, rule, got, remedy):
    vae = random_vae(np.random.default_rng(0), features=3)
    refused(lambda: getattr(vae, method)(coins(), bad), "eps", rule, got, remedy)


@pytest.mark.parametrize(
    "bad, rule, got, remedy",
    [
        (np.zeros(2), "of shape (any, 2)", "shape (2,)", "Reshape"),
        (np.zeros((4, 3)), "of shape (any, 2)", "shape (4, 3)", "Reshape"),
        (np.zeros((0, 2)), "non-empty", "shape (0, 2)", "at least one"),
        (np.full((1, 2), np.inf), "finite", "inf at index (0, 0)", "Find where"),
        (np.zeros((1, 2), complex), "real numbers", "dtype complex128", "abs()"),
    ],
)
def test_codes_of_the_wrong_shape_are_refused(bad, rule, got, remedy):
    vae = random_vae(np.random.default_rng(0), features=3)
    refused(lambda: vae.decode(bad), "z", rule, got, remedy)
    refused(lambda: vae.sample(np.random.default_rng(0), bad), "z", rule, got, remedy)


NOT_GENERATORS = [None, 0, np.random.RandomState(0), np.random, np.random.default_rng]


@pytest.mark.parametrize("bad", NOT_GENERATORS, ids=lambda bad: type(bad).__name__)
def test_methods_that_draw_random_numbers_accept_only_a_generator(bad):
    vae, deterministic = (random_vae(np.random.default_rng(0), noise=noise) for noise in (True, False))
    for call in (
        lambda: VAE.init(bad, 3),
        lambda: vae.sample(bad, np.zeros((1, 2))),
        lambda: vae.draw_noise(bad, 3),
        lambda: deterministic.draw_noise(bad, 3),
    ):
        refused(call, "rng", "a numpy.random.Generator", type(bad).__name__, "np.random.default_rng(seed)")


BAD_SETTINGS = [
    ("features", 0, "a whole number >= 1", "features=1"),
    ("features", 3.0, "a whole number >= 1", "features=1"),
    ("features", np.zeros((9, 4)), "a whole number >= 1", "features=4"),
    ("features", "3", "a whole number >= 1", "features=1"),
    ("latent", 0, "a whole number >= 1", "latent=1"),
    ("latent", True, "a whole number >= 1", "latent=1"),
    ("latent", None, "a whole number >= 1", "latent=1"),
    ("hidden", 64, "a tuple of layer widths", "hidden=(64,)"),
    ("hidden", "64", "a tuple of layer widths", "hidden=(64,)"),
    ("hidden", b"128", "a tuple of layer widths", "hidden=(128,)"),
    ("hidden", None, "a tuple of layer widths", "hidden=(128,)"),
    ("hidden", (3, 0), "a whole number >= 1", "hidden=(128,)"),
    ("hidden", (2.5,), "a whole number >= 1", "hidden=(128,)"),
    ("beta", -1, "a finite number >= 0", "sign"),
    ("beta", np.nan, "a finite number >= 0", "sign"),
    ("beta", np.inf, "a finite number >= 0", "sign"),
    ("beta", 10**400, "a finite number >= 0", "sign"),
    ("beta", "1", "a finite number >= 0", "sign"),
    ("beta", None, "a finite number >= 0", "sign"),
    ("beta", True, "a finite number >= 0", "sign"),
    ("activation", "gelu", "one of relu, tanh", "spelling"),
    ("activation", "Tanh", "one of relu, tanh", "spelling"),
    ("activation", np.tanh, "one of relu, tanh", "spelling"),
    ("activation", None, "one of relu, tanh", "spelling"),
    ("estimator", "exact", "one of analytic, path, sampled", "spelling"),
    ("estimator", None, "one of analytic, path, sampled", "spelling"),
    ("objective", "vae", "one of elbo, iwae", "spelling"),
    ("likelihood", "bernoulli", "a Likelihood", "Bernoulli()"),
    ("likelihood", Bernoulli, "a Likelihood", "Bernoulli()"),
    ("likelihood", Gaussian, "a Likelihood", "likelihood=Gaussian('optimal')"),
    ("likelihood", "gaussian", "a Likelihood", "likelihood=Gaussian('optimal')"),
    ("likelihood", "Binomial", "a Likelihood", "likelihood=Binomial(n)"),
    ("likelihood", None, "a Likelihood", "Bernoulli()"),
    ("dtype", np.float16, "float32 or float64", "float64"),
    ("dtype", int, "float32 or float64", "float64"),
    ("dtype", np.dtype(float).newbyteorder(), "float32 or float64", "float64"),
    ("dtype", complex, "float32 or float64", "float64"),
    ("dtype", "float23", "float32 or float64", "float64"),
    ("dtype", None, "float32 or float64", "float64"),
    ("dtype", ",,", "float32 or float64", "float64"),
    ("dtype", "", "float32 or float64", "float64"),
    ("noise", "no", "True or False", ""),
    ("noise", None, "True or False", ""),
    ("data_mean", [0.5, 0.5], "shape (3,)", "Reshape"),
    ("data_mean", [0.5, np.nan, 0.5], "finite", "Find where"),
    ("data_mean", [0.5, 30.0, 200.0], "within 0..1", "divide by 200.0"),
]


@pytest.mark.parametrize("name, bad, rule, remedy", BAD_SETTINGS, ids=lambda value: repr(value)[:20])
def test_bad_settings_of_a_model_are_refused(name, bad, rule, remedy):
    settings = {"features": 3, "rng": np.random.default_rng(0), name: bad}
    got = "" if name in ("hidden", "dtype", "data_mean") or isinstance(bad, np.ndarray) else repr(bad)[:20]
    refused(lambda: VAE.init(**settings), name, rule, got, remedy)


def test_impossible_mean_of_the_data_is_refused_by_the_likelihood():
    rng, mean = np.random.default_rng(0), [0.5, 3.0, 200.0]
    words = "data_mean", "0..16 for Binomial(16)", "0.5 to 200", "Rescale"
    refused(lambda: VAE.init(rng, 3, likelihood=Binomial(16), data_mean=mean), *words)


@pytest.mark.parametrize("bad", [int, "float16", None, "float23", complex])
def test_astype_refuses_unsupported_dtypes(bad):
    vae = random_vae(np.random.default_rng(0))
    refused(lambda: vae.astype(bad), "dtype", "float32 or float64", "", "float64")


@pytest.mark.parametrize("bad", [0, -1, 1.5, 1.0, True, "1", None, np.nan])
def test_noise_is_drawn_only_for_positive_whole_numbers_of_rows_and_samples(bad):
    vae, rng = random_vae(np.random.default_rng(0)), np.random.default_rng(0)
    refused(lambda: vae.draw_noise(rng, 3, bad), "samples", "a whole number >= 1", repr(bad), "samples=1")
    refused(lambda: vae.draw_noise(rng, bad), "rows", "a whole number >= 1", repr(bad), "rows=1")


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


TYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "f2", "f4", "longdouble", ">f8", ">f2", ">i4"]
SAME_DATA = {dtype: lambda x, dtype=dtype: x.astype(dtype) for dtype in TYPES} | {
    "Fortran order": np.asfortranarray,
    "every other column of a wider array": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "every other row of a longer array": lambda x: np.repeat(x, 2, axis=0)[::2],
    "negative strides": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian and reversed": lambda x: x.astype(">f8")[::-1].copy(order="F")[::-1],
    "lists": lambda x: x.tolist(),
    "tuples of ints": lambda x: tuple(tuple(int(v) for v in row) for row in x),
    "a list of rows": list,
    "read-only": read_only,
}


@every_likelihood
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("change", SAME_DATA.values(), ids=SAME_DATA)
def test_type_of_the_data_does_not_change_results_and_data_stay_unchanged(likelihood, dtype, change):
    vae = random_vae(np.random.default_rng(0), likelihood, features=3, dtype=dtype)
    plain, eps = coins(), np.random.default_rng(1).integers(0, 2, (2, 4, 2)).astype(float)
    x, z = change(plain), change(eps[0])
    noise = eps if isinstance(x, (list, tuple)) else np.stack([change(e) for e in eps])
    before = np.array(x, copy=True), np.array(z, copy=True)
    close(vae.loss(x, noise), vae.loss(plain, eps), rel=0)
    close(vae.gradient(x, noise).flat, vae.gradient(plain, eps).flat, rel=0)
    close(vae.elbo(x, noise), vae.elbo(plain, eps), rel=0)
    for array, same in zip(vae.encode(x), vae.encode(plain)):
        close(array, same, rel=0)
    close(vae.decode(z), vae.decode(eps[0]), rel=0)
    assert np.array_equal(before[0], x) and np.array_equal(before[1], z)


@every_likelihood
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_model_never_writes_into_its_arguments(likelihood, dtype):
    """Arrays of the model's dtype are not copied, so writing into them would change the caller's arrays."""
    vae, x, eps = random_problem(16, likelihood, dtype=dtype, samples=2)
    for array in (x, eps, vae.params.flat, *vae.params.values()):
        array.flags.writeable = False
    z = eps[0]
    vae.loss(x, eps), vae.gradient(x, eps), vae.elbo(x, eps), vae.encode(x), vae.decode(z)
    vae.sample(np.random.default_rng(0), z)
    f = vae.forward(x, eps)
    before = [array.copy() for array in arrays_in(f)]
    vae.backward(x, eps, f, vae.params.zeros_like())
    for array, same in zip(arrays_in(f), before):
        close(array, same, rel=0)


def test_a_model_without_noise_accepts_only_an_eps_of_zero():
    vae = random_vae(np.random.default_rng(0), noise=False)
    x, eps = np.ones((2, 4)), np.zeros((1, 2, 2))
    assert np.isfinite(vae.loss(x, eps))
    for call in (vae.loss, vae.gradient):
        refused(lambda call=call: call(x, eps + 0.1), "eps", "zero for a model without noise", "", "draw_noise")


def test_elbo_refuses_a_model_without_noise():
    vae, rng = random_vae(np.random.default_rng(0), noise=False), np.random.default_rng(0)
    x, eps = np.ones((2, 4)), np.zeros((1, 2, 2))
    for call in (lambda: vae.elbo(x, eps), lambda: lower_bounds(vae, x, 10, rng), lambda: kl_per_dimension(vae, x)):
        refused(call, "vae", "a model with noise", "deterministic", "no bound")


def test_optimal_sigma_of_a_perfect_fit_is_refused():
    vae = random_vae(np.random.default_rng(0), Gaussian("optimal"))
    vae.params.flat[:] = 0
    refused(lambda: vae.loss(np.zeros((2, 4)), np.zeros((1, 2, 2))), "sigma", "above zero", "0", "Give sigma a number")


def test_model_refuses_wrong_params_and_a_python_set_of_layer_widths():
    refused(lambda: VAE(params=None), "params", "a Params", "NoneType", "VAE.init")
    refused(lambda: VAE(Params({"a": (2,)}, np.zeros(2))), "params", "an encoder and a decoder", "['a']", "VAE.init")
    refused(lambda: VAE.init(np.random.default_rng(0), 4, hidden={4, 3}), "hidden", "a tuple", "{3, 4}", "hidden=(128,)")


def test_models_can_be_compared_and_hashed():
    vae = random_vae(np.random.default_rng(0))
    assert vae == vae and vae != vae.astype("float64") and len({vae, vae}) == 1
