"""The command `derivations`: its output, refused input, and planted faults that the command must notice.

An entry of the ledger has one or more rows. A row is one link of the entry, such as the second = in a = b = c, or the whole
entry. Each row has a verdict.
"""

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
from derivations.engine.equation import LEDGER, VERDICTS, equation
from derivations.engine.judge import judge_link
from derivations.pages import glossary, records, terminal
from derivations.pages.unicode import KNOWN, sides, unicode
from tests.helpers.readme import PAGES, sessions

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
    """Run the command `derivations` in a new process."""
    command = [sys.executable, "-m", "derivations", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def run(capsys, *arguments):
    """Run a command in this process; return exit code, stdout and stderr."""
    code = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


T, S = real("t", "t", simple=(1, 2)), positive("s", r"\sigma_q")


@pytest.fixture
def planted():
    """Add entries with known verdicts to the ledger; remove them after the test."""
    before = dict(LEDGER)

    @equation(
        "odaibo.901", "l.901 (901)", "(t + 1)^2 = t^2 + 2t + 1 = t (t + 2)", (T,), rows="ab",
        says={"a": "Expand.", "b": "Factor."}, verdict={"b": "wrong"}, fault={"b": "A 1 is missing."},
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
        "odaibo.903", "l.903", r"x^2 = t\,t", (T,), verdict="slip", says="A square.", fault="The formula has x instead of t."
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
    """Add an entry with the formula t = t to the ledger; `function` computes its sides."""
    equation(id, "l.999 (999)", "t = t", (T,), says="Planted.", **settings)(function)


# LaTeX in a terminal


def test_unicode_leaves_no_latex_command_in_any_formula():
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
def test_unicode_writes_formulas_as_readable_text(latex, text):
    assert unicode(latex) == text


def test_formula_is_split_at_relation_signs_outside_brackets():
    assert sides(r"a = \sum_{j=1}^J b \leq p(X = x)") == [("", "a"), ("=", "∑ⱼ₌₁ᴶ b"), ("≤", "p(X = x)")]


def test_every_formula_and_its_function_have_the_same_number_of_sides():
    for entry in EVERYTHING:
        for form in (entry.printed, *(row.repair for row in entry.rows if row.repair)):
            if not form.free:
                values = records.sides_at(form, records.sample(form))
                assert not values or len(sides(form.latex)) == len(values), f"{entry.id}: {form.latex}"


def test_every_entry_has_a_nonzero_side_at_its_sample_point():
    always_zero = set()
    for entry in EVERYTHING:
        if not entry.printed.free and (values := records.sides_at(entry.printed, records.sample(entry.printed))):
            always_zero |= set() if any(value.any() for value in values) else {entry.id}
    assert always_zero == set()


# list


def test_command_list_all_prints_every_entry_once_in_the_order_of_sources(capsys):
    code, out, err = run(capsys, "list", "--all")
    ids = [line.split()[0] for line in out.splitlines()]
    assert code == 0 and err.startswith(f"{len(ids)} entries; filter: ") and ids == [entry.id for entry in EVERYTHING]
    assert sorted(ids) == sorted(LEDGER)                    # LEDGER may have another order, the order of the imports
    assert all(terminal.columns(line) <= 100 for line in out.splitlines())
    rows = json.loads(run(capsys, "list", "--json")[1])
    assert len(rows) == sum(len(entry.rows) for entry in EVERYTHING)


def test_command_list_prints_the_number_of_entries_in_each_section(capsys):
    code, out, err = run(capsys, "list")
    sections = [re.fullmatch(r"(\w+\.\w+) +(\d+)  (\S.*)", line).groups() for line in out.splitlines()]
    assert code == 0 and len(sections) <= 40 and all(terminal.columns(line) <= 100 for line in out.splitlines())
    assert sum(int(count) for _, count, _ in sections) == len(EVERYTHING)
    assert err.startswith(f"{len(EVERYTHING)} entries; filter: ") and err.endswith("derivations list --all\n")
    assert run(capsys, "list", "-q") == (0, out, "")
    for name, count, _ in sections[::7]:
        assert len(run(capsys, "list", name)[1].splitlines()) == int(count)


@pytest.mark.parametrize(
    "filter, ids",
    [
        ("odaibo.40", ["odaibo.40"]),                       # an id
        ("odaibo.14d", ["odaibo.14"]),                      # the id of a row
        ("in no entry", None),
        ("Roeder", ["beyond.48"]),                          # the paper that the entry cites
        ("ill-typed twice", ["odaibo.901"]),                # words of `says`
        ("t(t + 2)", ["odaibo.901"]),                       # the formula
        ("ops.relu", ["odaibo.901", "beyond.22"]),          # a tied function
    ],
)
def test_list_finds_entries_by_id_or_meaning_or_formula_or_function(filter, ids, planted, capsys):
    LEDGER["odaibo.901"].rows[0].says = "Ill-typed TWICE."
    code, out, err = run(capsys, "list", filter)
    if ids is None:
        assert (code, out) == (2, "") and err.startswith("derivations: FILTER must be a source (odaibo, ")
        return
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ids
    assert err.startswith(f"{len(ids)} of {len(ledger.entries())} entries; filter: ")
    rows = json.loads(run(capsys, "list", filter, "--json")[1])
    assert [row["id"] for row in rows] == [row.id for entry in records.matching(filter) for row in entry.rows]


def test_list_prints_all_entries_of_a_source(capsys):
    lines = run(capsys, "list", "hong")[1].splitlines()
    assert [line.split()[0] for line in lines] == [entry.id for entry in ledger.entries("hong")]


# check


def test_check_finds_every_verdict_as_expected(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, "check", "--draws", 100)  # few draws are fast; engine/test_ledger.py uses the default, 1000
    assert code == 0, "\n".join(line for line in out.splitlines() if "MISMATCH" in line)
    assert "no unexpected verdict; 100 draws, seed 0" in out and "s in all" in err
    count = sum(len(entry.rows) for entry in EVERYTHING)
    assert int(re.search(r"^all .* (\d+)$", out, re.MULTILINE).group(1)) == count
    assert len(out.splitlines()) <= 24 and max(map(terminal.columns, out.splitlines())) <= 80
    assert out.endswith("each row: derivations check --all\n")
    for word in VERDICTS:                                   # the output explains each verdict
        assert re.search(rf"^{word} +{re.escape(glossary.MEANINGS[word])}$", out, re.MULTILINE)


@pytest.mark.slow
def test_check_prints_short_tables_always_and_long_tables_only_with_option_all(planted, capsys):
    rows = {source: [row.id for entry in ledger.entries(source) for row in entry.rows] for source in ("hong", "lm")}
    for arguments, ids in ((("hong",), rows["hong"]), (("lm", "--all"), rows["lm"]), (("lm",), [])):
        out = run(capsys, "check", *arguments, "--draws", 50)[1]
        assert [line.split()[0] for line in out.splitlines() if re.match(r"\w+\.\w+ ", line)] == ids
        assert "--all" in arguments or len(out.splitlines()) <= 40
    assert out.splitlines()[-1].endswith("each row: derivations check lm --all")
    plant("lm.999", lambda t: (t, "=", t + 1e-4))
    out = run(capsys, "check", "lm", "--draws", 50)[1]
    assert [line.split()[0] for line in out.splitlines() if re.match(r"\w+\.\w+ ", line)] == ["lm.999"] and "MISMATCH" in out
    assert "holds" in out and re.search(r"^fails +false", out, re.MULTILINE)


def test_check_quiet_prints_one_line(planted, capsys):
    plant("odaibo.999", lambda t: (t, "=", t + 1e-4))
    words = "check", "odaibo.901", "odaibo.999", "--seed", 3, "--draws", 60, "-q"
    assert run(capsys, *words) == (1, "3 rows, 2 as expected; 60 draws, seed 3\n", "")
    assert "odaibo.901a" in run(capsys, *words, "--all")[1]
    assert len(json.loads(run(capsys, *words, "--json")[1])) == 2


def test_check_table_shows_statement_and_verdict_and_error_of_each_row(planted, capsys):
    code, out, _ = run(capsys, "check", "odaibo.901", "odaibo.902", "odaibo.903")
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
    assert out.splitlines()[4].endswith("x missing") and 0 < float(out.splitlines()[3].split()[-1]) < 1e-3
    assert re.search(r"^rows +holds +slip +wrong +all$", out, re.MULTILINE)
    assert re.search(r"^equation +2 +1 +1 +4$", out, re.MULTILINE) and re.search(r"^faults +\. +1 +1 +2$", out, re.MULTILINE)


def test_json_output_of_command_check_has_the_promised_keys_and_verdicts(planted, capsys):
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
        "claim",
        "reading",
        "group",
    }
    assert code == 0 and err == "" and promised <= chain.keys() and promised <= free.keys()
    a, b = chain["links"]
    assert {"id", "verdict", "relation", "left", "right", "residual", "tolerance", "ok"} <= a.keys()
    assert (a["id"], a["verdict"], a["ok"]) == ("odaibo.901a", "holds", True)
    assert (b["id"], b["verdict"], b["ok"]) == ("odaibo.901b", "wrong", False)
    assert b["residual"] == pytest.approx(1) and b["residual"] > b["tolerance"] > 0
    assert chain["verdict"] == chain["expected"] == "wrong" and chain["witness"] == {"t": 1.0}
    assert chain["fault"] == "A 1 is missing." and chain["corrected"] == "t^2 + 2t + 1 = t (t + 2) + 1"
    assert chain["tied_to"] == ["minivae.ops.relu"] and chain["kind"] == "equation"
    assert free["verdict"] == "slip" and free["links"] == [] and free["witness"] is None


def test_check_accepts_the_id_of_a_single_row(planted, capsys):
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
    "the same computation on both sides": (lambda t: (t, "=", t), {}, "in another way"),
    "an inequality that is never an equality": (lambda t: (t, "<=", t + 1), {"tight": {"t": 1}}, "are not equal"),
    "an assumption that is not needed": (TRUE, {"needs": "t > 0", "outside": {"t": -1}}, "expected holds-if"),
    "a function that breaks": (lambda t: (t, "=", t @ t), {}, "ValueError"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_check_reports_a_planted_fault_and_returns_1(name, planted, capsys):
    function, settings, message = FAULTS[name]
    plant("odaibo.999", function, **settings)
    code, out, _ = run(capsys, "check", "odaibo.999")
    assert (
        code == 1
        and "MISMATCH" in out
        and "\n1 unexpected verdict;" in out
        and re.search(message, " ".join(out.split()))
    ), out
    assert run(capsys, "check", "odaibo.901", "odaibo.902")[0] == 0
    assert run(capsys, "check", "odaibo.901", "odaibo.999", "-q")[0] == 1
    assert run(capsys, "show", "odaibo.999")[0] in (1, 2)
    code, out, _ = run(capsys, "check", "odaibo.999", "--json")
    assert code == 1 and json.loads(out)[0]["ok"] is False


@pytest.mark.slow
def test_errata_reports_an_unexpected_verdict_and_returns_1(planted, capsys):
    plant("odaibo.999", TRUE, verdict="wrong")
    code, _, err = run(capsys, "errata")
    assert code == 1 and "odaibo.999" in err


def test_check_command_passes_draws_and_seed_to_the_judge(planted, capsys):
    sizes = set()
    plant("odaibo.999", lambda t: sizes.add(len(t)) or (2 * t, "=", t + t * (1 + 1e-15)))
    assert "7 draws, seed 3" in run(capsys, "check", "odaibo.999", "--draws", "7", "--seed", "3")[1]
    assert sizes == {7, len(T.simple)}
    first, again, other = (
        run(capsys, "check", "odaibo.902", "--json", "--seed", seed, "-q")[1] for seed in (1, 1, 2)
    )
    assert first == again != other


# show


def test_show_prints_formula_and_numbers_and_fault_and_code(planted, capsys):
    code, out, _ = run(capsys, "show", "odaibo.901")
    assert code == 0
    for text in (
        "equation in Odaibo, l.901 (901)", "  = t² + 2t + 1", "holds     a  Expand.", "Letters   t: real",
        "At t = 2\n    (t + 1)²       9\n", "odaibo.901b is wrong. A 1 is missing.", "simplest point where it fails: t = 1",
        "Corrected, at the same point",
        "= t(t + 2) + 1    4", "minivae.ops.relu   minivae/ops.py:", "agrees", "test_cli.py:", "return (t + 1) ** 2",
    ):  # fmt: skip
        assert text in out, text
    line = re.search(r"minivae/ops\.py:(\d+)", out).group(1)
    assert (ROOT / "minivae" / "ops.py").read_text().splitlines()[int(line) - 1].startswith("def relu(")


def test_show_computes_the_sides_at_a_given_point(planted, capsys):
    assert "At t = 0.5\n    (t + 1)²       2.25\n" in run(capsys, "show", "odaibo.901", "--at", "t=0.5")[1]
    document = json.loads(run(capsys, "show", "odaibo.901", "--at", "t=0.5", "--json")[1])
    assert document["at"] == {"t": 0.5} and document["sides"] == [2.25, 2.25, 1.25]


def test_show_mentions_undefined_letters_and_computes_the_intended_form(planted, capsys):
    code, out, _ = run(capsys, "show", "odaibo.903", "--at", "t=3")
    assert (
        code == 0
        and "The printed formula has no value: x is not defined." in out
        and "(as intended)" in out
        and re.search(r"= t t +9\n", out)
    )


@pytest.fixture
def one_parser(monkeypatch):
    """Build the parser of the command only once, which saves time in a test that calls the command hundreds of times."""
    parser = cli.make_parser()
    monkeypatch.setattr(cli, "make_parser", lambda: parser)


@pytest.mark.slow
def test_show_prints_every_entry_within_80_columns(one_parser, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for entry in EVERYTHING:
        code, out, err = run(capsys, "show", entry.id, "--draws", 10)
        assert code == 0 and err == "" and "\x1b" not in out, entry.id
        prose = re.split(r"\n\S+\.py:\d+\n", out)[0]        # the printed code may have wider lines
        too_long = [
            line
            for line in prose.splitlines()
            if terminal.columns(line) > 80 and "Also try" not in line and "In the model" not in line
        ]
        assert not [line for line in too_long if " " in line.strip()], (entry.id, too_long)
        assert not re.search(r"\bnan\b", prose.split("Judged")[0]), entry.id


@pytest.mark.slow
def test_show_succeeds_at_every_point_that_it_suggests(one_parser, capsys):
    suggested = {entry.id: records.example(entry) for entry in EVERYTHING if records.letters(entry)}
    assert len(suggested) > 200
    for id, words in suggested.items():
        assert run(capsys, "show", id, *shlex.split(words), "--draws", 10)[0] == 0, f"show {id} {words}"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            "show odaibo.90",
            "ID must be an id of the ledger; got 'odaibo.90'. Did you mean odaibo.90",
        ),
        ("show odaibo.901c", "ID must be"),
        ("show odaibo", "ID must be an entry; got the source odaibo"),
        ("check odaibo.902 nonsense", "ID must be"),
        ("list kinqma", "FILTER must be a source (odaibo, lm, hong, cards, beyond), an id, or a word in a formula"),
        ("list odaibo.499", "ID must be an id of the ledger; got 'odaibo.499'. Did you mean"),
        ("errata kinqma", "FILTER must be a source (odaibo, lm, hong, cards, beyond), an id, or a word"),
        ("quiz kingma", "SOURCE must be one of beyond, cards, hong, lm, odaibo; got 'kingma'"),
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
        ("show odaibo.2 --at atoms=[0.5,0.5]", "--at must be a point at which odaibo.2 can be computed"),
        ("show odaibo.2 --at X=[1,2,0,0]", "X must be"),
    ],
)
def test_bad_input_prints_one_line_and_returns_2(arguments, message, planted, capsys):
    code, out, err = run(capsys, *arguments.split())
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith(f"derivations: {message}"), err


