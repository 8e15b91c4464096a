"""Every figure shows the numbers of the model at the right places and sizes, and the text of the figure states them.

No test compares a figure with a stored picture. The tests read the numbers from the artists (lines, texts, patches) of a
figure.
"""

import dataclasses
import functools
import math
import os
import re
import subprocess
import sys
from statistics import NormalDist
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, Rectangle
from matplotlib.text import Text

from minivae import figures
from minivae.data import Dataset
from minivae.evidence.sweep import Point
from minivae.figures import latent, style, training
from minivae.figures.arguments import classes_of
from minivae.gaussian import kl_standard_normal
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.train import Record, train
from minivae.vae import VAE
from tests.helpers.png import png_texts

SHAPE = (3, 4)
N, D = 40, 12


def problem(J=2, likelihood=Binomial(16), dtype=np.float64):
    """Return a small model with random weights and biases, data (N, D) and labels of four classes."""
    rng = np.random.default_rng(J)
    vae = VAE.init(rng, D, J, (7,), likelihood=likelihood, dtype=dtype)
    vae.params.flat[...] = rng.normal(0, 0.6, vae.params.flat.shape)
    x = rng.integers(0, 17, (N, D)) if isinstance(likelihood, Binomial) else rng.random((N, D))
    return vae, x, rng.integers(0, 4, N)


def history(epochs=20):
    """Return records whose ELBO is far lower in the first epochs than later."""
    records = []
    for epoch in range(1, epochs + 1):
        reconstruction, kl = -50 - 400 / epoch**2, 3 - 1 / epoch
        train = (reconstruction, kl, reconstruction - kl)
        test = (reconstruction - 4, kl, reconstruction - 4 - kl)
        records.append(Record(epoch, *train, *test))
    return records


def with_sigma(variances, errors, held_out):
    """Return one record per epoch, from sigma^2 and the mean squared errors of training data and of held-out data."""
    records = []
    for epoch, (variance, error, other) in enumerate(zip(variances, errors, held_out), start=1):
        reconstruction = -D / 2 * (math.log(2 * math.pi * variance) + other / variance)
        test = (reconstruction, 2.0, reconstruction - 2)
        records.append(Record(epoch, 0.0, 0.0, 0.0, *test, math.sqrt(variance), error))
    return records


def decreasing_sigma(epochs=30):
    """Return records in which sigma^2 falls from 1 to about 0.0515: 3 % above the mean squared error of the training data.

    This error falls from 0.07 to 0.05. The mean squared error of the held-out data falls from 0.08 to 0.06.
    """
    down = np.exp(-np.arange(epochs) / 3)
    return with_sigma(0.0515 + 0.95 * down, 0.05 + 0.02 * down, 0.06 + 0.02 * down)


def points():
    """Return the points of a sweep over beta. Beta 1 and 1.1 give points that are very near each other in the figure."""
    rows = [(0.25, 170.0, (6.0, 4.5)), (1.0, 180.0, (3.0, 2.9)), (1.1, 180.5, (2.9, 2.8)), (64.0, 250.0, (0.001, 0.0))]
    return [
        Point(beta, beta, 2, distortion, 0.01, sum(kls), -distortion - sum(kls), kls, 2 * (beta < 64), 0.5)
        for beta, distortion, kls in rows
    ]


def noise():
    return np.random.default_rng(5)


def draw(name):
    """Draw the figure with this name for the model and data of `problem`; return the figure and its alt text."""
    vae, x, y = problem({"latent_line": 1, "traversals": 13}.get(name, 2))
    return {
        "loss_curves": lambda: training.loss_curves(history(), -50.0),
        "measured_curves": lambda: training.loss_curves(history(), -50.0, -58.04, 7),
        "sigma_and_error": lambda: training.sigma_and_error(decreasing_sigma(), D),
        "kl_per_dimension": lambda: figures.kl_per_dimension(vae, x),
        "reconstructions": lambda: figures.reconstructions(vae, x, noise(), SHAPE, y),
        "prior_samples": lambda: figures.prior_samples(vae, noise(), SHAPE, x=x),
        "traversals": lambda: figures.traversals(vae, x, SHAPE),
        "latent_map": lambda: figures.latent_map(vae, x, y),
        "manifold": lambda: figures.manifold(vae, SHAPE),
        "hero": lambda: figures.hero(vae, x, y, SHAPE),
        "latent_line": lambda: figures.latent_line(vae, x, y, SHAPE),
        "rate_distortion": lambda: training.rate_distortion(points(), "beta"),
    }[name]()


drawn = functools.cache(draw)                               # the cached figures, for tests that do not change them

NAMES = [
    *("loss_curves", "sigma_and_error", "kl_per_dimension", "reconstructions", "prior_samples", "traversals"),
    *("latent_map", "manifold", "hero", "latent_line", "rate_distortion", "measured_curves"),
]
every_figure = pytest.mark.parametrize("name", NAMES)


def texts(figure):
    """Return (text, box in pixels) for every text that the figure shows.

    Matplotlib does not draw a tick label outside the limits of its axis, so these labels are left out.
    """
    figure.draw_without_rendering()
    unseen = set()
    for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        unseen |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    written = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent()) for text in written if text not in unseen]


def tiles(axes, columns, shape=SHAPE, gap=0):
    """Cut the picture in these axes into its small images; return them row by row, (rows * columns, D)."""
    H, W = shape[0] + 2 * gap, shape[1] + 2 * gap
    picture = np.ma.filled(axes.images[0].get_array(), np.nan)
    rows = picture.shape[0] // H
    cut = picture.reshape(rows, H, columns, W).transpose(0, 2, 1, 3)[:, :, gap : H - gap, gap : W - gap]
    return cut.reshape(rows * columns, -1)


