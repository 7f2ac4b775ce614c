"""Whether 90 % intervals of every method of gx.inference hold the truth: a linear network whose snapshots are normal, minutes.

python benchmarks/posteriors.py [--repetitions 100] [--only laplace nuts]
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import gyrax as gx

WEIGHTS = np.array([[0.0, 0.8, 0.3], [0.2, 0.0, 0.9], [0.7, 0.1, 0.0]])
SNAPSHOTS, SIGMA = 60, 0.5
NETWORK = gx.Network(
    gx.models.Linear(gamma=-1.5),
    gx.couplings.Linear(source="x", strength=0.5),
    gx.Connectome(WEIGHTS, labels=["A", "B", "C"]),
    noise=gx.noise.White(sigma=SIGMA),
)
SPEC = gx.select(NETWORK, "model.gamma", "coupling.strength")
PRIORS = {
    "model.gamma": dist.TransformedDistribution(dist.LogNormal(0.4, 0.15), dist.transforms.AffineTransform(0.0, -1.0)),
    "coupling.strength": dist.LogNormal(-0.9, 0.3),
}


def root(network):
    """Of the covariance at rest, by the Lyapunov equation."""
    flow = network.model.gamma * jnp.eye(3) + network.coupling.strength * jnp.asarray(WEIGHTS)
    both = jnp.kron(flow, jnp.eye(3)) + jnp.kron(jnp.eye(3), flow)
    covariance = jnp.linalg.solve(both, -(SIGMA**2) * jnp.eye(3).reshape(-1)).reshape(3, 3)
    return jnp.linalg.cholesky(covariance)


def snapshots(network, key):
    return jax.random.normal(key, (SNAPSHOTS, 3)) @ root(network).T


def scatter(network, key):
    """All that snapshots tell: the entries of their covariance, as logarithms and correlations."""
    x = snapshots(network, key)
    covariance = x.T @ x / SNAPSHOTS
    size = jnp.sqrt(jnp.diag(covariance))
    return jnp.concatenate([jnp.log(size), (covariance / (size[:, None] * size))[np.triu_indices(3, 1)]])


def loss(network, key, data):
    lower = root(network)
    away = jax.scipy.linalg.solve_triangular(lower, data.T, lower=True)
    return 0.5 * (away**2).sum() + SNAPSHOTS * (jnp.log(jnp.diag(lower)).sum() + 1.5 * jnp.log(2 * jnp.pi))


def estimated(network, key, data):
    """The same with an error whose likelihood is right in the mean, as simulated ones have."""
    return loss(network, key, data) - 0.5 * jax.random.normal(key) + 0.125


METHODS = {
    "laplace": (gx.inference.laplace, {}, loss),
    "nuts": (gx.inference.nuts, {"chains": 2, "warmup": 300, "draws": 500}, loss),
    "svi": (gx.inference.svi, {"steps": 1000}, loss),
    "pseudo_marginal": (gx.inference.pseudo_marginal, {"warmup": 1000, "draws": 3000}, estimated),
    "learnt": (None, {}, None),
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repetitions", type=int, default=100)
    arguments.add_argument("--simulations", type=int, default=8000)
    arguments.add_argument("--only", nargs="*", default=list(METHODS))
    given = arguments.parse_args()
    for name in given.only:
        method, options, of_data = METHODS[name]
        began, data = time.perf_counter(), snapshots
        if name == "learnt":
            data = scatter
            method = gx.inference.learn_posterior(
                NETWORK, scatter, SPEC, priors=PRIORS, simulations=given.simulations, progress=False
            )
        found = gx.inference.calibration(
            NETWORK,
            data,
            of_data,
            SPEC,
            priors=PRIORS,
            method=method,
            options=options,
            repetitions=given.repetitions,
            progress=False,
        )
        print(found)
        print(f"  {time.perf_counter() - began:.0f} s, compiling included", flush=True)


if __name__ == "__main__":
    main()
