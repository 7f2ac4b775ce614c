"""The two-population Wong-Wang model against tvboptim's drift, a plain NumPy loop, and the roots of its equations."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import gyrax as gx
from exc_inh import WEIGHTS, drift, network, rate, run, wiener

SINGLE = jnp.result_type(float) == jnp.float32
THEIRS = np.load(Path(__file__).parents[1] / "data" / "tvboptim_exc_inh.npz")
SAME = {"gamma_e", "gamma_i", "tau_e", "tau_i", "W_e", "W_i", "J_N", "J_i", "I_o", "w_p"} | {
    f"{name}_{population}" for name in "abd" for population in "ei"
}


def test_drift_equals_tvboptims():
    """Twenty draws of state, input and parameters as regions of one network."""
    current = THEIRS["I_o"] + THEIRS["I_ext"] / THEIRS["W_e"]  # what reaches excitation alone there is zero
    assert not THEIRS["I_ext"].any()
    model = gx.models.WongWangExcInh(**{name: THEIRS[name] for name in SAME} | {"I_o": current})
    u = jnp.stack([jnp.asarray(THEIRS["c_lre"]), jnp.asarray(THEIRS["c_ffi"])])
    found = np.asarray(model.drift(0.0, jnp.asarray(THEIRS["y"]), u))
    assert found.shape == (2, 20)
    np.testing.assert_allclose(found, THEIRS["drift"], rtol=2e-4 if SINGLE else 1e-11, atol=1e-6 if SINGLE else 1e-14)


def test_defaults_are_tvboptims():
    ours = gx.models.WongWangExcInh()
    assert {name: float(getattr(ours, name)) for name in SAME} == {
        name: np.float32(THEIRS[name][0]) if SINGLE else THEIRS[name][0] for name in SAME
    }


@pytest.mark.slow
def test_a_trajectory_equals_a_plain_loops(key, rounding):
    """Two couplings with weights of their own, noise on S_e, Heun held in [0, 1]."""
    net, steps = network(), 400
    found = gx.simulate(net, steps * 4.0, 4.0, key=key)["raw"].values
    J_i = np.asarray(net.model.J_i, float)
    expected = run(net.start(), wiener(key, steps, 4.0), 4.0, J_i, WEIGHTS, 0.5 * WEIGHTS)[1:]
    assert expected[:, 0].std() > 0.01
    np.testing.assert_allclose(found, expected, atol=100 * rounding)


@pytest.mark.slow
def test_gradients_of_the_weights_equal_finite_differences(key):
    """Of both matrices and J_i, along a random direction, through 200 noisy steps."""
    net, rng = network(), np.random.default_rng(4)
    spec = gx.select(net, "model.J_i", "coupling.lre.weights", "coupling.ffi.weights")
    (J_i, lre, ffi) = (rng.normal(size=s) for s in ((5,), (5, 5), (5, 5)))
    raw = gx.monitors.Raw(source="S_e")

    def loss(h):
        where = lambda n: (n.model.J_i, n.coupling["lre"].weights, n.coupling["ffi"].weights)  # noqa: E731
        moved = [x + h * d for x, d in zip(where(net), (J_i, lre, ffi), strict=True)]
        path = gx.simulate(eqx.tree_at(where, net, moved), 800.0, 4.0, monitors={"raw": raw}, key=key)["raw"].values
        return (path[100:].mean(0) ** 2).sum()

    assert all(spec.coupling[c].weights is True for c in ("lre", "ffi"))
    value, step = jax.jit(loss), 1e-3 if SINGLE else 1e-5
    exact = float(jax.jit(jax.grad(loss))(0.0))
    numeric = float((value(step) - value(-step)) / (2 * step))
    assert abs(exact) > 1e-2
    np.testing.assert_allclose(exact, numeric, rtol=1e-2 if SINGLE else 1e-6)


def test_inhibition_is_driven_by_its_own_input_alone():
    model, y = gx.models.WongWangExcInh(), jnp.full((2, 1), 0.2)
    none, lre, ffi = (model.drift(0.0, y, jnp.array([[a], [b]])) for a, b in ((0.0, 0.0), (0.1, 0.0), (0.0, 0.1)))
    assert lre[0, 0] > none[0, 0] and lre[1, 0] == none[1, 0]
    assert ffi[1, 0] > none[1, 0] and ffi[0, 0] == none[0, 0]


def test_an_isolated_region_settles_at_the_root_of_its_equations():
    """At J_i = 1: S_e from what S_i leaves, S_i from S_e; Deco et al. report about 3 Hz."""

    def s_i(s_e):
        return brentq(lambda s: -s / 10 + 1e-3 * rate(0.15 * s_e - s + 0.7 * 0.382, 615, 177, 0.087), 0, 1, xtol=1e-15)

    def flow(s_e):
        return drift(np.array([[s_e], [s_i(s_e)]]), np.ones(1), np.zeros((1, 1)), np.zeros((1, 1)))[0, 0]

    expected = brentq(flow, 0.0, 0.5, xtol=1e-14)
    model = gx.models.WongWangExcInh()
    net = gx.Network(model, {}, gx.Connectome(np.zeros((1, 1)), labels=["A"]))
    end = gx.simulate(net, 8000.0, 4.0, monitors={})
    np.testing.assert_allclose(end.final.y[:, 0], [expected, s_i(expected)], rtol=1e-4 if SINGLE else 1e-9)
    current = 1.4 * 0.15 * expected - s_i(expected) + 0.382
    hertz = float(model.rate_e(jnp.asarray(current)))
    np.testing.assert_allclose(hertz, rate(current, 310, 125, 0.16), rtol=1e-3 if SINGLE else 1e-9)
    assert 2.5 < hertz < 4.0
    assert np.isclose(model.rate_i(jnp.asarray(0.3)), rate(0.3, 615, 177, 0.087), rtol=1e-4)


def test_states_are_held_between_zero_and_one():
    model = gx.models.WongWangExcInh()
    assert model.limits == {"S_e": (0.0, 1.0), "S_i": (0.0, 1.0)}
    held = model.limit(jnp.array([[-0.1, 0.5, 1.1]] * 2))
    np.testing.assert_array_equal(held, [[0.0, 0.5, 1.0]] * 2)
