"""Processes that a command starts: the command gets their results and errors, and no such process outlives the command."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from minivae import runs
from minivae.app import cli, process, train
from minivae.app.process import other_processes
from minivae.museum import tour

QUICK = ["train", "--epochs", "1", "--hidden", "4", "-q", "--no-explorer"]


def kill_this_process(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(*_):
    raise ValueError("planted")


def test_first_process_gets_results_and_errors_of_the_second_process():
    with other_processes(1) as other:
        number, error = other.submit(os.getpid), other.submit(fail)
        assert number.result() != os.getpid()
        with pytest.raises(ValueError, match="planted"):
            error.result()


def test_killed_second_process_raises_child_process_error():
    with pytest.raises(ChildProcessError, match="was killed"), other_processes(1) as other:
        other.submit(kill_this_process).result()


@pytest.mark.parametrize("call", ["import_figures", "draw_model"])
def test_train_reports_a_killed_second_process_and_loses_no_work(call, tmp_path, monkeypatch, capsys):
    """If the process is killed during the training, the model is saved.

    If the process is killed after the training, the model and the results are saved.
    """
    monkeypatch.setattr(train, call, kill_this_process)
    run = tmp_path / "run"
    assert cli.main([*QUICK, "--out", str(run)]) == 2
    assert capsys.readouterr().err == "minivae: a process of this command was killed, perhaps for lack of memory\n"
    assert len(runs.read(run).history) == 1
    monkeypatch.undo()
    if call == "import_figures":
        assert cli.main(["train", "--resume", str(run), "-q", "--no-explorer"]) == 0
    assert runs.results(run)["log_px"] < 0


def test_mapped_does_not_cancel_its_calls_when_its_caller_stops():
    """Compare `mapped` with `pool.map`, which cancels the calls that have not begun."""
    cancelled = []
    for run in (lambda pool: process.mapped(pool, time.sleep, [0, 1, 0]), lambda pool: pool.map(time.sleep, [0, 1, 0])):
        with ThreadPoolExecutor(1) as pool:
            submitted, submit = [], pool.submit
            pool.submit = lambda *call: submitted.append(submit(*call)) or submitted[-1]
            results = run(pool)
            next(results)
            results.close()
        cancelled.append([call.cancelled() for call in submitted])
    by_mapped, by_map = cancelled
    assert not any(by_mapped) and by_map[2]                 # by_map[1] is not checked: the second call may have begun


def test_museum_prints_an_error_if_a_process_for_its_matrix_is_killed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tour, "matrix", lambda update, map: list(map(kill_this_process, range(2))))
    assert cli.main(["museum", "--matrix", "--out", str(tmp_path), "-q"]) == 2
    assert capsys.readouterr().err == "minivae: a process of this command was killed, perhaps for lack of memory\n"


def test_daemonic_process_uses_a_thread_instead_of_another_process():
    with multiprocessing.Pool(1) as pool:                   # daemonic processes, as in a Pool, must not start others
        assert pool.apply(kind_of_executor) == "ThreadPoolExecutor"


def kind_of_executor():
    with process.executor() as other:
        return type(other).__name__


@pytest.mark.parametrize("error", [ImportError, NotImplementedError, OSError])
def test_calls_run_in_a_thread_if_no_process_can_be_started(error, monkeypatch):
    def impossible(*_, **settings):
        raise error

    assert isinstance(process.executor(), ProcessPoolExecutor)
    monkeypatch.setattr(process, "ProcessPoolExecutor", impossible)
    assert isinstance(process.executor(), ThreadPoolExecutor)


WAIT = """
import os, time
from minivae.app.process import other_processes
with other_processes(1) as other:
    print(other.submit(os.getpid).result(), flush=True)
    other.submit(time.sleep, SECONDS)
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="the test looks for the process in /proc")
@pytest.mark.parametrize("seconds", [0, 60], ids=["idle", "busy"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_second_process_ends_when_the_first_is_killed(number, seconds):
    code = WAIT.replace("SECONDS", str(seconds))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as first:
        second = int(first.stdout.readline())
        assert is_running(second)
        first.send_signal(number)
        first.wait()
        end = time.monotonic() + 10
        while is_running(second) and time.monotonic() < end:
            time.sleep(0.02)
    assert not is_running(second)


TRAIN = """
train.draw_model = time.sleep                               # refuses its arguments, so the second process is idle at Ctrl-C
train.measure = lambda vae, data, bounds: (bounds.result(), print("measuring", flush=True), time.sleep(60))
"""
MATRIX = """
def matrix(_, run):
    results = run(time.sleep, [0.5] + 9 * [60])
    next(results)                                           # wait for the first call: then the processes have started
    print("measuring", flush=True)
    list(results)
tour.matrix = matrix
"""


@pytest.mark.parametrize(
    "changes, arguments", [(TRAIN, [*QUICK, "--out"]), (MATRIX, ["museum", "--matrix", "-q", "--out"])],
    ids=["train", "museum"],
)  # fmt: skip
def test_ctrl_c_ends_all_processes_and_prints_one_line(changes, arguments, tmp_path, sigint_enabled):
    code = f"""
import sys, time
from minivae.app import cli, train
from minivae.museum import tour
{changes}
sys.exit(cli.main({[*arguments, str(tmp_path / "out")]}))
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, start_new_session=True) as first:
        assert first.stdout.readline() == "measuring\n"
        time.sleep(0.5)                                     # time for the other processes to start
        os.killpg(first.pid, signal.SIGINT)                 # a terminal also sends Ctrl-C to all processes of the group
        out, err = first.communicate(timeout=20)
    assert (first.returncode, out, err) == (130, "", "minivae: interrupted\n")


def is_running(number):
    """Return True if the process with this number exists and is not a zombie.

    A zombie is a process that has ended, but its parent has not collected its exit code.
    """
    stat = Path(f"/proc/{number}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
