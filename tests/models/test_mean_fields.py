"""Mean fields against the neurons that they stand for, and the second order against derivatives of the first."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.optimize import root

import gyrax as gx
from families import mean_fields

m = gx.models
TVB = np.load(Path(__file__).parents[1] / "data" / "tvb_models.npz")


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def rest(model: gx.AbstractModel, guess) -> np.ndarray:
    """A state where nothing moves, without input."""
    u = jnp.zeros((len(model.inputs), 1))
    drift = jax.jit(lambda y: model.drift(0.0, y[:, None], u)[:, 0])
    found = root(drift, guess, jac=jax.jacfwd(drift), options={"xtol": 1e-13})
    assert np.abs(found.fun).max() < 1e-9, found.message
    return found.x


def settled(model: gx.AbstractModel) -> np.ndarray:
    """Where 200 ms take the model from its start."""
    u = jnp.zeros((len(model.inputs), 1))
    drift = jax.jit(lambda y: model.drift(0.0, y[:, None], u)[:, 0])
    return solve_ivp(lambda _, y: drift(y), (0, 200), model.start(1)[:, 0], method="LSODA").y[:, -1]


def slopes(model: gx.AbstractModel, y) -> np.ndarray:
    u = jnp.zeros((len(model.inputs), 1))
    return np.asarray(jax.jacfwd(lambda y: model.drift(0.0, y[:, None], u)[:, 0])(jnp.asarray(y)))


# Quadratic integrate-and-fire neurons


def mean_rate(centre: float, width: float, tau: float = 1.0) -> float:
    """Of neurons tau v' = v^2 + I that fire with sqrt(I) / (pi tau) where I > 0, over Lorentzian currents I = x^2."""
    integrand = lambda x: 2 * x**2 * width / np.pi / ((x**2 - centre) ** 2 + width**2)  # noqa: E731
    knee = np.sqrt(abs(centre)) + 1
    return (quad(integrand, 0, knee, epsabs=1e-12)[0] + quad(integrand, knee, np.inf, epsabs=1e-12)[0]) / (np.pi * tau)


def adapting(current) -> object:
    return lambda p, y: [(y[0], p.eta + p.I + current(p.J * p.tau * y[0], p.alpha * y[0]), p.Delta, p.tau)]


def conducting(p, y) -> list:
    """Tonic neurons v' = v^2 + eta + (v_syn - v) g: the square is completed."""
    g = p.k * np.pi * y[0]
    return [(y[0], p.eta + p.v_syn * g - g**2 / 4, p.Delta, 1.0)]


def two_populations(p, y) -> list:
    e, i = y[0], y[4]
    to_e, to_i = p.tau_e * (p.J_ee * e - p.J_ei * i), p.tau_i * (p.J_ie * e - p.J_ii * i)
    return [(e, p.eta_e + p.I_e + to_e, p.Delta_e, p.tau_e), (i, p.eta_i + p.I_i + to_i, p.Delta_i, p.tau_i)]