def test_check_does_not_blame_an_entry_for_a_memory_error(planted, capsys, monkeypatch):
    def judge(*arguments):
        raise MemoryError

    monkeypatch.setattr(records, "judge", judge)
    code, out, err = run(capsys, "check", "odaibo.902")
    assert code == 2 and out == "" and err == "derivations: not enough memory\n"


def test_debug_option_raises_the_original_error(planted):
    with pytest.raises(ValueError, match="must be a number"):
        cli.main(["show", "odaibo.902", "--at", "s=-1", "--debug"])


def test_show_refuses_a_negative_standard_deviation(capsys):
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


def test_errata_full_prints_fault_and_example_and_corrected_form(planted, capsys):
    code, out, _ = run(capsys, "errata", "odaibo", "--full")
    assert code == 0
    for text in (
        "odaibo.901b   wrong   l.901 (901)",
        "  printed t² + 2t + 1 = t(t + 2)\n",
        "A 1 is missing.",
        "t = 1: printed, 4 = 3",
        "t² + 2t + 1 = t(t + 2) + 1",
        "x is not defined",
    ):
        assert text in out, text
    assert "odaibo.901a" not in out and "odaibo.902" not in out
    assert run(capsys, "errata", "odaibo.902")[:2] == (0, "")


@pytest.fixture
def claims():
    """Replace the entries of hong by six: a loose claim, two slips, a damaged copy, and two entries with an assumption."""
    before = dict(LEDGER)

    def plant(id, function=lambda t: (t, "=", 2 * t), latex="t = 2t", letter=T, **settings):
        return equation(f"hong.{id}", f"l.{id}", latex, (letter,), **{"says": "Planted."} | settings)(function)

    for id in [id for id in LEDGER if id.startswith("hong.")]:
        del LEDGER[id]
    mended = lambda t: (2 * t, "=", t + t * (1 + 1e-15))  # noqa: E731
    words = 'The text says that t is "as large as its double" (l.1).'
    plant(1, kind="claim", claim=words, verdict="loose", fault="True only for t = 0.").precise("2t = t + t")(mended)
    plant(2, verdict="slip", fault="A t is missing.").intended("2t = t + t")(mended)
    plant(3, verdict="slip", fault="The same.", group="hong.2").intended("2t = t + t")(mended)
    plant(4, verdict="copy", fault="A minus sign may be missing.")
    root = {"needs": "t > 0", "outside": {"t": -2}, "letter": positive("t", "t")}
    plant(5, lambda t: (np.sqrt(t**2), "=", t * (1 + 1e-15)), r"\sqrt{t^2} = t", kind="claim", claim="A root (l.5).", **root)
    twice = lambda t: (2 * np.log(t), "=", np.log(t * t) * (1 + 1e-15))  # noqa: E731
    plant(6, twice, r"2 \log t = \log t^2", **root, undefined="log t has no value.")
    yield
    LEDGER.clear()
    LEDGER.update(before)


