"""As `test_advice.py`, for messages about folders, files, checkpoints and sweeps: what is advised is typed in a shell.

There, `run` is a finished run, `grid` and `search` are finished sweeps, and `$WHOLE` holds a copy of them.
"""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from litmlp import paths
from sweeping import TINY, Finished, command
from test_advice import APART, ELSEWHERE, ERRORS, PYTHON, assert_said, messages

TOLD = ("info", "print")  # with these, a command goes on
SAYING = ("refusal_of_system", "no_room", "_fault")
SMALL = [*TINY, "callbacks=checkpoint", "logger=none"]
GRID = "small -m seed=range(0,1) hydra.sweep.dir"
SEARCH = "small -m hydra/sweeper=optuna hydra.sweeper.n_trials=1 optimizer.lr"
KEEP = "predict checkpoint=run data.path=p.csv output=o.csv keep"
PREDICT = "predict checkpoint=run data.path=rows.csv output"
AGAIN = "hydra.sweep.dir=again"
LONG = "x" * 250
FURTHER = "train resume=run trainer.max_epochs=3"
CUT = f"truncate -s 3000 run/checkpoints/last.ckpt; {FURTHER}"
CHANGED = "change run/checkpoints/best.ckpt"
NO_BEST = "'{}' holds no checkpoints/best.ckpt: give a run's folder or a .ckpt file"
EXISTS = "'{}' exists already: remove it, or give another folder as output="
SLOPES = paths.ROOT / "tests/slope.csv"
LOST = "'{}' is {}, for {}: {}"
TAKEN = "'{}' already holds a run: continue it with resume={}, or choose another hydra.run.dir"
NO_CONFIG = "'{}' has lost its {}, so it cannot go on: start a new run, with {}"
NO_FILE = "'{}' is not a file, as it is in a run's folder: remove it"
NO_FOLDER = "'{}' is not a folder, as it is in a run's: remove it"
OTHER_SWEEP = (
    "'{}' holds a sweep made by another command ({} differs): choose another hydra.sweep.dir, or type the command that "
    "made it"
)
NO_NUMBER = "{}.{} is {}: use a whole number from 1 up"
LOST_TRIAL = "'{}' has lost trial {}, so the search cannot go on: choose another hydra.sweep.dir"
LOG_INTERVAL = "{} is a logarithmic interval from {}: start above 0, or leave tag(log, ...) out"

BEST = (
    "best data=penguins trainer.max_epochs=1 network.hidden_sizes=[4] network.members=4 network.member_layers=first "
    "threads=1 hydra.sweeper.n_trials=1 jobs=1"
)
BEGUN = f"{BEST} minutes=2 output=mine seed=1"
PLAIN_SEARCH = f"{SEARCH}=choice(0.1,0.2)"

