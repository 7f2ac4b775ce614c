"""Long runs of networks whose covariance is known: the solution of a Lyapunov equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_lyapunov

import gyrax as gx

WEIGHTS = np.array([[0.0, 1.0, 0.3], [0.2, 0.0, 0.8], [0.0, 0.6, 0.0]])
N = len(WEIGHTS)
SIGMA = np.array([0.4, 0.8, 0.6])
REALISATIONS = 400


def linear():
    """dx = (gamma + G W) x dt + sigma dW."""
    net = gx.Network(
        gx.models.Linear(gamma=np.array([-0.3, -0.4, -0.5])),
        gx.couplings.Linear(source="x", strength=0.2),
        gx.Connectome(WEIGHTS),
        noise=gx.noise.White(sigma=SIGMA),
    )
    return net, np.diag([-0.3, -0.4, -0.5]) + 0.2 * WEIGHTS, SIGMA


def hopf():
    """Below the bifurcation, diffusively coupled; noise so small that the cubic terms are a part in 1e4."""
    a, omega, strength = np.array([-0.2, -0.3, -0.25]), np.array([0.25, 0.35, 0.3]), 0.15
    sigma = 0.004 * np.array([[1.0, 2.0, 1.5], [0.5, 1.0, 2.0]])
    net = gx.Network(
        gx.models.Hopf(a=a, omega=omega),
        gx.couplings.Difference(source=("x", "y"), strength=strength),
        gx.Connectome(WEIGHTS),
        noise=gx.noise.White(sigma=sigma),
    )
    along = np.diag(a) + strength * (WEIGHTS - np.diag(WEIGHTS.sum(1)))
    return net, np.block([[along, -np.diag(omega)], [np.diag(omega), along]]), sigma.ravel()


def hopf_in_part():
    """Noise on y alone: x has what the rotation brings."""
    net, jacobian, sigma = hopf()
    noise = gx.noise.White(sigma=sigma.reshape(2, N)[1:], states="y")
    return gx.Network(net.model, net.coupling, net.connectome, noise=noise), jacobian, sigma * np.repeat([0, 1], N)


@pytest.mark.slow("float32")
@pytest.mark.parametrize("make", [linear, hopf, hopf_in_part])
@pytest.mark.slow("float64")
def test_covariance_solves_the_lyapunov_equation(make):
    """Each realisation gives one independent estimate of every entry, so their spread gives the standard error. With dt
    = 0.25 ms, Heun's own bias is a tenth of it."""
    net, jacobian, sigma = make()
    origin = jnp.zeros((len(net.model.states), N))
    size = origin.size
    slope = jax.jacfwd(lambda y: net.drift(0.0, y).ravel())(origin).reshape(size, size)
    np.testing.assert_allclose(slope, jacobian, rtol=1e-5, atol=1e-6)
    exact = solve_continuous_lyapunov(jacobian, -np.diag(sigma**2))

    @jax.jit
    @jax.vmap
    def realise(key):
        begun = gx.simulate(net, 40.0, 0.25, key=key, start=origin, monitors={})  # 8 of the slowest time constants
        monitor = gx.monitors.Subsample(period=1.0)
        return gx.simulate(net, 500.0, 0.25, start=begun.final.y, key=jax.random.fold_in(key, 1), monitors=monitor)[
            "monitor"
        ].values

    keys = jax.random.split(jax.random.key(17), REALISATIONS)
    x = np.asarray(realise(keys), float).reshape(REALISATIONS, -1, size)
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    for lag in (0, 1, 3):
        later, earlier = x[:, lag:], x[:, : x.shape[1] - lag]
        estimates = np.einsum("rti,rtj->rij", later, earlier) / later.shape[1]
        standard_error = estimates.std(0, ddof=1) / np.sqrt(REALISATIONS)
        assert (standard_error < 0.01 * scale).all()
        expected = expm(jacobian * lag) @ exact
        deviation = np.abs(estimates.mean(0) - expected) / standard_error
        assert deviation.max() < 4.5, (lag, deviation)
