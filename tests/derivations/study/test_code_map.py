"""The map: nothing public is forgotten, everything in it exists, and it leads there and back."""

import json
import re
from pathlib import Path

import pytest

from derivations.app import cli
from derivations.engine import ledger
from derivations.pages import records
from derivations.study import code_map
from minivae import gaussian, vae

ROOT = Path(__file__).parents[3]
PLACES = {one.name: one for one in code_map.reading_map()}


def run(capsys, *arguments):
    code = cli.main(["map", *arguments])
    return code, *capsys.readouterr()


def test_every_function_with_a_backward_is_in_the_map_with_it():
    for name in set(PLACES) - {"minivae.objective.kl_path_backward"}:       # of kl_sampled
        if name.endswith("_backward"):
            assert name.removesuffix("_backward") in PLACES
    assert {"minivae.divergences.kl_full", "minivae.ops.relu_backward", "minivae.vae.VAE.elbo"} <= set(PLACES)


def test_every_public_mathematical_function_is_called_by_an_entry():
    assert [name for name, one in PLACES.items() if not one.tied] == []


def test_every_tie_is_to_something_in_the_map_or_to_another_public_thing():
    for name in code_map.ties():
        assert callable(records.fetch(name)), name


def test_the_map_leads_back():
    for one in PLACES.values():
        for id in (*one.tied, *one.cited):
            assert one in code_map.of_entry(id), (one.name, id)
    assert [one.name for one in code_map.of_entry("odaibo.40c")] == ["minivae.gaussian.kl_standard_normal"]


def test_tests_are_found_by_what_a_name_means(tmp_path):
    file = tmp_path / "test_a.py"
    file.write_text(
        "from minivae import gaussian as g\nfrom minivae.ops import tanh as t\nimport minivae.ops\nfrom numpy import tanh\n"
        "g.kl_full(t(1), tanh(2), numpy.relu(3), vae.elbo(4), minivae.ops.softplus(5))\n"
    )
    used = code_map.names_in(file)
    assert {"minivae.divergences.kl_full", "minivae.ops.tanh", "numpy.tanh", ".elbo", "minivae.ops.softplus"} <= used
    assert not {"minivae.ops.relu", "minivae.gaussian.cholesky"} & used


def test_a_function_is_found_by_the_name_under_which_a_package_offers_it(tmp_path):
    file = tmp_path / "test_a.py"
    file.write_text("import minivae\nfrom minivae.evidence import lower_bounds as b, gap\nb(1, gap(2))\nminivae.exact_log_px(3)\n")
    used = code_map.names_in(file)
    assert {"minivae.evidence.bounds.lower_bounds", "minivae.evidence.quadrature.exact_log_px"} <= used
    assert "minivae.evidence.linear.exact_linear" not in used


def test_every_test_file_exists_and_holds_the_function():
    for one in PLACES.values():
        for file in one.tests:
            assert one.name.rpartition(".")[2] in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_the_command(capsys):
    code, out, err = run(capsys, "kl_standard_normal")
    assert code == 0 and err == "" and "odaibo.40" in out and "test_gaussian.py" in out and "minivae/gaussian.py:" in out
    assert run(capsys, "odaibo.40c")[1] == out
    assert "kl_full" in run(capsys)[1] and run(capsys, "odaibo.t13") == (0, "no function of minivae computes it\n", "")
    documents = json.loads(run(capsys, "VAE.elbo", "--json")[1])
    assert [document["name"] for document in documents] == ["minivae.vae.VAE.elbo"]
    assert run(capsys, "--markdown")[1].count("\n") == len(PLACES) + 2


@pytest.mark.parametrize("bad, hint", [("kl_stndard_normal", "kl_standard_normal"), ("odaibo.999", "Did you mean"), ("", None)])
def test_a_name_that_is_not_known_suggests_the_nearest(bad, hint, capsys):
    code, out, err = run(capsys, *filter(None, [bad]))
    assert (code, hint is None) == (0, True) or (code == 2 and out == "" and hint in err)


def test_without_tests_beside_it_the_map_is_still_there(monkeypatch):
    monkeypatch.setattr(code_map, "TESTS", ROOT / "nowhere")
    assert code_map.tests_of("minivae.divergences.kl_full") == ()
    assert gaussian.kl_full is code_map.functions()["minivae.divergences.kl_full"] and vae.VAE.elbo in code_map.functions().values()


def test_an_entry_without_a_tie_is_in_no_function():
    assert code_map.of_entry(ledger.entries("odaibo")[12].id) == []


def test_the_readme_has_the_map_that_the_command_prints(capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- map -->\n(.*?)<!-- end -->", readme, re.DOTALL)
    assert block and block[1].strip() == run(capsys, "--markdown")[1].strip()
