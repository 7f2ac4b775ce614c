"""Couplings by what every connection makes of its two ends, with and without states of their own: what a step takes, beside tvboptim.

    python benchmarks/pairs.py --tvboptim PYTHON [--out docs/studies]

PYTHON is the interpreter of an environment that has tvboptim. A linear model in 84 regions in float32, one after another on one machine;
`nox -s studies -- pairs` runs it. It writes pairs.md and pairs.json.
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from run import started
from table import cpu, table

import gyrax as gx

ROOT = Path(__file__).resolve().parent.parent
STEPS, TIMES, X, STRENGTH, GAMMA = 4000, 5, 0.5, 0.1, -0.1
LONG = 120_000
HEAD = """# Couplings of pairs

This page is written by `nox -s studies -- pairs`, on one machine, one after another; it is not edited by hand. A linear model in the 84 regions of dk84, float32,
Heun with the coupling at each stage, 4000 steps of 1 ms without noise. `tanh` is tanh(3 (x_j - x_i) - x_i x_j / 10), which does not factor; `plastic` is
`gx.plasticity.TsodyksMarkram`, two states for each of the connections; `plastic sources` is `TsodyksMarkramSources`, two for each region. Wall time of the fastest of five runs.
A gradient is of the squared last state by the strength. tvboptim's time is that of the best of its delay buffers; with delays it holds what arrives over a step, so that the two are apart.

"""


class Shunting(gx.AbstractPairCoupling):
    strength: gx.Array = gx.parameter(STRENGTH, domain=gx.Positive())

    def message(self, x_source, x_target):
        return jnp.tanh(3.0 * (x_source - x_target) - x_source * x_target / 10)

    def decode(self, total, x, degree):
        return self.strength * total


KINDS = {
    "linear": gx.couplings.Linear,
    "tanh": Shunting,
    "plastic": gx.plasticity.TsodyksMarkram,
    "plastic sources": gx.plasticity.TsodyksMarkramSources,
}


def connectome(share=1.0):
    """dk84 with a largest sum of 1; of its connections the strongest."""
    data = gx.datasets.load("dk84").connectome
    weights = np.asarray(data.weights) / np.asarray(data.weights).sum(1).max()
    weights = np.where(weights >= np.quantile(weights, 1 - share), weights, 0.0) if share < 1 else weights
    return gx.Connectome(weights, np.asarray(data.lengths))


def last(kind, wiring, delayed, steps=STEPS):
    """The last state by the strength, as it is, and its gradient."""
    net = gx.Network(
        gx.models.Linear(gamma=GAMMA), KINDS[kind](source="x"), wiring, gx.Delay(speed=3.0) if delayed else None
    )
    start = jnp.full((1, net.n_regions), X)

    def run(strength):
        changed = eqx.tree_at(lambda n: n.coupling.strength, net, strength)
        return gx.simulate(changed, float(steps), 1.0, start=start, monitors={}).final.y[0]

    return jax.jit(run), jax.jit(jax.grad(lambda s: (run(s) ** 2).sum()))


def measured(kind, wiring, delayed):
    strength, found = jnp.asarray(STRENGTH), {}
    run, gradient = last(kind, wiring, delayed)
    found |= {"value": np.asarray(run(strength)).tolist(), "gradient": float(gradient(strength))}
    for what, function in (("run", run), ("with gradient", gradient)):
        seconds = []
        for _ in range(TIMES):
            began = time.perf_counter()
            jax.block_until_ready(function(strength))
            seconds.append(time.perf_counter() - began)
        found[f"us a step, {what}"] = min(seconds) / STEPS * 1e6
    return found


def memory(kind):
    """GB at most that a process holds for a gradient over 120 000 steps, and its seconds."""
    code = f"import pairs; print(pairs.held({kind!r}))"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=True
    )
    return json.loads(out.stdout.splitlines()[-1])


def held(kind):
    gradient = last(kind, connectome(), True, LONG)[1]
    began = time.perf_counter()
    value = float(gradient(jnp.asarray(STRENGTH)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return json.dumps({"GB": peak, "seconds": time.perf_counter() - began, "finite": bool(np.isfinite(value))})


def rows(mine, theirs):
    for delays in ("with delays", "without delays"):
        base = mine[f"linear, {delays}"]
        for kind in KINDS:
            found, other = mine[f"{kind}, {delays}"], theirs.get(delays, {}) if kind == "tanh" else {}
            row = [f"{kind}, {delays}"]
            for what in ("run", "with gradient"):
                us = found[f"us a step, {what}"]
                row += [f"{us:.1f}", f"{us / base[f'us a step, {what}']:.1f}"]
                row += [f"{other[f'us a step, {what}'] / us:.1f}" if other else ""]
            apart = np.abs(np.subtract(found["value"], other["value"])).max() if other else None
            yield [*row, "" if apart is None else f"{apart / np.abs(found['value']).max():.0e}"]


def page(record):
    versions = ", ".join(f"{name} {number}" for name, number in record["tvboptim"].get("versions", {}).items())
    text = f"{record['date']}, {record['cpu']}, {record['cores']} cores under a load of {record['load']:g}. gyrax {record['gyrax']}, jax {record['jax']}; {versions}.\n\n"
    head = ["", "us a step", "/ linear", "tvboptim / gyrax", "us, gradient", "/ linear", "tvboptim / gyrax", "apart"]
    text += table(head, list(rows(record["ours"], record["tvboptim"])))
    sparse = record["sparse"]
    text += "\nThe strongest connections alone, `tanh` with delays: " + ", ".join(
        f"{share} of pairs {found['us a step, run']:.1f} us a step, {found['us a step, with gradient']:.1f} with a gradient"
        for share, found in sparse.items()
    )
    text += f".\n\nA gradient over {LONG} steps with delays, in a process of its own: " + "; ".join(
        f"{kind} {found['GB']:.2f} GB in all, {found['seconds']:.0f} s with compilation"
        for kind, found in record["memory"].items()
    )
    return HEAD + text + ".\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tvboptim", metavar="PYTHON", required=True, help="interpreter with tvboptim")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "studies")
    arguments = parser.parse_args()
    wiring = connectome()
    case = {"weights": wiring.weights, "delays": np.asarray(wiring.lengths) / 3.0, "strength": STRENGTH, "gamma": GAMMA}
    with tempfile.TemporaryDirectory() as folder:
        given, told = Path(folder) / "case.npz", Path(folder) / "tvboptim.json"
        np.savez(given, **case, x=X, steps=STEPS, times=TIMES)
        python = str(Path(arguments.tvboptim).absolute())
        reason = started([python, "-m", "peers.tvboptim_pairs", str(given), str(told)])
        peer = json.loads(told.read_text()) if told.exists() else {"failed": reason}
    load = round(os.getloadavg()[0], 1)
    ours = {
        f"{kind}, {name} delays": measured(kind, wiring, name == "with")
        for name in ("with", "without")
        for kind in KINDS
    }
    record = {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "load": load,
        "gyrax": version("gyrax"),
        "jax": version("jax"),
        "ours": ours,
        "tvboptim": peer,
        "sparse": {f"{share:.0%}": measured("tanh", connectome(share), True) for share in (0.1, 0.3)},
        "memory": {kind: memory(kind) for kind in ("linear", "tanh", "plastic")},
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "pairs.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "pairs.md").write_text(page(record), encoding="utf-8")
    print(page(record))


if __name__ == "__main__":
    main()
