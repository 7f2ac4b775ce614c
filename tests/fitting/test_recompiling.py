"""What of a fit counts as the same program when it is called again."""

import jax
import jax.numpy as jnp
import optax
import pytest

import gyrax as gx
from gyrax.fitting import descent

pytestmark = pytest.mark.once

MODEL = gx.models.Linear(gamma=-0.5)


def loss(model, key):
    return (model.gamma + 1.0) ** 2


def compiled(optimiser) -> bool:
    """Whether a fit with this optimiser traces its steps anew."""
    traced = []

    def step(self, carry):
        traced.append(1)
        return taken(self, carry)

    taken = descent.Descent.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descent.Descent, "step", step)
        found = gx.fit(MODEL, loss, gx.select(MODEL, "gamma"), optimiser, steps=3, progress=False)
    assert jnp.isfinite(found.model.gamma)
    return bool(traced)


@pytest.mark.parametrize(
    "make", [optax.adam, optax.sgd, lambda rate: {"gamma": optax.chain(optax.clip(1.0), optax.adam(rate))}]
)
def test_an_optimiser_made_anew_is_the_same_program_and_another_rate_is_not(make):
    assert compiled(make(0.0123))
    assert not compiled(make(0.0123))
    assert compiled(make(0.0321))


def test_a_rate_that_a_schedule_reads_from_outside_counts():
    rate = [0.1]
    schedule = optax.sgd(lambda count: rate[0])

    def moved():
        found = gx.fit(MODEL, loss, gx.select(MODEL, "gamma"), schedule, steps=1, progress=False)
        return float(found.last.gamma - MODEL.gamma)

    first = moved()
    rate[0] = 0.2
    assert moved() == pytest.approx(2 * first, rel=0.05)  # on the real line of its domain


def test_one_that_calls_the_host_is_itself_alone():
    def told(rate):
        def update(updates, state, params=None):
            scaled = jax.tree.map(
                lambda g: jax.pure_callback(lambda g: -rate * g, jax.ShapeDtypeStruct(g.shape, g.dtype), g), updates
            )
            return scaled, state

        return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

    def moved(optimiser):
        found = gx.fit(MODEL, loss, gx.select(MODEL, "gamma"), optimiser, steps=1, progress=False)
        return float(found.last.gamma - MODEL.gamma)

    assert moved(told(0.2)) == pytest.approx(2 * moved(told(0.1)), rel=0.05)
