"""`evaluate` prints bounds in increasing order, reports a wrong order, refuses bad options, and draws correct figures."""

import functools
import json
import shlex
import shutil

import numpy as np
import pytest

from minivae import data, runs
from minivae.app import cli, evaluate
from minivae.evidence import exact_linear, exact_log_px, gap, with_best_encoder
from minivae.figures import evidence, style
from minivae.likelihood import Binomial
from minivae.runs.checkpoint import Saved
from minivae.vae import VAE
from tests.helpers.linear import linear_model
from tests.helpers.trained import trained

K = (1, 4, 16, 64)
CONFIG = {name: kind() for name, kind in runs.directory.CONFIG.items()} | {"data": "digits"}
QUICK = ["--k", "1,10,100", "--rows", "12", "-q"]


@functools.cache
def measured():
    """Return all measurements of a model with two latent dimensions on ten images of digits."""
    vae, digits, _ = trained()
    return evaluate.measure(vae, digits.test_x[:10], K, 0, ais=True, split=True)


def write_run(path, **kind):
    """Write a run of an untrained model; return its directory."""
    rng, mean = np.random.default_rng(0), data.digits().train_x.mean(axis=0)
    vae = VAE.init(rng, 64, **{"latent": 2, "hidden": (8,), "likelihood": Binomial(16), "data_mean": mean} | kind)
    runs.write(runs.Run(runs.create(path), CONFIG, [], Saved(vae)))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Write a run of a trained model with two latent dimensions; return the directory of the run."""
    path = tmp_path_factory.mktemp("evaluate") / "run"
    runs.write(runs.Run(runs.create(path), CONFIG, [], Saved(trained()[0])))
    return path


def printed(capsys, *arguments, code=0):
    capsys.readouterr()
    assert cli.main(["evaluate", *map(str, arguments)]) == code
    return capsys.readouterr()


# Numbers


def test_evaluate_table_is_sorted_from_the_lowest_bound_to_log_px():
    m = measured()
    assert [row.label for row in m.table] == ["ELBO", "IW_1", "IW_4", "IW_16", "IW_64", "AIS", "log p(x)"]
    assert evaluate.violations(m) == []
    vae, digits, _ = trained()
    exact = exact_log_px(vae, digits.test_x[:10]).log_px
    assert m.exact.mean == pytest.approx(exact.mean(), abs=1e-5)
    iw = [row.mean for row in m.table[1:5]]
    assert iw == sorted(iw) and iw[-1] < exact.mean() and abs(m.ais.mean - exact.mean()) < 1


def test_elbo_error_assumes_independent_errors_but_log_px_error_does_not():
    m = measured()
    assert m.table[0].error == pytest.approx(np.linalg.norm(m.bounds.elbo_se) / 10)
    assert m.exact.error == pytest.approx(m.parts.error.mean())


def test_gap_and_rate_are_sums_of_parts_and_elbo_agrees_with_sampling():
    m = measured()
    document = evaluate.document_of(m, [])
    split = document["gap"]
    assert split["elbo"] + split["amortisation"] + split["approximation"] == pytest.approx(split["log_px"], abs=1e-9)
    assert split["amortisation"] >= 0 and split["approximation"] > -1e-6
    assert abs(split["elbo"] - m.table[0].mean) < 6 * m.table[0].error          # fails for 2 of 10^9 seeds
    assert document["rate"] == pytest.approx(document["mutual_information"] + document["marginal_kl"], rel=1e-12)


def test_options_ais_and_gap_change_no_other_number():
    vae, digits, _ = trained()
    less = evaluate.measure(vae, digits.test_x[:10], K, 0)
    for low, high in zip(less.table[:5], measured().table):
        assert low.mean == high.mean
    assert less.rates.mutual_information == measured().rates.mutual_information


def test_log_px_of_linear_gaussian_model_is_computed_in_closed_form():
    vae, x = linear_model(3, 4)
    m = evaluate.measure(vae, x, (1, 100), 0)
    assert m.exact.mean == exact_linear(vae, x).log_px.mean() and "closed form" in m.exact.meaning


def test_wrong_order_of_bounds_is_noticed_if_log_px_is_unknown():
    vae, digits, _ = trained()
    m = measured()._replace(exact=None, parts=None)
    assert evaluate.violations(m) == [] and "is not known" in evaluate.meaning(m)
    falling = m.bounds._replace(iw_bound=m.bounds.iw_bound - 50 * np.arange(4)[:, None])
    assert any(line.startswith("IW_1 <= IW_4 is violated") for line in evaluate.violations(m._replace(bounds=falling)))


@pytest.mark.parametrize("label", ["ELBO", "IW_1", "IW_64", "AIS"])
def test_bound_more_than_four_standard_errors_above_log_px_is_noticed(label):
    m = measured()
    row, = (row for row in m.table if row.label == label)
    for errors, noticed in ((3, False), (5, True)):
        shifted = m.exact.values - m.exact.mean + row.mean - errors * row.error
        truth = m.exact._replace(values=shifted, errors=0 * m.exact.values)
        wrong = evaluate.violations(m._replace(exact=truth))
        assert any(line.startswith(f"{label} <= log p(x)") for line in wrong) == noticed


def test_infinite_bound_is_not_a_violation_and_is_null_in_json():
    m = measured()
    nothing = m.bounds._replace(iw_bound=0 * m.bounds.iw_bound - np.inf, iw_bound_se=0 * m.bounds.iw_bound + np.inf)
    m = m._replace(bounds=nothing)
    assert evaluate.violations(m) == []
    assert json.loads(json.dumps(evaluate.document_of(m, []), allow_nan=False))["table"][1]["mean"] is None


# The command


@pytest.mark.slow
def test_text_of_evaluate_has_the_numbers_of_its_json_document(run, capsys, tmp_path, monkeypatch):
    asked = ["--k", "1,10", "--rows", "2", "-q", "--gap", "--ais", "--exact", "--out", tmp_path]
    drawn, save = figures(), style.save
    monkeypatch.setattr(evaluate, "pictures", lambda *anything: drawn)
    monkeypatch.setattr(style, "save", lambda *what: save(*what) if what[-1].stem == evidence.NAMES[0] else what[-1].touch())
    document = json.loads(printed(capsys, run, *asked, "--json").out)
    monkeypatch.setattr(style, "save", lambda figure, alt, path: path.touch())     # figures are not needed now
    text = printed(capsys, run, *asked, "--overwrite").out
    assert set(document) == {
        *("rows", "held_out", "read", "seed", "run", "command", "table", "meaning", "violations", "gap", "files"),
        *("reconstruction", "rate", "distortion", "mutual_information", "marginal_kl", "surgery_se"),
        *("kl_per_dimension", "active", "latent"),
    }
    assert json.loads((tmp_path / "evaluate.json").read_text()) == document
    for row in document["table"]:
        assert set(row) == {"label", "mean", "error", "meaning"}
        assert f"  {row['label']:10} {row['mean']:10.3f}" in text and row["meaning"] in text
    assert text.startswith("the first 2 of 355 held-out data points") and document["meaning"] in text
    assert "in order: ELBO <= IW_k <= log p(x)" in text and evaluate.GAP in text and text.count("1 nat = ") == 1
    meanings = {"amortisation": "the encoder's error", "approximation": "the error of the best diagonal Gaussian"}
    for part, about in meanings.items():
        assert f"  {document['gap'][part]:7.3f}  {about}" in text
    assert f"again  {document['command']}" in text
    files = ["evaluate.json", *(f"{name}.png" for name in evidence.NAMES)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    words = shlex.split(document["command"])
    assert words[:2] == ["minivae", "evaluate"] and cli.make_parser().parse_args(words[1:]).rows == 2


def test_evaluate_writes_nothing_by_default_and_prints_the_same_for_equal_seeds(run, capsys):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in run.iterdir())
    first, same, other = (printed(capsys, run, *QUICK, "--seed", seed).out for seed in (1, 1, 2))
    assert first == same != other
    assert sorted((path.name, path.stat().st_mtime_ns) for path in run.iterdir()) == before


def test_evaluate_reports_a_violated_order_of_bounds_and_exits_with_1(run, capsys, monkeypatch):
    def too_low(vae, x):
        exact = exact_log_px(vae, x)
        return exact._replace(log_px=exact.log_px - 100)

    monkeypatch.setattr(evaluate, "exact_log_px", too_low)
    assert "WRONG: ELBO <= log p(x) is violated by" in printed(capsys, run, *QUICK, code=1).out
    document = json.loads(printed(capsys, run, *QUICK, "--json", code=1).out)
    assert len(document["violations"]) == 4


def test_evaluate_measures_the_same_held_out_rows_as_train_by_default(run, monkeypatch, capsys):
    """The options --rows and --ais make `evaluate` measure fewer rows."""
    asked, found, test_x = [], measured(), data.digits().test_x   # call `measured` first: it needs the real `measure`
    monkeypatch.setattr(evaluate, "measure", lambda vae, x, k, seed, **how: asked.append(x) or found)
    for arguments in ([], ["--gap"], ["--rows", "7"], ["--ais"]):
        printed(capsys, run, *arguments)
    assert [len(x) for x in asked] == [355, 355, 7, 89]
    assert (asked[2] == test_x[:7]).all() and (asked[3] == test_x[::4]).all()
    monkeypatch.setattr(evaluate, "MEASURED", 200)
    printed(capsys, run, "--gap")
    assert (asked[4] == data.digits().few(200).test_x).all()


def test_evaluate_prints_the_results_of_train_if_train_measured_other_rows(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "copy")
    results = {"held_out": 355, "elbo": -135.0, "log_px": -123.5, "gap": 11.5}
    (copy / "results.json").write_text(json.dumps(results))
    text = printed(capsys, copy, *QUICK).out
    assert "`train` measured 355 held-out data points: ELBO -135.000, log p(x) -123.500, gap 11.500\n" in text
    (copy / "results.json").write_text(json.dumps(results | {"held_out": 12}))
    assert "`train` measured" not in printed(capsys, copy, *QUICK).out
    (copy / "results.json").write_text(json.dumps(results | {"gap": "large"}))
    assert "results.json is damaged (gap is 'large')" in printed(capsys, copy, *QUICK, code=2).err


@pytest.mark.parametrize(
    "kind, arguments, message",
    [
        ({"noise": False, "beta": 0.0}, [], "RUN must be a model with noise; got a plain autoencoder"),
        ({"latent": 3}, ["--gap"], "--gap must be used with one or two latent dimensions; got 3"),
        ({"latent": 3}, ["--exact"], "--exact must be used with one or two latent dimensions, or with a gaussian"),
        ({}, ["--k", "10,1"], "--k must be whole numbers in increasing order"),
        ({}, ["--k", "9" * 30], "--k must be at most"),
        ({}, ["--k", "1"], "--k must be whole numbers in increasing order, the last >= 2"),
        ({}, ["--rows", "1"], "--rows must be a whole number >= 2"),
        ({}, ["--seed", "-1"], "--seed must be a whole number >= 0"),
    ],
)
def test_impossible_evaluation_prints_one_line_and_exits_with_2(tmp_path, capsys, kind, arguments, message):
    error = printed(capsys, write_run(tmp_path / "run", **kind), *arguments, "-q", code=2).err
    assert error.startswith(f"minivae: {message}") and error.count("\n") == 1


def test_evaluate_refuses_a_missing_run_and_keeps_an_earlier_evaluation(tmp_path, run, capsys):
    assert "RUN must be the directory of a run" in printed(capsys, tmp_path, code=2).err
    (tmp_path / "evaluate.json").write_text("mine")
    assert "without an earlier evaluation" in printed(capsys, run, *QUICK, "--out", tmp_path, code=2).err
    assert (tmp_path / "evaluate.json").read_text() == "mine"


def test_evaluate_prints_bounds_and_ais_for_three_latent_dimensions(tmp_path, capsys):
    path = write_run(tmp_path / "run", latent=3)
    out = printed(capsys, path, "--k", "1,10", "--rows", "10", "--ais", "-q", "--out", tmp_path / "here").out
    assert "AIS" in out and "exact" not in out and "gap" not in out and "is not known" in out
    assert "from the prior" in out and "error of AIS, the spread of its chains, is too small if" in out
    assert (tmp_path / "here" / "bounds_by_k.png").exists()


# Figures


@functools.cache
def figures():
    """Return {name: (figure, alt text)} of all figures of the command `evaluate`, for ten images of digits."""
    vae, digits, _ = trained()
    return evaluate.pictures(vae, measured(), digits.test_y[:10], digits.image_shape)


def figure(name):
    """Return (figure, alt text) of the figure with this name, for ten images of digits."""
    return figures()[name]


def test_bounds_figure_shows_two_standard_errors_and_the_exact_value():
    m, (drawn, alt) = measured(), figure("bounds_by_k")
    left, right = drawn.axes
    mean = m.bounds.iw_bound.mean(axis=1)
    assert left.lines[0].get_ydata() == pytest.approx(mean)
    assert [line.get_ydata()[0] for line in left.lines[1:]] == pytest.approx([m.bounds.elbo.mean(), m.exact.mean])
    error = np.linalg.norm(m.bounds.iw_bound_se, axis=1) / 10
    corners = left.collections[0].get_paths()[0].vertices
    for k, middle, half in zip(K, mean, 2 * error):
        band = corners[np.isclose(corners[:, 0], k), 1]
        assert (band.min(), band.max()) == pytest.approx((middle - half, middle + half))
    rest = m.exact.values - m.bounds.iw_bound
    assert right.lines[1].get_ydata() == pytest.approx(rest.mean(axis=1))
    assert right.lines[2].get_ydata() == pytest.approx(np.median(rest, axis=1))
    assert all(f"k = {k} " in alt for k in K) and "exact log p(x)" in alt


def test_gap_figure_stacks_both_parts_from_elbo_to_log_px():
    parts, (drawn, alt) = measured().parts, figure("gap_split")
    above, below = drawn.axes
    _, amortisation, approximation = above.patches
    assert amortisation.get_x() == pytest.approx(parts.elbo.mean())
    assert amortisation.get_width() == pytest.approx(parts.amortisation.mean())
    assert approximation.get_width() == pytest.approx(parts.approximation.mean(), abs=1e-9)
    assert approximation.get_x() + approximation.get_width() == pytest.approx(parts.log_px.mean())
    heights = [bar.get_height() for bar in below.patches]
    tops = np.add(heights[:10], heights[10:])               # each amortisation bar stands on an approximation bar
    assert tops == pytest.approx(np.sort(parts.log_px - parts.elbo)[::-1])
    assert f"amortisation {parts.amortisation.mean():.2f}" in alt


def test_posterior_contours_equal_the_ellipses_of_an_exact_encoder():
    vae, x = linear_model(5, 2)
    vae.layers("decoder")[0][0][...] = [[1, 0.5, 0, 0, 0], [0, 0, 1, 1, 0]]     # orthogonal rows: no posterior correlation
    vae = with_best_encoder(vae)
    parts = gap(vae, x)
    drawn, alt = evidence.posteriors(vae, x, parts, n=1)
    axes, = drawn.axes
    worst = np.argsort(parts.kl, kind="stable")[0]
    mu, log_var = (part[worst] for part in vae.encode(x))
    outlines = axes.collections[-1]
    for path, mass in zip(outlines.get_paths(), sorted(evidence.MASSES, reverse=True)):
        away = (path.vertices - mu) / np.exp(log_var / 2)
        radius = np.hypot(*away.T)
        assert radius == pytest.approx(np.full(len(radius), (-2 * np.log(1 - mass)) ** 0.5), rel=0.03)
        widths = [2 * (-2 * np.log(1 - mass)) ** 0.5 * np.exp(log_var[0] / 2)]
        assert any(patch.width == pytest.approx(widths[0], rel=1e-6) for patch in axes.patches)
    assert "KL" in axes.get_title("left")


def test_posterior_is_drawn_finely_if_it_is_far_from_the_encoder_mean():
    vae, x = linear_model(5, 2, sigma=0.01)
    vae.layers("decoder")[0][0][...] = [[1, 0.5, 0, 0, 0], [0, 0, 1, 1, 0]]
    vae = with_best_encoder(vae)
    mu, log_var = vae.encode(x[:1])
    vae.layers("encoder")[0][1][:2] += 5                    # moves the encoder's mean by about 500 of its sigmas
    (axes,) = evidence.posteriors(vae, x[:1], gap(vae, x[:1]), n=1)[0].axes
    for path, mass in zip(axes.collections[-1].get_paths(), sorted(evidence.MASSES, reverse=True)):
        radius = np.hypot(*((path.vertices - mu) / np.exp(log_var / 2)).T)
        assert len(radius) > 20 and radius == pytest.approx(np.full(len(radius), (-2 * np.log(1 - mass)) ** 0.5), rel=0.1)


def test_posteriors_figure_is_sorted_from_smallest_to_largest_kl():
    parts, (drawn, alt) = measured().parts, figure("posteriors")
    titles = [axes.get_title("left") for axes in drawn.axes if axes.get_title("left")]
    assert len(titles) == 6
    for title, kl in ((titles[0], parts.kl.min()), (titles[-1], parts.kl.max())):
        assert title.startswith(f"KL {style.number(kl)} nats, class ")
    assert f"KL {style.number(parts.kl.max())} = amortisation" in alt


def test_posterior_density_integrates_to_1():
    vae, digits, _ = trained()
    axis = np.linspace(-5, 5, 401)
    parts = measured().parts
    density = evidence.posterior_density(vae.astype(float), digits.test_x[0] * 1.0, parts.log_px[0], axis, axis)
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-6)


def test_probability_inside_circles_agrees_with_the_fraction_of_draws_inside():
    rng = np.random.default_rng(0)
    mu, log_var = rng.normal(0, 1.5, (20, 2)), rng.normal(-1, 1, (20, 2))
    z = np.linalg.norm(mu + np.exp(log_var / 2) * rng.normal(size=(20_000, 20, 2)), axis=-1)
    found = evidence.mass_in_circles(mu, log_var)
    assert found == pytest.approx([(z < r).mean() for r in evidence.RADII], abs=0.01)
    origin = evidence.mass_in_circles(np.zeros((1, 2)), np.zeros((1, 2)))
    assert origin == pytest.approx([1 - np.exp(-r * r / 2) for r in evidence.RADII], abs=0.03)


def test_aggregate_posterior_figure_shows_prior_circles_and_the_marginal_kl():
    rates, (drawn, alt) = measured().rates, figure("aggregate")
    axes, = drawn.axes
    assert sorted(patch.radius for patch in axes.patches) == [1, 2, 3]
    estimate = f"{rates.marginal_kl:.3f} \u00b1 {rates.surgery_se:.3f}"
    assert axes.get_aspect() == 1 and f"{estimate} nats from the prior" in alt and estimate in drawn.get_suptitle()
    assert "estimated from draws" in drawn.get_supxlabel().replace("\n", " ") and "negative" not in drawn.get_supxlabel()


def test_negative_marginal_kl_is_explained_in_the_figure():
    vae, digits, _ = trained()
    drawn, _ = evidence.aggregate(vae, digits.test_x[:9], measured().rates._replace(marginal_kl=-0.02, surgery_se=0.03))
    assert "\u22120.020 \u00b1 0.030 nats" in drawn.get_suptitle()
    assert "An estimate can be negative, a KL cannot." in " ".join(drawn.get_supxlabel().split())


@pytest.mark.parametrize("name", evidence.NAMES)
def test_evidence_figures_have_short_alt_texts_and_keep_text_inside_the_figure(name):
    drawn, alt = figure(name)
    assert 80 < len(alt) <= 250 and alt.endswith(".")
    drawn.draw_without_rendering()
    assert drawn.get_suptitle() and drawn.get_supxlabel()
    boxes = [text.get_window_extent() for axes in drawn.axes for text in axes.texts]
    right, top = drawn.bbox.max
    assert all(0 <= box.x0 and box.x1 <= right and 0 <= box.y0 and box.y1 <= top for box in boxes)


def test_evidence_figures_refuse_wrong_arguments():
    vae, digits, _ = trained()
    m = measured()
    with pytest.raises(ValueError, match="k must be the 4 values given to lower_bounds; got 2 values"):
        evidence.bounds_by_k((1, 2), m.bounds)
    three, x = linear_model(0, 3)
    with pytest.raises(ValueError, match="vae must be a model with two latent dimensions"):
        evidence.aggregate(three, x, m.rates)


def test_negative_estimate_of_the_marginal_kl_is_explained_in_the_text():
    rates = {"rate": 1.0, "mutual_information": 1.1, "surgery_se": 0.2, "distortion": 9.0, "active": 2, "latent": 2}
    printed = {kl: " ".join(evaluate.rate_lines(rates | {"marginal_kl": kl})) for kl in (-0.1, 0.1)}
    assert "the estimate can be negative, although a KL cannot" in printed[-0.1] and "negative" not in printed[0.1]
