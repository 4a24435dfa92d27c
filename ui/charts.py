"""Chart idioms in one visual language: measured solid blue, theory dashed, violation vermillion.

Colours of meaning are never named here. The theme lists them in the order of ``KINDS`` and ten for classes,
once for light and once for dark, so a chart changes with the theme without being sent again.
"""

import re
import textwrap
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import altair as alt
import pandas as pd
from altair.utils import schemapi

# That the parts of a chart are checked as they are made costs a page a fifth of its time, and more
# habits of Altair two thirds of the rest. The tests turn the checks on again.
schemapi.disable_debug_mode()
if alt.__version__.startswith("6.3."):
    from ui import lighter

    lighter.lighten()

KINDS = ("measured", "theory", "violation")
WORDS = "words"  # the name of a chart's table of words
GREY = "#7b8594"  # the one colour named here: more than 3 to 1 against both backgrounds


def drawing(make: Callable[..., Any]) -> Callable[..., partial[Any]]:
    """Put off a chart until it is known that nobody has drawn it yet: decorates a function of a page.

    The page hands the result to ``page.chart``. What such a function draws depends on what it is called with,
    and on nothing else.
    """

    @wraps(make)
    def later(*args: Any, **kwargs: Any) -> partial[Any]:
        return partial(make, *args, **kwargs)

    return later


def kind(field: str = "kind:N", legend: str = "", shown: tuple[str, ...] = KINDS[:2]) -> alt.Color:
    """Colour by meaning: a column that holds *measured*, *theory* or *violation*.

    ``legend`` is where a legend goes (``"top"``), if any; ``shown`` the meanings it lists.
    """
    key = alt.Legend(title=None, orient=legend, values=list(shown)) if legend else None  # type: ignore[arg-type]
    return alt.Color(field, scale=alt.Scale(domain=list(KINDS)), legend=key)


def paint(chart: alt.Chart, which: str) -> alt.Chart:
    """Give a whole layer the colour of one meaning: ``paint(chart, "theory")``."""
    return chart.transform_calculate(kind=f"'{which}'").encode(color=kind())


def classes(field: str, values: list[Any], title: str | None = None, legend: str = "top") -> alt.Color:
    """Colour by class, with none of the three colours that mean something; ``legend=""`` for none."""
    domain = [*(f" {k}" for k in KINDS), *values]
    if not legend:
        return alt.Color(field, scale=alt.Scale(domain=domain), legend=None)
    letters = max(len(str(value)) for value in values) + 4
    columns = alt.ExprRef(f"max(1, floor(width / {7 * letters}))")  # about 7 px a letter
    shown = alt.Legend(title=title, values=list(values), orient=legend, columns=columns)  # type: ignore[arg-type]
    return alt.Color(field, scale=alt.Scale(domain=domain), legend=shown)


def dash(field: str = "kind:N") -> alt.StrokeDash:
    """Solid for measured, dashed for theory, dotted for violation."""
    scale = alt.Scale(domain=list(KINDS), range=[[1, 0], [6, 4], [2, 2]])
    return alt.StrokeDash(field, scale=scale, legend=None)


def long(frame: pd.DataFrame, x: str, measured: str = "measured", theory: str = "predicted") -> pd.DataFrame:
    """Columns ``measured`` and ``theory`` of a table as rows with a ``kind``."""
    names = {measured: "measured", theory: "theory"}
    tidy = frame[[x, measured, theory]].rename(columns=names)
    return tidy.melt(x, var_name="kind", value_name="value")


def theory_line(frame: pd.DataFrame, x: Any, y: Any) -> alt.Chart:
    """The prediction: a dashed line in the theory colour."""
    line = alt.Chart(frame).mark_line(strokeDash=[6, 4], strokeWidth=2)
    return paint(line.encode(x=x, y=y), "theory")


def measured_line(frame: pd.DataFrame, x: Any, y: Any, point: bool = False) -> alt.Chart:
    """The measurement: a solid line (or line and dots) in the measured colour."""
    line = alt.Chart(frame).mark_line(strokeWidth=2.5, point={"size": 36, "filled": True} if point else False)
    return paint(line.encode(x=x, y=y), "measured")


