"""A page as a notebook: the run, its claims and its main chart, to go on from."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lab.catalogue import BY_NAME
from lab.contract import Settings
from ui.share import arguments


def notebook(name: str, settings: Settings) -> str:
    """An .ipynb that, opened in the project's folder, runs the experiment at ``settings``."""
    row = BY_NAME[name]
    table, x, y = row.preview
    cells = [
        new_markdown_cell(f"# {row.question}\n\n{row.title}. Open this notebook in the project's folder."),
        new_code_cell(
            "import altair as alt\nimport pandas as pd\n\n"
            f"from experiments.{name} import Settings, claims, run, tables"
        ),
        new_code_cell(f"result = run(Settings({arguments(settings)}))\nresult.summary"),
        new_markdown_cell("Theory against measurement:"),
        new_code_cell(
            "pd.DataFrame([claim.as_dict() for claim in claims(result)])"
            '[["id", "verdict", "predicted", "measured", "tolerance", "rule", "statement"]]'
        ),
        new_markdown_cell("The main curve:"),
        new_code_cell(
            f'alt.Chart(tables(result)["{table}"]).mark_line().encode(\n'
            f'    x=alt.X("{x}:Q"), y=alt.Y("{y}:Q", scale=alt.Scale(zero=False))\n)'
        ),
    ]
    # Fixed ids: the same settings give the same file.
    for index, cell in enumerate(cells):
        cell["id"] = f"cell-{index}"
    book = new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    nbformat.validate(book)
    return nbformat.writes(book)
