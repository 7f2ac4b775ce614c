"""gyrax: microseconds a step. run.py starts it (see harness.py)."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from harness import Job, main
from scipy.sparse import coo_array

import gyrax as gx


def network(case, data):
    if case["model"] == "Hopf":
        model, coupling = gx.models.Hopf(a=0.25, omega=0.2), {"source": "x", "target": "c_x"}
    else:
        model, coupling = gx.models.WongWang(), {"source": "S"}
    couplings, surface = {"far": gx.couplings.Linear(**coupling, strength=case["strength"])}, None
    if "region_of" in data:
        where = data["local_targets"], data["local_sources"]
        local = gx.Sparse(coo_array((data["local_values"], where), shape=(len(data["region_of"]),) * 2))
        couplings["near"] = gx.couplings.Linear(**coupling, strength=case["strength"], weights=local)
        surface = gx.Surface(data["region_of"])
    return gx.Network(
        model,
        couplings,
        gx.Connectome(data["weights"], data["lengths"]),
        gx.Delay(case["speed"]) if case["delays"] else None,
        gx.noise.White(sigma=case["sigma"]) if case["sigma"] else None,
        surface,
    )


def strength_alone(net):
    return (list(net.couplings.values())[-1].strength,)


def strength_and_weights(net):
    return *strength_alone(net), net.connectome.weights


def monitor(case, kind):
    if kind == "BOLD gradient":
        return gx.monitors.Balloon(source="S", period=720.0)
    return gx.monitors.Subsample(period=10.0) if case["batch"] else gx.monitors.Raw()


def jobs(case, data):
    net, dt, steps = network(case, data), case["dt"], case["steps"]
    solvers = {"": gx.solvers.EulerMaruyama() if case["euler"] else gx.solvers.Heun()}
    if not case["delays"]:
        solvers = {"coupling per stage": gx.solvers.Heun(), "coupling once a step": gx.solvers.Heun(coupling_once=True)}
    key = jax.random.key(0)
    keys = jax.random.split(key, case["batch"]) if case["batch"] else key
    spread = np.linspace(2 / 3, 1, case["batch"]) if case["batch"] else 1.0

    for kind, variant in itertools.product(case["kinds"], solvers):
        if kind == "trajectory" and variant == "coupling once a step":
            continue
        monitors, solver = {"found": monitor(case, kind)}, solvers[variant]
        where = strength_and_weights if kind == "gradient of all weights" else strength_alone

        def one(free, key, where=where, monitors=monitors, solver=solver):
            changed = eqx.tree_at(where, net, free)
            return gx.simulate(changed, steps * dt, dt, solver=solver, monitors=monitors, key=key)["found"].values

        values = jax.vmap(one) if case["batch"] else one
        function = jax.jit(
            jax.value_and_grad(lambda free, values=values: jnp.mean(values(free, keys) ** 2))
            if "gradient" in kind
            else lambda free, values=values: values(free, keys)
        )

        def free(strength, where=where):
            return (jnp.asarray(strength * spread, jnp.float32), *where(net)[1:])

        def call(strength, function=function, free=free):
            return jax.block_until_ready(function(free(strength)))

        def megabytes(function=function, free=free):
            return function.lower(free(case["strength"])).compile().memory_analysis().temp_size_in_bytes / 1e6

        if kind == "trajectory":
            yield Job(kind, lambda strength, call=call: call(strength)[:, 0], steps)
        else:
            yield Job(kind, call, steps, variant, megabytes=megabytes if kind == "BOLD gradient" else None)


if __name__ == "__main__":
    main(jobs, ("gyrax", "jax", "numpy"))
