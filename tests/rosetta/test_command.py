"""`minivae rosetta` prints the numbers of `translate`, and a training command with the beta and sigma of the translation."""

import json
import re
import shlex

import pytest

from minivae.app import cli
from minivae.rosetta import Convention, command, translate
from minivae.rosetta.presets import PRESETS

ANTIXK = "--reconstruction mse --reduce mean --kl-weight 0.00025 --features 12288 --latent 128"


def rosetta(capsys, line):
    """Run one command line; return exit code, stdout and stderr."""
    code = cli.main(["rosetta", *shlex.split(line)])
    return code, *capsys.readouterr()


def document(capsys, line):
    code, out, _ = rosetta(capsys, f"{line} --json")
    assert code == 0
    return json.loads(out)


def test_rosetta_options_create_the_convention_that_they_describe(capsys):
    line = "--reconstruction gaussian --sigma 0.5 --reduce mean --batch-reduce sum --kl-reduce mean --kl-batch-reduce sum "
    line += "--kl-weight 1/4 --recon-weight 2 --features 784 --latent 20 --batch 100"
    found = document(capsys, line)
    convention = Convention("gaussian", 0.5, "mean", "sum", "mean", "sum", 2, 0.25, 784, 20, 100)
    expected = translate(convention)
    assert Convention(**found["convention"]) == convention
    assert found["reading"] == expected.reading._asdict() and found["elbo"] == expected.elbo._asdict()
    assert found["bound"] == expected.bound and found["kl_weight_for_elbo"] == expected.kl_weight


def test_preset_and_equal_options_give_the_same_translation(capsys):
    by_name, by_hand = document(capsys, "--preset antixk-train"), document(capsys, ANTIXK)
    assert by_name.pop("source").startswith("AntixK/PyTorch-VAE") and by_name.pop("remark") and by_name.pop("preset")
    assert by_hand.pop("source") is by_hand.pop("remark") is by_hand.pop("preset") is None
    assert by_name == by_hand and by_name["reading"]["beta"] == pytest.approx(1.536)


def test_rosetta_names_no_source_for_a_preset_with_changed_options(capsys):
    found = document(capsys, "--preset keras-blog --latent 20")
    assert found["reading"]["beta"] == pytest.approx(784 / 20) and found["source"] is None


LINES = [f"--preset {name}" for name in PRESETS] + [
    ANTIXK,
    "--reconstruction gaussian --sigma learned --kl-weight 1/4 --batch-reduce sum --batch 10",
    "--reconstruction gaussian --sigma optimal --reduce mean --features 64",
    "--reconstruction gaussian --sigma 0.5 --kl-weight 4",
    "--reconstruction gaussian --sigma 0.5 --kl-weight 0.1",
    "--reconstruction mse --kl-weight 0",
    "--reconstruction bce --kl-weight 2",
    "--reconstruction bce --recon-weight 3 --kl-weight 3",
]


@pytest.mark.parametrize("line", LINES)
def test_printed_command_has_beta_and_sigma_of_the_translation(capsys, line):
    found = document(capsys, line)
    options = cli.completed(cli.make_parser().parse_args(shlex.split(found["same"])[1:]))
    reading = found["elbo"] or found["reading"]
    assert options.likelihood == ("bernoulli" if found["convention"]["reconstruction"] == "bce" else "gaussian")
    assert options.beta == pytest.approx(reading["beta"], rel=1e-8)
    assert ("--beta" in found["same"]) == (reading["beta"] != 1)
    if isinstance(reading["sigma"], float):
        assert options.sigma == pytest.approx(reading["sigma"], rel=1e-8)
    else:
        assert options.sigma == reading["sigma"]
    assert options.latent == (found["convention"]["latent"] or 2)


@pytest.mark.parametrize("line", LINES)
def test_text_of_rosetta_has_the_numbers_of_its_json_document(capsys, line):
    found = document(capsys, line)
    code, page, err = rosetta(capsys, line)
    assert code == 0 and err == ""
    assert re.search(rf"^beta +{found['reading']['beta']:.6g}\b", page, re.MULTILINE)
    for text in ("written", "bound_in_words", "instead", "same"):
        assert found[text] in page
    if found["bound"] == "elbo of another sigma":
        assert f"sigma = {found['elbo']['sigma']:.6g}" in page
    assert all(line == line.rstrip() and len(line) < 125 for line in page.splitlines())