CASES = [  # the message, the mistake, and what its advice says to type; `small` is `train` of something small
    # checkpoint_reader.py, checkpoint.py
    (
        "'{}' is not a checkpoint, or a damaged one: give another run's folder or .ckpt file",
        *("truncate -s 3000 run/checkpoints/best.ckpt; evaluate checkpoint=run", "evaluate checkpoint=grid/0"),
    ),
    (
        "'{}' is not a checkpoint, or a damaged one ({}): give another",
        *("zipped other.ckpt; evaluate checkpoint=other.ckpt", "evaluate checkpoint=run/checkpoints/last.ckpt"),
    ),
    (NO_BEST, "mkdir empty; evaluate checkpoint=empty", "evaluate checkpoint=run"),
    (
        "the run in '{}' has no checkpoints/best.ckpt yet: resume it, or choose another run",
        *("rm run/checkpoints/best.ckpt; evaluate checkpoint=run", "evaluate checkpoint=grid/0"),
    ),
    (
        "'{}' is not a checkpoint of this project: train one with litmlp-train",
        f"{CHANGED} content.clear(); evaluate checkpoint=run",
        "small hydra.run.dir=mine; evaluate checkpoint=mine",
    ),
    (
        "'{}' does not say what to build as {}: train one with litmlp-train",
        f"{CHANGED} content['hyper_parameters'].pop('network'); evaluate checkpoint=run",
        "small hydra.run.dir=mine; evaluate checkpoint=mine",
    ),
    (
        "'{}' holds weights that are not finite numbers: give another checkpoint",
        f"{CHANGED} next(iter(content['state_dict'].values())).fill_(float('nan')); evaluate checkpoint=run",
        "evaluate checkpoint=run/checkpoints/last.ckpt",
    ),
    # evaluate.py, predict.py, output.py
    (
        "no checkpoint is given: add checkpoint=<run folder or .ckpt file>",
        *("evaluate", "evaluate checkpoint=run/checkpoints/best.ckpt"),
    ),
    (
        "data.{} describes the format of another file: give that file too, as data.path=...",
        "printf 'x1,x2,value\\n1,2,3\\n' > measured.csv; evaluate checkpoint=run data.decimal=.",
        "evaluate checkpoint=run data.decimal=. data.path=measured.csv",
    ),
    ("split is '{}': use {}", "evaluate checkpoint=run split=tset", "evaluate checkpoint=run split=train"),
    ("no {} is given: add {}=...", "predict checkpoint=run output=out.csv", f"{PREDICT}=out.csv"),
    (
        "{} is {}, where a path is expected: if it is one, write {}=\"'...'\"",
        *("mv run true; evaluate checkpoint=true", "evaluate checkpoint=\"'true'\""),
    ),
    (
        "keep names '{}', but there is no such column: {}",
        *(f"{PREDICT}=out.csv keep=[x3]", f"{PREDICT}=out.csv keep=[x1]"),
    ),
    (
        "keep names '{}', which is also the name of a column of predictions: rename it in the file",
        *(f"printf 'x1,x2,{name}\\n1,2,3\\n' > p.csv; {KEEP}=[{name}]" for name in ("prediction", "predicted")),
    ),
    ("cannot tell how to write '{}': name it {}", f"{PREDICT}=out.txt", f"{PREDICT}=out.parquet"),
    ("output '{}' is no ordinary file: give another name", f"mkfifo a.csv; {PREDICT}=a.csv", f"{PREDICT}=b.csv"),
    (
        "output '{}' is the same file as '{}', which is needed: give another name",
        *(f"{PREDICT}=rows.csv", f"{PREDICT}=out.csv"),
    ),
    ("there is no folder '{}' to write {} to: make it first", f"{PREDICT}=a/b.csv", f"mkdir a; {PREDICT}=a/b.csv"),
    ("{} is a folder: name a file in it", f"mkdir a.csv; {PREDICT}=a.csv", f"{PREDICT}=a.csv/b.csv"),
    (
        "{} is a file that a run or a sweep writes: give another name",
        *("evaluate checkpoint=run output=run/metrics.json", "evaluate checkpoint=run output=run/mine.json"),
    ),
    (
        "{} cannot be written ({}): add output=<a file that can>",
        f"mkdir {LONG}; cp run/checkpoints/best.ckpt {LONG}; evaluate checkpoint=run output={LONG}.json",
        "evaluate checkpoint=run output=short.json",
    ),
    # ensemble.py, sweeps/candidates.py
    (EXISTS, "mkdir run/ensemble; ensemble run", "rmdir run/ensemble; ensemble run"),
    (EXISTS, "mkdir run/ensemble; ensemble run", "ensemble run output=mine"),
    ("no folder is given: add that of a sweep, such as runs/sweeps/penguins", "ensemble size=3", "ensemble grid"),
    ("there is no key '{}': {}", "ensemble run siez=3", "ensemble run size=3"),
    ("size is {}: give a whole number from 1 to {}", "ensemble run size=0", "ensemble run size=1"),
    (
        "there is no finished run with checkpoints in {}: give the folder of a sweep",
        *("mkdir a; ensemble a", "ensemble grid"),
    ),
    (
        "these runs were scored by different metrics ({}): give those of one",
        *("small monitor=val/r2 mode=max hydra.run.dir=r2; ensemble run r2", "ensemble r2"),
    ),
    (
        "the runs have {} different splits of the rows, and no settings were trained on all of them: give a sweep "
        "whose runs have the same split (data.seed=0), or all folds of the same settings",
        *("ensemble run grid", "small -m seed=range(0,2) data.seed=0 hydra.sweep.dir=same; ensemble same"),
    ),
    (
        "'{}' predicts other targets or classes than the runs before it: give runs that predict the same",
        *("small data.target=x1 hydra.run.dir=x1; ensemble run x1", "ensemble run"),
    ),
    (
        "'{}' has another table than the runs before it, or reads it in another way: give runs that learned from the "
        "same columns of the same table",
        *(f"cp {SLOPES} a.csv; small data.path=a.csv hydra.run.dir=other; ensemble run other", "ensemble other"),
    ),
    (
        "'{}' has other validation rows than the runs before it: give runs whose table is split in the same way",
        *("small data.time_column=x1 hydra.run.dir=other; ensemble run other", "ensemble run"),
    ),
    (
        "'{}' has the {}/loss {}, but had {} when it was trained, so its table has changed since: train it again",
        f"cp {SLOPES} a.csv; small data.path=a.csv hydra.run.dir=old; sed -i 2,90d a.csv; ensemble old",
        "small data.path=a.csv hydra.run.dir=new; ensemble new",
    ),
    (
        "some networks of this ensemble were trained on rows of its {} split: give other rows as data.path=..., or "
        "read metrics.json, where each row is predicted by networks that did not learn it",
        "small seed=1 trainer.max_epochs=2 hydra.run.dir=a; ensemble run a output=e; evaluate checkpoint=e",
        f"evaluate checkpoint=e data.path={SLOPES}",
    ),
    # best.py, sweeps/budget.py
    ("there is no key '{}': {}", "best data=penguins minuts=1", f"{BEST} minutes=1 output=mine"),
    ("minutes is {}: give a number from {} up, for starting takes seconds", "best minutes=0", f"{BEST} minutes=0.5"),
    ("jobs is {}: give a whole number from 1 up", "best jobs=0", f"{BEST} output=mine"),
    ("{} is chosen by this command: leave it out", "best data.val_fold=1", f"{BEST} output=mine"),
    ("'{}' holds {}, but no {}: give another output=", "best output=run", f"{BEST} output=mine"),
    (
        "'{}' holds the work of another command, with other {}: type that one, or give another output=",
        *(f"{BEGUN}; {BEST} minutes=3 output=mine seed=1", f"{BEST} minutes=2 output=other"),
    ),
    (
        "'{}' holds the work of another command, with other {}: type that one, or give another output=",
        *(f"{BEGUN}; {BEST} minutes=2 output=mine seed=2", BEGUN),
    ),
    (
        "this is finished: give more minutes=, or another output=, to begin anew",
        *(f"{BEGUN}; {BEGUN}", f"{BEST} minutes=2 seed=1 output=other"),
    ),
    # files.py
    (
        "'{}' has more than {} MB, and was not read: start a new run",
        *("truncate -s 70M grid/sweep.yaml; train resume=grid", f"{GRID}=again"),
    ),
    (
        "'{}' is damaged ({}): put back a copy of it, or start a new run",
        *("echo { > grid/sweep.yaml; train resume=grid", "cp $WHOLE/grid/sweep.yaml grid; train resume=grid"),
    ),
    # process.py
    (
        "the environment variable {} is '{}': give {}, or unset it",
        *("LITMLP_CACHE_GB=much report run", "LITMLP_CACHE_GB=0.5 report run; report run"),
    ),
    (
        "the current folder cannot be used ({}): change to another one",
        *("mkdir gone; cd gone; rmdir $BASE/gone; report .", "cd $BASE; report run"),
    ),
    (
        "{} is no text in UTF-8: give another name, or set LC_ALL=C.UTF-8 and no PYTHONUTF8",
        *("evaluate checkpoint=\udcff", "evaluate checkpoint=run"),
    ),
    # report.py
    ("there is no run in {}: give the folder of a run or a sweep", "mkdir a; report a", "report run; report grid"),
    ("there is no folder '{}': give that of a run or a sweep", "report rows.csv", "report run; report search"),
    (
        "these runs were scored by different metrics ({}): add --metric and --mode",
        "small monitor=val/r2 mode=max hydra.run.dir=r2; report run r2",
        "report run r2 --metric val/r2 --mode max",
    ),
    ("no run has the metric '{}': {}", "report run --metric val/rmsee", "report run --metric val/rmse"),
    ("there is no undamaged run in {}: {}", "rm run/metrics.json; report run", "train resume=run; report run"),
    (LOST, "echo > run/metrics.json; report run", "train resume=run; report run"),
    (LOST, "rm run/status.json; report run", "train resume=run; report run"),
    (LOST, "echo [] > run/status.json; report run", "train resume=run; report run"),
    (LOST, "rm grid/0/metrics.json; report grid/0", "train resume=grid/0; report grid"),
    (LOST, "rm run/config.yaml; report run", "cp $WHOLE/run/config.yaml run; report run"),
    (LOST, "echo > grid/0/job.json; report grid/0", "cp $WHOLE/grid/0/job.json grid/0; report grid/0"),
    # resuming.py, run_folder.py, train.py
    (
        "{}, so the run cannot go on from there: remove '{}', and it starts again",
        CUT,
        f"rm -r run/checkpoints; {FURTHER}",
    ),
    (TAKEN, "small hydra.run.dir=run", "train resume=run"),
    (TAKEN, "small hydra.run.dir=run", "small hydra.run.dir=other"),
    (
        "'{}' is still running{}: stop that one first",
        f"held run; {FURTHER}",
        f"released; {FURTHER}",
    ),
    (
        "'{}' holds {}, which this run would overwrite: choose another hydra.run.dir",
        *("mkdir a; touch a/results.csv; small hydra.run.dir=a", "small hydra.run.dir=b"),
    ),
    (
        "'{}' holds no run yet: if its command was stopped, type the same command again",
        *("mkdir a; touch a/.lock; train resume=a", "small hydra.run.dir=a"),
    ),
    (
        "'{}' is no run's folder, for it holds no {} of one: give one that does",
        *("mkdir a; cp run/config.yaml a; train resume=a", "train resume=run"),
    ),
    (NO_CONFIG, "rm run/config.yaml; train resume=run", "small init_from=run hydra.run.dir=again"),
    (
        NO_CONFIG,
        *("rm -r run/config.yaml run/checkpoints; train resume=run", "small hydra.run.dir=again"),
    ),
    *(
        (NO_FILE, f"rm -f run/{name}; mkdir run/{name}; {FURTHER}", f"rmdir run/{name}; {FURTHER}")
        for name in ("train.log", "metrics.json", "checkpoints/last.ckpt", "status.json", ".lock")
    ),
    (
        NO_FOLDER,
        *(f"rm -r run/checkpoints; touch run/checkpoints; {FURTHER}", f"rm run/checkpoints; {FURTHER}"),
    ),
    (
        "trainer.max_epochs is {}, but the run has done {} epochs: give {} or more",
        *("train resume=run trainer.max_epochs=1", "train resume=run trainer.max_epochs=2"),
    ),
    (
        "this run is complete: raise trainer.max_epochs to train further",
        *("train resume=run", FURTHER),
    ),
    (
        "resume continues one run: give one folder, without -m",
        "train -m hydra/sweeper=basic resume=run",
        "train resume=run",
    ),
    (
        "resume continues one run, or a sweep: give its folder, and no -m",
        "train -m resume=run",
        "train resume=run",
    ),
    # sweeps/folder.py
    (
        "'{}' is damaged or does not describe a sweep: choose another hydra.sweep.dir",
        *(f"echo 'a: 1' > grid/sweep.yaml; {GRID}=grid", f"{GRID}=again"),
    ),
    (OTHER_SWEEP, "small -m seed=0,2 hydra.sweep.dir=grid", "small -m seed=0,2 hydra.sweep.dir=again"),
    (OTHER_SWEEP, "small -m seed=0,2 hydra.sweep.dir=grid", f"{GRID}=grid"),
    ("'{}' cannot be made ({}): choose another hydra.sweep.dir", f"{GRID}=rows.csv/a", f"{GRID}=a"),
    (
        "'{}' holds {} but no {}, so a sweep could overwrite other files: choose another hydra.sweep.dir",
        *(f"rm grid/sweep.yaml; {GRID}=grid", f"{GRID}=again"),
    ),
    # sweeps/space.py, sweeps/study.py
    (
        "{} is an interval, which a grid cannot enumerate: list values, or search with sweep=mlp",
        *(f"small -m optimizer.lr=interval(0.1,0.2) {AGAIN}", f"small -m optimizer.lr=0.1,0.2 {AGAIN}"),
    ),
    (
        "{} is an interval, which a grid cannot enumerate: list values, or search with sweep=mlp",
        f"small -m optimizer.lr=interval(0.1,0.2) {AGAIN}",
        f"small -m sweep=mlp optimizer.lr=interval(0.1,0.2) hydra.sweeper.n_trials=1 {AGAIN}",
    ),
    (
        "{} is an empty range: give one that holds a value",
        *(f"small -m seed=range(3,3) {AGAIN}", f"small -m seed=range(3,4) {AGAIN}"),
    ),
    (
        "{} is an empty interval from {} to {}: give a lower and a higher end",
        *(f"{SEARCH}=interval(0.2,0.1) {AGAIN}", f"{SEARCH}=interval(0.1,0.2) {AGAIN}"),
    ),
    (
        LOG_INTERVAL,
        *(f"{SEARCH}=tag(log,interval(0,0.1)) {AGAIN}", f"{SEARCH}=tag(log,interval(0.01,0.1)) {AGAIN}"),
    ),
    (
        "{} is a logarithmic range: start at 1 or more, with a step of 1",
        *(f"{SEARCH}=tag(log,range(0,4)) {AGAIN}", f"{SEARCH}=tag(log,range(1,4)) {AGAIN}"),
    ),
    (
        "{} is an interval, which a grid cannot enumerate: list values or a range",
        f"{SEARCH}=interval(0.1,0.2) hydra/sweeper/sampler=grid {AGAIN}",
        f"{PLAIN_SEARCH} hydra/sweeper/sampler=grid {AGAIN}",
    ),
    (
        "'{}' is damaged, so the search cannot go on: choose another hydra.sweep.dir",
        f"echo {{}} > search/study.log; rm -r search/0; {PLAIN_SEARCH} hydra.sweep.dir=search",
        f"{PLAIN_SEARCH} {AGAIN}",
    ),
    (
        LOST_TRIAL,
        f"rm search/study.log; sed -i s/completed/running/ search/0/job.json; {PLAIN_SEARCH} hydra.sweep.dir=search",
        f"{PLAIN_SEARCH} {AGAIN}",
    ),
    (
        "hydra.sweeper.storage={} cannot be opened ({}): check it",
        f"{PLAIN_SEARCH} hydra.sweeper.storage=sqlite:///nowhere/a.db {AGAIN}",
        f"{PLAIN_SEARCH} hydra.sweeper.storage=sqlite:///a.db {AGAIN}",
    ),
    # sweeps/sweeper.py
    (NO_NUMBER, f"{GRID}=again hydra.sweeper.n_jobs=0", f"{GRID}=again hydra.sweeper.n_jobs=1"),
    (NO_NUMBER, f"{GRID}=again hydra.launcher.processes=0", f"{GRID}=again hydra.launcher.processes=1"),
    (
        NO_NUMBER,
        f"{PLAIN_SEARCH} {AGAIN} hydra.sweeper.n_trials=many",
        f"{PLAIN_SEARCH} {AGAIN} hydra.sweeper.n_trials=1",
    ),
    (
        "hydra.sweeper.params is {}: write key=value,value on the command line instead",
        *(f"{GRID}=again hydra.sweeper.params=3", f"{GRID}=again"),
    ),
    (
        "hydra.sweeper.on_failure is '{}': use continue or stop",
        *(f"{GRID}=again hydra.sweeper.on_failure=go", f"{GRID}=again hydra.sweeper.on_failure=stop"),
    ),
    (
        "hydra.sweeper.timeout is {}: use a number of seconds above 0, or null",
        *(f"{GRID}=again hydra.sweeper.timeout=1h", f"{GRID}=again hydra.sweeper.timeout=3600"),
    ),
    (
        "the config has no {}, but a run needs it: leave ~{} out",
        *(f"{GRID}=again ~monitor", f"{GRID}=again"),
    ),
    (
        "hydra.sweeper.n_jobs is {}, but jobs run one after another: add hydra/launcher=joblib",
        f"{GRID}=again hydra.sweeper.n_jobs=2 hydra/launcher=basic",
        f"{GRID}=again hydra.sweeper.n_jobs=2 hydra/launcher=joblib",
    ),
    (
        "nothing is searched: give a key a choice(...) or an interval(...), or add sweep=mlp",
        *(f"small -m hydra/sweeper=optuna {AGAIN}", f"{PLAIN_SEARCH} {AGAIN}"),
    ),
    (
        "nothing is searched: give a key a choice(...) or an interval(...), or add sweep=mlp",
        f"small -m hydra/sweeper=optuna {AGAIN}",
        f"small -m hydra/sweeper=optuna sweep=mlp hydra.sweeper.n_trials=1 {AGAIN}",
    ),
    (
        "trainer.devices={} would start processes inside those of hydra/launcher={}: give each job one device, or "
        "leave the launcher out",
        f"{GRID}=again trainer=ddp trainer.devices=2 hydra/launcher=joblib",
        f"{GRID}=again trainer.devices=1 hydra/launcher=joblib",
    ),
    (
        "hydra.sweeper.start has {}={}, which is not searched: give one of its values",
        f"{PLAIN_SEARCH} {AGAIN} hydra.sweeper.start=[{{optimizer.lr:0.3}}]",
        f"{PLAIN_SEARCH} {AGAIN} hydra.sweeper.start=[{{optimizer.lr:0.2}}]",
    ),
    # trust.py
    (
        "'{}' holds no command: type the command that made the sweep",
        *("sed -i '/^command/,/^kind/{/^kind/!d}' grid/sweep.yaml; train resume=grid", f"{GRID}=grid"),
    ),
    (
        "the sweep's command holds {}, which could run code: if you trust who made the folder, type the command "
        "yourself: {}",
        *(f"{GRID}=mine hydra.job.chdir=false; train resume=mine", "$TYPED"),
    ),
    (
        "'{}' says {}={}, which leads out of the run's folder: if that is meant, add it to the command",
        "small hydra.run.dir=mine +logger.csv.name=../a logger.csv._target_=lightning.pytorch.loggers.CSVLogger; "
        "train resume=mine trainer.max_epochs=3",
        "train resume=mine trainer.max_epochs=3 logger.csv.name=../a",
    ),
]
ADVICES = {message: " ".join(advice for said, _, advice in CASES if said == message) for message, *_ in CASES}
REASON = "what comes after the colon is the reason"
REFUSED = "a file that could do harm is never loaded: tests/test_checkpoint.py"
SYSTEM = "the system would have to refuse it: tests/test_process.py"
COUNTS = "it advises nothing"
NOT_FOLLOWED = {  # the message: why no advice can be followed here
    "'{}' learned from a frame, but its validation rows are needed: train on a file, with data.path=...": (
        "tests/commands/test_ensemble.py makes that mistake from Python"
    ),
    "there is no key {} in read_options: {}": PYTHON,
    "read_options are {}: give a dict, such as {'delimiter': ';'}": PYTHON,
    "'{}' holds more than tensors and plain values ({}), which could run code: it was not loaded": REFUSED,
    "'{}' describes its run by more than plain values ({}): not loaded": REFUSED,
    "'{}' wants to build {} as {}: not loaded": REFUSED,
    "'{}' holds {}, which no description has: not loaded": REFUSED,
    "'{}' does not fit this version of the project: {}": REASON,
    "the weights in '{}' do not fit this network, so it cannot start from them: {}": REASON,
    "%s was changed since it was written: what it says now is used": "it says what was done: tests/test_files.py",
    "'{}' is no file: put back a copy of it, or start a new run": "each command says more of what is lost",
    "output '{}' is there and may not be written: give another name": "the tests' user may be root, who may write all",
    "'{}' cannot be written to ({}): copy it to where you may write, and give the copy": "as above: tests/test_run.py",
    "standard output cannot be written ({}): all else is done": "it says what was done: tests/test_process.py",
    "the process may use {} GB of address space, but PyTorch and Polars need {} GB: allow more with ulimit -v": (
        "the limit is one of the whole test: tests/test_process.py"
    ),
    "as trained, probabilities are %s than they should be: class scores are divided by the temperature %.2f, which was "
    "fitted to %d validation rows": COUNTS,
    "interrupted: continue with litmlp-train resume=%s": "tests/test_train.py goes on",
    "stopped: type the same command again to go on": "tests/commands/test_best.py goes on",
    "\nsearch: runs begin for {}, {} left for all": COUNTS,
    "best run: {}": COUNTS,
    "stopped: type the same command again, or litmlp-train resume={}": "tests/sweeps/test_job.py goes on",
    "the disk is full: make room, and type the same command again": "tests/soak/test_disks.py makes room",
    "the disk is full: make room": SYSTEM,
    "a search needs Optuna: {}": "a package would have to be missing",
    "a search needs Optuna and joblib: {}": "as above",
    "the launcher failed: {}": REASON,
    "the network cannot be compiled here ({}): leave compile=true out": "tests/test_machine.py has no compiler",
    "'{}' asks for {} as {}, which is no class of this project or of torch: if you trust who made the folder, name the "
    "class in a file of conf/, and type the command again": "tests/test_trust.py names it",
    "no file may grow so large here: raise the limit (ulimit -f)": SYSTEM,
    "the memory is too small for this: free some, raise its limit (ulimit -v), or ask for less of it": SYSTEM,
    "no more files may be open at once: raise their limit (ulimit -n)": SYSTEM,
    "no more threads may be started: end other processes, or raise their limit (ulimit -u)": SYSTEM,
    "a warning is an error by PYTHONWARNINGS or -W ({}: {}): leave that out": SYSTEM,
    "a package that is needed cannot be imported ({}): install this project again": "a package would have to be broken",
    "{}: {}": REASON,
    "this is a fault of the code, not of the input ({}{}): mend it if that code is yours, or report it as "
    "CONTRIBUTING.md says, with {}": "of a fault",
    "runs: {}": COUNTS,
    "  %s: %s": COUNTS,
    "not used: {}": REASON,
}


