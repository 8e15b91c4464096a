"""The museum's checks notice every exhibit (planted bug) and find no fault in the right model; minivae stays unchanged.

A layer is a group of checks of one kind, such as "loss" or "gradient".
"""

import functools
import hashlib
import json
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import minivae.gaussian
from derivations.engine import ties
from derivations.engine.equation import LEDGER
from minivae.app.cli import main, make_parser
from minivae.museum import command, figures, problems, tour
from minivae.museum.exhibits import Bug, bugs, find, room
from minivae.museum.layers import MEANING, layers, message_of
from minivae.museum.patched import CORE, Change, changed, package
from tests import mutants
from tests.helpers.numeric import close, refused
from tests.helpers.readme import PAGES, blocks

SOURCE = Path(minivae.__file__).parent
NAMES = [bug.name for bug in bugs()]
every_bug = pytest.mark.parametrize("bug", bugs(), ids=lambda bug: bug.name)


@pytest.fixture
def found(museum_matrix):
    """Return {bug: {group of checks: message, or None if all checks of the group pass}}. Bug "" is the correct package."""
    return museum_matrix["found"]


# The exhibits


@every_bug
def test_code_that_an_exhibit_replaces_occurs_exactly_once_in_the_source(bug):
    for change in bug.changes:
        text = (SOURCE.parent / change.file).read_text(encoding="utf-8")
        assert change.module.partition(".")[0] in CORE and change.module in mutants.TESTS
        assert text.count(change.right) == 1
        broken = changed(text, [change])
        assert broken != text and change.broken in broken and compile(broken, "broken", "exec")


def test_at_least_thirty_exhibits_have_full_descriptions():
    assert len(bugs()) >= 30 and len(set(NAMES)) == len(bugs())
    for bug in bugs():
        assert bug.title and bug.seen and bug.models.endswith(".") and 1 <= len(bug.changes) <= 2
        assert len(bug.title) < 80 and len(bug.name) <= 34      # so each text fits on one line


def test_exhibit_cites_a_repository_or_question_unless_marked_as_common_mistake():
    repository, place = r"[\w-]+/[\w.-]+", r"(#\d+|\([0-9a-f]{7}\))"
    for bug in bugs():
        assert bug.common or re.match(rf"({repository}.*{place}|Cross Validated, question \d+)", bug.seen), bug.seen
    assert 0 < sum(bug.common for bug in bugs()) < len(bugs()) / 8


def test_common_mistakes_are_listed_as_a_separate_group(capsys):
    listed, group = printed(capsys)[1].split("\ncommon mistakes, seen in no repository that we can name\n")
    common = [bug.name for bug in bugs() if bug.common]
    assert [line.split()[0] for line in group.splitlines()[: len(common)]] == common
    assert not [name for name in common if f"  {name} " in listed]


def test_change_is_refused_unless_its_original_text_occurs_exactly_once():
    twice, never = (Change("gaussian", right, "pass") for right in ("np.exp(log_var / 2)", "np.exp(log_var / 3)"))
    for change, count in ((twice, "2 times"), (never, "0 times")):
        refused(lambda change=change: package([change]), "right", "exactly once in minivae/gaussian.py", count, "The source")


def test_unknown_exhibit_is_refused_with_the_nearest_names():
    refused(lambda: find("exp-logvar"), "NAME", "the name of an exhibit", "'exp-logvar'", "exp-log-var")


# Copies of minivae, with or without a bug