def test_command_errata_prints_faults_then_loose_wording_then_damaged_copies(claims, capsys):
    code, out, err = run(capsys, "errata", "hong")
    assert out.splitlines() == [
        "hong.2 +1  slip   A t is missing.", "hong.1     loose  True only for t = 0.",
        "hong.4     copy   A minus sign may be missing.",
    ]  # fmt: skip
    counts = r"3 of \d+ faults and remarks \(1 slip, 1 loose, 1 copy\)"
    assert code == 0 and re.match(counts + r"; \+1: one more row has this fault; filter: .* derivations errata --full$", err)
    assert run(capsys, "errata", "hong.3", "-q") == (0, "hong.2 +1  slip   A t is missing.\n", "")
    full = run(capsys, "errata", "hong", "--full", "-q")[1].split("\n\n")
    assert full[0].splitlines() == [
        "hong.2   slip   l.2", "  printed t = 2t", "  why     A t is missing.", "  example t = 1: printed, 1 = 2",
        "  better  2t = t + t", "  the same fault: hong.3   l.3", "  printed t = 2t",
    ]  # fmt: skip
    says = '  says    The text says that t is "as large as its double" (l.1).'
    assert full[1].splitlines()[1:3] == [says, "  read as t = 2t"]
    assert "our reading, 1 = 2" in full[1] and "better" not in full[2]


