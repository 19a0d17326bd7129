"""The lecture's experiments: what they claim holds, can fail to hold, and is reported as it is."""

import re
import shlex
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lecture
from litmlp.paths import CONF

TEXT = lecture.PAGE.read_text(encoding="utf-8")
COMMANDS = lecture.blocks(TEXT)
CLAIMS = {function.__name__: function for function in lecture.CLAIMS}
QUICK = "training_loop"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> list[lecture.Job]:
    (command,) = COMMANDS[QUICK]
    return lecture.train(command, tmp_path_factory.mktemp("lecture"))


def test_each_experiment_has_its_place_on_the_page():
    folder = CONF / "experiment/lecture"
    experiments = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    words = [word for commands in COMMANDS.values() for command in commands for word in shlex.split(command)]
    named = [word.removeprefix(lecture.EXPERIMENT) for word in words if word.startswith(lecture.EXPERIMENT)]
    assert sorted(named) == sorted(experiments)


def test_each_plot_has_commands_claims_and_a_file():
    names = re.findall(r"\(lecture/(\w+)\.png\)", TEXT)
    assert names == list(COMMANDS)
    assert set(names) == set(CLAIMS) == set(lecture.PLOTS)
    assert {path.stem for path in (lecture.PAGE.parent / "lecture").iterdir()} == set(names)


def test_sweeps_are_run_as_sweeps():
    for command in (command for commands in COMMANDS.values() for command in commands):
        (name,) = re.findall(f"{lecture.EXPERIMENT}(\\S+)", command)
        assert ("params:" in (CONF / f"experiment/lecture/{name}.yaml").read_text()) == (" -m " in command), name


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_claimed_holds(name: str, tmp_path: Path):
    jobs = [job for command in COMMANDS[name] for job in lecture.train(command, tmp_path)]
    claims = list(CLAIMS[name](jobs))
    assert claims
    assert [claim for claim in claims if not claim.holds] == []
    assert lecture.PLOTS[name](jobs).std() > 10  # something is drawn


@pytest.mark.slow
def test_a_neuron_that_has_not_learned_has_not_the_slope_of_the_closed_form(tmp_path: Path):
    (command,) = COMMANDS["neuron"]
    jobs = lecture.train(f"{command} optimizer.lr=1e-6 trainer.max_epochs=2", tmp_path)
    assert not any(claim.holds for claim in lecture.neuron(jobs))


def test_another_number_of_steps_is_noticed(quick: list[lecture.Job], monkeypatch: pytest.MonkeyPatch):
    assert all(claim.holds for claim in lecture.training_loop(quick))
    monkeypatch.setitem(quick[0].metrics, "steps", quick[0].metrics["steps"] + 1)
    assert [claim.holds for claim in lecture.training_loop(quick)] == [False, True, True]


class Page(HTMLParser):
    """Counts images and headings, and keeps the classes of table rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.tags.append(tag)
        if tag == "tr" and "class" in dict(attrs):
            self.rows.append(dict(attrs)["class"])


def test_the_page_holds_plots_and_claims_as_they_came_out():
    image = np.zeros((4, 5, 3), np.uint8)
    claims = [lecture.Claim("a < b", "1 & 2", holds=True), lecture.Claim("c", "3", holds=False)]
    text = lecture.report(TEXT, {QUICK: image}, {QUICK: claims})
    page = Page(text)
    assert page.rows == ["holds", "fails"]
    assert page.tags.count("img") == 1
    assert page.tags.count("h2") == TEXT.count("\n## ")
    assert page.tags.count("pre") == len(COMMANDS)
    assert "1 of 2 claims hold" in text
    assert "a &lt; b" in text
    assert "1 &amp; 2" in text


def test_a_claim_that_does_not_hold_ends_with_an_error(
    quick: list[lecture.Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(lecture, "train", lambda command, folder: quick)
    monkeypatch.setattr(lecture, "runs", lambda: tmp_path)
    monkeypatch.setitem(quick[0].metrics, "steps", 1)
    monkeypatch.setattr(sys, "argv", ["lecture", QUICK])
    with pytest.raises(SystemExit) as stop:
        lecture.main()
    assert stop.value.code == 1
    said = capsys.readouterr().out
    assert "2 of 3 claims hold" in said
    assert "✗ 600 rows in batches of 50 make 12 iterations an epoch: 1 iterations in 10 epochs" in said
    assert Page((tmp_path / "lecture/report.html").read_text(encoding="utf-8")).rows == ["fails", "holds", "holds"]


def test_an_unknown_name_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(sys, "argv", ["lecture", "neurone"])
    with pytest.raises(SystemExit) as stop:
        lecture.main()
    assert stop.value.code == 2
    assert "there is no 'neurone': did you mean 'neuron'?" in capsys.readouterr().err
