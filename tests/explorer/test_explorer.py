"""The explorer page contains model and data, agrees with NumPy, and works with mouse and keys, on a phone and in print."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import minivae.explorer
from minivae import Bernoulli, Binomial, Gaussian, VAE, exact_log_px
from minivae.app import cli, results
from minivae.data import Dataset
from minivae.evidence.gaps import expected
from minivae.evidence.rates import ACTIVE
from minivae.explorer import build as builder
from minivae.explorer.build import build, content_of, unpacked
from minivae.explorer.evidence import Evidence
from minivae.figures import style
from minivae.figures.arguments import classes_of
from minivae.gaussian import kl_standard_normal, log_standard_normal
from tests.helpers.browser import REQUIRED, Browser, executable, need_browser
from tests.helpers.trained import draw_nothing, measure_few, trained

HOME = Path(minivae.explorer.__file__).parent
MODELS = {                                                  # name -> likelihood, latent dimensions, activation, settings
    "bernoulli": (Bernoulli(), 1, "relu", {}),
    "binomial": (Binomial(7), 2, "tanh", {"dtype": np.float64}),
    "fixed": (Gaussian(0.3), 2, "relu", {}),
    "learned": (Gaussian("learned"), 3, "tanh", {}),
    "optimal": (Gaussian("optimal"), 1, "tanh", {}),
    "iwae": (Bernoulli(), 12, "tanh", {"objective": "iwae", "estimator": "sampled"}),
}


def model(name):
    """Return a model with random weights and biases, and a table of twelve data points drawn from it."""
    likelihood, J, activation, settings = MODELS[name]
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, 6, J, (5, 4), likelihood=likelihood, activation=activation, **settings)
    vae.params.flat[...] = 0.7 * rng.standard_normal(vae.params.flat.size)
    x = vae.sample(rng, rng.standard_normal((12, J)))
    x = x.astype(np.float32) if x.dtype.kind == "f" else x
    return vae, Dataset("a table.csv", x, x, None, np.arange(12) % 3 + 8, (2, 3) if name == "bernoulli" else None)


@pytest.fixture(scope="module")
def digits():
    """Return a model of the digits, forty held-out rows, the explorer page of both, and the exact posteriors."""
    vae, data, _ = trained()
    data = replace(data, test_x=data.test_x[:40], test_y=data.test_y[:40])
    exact = exact_log_px(vae.astype(np.float64), data.test_x)
    return vae, data, build(vae, data, "a <b> & {{content}}", Evidence(exact.log_px, exact.error, exact.box)), exact


@pytest.fixture(scope="module")
def browser():
    need_browser()
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def shown(digits, browser, tmp_path_factory):
    """Return a function that opens the page of the digits."""
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    path.write_text(digits[2], encoding="utf-8")
    return lambda *args, **options: wait(browser.open(path, *args, **options))


def becomes_true(browser, script, seconds=10):
    """Return True if a script becomes true within `seconds`; the page evaluates the script every 10 ms."""
    ask = "new Promise(done => (function look(n) { n && !(%s) ? setTimeout(look, 10, n - 1) : done(n > 0); })(%d))"
    return browser.evaluate(ask % (script, 100 * seconds))


def wait(browser):
    """Wait until the page has finished all jobs."""
    script = "new Promise(done => (function look() { Object.keys(running).length ? setTimeout(look, 5) : done(); })())"
    browser.evaluate(script)
    return browser


class Page(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.opened = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def faults_of(text):
    """Return a list of the errors in the structure of a page."""
    tags = Page(text).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    found = [f"id {name} twice" for name in set(ids) if ids.count(name) > 1]
    for tag, attributes in tags:
        for name in ("src", "href"):
            target = attributes.get(name, "")
            if re.match(r"https?:|//", target) or (target.startswith("#") and target[1:] not in ids):
                found.append(f"{name} {target}")
        for name in ("aria-labelledby", "aria-describedby", "for"):
            if name in attributes and attributes[name] not in ids:
                found.append(f"{name} {attributes[name]}")
        alt = attributes.get("alt") if tag == "img" else attributes.get("aria-label")
        if tag in ("img", "canvas") and not alt:
            found.append(f"{tag} without alt text")
    return found


def test_explorer_page_has_unique_ids_and_no_external_links(digits):
    assert faults_of(digits[2]) == []
    assert "@import" not in digits[2] and "url(" not in digits[2] and "<title>a &lt;b&gt; &amp; {{content}}:" in digits[2]


@pytest.mark.parametrize("fault", [
    '<p id="map"></p>', '<img src="http://a/b.png" alt="x">', '<a href="#nowhere">x</a>', "<canvas></canvas>",
    '<img src="a">',
])
def test_fault_in_the_explorer_page_is_noticed(digits, fault):
    assert len(faults_of(digits[2].replace("</main>", fault + "</main>"))) == 1


@pytest.mark.parametrize("name", MODELS)
def test_explorer_page_contains_the_model_and_the_data_of_a_run(name):
    vae, data = model(name)
    found = content_of(build(vae, data, name))
    for pair, packed in zip(vae.layers("decoder"), found["decoder"], strict=True):
        for array, text in zip(pair, packed, strict=True):
            assert unpacked(text).dtype == vae.dtype and (unpacked(text) == array).all()
    assert (unpacked(found["x"]) == data.test_x).all() and found["labels"] == data.test_y.tolist()
    for array, text in zip(vae.astype(np.float64).encode(data.test_x), ("mu", "log_var")):
        assert (unpacked(found[text]) == array).all()
    assert found["latent"] == vae.latent and found["activation"] == vae.activation
    assert np.isfinite(unpacked(found["log_px"])).all() and (found["box"] is None) == (vae.latent > 2)


def test_grey_levels_packed_as_bytes_are_restored_exactly():
    x = (np.arange(256) / 255).astype(np.float32).reshape(4, 64)
    packed = builder.packed(*builder.compact(x))
    assert packed["type"] == "u1" and (unpacked(packed) == x).all()
    assert builder.packed(*builder.compact(x + 1e-4))["type"] == "f4"


def test_explorer_sources_stay_small_and_use_the_colours_of_the_figures():
    sources = {path.name: path.read_text(encoding="utf-8") for path in HOME.glob("page.*")}
    assert len(sources) == 3 and max(len(text.splitlines()) for text in sources.values()) < 900
    assert max(len(line) for text in sources.values() for line in text.splitlines()) <= 150
    assert f"--posterior: {style.BLUE}; --encoder: {style.ORANGE};" in sources["page.css"]
    assert "</script" not in sources["page.js"]


def test_box_of_a_posterior_contains_nearly_all_of_its_probability(digits):
    vae, data, _, exact = digits
    vae = vae.astype(np.float64)
    for i, (low, high) in enumerate(exact.box[:20]):
        step = (high - low) / 96
        z = (low + step * (np.indices((96, 96)).reshape(2, -1).T + 0.5))[:, None]
        log_joint = vae.log_likelihood(data.test_x[i : i + 1].astype(float), z) + log_standard_normal(z)
        assert np.exp(log_joint - exact.log_px[i]).sum() * step.prod() == pytest.approx(1, abs=0.005)


def test_page_is_utf8_and_has_binomial_coefficients_up_to_the_largest_count():
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, 5, 2, (4,), likelihood=Binomial(60_000))
    x = np.float32([[0, 3, 5, 7, 900]])
    page = build(vae, Dataset("counts.csv", x, x), "bad\udcff", Evidence(np.zeros(1), np.zeros(1), np.zeros((1, 2, 2))))
    assert len(unpacked(content_of(page)["likelihood"]["log_choose"])) == 901
    assert "the latent space</title>" in page.encode().decode() and "<em>bad?</em>" in page


# The command


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("explore") / "run"
    with pytest.MonkeyPatch.context() as patch:
        measure_few(patch)
        draw_nothing(patch)
        assert cli.main(["train", "-q", "--epochs", "1", "--hidden", "8", "--out", str(out)]) == 0
    return out


def test_train_writes_the_explorer_among_its_files(run):
    page = run / "explorer.html"
    found = content_of(page.read_text("utf-8"))
    assert len(found["labels"]) == 10 and found["step"] == 36           # the page has every 36th of 355 rows
    assert json.loads((run / "results.json").read_text())["explorer"] == str(page)


def test_explorer_page_of_all_digits_is_below_the_size_limit_of_train(digits):
    vae, data, _ = trained()
    nothing = np.zeros(len(data.test_x))
    page = build(vae, data, "digits", Evidence(nothing, nothing, np.zeros((len(nothing), 2, 2))))
    assert len(page) < 250_000 < results.EXPLORER_BYTES


def test_train_mentions_the_explore_command_if_the_page_is_large(tmp_path, monkeypatch, capsys):
    measure_few(monkeypatch)
    draw_nothing(monkeypatch)
    monkeypatch.setattr(results, "EXPLORER_BYTES", 1000)
    out = tmp_path / "run"
    assert cli.main(["train", "-q", "--epochs", "1", "--hidden", "8", "--latent", "3", "--out", str(out)]) == 0
    assert f"or     minivae explore {out}\n" in capsys.readouterr().out and not (out / "explorer.html").exists()


def test_explore_command_writes_the_first_rows_and_overwrites_only_on_request(run, tmp_path, capsys):
    command = ["explore", str(run), "--rows", "5", "--json", "--out", str(tmp_path / "new" / "a.html")]
    assert cli.main(command) == 0
    document = json.loads(capsys.readouterr().out)
    page = Path(document["file"]).read_text("utf-8")
    assert content_of(page)["step"] == 1                    # the page has rows 0 to 4
    assert document["rows"] == 5 == len(unpacked(content_of(page)["x"])) and document["bytes"] == len(page.encode())
    assert cli.main(command) == 2 and "--overwrite" in capsys.readouterr().err
    assert cli.main([*command, "--overwrite"]) == 0 and cli.main(["explore", str(run), "--rows", "0"]) == 2
    assert cli.main(["explore", str(tmp_path)]) == 2 and "config.json" in capsys.readouterr().err


def test_train_writes_no_page_for_autoencoders_and_explore_refuses_them(tmp_path, monkeypatch, capsys):
    measure_few(monkeypatch)
    draw_nothing(monkeypatch)
    quick = ["train", "-q", "--epochs", "1", "--hidden", "8", "--latent", "3"]          # three dimensions: no exact log p(x)
    for name, option in (("plain", "--autoencoder"), ("without", "--no-explorer")):
        assert cli.main([*quick, option, "--out", str(tmp_path / name)]) == 0
        assert not (tmp_path / name / "explorer.html").exists()
    assert cli.main(["explore", str(tmp_path / "plain")]) == 2
    assert "a model with noise" in capsys.readouterr().err


# JavaScript against NumPy

NUMBERS = """[0, 1, 5].map(i => {
  const z = mu[i].map((v, j) => v + 0.3 * (j + 1)), out = decoderOutput(z);
  return [...decode(z), logLikelihood(data[i], out), logPrior(z), elbos[i], klOf(i), ...gaussian(i).sd];
})"""


def by_numpy(vae, data):
    """Compute with NumPy the numbers that the script NUMBERS computes in the page."""
    model, x = vae.astype(np.float64), data.test_x[[0, 1, 5]].astype(np.float64)
    mu, log_var = model.encode(x)
    z = mu + 0.3 * (np.arange(vae.latent) + 1)
    if vae.latent > 2:
        elbo = builder.evidence_for(vae, data.test_x).elbo[[0, 1, 5]]
    else:
        elbo = builder.elbos(model, data.test_x.astype(np.float64))[0][[0, 1, 5]]
    log_px_z, kl = model.log_likelihood(x, z[None])[0], kl_standard_normal(mu, log_var).sum(axis=1)
    return np.column_stack([model.decode(z), log_px_z, log_standard_normal(z), elbo, kl, np.exp(log_var / 2)])


def disagreement(browser, path, text, vae, data):
    """Return the largest relative difference between the numbers of the page and those of NumPy."""
    path.write_text(text, encoding="utf-8")
    numbers, right = np.array(browser.open(path).evaluate(NUMBERS)), by_numpy(vae, data)
    return np.nan_to_num(np.abs(numbers - right) / np.maximum(1, np.abs(right)), nan=np.inf).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MODELS, "digits"])
def test_javascript_agrees_with_numpy_to_nine_digits(name, browser, digits, tmp_path):
    vae, data = digits[:2] if name == "digits" else model(name)
    assert disagreement(browser, tmp_path / "a.html", build(vae, data, name), vae, data) < 1e-9
    assert wait(browser).errors == []


FAULTS = {
    "no bias": ("const a = bias.slice()", "const a = bias.map(() => 0)"),
    "relu for tanh": ('content.activation === "tanh"', "false"),
    "activation on the last layer": ("if (layer < decoder.length - 1)", "if (true)"),
    "forgotten n": ("- n * softplus(out[d])", "- softplus(out[d])"),
    "forgotten coefficient": ("if (likelihood.n) for", "if (false) for"),
    "float32 accumulation": ("Float64Array.from(unpack(array))", "Float32Array.from(unpack(array))"),
    "variance for sd": ("Math.exp(v / 2)", "Math.exp(v)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_in_the_javascript_is_noticed(fault, browser, digits, tmp_path):
    (right, wrong), (vae, data, page, _) = FAULTS[fault], digits
    assert page.count(right) == 1
    assert disagreement(browser, tmp_path / "a.html", page.replace(right, wrong), vae, data) > 1e-9


DRAWN = """(() => {
  const glyphs = [], radii = [], proto = CanvasRenderingContext2D.prototype, {fillText, ellipse} = proto;
  proto.fillText = function (text, x, y) { glyphs.push([String(text), x, y, this.fillStyle]); };
  proto.ellipse = (x, y, a, b) => radii.push([x, y, a, b]);
  drawMap();
  drawPanel();
  Object.assign(proto, {fillText, ellipse});
  const scale = panel.unit, [x, y] = [map.x, map.y];
  const inZ = r => [(r[0] - panel.x(0)) / scale, (panel.y(0) - r[1]) / scale, r[2] / scale, r[3] / scale];
  return {glyphs, radii: radii.map(inZ),
    places: mu.map(z => [x(z[0]), y(z[1])]), mass: exact.mass, n: exact.n, low: [...exact.low], step: [...exact.step],
    density: [...exact.density], moments: momentsOf(exact), ends: endsOf(exact).map(end => [...end])};
})()"""


GLYPHS = "Object.assign(proto, {fillText, ellipse}); return glyphs; })()"


def wrongly_drawn(browser, vae, data, exact, chosen):
    """Return the names of the drawings (glyphs, ellipses, posterior, moments, crop) that do not agree with the model."""
    drawn, found = browser.evaluate(DRAWN), []
    colours = [builder.readable(colour, "#ffffff", 4.5) for colour in style.CLASSES]
    wanted = [[str(label), *place, colours[label]] for label, place in zip(data.test_y, drawn["places"])]
    if any(glyph not in drawn["glyphs"] for glyph in wanted):
        found.append("glyphs")
    mu, log_var = (part[chosen] for part in vae.astype(np.float64).encode(data.test_x))
    sd = np.exp(log_var / 2)
    if not np.allclose(drawn["radii"], [[*mu, *(r * sd)] for r in (1, 2, 3)], rtol=1e-9):
        found.append("ellipses")
    right_mean, cov = exact.mean[chosen], exact.cov[chosen]
    n, step = drawn["n"], np.array(drawn["step"])
    z = drawn["low"] + step * (np.indices((n, n))[::-1].reshape(2, -1).T + 0.5)
    density = np.array(drawn["density"])
    mean = density @ z / density.sum()
    close = 0.02 * np.sqrt(np.diag(cov)).min()
    if not (abs(drawn["mass"] - 1) < 0.01 and np.allclose(mean, right_mean, atol=close)):
        found.append("posterior")
    moments, right = drawn["moments"], np.sqrt(np.diag(cov))
    correlation = cov[0, 1] / right.prod()
    close = [np.allclose(moments["mean"], mean, rtol=1e-9), np.allclose(moments["sd"], right, rtol=0.02)]
    if not all([*close, abs(moments["correlation"] - correlation) < 0.02]):
        found.append("moments")
    inside = ((z > drawn["ends"][0]) & (z < drawn["ends"][1])).all(axis=1)
    if density[inside].sum() * step.prod() < 0.995:
        found.append("crop")
    return found


DRAWING_FAULTS = {
    "swapped label": ("c.fillText(short(labels[i]), px, py)", "c.fillText(short(labels[(i + 1) % N]), px, py)", "glyphs"),
    "ellipse with the variance": ("r * sd[0] * panel.unit", "r * sd[0] ** 2 * panel.unit", "ellipses"),
    "swapped colour": ("c.fillStyle = colourOf(i)", "c.fillStyle = colourOf((i + 1) % N)", "glyphs"),
    "shifted posterior": ("z[j] = low[j] + (Math.floor(cell / n ** j) % n + 0.5)",
                          "z[j] = low[j] + (Math.floor(cell / n ** j) % n + 2.5)", "posterior"),
    "moments off by a cell": ("=> low[j] + (Math.floor(cell / n ** j) % n + 0.5)",
                              "=> low[j] + (Math.floor(cell / n ** j) % n + 2.5)", "moments"),
    "covariance for correlation": ("/ (sd[0] * sd[1])", "", "moments"),
    "cropped posterior": ("filter(k => density[k] > least)", "filter(k => density[k] > 500 * least)", "crop"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, *DRAWING_FAULTS])
def test_drawings_agree_with_the_model_and_each_planted_error_is_noticed(fault, browser, digits, tmp_path):
    vae, data, page, exact = digits
    right, wrong, noticed = DRAWING_FAULTS.get(fault, ("", "", None))
    assert fault is None or page.count(right) == 1
    (tmp_path / "a.html").write_text(page.replace(right, wrong) if fault else page, encoding="utf-8")
    wait(browser.open(tmp_path / "a.html", "#datum=7"))
    assert wrongly_drawn(browser, vae, data, exact, 7) == ([noticed] if noticed else [])


PIECES = """(() => {
  const n = 24, square = (a, b, cell) => (cell % n - a) ** 2 + (Math.floor(cell / n) - b) ** 2;
  const grid = (...hills) => ({n, low: [0, 0], step: [1, 1], mass: 1,
    density: Float64Array.from({length: n * n}, (_, cell) => hills.reduce((sum, [share, a, b]) =>
      sum + share * Math.exp(-square(a, b, cell) / 4.5) / (4.5 * Math.PI), 0))});
  const ends = [], proto = CanvasRenderingContext2D.prototype, {moveTo, lineTo} = proto;
  proto.moveTo = proto.lineTo = (x, y) => ends.push(`${x.toFixed(6)} ${y.toFixed(6)}`);
  drawContour(grid([1, 1, 12]), 1e-3);
  Object.assign(proto, {moveTo, lineTo});
  return [piecesOf(grid([0.8, 5, 5], [0.2, 18, 17])), piecesOf(grid([1, 12, 12])),
    piecesOf(grid([0.5, 10, 12], [0.5, 14, 12])), ends.length,
    ends.every(end => ends.filter(other => other === end).length === 2)];
})()"""


@pytest.mark.slow
def test_separate_pieces_of_a_posterior_are_counted_and_contours_are_closed(shown):
    page = wait(shown("#datum=7"))
    two, one, near, ends, closed = page.evaluate(PIECES)
    assert np.allclose(two, [0.8, 0.2], atol=1e-3) and np.allclose(one, [1]) and np.allclose(near, [1])
    assert ends > 40 and closed                             # the contour is closed at the border of the grid, too
    page.evaluate("exact.pieces = [0.9, 0.1]; writeVerdict()")
    assert "2 separate pieces, with 90 and 10\u00a0%" in page.evaluate("$('verdict').textContent")
    page.evaluate("momentsOf = () => ({mean: [0, 0], sd: [1, 1], correlation: -0.9962}); writeVerdict()")
    assert "exact \u22120.996" in page.evaluate("$('why').textContent")


# A posterior that is one curved ridge: z1 ~ N(0, 1), z2 ~ N(0.7 z1^2, sd^2); log p(x) = 0
RIDGE = """{
  const sd = %s, area = 2 * Math.PI * sd;
  decoderOutput = z => z;
  logLikelihood = (x, [a, b]) => -a * a / 2 - ((b - 0.7 * a * a) / sd) ** 2 / 2 - Math.log(area) - logPrior([a, b]);
  logPx[0] = 0;
  box.set([-3.5, -0.45, 3.5, 6.55]);
}"""
VERDICT = "$('verdict').textContent + $('why').textContent"


@pytest.mark.slow
def test_narrow_posterior_is_not_cut_into_pieces_or_judged_on_coarse_cells(shown):
    page = wait(shown("#datum=7"))
    at_row_ends = "piecesOf({n: 24, density: Float64Array.from({length: 576}, (_, k) => Number(k === 287 || k === 288))})"
    assert page.evaluate(at_row_ends) == [0.5, 0.5]         # cell 287 is the last in its row, cell 288 the first in the next
    for sd, mass in ((0.06, 1), (0.03, 1), (0.01, None), (0.0001, None)):
        page.evaluate(RIDGE % sd + "choose(0)")
        found, verdict = wait(page).evaluate("[exact.mass, exact.n]"), page.evaluate(VERDICT)
        assert found[1] == 96 and "pieces" not in verdict + page.evaluate("summary()")
        assert ("too narrow" in verdict) == (mass is None) != ("error of its mean" in verdict)
        assert abs(found[0] - 1) < 0.01 if mass else abs(found[0] - 1) > 0.02
    peaks = "(x, [a, b]) => -50 * (Math.abs(a) - 1.5) ** 2 - (b - 3) ** 2 / 2 - Math.log(0.4 * Math.PI) - logPrior([a, b])"
    page.evaluate(f"logLikelihood = {peaks}; choose(0)")    # two peaks, each with sd 0.1 along z1 and 1 along z2
    assert "2 separate pieces, with 50 and 50" in wait(page).evaluate(VERDICT)
    page.evaluate("logLikelihood = () => -1e9; choose(0)")  # no cell has any mass
    assert wait(page).evaluate("exact.mass") == 0 and "too narrow" in page.evaluate(VERDICT) and page.errors == []


@pytest.mark.parametrize("right, wrong", [
    ("for (let b = -1; b < n; b++) for (let a = -1;", "for (let b = 0; b < n - 1; b++) for (let a = 0;"),
    ("shares[near[0]] += shares[other]", ""),
    ("of inside ? near.slice(1)", "of true ? near.slice(1)"),
])
@pytest.mark.slow
def test_planted_fault_in_pieces_or_outlines_of_the_posterior_is_noticed(right, wrong, browser, digits, tmp_path):
    assert digits[2].count(right) == 1
    (tmp_path / "a.html").write_text(digits[2].replace(right, wrong), encoding="utf-8")
    two, one, near, _, closed = browser.open(tmp_path / "a.html").evaluate(PIECES)
    found = [np.shape(two) == (2,) and np.allclose(two, [0.8, 0.2], atol=1e-3), len(one) == 1, np.allclose(near, [1])]
    assert not (closed and all(found))


@pytest.mark.slow
def test_labels_of_the_axes_are_not_cut_off_and_do_not_touch(shown):
    page = wait(shown("#datum=7"))
    labels = page.evaluate("""(() => {
      const found = [], proto = CanvasRenderingContext2D.prototype, {fillText} = proto;
      proto.fillText = function (text, x, y) {
        const width = this.measureText(text).width, start = x - width * {right: 1, center: 0.5, left: 0}[this.textAlign];
        found.push([text, start, start + width, y]);
      };
      axes(plane($("posterior"), [-0.85012, -0.85012], [-0.85, -0.85]));
      Object.assign(proto, {fillText});
      return found; })()""")
    width = page.evaluate("$('posterior').clientWidth")
    assert len(labels) > 6 and all(start >= 0 and end <= width for _, start, end, _ in labels)
    along = [label for label in labels if label[3] == labels[0][3]]
    assert len(along) > 1 and all(one[2] + 3 < other[1] for one, other in zip(along, along[1:]))


@pytest.mark.slow
def test_page_sorts_the_data_points_by_gap_and_by_log_px(shown, digits):
    vae, data, _, exact = digits
    vae, x, log_px = vae.astype(np.float64), data.test_x.astype(np.float64), exact.log_px
    gap = log_px - expected(vae, x, *vae.encode(x), 1e-6)[0]
    page = shown()
    assert np.allclose(page.evaluate("data.map((_, i) => gapOf(i))"), gap, atol=0.005)
    for name, key in (("gap", -gap), ("lowest", log_px), ("data", np.arange(len(x)))):
        page.evaluate(f"$('order').value = '{name}'; $('order').dispatchEvent(new Event('change'))")
        assert page.evaluate("chosen") == np.argsort(key)[0] and page.evaluate("ordered()") == np.argsort(key).tolist()
        page.evaluate("$('next').click()")
        assert page.evaluate("chosen") == np.argsort(key)[1]
    page.evaluate("$('order').value = 'gap'; choose(ordered()[9])")
    assert "Here it is the 10th largest of 40." in wait(page).evaluate("$('verdict').textContent")
    assert "10th of 40, largest gap first." in page.evaluate("$('label').textContent")
    page.evaluate("choose(ordered()[39]); $('next').click()")                           # no point follows the last one
    assert "Here it is the smallest of 40." in wait(page).evaluate("$('verdict').textContent")
    assert page.evaluate("chosen") == np.argsort(-gap)[39]


def kinked():
    """Return a relu model with little noise, so that log p(x|z) has sharp kinks, and data drawn from it."""
    rng = np.random.default_rng(3)
    vae = VAE.init(rng, 6, 2, (8, 8), likelihood=Gaussian(0.3), activation="relu")
    vae.params.flat[...] = 0.7 * rng.standard_normal(vae.params.flat.size)
    vae.scale[0][...] = np.log(0.3)
    weight, bias = list(vae.layers("encoder"))[-1]
    weight *= 0.1
    bias[2:] = -6                                           # q has a standard deviation of about 0.05
    x = np.float32(vae.sample(rng, rng.standard_normal((12, 2))))
    return vae, Dataset("a table.csv", x, x)


def test_elbo_of_a_relu_model_is_close_to_the_exact_elbo():
    vae, data = kinked()
    found = content_of(build(vae, data, "kinked", Evidence(np.zeros(12), np.zeros(12), np.zeros((12, 2, 2)))))
    model, x = vae.astype(np.float64), data.test_x.astype(np.float64)
    right = expected(model, x, *model.encode(x), 1e-9)[0]
    assert (abs(unpacked(found["elbo"]) - right) < 0.002).all()  # with only sixteen nodes on each axis, the error is 0.19
    assert unpacked(found["elbo_error"]).max() < 0.01


@pytest.mark.slow
def test_page_shows_only_error_estimates_that_can_change_printed_digits(browser, tmp_path):
    vae, data = model("fixed")
    evidence = builder.evidence_for(vae, data.test_x)
    evidence.error[:3] = 0.34, 0.001, np.inf
    text = build(vae, data, "x", evidence)
    error = builder.packed(np.float32([0.1, *[0] * 11]))["base64"]
    packed = content_of(text)["elbo_error"]["base64"]
    assert text.count(packed) == 1
    (tmp_path / "a.html").write_text(text.replace(packed, error), encoding="utf-8")
    cells = "[...$('nats').rows].map(row => row.cells[1].textContent.replace(/^[^ ]*[0-9]/, ''))"
    shown = [browser.open(tmp_path / "a.html", f"#datum={i}").evaluate(cells) for i in range(3)]
    assert shown[0] == [" \u00b1 0.10", "", " \u00b1 0.10", " \u00b1 0.34", " \u00b1 0.44"]
    assert shown[1:] == [[""] * 5, ["", "", "", "unknown", "unknown"]] and browser.errors == []


@pytest.mark.slow
def test_page_and_numpy_agree_on_the_gap_and_errors_of_mu(shown, digits):
    vae, data, _, exact = digits
    off = (vae.encode(data.test_x[4:5])[0][0] - exact.mean[4]) / np.sqrt(np.diag(exact.cov[4]))
    page = shown("#datum=4")
    cells = page.evaluate("[...$('why').rows[1].cells].slice(1).map(cell => cell.textContent)")
    assert np.allclose([float(cell.replace("\u2212", "-")) for cell in cells], off, atol=0.05)
    rows = page.evaluate("[...$('nats').rows].map(row => [...row.cells].map(cell => cell.textContent))")
    rows = {name: float(value.replace("\u2212", "-")) for name, value in rows}
    vae, x = vae.astype(np.float64), data.test_x[4:5].astype(np.float64)
    elbo = expected(vae, x, *vae.encode(x), 1e-6)[0][0]
    log_px = exact.log_px[4]
    assert rows["ELBO"] == pytest.approx(elbo, abs=0.02) and rows["exact log p(x)"] == pytest.approx(log_px, abs=0.01)
    assert rows["gap"] == pytest.approx(log_px - elbo, abs=0.02)


# Mouse, finger, keys, screens


def typed(page, element, text):
    """Replace the text of a field as a user does: select, type, leave."""
    page.evaluate(f"({element}).focus(); ({element}).select()")
    for key in text:
        for kind, more in (("keyDown", {"text": key}), ("keyUp", {})):
            page.call("Input.dispatchKeyEvent", type=kind, key=key, **more)
    page.evaluate(f"({element}).blur()")
    return page.evaluate(f"({element}).value")


@pytest.mark.slow
def test_cursor_moves_with_keys_or_mouse_or_finger_or_number_fields(shown):
    page = shown("#datum=3&z=0.5,-1.25")
    place = lambda: page.evaluate("[...z]")                 # noqa: E731
    assert place() == [0.5, -1.25] and page.evaluate("chosen") == 3
    page.evaluate("$('map').focus()")
    for key, shift, wanted in (("ArrowRight", False, [0.55, -1.25]), ("ArrowUp", True, [0.55, -0.75])):
        page.press(key, shift)
        assert place() == pytest.approx(wanted)
    start, end, target = page.evaluate("""(() => { const a = $("map").getBoundingClientRect();
      return [[a.left + 150, a.top + 150], [a.left + 200, a.top + 260], map.inverse(200, 260)]; })()""")
    page.drag(start, end)
    assert place() == pytest.approx(target) and page.evaluate("chosen") == 3
    assert typed(page, "inputs[0].field", "1,5") == "1.50" and place() == pytest.approx([1.5, target[1]])
    page.evaluate("$('map').focus()")
    page.press("Enter")
    nearest = page.evaluate("chosen === nearestTo(z)[0] && z.every((v, j) => v === mu[chosen][j])")
    code = page.evaluate("""(() => { const a = $("map").getBoundingClientRect();
      return [a.left + map.x(mu[9][0]), a.top + map.y(mu[9][1])]; })()""")
    page.touch(*code)
    assert nearest and page.evaluate("Math.hypot(mu[chosen][0] - mu[9][0], mu[chosen][1] - mu[9][1])") < 0.2
    assert page.errors == []


@pytest.mark.slow
def test_only_the_left_mouse_button_works_and_page_reserves_scrollbar_space(shown):
    page = shown("#datum=3&z=0.5,-1.25")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollbarGutter") == "stable"
    x, y = page.evaluate("(() => { const a = $('map').getBoundingClientRect(); return [a.left + 150, a.top + 150]; })()")
    mouse = lambda **how: page.call("Input.dispatchMouseEvent", x=x, y=y, **how)         # noqa: E731
    for button, buttons in (("right", 2), ("middle", 4)):
        mouse(type="mousePressed", button=button, buttons=buttons, clickCount=1)
        mouse(type="mouseMoved", button=button, buttons=buttons)
        mouse(type="mouseReleased", button=button, buttons=0, clickCount=1)
    assert page.evaluate("[chosen, ...z]") == [3, 0.5, -1.25]
    mouse(type="mousePressed", button="left", buttons=1, clickCount=1)
    place = page.evaluate("[...z]")
    x += 50                                                 # the page gets no event if a button is released outside it
    mouse(type="mouseMoved", button="none", buttons=0)
    assert page.evaluate("[...z]") == place != [0.5, -1.25]


@pytest.mark.slow
def test_fields_and_keys_stop_at_their_limits(shown):
    page = shown()
    assert typed(page, "$('number')", "99") == "39" and page.evaluate("chosen") == 39
    assert typed(page, "inputs[0].field", "1000") == "100.00" and page.evaluate("[...z][0]") == 100
    assert "outside the map" in page.evaluate("$('prior').textContent")
    arrow = page.evaluate("""(() => { const places = [], proto = CanvasRenderingContext2D.prototype, {lineTo} = proto;
      proto.lineTo = (x, y) => places.push(x); drawCross(map); Object.assign(proto, {lineTo});
      return places.length && places.every(x => x > map.margin.left && x < map.width); })()""")
    page.evaluate("$('back').click()")
    assert arrow and page.evaluate("z.every((v, j) => v === mu[39][j])")
    page.evaluate("$('map').focus()")
    for _ in range(20):
        page.press("ArrowRight", shift=True)
    assert page.evaluate("z[0] === limits()[1][0]") and "outside" not in page.evaluate("$('prior').textContent")
    page.evaluate("moveTo([9, 1])")                         # outside the map, ArrowUp changes only z2
    page.press("ArrowUp")
    assert page.evaluate("[...z]") == pytest.approx([9, 1.05])


@pytest.mark.slow
def test_page_announces_choices_once_and_keeps_the_focus(shown, digits):
    page = wait(shown("#datum=3"))
    page.evaluate("""window.heard = []; new MutationObserver(() => heard.push($("said").textContent)).observe($("said"),
      {childList: true}); window.fourth = thumbs[3].button.datum; thumbs[3].button.focus(); thumbs[3].button.click()""")
    i = page.evaluate("fourth")
    pause = "new Promise(done => setTimeout(done, 450))"    # the page writes its address 0.4 s after a choice
    wait(page).evaluate(pause)
    focus, heard, gap = page.evaluate("[document.activeElement.datum, heard, $('nats').rows[4].cells[1].textContent]")
    assert focus == i and len(heard) == 1
    assert heard[0].startswith(f"Chosen: data point {i}, class {digits[1].test_y[i]}. gap {gap} nats, the ")
    page.evaluate("$('map').focus()")
    page.press("ArrowRight")
    page.evaluate(pause)
    place = page.evaluate("listOf(z)")
    assert page.evaluate("heard.length") == 2 and f"z = {place};" in page.evaluate("heard[1]")
    names = page.evaluate("['map', 'mean', 'original'].map(id => $(id).getAttribute('aria-label'))")
    assert place in names[0] and place in names[1] and f"data point {i}, class" in names[2]
    page.evaluate("repaint()")                              # also runs when the window is resized; announces nothing
    page.evaluate(pause)
    assert page.evaluate("heard.length") == 2
    names = "[$('posterior').getAttribute('aria-label'), $('judged').ariaBusy]"
    assert page.evaluate(f"(choose(5), {names})") == ["Computing the posterior of data point 5", "true"]
    label, busy = wait(page).evaluate(names)
    assert label.startswith("Exact posterior of data point 5 ") and busy == "false"
    page.evaluate(f"choose({i}); moveTo(mu[{i}].map(v => v + 1e-5))")
    z = wait(page).evaluate(f"{pause}.then(() => [...z])")
    page.evaluate("recall()")                               # the page calls this when it is loaded
    assert page.evaluate("[...z]") == pytest.approx(z, abs=1e-8)
    page.evaluate(f"choose({i})")
    wait(page).evaluate(pause)
    assert page.evaluate("location.hash") == f"#datum={i}" and page.evaluate("$('said').textContent").startswith("Chosen: ")


@pytest.mark.slow
def test_change_of_colours_restarts_unfinished_tiles(shown):
    page = wait(shown())
    again = "(() => { $('tiles').checked = true; showTiles(); const job = running.tiles; repaint(); return %s; })()"
    assert page.evaluate(again % "Boolean(job) && running.tiles !== job")
    assert becomes_true(page, "tiles.length === TILES ** 2 && !running.tiles")


@pytest.mark.slow
def test_back_button_returns_to_the_previous_data_point(shown):
    page, pause = wait(shown("#datum=3&order=lowest")), "new Promise(done => setTimeout(done, 450))"
    page.call("Page.resetNavigationHistory")                # at 50 entries the history is full and would not grow
    first = page.evaluate("[chosen, history.length]")
    page.evaluate("$('next').click()")
    page.evaluate(pause)
    second = page.evaluate("[chosen, history.length, location.hash]")
    assert second[0] == page.evaluate("ordered()[ordered().indexOf(3) + 1]") and second[1] == first[1] + 1
    assert second[2] == f"#datum={second[0]}&order=lowest"
    page.evaluate("moveTo([1, 1])")                         # a move of the cursor adds no entry to the history
    page.evaluate(pause)
    assert page.evaluate("history.length") == second[1]
    page.evaluate("new Promise(done => { addEventListener('hashchange', () => setTimeout(done)); history.back(); })")
    assert page.evaluate("[chosen, $('order').value]") == [3, "lowest"]
    page.evaluate("$('number').focus(); $('number').value = 5; $('number').dispatchEvent(new Event('input'))")
    page.evaluate(pause)
    page.evaluate("new Promise(done => { addEventListener('hashchange', () => setTimeout(done)); history.back(); })")
    assert page.evaluate("[chosen, $('number').value]") == [3, "3"]     # going back also updates a field that has the focus


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "bernoulli", "iwae"])
def test_page_fits_a_phone_in_light_and_dark_mode(name, browser, digits, tmp_path):
    (tmp_path / "a.html").write_text(digits[2] if name == "digits" else build(*model(name), name), encoding="utf-8")
    papers = []
    for dark in (False, True):
        page = wait(browser.open(tmp_path / "a.html", width=390, height=844, dark=dark))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390 and page.errors == []
        papers.append(page.evaluate("getComputedStyle($('place')).backgroundColor"))
    assert papers == ["rgb(255, 255, 255)", "rgb(22, 25, 29)"]
    low = """[...document.querySelectorAll("button, input:not([type=checkbox]), select, label")].filter(e =>
      e.offsetParent && e.getBoundingClientRect().height < 43.5).map(e => e.outerHTML)"""
    assert page.evaluate(low) == []
    if name == "iwae":
        assert page.evaluate("inputs.every(({slider}) => slider.clientWidth > 300)")


@pytest.mark.slow
def test_vertical_swipe_scrolls_a_phone_and_a_sideways_drag_moves_the_cursor(shown):
    page = wait(shown(width=390, height=844))
    top, left, bottom, picture = page.evaluate("""(() => { const a = $("map").getBoundingClientRect();
      return [a.top, a.left, a.bottom, $("mean").getBoundingClientRect().top]; })()""")
    assert 0 < picture < top and bottom < 844               # map and decoded image are both on the screen
    page.swipe(*([left + 100 + 10 * k, top + 100 + k] for k in range(11)))
    scrolled, place, target = page.evaluate("[scrollY, [...z], map.inverse(200, 110)]")
    assert scrolled == 0 and place == pytest.approx(target, abs=0.05)
    page.swipe(*([left + 100, top + 250 - 20 * k] for k in range(10)))
    assert page.evaluate("scrollY") > 50 and page.evaluate("[...z]") == place


@pytest.mark.slow
def test_printed_page_has_at_most_two_sheets_and_hides_all_controls(shown, digits):
    page = wait(shown("#datum=7&z=0.5,-1.25&tiles=1&order=gap", dark=True))
    page.evaluate("new Promise(done => setTimeout(done, 450))")
    for landscape in (False, True):
        pdf = page.call("Page.printToPDF", landscape=landscape, paperWidth=8.27, paperHeight=11.69)["data"]     # A4
        assert 1 <= len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(pdf))) <= 2
    page.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    visible = page.evaluate("[...document.querySelectorAll('input, button')].filter(e => e.offsetParent).length")
    assert visible == 0 and page.evaluate("style('--paper')") == "#ffffff" and page.evaluate("tiles.length") == 18 * 18
    text = page.evaluate("document.body.innerText.replace(/\\s+/g, ' ')")
    for part in ("Data point 7 ", f"Class {digits[1].test_y[7]}. ", "z\u2081 = 0.50 z\u2082 = \u22121.25",
                 "40, largest gap first", "chosen data point", "#datum=7&z=0.5,-1.25&order=gap&tiles=1"):
        assert part in text, part
    corner = "tiles[0].canvas.getContext('2d').getImageData(0, 0, 1, 1).data[0]"
    on_white = f"Math.abs({corner} - (255 - (255 - 26) * tiles[0].x[0] / 16)) <= 1"
    assert becomes_true(page, f"tiles.length && {on_white}")          # the page repaints the tiles a moment later


@pytest.mark.slow
def test_tiles_of_the_map_are_decoded_on_request(shown):
    page = shown()
    assert page.evaluate("tiles.length") == 0
    page.evaluate("$('tiles').click()")
    assert wait(page).evaluate("tiles.length") == 18 * 18


@pytest.mark.slow
def test_new_digit_is_drawn_from_the_prior_with_one_click(shown):
    page = shown("#z=9,9")
    page.evaluate("$('dice').click()")
    assert max(map(abs, page.evaluate("[...z]"))) < 8 and page.evaluate("seed") == 2
    x = np.array(page.evaluate("(random => Array.from({length: 4000}, () => normal(random)))(randomFrom(1))"))
    assert abs(x.mean()) < 0.05 and abs(x.std() - 1) < 0.05         # 0.05: at least three standard errors; the seed is fixed


@pytest.mark.slow
def test_class_names_are_shown_as_text_and_not_as_html(browser, tmp_path):
    vae, data = model("fixed")
    names = tuple("abcdefghi") + ("<b>j</b>", "k")
    text = build(vae, replace(data, classes=names), "named")
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    page = browser.open(tmp_path / "a.html", "#datum=1")
    assert page.evaluate("[...$('classes').children].map(e => e.textContent)") == ["i", "< <b>j</b>", "k"]
    assert "Class <b>j</b>" in page.evaluate("$('label').textContent")
    assert set(page.evaluate("thumbs.map(thumb => thumb.text.textContent)")) <= {"i", "<", "k"}
    glyphs = {(text, colour) for text, _, _, colour in page.evaluate(DRAWN.split("drawPanel")[0] + GLYPHS)}
    classes = classes_of(data.test_y, 12, dict(enumerate(names)))[1]
    colours = {label: builder.readable(one.colour, "#ffffff", 4.5) for label, one in classes.items()}
    assert glyphs >= {(short, colours[label]) for label, short in ((8, "i"), (9, "<"), (10, "k"))}


@pytest.mark.slow
@pytest.mark.parametrize("classes, short", [
    (("cat", "giant panda", "owls"), ["c", "g", "o"]), (("class_0", "class_1"), ["0", "1"]),
    (("Iris-setosa", "Iris-virginica", "Iris-versicolor"), ["se", "vi", "ve"]), (("NK cell", "B cell"), ["N", "B"]),
    ((" ", "a"), ["0", "1"]), (("sample a", "sample"), ["0", "1"]),
])
def test_class_names_become_a_few_different_letters_or_the_label_number(browser, tmp_path, classes, short):
    vae, data = model("optimal")
    labels = np.arange(12) % len(classes)
    text = build(vae, replace(data, train_y=labels, test_y=labels, classes=classes), "named")
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    page = browser.open(tmp_path / "a.html")
    assert page.evaluate("classes.map(label => short(label))") == short and page.errors == []


@pytest.mark.slow
def test_page_says_that_a_bound_is_not_log_px(browser, tmp_path):
    vae, data = model("iwae")
    (tmp_path / "a.html").write_text(build(vae, data, "x"), encoding="utf-8")
    page = wait(browser.open(tmp_path / "a.html"))
    names = page.evaluate("[...$('nats').rows].map(row => row.cells[0].textContent)")
    assert names == ["reconstruction", "KL", "ELBO", "importance-weighted bound of log p(x)", "gap, at least"]
    text = page.evaluate("document.querySelector('main').innerText")
    assert "log p(x) itself is not known here" in text and "exact log p(x)" not in text


@pytest.mark.slow
def test_page_shows_an_elbo_estimated_from_draws_if_latent_dimensions_are_many(browser, tmp_path):
    vae, data = model("iwae")
    evidence = builder.evidence_for(vae, data.test_x)
    worse = evidence._replace(log_px=evidence.elbo - 0.05)
    (tmp_path / "a.html").write_text(build(vae, data, "x", worse), encoding="utf-8")
    page = wait(browser.open(tmp_path / "a.html", "#datum=2&z=" + ",".join(["9"] * 12)))
    rows = page.evaluate("[...$('nats').rows].map(row => row.cells[1].textContent.replaceAll('\u2212', '-'))")
    elbo, error = map(float, rows[2].split(" \u00b1 "))
    assert (elbo, error) == pytest.approx((evidence.elbo[2], evidence.elbo_error[2]), abs=0.0051)
    assert rows[4].startswith("0.00 ")                      # the page shows a negative lower limit of the gap as 0
    words = f"{evidence.weights} importance-weighted draws of z for each data point"
    assert words in page.evaluate("$('unknown').textContent")
    assert page.evaluate("inputs.every(({slider}) => slider.value === '9')")
    page.evaluate("moveTo(z.map(() => 7.5))")               # the slider's range stays when its value decreases
    assert page.evaluate("inputs.every(({slider}) => slider.value === '7.5' && slider.max === '9')")
    assert page.evaluate("location.hash = '#datum=2&tiles=1'; recall(); !running.tiles && !$('tiles').checked")
    mu, log_var = vae.astype(np.float64).encode(data.test_x)
    active = f"{(mu.var(axis=0) > ACTIVE).sum()} of 12 are active"
    assert active in page.evaluate("$('map-help').textContent")
    numbers = "code.textContent.replaceAll('\u2212', '-').match(/[-.\\d]+/g).map(Number)"
    code = page.evaluate(f"inputs.map(({{code}}) => {numbers})")
    assert np.allclose(code, np.column_stack([mu[2], np.exp(log_var[2] / 2)]), rtol=0.05, atol=0.0051)


@pytest.mark.slow
def test_table_shows_the_values_of_each_column(browser, tmp_path):
    vae, data = model("fixed")
    x = data.test_x.copy()
    x[:, 1] = 2                                             # a constant column
    (tmp_path / "a.html").write_text(build(vae, replace(data, test_x=x, train_x=x), "x"), encoding="utf-8")
    page = wait(browser.open(tmp_path / "a.html", "#datum=4"))
    rows = page.evaluate("""["datum-values", "cursor-values"].map(id => [...$(id).querySelectorAll("tr")].slice(1).map(row =>
      [...row.cells].map(cell => cell.textContent.replaceAll("\u2212", "-"))))""")
    assert [row[0] for row in rows[0]] == [f"column {d + 1}" for d in range(6)]
    numbers = np.array([row[1:] for row in rows[0]], float)
    mean = vae.astype(np.float64).decode(vae.astype(np.float64).encode(x)[0])[4]
    spread = np.ptp(x, axis=0)
    assert (abs(numbers - np.column_stack([x[4], mean])) <= 0.006 * np.where(spread > 0, spread, 1)[:, None]).all()
    assert np.allclose(np.array(rows[1], object)[:, 1].astype(float), mean, atol=0.006)
    cells = "[...$('datum-values').querySelectorAll('td:nth-child(2)')]"
    bars = page.evaluate(cells + ".map(cell => parseFloat(cell.style.backgroundSize))")
    assert np.allclose(bars, 100 * (x[4] - x.min(axis=0)) / np.where(spread > 0, spread, 1), atol=0.51)
    assert page.errors == []
    assert page.evaluate("getComputedStyle($('map')).touchAction") == "pan-y pinch-zoom"
    assert page.evaluate("getComputedStyle(document.querySelector('.values td')).printColorAdjust") == "exact"
    for width in (60, 320):                                 # a narrow window
        assert wait(browser.open(tmp_path / "a.html", width=width)).errors == []
    assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.slow
def test_random_counts_of_the_page_have_binomial_mean_and_variance(shown):
    page, cases = shown(), [(1, 0.3), (60, 0.02), (60, 0.9), (5, 0), (5, 1), (7, 1e-300)]
    draw = "(random => %s.map(([n, p]) => Array.from({length: 4000}, () => binomial(n, p, random))))(randomFrom(1))"
    for (n, p), x in zip(cases, np.array(page.evaluate(draw % json.dumps(cases))), strict=True):
        variance = n * p * (1 - p)
        assert abs(x.mean() - n * p) <= 4 * (variance / 4000) ** 0.5 and x.var() == pytest.approx(variance, rel=0.15)


@pytest.mark.slow
def test_page_with_one_data_point_of_tiny_values_has_readable_numbers(browser, tmp_path):
    vae, data = model("fixed")
    x = data.test_x[:1] * np.float32(1e-8)
    (tmp_path / "a.html").write_text(build(vae, Dataset("tiny.csv", x, x), "x"), encoding="utf-8")
    page = wait(browser.open(tmp_path / "a.html"))
    assert "1 held-out data point of tiny.csv" in page.evaluate("$('about').textContent") and page.errors == []
    numbers = page.evaluate("[[1.234e-8, 10], [-1.234e-8, 10], [0.5, 2], [-1e-7, 2], [1, 9]].map(pair => number(...pair))")
    assert numbers == ["1.23e-8", "\u22121.23e-8", "0.50", "0.00", "1.000000"]
    page.evaluate("ranges.forEach((_, d) => { ranges[d] = [0, 1e-7]; }); showChosen()")
    cell = page.evaluate("$('datum-values').querySelector('td').textContent.replace('\u2212', '-')")
    assert float(cell) == pytest.approx(x[0, 0], rel=0.01)


@pytest.mark.slow
def test_page_of_sixty_classes_shows_images_with_the_right_width_and_height(browser, tmp_path):
    vae, data = model("bernoulli")
    x, labels = np.resize(data.test_x, (60, 6)), np.arange(60)
    data = replace(data, train_x=x, train_y=labels, test_x=x, test_y=labels)
    (tmp_path / "a.html").write_text(build(vae, data, "x"), encoding="utf-8")
    page = wait(browser.open(tmp_path / "a.html", "#datum=1&tiles=1"))
    assert page.evaluate("[$('chance').textContent, $('loss').hidden]") == ["probability", True]
    height, sizes, names, top, wanted = page.evaluate("""(() => {
      const sizes = [], names = [], ends = [];
      const proto = CanvasRenderingContext2D.prototype, {drawImage, fillText, lineTo} = proto;
      proto.drawImage = (image, x, y, width, height) => { if (width) sizes.push([x, y, width, height]); };
      proto.fillText = text => names.push(text);
      proto.lineTo = (x, y) => ends.push(y);
      drawMap();
      logVar[chosen][0] = 2 * Math.log(1e-4);               // q is far narrower than the posterior
      ends.length = 0;
      drawPanel();
      Object.assign(proto, {drawImage, fillText, lineTo});
      return [map.height, sizes, names, Math.min(...ends), panel.height - 30 - (panel.height - 48) / 1.05]; })()""")
    assert height < 1300 and 30 <= len(set(names) & set(map(str, labels))) <= 40
    assert top == pytest.approx(wanted, abs=0.01)
    sizes = np.array(sizes)                                 # images of 2 x 3 pixels
    assert len(sizes) == 18 and np.allclose(sizes[:, 2] / sizes[:, 3], 1.5)
    assert (np.diff(sizes[:, 0]) > sizes[0, 2] - 0.01).all()            # side by side
    (tmp_path / "a.html").write_text(build(vae, replace(data, test_x=x / 2), "x"), encoding="utf-8")
    assert browser.open(tmp_path / "a.html").evaluate("$('loss').hidden") is False and page.errors == []


@pytest.mark.slow
def test_map_colours_have_contrast_on_light_and_dark_background():
    def linear(colour):
        return np.array([((v / 255 + 0.055) / 1.055) ** 2.4 if v > 10 else v / 3294.6 for v in bytes.fromhex(colour[1:])])

    css = (HOME / "page.css").read_text("utf-8")
    for paper, least in builder.PAPERS.items():
        assert f"--paper: {paper};" in css
        shades = [builder.readable(colour, paper, least) for colour in style.CLASSES]
        light = [sorted(linear(each) @ [0.2126, 0.7152, 0.0722] + 0.05 for each in (shade, paper)) for shade in shades]
        assert min(high / low for low, high in light) > least - 0.01 and len(set(shades)) == 10


@pytest.mark.slow
def test_sliders_are_sorted_by_the_kl_of_their_dimension(browser, tmp_path):
    vae, data = model("iwae")
    (tmp_path / "a.html").write_text(build(vae, data, "x"), encoding="utf-8")
    names = "[...document.querySelectorAll('.slider .name')].map(e => e.textContent)"
    order = browser.open(tmp_path / "a.html").evaluate(names)
    kl = kl_standard_normal(*vae.astype(np.float64).encode(data.test_x)).mean(axis=0)
    digits = str.maketrans("\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089", "0123456789")
    assert [int(name[1:].translate(digits)) for name in order] == list(np.argsort(-kl) + 1)


def test_browser_tests_without_a_browser_are_skipped_unless_a_browser_is_required(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    executable.cache_clear()
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception):
        need_browser()
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception):
        need_browser()
    executable.cache_clear()