def names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_rate_distortion_figure_has_a_ring_at_beta_1_and_stacked_kls():
    figure, alt = drawn("rate_distortion")
    left, right = figure.axes
    rates = [[sum(point.kls), point.distortion] for point in points()]
    np.testing.assert_allclose(left.collections[0].get_offsets(), rates)
    ring = left.collections[1].get_offsets()
    np.testing.assert_allclose(ring, [rates[1]])
    dashed = next(line for line in left.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(np.sum(dashed.get_xydata(), axis=1), 180.5)      # minus the best ELBO: 170 + 10.5
    bars = np.array([[bar.get_y(), bar.get_height()] for bar in right.patches]).reshape(4, 2, 2)
    for stack, point in zip(bars, points()):
        np.testing.assert_allclose(stack, [[0, point.kls[0]], [point.kls[0], point.kls[1]]])
    assert "is at beta 0.25; no latent dimension is active at beta 64." in alt and "to 0.00100, 250.0 at 64" in alt
    assert [text.get_text() for text in right.texts] == ["2 of 2"] * 3 + ["0 of 2"]
    written = [text.get_text() for text in left.texts]
    assert written == ["0.25", "1", "1.1", "64"]
    boxes = [box for text, box in texts(figure) if text in written]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_rate_distortion_labels_do_not_cover_points_or_each_other():
    rates, names = (0.0, 0.25, 0.65, 2.0, 2.6, 4.2), (1.0, "learned", 0.6, 0.3, "optimal", 0.1)
    distortions = (61.0, 34.0, 31.0, 1.0, -3.0, 79.0)
    close = [Point(name, 1.0, 2, d, 0.01, r, -d - r, (r, 0.0), 1, 0.5) for name, r, d in zip(names, rates, distortions)]
    figure, _ = training.rate_distortion(close, "sigma")
    figure.draw_without_rendering()
    left = figure.axes[0]
    boxes = [text.get_window_extent() for text in left.texts]
    dots = left.transData.transform(left.collections[0].get_offsets())
    assert len(boxes) == 6 and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert not any(box.contains(*dot) for box in boxes for dot in dots)
    for box, dot in zip(boxes, dots):                       # each label is next to its own point
        assert min(np.hypot(*(dot - corner)) for corner in box.corners()) < 0.5 * figure.dpi


def test_rate_distortion_figure_of_a_sweep_over_sigma_has_no_ring():
    figure, alt = training.rate_distortion(points(), "sigma")
    assert len(figure.axes[0].collections) == 1 and "beta = 1" not in alt


# Returned values and saved files


@every_figure
def test_figures_come_with_a_short_alt_text_with_numbers(name):
    figure, alt = drawn(name)
    assert type(figure) is Figure
    assert 80 < len(alt) <= 250 and alt.endswith(".") and "nan" not in alt and "$" not in alt
    assert len(re.findall(r"\d+\.\d", alt)) >= 2


def test_alt_texts_state_the_computed_numbers():
    vae, x, y = problem()
    mu, log_var = vae.encode(x)
    kl = kl_standard_normal(mu, log_var).mean(axis=0)
    assert f"z{kl.argmax() + 1} {kl.max():#.3g}, " in drawn("kl_per_dimension")[1]
    assert f"sum of all KLs: {kl.sum():#.3g} nats" in drawn("kl_per_dimension")[1]
    inside = [100 * np.mean(np.hypot(*mu.T) < r) for r in (1, 2, 3)]
    assert "{:.3g}, {:.3g} and {:.3g} % of them lie within radius 1, 2 and 3".format(*inside) in drawn("latent_map")[1]
    assert "(prior: 39.3, 86.5 and 98.9 %)" in drawn("latent_map")[1]
    assert "from -1.96 to 1.96" in drawn("manifold")[1]
    assert f"{np.var(x, axis=0).mean():.1f} for the data" in drawn("reconstructions")[1]
    assert f"{x.mean():#.3g} in the data" in drawn("prior_samples")[1]
    last = history()[-1]
    assert f"ends at {last.test_elbo:.1f} nats, {-50 - last.test_elbo:#.3g} below" in drawn("loss_curves")[1]
    assert f"began at {history()[0].test_elbo:.1f}" in drawn("loss_curves")[1]
    z = problem(1)[0].encode(problem(1)[1])[0]
    assert f"{100 * np.mean(abs(z) < 1):.3g}, " in drawn("latent_line")[1]
    assert "68.3, 95.4 and 99.7 % of the prior" in drawn("latent_line")[1]


@pytest.mark.slow
@every_figure
def test_png_contains_the_alt_text_and_is_reproducible(name, tmp_path):
    # Use a new figure: other tests have drawn the cached figure, and drawing it again can move its parts by a pixel.
    figure, alt = draw(name)
    style.save(figure, alt, tmp_path / "a.png")
    style.save(*draw(name), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert png_texts(tmp_path / "a.png") == {"Title": "minivae", "Description": alt, "Software": "minivae"}


@pytest.mark.slow
def test_save_writes_the_same_bytes_twice(tmp_path):
    figure, alt = draw("loss_curves")                       # a second layout of this figure would move its parts
    for copy in ("a.png", "b.png"):
        style.save(figure, alt, tmp_path / copy)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_alt_text_keeps_letters_outside_latin_1(tmp_path):
    style.save(Figure((1, 1)), "E\u2097 \u2265 \u2212\u221e", tmp_path / "a.png")
    assert png_texts(tmp_path / "a.png")["Description"] == "E\u2097 \u2265 \u2212\u221e"


def test_save_refuses_every_format_except_png(tmp_path):
    with pytest.raises(ValueError, match="path must be the name of a .png file"):
        style.save(Figure(), "alt", tmp_path / "figure.svg")
    assert not list(tmp_path.iterdir())


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    style.save(Figure((1, 1)), "old", tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*a\.png"):
        style.save(Figure((1, 1)), "new", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before and os.listdir(tmp_path) == ["a.png"]


def test_user_settings_do_not_change_figures_and_stay_unchanged(tmp_path):
    mine = {
        "font.size": 20, "axes.facecolor": "black", "image.origin": "lower", "lines.linewidth": 9,
        "xaxis.labellocation": "right", "scatter.marker": "x", "savefig.bbox": "tight", "text.usetex": True,
    }  # fmt: skip
    before = dict(matplotlib.rcParams)
    style.save(*draw("latent_line"), tmp_path / "plain.png")
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context(mine):
        style.save(*draw("latent_line"), tmp_path / "mine.png")
        assert all(matplotlib.rcParams[key] == value for key, value in mine.items())
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "mine.png").read_bytes()


@pytest.mark.slow
def test_figures_are_saved_without_a_display_and_without_pyplot(tmp_path):
    program = (
        "import sys, numpy as np; from minivae import figures; from minivae.figures import style\n"
        "from minivae.vae import VAE\n"
        "vae = VAE.init(np.random.default_rng(0), 4, 2, ())\n"
        "style.save(*figures.manifold(vae, (2, 2), 3), sys.argv[1])\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    command = [sys.executable, "-c", program, str(tmp_path / "figure.png")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False", "")
    assert (tmp_path / "figure.png").stat().st_size > 1000


# Lines, texts and images of a figure


@pytest.mark.slow
@every_figure
def test_every_text_lies_inside_the_edges_of_the_figure(name):
    figure, _ = drawn(name)
    written = texts(figure)
    right, top = figure.bbox.max
    inside = [text for text, b in written if 0 <= b.x0 and b.x1 <= right and 0 <= b.y0 and b.y1 <= top]
    assert [text for text, _ in written] == inside and len(inside) > 3


def test_loss_curves_show_the_recorded_values_and_elbo_is_reconstruction_minus_kl():
    figure, _ = drawn("loss_curves")
    elbo, reconstruction, kl = figure.axes
    for i, who in enumerate(("train", "test")):
        for axes, part in zip(figure.axes, ("elbo", "reconstruction", "kl")):
            expected = [getattr(record, f"{who}_{part}") for record in history()]
            np.testing.assert_array_equal(axes.lines[i].get_xdata(), np.arange(1, 21))
            np.testing.assert_array_equal(axes.lines[i].get_ydata(), expected)
        difference = reconstruction.lines[i].get_ydata() - kl.lines[i].get_ydata()
        np.testing.assert_allclose(elbo.lines[i].get_ydata(), difference, rtol=1e-12)
    assert list(elbo.lines[2].get_ydata()) == [-50.0, -50.0]
    assert [len(axes.lines) for axes in (reconstruction, kl)] == [2, 2]


def test_loss_curves_hide_a_very_low_first_elbo_but_print_its_value():
    figure, _ = training.loss_curves(history(200))
    low, high = figure.axes[0].get_ylim()
    settled = [record.test_elbo for record in history(200)[20:]]
    assert low < min(settled) and max(settled) < high and high - low < 20       # the first ELBO is about 400 lower
    assert f"\u2193 starts at \u2212{-history(200)[0].test_elbo:.1f}" in [text for text, _ in texts(figure)]


def test_alt_text_of_loss_curves_compares_the_elbo_with_log_px():
    last = history()[-1].test_elbo
    assert "0.500 below the exact" in training.loss_curves(history(), last + 0.5)[1]
    assert "0.500 above the exact" in training.loss_curves(history(), last - 0.5)[1]
    assert "0.250 above the exact" in training.loss_curves(history(), last, last + 0.25)[1]


def test_loss_curves_print_the_measured_elbo_instead_of_the_last_record():
    figure, alt = drawn("measured_curves")
    assert "ends at -58.0 nats, 8.04 below the exact log p(x)" in alt and "began at" in alt
    assert figure.get_suptitle() == "The held-out ELBO ends at \u221258.0 nats, 8.04 below the exact log p(x)"
    elbo, *parts = figure.axes
    (dot,) = [line.get_xydata() for line in elbo.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(dot, [[20, -58.04]])
    assert "held out \u221258.0" in [text.get_text() for text in elbo.texts]
    # The labels of the reconstruction and of the KL have no numbers. Each recorded held-out value comes from one draw of z
    # per data point, so the recorded reconstruction minus the recorded KL differs from the measured ELBO.
    for axes in parts:
        assert {text.get_text() for text in axes.texts if "starts" not in text.get_text()} == {"training", "held out"}
    assert not any(line.get_marker() == "o" for line in drawn("loss_curves")[0].axes[0].lines)


def test_caption_of_loss_curves_says_which_data_each_line_shows():
    caption = " ".join(drawn("measured_curves")[0].get_supxlabel().split())
    assert "Held-out curves: after each epoch, one draw of z per data point" in caption and "with many draws of z" in caption
    assert "Dot and dashed line: measured after training, on 7 held-out data points" in caption
    assert "The training curve shows other data, so it may cross the dashed line" in caption
    exact = " ".join(drawn("loss_curves")[0].get_supxlabel().split())
    assert "Dashed line: measured after training, on held-out data." in exact and "may cross" in exact
    unmeasured = " ".join(training.loss_curves(history())[0].get_supxlabel().split())
    assert "dashed" not in unmeasured.lower() and "dot" not in unmeasured.lower()


def test_loss_curves_show_all_epochs_if_the_first_elbo_is_not_low():
    records = [Record(epoch, *3 * [-20.0 - epoch], *3 * [-21.0 - epoch]) for epoch in range(1, 31)]
    for axes in training.loss_curves(records)[0].axes:
        low, high = axes.get_ylim()
        assert low < -51 and high > -21 and not any("starts" in text.get_text() for text in axes.texts)


def test_loss_curve_labels_do_not_overlap_when_curves_end_together():
    same = [Record(epoch, -5.0, 2.0, -7.0, -5.0, 2.0, -7.0) for epoch in (1, 2)]
    figure, _ = training.loss_curves(same, -7.0)
    boxes = [box for text, box in texts(figure) if re.match("training|held out|exact", text)]
    assert len(boxes) == 7                                  # three labels for the ELBO, two for each of its two parts
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_sigma_figure_draws_the_recorded_values_and_its_text_compares_them():
    figure, alt = drawn("sigma_and_error")
    (axes,) = figure.axes
    error, variance = axes.lines
    records = decreasing_sigma()
    for line, values in ((error, [r.train_mse for r in records]), (variance, [r.sigma**2 for r in records])):
        np.testing.assert_array_equal(line.get_data(), [range(1, 31), values])
    assert axes.get_yscale() == "log" and "logarithmic" in axes.get_ylabel()
    finding = "sigma\u00b2 ends at 0.0516, 3.12 % above the mean squared error of 0.0500"
    assert finding in alt and figure.get_suptitle().replace("\u00a0", " ") == f"The decoder's {finding}"
    assert "begins at 1.00, the error at 0.0700" in alt
    assert "On held-out data, the mean squared error ends at 0.0600." in alt    # the figure computes 0.0600 from log p(x|z)
    written = [text for text, _ in texts(figure)]
    assert "mean squared error\n0.0500" in written and "sigma\u00b2 of the decoder\n0.0516" in written


@pytest.mark.parametrize(
    "times, words",
    [(1.0, "the mean squared error, 0.500"), (0.9, "10.0 % below"), (2.0, "100.0 % above"), (10.1, "10.1 times")],
)
def test_text_compares_sigma_squared_with_the_error_by_percent_or_factor(times, words):
    assert words in training.compared(0.5 * times, 0.5)


def test_stated_held_out_error_is_the_error_of_the_model():
    """Without noise, reconstructions are not random, so the error is exact. A wrong sigma changes the stated error."""
    vae, x, _ = problem(2, Gaussian("learned"))
    vae = dataclasses.replace(vae, noise=False, beta=0.0)
    data = Dataset("rows", x[:20], x[20:])
    (record,) = train(vae, data, noise(), epochs=1)
    error = ((vae.decode(vae.encode(x[20:])[0]) - x[20:]) ** 2).mean()
    assert f"On held-out data, the mean squared error ends at {error:#.3g}." in training.sigma_and_error([record], D)[1]
    wrong = record._replace(sigma=1.1 * record.sigma)
    assert f"ends at {error:#.3g}." not in training.sigma_and_error([wrong], D)[1]


def test_sigma_figure_states_equal_end_values_and_its_labels_do_not_overlap():
    same = [0.3, 0.2, 0.1]
    figure, alt = training.sigma_and_error(with_sigma(same, same, same), D)
    assert "sigma\u00b2 ends at the mean squared error, 0.100." in alt
    boxes = [box for text, box in texts(figure) if text.endswith("\n0.100")]
    assert len(boxes) == 2 and not boxes[0].overlaps(boxes[1])
    assert "50.0 % below" in training.sigma_and_error(with_sigma([0.1], [0.2], [0.2]), D)[1]


@pytest.mark.parametrize("ends", [(0.031, 0.033), (0.034, 1), (1.01, 2.99), (290, 290), (1e-9, 1), (99, 101)])
def test_ticks_of_a_logarithmic_axis_are_few_and_correct(ends):
    (axes,) = training.sigma_and_error(with_sigma(ends, ends, ends), D)[0].axes
    ticks, (low, high) = axes.get_yticks(), axes.get_ylim()
    assert 2 <= len(ticks) <= 14 and low <= min(ticks) and max(ticks) <= high and not len(axes.get_yticks(minor=True))
    labels = [float(name.replace("\u2212", "-")) for name in names(axes.yaxis)]
    np.testing.assert_allclose(labels, ticks, rtol=1e-5)


@pytest.mark.parametrize("J", [1, 2, 6, 30])
def test_kl_bars_are_sorted_and_only_active_dimensions_are_filled(J):
    vae, x, _ = problem(J)
    weight, bias = vae.layers("encoder")[-1]
    weight[:, : J // 2] = 0                                 # make the first J // 2 means of q(z|x) constant
    if J > 2:
        weight[:, J // 2] *= 0.01                           # make one more mean of q(z|x) nearly constant
    mu, log_var = vae.encode(x)
    kl = kl_standard_normal(mu, log_var).mean(axis=0)
    order = np.argsort(-kl)
    (axes,) = figures.kl_per_dimension(vae, x)[0].axes
    bars = axes.containers[0].patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], kl[order], rtol=1e-12)
    filled = [bar.get_facecolor()[:3] != (1, 1, 1) for bar in bars]
    assert filled == [bool(a > 0.01) for a in mu.var(axis=0)[order]]
    assert sum(filled) == J - J // 2 - (J > 2)
    assert "nats" in axes.get_ylabel() and axes.get_xlabel().startswith("latent dimension, largest KL first")
    assert ("variance of its mean" in axes.get_xlabel()) == (J <= 24)
    if J <= 24:
        assert [name.split("\n")[0] for name in names(axes.xaxis)] == [f"$z_{{{u + 1}}}$" for u in order]
        shown = [float(name.split("\n")[1]) for name in names(axes.xaxis)]
        np.testing.assert_allclose(shown, mu.var(axis=0)[order], rtol=0.006, atol=1e-20)


def test_reconstructions_show_the_mean_and_a_sample_decoded_from_the_same_z():
    vae, x, y = problem()
    (axes,) = figures.reconstructions(vae, x, noise(), SHAPE, y, n=6)[0].axes
    chosen = [np.flatnonzero(y == label)[0] for label in range(4)]      # the first image of each class
    chosen += [np.flatnonzero(y == label)[1] for label in range(2)]     # the second image of the classes 0 and 1
    rng = noise()
    mu, log_var = vae.encode(x)
    z = mu + np.exp(log_var / 2) * vae.draw_noise(rng, N)[0]
    means, draws = vae.decode(z), vae.sample(rng, z)
    expected = np.concatenate([x[chosen], means[chosen], draws[chosen]])
    np.testing.assert_allclose(tiles(axes, 6, gap=1), expected, rtol=1e-12)
    assert names(axes.xaxis) == ["0", "1", "2", "3", "0", "1"]
    assert names(axes.yaxis) == ["data", "mean of p(x|z)", "sample from p(x|z)"]
    assert list(axes.get_yticks()) == [2.5, 1.5, 0.5]       # the first row of images is at the top


def test_grey_scale_of_unbounded_pixels_is_the_range_of_the_data():
    vae, x, _ = problem(2, Gaussian("learned"))
    rows = figures.reconstructions(vae, x, noise(), SHAPE)
    grids = figures.prior_samples(vae, noise(), SHAPE, x=x)
    for figure, _ in (rows, grids):
        assert {axes.images[0].get_clim() for axes in figure.axes} == {(x.min(), x.max())}


def test_prior_samples_show_means_and_samples_decoded_from_the_same_z():
    vae, x, _ = problem()
    left, right = figures.prior_samples(vae, noise(), SHAPE, n=7)[0].axes
    rng = noise()
    z = rng.standard_normal((7, 2))
    np.testing.assert_allclose(tiles(left, 3, gap=1)[:7], vae.decode(z), rtol=1e-12)
    np.testing.assert_allclose(tiles(right, 3, gap=1)[:7], vae.sample(rng, z), rtol=1e-12)
    assert np.isnan(tiles(left, 3, gap=1)[7:]).all()        # two of the 3 x 3 places are empty


def test_traversal_rows_are_sorted_by_kl_and_each_row_varies_one_coordinate():
    vae, x, _ = problem(13)
    figure, alt = figures.traversals(vae, x, SHAPE, n=5)
    kl = kl_standard_normal(*vae.encode(x)).mean(axis=0)
    order = np.argsort(-kl)[:10]
    z = [NormalDist().inv_cdf(p) for p in (0.1, 0.3, 0.5, 0.7, 0.9)]
    expected = np.concatenate([vae.decode(np.outer(z, np.eye(13)[u])) for u in order])
    np.testing.assert_allclose(tiles(figure.axes[0], 5, gap=1), expected, rtol=1e-12)
    assert names(figure.axes[0].yaxis) == [f"$z_{{{u + 1}}}$" for u in order]
    assert f"Not shown: 3 dimensions, {np.sort(kl)[:3].sum():#.3g} nats in all" in alt
    assert f"{kl[order[0]]:#.3g} nats" in [text for text, _ in texts(figure)]


@pytest.mark.parametrize("likelihood", [Binomial(16), Bernoulli(), Gaussian("learned")], ids=repr)
def test_manifold_shows_decoder_means_at_normal_quantiles_and_z_1_is_horizontal(likelihood):
    vae, _, _ = problem(2, likelihood)
    (axes,) = figures.manifold(vae, SHAPE, n=5)[0].axes
    z = [NormalDist().inv_cdf(p) for p in (0.1, 0.3, 0.5, 0.7, 0.9)]
    expected = [vae.decode(np.array([[z_1, z_2]]))[0] for z_2 in reversed(z) for z_1 in z]
    np.testing.assert_allclose(tiles(axes, 5), expected, rtol=1e-12)
    assert axes.images[0].origin == "upper" and axes.images[0].get_extent() == [0, 5, 0, 5]
    assert not np.ma.getmaskarray(axes.images[0].get_array()).any()             # no gaps
    # The map is 5 images wide and high. The tick with the label z is at 5 P(Z < z), for a standard normal Z.
    for axis in (axes.xaxis, axes.yaxis):
        mass = [NormalDist().cdf(float(name.replace("\u2212", "-"))) for name in names(axis)]
        np.testing.assert_allclose(axis.get_ticklocs(), 5 * np.array(mass), rtol=1e-12)
    white, black = axes.images[0].get_clim()
    if isinstance(likelihood, Gaussian):
        assert (white, black) == pytest.approx((np.min(expected), np.max(expected)))
    else:
        assert (white, black) == (0, getattr(likelihood, "n", 1))
    assert axes.images[0].cmap([0.0, 1.0]).tolist() == [[1, 1, 1, 1], [0, 0, 0, 1]]         # the largest value is black


def test_latent_map_shows_codes_and_prior_circles_on_axes_of_equal_scale():
    vae, x, y = problem()
    mu, _ = vae.encode(x)
    figure, _ = figures.latent_map(vae, x, y)
    (axes,) = figure.axes
    circles = [patch for patch in axes.patches if isinstance(patch, Circle)]
    assert [(circle.center, circle.radius) for circle in circles] == [((0, 0), 1), ((0, 0), 2), ((0, 0), 3)]
    figure.draw_without_rendering()
    unit = np.diff(axes.transData.transform([(0, 0), (1, 1)]), axis=0)
    assert axes.get_aspect() == 1 and unit[0, 0] == pytest.approx(unit[0, 1])
    for scatter, label in zip(axes.collections, range(4), strict=True):
        np.testing.assert_array_equal(scatter.get_offsets(), mu[y == label])
    masses = [text.get_text() for text in axes.texts if "%" in text.get_text()]
    assert masses == [f"{100 * (1 - math.exp(-r * r / 2)):.0f} %" for r in (1, 2, 3)]
    codes = np.concatenate([mu - 1e-9, mu + 1e-9])
    assert (codes > [axes.get_xlim()[0], axes.get_ylim()[0]]).all()
    assert (codes < [axes.get_xlim()[1], axes.get_ylim()[1]]).all()


@pytest.mark.parametrize("end", [(9, 0), (-9, 1), (0, 9), (0, -9), (1, 1), (5, -4)])
def test_latent_map_has_small_margins_unless_one_side_would_be_too_short(end):
    low, high = latent.limits(np.array([[0.0, 0.0], end]))
    first, last = np.minimum(-3, end), np.maximum(3, end)   # corners of a box around all circles and `end`
    assert (low < first).all() and (high > last).all()
    free = 1 - (last - first) / (high - low)
    assert free.max() < 0.1 or (high - low).min() == pytest.approx(0.6 * (high - low).max())


def test_ellipses_show_encoder_gaussians_out_to_two_sigma():
    vae, x, y = problem()
    mu, log_var = vae.encode(x)
    (axes,) = figures.latent_map(vae, x, y)[0].axes
    ellipses = [patch for patch in axes.patches if type(patch) is Ellipse]
    assert 5 <= len(ellipses) <= 12
    for ellipse in ellipses:
        (i,) = np.flatnonzero((mu == ellipse.center).all(axis=1))
        sigma = np.sqrt(np.exp(log_var[i]))
        np.testing.assert_allclose([ellipse.width, ellipse.height], 2 * 2 * sigma, rtol=1e-12)
        assert ellipse.angle == 0


def overlapping_clusters(seed):
    """Return latent codes (300, 2) in ten overlapping clusters, and the labels of the codes."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(10), 30)
    return rng.normal(0, 1.2, (10, 2))[y] + rng.normal(0, 0.4, (300, 2)), y


@pytest.mark.parametrize("seed", range(3))
def test_class_names_in_the_figure_cover_no_point_and_no_other_name(seed):
    mu, y = overlapping_clusters(seed)
    figure = style.page(6.2, 6.2)
    axes = figure.subplots()
    axes.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    _, places = latent.draw_classes(axes, mu, y, mu, classes_of(y, len(y))[1])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [*"0123456789"]
    np.testing.assert_array_equal(places, [text.get_position() for text in axes.texts])
    codes = axes.transData.transform(mu)
    assert not any(box.contains(*code) for box in boxes for code in codes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    for label, text in enumerate(axes.texts):               # names at the medians would cover points
        text.set_position(np.median(mu[y == label], axis=0))
    assert any(text.get_window_extent().contains(*code) for text in axes.texts for code in codes)


def test_class_name_is_near_the_class_median_or_a_line_leads_there():
    y = np.repeat([0, 1, 7], 20)
    centres = np.array([[2.0, 0.0], [-2.0, 1.0], [-2.0, 1.0]])
    mu = np.repeat(centres, 20, axis=0) + np.random.default_rng(0).normal(0, 1e-3, (60, 2))
    axes = Figure().subplots()
    axes.set(xlim=(-4, 4), ylim=(-4, 4))
    right, places = latent.draw_classes(axes, mu, y, mu, classes_of(y, len(y))[1])
    away = np.linalg.norm(places - centres, axis=1)
    assert 0.2 < away[0] < 0.5 and away.max() < 1           # near the points, but not on the points
    assert np.linalg.norm(places[1] - places[2]) > 0.4
    lines = {line.get_color(): line.get_xydata() for line in axes.lines}
    for label, centre, place, distance in zip((0, 1, 7), centres, places, away):
        if distance > 0.33:
            np.testing.assert_allclose(lines[style.CLASSES[label]], [centre, place], atol=0.01)
    # `right` is the fraction of codes that are nearer to the median of their own class than to any other median. All codes
    # of class 0 count, but only a part of the codes of the classes 1 and 7, because these two classes overlap.
    assert 0.33 < right < 1


def test_percentages_at_the_circles_do_not_cover_points():
    def names_at(places):
        axes = Figure().subplots()
        latent.draw_prior(axes, np.reshape(places, (-1, 2)), named=True)
        assert [text.get_text() for text in axes.texts] == ["39 %", "86 %", "99 %"]
        return np.array([text.get_position() for text in axes.texts])

    np.testing.assert_allclose(names_at([]), [[0, 1], [0, 2], [0, 3]], atol=1e-12)
    codes = [[0, 2.1], [1, 1.5], [-2, 0.1]]
    at = names_at(codes)
    np.testing.assert_allclose(np.hypot(*at.T), [1, 2, 3])
    assert np.linalg.norm(at[:, None] - codes, axis=-1).min() > 0.9
    with pytest.raises(AssertionError):                     # labels at the top of the circles would cover codes
        assert np.linalg.norm(names_at([])[:, None] - codes, axis=-1).min() > 0.9


def test_codes_without_labels_are_drawn_as_dots():
    vae, x, _ = problem()
    (axes,) = figures.latent_map(vae, x)[0].axes
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), vae.encode(x)[0])
    assert len(axes.collections) == 1


def test_both_parts_of_the_hero_figure_have_the_same_orientation():
    """The hero is the picture at the top of the README: the latent map on the left, the manifold on the right."""
    vae, x, y = problem()
    left, right = drawn("hero")[0].axes
    assert left.get_xlabel() == "$z_1$" and right.get_xlabel().startswith("$z_1$")
    z = NormalDist().inv_cdf(0.5 / 16)
    corners = vae.decode(np.array([[z, -z], [-z, -z], [z, z], [-z, z]]))    # top left, top right, bottom left, bottom right
    np.testing.assert_allclose(tiles(right, 16)[[0, 15, -16, -1]], corners, rtol=1e-12)
    (box,) = [patch for patch in left.patches if isinstance(patch, Rectangle)]
    np.testing.assert_allclose(box.get_corners()[[0, 2]], [[z, z], [-z, -z]], rtol=1e-12)


def test_large_latent_map_draws_every_third_code_and_its_caption_says_so():
    vae, x, y = problem()
    x, y = np.tile(x, (101, 1)), np.tile(y, 101)            # 4040 data points
    figure, alt = figures.latent_map(vae, x, y)
    assert sum(len(glyphs.get_offsets()) for glyphs in figure.axes[0].collections) == math.ceil(4040 / 3)
    assert "means of q(z|x) for 4040 data points (1 in 3 drawn)" in " ".join(figure.get_supxlabel().split())
    assert "means of q(z|x) for 4040 data points;" in alt


def test_latent_map_of_a_deterministic_model_has_no_ellipses():
    vae, x, _ = problem()
    figure, alt = figures.latent_map(dataclasses.replace(vae, noise=False), x)
    widths = [patch.width for patch in figure.axes[0].patches if type(patch) is Ellipse]
    assert not any(widths) and "Ellipses" not in figure.get_supxlabel() + alt


@pytest.mark.slow
def test_figures_of_the_smallest_models_and_data_can_be_drawn():
    one, two, three = problem(1)[0], problem(2)[0], problem(3)[0]
    x, y, shape = problem(2)[1][:1], [3], (12, 1)
    for figure, _ in [
        figures.manifold(two, shape, 1),
        figures.latent_map(two, x, y),
        figures.traversals(three, x, shape, 1),
        figures.reconstructions(two, x, noise(), shape, y, 1),
        figures.prior_samples(two, noise(), shape, 1),
        figures.latent_line(one, x, y, shape, 1),
        figures.kl_per_dimension(two, x),
        training.loss_curves(history(1)),
    ]:
        figure.draw_without_rendering()                     # a warning would fail the test


def test_latent_line_has_decoded_images_above_one_row_of_codes_per_class():
    vae, x, y = problem(1)
    above, rows = drawn("latent_line")[0].axes
    z = vae.encode(x)[0][:, 0]
    for label in range(4):
        offsets = rows.collections[label].get_offsets()
        np.testing.assert_array_equal(offsets[:, 0], z[y == label])
        assert set(offsets[:, 1]) == {label}
    low, high = rows.get_xlim()
    assert low < z.min() and z.max() < high and above.get_xlim() == (low, high)
    middle = low + (high - low) * (np.arange(20) + 0.5) / 20
    np.testing.assert_allclose(tiles(above, 20), vae.decode(middle[:, None]), rtol=1e-12)


# Choice of figures, and refused arguments


@pytest.mark.slow
@pytest.mark.parametrize(
    ("J", "of_images", "of_others"),
    [
        (1, {"latent_line"}, {"latent_line"}),
        (2, {"latent_map", "manifold", "hero"}, {"latent_map"}),
        (3, {"traversals"}, set()),
    ],
)
@pytest.mark.parametrize("labelled", [True, False])
def test_function_all_figures_draws_only_figures_that_suit_model_and_data(J, of_images, of_others, labelled):
    vae, x, y = problem(J)
    y = y if labelled else None
    data = SimpleNamespace(train_x=x, train_y=y, test_x=x, test_y=y, image_shape=SHAPE)
    images = {"reconstructions", "prior_samples"}
    always = {"kl_per_dimension"}
    drawn = figures.all_figures(vae, data, history(), noise(), -50.0, -58.04)
    assert "-58.0 nats, 8.04 below" in drawn["loss_curves"][1]
    assert set(drawn) == {"loss_curves"} | always | images | of_images
    data.image_shape = None
    drawn = figures.all_figures(vae, data, [], noise())
    assert set(drawn) == always | of_others
    assert all(type(figure) is Figure and alt for figure, alt in drawn.values())


def test_sigma_is_drawn_only_if_recorded_and_the_objective_is_the_elbo():
    vae, x, _ = problem(3, Gaussian("learned"))
    data = SimpleNamespace(train_x=x, train_y=None, test_x=x, test_y=None, image_shape=None)
    older = [record._replace(sigma=None, train_mse=None) for record in decreasing_sigma()[:10]]
    figure, alt = figures.all_figures(vae, data, older + decreasing_sigma()[10:], noise())["sigma_and_error"]
    assert list(figure.axes[0].lines[0].get_xdata()) == list(range(11, 31)) and "epoch 11 to 30" in alt
    assert "sigma_and_error" not in figures.all_figures(vae, data, older, noise())
    weighted = dataclasses.replace(vae, objective="iwae", estimator="sampled")
    assert "sigma_and_error" not in figures.all_figures(weighted, data, decreasing_sigma(), noise())


def refusals():
    one, two, three = problem(1), problem(2), problem(3)
    vae, x, y = two
    broken = [history()[0]._replace(test_kl=math.nan)]
    return {
        "map of J = 3": ("two latent dimensions", lambda: figures.latent_map(*three)),
        "map of J = 1": ("two latent dimensions", lambda: figures.latent_map(*one)),
        "manifold of J = 3": ("two latent dimensions", lambda: figures.manifold(three[0], SHAPE)),
        "hero of J = 1": ("two latent dimensions", lambda: figures.hero(*one, SHAPE)),
        "traversals of J = 2": ("more than two latent", lambda: figures.traversals(vae, x, SHAPE)),
        "line of J = 2": ("one latent dimension", lambda: figures.latent_line(vae, x)),
        "shape": (r"height \* width = 12", lambda: figures.manifold(vae, (3, 5))),
        "shape of three": (r"height \* width = 12", lambda: figures.manifold(vae, (3, 4, 1))),
        "shape as number": ("image_shape must be", lambda: figures.manifold(vae, 12)),
        "no tiles": ("n must be a whole number", lambda: figures.manifold(vae, SHAPE, 0)),
        "labels as fractions": ("labels must be whole", lambda: figures.latent_map(vae, x, y + 0.5)),
        "labels too few": ("labels must be of shape", lambda: figures.latent_map(vae, x, y[:-1])),
        "rng as seed": ("rng must be", lambda: figures.prior_samples(vae, 3, SHAPE)),
        "x out of range": ("whole numbers 0..16", lambda: figures.kl_per_dimension(vae, x + 9)),
        "history empty": ("history must be one record", lambda: training.loss_curves([])),
        "history with nan": ("history must be finite", lambda: training.loss_curves(broken)),
        "sigma not recorded": ("all with sigma", lambda: training.sigma_and_error(history(), D)),
        "sigma without epochs": ("all with sigma", lambda: training.sigma_and_error([], D)),
        "sigma 0": ("above 0", lambda: training.sigma_and_error([decreasing_sigma()[0]._replace(sigma=0.0)], D)),
        "sigma nan": ("finite", lambda: training.sigma_and_error([decreasing_sigma()[0]._replace(sigma=math.nan)], D)),
        "log_px nan": ("log_px must be", lambda: training.loss_curves(history(), math.nan)),
        "elbo nan": ("elbo must be", lambda: training.loss_curves(history(), -50.0, math.nan)),
    }


REFUSALS = refusals()


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_of_a_bad_argument_states_the_rule(name):
    rule, call = REFUSALS[name]
    with pytest.raises(ValueError, match=rule) as refused:
        call()
    assert "; got " in str(refused.value)


# Colours


def linear(colours):
    """Convert n colours from sRGB hex codes to linear light, (n, 3)."""
    c = np.array([[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in colours])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


# Each matrix turns a colour (linear light) into the colour that a person sees. The first person has normal sight; the others
# are blind to red (protan), green (deutan) or blue (tritan). The numbers are from Machado, Oliveira and Fernandes (2009).
EYES = np.array([
    np.eye(3),
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
])  # fmt: skip


def oklab(light):
    """Return Oklab coordinates (Ottosson 2020) of linear light (..., 3): colours that look similar have a small distance."""
    to_cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    to_lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
              [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.cbrt(np.clip(light, 0, 1) @ np.transpose(to_cones)) @ np.transpose(to_lab)


def closest(colours, eyes=EYES):
    """Return the smallest distance between two colours, over all pairs of colours and all kinds of eyes."""
    pairs = np.triu_indices(len(colours), 1)
    seen = [oklab(linear(colours) @ eye.T) for eye in eyes]
    return min(np.linalg.norm(lab[:, None] - lab, axis=-1)[pairs].min() for lab in seen)


def test_colour_blind_readers_can_distinguish_the_class_colours():
    # The contrast ratio of each class colour with white, as defined by WCAG 2 (Web Content Accessibility Guidelines)
    contrast = 1.05 / (linear(style.CLASSES) @ [0.2126, 0.7152, 0.0722] + 0.05)
    assert contrast.min() > 3
    petroff10 = "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd".split()
    assert closest(style.CLASSES) / closest(petroff10) == pytest.approx(1.9, abs=0.05)
    assert closest(style.CLASSES, EYES[:1]) / closest(petroff10, EYES[:1]) == pytest.approx(1.9, abs=0.05)


def test_at_most_two_class_colours_are_near_purple():
    _, a, b = oklab(linear(style.CLASSES)).T
    hue, chroma = np.degrees(np.arctan2(b, a)) % 360, np.hypot(a, b)
    assert np.sum((hue > 268) & (hue < 352) & (chroma > 0.05)) <= 2            # from violet to pink
    assert np.sum((hue > 285) & (hue < 345) & (chroma > 0.05)) <= 1
    old = "#442991 #7a02ef #9c4fad".split()                 # three purples
    _, a, b = oklab(linear(old)).T
    assert np.sum((np.degrees(np.arctan2(b, a)) % 360 > 268) & (np.hypot(a, b) > 0.05)) == 3


def test_class_names_are_drawn_on_top_of_ellipses_and_do_not_overlap():
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 9)), np.array(["a very long name of a cat", "a very long name of a dog"] * 30)
    vae = VAE.init(rng, 9, 2)
    for figure in (figures.latent_map(vae, x, y)[0], figures.hero(vae, x, y, (3, 3))[0]):
        figure.draw_without_rendering()
        axes = figure.axes[0]
        names = [text for text in axes.texts if text.get_text().startswith("a very")]
        ellipses = [patch for patch in axes.patches if type(patch).__name__ == "Ellipse"]
        assert len(names) == 2 and len(ellipses) == 9
        assert max(one.get_zorder() for one in ellipses) < min(name.get_zorder() for name in names)
        first, second = (name.get_window_extent() for name in names)
        assert not first.overlaps(second)
