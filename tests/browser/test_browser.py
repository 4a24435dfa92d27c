"""The pages in a real browser: they render, answer, can be shared, stopped and taken away."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from lab.catalogue import BY_NAME
from lab.evaluate import evaluate, load, report
from tests.browser.conftest import press_slider, settle, visit, watch
from tests.conftest import outcome_of

NAMES = list(BY_NAME)
LOOKS = [("light", 1280), ("dark", 1280), ("dark", 390), ("light", 390)]
BACKGROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 29)"}


# From the click itself: Playwright's own click first waits until nothing near the button moves.
CLICK_STOP = """() => new Promise((done) => {
  const buttons = [...document.querySelectorAll('[data-testid="stMain"] button')];
  const start = performance.now();
  new MutationObserver((_, observer) => {
    if (!document.body.innerText.includes('You stopped the run at')) return;
    observer.disconnect();
    done(performance.now() - start);
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
  buttons.find((button) => button.innerText.includes('Stop')).click();
})"""


def claims_of(page: Page) -> list[str]:
    """The words of every claim on the page."""
    return page.locator("[class*='st-key-claim-']").all_inner_texts()


def chart(page: Page, number: int = 0):
    return page.get_by_test_id("stVegaLiteChart").nth(number)


@pytest.mark.parametrize("path", ["", "claims", "runs", *NAMES])
def test_a_page_has_no_fault_in_both_themes_and_on_a_phone(app_url, page, path):
    faults = watch(page)
    visit(page, f"{app_url}/{path}")
    for theme, width in LOOKS:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 850})
        settle(page)
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", BACKGROUND[theme])
        expect(page.locator("h1").first).to_be_visible()
        expect(page.get_by_test_id("stException")).to_have_count(0)
        main = page.get_by_test_id("stMain")
        assert main.evaluate("m => m.scrollWidth - m.clientWidth") <= 0, "the page scrolls sideways"
        if path in BY_NAME:
            expect(chart(page)).to_be_visible()
            assert len(claims_of(page)) == len(BY_NAME[path].claim_ids)
        if width > 390:
            assert violations(page) == []
    assert faults == []


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical."""
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_link_made_on_one_server_shows_the_same_on_another(app_url, other_url, page, name):
    start = f"?{name}_seed=3" if "seed" in load(name).Settings.model_fields else ""
    visit(page, f"{app_url}/{name}{start}")
    here = claims_of(page)
    page.get_by_role("tab", name="Take it away").click()
    link = page.get_by_text(f"{app_url}/{name}").first.inner_text()
    assert link.endswith(start)
    visit(page, link.replace(app_url, other_url))
    assert claims_of(page) == here
    assert len(here) == len(BY_NAME[name].claim_ids)


def test_a_slider_changes_the_chart_and_the_address(app_url, page):
    visit(page, f"{app_url}/pca_digits")
    expect(page.get_by_text("20 of 64 components keep")).to_be_visible()
    press_slider(page, "pca_digits_k")
    expect(page.get_by_text("21 of 64 components keep")).to_be_visible()
    expect(page).to_have_url(re.compile(r"pca_digits_k=21"))
    page.reload()
    settle(page)
    expect(page.get_by_text("21 of 64 components keep")).to_be_visible()


def test_settings_leave_the_address_when_another_page_is_opened(app_url, page):
    visit(page, f"{app_url}/pca_digits?pca_digits_k=7")
    page.get_by_role("button", name="Probability").click()
    page.get_by_role("menuitem", name=BY_NAME["clt_batch_variance"].title).click()
    expect(page.locator("h1").first).to_contain_text(BY_NAME["clt_batch_variance"].question)
    settle(page)
    assert "pca_digits_k" not in page.url
    expect(page.get_by_test_id("stAlert")).to_have_count(0)


def test_a_cold_server_opens_a_deep_link_with_navigation_and_setting(cold_url, page):
    visit(page, f"{cold_url}/gcn_cora?gcn_cora_hidden=32")
    expect(page.locator("h1").first).to_contain_text(BY_NAME["gcn_cora"].question)
    expect(page.get_by_test_id("stDialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Graphs")).to_be_visible()
    expect(page.locator(".st-key-gcn_cora_hidden")).to_contain_text("32")
    assert "gcn_cora_hidden=32" in page.url


def test_stop_ends_a_training_at_once_and_keeps_the_last_result(app_url, page):
    visit(page, f"{app_url}/gcn_cora")
    before = claims_of(page)
    slider = page.locator(".st-key-gcn_cora_seeds [role=slider], .st-key-gcn_cora_seeds input").first
    slider.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("The settings have changed")).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    stop = page.get_by_test_id("stMain").get_by_role("button", name="Stop")
    expect(stop).to_be_visible(timeout=20_000)
    took = page.evaluate(CLICK_STOP)
    settle(page)
    expect(stop).to_have_count(0)
    assert claims_of(page) == before
    assert took < 500, f"stopping took {took:.0f} ms"


def test_a_scrubber_moves_through_em_without_a_rerun(app_url, page):
    visit(page, f"{app_url}/em_gmm")
    scatter = chart(page)
    expect(scatter.get_by_text("E-step").first).to_be_visible()
    page.evaluate(
        """() => {
          window.reruns = 0;
          const app = document.querySelector('[data-testid="stApp"]');
          new MutationObserver(() => { if (app.dataset.testScriptState === 'running') window.reruns += 1; })
            .observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
        }"""
    )
    scrubber = scatter.locator(".vega-bind input[type=range]").first
    scrubber.focus()
    page.keyboard.press("ArrowLeft")
    expect(scatter.get_by_text("M-step").first).to_be_visible()
    assert page.evaluate("window.reruns") == 0
    press_slider(page, "em_gmm_separation")
    page.wait_for_function("window.reruns > 0")


@pytest.mark.parametrize("name", NAMES)
def test_downloads_hold_the_numbers_of_the_run(app_url, page, name):
    visit(page, f"{app_url}/{name}")
    page.get_by_role("tab", name="Take it away").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="settings, summary and claims (JSON)").click()
    with open(waiting.value.path(), encoding="utf-8") as file:
        downloaded = json.load(file)
    expected = json.loads(json.dumps(report(evaluate(name, load(name).Settings()))))
    assert {**downloaded, "seconds": 0} == {**expected, "seconds": 0}
    table, frame = next(iter(outcome_of(name).tables.items()))
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"{table} (CSV)", exact=True).click()
    with open(waiting.value.path(), encoding="utf-8") as file:
        assert file.read() == frame.to_csv(index=False)


def test_a_hostile_link_opens_the_page_with_a_note(app_url, page):
    visit(page, f"{app_url}/pca_digits?pca_digits_k=abc&pca_digits_nose=1&pca_digits_noise=1e999")
    alerts = page.get_by_test_id("stAlert")
    expect(alerts).to_have_count(3)
    expect(page.get_by_text("20 of 64 components keep")).to_be_visible()
    press_slider(page, "pca_digits_k")
    expect(alerts).to_have_count(0)


def test_a_challenge_shows_the_answer_of_a_run(app_url, page):
    visit(page, f"{app_url}/pca_digits")
    card = page.locator(".st-key-pca_digits_challenge_2")
    card.get_by_text("15 components", exact=True).click()
    card.get_by_role("button", name="Reveal").click()
    expect(page.get_by_text("You saw it coming.")).to_be_visible()


def test_home_leads_to_an_experiment(app_url, page):
    visit(page, app_url)
    page.get_by_test_id("stMain").get_by_role("link", name=BY_NAME["pca_digits"].title).first.click()
    expect(page.locator("h1").first).to_contain_text(BY_NAME["pca_digits"].question)
