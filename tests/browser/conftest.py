"""A real server and a real Chromium, with what it takes to know that a page has settled."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

expect.set_options(timeout=20_000)  # a busy machine is no fault

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTLED = """() => {
  const find = (id) => document.querySelector(`[data-testid="${id}"]`);
  const app = find('stApp');
  return app && app.dataset.testConnectionState === 'CONNECTED'
    && app.dataset.testScriptState === 'notRunning'
    && document.querySelector('[data-testid="stMain"] [data-testid="stElementContainer"]')
    && !find('stSkeleton') && !document.querySelector('[data-stale="true"]');
}"""
# Streamlit's own client asks for these two under a deep link first and gets a 404: nothing of ours.
STREAMLIT_PROBES = ("/_stcore/health", "/_stcore/host-config")


def chromium() -> str | None:
    """A Chromium on this machine: $CHROMIUM, or one of the usual names."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if chromium() is None and not os.environ.get("CI"):
                item.add_marker(pytest.mark.skip(reason="no Chromium found: install one or set $CHROMIUM"))


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    return {**browser_type_launch_args, "executable_path": chromium(), "args": FLAGS}


@contextmanager
def served(log: Path, script: str = "streamlit_app.py"):
    """A server of its own on a free port; gives its address and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1"]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)
        url, start = f"http://127.0.0.1:{port}", time.monotonic()
        try:
            while True:
                try:
                    if urllib.request.urlopen(url + "/_stcore/health", timeout=1).status == 200:
                        break
                except OSError:
                    time.sleep(0.05)
                assert process.poll() is None, log.read_text()
                assert time.monotonic() - start < 60, log.read_text()
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="session")
def desk(browser_type, browser_type_launch_args, tmp_path_factory):
    """One browser profile for all pages, on disk: Streamlit's own code is fetched and compiled once."""
    profile = tmp_path_factory.mktemp("profile")
    size = {"width": 1280, "height": 850}
    with browser_type.launch_persistent_context(profile, viewport=size, **browser_type_launch_args) as desk:
        yield desk


@pytest.fixture
def page(desk):
    """A new visitor."""
    page = desk.new_page()
    yield page
    page.close()


@pytest.fixture(scope="session")
def app_url(tmp_path_factory):
    """One server for all tests but those that need a cold one."""
    with served(tmp_path_factory.mktemp("server") / "log") as (url, _):
        yield url


@pytest.fixture(scope="session")
def other_url(tmp_path_factory):
    """Another server, to open links that were made on the first."""
    with served(tmp_path_factory.mktemp("other") / "log") as (url, _):
        yield url


@pytest.fixture
def cold_url(tmp_path):
    """A server that nobody has opened yet."""
    with served(tmp_path / "log") as (url, _):
        yield url


def settle(page) -> None:
    """Wait until the script has ended and nothing is left to draw."""
    page.wait_for_function(SETTLED, timeout=60_000, polling=100)


def answered(page) -> None:
    """Wait until what was just clicked is answered: the run that it asks for begins a moment later."""
    page.wait_for_timeout(300)
    settle(page)


def watch(page) -> list[str]:
    """Collect what goes wrong in the browser from now on."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("request", lambda r: faults.append(f"asks the network: {r.url}") if _is_far(r.url) else None)
    page.on("response", lambda r: faults.append(f"{r.status}: {r.url}") if _is_fault(r) else None)
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" and "404" not in m.text else None)
    return faults


def _is_far(url: str) -> bool:
    return url.startswith("http") and "//127.0.0.1" not in url


def _is_fault(response) -> bool:
    return response.status >= 400 and not response.url.endswith(STREAMLIT_PROBES)


def visit(page, url: str) -> None:
    """Open an address and wait until it has settled."""
    page.goto(url)
    settle(page)


def press_slider(page, widget: str) -> None:
    """Move a slider one step up by the keyboard."""
    page.locator(f".st-key-{widget} input[type=range], .st-key-{widget} [role=slider]").first.focus()
    page.keyboard.press("ArrowRight")


def part(page, name: str) -> None:
    """Open a part of what is said of the experiment, once what ran before has ended."""
    answered(page)
    page.get_by_role("radio", name=name, exact=True).click()
    expect(page.get_by_role("radio", name=name, exact=True)).to_be_checked()
    answered(page)


def download(page, button: str) -> str:
    """The text of a file that a button gives."""
    pressed = page.get_by_role("button", name=button, exact=True)
    expect(pressed).to_be_visible()
    settle(page)  # a button that is pressed while the run that draws it goes on may give nothing
    with page.expect_download() as waiting:
        pressed.click()
    expect(pressed).to_be_enabled()  # it shows that it works, which moves its neighbours
    with open(waiting.value.path(), encoding="utf-8", newline="") as file:
        return file.read()


def claims_of(page) -> list[str]:
    """The words of every claim on the page."""
    return page.locator("[class*='st-key-claim-']").all_inner_texts()


def chart(page, number: int = 0):
    """A chart of the page, counted from 0."""
    return page.get_by_test_id("stVegaLiteChart").nth(number)
