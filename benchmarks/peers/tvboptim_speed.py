"""tvboptim: microseconds a step. run.py starts it (see harness.py) in an environment with tvboptim.

tvboptim is EUPL and a reference here, not a dependency; only its public API is called.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from harness import Job, main
from jax.experimental.sparse import BCOO
from tvboptim.experimental.network_dynamics import Network, prepare
from tvboptim.experimental.network_dynamics.coupling import DelayedLinearCoupling, LinearCoupling, SubspaceCoupling
from tvboptim.experimental.network_dynamics.dynamics.tvb import ReducedWongWang
from tvboptim.experimental.network_dynamics.graph import DenseDelayGraph, DenseGraph, SparseGraph
from tvboptim.experimental.network_dynamics.noise import AdditiveNoise
from tvboptim.experimental.network_dynamics.solvers import Euler, Heun

NOTE = """
Best of its three delay buffers. Its Heun evaluates the coupling once a step unless told otherwise; without delays it is
measured both ways (per stage is what gyrax does). With delays it holds the delayed sum over a step. The gradient through
its "preallocated" buffer carries an array as long as the run, so it is timed over 2000 steps at most. An ensemble is
`jax.vmap` of its model over keys and strengths; it records every step, and every tenth is taken after.
"""
PREALLOCATED_GRADIENT_STEPS = 2_000


def variants(case, kind):
    """(name, delay buffer, coupling per stage)"""
    if case["delays"]:
        ways = [(name, name, False) for name in ("roll", "circular", "preallocated")]
    else:
        ways = [("coupling per stage", None, True), ("coupling once a step", None, False)]
    return ways[:1] if kind == "trajectory" else ways


def built(case, data, strategy, per_stage, steps):
    """The model as a function of (strength, key)."""
    weights = jnp.asarray(data["weights"], jnp.float32)
    if strategy:
        name, graph = "delayed", DenseDelayGraph(weights, jnp.asarray(data["lengths"] / case["speed"], jnp.float32))
        coupling = DelayedLinearCoupling(incoming_states="S", G=case["strength"], buffer_strategy=strategy)
    else:
        name, graph = "instant", DenseGraph(weights)
        coupling = LinearCoupling(incoming_states="S", G=case["strength"])
    coupling = {name: coupling}
    if "region_of" in data:  # the strength of what is between regions is out of reach of a gradient
        between = SubspaceCoupling(coupling["delayed"], jnp.asarray(data["region_of"]), graph)
        name, coupling = "instant", {"delayed": between, "instant": LinearCoupling(incoming_states="S", G=1.0)}
        graph = SparseGraph(BCOO(local(data), shape=(len(data["region_of"]),) * 2))
    noise = AdditiveNoise(sigma=case["sigma"], apply_to="S", key=jax.random.key(0)) if case["sigma"] else None
    network = Network(dynamics=ReducedWongWang(), coupling=coupling, graph=graph, noise=noise)
    solver = Euler() if case["euler"] else Heun(recompute_coupling_per_stage=per_stage)
    model, config = prepare(network, solver, t0=0.0, t1=steps * case["dt"], dt=case["dt"])

    def run(strength, key):
        changed = eqx.tree_at(lambda c: c.coupling[name].G, config, strength)
        if noise is not None:
            changed = eqx.tree_at(lambda c: c.noise.key, changed, key)
        return model(changed).ys

    return run


def local(data):
    """Values and places of a sparse matrix."""
    where = np.stack([data["local_targets"], data["local_sources"]], 1)
    return jnp.asarray(data["local_values"], jnp.float32), jnp.asarray(where)


def jobs(case, data):
    key = jax.random.key(0)
    keys = jax.random.split(key, case["batch"]) if case["batch"] else key
    spread = np.linspace(2 / 3, 1, case["batch"]) if case["batch"] else 1.0
    for kind in case["kinds"]:
        for variant, strategy, per_stage in variants(case, kind):
            steps = case["steps"]
            if strategy == "preallocated" and kind == "gradient":
                steps = min(steps, PREALLOCATED_GRADIENT_STEPS)
            run = built(case, data, strategy, per_stage, steps)
            if case["batch"]:
                run = lambda strengths, keys, run=run: jax.vmap(run)(strengths, keys)[:, 9::10]  # noqa: E731
            function = jax.jit(
                jax.value_and_grad(lambda strength, run=run: jnp.mean(run(strength, keys) ** 2))
                if kind == "gradient"
                else lambda strength, run=run: run(strength, keys)
            )

            def call(strength, function=function):
                return jax.block_until_ready(function(jnp.asarray(strength * spread, jnp.float32)))

            if kind == "trajectory":
                yield Job(
                    kind, lambda s, call=call: call(s)[:, 0], steps, same_scheme=not case["delays"] or case["euler"]
                )
            else:
                yield Job(kind, call, steps, variant)


if __name__ == "__main__":
    main(jobs, ("tvboptim", "jax", "numpy"), NOTE)
