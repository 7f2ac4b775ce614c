"""Pack the dk84 tables into the one file that ships with gyrax.

    python scripts/build_dk84.py PATH_TO_dk84 [OUT.npz]

PATH_TO_dk84 holds weights.tsv, lengths.tsv, fc.tsv and labels.txt. The same tables always give the same bytes.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from gyrax.anatomy.connectome import Connectome
from gyrax.io.connectomes import read_matrix

OUT = Path(__file__).parents[1] / "src" / "gyrax" / "data" / "dk84.npz"
WORDS = {
    "description": "average human connectome and resting-state functional connectivity, Desikan-Killiany, 84 regions",
    "licence": "CC-BY-4.0",
    "citation": "Schirner, Deco & Ritter (2023). Learning how network structure shapes decision-making for "
    "bio-inspired computing. Nature Communications 14:2963. doi:10.1038/s41467-023-38626-y",
}


def build(source: Path, out: Path) -> None:
    """Read and check the tables in `source`, and write them to `out` as published, in float64."""
    labels = Connectome.load(source).labels
    tables: dict[str, Any] = {
        name: np.asarray(read_matrix(source / f"{name}.tsv")) for name in ("weights", "lengths", "fc")
    }
    if tables["fc"].shape != tables["weights"].shape:
        raise ValueError(f"fc.tsv is {tables['fc'].shape}, weights.tsv is {tables['weights'].shape}")
    words: dict[str, Any] = {key: np.array(text) for key, text in WORDS.items()}
    # numpy stamps the entries of the archive with a fixed date
    np.savez_compressed(out, labels=np.array(labels), **tables, **words)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    build(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else OUT)
