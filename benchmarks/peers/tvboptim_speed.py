"""Peer baseline: microseconds per step of tvboptim 0.4.0.

    python tvboptim_speed.py --data PATH_TO_dk84 --out result.json

84 regions, Reduced Wong-Wang with additive noise 0.01, Heun, dt 1 ms, float32:
forward and gradient of the mean square of the recorded states with respect to
the global coupling G, without delays and with delays (lengths / 3 mm/ms) under
each of tvboptim's delay-buffer strategies. Noise is drawn inside each call, as
tvboptim does by default. Its environment is its own (pip install
tvboptim==0.4.0); tvboptim is EUPL and only its public API is called here.

The gradient under the "preallocated" strategy carries a buffer as long as the
run, so its cost per step grows with the number of steps; it is timed over
fewer steps (--preallocated-gradient-steps), and the result says so.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from tvboptim.experimental.network_dynamics import Network, prepare
from tvboptim.experimental.network_dynamics.coupling import (
    DelayedLinearCoupling,
    LinearCoupling,
)
from tvboptim.experimental.network_dynamics.dynamics.tvb import ReducedWongWang
from tvboptim.experimental.network_dynamics.graph import DenseDelayGraph, DenseGraph
from tvboptim.experimental.network_dynamics.noise import AdditiveNoise
from tvboptim.experimental.network_dynamics.solvers import Heun

DT = 1.0  # ms
SPEED = 3.0  # mm/ms
SIGMA = 0.01
G = 0.15
STRATEGIES = ("roll", "circular", "preallocated")


def load(folder):
    weights, lengths = (np.loadtxt(folder / f"{name}.tsv", dtype=np.float32) for name in ("weights", "lengths"))
    return jnp.asarray(weights / weights.max()), jnp.asarray(lengths / SPEED)


def build(weights, delays, strategy, steps, block_size, per_stage=False):
    """(forward(config), gradient(G, config), config, G) as jitted functions."""
    if strategy is None:
        name, graph = "instant", DenseGraph(weights)
        coupling = LinearCoupling(incoming_states="S", G=G)
    else:
        name, graph = "delayed", DenseDelayGraph(weights, delays)
        coupling = DelayedLinearCoupling(incoming_states="S", G=G, buffer_strategy=strategy)
    network = Network(
        dynamics=ReducedWongWang(),
        coupling={name: coupling},
        graph=graph,
        noise=AdditiveNoise(sigma=SIGMA, apply_to="S", key=jax.random.key(0)),
    )
    solver = Heun(block_size=block_size, recompute_coupling_per_stage=per_stage)
    model, config = prepare(network, solver, t0=0.0, t1=steps * DT, dt=DT)

    def loss(g, config):
        config = eqx.tree_at(lambda c: c.coupling[name].G, config, g)
        return jnp.mean(model(config).ys ** 2)

    return jax.jit(model), jax.jit(jax.value_and_grad(loss)), config, jnp.asarray(G)


def measure(function, arguments, steps, repeats):
    """Compile time, then the median wall time of a call, per step."""
    start = time.perf_counter()
    compiled = function.lower(*arguments).compile()
    compile_s = time.perf_counter() - start
    output = jax.block_until_ready(compiled(*arguments))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - start)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    per_step = [1e6 * value / steps for value in seconds]
    entry = {
        "us_per_step_median": statistics.median(per_step),
        "us_per_step_all": per_step,
        "compile_s": compile_s,
        "steps": steps,
        "dtype": str(jax.tree.leaves(output)[0].dtype),
        "process_peak_rss_so_far_gib": usage.ru_maxrss / 2**20,
    }
    return entry, output


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of dk84")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--preallocated-gradient-steps", type=int, default=2_000)
    parser.add_argument(
        "--block-size",
        type=int,
        default=None,
        help="tvboptim's checkpointing block, gradient only (its default: none)",
    )
    args = parser.parse_args()
    load_before = os.getloadavg()
    weights, delays = load(args.data)

    cases = {}
    # Its Heun evaluates the coupling once a step unless told otherwise; per stage is Heun's second order.
    for strategy, per_stage in ((None, False), (None, True), *((s, False) for s in STRATEGIES)):
        label = "no delays" if strategy is None else f"delays, {strategy}"
        label = "no delays, coupling per stage" if per_stage else label
        for kind in ("forward", "gradient"):
            steps = args.steps
            if strategy == "preallocated" and kind == "gradient":
                steps = min(steps, args.preallocated_gradient_steps)
            block = args.block_size if kind == "gradient" else None
            forward, gradient, config, g = build(weights, delays, strategy, steps, block, per_stage)
            if kind == "forward":
                entry, output = measure(forward, (config,), steps, args.repeats)
                entry["mean_S"] = float(output.ys.mean())
                entry["recorded"] = list(output.ys.shape)
            else:
                entry, output = measure(gradient, (g, config), steps, args.repeats)
                entry["value"], entry["dvalue_dG"] = (float(x) for x in output)
            cases[f"{label}: {kind}"] = entry
            print(
                f"{label + ': ' + kind:32s} {entry['us_per_step_median']:8.1f} us/step"
                f"  (min {min(entry['us_per_step_all']):.1f}, "
                f"max {max(entry['us_per_step_all']):.1f}),"
                f" compile {entry['compile_s']:.2f} s, {steps} steps",
                flush=True,
            )
            del output

    best = {}
    for kind in ("forward", "gradient"):
        full = {s: cases[f"delays, {s}: {kind}"]["us_per_step_median"] for s in STRATEGIES}
        winner = min(full, key=full.get)
        best[kind] = {"strategy": winner, "us_per_step_median": full[winner]}
        print(f"best with delays, {kind}: {winner}, {full[winner]:.1f} us/step")

    result = {
        "tvboptim": version("tvboptim"),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average_before": load_before,
        "load_average_after": os.getloadavg(),
        "device": jax.devices()[0].device_kind,
        "settings": {
            "dt_ms": DT,
            "speed_mm_per_ms": SPEED,
            "sigma": SIGMA,
            "G": G,
            "steps": args.steps,
            "repeats": args.repeats,
            "block_size": args.block_size,
            "max_delay_ms": float(delays.max()),
        },
        "cases": cases,
        "best_with_delays": best,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
