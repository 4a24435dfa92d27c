"""The pages in a browser: start, slider to chart, twenty people, memory; against a bare Streamlit page.

    python -m benchmarks.browser [--only NAME] [--moves 40] [--starts 3] [--seconds 30] [--out FOLDER]

The bare page (``benchmarks/bare.py``) draws the main chart of the page it is compared with, from numbers that
were computed beforehand at two settings, behind one slider. For the sliders there are three of it, of which
the last does nothing but send what was made before: nobody can be faster. All are measured in turn, in one
run, on servers that this starts itself and ends. Needs a Chromium ($CHROMIUM or on the path). Writes
``browser.md`` into FOLDER.
"""

import os

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import asyncio
import json
import logging
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
import pyarrow as pa
from playwright.sync_api import Browser, Page, sync_playwright
from streamlit.testing.v1 import AppTest

import ui.page
from benchmarks.bare import Saver
from benchmarks.visitors import Visitor, memory
from lab.catalogue import EXPERIMENTS
from lab.evaluate import ROOT, versions
from tests.browser import conftest
from tests.browser.conftest import served
from ui import ahead

INSTANT = [row.name for row in EXPERIMENTS if row.kind == "instant"]
FRONT_DOOR, BARE = ROOT / "streamlit_app.py", ROOT / "benchmarks" / "bare.py"
WAYS = {"makes": "makes its chart", "hands": "chart made before", "sends": "only sends"}  # of the bare page

# From the key press to the last change inside the first chart's picture before 100 ms of rest.
WATCH = """() => {
  window.drawn = new Promise((done) => {
    let pressed = null, last = null, rest = null;
    const inChart = (m) => {
      const node = m.target.nodeType === 1 ? m.target : m.target.parentElement;
      const chart = node && node.closest('[data-testid="stVegaLiteChart"]');
      if (!chart || chart !== document.querySelector('[data-testid="stVegaLiteChart"]')) return false;
      if (node.closest('svg.marks, canvas.marks')) return true;
      return [...m.addedNodes].some((n) => n.querySelector && (n.matches('svg.marks, canvas.marks')
        || n.querySelector('svg.marks, canvas.marks')));
    };
    const drawn = () => {
      if (pressed === null) return;
      last = performance.now();
      clearTimeout(rest);
      rest = setTimeout(finish, 100);
    };
    const observer = new MutationObserver((mutations) => { if (mutations.some(inChart)) drawn(); });
    window.painted = (canvas) => { if (inChart({target: canvas, addedNodes: []})) drawn(); };
    const finish = () => { observer.disconnect(); done(last === null ? null : last - pressed); };
    document.addEventListener('keydown', () => {
      pressed = performance.now();
      rest = setTimeout(finish, 3000);
    }, {capture: true, once: true});
    observer.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
  });
}"""
# A canvas is painted without any change of the document: let it tell.
PAINT = """{ const clear = CanvasRenderingContext2D.prototype.clearRect;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    if (window.painted) window.painted(this.canvas);
    return clear.apply(this, box);
  }; }"""
FIRST_CHART = """() => document.querySelector(
  '[data-testid="stVegaLiteChart"] svg.marks .mark-group, [data-testid="stVegaLiteChart"] canvas.marks')"""
AT_REST = """() => { const app = document.querySelector('[data-testid="stApp"]');
  return app && app.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-stale="true"]'); }"""


# --- The bare pages -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slider:
    """The first slider of a page that changes its main chart."""

    page: str
    key: str
    low: float
    high: float
    step: float
    start: float

    @property
    def field(self) -> str:
        """The setting behind it."""
        return self.key.removeprefix(f"{self.page}_")

    def anywhere(self, rng: random.Random) -> float:
        """A value on its grid."""
        return self.low + self.step * rng.randint(0, round((self.high - self.low) / self.step))


def prepared(name: str, folder: Path) -> Slider | None:
    """Find the slider, and write the main chart at two of its values; None where no slider changes it."""
    app = AppTest.from_file(str(FRONT_DOOR), default_timeout=120).switch_page(f"pages/{name}.py")
    before = main_chart(app, app)
    for found in [s for s in app.slider if s.key and s.key.startswith(f"{name}_")]:
        start, step = found.value, found.step
        other = start + step if start + step <= found.max else start - step
        after = main_chart(app, found.set_value(other))
        if picture(after[0]) != picture(before[0]):
            for which, (chart, recipe) in enumerate((before, after)):
                write_chart(chart, recipe, folder, f"{name}_{which}")
            return Slider(name, found.key, found.min, found.max, step, start)
        found.set_value(start).run()
    return None


