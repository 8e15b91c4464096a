"""Tests of all redrawn figures: every check of a figure can fail, all texts are readable, and the files are complete."""

import ast
import itertools
import json
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from derivations import figures
from derivations.app import cli
from derivations.figures import odaibo
from tests.derivations.figures import test_cards, test_hong, test_lm, test_odaibo
from tests.derivations.study import test_questions
from tests.helpers.drawn import drawn, refused, words
from tests.helpers.png import png_texts

NAMES = (
    *("odaibo-F1", "odaibo-F2", "lm-3", "lm-11", "lm-43"),
    *("hong-10", "cards-15", "cards-23", "cards-24", "cards-30"),
)
every_figure = pytest.mark.parametrize("name", NAMES)


def test_figures_are_listed_in_the_order_of_their_sources():
    assert tuple(figures.FIGURES) == NAMES


# Claims. A figure calls `shows` for each of its claims; `shows` raises an error if the claim is false.


def claims():
    """Yield every call of `shows` in the code of the figures, as (name of the file, numbers of the lines of the call)."""
    for path in sorted(Path(figures.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "shows":
                yield path.name, range(node.lineno, node.end_lineno + 1)


@pytest.mark.slow
def test_every_check_of_a_figure_fails_for_some_planted_fault():
    tested = (
        test_odaibo,
        test_lm,
        test_hong,
        test_cards,
        test_questions,
    )
    failed = {refused(*fault) for module in tested for fault in module.FAULTS.values()}
    found = list(claims())
    unseen = [
        f"{name}:{lines[0]}" for name, lines in found if not failed & {(name, line) for line in lines}
    ]
    assert unseen == [] and len(found) > 60


# Texts on the figures


@cache
def written_on(name):
    """Return the texts on a figure; cached, because several tests need them."""
    return words(drawn(name)[0])


@pytest.mark.slow
@every_figure
def test_every_text_is_inside_its_figure_and_large_enough(name):
    figure, written = drawn(name)[0], written_on(name)
    right, top = figure.bbox.max
    boxes = [(text, artist.get_window_extent()) for text, artist in written]
    inside = [text for text, b in boxes if 0 <= b.x0 and b.x1 <= right and 0 <= b.y0 and b.y1 <= top]
    assert inside == [text for text, _ in written] and len(inside) > 5
    assert min(artist.get_fontsize() for _, artist in written) >= 8


@every_figure
def test_texts_do_not_overlap(name):
    boxes = [(text, artist.get_window_extent()) for text, artist in written_on(name)]
    assert [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if one.overlaps(other)] == []


@every_figure
def test_letters_are_large_enough_on_a_narrow_page(name):
    width = drawn(name)[0].get_figwidth()
    smallest = min(artist.get_fontsize() for _, artist in written_on(name))
    assert smallest * min(1, 830 / 72 / width) > 7          # font size in points, if the page is 830 pixels wide


@every_figure
def test_alt_text_is_short_and_the_figure_has_title_and_caption(name):
    figure, alt = drawn(name)
    assert 150 < len(alt) <= 250 and alt.endswith(".") and "  " not in alt and not re.search(r"[\\$]", alt)
    assert figure.get_suptitle() and figure.get_supxlabel()


# Files


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("figures") / "new"
    return out, figures.write_all(out, overwrite=False)


@pytest.mark.slow
def test_figures_are_written_as_svg_and_png_with_alt_text(written):
    out, files = written
    assert [Path(file["path"]).name for file in files] == [f"{n}.{kind}" for n in NAMES for kind in ("svg", "png")]
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
            assert not re.search(rb"dc:date|/(home|tmp|usr)/", content) and len(content) < 600_000


@pytest.mark.slow
def test_figures_are_reproducible(written, figures_again):
    out, files = written
    for old, new in zip(files, figures_again, strict=True):
        assert old["path"] != new["path"] and Path(old["path"]).read_bytes() == Path(new["path"]).read_bytes()


@pytest.mark.slow
def test_figure_has_the_same_bytes_if_other_figures_are_not_drawn(written, tmp_path):
    out, _ = written
    files = figures.write_all(tmp_path, overwrite=False, names=["hong-10", "odaibo-F1", "hong-10"])
    assert [Path(file["path"]).name for file in files] == [
        *("hong-10.svg", "hong-10.png", "odaibo-F1.svg", "odaibo-F1.png"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(Path(file["path"]).name for file in files)
    for file in files:
        path = Path(file["path"])
        assert path.read_bytes() == (out / path.name).read_bytes()


@pytest.mark.slow
def test_figures_command_prints_alt_texts_and_overwrites_only_on_request(tmp_path, capsys):
    command = ["figures", "lm-3", "cards-15", "--out", str(tmp_path), "--json"]
    assert cli.main(command) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert all(Path(file["path"]).exists() and file["alt"] for file in files) and len(files) == 4
    (tmp_path / "cards-15.svg").write_text("mine")
    (tmp_path / "lm-3.svg").unlink()
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert "--overwrite" in error and error.count("\n") == 1
    assert (tmp_path / "cards-15.svg").read_text() == "mine" and not (tmp_path / "lm-3.svg").exists()
    assert cli.main([*command, "--overwrite"]) == 0
    assert (tmp_path / "cards-15.svg").read_text() != "mine"


@pytest.mark.parametrize(
    "name, near", [("lm.11", "lm-11"), ("card-24", "cards-24"), ("odaibo-F3", "odaibo-F"), ("ring", "")]
)
def test_error_for_an_unknown_figure_suggests_the_nearest_name(tmp_path, capsys, name, near):
    assert cli.main(["figures", "hong-10", name, "--out", str(tmp_path / "new")]) == 2
    printed = capsys.readouterr()
    assert f"NAME must be the name of a figure; got {name!r}. Did you mean {near}" in printed.err
    assert printed.out == "" and printed.err.count("\n") == 1 and not (tmp_path / "new").exists()


def test_figure_with_a_false_claim_is_not_written(tmp_path, capsys, monkeypatch):
    good = odaibo.curves()
    wrong = good | {"log": np.log10(good["t"])}
    monkeypatch.setitem(figures.FIGURES, "odaibo-F1", lambda: odaibo.log_and_tangent(wrong))
    assert cli.main(["figures", "hong-10", "odaibo-F1", "--out", str(tmp_path / "new")]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and "would not show" in printed.err
    assert not (tmp_path / "new").exists()