def found() -> set[str]:
    def is_wanted(file: str) -> bool:
        return file == "errors.py" or (file.startswith(ELSEWHERE) and not file.startswith(APART))

    return set(messages(is_wanted, (*ERRORS, *TOLD, "Damaged"), SAYING))


def test_each_message_in_the_code_has_a_line_here():
    assert found() - {message for message, *_ in CASES} - NOT_FOLLOWED.keys() == set()


def test_each_line_here_is_a_message_in_the_code():
    assert ({message for message, *_ in CASES} | NOT_FOLLOWED.keys()) - found() == set()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("folders")
    (place / "rows.csv").write_text("x1,x2\n1,2\n3,4\n")
    for step in (
        f"small hydra.run.dir={place}/run trainer.max_epochs=2",
        f"{GRID}={place}/grid",
        f"{PLAIN_SEARCH} hydra.sweep.dir={place}/search",
    ):
        said = typed(step)
        assert said.code == 0, said
    return place


@pytest.fixture(autouse=True)
def _base(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    shutil.copytree(folders, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("WHOLE", str(folders))
    monkeypatch.setenv("BASE", str(tmp_path))
    monkeypatch.setattr("litmlp.sweeps.study.ATTEMPTS", 1)
    yield
    release()


def case(number: int) -> Any:
    message, mistake, advice = CASES[number]
    takes_longer = SEARCH in mistake or "launcher=joblib" in advice or BEST in advice  # whose processes import all anew
    is_another = message in [said for said, *_ in CASES[:number]]
    return pytest.param(*CASES[number], id=message, marks=[pytest.mark.slow] if takes_longer or is_another else [])


@pytest.mark.parametrize(("message", "mistake", "advice"), [case(number) for number in range(len(CASES))])
def test_who_follows_an_advice_succeeds(message: str, mistake: str, advice: str):
    said = followed(mistake)
    assert said.code in (0, 2), said
    sentence = (said.err or said.out).strip()
    advice = advice.replace("$TYPED", sentence.rpartition("litmlp-")[2])
    assert_said(message, sentence, f"{advice} {ADVICES[message]}")
    ended = followed(advice)
    assert ended.code == 0, ended


def followed(script: str) -> Finished:
    """Do steps as a shell would; those before the last, with a mistake at the end, must succeed."""
    *steps, last = script.split("; ")
    for step in steps:
        said = typed(step)
        assert said.code == 0, said
    return typed(last)


def typed(step: str) -> Finished:
    first, _, rest = step.partition(" ")
    name, equals, value = first.partition("=")
    if equals:
        with mock.patch.dict(os.environ, {name: value}):
            return typed(rest)
    if first == "small":
        return command(*SMALL, *shlex.split(rest))
    if first in ("train", "evaluate", "predict", "report", "ensemble", "best"):
        return command(*shlex.split(rest), name=first)
    if first in HELPERS:
        HELPERS[first](*rest.split(" ", 1))
        return Finished(0, "", "")
    done = subprocess.run(step, shell=True, capture_output=True, text=True)
    return Finished(done.returncode, done.stdout, done.stderr)


def change_checkpoint(file: str, statement: str) -> None:
    content = torch.load(file, weights_only=True)
    exec(statement, {"content": content})
    torch.save(content, file)


def write_zip(file: str) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("text", "of another kind")


HOLDING = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]).acquire(); print(flush=True); sys.stdin.read()"
_holding: list[subprocess.Popen] = []


def hold(folder: str) -> None:
    """Have another process lock a run's folder, as if the run went on in it."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", HOLDING, f"{folder}/.lock"], stdin=pipe, stdout=pipe)
    _holding.append(process)
    assert process.stdout is not None
    process.stdout.readline()


def release(_: str = "") -> None:
    while _holding:
        _holding.pop().communicate()


HELPERS = {
    "change": change_checkpoint,
    "zipped": write_zip,
    "held": hold,
    "released": release,
    "cd": lambda folder: os.chdir(os.path.expandvars(folder)),
}