def picture(chart: Any) -> tuple[str, list[str]]:
    """What of a chart can be seen: its specification without the names of its tables, and their values."""
    spec = json.loads(chart.spec)
    spec.pop("usermeta", None)
    tables = [
        pa.ipc.open_stream(table.data.data).read_pandas().to_json(orient="split") for table in chart.datasets
    ]
    return re.sub(r'"name": "[0-9a-f]{32}"', "", json.dumps(spec)), tables


def main_chart(app: AppTest, moved: Any) -> tuple[Any, tuple[Any, str]]:
    """Run, and give of the page's first chart what the server sends, and what the page draws it by."""
    recipes: list[tuple[Any, str]] = []
    draw = ui.page.Page.chart

    def watched(page: ui.page.Page, chart: Any, alt: str, **more: Any) -> Any:
        recipes.append((chart, alt))
        return draw(page, chart, alt, **more)

    ahead.rest()  # which would draw in between
    with mock.patch.object(ui.page.Page, "chart", watched):
        moved.run()
    return app.get("vega_lite_chart")[0].proto, recipes[0]


def write_chart(chart: Any, recipe: tuple[Any, str], folder: Path, stem: str) -> None:
    """The chart as files that the bare page reads."""
    with (folder / f"{stem}.pickle").open("wb") as file:
        Saver(file).dump(recipe)
    for table in chart.datasets:
        frame = pa.ipc.open_stream(table.data.data)
        with pa.ipc.new_stream(str(folder / f"{table.name}.arrow"), frame.schema) as stream:
            stream.write_table(frame.read_all())
    made = {"spec": json.loads(chart.spec), "alt": chart.alt, "tables": [t.name for t in chart.datasets]}
    (folder / f"{stem}.json").write_text(json.dumps(made))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for one part of the measurement."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=conftest.chromium(), args=conftest.FLAGS)
        yield browser
        browser.close()


# --- 3a: start ----------------------------------------------------------------------------------------


def start(folder: Path, starts: int, page: str = "pca_digits") -> list[str]:
    """From ``streamlit run`` to the first chart in a browser that has never seen the page."""
    prepared(page, folder)
    ways = {"ours": (FRONT_DOOR, f"/{page}"), "bare": (BARE, f"/?folder={folder}&page={page}&way=sends")}
    seconds: dict[str, list[float]] = {who: [] for who in ways}
    with chromium() as browser:
        for _ in range(starts + 1):  # the first of each fills the disk's cache and is not counted
            for who, (script, path) in ways.items():
                began = time.perf_counter()
                with served(folder / "log", str(script)) as (url, _):
                    context = browser.new_context()
                    tab = context.new_page()
                    tab.goto(url + path)
                    tab.wait_for_function(FIRST_CHART, timeout=60_000)
                    seconds[who].append(time.perf_counter() - began)
                    context.close()
    ours, bare = (statistics.median(seconds[who][1:]) for who in ways)
    click.echo(f"start: ours {ours:.2f} s, bare {bare:.2f} s, ratio {ours / bare:.2f}")
    return [
        "| from `streamlit run` to the first chart | seconds | times bare | wanted |", "| --- " * 4 + "|",
        f"| {page} | {ours:.2f} | {ours / bare:.2f} | at most 1.3 |", f"| bare page | {bare:.2f} | 1 | |",
    ]  # fmt: skip


# --- 3b: slider to chart ------------------------------------------------------------------------------


class Mover:
    """Somebody who moves one slider back and forth by the keyboard."""

    def __init__(self, browser: Browser, address: str, key: str) -> None:
        """Open the page and wait until it rests."""
        self.page: Page = browser.new_page()
        self.page.add_init_script(PAINT)
        self.page.goto(address)
        self.page.wait_for_function(FIRST_CHART, timeout=60_000)
        control = f".st-key-{key} input[type=range], .st-key-{key} [role=slider]"
        self.slider = self.page.locator(control).first
        self.key, self.missed = "ArrowRight", 0
        self.taken: list[float] = []

    def move(self) -> None:
        """One step, the other way where the slider ends; its milliseconds are kept."""
        self.page.bring_to_front()
        self.page.wait_for_function(AT_REST, timeout=60_000)
        self.page.wait_for_timeout(150)
        now, low, high = (self.slider.get_attribute(a) for a in ("aria-valuenow", "min", "max"))
        now = now or self.slider.input_value()
        if high is not None and float(now) >= float(high):
            self.key = "ArrowLeft"
        elif low is not None and float(now) <= float(low):
            self.key = "ArrowRight"
        self.slider.focus()
        self.page.evaluate(WATCH)
        self.page.keyboard.press(self.key)
        milliseconds = self.page.evaluate("window.drawn")
        if milliseconds is None:
            self.missed += 1
        else:
            self.taken.append(milliseconds)


