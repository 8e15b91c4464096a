"""The minivae command: results on stdout, messages on stderr, exit codes, saved work, fast --help."""

import argparse
import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from derivations.app import cli as derivations_cli
from minivae import runs
from minivae.app import cli, evaluate, results, run_data, runner, train
from minivae.figures import style
from tests.helpers.forked import run_forked
from tests.helpers.trained import draw_in_this_process, draw_nothing, end_quickly

QUICK = ["train", "--epochs", "2", "--hidden", "8"]


def minivae(*arguments, **environment):
    """Run the minivae command in a new process; return the completed process."""
    command = [sys.executable, "-m", "minivae", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)


@pytest.fixture(scope="module", autouse=True)
def forty_rows():
    """Save time: commands in this process and in forked processes measure only 40 of the 355 held-out rows."""
    with pytest.MonkeyPatch.context() as patch:
        for command in (train, results, evaluate):
            patch.setattr(command, "MEASURED", 40)
        yield


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Train for two epochs; return the run's directory, the printed JSON document and (stdout, stderr)."""
    out = tmp_path_factory.mktemp("quick") / "run"
    code, printed, err = run_forked(cli.main, [*QUICK, "--out", str(out), "--json"], out.parent)
    assert code == 0, err
    return out, json.loads(printed), (printed, err)


def test_train_prints_one_json_document_with_the_promised_keys(quick):
    out, document, _ = quick
    promised = {"elbo", "reconstruction", "kl", "iw_bound", "log_px", "seconds", "epochs", "files", "seed", "config"}
    assert promised <= document.keys()
    assert {"elbo_se", "reconstruction_se", "iw_bound_se"} <= document.keys()
    assert document["elbo"] == pytest.approx(document["reconstruction"] - document["kl"], abs=1e-9)
    assert document["gap"] == pytest.approx(document["log_px"] - document["elbo"], abs=1e-9)
    assert document["elbo"] < document["iw_bound"] < document["log_px"]
    assert document["epochs"] == 2 and document["seed"] == 0 and document["seconds"] > 0
    assert json.loads((out / "results.json").read_text()) == document


def test_every_file_listed_by_train_exists_and_has_alt_text(quick):
    out, document, _ = quick
    assert {Path(file["path"]).stem for file in document["files"]} >= {
        "loss_curves", "reconstructions", "latent_map", "manifold", "kl_per_dimension", "prior_samples", "hero"
    }
    for file in document["files"]:
        assert Path(file["path"]).read_bytes().startswith(b"\x89PNG") and len(file["alt"]) > 80
    for name in ("config.json", "history.csv", "model.npz"):
        assert (out / name).exists()


def test_progress_goes_to_stderr_without_escape_codes(quick):
    _, _, (printed, err) = quick
    assert "2/2  train" in err and "2/2  train" not in printed and "\x1b" not in printed + err


def printed_report(out, document, capsys):
    """Print the report of train for these results; return the text."""
    results.report(argparse.Namespace(json=False, quiet=True), runs.read(out), document)
    return capsys.readouterr().out


def test_train_table_has_the_numbers_of_the_json_document(quick, capsys):
    out, document, _ = quick
    printed = printed_report(out, document, capsys)
    rows = {"reconstruction": "reconstruction", "KL": "kl", "ELBO": "elbo", "exact log p(x)": "log_px", "gap": "gap"}
    for label, key in rows.items():
        value = printed.split(f"\n  {label} ")[1].split()[0]
        assert value == f"{document[key]:.3f}", label
    again = printed.split("again  minivae ")[1].splitlines()[0]
    assert vars(cli.make_parser().parse_args(shlex.split(again)))["epochs"] == 2


def test_train_explains_nats_and_the_gap_and_suggests_the_next_command(quick, capsys):
    out, document, _ = quick
    printed = printed_report(out, document, capsys)
    assert printed.count("1 nat = 1.44 bits") == 1 and "by numerical integration over z, error below 0.001 nats" in printed
    assert f"\n{results.GAP}\n" in printed and "the encoder's error and the error of the best diagonal Gaussian" in printed
    assert printed.endswith(f"\nnext   minivae evaluate {out} --gap\n")


