"""The command doctor: exit codes, one line for errors of the user's file with its line, a timeout, nothing written."""

import json

import pytest

from minivae.app import cli

RIGHT = """import numpy as np
print("printed by the file")
def kl(mu, log_var):
    return (mu**2 + np.exp(log_var) - 1 - log_var).sum(axis=1) / 2
"""
SAMPLER = "def sample(mu, log_var, eps):\n    return mu + np.exp(log_var{}) * eps\n"


def doctor(tmp_path, capfd, source, *more):
    """(exit code, stdout, stderr) of the command on a file with this source."""
    file = tmp_path / "my_vae.py"
    file.write_text(source, encoding="utf-8")
    code = cli.main(["doctor", str(file), *more])
    out, err = capfd.readouterr()
    return code, out, err.replace(str(tmp_path), "DIR")


def test_doctor_exit_code_says_whether_something_is_wrong(tmp_path, capfd):
    code, out, err = doctor(tmp_path, capfd, RIGHT + SAMPLER.format(" / 2"))
    assert code == 0 and "describe the same Gaussian" in out and "printed by the file" in err and "printed" not in out
    assert err.startswith("doctor: executing DIR/my_vae.py") and list(tmp_path.iterdir()) == [tmp_path / "my_vae.py"]
    code, out, _ = doctor(tmp_path, capfd, RIGHT + SAMPLER.format(""), "--json", "-q")
    found = json.loads(out)
    wrong = [finding for finding in found["findings"] if finding["verdict"] == "wrong"]
    assert code == found["wrong"] == 1 and wrong[0]["exhibit"] == "exp-log-var" and found["seed"] == 0
    assert wrong[0]["measured"] == pytest.approx(wrong[0]["expected"] ** 2)


@pytest.mark.parametrize(
    "source, words",
    [
        ("x = 1\ndef kl(mu, log_var):\n    return mu + oops\n", "DIR/my_vae.py, line 3, in kl: NameError: name 'oops'"),
        ("import numpy\nimport no_such_library\n", "DIR/my_vae.py, line 2, in <module>: ModuleNotFoundError"),
        ("def kl(mu, log_var)\n    return 0\n", "DIR/my_vae.py, line 1: SyntaxError"),
        ("raise SystemExit(3)\n", "DIR/my_vae.py, line 1, in <module>: SystemExit: 3"),
        ("import os\nos._exit(0)\n", "ended Python with exit code 0"),
        ("x = 1\n", "at least one of loss, kl"),
    ],
)
def test_error_in_the_users_file_is_one_line_with_its_line(tmp_path, capfd, source, words):
    code, out, err = doctor(tmp_path, capfd, source, "-q")
    assert code == 2 and out == "" and words in err and err.count("\n") == 1 and "Traceback" not in err


def test_function_that_hangs_is_ended_with_its_line(tmp_path, capfd):
    source = "def kl(mu, log_var):\n    while True:\n        pass\n"
    code, out, err = doctor(tmp_path, capfd, source, "-q", "--timeout", "0.3")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "my_vae.py, line " in err and "in kl: not finished after 0.3" in err


def test_main_block_of_the_file_is_not_executed(tmp_path, capfd):
    source = RIGHT + "if __name__ == '__main__':\n    raise ValueError('training')\n"
    assert doctor(tmp_path, capfd, source, "-q")[0] == 0


@pytest.mark.parametrize("arguments, words", [(["none.py"], "FILE must be a Python file"), ([__file__, "--seed", "-1"],
                                                                                            "--seed must be"),
                                              ([__file__, "--timeout", "0"], "--timeout must be")])  # fmt: skip
def test_doctor_bad_arguments_are_one_line_on_stderr(arguments, words, capsys):
    assert cli.main(["doctor", *arguments]) == 2
    assert words in capsys.readouterr().err