def vertical(value: float, text: str, which: str = "theory", align: str = "left") -> alt.LayerChart:
    """A labelled vertical line: a threshold, a chosen setting."""
    base = paint(alt.Chart(pd.DataFrame({"at": [value], "text": [text]})).encode(x="at:Q"), which)
    words = base.mark_text(align=align, dx=5 if align == "left" else -5, baseline="top", clip=False)
    return base.mark_rule(strokeDash=[6, 4], strokeWidth=1.5) + words.encode(text="text:N", y=alt.value(4))


def horizontal(value: float, text: str, which: str = "theory") -> alt.LayerChart:
    """A labelled horizontal line: a floor, a published number."""
    base = paint(alt.Chart(pd.DataFrame({"at": [value], "text": [text]})).encode(y="at:Q"), which)
    words = base.mark_text(align="left", dx=4, dy=-7).encode(text="text:N", x=alt.value(0))
    return base.mark_rule(strokeDash=[6, 4], strokeWidth=1.5) + words


def scrubber(name: str, label: str, last: int, start: int = 0) -> alt.Parameter:
    """A slider that moves through frames in the browser, without asking the server."""
    return alt.param(
        name=name, value=start, bind=alt.binding_range(min=0, max=last, step=1, name=f"{label} ")
    )


def titled(chart: Any, title: str, subtitle: str = "", **size: Any) -> Any:
    """The chart under a title that says what it found, broken into lines where the chart is narrow.

    The words stand in a table of the chart, like its numbers. So when a control is moved, the browser puts
    new rows into the chart that is there instead of building one: a third of the time, and nothing flickers.
    """
    if isinstance(chart, partial):
        return partial(_titled_later, chart, title, subtitle, **size)
    words = {name: "\n".join(textwrap.wrap(title, most)) for name, most in {"phone": 34, "half": 52}.items()}
    line = f"data('{WORDS}')[0][width < 380 ? 'phone' : width < 500 ? 'half' : 'title']"
    more = {"subtitle": textwrap.wrap(subtitle, 50), "subtitleColor": GREY} if subtitle else {}
    # The browser would go on reading the first title aloud: the mark below has them all.
    heading = alt.TitleParams(alt.ExprRef(f"split({line}, '\\n')"), anchor="start", aria=False, **more)
    mark = alt.Chart(alt.NamedData(WORDS)).mark_point(size=0, opacity=0, aria=True)
    mark = mark.encode(description="aloud:N")
    # A single view that can be selected in needs a name, else Altair makes one of all the data.
    chart = alt.layer(chart.properties(name="view"), mark) if isinstance(chart, alt.Chart) else chart + mark
    return chart.properties(title=heading, datasets={WORDS: [{"title": title, **words}]}, **size)


def _titled_later(chart: partial[Any], title: str, subtitle: str, **size: Any) -> Any:
    return titled(chart(), title, subtitle, **size)


def title_of(chart: Any) -> str:
    """What ``titled`` was given."""
    return str(chart.datasets[WORDS][0]["title"]) if has_words(chart) else "chart"


def has_words(chart: Any) -> bool:
    """Whether a chart has a table of words."""
    return isinstance(chart.datasets, dict) and WORDS in chart.datasets


def described(chart: Any, text: str) -> str:
    """Put ``text`` into the chart, to be read aloud there with the title; give what to call the chart.

    That is the first clause without its numbers, because a chart with another name is built anew. A picture
    has nothing in it that can be read aloud: it is called by the whole text.
    """
    if not has_words(chart) or chart.usermeta is not alt.Undefined:
        return text
    words = chart.datasets[WORDS][0]
    words["aloud"] = text if words["title"] in text else f"{words['title']}. {text}"
    return re.sub(r"\S*\d\S*", "…", re.split(r"[.:;,] ", text, maxsplit=1)[0])
