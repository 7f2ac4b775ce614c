"""Makes tests/data/fcd.npz: functional connectivity dynamics as neurolib 0.6.2 has them (run where that is installed)."""

from pathlib import Path

import numpy as np
from neurolib.utils import functions

WINDOW, STEP = 30, 10  # samples


def signals(seed):
    """Channels whose correlations drift."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(140, 5))
    early, late = rng.normal(size=(2, 5, 5))
    mix = np.linspace(0, 1, 140)[:, None]
    return (1 - mix) * (noise @ early) + mix * (noise @ late)


def dynamics(x):
    found = [functions.fc(x[t : t + WINDOW].T) for t in range(0, len(x) - WINDOW + 1, STEP)]
    return np.array([[functions.matrix_correlation(a, b) for b in found] for a in found])


if __name__ == "__main__":
    x, y = signals(0), signals(1)
    of_x, of_y = dynamics(x), dynamics(y)
    ks = functions.matrix_kolmogorov(of_x, of_y)
    np.savez(
        Path(__file__).parents[1] / "tests" / "data" / "fcd.npz",
        x=x,
        y=y,
        fcd_x=of_x,
        fcd_y=of_y,
        ks=ks,
        window=WINDOW,
        step=STEP,
    )
