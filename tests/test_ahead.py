"""What is computed before it is asked for."""

import threading
import time

import pytest

from experiments import bayes_base_rate, kl_directions, svd_low_rank
from tests.test_pages import open_page
from ui import ahead, running


def wait_until(true) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def idle():
    yield
    wait_until(lambda: not ahead._ahead().lock.locked())


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


@pytest.mark.parametrize("seconds", [0.5])
def test_after_one_step_of_a_slider_the_next_is_computed_while_nobody_waits(computed):
    slider = open_page("svd_low_rank").slider(key="svd_low_rank_k")
    start = slider.value
    app = slider.set_value(start + 2).run()
    wait_until(lambda: (start + 4, False) in computed and not ahead._ahead().lock.locked())
    app.run().slider(key="svd_low_rank_k").set_value(start + 4).run()
    assert [k for k, _ in computed].count(start + 4) == 1
    assert (start + 4, True) not in computed


@pytest.mark.parametrize("seconds", [0.001, 5.0])
def test_what_is_quick_or_takes_long_is_not_computed_ahead(computed):
    slider = open_page("svd_low_rank").slider(key="svd_low_rank_k")
    slider.set_value(slider.value + 2).run()
    assert not ahead._ahead().lock.locked()
    assert all(for_a_visitor for _, for_a_visitor in computed)


def test_what_is_computed_ahead_makes_way_for_what_is_wanted():
    reached, given_up = threading.Event(), threading.Event()

    def endless(tick):
        try:
            while True:
                reached.set()
                tick(0.5)
                time.sleep(0.001)
        except ahead.Unwanted:
            given_up.set()
            raise

    ahead.begin("this", endless)
    assert reached.wait(5)
    ahead.begin("one thing at a time", lambda tick: pytest.fail("two at once"))
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
