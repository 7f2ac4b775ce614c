"""Simulations together under vmap against one after another: every axis, gradients of and over them."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from naive import wiring
from toys import counting

pytestmark = pytest.mark.usefixtures("compiled_fast")

DOUBLE = jnp.result_type(float) == jnp.float64
CLOSE = 1e-9 if DOUBLE else 1e-4
N, SIZE = 6, 3
STEPS = 24.0


def network(tag, delay):
    """Two couplings of two features and one, delays shorter and longer than a window, some of no step at all."""
    coupling = {
        "far": gx.couplings.Difference(source=("x", "y"), strength=0.05),
        "more": gx.couplings.Linear(source="y", target="c_x", strength=0.02),
    }
    noise = gx.noise.White(sigma=0.02, states="x")
    return gx.Network(gx.models.Hopf(a=0.1, omega=0.3), coupling, wiring(tag, longest=30.0), delay, noise)


DELAYS = {"delayed": gx.Delay(3.0), "instant": None}
MONITORS = {"mean": gx.monitors.TemporalAverage(period=8.0)}
NETWORKS = {name: network(name, delay) for name, delay in DELAYS.items()}


def run(name, strength, weights, start, key, monitors=MONITORS, steps=STEPS):
    where = lambda n: (n.couplings["far"].strength, n.connectome.weights)  # noqa: E731
    net = eqx.tree_at(where, NETWORKS[name], (strength, weights))
    return gx.simulate(net, steps, 1.0, monitors=monitors, start=start, key=key)


def found(run):
    """All that a run gives but its key and its step."""
    return {n: r.values for n, r in run.recordings.items()}, run.final.y, run.final.history, run.final.monitors


def several(seed=0):
    """Strengths, weights, starts and keys of an ensemble."""
    rng = np.random.default_rng(seed)
    weights = np.asarray(NETWORKS["delayed"].connectome.weights)
    return (
        jnp.asarray(rng.uniform(0.02, 0.1, SIZE)),
        jnp.asarray(weights * rng.uniform(0.5, 1.5, (SIZE, N, N))),
        jnp.asarray(rng.uniform(-0.5, 0.5, (SIZE, 2, N))),
        jax.random.split(jax.random.key(3), SIZE),
    )


def closely(together, apart, tolerance=CLOSE):
    """The members of an ensemble, leaf by leaf."""
    stacked = jax.tree.map(lambda *x: np.stack(x), *apart)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(stacked), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(np.abs(b).max(), 1e-3))


AXES = {"all": (0, 0, 0, 0), "keys": (None, None, None, 0), "strengths": (0, None, None, None)}
AXES |= {"weights": (None, 0, None, None), "starts": (None, None, 0, None)}


def members(arguments, axes):
    """The arguments of each member, and those of `vmap`."""
    pick = lambda i: tuple(x[0 if a is None else i] for x, a in zip(arguments, axes, strict=True))  # noqa: E731
    return tuple(x[0] if a is None else x for x, a in zip(arguments, axes, strict=True)), [pick(i) for i in range(SIZE)]


ONE = {name: jax.jit(lambda *args, n=name: found(run(n, *args))) for name in NETWORKS}


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("delayed", "all"),
        ("instant", "all"),
        *(pytest.param("delayed", axes, marks=pytest.mark.slow) for axes in AXES if axes != "all"),
    ],
)
@pytest.mark.slow("float64", "float32")
def test_together_equals_one_after_another(name, axes):
    together, each = members(several(), AXES[axes])
    vmapped = jax.jit(jax.vmap(lambda *args: found(run(name, *args)), in_axes=AXES[axes]))
    closely(vmapped(*together), [ONE[name](*args) for args in each])


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("name", NETWORKS)
def test_an_ensemble_goes_on(name):
    """From all the finals together, in the middle of a period."""
    strength, weights, starts, keys = several()

    begin = jax.jit(jax.vmap(lambda *args: run(name, *args, steps=10.0).final))
    finals = begin(strength, weights, starts, keys)
    go_on = lambda *args: found(run(name, *args, None, steps=14.0))  # noqa: E731
    together = jax.jit(jax.vmap(go_on))(strength, weights, finals)
    apart = [ONE[name](*args) for args in zip(strength, weights, starts, keys, strict=True)]
    closely(together[1:], [x[1:] for x in apart])
    closely(together[0]["mean"], [x[0]["mean"][1:] for x in apart])


@pytest.mark.slow("float32")
def test_an_ensemble_of_ensembles():
    strengths, weights, starts, keys = several()
    inner = jax.vmap(lambda s, k: found(run("delayed", s, weights[0], starts[0], k)), in_axes=(None, 0))
    together = jax.jit(jax.vmap(inner, in_axes=(0, None)))(strengths[:2], keys)
    for i, strength in enumerate(strengths[:2]):
        apart = [ONE["delayed"](strength, weights[0], starts[0], key) for key in keys]
        closely(jax.tree.map(lambda x, i=i: x[i], together), apart)


# Gradients


def loss(strength, weights, start, key, name="delayed"):
    """Of samples and of where the run ended, its history included."""
    values, y, history, monitors = found(run(name, strength, weights, start, key))
    rng = np.random.default_rng(1)
    parts = jax.tree.leaves((values, y, history, monitors))
    return sum(jnp.vdot(jnp.asarray(rng.normal(size=x.shape)), x) + jnp.vdot(x, x) for x in parts)


GRADIENT = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))


@pytest.mark.slow
def test_gradients_together_equal_one_after_another():
    together, each = members(several(), AXES["all"])
    apart = [GRADIENT(*args) for args in each]
    closely(jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1, 2))))(*together), apart, 10 * CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("axes", [pytest.param("keys", marks=pytest.mark.long), "weights"])
def test_the_gradient_of_an_ensemble_is_the_sum_of_gradients(axes):
    """Of what all members share: of the strength and the start, and of the weights unless each has its own."""
    together, each = members(several(), AXES[axes])
    whole = lambda *args: jax.vmap(loss, in_axes=AXES[axes])(*args).sum()  # noqa: E731
    gradient = jax.jit(jax.grad(whole, argnums=(0, 1, 2)))(*together)
    apart = [GRADIENT(*args) for args in each]
    for i, (a, axis) in enumerate(zip(gradient, AXES[axes], strict=False)):
        expected = np.array([x[i] for x in apart])
        expected = expected if axis == 0 else expected.sum(0)
        np.testing.assert_allclose(a, expected, rtol=0, atol=10 * CLOSE * np.abs(expected).max())


@pytest.mark.slow
def test_gradients_of_an_ensemble_of_ensembles():
    strengths, weights, starts, keys = several()
    gradient = jax.grad(loss, argnums=(0, 1, 2))
    inner = jax.vmap(gradient, in_axes=(None, None, None, 0))
    together = jax.jit(jax.vmap(inner, in_axes=(0, None, None, None)))(strengths[:2], weights[0], starts[0], keys[:2])
    for i, j in itertools.product(range(2), range(2)):
        apart = GRADIENT(strengths[i], weights[0], starts[0], keys[j])
        closely(jax.tree.map(lambda x, i=i, j=j: x[i, j][None], together), [apart], 10 * CLOSE)


# Delays of their own


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["nearest", pytest.param("linear", marks=pytest.mark.long)])
def test_every_member_may_have_delays_of_its_own(interpolation):
    delay = gx.Delay(3.0, bounds=(0.05, 25.0), interpolation=interpolation)
    net = network(interpolation, delay)
    speeds, keys = jnp.array([1.5, 3.0, 6.3]), jax.random.split(jax.random.key(3), SIZE)

    def loss(strength, speed, key):
        where = lambda n: (n.couplings["far"].strength, n.delay.speed)  # noqa: E731
        run = gx.simulate(eqx.tree_at(where, net, (strength, speed)), STEPS, 1.0, monitors=MONITORS, key=key)
        return 1e2 * jnp.sum(run["mean"].values ** 2) + jnp.sum(run.final.y), found(run)[:2]

    one = loss if interpolation == "nearest" else jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    together = jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))(jnp.asarray(0.05), speeds, keys)
    each = jax.jit(one)
    apart = [each(jnp.asarray(0.05), speed, key) for speed, key in zip(speeds, keys, strict=True)]
    closely(together, apart, 10 * CLOSE)
    assert len({float(jax.tree.leaves(x)[0]) for x in apart}) == SIZE


@pytest.mark.slow
@pytest.mark.once
def test_an_ensemble_of_other_values_is_not_traced_anew():
    Counting, count = counting()
    coupling = gx.couplings.Linear(source="S", strength=0.1)
    net = gx.Network(Counting(), coupling, wiring("again"), gx.Delay(3.0), gx.noise.White(sigma=0.01))

    @jax.jit
    @jax.vmap
    def gradients(strength, key):
        def loss(strength):
            changed = eqx.tree_at(lambda n: n.coupling.strength, net, strength)
            return jnp.sum(gx.simulate(changed, 12.0, 1.0, key=key)["raw"].values)

        return jax.grad(loss)(strength)

    for i in range(3):
        count.clear()
        gradients(jnp.linspace(0.1, 0.2, SIZE) + 0.1 * i, jax.random.split(jax.random.key(i), SIZE))
        assert bool(count) == (i == 0)
