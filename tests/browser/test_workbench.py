"""The workbench in a real browser: predict, compare, share, find, and use without a mouse."""

import pytest
from playwright.sync_api import expect

from lab.catalogue import BY_NAME, EXPERIMENTS
from lab.evaluate import load
from tests.browser.conftest import chart, download, part, press_slider, settle, visit
from tests.conftest import outcome_of

NAMES = list(BY_NAME)


@pytest.mark.xdist_group("home")
def test_home_remembers_what_was_predicted(app_url, page):
    visit(page, f"{app_url}/pca_digits")
    field = page.locator(".st-key-pca_digits_challenge_0 input")
    field.fill("21")
    field.press("Enter")
    page.locator(".st-key-pca_digits_challenge_0").get_by_role("button", name="Reveal").click()
    expect(page.get_by_text("Spot on.")).to_be_visible()
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_text("Your predictions: 1 of 1 seen coming")).to_be_visible()


def test_the_ninth_pin_pushes_out_the_first_and_says_so(app_url, page):
    visit(page, f"{app_url}/pca_digits")
    pin, drawn = page.get_by_role("button", name="Pin this run"), chart(page)
    for number in range(1, 9):
        pin.click()
        # Streamlit breaks a callback off when the next change comes within the same hundredth of a second.
        expect(drawn.get_by_text(f"pin {number}", exact=True)).to_be_visible()
        press_slider(page, "pca_digits_k")
        expect(page.get_by_text(f"{20 + number} of 64 components keep")).to_be_visible()
    pin.click()
    expect(page.get_by_text("pin 1 left")).to_be_visible()  # before anything else: it goes by itself
    expect(drawn.get_by_text("pin 9")).to_be_visible()
    expect(drawn.get_by_text("pin 1", exact=True)).to_have_count(0)


def test_repeating_over_seeds_gives_mean_and_standard_error(app_url, page):
    visit(page, f"{app_url}/pca_digits")
    part(page, "Compare")
    page.get_by_role("button", name="Repeat over seeds").click()
    expect(page.get_by_text("over 5 seeds")).to_be_visible(timeout=30_000)
    assert len(download(page, "every run (CSV)").splitlines()) == 6


@pytest.mark.xdist_group("home")
def test_search_narrows_the_cards_while_typing(app_url, page):
    visit(page, app_url)
    cards = page.locator("[class*='st-key-card_']")
    expect(cards).to_have_count(len(NAMES))
    page.get_by_label("Search experiments").press_sequentially("handwritten digit")
    expect(page.locator(".st-key-card_pca_digits")).to_be_visible()
    expect(cards).not_to_have_count(len(NAMES))
    page.get_by_label("Search experiments").fill("no such words zzz")
    expect(page.get_by_text("Nothing contains all of these words")).to_be_visible()


def test_the_ledger_verifies_a_chapter_and_filters(app_url, page):
    claims = [c for row in EXPERIMENTS if row.chapter == "2.1" for c in outcome_of(row.name).claims]
    taught_wrongly = [c for c in claims if c.text_verdict in ("wrong", "conditional")]
    visit(page, f"{app_url}/claims?claims_chapter=Linear+algebra")
    page.get_by_role("button", name="Verify Linear algebra").click()
    expect(page.get_by_text(f"{len(claims)} claims.")).to_be_visible(timeout=30_000)
    page.get_by_text("Errata: only what is often taught wrongly").click()
    expect(page.get_by_text(f"{len(taught_wrongly)} claims.")).to_be_visible()
    assert download(page, "the ledger (CSV)").startswith("experiment,chapter,id,statement")


@pytest.mark.xdist_group("home")
def test_home_leads_to_a_page_back_to_home_and_forward_to_the_same_settings(app_url, page):
    visit(page, app_url)
    page.get_by_test_id("stMain").get_by_role("link", name=BY_NAME["pca_digits"].title).first.click()
    expect(page.locator("h1").first).to_contain_text(BY_NAME["pca_digits"].question)
    expect(page.get_by_text("20 of 64 components keep")).to_be_visible()
    press_slider(page, "pca_digits_k")
    expect(page.get_by_text("21 of 64 components keep")).to_be_visible()
    page.go_back()
    expect(page.locator("h1").first).to_have_text("Proving Ground")
    settle(page)
    page.go_forward()
    expect(page.get_by_text("21 of 64 components keep")).to_be_visible()


def test_previous_and_next_lead_through_the_catalogue(app_url, page):
    visit(page, f"{app_url}/{NAMES[0]}")
    for name in NAMES[1:3]:
        page.get_by_role("link", name=f"Next: {BY_NAME[name].title}").click()
        expect(page.locator("h1").first).to_contain_text(BY_NAME[name].question)
        settle(page)


def test_every_control_can_be_reached_and_seen_by_keyboard(app_url, page):
    visit(page, f"{app_url}/pca_digits")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached |= set(
            page.evaluate(
                """() => {
                  const keys = [];
                  for (let e = document.activeElement; e; e = e.parentElement)
                    for (const c of e.classList) if (c.startsWith('st-key-')) keys.push(c.slice(7));
                  return keys;
                }"""
            )
        )
    for field in load("pca_digits").Settings.model_fields:
        assert f"pca_digits_{field}" in reached
    assert {"_pca_digits_reset", "_pca_digits_new_seed", "_pca_digits_pin"} <= reached


def test_a_guess_stands_on_the_chart_before_the_data_do(app_url, page):
    visit(page, f"{app_url}/pca_digits")
    index = next(i for i, challenge in enumerate(load("pca_digits").CHALLENGES) if challenge.curve)
    card = page.locator(f".st-key-pca_digits_challenge_{index}")
    card.locator("input").fill("30")
    card.locator("input").press("Enter")
    expect(card.locator(".mark-symbol path")).to_have_count(1)
    expect(card.locator(".mark-line path")).to_have_count(0)
    card.get_by_role("button", name="Reveal").click()
    expect(card.locator(".mark-line path")).to_have_count(1)
    expect(card.locator(".mark-symbol path")).to_have_count(1)


@pytest.mark.xdist_group("home")
def test_the_path_and_the_glossary_lead_to_experiments(app_url, page):
    visit(page, app_url)
    path = page.locator("[aria-label^='Learning path']")
    for row in EXPERIMENTS:
        expect(path.get_by_text(row.title, exact=True)).to_have_count(1)
    page.get_by_text("Glossary", exact=True).click()
    link = page.get_by_test_id("stExpander").get_by_role("link").first
    title = link.inner_text()
    link.click()
    expect(page.get_by_test_id("stCaptionContainer").first).to_contain_text(title)


def test_the_menu_of_a_chart_saves_a_picture(app_url, page):
    visit(page, f"{app_url}/pca_digits")
    chart(page).hover()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download as PNG").first.click()
    with open(waiting.value.path(), "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_nothing_moves_by_itself_for_those_who_asked_for_it(app_url, page):
    page.emulate_media(reduced_motion="reduce")
    visit(page, f"{app_url}/em_gmm")
    press_slider(page, "em_gmm_separation")
    settle(page)
    moving = page.evaluate("document.getAnimations().filter((a) => a.playState === 'running').length")
    assert moving == 0
