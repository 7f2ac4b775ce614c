"""Known parameters of a small network, found again from one objective by every method."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from scipy import linalg

import gyrax as gx

WEIGHTS = np.array([[0.0, 0.8, 0.3], [0.8, 0.0, 0.9], [0.3, 0.9, 0.0]])
RATES, SHAPES = np.linalg.eigh(WEIGHTS)
START, TIMES, SD = np.array([1.0, -0.5, 0.2]), 0.2 * np.arange(30), 0.02
TRUE = {"model.gamma": -1.5, "coupling.strength": 0.5}
NETWORK = gx.Network(  # to start from
    gx.models.Linear(gamma=-2.5),
    gx.couplings.Linear(source="x", strength=0.2),
    gx.Connectome(WEIGHTS, labels=["A", "B", "C"]),
)
SPEC = gx.select(NETWORK, *TRUE)
PRIORS = {
    "model.gamma": dist.TransformedDistribution(dist.LogNormal(0.4, 0.8), dist.transforms.AffineTransform(0.0, -1.0)),
    "coupling.strength": dist.LogNormal(-0.7, 1.0),
}


def measured():
    """How activity dies away, by scipy's matrix exponential, with noise."""
    flow = TRUE["model.gamma"] * np.eye(3) + TRUE["coupling.strength"] * WEIGHTS
    clean = np.stack([linalg.expm(flow * t) @ START for t in TIMES])
    return clean + SD * np.random.default_rng(1).normal(size=clean.shape)


MEASURED = measured()


def predict(network, key):
    """The same in closed form, along the eigenvectors of the weights."""
    rates = network.model.gamma + network.coupling.strength * RATES
    return (jnp.exp(rates * TIMES[:, None]) * (START @ SHAPES)) @ SHAPES.T


def loss(network, key):
    residuals = (predict(network, key) - MEASURED) / SD
    return 0.5 * (residuals**2).sum(), {"residuals": residuals}


def descended(**options):
    return gx.fit(NETWORK, loss, SPEC, optax.adam(optax.cosine_decay_schedule(0.1, 150)), steps=150, **options)


SEARCHES = {
    "Adam": descended,
    "Evolution": lambda **options: descended(gradient=gx.Evolution(), key=0, **options),
    "least squares": lambda **options: gx.search.least_squares(NETWORK, loss, SPEC, **options),
    "minimise": lambda **options: gx.search.minimise(NETWORK, loss, SPEC, **options),
    "evolve": lambda **options: gx.search.evolve(NETWORK, loss, SPEC, **options),
}
POSTERIORS = {
    "laplace": lambda: gx.inference.laplace(NETWORK, loss, SPEC, priors=PRIORS),
    "nuts": lambda: gx.inference.nuts(
        NETWORK, loss, SPEC, priors=PRIORS, chains=2, warmup=200, draws=400, progress=False
    ),
    "svi": lambda: gx.inference.svi(NETWORK, loss, SPEC, priors=PRIORS, steps=600, progress=False),
}


@pytest.fixture(scope="module")
def errors():
    """Cramér and Rao's, at the truth; the start is far away in them."""
    truth = gx.Network(
        gx.models.Linear(gamma=TRUE["model.gamma"]),
        gx.couplings.Linear(source="x", strength=TRUE["coupling.strength"]),
        NETWORK.connectome,
    )
    found = gx.analysis.identifiability(truth, predict, SPEC, sd=SD).errors
    away = np.abs(np.array([NETWORK.model.gamma, NETWORK.coupling.strength]) - list(TRUE.values())) / found
    assert (away > 4).all(), away
    return found


#: Whose own tests have known answers too.
LONG = ("Evolution", "evolve", "nuts", "svi")


@pytest.mark.slow
@pytest.mark.parametrize("method", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in SEARCHES])
def test_every_search_finds_the_truth_again(method, errors):
    found = SEARCHES[method](progress=False).model
    away = (np.array([found.model.gamma, found.coupling.strength]) - list(TRUE.values())) / errors
    assert (np.abs(away) < 3).all(), away


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in POSTERIORS]
)
def test_every_posterior_holds_the_truth(method, errors):
    found = POSTERIORS[method]().samples
    draws = np.stack([np.ravel(found[name]) for name in TRUE])
    away = (draws.mean(1) - list(TRUE.values())) / errors
    assert (np.abs(away) < 3).all(), away
    np.testing.assert_allclose(draws.std(1), errors, rtol=0.3)
