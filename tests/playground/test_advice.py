"""As `test_advice_of_tables.py`, for messages about expressions, functions and points."""

from pathlib import Path
from typing import Any

import pytest

from litmlp.cli import sentence
from test_advice import assert_said, messages
from test_advice_of_tables import A_CELL, Try, do, later


def circle(overrides: str = "") -> Try:
    return Try(f"data=circle {overrides}", {})


def inputs(expression: str) -> Try:
    return circle(f"data.inputs=[{expression}]")


CASES: list[tuple[Any, ...]] = [  # the message, a try that leads to it, and those that follow its advice
    (A_CELL, later(circle(), x1=[1, "soon"], x2=[1, 2]), later(circle(), x1=[1, 1], x2=[1, 2])),
    ("'{}' holds '{}': only numbers, names, + - * / % ^ and functions work", inputs("x1//2"), inputs("floor(x1/2)")),
    ("'{}' is nested too deeply: write fewer parentheses and signs", inputs("-" * 1500 + "x1"), inputs("-x1")),
    (
        "'{}' is nested too deeply: write fewer parentheses and signs",
        inputs("(" * 300 + "x1" + ")" * 300),
        inputs("((x1))"),
    ),
    (
        "'{}' holds a number that is too large: the largest is 1.8e308",
        inputs(f"x1+1{400 * '0'}"),
        inputs("x1+1.7e308"),
    ),
    ("'{}' is not an expression: write for example sin(3*x) + x^2", inputs("2x1"), inputs("sin(3*x1)+x1^2")),
    ("'{}' names '{}': {}", inputs("y1"), inputs("x1")),
    ("'{}' gives {} an argument by name, {}: give values alone", inputs("sin(x=x1)"), inputs("sin(x1)")),
    ("'{}' calls '{}': {}", inputs("sine(x1)"), inputs("sin(x1)")),
    (
        "there is no function '{}': {}",
        Try("data=function data.function=sinus", {}),
        Try("data=function data.function=sine", {}),
    ),
    (
        "there is no column '{}': the rows need {}",
        later(circle(), x1=[1], x3=[1]),
        later(circle(), x1=[1], x2=[1]),
    ),
    (
        "the input '{}' is infinite in row {}: give data.inputs that are finite numbers",
        inputs("exp(999*abs(x1))"),
        inputs("exp(abs(x1))"),
    ),
    (
        "data.num_samples={} would take {} of memory, but {} are free: give less",
        circle("data.num_samples=10000000"),
        circle("data.num_samples=100"),
    ),
]


def test_each_message_in_the_code_has_a_case_here_and_no_other():
    assert {message for message, *_ in CASES} == {*messages(lambda file: file.startswith("playground/")), A_CELL}


@pytest.mark.parametrize("case", CASES, ids=[message for message, *_ in CASES])
def test_who_follows_an_advice_succeeds(case: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("litmlp.machine.available_memory", lambda: 10**8)
    message, wrong, *rights = case
    with pytest.raises(Exception) as refused:  # noqa: PT011  # also what a constructor refuses
        do(wrong, tmp_path / "wrong", monkeypatch)
    assert_said(message, sentence(refused.value), str(rights))
    for number, right in enumerate(rights):
        do(right, tmp_path / f"right_{number}", monkeypatch)
