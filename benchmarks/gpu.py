"""gyrax on a GPU, and on all there are: node-steps a second, forward and gradient, 1 to 4096 simulations at once; under 5 minutes on one.

    python benchmarks/gpu.py [--quick] [--out TABLE.md]

Wong-Wang, Heun, noise, float32, dt 1 ms, every tenth state recorded; 84 regions are dk84, 400 are random and all connected; delays are
tract lengths at 3 mm/ms. The gradient is that of the mean square of what was recorded, by the coupling strength of each. Beside it
stands what cuBNM publishes for its own kernels on an A100: 5.8e9 node-steps a second (32 768 simulations of 100 regions, dt 0.1 ms,
no delays, forward). `--quick` is a look whether all of it runs, on whatever JAX finds.
"""

import argparse
import itertools
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import ours
from cases import CASES
from run import connectome

import gyrax as gx
from gyrax._devices import mapped

CUBNM = 5.8e9
SECONDS = 0.5  # of a call, about


def network(regions, delays):
    """The network of the benchmark's case of so many regions."""
    name = {84: "dk84", 400: "random400"}[regions]
    case = next(c for c in CASES if c.name == name).settings(quick=False) | {"delays": delays}
    return ours.network(case, connectome(case["connectome"]))


def call(net, kind, batch, steps, there):
    """A compiled call of so many simulations on so many devices, and what it is called with."""
    keys, strengths = jax.random.split(jax.random.key(0), batch), jnp.linspace(0.1, 0.2, batch)
    monitors = {"found": gx.monitors.Subsample(period=10.0)}

    def one(strength, key):
        changed = eqx.tree_at(ours.strength_alone, net, (strength,))
        return gx.simulate(changed, float(steps), 1.0, monitors=monitors, key=key)["found"].values

    several = jax.vmap(one) if there == 1 else lambda s, k: mapped(one, s, k)  # what gx.sweep and gx.fit do
    every = several if batch > 1 else lambda s, k: one(s[0], k[0])
    function = every if kind == "forward" else jax.grad(lambda s, k: jnp.mean(every(s, k) ** 2) * batch)
    return jax.jit(function), (strengths, keys)


def seconds(function, arguments, times):
    """The least of several calls after a first."""
    jax.block_until_ready(function(*arguments))
    found = []
    for _ in range(times):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        found.append(time.perf_counter() - began)
    return min(found)


def measured(net, kind, batch, quick, there):
    """Node-steps a second. A short run says how long the one that counts may be."""
    steps = 50 if quick else 500
    took = seconds(*call(net, kind, batch, steps, there), times=1)
    longer = min(20_000, int(SECONDS / took) * steps)
    if not quick and longer > 2 * steps:
        steps = longer
        took = seconds(*call(net, kind, batch, steps, there), times=3)
    return net.n_regions * batch * steps / took


def table(quick):
    batches = (1, 4) if quick else (1, 64, 512, 4096)
    lines = [["", *(f"{batch} at once" for batch in batches)], ["---"] * (1 + len(batches))]
    devices = sorted({1, len(gx.devices())})
    for regions, delays, kind, there in itertools.product((84, 400), (False, True), ("forward", "gradient"), devices):
        net, cells = network(regions, delays), []
        for batch in batches:
            try:
                cells.append(f"{measured(net, kind, batch, quick, there):.2g}")
            except Exception as error:  # out of memory, say: the other rows still count
                cells.append(f"failed: {str(error).splitlines()[0][:60]}")
        on = "" if len(devices) == 1 else f", {there} device{'s' * (there > 1)}"
        lines.append([f"{regions} regions, {'delays' if delays else 'no delays'}, {kind}{on}", *cells])
        print(lines[-1], flush=True)
    device = jax.devices()[0]
    head = (
        f"Node-steps a second, {device.device_kind}, JAX {jax.__version__}; cuBNM on an A100: {CUBNM:.1e}, forward.\n\n"
    )
    return head + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short runs of few, to see that all works")
    parser.add_argument("--out", type=Path, help="a file for the table")
    arguments = parser.parse_args()
    if jax.default_backend() != "gpu" and not arguments.quick:
        parser.error(f"JAX finds no GPU, only {jax.devices()[0]}: install jax[cuda13], or try --quick")
    text = table(arguments.quick)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
