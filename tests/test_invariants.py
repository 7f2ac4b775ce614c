"""What holds for every model in a network, whatever the connectome and the start."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gyrax as gx
from families import CASES
from gyrax.parameters.addresses import domains, leaf_names

pytestmark = pytest.mark.once
#: Epileptors hear nothing unless it is switched on.
MODELS = {
    name: (eqx.tree_at(lambda m: m.Ks, model, jnp.asarray(-0.5)) if hasattr(model, "Ks") else model, rows)
    for name, (model, rows) in CASES.items()
    if name.startswith("models.")
}
N, DT, STEPS = 4, 0.01, 12
#: Scoped so that the tests of one model follow each other, on the worker that has compiled its run.
every = pytest.mark.parametrize("name", MODELS, scope="module")


def network(name: str, noise=None) -> gx.Network:
    model = MODELS[name][0]
    coupling = gx.couplings.Linear(source=model.states[0], target=model.inputs[0], strength=0.05)
    return gx.Network(model, coupling, gx.Connectome(np.ones((N, N)) - np.eye(N)), noise=noise)


@functools.cache
def runner(name: str):
    """One compiled run for all weights and starts of a model."""
    net = network(name)
    monitors = {"all": gx.monitors.Subsample(period=STEPS * DT)}

    @jax.jit
    def run(weights, start):
        moved = eqx.tree_at(lambda n: n.connectome.weights, net, weights)
        return gx.simulate(moved, STEPS * DT, DT, monitors=monitors, start=start)["all"].values[-1]

    return run


@functools.cache
def alone(name: str):
    """A region by itself: Heun steps of its drift, limits after each, nothing heard."""
    model = MODELS[name][0]

    @jax.jit
    def run(y):
        u = jnp.zeros((len(model.inputs), 1), y.dtype)

        def step(i, y):
            k1 = model.drift(i * DT, y, u)
            k2 = model.drift((i + 1) * DT, y + DT * k1, u)
            return model.limit(y + 0.5 * DT * (k1 + k2))

        return jax.lax.fori_loop(0, STEPS, step, y)

    return run


def start_of(name: str, rng) -> np.ndarray:
    low, high = np.array(MODELS[name][1], float).T[:, :, None]
    return rng.uniform(low, high, (len(low), N))


def weights_of(rng) -> np.ndarray:
    return rng.uniform(0.1, 1.0, (N, N)) * (1 - np.eye(N))


@every
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(N)))
@settings(max_examples=10)
@pytest.mark.slow("float64")
def test_renumbering_regions_renumbers_the_result(name, seed, order):
    rng = np.random.default_rng(seed)
    weights, start, order = weights_of(rng), start_of(name, rng), np.array(order)
    plain = np.asarray(runner(name)(weights, start))
    renumbered = runner(name)(weights[order][:, order], start[:, order])
    assert np.isfinite(plain).all()
    size = np.abs(plain).max(1, keepdims=True)
    assert (np.abs(renumbered - plain[:, order]) <= 1e-9 * size + 1e-12).all()


@pytest.mark.slow
@every
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_regions_that_nothing_reaches_are_regions_alone(name, seed):
    rng = np.random.default_rng(seed)
    start = start_of(name, rng)
    together = np.asarray(runner(name)(np.zeros((N, N)), start))
    apart = np.concatenate([alone(name)(jnp.asarray(start[:, [i]])) for i in range(N)], axis=1)
    size = np.abs(apart).max(1, keepdims=True)
    assert np.isfinite(apart).all() and (np.abs(together - apart) <= 1e-9 * size + 1e-12).all()
    coupled = np.asarray(runner(name)(weights_of(rng), start))
    assert (coupled != together).any(), "a coupling that does nothing proves nothing"


@every
@given(seed=st.integers(0, 2**32 - 1), far=st.floats(0.0, 30.0))
@settings(max_examples=10)
def test_no_step_of_an_optimiser_leaves_a_domain(name, seed, far):
    """Parameters move on the real line, as far as anyone may go; what the model gets lies inside its domain and is finite."""
    model, rng = MODELS[name][0], np.random.default_rng(seed)
    for key, x, domain in zip(leaf_names(model), jax.tree.leaves(model), domains(model), strict=True):
        moved = domain.from_real(domain.to_real(x) + far * rng.choice([-1.0, 1.0]))
        assert np.isfinite(moved).all() and domain.contains(moved).all(), key


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (model, _) in MODELS.items() if model.limits])
@given(seed=st.integers(0, 1000))
@settings(max_examples=5)
def test_states_stay_within_their_limits(name, seed):
    """Under noise as large as the states themselves."""
    model, rng = MODELS[name][0], np.random.default_rng(seed)
    values = np.asarray(shaken(name)(start_of(name, rng), jax.random.key(seed)))
    for state, (low, high) in model.limits.items():
        rows = values[:, model.states.index(state)]
        rows = rows[np.isfinite(rows)]  # a state without limits may run away
        assert rows.size and (low is None or rows.min() >= low) and (high is None or rows.max() <= high), state


@functools.cache
def shaken(name: str):
    sigma = 3 * np.ptp(np.array(MODELS[name][1], float), axis=1)[:, None]
    net = network(name, gx.noise.White(sigma=sigma))
    raw = {"raw": gx.monitors.Raw()}
    return jax.jit(lambda start, key: gx.simulate(net, 2.0, DT, monitors=raw, start=start, key=key)["raw"].values)