def test_errata_markdown_has_one_table_for_each_kind_of_fault(claims, capsys):
    out = run(capsys, "errata", "hong", "--markdown", "-q")[1]
    assert re.findall(r"^### (.*)$", out, re.MULTILINE) == ["Errata", "Loose wording", "Damage by copying"]
    tables = [line for line in out.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 7 for line in tables)
    assert tables[0] == "| where | source says | read here as | fault | form that holds | example |"
    slip = "| `hong.2` l.2; `hong.3` l.3, slip | printed: `t = 2t` |  | A t is missing. | `2t = t + t` |"
    assert tables[2].startswith(slip)
    claim = 'The text says that t is "as large as its double" (l.1).'
    assert tables[5].startswith(f"| `hong.1` l.1, loose | {claim} | `t = 2t` |")


def test_errata_markdown_has_every_faulty_row_once_and_no_broken_table(capsys):
    listed = {row.id for entry in EVERYTHING for row in entry.rows if row.expected in ("slip", "wrong", "loose", "copy")}
    tables = [line for line in run(capsys, "errata", "--markdown", "--draws", 20)[1].splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 7 for line in tables), "a bar inside a cell breaks the table"
    ids = [id for line in tables for id in re.findall(r"`(\w+\.\w+)` ", line.split(" | ")[0])]
    assert len(ids) == len(set(ids)) and set(ids) == listed


