"""The data sets, read from the files that installed packages ship: no download, no heavy import.

scikit-learn's small sets are read straight from its package folder, because importing scikit-learn to
open a CSV file would cost seconds and 150 MB.
"""

import gzip
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from lab.contract import Array
from lab.memory import fixed


def _sklearn_folder() -> Path:
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("scikit-learn is not installed: pip install -r requirements.txt")
    return Path(spec.origin).parent / "datasets"


def _sklearn_file(name: str) -> Path:
    return _sklearn_folder() / "data" / name


@cache
def digits() -> tuple[Array, Array]:
    """1,797 scans of handwritten digits: pixels (1797, 64) from 0 to 16, and the digit of each (1797,)."""
    with gzip.open(_sklearn_file("digits.csv.gz")) as file:
        table = np.loadtxt(file, delimiter=",")
    return fixed((table[:, :-1].copy(), table[:, -1].copy()))


@cache
def diabetes() -> tuple[Array, Array]:
    """442 patients: ten measurements, each centred and scaled to unit length (442, 10), and the score (442,).

    As ``sklearn.datasets.load_diabetes()`` gives them by default.
    """
    with gzip.open(_sklearn_file("diabetes_data_raw.csv.gz")) as file:
        raw = np.loadtxt(file)
    with gzip.open(_sklearn_file("diabetes_target.csv.gz")) as file:
        target = np.loadtxt(file)
    centred = raw - raw.mean(axis=0)
    return fixed((centred / np.linalg.norm(centred, axis=0), target))


DIABETES_FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def _labelled_csv(name: str) -> tuple[Array, Array]:
    table = np.loadtxt(_sklearn_file(name), delimiter=",", skiprows=1)
    return fixed((table[:, :-1].copy(), table[:, -1].copy()))


@cache
def iris() -> tuple[Array, Array]:
    """150 flowers: four lengths in cm (150, 4), and the species 0-2 (150,)."""
    return _labelled_csv("iris.csv")


@cache
def wine() -> tuple[Array, Array]:
    """178 wines: 13 chemical measurements (178, 13), and the cultivar 0-2 (178,)."""
    return _labelled_csv("wine_data.csv")


@cache
def breast_cancer() -> tuple[Array, Array]:
    """569 tumours: 30 measurements (569, 30), and 0 malignant or 1 benign (569,)."""
    return _labelled_csv("breast_cancer.csv")


@cache
def photograph(name: Literal["china", "flower"]) -> Array:
    """A photograph of 427 × 640 pixels in grey, from 0 black to 1 white (427, 640).

    Grey is 0.2126 R + 0.7152 G + 0.0722 B of the stored values (the weights of ITU-R BT.709).
    """
    from PIL import Image

    with Image.open(_sklearn_folder() / "images" / f"{name}.jpg") as image:
        colours = np.asarray(image.convert("RGB"), dtype=float) / 255
    return fixed(colours @ np.array([0.2126, 0.7152, 0.0722]))


@cache
def english() -> str:
    """English text of about 43,000 characters: scikit-learn's fourteen descriptions of its data sets."""
    files = sorted((_sklearn_folder() / "descr").glob("*.rst"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def letters(text: str) -> str:
    """``text`` in 27 symbols: a to z in small letters, and a space for every run of anything else."""
    return re.sub("[^a-z]+", " ", text.lower())
