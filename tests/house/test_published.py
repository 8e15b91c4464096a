"""The benchmark of published results has the schedule of the paper, and its runs can be stopped and resumed."""

import argparse
import json

import numpy as np
import pytest

from minivae import data
from tests.benchmarks import published
from tests.data.test_data import mnist


def test_each_of_eight_stages_is_three_times_as_long_as_the_previous():
    assert published.BURDA.epochs == 3280 and published.stage_of(3280) == 7
    assert [published.stage_of(epoch) for epoch in (1, 2, 4, 5, 13, 14, 40, 41, 364, 365)] == [0, 1, 1, 2, 2, 3, 3, 4, 5, 6]
    assert published.BURDA.rate(1) == 1e-3 and published.BURDA.rate(3280) == pytest.approx(1e-4)
    assert published.SETTINGS["grey"].rate(10) == 1e-3


def test_two_hour_schedule_has_a_cosine_learning_rate_and_increases_beta():
    setting = published.SETTINGS["vae-2h"]
    assert [setting.rate(epoch) for epoch in (1, 501)] == pytest.approx([1e-3, 5e-4]) and setting.rate(1000) < 1e-8
    assert [setting.beta(epoch) for epoch in (1, 50, 100, 1000)] == [0.01, 0.5, 1, 1]
    assert {published.SETTINGS[name].beta(1) for name in ("vae", "iwae-5", "iwae-5-2h", "grey")} == {1}


def options(tmp_path, out, **changed):
    settings = {"data": tmp_path, "out": tmp_path / out, "epochs": 3, "k": 20, "rows": None, "threads": 1, "processes": 2}
    (tmp_path / out).mkdir(exist_ok=True)
    return argparse.Namespace(**settings | changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae-2h", "iwae-5", "grey"])
def test_resumed_run_of_a_published_setting_equals_an_uninterrupted_run(tmp_path, name):
    mnist(tmp_path)
    published.run(name, options(tmp_path, "two", epochs=1))
    one, two = (published.run(name, options(tmp_path, out)) for out in ("one", "two"))
    assert one["measured"] == two["measured"] and one["epochs_done"] == two["epochs_done"] == 3
    assert (tmp_path / "one" / f"{name}.npz").read_bytes() == (tmp_path / "two" / f"{name}.npz").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "two" / "results.jsonl").read_text().splitlines()]
    assert [row["epochs_done"] for row in rows] == [1, 3] and rows[1]["commit"] == published.commit()
    assert f"{one['measured']:.2f}" in published.table([one]) and str(one["published"]) in published.table([one])


def test_more_draws_reduce_the_estimate_of_minus_log_px_and_its_error(tmp_path):
    dataset = data.load(mnist(tmp_path)).binarized()
    training, _ = published.train_or_resume("vae", dataset, 1, options(tmp_path, "out").out)
    found = {k: published.nll(training.vae, dataset.test_x, k) for k in (2, 2000)}
    assert found[2000][0] < found[2][0] - 3 * found[2][1] and found[2000][1] < found[2][1]
    assert np.isfinite(list(found.values())).all()


def test_published_setting_uses_its_learning_rates_and_initial_weights(tmp_path):
    whole = data.load(mnist(tmp_path))
    training, _ = published.train_or_resume("vae", whole.binarized(), 3, options(tmp_path, "out").out)
    assert training.optimiser.lr == published.BURDA.rate(3) < 1e-3 and training.optimiser.tiny == 1e-4
    grey = published.start(published.SETTINGS["grey"], whole, 1)
    for part in ("encoder", "decoder"):
        for weight, bias in grey.vae.layers(part):
            edge = len(weight) ** -0.5
            assert 0.9 * edge < np.abs(weight).max() <= edge and 0 < np.abs(bias).max() <= edge
