"""Takes the pictures of the page: the playground with two models, and the status under load.

Starts a gateway with the embedded models on a free port, has it rerank in waves so that there is
something to plot, and writes docs/images/*.png. Needs chromium (scripts/system-packages).
"""

import itertools
import json
import math
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

_ROOT = Path(__file__).parent.parent
_IMAGES = _ROOT / "docs" / "images"
_SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run")
_SIZE: ViewportSize = {"width": 1120, "height": 760}
_LARGEST_BYTES = 150_000
_LOAD_SECONDS = 140
_DOCUMENTS = ["Париж — столица Франции.", "Bananas are yellow.", "Борщ варят из свёклы."] * 2


def main() -> int:
    """Write the pictures; say by the exit code whether all are small enough."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("chromium is not installed: scripts/system-packages installs it\n")
        return 1
    _IMAGES.mkdir(exist_ok=True)
    with _gateway() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_SWITCHES)
        playground(browser, url)
        status(browser, url)
        browser.close()
    sizes = {file.name: file.stat().st_size for file in sorted(_IMAGES.glob("*.png"))}
    sys.stdout.write("".join(f"{name}: {size} bytes\n" for name, size in sizes.items()))
    return int(any(size > _LARGEST_BYTES for size in sizes.values()))


def playground(browser: Browser, url: str) -> None:
    """Two models and a Russian example, in the light."""
    page = _open(browser, f"{url}/#playground", "light")
    unfold = page.locator("#options summary")
    unfold.click()
    page.get_by_label("Compare with").select_option("embedded-qwen3")
    unfold.click()
    for _ in range(2):  # the first one pays for what is done once
        page.get_by_role("button", name="Столица Франции").click()
        expect(page.locator("#outcome")).not_to_have_attribute("aria-busy", "true", timeout=30_000)
        expect(page.locator(".result")).to_have_count(10)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.screenshot(path=_IMAGES / "playground.png", animations="disabled")


def status(browser: Browser, url: str) -> None:
    """Plots of some load, in the dark."""
    page = _open(browser, f"{url}/#status", "dark")
    page.get_by_role("table").nth(1).wait_for()
    stop = threading.Event()
    clients = [threading.Thread(target=_ask, args=(url, name, stop)) for name in _MODELS]
    for client in clients:
        client.start()
    _wait(page, _LOAD_SECONDS)
    page.screenshot(path=_IMAGES / "status.png", animations="disabled")
    stop.set()
    for client in clients:
        client.join()


_MODELS = ("embedded", "embedded-qwen3")


def _open(browser: Browser, url: str, colours: Literal["light", "dark"]) -> Page:
    page = browser.new_context(viewport=_SIZE, color_scheme=colours).new_page()
    page.goto(url)
    page.locator("#other option").nth(1).wait_for(state="attached")
    return page


def _wait(page: Page, seconds: int) -> None:
    for left in range(seconds, 0, -1):
        if sys.stderr.isatty():
            sys.stderr.write(f"\rload for the plots: {left:3} s ")
        page.wait_for_timeout(1000)
    sys.stderr.write("\n" * sys.stderr.isatty())


def _ask(url: str, model: str, stop: threading.Event) -> None:
    """Rerank again and again, now faster and now slower."""
    for number in itertools.count():
        if stop.wait(0.03 + 0.12 * (1 + math.sin(time.monotonic() / 6))):
            return
        body = {"model": model, "query": f"столица {number}?", "documents": _DOCUMENTS}
        request = urllib.request.Request(
            f"{url}/rerank", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def _gateway() -> Iterator[str]:
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        try:
            assert process.stderr is not None
            ready = (re.search(r"ready at (http://[^\"\s]+)", line) for line in process.stderr)
            yield next(found[1] for found in ready if found)
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
