"""The source's figures show what they say: what is on the page is what was proven, and faults are refused."""

import dataclasses
import functools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from derivations import cli, figures, graph
from minivae.vae import VAE
from tests.png import png_texts


@functools.cache
def drawn(name):
    return figures.FIGURES[name]()


def line(axes, label):
    """The line of that label as (x, y)."""
    return next(artist.get_data() for artist in axes.lines if artist.get_label() == label)


# Figure 1


def test_figure_1_draws_log_t_its_tangent_and_the_shaded_gap():
    axes = drawn("odaibo-F1")[0].axes[0]
    (t, log), (same, tangent), (_, log2) = (line(axes, name) for name in ("log", "tangent", "log2"))
    assert np.array_equal(t, same) and t.min() < 0.05 and t.max() == 4 and 1 in t
    np.testing.assert_allclose(np.exp(log), t, rtol=1e-12)
    np.testing.assert_allclose(2.0**log2, t, rtol=1e-12)
    assert np.array_equal(tangent, t - 1)
    assert (log <= tangent).all() and list(t[log == tangent]) == [1]
    gap = next(artist for artist in axes.collections if artist.get_label() == "gap")
    vertices = gap.get_paths()[0].vertices
    for curve in (log, tangent):
        assert {tuple(point) for point in np.column_stack([t, curve])} <= {tuple(point) for point in vertices}


def faulty_curves():
    good = figures.curves()
    t = good["t"]
    return {
        "base 2 instead of e": good | {"log": np.log2(t)},
        "base 10": good | {"log": np.log10(t)},
        "log(1 + t)": good | {"log": np.log1p(t)},
        "the tangent at t = 2": good | {"tangent": np.log(2) + (t - 2) / 2},
        "the tangent moved up": good | {"tangent": t - 1 + 1e-6},
        "the tangent moved down": good | {"tangent": t - 1 - 1e-6},
        "a steeper line through (1, 0)": good | {"tangent": 1.1 * (t - 1)},
        "no t = 1": {name: values[t != 1] for name, values in good.items()},
        "log10 for log2": good | {"log2": np.log10(t)},
        "ln for log2": good | {"log2": np.log(t)},
    }  # fmt: skip


@pytest.mark.parametrize("name", faulty_curves())
def test_figure_1_refuses_curves_that_do_not_show_it(name):
    with pytest.raises(figures.NotShown, match="would not show that"):
        figures.log_and_tangent(faulty_curves()[name])


# Figure 2


def test_the_arrows_of_figure_2_are_those_of_the_implemented_model():
    figure, alt = drawn("odaibo-F2")
    gids = [artist.get_gid() for artist in figure.axes[0].patches if artist.get_gid()]
    on_page = {tuple(gid.split("->")) for gid in gids if "->" in gid}
    found = figures.probed(figures.small_vae())
    assert on_page | set(figures.WEIGHTS.items()) == found == figures.GRAPH
    assert (
        {gid for gid in gids if "->" not in gid}
        == set(figures.NODES)
        == {name for arrow in on_page for name in arrow}
    )
    assert alt.count(" to ") - alt.count("back to") == len(on_page)
    assert f"{len(on_page)} arrows" in figure.get_supxlabel()


def test_every_arrow_begins_and_ends_at_its_nodes():
    figure, _ = drawn("odaibo-F2")
    figure.draw_without_rendering()
    patches = {patch.get_gid(): patch for patch in figure.axes[0].patches if patch.get_gid()}
    for gid in filter(lambda gid: "->" in gid, patches):
        start, end = (patches[name].get_window_extent() for name in gid.split("->"))
        line = patches[gid].get_path().vertices             # from the start, then the head with its tip
        line = patches[gid].get_transform().transform(line)
        assert gap(line[:1], start) < 6 and gap(line, end) < 6, gid
        assert gap(line[1:], start) > gap(line[:1], start), gid


def gap(points, box):
    """How near points come to a box, in pixels."""
    return np.hypot(*np.maximum(0, np.maximum(box.min - points, points - box.max)).T).min()


class Feedback(VAE):
    """Wrong: the heads are read again after z is drawn."""

    def forward(self, x, eps, fit=True):
        z = eps[0] * np.exp(self._encode(x)[2] / 2)
        mu = z + self._encode(x)[1]
        return mu


