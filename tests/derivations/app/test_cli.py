"""The command of the ledger: what it prints, what it refuses, and that a planted fault does not pass."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from derivations.app import cli
from derivations.engine import ledger
from derivations.engine.domains import positive, real
from derivations.engine.equation import LEDGER, equation
from derivations.pages import records, terminal
from derivations.pages.unicode import KNOWN, sides, unicode
from tests.helpers.readme import sessions

ROOT = Path(__file__).parents[3]
ledger.load()
EVERYTHING = ledger.entries()
LATEX = [
    form.latex
    for entry in EVERYTHING
    for form in (entry.printed, *(row.repair for row in entry.rows if row.repair))
]
LATEX += [symbol.latex for entry in EVERYTHING for symbol in entry.printed.inputs]


def derivations(*arguments, **environment):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "derivations", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def run(capsys, *arguments):
    """Exit code, stdout and stderr of a command."""
    code = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


T, S = real("t", "t", simple=(1, 2)), positive("s", r"\sigma_q")


@pytest.fixture
def planted():
    """Entries of known fate among those of the ledger, taken out again."""
    before = dict(LEDGER)

    @equation(
        "odaibo.901", "l.901 (901)", "(t + 1)^2 = t^2 + 2t + 1 = t (t + 2)", (T,), rows="ab",
        says={"a": "Expand.", "b": "Factor."}, verdict={"b": "wrong"}, fault={"b": "The 1 is lost."},
    )  # fmt: skip
    def chain(t):
        return (t + 1) ** 2, "=", t**2 + 2 * t + 1, "=", t * (t + 2)

    @chain.corrected("t^2 + 2t + 1 = t (t + 2) + 1", "b")
    def _(t):
        return t**2 + 2 * t + 1, "=", t * (t + 2) + 1

    @chain.tied("minivae.ops.relu")
    def _(t):
        from minivae.ops import relu

        return relu(t * (t + 2) + 1)

    @equation("odaibo.902", "l.902", r"2\sigma_q = \sigma_q + \sigma_q", (S,), says="Twice.")
    def holds(s):
        return 2 * s, "=", s + s * (1 + 1e-15)

    @equation(
        "odaibo.903", "l.903", r"x^2 = t\,t", (T,), verdict="slip", says="A square.", fault="x stands for t."
    )
    def free(x, t):
        return x**2, "=", t * t

    @free.intended(r"t^2 = t\,t")
    def _(t):
        return np.exp(2 * np.log(np.abs(t))), "=", t * t

    yield
    LEDGER.clear()
    LEDGER.update(before)


def plant(id, function, **settings):
    """One more entry."""
    equation(id, "l.999 (999)", "t = t", (T,), says="Planted.", **settings)(function)


# LaTeX in a terminal


def test_no_backslash_and_no_unknown_command_survives_in_any_formula_of_the_ledger():
    assert len(LATEX) > 3
    for latex in LATEX:
        text = unicode(latex)
        assert not set("\\$~&\n") & set(text) and "  " not in text and text == text.strip(), text
        assert all(text.count(a) == text.count(b) for a, b in ("{}", "⟨⟩")), text
        commands = set(re.findall(r"\\([A-Za-z]+)", latex))
        assert commands <= KNOWN, f"{commands - KNOWN} in {latex}"


@pytest.mark.parametrize(
    "latex, text",
    [
        (r"\frac{a}{b}", "a/b"),
        (r"\frac{1}{2}\log(\sigma_q^2)", "½ log(σ_q²)"),
        (r"\frac{1}{2\sigma_p^2}E_q\{x\}", "(1/(2σ_p²)) E_q{x}"),
        (r"\frac{a + b}{c d}", "(a + b)/(cd)"),
        (r"q\log\left(\frac{p(x)}{q(x)}\right)", "q log(p(x)/q(x))"),
        (r"\frac{\frac{a}{b}}{c}", "(a/b)/c"),
        (r"\frac{1}{\sqrt{2\pi\sigma^2}}", "1/√(2πσ²)"),
        (r"\int q(x)\,dx", "∫ q(x) dx"),
        (r"-D_{KL}(q(x)||p(x)) \leq 0", "−D_KL(q(x) ‖ p(x)) ≤ 0"),
        (r"\sum_{j=1}^{J} x_{ij}", "∑ⱼ₌₁ᴶ xᵢⱼ"),
        (r"E_{\sim q}[\Delta I]", "E_{∼q}[ΔI]"),
        (r"e^{-x} a^{-1}", "e^{−x} a⁻¹"),
        (r"\hat{x} \mapsto \text{the mean of } x", "x̂ ↦ the mean of x"),
        (r"a - -b = -c", "a − −b = −c"),
    ],
)  # fmt: skip
def test_formulas_become_text_that_reads(latex, text):
    assert unicode(latex) == text


def test_a_chain_falls_apart_at_its_own_relations_only():
    assert sides(r"a = \sum_{j=1}^J b \leq p(X = x)") == [("", "a"), ("=", "∑ⱼ₌₁ᴶ b"), ("≤", "p(X = x)")]


@pytest.mark.parametrize("entry", EVERYTHING, ids=lambda entry: entry.id)
def test_letters_and_numbers_go_together_side_by_side(entry):
    for form in (entry.printed, *(row.repair for row in entry.rows if row.repair)):
        if not form.free:
            values = records.sides_at(form, records.sample(form))
            assert not values or len(sides(form.latex)) == len(values), form.latex


# list


def test_the_list_has_every_entry_once_in_printed_order(capsys):
    code, out, err = run(capsys, "list")
    ids = [line.split()[0] for line in out.splitlines()]
    assert code == 0 and err == "" and ids == [entry.id for entry in EVERYTHING]
    assert sorted(ids) == sorted(LEDGER)                    # which is in the order of imports
    assert all(terminal.columns(line) <= 100 for line in out.splitlines())
    rows = json.loads(run(capsys, "list", "--json")[1])
    assert len(rows) == sum(len(entry.rows) for entry in EVERYTHING)


# check


def test_the_whole_ledger_is_as_expected(capsys):
    code, out, err = run(capsys, "check")
    assert code == 0, "\n".join(line for line in out.splitlines() if "MISMATCH" in line)
    assert "no mismatches; 1000 draws, seed 0" in out and "s in all" in err
    count = sum(len(entry.rows) for entry in EVERYTHING)
    assert int(re.search(r"^all .* (\d+)$", out, re.MULTILINE).group(1)) == count


def test_the_table_has_id_statement_verdict_and_worst_miss(planted, capsys):
    code, out, _ = run(capsys, "check", "odaibo.901", "odaibo.902", "odaibo.903", "-q")
    table = [line.split("  ") for line in out.splitlines()[1:5]]
    assert code == 0
    assert [row[0] for row in table] == ["odaibo.901a", "odaibo.901b", "odaibo.902", "odaibo.903"]
    assert "(t + 1)² = t² + 2t + 1" in out and "… = t(t + 2)" in out and "2σ_q = σ_q + σ_q" in out
    assert [re.split(r" {2,}", line)[-2] for line in out.splitlines()[1:5]] == [
        "holds",
        "wrong",
        "holds",
        "slip",
    ]
    assert out.splitlines()[4].endswith("free x") and 0 < float(out.splitlines()[3].split()[-1]) < 1e-3
    assert re.search(r"^rows +holds +slip +wrong +all$", out, re.MULTILINE)
    assert re.search(r"^equation +2 +1 +1 +4$", out, re.MULTILINE)


def test_json_has_the_promised_keys_and_a_row_of_a_chain_has_its_own_verdict(planted, capsys):
    code, out, err = run(capsys, "check", "odaibo.901", "odaibo.903", "--json", "-q")
    chain, free = json.loads(out)
    promised = {
        "id",
        "source",
        "ref",
        "kind",
        "expected",
        "verdict",
        "links",
        "tied_to",
        "fault",
        "witness",
        "corrected",
    }
    assert code == 0 and err == "" and promised <= chain.keys() and promised <= free.keys()
    a, b = chain["links"]
    assert {"id", "verdict", "relation", "left", "right", "residual", "tolerance", "ok"} <= a.keys()
    assert (a["id"], a["verdict"], a["ok"]) == ("odaibo.901a", "holds", True)
    assert (b["id"], b["verdict"], b["ok"]) == ("odaibo.901b", "wrong", False)
    assert b["residual"] == pytest.approx(1) and b["residual"] > b["tolerance"] > 0
    assert chain["verdict"] == chain["expected"] == "wrong" and chain["witness"] == {"t": 1.0}
    assert chain["fault"] == "The 1 is lost." and chain["corrected"] == "t^2 + 2t + 1 = t (t + 2) + 1"
    assert chain["tied_to"] == ["minivae.ops.relu"] and chain["kind"] == "equation"
    assert free["verdict"] == "slip" and free["links"] == [] and free["witness"] is None


def test_one_row_of_a_chain_can_be_asked_for(planted, capsys):
    assert [
        link["id"] for link in json.loads(run(capsys, "check", "odaibo.901b", "--json")[1])[0]["links"]
    ] == ["odaibo.901b"]
    assert "odaibo.901a" not in run(capsys, "check", "odaibo.901b")[1]
    both = run(capsys, "check", "odaibo.901b", "odaibo.901a", "odaibo.901")[1]
    assert both.count("odaibo.901a") == both.count("odaibo.901b") == 1


TRUE = lambda t: (t, "=", 2 * t - t * (1 + 1e-15))  # noqa: E731
FAULTS = {
    "false, and expected to hold": (lambda t: (t, "=", t + 1e-4), {}, "expected holds"),
    "nearly true": (lambda t: (t, "=", t * (1 + 1e-8)), {}, "undecided"),
    "true, and expected to be wrong": (TRUE, {"verdict": "wrong"}, "expected wrong"),
    "one computation twice": (lambda t: (t, "=", t), {}, "two routes"),
    "an inequality without its equality": (lambda t: (t, "<=", t + 1), {"tight": {"t": 1}}, "not reached"),
    "an assumption that is not needed": (TRUE, {"needs": "t > 0", "outside": {"t": -1}}, "expected holds-if"),
    "a function that breaks": (lambda t: (t, "=", t @ t), {}, "ValueError"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_ends_in_exit_code_1_and_is_named(name, planted, capsys):
    function, settings, message = FAULTS[name]
    plant("odaibo.999", function, **settings)
    code, out, _ = run(capsys, "check", "odaibo.999")
    assert (
        code == 1
        and "MISMATCH" in out
        and "\n1 mismatch;" in out
        and re.search(message, " ".join(out.split()))
    ), out
    assert run(capsys, "check", "odaibo.901", "odaibo.902")[0] == 0
    assert run(capsys, "check", "odaibo.901", "odaibo.999", "-q")[0] == 1
    assert run(capsys, "show", "odaibo.999")[0] in (1, 2)
    code, out, _ = run(capsys, "check", "odaibo.999", "--json")
    assert code == 1 and json.loads(out)[0]["ok"] is False


def test_a_broken_errata_row_ends_in_exit_code_1(planted, capsys):
    plant("odaibo.999", TRUE, verdict="wrong")
    code, _, err = run(capsys, "errata")
    assert code == 1 and "odaibo.999" in err


def test_draws_and_seed_reach_the_judge(planted, capsys):
    plant("odaibo.999", lambda t: (len(t) + 0 * t, "=", 7.0 + 0 * t))
    assert "7 draws, seed 3" in run(capsys, "check", "odaibo.902", "--draws", "7", "--seed", "3")[1]
    first, again, other = (
        run(capsys, "check", "odaibo.902", "--json", "--seed", seed, "-q")[1] for seed in (1, 1, 2)
    )
    assert first == again != other


# show


def test_the_page_of_an_entry_has_all_a_learner_asks_for(planted, capsys):
    code, out, _ = run(capsys, "show", "odaibo.901")
    assert code == 0
    for text in (
        "equation in Odaibo, l.901 (901)", "  = t² + 2t + 1", "holds     a  Expand.", "Letters   t: real",
        "At t = 2\n    (t + 1)²       9\n", "odaibo.901b is wrong. The 1 is lost.", "simplest witness t = 1", "Corrected, at the same point",
        "= t(t + 2) + 1    4", "minivae.ops.relu   minivae/ops.py:", "agrees", "test_cli.py:", "return (t + 1) ** 2",
    ):  # fmt: skip
        assert text in out, text
    line = re.search(r"minivae/ops\.py:(\d+)", out).group(1)
    assert (ROOT / "minivae" / "ops.py").read_text().splitlines()[int(line) - 1].startswith("def relu(")


def test_the_sides_are_computed_where_the_reader_says(planted, capsys):
    assert "At t = 0.5\n    (t + 1)²       2.25\n" in run(capsys, "show", "odaibo.901", "--at", "t=0.5")[1]
    document = json.loads(run(capsys, "show", "odaibo.901", "--at", "t=0.5", "--json")[1])
    assert document["at"] == {"t": 0.5} and document["sides"] == [2.25, 2.25, 1.25]


def test_free_letters_are_said_and_the_intended_reading_is_computed(planted, capsys):
    code, out, _ = run(capsys, "show", "odaibo.903", "--at", "t=3")
    assert (
        code == 0
        and "nothing says what x may be" in out
        and "(as intended)" in out
        and re.search(r"= t t +9\n", out)
    )


@pytest.mark.parametrize("entry", EVERYTHING, ids=lambda entry: entry.id)
def test_every_page_can_be_written_and_read(entry, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, "show", entry.id, "--draws", "50")
    assert code == 0 and err == "" and "\x1b" not in out
    prose = re.split(r"\n\S+\.py:\d+\n", out)[0]            # code keeps its own width
    too_long = [
        line
        for line in prose.splitlines()
        if terminal.columns(line) > 80 and "Elsewhere" not in line and "In the model" not in line
    ]
    assert not [line for line in too_long if " " in line.strip()], too_long
    assert not re.search(r"\bnan\b", prose.split("Judged")[0])


@pytest.mark.parametrize(
    "entry", [entry for entry in EVERYTHING if records.letters(entry)], ids=lambda entry: entry.id
)
def test_the_point_that_a_page_suggests_works(entry, capsys):
    words = shlex.split(records.example(entry))
    assert run(capsys, "show", entry.id, *words, "--draws", "50")[0] == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            "show odaibo.90",
            "ID must be an entry, a row or a source of the ledger; got 'odaibo.90'. Did you mean odaibo.90",
        ),
        ("show odaibo.901c", "ID must be"),
        ("show odaibo", "ID must be an entry; got the source odaibo"),
        ("check odaibo.902 nonsense", "ID must be"),
        ("list kingma", "SOURCE must be one of beyond, cards, hong, lm, odaibo; got 'kingma'"),
        ("errata kingma", "SOURCE must be one of beyond, cards, hong, lm, odaibo"),
        ("check --draws 0", "--draws must be a whole number >= 1; got 0"),
        ("check odaibo.902 --draws 99999999999999", "--draws must be at most 1000000; got 99999999999999. The default"),
        ("compare --draws 99999999999999", "--draws must be at most 1000000; got 99999999999999. The default"),
        ("check --seed -1", "--seed must be a whole number >= 0; got -1"),
        ("show odaibo.902 --at s=-1", "s must be a number (> 0); got -1"),
        ("show odaibo.902 --at s=0", "s must be a number (> 0); got 0"),
        ("show odaibo.902 --at s=inf", "s must be a number (> 0); got inf"),
        ("show odaibo.902 --at s=1e999", "s must be a number (> 0); got 1e999"),
        ("show odaibo.902 --at s=", "s must be a number (> 0); got nothing"),
        ("show odaibo.902 --at s=two", "s must be a number (> 0); got two"),
        ("show odaibo.902 --at s=[1,2]", "s must be a number (> 0); got [1,2]"),
        (
            "show odaibo.902 --at sigma=1",
            "--at must be LETTER=VALUE with letters of odaibo.902: s; got 'sigma=1'. Try --at s=2",
        ),
        ("show odaibo.902 --at 3", "--at must be LETTER=VALUE"),
        ("show odaibo.1 --at p_xz=[0.5,0.5]", "p_xz must be rows of numbers"),
        (
            "show odaibo.1 --at p_xz=[[0.5,0.5],[0.5,0.5]]",
            "p_xz must be rows of numbers [[...], ...] (> 0, summing to 1)",
        ),
        ("show odaibo.1 --at p_xz=[[0.5,0.5],[0]]", "p_xz must be"),
        ("show odaibo.2 --at atoms=[0.5,0.5]", "--at must be where odaibo.2 can be computed"),
        ("show odaibo.2 --at X=[1,2,0,0]", "X must be"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_code_2(arguments, message, planted, capsys):
    code, out, err = run(capsys, *arguments.split())
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith(f"derivations: {message}"), err


def test_what_does_not_fit_into_the_memory_is_no_fault_of_an_entry(planted, capsys, monkeypatch):
    def judge(*arguments):
        raise MemoryError

    monkeypatch.setattr(records, "judge", judge)
    code, out, err = run(capsys, "check", "odaibo.902")
    assert code == 2 and out == "" and err == "derivations: more than fits into the memory of this machine\n"


def test_debug_shows_the_traceback(planted):
    with pytest.raises(ValueError, match="must be a number"):
        cli.main(["show", "odaibo.902", "--at", "s=-1", "--debug"])


def test_a_negative_standard_deviation_is_refused_with_one_line(capsys):
    letters = {entry.id: records.letters(entry).get("sigma_q") for entry in EVERYTHING}
    ids = [id for id, sigma_q in letters.items() if sigma_q and sigma_q.rule == "> 0"]
    assert len(ids) > 5
    for id in ids:
        code, out, err = run(capsys, "show", id, "--at", "sigma_q=-1")
        assert (
            code == 2
            and out == ""
            and err.count("\n") == 1
            and re.search(r"sigma_q must be .* \(> 0.*\); got -1\. Try", err)
        )


# errata


def test_the_errata_have_printed_fault_witness_and_what_holds(planted, capsys):
    code, out, _ = run(capsys, "errata", "odaibo")
    assert code == 0
    for text in (
        "odaibo.901b   wrong   l.901 (901)",
        "t² + 2t + 1 = t(t + 2)\n",
        "The 1 is lost.",
        "t = 1: printed, 4 = 3",
        "t² + 2t + 1 = t(t + 2) + 1",
        "nothing says what x is",
    ):
        assert text in out, text
    assert "odaibo.901a" not in out and "odaibo.902" not in out
    faulty = [row.id for entry in ledger.entries("odaibo") for row in entry.rows if row.expected in ("slip", "wrong")]
    table = run(capsys, "errata", "odaibo", "--markdown")[1].splitlines()
    assert [re.match(r"\| `(.*?)`", line).group(1) for line in table[2:]] == faulty
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in table), (
        "a bar inside a cell breaks the table"
    )


@pytest.mark.parametrize("source", [source for source in ledger.SOURCES if source != "beyond"])
def test_the_readme_has_the_errata_that_the_command_prints(source, capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(rf"<!-- errata {source} -->\n(.*?)<!-- end -->", readme, re.DOTALL)
    assert block, f"README.md needs the output of `derivations errata {source} --markdown` between its two markers"
    assert block.group(1).strip() == run(capsys, "errata", source, "--markdown")[1].strip()


# The command itself


IMPORTED = "import sys; from derivations.app.cli import main\ntry: main({arguments})\nexcept SystemExit: pass\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["check", "--help"], ["figures", "--help"], ["--version"], []]
)
def test_help_imports_neither_numpy_nor_matplotlib(arguments):
    code = (
        IMPORTED.format(arguments=arguments)
        + "sys.exit('numpy' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, cwd=ROOT).returncode == 0


def test_only_the_figures_import_matplotlib():
    code = IMPORTED.format(arguments=["errata", "-q"]) + "sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, cwd=ROOT).returncode == 0


def test_usage_errors_exit_with_2_and_no_command_prints_help(capsys):
    for arguments in (["check", "--draws", "many"], ["juggle"], ["show"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2
    assert cli.main([]) == 0
    assert "examples:" in capsys.readouterr().out


def test_every_example_of_the_help_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    elsewhere = {command for command, _ in sessions()}      # the README's are run by its own test
    elsewhere.add("derivations check")                      # test_the_whole_ledger_is_as_expected
    for line in cli.EXAMPLES.splitlines()[1:]:
        command = re.split(r" {3,}", line.strip())[0]
        assert command.startswith("derivations ")
        assert command in elsewhere or run(capsys, *command.split()[1:])[0] == 0, line


def test_both_entrances_are_the_same_command():
    assert derivations("--version").stdout == f"derivations {cli.__version__}\n"
    config = (ROOT / "setup.cfg").read_text()
    assert "derivations = derivations.app.cli:main" in config and "packages = find:" in config


def test_results_go_to_stdout_messages_to_stderr_without_escapes():
    done = derivations("check", "odaibo.1", FORCE_COLOR="1", CLICOLOR_FORCE="1")
    assert done.returncode == 0 and "odaibo.1" in done.stdout and done.stderr.endswith("s in all\n")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_reader_of_stdout_who_has_seen_enough_is_no_error():
    for arguments in ("list", "check odaibo.7 -q", "errata odaibo -q", "show odaibo.1"):
        command = f"{shlex.quote(sys.executable)} -m derivations {arguments} | true"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0 and done.stderr == "", arguments