def test_numbers_get_more_digits_if_unequal_sides_would_look_equal():
    link = lambda left, right: judge_link(left, "=", right, 1e-9)  # noqa: E731
    assert terminal.link_text(link(-2.2655121, 1 / 3), 4) == "-2.266 = 0.3333"
    assert terminal.link_text(link(1.000012, 1.000034), 4) == "1.00001 = 1.00003"
    assert terminal.link_text(link(-2.2655121, 1 / 3)) == "-2.265512 = 0.3333333"


def test_markdown_output_of_check_states_the_numbers_of_faults_and_true_rows(claims, capsys):
    code, out, _ = run(capsys, "check", "hong", "--markdown", "-q")
    table, summary = out.split("\n\n")
    assert code == 0 and table.splitlines()[2] == "| Hong | 6 | 2 | 2 | 1 | 1 | 1 | 0 |"
    start = "Of 6 rows, 2 hold (33%), and 2 are slips or wrong. "
    assert summary.startswith(start) and "Number of faults: 1 (slips: 1, wrong lines: 0)." in summary
    assert re.search(r"^faults +\. +1 +\. +\. +1$", run(capsys, "check", "hong")[1], re.MULTILINE)


def test_command_show_prints_a_claim_and_our_formula_for_the_claim(claims, capsys):
    out = run(capsys, "show", "hong.1")[1]
    claim = 'The text says that t is "as large as its double" (l.1).'
    assert f"What the source says: {claim}\n\nRead here as\n    t\n  = 2t\n" in out
    remarks = "hong.1 is loose wording. True only for t = 0.", "Our reading, at the simplest point where it fails: t = 1"
    for text in (*remarks, "More precisely, at the same"):
        assert text in out, text
    assert "Printed" not in out and "What the source says" not in run(capsys, "show", "hong.2")[1]
    out = run(capsys, "show", "hong.4")[1]
    remark = "hong.4 is perhaps damaged by copying. A minus sign may be missing."
    assert f"{remark}\nPrinted, at the simplest point where it fails: t = 1" in out