class SampledMean(VAE):
    """Wrong: the decoder also sees x."""

    def forward(self, x, eps, fit=True):
        hs, mu, log_var = self._encode(x)
        z = mu + np.exp(log_var / 2) * eps
        gs = self._decode(z.reshape(-1, self.latent) + x.mean())
        out = gs[-1]
        return out


class NoNoise(VAE):
    """Wrong: what is called z is the mean."""

    def forward(self, x, eps, fit=True):
        hs, mu, log_var = self._encode(x)
        z = mu + 0 * eps
        return z


def as_model(cls):
    return cls(figures.small_vae().params)


@pytest.mark.parametrize(
    "vae, message",
    [
        (as_model(Feedback), "acts on"),
        (as_model(SampledMean), "acts on"),
        (as_model(NoNoise), "eps acts on z"),
        (dataclasses.replace(figures.small_vae(), estimator="sampled"), "z does not act on kl"),
        (dataclasses.replace(figures.small_vae(), beta=0.0), "kl acts on loss"),
    ],
    ids=["feedback", "x seen by the decoder", "no noise", "sampled KL", "no KL"],
)
def test_figure_2_refuses_a_model_with_another_graph(vae, message):
    with pytest.raises(figures.NotShown, match=message):
        figures.schematic(vae)


def test_probing_finds_the_arrow_that_each_fault_adds_or_lacks():
    assert ("z", "mu") in figures.probed(as_model(Feedback))
    assert ("x", "gs") in figures.probed(as_model(SampledMean))
    found = figures.probed(as_model(NoNoise))
    assert ("mu", "z") in found and not {("eps", "z"), ("log_var", "z")} & found
    assert graph.reaches({("z", "a"), ("a", "mu")}, "z", "mu") and not graph.reaches({("mu", "z")}, "z", "mu")


# Files


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("figures") / "new"
    return out, figures.write_all(out, overwrite=False)


def test_every_figure_is_written_as_svg_and_png_with_its_alt_text(written):
    out, files = written
    assert sorted(Path(file["path"]).name for file in files) == [
        "odaibo-F1.png",
        "odaibo-F1.svg",
        "odaibo-F2.png",
        "odaibo-F2.svg",
    ]
    for file in files:
        content = Path(file["path"]).read_bytes()
        if file["path"].endswith("png"):
            assert content.startswith(b"\x89PNG") and png_texts(Path(file["path"]))["Description"] == file["alt"]
        else:
            words = [
                " ".join("".join(node.itertext()).split())
                for node in ElementTree.fromstring(content).iter()
                if node.tag.endswith("}description")
            ]
            assert words == [file["alt"]]
            assert not re.search(rb"dc:date|/(home|tmp|usr)/", content)
        assert len(file["alt"]) > 150


def test_the_same_figure_is_the_same_bytes(written, tmp_path, monkeypatch):
    out, files = written
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    for old, new in zip(files, figures.write_all(tmp_path, overwrite=False)):
        assert Path(old["path"]).read_bytes() == Path(new["path"]).read_bytes(), old["path"]


def test_the_command_overwrites_nothing_silently_and_prints_alt_texts(tmp_path, capsys):
    command = ["figures", "--out", str(tmp_path), "--json"]
    assert cli.main(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert (
        all(Path(file["path"]).exists() and file["alt"] for file in document["files"])
        and len(document["files"]) == 4
    )
    (tmp_path / "odaibo-F2.svg").write_text("mine")
    (tmp_path / "odaibo-F1.svg").unlink()
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert "--overwrite" in error and error.count("\n") == 1
    assert (tmp_path / "odaibo-F2.svg").read_text() == "mine" and not (tmp_path / "odaibo-F1.svg").exists()
    assert cli.main([*command, "--overwrite"]) == 0
    assert (tmp_path / "odaibo-F2.svg").read_text() != "mine"


def test_a_figure_that_does_not_show_it_is_not_written_and_exits_with_1(tmp_path, capsys, monkeypatch):
    wrong = faulty_curves()["base 10"]
    monkeypatch.setitem(figures.FIGURES, "odaibo-F1", lambda: figures.log_and_tangent(wrong))
    assert cli.main(["figures", "--out", str(tmp_path / "new")]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and "would not show" in printed.err
    assert not (tmp_path / "new").exists()
