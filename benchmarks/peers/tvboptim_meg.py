"""The frequency gradient of MEG from 168 parameters, as tvboptim's "Jansen-Rit Peak Frequency Optimization" does it.

Jansen-Rit with delays, spectra of 1 s at 100 Hz against Cauchy curves, a and b of every region by AdaMaxW. What it fits
starts from a transient with the parameters before the fit, and so does "loss"; "settled_loss" comes after another
transient, with the fitted ones. Peaks are read from 10 s, with segments of 10 s after that transient (0.1 Hz), and with
segments of 1 s, as in the fit, from where the fit starts. See tvboptim_shared.py.
"""

import copy
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from peers.tvboptim_shared import TRAIN_SEED, UNSEEN_SEEDS, correlation, main, optimise, over_seeds, with_noise
from tvboptim.experimental.network_dynamics import Network, prepare
from tvboptim.experimental.network_dynamics.coupling import DelayedSigmoidalJansenRit
from tvboptim.experimental.network_dynamics.dynamics.tvb import JansenRit
from tvboptim.experimental.network_dynamics.graph import DenseDelayGraph
from tvboptim.experimental.network_dynamics.noise import AdditiveNoise
from tvboptim.experimental.network_dynamics.solvers import Heun
from tvboptim.types import Parameter

FULL = {
    "dt_ms": 1.0,
    "transient_ms": 20_000.0,
    "duration_ms": 1000.0,
    "long_ms": 10_000.0,  # of the runs whose peaks are read
    "speed_mm_per_ms": 3.0,
    "a": 0.065,
    "b": 0.065,
    "mu": 0.15,
    "G": 15.0,
    "sigma": 1e-4,
    "fastest_hz": 11.0,
    "slowest_hz": 7.0,
    "width_hz": 1.0,
    "sampling_hz": 100.0,
    "segments": {"peak": 1000, "coarse_peak": 100},  # samples of a segment of Welch where peaks are read
    "rate": 0.001,
    "steps": 151,
}
SMOKE = {"transient_ms": 2000.0, "long_ms": 10_000.0, "steps": 2}


def targets(data, settings):
    """Peak frequency of each region, from its tract lengths to the lateral occipital cortices."""
    occipital = np.isin(data["labels"], ("L.LOG", "R.LOG"))
    distance = data["lengths"][occipital].mean(0)
    share = (distance - distance.min()) / np.ptp(distance)
    return settings["fastest_hz"] - share * (settings["fastest_hz"] - settings["slowest_hz"])


def cauchy(frequency, peak, width):
    return width / (np.pi * (width**2 + (frequency - peak[:, None]) ** 2))


def similarity(spectra, wanted):
    def centred(x):
        return x - x.mean(1, keepdims=True)

    a, b = centred(spectra), centred(wanted)
    return ((a * b).sum(1) / jnp.sqrt((a**2).sum(1) * (b**2).sum(1))).mean()


def stages(data, settings):
    began = time.perf_counter()
    dt, spans = settings["dt_ms"], [settings[f"{name}_ms"] for name in ("transient", "duration", "long")]
    settling, duration, long = spans
    every = round(1000 / settings["sampling_hz"] / dt)
    peaks = targets(data, settings)
    network = Network(
        dynamics=JansenRit(a=settings["a"], b=settings["b"], mu=settings["mu"]),
        coupling={"delayed": DelayedSigmoidalJansenRit(incoming_states=["y1", "y2"], G=settings["G"])},
        graph=DenseDelayGraph(
            jnp.asarray(data["weights"], jnp.float32),
            jnp.asarray(data["lengths"] / settings["speed_mm_per_ms"], jnp.float32),
            region_labels=data["labels"].tolist(),
        ),
        noise=AdditiveNoise(sigma=settings["sigma"], key=jax.random.key(TRAIN_SEED)),
    )
    model, state = prepare(network, Heun(), t1=settling, dt=dt)
    network.update_history(model(state))
    model, state = prepare(network, Heun(), t1=duration, dt=dt)
    settle, long_state = prepare(network, Heun(), t1=settling + long, dt=dt)

    def welch(y0, segment=256):  # the default
        return jax.scipy.signal.welch(y0.T, fs=settings["sampling_hz"], nperseg=min(segment, len(y0)))

    def sampled(solution):
        return solution.ys[::every, 0]

    frequency = np.asarray(welch(sampled(model(state)))[0])
    wanted = jnp.asarray(cauchy(frequency, peaks, settings["width_hz"]))

    def loss(state):
        spectra = welch(sampled(model(state)))[1]
        return 1 - similarity(spectra, wanted), spectra

    @jax.jit
    def short(state):
        return loss(state)[0]

    @jax.jit
    def later(state):
        """Loss of the first second after another transient, and peaks after it and of the first 10 s."""
        transient, second, ten = (round(t / dt) // every for t in spans)
        y0 = sampled(settle(state))
        settled = y0[transient:]
        found = {}
        for name, piece in {"peak": settled, "coarse_peak": y0[:ten]}.items():
            f, spectra = welch(piece, settings["segments"][name])
            found[name] = f[spectra.argmax(1)]
        return 1 - similarity(welch(settled[:second])[1], wanted), found

    def judged(state, seed):
        there = copy.deepcopy(long_state)
        there.dynamics = state.dynamics
        settled_loss, found = later(with_noise(there, seed))
        judgement = {"loss": float(short(with_noise(state, seed))), "settled_loss": float(settled_loss)}
        for name, frequency in found.items():
            judgement[f"{name}_r"] = correlation(frequency, peaks)
            judgement[f"{name}_error_hz"] = float(np.abs(frequency - peaks).mean())
        return judgement

    def stage(name, n_free, seconds, state, losses=()):
        train, *unseen = (judged(state, seed) for seed in (TRAIN_SEED, *UNSEEN_SEEDS))
        fitted = {name: np.asarray(state.dynamics[name]).tolist() for name in ("a", "b")}
        judgement = {"train": {"loss": train["loss"]}, "unseen": over_seeds(unseen)}
        return {"name": name, "n_free": n_free, "seconds": seconds} | judgement | {"fitted": fitted, "losses": losses}

    yield stage("start", 0, time.perf_counter() - began, state)

    for name in ("a", "b"):
        state.dynamics[name] = Parameter(state.dynamics[name])
        state.dynamics[name].shape = (len(peaks),)
    state, losses, seconds = optimise(loss, state, optax.adamaxw(settings["rate"]), settings["steps"], has_aux=True)
    yield stage("a and b of each region", 2 * len(peaks), seconds, state, losses)


if __name__ == "__main__":
    main("meg", stages, FULL, SMOKE)
