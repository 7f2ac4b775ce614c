"""tvboptim: seconds of ParallelExecution over many coupling strengths. ensembles.py starts it in an environment with tvboptim.

tvboptim is EUPL and a reference here, not a dependency; only its public API is called.
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

CORES = len(os.sched_getaffinity(0))
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={CORES}"  # as its documentation says

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from tvboptim.execution import ParallelExecution  # noqa: E402
from tvboptim.experimental.network_dynamics import Network, prepare  # noqa: E402
from tvboptim.experimental.network_dynamics.coupling import DelayedLinearCoupling  # noqa: E402
from tvboptim.experimental.network_dynamics.dynamics.tvb import ReducedWongWang  # noqa: E402
from tvboptim.experimental.network_dynamics.graph import DenseDelayGraph  # noqa: E402
from tvboptim.experimental.network_dynamics.noise import AdditiveNoise  # noqa: E402
from tvboptim.experimental.network_dynamics.solvers import Heun  # noqa: E402
from tvboptim.types.spaces import GridAxis, Space  # noqa: E402


def execution(data, given, count, steps, buffer, vmapped, devices):
    """A ParallelExecution that gives the means of all points."""
    import jax

    weights, delays = (jnp.asarray(x, jnp.float32) for x in (data["weights"], data["lengths"] / given["speed"]))
    network = Network(
        dynamics=ReducedWongWang(),
        coupling={"delayed": DelayedLinearCoupling(incoming_states="S", G=given["lowest"], buffer_strategy=buffer)},
        graph=DenseDelayGraph(weights, delays),
        noise=AdditiveNoise(sigma=given["sigma"], apply_to="S", key=jax.random.key(0)),
    )
    model, config = prepare(network, Heun(), t0=0.0, t1=steps * given["dt"], dt=given["dt"])
    config.coupling.delayed.G = GridAxis(given["lowest"], given["highest"], count)
    return ParallelExecution(
        lambda config: model(config).ys.mean((0, 1)), Space(config), n_vmap=vmapped, n_pmap=devices
    )


def seconds(run, times):
    took = []
    for _ in range(times):
        began = time.perf_counter()
        run.run()
        took.append(time.perf_counter() - began)
    return took


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    parser.add_argument("--sizes", type=json.loads, required=True)
    parser.add_argument("--found", type=Path, required=True)
    arguments = parser.parse_args()
    sizes = {int(count): steps for count, steps in arguments.sizes.items()}
    with np.load(arguments.data) as stored:
        data = dict(stored)
    few, tried = min(sizes), {}
    for buffer, devices, share in itertools.product(("roll", "circular", "preallocated"), {1, CORES}, (1, 4, 16, 64)):
        if share > few // devices:
            continue
        run = execution(data, arguments.settings, few, max(50, sizes[few] // 10), buffer, share, devices)
        tried[buffer, share, devices] = min(seconds(run, 3)[1:])
        print(f"{buffer:14s} n_vmap {share:3d} n_pmap {devices}: {tried[buffer, share, devices]:.3f} s", flush=True)
    buffer, share, devices = min(tried, key=tried.get)
    found = {"best": f"{buffer}, n_vmap={share}, n_pmap={devices}"}
    for count, steps in sizes.items():
        found[str(count)] = seconds(execution(data, arguments.settings, count, steps, buffer, share, devices), 3)
    arguments.found.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
