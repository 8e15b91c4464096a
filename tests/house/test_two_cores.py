"""pytest in two processes reports failures like pytest in one process; if one process ends, the other process ends too."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers import two_cores

ROOT = Path(__file__).parents[2]
HOOK = """\
import os, time
from pathlib import Path
import pytest
from tests.helpers import two_cores
two_cores.MANY = 2
FIRST, HERE = os.getpid(), Path(__file__).parent

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    return two_cores.run_on_two_cores(session, frozenset({"slow"}))

@pytest.fixture(scope="session")
def slow():
    pass

@pytest.fixture(scope="session", autouse=True)
def ends():
    yield
    (HERE / f"ended-{os.getpid()}").touch()

@pytest.fixture
def meet(request, tmp_path):
    "Wait until a test of the other file runs too, in the other process. Return True in the second process."
    (HERE / f"met-{request.path.stem}").write_text(f"{os.getpid()} {tmp_path}")
    until = time.monotonic() + 20
    while len(list(HERE.glob("met-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid() != FIRST

@pytest.fixture
def here():
    return HERE
"""
FAILS = """\
def test_first(meet):
    print("said by", __name__)
    one, other = [1, 2, __name__], [1, 3, __name__]
    assert one == other
def test_second():
    assert True
"""
needs_two_cores = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs two cores and a safe fork"
)


def start(room, files, *options):
    """Write files {name: content} into the directory `room`; start pytest there (two processes for two files or more)."""
    for name, content in {"conftest": HOOK, **files}.items():
        (room / f"{name}.py").write_text(content)
    (room / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", room / "temp", *options, room]
    settings = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    return subprocess.Popen(command, cwd=room, env=os.environ | settings, **pipes)


def run(room, files, *options):
    """Return exit code and output of pytest on these files."""
    process = start(room, files, *options)
    printed, _ = process.communicate(timeout=60)
    return process.returncode, printed


def met(room):
    """Return the process number and the temporary directory that the fixture `meet` has written for each file."""
    return [path.read_text().split() for path in sorted(room.glob("met-*"))]


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@needs_two_cores
def test_two_processes_report_failures_like_one_process(tmp_path):
    code, printed = run(tmp_path, {"test_a": FAILS, "test_b": FAILS}, "--durations=2", f"--junitxml={tmp_path}/report.xml")
    assert code == 1 and "2 failed, 2 passed" in printed
    for name in ("test_a", "test_b"):
        assert f"FAILED {name}.py::test_first - " in printed and f"said by {name}\n" in printed
        assert f"assert [1, 2, '{name}'] == [1, 3, '{name}']" in printed and "At index 1 diff: 2 != 3" in printed
    assert "[100%]" in printed and "slowest 2 durations" in printed
    assert (tmp_path / "report.xml").read_text().count("<testcase") == 4
    (one, room), (other, elsewhere) = met(tmp_path)
    assert one != other and room != elsewhere
    assert {path.name for path in tmp_path.glob("ended-*")} == {f"ended-{one}", f"ended-{other}"}


@needs_two_cores
def test_two_processes_pass_with_exit_code_0(tmp_path):
    code, printed = run(tmp_path, {name: FAILS.replace("3,", "2,") for name in ("test_a", "test_b")})
    assert code == 0 and "4 passed" in printed and len({number for number, _ in met(tmp_path)}) == 2


@pytest.mark.slow
@needs_two_cores
def test_option_x_stops_both_processes_at_the_first_failure(tmp_path):
    later = "".join(f"def test_{n}(): __import__('time').sleep(0.1)\n" for n in range(300))
    code, printed = run(tmp_path, {"test_a": FAILS + later, "test_b": FAILS.replace("3,", "2,") + later}, "-x")
    assert code == 1 and "1 failed" in printed and "stopping after 1 failures" in printed
    assert int(re.search(r"(\d+) passed", printed)[1]) < 300
    assert not any(is_alive(int(number)) for number, _ in met(tmp_path))


@pytest.mark.slow
@needs_two_cores
@pytest.mark.parametrize("end, status", [("os._exit(3)", "3"), ("os.kill(os.getpid(), 9)", "-9")])
def test_error_for_a_dead_second_process_mentions_its_last_test(end, status, tmp_path):
    dies = f"import os\ndef test_first(meet):\n    if meet: {end}\ndef test_second(): pass\n"
    code, printed = run(tmp_path, {"test_a": dies, "test_b": dies})
    assert code == 1 and re.search(rf"the second process ended with {status} in test_[ab]\.py::test_first", printed)


@pytest.mark.slow
@needs_two_cores
def test_interrupt_ends_both_processes_and_their_fixtures(tmp_path, sigint_enabled):
    waits = "import time\ndef test_first(meet, here):\n    (here / f'waits-{__name__}').touch()\n    time.sleep(60)\n"
    process = start(tmp_path, {"test_a": waits, "test_b": waits})
    until = time.monotonic() + 30
    while len(list(tmp_path.glob("waits-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    # The signal goes only to the first process. This process must end the second process.
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 2 and "KeyboardInterrupt" in printed, printed
    assert len(list(tmp_path.glob("ended-*"))) == 2 and not any(is_alive(int(number)) for number, _ in met(tmp_path))


WATCHED = {"collectonly": True, "usepdb": True, "trace": True, "capture": "no"}


@needs_two_cores
def test_no_second_process_starts_for_few_tests_a_failure_or_a_debugger():
    def session(tests=two_cores.MANY, failed=0, marker=None, **settings):
        option = SimpleNamespace(**{"collectonly": False, "usepdb": False, "trace": False, "capture": "fd"} | settings)
        item = SimpleNamespace(get_closest_marker={"slow": marker}.get)
        return SimpleNamespace(items=[item] * tests, testsfailed=failed, config=SimpleNamespace(option=option))

    assert two_cores.can_use_two_processes(session(), [[], []])
    assert not two_cores.can_use_two_processes(session(), [[]])        # all tests are in one file
    assert not two_cores.can_use_two_processes(session(tests=two_cores.MANY - 1), [[], []])
    assert two_cores.can_use_two_processes(session(tests=100, marker="slow"), [[], []])
    assert not two_cores.can_use_two_processes(session(tests=10, marker="slow"), [[], []])
    assert not two_cores.can_use_two_processes(session(failed=1), [[], []])        # a failure during collection
    for name, value in WATCHED.items():
        assert not two_cores.can_use_two_processes(session(**{name: value}), [[], []]), name


def test_tests_are_grouped_by_file_and_files_with_slow_fixtures_come_first():
    a, b, c, d = (SimpleNamespace(path=path, fixturenames=names) for path, *names in ("x", "y", ["y", "slow"], "x"))
    assert two_cores.grouped_by_file([a, b, c, d], frozenset({"slow"})) == [[b, c], [a, d]]


def test_every_test_is_yielded_once_in_a_pair_with_the_next_test():
    queue = two_cores.queue_of(3)
    files = [["a", "b"], ["c"], ["d"]]
    assert list(two_cores.tests_to_run(files, queue)) == [("a", "b"), ("b", None), ("c", None), ("d", None)]
    assert list(two_cores.tests_to_run(files, queue)) == []
    os.close(queue)