def slider(folder: Path, moves: int, pages: tuple[str, ...]) -> list[str]:
    """From the key to the new chart, on every page and its bare pages, in turn."""
    heads = ["page", "slider", "p50, ms", "p95, ms"]
    heads += [head for way in WAYS.values() for head in (f"bare, {way}: p50", "times")]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    found = {name: prepared(name, folder) for name in pages or INSTANT}
    with served(folder / "log") as (url, _), served(folder / "bare_log", str(BARE)) as (bare, _):
        for name, control in found.items():
            if control is None:
                lines.append(f"| {name} | none changes the main chart |")
                continue
            with chromium() as browser:
                addresses = [f"{bare}/?folder={folder}&page={name}&way={way}" for way in WAYS]
                movers = [Mover(browser, f"{url}/{name}", control.key)]
                movers += [Mover(browser, address, "bare_k") for address in addresses]
                for _ in range(moves):
                    for mover in movers:
                        mover.move()
            if min(len(mover.taken) for mover in movers) < moves / 2:
                lines.append(f"| {name} | {control.field} | no new chart seen in half of the moves |")
                click.echo(f"{name}: missed {[mover.missed for mover in movers]} of {moves}")
                continue
            p50, *bares = (statistics.median(mover.taken) for mover in movers)
            cells = [f"{p50:.0f}", f"{np.quantile(movers[0].taken, 0.95):.0f}"]
            cells += [cell for ms in bares for cell in (f"{ms:.0f}", f"{p50 / ms:.2f}")]
            lines.append(f"| {name} | {control.field} | {' | '.join(cells)} |")
            click.echo(f"{name}: {' | '.join(cells)}")
    return [*lines, "", f"Wanted: at most 1.5 times the bare page that {WAYS['makes']}."]


# --- 3c: twenty people --------------------------------------------------------------------------------

PEOPLE = 20


def people(folder: Path, seconds: int, pages: tuple[str, ...]) -> list[str]:
    """Twenty sessions on ``pages``, a change a second each, while another one trains."""
    sliders = [found for name in pages if (found := prepared(name, folder))]
    with served(folder / "log") as (url, _):
        taken, trained, waited = asyncio.run(crowd(url, sliders, seconds))
    everyone = np.concatenate([np.array(t) for t in taken])
    p50, p95 = 1e3 * np.quantile(everyone, (0.5, 0.95))
    worst = max(1e3 * np.quantile(t, 0.95) for t in taken)
    fewest = min(map(len, taken))
    click.echo(f"people: p50 {p50:.0f} ms, p95 {p95:.0f} ms, worst visitor's p95 {worst:.0f} ms, fewest "
               f"answers {fewest} in {seconds} s, {trained} trainings, third waited: {waited}")  # fmt: skip
    return [
        f"| {PEOPLE} people on {' '.join(pages)}, another one trains | measured | wanted |",
        "| --- " * 3 + "|",
        f"| p50 | {p50:.0f} ms | |", f"| p95 | {p95:.0f} ms | below 250 ms |",
        f"| p95 of the visitor who waited longest | {worst:.0f} ms | nobody starved |",
        f"| fewest changes answered | {fewest} of {seconds} | nobody starved |",
        f"| trainings meanwhile | {trained} | |",
        f"| of three trainings one had to wait | {'yes' if waited else 'no'} | at most two at once |",
    ]  # fmt: skip


async def crowd(url: str, sliders: list[Slider], seconds: int) -> tuple[list[list[float]], int, bool]:
    """Everybody's waiting times, the number of trainings meanwhile, and whether a third one queued."""
    chosen = [sliders[i % len(sliders)] for i in range(PEOPLE)]
    visitors = [Visitor(url, control.page) for control in chosen]
    for visitor in visitors:
        await visitor.__aenter__()
    learner = await Visitor(url, "gcn_cora").__aenter__()
    training = asyncio.create_task(train(learner, time.monotonic() + seconds))
    taken = await asyncio.gather(
        *(move(i, v, c, seconds) for i, (v, c) in enumerate(zip(visitors, chosen, strict=True)))
    )
    trained = await training
    more = [learner, *[await Visitor(url, "gcn_cora").__aenter__() for _ in range(2)]]
    await asyncio.gather(*(train(v, time.monotonic(), 100 * k) for k, v in enumerate(more, 1)))
    for visitor in (*visitors, *more):
        await visitor.__aexit__()
    return list(taken), trained, any(visitor.waited for visitor in more)


