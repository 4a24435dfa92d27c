"""Many people at once: trainings stand aside for pages, and results are drawn a few at a time."""

import threading
import time

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
    people = crowd.crowd()
    came = [people.take_turn() for _ in range(crowd.SIDE_BY_SIDE + 1)]
    assert came == [True] * crowd.SIDE_BY_SIDE + [False]
    with crowd.turn():
        assert people.turns._value == 0
    assert people.turns._value == 0  # nothing is given back that was not taken


def test_a_page_has_one_turn_and_gives_it_up_for_what_takes_long():
    people = crowd.crowd()
    with crowd.turn():
        with crowd.turn():  # the results in the page
            assert people.turns._value == crowd.SIDE_BY_SIDE - 1
        assert people.turns._value == crowd.SIDE_BY_SIDE - 1
        crowd.give_up_turn()
        assert people.turns._value == crowd.SIDE_BY_SIDE
        crowd.give_up_turn()
    assert people.turns._value == crowd.SIDE_BY_SIDE


def test_who_waits_for_a_turn_is_known_and_gets_it():
    people, drawn, hurry = crowd.crowd(), threading.Event(), []

    def draw():
        with crowd.turn():
            hurry.append(not crowd.in_no_hurry())
            people.waiting += 1
            hurry.append(not crowd.in_no_hurry())
            people.waiting -= 1
            drawn.set()

    for _ in range(crowd.SIDE_BY_SIDE):
        people.take_turn()
    visitor = threading.Thread(target=draw)
    visitor.start()
    while not people.waiting:
        time.sleep(0.001)
    assert not drawn.is_set()
    people.turns.release()
    visitor.join(5)
    assert drawn.is_set()
    assert not people.waiting
    assert hurry == [False, True]
    assert not crowd.in_no_hurry()  # nothing is drawn for anybody here


@pytest.mark.parametrize(("name", "trains"), [("optimizer_race", True), ("pca_digits", False)])
def test_pages_are_counted_while_they_are_drawn_and_not_while_they_train(name, trains, monkeypatch):
    seen = []
    evaluate = running.evaluate

    def watched(*args):
        seen.append((crowd.crowd().pages, crowd.crowd().turns._value))
        return evaluate(*args)

    running._cached.clear()
    monkeypatch.setattr(running, "evaluate", watched)
    app = open_page(name)
    assert not app.exception
    # Else two: the page, and in it the results that can run again alone.
    assert seen == [(0, crowd.SIDE_BY_SIDE) if trains else (2, crowd.SIDE_BY_SIDE - 1)]