@pytest.mark.parametrize("line", LINES)
def test_rosetta_prints_sentences_only_where_they_are_true(capsys, line):
    found = document(capsys, line)
    page, convention = rosetta(capsys, line)[1], found["convention"]
    coins, beta = convention["reconstruction"] == "bce", found["reading"]["beta"]
    factor = (found["elbo"] or found["reading"])["factor"]
    assert ("every x is 0 or 1" in page) == coins == ("BCE" in found["instead"])
    mends = found["bound"] in ("looser", "none") and convention["kl_weight"] != 0
    needs_other_weight = beta != 0 and found["bound"] in ("looser", "none")
    assert ("or keep the reductions and weight the KL with" in page) == mends == needs_other_weight
    another = found["bound"] == "elbo of another sigma" and convention["reconstruction"] == "gaussian"
    assert ("for the declared sigma" in found["bound_in_words"]) == another
    divisor = re.search(r"^in nats +loss( / \S+)? ", page, re.MULTILINE).group(1)
    assert divisor == (None if factor == 1 else f" / {factor:.6g}")


def test_printed_loss_shows_both_reductions_over_the_batch_if_they_differ(capsys):
    line = "--reconstruction bce --kl-batch-reduce sum --batch 10"
    assert document(capsys, line)["written"] == "mean_B sum_D BCE(x, m) + sum_B sum_J KL"
    assert document(capsys, f"{line} --batch-reduce sum")["written"] == "sum_D BCE(x, m) + sum_J KL, sum over B"


def test_rosetta_list_is_aligned_in_columns(capsys):
    _, text, _ = rosetta(capsys, "--list")
    head, *rows = text.splitlines()[: len(PRESETS) + 1]
    for name, row, found in zip(PRESETS, rows, document(capsys, "--list")):
        assert row.startswith(f"{name} ") and row[head.index("written") :].startswith(found["written"])
        assert row[head.index("bound") :] in ("yes", "no", "loose")


def test_every_list_that_rosetta_prints_contains_all_presets(capsys):
    _, text, _ = rosetta(capsys, "--list")
    _, table, _ = rosetta(capsys, "--markdown")
    everything = document(capsys, "--list")
    assert document(capsys, "") == everything and [found["preset"] for found in everything] == [*PRESETS]
    rows = table.splitlines()[2:]
    assert len(rows) == len(PRESETS) and {row.count("|") for row in rows} == {10}
    for (name, preset), row in zip(PRESETS.items(), rows):
        assert row.startswith(f"| `{name}` |") and preset.source in row and f"{name}: {preset.source}\n" in text


def test_rosetta_without_options_prints_its_help(capsys):
    code, out, err = rosetta(capsys, "")
    assert code == 0 and err == "" and out.startswith("usage: minivae rosetta") and "examples:" in out


@pytest.mark.parametrize(
    "line, words",
    [
        ("--preset keras", "preset must be one of"),
        ("--kl-weight 2", "Add --reconstruction"),
        ("--list --preset hong", "--list must be used without a convention"),
        ("--reconstruction mse --reduce mean", "--features N"),
        ("--reconstruction mse --kl-weight -1", "kl_weight must be"),
    ],
)
def test_bad_input_of_rosetta_prints_one_line_on_stderr(capsys, line, words):
    code, out, err = rosetta(capsys, line)
    assert code == 2 and out == "" and words in err and err.count("\n") == 1


NOT_WEIGHTS = ["1/0", "1e999", "half", "nan", "1e99999999", "-1e99999999/2", "1/inf", "1e308/1e-308", "1/2/3", "1/"]


@pytest.mark.parametrize("text", NOT_WEIGHTS)
def test_weight_that_is_not_a_finite_number_is_a_usage_error(capsys, text):
    code, _, err = rosetta(capsys, f"--reconstruction mse --kl-weight {text}")
    assert code == 2 and "--kl-weight" in err


WEIGHTS = [("0.5", 0.5), ("1/784", 1 / 784), ("3e-4", 3e-4), ("-1/4", -0.25), ("0.5/2", 0.25)]


@pytest.mark.parametrize("text, number", WEIGHTS)
def test_weight_options_accept_numbers_and_quotients(text, number):
    assert command.fraction(text) == number == command.fraction_or_word(text)
