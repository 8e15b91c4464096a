"""`derivations compare` lists the notation of each source, computes its formulas, and marks values that differ."""

import json
import re
from functools import cache

import numpy as np
import pytest

from derivations.app import cli
from derivations.engine import ledger
from derivations.engine.equation import LEDGER
from derivations.study import compare

ledger.load()
QUANTITIES = compare.quantities()


@cache
def notation():
    return compare.notation()


def run(capsys, *arguments):
    code = cli.main(["compare", *map(str, arguments)])
    return code, *capsys.readouterr()


def used(quantity, source):
    return {one.text for one in notation()[quantity][source]}


def test_notation_shows_that_sources_use_different_letters():
    assert used("encoder's weights", "odaibo") == {"q_θ"} and used("decoder's weights", "odaibo") == {"p_φ(x|z)"}
    for source in ("lm", "hong", "cards"):
        assert used("encoder's weights", source) == {"q_φ"} and used("decoder's weights", source) == {"p_θ(x|z)"}
    assert used("logarithm", "lm") == {"ln"} and used("logarithm", "hong") == {"log", "ln"}
    assert used("objective", "odaibo") >= {"𝒢", "ℒ"} and used("objective", "cards") == {"L_VAE"}


def test_notation_lists_each_spelling_only_with_entries_that_contain_it():
    for quantity, by_source in notation().items():
        for source, ways in by_source.items():
            for one in ways:
                pattern = compare.NAMES[quantity][0][one.text]
                assert one.ids and all(re.search(pattern, compare.printed(LEDGER[id])) for id in one.ids)
                assert all(id.startswith(f"{source}.") for id in one.ids)


def test_notation_ignores_sides_in_square_brackets():
    entry = LEDGER["odaibo.28"]
    assert "[" in entry.printed.latex and "log p(xᵢ) − D_KL" not in compare.printed(entry)


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.name)
def test_compare_finds_no_wrong_side_in_a_line_that_holds(quantity):
    found = compare.compare(quantity, 300)
    assert compare.contradictions(found) == []
    assert any(one.apart <= compare.AGREE for one in found)
    for one in found:
        if one.apart > compare.AGREE:
            assert one.verdict in ("wrong", "slip", "loose", "copy") and one.apart > 1e-3


def test_compare_finds_three_known_faults_of_the_sources():
    found = {(quantity.name, one.name): one for quantity in QUANTITIES for one in compare.compare(quantity, 300)}
    for quantity, id, value in (
        ("-KL(q || N(0, 1)) in closed form", "hong.10", 2.693147),
        ("KL(p || q), from its expectation", "odaibo.10", -0.368064),
    ):
        assert found[quantity, id].value == pytest.approx(value, abs=1e-6) and found[quantity, id].apart > 1
    assert found["log p(x) of x = w z + s eps", "lm.3"].value == pytest.approx(-10.225791, abs=1e-6)
    assert found["log p(x), from the bound and its gap", "lm.16"].apart < 1e-12


def test_compare_notices_a_planted_error(monkeypatch, capsys):
    (quantity,) = (quantity for quantity in compare.quantities() if quantity.name.startswith("ELBO, reconstruction"))
    (version,) = (version for version in quantity.versions if version.name == "cards.1")
    wrong = version._replace(compute=lambda values: version.compute(values) + 1e-4)
    found = compare.compare(quantity._replace(versions=(wrong, *quantity.versions[:1])), 300)
    assert compare.contradictions(found) == ["cards.1"]
    monkeypatch.setattr(compare, "quantities", lambda: (quantity._replace(versions=(wrong,)),))
    assert run(capsys)[0] == 1


def test_compare_shows_verdict_and_numerical_difference_of_each_wrong_row(capsys):
    lines = [line for line in run(capsys, "--draws", 50)[1].splitlines() if re.search(r" (wrong|slip)  ", line)]
    assert len(lines) >= 6 and all(re.search(r" (agrees|off by \d+%) ", line) for line in lines)
    assert any(" agrees " in line for line in lines) and any(" off by " in line for line in lines)


def test_compare_reports_sides_as_equal_only_if_all_bits_are_equal():
    (quantity,) = (quantity for quantity in QUANTITIES if quantity.name.startswith("ELBO, reconstruction"))
    first = quantity.versions[0]
    twice = compare.compare(quantity._replace(versions=(first, first._replace(name="odaibo.26"))), 50)
    assert twice[0].alike == ("odaibo.26",) and twice[1].alike == (first.name,)
    moved = first._replace(name="odaibo.26", compute=lambda v: np.nextafter(first.compute(v), 0))
    assert compare.compare(quantity._replace(versions=(first, moved)), 50)[0].alike == ()


def test_compare_prints_every_group_of_formulas_with_equal_values():
    pairs = {"odaibo.1": "odaibo.2", "odaibo.2": "odaibo.1", "lm.3": "lm.4", "lm.4": "lm.3"}
    found = [compare.Compared(name, "x", "holds", 1.0, 0.0, (other,)) for name, other in pairs.items()]
    found.append(compare.Compared("lm.5", "x", "holds", 1.0, 0.0, ()))
    lines = [line for line in compare.quantity_lines(QUANTITIES[0], found, 80) if "last bit" in line]
    assert lines == ["  equal to the last bit: odaibo.1, odaibo.2", "  equal to the last bit: lm.3, lm.4"]


def test_compare_command_prints_tables_and_json(capsys):
    code, out, err = run(capsys)
    assert code == 0 and err == "" and "hong.10" in out and "off by" in out and "q_θ" in out and "1000 draws, seed 0" in out
    document = json.loads(run(capsys, "--json", "--draws", 100)[1])
    assert set(document) == {"notation", "numbers"} and len(document["numbers"]) == len(QUANTITIES)
    assert {"name", "text", "verdict", "value", "apart", "alike"} == set(next(iter(document["numbers"].values()))[0])
