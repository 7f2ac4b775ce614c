"""Peer baseline: the Reduced Wong-Wang FC study as tvboptim 0.4.0 runs it.

    python tvboptim_study.py --data PATH_TO_dk84 --out result.json

Uses only tvboptim's public API, wired as in its "Reduced Wong-Wang BOLD FC
Optimization" example: instantaneous linear coupling, Heun at 4 ms, HRF BOLD at
TR 1 s warm-started from the transient, rmse of FC as the loss, OptaxOptimizer.
tvboptim is EUPL and is a reference here, not a dependency: it needs an
environment of its own (pip install tvboptim==0.4.0).
"""

import argparse
import copy
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tvboptim.experimental.network_dynamics import Network, prepare
from tvboptim.experimental.network_dynamics.coupling import LinearCoupling
from tvboptim.experimental.network_dynamics.dynamics.tvb import ReducedWongWang
from tvboptim.experimental.network_dynamics.graph import DenseGraph
from tvboptim.experimental.network_dynamics.noise import AdditiveNoise
from tvboptim.experimental.network_dynamics.solvers import Heun
from tvboptim.observations.observation import compute_fc, fc_corr, rmse
from tvboptim.observations.tvb_monitors import HRFBold
from tvboptim.optim import OptaxOptimizer
from tvboptim.types import Parameter

jax.config.update("jax_enable_x64", True)

DT = 4.0  # ms
DURATION = 90_000.0  # ms, both for the transient and for the fitted run
TR = 1000.0  # ms
SKIP_TR = 20
SIGMA = 0.00283
I_O = 0.32  # as in tvboptim's example (its class default is 0.33)
START = {"G": 0.15, "w": 0.3, "S": 0.3}
STAGE_1 = {"rate": 0.01, "steps": 100}
STAGE_2 = {"rate": 0.005, "steps": 100}
TRAIN_SEED = 0  # tvboptim's default noise key
UNSEEN_SEEDS = range(1, 9)


def load(folder):
    weights, fc = (np.loadtxt(folder / f"{name}.tsv") for name in ("weights", "fc"))
    labels = (folder / "labels.txt").read_text().split()
    return weights / weights.max(), fc, labels


def build(weights, labels, fc_target):
    """Network after its transient: (state, observation, loss)."""
    network = Network(
        dynamics=ReducedWongWang(w=START["w"], I_o=I_O, INITIAL_STATE=(START["S"],)),
        coupling={"instant": LinearCoupling(incoming_states="S", G=START["G"])},
        graph=DenseGraph(jnp.asarray(weights), region_labels=labels),
        noise=AdditiveNoise(sigma=SIGMA, apply_to="S", key=jax.random.key(TRAIN_SEED)),
    )
    model, state = prepare(network, Heun(), t1=DURATION, dt=DT)
    transient = model(state)
    network.update_history(transient)
    model, state = prepare(network, Heun(), t1=DURATION, dt=DT)
    bold = HRFBold(period=TR, downsample_period=DT, voi=0, history=transient)

    def observation(state):
        return compute_fc(bold(model(state)), skip_t=SKIP_TR)

    def loss(state):
        return rmse(observation(state), fc_target)

    return state, observation, loss


def optimise(loss, state, rate, steps, chunk_size):
    """One stage; the time includes compilation."""
    losses = []

    def keep(step, diff_state, static_state, fitting_data, aux, value, grads):
        losses.append(float(value))
        return False, diff_state, static_state

    start = time.perf_counter()
    optimizer = OptaxOptimizer(loss, optax.adam(rate), callback=keep)
    state, _ = optimizer.run(state, max_steps=steps, chunk_size=chunk_size)
    jax.block_until_ready(jax.tree.leaves(eqx.filter(state, eqx.is_inexact_array)))
    return state, losses, time.perf_counter() - start


