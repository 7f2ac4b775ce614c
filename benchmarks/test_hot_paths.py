"""Times of our own hot paths, to be compared with those of an earlier commit; `nox -s regress` runs it.

    pytest benchmarks/test_hot_paths.py --benchmark-autosave           # on the earlier commit
    pytest benchmarks/test_hot_paths.py --benchmark-compare            # on the later: a table of both

Nothing here fails by being slow: add `--benchmark-compare-fail=median:20%` on a quiet machine for that.
"""

import jax
import jax.numpy as jnp
import pytest

import gyrax as gx

STEPS = 10_000
DELAYS = {"none": None, "rounded": gx.Delay(3.0), "linear": gx.Delay(3.0, interpolation="linear")}
MONITORS = {"raw": gx.monitors.Raw(), "balloon": gx.monitors.Balloon(source="S", period=1000.0)}


def problem(delay, monitor, dt):
    connectome = gx.datasets.load("dk84").connectome.normalised("max")
    coupling = gx.couplings.Linear(source="S", strength=0.15)
    net = gx.Network(gx.models.WongWang(), coupling, connectome, DELAYS[delay], gx.noise.White(sigma=0.01))
    free, fixed = gx.split(net, gx.select(net, "coupling.strength"))

    def loss(free):
        run = gx.simulate(gx.join(free, fixed), STEPS * dt, dt, monitors=MONITORS[monitor], key=jax.random.key(0))
        return jnp.mean(run["monitor"].values ** 2)

    return loss, free


@pytest.mark.parametrize("kind", ["forward", "gradient"])
@pytest.mark.parametrize(
    ("delay", "monitor", "dt"),
    [
        ("none", "raw", 1.0),
        ("rounded", "raw", 1.0),
        ("rounded", "raw", 0.1),
        ("linear", "raw", 1.0),
        ("rounded", "balloon", 1.0),
    ],
)
def test_one_run(delay, monitor, dt, kind, benchmark):
    loss, free = problem(delay, monitor, dt)
    call = jax.jit(loss if kind == "forward" else jax.grad(loss))
    benchmark.pedantic(lambda: jax.block_until_ready(call(free)), warmup_rounds=1, rounds=5)


@pytest.mark.parametrize("kind", ["forward", "gradient"])
def test_an_ensemble(kind, benchmark):
    loss, free = problem("rounded", "balloon", 1.0)
    free = jax.tree.map(lambda x: x + 0.01 * jnp.arange(16.0), free)
    call = jax.jit(jax.vmap(loss if kind == "forward" else jax.grad(loss)))
    benchmark.pedantic(lambda: jax.block_until_ready(call(free)), warmup_rounds=1, rounds=3)
