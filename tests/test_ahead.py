"""What is computed and drawn before it is asked for."""

import threading
import time
from functools import wraps

import pytest

from experiments import bayes_base_rate, kl_directions, svd_low_rank
from tests.test_pages import open_page
from ui import ahead, once, page, running


@pytest.fixture
def computed(monkeypatch, seconds):
    """The ranks that svd_low_rank was computed at, in ``seconds`` each, and whether a visitor waited."""
    seen: list[tuple[int, bool]] = []
    evaluate = running.evaluate

    def slow(name, settings, tick):
        seen.append((settings.k, threading.current_thread().name != "ahead"))
        outcome = evaluate(name, settings, tick)
        object.__setattr__(outcome, "seconds", seconds)
        return outcome

    monkeypatch.setattr(running, "evaluate", slow)
    running._cached.clear()
    yield seen
    running._cached.clear()


@pytest.fixture
def drawn(monkeypatch):
    """The words of every chart that is made, and whether a visitor waited."""
    seen: list[tuple[str, bool]] = []
    draw = page._draw

    @wraps(draw)
    def watched(make, alt):
        seen.append((alt, threading.current_thread().name != "ahead"))
        return draw(make, alt)

    monkeypatch.setattr(page, "_draw", watched)
    once.forget()
    yield seen
    once.forget()


def step(app, key: str, steps: int, size: float):
    """Move a slider step by step, with rests in which the server gets ahead."""
    for _ in range(steps):
        slider = app.run().slider(key=key)  # a move shows AppTest the results alone
        app = slider.set_value(slider.value + size).run()
        assert not app.exception
        ahead.rest()
    return app


@pytest.mark.parametrize("seconds", [0.001, 0.5])
def test_after_one_step_of_a_slider_the_next_is_computed_while_nobody_waits(computed):
    app = open_page("svd_low_rank")
    start = app.slider(key="svd_low_rank_k").value
    step(app, "svd_low_rank_k", 2, 2)
    assert (start + 2, True) in computed
    assert [for_a_visitor for k, for_a_visitor in computed if k == start + 4] == [False]


@pytest.mark.parametrize("seconds", [5.0])
def test_what_takes_long_is_not_computed_ahead(computed):
    step(open_page("svd_low_rank"), "svd_low_rank_k", 1, 2)
    assert all(for_a_visitor for _, for_a_visitor in computed)


def test_after_one_step_of_a_slider_the_next_is_drawn_while_nobody_waits(drawn):
    app = step(open_page("kl_directions"), "kl_directions_separation", 1, 0.2)
    assert any(not for_a_visitor for _, for_a_visitor in drawn)
    drawn.clear()
    step(app, "kl_directions_separation", 1, 0.2)
    assert not any(for_a_visitor for _, for_a_visitor in drawn)


def test_what_the_visitor_has_chosen_to_look_at_is_drawn_ahead(drawn):
    app = open_page("em_gmm")
    chosen = app.selectbox(key="em_gmm_view_axes_iris")
    app = chosen.set_value(chosen.options[0]).run()
    assert not app.exception
    ahead.rest()
    app = step(app, "em_gmm_starts", 1, -1)
    drawn.clear()
    step(app, "em_gmm_starts", 1, -1)
    assert not any(for_a_visitor for _, for_a_visitor in drawn)


def test_what_fails_ahead_is_told_to_nobody_until_it_is_asked_for(monkeypatch):
    evaluate = running.evaluate

    def fails(name, settings, tick):
        if settings.k == 24:
            raise RuntimeError("no such rank")
        return evaluate(name, settings, tick)

    monkeypatch.setattr(running, "evaluate", fails)
    running._cached.clear()
    app = step(open_page("svd_low_rank"), "svd_low_rank_k", 1, 2)
    assert not app.error
    app = app.run().slider(key="svd_low_rank_k").set_value(24).run()
    assert "RuntimeError" in app.error[0].value
    running._cached.clear()


def test_what_is_computed_ahead_makes_way_for_what_is_wanted():
    reached, given_up = threading.Event(), threading.Event()

    def endless(check):
        try:
            while True:
                reached.set()
                check()
                time.sleep(0.001)
        except ahead.Unwanted:
            given_up.set()
            raise

    ahead.begin("this", endless)
    assert reached.wait(5)
    ahead.begin("one thing at a time", lambda check: pytest.fail("two at once"))
    ahead.make_way("this")
    assert not given_up.wait(0.1)
    ahead.make_way("that")
    assert given_up.wait(5)


@pytest.mark.parametrize(
    ("module", "before", "now", "then"),
    [
        (svd_low_rank, {"k": 10}, {"k": 12}, {"k": 14}),
        (svd_low_rank, {"k": 3}, {"k": 1}, None),  # no rank below 1
        (svd_low_rank, {"k": 10}, {"k": 12, "seed": 5}, None),  # two at once tell no direction
        (svd_low_rank, {}, {}, None),
        (kl_directions, {"mu": 0.1}, {"mu": 0.2}, {"mu": 0.3}),
        (bayes_base_rate, {"prevalence": 0.01}, {"prevalence": 0.011}, {"prevalence": 0.012}),  # log
    ],
)
def test_the_next_step_goes_on_in_the_same_direction(module, before, now, then):
    expected = None if then is None else module.Settings(**then)
    assert ahead.next_step(module.Settings(**before), module.Settings(**now)) == expected
