"""A chart as an SVG file, drawn with the page's light colours.

The renderer brings a JavaScript engine of about 100 MB, so it runs in a process of its own that ends with
the download: ``python -m ui.picture`` reads a Vega-Lite specification and writes the SVG.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def svg(spec: dict[str, Any]) -> str:
    """The SVG of a Vega-Lite specification; ``RuntimeError`` with the renderer's last line if it fails."""
    command = [sys.executable, "-m", "ui.picture"]
    done = subprocess.run(
        command, input=json.dumps(spec), capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def themed(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification with the light theme's colours and a width of its own."""
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]["light"]
    config = {
        "background": theme["backgroundColor"],
        "font": "sans-serif",
        "range": {
            "category": theme["chartCategoricalColors"],
            "ramp": theme["chartSequentialColors"],
            "heatmap": theme["chartSequentialColors"],
            "ordinal": theme["chartSequentialColors"],
            "diverging": theme["chartDivergingColors"],
        },
    }
    return {**spec, "width": spec.get("width", 720), "config": {**spec.get("config", {}), **config}}


if __name__ == "__main__":
    import vl_convert

    sys.stdout.write(vl_convert.vegalite_to_svg(themed(json.load(sys.stdin))))
