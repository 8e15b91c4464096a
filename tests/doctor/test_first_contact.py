"""Run the doctor on files whose author did not know the doctor.

The doctor reports no mistake in a right file, and its findings agree with the recorded ones. Before the doctor was improved
with these files, it named the fault in 24 of 36 faulty files. In 4 files it pointed to the faulty part without naming the
fault, in 1 it named another fault, and it missed 7. It reported no mistake in any of the 24 right files.
`recorded.json` has the keys of all findings whose verdict is not "is". `truth.json` has the fault of each file.
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


def test_every_python_file_in_first_contact_is_in_both_json_files():
    assert {path.name for path in HERE.glob("*.py")} == {*RECORDED} == {*TRUTH}


@pytest.mark.slow
@pytest.mark.parametrize("file", RECORDED)
def test_doctor_reports_exactly_the_recorded_findings_for_each_file_in_first_contact(file, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])            # names_of adds the file's folder to sys.path
    report = examine(0, str(HERE / file), **names_of(HERE / file))
    assert sorted({finding.key for finding in report.findings if finding.verdict != "is"}) == RECORDED[file]
    assert not TRUTH[file]["right"] or report.wrong == []
