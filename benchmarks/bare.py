"""The bare Streamlit page that ours are compared with: a slider, and the main chart of one of our pages.

    streamlit run benchmarks/bare.py, then /?folder=FOLDER&page=NAME&way=WAY

It computes nothing: the numbers of the chart at two settings lie in FOLDER. WAY is what it does at each
move: ``makes`` makes the chart with Altair as it comes and hands it to Streamlit, as everybody's page does;
``hands`` made it before and hands it over; ``sends`` made before what Streamlit makes of it, and only sends
that.
"""

import inspect
import json
import pickle
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import altair  # noqa: F401  # as everyone does who draws with it
import pyarrow as pa
import streamlit as st


class Saver(pickle.Pickler):
    """Saves the functions of a page by their name alone: there is no module to import them from."""

    def persistent_id(self, thing: Any) -> str | None:
        """The name of such a function; None for all else."""
        if not isinstance(thing, FunctionType) or "/pages/" not in thing.__code__.co_filename:
            return None
        return thing.__name__


class Loader(pickle.Unpickler):
    """Looks such functions up by their name."""

    named: dict[str, Any]

    def persistent_load(self, name: str) -> Any:
        """The function itself, where it is put off."""
        return inspect.unwrap(self.named[name])


@st.cache_resource
def functions(page: str) -> dict[str, Any]:
    """What the page defines before it opens; with it, Altair does all that it does by itself."""
    from altair.utils import schemapi

    from lab.evaluate import ROOT
    from ui import lighter

    for (place, name), own in lighter.HEAVY.items():
        setattr(place, name, own)
    schemapi.enable_debug_mode()
    found: dict[str, Any] = {}
    exec((ROOT / "pages" / f"{page}.py").read_text().split("\npage = open_page(")[0], found)
    return found


@st.cache_resource
def recipe(folder: Path, page: str, which: int) -> tuple[partial[Any], str]:
    """The page's function of the chart and what it is called with; what the chart shows."""
    with (folder / f"{page}_{which}.pickle").open("rb") as file:
        loader = Loader(file)
        loader.named = functions(page)
        return loader.load()


def make(folder: Path, page: str, which: int) -> tuple[Any, str]:
    """The chart by Altair, and its name."""
    from ui import charts

    draw, words = recipe(folder, page, which)
    chart = draw()
    return chart, charts.described(chart, words)


made_before = st.cache_resource(make)


@st.cache_resource
def specification(folder: Path, page: str, which: int) -> tuple[dict[str, Any], str]:
    """What Streamlit makes of the chart, and its name."""
    made = json.loads((folder / f"{page}_{which}.json").read_text())
    files = {table: (folder / f"{table}.arrow").read_bytes() for table in made["tables"]}
    frames = {table: pa.ipc.open_stream(file).read_pandas() for table, file in files.items()}
    return {**made["spec"], "datasets": frames}, made["alt"]


def main() -> None:
    """Draw the page."""
    st.set_page_config(layout="wide")
    folder, page, way = (st.query_params[name] for name in ("folder", "page", "way"))
    what = Path(folder), page, st.slider("k", 0, 1000, 500, key="bare_k") % 2
    if way == "sends":
        spec, words = specification(*what)
        st.vega_lite_chart(spec, width="stretch", alt=words)
    else:
        chart, words = make(*what) if way == "makes" else made_before(*what)
        st.altair_chart(chart, width="stretch", alt=words)


if __name__ == "__main__":
    main()
