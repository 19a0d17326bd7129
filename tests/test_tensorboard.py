"""TensorBoard's pages, looked at by a browser, show what runs wrote."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import browse
from conftest import SLOPE, SMALL, compose_config
from litmlp.commands.train import train
from sweeping import sweep

pytestmark = pytest.mark.slow

SWEEP = ["optimizer.lr=1e-3,1e-2", "seed=0,1"]


@pytest.fixture(scope="module", autouse=True)
def _browser() -> None:
    if browse.browser() is None and "CI" not in os.environ:
        pytest.skip("there is no browser: apt install chromium")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each task, and a sweep of four."""
    folder = tmp_path_factory.mktemp("runs")
    train(compose_config(*SLOPE, "trainer.max_epochs=6", *SMALL), folder / "slope")
    train(compose_config("data=penguins", "trainer.max_epochs=3", *SMALL), folder / "penguins")
    said = sweep(folder / "sweep", *SWEEP)
    assert said.code == 0, said
    return folder


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with browse.page() as page:
        yield page


@pytest.fixture(scope="module")
def all_runs(runs: Path) -> Iterator[str]:
    with browse.tensorboard(runs) as address:
        yield address


def test_scalars_of_all_runs_are_there(page: Any, all_runs: str):
    browse.show(page, all_runs, "scalars", "tf-scalar-card")
    for name in ("slope", "penguins", "sweep/0", "sweep/3"):
        page.locator("tf-runs-selector").get_by_text(name, exact=True).wait_for()
    categories = [text.split()[0] for text in page.locator("tf-category-paginated-view button").all_text_contents()]
    assert {"dead", "test", "train", "val", "val_best"} <= set(categories)


def test_train_and_validation_share_a_chart(page: Any, all_runs: str):
    browse.show(page, all_runs, "custom_scalars", "tf-custom-scalar-multi-line-chart-card", count=4)
    assert "train and validation" in page.locator("tf-category-paginated-view button").first.text_content()


def test_plots_are_shown(page: Any, all_runs: str):
    # TensorBoard opens the first two groups: four plots of the classes, and the columns' importance of two runs
    browse.show(page, all_runs, "images", "tf-image-loader img", count=6)
    categories = " ".join(page.locator("tf-category-paginated-view button").all_text_contents())
    for name in ("classification", "importance", "regression"):
        assert name in categories
    sizes = page.locator("tf-image-loader img").evaluate_all(
        "images => Promise.all(images.map(image => image.decode().then(() => image.naturalWidth)))"
    )
    assert set(sizes) == {480}


def test_the_graph_has_the_networks_layers(page: Any, runs: Path):
    with browse.tensorboard(runs / "penguins") as address:
        nodes = browse.show(page, address, "graphs", "g.node")
        titles = nodes.locator("title").all_text_contents()
    kinds = {title.partition(".")[0] for title in titles}
    assert {"numeric", "categorical", "Embedding", "Linear", "SELU", "output"} <= kinds
    assert len(titles) == len(set(titles))


def test_texts_say_what_a_run_is(page: Any, runs: Path):
    with browse.tensorboard(runs / "penguins") as address:
        browse.show(page, address, "text", "tf-text-loader table")
        for said in ("bill_length_mm", "data/penguins.csv", "torch"):
            page.locator("tf-text-loader").get_by_text(said).first.wait_for(state="attached")
        categories = " ".join(page.locator("tf-category-paginated-view button").all_text_contents())
    assert {"config", "data", "run"} <= set(categories.split())


def test_the_table_has_a_row_a_run_and_the_same_columns_in_each(page: Any, runs: Path):
    with browse.tensorboard(runs / "sweep") as address:
        browse.show(page, address, "hparams", "vaadin-grid-cell-content")
        page.get_by_text("3", exact=True).first.wait_for(timeout=60_000)
        shown = page.locator("vaadin-grid-cell-content").all_inner_texts()
        boxes = page.locator("tf-hparams-query-pane .hparam-checkbox").all_inner_texts()
    cells = [cell.strip() for cell in shown]
    header = cells[: cells.index("")]
    assert header[:2] == ["Trial ID", "Show Metrics"]
    assert {"optimizer/lr", "seed"} <= {box.strip() for box in boxes}
    rows = [[cell for cell in cells[start:] if cell][: len(header) - 1] for start in places(cells, len(header))]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    for row in rows:
        events = EventAccumulator(str(runs / "sweep" / row[0])).Reload()
        by_name = dict(zip(["Trial ID", *header[2:]], row, strict=True))
        metrics = [name for name in by_name if name.startswith(("val_best/", "test/"))]
        assert len(metrics) >= 5
        for name in metrics:
            assert by_name[name] == f"{events.Scalars(name)[0].value:#.5g}"


def places(cells: list[str], width: int) -> list[int]:
    """Where the rows of a table begin, below its header."""
    return [place for place, cell in enumerate(cells) if place >= width and cell in {"0", "1", "2", "3"}]
