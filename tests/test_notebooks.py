"""The notebooks run from top to bottom, and are kept without what they print."""

import subprocess
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from litmlp.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 600  # for a cell, on a busy machine


def read(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_the_lectures_two_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == ["1-introduction-to-pytorch", "2-a-simple-neural-network"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path):
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells if cell.outputs or cell.execution_count is not None] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_ends_with_exercises_and_an_answer_to_each(path: Path):
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    (exercises,) = (text for text in texts if "## Exercises" in text)
    questions = exercises.partition("## Exercises")[2].partition("## Answers")[0]
    after = "\n".join(texts).partition("## Answers")[2]
    numbers = [line.partition(".")[0] for line in questions.splitlines() if line[:1].isdigit()]
    assert len(numbers) >= 3
    assert [line[2:3] for line in after.splitlines() if line.startswith("**")] == numbers


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path):
    status = ["git", "status", "--porcelain", "--ignored", "--untracked-files=all", "--", "notebooks", "runs"]
    before = subprocess.run(status, cwd=ROOT, capture_output=True, text=True).stdout
    notebook = read(path)
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": ROOT}})
    client.execute()  # an assertion that fails is an error
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    assert subprocess.run(status, cwd=ROOT, capture_output=True, text=True).stdout == before