async def move(number: int, visitor: Visitor, control: Slider, seconds: int) -> list[float]:
    """One change a second; whoever had to wait longer than that goes on at once."""
    rng, taken, began = random.Random(number), [], time.monotonic()
    for k in range(seconds):
        await asyncio.sleep(max(0.0, began + k + number / PEOPLE - time.monotonic()))
        if time.monotonic() - began > seconds:
            break
        taken.append(await visitor.change(control.key, control.anywhere(rng)))
    return taken


async def train(visitor: Visitor, until: float, seed: int = 0) -> int:
    """Train with one seed after another, at least once; gives how often."""
    for count in range(1, 1000):
        await visitor.change("gcn_cora_seed", seed + count)
        await visitor.change("_gcn_cora_run", True)
        if time.monotonic() >= until:
            return count
    return 1000


# --- 3d: memory ---------------------------------------------------------------------------------------


def footprint(folder: Path, page: str = "pca_digits") -> list[str]:
    """Peak memory of a server that opened every page, and after 100 and 1,000 runs more."""
    with served(folder / "log") as (url, pid):
        peaks = asyncio.run(many_runs(url, pid, page))
        mapped = Path(f"/proc/{pid}/maps").read_text()
    heavy = [name for name in ("torch", "sklearn") if f"/{name}/" in mapped]
    lines = ["| server | peak, MB | now, MB |", "| --- " * 3 + "|"]
    for when, (peak, now) in peaks.items():
        lines.append(f"| {when} | {peak:.0f} | {now:.0f} |")
        click.echo(f"memory: {when}: peak {peak:.0f} MB, now {now:.0f} MB")
    lines += ["", f"Wanted: below 600 MB, no growth beyond the bounded caches. Loaded of torch and "
              f"scikit-learn: {', '.join(heavy) or 'none'}."]  # fmt: skip
    return lines


async def many_runs(url: str, pid: int, page: str) -> dict[str, tuple[float, float]]:
    """Open every page, then run one with ever new seeds."""
    seen = {}
    for name in ("", "claims", "runs", *(row.name for row in EXPERIMENTS)):
        async with Visitor(url, name):
            pass
    seen["opened every page"] = memory(pid, "VmHWM"), memory(pid, "VmRSS")
    async with Visitor(url, page) as visitor:
        for run in range(1, 1001):
            await visitor.change(f"{page}_seed", run)
            if run in (100, 300, 1000):
                seen[f"and {run:,} runs more"] = memory(pid, "VmHWM"), memory(pid, "VmRSS")
    return seen


@click.command()
@click.option("--only", type=click.Choice(["start", "slider", "people", "memory"]), multiple=True)
@click.option("--moves", default=40, show_default=True, help="Of each slider.")
@click.option("--starts", default=3, show_default=True, help="Of each server, and one to warm up.")
@click.option("--seconds", default=30, show_default=True, help="How long the twenty people stay.")
@click.option(
    "--page", "pages", multiple=True, type=click.Choice(INSTANT),
    help="Of which page the slider [default: every instant one]; where the people are [default: pca_digits].",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/results"), show_default=True)
def main(
    only: tuple[str, ...], moves: int, starts: int, seconds: int, pages: tuple[str, ...], out: Path
) -> None:  # fmt: skip
    """Measure the pages as their visitors meet them."""
    logging.disable(logging.WARNING)
    parts: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        works = {
            "start": lambda: start(folder, starts), "slider": lambda: slider(folder, moves, pages),
            "people": lambda: people(folder, seconds, pages or ("pca_digits",)),
            "memory": lambda: footprint(folder),
        }  # fmt: skip
        for name in only or works:
            parts += [*works[name](), ""]
    installed = ", ".join(f"{package} {version}" for package, version in versions().items())
    out.mkdir(parents=True, exist_ok=True)
    (out / "browser.md").write_text("\n".join([*parts, f"{os.cpu_count()} cores. {installed}.", ""]))


if __name__ == "__main__":
    main()
