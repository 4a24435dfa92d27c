"""What every experiment's page must do, in a real browser. Each page is opened once for all its tests."""

import csv
import io
import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from lab.catalogue import BY_NAME
from lab.evaluate import load, report
from tests.browser.conftest import answered, chart, claims_of, download, part, settle, visit, watch
from tests.conftest import outcome_of

NAMES = list(BY_NAME)
LOOKS = [("light", 1280), ("dark", 1280), ("dark", 390), ("light", 390)]
UNTHEMED = 'svg.marks text[fill="black"]:not(:empty)'  # what Vega falls back on, unseen in the dark
CUT_FORMULAS = """() => [...document.querySelectorAll('.katex-display')]
  .filter((f) => f.scrollWidth > f.clientWidth + 1 && getComputedStyle(f).overflowX !== 'auto')
  .map((f) => f.innerText.slice(0, 60))"""  # a wide formula has to scroll by itself
BROKEN_WORDS = """() => [...document.querySelectorAll('th, td')].flatMap((cell) => {
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), range = document.createRange();
  const broken = [];
  while (texts.nextNode())
    for (const word of texts.currentNode.data.matchAll(/[\\p{L}\\d.,]+/gu)) {
      range.setStart(texts.currentNode, word.index);
      range.setEnd(texts.currentNode, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map((line) => Math.round(line.top)));
      if (lines.size > 1) broken.push(word[0]);
    }
  return broken;
})"""  # a narrow column must not break inside a word or a number
BACKGROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 29)"}


class Opened:
    """A page of its own visitor: its path, the browser's page, and what has gone wrong so far."""

    def __init__(self, context, app_url: str, path: str) -> None:
        self.path, self.url = path, f"{app_url}/{path}"
        self.page = context.new_page()
        self.faults = watch(self.page)
        visit(self.page, self.url)


@pytest.fixture(scope="module", params=["", "claims", "runs"])
def plain_page(request, desk, app_url):
    """Home, claims and runs."""
    opened = Opened(desk, app_url, request.param)
    yield opened
    opened.page.close()


@pytest.fixture(scope="module", params=NAMES)
def opened(request, desk, app_url):
    """The page of an experiment at its defaults."""
    opened = Opened(desk, app_url, request.param)
    yield opened
    opened.page.close()


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical and is ours.

    Vega leaves a container without a name where a layer has no mark to draw; nobody can meet it.
    """
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
        if not node["html"].endswith('mark container"></g>')
    ]


def look(opened: Opened) -> None:
    """In both themes and at both widths: no fault, nothing cut, nothing that keeps anyone out."""
    page = opened.page
    for theme, width in LOOKS:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 850})
        settle(page)
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", BACKGROUND[theme])
        expect(page.locator("h1").first).to_be_visible()
        expect(page.get_by_test_id("stException")).to_have_count(0)
        expect(page.locator(".katex-error")).to_have_count(0)
        expect(page.locator(UNTHEMED)).to_have_count(0)
        assert page.evaluate(CUT_FORMULAS) == []
        assert page.evaluate(BROKEN_WORDS) == []
        main = page.get_by_test_id("stMain")
        assert main.evaluate("m => m.scrollWidth - m.clientWidth") <= 0, "the page scrolls sideways"
        if width > 390:
            assert violations(page) == []
    page.set_viewport_size({"width": 1280, "height": 850})
    assert opened.faults == []


@pytest.mark.xdist_group("home")
def test_home_claims_and_runs_have_no_fault_in_both_themes_and_on_a_phone(plain_page):
    look(plain_page)


def test_a_page_has_no_fault_in_both_themes_and_on_a_phone(opened):
    look(opened)
    expect(chart(opened.page)).to_be_visible()
    assert len(claims_of(opened.page)) == len(BY_NAME[opened.path].claim_ids)


# The next five go on where the one before stopped, so that a page is opened once for all of them.


def test_every_download_holds_the_numbers_of_the_run(opened):
    page, name = opened.page, opened.path
    part(page, "Take it away")
    downloaded = json.loads(download(page, "settings, summary and claims (JSON)"))
    expected = json.loads(json.dumps(report(outcome_of(name))))
    assert {**downloaded, "seconds": 0} == {**expected, "seconds": 0}
    for table, frame in outcome_of(name).tables.items():
        assert download(page, f"{table} (CSV)") == frame.to_csv(index=False), table
    assert "Settings()" in download(page, "open as a notebook")
    assert download(page, "chart 1 (SVG)").startswith("<svg")


def another_seed(name: str) -> dict[str, int]:
    """What the test of links sets, if the experiment has a seed."""
    return {"seed": 3} if "seed" in load(name).Settings.model_fields else {}


def test_a_link_made_on_one_server_shows_the_same_on_another(opened, app_url, other_url):
    page, name = opened.page, opened.path
    link = opened.url
    for field, value in another_seed(name).items():
        control = page.locator(f".st-key-{name}_{field} input")
        control.fill(str(value))
        control.press("Enter")
        answered(page)
        run = page.get_by_role("button", name="Run", exact=True)
        if run.count() and run.is_enabled():  # a training that is too long to follow a control
            run.click()
        link += f"?{name}_{field}={value}"
    expect(page.get_by_text(link, exact=True)).to_be_visible()
    settle(page)
    here = claims_of(page)
    visit(page, link.replace(app_url, other_url))
    assert claims_of(page) == here
    assert len(here) == len(BY_NAME[name].claim_ids)


def test_a_pinned_run_becomes_a_ghost_line_and_a_row(opened):
    page = opened.page
    page.get_by_role("button", name="Pin this run").click()
    expect(page.get_by_test_id("stVegaLiteChart").get_by_text("pin 1", exact=True)).to_be_visible()
    part(page, "Compare")
    expect(page.get_by_role("button", name="Remove all pins of this page")).to_be_visible()


def test_a_challenge_is_revealed(opened):
    page, name = opened.page, opened.path
    card = page.locator(f".st-key-{name}_challenge_0")
    card.get_by_role("button", name="Reveal").click()
    expect(card.get_by_text("You did not guess.")).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_the_runs_page_lists_the_pinned_run(opened):
    page, name = opened.page, opened.path
    page.get_by_role("button", name="Record").click()
    page.get_by_role("menuitem", name="Runs").click()
    expect(page.get_by_role("heading", name=BY_NAME[name].title)).to_be_visible()
    runs = json.loads(download(page, "all runs (JSON)"))
    assert [run["experiment"] for run in runs] == [name]
    assert runs[0]["settings"] == load(name).Settings(**another_seed(name)).model_dump()
    assert len(list(csv.DictReader(io.StringIO(download(page, "all runs (CSV)"))))) == 1
