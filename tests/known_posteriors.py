"""Models whose posteriors are known: a line with normal noise, and a linear network whose snapshots are normal."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy import linalg, stats

import gyrax as gx

X = np.linspace(-1, 2, 7)
Y = 2 * X - 1 + 0.3 * np.random.default_rng(0).normal(size=7)
DESIGN, SD = np.stack([X, np.ones(7)], 1), 0.3
SPREAD = np.array([1.0, 2.0])


class Line(eqx.Module):
    slope: jax.Array
    offset: jax.Array

    def __init__(self, slope=1.0, offset=0.0):
        self.slope, self.offset = jnp.asarray(slope, float), jnp.asarray(offset, float)


def line(model, key):
    return model.slope * X + model.offset


def line_loss(model, key):
    return -gx.losses.gaussian_log_likelihood(line(model, key), Y, sd=SD)


LINE = Line()
LINE_SPEC = gx.select(LINE, "slope", "offset")
LINE_PRIORS = {"slope": dist.Normal(0.0, 1.0), "offset": dist.Normal(0.0, 2.0)}


def line_posterior():
    """Mean, covariance and evidence of the line, by the algebra of normal distributions."""
    covariance = np.linalg.inv(DESIGN.T @ DESIGN / SD**2 + np.diag(SPREAD**-2.0))
    evidence = stats.multivariate_normal(np.zeros(7), SD**2 * np.eye(7) + DESIGN @ np.diag(SPREAD**2) @ DESIGN.T)
    return covariance @ (DESIGN.T @ Y) / SD**2, covariance, evidence.logpdf(Y)


WEIGHTS = np.array([[0.0, 0.8, 0.3], [0.2, 0.0, 0.9], [0.7, 0.1, 0.0]])
SNAPSHOTS, SIGMA = 60, 0.5
NETWORK = gx.Network(
    gx.models.Linear(gamma=-1.5),
    gx.couplings.Linear(source="x", strength=0.5),
    gx.Connectome(WEIGHTS, labels=["A", "B", "C"]),
    noise=gx.noise.White(sigma=SIGMA),
)
NETWORK_SPEC = gx.select(NETWORK, "model.gamma", "coupling.strength")
BELOW_ZERO = dist.transforms.AffineTransform(0.0, -1.0)
NETWORK_PRIORS = {
    "model.gamma": dist.TransformedDistribution(dist.LogNormal(0.4, 0.3), BELOW_ZERO),
    "coupling.strength": dist.LogNormal(-0.7, 0.5),
}


def covariance_of(gamma, strength):
    """Of the activity of the network at rest: its Lyapunov equation, by scipy."""
    return linalg.solve_continuous_lyapunov(gamma * np.eye(3) + strength * WEIGHTS, -(SIGMA**2) * np.eye(3))


SNAPS = np.random.default_rng(4).multivariate_normal(np.zeros(3), covariance_of(-1.5, 0.5), SNAPSHOTS)
SCATTER = SNAPS.T @ SNAPS


def network_loss(network, key):
    """Minus the log-likelihood of snapshots that are far apart in time."""
    flow = network.model.gamma * jnp.eye(3) + network.coupling.strength * jnp.asarray(WEIGHTS)
    both = jnp.kron(flow, jnp.eye(3)) + jnp.kron(jnp.eye(3), flow)
    covariance = jnp.linalg.solve(both, -(SIGMA**2) * jnp.eye(3).reshape(-1)).reshape(3, 3)
    root = jnp.linalg.cholesky(covariance)
    inside = jnp.trace(jax.scipy.linalg.cho_solve((root, True), jnp.asarray(SCATTER, covariance.dtype)))
    return 0.5 * inside + SNAPSHOTS * (jnp.log(jnp.diag(root)).sum() + 1.5 * jnp.log(2 * jnp.pi))


def network_posterior(points=121):
    """Means and standard deviations of gamma and strength, and the evidence, summed over a grid by NumPy and scipy."""
    gammas, strengths = np.linspace(-4.0, -0.3, points), np.linspace(1e-3, 2.5, points)
    height = np.full((points, points), -np.inf)
    for i, gamma in enumerate(gammas):
        for j, strength in enumerate(strengths):
            flow = gamma * np.eye(3) + strength * WEIGHTS
            if np.linalg.eigvals(flow).real.max() < -1e-3:
                likelihood = stats.multivariate_normal(np.zeros(3), covariance_of(gamma, strength)).logpdf(SNAPS).sum()
                prior = stats.lognorm.logpdf(-gamma, 0.3, scale=np.exp(0.4))
                prior += stats.lognorm.logpdf(strength, 0.5, scale=np.exp(-0.7))
                height[i, j] = likelihood + prior
    density = np.exp(height - height.max())
    total = density.sum()
    evidence = height.max() + np.log(total * (gammas[1] - gammas[0]) * (strengths[1] - strengths[0]))
    found = []
    for values, axis in ((gammas, 1), (strengths, 0)):
        weights = density.sum(axis) / total
        mean = (weights * values).sum()
        found.append((mean, np.sqrt((weights * (values - mean) ** 2).sum())))
    return np.array(found), evidence
