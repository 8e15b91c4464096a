"""The doctor on right implementations in many styles (never "wrong"), and on planted faults (each named)."""

import pytest

from minivae.doctor import examine
from tests.doctor import fresh


@pytest.mark.parametrize("name", fresh.RIGHT)
def test_right_implementation_is_never_called_wrong(name):
    assert examine(**fresh.RIGHT[name]).wrong == []


@pytest.mark.parametrize("name", fresh.FAULTY)
def test_planted_fault_is_named_by_the_doctor(name):
    given, *keys = fresh.FAULTY[name]
    found = [finding for finding in examine(**given).findings if finding.verdict != "is"]
    for key in keys:
        assert any(key == finding.key or key in finding.words for finding in found)
