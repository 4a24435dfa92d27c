"""Every page through the front door: as it opens, at the ends of every control, and with a hostile link."""

import ast
import base64
import pickle
import re
from functools import partial
from io import BytesIO
from itertools import cycle

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from altair.utils import schemapi
from PIL import Image
from pydantic import ValidationError
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

import ui.page
from lab.catalogue import BY_NAME
from lab.contract import Check, Claim, bounds, choices
from lab.evaluate import ROOT, load
from tests.conftest import outcome_of
from ui import frame, lighter, once

NAMES = list(BY_NAME)


def open_page(name: str, **query: str) -> AppTest:
    """The page ``name`` as a visitor sees it who comes through the front door with a link."""
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    return app.switch_page(f"pages/{name}.py").run()


def quick(name: str, **query: str) -> dict[str, str]:
    """A link's parameters that make a run as quick as on the home page, and ``query``."""
    preview = {f"{name}_{field}": str(value) for field, value in BY_NAME[name].preview_settings}
    return {**preview, **query}


def texts(app: AppTest) -> str:
    """All the words on the page."""
    return "\n".join(
        element.value
        for kind in (app.title, app.markdown, app.warning, app.error, app.info)
        for element in kind
    )


def check(app: AppTest, name: str) -> None:
    assert not app.exception, app.exception[0].message
    assert not app.error, app.error[0].value
    assert BY_NAME[name].question in app.title[0].value
    for claim_id in BY_NAME[name].claim_ids:
        assert f"`{claim_id}`" in texts(app)


@pytest.fixture(autouse=True)
def _checked(monkeypatch):
    """Charts are checked part by part."""
    once.forget()  # what an earlier test drew was perhaps not checked
    monkeypatch.setattr(schemapi, "DEBUG_MODE", True)
    monkeypatch.setattr(ui.page, "HEAD_START", 0)  # no browser waits
    # Before each run AppTest searches all installed packages for components, as a server does once.
    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", list)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_opens_with_charts_and_all_its_claims(name):
    app = open_page(name)
    check(app, name)
    charts = app.get("vega_lite_chart")
    assert len(charts) >= 2
    assert all(chart.proto.alt for chart in charts)
    assert not [chart.proto.alt for chart in charts if chart.proto.alt.startswith("…")]
    assert "refuted" not in texts(app)


@pytest.mark.parametrize("name", NAMES)
def test_the_charts_are_those_that_altair_makes_by_itself(name, monkeypatch):
    assert schemapi._FromDict is lighter.Remembered  # else see whether ui/lighter.py fits the new Altair
    app = open_page(name).button(key=f"_{name}_pin").click().run()  # with a ghost line in the main chart
    ours = specs(app)
    for (place, part), heavy in lighter.HEAVY.items():
        monkeypatch.setattr(place, part, heavy)
    once.forget()
    assert ours == specs(app.run())


def specs(app: AppTest) -> list[str]:
    """The charts of a page, without the names of their data, which differ from run to run."""
    return [re.sub(r'"name": "[0-9a-f]{32}"', "", c.proto.spec) for c in app.get("vega_lite_chart")]


