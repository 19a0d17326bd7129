"""Serve TensorBoard for a while, and open its pages in a browser without a window, as a user sees them.

The browser is Debian's Chromium (apt install chromium) or Chrome. Playwright controls it.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
SECONDS = 60


def browser() -> str | None:
    """Return the path of a browser; None if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """Serve a folder's runs, and yield the address once all of them are read."""
    # With these options TensorBoard prints its address only after it has read all runs. The folder is given by its
    # name alone, since the page shows it as given.
    read = ("--load_fast", "false", "--reload_task", "blocking", "--reload_interval", "0")
    options = ["--logdir", folder.name, "--port", "0", *read]
    command = [sys.executable, "-m", "tensorboard.main", *options]
    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=folder.parent, **pipes) as server:
        assert server.stderr is not None
        try:
            for line in server.stderr:
                if found := re.search(r"http://\S+", line):
                    yield found.group().rstrip("/").replace("0.0.0.0", "localhost")
                    break
            else:
                raise RuntimeError("TensorBoard did not start")
        finally:
            server.terminate()


@contextmanager
def page(width: int = 1400, height: int = 900) -> Iterator[Any]:
    """Yield the page of a browser that has a new, empty profile."""
    from playwright.sync_api import sync_playwright

    path = browser()
    if path is None:
        raise SystemExit(f"there is no browser: install chromium (looked for {', '.join(BROWSERS)})")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=path, args=list(FLAGS), viewport={"width": width, "height": height}
        )
        try:
            yield context.pages[0]
        finally:
            context.close()


def show(page: Any, address: str, tab: str, awaited: str, count: int = 1) -> Any:
    """Open a tab of TensorBoard, wait until at least `count` elements match a CSS selector, and return all matches."""
    page.goto("about:blank")  # otherwise only the part after # changes, and the browser loads nothing
    page.goto(f"{address}/#{tab}")
    found = page.locator(awaited)
    found.nth(count - 1).wait_for(timeout=SECONDS * 1000)
    return found
