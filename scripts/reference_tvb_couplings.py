"""What The Virtual Brain's couplings make of random states, with delays, for tests/test_couplings.py.

    python scripts/reference_tvb_couplings.py tests/data/tvb_couplings.npz

Runs in an environment of its own with tvb-library 2.10 from PyPI (GPL: it is asked for numbers, nothing of it is copied).
"""

import sys
from typing import Any

import numpy as np
from tvb.simulator import coupling
from tvb.simulator.history import DenseHistory, SparseHistory

N, DEPTH, STEP = 6, 4, 9


def one(x: float) -> np.ndarray:
    return np.array([x])


#: Coupling, and the rows it reads.
CASES: dict[str, tuple[Any, int]] = {
    "Linear": (coupling.Linear(a=one(0.7), b=one(-0.3)), 2),
    "Scaling": (coupling.Scaling(a=one(0.7)), 2),
    "Difference": (coupling.Difference(a=one(0.7)), 2),
    "HyperbolicTangent": (coupling.HyperbolicTangent(a=one(0.7), b=one(1.3), midpoint=one(0.2), sigma=one(0.65)), 2),
    "Sigmoidal": (coupling.Sigmoidal(cmin=one(-0.5), cmax=one(1.5), midpoint=one(0.2), a=one(1.4), sigma=one(0.8)), 2),
    "SigmoidalJansenRit": (
        coupling.SigmoidalJansenRit(cmin=one(0.1), cmax=one(0.9), midpoint=one(0.4), r=one(1.7), a=one(0.7)),
        2,
    ),
    "Kuramoto": (coupling.Kuramoto(a=one(0.7)), 1),
    "PreSigmoidal.static": (
        coupling.PreSigmoidal(H=one(0.6), Q=one(1.2), G=one(3.0), P=one(0.8), theta=one(0.3), dynamic=False),
        1,
    ),
    "PreSigmoidal.dynamic": (coupling.PreSigmoidal(H=one(0.6), Q=one(1.2), G=one(3.0), P=one(0.8), dynamic=True), 2),
}


def main(out: str) -> None:
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.1, 1.0, (N, N))
    weights[rng.uniform(size=(N, N)) < 0.3] = 0
    weights[3] = 0  # hears nothing
    np.fill_diagonal(weights, 0)
    delays = rng.integers(0, DEPTH, (N, N))
    delays[0, 1] = DEPTH - 1
    np.fill_diagonal(delays, 0)
    states = rng.uniform(-1.5, 1.5, (DEPTH, 2, N))  # states[k]: k steps back
    found = {"weights": weights, "delays": delays, "states": states}
    for name, (function, rows) in CASES.items():
        function.configure()
        # the sparse one knows nothing of a region's own state, which PreSigmoidal reads
        kind = DenseHistory if name.startswith("PreSigmoidal") else SparseHistory
        history = kind(weights, delays, np.arange(rows), 1)
        buffer = np.zeros((DEPTH, rows, N, 1))
        for back in range(DEPTH):
            buffer[(STEP - 1 - back) % DEPTH, :, :, 0] = states[back, :rows]
        history.initialize(buffer)
        found[name] = np.asarray(function(STEP, history))[..., 0]
        print(f"{name:22} {found[name].shape}\n{found[name].round(4)}")
    np.savez_compressed(out, **found)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
