"""A one-token mutant is a copy of a module with one changed token. The name of the mutant states the old and the new token.

A mutant never changes an import, a decorator, a signature, an annotation or a docstring.
"""

import io
import tokenize

import pytest

from minivae.museum.patched import changed
from tests import mutants
from tests.helpers import one_token

SOURCE = '''\
"""Add 1 + 1."""
import sum as mean


def f(x: int = 1, *args, **rest) -> int | None:
    """Return -1."""
    y: int = 1
    y = g(*args) - x
    y = g(*args) - x
    return -y * 0.5 if y < 2 else max(y, not x)


@f(1, True)
class A:
    """Contain 1 - 1."""
'''


def tokens(source):
    return [token.string for token in tokenize.generate_tokens(io.StringIO(source).readline)]


def made(source):
    """Return {name of a mutant: its source}."""
    return {mutant.name: changed(source, mutant.changes) for mutant in one_token.mutants("m", source)}


def test_every_mutant_differs_in_its_named_token():
    right = tokens(SOURCE)
    for name, source in made(SOURCE).items():
        old, new = name.split("  ")[1].split(" -> ")
        pairs = [(a, b) for a, b in zip(right, tokens(source), strict=new != "(nothing)") if a != b]
        assert pairs == [(old, new)] or new == "(nothing)" and right.count("not") == 1 + tokens(source).count("not"), name


def test_mutants_leave_imports_decorators_signatures_annotations_and_docstrings_unchanged():
    names = [name.split("  ")[0] + " " + name.split("  ")[1] for name in made(SOURCE)]
    assert names == [
        *("m.py:8:17 - -> +", "m.py:9:17 - -> +", "m.py:10:11 - -> +", "m.py:10:14 * -> /", "m.py:10:16 0.5 -> 1.0"),
        *("m.py:10:25 < -> <=", "m.py:10:27 2 -> 1", "m.py:10:34 max -> min", "m.py:10:41 not -> (nothing)"),
    ]


def test_the_second_of_two_equal_lines_can_be_changed():
    source = made(SOURCE)["m.py:9:17  - -> +  in  y = g(*args) - x"]
    assert [line.strip() for line in source.splitlines()[7:9]] == ["y = g(*args) - x", "y = g(*args) + x"]


def test_every_mutant_compiles():
    assert list(one_token.mutants("m", "def f():\n    return\nx = {**{}}\nprint(*[1])\n")) != []
    assert all(compile(source, "m", "exec") for source in made("x = [*y]\nif not x: z = 1 + 0\n").values())


@pytest.mark.slow
def test_mutant_sample_covers_the_core_and_depends_on_its_seed():
    every = mutants.mutants_of(mutants.CORE)
    assert {mutant.changes[0].module for mutant in every} == set(mutants.CORE) <= set(mutants.TESTS)
    assert len({mutant.name for mutant in every}) == len(every) > 400
    assert mutants.sample(20, 3) == mutants.sample(20, 3) != mutants.sample(20, 4)


@pytest.mark.slow
@pytest.mark.parametrize("rooms, modules, many", [(("evidence", "rosetta"), mutants.EVIDENCE, 700),
                                                  (("doctor",), mutants.DOCTOR, 1500)])  # fmt: skip
def test_mutants_are_made_from_every_module_of_a_folder(rooms, modules, many):
    files = [path for room in rooms for path in (mutants.ROOT / "minivae" / room).glob("[!_]*.py")]
    assert sorted(f"{path.parent.name}.{path.stem}" for path in files) == sorted(modules)
    every = mutants.mutants_of(modules)
    assert len({mutant.name for mutant in every}) == len(every) > many


@pytest.mark.parametrize("end", mutants.EQUIVALENT)
def test_every_mutant_listed_as_equivalent_exists(end):
    every = mutants.mutants_of(mutants.CORE + mutants.EVIDENCE + mutants.DOCTOR)
    assert any(mutant.name.endswith(end) for mutant in every), "the line has changed; is the mutant still equivalent?"
