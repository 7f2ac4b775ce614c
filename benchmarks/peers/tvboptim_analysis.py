"""tvboptim's adiabatic_scan, lyapunov and fisher_information. analysis.py starts it in an environment with tvboptim.

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
import numpyro
import numpyro.distributions as dist
from tvboptim.analysis import fisher_information
from tvboptim.experimental.network_dynamics import Network, prepare
from tvboptim.experimental.network_dynamics.analysis import adiabatic_scan, lyapunov
from tvboptim.experimental.network_dynamics.coupling import DelayedLinearCoupling, LinearCoupling
from tvboptim.experimental.network_dynamics.dynamics.tvb import ReducedWongWang
from tvboptim.experimental.network_dynamics.graph import DenseDelayGraph, DenseGraph
from tvboptim.experimental.network_dynamics.solvers import Heun
from tvboptim.types import Parameter

jax.config.update("jax_enable_x64", True)


def built(case, delayed):
    weights = jnp.asarray(case["weights"])
    dynamics = ReducedWongWang(w=case["w"], I_o=case["I_o"], INITIAL_STATE=(case["S"],))
    if delayed:
        graph = DenseDelayGraph(weights, jnp.asarray(case["delays"]))
        coupling = {"delayed": DelayedLinearCoupling(incoming_states="S", G=case["G"])}
    else:
        graph, coupling = DenseGraph(weights), {"instant": LinearCoupling(incoming_states="S", G=case["G"])}
    return Network(dynamics=dynamics, coupling=coupling, graph=graph)


def timed(function):
    """What it gives, and the seconds of a first and a second call."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        found = np.asarray(jax.block_until_ready(function()))
        seconds.append(time.perf_counter() - began)
    return found.tolist(), seconds


def main(path, out):
    case = {name: np.asarray(x) for name, x in np.load(path).items()}
    case = {name: x if x.ndim else x.item() for name, x in case.items()}
    net, late = built(case, False), built(case, True)
    solver = Heun(recompute_coupling_per_stage=True)
    scan = {
        "low": case["low"],
        "high": case["high"],
        "n": int(case["n"]),
        "t": case["t"],
        "skip": case["skip"],
        "dt": 1.0,
    }
    means = {"mean": lambda x: x.mean(0)}

    def scanned(network, name):
        where = lambda c: c.coupling[name].G  # noqa: E731
        ramp = adiabatic_scan(network, solver, accessor=where, statistics=means, **scan)
        return ramp.stats.mean

    def exponent(network):
        return lyapunov(network, solver, t=case["stretch"], n=int(case["stretches"]), d0=1e-6, dt=1.0)

    def fisher():
        model, config = prepare(net, solver, t0=0.0, t1=case["t"], dt=1.0)
        config.coupling.instant.G = Parameter(config.coupling.instant.G)
        config.dynamics.I_o = Parameter(config.dynamics.I_o)
        return fisher_information(lambda c: model(c).ys[-1], config, sigma=case["sd"])[0]

    def posterior():
        few = int(case["part"])
        small = built(case | {"weights": case["weights"][:few, :few]}, False)
        model, config = prepare(small, solver, t0=0.0, t1=case["t"], dt=1.0)
        each = int(case["each"])

        def told(measured):
            config.coupling.instant.G = numpyro.sample("G", dist.LogNormal(np.log(0.3), 0.5))
            config.dynamics.I_o = numpyro.sample("I_o", dist.LogNormal(np.log(0.3), 0.2))
            seen = model(config).ys[each - 1 :: each, 0]
            assert seen.shape == measured.shape, (seen.shape, measured.shape)  # it would broadcast
            numpyro.sample("seen", dist.Normal(seen, case["error"]).to_event(2), obs=measured)

        sizes = {"num_warmup": int(case["warmup"]), "num_samples": int(case["draws"])}
        start = numpyro.infer.init_to_value(values={"G": case["G"], "I_o": case["I_o"]})
        kernel = numpyro.infer.NUTS(told, dense_mass=True, init_strategy=start)
        mcmc = numpyro.infer.MCMC(kernel, progress_bar=False, **sizes)
        mcmc.run(jax.random.key(0), jnp.asarray(case["measured"]))
        drawn = np.stack([mcmc.get_samples()[name] for name in ("G", "I_o")])
        return np.concatenate([drawn.mean(1), drawn.std(1)])

    found = {"versions": {name: version(name) for name in ("tvboptim", "jax", "numpy", "numpyro")}}
    jobs = {
        "scan": lambda: scanned(net, "instant"),
        "scan with delays": lambda: scanned(late, "delayed"),
        "exponent": lambda: exponent(net),
        "exponent with delays": lambda: exponent(late),
        "fisher": fisher,
        "posterior": posterior,
    }
    for name, job in jobs.items():
        try:
            found[name] = dict(zip(("value", "seconds"), timed(job), strict=True))
        except Exception as error:  # what fails is said, and loses nothing else
            found[name] = {"failed": f"{type(error).__name__}: {str(error)[:200]}"}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
