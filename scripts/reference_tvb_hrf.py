"""Makes tests/data/tvb_hrf.npz: values of tvb-library 2.10's response functions. Run in an environment with that package."""

from pathlib import Path

import numpy as np
from tvb.datatypes import equations

t = np.arange(0, 20, 1 / 128)
names = ("FirstOrderVolterra", "Gamma", "DoubleExponential", "MixtureOfGammas")
values = {name: getattr(equations, name)().evaluate(t)[::32].astype(np.float32) for name in names}
np.savez_compressed(Path(__file__).parents[1] / "tests" / "data" / "tvb_hrf.npz", t=t[::32], **values)
