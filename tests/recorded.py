"""Runs and gradients of every kind, whose numbers are kept: what changes the code's shape must not change them.

`python tests/recorded.py FILE` computes them all; with a second FILE they are compared with those kept there bit by bit,
which holds on one machine with one JAX. `test_recorded.py` compares them with tests/data/recorded.npz to rounding.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import gyrax as gx

KEY = jax.random.key(11)
N = 6
LABELS = [f"R{i}" for i in range(N)]
CASES: dict[str, Callable[[], Any]] = {}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """Joins a function to the cases, by its name."""
    CASES[function.__name__] = function
    return function


def connectome() -> gx.Connectome:
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.1, 1.0, (N, N)) * (rng.random((N, N)) < 0.8) * (1 - np.eye(N))
    return gx.Connectome(weights, rng.uniform(3.0, 40.0, (N, N)) * (1 - np.eye(N)), labels=LABELS)


def wong_wang(delay: Any = None, noise: Any = gx.noise.White(sigma=0.01), **own: Any) -> gx.Network:
    model = gx.models.WongWang(w=np.linspace(0.5, 0.7, N))
    return gx.Network(model, gx.couplings.Linear(source="S", strength=0.2), connectome(), delay, noise, **own)


def gradient(net: gx.Network, steps: float = 300.0, dt: float = 1.0, **options: Any) -> Any:
    """Samples, and the gradient of their squares by every leaf that has one."""

    def loss(moving, rest):
        run = gx.simulate(eqx.combine(moving, rest), steps, dt, **options)
        return sum(jnp.mean(r.values**2) for r in run.recordings.values()), run

    moving, rest = eqx.partition(net, eqx.is_inexact_array)
    (_, run), found = jax.jit(jax.value_and_grad(loss, has_aux=True))(moving, rest)
    return {name: r.values for name, r in run.recordings.items()}, found, run.final.y, run.final.history


def two(source: str = "S") -> dict[str, gx.AbstractMonitor]:
    """Monitors whose periods do not divide each other, nor a tick."""
    return {
        "bold": gx.monitors.Balloon(source=source, period=60.0),
        "mean": gx.monitors.TemporalAverage(source=source, period=25.0),
        "raw": gx.monitors.Subsample(source=source, period=7.0),
    }


@case
def without_delays():
    return gradient(wong_wang(), monitors=two(), key=KEY)


@case
def delays():
    return gradient(wong_wang(gx.Delay(3.0)), monitors=two(), key=KEY)


@case
def interpolated_delays():
    return [
        gradient(wong_wang(gx.Delay(3.0, bounds=(0.2, 30.0), interpolation=kind)), 120.0, 0.5, key=KEY)
        for kind in ("linear", "cubic")
    ]


@case
def a_horizon_and_what_reaches_inputs():
    monitors = {"heard": gx.monitors.AfferentCoupling(source="c", period=10.0), "raw": gx.monitors.Raw()}
    return gradient(wong_wang(gx.Delay(3.0)), monitors=monitors, key=KEY, gradient_horizon=60.0)


@case
def forward_mode():
    net = wong_wang(gx.Delay(3.0))

    def loss(strength):
        changed = eqx.tree_at(lambda n: n.coupling.strength, net, strength)
        return gx.simulate(changed, 200.0, 1.0, key=KEY, autodiff="forward")["raw"].values.std()

    return jax.jit(lambda s: jax.jvp(loss, (s,), (jnp.ones_like(s),)))(net.coupling.strength)


@case
def groups():
    model = gx.Groups(
        {"thalamus": (gx.models.Hopf(a=-0.1, omega=0.2), ["R4", "R1"]), "cortex": (gx.models.WongWang(w=0.6), ...)}
    )
    up = np.linspace(0.1, 0.8, 8).reshape(4, 2)
    coupling = {
        "cc": gx.couplings.Difference(source="cortex.S", target="cortex.c", strength=0.3),
        "ct": gx.couplings.Linear(source="cortex.S", target="thalamus.c_x", strength=0.5, delay=gx.NoDelay()),
        "tc": gx.couplings.Linear(source="thalamus.x", target="cortex.c", strength=0.2, weights=up),
    }
    net = gx.Network(model, coupling, connectome(), gx.Delay(4.0), gx.noise.White(sigma=0.005, states="cortex.S"))
    return gradient(net, monitors={"raw": gx.monitors.Subsample(source="cortex.S", period=5.0)}, key=KEY)


@case
def surface():
    vertices = np.array([2, 0, 1, 0, 0, 2, 0, 1, 2, 2])
    rng = np.random.default_rng(0)
    near = rng.uniform(0.1, 1.0, (10, 10)) * (rng.random((10, 10)) < 0.3)
    far = gx.Connectome([[0, 0.5, 0.9], [0.2, 0, 0], [0.4, 0.3, 0]], [[0, 9, 1], [7, 0, 20], [30, 2, 0]])
    coupling = {
        "far": gx.couplings.Difference(source=("x", "y"), strength=0.2),
        "near": gx.couplings.Difference(source="x", target="c_x", strength=0.1, weights=gx.Sparse(near)),
    }
    noise = gx.noise.White(sigma=0.01)
    net = gx.Network(gx.models.Hopf(a=0.1, omega=0.3), coupling, far, gx.Delay(3.0), noise, gx.Surface(vertices))
    monitors = {"regions": gx.monitors.SpatialAverage(net.surface, source="x", period=1.0)}
    return gradient(net, 100.0, 0.5, monitors=monitors, key=KEY)


@case
def noise_of_every_kind():
    rows = np.linspace(0, 1, N)
    noise = {
        "coloured": gx.noise.OrnsteinUhlenbeck(sigma=0.002, tau=8.0, states="S", mixing=np.eye(N) + 0.1 * rows),
        "driven": gx.noise.OrnsteinUhlenbeck(sigma=0.02, tau=20.0, inputs="c"),
        "grows": gx.noise.Multiplicative(lambda S: S * (1 - S), sigma=0.01),
        "white": gx.noise.White(sigma=0.001, mixing=np.eye(N)[:, :3]),
    }
    stimulus = gx.stimuli.Stimulus(gx.stimuli.Sine(amplitude=0.05, frequency=10.0), target="c")
    net = wong_wang(gx.Delay(3.0), noise, stimulus=stimulus)
    return gradient(net, monitors=two(), key=KEY)


@case
def controlled_steps():
    net = wong_wang(gx.Delay(3.0), None)
    options = {"solver": dfx.Tsit5(), "stepsize_controller": dfx.PIDController(rtol=1e-6, atol=1e-8)}
    return gradient(net, 80.0, 1.0, monitors={"raw": gx.monitors.Raw()}, **options)


@case
def an_ensemble():
    net = wong_wang(gx.Delay(3.0))
    there = gx.Free("connectome.weights", mask=np.asarray(net.connectome.weights) != 0)
    free, fixed = gx.split(net, gx.select(net, "coupling.strength", there))

    def loss(free, key):
        return gx.simulate(gx.join(free, fixed), 240.0, 1.0, monitors=two(), key=key)["mean"].values.std()

    shift = 0.01 * jnp.arange(3.0)
    several = jax.tree.map(lambda x: x + shift.reshape(-1, *(1,) * x.ndim), free)
    return jax.jit(jax.vmap(jax.value_and_grad(loss)))(several, jax.random.split(KEY, 3))


@case
def gone_on():
    net = wong_wang(gx.Delay(3.0))
    past = gx.History(np.linspace(0.1, 0.3, 30)[:, None, None] * np.ones((1, N)), period=1.0)
    first = gx.simulate(net, 130.0, 1.0, monitors=two(), key=KEY, start=past)
    second = gx.simulate(net, 170.0, 1.0, monitors=two(), start=first.final)
    return [{name: r.values for name, r in run.recordings.items()} for run in (first, second)], second.final


@case
def tuned():
    c = connectome()
    coupling = {
        "lre": gx.couplings.Linear(source="S_e", target="c_lre", weights=c.weights),
        "ffi": gx.couplings.Linear(source="S_e", target="c_ffi", weights=0.5 * c.weights),
    }
    model, noise = gx.models.WongWangExcInh(J_i=np.linspace(0.9, 1.3, N)), gx.noise.White(sigma=0.01)
    net = gx.Network(model, coupling, c, noise=noise)
    target = np.corrcoef(np.random.default_rng(2).normal(size=(N, 20)))
    bold = gx.monitors.TemporalAverage(source="S_e", period=20.0)
    rules = [gx.FIC(rate=0.3), gx.EIB(target, monitor=bold, window=5, ramp=4, rate=0.1)]
    found = gx.tune(net, rules, steps=12, period=40.0, dt=2.0, key=KEY, progress=False)
    return found.network, found.history, found.final


@case
def fitted_from_disk():
    net = wong_wang(gx.Delay(3.0))
    target = np.corrcoef(np.random.default_rng(3).normal(size=(N, 20)))

    def loss(net, key):
        run = gx.simulate(
            net, 400.0, 2.0, monitors={"mean": gx.monitors.TemporalAverage(source="S", period=20.0)}, key=key
        )
        rmse = gx.losses.fc_rmse(gx.features.fc(run["mean"].after(100.0)), target)
        return rmse, {"rmse": rmse}

    spec = gx.select(net, gx.Free("model.w", mask=np.arange(N) < 4), "coupling.strength")
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "key": KEY,
            "realisations": 2,
            "validation": gx.Validation(keys=2, every=3),
            "clip": 0.5,
            "checkpoint": Path(folder) / "fit.npz",
            "progress": False,
        }
        gx.fit(net, loss, spec, optax.adam(0.02), steps=5, **options)
        found = gx.fit(net, loss, spec, optax.adam(0.02), steps=9, **options)
    return found.model, found.last, found.history


@case
def swept_and_evaluated():
    net = wong_wang()

    def feature(net, key):
        run = gx.simulate(
            net, 300.0, 2.0, monitors={"bold": gx.monitors.TemporalAverage(source="S", period=10.0)}, key=key
        )
        return {"fc": gx.features.fc(run["bold"]), "level": run["bold"].values.mean()}

    space = {"coupling.strength": [0.1, 0.2, 0.3], "model.I_o": [0.3, 0.33]}
    swept = gx.sweep(net, feature, space, key=KEY, realisations=2)
    judged = gx.evaluate(net, feature, jax.random.split(KEY, 3))
    return {name: values.values for name, values in swept.data_vars.items()}, judged.values


def arrays(name: str) -> dict[str, np.ndarray]:
    """Every number of a case, by its place in what the case returned."""
    found = {}
    for i, leaf in enumerate(jax.tree.leaves(CASES[name]())):
        if not isinstance(leaf, jax.Array | np.ndarray | float):
            continue
        key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        found[f"{name}.{i}"] = np.asarray(jax.random.key_data(leaf) if key else leaf)
    return found


if __name__ == "__main__":
    new, *old = sys.argv[1:]
    made = {name: value for which in CASES for name, value in arrays(which).items()}
    np.savez(new, **made)
    if old:
        with np.load(old[0]) as kept:
            assert kept.keys() == made.keys(), kept.keys() ^ made.keys()
            differ = [name for name in made if kept[name].tobytes() != made[name].tobytes()]
        print(f"{len(made) - len(differ)} arrays are the same, {len(differ)} differ:", *differ)
        sys.exit(bool(differ))
