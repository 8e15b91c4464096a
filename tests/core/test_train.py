"""Training improves the ELBO, is reproducible bit for bit, records the right numbers and stops when asked."""

import dataclasses
import math
import platform
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from minivae import train as module
from minivae.app import run_data
from minivae.data import Dataset, Grey
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.train import Diverged, Training, evaluate, split, train
from minivae.vae import VAE
from tests.helpers.numeric import close, refused
from tests.helpers.trained import trained


def small(seed=0, likelihood=Bernoulli(), **settings):
    rng = np.random.default_rng(seed)
    means = rng.uniform(0.1, 0.9, (4, 6))
    if isinstance(likelihood, Gaussian):
        x = means[rng.integers(0, 4, 60)] + 0.2 * rng.normal(size=(60, 6))
    else:
        x = (rng.random((60, 6)) < means[rng.integers(0, 4, 60)]).astype(np.uint8)
    vae = VAE.init(rng, 6, 2, (8,), likelihood=likelihood, **settings)
    return vae, Dataset("small", x[:45], x[45:]), rng


def agree(quantity, actual, desired):
    """Raise AssertionError with the name of the quantity unless both numbers agree to rounding."""
    __tracebackhide__ = True
    assert actual == pytest.approx(desired, rel=1e-12), f"{quantity} is {actual} instead of {desired}"


# Memory


