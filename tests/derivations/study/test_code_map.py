"""The code map has every public function and only existing functions; it links functions and ledger entries both ways.

A function is tied to an entry of the ledger if the entry calls the function and compares the result with the entry's
numbers.
"""

import inspect
import json
import re
from functools import cache
from pathlib import Path

import pytest

from derivations.app import cli
from derivations.engine import ledger
from derivations.pages import records
from derivations.study import code_map
from minivae import gaussian, vae

ROOT = Path(__file__).parents[3]


@cache
def places():
    return {one.name: one for one in code_map.reading_map()}


def run(capsys, *arguments):
    code = cli.main(["map", *arguments])
    return code, *capsys.readouterr()


def test_map_has_a_forward_function_for_every_backward_function():
    """`kl_path_backward` is the exception: it is a second gradient of `kl_sampled`, and there is no function `kl_path`."""
    for name in set(places()) - {"minivae.objective.kl_path_backward"}:
        if name.endswith("_backward") and not inspect.isclass(records.fetch(name.rpartition(".")[0])):
            assert name.removesuffix("_backward") in places()
    assert {"minivae.divergences.kl_full", "minivae.ops.relu_backward", "minivae.vae.VAE.elbo"} <= set(places())


def test_every_public_function_is_tied_to_an_entry_of_the_ledger():
    assert [name for name, one in places().items() if not one.tied] == []


def test_map_contains_every_function_that_is_tied_to_an_entry():
    for name in code_map.ties():
        assert callable(records.fetch(name)) and name in places(), name
    fit = places()["minivae.likelihood.Gaussian.fit"]         # a method
    assert fit.tied and "core/test_likelihood.py" in fit.tests


def test_map_finds_the_functions_of_an_entry():
    for one in places().values():
        for id in (*one.tied, *one.cited):
            assert one in code_map.of_entry(id), (one.name, id)
    assert [one.name for one in code_map.of_entry("odaibo.40c")] == ["minivae.gaussian.kl_standard_normal"]


def test_code_map_finds_the_full_names_of_imports_in_a_file(tmp_path):
    file = tmp_path / "test_a.py"
    file.write_text(
        "from minivae import gaussian as g\nfrom minivae.ops import tanh as t\nimport minivae.ops\nfrom numpy import tanh\n"
        "g.kl_full(t(1), tanh(2), numpy.relu(3), vae.elbo(4), minivae.ops.softplus(5))\n"
    )
    used = code_map.names_in(file)
    assert {"minivae.divergences.kl_full", "minivae.ops.tanh", "numpy.tanh", ".elbo", "minivae.ops.softplus"} <= used
    assert not {"minivae.ops.relu", "minivae.gaussian.cholesky"} & used


def test_code_map_finds_the_defining_module_of_reexported_names(tmp_path):
    file = tmp_path / "test_a.py"
    imports = "import minivae\nfrom minivae.evidence import lower_bounds as b, gap\n"
    file.write_text(imports + "b(1, gap(2))\nminivae.exact_log_px(3)\n")
    used = code_map.names_in(file)
    assert {"minivae.evidence.bounds.lower_bounds", "minivae.evidence.quadrature.exact_log_px"} <= used
    assert "minivae.evidence.linear.exact_linear" not in used


def test_map_lists_only_test_files_that_contain_the_function_name():
    for one in places().values():
        for file in one.tests:
            assert one.name.rpartition(".")[2] in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_map_command_prints_functions_and_their_entries_as_text_or_json(capsys):
    code, out, err = run(capsys, "kl_standard_normal")
    assert code == 0 and "odaibo.40" in out and "test_gaussian.py" in out and "minivae/gaussian.py:" in out
    assert err.startswith(f"1 of {len(places())} functions; filter: derivations map ")
    assert run(capsys, "odaibo.40c")[1] == out
    assert run(capsys, "odaibo.t13", "-q") == (0, "no function of minivae is tied to this entry or cites it\n", "")
    documents = json.loads(run(capsys, "VAE.elbo", "--json")[1])
    assert [document["name"] for document in documents] == ["minivae.vae.VAE.elbo"]
    assert run(capsys, "--markdown")[1].count("\n") == len(places()) + 2


def test_map_prints_all_function_names_in_at_most_40_lines(capsys):
    code, out, err = run(capsys)
    names = re.findall(r"[\w.]+(?=,|$)", out, re.MULTILINE)
    modules = [line for line in out.splitlines() if not line.startswith(" ")]
    assert code == 0 and len(out.splitlines()) <= 40 and len(names) - len(modules) == len(places())
    assert err.startswith(f"{len(places())} functions; filter: ") and err.endswith("derivations map --all\n")
    paragraphs = [line.split()[0] for line in run(capsys, "--all")[1].splitlines() if not line.startswith(" ")]
    assert paragraphs == [name.removeprefix("minivae.") for name in places()]


def test_map_finds_functions_by_name_or_source_or_word():
    def names(filter):
        return [one.name.removeprefix("minivae.") for one in code_map.found(filter)]

    entropies = ["entropy_diagonal", "entropy_diagonal_backward", "entropy_full"]
    assert names("entropy") == [f"divergences.{name}" for name in entropies]
    assert "divergences.kl_full" in names("kl_") and "likelihood.squared_error" in names("likelihood.")
    assert names("KL_Full") == ["divergences.kl_full"]
    of_lm = [one for one in places().values() if any(id.startswith("lm.") for id in (*one.tied, *one.cited))]
    assert code_map.found("lm") == of_lm
    woodbury = set(code_map.of_entry("beyond.30"))
    assert woodbury and set(code_map.found("Woodbury")) == woodbury


UNKNOWN = [("kl_stndard_normal", "kl_standard_normal"), ("odaibo.999", "Did you mean"), ("", None)]


@pytest.mark.parametrize("bad, hint", UNKNOWN)
def test_map_suggests_similar_names_for_an_unknown_name(bad, hint, capsys):
    code, out, err = run(capsys, *filter(None, [bad]))
    assert (code, hint is None) == (0, True) or (code == 2 and out == "" and hint in err)


def test_map_works_without_the_tests_directory(monkeypatch):
    monkeypatch.setattr(code_map, "TESTS", ROOT / "nowhere")
    assert code_map.tests_of("minivae.divergences.kl_full") == ()
    functions = code_map.functions()
    assert gaussian.kl_full is functions["minivae.divergences.kl_full"] and vae.VAE.elbo in functions.values()


def test_map_lists_no_function_for_an_entry_without_link_to_code():
    """No function of minivae is tied to the entry in this test, and no docstring of minivae cites the entry."""
    assert code_map.of_entry(ledger.entries("odaibo")[12].id) == []