def score(fc, target):
    """Pearson r and rmse off the diagonal, and tvboptim's own two figures."""
    pairs = np.triu_indices(target.shape[0], k=1)
    a, b = np.asarray(fc)[pairs], target[pairs]
    return {
        "r": float(np.corrcoef(a, b)[0, 1]),
        "rmse": float(np.sqrt(np.mean((a - b) ** 2))),
        "fc_corr_tvboptim": float(fc_corr(fc, jnp.asarray(target))),
        "rmse_tvboptim": float(rmse(fc, jnp.asarray(target))),
    }


def evaluate(observation, state, target):
    observe = jax.jit(observation)

    def at(seed):
        key = jax.random.key(seed)
        return score(observe(eqx.tree_at(lambda s: s.noise.key, state, key)), target)

    train, unseen = at(TRAIN_SEED), [at(seed) for seed in UNSEEN_SEEDS]
    summary = {"train": train, "unseen": unseen}
    for name in train:
        values = [entry[name] for entry in unseen]
        summary[f"unseen_{name}_mean"] = float(np.mean(values))
        summary[f"unseen_{name}_sd"] = float(np.std(values, ddof=1))
    return summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of dk84")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument(
        "--chunk-size",
        type=int,
        default=None,
        help="optimiser steps fused in one scan (tvboptim's default: none)",
    )
    args = parser.parse_args()
    load_before = os.getloadavg()

    weights, target, labels = load(args.data)
    fc_target = jnp.asarray(target)

    begin = time.perf_counter()
    state, observation, loss = build(weights, labels, fc_target)
    seconds = {"transient": time.perf_counter() - begin}

    state.coupling.instant.G = Parameter(state.coupling.instant.G)
    state.dynamics.w = Parameter(state.dynamics.w)
    fit_1, losses_1, seconds["stage_1"] = optimise(loss, state, **STAGE_1, chunk_size=args.chunk_size)

    start_2 = copy.deepcopy(fit_1)
    start_2.dynamics.w.shape = (weights.shape[0],)
    start_2.coupling.instant.G = start_2.coupling.instant.G.value
    fit_2, losses_2, seconds["stage_2"] = optimise(loss, start_2, **STAGE_2, chunk_size=args.chunk_size)
    seconds["study"] = time.perf_counter() - begin

    begin = time.perf_counter()
    stages = [evaluate(observation, fit, target) for fit in (fit_1, fit_2)]
    seconds["evaluation_not_in_study"] = time.perf_counter() - begin

    w = np.asarray(fit_2.dynamics.w.value)
    result = {
        "tvboptim": version("tvboptim"),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average_before": load_before,
        "device": jax.devices()[0].device_kind,
        "dtype": str(fc_target.dtype),
        "settings": {
            "dt_ms": DT,
            "duration_ms": DURATION,
            "tr_ms": TR,
            "skip_tr": SKIP_TR,
            "sigma": SIGMA,
            "I_o": I_O,
            "start": START,
            "stage_1": STAGE_1,
            "stage_2": STAGE_2,
            "chunk_size": args.chunk_size,
        },
        "seconds": seconds,
        "stage_1": {
            "G": float(fit_1.coupling.instant.G.value),
            "w": float(fit_1.dynamics.w.value),
            "losses": losses_1,
            **stages[0],
        },
        "stage_2": {"w": w.tolist(), "losses": losses_2, **stages[1]},
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")

    print(f"tvboptim {result['tvboptim']}, jax {jax.__version__}, {result['dtype']}")
    print(
        f"stage 1: G {result['stage_1']['G']:.4f}, w {result['stage_1']['w']:.4f}; "
        f"stage 2: w {w.min():.3f} to {w.max():.3f}, mean {w.mean():.3f}"
    )
    for name, stage in zip(("stage 1", "stage 2"), stages, strict=True):
        print(
            f"{name}: train r {stage['train']['r']:.3f} "
            f"rmse {stage['train']['rmse']:.4f}; "
            f"unseen r {stage['unseen_r_mean']:.3f} (sd {stage['unseen_r_sd']:.3f}) "
            f"rmse {stage['unseen_rmse_mean']:.4f} (sd {stage['unseen_rmse_sd']:.4f})"
        )
    print(", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))


if __name__ == "__main__":
    main()
