"""The Virtual Brain: microseconds a step. run.py starts it (see harness.py) in an environment with tvb-library."""

import logging

import numpy as np
from harness import Job, main
from tvb.datatypes.connectivity import Connectivity
from tvb.simulator.coupling import Linear
from tvb.simulator.integrators import HeunDeterministic, HeunStochastic
from tvb.simulator.models.wong_wang import ReducedWongWang
from tvb.simulator.monitors import Raw
from tvb.simulator.noise import Additive
from tvb.simulator.simulator import Simulator

NOTE = """
Its Simulator: numpy around a compiled model, float64, no gradients. It evaluates the coupling once a step, and takes
delays of zero through the same history when there are none. Timed over 3000 steps at most.
"""
MOST_STEPS = 3_000
NO_DELAYS = 1e9  # mm/ms


def built(case, data):
    n = len(data["weights"])
    connectivity = Connectivity(
        weights=data["weights"].astype(float),
        tract_lengths=data["lengths"].astype(float),
        centres=np.zeros((n, 3)),
        region_labels=np.array([f"region {i}" for i in range(n)]),
        speed=np.array([case["speed"] if case["delays"] else NO_DELAYS]),
    )
    if case["sigma"]:
        noise = Additive(nsig=np.array([case["sigma"] ** 2 / 2]))
        integrator = HeunStochastic(dt=case["dt"], noise=noise)
    else:
        integrator = HeunDeterministic(dt=case["dt"])
    connectivity.configure()
    connectivity.set_idelays(case["dt"])
    return Simulator(
        model=ReducedWongWang(),
        connectivity=connectivity,
        coupling=Linear(a=np.array([case["strength"]])),
        integrator=integrator,
        monitors=(Raw(),),
        initial_conditions=np.full((int(connectivity.idelays.max()) + 1, 1, n, 1), 0.1),
    ).configure()


def jobs(case, data):
    logging.disable(logging.WARNING)
    steps = min(case["steps"], MOST_STEPS)
    simulator = built(case, data)

    def call(strength):
        simulator.coupling.a = np.array([strength])
        ((_, values),) = simulator.run(simulation_length=steps * case["dt"])
        return values[:, 0, :, 0]

    for kind in case["kinds"]:
        if kind != "gradient":
            yield Job(kind, call, steps)


if __name__ == "__main__":
    main(jobs, ("tvb-library", "numpy", "numba"), NOTE)
