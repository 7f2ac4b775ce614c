"""Facts of the epilepsy models that no drift of The Virtual Brain shows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import fsolve

import gyrax as gx
from gyrax.models.epileptor_codim3 import arc, equilibrium

m = gx.models
SINGLE = jnp.result_type(float) == jnp.float32


@eqx.filter_jit
def linearised(model, y):
    """Derivative without input at the state `(state,)`, and its Jacobian."""

    def drift(y):
        return model.drift(0.0, y[:, None], jnp.zeros((len(model.inputs), 1)))[:, 0]

    return drift(y), jax.jacfwd(drift)(y)


def growth(model, y) -> float:
    """Largest real part of the eigenvalues at the fixed point `(state,)`."""
    drift, jacobian = linearised(model, jnp.asarray(y, jnp.result_type(float)))
    np.testing.assert_allclose(drift, 0, atol=1e-5)
    return np.linalg.eigvals(np.asarray(jacobian)).real.max()


@eqx.filter_jit
@eqx.filter_value_and_grad
def slopes(arguments):
    """Sum of the derivatives of a model at a state, and its slopes."""
    model, y = arguments
    return jnp.sum(model.drift(0.0, y, jnp.zeros((len(model.inputs), 1))))


def test_rest_is_lost_at_the_critical_epileptogenicity():
    """At the knee of z = 4.1 - x^3 - 2 x^2, x = -4/3, so at x0 = -4/3 - z/4 = -2.062 (Proix et al. 2014: about -2.05)."""
    critical = -4 / 3 - (4.1 + 64 / 27 - 32 / 9) / 4
    for shift in (-0.02, 0.02):
        x0 = critical + shift
        roots = np.roots([1, 2, 4, -4 * x0 - 4.1])
        x1 = roots[np.isreal(roots)].real.item()
        z = 4 * (x1 - x0)
        x2 = np.roots([-1, 0, 1, 0.45 + 0.2 * x1 - 0.3 * (z - 3.5)]).real.min()
        six = growth(m.Epileptor(x0=x0), [x1, 1 - 5 * x1**2, z, x2, 0.0, 0.1 * x1])
        assert np.sign(growth(m.Epileptor2D(x0=x0), [x1, z])) == np.sign(six) == np.sign(shift)


def test_permittivity_is_drawn_back_below_zero():
    for model, x1, z in ((m.Epileptor(s=3.0), 0, 2), (m.Epileptor2D(), 0, 1)):
        y = jnp.zeros((len(model.states), 1)).at[x1].set(-1.6).at[z].set(-1.2)
        pull = 0.1 * 1.2**7 + 1.2
        dz = model.drift(0.0, y, jnp.zeros((len(model.inputs), 1)))[z, 0]
        np.testing.assert_allclose(dz, 0.00035 * pull, rtol=1e-5)


@pytest.mark.slow
def test_resting_states_are_roots_of_the_cubic():
    """By numpy.roots: upper, lower and middle one, or the real part of the pair where the branch has folded away."""
    mu2, mu1 = (x.ravel() for x in np.meshgrid(np.linspace(-0.5, 0.5, 12), np.linspace(-0.3, 0.3, 13) + 0.004))
    found = [np.asarray(equilibrium(jnp.asarray(mu2), jnp.asarray(mu1), branch)) for branch in (1, 2, 3)]
    for i, (a, b) in enumerate(zip(mu2, mu1, strict=True)):
        roots = np.roots([1, 0, -a, -b])
        alone = roots[np.abs(roots.imag) < 1e-9].real
        if len(alone) == 3:
            expected = [alone.max(), alone.min(), np.median(alone)]
        else:
            (real,), pair = alone, roots[np.abs(roots.imag) > 1e-9].real[0]
            expected = [pair, real, pair] if b < 0 < a else [real, pair, pair]
        np.testing.assert_allclose([x[i] for x in found], expected, atol=2e-5 if SINGLE else 1e-9)


def test_slopes_of_the_resting_state_are_finite_where_roots_meet():
    slope = jax.jit(jax.vmap(jax.grad(lambda mu: equilibrium(mu[0], mu[1], 1))))
    folds = jnp.array(
        [[0.0, 0.0], [0.3, 2 * 0.1**1.5], [0.3, -2 * 0.1**1.5], [0.3, -2 * 0.1**1.5 * 0.9999999], [0.3, 0.0]]
    )
    found = np.asarray(slope(folds))
    assert np.isfinite(found).all()
    x = np.sqrt(0.3)  # of a simple root: (x, 1) / (3 x^2 - mu2)
    np.testing.assert_allclose(found[-1], np.array([x, 1]) / (3 * x**2 - 0.3), rtol=1e-4 if SINGLE else 1e-9)


@pytest.mark.slow
def test_bursters_keep_finite_slopes_at_rest_and_without_a_path():
    """At rest the distance from rest is a square root of zero, and between equal points there is no arc."""
    model = m.EpileptorCodim3()
    offset, onset = (tuple(map(jnp.asarray, mu)) for mu in ((0.3448, 0.02285, 0.2014), (0.3351, 0.07465, 0.2053)))
    mu2, minus_mu1, _ = arc(offset, onset, jnp.zeros(1), model.R)
    rest = jnp.stack([equilibrium(mu2, -minus_mu1, 1), jnp.zeros(1), jnp.zeros(1)])
    same = m.EpileptorCodim3(mu1_stop=-0.02285, mu2_stop=0.3448, nu_stop=0.2014)
    for path in (model, same):
        drift, gradient = slopes((path, rest))
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
        np.testing.assert_allclose(drift, 0.001 * (0.3 + 0.1 * 0.5**7), atol=1e-6)


@pytest.mark.once
def test_a_branch_that_is_none_is_refused():
    with pytest.raises(ValueError, match="the branch of the resting state"):
        m.EpileptorCodim3(N=4)


@pytest.mark.once
def test_potassium_of_the_bath_takes_a_population_from_rest_to_depolarisation_block():
    """Fixed points by scipy: rest at -73 mV in 5.5 mM is stable; in 20 mM it is gone, and V stays about -20 mV."""
    ends = []
    for bath, guess in ((5.5, [0.03, -73.0, 0.05, 0.6, 2.5]), (20.0, [22.2, -20.0, 0.48, -5.9, -2.4])):
        model = m.KIonEx(K_bath=bath)
        y = fsolve(lambda y, model=model: linearised(model, jnp.asarray(y))[0], guess, xtol=1e-12)
        np.testing.assert_allclose(model.K_o(jnp.asarray(y)[:, None]), bath, rtol=1e-9)
        assert growth(model, y) < 0
        ends.append(y[1])
    np.testing.assert_allclose(ends, [-73.0, -20.3], atol=0.5)


def test_potassium_exchange_is_finite_where_concentrations_are_negative():
    y = jnp.array([[0.1], [-60.0], [0.1], [-2.0], [-60.0]])  # K_o = -49.2 mM
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes((m.KIonEx(), y))))