def drawn(app: AppTest) -> list[tuple[str, str, list[str]]]:
    """All that can be seen of each chart: its name, how it is made, and its tables."""
    tables = [
        [
            pa.ipc.open_stream(table.data.data).read_pandas().to_json(orient="split")
            for table in c.proto.datasets
        ]
        for c in app.get("vega_lite_chart")
    ]
    return [(*skeleton, rows) for skeleton, rows in zip(skeletons(app), tables, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_what_others_drew_is_shown_only_where_the_same_was_chosen(name):
    app = open_page(name, **quick(name))
    for kind in ("selectbox", "segmented_control", "number_input"):
        for key in [c.key for c in app.get(kind) if str(c.key).startswith(f"{name}_view_")]:
            shown = drawn(moved(app, kind, key).run())
            once.forget()
            assert drawn(app.run()) == shown, key


def moved(app: AppTest, kind: str, key: str) -> AppTest:
    """The page after a control was moved a little; what takes a press of *Run* is left."""
    control = next(c for c in app.get(kind) if c.key == key)
    if kind in ("slider", "number_input"):
        step = control.step if control.value + control.step <= control.max else -control.step
        return control.set_value(control.value + step).run()
    others = [option for option in control.options if option != control.value]
    return control.set_value(others[0]).run() if others else app


@pytest.mark.parametrize("name", [row.name for row in BY_NAME.values() if row.kind == "instant"])
def test_a_moved_slider_brings_new_rows_and_no_new_chart(name):
    app = open_page(name)
    kept = set()
    for key in [s.key for s in app.slider if str(s.key).startswith(f"{name}_")]:
        before = skeletons(app)
        app = moved(app, "slider", key)
        after = skeletons(app)
        kept |= {number for number, (a, b) in enumerate(zip(before, after, strict=False)) if a == b}
        app.run()  # the whole page again
    assert len(kept) >= len(after) / 2


@pytest.mark.parametrize("name", [row.name for row in BY_NAME.values() if row.kind == "instant"])
def test_a_moved_slider_runs_the_results_alone_and_they_are_those_of_the_whole_page(name):
    app = open_page(name, **quick(name))
    moved(app, "slider", next(s.key for s in app.slider if str(s.key).startswith(f"{name}_")))
    assert not app.exception
    assert not app.title
    charts, words = drawn(app), [m.value for m in app.markdown]
    app.run()
    assert app.title
    assert drawn(app)[: len(charts)] == charts
    assert words == [m.value for m in app.markdown if m.value in words]


def test_the_whole_page_runs_when_more_than_its_results_depends_on_a_control():
    app = open_page("pca_digits")
    app.segmented_control(key="_pca_digits_about").set_value("Take it away").run()
    app.slider(key="pca_digits_k").set_value(5).run()
    assert any("pca_digits_k=5" in code.value for code in app.code)


def test_the_whole_page_runs_now_and_then_however_long_one_slider_is_moved(monkeypatch):
    monkeypatch.setattr(frame, "MOVES", 3)
    app = open_page("pca_digits")
    slider = app.slider(key="pca_digits_k")
    whole = []
    for k in range(1, 8):
        slider.set_value(k).run()  # the slider of the page as it was opened: it is not drawn each time
        assert any(f"from {k} " in header.value for header in app.header)
        whole.append(bool(app.title))
    assert whole == [False, False, False, True, False, False, False]


def skeletons(app: AppTest) -> list[tuple[str, str]]:
    """The names of a page's charts and how they are made: if both stay, the browser keeps the chart."""
    return list(zip([c.proto.alt for c in app.get("vega_lite_chart")], specs(app), strict=True))


def test_what_one_visitor_drew_is_repeated_for_the_next():
    def script(made, text):
        from functools import partial

        import streamlit as st

        from ui.once import drawn_once

        def draw(text):
            made.append(text)
            st.markdown(text)
            return f"title of {text}"

        draw.__qualname__ = "draw"  # as of a function of a page
        assert drawn_once(partial(draw, text), "the code's version") == f"title of {text}"

    made: list[str] = []
    for text in ("one", "one", "another", "one"):
        visitor = AppTest.from_function(script, args=(made, text)).run()
        assert [m.value for m in visitor.markdown] == [text]
    assert made == ["one", "another"]


def test_drawings_of_equal_things_have_one_name():
    frame = pd.DataFrame({"x": [1.0, 2.0], "word": ["yes", "no"]})
    words = ["word", "yes"]

    def name(*things):
        return once._name(partial(name_of_nothing, *things), "")

    assert name(frame, words) == name(*pickle.loads(pickle.dumps((frame, words))))
    assert name(words, words) == name(words, ["word", "yes"])
    assert name(np.eye(3)[:, ::2]) == name(np.eye(3)[:, ::2].copy())
    assert name(frame) != name(frame.assign(x=[1.0, 3.0]))


def name_of_nothing(*things):
    raise AssertionError


@pytest.mark.parametrize("name", NAMES)
def test_what_a_chart_shows_depends_on_nothing_but_what_its_function_is_called_with(name):
    page = ast.parse((ROOT / "pages" / f"{name}.py").read_text())
    opened = next(i for i, line in enumerate(page.body) if "= open_page(" in ast.unparse(line))
    of_results = {node.id for line in page.body[opened:] for node in ast.walk(line) if stored(node)}
    functions = {line.name: line for line in page.body if isinstance(line, ast.FunctionDef)}
    used = {name: looked_up(function) for name, function in functions.items()}
    for name, function in functions.items():
        if any(ast.unparse(decorator) == "charts.drawing" for decorator in function.decorator_list):
            called = used[name]
            while more := {u for other in called & set(used) for u in used[other]} - called:
                called |= more
            assert not called & of_results, name


def looked_up(function: ast.FunctionDef) -> set[str]:
    """The names in a function that are not its own."""
    nodes = list(ast.walk(function))
    own = {node.id for node in nodes if stored(node)} | {n.arg for n in nodes if isinstance(n, ast.arg)}
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node is not function}
    return {node.id for node in nodes if isinstance(node, ast.Name)} - own


def stored(node: ast.AST) -> bool:
    """Whether this gives a name its value."""
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def test_a_chart_that_breaks_the_schema_is_found_by_these_tests():
    wrong = alt.Chart(pd.DataFrame({"k": [1]})).mark_point().encode(x=alt.X("k:Q"))
    wrong.encoding.x.aggregate = "no such thing"
    with pytest.raises(schemapi.SchemaValidationError, match="no such thing"):
        wrong.to_dict()


def test_the_film_of_the_photograph_shows_it():
    app = open_page("svd_low_rank")
    frames = next(d for d in app.get("vega_lite_chart")[0].proto.datasets if b"data:image" in d.data.data)
    url = pa.ipc.open_stream(frames.data.data).read_pandas().url.iloc[-1]
    shown = np.asarray(Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))), dtype=float)
    original = outcome_of("svd_low_rank").result.original * 255
    times = shown.shape[1] // original.shape[1]
    assert np.abs(shown[::times, ::times] - original).mean() < 40  # of 255, with few terms and as a JPEG