def test_loss_curves_state_the_elbo_that_train_prints(quick):
    _, document, _ = quick
    (alt,) = [file["alt"] for file in document["files"] if file["path"].endswith("loss_curves.png")]
    assert f"The held-out ELBO ends at {style.number(document['elbo'])} nats" in alt.replace("\u2212", "-")
    assert f"{style.number(document['gap'])} below the exact log p(x)" in alt


@pytest.mark.parametrize("error, words", [(0, "0.001"), (1e-7, "0.001"), (0.001, "0.001"), (0.0011, "0.01"), (0.2, "1")])
def test_error_of_an_integral_is_rounded_up_to_a_power_of_ten(error, words):
    assert results.by_integration(error).endswith(f"error below {words} nats")


def test_training_with_the_printed_command_gives_the_same_model(quick, tmp_path, monkeypatch):
    end_quickly(monkeypatch)
    out, document, _ = quick
    words = shlex.split(document["command"])
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert words[0] == "minivae" and cli.main(words[1:]) == 0
    first, again = runs.read(out).vae, runs.read(tmp_path / "again").vae
    assert first.params.flat.tobytes() == again.params.flat.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "--likelihood bernoulli --latent 1",
        "--likelihood gaussian --hidden none --samples 2",
        "--latent 3 --likelihood gaussian --sigma learned --activation relu --dtype float64",
        "--likelihood gaussian --sigma 0.5 --estimator sampled --beta 0.5",
        "--latent 3 --binarize",
        "--latent 3 --hidden 8,4 --batch 500 --lr 0.01",
        "--autoencoder",
    ],
)
def test_train_options_are_kept_in_the_printed_command(options, tmp_path, monkeypatch, capsys):
    drawn = options == "--latent 3 --binarize"
    if not drawn:
        end_quickly(monkeypatch)
    out = tmp_path / "run"
    assert cli.main([*shlex.split("train --epochs 1 --hidden 8 -q --json"), *options.split(), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    document = json.loads(printed.out)
    assert shlex.join(options.split()) == options
    again = shlex.split(document["command"])[1:]
    wanted = ["train", "--epochs", "1", "--hidden", "8", *options.split(), "--out", str(out)]
    again, wanted = (cli.completed(cli.make_parser().parse_args(words)) for words in (again, wanted))
    assert vars(again) == vars(wanted) and None not in (again.seed, again.latent, again.overwrite)
    if "--autoencoder" in options:
        assert document["elbo"] is None and document["log_px"] is not None
    if "--latent 3" in options:
        assert document["log_px"] is None and document["elbo"] is not None
    names = {Path(file["path"]).stem for file in document["files"]}
    assert "prior_samples" in names and "latent_map" not in names if drawn else not names


@pytest.mark.slow
def test_train_with_autoencoder_refuses_beta_and_prints_no_elbo(tmp_path, monkeypatch, capsys):
    out = tmp_path / "plain"
    assert cli.main([*QUICK, "--autoencoder", "--beta", "1", "--out", str(out)]) == 2
    assert "--beta must be left out with --autoencoder" in capsys.readouterr().err and not out.exists()
    draw_in_this_process(monkeypatch)
    save = style.save                                       # write only the figure that is tested below
    monkeypatch.setattr(style, "save", lambda figure, alt, path: save(figure, alt, path) if "loss" in path.name else None)
    assert cli.main([*QUICK, "--autoencoder", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "ELBO" not in printed.out + printed.err and "held-out" in printed.err and "kl_per" not in printed.out
    assert printed.out.endswith(f"next   minivae sample {out}\n")
    results = json.loads((out / "results.json").read_text())
    (curves,) = [file["alt"] for file in results["files"] if file["path"].endswith("loss_curves.png")]
    record = runs.read(out).history[-1]
    assert f"reconstruction ends at {record.test_reconstruction:.1f}".replace("-", "\u2212") in curves.replace("-", "\u2212")
    assert record.train_kl is record.train_elbo is record.test_kl is record.test_elbo is None and "ELBO" not in curves
    assert cli.main(["runs", str(tmp_path)]) == 0
    assert re.search(r"plain .* -\n$", capsys.readouterr().out)
    history = out / "history.csv"
    for cells in (",1.5,,", ",1.5,,2,,"):
        history.write_text(history.read_text().replace(",,,", cells, 1))
        assert cli.main(["plot", str(out)]) == 2
        assert "history.csv is damaged" in capsys.readouterr().err


def test_history_file_of_a_vae_must_contain_the_elbo(quick, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(quick[0], copy)
    names, *rows = csv.reader(io.StringIO((copy / "history.csv").read_text()))
    cut = [["" if "elbo" in name or "kl" in name else cell for name, cell in zip(names, row)] for row in rows]
    (copy / "history.csv").write_text("\n".join(",".join(row) for row in [names, *cut]))
    assert cli.main(["plot", str(copy)]) == 2
    assert "an epoch without its ELBO" in capsys.readouterr().err


@pytest.mark.parametrize(
    "x, got",
    [
        (np.tile([-3.0, 3.0], 20), "values from -3.0 to 3.0. Rescale them to 0..1, or use --likelihood gaussian."),
        (np.tile([0, 400], 20), "values from 0 to 400. Rescale them: divide by 400, the maximum"),
        (np.tile([0.0, 234.0], 20), "values from 0.0 to 234.0. Divide by 255."),
    ],
)
@pytest.mark.parametrize("command", [["train"], ["sweep", "--beta", "1,2"]])
def test_data_outside_0_to_1_are_refused_for_bernoulli(command, x, got, tmp_path, capsys):
    np.save(tmp_path / "x.npy", x.reshape(20, 2))
    assert cli.main([*command, "--data", str(tmp_path / "x.npy"), "--out", str(tmp_path / "no")]) == 2
    err = capsys.readouterr().err
    assert "--data must be within 0..1 for the Bernoulli likelihood; got " + got in err and not (tmp_path / "no").exists()


def test_file_in_place_of_a_directory_is_refused(quick, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    for words in (QUICK, ["plot", str(quick[0])], ["sample", str(quick[0])]):
        assert cli.main([*words, "--out", str(file)]) == 2
        assert f"out must be a directory; got {file}, which is a file" in capsys.readouterr().err
    for place in (file, tmp_path / "nowhere"):
        assert cli.main(["runs", str(place)]) == 2
        assert f"DIR must be a directory; got {place}." in capsys.readouterr().err
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_plot_makes_the_same_pictures_as_train(quick, tmp_path, capsys):
    out, document, _ = quick
    assert cli.main(["plot", str(out), "--out", str(tmp_path), "--json"]) == 0
    redrawn = json.loads(capsys.readouterr().out)["files"]
    assert [file["alt"] for file in redrawn] == [file["alt"] for file in document["files"]]
    for old, new in zip(document["files"], redrawn):
        assert Path(old["path"]).read_bytes() == Path(new["path"]).read_bytes()


def test_sample_writes_counts_and_a_picture_and_refuses_to_overwrite(quick, tmp_path, capsys):
    out, _, _ = quick
    command = ["sample", str(out), "-n", "9", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    samples = np.load(tmp_path / "samples.npy")
    assert samples.shape == (9, 8, 8) and samples.min() >= 0 and samples.max() <= 16
    assert (samples == samples.astype(int)).all() and (tmp_path / "samples.png").exists()
    assert cli.main(command) == 2 and "--overwrite" in capsys.readouterr().err
    assert cli.main([*command, "--overwrite", "--seed", "1"]) == 0
    assert (np.load(tmp_path / "samples.npy") != samples).any()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("train --latent 0", "--latent must be a whole number >= 1; got 0"),
        ("train --beta -1", "--beta must be a finite number >= 0; got -1"),
        ("train --likelihood poisson", "--likelihood must be one of bernoulli, binomial, gaussian; got 'poisson'"),
        ("train --likelihood gaussian --sigma 0", "--sigma must be a finite number > 0; got 0.0"),
        ("train --likelihood gaussian --sigma best", "--sigma must be a number, 'learned' or 'optimal'; got 'best'"),
        ("train --likelihood gaussian --sigma 0,5", "--sigma must be a number, 'learned' or 'optimal'; got '0,5'"),
        ("train --autoencoder --objective iwae", "--objective iwae must be left out with --autoencoder"),
        ("train --sigma 1", "--sigma must be used with the gaussian likelihood only"),
        ("train --activation sine", "--activation must be one of relu, tanh; got 'sine'"),
        ("train --dtype float16", "--dtype must be float32 or float64; got 'float16'"),
        ("train --dtype number", "--dtype must be float32 or float64; got 'number'"),
        ("train --samples 0", "--samples must be a whole number >= 1; got 0"),
        ("train --lr 0", "--lr must be a finite number > 0; got 0"),
        ("train --seed -1", "--seed must be a whole number >= 0; got -1"),
        ("train --data nowhere.npz", "nowhere.npz: cannot be read (No such file or directory)"),
        ("plot nowhere", "RUN must be the directory of a run; got 'nowhere'"),
        ("sample nowhere", "RUN must be the directory of a run; got 'nowhere'"),
    ],
)
def test_bad_input_prints_one_line_on_stderr_and_exits_with_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"minivae: {message}") and printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_exit_with_2_and_an_empty_command_line_prints_help(capsys):
    for arguments in (["train", "--epochs", "many"], ["juggle"], ["train", "--hidden", "a,b"]):
        assert cli.main(arguments) == 2
    assert capsys.readouterr().err.count("error: ") == 3
    for arguments in ([], ["--help"]):
        assert cli.main(arguments) == 0
        assert "examples:" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0 and cli.main(["train", "--help"]) == 0


def test_train_never_overwrites_a_run_silently(quick, capsys):
    out, _, _ = quick
    before = (out / "model.npz").read_bytes()
    assert cli.main([*QUICK, "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err and (out / "model.npz").read_bytes() == before


def test_interrupted_training_saves_the_run_and_exits_with_130(tmp_path):
    command = [sys.executable, "-m", "minivae", "train", "--epochs", "1000000", "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        first = process.stderr.readline()                   # the first line is printed when training begins
        while not process.poll() and len(first) == 0:
            first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and "the model is saved in" in err and "Traceback" not in err
    run = runs.read(tmp_path / "run")
    assert np.isfinite(run.vae.params.flat).all() and run.config["seed"] == 0


def test_diverging_training_prints_the_reason_and_exits_with_2(tmp_path):
    done = minivae(*QUICK, "--lr", "1e30", "--activation", "relu", "--out", tmp_path / "run")
    assert done.returncode == 2 and "training diverged in epoch" in done.stderr and "Traceback" not in done.stderr


IMPORTED = "import sys; from minivae.app.cli import main\nmain({arguments})\n"


HELP_COMMANDS = [["--help"], ["train", "--help"], ["rosetta", "--help"], ["rosetta"], ["--version"], []]


@pytest.mark.parametrize("arguments", HELP_COMMANDS)
def test_help_imports_neither_numpy_nor_matplotlib(arguments):
    code = IMPORTED.format(arguments=arguments) + "sys.exit('numpy' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.slow
def test_first_training_step_does_not_wait_for_matplotlib(tmp_path):
    """Check that less than half a second of CPU time passes before the first step."""
    code = (
        "import sys, time; from minivae.app import cli; from minivae.train import Training\n"
        "def first(training, rows):\n"
        "    print(time.process_time(), 'matplotlib' in sys.modules); sys.exit(0)\n"
        "Training.step = first; cli.main(['train', '--out', sys.argv[1]])"
    )
    commands = [[sys.executable, "-c", code, str(tmp_path / str(i))] for i in range(3)]
    done = [subprocess.run(command, capture_output=True, text=True) for command in commands]
    assert all(run.stdout.split()[1:] == ["False"] for run in done), done[0].stderr
    assert min(float(run.stdout.split()[0]) for run in done) < 0.5


@pytest.mark.slow
def test_importing_minivae_after_numpy_takes_less_than_30_ms():
    code = "import numpy, time; began = time.perf_counter(); import minivae; print(time.perf_counter() - began)"
    runs_of_it = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(5)]
    assert min(float(run.stdout) for run in runs_of_it) < 0.030


@pytest.mark.parametrize("words", [["sample", Path("no run"), "-n", 3], "sample 'no run' -n 3"], ids=["list", "text"])
def test_main_accepts_one_string_or_a_list_with_numbers_and_paths(words, capsys):
    assert cli.main(words) == 2 and "a run; got 'no run'. Make one" in capsys.readouterr().err


def test_only_the_first_three_unknown_arguments_are_printed(capsys):
    assert cli.main(["data", *(f"{i}.png" for i in range(1000))]) == 2
    message = capsys.readouterr().err
    assert message.endswith("unrecognized arguments: 1.png 2.png 3.png and 996 more. Name their directory instead.\n")
    assert cli.main(["data", "a", "b"]) == 2 and capsys.readouterr().err.endswith("unrecognized arguments: b\n")


def test_one_blas_thread_is_used_unless_the_user_sets_a_number(tmp_path):
    code = "import os, sys; from minivae.app import cli; cli.use_one_thread(); print(os.environ.get('OPENBLAS_NUM_THREADS'))"
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in names}

    def chosen(before="", **set_by_user):
        done = subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True, env=clean | set_by_user)
        return done.stdout.strip()

    assert chosen() == "1"
    assert chosen(OPENBLAS_NUM_THREADS="3") == "3" and chosen(OMP_NUM_THREADS="2") == "None"
    assert chosen(before="import numpy; ") == "None"        # after this import, a new number would have no effect


def exit_code_of(action, **options):
    """Return the exit code of a command that runs `action`."""
    parser = argparse.ArgumentParser("minivae")
    parser.set_defaults(command=action, debug=False, **options)
    return runner.run(parser, [])


def test_out_of_memory_prints_one_line_on_stderr(capsys):
    def run_out_of_memory(options):
        raise MemoryError

    assert exit_code_of(run_out_of_memory) == 2
    assert capsys.readouterr().err == "minivae: not enough memory\n"
    assert exit_code_of(lambda options: np.empty(2**55)) == 2
    assert capsys.readouterr().err.startswith("minivae: Unable to allocate")


@pytest.mark.parametrize("ends, code", [("ValueError('no')", 2), ("KeyboardInterrupt", 130)])
def test_closed_stderr_changes_no_exit_code(ends, code):
    script = (
        "import argparse, sys; from minivae.app.runner import run\n"
        "def ends(options): raise {}\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.set_defaults(command=ends, debug=False)\n"
        "sys.exit(run(parser, []))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", script.format(ends)], stderr=writing)
    os.close(writing)
    assert done.returncode == code


def test_interrupt_during_an_import_exits_with_130(capsys, sigint_enabled):
    """Imitate NumPy, which turns an interrupt into an ImportError with a message of fifty lines."""

    def importing(options):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("This is unlikely to be a NumPy issue") from None

    def broken(options):
        raise ImportError("no such module")

    before = signal.getsignal(signal.SIGINT)
    assert exit_code_of(importing) == 130 and capsys.readouterr().err == "minivae: interrupted\n"
    with pytest.raises(ImportError, match="no such module"):
        exit_code_of(broken)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_plot_prints_one_line_on_stderr_if_results_are_damaged(quick, tmp_path, text, capsys):
    copy = shutil.copytree(quick[0], tmp_path / "copy")
    (copy / "results.json").write_text(text)
    assert cli.main(["plot", str(copy)]) == 2
    err = capsys.readouterr().err
    assert "results.json is damaged" in err and err.count("\n") == 1


def test_option_binarize_applies_to_training_and_to_later_measurements(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        end_quickly(patch)
        out = tmp_path / "run"
        assert cli.main([*QUICK, "--binarize", "-q", "--out", str(out)]) == 0
    options = cli.completed(cli.make_parser().parse_args(["train", "--binarize"]))
    training, _, _ = train.new_training(options, "")
    assert training.data.binarize and training.vae.likelihood.name == "bernoulli"
    again = run_data.data_of(runs.read(out))
    assert again.binarize and (again.test_x == training.data.test_x).all() and set(np.unique(again.test_x)) == {0, 1}
    assert cli.main(["train", "--binarize", "--likelihood", "gaussian", "--out", str(tmp_path / "no")]) == 2
    assert "--binarize must be used with the bernoulli likelihood; got gaussian" in capsys.readouterr().err


@pytest.fixture
def run_with_20_rows(tmp_path, monkeypatch, capsys):
    """Train a model and measure it on 20 held-out rows; return the run, its results, and a list.

    The list has the number of held-out rows in the figures of `train`.
    """
    shown = []
    draw_nothing(monkeypatch)
    for command in (train, results, evaluate):
        monkeypatch.setattr(command, "MEASURED", 20)
    monkeypatch.setattr(train, "draw_model", lambda run, data: shown.append(len(data.test_x)) or [])
    assert cli.main([*QUICK, "-q", "--json", "--seed", "3", "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run", json.loads(capsys.readouterr().out), shown


def test_train_uses_the_same_held_out_rows_for_numbers_and_figures(run_with_20_rows):
    _, results, shown = run_with_20_rows
    assert [results["held_out"]] == shown == [20]


def test_plot_draws_the_same_held_out_rows_as_train(run_with_20_rows, monkeypatch):
    run, _, shown = run_with_20_rows
    monkeypatch.setattr(results, "draw_model", lambda run, data: shown.append(len(data.test_x)) or [])
    assert cli.main(["plot", str(run)]) == 0 and shown == [20, 20]


def test_evaluate_with_option_gap_prints_the_same_elbo_and_gap_as_train(run_with_20_rows, capsys):
    run, results, _ = run_with_20_rows
    next_command = printed_report(run, results, capsys).splitlines()[-1].removeprefix("next   minivae ")
    assert cli.main([*shlex.split(next_command), "-q"]) == 0
    page = capsys.readouterr().out
    for label, key in {"ELBO": "elbo", "IW_1000": "iw_bound", "log p(x)": "log_px", "gap": "gap"}.items():
        assert page.split(f"\n  {label} ")[1].split()[0] == f"{results[key]:.3f}", label
    total = float(page.split("  their sum: ")[0].split()[-1])
    assert abs(total - results["gap"]) < 6 * results["elbo_se"] + 0.001     # 6 standard errors: fails for 2 of 10^9 seeds


def test_list_of_runs_leaves_out_a_run_that_contradicts_its_config(quick, tmp_path, capsys):
    for name, model in (("whole", {}), ("older", {"objective": None}), ("edited", {"latent": "many"})):
        copy = shutil.copytree(quick[0], tmp_path / name)
        config = json.loads((copy / "config.json").read_text())
        config["model"] = {k: v for k, v in (config["model"] | model).items() if v is not None}
        (copy / "config.json").write_text(json.dumps(config))
    assert cli.main(["runs", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)              # "edited" is skipped: its config does not match its model
    assert [(Path(row["run"]).name, row["latent"], row["likelihood"]) for row in rows] == [
        ("older", 2, "binomial"), ("whole", 2, "binomial"),
    ]  # fmt: skip


def test_every_public_name_of_minivae_can_be_imported():
    import minivae

    assert minivae.__all__ and all(callable(getattr(minivae, name)) for name in minivae.__all__)
    assert set(minivae.__all__) <= set(dir(minivae))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        minivae.nonsense


def test_module_and_console_script_are_the_same_command():
    assert minivae("--version").stdout == f"minivae {cli.__version__}\n"
    config = (Path(__file__).parents[2] / "setup.cfg").read_text()
    assert "minivae = minivae.app.cli:main" in config


def test_command_with_a_closed_stdout_pipe_exits_with_0_and_no_message(quick):
    out, _, _ = quick
    command = f"{shlex.quote(sys.executable)} -m minivae runs {shlex.quote(str(out))} --json | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def shell(words, **environment):
    """Run a command of minivae or derivations in a shell, with buffered output; return exit code, stdout and stderr."""
    line = f"{shlex.quote(sys.executable)} -m {words}"
    environment = {**os.environ, "PYTHONUNBUFFERED": "", **environment}
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=environment, timeout=120)
    return done.returncode, str(done.stdout, "utf-8"), str(done.stderr, "utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("words, code, out", [
    ("minivae runs {} >&-", 0, ""),
    ("minivae runs {} 2>&-", 0, "digits"),
    ("minivae runs nosuch 2>&-", 2, ""),
    ("minivae runs nosuch 2>/dev/full", 2, ""),
    ("minivae nosuch 2>/dev/full", 2, ""),
    ("minivae runs {} 2>/dev/full", 0, "digits"),
    ("derivations quiz lm -n 1 --draws 20 <&-", 0, "0 known, 0 missed"),
    ("derivations trace --step <&-", 0, "backward"),
    ("derivations check odaibo.1 2>/dev/full", 0, "no unexpected verdict"),
])  # fmt: skip
def test_closed_stream_or_full_stderr_does_not_change_the_exit_code(quick, words, code, out):
    found = shell(words.format(shlex.quote(str(quick[0]))))
    assert found[0] == code and out in found[1] and found[2] == "" and (out or found[1] == ""), found


@pytest.mark.slow
def test_training_survives_closed_stderr_and_unknown_matplotlib_backend(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((50, 4)))       # few rows, so measuring is fast
    run, data = (shlex.quote(str(tmp_path / name)) for name in ("run", "x.npy"))
    words = f"minivae train --data {data} --epochs 1 --hidden 4 --latent 3 --out {run} 2>&-"
    code, out, _ = shell(words, MPLBACKEND="Qt4Agg")        # only older matplotlib has this backend
    assert code == 0 and out.startswith("10 held-out data") and "next   minivae evaluate" in out


def test_command_with_full_stdout_prints_one_error_line_and_exits_with_2(quick):
    code, _, err = shell(f"minivae runs {shlex.quote(str(quick[0]))} >/dev/full")
    assert code == 2 and err.startswith("minivae: ") and err.count("\n") == 1


@pytest.mark.slow
def test_characters_that_stdout_cannot_encode_are_escaped(quick, tmp_path):
    copy = shutil.copytree(quick[0], tmp_path / "L\u00e4ufe" / "\U0001d4df")
    code, out, err = shell(f"minivae runs {shlex.quote(str(copy.parent))}", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert code == 0 and "L\\u00e4ufe/\\ud835\\udcdf" in out and err == ""
    code, out, err = shell("derivations list --json", PYTHONIOENCODING="ascii")
    assert code == 0 and err == "" and json.loads(out) == json.loads(shell("derivations list --json")[1])
    assert "\\u" in out


@pytest.mark.slow
def test_plot_works_without_results_and_replaces_figures_only_with_overwrite(quick, tmp_path, capsys):
    copy = shutil.copytree(quick[0], tmp_path / "copy")
    (copy / "results.json").write_text("{}")
    for name in ("samples", "hero"):                        # `plot` must not replace samples.png, made by `sample`
        (tmp_path / f"{name}.png").write_text("mine")
    words = ["plot", str(copy), "--out", str(tmp_path)]
    capsys.readouterr()
    assert cli.main(words) == 2 and "--out must be a directory without earlier figures" in capsys.readouterr().err
    assert (tmp_path / "hero.png").read_text() == "mine"
    assert cli.main([*words, "--overwrite"]) == 0 and (tmp_path / "samples.png").read_text() == "mine"
    assert (tmp_path / "hero.png").read_bytes() == (quick[0] / "hero.png").read_bytes()


@pytest.fixture(params=["a file", "a link that leads nowhere", "in a file"])
def no_directory(request, tmp_path):
    """A path that cannot become a directory: a file, a broken link, or a path below a file."""
    path = tmp_path / "taken"
    path.symlink_to(tmp_path / "nowhere") if "link" in request.param else path.touch()
    return path / "deeper" if request.param == "in a file" else path


def fail_if_called(*arguments, **settings):
    raise AssertionError("the computation was started")


@pytest.mark.parametrize("words", [
    "minivae evaluate {run} --out {out}", "minivae museum --matrix --out {out}", "minivae plot {run} --out {out}",
    "minivae sample {run} --out {out}", "derivations questions --out {out}", "derivations figures --out {out}",
    "derivations cards --obsidian {out}", "derivations cards --anki {out}/cards.tsv",
])  # fmt: skip
def test_unusable_out_directory_is_refused_before_any_computation(quick, no_directory, words, monkeypatch, capsys):
    for place in ("minivae.app.evaluate.measure", "minivae.museum.tour.matrix", "minivae.app.results.draw_model",
                  "minivae.vae.VAE.sample", "derivations.study.questions.train_pair",
                  "derivations.pages.records.judged"):  # fmt: skip
        monkeypatch.setattr(place, fail_if_called)
    monkeypatch.setattr("derivations.figures.FIGURES", {"hong-10": fail_if_called})
    program, *arguments = words.format(run=quick[0], out=no_directory).split()
    assert {"minivae": cli, "derivations": derivations_cli}[program].main(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and " must be a directory; got " in err and "taken, which is a " in err
