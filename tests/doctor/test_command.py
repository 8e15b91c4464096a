"""The command `minivae doctor`: exit codes, line numbers of errors in the user's file, the timeout.

The command writes no files.
"""

import json
import sys
import time

import pytest

from minivae.app import cli
from minivae.doctor import patient

RIGHT = """import numpy as np
print("printed by the file")
def kl(mu, log_var):
    return (mu**2 + np.exp(log_var) - 1 - log_var).sum(axis=1) / 2
"""
SAMPLER = "def sample(mu, log_var, eps):\n    return mu + np.exp(log_var{}) * eps\n"


def doctor(tmp_path, capfd, source, *more):
    """Return (exit code, stdout, stderr) of the command for a file with this source."""
    file = tmp_path / "my_vae.py"
    file.write_text(source, encoding="utf-8")
    code = cli.main(["doctor", str(file), *more])
    out, err = capfd.readouterr()
    return code, out, err.replace(str(tmp_path), "DIR")


@pytest.fixture
def report_on(tmp_path, monkeypatch):
    """Return a function that examines a source in this process, not in a new one, and returns the report as a dict."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "my_vae", None)

    def report(source):
        (tmp_path / "my_vae.py").write_text(source, encoding="utf-8")
        return patient.report_on(str(tmp_path / "my_vae.py"), 0)

    return report


def test_doctor_exit_code_says_whether_something_is_wrong(tmp_path, capfd):
    code, out, err = doctor(tmp_path, capfd, RIGHT + SAMPLER.format(" / 2"))
    assert code == 0 and "describe the same Gaussian" in out and "printed by the file" in err and "printed" not in out
    assert err.startswith("doctor: executing DIR/my_vae.py") and list(tmp_path.iterdir()) == [tmp_path / "my_vae.py"]
    code, out, _ = doctor(tmp_path, capfd, RIGHT + SAMPLER.format(""), "--json", "-q")
    found = json.loads(out)
    wrong = [finding for finding in found["findings"] if finding["verdict"] == "wrong"]
    assert code == found["wrong"] == 1 and wrong[0]["exhibit"] == "exp-log-var" and found["seed"] == 0
    assert wrong[0]["measured"] == pytest.approx(wrong[0]["expected"] ** 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "source, words",
    [
        ("x = 1\ndef kl(mu, log_var):\n    return mu + oops\n", "DIR/my_vae.py, line 3, in kl: NameError: name 'oops'"),
        ("import numpy\nimport no_such_library\n", "DIR/my_vae.py, line 2, in <module>: ModuleNotFoundError"),
        ("def kl(mu, log_var)\n    return 0\n", "DIR/my_vae.py, line 1: SyntaxError"),
        ("raise SystemExit(3)\n", "DIR/my_vae.py, line 1, in <module>: SystemExit: 3"),
        ("import numpy as np\nW = np.load('none.npy')\n", "DIR/my_vae.py, line 2, in <module>: FileNotFoundError: "),
        ("def kl(mu, log_var):\n    open('none')\n", "DIR/my_vae.py, line 2, in kl: FileNotFoundError"),
        ("def kl(*, mu, log_var):\n    return mu\n", "kl() takes 0 positional arguments but 2 were given. Check that kl"),
        ("class K:\n    def __call__(self, m, v):\n        return oops\nkl = K()\n", "line 3, in __call__: NameError"),
        ("def kl(m, v):\n    assert len(m) == 10_000\nbatch = 64\n", "DIR/my_vae.py, line 2, in kl: AssertionError."),
        ("class E(BaseException):\n    pass\ndef kl(m, v):\n    raise E('an\\nerror')\n", "line 4, in kl: E: an error."),
        ("latent = 2\nfeatures = 4\nparams = {'W': 'a'}\ndef loss_and_gradient(p, x, eps):\n    return 1.0, p\n",
         "params['W'] must be an array of numbers; got str"),
        ("def params():\n    raise OSError('no file')\nlatent = features = 4\ndef loss_and_gradient(p, x, e):\n    pass\n",
         "DIR/my_vae.py, line 2, in params: OSError: no file."),
        ("x = 1\n", "at least one of loss, kl"),
    ],
)
def test_error_in_the_users_file_is_reported_with_its_line_number(tmp_path, report_on, source, words):
    document = report_on(source)
    said = document.pop("error").replace(str(tmp_path), "DIR")
    assert document == {} and words in said and "\n" not in said and said.endswith(".")


@pytest.mark.slow
@pytest.mark.parametrize(
    "source, words",
    [
        ("x = 1\ndef kl(mu, log_var):\n    return mu + oops\n", "DIR/my_vae.py, line 3, in kl: NameError: name 'oops'"),
        ("import os\nos._exit(0)\n", "ended Python with exit code 0"),
        ("import os\nos.abort()\n", "ended Python by a crash (signal 6)"),
        ("def kl(m, v):\n    raise KeyboardInterrupt\n", "ended Python with exit code 130"),
    ],
)
def test_file_that_cannot_be_examined_gives_exit_code_two(tmp_path, capfd, source, words):
    code, out, err = doctor(tmp_path, capfd, source, "-q")
    assert code == 2 and out == "" and words in err and err.count("\n") == 1 and "Traceback" not in err


@pytest.mark.slow
def test_function_that_never_returns_is_reported_with_its_line_number(tmp_path, capfd):
    source = "def kl(mu, log_var):\n    while True:\n        pass\n"
    code, out, err = doctor(tmp_path, capfd, source, "-q", "--timeout", "0.3")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "my_vae.py, line " in err and "in kl: not finished after 0.3" in err


def test_report_does_not_wait_for_a_thread_that_the_examined_file_started(tmp_path, capfd):
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n" + RIGHT
    start = time.perf_counter()
    assert doctor(tmp_path, capfd, source, "-q")[0] == 0 and time.perf_counter() - start < 30


def test_numpy_settings_in_the_examined_file_do_not_change_the_report(tmp_path, capfd, report_on):
    settings = "import warnings\nimport numpy as np\nwarnings.simplefilter('error')\nnp.seterr(all='raise')\n"
    code, out, err = doctor(tmp_path, capfd, settings + RIGHT, "-q", "--json")
    assert code == 0 and err == "printed by the file\n"
    assert json.loads(out) == {"file": str(tmp_path / "my_vae.py")} | report_on(RIGHT)


@pytest.mark.slow
def test_doctor_shows_the_first_ten_lines_that_the_file_prints(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    flood = "for i in range({}):\n    print('line', i)\nprint('x' * {}, end='')\n"
    kl = "def kl(m, v):\n    return m.sum()\n"
    code, out, err = doctor(tmp_path, capfd, flood.format(9, 10) + kl, "-q")
    assert code == 0 and err == "".join(f"line {i}\n" for i in range(9)) + "x" * 10 + "\n"
    code, more_out, err = doctor(tmp_path, capfd, flood.format(11, 10**6) + kl, "-q")
    assert code == 0 and more_out == out and err.splitlines()[:10] == [f"line {i}" for i in range(10)]
    assert err.endswith("line 9\ndoctor: 1,001 more lines that the file printed are not shown\n")


@pytest.mark.slow
def test_report_does_not_wait_for_a_process_that_the_examined_file_started(tmp_path, capfd):
    source = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])\n" + RIGHT
    start = time.perf_counter()
    assert doctor(tmp_path, capfd, source, "-q")[0] == 0 and time.perf_counter() - start < 15


def test_main_block_of_the_examined_file_is_not_executed(report_on):
    source = RIGHT + "if __name__ == '__main__':\n    raise ValueError('training')\n"
    assert report_on(source)["wrong"] == 0


@pytest.mark.parametrize("arguments, words", [(["none.py"], "FILE must be an existing file"), ([__file__, "--seed", "-1"],
                                                                                            "--seed must be"),
                                              ([__file__, "--timeout", "0"], "--timeout must be")])  # fmt: skip
def test_bad_argument_of_the_doctor_gives_one_line_on_stderr(arguments, words, capsys):
    assert cli.main(["doctor", *arguments]) == 2
    assert words in capsys.readouterr().err