def digest():
    """Return a checksum of each Python file of minivae."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(SOURCE.rglob("*.py"))}


def test_broken_copy_leaves_the_imported_package_unchanged():
    before, modules, finders = digest(), dict(sys.modules), list(sys.meta_path)
    right, broken = package(), package(find("exp-log-var").changes)
    mu, log_var, eps = np.zeros((1, 1)), np.full((1, 1), -2.0), np.ones((1, 1, 1))
    for module, wanted in ((minivae.gaussian, -1.0), (right.gaussian, -1.0), (broken.gaussian, -2.0)):
        close(module.reparameterize(mu, log_var, eps), np.exp([[[wanted]]]), rel=1e-15)
    assert broken.vae.reparameterize is broken.gaussian.reparameterize
    assert right.vae.VAE is not broken.vae.VAE is not minivae.VAE
    assert digest() == before and sys.meta_path == finders
    assert {name: sys.modules[name] for name in modules} == modules
    assert not [name for name in sys.modules if "_copy" in name.partition(".")[0]]


def test_modules_of_a_copy_contain_no_object_of_the_original_package():
    copy = package()
    for name in CORE:
        for value in [value for key, value in vars(vars(copy)[name]).items() if not key.startswith("__")]:
            home = getattr(value, "__module__", None) or getattr(value, "__name__", "")
            assert str(home).partition(".")[0] != "minivae", (name, value)


def test_failed_copy_leaves_no_trace_in_the_import_system():
    finders = list(sys.meta_path)
    with pytest.raises(ZeroDivisionError):
        package([Change("divergences", "LOG_2PI = math.log(2 * math.pi)", "LOG_2PI = 1 / 0")])
    assert sys.meta_path == finders and not [name for name in sys.modules if "_copy" in name.partition(".")[0]]


# Groups of checks (layers)


@pytest.mark.slow
def test_no_group_of_checks_finds_a_fault_in_the_correct_model(found):
    assert found[""] == dict.fromkeys(layers())


@pytest.mark.slow
@every_bug
def test_every_bug_is_noticed_by_at_least_one_group_of_checks(found, bug):
    words = {layer: words for layer, words in found[bug.name].items() if words}
    assert words
    for layer, line in words.items():
        assert "Error:" not in line or layer == "ledger", f"{layer}: the checks raised an error instead of reporting"


@pytest.mark.slow
def test_every_group_of_checks_notices_a_bug_that_all_other_groups_miss(found):
    assert all(tour.alone(found).values())
    assert list(layers()) == list(MEANING)


@pytest.mark.slow
def test_museum_matrix_takes_less_than_a_minute(museum_matrix):
    assert museum_matrix["seconds"] < 60


@pytest.mark.slow
def test_bug_exp_log_var_passes_gradient_check_but_fails_joint_check(found):
    assert not found["exp-log-var"]["gradient"] and not found["exp-log-var"]["loss"]
    assert found["exp-log-var"]["joint"] and "above log p(x)" in found["exp-log-var"]["ordering"]
    assert not found["decoders-gradient-in-the-encoder"]["joint"]
    assert all(found[bug.name]["loop"] for bug in bugs() if bug.changes[0].module in ("adam", "train", "data"))


def test_bug_counts_as_noticed_if_the_broken_copy_raises_an_error():
    copy = package([Change("gaussian", "u * u + log_var + LOG_2PI", "u * u + log_var + missing")])
    assert message_of(layers()["joint"], copy) == "NameError: name 'missing' is not defined"


@pytest.mark.slow
def test_ledger_checks_notice_the_bug_in_a_changed_copy_of_minivae():
    copy = package(find("minus-one-once").changes)
    with pytest.raises(problems.Noticed, match="minivae.divergences.kl_full gives"):
        ties.ties(copy)
    ties.ties(package())


# {bug: a function in the report of the ledger checks}. For these bugs, the report does not mention the changed function.
# In the first two rows, the function in the report calls the changed function. In the third row, the changed function
# calls `ops.tanh`.
CALLERS = {
    "kl-sum-over-batch": "vae.VAE.loss",
    "nll-of-the-wrong-sign": "evidence.quadrature.exact_log_px",
    "activation-skipped": "ops.tanh",
}  # fmt: skip


def changed_functions(bug):
    """Yield the names of the functions that an exhibit changes."""
    for change in bug.changes:
        source = (SOURCE.parent / change.file).read_text(encoding="utf-8")
        line = source[: source.index(change.right)].count("\n") + 1
        yield f"{change.module}.{command.function_at(source, line)}"


@pytest.mark.slow
@every_bug
def test_ledger_checks_report_the_changed_function(found, bug):
    words = found[bug.name]["ledger"]
    if words:
        named = re.findall(r"minivae\.([\w.]+\w)", words)
        assert len(named) <= 5 and {*changed_functions(bug), CALLERS.get(bug.name)} & {*named}, words


@pytest.mark.slow
def test_ledger_checks_report_wrong_samplers_and_wrong_sampler_gradients(found):
    assert ": minivae.gaussian.reparameterize gives" in found["exp-log-var"]["ledger"]
    assert ": minivae.gaussian.reparameterize_backward gives" in found["noise-not-in-gradient"]["ledger"]


def test_every_ledger_tie_calls_the_minivae_function_that_it_names():
    ran = ties.functions_run()
    names = {(id, number): tie.name for id in ties.computed() for number, tie in enumerate(LEDGER[id].ties)}
    assert ran.keys() == names.keys() and not [key for key, name in names.items() if name not in ran[key]]


def test_message_of_a_failed_check_shows_the_number_with_the_largest_error():
    problems.notice("x", [1.0, 2.0], [1.0, 2.0])
    for values, words in (([1.0, 2.1], "x: 2.1 instead of 2"), ([1.0, np.nan], "x: nan instead of 2"), ([1.0], "shape")):
        with pytest.raises(problems.Noticed, match=words):
            problems.notice("x", values, [1.0, 2.0])


def test_faults_of_the_museum_itself_are_reported():
    found = {"": {"loss": "5 instead of 4"}, "unseen": {"loss": None}}
    assert tour.faults(found) == [
        "the layer of checks loss finds a fault in the right model: 5 instead of 4",
        "no layer of checks notices the bug unseen",
    ]


# Reports of the right and the broken model side by side


@pytest.mark.slow
def test_bug_exp_log_var_gives_lower_loss_and_elbo_above_log_px():
    shown = tour.exhibit(find("exp-log-var"))
    assert shown.broken.loss < shown.right.loss - 0.3
    assert shown.broken.elbo > shown.broken.log_px + 0.3 and shown.right.elbo < shown.right.log_px + 0.1
    better, above = tour.remarks(shown)[:2]
    assert better.startswith("The broken loss looks better") and above.startswith("The broken model's 'lower bound'")
    close(shown.right.own_log_px, shown.right.log_px, rel=1e-6)


def test_two_correct_models_have_equal_reports():
    nothing = Bug("nothing", "nothing", "", "", ())
    a, b = (tour.trained(package(), nothing, epochs=2) for _ in range(2))
    assert a == b and not a.words
    assert tour.remarks(tour.Exhibit(nothing, a, b, {})) == [
        "The two losses are equal within 0.3 nats: no loss curve shows this bug."
    ]


@pytest.mark.parametrize("name, side, words", [
    ("no-max-subtracted", "broken", "training diverged in epoch 1"),
    ("grey-bytes", "right", "x must be within 0..1"),
])  # fmt: skip
def test_report_has_no_loss_or_log_px_after_an_error_in_training(name, side, words):
    bug = find(name)
    report = tour.trained(package(bug.changes if side == "broken" else ()), bug, epochs=1)
    assert report.words.startswith(words) and report.loss is report.log_px is None
    lines = command.side_by_side(tour.Exhibit(bug, report, report, {}), make_parser().parse_args(["museum"]))
    assert any(words in line for line in lines) and lines[1].split()[-1] == "-"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["activation-skipped", "weights-upside-down", "softened-sigma", "prior-too-wide"])
def test_models_with_bugs_of_every_kind_can_be_trained(name):
    report = tour.trained(package(find(name).changes), find(name), epochs=1)
    assert not report.words and None not in report[:-1]


# The command


def printed(capsys, *words):
    """Run `minivae museum WORDS`; return exit code, stdout and stderr."""
    code = main(["museum", *words])
    return code, *capsys.readouterr()


def test_museum_list_contains_every_exhibit_and_every_group_of_checks(capsys):
    code, out, _ = printed(capsys)
    assert code == 0 and all(name in out for name in [*NAMES, *MEANING])
    code, out, _ = printed(capsys, "--json")
    listed = json.loads(out)
    assert [item["name"] for item in listed] == NAMES
    assert listed[0]["changes"][0]["file"] == "minivae/gaussian.py" and listed[0]["room"] == room(bugs()[0]) == "objective"


@pytest.fixture
def trained_once(monkeypatch):
    """Let `tour.exhibit` train the two models only once for each bug, seed and number of epochs."""
    exhibit = functools.cache(lambda name, *rest, real=tour.exhibit: real(find(name), *rest))
    monkeypatch.setattr(tour, "exhibit", lambda bug, *rest: exhibit(bug.name, *rest))


@pytest.mark.slow
def test_museum_prints_changed_lines_numbers_and_checks_of_an_exhibit(capsys, trained_once):
    code, out, _ = printed(capsys, "minus-one-once", "--epochs", "1", "--seed", "3")
    assert code == 0
    change = "  +     return (squares - 1 +"
    for words in (change, "in kl_full\n", "seed 3", "exact log p(x)", "noticed by 1 of 8", "x ledger"):
        assert words in out
    code, out, _ = printed(capsys, "minus-one-once", "--epochs", "1", "--seed", "3", "--json")
    document = json.loads(out)
    assert document["right"] == document["broken"] and document["noticed"]["ledger"] and not document["noticed"]["loss"]


@every_bug
def test_diff_of_an_exhibit_turns_the_source_into_the_broken_file(bug):
    """Replace the `-` lines of the diff by its `+` lines. Each `-` line must be in the file, with the same indentation."""
    for file in {change.file for change in bug.changes}:
        changes = [change for change in bug.changes if change.file == file]
        source = (SOURCE.parent / file).read_text(encoding="utf-8")
        lines, moved = source.splitlines(), 0
        for line in command.diff(file, changes):
            if line.startswith(file):
                at = int(re.search(r"line (\d+), in (\S+)$", line)[1]) - 1 + moved
            elif line.startswith("  - "):
                assert lines.pop(at) == line[4:]
                moved -= 1
            elif line.startswith("  + "):
                lines.insert(at, line[4:])
                at, moved = at + 1, moved + 1
        assert lines == changed(source, changes).splitlines()


def test_diff_mentions_the_function_with_its_class():
    source = "x = 1\nclass A:\n    def f(self):\n        return 1\ndef g():\n    pass\n"
    assert [command.function_at(source, line) for line in (1, 4, 6)] == ["the module", "A.f", "g"]


@pytest.fixture
def cached_matrix(found, monkeypatch):
    """Let `tour.matrix` return the matrix that was computed once for all tests."""
    monkeypatch.setattr(tour, "matrix", lambda done, run: found)


@pytest.mark.slow
def test_printed_matrix_marks_the_bugs_that_each_group_of_checks_notices(capsys, cached_matrix, tmp_path, found):
    code, out, err = printed(capsys, "--matrix", "--out", str(tmp_path))
    assert code == 0 and err == "" and (tmp_path / "museum.png").stat().st_size > 10_000
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line and line.split()[0] in NAMES}
    for name, marks in rows.items():
        assert [mark.lower() == "x" for mark in marks] == [bool(words) for words in found[name].values()]
    assert len(rows) == len(NAMES)
    code, _, err = printed(capsys, "--matrix", "--out", str(tmp_path))
    assert code == 2 and "--overwrite" in err
    code, out, _ = printed(capsys, "--matrix", "--out", str(tmp_path), "--overwrite", "--json")
    document = json.loads(out)
    assert list(document["bugs"]) == NAMES and document["files"][0]["alt"].startswith(f"Matrix of {len(NAMES)} bugs")


@pytest.mark.slow
def test_markdown_matrix_has_one_row_per_exhibit(capsys, cached_matrix):
    code, out, _ = printed(capsys, "--matrix", "--markdown")
    lines = out.splitlines()
    assert code == 0 and len(lines) == len(NAMES) + 3
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.slow
def test_readme_has_the_museum_matrix(found):
    (block,) = blocks(PAGES["minivae/museum/README.md"])
    assert block.command == "minivae museum --matrix --markdown" and block.text.splitlines() == list(command.markdown(found))


def test_museum_exits_with_1_if_no_group_of_checks_notices_a_bug(capsys, monkeypatch):
    nothing = dict.fromkeys(layers())
    monkeypatch.setattr(tour, "matrix", lambda done, run: {"": nothing} | dict.fromkeys(NAMES, nothing))
    code, _, err = printed(capsys, "--matrix", "--markdown")
    assert code == 1 and "no layer of checks notices the bug exp-log-var" in err


@pytest.mark.slow
def test_two_processes_compute_the_same_museum_matrix_as_one_process(found, monkeypatch):
    two_bugs = bugs()[:2]
    monkeypatch.setattr(tour, "bugs", lambda: two_bugs)
    counts = []
    with ProcessPoolExecutor(2) as pool:
        assert tour.matrix(lambda count, name: counts.append((count, name)), pool.map) == {
            name: found[name] for name in ("", *(bug.name for bug in two_bugs))
        }
    assert counts == [(1, two_bugs[0].name), (2, two_bugs[1].name)]


@pytest.mark.slow
def test_matrix_figure_marks_the_bugs_that_each_group_of_checks_notices(found):
    figure, alt = figures.matrix(found)
    marks = len(figure.axes[0].collections)
    assert marks == sum(bool(words) for reports in found.values() for words in reports.values())
    names, rows = list(layers()), {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    places = {tuple(mark.get_offsets()[0]): mark.get_sizes()[0] for mark in figure.axes[0].collections}
    for i, (layer, lone) in enumerate(tour.alone(found).items()):
        assert f"{layer} {sum(bool(reports[layer]) for reports in found.values())}" in alt and names[i] == layer
        noticed = [name for name, reports in found.items() if reports[layer]]
        assert {(i, rows[name]) for name in noticed} == {place for place in places if place[0] == i}
        diamonds = {place for place, size in places.items() if place[0] == i and size == figures.MARKS[True]["s"]}
        assert diamonds == {(i, rows[name]) for name in lone}
    assert len(alt) <= 250


@pytest.mark.slow
def test_figure_says_that_every_bug_is_noticed_despite_a_false_alarm():
    """Imitate false alarms: let every group of checks report a fault, even in the right package."""
    found = dict.fromkeys(["", *NAMES], dict.fromkeys(layers(), "5 instead of 4"))
    assert "Every bug is noticed; " in figures.matrix(found)[1]
    found[NAMES[0]] = dict.fromkeys(layers())
    assert "Not every bug is noticed; " in figures.matrix(found)[1]


@pytest.fixture
def cached_reports(found, monkeypatch):
    """Let `tour.noticed_of` return reports from the matrix that was computed once for all tests."""
    by_changes = {bug.changes: found[bug.name] for bug in bugs()}
    monkeypatch.setattr(tour, "noticed_of", by_changes.__getitem__)


@pytest.mark.slow
def test_bugs_for_option_blind_are_noticed_by_several_groups_of_checks(found, cached_reports):
    chosen = [tour.blind(seed).name for seed in range(40)]
    counts = [sum(map(bool, found[name].values())) for name in chosen]
    assert counts[0] >= 4 and min(counts) >= 2 and len(set(chosen)) > 10
    assert chosen == [tour.blind(seed).name for seed in range(40)]


@pytest.mark.slow
def test_reports_about_one_bug_equal_the_reports_in_the_matrix(found):
    bug = find("log-k-forgotten")
    assert tour.noticed_of(bug.changes) == found[bug.name]


@pytest.mark.slow
def test_hints_and_answer_for_option_blind_are_printed_only_on_request(capsys, found, cached_reports, trained_once):
    code, out, _ = printed(capsys, "--blind", "--seed", "4", "--hints", "2", "--epochs", "1")
    bug = tour.blind(4)
    assert code == 0 and "hint 2: loss" in out and "hint 3" not in out and bug.name not in out
    assert f"{sum(map(bool, found[bug.name].values()))} of 8 layers of checks notice the change" in out
    code, out, _ = printed(capsys, "--blind", "--seed", "4", "--reveal", "--epochs", "1")
    assert code == 0 and "hint 9: the change is in minivae/" in out and f"{bug.name}: {bug.title}" in out
    assert tour.handed(4).changes == bug.changes


def test_hints_for_option_blind_are_printed_one_at_a_time(capsys):
    bug, hints = bugs()[0], ["first", "second"]
    for said_, found_ in ((["", "nonsense", bug.name], True), (["", "", "", "r"], False), ([], False)):
        lines = iter(said_)

        def read(lines=lines):
            try:
                return next(lines)
            except StopIteration:
                raise EOFError from None

        assert command.guess(bug, hints, read) is found_
    out = capsys.readouterr().out
    assert "hint 1: first" in out and "hint 2: second" in out and "No, not nonsense." in out and "no more hints" in out


@pytest.mark.parametrize("words", [
    ["nothing-like-it"], ["exp-log-var", "--matrix"], ["--reveal"], ["--hints", "2"], ["--markdown"],
    ["--blind", "--hints", "0"], ["--blind", "--seed", "-1"], ["exp-log-var", "--epochs", "0"],
])  # fmt: skip
def test_museum_refuses_impossible_requests(capsys, words):
    code, out, err = printed(capsys, *words)
    assert code == 2 and out == "" and err.startswith("minivae: ")


# The project's tests must fail on a copy with a bug. Two bugs are tried here; `python -m tests.mutants` tries every bug.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["labels-of-labels", "momentum-forgotten"])
def test_project_tests_fail_on_a_copy_with_a_bug_of_the_museum(name):
    assert mutants.outcome(find(name)).killer


@pytest.mark.slow
def test_project_tests_pass_on_an_unchanged_copy():
    unchanged = Bug("none", "", "", "", (Change("params", "start = stop", "start = +stop"),))
    assert mutants.outcome(unchanged).killer == ""


@pytest.mark.slow
def test_bug_of_readme_exercise_passes_gradient_checks_but_not_other_tests(tmp_path):
    page = " ".join(PAGES["minivae/README.md"].split())
    assert "replace `np.exp(log_var / 2)` by `np.exp(log_var)` in both places, and `* sigma / 2` by `* sigma`" in page
    mutants.plant([], tmp_path)
    file = tmp_path / "minivae" / "gaussian.py"
    text = file.read_text(encoding="utf-8")
    assert text.count("sigma = np.exp(log_var / 2)") == 2 and text.count("* sigma / 2") == 1
    text = text.replace("sigma = np.exp(log_var / 2)", "sigma = np.exp(log_var)").replace("* sigma / 2", "* sigma")
    file.write_text(text, encoding="utf-8")
    chosen = "-k", "gradient_of_its_forward and (reparameterize or VAE)"
    checks = mutants.run_tests(tmp_path, ["core/test_gradients"], *chosen)
    assert checks.returncode == 0 and checks.stdout.startswith("....")         # at least four tests passed
    assert mutants.run_tests(tmp_path, ["core/test_gaussian"]).returncode == 1
