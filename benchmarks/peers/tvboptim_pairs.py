"""A coupling of both ends by tvboptim, its run and its gradient. pairs.py starts it in an environment with tvboptim.

tvboptim is EUPL and a reference here, not a dependency; only its public API is called.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tvboptim.experimental.network_dynamics import Network, prepare
from tvboptim.experimental.network_dynamics.coupling import DelayedDifferenceCoupling, DifferenceCoupling
from tvboptim.experimental.network_dynamics.dynamics.tvb import Linear
from tvboptim.experimental.network_dynamics.graph import DenseDelayGraph, DenseGraph
from tvboptim.experimental.network_dynamics.solvers import Heun


def shunting(incoming, local):
    return jnp.tanh(3.0 * (incoming - local) - incoming * local / 10)


class Pairs(DifferenceCoupling):
    def pre(self, incoming_states, local_states, params):
        return shunting(incoming_states, local_states)


class LatePairs(DelayedDifferenceCoupling):
    def pre(self, delayed_states, local_states, params):
        return shunting(delayed_states, local_states)


def models(case, delayed):
    """The run of each of its delay buffers, or of the one way without delays."""
    weights, slot = jnp.asarray(case["weights"]), "delayed" if delayed else "instant"
    graph = DenseDelayGraph(weights, jnp.asarray(case["delays"])) if delayed else DenseGraph(weights)
    kind, known = (LatePairs if delayed else Pairs), {"incoming_states": "x", "local_states": "x"}
    for buffer in ("roll", "circular", "preallocated") if delayed else (None,):
        own = {} if buffer is None else {"buffer_strategy": buffer}
        coupling = kind(**known, **own, G=float(case["strength"]))
        dynamics = Linear(gamma=float(case["gamma"]), INITIAL_STATE=(float(case["x"]),))
        network = Network(dynamics=dynamics, coupling={slot: coupling}, graph=graph)
        solver = Heun(recompute_coupling_per_stage=True)
        model, config = prepare(network, solver, t0=0.0, t1=float(case["steps"]), dt=1.0)

        def last(strength, config=config, model=model):
            config.coupling[slot].G = strength
            return model(config).ys[-1]

        yield buffer, last


def microseconds(function, strength, case):
    """Wall time of a step, of the fastest run."""
    seconds = []
    for _ in range(int(case["times"])):
        began = time.perf_counter()
        jax.block_until_ready(function(strength))
        seconds.append(time.perf_counter() - began)
    return min(seconds) / int(case["steps"]) * 1e6


def main(path, out):
    case = {name: np.asarray(x) for name, x in np.load(path).items()}
    found = {"versions": {name: version(name) for name in ("tvboptim", "jax")}}
    strength = jnp.asarray(float(case["strength"]))
    for name, delayed in (("with delays", True), ("without delays", False)):
        best = {"us a step, run": np.inf, "us a step, with gradient": np.inf}
        for buffer, last in models(case, delayed):
            run, gradient = jax.jit(last), jax.jit(jax.grad(lambda s, last=last: (last(s) ** 2).sum()))
            best["value"] = np.asarray(run(strength))[0].tolist()
            best["us a step, run"] = min(best["us a step, run"], microseconds(run, strength, case))
            if buffer == "preallocated":  # whose gradient carries an array as long as the run
                continue
            best["gradient"] = float(gradient(strength))
            us = microseconds(gradient, strength, case)
            best["us a step, with gradient"] = min(best["us a step, with gradient"], us)
        found[name] = best
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
