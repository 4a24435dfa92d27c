"""Many people at once: trainings stand aside for pages, and results are drawn a few at a time."""

from contextlib import ExitStack

import pytest

from tests.test_pages import open_page
from ui import crowd, running


@pytest.fixture(autouse=True)
def nobody_else():
    crowd.crowd.clear()
    yield
    assert crowd.crowd().pages == 0


def alone() -> bool:
    return crowd.crowd().all_drawn.is_set()


def test_a_training_stands_aside_while_any_page_is_drawn_but_its_own():
    assert alone()
    with crowd.drawn():
        assert not alone()
        with crowd.trained():
            assert alone()
            with crowd.drawn():  # of somebody else
                assert not alone()
        assert not alone()
    assert alone()


def test_a_page_that_fails_is_no_longer_waited_for():
    with pytest.raises(ZeroDivisionError), crowd.drawn(), crowd.turn():
        1 / 0
    assert alone()
    assert crowd.crowd().turns._value == crowd.SIDE_BY_SIDE


def test_whoever_waited_long_enough_is_drawn_without_a_turn(monkeypatch):
    monkeypatch.setattr(crowd, "PATIENCE", 0)
    with ExitStack() as everybody:
        for _ in range(crowd.SIDE_BY_SIDE + 2):
            everybody.enter_context(crowd.turn())
        assert crowd.crowd().turns._value == 0
    assert crowd.crowd().turns._value == crowd.SIDE_BY_SIDE


@pytest.mark.parametrize(("name", "trains"), [("optimizer_race", True), ("pca_digits", False)])
def test_pages_are_counted_while_they_are_drawn_and_not_while_they_train(name, trains, monkeypatch):
    seen = []
    evaluate = running.evaluate

    def watched(*args):
        seen.append(crowd.crowd().pages)
        return evaluate(*args)

    running._cached.clear()
    monkeypatch.setattr(running, "evaluate", watched)
    app = open_page(name)
    assert not app.exception
    assert seen == ([0] if trains else [2])  # the page, and in it the results that can run again alone