NEURONS = {
    "MontbrioPazoRoxin": (
        {"tau": 2.0, "Delta": 0.7, "J": 11.0, "eta": -2.0, "Gamma": 0.4, "I": 0.5},
        lambda p, y: [(y[0], p.eta + p.I + p.J * p.tau * y[0], p.Delta + p.Gamma * p.tau * y[0], p.tau)],
    ),
    "CoombesByrne": ({}, conducting),
    "CoombesByrne2D": ({}, conducting),
    "GastSchmidtKnoscheSD": ({"tau": 2.0, "I": 0.5}, adapting(lambda own, A: own * (1 - A))),
    "GastSchmidtKnoscheSF": ({"tau": 2.0, "I": 0.5}, adapting(lambda own, A: own - A)),
    "DumontGutkin": (
        {"tau_e": 8.0, "tau_i": 12.0, "J_ee": 3.0, "J_ie": 4.0, "I_e": 6.0, "I_i": 5.0, "eta_i": -4.0, "Delta_i": 0.5},
        two_populations,
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", NEURONS)
def test_at_rest_the_rate_is_that_of_the_neurons(name):
    """Exact mean fields: what each neuron does at its own current, summed over all."""
    arguments, neurons = NEURONS[name]
    model = getattr(m, name)(**arguments)
    y = rest(model, settled(model))
    for rate, centre, width, tau in neurons(model, y):
        assert rate == pytest.approx(mean_rate(float(centre), float(width), float(tau)), rel=1e-6)


@pytest.mark.slow
@pytest.mark.once
def test_montbrio_is_bistable_between_the_papers_folds():
    """Figure 2 of the paper, in units of Delta: a node and a focus about a saddle, folds, and the cusp where they end."""
    model = m.MontbrioPazoRoxin()
    found = []
    for r in (0.05, 0.4, 1.3):
        y = rest(model, np.array([r, -1 / (2 * np.pi * r)]))
        found.append((y[0], np.linalg.eigvals(slopes(model, y))))
    (low, node), (middle, saddle), (high, focus) = found
    assert low < middle < high
    assert (node.real < 0).all() and (node.imag == 0).all()
    assert saddle.real.min() < 0 < saddle.real.max()
    assert (focus.real < 0).all() and (focus.imag != 0).all()
    for r in (0.1, 0.2, 0.6, 1.1):  # the folds by their rate: the fixed point's equation and its slope by r both vanish
        eta, J = -((np.pi * r) ** 2) - 3 / (2 * np.pi * r) ** 2, 2 * np.pi**2 * r + 1 / (2 * np.pi**2 * r**3)
        for Delta in (1.0, 0.5):
            fold = m.MontbrioPazoRoxin(eta=eta * Delta, J=J * np.sqrt(Delta), Delta=Delta)
            y = np.array([r, -1 / (2 * np.pi * r)]) * np.sqrt(Delta)
            np.testing.assert_allclose(fold.drift(0.0, jnp.asarray(y)[:, None], jnp.zeros((2, 1))), 0, atol=1e-12)
            assert abs(np.linalg.det(slopes(fold, y))) < 1e-10


@pytest.mark.slow
def test_second_order_has_the_derivatives_of_the_first():
    """Against JAX's own derivatives of the first order's transfer functions, region by region."""
    first, second = (
        kind(**mean_fields.ZERLAUT, **mean_fields.DRIVES)
        for kind in (gx.models.ZerlautAdaptationFirstOrder, gx.models.ZerlautAdaptationSecondOrder)
    )
    low, high = np.array(mean_fields.CASES["models.ZerlautAdaptationSecondOrder"][1]).T[:, :, None]
    y = jnp.asarray(np.random.default_rng(3).uniform(low, high, (8, 4)))
    C_ee, C_ei, C_ii, W_e, W_i, ou_drift = y[2:]
    drives, W = second.drives(jnp.full(4, 0.01, y.dtype), ou_drift), jnp.stack([W_e, W_i])
    drift = second.drift(0.0, y, jnp.full((1, 4), 0.01, y.dtype))
    T, N = float(first.T), np.array([0.8, 0.2]) * 1e4

    def both(rates, k):
        return first.rate(*first.membrane(*rates, drives[:, [k]], W[:, [k]]))[:, 0]

    for k in range(4):
        nu = y[:2, k]
        F, J, H = (np.asarray(f(nu, k), float) for f in (both, jax.jacfwd(both), jax.hessian(both)))
        C, off = np.array([[C_ee[k], C_ei[k]], [C_ei[k], C_ii[k]]], float), F - np.asarray(nu, float)
        shot = np.diag(F * (1 / T - F) / N)
        rates = (off + 0.5 * np.einsum("pab,ab->p", H, C)) / T
        lyapunov = (shot + np.outer(off, off) + J @ C + C @ J.T - 2 * C) / T
        found = np.asarray(drift[:, k], float)
        np.testing.assert_allclose(found[:2], rates, rtol=1e-11)
        atol = 1e-11 * np.abs(C).max() / T
        np.testing.assert_allclose(found[2:5], lyapunov[[0, 0, 1], [0, 1, 1]], rtol=1e-11, atol=atol)
        assert abs(np.einsum("pab,ab->p", H, C) / off).min() > 1e-3, "covariances that do nothing prove nothing"


def test_threshold_needs_ten_coefficients():
    with pytest.raises(ValueError, match="10 coefficients"):
        gx.models.ZerlautAdaptationFirstOrder(P_e=(1.0, 2.0))
