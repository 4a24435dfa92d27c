"""What experiments remember: made once, and no more of it than they say."""

from lab.memory import keep, remembered


def test_what_was_made_is_not_made_again_until_it_had_to_leave():
    made: list[str] = []
    memory: dict[str, str] = {}
    for key in ("a", "b", "a", "c", "b", "a"):  # two are kept: c pushes a out, and the last a pushes b out
        assert remembered(memory, key, 2, lambda key=key: made.append(key) or key.upper()) == key.upper()
    assert made == ["a", "b", "c", "a"]
    assert list(memory) == ["c", "a"]


def test_what_is_kept_again_is_the_youngest():
    memory = {"a": 1, "b": 2}
    keep(memory, "a", 3, 2)
    keep(memory, "c", 4, 2)
    assert memory == {"a": 3, "c": 4}
