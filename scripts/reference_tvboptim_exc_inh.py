"""Writes tests/data/tvboptim_exc_inh.npz: drifts of the two-population Wong-Wang model as tvboptim computes them.

    python scripts/reference_tvboptim_exc_inh.py

needs tvboptim 0.4.0 (`pip install tvboptim==0.4.0`, in an environment of its own). The first of the 20 draws is its defaults;
it has one input, which reaches inhibition times lamda.
"""

from importlib.metadata import version
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402
from tvboptim.experimental.network_dynamics.core.bunch import Bunch  # noqa: E402
from tvboptim.experimental.network_dynamics.dynamics.tvb import WongWangExcInh  # noqa: E402

DRAWS = 20
rng = np.random.default_rng(11)
defaults = dict(WongWangExcInh.DEFAULT_PARAMS)
spread = rng.uniform(0.8, 1.25, (DRAWS, len(defaults)))
spread[0] = 1.0
values = {name: value * spread[:, i] for i, (name, value) in enumerate(defaults.items())}
values["G"], values["lamda"] = np.ones(DRAWS), rng.uniform(0.2, 2.0, DRAWS)
y, c = rng.uniform(0.0, 1.0, (2, DRAWS)), rng.uniform(0.0, 0.8, DRAWS)
coupling = Bunch(instant=c[None], delayed=np.zeros((1, DRAWS)))
drift, _ = WongWangExcInh().dynamics(0.0, y, Bunch(values), coupling, Bunch())
assert np.isfinite(drift).all()
out = Path(__file__).parent.parent / "tests" / "data" / "tvboptim_exc_inh.npz"
np.savez_compressed(
    out, version=version("tvboptim"), y=y, c_lre=c, c_ffi=values["lamda"] * c, drift=np.asarray(drift), **values
)
print(f"wrote {out}, tvboptim {version('tvboptim')}")