def test_show_reports_the_result_at_a_point_outside_the_assumption(claims, capsys):
    out = run(capsys, "show", "hong.5")[1]
    assert "\nAssuming  t > 0\n" in out
    assert "\nOutside this assumption, at t = -2, the formula fails\n    √t²    2\n  = t      -2\n" in out
    out = run(capsys, "show", "hong.6")[1]
    assert "\nOutside this assumption, at t = -2, the formula is undefined (log t has no value)\n" in out


def test_json_row_has_the_keys_claim_and_reading_and_group(claims, capsys):
    for command in (("check", "hong.1", "hong.3"), ("errata", "hong")):
        by_id = {each["id"]: each for each in json.loads(run(capsys, *command, "--json")[1])}
        words = 'The text says that t is "as large as its double" (l.1).'
        assert [by_id["hong.1"][key] for key in ("claim", "reading", "group")] == [words, "t = 2t", "hong.1"]
        assert [by_id["hong.3"][key] for key in ("claim", "reading", "group")] == [None, None, "hong.2"]
    assert json.loads(run(capsys, "show", "hong.1", "--json")[1])["reading"] == "t = 2t"


def test_json_of_show_has_claim_and_reading_and_group_of_each_link(planted, capsys):
    LEDGER["odaibo.901"].rows[1].claim = "The text factorises (l.9)."
    a, b = json.loads(run(capsys, "show", "odaibo.901", "--json")[1])["links"]
    assert (a["claim"], a["reading"], a["group"]) == (None, None, "odaibo.901a")
    assert (b["claim"], b["reading"]) == ("The text factorises (l.9).", "t² + 2t + 1 = t(t + 2)")
    out = run(capsys, "show", "odaibo.901")[1]
    assert "What the source says (b): The text factorises (l.9).\n\nPrinted, except our reading of b\n" in out


