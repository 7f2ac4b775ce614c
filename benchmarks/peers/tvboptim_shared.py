"""What tvboptim's three studies share: the optimiser's run, how a fit is judged, and the file that is written.

A study is a script that hands `main` a function of (data, settings) which yields its stages. studies.py starts it in this
folder's parent as `python -m peers.tvboptim_NAME --data DATA.npz --out OUT.json [--smoke]`, in an environment of its own:
tvboptim is EUPL and a reference here, not a dependency; only its public API is called.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from importlib.metadata import version

import equinox as eqx
import jax
import numpy as np
from tvboptim.optim import OptaxOptimizer

TRAIN_SEED = 0  # tvboptim's own default
UNSEEN_SEEDS = range(1, 9)


def main(study, stages, full, smoke):
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="npz of weights (largest 1), lengths (mm), fc and labels")
    parser.add_argument("--out", required=True, help="JSON to write, anew after each stage")
    parser.add_argument("--smoke", action="store_true", help="few steps, to see that all works")
    arguments = parser.parse_args()
    settings = full | smoke if arguments.smoke else full
    found = {
        "study": study,
        "peer": f"tvboptim {version('tvboptim')}",
        "versions": {name: version(name) for name in ("tvboptim", "jax", "optax", "numpy")}
        | {"python": platform.python_version()},
        "precision": str(jax.numpy.result_type(float)),
        "settings": settings | {"smoke": arguments.smoke},
        "machine": {"cores": os.cpu_count(), "load_before": os.getloadavg()[0], "device": jax.devices()[0].device_kind},
        "stages": [],
    }
    with np.load(arguments.data) as stored:
        data = dict(stored)
    for stage in stages(data, settings):
        found["stages"].append(stage | {"peak_megabytes": peak_megabytes()})
        with open(arguments.out, "w") as file:
            json.dump(plain(found), file, indent=1, allow_nan=False)
        told = {key: stage[key] for key in ("name", "n_free", "seconds", "train", "unseen")}
        print(json.dumps(plain(told)), flush=True)


def plain(x):
    """What JSON holds: null where there is no number."""
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    if isinstance(x, list):
        return [plain(value) for value in x]
    return None if isinstance(x, float) and not np.isfinite(x) else x


def peak_megabytes():
    """The most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB elsewhere
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def optimise(loss, state, optimiser, steps, has_aux=False):
    """(fitted state, losses, seconds with compilation)"""
    losses = []

    def keep(step, diff_state, static_state, fitting_data, aux, value, grads):
        losses.append(float(value))
        return False, diff_state, static_state

    began = time.perf_counter()
    state, _ = OptaxOptimizer(loss, optimiser, callback=keep, has_aux=has_aux).run(state, max_steps=steps)
    jax.block_until_ready(jax.tree.leaves(eqx.filter(state, eqx.is_inexact_array)))
    return state, losses, time.perf_counter() - began


def with_noise(state, seed):
    return eqx.tree_at(lambda s: s.noise.key, state, jax.random.key(seed))


def correlation(a, b):
    """NaN where one of them is constant."""
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(a, b)[0, 1])


def off_diagonal(fc, target):
    pairs = np.triu_indices(len(target), 1)
    a, b = np.asarray(fc)[pairs], np.asarray(target)[pairs]
    return {"r": correlation(a, b), "rmse": float(np.sqrt(np.mean((a - b) ** 2)))}


def over_seeds(entries):
    """Mean and standard deviation of each figure."""
    summary = {}
    for name in entries[0]:
        values = [entry[name] for entry in entries]
        summary |= {name: float(np.mean(values)), f"{name}_sd": float(np.std(values, ddof=1))}
    return summary | {"seeds": len(entries)}
