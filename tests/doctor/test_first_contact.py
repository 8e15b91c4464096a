"""The doctor on files that were written without knowledge of it: nothing right is wrong, and the verdicts are recorded.

Before anybody looked at the files: of 36 faulty files 24 named, 4 located, 1 misnamed, 7 silent; no false alarm on 24
right ones. `recorded.json` has the keys of all findings that are not "is"; `truth.json` the fault of each file.
"""

import json
import sys
from pathlib import Path

import pytest

from minivae.doctor import examine
from minivae.doctor.patient import names_of

HERE = Path(__file__).parent / "first_contact"
RECORDED = json.loads((HERE / "recorded.json").read_text(encoding="utf-8"))
TRUTH = {entry["file"]: entry for entry in json.loads((HERE / "truth.json").read_text(encoding="utf-8"))}


def test_every_file_of_the_first_contact_has_a_record():
    assert {path.name for path in HERE.glob("*.py")} == {*RECORDED} == {*TRUTH}


@pytest.mark.slow
@pytest.mark.parametrize("file", RECORDED)
def test_first_contact_file_gets_exactly_its_recorded_findings(file, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])            # the folder of the file is added to it
    report = examine(0, str(HERE / file), **names_of(HERE / file))
    assert sorted({finding.key for finding in report.findings if finding.verdict != "is"}) == RECORDED[file]
    assert not TRUTH[file]["right"] or report.wrong == []
