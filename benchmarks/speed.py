"""Microseconds a step: gyrax, and tvboptim beside it in the same run.

    python benchmarks/speed.py [--peer PYTHON]

84 regions (dk84), Wong-Wang, Heun, noise 0.01, dt 1 ms, 60 000 steps, float32, all states recorded: forward, and the
gradient of their mean square with respect to the coupling strength, without delays and with (3 mm/ms). gyrax evaluates
the coupling at both stages of Heun; tvboptim does so only if told, and is measured both ways. PYTHON is the
interpreter of an environment with tvboptim 0.4.0; `nox -s bench` makes one.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import gyrax as gx

STEPS, DT, REPEATS = 60_000, 1.0, 7


def timed(call, *args):
    began = time.perf_counter()
    jax.block_until_ready(call(*args))
    first = time.perf_counter() - began
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(call(*args))
        took.append(time.perf_counter() - began)
    return statistics.median(took) / STEPS * 1e6, first


def ours():
    connectome = gx.datasets.load("dk84").connectome.normalised("max")
    key, found = jax.random.key(0), {}
    for name, delay in (("no delays", None), ("delays", gx.Delay(3.0))):
        coupling, noise = gx.couplings.Linear(source="S", strength=0.15), gx.noise.White(sigma=0.01)
        net = gx.Network(gx.models.WongWang(), coupling, connectome, delay, noise)
        free, fixed = gx.split(net, gx.select(net, "coupling.strength"))

        def values(free, fixed=fixed):
            return gx.simulate(gx.join(free, fixed), STEPS * DT, DT, key=key)["raw"].values

        forward = jax.jit(values)
        gradient = jax.jit(jax.value_and_grad(lambda free, f=values: jnp.mean(f(free) ** 2)))
        for what, call in (("forward", forward), ("gradient", gradient)):
            found[f"{name}, {what}"] = timed(call, free)
    return found


def theirs(python):
    script = Path(__file__).parent / "peers" / "tvboptim_speed.py"
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "dk84", Path(folder) / "peer.json"
        gx.datasets.load("dk84").connectome.save(data)
        subprocess.run([python, script, "--data", data, "--out", out], check=True, stdout=sys.stderr)
        return json.loads(out.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="Python of an environment with tvboptim 0.4.0")
    arguments = parser.parse_args()
    peer = theirs(arguments.peer) if arguments.peer else None
    print(f"jax {jax.__version__}, numpy {np.__version__}, microseconds a step, median of {REPEATS}")
    for name, (took, first) in ours().items():
        line = f"{name:22s} gyrax {took:6.2f} (first call {first:.1f} s)"
        if peer:
            for how, other in peer_figures(peer, name).items():
                line += f"   tvboptim{how} {other:6.2f}, ratio {other / took:5.2f}"
        print(line)


def peer_figures(peer, name):
    """The peer's figures for a row of ours: the best of its delay buffers, or its Heun as it comes and of second order."""
    delays, what = name.split(", ")
    cases = {
        case.rpartition(": ")[0]: x["us_per_step_median"] for case, x in peer["cases"].items() if case.endswith(what)
    }
    if delays == "delays":
        return {"": min(value for case, value in cases.items() if case.startswith("delays"))}
    return {"": cases["no delays"], " (coupling per stage)": cases["no delays, coupling per stage"]}


if __name__ == "__main__":
    main()
