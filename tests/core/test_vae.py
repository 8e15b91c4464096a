"""The whole model: the loss equals its formula, and `vae.gradient` is the gradient of the loss, in float32 and in float64.

In float64, every entry of the gradient is checked to 1e-12 of the largest entry. The gradient in float32 is compared with
the gradient in float64, to 1e-4. There are tests for every likelihood, activation and depth of the networks, several numbers
of draws, several values of beta, and the estimators analytic and sampled. The check in float64 notices planted errors like
those found in public VAEs. test_input.py tests bad arguments.
"""

import dataclasses
import functools
import itertools
import math
import warnings

import numpy as np
import pytest

from minivae import objective as objective_module
from minivae import ops
from minivae import vae as vae_module
from minivae.gaussian import kl_standard_normal
from minivae.likelihood import Bernoulli, Gaussian
from minivae.objective import OBJECTIVES
from minivae.vae import VAE
from tests.helpers.numeric import (
    LIKELIHOODS,
    ORACLES,
    arrays_in,
    check_model_gradient,
    close,
    complex_step,
    every_likelihood,
    noise_nodes,
    random_problem,
    random_vae,
)

HIDDEN = {0: (), 1: (3,), 2: (4, 3), 3: (4, 3, 3)}
# These two estimators give the exact gradient of the loss for any noise. The gradient by "path" is correct only on average.
EXACT = ("analytic", "sampled")
ESTIMATORS = tuple(estimator for objective, estimator in OBJECTIVES if objective == "elbo")
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
every_exact_estimator = pytest.mark.parametrize("estimator", EXACT)


# The loss