def peak_bytes(call):
    """Return the largest number of bytes that were allocated at the same time during the call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def many_bytes():
    """Return 20,000 images whose pixels are bytes from 0 to 200. As float32, all images take 4 MB; 250 take 0.05 MB."""
    levels = (np.arange(10**6) % 201).astype(np.uint8).reshape(-1, 50)
    return Dataset("many", Grey(levels), Grey(levels[:9]))


@pytest.mark.parametrize(
    "reader",
    [
        lambda data: Training(VAE.init(np.random.default_rng(0), 50, 2, (3,)), data, np.random.default_rng(0)),
        run_data.extremes,
        run_data.checksum,
    ],
    ids=["Training", "extremes", "checksum"],
)  # fmt: skip
def test_images_are_converted_to_floats_chunk_by_chunk(monkeypatch, reader):
    monkeypatch.setattr(module, "CHUNK", 250)
    # The true function keep_freed_memory allocates a block of 31 MiB, which would be measured, too.
    monkeypatch.setattr(module, "keep_freed_memory", lambda: None)
    data = many_bytes()
    reader(data)                                            # not measured, because a first call may allocate more
    assert peak_bytes(lambda: reader(data)) < 1e6


def test_measured_memory_is_large_if_all_chunks_are_kept(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 250)
    data = many_bytes()
    assert peak_bytes(lambda: list(module.in_chunks(data.train_x))) > 4e6


@pytest.mark.parametrize("rows", [(0, 5), (5, 0)], ids=["training", "held-out"])
def test_data_without_training_rows_or_without_held_out_rows_are_refused(rows):
    data = Dataset("empty", *(np.zeros((n, 6)) for n in rows))
    refused(lambda: Training(small()[0], data, np.random.default_rng(0)), "x", "non-empty", "(0, 6)", "Give at least one")


def test_all_training_rows_have_equal_weight_in_the_means_of_an_epoch(monkeypatch):
    """Train on 45 rows in batches of 8 and 7: the mean over rows differs from the mean over batches."""
    vae, data, rng = small(2, dtype=np.float64)
    batches, forward = [], VAE.forward

    def spy(self, x, eps, **how):
        f = forward(self, x, eps, **how)
        if not how:                                         # a training step; evaluation passes the option fit=False
            batches.append(f)
        return f

    monkeypatch.setattr(VAE, "forward", spy)
    for record in train(vae, data, rng, epochs=2, batch=8, samples=2):
        assert [f.kl.shape for f in batches] == 3 * [(8,)] + 3 * [(7,)]
        rows = np.concatenate([f.log_px_z.mean(axis=0) for f in batches])
        agree(f"train_reconstruction of epoch {record.epoch}", record.train_reconstruction, sum(rows) / 45)
        agree(f"train_kl of epoch {record.epoch}", record.train_kl, sum(np.concatenate([f.kl for f in batches])) / 45)
        batches.clear()


@pytest.mark.parametrize("chunk", [7, 15, 4096])            # 15 rows in three chunks or in one
def test_held_out_means_do_not_depend_on_the_chunk_size(chunk, monkeypatch):
    vae, data, rng = small(2, Gaussian("learned"), dtype=np.float64)
    monkeypatch.setattr(module, "CHUNK", chunk)
    (record,) = train(vae, data, rng, epochs=1, batch=8)
    reconstruction, kl, elbo = evaluate(vae, data.test_x, np.random.default_rng(0))
    eps = vae.draw_noise(np.random.default_rng(0), 15)      # `evaluate` drew equal noise, because noise is drawn row by row
    f = vae.forward(data.test_x, eps, fit=False)
    agree("reconstruction of held-out rows", reconstruction, sum(f.log_px_z[0]) / 15)
    agree("KL of held-out rows", kl, sum(f.kl) / 15)
    agree("ELBO of held-out rows", elbo, sum(vae.elbo(data.test_x, eps)) / 15)
    agree("test_kl of the record", record.test_kl, kl)      # the analytic KL uses no noise


@pytest.mark.parametrize("chunk", [7, 4096])                # 45 rows in seven chunks or in one
@pytest.mark.parametrize("kind", ["learned", "optimal"])
def test_recorded_squared_error_is_the_mean_over_all_pixels(kind, chunk, monkeypatch):
    vae, data, rng = small(2, Gaussian(kind), dtype=np.float64)
    list(train(vae, data, rng, epochs=1))
    out = vae.forward(data.train_x, vae.draw_noise(np.random.default_rng(0), 45)).out[0]
    error = sum(((data.train_x - out) ** 2).ravel()) / (45 * 6)
    monkeypatch.setattr(module, "CHUNK", chunk)
    sigma, mse = module.update_sigma(vae, data.train_x, np.random.default_rng(0))
    agree("train_mse", mse, error)
    agree("sigma", sigma, math.sqrt(error) if kind == "optimal" else math.exp(vae.params["log_sigma"]))
    agree("sigma of the model", math.exp(vae.params["log_sigma"]), sigma)


def test_forty_epochs_on_the_digits_raise_the_elbo_by_forty_nats():
    _, _, history = trained()
    assert history[-1].test_elbo > history[0].test_elbo + 40
    assert [record.epoch for record in history] == list(range(1, 41))


def test_elbo_equals_reconstruction_minus_kl_in_every_record():
    for r in trained()[2]:
        assert r.train_elbo == pytest.approx(r.train_reconstruction - r.train_kl, abs=1e-9)
        assert r.test_elbo == pytest.approx(r.test_reconstruction - r.test_kl, abs=1e-9)
        assert r.train_kl >= 0 and r.test_kl >= 0


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian("learned"), Gaussian("optimal")])
def test_training_with_equal_seeds_is_equal_bit_for_bit(likelihood):
    runs = []
    for _ in range(2):
        vae, data, rng = small(3, likelihood)
        runs.append((list(train(vae, data, rng, epochs=3, batch=8, samples=2)), vae.params.flat.tobytes()))
    assert runs[0] == runs[1]
    vae, data, rng = small(4, likelihood)
    list(train(vae, data, rng, epochs=3, batch=8, samples=2))
    assert vae.params.flat.tobytes() != runs[0][1]


def test_training_never_uses_held_out_rows():
    flats = []
    for test_x in (np.zeros((15, 6), np.uint8), np.ones((15, 6), np.uint8)):
        vae, data, rng = small(1)
        list(train(vae, dataclasses.replace(data, test_x=test_x), rng, epochs=2))
        flats.append(vae.params.flat.copy())
    assert (flats[0] == flats[1]).all()


@pytest.mark.parametrize("rows, batch", [(45, 8), (64, 64), (65, 64), (3, 64), (10, 1)])
def test_mini_batches_contain_every_row_once_and_have_nearly_equal_sizes(rows, batch):
    parts = split(np.random.default_rng(0).permutation(rows), batch)
    assert sorted(np.concatenate(parts)) == list(range(rows))
    sizes = [len(part) for part in parts]
    assert max(sizes) <= batch and max(sizes) - min(sizes) <= 1


def test_order_of_rows_changes_every_epoch():
    training, orders = Training(*small(0), batch=8), []
    for _ in training.steps():
        if training.done == 1:
            orders.append(training.order)
        if len(orders) == 2:
            break
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(45)) and (orders[0] != orders[1]).any()


def test_evaluation_in_chunks_equals_evaluation_in_one_pass(monkeypatch):
    vae, data, _ = small(2)
    monkeypatch.setattr(VAE, "draw_noise", lambda vae, rng, rows: np.zeros((1, rows, vae.latent), vae.dtype))
    whole = evaluate(vae, data.train_x, np.random.default_rng(0))
    monkeypatch.setattr(module, "CHUNK", 7)
    assert evaluate(vae, data.train_x, np.random.default_rng(0)) == pytest.approx(whole, rel=1e-6)
    plain = dataclasses.replace(vae, noise=False)
    assert evaluate(plain, data.train_x, np.random.default_rng(0)) == (pytest.approx(whole[0], rel=1e-6), None, None)


def test_optimal_sigma_converges_to_the_training_root_mean_squared_error():
    vae, data, rng = small(5, Gaussian("optimal"), dtype=np.float64)
    list(train(vae, data, rng, epochs=20))
    errors = []
    for _ in range(300):
        eps = vae.draw_noise(rng, len(data.train_x))
        errors.append(np.mean((vae.forward(data.train_x, eps).out - data.train_x) ** 2))
    se = np.std(errors)                                     # sigma^2 is estimated from one pass, with this standard error
    assert abs(np.exp(2 * vae.params["log_sigma"]) - np.mean(errors)) < 6 * se


def test_evaluation_uses_the_sigma_from_training_without_fitting_it_again():
    vae, data, _ = small(5, Gaussian("optimal"))
    vae.params["log_sigma"][...] = 1
    x = data.train_x.astype(vae.dtype)
    eps = vae.draw_noise(np.random.default_rng(0), len(x))
    at_one, refitted = (float(vae.forward(x, eps, fit=fit).log_px_z.mean()) for fit in (False, True))
    vae.params["log_sigma"][...] = 1
    reconstruction, _, _ = module.evaluate(vae, x, np.random.default_rng(0))
    assert reconstruction == pytest.approx(at_one, rel=1e-5) and refitted > at_one + 0.1
    assert vae.params["log_sigma"] == 1


def test_optimal_sigma_is_correct_even_if_squares_underflow_in_float32():
    vae, data, rng = small(5, Gaussian("optimal"))
    vae.params.flat[...] = 0                                # the decoder outputs 0 for every pixel
    sigma, mse = module.update_sigma(vae, 1e-25 * data.train_x, rng)
    assert sigma == pytest.approx(1e-25 * np.sqrt((data.train_x**2).mean()), rel=1e-5)
    assert mse == pytest.approx(sigma**2, rel=1e-5) and mse > 0


def test_learned_sigma_converges_to_the_analytic_optimum():
    vae, data, rng = small(6, Gaussian("learned"))
    list(train(vae, data, rng, epochs=200, batch=8, lr=5e-3))
    learned = float(vae.params["log_sigma"])
    optimal = dataclasses.replace(vae, likelihood=Gaussian("optimal"))
    x = data.train_x.astype(np.float32)
    best = float(np.mean([optimal.forward(x, vae.draw_noise(rng, len(x))).scale[0] for _ in range(100)]))
    assert learned == pytest.approx(best, abs=0.1) and abs(best) > 0.5


def check_recorded_sigma(kind, **settings):
    """Check sigma in every record. In four records, check the mean squared error; its tolerance is 6 standard errors."""
    vae, data, rng = small(6, Gaussian(kind), **settings)
    for record in train(vae, data, rng, epochs=200, batch=8, lr=5e-3):
        assert record.sigma == pytest.approx(float(np.exp(vae.params["log_sigma"])), rel=1e-6)
        if record.epoch in (1, 2, 5, 200):
            x, passes = data.train_x.astype(vae.dtype), np.random.default_rng(0)
            errors = [np.mean((vae.forward(x, vae.draw_noise(passes, len(x))).out - x) ** 2) for _ in range(200)]
            assert abs(record.train_mse - np.mean(errors)) <= 6 * np.std(errors) + 1e-6 * np.mean(errors)
        assert kind == "learned" or record.sigma**2 == pytest.approx(record.train_mse, rel=1e-6)
    assert record.sigma**2 == pytest.approx(np.mean(errors), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["learned", "optimal"])
@pytest.mark.parametrize("noise", [True, False])
def test_history_records_sigma_and_the_mean_squared_error(kind, noise, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 20)                # 45 rows in chunks of different sizes
    check_recorded_sigma(kind, noise=noise, beta=1.0 if noise else 0.0)


PLANTED = {
    "sigma^2 instead of sigma": lambda sigma, mse: (sigma**2, mse),
    "log sigma instead of sigma": lambda sigma, mse: (math.log(sigma), mse),
    "the sum over features instead of their mean": lambda sigma, mse: (sigma, 6 * mse),
    "the root of the error instead of the error": lambda sigma, mse: (sigma, mse**0.5),
    "sigma^2 instead of the error": lambda sigma, mse: (sigma, sigma**2),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_error_in_the_history_is_noticed(fault, monkeypatch):
    settle = module.update_sigma
    monkeypatch.setattr(module, "update_sigma", lambda *arguments: PLANTED[fault](*settle(*arguments)))
    with pytest.raises(AssertionError):
        check_recorded_sigma("learned")


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)])
def test_history_has_no_sigma_if_sigma_is_fixed_or_absent(likelihood):
    vae, data, rng = small(1, likelihood)
    (record,) = train(vae, data, rng, epochs=1)
    assert record.sigma is None and record.train_mse is None


def test_fixed_sigma_is_not_trained():
    vae, data, rng = small(7, Gaussian(0.3))
    list(train(vae, data, rng, epochs=3))
    assert np.exp(vae.params["log_sigma"]) == pytest.approx(0.3, rel=1e-6)


def test_training_stops_between_two_steps_on_request():
    vae, data, rng = small(8)
    asked = iter([False] * 7 + [True])                      # an epoch has six steps, so training stops in epoch 2
    records = list(train(vae, data, rng, epochs=50, batch=8, stop=lambda: next(asked)))
    assert len(records) == 1 and np.isfinite(vae.params.flat).all()


def test_diverging_training_reports_the_step_and_keeps_finite_parameters():
    vae, data, rng = small(9, Gaussian(1.0), activation="relu")
    with np.errstate(all="ignore"), pytest.raises(Diverged, match=r"epoch \d+, step \d+: .* is the first quantity.*--lr"):
        list(train(vae, data, rng, epochs=100, lr=1e30))
    assert np.isfinite(vae.params.flat).all()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"epochs": 0}, "epochs must be a whole number >= 1; got 0"),
        ({"batch": 2.5}, "batch must be a whole number >= 1; got 2.5"),
        ({"samples": True}, "samples must be a whole number"),
        ({"lr": 0}, "lr must be a finite number > 0; got 0"),
        ({"lr": math.nan}, "lr must be a finite number > 0; got nan"),
    ],
)
def test_bad_settings_are_refused_before_the_first_epoch(settings, message):
    vae, data, rng = small()
    with pytest.raises(ValueError, match=message):
        train(vae, data, rng, **settings)


def test_data_that_do_not_fit_the_likelihood_are_refused_before_training():
    vae, data, rng = small()
    with pytest.raises(ValueError, match="within 0..1 for the Bernoulli.*Divide by 255"):
        train(vae, dataclasses.replace(data, train_x=data.train_x * 255), rng)
    with pytest.raises(ValueError, match="numpy.random.Generator"):
        train(vae, data, 0)


def test_uint8_data_and_equal_floats_train_the_same_model():
    flats = []
    for dtype in (np.uint8, np.float32, np.float64):
        vae, data, rng = small(10)
        data = dataclasses.replace(data, train_x=data.train_x.astype(dtype), test_x=data.test_x.astype(dtype))
        list(train(vae, data, rng, epochs=2))
        flats.append(vae.params.flat.copy())
    close(flats[1], flats[0], rel=0)
    close(flats[2], flats[0], rel=0)


@pytest.mark.slow
def test_autoencoder_reconstructs_better_than_a_vae_and_ignores_the_prior():
    digits = trained()[1]
    kinds = {}
    for name, settings in {"vae": {}, "autoencoder": {"beta": 0.0, "noise": False}}.items():
        rng = np.random.default_rng(0)
        vae = VAE.init(rng, 64, 2, (64,), likelihood=Binomial(16), data_mean=digits.train_x.mean(axis=0), **settings)
        history = list(train(vae, digits, rng, epochs=30))
        mu, _ = vae.encode(digits.test_x)
        kinds[name] = history[-1].train_reconstruction, np.cov(mu.T).trace()
    assert kinds["autoencoder"][0] > kinds["vae"][0]
    assert kinds["autoencoder"][1] > 2 * kinds["vae"][1]


def test_every_mini_batch_of_binarized_data_is_a_fresh_draw(monkeypatch):
    seen, forward = [], VAE.forward
    monkeypatch.setattr(VAE, "forward", lambda self, x, *rest, **how: seen.append(x) or forward(self, x, *rest, **how))
    levels = np.full((8, 6), 128, np.uint8)
    data = Dataset("half", Grey(levels), levels[:2] / 255).binarized()
    vae, _, rng = small()
    list(train(vae, data, rng, epochs=3, batch=8))
    batches = [x for x in seen if len(x) == 8]
    assert len(batches) == 3 and all(set(np.unique(x)) == {0, 1} for x in batches)
    assert len({np.sort(x, axis=0).tobytes() for x in batches}) == 3


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keep_freed_memory has no effect without glibc")
def test_malloc_reuses_freed_memory_after_a_call_of_keep_freed_memory():
    """Fill and free arrays 30 times. With keep_freed_memory, each page of memory causes one page fault instead of 30."""
    code = (
        "import resource, sys, numpy as np; from minivae.train import keep_freed_memory\n"
        "if sys.argv[1] == 'kept': keep_freed_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "begun = faults()\n"
        "for _ in range(30): arrays = [np.ones(3 << 17) for _ in range(8)]; del arrays\n"   # 8 arrays of 3 MiB
        "print(faults() - begun)"
    )
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "as it is")
    )
    assert kept < given_back / 5


def test_first_step_with_a_non_finite_result_is_named():
    vae, data, rng = small(2)
    f = vae.forward(data.train_x, vae.draw_noise(rng, 45))
    names = {"mu": "mu", "log_var": "log_var", "z": "z", "out": "the decoder's output", "log_px_z": "log p(x|z)", "kl": "KL"}
    assert module.first_bad(f) == "the loss"
    for step in reversed(names):                            # all later steps already contain NaN
        bad = np.array(getattr(f, step))
        bad.flat[-1] = np.nan
        f = f._replace(**{step: bad})
        assert module.first_bad(f) == names[step]


def test_error_for_non_finite_parameters_mentions_the_last_training_step():
    x = np.random.default_rng(0).integers(0, 2, (60, 4))
    vae, dataset = VAE.init(np.random.default_rng(0), 4), Dataset("", x[:50], x[50:])
    training = Training(vae, dataset, np.random.default_rng(0), epochs=2, batch=20)
    found = []
    for _ in training.steps():
        training.vae.params.flat[0] += np.inf
        with pytest.raises(Diverged, match="is infinite or NaN") as error:
            training.state()
        training.vae.params.flat[0] = 0
        found.append(re.search(r"epoch (\d), step (\d)", str(error.value)).groups())
    assert found == [(epoch, step) for epoch in "12" for step in "123"]
