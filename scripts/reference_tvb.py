"""Drifts, couplings and the haemodynamic kernel as The Virtual Brain computes them, for tests/test_models.py.

    python scripts/reference_tvb.py OUT.npz

Runs in an environment of its own with tvb-library 2.10 from PyPI (GPL: it is asked for numbers, nothing of it is copied).
Names of parameters are The Virtual Brain's.
"""

import sys
from pathlib import Path

import numpy as np
from tvb.datatypes.equations import FirstOrderVolterra
from tvb.simulator import coupling, history
from tvb.simulator.models.jansen_rit import JansenRit
from tvb.simulator.models.linear import Linear
from tvb.simulator.models.oscillator import SupHopf
from tvb.simulator.models.wong_wang import ReducedWongWang

#: For each model: parameters that are drawn, lowest and highest values of state and input.
WONG_WANG = dict(a=0.27, b=0.108, d=154.0, gamma=0.641, tau_s=100.0, w=0.6, J_N=0.2609, I_o=0.33)
JANSEN_RIT = dict(A=3.25, B=22.0, a=0.1, b=0.05, v0=5.52, nu_max=0.0025, r=0.56, J=135.0)
JANSEN_RIT |= dict(a_1=1.0, a_2=0.8, a_3=0.25, a_4=0.25, mu=0.22)
POTENTIALS = [0.2, 40.0, 40.0, 3.0, 3.0, 3.0]
MODELS = {
    "wong_wang": (ReducedWongWang, WONG_WANG, [0.0], [1.0], [0.0], [1.5]),
    "hopf": (SupHopf, dict(a=-0.5, omega=1.0), [-2.0] * 2, [2.0] * 2, [-1.0] * 2, [1.0] * 2),
    "jansen_rit": (JansenRit, JANSEN_RIT, [-x for x in POTENTIALS], POTENTIALS, [0.0], [0.3]),
    "linear": (Linear, dict(gamma=-10.0), [-2.0], [2.0], [-1.0], [1.0]),
}
DRAWS = 20


def drifts(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """`model.y`, `model.u`, `model.drift` of shape (draw, row) and one `model.parameter` each of shape (draw,)."""
    out = {}
    for name, (kind, defaults, *ranges) in MODELS.items():
        low, high, least, most = map(np.array, ranges)
        y, u = (a + (b - a) * rng.random((DRAWS, len(a))) for a, b in ((low, high), (least, most)))
        # the first draw keeps the defaults, the others vary by up to a fifth
        factor = rng.uniform(0.8, 1.2, (DRAWS, len(defaults)))
        factor[0] = 1
        values = factor * np.array(list(defaults.values()))
        rows = []
        for i in range(DRAWS):
            model = kind(**{key: values[i, k : k + 1] for k, key in enumerate(defaults)})
            model.configure()
            # TVB's JansenRit takes as many inputs as it has coupling variables, and reads the first
            c = np.zeros((max(len(model.cvar), u.shape[1]), 1, 1))
            c[: u.shape[1], 0, 0] = u[i]
            rows.append(model.dfun(y[i][:, None, None].copy(), c)[:, 0, 0])
        out |= {f"{name}.y": y, f"{name}.u": u, f"{name}.drift": np.array(rows)}
        out |= {f"{name}.{key}": values[:, k] for k, key in enumerate(defaults)}
    return out


def couplings(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Values of three couplings in a directed network of six regions, without delays."""
    n = 6
    weights = rng.uniform(0.1, 1.0, (n, n)) * (rng.random((n, n)) < 0.7)
    x = {"linear": rng.normal(size=(1, n)), "difference": rng.normal(size=(1, n))}
    x["sigmoidal"] = rng.uniform(-10, 20, (2, n))
    made = {
        "linear": coupling.Linear(a=np.array([0.3]), b=np.array([0.0])),
        "difference": coupling.Difference(a=np.array([0.2])),
        "sigmoidal": coupling.SigmoidalJansenRit(
            cmin=np.array([0.001]),
            cmax=np.array([0.006]),
            midpoint=np.array([5.5]),
            r=np.array([0.6]),
            a=np.array([12.0]),
        ),
    }
    out = {"coupling.weights": weights}
    for name, function in made.items():
        function.configure()
        rows = len(x[name])
        past = history.SparseHistory(weights, np.zeros((n, n), int), np.arange(rows), 1)
        past.initialize(x[name][None, :, :, None].copy())
        out[f"coupling.{name}.x"] = x[name]
        out[f"coupling.{name}.value"] = function(1, past)[:1, :, 0]  # one row: TVB repeats it
    return out


def kernel() -> dict[str, np.ndarray]:
    """The first-order Volterra kernel, on times in s."""
    times = np.linspace(0.0, 20.0, 201)
    return {"hrf.times": times, "hrf.values": FirstOrderVolterra().evaluate(times)}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rng = np.random.default_rng(2026)
    np.savez_compressed(Path(sys.argv[1]), **drifts(rng), **couplings(rng), **kernel())