def test_home_names_every_experiment():
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60).run()
    assert not app.exception
    assert all(row.question in texts(app) for row in BY_NAME.values())


def ends(name: str) -> list[dict[str, object]]:
    """A few settings that between them move every control to each of its ends or options."""
    kind = load(name).Settings
    base = dict(BY_NAME[name].preview_settings)
    left = [
        (field, value)
        for field, info in kind.model_fields.items()
        for value in (choices(info) or ((False, True) if info.annotation is bool else bounds(info)))
        if value is not None
    ]
    together = []
    while left:
        chosen: dict[str, object] = {}
        for field, value in left:
            if field not in chosen and allowed_together(kind, {**base, **chosen, field: value}):
                chosen[field] = value
        left = [end for end in left if chosen.get(end[0]) != end[1]]
        together.append({**base, **chosen})
    return together


def allowed_together(kind, values) -> bool:
    try:
        kind(**values)
    except ValidationError:
        return False
    return True


def as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "values"), [(name, values) for name in NAMES for values in ends(name)])
def test_every_control_can_be_moved_to_its_ends(name, values):
    app = open_page(name, **{f"{name}_{field}": as_text(value) for field, value in values.items()})
    check(app, name)
    for field, value in values.items():
        assert app.session_state[f"{name}_{field}"] == value


BAD = [
    "",
    "abc",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-99999",
    "99999999",
    "<script>alert(1)</script>",
    "../../etc",
]


@pytest.mark.parametrize("value", BAD)
def test_a_hostile_link_opens_the_page_and_says_which_field(value):
    app = open_page("pca_digits", pca_digits_k=value)
    check(app, "pca_digits")
    assert any("k =" in warning.value for warning in app.warning)
    assert app.session_state["pca_digits_k"] == 20


def test_an_infinite_seed_in_a_link_is_refused_like_any_other():
    app = open_page("pca_digits", pca_digits_seed="inf")
    check(app, "pca_digits")
    assert any("seed = inf" in warning.value for warning in app.warning)
    app.number_input(key="pca_digits_seed").set_value(3).run()
    assert not app.warning
    check(app.run(), "pca_digits")


@pytest.mark.parametrize("name", NAMES)
def test_every_page_opens_though_all_of_its_link_is_hostile(name):
    fields = load(name).Settings.model_fields
    bad = dict(zip(fields, cycle(BAD), strict=False))
    text = {f for f, info in fields.items() if info.annotation is str}
    app = open_page(name, **{f"{name}_{field}": value for field, value in bad.items() if field not in text})
    check(app, name)
    noted = [f for f in fields if f not in text][:8]  # of the first eight faults
    for field in set(fields) - text:
        said = any(f"{field} =" in warning.value for warning in app.warning)
        assert said == (field in noted), field
        assert app.session_state[f"{name}_{field}"] == fields[field].default


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pca_digits_centre", "maybe"),
        ("pca_digits_kk", "3"),
        ("k", "3"),
        ("__class__", "x"),
        ("gcn_cora_hidden", "8"),
    ],
)
def test_a_link_with_a_foreign_or_misspelt_key_says_so(key, value):
    app = open_page("pca_digits", **{key: value})
    check(app, "pca_digits")
    assert any(key.removeprefix("pca_digits_").strip("_") in warning.value for warning in app.warning)


