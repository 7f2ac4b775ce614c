"""Subjects shared out over devices, of which a process has as many as it was told when it began."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [pytest.mark.once, pytest.mark.slow]

SCRIPT = """
import json, sys
import gyrax as gx
from gyrax._devices import devices

devices(cpu=int(sys.argv[1]))
import jax, numpy as np, optax
jax.config.update("jax_disable_most_optimizations", True)  # it computes for milliseconds

def network(seed):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.2, 1.0, (3, 3)) * (1 - np.eye(3))
    regions = gx.Connectome(weights, rng.uniform(2.0, 9.0, (3, 3)), list("ABC"))
    return gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), regions, gx.Delay(speed=2.0), gx.noise.White(sigma=0.02))

def loss(net, data, key):
    return ((gx.simulate(net, 20.0, 1.0, key=key)["raw"].values[-5:] - data) ** 2).mean()

cohort = gx.Cohort({f"s{i}": network(i) for i in range(5)}, {f"s{i}": 0.1 * i for i in range(5)})
cohort = gx.per_subject(cohort, "network.model.w")
total = gx.scale.cohort_loss(loss, {"network.model.w": 0.5})
spec = gx.select(cohort, "network.model.w", "network.coupling.strength")
found = gx.fit(cohort, total, spec, optax.adam(0.05), steps=3, key=0, validation=gx.Validation(keys=3, every=1), progress=False)
each = gx.evaluate(found.model, total.each, jax.random.split(jax.random.key(1), 2))["loss"]
model = found.model.network
print(json.dumps([found.history["loss"].tolist(), model.model.w.tolist(), float(model.coupling.strength), each.values.tolist()]))
"""


def test_a_fit_on_several_devices_is_that_on_one():
    """Five subjects on four devices, and judged on three keys: neither is a multiple of them."""
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}

    def result(devices):
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(devices)], capture_output=True, text=True, env=environment, check=False
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
        return json.loads(ran.stdout.splitlines()[-1])

    for one, several in zip(result(1), result(4), strict=True):
        np.testing.assert_allclose(several, one, rtol=1e-9)