def log_likelihood_of_one(likelihood, x, out, sigma):
    """Return log p(x|z) of one datum, feature by feature, with the formulas of the textbook."""
    total = 0.0
    for value, o in zip(x, out):
        if isinstance(likelihood, Gaussian):
            total += math.log(math.exp(-(((value - o) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi)))
        else:
            n, p = getattr(likelihood, "n", 1), 1 / (1 + math.exp(-o))
            total += math.log(math.comb(n, int(value)) * p**value * (1 - p) ** (n - value))
    return total


def layers_one_by_one(params, part, row, activation):
    """Return the output of the encoder or decoder (`part`) for one row of inputs, computed number by number."""
    weights = [name for name in params if name.startswith(part) and name.endswith("weight")]
    for name in weights:
        weight, bias = params[name], params[name.replace("weight", "bias")]
        row = [sum(r * w for r, w in zip(row, weight[:, o])) + bias[o] for o in range(len(bias))]
        if name != weights[-1]:
            row = [math.tanh(a) if activation == "tanh" else max(a, 0.0) for a in row]
    return row


@every_likelihood
@pytest.mark.parametrize("activation", ops.ACTIVATIONS)
def test_loss_equals_the_result_of_a_plain_loop(likelihood, activation):
    vae, x, eps = random_problem(0, likelihood, samples=2, hidden=(4, 3), activation=activation, beta=1.5)
    scale = getattr(likelihood, "n", 1)
    sigma = math.exp(vae.forward(x, eps).scale[0]) if likelihood.scale else None
    total = 0.0
    for l, b in np.ndindex(2, 3):
        heads = layers_one_by_one(vae.params, "encoder", x[b] / scale, activation)
        mu, log_var = heads[:2], heads[2:]
        z = [m + math.sqrt(math.exp(v)) * e for m, v, e in zip(mu, log_var, eps[l, b])]
        out = layers_one_by_one(vae.params, "decoder", z, activation)
        kl = sum((m**2 + math.exp(v) - 1 - v) / 2 for m, v in zip(mu, log_var))
        total += 1.5 * kl - log_likelihood_of_one(likelihood, x[b], out, sigma)
    close(vae.loss(x, eps), total / 6, rel=1e-13)


@every_likelihood
@every_estimator
def test_loss_at_beta_one_is_minus_the_mean_elbo(likelihood, estimator):
    vae, x, eps = random_problem(1, likelihood, samples=3, estimator=estimator)
    if likelihood.scale:                                      # `loss` may re-estimate sigma, `elbo` does not
        vae.params["log_sigma"][...] = vae.forward(x, eps).scale[0]
    assert vae.elbo(x, eps).shape == (3,)
    close(vae.loss(x, eps), -vae.elbo(x, eps).mean(), rel=1e-14)


@every_likelihood
@every_estimator
def test_beta_weighs_the_kl_in_the_loss_but_not_in_the_elbo(likelihood, estimator):
    vae, x, eps = random_problem(2, likelihood, samples=3, estimator=estimator)
    f, elbo = vae.forward(x, eps), vae.elbo(x, eps)
    assert f.kl.shape == ((3,) if estimator == "analytic" else (3, 3))
    for beta in (0, 0.5, 1, 4):
        weighed = dataclasses.replace(vae, beta=beta)
        close(weighed.loss(x, eps), beta * f.kl.mean() - f.log_px_z.mean(), rel=1e-14)
        close(weighed.elbo(x, eps), elbo, rel=0)


@every_likelihood
def test_analytic_and_sampled_losses_and_gradients_agree_in_expectation(likelihood):
    """The sampled KL is quadratic in the noise, so its mean over quadrature nodes is exact.

    Gaussian("optimal") fits sigma at each node, and this sigma does not depend on the estimator.
    """
    eps, weights = noise_nodes(latent=2, rows=3)
    analytic, x, _ = random_problem(3, likelihood, beta=2.0)
    sampled = dataclasses.replace(analytic, estimator="sampled")
    close(weights @ sampled.forward(x, eps).kl, analytic.forward(x, eps).kl, rel=1e-13)

    def mean(f):
        return sum(weight * f(node[None]) for weight, node in zip(weights, eps))

    close(mean(lambda node: sampled.loss(x, node)), mean(lambda node: analytic.loss(x, node)), rel=1e-13)
    sampled_gradient = mean(lambda node: sampled.gradient(x, node).flat)
    close(sampled_gradient, mean(lambda node: analytic.gradient(x, node).flat), rel=1e-13)


@every_likelihood
@every_estimator
def test_loss_is_invariant_to_repeating_or_permuting_the_batch(likelihood, estimator):
    vae, x, eps = random_problem(4, likelihood, rows=5, samples=2, estimator=estimator, beta=0.7)
    loss, gradient = vae.loss(x, eps), vae.gradient(x, eps).flat
    twice, order = np.tile(np.arange(5), 2), np.random.default_rng(0).permutation(5)
    for rows in (twice, order):
        close(vae.loss(x[rows], eps[:, rows]), loss, rel=1e-12)
        close(vae.gradient(x[rows], eps[:, rows]).flat, gradient, rel=1e-12)


@every_likelihood
@every_estimator
def test_loss_and_gradient_do_not_change_if_the_same_draw_is_repeated(likelihood, estimator):
    vae, x, eps = random_problem(5, likelihood, estimator=estimator)
    copies = np.repeat(eps, 4, axis=0)
    close(vae.loss(x, copies), vae.loss(x, eps), rel=1e-12)
    close(vae.gradient(x, copies).flat, vae.gradient(x, eps).flat, rel=1e-12)
    close(vae.elbo(x, copies), vae.elbo(x, eps), rel=1e-12)


@every_likelihood
def test_elbo_of_a_datum_does_not_depend_on_its_batch(likelihood):
    vae, x, eps = random_problem(6, likelihood, samples=2)
    alone = np.concatenate([vae.elbo(x[[b]], eps[:, [b]]) for b in range(3)])
    close(alone, vae.elbo(x, eps), rel=1e-13)


@every_likelihood
def test_log_likelihood_equals_the_reconstruction_and_accepts_one_code_for_all_data(likelihood):
    vae, x, eps = random_problem(7, likelihood, samples=4)
    f = vae.forward(x, eps, fit=False)
    close(vae.log_likelihood(x, f.z), f.log_px_z, rel=1e-14)
    shared = f.z[:, :1]
    close(vae.log_likelihood(x, shared), vae.log_likelihood(x, np.repeat(shared, 3, axis=1)), rel=1e-13)


# The gradient


@every_likelihood
@pytest.mark.parametrize("activation", ops.ACTIVATIONS)
@pytest.mark.parametrize("depth", HIDDEN)
def test_vae_gradient_is_the_gradient_of_its_loss(likelihood, activation, depth):
    """Check every case by complex step, and some also by central differences, which need no complex numbers.

    There are six settings: likelihood, activation, depth, samples, beta and estimator. The test tries only half of all their
    combinations. But for any five settings, it tries every combination of these five.
    """
    turn = LIKELIHOODS.index(likelihood) + [*ops.ACTIVATIONS].index(activation) + [*HIDDEN].index(depth)
    for i, choice in enumerate(itertools.product([0, 1], range(4), [0, 1])):
        if (turn + sum(choice)) % 2:
            continue
        samples, beta, estimator = (levels[k] for levels, k in zip(([1, 3], [0, 0.5, 1, 4], EXACT), choice))
        settings = {"hidden": HIDDEN[depth], "activation": activation, "beta": beta, "estimator": estimator}
        problem = random_problem(i, likelihood, rows=1 + i % 3, samples=samples, features=3, **settings)
        try:
            check_model_gradient(*problem, "complex step")
            if i % 8 == depth:
                check_model_gradient(*problem, "central difference")
        except AssertionError as error:
            raise AssertionError(f"L = {samples}, beta = {beta}, {estimator}: {error}") from None


@every_likelihood
@every_estimator
def test_gradient_for_an_unused_parameter_is_exactly_zero(likelihood, estimator):
    """Check that `backward` writes 0 as the gradient for a sigma that is not learned. At first, `buffer` has only NaN."""
    vae, x, eps = random_problem(8, likelihood, estimator=estimator)
    buffer = vae.params.like(np.full_like(vae.params.flat, np.nan))
    assert vae.backward(x, eps, vae.forward(x, eps), buffer) is buffer
    close(buffer.flat, vae.gradient(x, eps).flat, rel=0)
    if likelihood.scale and likelihood.sigma != "learned":
        assert buffer["log_sigma"] == 0


@every_exact_estimator
@pytest.mark.parametrize("samples", [1, 3])
def test_gradient_is_exact_although_it_treats_the_optimal_sigma_as_a_constant(estimator, samples):
    """Check the envelope theorem: three gradients are equal.

    The first is the total derivative of a loss that estimates sigma again for changed parameters. The second is the gradient
    that the model returns. The third is the gradient of a loss in which sigma is a constant, its optimal value.
    """
    vae, x, eps = random_problem(9, Gaussian("optimal"), samples=samples, estimator=estimator)
    learned = dataclasses.replace(vae, likelihood=Gaussian("learned"), params=vae.params.copy())
    learned.params["log_sigma"][...] = vae.forward(x, eps).scale[0]
    close(learned.loss(x, eps), vae.loss(x, eps), rel=1e-14)
    frozen = learned.gradient(x, eps)
    close(frozen["log_sigma"], np.array(0.0), rel=0, abs_=1e-14)

    def profiled(flat):
        return dataclasses.replace(vae, params=vae.params.like(flat)).forward(x, eps).loss

    total, returned = vae.params.like(complex_step(profiled, [vae.params.flat], 0)), vae.gradient(x, eps)
    assert returned["log_sigma"] == 0 and total["log_sigma"] == 0
    for name in set(vae.params) - {"log_sigma"}:
        close(returned[name], frozen[name], rel=1e-13)
        close(returned[name], total[name], rel=1e-12)


def replace_result(name, change):
    """Return a function that plants an error: it applies `change` to the result of the model's function `name`."""
    home = vae_module if hasattr(vae_module, name) else objective_module

    def plant(monkeypatch):
        right = getattr(home, name)
        monkeypatch.setattr(home, name, lambda *inputs, **options: change(*right(*inputs, **options)))

    return plant


def noise_drawn_again(monkeypatch):
    right, rng = vae_module.reparameterize_backward, np.random.default_rng(0)

    def wrong(d_z, mu, log_var, eps):
        return right(d_z, mu, log_var, rng.normal(size=eps.shape))

    monkeypatch.setattr(vae_module, "reparameterize_backward", wrong)


def encoder_given_the_gradient_of_the_decoder(monkeypatch):
    right, decoder_gradients = vae_module.mlp_backward, []

    def wrong(d_out, *inputs, wrt_x=True):
        if not wrt_x:                                       # the call for the encoder, which needs no gradient for x
            d_out = np.concatenate([decoder_gradients[0]] * 2, axis=1)
        decoder_gradients.append(right(d_out, *inputs, wrt_x=wrt_x))
        return decoder_gradients[-1]

    monkeypatch.setattr(vae_module, "mlp_backward", wrong)


def heads_swapped(monkeypatch):
    right = vae_module.mlp_backward

    def wrong(d_out, *inputs, wrt_x=True):
        return right(d_out if wrt_x else np.roll(d_out, 2, axis=1), *inputs, wrt_x=wrt_x)

    monkeypatch.setattr(vae_module, "mlp_backward", wrong)


def activation_derivative_skipped(monkeypatch):
    monkeypatch.setitem(ops.ACTIVATIONS, "tanh", (ops.tanh, lambda d_h, h: d_h))


def activation_skipped_forward_but_not_backward(monkeypatch):
    monkeypatch.setitem(ops.ACTIVATIONS, "tanh", (lambda a: a, ops.tanh_backward))


def gradient_of_log_sigma_dropped(monkeypatch):
    right = Gaussian.log_prob_backward
    monkeypatch.setattr(Gaussian, "log_prob_backward", lambda *inputs: (right(*inputs)[0], np.array(0.0)))


def log_prob_scaled_in_its_backward(monkeypatch):
    right = Gaussian.log_prob_backward
    monkeypatch.setattr(Gaussian, "log_prob_backward", lambda *inputs: [2 * d for d in right(*inputs)])


DRAW, KL, LOG_Q = "reparameterize_backward", "kl_standard_normal_backward", "log_normal_backward"
LOG_P = "log_standard_normal_backward"
PLANTS = {
    "d_mu from z dropped": replace_result(DRAW, lambda d_mu, d_v: (0 * d_mu, d_v)),
    "d_log_var from z dropped": replace_result(DRAW, lambda d_mu, d_v: (d_mu, 0 * d_v)),
    "1/2 dropped in d_log_var from z": replace_result(DRAW, lambda d_mu, d_v: (d_mu, 2 * d_v)),
    "d_mu from the KL dropped": replace_result(KL, lambda d_mu, d_v: (0 * d_mu, d_v)),
    "d_mu from the KL has the wrong sign": replace_result(KL, lambda d_mu, d_v: (-d_mu, d_v)),
    "d_log_var from the KL dropped": replace_result(KL, lambda d_mu, d_v: (d_mu, 0 * d_v)),
    "1/2 dropped in d_log_var from the KL": replace_result(KL, lambda d_mu, d_v: (d_mu, 2 * d_v)),
    "d_z from log q dropped": replace_result(LOG_Q, lambda d_z, d_mu, d_v: (0 * d_z, d_mu, d_v)),
    "d_mu from log q dropped": replace_result(LOG_Q, lambda d_z, d_mu, d_v: (d_z, 0 * d_mu, d_v)),
    "d_log_var from log q dropped": replace_result(LOG_Q, lambda d_z, d_mu, d_v: (d_z, d_mu, 0 * d_v)),
    "d_z from log p dropped": replace_result(LOG_P, lambda *draws: 0 * np.stack(draws)),
    "noise drawn again for the backward": noise_drawn_again,
    "encoder given the gradient of the decoder": encoder_given_the_gradient_of_the_decoder,
    "gradients of the two heads swapped": heads_swapped,
    "activation derivative skipped": activation_derivative_skipped,
    "activation skipped forward but not backward": activation_skipped_forward_but_not_backward,
    "gradient of log_sigma dropped": gradient_of_log_sigma_dropped,
    "log p(x|z) scaled in its backward": log_prob_scaled_in_its_backward,
}
ONLY_SAMPLED = {name for name in PLANTS if "from log" in name}
ONLY_ANALYTIC = {name for name in PLANTS if "from the KL" in name}


@functools.cache
def checked_problem(estimator, oracle):
    """Return a problem for planted errors. Before errors are planted, check that the gradient of the problem is right."""
    problem = random_problem(10, Gaussian("learned"), hidden=(4, 3), beta=0.5, estimator=estimator)
    check_model_gradient(*problem, oracle)
    return problem


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("plant", PLANTS)
def test_planted_error_in_forward_or_backward_is_noticed(plant, oracle, monkeypatch):
    for estimator in EXACT:
        problem = checked_problem(estimator, oracle)
        right = problem[0].gradient(*problem[1:])
        with monkeypatch.context() as patch:
            PLANTS[plant](patch)
            if plant in (ONLY_ANALYTIC if estimator == "sampled" else ONLY_SAMPLED):
                check_model_gradient(*problem, oracle)      # this estimator does not use the changed function
                continue
            wrong = problem[0].gradient(*problem[1:])
            assert any(np.abs(wrong[n] - right[n]).max() > 1e-2 * np.abs(right[n]).max() for n in right)
            with pytest.raises(AssertionError, match=f"gradient for .*, by {oracle}: .* entries differ"):
                check_model_gradient(*problem, oracle)


# Fresh models, randomness, precision


def test_fresh_model_has_mirrored_layers_and_zero_biases_and_the_documented_variances():
    for activation, variance in (("tanh", lambda i, o: 2 / (i + o)), ("relu", lambda i, o: 2 / i)):
        vae = VAE.init(np.random.default_rng(0), 300, 100, (400, 200), activation=activation)
        parts = itertools.product(["encoder", "decoder"], "123", ["weight", "bias"])
        names = [".".join(part) for part in parts]
        widths = [(300, 400), (400, 200), (200, 200), (100, 200), (200, 400), (400, 300)]
        assert list(vae.params) == names
        assert [vae.params[name].shape for name in names[::2]] == widths
        assert (vae.features, vae.latent, vae.hidden, vae.dtype) == (300, 100, (400, 200), np.float32)
        for name, array in vae.params.items():
            if name.endswith("bias"):
                assert (array == 0).all()
                continue
            spread, n = variance(*array.shape), array.size
            close(array.mean(), 0.0, rel=0, abs_=6 * math.sqrt(spread / n)) # 6 standard errors
            close((array.astype(float) ** 2).mean(), spread, rel=6 * math.sqrt(2 / n))


def test_fresh_model_defaults_to_tanh_bernoulli_and_two_latent_coordinates():
    vae = VAE.init(np.random.default_rng(0), 5)
    assert (vae.latent, vae.hidden, vae.activation, vae.beta) == (2, (128,), "tanh", 1)
    assert (vae.likelihood, vae.estimator, vae.noise) == (Bernoulli(), "analytic", True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        vae.beta = 2.0


@every_likelihood
@pytest.mark.parametrize("depth", HIDDEN)
def test_fresh_decoder_returns_the_mean_of_the_data(likelihood, depth):
    mean = np.array([0.1, 0.5, 0.9]) * getattr(likelihood, "n", 1)
    vae = VAE.init(
        np.random.default_rng(0), 3, 2, HIDDEN[depth], likelihood=likelihood, data_mean=mean, dtype=np.float64
    )
    close(vae.decode(np.zeros((1, 2))), mean[None], rel=1e-14)


@pytest.mark.parametrize("sigma, log_sigma", [(0.7, math.log(0.7)), ("learned", 0.0), ("optimal", 0.0)])
def test_sigma_of_a_new_model_is_1_unless_a_number_is_given(sigma, log_sigma):
    vae = VAE.init(np.random.default_rng(0), 3, likelihood=Gaussian(sigma), dtype=np.float64)
    close(vae.params["log_sigma"], np.array(log_sigma), rel=0)


@every_likelihood
def test_models_of_equal_seeds_are_equal_bit_for_bit(likelihood):
    def everything(seed):
        rng = np.random.default_rng(seed)
        vae = VAE.init(rng, 4, 2, (3,), likelihood=likelihood)
        x = np.random.default_rng(0).integers(0, 2, (3, 4))
        eps = vae.draw_noise(rng, 3, 2)
        return vae.params.flat, eps, vae.loss(x, eps), vae.gradient(x, eps).flat, vae.sample(rng, eps[0])

    once, again, other = everything(1), everything(1), everything(2)
    assert all(np.array_equal(a, b) for a, b in zip(once, again))
    assert not any(np.array_equal(a, b) for a, b in zip(once[:4], other[:4]))


def test_noise_is_standard_normal_and_different_for_every_draw_and_datum():
    vae = random_vae(np.random.default_rng(0))
    eps = vae.draw_noise(np.random.default_rng(1), rows=200, samples=100)
    assert eps.shape == (100, 200, 2)
    assert np.unique(eps).size == eps.size
    close(eps.mean(), 0.0, rel=0, abs_=6 / math.sqrt(eps.size))
    close((eps**2).mean(), 1.0, rel=6 * math.sqrt(2 / eps.size))
    assert vae.draw_noise(np.random.default_rng(1), 7).shape == (1, 7, 2)


@every_likelihood
def test_sampled_data_have_the_decoded_mean(likelihood):
    vae = random_vae(np.random.default_rng(2), likelihood)
    z = np.repeat(np.random.default_rng(3).normal(size=(2, 2)), 20000, axis=0)
    x, mean = vae.sample(np.random.default_rng(4), z), vae.decode(z)
    trials = getattr(likelihood, "n", 1)
    deviation = math.exp(*vae.scale) if likelihood.scale else math.sqrt(trials) / 2     # largest standard deviation of x
    for rows in (slice(0, 20000), slice(20000, None)):
        close(x[rows].mean(axis=0), mean[rows][0], rel=0, abs_=6 * deviation / math.sqrt(20000))
    vae.check_data(x)


@every_likelihood
@every_estimator
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_result_has_the_dtype_of_the_model(likelihood, estimator, dtype):
    for samples, rows in itertools.product([1, 2], [1, 3]):
        settings = {"rows": rows, "samples": samples, "estimator": estimator}
        vae, x, eps = random_problem(11, likelihood, dtype=dtype, **settings)
        f = vae.forward(x, eps)
        made = [f, vae.encode(x), vae.decode(eps[0]), vae.elbo(x, eps), vae.log_likelihood(x, f.z)]
        made += [vae.gradient(x, eps).flat, vae.draw_noise(np.random.default_rng(0), rows, samples)]
        made += [dataclasses.replace(vae, noise=False).draw_noise(np.random.default_rng(0), rows, samples)]
        arrays = arrays_in(made)
        assert len(arrays) > 15
        assert {array.dtype for array in arrays} == {np.dtype(dtype)}


@every_likelihood
@every_estimator
def test_backward_in_float32_never_uses_float64(likelihood, estimator, monkeypatch):
    """Check the arguments and the results of `mlp_backward`, `reparameterize_backward` and the likelihood's backward.

    It is not enough to check the final gradient, which is float32 even if an intermediate step uses float64.
    """
    seen = []

    def spied_on(function):
        def spy(*inputs, **options):
            result = function(*inputs, **options)
            seen.extend(arrays_in([inputs, result]))
            return result

        return spy

    for name in [name for name in vars(vae_module) if name.endswith("_backward")]:
        monkeypatch.setattr(vae_module, name, spied_on(getattr(vae_module, name)))
    kind = type(likelihood)
    monkeypatch.setattr(kind, "log_prob_backward", spied_on(kind.log_prob_backward))
    vae, x, eps = random_problem(19, likelihood, dtype=np.float32, samples=2, estimator=estimator)
    vae.gradient(x, eps)
    assert len(seen) > 30 and {array.dtype for array in seen} == {np.dtype(np.float32)}


@every_likelihood
@every_estimator
def test_vae_in_float32_agrees_with_float64(likelihood, estimator):
    double, x, eps = random_problem(12, likelihood, samples=2, hidden=(4, 3), estimator=estimator)
    single = double.astype(np.float32)
    assert single.dtype == np.float32 and double.dtype == np.float64
    close(float(single.loss(x, eps)), float(double.loss(x, eps)), rel=1e-5)
    close(single.elbo(x, eps), double.elbo(x, eps), rel=1e-5)
    for name, gradient in double.gradient(x, eps).items():
        close(single.gradient(x, eps)[name], gradient, rel=1e-4)


@pytest.mark.parametrize("samples", [1, 3])
@every_likelihood
def test_vae_without_noise_and_kl_is_an_autoencoder(likelihood, samples):
    vae, x, _ = random_problem(13, likelihood, noise=False, beta=0)
    eps = vae.draw_noise(np.random.default_rng(0), 3, samples)
    assert eps.shape == (samples, 3, 2)
    f, gradient = vae.forward(x, eps), vae.gradient(x, eps)
    for z in f.z:
        close(z, f.mu, rel=0)
    d_weight, d_bias = vae.layers("encoder", gradient)[-1]
    assert (d_weight[:, 2:] == 0).all() and (d_bias[2:] == 0).all()         # the head of log_var is unused
    assert (d_weight[:, :2] != 0).any() and (d_bias[:2] != 0).any()
    check_model_gradient(vae, x, eps, "complex step")


def extreme_problem(likelihood, dtype, out, log_var, depth, estimator):
    """Return a problem in which encoder and decoder have constant outputs: mu = 1/2, `log_var`, and the decoder's `out`.

    The last layers of the encoder and the decoder have zero weights, so their outputs equal their biases for every x.
    """
    problem = random_problem(14, likelihood, dtype=dtype, hidden=HIDDEN[depth], estimator=estimator)
    (*_, (head, head_bias)), (*_, (last, last_bias)) = map(problem[0].layers, ("encoder", "decoder"))
    head[...], head_bias[...] = 0, [0.5, 0.5, log_var, log_var]
    last[...], last_bias[...] = 0, out
    return problem


@every_likelihood
@every_estimator
@pytest.mark.parametrize("dtype, rel", [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_extreme_network_outputs_give_finite_correct_losses_without_a_warning(likelihood, estimator, dtype, rel):
    for out, log_var, depth in itertools.product([-1e4, 1e4], [-80.0, 80.0], [0, 2]):
        vae, x, eps = extreme_problem(likelihood, dtype, out, log_var, depth, estimator)
        with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
            warnings.simplefilter("error")
            f, gradient, mean = vae.forward(x, eps), vae.gradient(x, eps), vae.decode(eps[0])
        for array in arrays_in([f, gradient.flat, mean]):
            assert np.isfinite(array).all()
        close(mean, np.full_like(mean, likelihood.mean(np.array(out, dtype))), rel=rel)
        d_heads, d_out = (vae.layers(part, gradient)[-1][1].astype(float) for part in ("encoder", "decoder"))
        check_extreme_kl(f, d_heads, eps, log_var, estimator, rel)
        if not likelihood.scale:
            check_extreme_counts(f, d_out, x, out, getattr(likelihood, "n", 1), rel)


def check_extreme_kl(f, d_heads, eps, log_var, estimator, rel):
    """Check the KL, a sum over two latent coordinates. For the analytic KL, check also its gradient.

    The gradient for the encoder comes from the KL alone: the last layer of the decoder has zero weights, so log p(x|z) does
    not depend on z.
    """
    if estimator == "analytic":
        close(f.kl.astype(float), np.full(3, 1 / 4 + math.expm1(log_var) - log_var), rel=rel)
        close(d_heads[:2], np.full(2, 1 / 2), rel=rel)
        close(d_heads[2:], np.full(2, math.expm1(log_var) / 2), rel=rel)
    elif log_var > 0:                                       # if log_var is -80, z - mu is only rounding errors
        z, eps = f.z.astype(float), eps.astype(float)
        close(f.kl.astype(float), ((z**2 - eps**2) / 2).sum(axis=-1) - log_var, rel=rel)


def check_extreme_counts(f, d_out, x, out, n, rel):
    """Check log p(x|z) and its gradient at logits of +-10^4: every trial with the improbable result costs 10^4 nats."""
    expected = n * float(out > 0)
    log_coefficient = np.array([sum(math.log(math.comb(n, int(value))) for value in row) for row in x])
    log_px_z = log_coefficient - 1e4 * np.abs(expected - x.astype(float)).sum(axis=1)
    close(f.log_px_z[0].astype(float), log_px_z, rel=rel)
    close(d_out, (expected - x.astype(float)).mean(axis=0), rel=rel)


@pytest.mark.parametrize("beta", [1, 0.5, np.float64(0.5), np.float32(0.5), np.int8(1)])
def test_number_type_of_beta_does_not_change_the_dtype_of_the_loss(beta):
    vae, x, eps = random_problem(17, dtype=np.float32, beta=beta)
    plain = dataclasses.replace(vae, beta=float(beta))
    assert vae.loss(x, eps).dtype == plain.loss(x, eps).dtype
    close(vae.loss(x, eps), plain.loss(x, eps), rel=0)
    close(vae.gradient(x, eps).flat, plain.gradient(x, eps).flat, rel=0)


def test_astype_returns_a_copy():
    vae, x, eps = random_problem(18)
    copy = vae.astype(np.float64)
    copy.params.flat[...] = 0
    assert (vae.params.flat != 0).all()
    close(kl_standard_normal(*copy.encode(x)), np.zeros((3, 2)), rel=0)