# The command itself


IMPORTED = "import sys; from derivations.app.cli import main\nmain({arguments})\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["check", "--help"], ["figures", "--help"], ["--version"], []]
)
def test_help_and_version_of_derivations_import_neither_numpy_nor_matplotlib(arguments):
    code = (
        IMPORTED.format(arguments=arguments)
        + "sys.exit('numpy' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, cwd=ROOT).returncode == 0


@pytest.mark.slow
def test_errata_does_not_import_matplotlib():
    code = IMPORTED.format(arguments=["errata", "-q"]) + "sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, cwd=ROOT).returncode == 0


def test_usage_errors_return_2_and_a_missing_command_prints_help(capsys):
    for arguments in (["check", "--draws", "many"], ["juggle"], ["show"]):
        assert cli.main(arguments) == 2
    assert capsys.readouterr().err.count("error: ") == 3
    for arguments in ([], ["--help"]):
        assert cli.main(arguments) == 0
        assert "examples:" in capsys.readouterr().out


@pytest.mark.slow
def test_examples_in_the_help_succeed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    elsewhere = {each.command for page in PAGES.values() for each in sessions(page)}    # house/test_readme.py runs them
    elsewhere.add("derivations check")                      # a test above runs it
    elsewhere.add("derivations figures --out pictures")     # figures/test_all.py runs it
    elsewhere.add("derivations book")                       # study/test_book.py runs it
    for line in cli.EXAMPLES.splitlines()[1:]:
        command = re.split(r" {3,}", line.strip())[0]
        assert command.startswith("derivations ")
        assert command in elsewhere or run(capsys, *command.split()[1:])[0] == 0, line


def test_derivations_module_and_script_are_the_same_command():
    assert derivations("--version").stdout == f"derivations {cli.__version__}\n"
    config = (ROOT / "setup.cfg").read_text()
    assert "derivations = derivations.app.cli:main" in config and "packages = find:" in config


def test_command_check_writes_results_to_stdout_and_messages_to_stderr():
    done = derivations("check", "odaibo.1", FORCE_COLOR="1", CLICOLOR_FORCE="1")
    assert done.returncode == 0 and "odaibo.1" in done.stdout and done.stderr.endswith("s in all\n")
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_commands_survive_a_closed_stdout():
    for arguments in ("list", "check odaibo.7 -q", "errata odaibo -q", "show odaibo.1"):
        command = f"{shlex.quote(sys.executable)} -m derivations {arguments} | true"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0 and done.stderr == "", arguments
