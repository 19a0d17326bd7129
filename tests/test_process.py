"""How commands end, whatever happens in them."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from lightning.pytorch import Callback

from conftest import SMALL, UNDRAWN, compose_config
from litmlp import machine, process
from litmlp.commands.train import train
from litmlp.errors import InputError, Interrupted, JobsFailed, TrainingDiverged
from litmlp.files import read_json
from litmlp.paths import display

SAYS_NOTHING_OF_ITSELF = type("Wordless", (RuntimeError,), {"__str__": lambda self: 1 / 0})
Panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})  # as Rust's come to Python


@pytest.fixture(autouse=True)
def _own_place_for_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(sys, "argv", ["litmlp-train", "data=penguins"])


def endless() -> None:
    endless()


def raises(error: BaseException) -> Callable[[], None]:
    def raising() -> None:
        raise error

    return raising


def ended(body: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end, process.guarded("litmlp-train"):
        body()
    assert isinstance(end.value.code, int)
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (raises(RuntimeError("it broke\nin two lines")), "RuntimeError: it broke"),
        (raises(Panic("index out of bounds")), "pyo3_runtime.PanicException: index out of bounds"),
        (raises(KeyError("x" * 5000)), "KeyError: 'xxx"),
        (raises(SAYS_NOTHING_OF_ITSELF()), "Wordless: <exception str() failed>"),
        (raises(AssertionError()), "AssertionError"),
        (lambda: json.loads(1), "TypeError: the JSON object must be str, bytes or bytearray, not int"),
        (lambda: np.zeros(2).reshape(3), "ValueError: cannot reshape array of size 2 into shape (3,)"),
        (lambda: pl.DataFrame({"a": [1]})["b"], "ColumnNotFoundError"),
        (endless, "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_a_fault_is_one_sentence_and_a_file(
    body: Callable[[], None], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    code, said = ended(body, capsys)
    assert code == 70
    assert said.startswith("litmlp-train: this is a fault of the code")
    assert kind in said
    assert f", in {display(Path(__file__))} line " in said
    assert said.count("\n") == 1
    assert len(said) < 1000
    (file,) = tmp_path.glob("litmlp-fault-*.txt")
    assert f"'{file}'" in said
    kept = file.read_text()
    assert kept.startswith("litmlp-train data=penguins\nPython 3.")
    assert "Traceback (most recent call last)" in kept
    assert kind.split(":")[0] in kept


def test_a_fault_that_cannot_be_kept_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    code, said = ended(raises(ZeroDivisionError("division by zero")), capsys)
    assert code == 70
    assert "Traceback (most recent call last)" in said
    assert said.splitlines()[-1].startswith("litmlp-train: this is a fault of the code")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("there is no such column"), 2, "there is no such column"),
        (InputError(f"no file '{'x' * 5000}': check the path"), 2, "xxx [...] xxx"),
        (InputError("no 'a\x1b[2J\rb\nc\u202e'"), 2, r"no 'a\x1b[2J\rb\nc\u202e'"),
        (TrainingDiverged("the loss is nan"), 1, "the loss is nan"),
        (JobsFailed("2 of 3 jobs failed"), 1, "2 of 3 jobs failed"),
        (Interrupted(15), 143, "stopped by SIGTERM"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
        (MemoryError(), 2, "the memory is too small for this"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), 2, "the memory is too small"),
        (RuntimeError("can't start new thread"), 2, "no more threads may be started"),
        (OSError(24, "Too many open files", "/x"), 2, "no more files may be open at once"),
        (Panic("Os { code: 24, kind: TooManyOpenFiles }"), 2, "no more files may be open at once"),
        (OSError(28, "No space left on device"), 2, "the disk is full"),
        (FileNotFoundError(2, "No usable temporary directory found"), 2, "No usable temporary directory found"),
        (ImportError("libcuda.so: cannot open", name="torch._C"), 2, "a package that is needed cannot be imported"),
        (DeprecationWarning("old"), 2, "a warning is an error by PYTHONWARNINGS or -W (DeprecationWarning: old)"),
    ],
)
def test_what_is_no_fault_of_ours_is_not_called_so(
    error: BaseException, code: int, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert ended(raises(error), capsys)[0] == code
    with pytest.raises(SystemExit), process.guarded("litmlp-train"):
        raise RuntimeError from Interrupted(2)
    assert capsys.readouterr().err == "litmlp-train: stopped by SIGINT\n"
    _, said = ended(raises(error), capsys)
    assert said.startswith("litmlp-train: ")
    assert sentence in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_hydras_variable_shows_the_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ZeroDivisionError), process.guarded("litmlp-train"):
        raise ZeroDivisionError


def test_without_an_error_it_goes_on_and_a_library_may_end_it(capsys: pytest.CaptureFixture[str]):
    with process.guarded("litmlp-train"):
        pass
    with pytest.raises(SystemExit) as end, process.guarded("litmlp-train"):
        sys.exit(5)
    assert end.value.code == 5
    assert capsys.readouterr().err == ""


def test_an_error_that_ends_a_thread_is_a_sentence(capsys: pytest.CaptureFixture[str]):
    with process.guarded("litmlp-train"):
        thread = threading.Thread(target=raises(OSError(5, "Input/output error")))
        thread.start()
        thread.join()
    assert capsys.readouterr().err == "litmlp-train: the system refused a step: Input/output error\n"


def test_the_first_signal_counts_and_is_handled_in_peace():
    before = signal.getsignal(signal.SIGTERM)
    done = []

    def stopped() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Interrupted:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGHUP)
            done.append("tidied up")
            raise

    with pytest.raises(Interrupted, match="SIGTERM"), process.raising_on_signals("x"):
        stopped()
    assert done == ["tidied up"]
    assert signal.getsignal(signal.SIGTERM) is before


class SignalsWhenItGoes:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)


def test_a_signal_in_a_destructor_is_not_lost():
    def stopped() -> None:
        SignalsWhenItGoes()
        threading.Event().wait(10)

    with pytest.raises(Interrupted, match="SIGINT"), process.raising_on_signals("x"):
        stopped()


def test_a_signal_that_a_library_swallows_is_raised_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "SECONDS_BETWEEN_CHECKS", 0.01)
    done = []

    def stopped() -> None:
        for _ in range(3):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                threading.Event().wait(10)
            except BaseException:
                done.append("swallowed")
        try:
            threading.Event().wait(10)
        finally:
            threading.Event().wait(0.1)  # several looks
            done.append("tidied up")

    with pytest.raises(Interrupted, match="SIGTERM"), process.raising_on_signals("x"):
        stopped()
    assert done == ["swallowed"] * 3 + ["tidied up"]


def test_a_signal_that_is_swallowed_until_the_end_is_raised_there():
    def stopped() -> None:
        with suppress(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(10)

    with pytest.raises(Interrupted, match="SIGTERM"), process.raising_on_signals("x"):
        stopped()


@pytest.fixture
def signalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that sends its process a signal while it is imported."""
    name = f"signalled_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "import os, signal, threading\nos.kill(os.getpid(), signal.SIGTERM)\nthreading.Event().wait(0.1)\nend = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_signal_while_a_module_is_imported_waits_for_its_end(signalled: str, monkeypatch: pytest.MonkeyPatch):
    """Where C++ code imports a module, as torch does, an exception would end the process with its memory dumped."""
    monkeypatch.setattr(process, "SECONDS_BETWEEN_CHECKS", 0.01)
    imported = []

    def stopped() -> None:
        imported.append(importlib.import_module(signalled).end)
        threading.Event().wait(10)

    with pytest.raises(Interrupted, match="SIGTERM"), process.raising_on_signals("x"):
        stopped()
    assert imported == [True]


