"""Mean fields against the neurons that they stand for, and where The Virtual Brain's second order departs from its paper."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families.mean_fields import CASES
from scipy.integrate import quad
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import root

import gyrax as gx

m = gx.models
TVB = np.load(Path(__file__).parent / "data" / "tvb_models.npz")


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
    y = rest(model, model.start(1)[:, 0])
    for rate, centre, width, tau in neurons(model, y):
        assert rate == pytest.approx(mean_rate(float(centre), float(width), float(tau)), rel=1e-6)


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


# The second order of Zerlaut

SECOND = "ZerlautAdaptationSecondOrder"
COVARIANCES = slice(2, 5)


def with_covariances(model, y, u, C) -> np.ndarray:
    """The drift where C_ee, C_ei and C_ii are these, times the time scale T: terms of the master equation."""
    y = jnp.asarray(y).at[COVARIANCES].set(jnp.broadcast_to(jnp.asarray(C, y.dtype).reshape(3, -1), (3, y.shape[1])))
    return np.asarray(model.drift(0.0, y, jnp.asarray(u)) * model.T)


def jacobian(model, y, u) -> tuple[np.ndarray, ...]:
    """Slopes of F_e by E and I, and of F_i by E and I, read off the variances' equations."""
    none = with_covariances(model, y, u, [0.0, 0.0, 0.0])
    by_ee, by_ei, by_ii = ((with_covariances(model, y, u, C) - none) / 2 for C in np.eye(3))
    return by_ee[2] + 1, by_ei[2], by_ei[4], by_ii[4] + 1


def test_second_order_is_the_virtual_brains_but_for_its_derivatives():
    """There they are per Hz of rates in kHz: 1e3 times too small, 1e6 the second ones; and C_ei hears C_ee and C_ii wrongly."""
    values = np.concatenate([TVB[f"{SECOND}.defaults"][None], TVB[f"{SECOND}.parameters"].astype(float)])
    model = m.ZerlautAdaptationSecondOrder(**dict(zip(TVB[f"{SECOND}.names"].tolist(), values.T, strict=True)))
    y, u, theirs = (TVB[f"{SECOND}.{what}"].T.astype(float) for what in ("y", "u", "drift"))
    C = C_ee, C_ei, C_ii = y[COVARIANCES]
    J_ee, J_ei, J_ie, J_ii = jacobian(model, y, u)
    none, weaker = (with_covariances(model, y, u, factor * C) for factor in (0.0, 1e-3))
    weakest = with_covariances(model, y, u, 1e-6 * C)
    expected = weakest.copy()
    expected[[2, 4]] = weaker[[2, 4]] - 2 * (1 - 1e-3) * C[[0, 2]]
    expected[3] = none[3] + 1e-3 * (C_ee * J_ee + C_ei * (J_ie + J_ei) + C_ii * J_ii) - 2 * C_ei
    expected /= np.asarray(model.T)
    size = np.abs(theirs).max(1, keepdims=True)
    assert (np.abs(expected - theirs) <= 1e-6 * np.abs(theirs) + 1e-9 * size).all()


def test_second_order_has_the_derivatives_of_the_first():
    """Of transfer functions that are The Virtual Brain's (tests/test_models_tvb.py), by differences of both rates."""
    model, ranges = CASES[f"models.{SECOND}"]
    rng = np.random.default_rng(3)
    y, u, h = np.array([rng.uniform(*ends, 6) for ends in ranges]), np.full((1, 6), 0.01), 2e-5
    first = m.ZerlautAdaptationFirstOrder(**{k: v for k, v in vars(model).items()})

    def rates(E: float, I: float) -> np.ndarray:
        moved = np.delete(y, COVARIANCES, 0) + h * np.array([E, I, 0, 0, 0])[:, None]
        return np.asarray(first.drift(0.0, jnp.asarray(moved), jnp.asarray(u)) * first.T)[:2] + moved[:2]

    by_E, by_I = ((rates(*d) - rates(*-d)) / (2 * h) for d in np.eye(2))
    np.testing.assert_allclose(jacobian(model, y, u), [by_E[0], by_I[0], by_E[1], by_I[1]], rtol=1e-4, atol=1e-4)
    by_EE, by_II = ((rates(*d) - 2 * rates(0, 0) + rates(*-d)) / h**2 for d in np.eye(2))
    by_EI = (rates(1, 1) - rates(1, -1) - rates(-1, 1) + rates(-1, -1)) / (4 * h**2)
    none = with_covariances(model, y, u, [0.0, 0.0, 0.0])
    found = [with_covariances(model, y, u, C)[:2] - none[:2] for C in np.eye(3)]
    expected = np.array([0.5 * by_EE, by_EI, 0.5 * by_II])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_covariances_at_rest_solve_lyapunovs_equation():
    """Fluctuations about a fixed point of the first order, in an asynchronous state of the paper's kind."""
    drive = {"Q_e": 1.0, "b_e": 5.0, "T": 5.0, "external_input_ex_ex": 4e-3, "external_input_in_ex": 4e-3}
    model = m.ZerlautAdaptationSecondOrder(**drive)
    E, I, W_e, *_ = rest(m.ZerlautAdaptationFirstOrder(**drive), [7e-4, 7e-3, 38.0, 0.0, 0.0])
    y, u = np.array([E, I, 0, 0, 0, W_e, 0, 0])[:, None], np.zeros((1, 1))
    J = np.array(jacobian(model, y, u)).reshape(2, 2)
    sampled = [rate * (1 / 5.0 - rate) / n for rate, n in ((E, 8000), (I, 2000))]
    C = solve_continuous_lyapunov(J - np.eye(2), -np.diag(sampled))
    assert C[0, 1] > 0.1 * np.sqrt(C[0, 0] * C[1, 1])
    terms = with_covariances(model, y, u, [C[0, 0], C[0, 1], C[1, 1]])[COVARIANCES, 0]
    np.testing.assert_allclose(terms, 0, atol=1e-9 * sampled[0])


def test_threshold_needs_ten_coefficients():
    with pytest.raises(ValueError, match="10 coefficients"):
        m.ZerlautAdaptationFirstOrder(P_e=(-0.05, 0.005))
    coefficients = np.linspace(-0.05, 0.01, 10)
    assert m.ZerlautAdaptationFirstOrder(P_i=coefficients).P_i == tuple(coefficients)
