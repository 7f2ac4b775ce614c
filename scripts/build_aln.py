"""Pack the transfer functions of the exponential integrate-and-fire neuron into the one file that ships with gyrax.

    python scripts/build_aln.py PATH_TO_quantities_cascade.h5 [OUT.npz]

PATH_TO_quantities_cascade.h5 comes with neurolib (models/aln/aln-precalc). The same tables always give the same bytes.
"""

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

OUT = Path(__file__).parents[1] / "src" / "gyrax" / "data" / "tables" / "aln.npz"
#: Our name: theirs.
TABLES = {"r": "r_ss", "V": "V_mean_ss", "tau": "tau_mu_exp"}
#: The axes of every table, the first one first.
AXES = {"mu": "mu_vals", "sigma": "sigma_vals"}


def build(source: Path, out: Path) -> None:
    """Read and check the tables, and write those that the model reads, in float32, with the two ends of each axis."""
    with h5py.File(source) as file:
        axes = {name: np.asarray(file[theirs]) for name, theirs in AXES.items()}
        tables = {name: np.asarray(file[theirs]) for name, theirs in TABLES.items()}
    for name, axis in axes.items():
        if not np.allclose(axis, np.linspace(axis[0], axis[-1], len(axis)), rtol=0, atol=1e-12):
            raise ValueError(f"{AXES[name]} is not regular")
    for name, table in tables.items():
        if table.shape != tuple(map(len, axes.values())) or not np.isfinite(table).all():
            raise ValueError(f"{TABLES[name]} of shape {table.shape} does not fit the axes, or is not finite")
    if not (tables["r"] >= 0).all() or not (tables["tau"] > 0).all():
        raise ValueError("a rate is negative, or a time constant not positive")
    packed: dict[str, Any] = {name: table.astype(np.float32) for name, table in tables.items()}
    packed |= {name: axis[[0, -1]] for name, axis in axes.items()}
    # numpy stamps the entries of the archive with a fixed date; single precision rounds no value by more than 6e-8 of it
    out.parent.mkdir(exist_ok=True)
    np.savez_compressed(out, **packed)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    build(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else OUT)