def test_a_signal_that_waits_is_not_taken_for_an_end_of_the_program(
    signalled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Lightning may see SIGTERM first: it ends training with a SystemExit, and a sweep's other jobs were not run."""
    monkeypatch.setattr(process, "SECONDS_BETWEEN_CHECKS", 3600.0)

    class Importing(Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            importlib.import_module(signalled)

    with pytest.raises(Interrupted, match="SIGTERM"), process.raising_on_signals("x"):
        train(compose_config("data=penguins", *SMALL, *UNDRAWN), tmp_path / "run", callbacks=[Importing()])
    assert read_json(tmp_path / "run/status.json")["status"] == "interrupted"


def test_too_little_address_space_is_said_before_libraries_are_loaded():
    """They would end the process with its memory dumped, or wait for ever."""
    needed = process.MIN_BYTES + process.BYTES_PER_CORE * machine.cores()
    done = within(needed // 1024 - 1, "data=penguins")
    assert (done.returncode, done.stderr) == (
        2,
        f"litmlp-train: the process may use {needed / 1e9:.2f} GB of address space, but PyTorch and Polars need "
        f"{needed / 1e9:.2f} GB: allow more with ulimit -v\n",
    )


@pytest.mark.slow
def test_what_is_said_to_be_enough_address_space_is_enough(tmp_path: Path):
    needed = process.MIN_BYTES + process.BYTES_PER_CORE * machine.cores()
    for number in range(3):
        done = within(
            needed // 1024 + 1, "data=penguins", "trainer.max_epochs=1", f"hydra.run.dir={tmp_path / str(number)}"
        )
        assert done.returncode == 0, done.stderr


def within(kilobytes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "litmlp.commands.train", *arguments]
    limited = ["bash", "-c", f'ulimit -v {kilobytes}; "$@"', "bash", *command]
    return subprocess.run(limited, capture_output=True, text=True, timeout=200)


def test_a_later_signal_ends_what_hangs():
    code = (
        "import os, signal, time\nfrom litmlp import process\nprocess.SECONDS_TO_TIDY_UP = 0.0\n"
        "with process.guarded('x'):\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n        time.sleep(0.001)\n        os.kill(os.getpid(), signal.SIGINT)\n        time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (130, "x: stopped by SIGINT at once\n")


PRINTS = """
from litmlp import process
with process.guarded('x'):
    print('±' * 100000)
    print('end', flush=True)
"""


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        ("{} | head -c 4; exit ${{PIPESTATUS[0]}}", 0, ""),
        ("{} >&-", 0, ""),
        ("{} >&- <&- 2>&-", 0, ""),
        ("{} >/dev/full", 2, "x: standard output cannot be written (No space left on device): all else is done\n"),
        ("PYTHONIOENCODING=ascii {} | tail -c 15; exit ${{PIPESTATUS[0]}}", 0, ""),
    ],
)
def test_streams_that_cannot_take_what_is_printed(shell: str, code: int, said: str):
    command = shell.format(f'"{sys.executable}" -c "{PRINTS}"')
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (code, said)
    if "ascii" in shell:
        assert done.stdout == "\\xb1\\xb1\\xb1\nend\n"[-15:]


def test_a_closed_stream_leaves_its_number_to_no_file():
    code = "from litmlp import process\nprocess.use_own_streams()\n"
    code += "print(open('/dev/zero').fileno(), file=sys.stderr)"
    command = f'"{sys.executable}" -c "import sys\n{code}" >&- <&-'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=50)
    assert done.stderr == "3\n"


def test_a_folder_that_is_gone_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, said = ended(lambda: None, capsys)
    assert code == 2
    assert "the current folder cannot be used (No such file or directory): change to another one" in said


@pytest.mark.parametrize(
    ("name", "text", "is_good"),
    [
        *(("POLARS_MAX_THREADS", text, False) for text in ("0", "-1", "x", "1.5")),
        *(("LITMLP_CACHE_GB", text, False) for text in ("abc", "-1", "nan", "inf")),
        *(("POLARS_MAX_THREADS", text, True) for text in ("1", "")),
        *(("LITMLP_CACHE_GB", text, True) for text in ("0", "1e-3", "20", "")),
    ],
)
def test_variables_that_cannot_be_used_are_said(
    name: str, text: str, is_good: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(name, text)
    if is_good:
        with process.guarded("litmlp-train"):
            return
    code, said = ended(lambda: None, capsys)
    assert code == 2
    assert said.startswith(f"litmlp-train: the environment variable {name} is '{text}': give a ")


def test_a_reader_that_lets_a_pipe_not_block_gets_all_of_it():
    read, write = os.pipe()
    os.set_blocking(write, False)
    with subprocess.Popen([sys.executable, "-c", PRINTS], stdout=write, stderr=subprocess.PIPE, text=True) as printing:
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as pipe:
            assert pipe.read() == f"{'±' * 100000}\nend\n"
        assert printing.stderr is not None
        assert printing.stderr.read() == ""
    assert printing.returncode == 0
