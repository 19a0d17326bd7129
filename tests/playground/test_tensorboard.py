"""A run on the plane, looked at in TensorBoard: its plot can be moved through the epochs."""

import os
from pathlib import Path

import pytest

import browse
from conftest import SMALL, compose_config
from litmlp.commands.train import train

pytestmark = pytest.mark.slow


def test_the_plane_has_a_slider_over_the_epochs(tmp_path: Path):
    if browse.browser() is None and "CI" not in os.environ:
        pytest.skip("there is no browser: apt install chromium")
    from playwright.sync_api import expect

    train(compose_config("data=circle", "trainer.max_epochs=6", *SMALL), tmp_path / "circle")
    with browse.tensorboard(tmp_path / "circle") as address, browse.page() as page:
        browse.show(page, address, "images&tagFilter=planar", "tf-image-loader paper-slider")
        plot = page.locator("tf-image-loader").first
        slider = plot.locator("paper-slider")
        shown = plot.locator("img").first
        last = shown.get_attribute("src")
        assert slider.evaluate("slider => slider.max") >= 1
        slider.focus()
        page.keyboard.press("Home")
        expect(shown).not_to_have_attribute("src", last, timeout=30_000)
        assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 480
