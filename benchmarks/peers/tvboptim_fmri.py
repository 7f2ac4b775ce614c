"""Functional connectivity from 2, then 84 parameters, wired as tvboptim's "Reduced Wong-Wang BOLD FC Optimization".

Wong-Wang without delays, BOLD by the kernel, warm from a transient as long as the run; then G and one w, and w of every
region with G held, both by Adam on the rmse of the matrix with its diagonal at 0. The example itself runs for 120 s and
more steps and frees I_o too. What it fits starts from a transient with the parameters before the fit, and so do "r" and
"rmse"; "settled" ones come after another, with the fitted parameters and the same unseen noise. See tvboptim_shared.py.
"""

import copy
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from peers.tvboptim_shared import TRAIN_SEED, UNSEEN_SEEDS, main, off_diagonal, optimise, over_seeds, with_noise
from tvboptim.experimental.network_dynamics import Network, prepare
from tvboptim.experimental.network_dynamics.coupling import LinearCoupling
from tvboptim.experimental.network_dynamics.dynamics.tvb import ReducedWongWang
from tvboptim.experimental.network_dynamics.graph import DenseGraph
from tvboptim.experimental.network_dynamics.noise import AdditiveNoise
from tvboptim.experimental.network_dynamics.solvers import Heun
from tvboptim.observations.observation import compute_fc, rmse
from tvboptim.observations.tvb_monitors import HRFBold
from tvboptim.types import Parameter

jax.config.update("jax_enable_x64", True)  # as in its example

FULL = {
    "dt_ms": 4.0,
    "duration_ms": 90_000.0,  # of the transient and of the fitted run
    "tr_ms": 1000.0,
    "skip_tr": 20,
    "sigma": 0.00283,
    "I_o": 0.32,  # as in its example; the default of its class is 0.33
    "G": 0.15,
    "w": 0.3,
    "S": 0.3,
    "global": {"rate": 0.01, "steps": 100},
    "regional": {"rate": 0.005, "steps": 100},
}
SMOKE = {"duration_ms": 30_000.0, "global": {"rate": 0.01, "steps": 2}, "regional": {"rate": 0.005, "steps": 2}}


def built(data, settings):
    """(state after the transient, functional connectivity as a function of it, the same after another transient)"""
    network = Network(
        dynamics=ReducedWongWang(w=settings["w"], I_o=settings["I_o"], INITIAL_STATE=(settings["S"],)),
        coupling={"instant": LinearCoupling(incoming_states="S", G=settings["G"])},
        graph=DenseGraph(jnp.asarray(data["weights"]), region_labels=data["labels"].tolist()),
        noise=AdditiveNoise(sigma=settings["sigma"], apply_to="S", key=jax.random.key(TRAIN_SEED)),
    )
    span = {"t1": settings["duration_ms"], "dt": settings["dt_ms"]}
    model, state = prepare(network, Heun(), **span)
    transient = model(state)
    network.update_history(transient)
    model, state = prepare(network, Heun(), **span)
    bold = HRFBold(period=settings["tr_ms"], downsample_period=settings["dt_ms"], voi=0, history=transient)
    twice, _ = prepare(network, Heun(), t1=2 * settings["duration_ms"], dt=settings["dt_ms"])
    first = round(settings["duration_ms"] / settings["tr_ms"])

    def observed(state):
        return compute_fc(bold(model(state)), skip_t=settings["skip_tr"])

    def settled(state):
        return compute_fc(bold(twice(state)), skip_t=first + settings["skip_tr"])

    return state, observed, settled


def stages(data, settings):
    began = time.perf_counter()
    state, observed, settled = built(data, settings)
    observe, settle = jax.jit(observed), jax.jit(settled)
    target = jnp.asarray(data["fc"])

    def loss(state):
        return rmse(observed(state), target)

    def stage(name, n_free, seconds, state, losses=()):
        unseen = []
        for noisy in (with_noise(state, seed) for seed in UNSEEN_SEEDS):
            after = off_diagonal(settle(noisy), target)
            unseen.append(off_diagonal(observe(noisy), target) | {f"settled_{k}": v for k, v in after.items()})
        train = off_diagonal(observe(with_noise(state, TRAIN_SEED)), target)
        judged = {"train": train, "unseen": over_seeds(unseen)}
        fitted = {"G": np.asarray(state.coupling.instant.G).tolist(), "w": np.asarray(state.dynamics.w).tolist()}
        return {"name": name, "n_free": n_free, "seconds": seconds, **judged, "fitted": fitted, "losses": list(losses)}

    yield stage("start", 0, time.perf_counter() - began, state)

    state.coupling.instant.G = Parameter(state.coupling.instant.G)
    state.dynamics.w = Parameter(state.dynamics.w)
    rate, steps = settings["global"].values()
    state, losses, seconds = optimise(loss, state, optax.adam(rate), steps)
    yield stage("G and w", 2, seconds, state, losses)

    state = copy.deepcopy(state)
    state.dynamics.w.shape = (len(target),)
    state.coupling.instant.G = state.coupling.instant.G.value
    rate, steps = settings["regional"].values()
    state, losses, seconds = optimise(loss, state, optax.adam(rate), steps)
    yield stage("w of each region", len(target), seconds, state, losses)


if __name__ == "__main__":
    main("fmri", stages, FULL, SMOKE)