def test_text_from_a_link_stays_text():
    app = open_page(
        "pca_digits", pca_digits_noise="![x](http://127.0.0.1/x.png) $a$ [b](c) `d` :material/star:"
    )
    assert len(app.warning) == 1
    assert not set("![]()$`*<>") & set(app.warning[0].value)


def test_a_value_between_two_steps_is_snapped():
    app = open_page("pca_digits", pca_digits_noise="0.3")
    check(app, "pca_digits")
    assert app.session_state["pca_digits_noise"] == 0.5


def test_a_setting_changes_the_numbers_and_reset_brings_them_back():
    app = open_page("pca_digits")
    before = app.title[0].value, [m.value for m in app.markdown]
    app.slider(key="pca_digits_k").set_value(5).run()
    assert [m.value for m in app.run().markdown] != before[1]
    app.button(key="_pca_digits_reset").click().run()
    assert app.session_state["pca_digits_k"] == 20
    assert [m.value for m in app.markdown] == before[1]


def test_a_new_seed_is_another_seed():
    app = open_page("pca_digits")
    app.button(key="_pca_digits_new_seed").click().run()
    assert app.session_state["pca_digits_seed"] > 0


def test_settings_do_not_leak_from_page_to_page():
    app = open_page("pca_digits", pca_digits_seed="7")
    app.switch_page("pages/em_gmm.py").run()
    check(app, "em_gmm")
    assert app.session_state["em_gmm_seed"] == 0


def test_an_experiment_that_fails_leaves_the_last_good_result(monkeypatch):
    app = open_page("pca_digits")
    monkeypatch.setattr(load("pca_digits"), "run", lambda *a, **k: 1 / 0)
    app.slider(key="pca_digits_k").set_value(11).run()
    assert not app.exception
    assert "ZeroDivisionError" in app.error[0].value
    assert any("last run that worked" in warning.value for warning in app.warning)
    assert "`2.1-pca-01`" in texts(app)
    assert any("/pca_digits?pca_digits_k=11" in code.value for code in app.code)


def test_a_training_page_waits_for_run_and_marks_what_is_stale():
    app = open_page("gcn_cora", **quick("gcn_cora"))
    app.slider(key="gcn_cora_seeds").set_value(16).run()
    assert any("Press **Run**" in warning.value for warning in app.warning)
    app.button(key="_gcn_cora_run").click().run()
    assert not app.warning
    check(app, "gcn_cora")


def test_a_short_training_follows_the_slider():
    app = open_page("gcn_cora", **quick("gcn_cora"))
    before = specs(app)
    app.slider(key="gcn_cora_hidden").set_value(8).run()
    assert not app.warning
    assert app.button(key="_gcn_cora_run").disabled
    assert specs(app) != before
    check(app, "gcn_cora")


def test_the_further_checks_of_the_claims_are_listed_when_asked_for():
    app = open_page("pca_digits")
    also = [check for claim in outcome_of("pca_digits").claims for check in claim.also]
    assert not any(check.what in texts(app) for check in also)
    app.toggle(key="_claims_further").set_value(True).run()
    assert all(check.what in texts(app) for check in also)
    assert texts(app).count("\n- :green") == len(also)


def test_a_further_check_that_fails_is_listed_unasked():
    bad = Check(what="the sum of the parts", predicted=1, measured=2)
    claim = Claim(id="x", statement="s", predicted=0, measured=0, also=(bad,))

    def page(claim):
        from ui import claims

        claims.card(claim, checks=False)

    app = AppTest.from_function(page, kwargs={"claim": claim}).run()
    assert "refuted" in texts(app)
    assert bad.what in texts(app)


def test_a_challenge_is_answered_from_a_run():
    app = open_page("pca_digits")
    app.number_input(key="_pca_digits_challenge_0_guess").set_value(21).run()
    app.button(key="_pca_digits_challenge_0_reveal").click().run()
    assert not app.exception
    assert "Spot on" in texts(app)
