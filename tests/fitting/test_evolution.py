"""Gradients by an evolution strategy: against closed forms, a plain loop, and losses that have no other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

import gyrax as gx
from conftest import DOUBLE
from gyrax.fitting.evolution import checked_gradient, perturbing, smoothed
from gyrax.fitting.objective import Objective


class Point(eqx.Module):
    x: Array = gx.parameter(1.0)
    y: Array = gx.parameter(1.0)


POINT = Point(x=jnp.array([0.3, -0.2]), y=jnp.array(0.5))
SPEC = gx.select(POINT, "x", "y")
FREE, FIXED = gx.split(POINT, SPEC)
A = jnp.array([[2.0, 0.3, -0.4], [0.3, 1.0, 0.2], [-0.4, 0.2, 0.5]])
B = jnp.array([0.7, -0.3, 0.4])


def flat(point):
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(point)])


def bowl(m, key):
    v = flat(m)
    return v @ A @ v / 2 + B @ v


def quartic(m, key):
    return jnp.sum(flat(m) ** 4)


def noisy(m, key):
    """Far more noise than signal, all of it the same whatever the parameters."""
    noise = jax.random.normal(key)
    return bowl(m, key) + 1e3 * noise, {"noise": noise}


def estimates(loss, evolution, count, keys=None):
    """The estimate of the gradient by so many keys of the perturbations, `(key, entry)`."""
    keys = jax.random.split(jax.random.key(9), 1) if keys is None else keys

    def one(key):
        means = smoothed(Objective(loss, FIXED), evolution, keys, None, key)
        return flat(jax.grad(lambda free: means(free)[0])(FREE))

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), count)))


def fit(loss=bowl, gradient=gx.Evolution(pairs=4, sd=0.1), model=POINT, optimiser=optax.sgd(0.1), steps=3, **kwargs):
    options = {"progress": False, "key": jax.random.key(7), "gradient": gradient} | kwargs
    return gx.fit(model, loss, gx.select(model, "x", "y"), optimiser, steps=steps, **options)


def test_of_a_quadratic_the_mean_is_its_gradient_and_the_variance_falls_with_pairs():
    """Antithetic pairs see (g e) e: of mean g, and of variance (|g|^2 + g_i^2) / pairs in entry i."""
    exact = np.asarray(A @ flat(FREE) + B)
    for pairs in (1, 16):
        found = estimates(bowl, gx.Evolution(pairs=pairs, sd=0.3), 20_000)
        variance = (exact @ exact + exact**2) / pairs
        np.testing.assert_allclose(found.mean(0), exact, atol=5 * np.sqrt(variance.max() / len(found)))
        np.testing.assert_allclose(found.var(0), variance, rtol=0.1)


def test_the_gradient_is_that_of_the_loss_smoothed_over_sd():
    """E (x + s e)^4 = x^4 + 6 x^2 s^2 + 3 s^4."""
    x, sd = np.asarray(flat(FREE)), 0.7
    found = estimates(quartic, gx.Evolution(pairs=16, sd=sd), 20_000)
    error = found.std(0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(0) - (4 * x**3 + 12 * x * sd**2)) < 5 * error)
    assert np.all(np.abs(found.mean(0) - 4 * x**3) > 20 * error)


@pytest.mark.parametrize(("pairs", "sd", "realisations"), [(1, 1.0, 1), (5, 0.1, 3)])
def test_a_step_is_what_a_plain_loop_takes(pairs, sd, realisations):
    """Loop over realisations, pairs and signs; what is recorded is the loss of the parameters themselves."""
    key = jax.random.key(3)
    result = fit(noisy, gx.Evolution(pairs, sd), steps=1, key=key, realisations=realisations, validation=None)
    base = jax.random.fold_in(key, 0)
    keys = [base] if realisations == 1 else list(jax.random.split(base, realisations))
    drawn, total = perturbing(key, jnp.array(0)), np.zeros(3)
    ways = [np.asarray(jax.random.normal(jax.random.fold_in(drawn, i), (pairs, *s))) for i, s in enumerate([(2,), ()])]
    ways = np.concatenate([way.reshape(pairs, -1) for way in ways], 1)
    loss = lambda v, k: float(noisy(jnp.asarray(v), k)[0])  # noqa: E731
    x = np.asarray(flat(FREE))
    for k in keys:
        for way in ways:
            total += (loss(x + sd * way, k) - loss(x - sd * way, k)) * way / (2 * sd * pairs * len(keys))
    close = 1e-9 if DOUBLE else 3e-3 / sd  # of differences of numbers of a thousand
    np.testing.assert_allclose(flat(result.last), x - 0.1 * total, atol=close)
    np.testing.assert_allclose(result.history["gradient"], [np.linalg.norm(total)], atol=10 * close)
    np.testing.assert_allclose(result.history["loss"], [np.mean([loss(x, k) for k in keys])], rtol=1e-5)


@pytest.mark.once
def test_starts_go_their_ways_as_if_alone():
    starts = [Point(jnp.array([a, -a]), jnp.array(a)) for a in (0.1, 0.5, -1.0)]
    together = fit(noisy, starts=starts, realisations=2, validation=None)
    for start, found in zip(starts, together.starts, strict=True):
        alone = fit(noisy, model=start, realisations=2, validation=None)
        np.testing.assert_allclose(flat(found.last), flat(alone.last), rtol=1e-9)
        np.testing.assert_allclose(found.history["noise"], alone.history["noise"], rtol=1e-9)


def count_of(m, key):
    """A whole number, by a loop that reverse mode refuses."""
    return jax.lax.while_loop(lambda n: n < 50 * jnp.sum(flat(m) ** 2), lambda n: n + 1, 0)


def place_of(m, key):
    """Which entry of what is recorded is the largest, as a fraction: flat but for jumps."""
    return jnp.argmax(-((jnp.arange(200) / 100 - jnp.abs(flat(m)).sum()) ** 2)) / 200.0


@pytest.mark.once
@pytest.mark.parametrize("loss", [count_of, place_of])
def test_a_loss_without_a_gradient_is_descended(loss):
    result = fit(loss, gx.Evolution(pairs=8, sd=0.1), optimiser=optax.adam(0.02), steps=60)
    assert loss(result.model, None) < 0.25 * loss(POINT, None) and result.history["loss"].dtype.kind == "f"


@pytest.mark.once
def test_exact_gradients_say_what_else_there_is():
    with pytest.raises((TypeError, ValueError)) as caught:
        fit(count_of, "exact")
    assert "gradient=gx.Evolution()" in caught.value.__notes__[-1]


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize(
    "optimiser",
    [optax.lbfgs(), optax.adamw(0.05), {"x": optax.sgd(0.1), "y": optax.adam(0.05)}],
    ids=["lbfgs", "adamw", "each its own"],
)
def test_every_optimiser_takes_it(optimiser):
    """lbfgs looks along its line by values and gradients of its own, which are estimates too."""
    result = fit(optimiser=optimiser, gradient=gx.Evolution(pairs=8, sd=0.01), steps=12, noise="common")
    assert result.history["loss"][-1] < result.history["loss"][0] - 0.1


@pytest.mark.once
def test_clipping_and_steps_that_are_not_finite():
    clipped = fit(optimiser=optax.sgd(1.0), clip=1e-3, steps=1)
    assert np.linalg.norm(np.asarray(flat(clipped.last) - flat(POINT))) == pytest.approx(1e-3)
    with pytest.warns(RuntimeWarning, match="not finite"):
        broken = fit(lambda m, key: jnp.where(m.y > 0.5, jnp.inf, bowl(m, key)), steps=2)
    assert list(broken.skipped) == ["x", "y"]
    np.testing.assert_array_equal(flat(broken.last), flat(POINT))


@pytest.mark.once
def test_checkpoints_go_on_and_know_the_gradient(tmp_path):
    path = tmp_path / "fit.npz"
    fit(noisy, steps=2, checkpoint=path, validation=None)
    resumed, through = (fit(noisy, steps=5, checkpoint=at, validation=None) for at in (path, None))
    np.testing.assert_array_equal(flat(resumed.last), flat(through.last))
    np.testing.assert_array_equal(resumed.history["loss"], through.history["loss"])
    with pytest.raises(
        ValueError, match=r"the gradient differs: Evolution\(pairs=4, sd=0.1\) there, Evolution\(pairs=8"
    ):
        fit(noisy, gx.Evolution(pairs=8, sd=0.1), steps=6, checkpoint=path, validation=None)
    with pytest.raises(ValueError, match=r"the gradient differs: .* there, exact here"):
        fit(noisy, "exact", steps=6, checkpoint=path, validation=None)
    fit(noisy, "exact", steps=6, checkpoint=path, validation=None, changed="accept")


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match="pairs is a whole number from 1 on, got 0"):
        gx.Evolution(pairs=0)
    for sd in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="sd is a positive number"):
            gx.Evolution(sd=sd)
    with pytest.raises(TypeError, match=r"gradient= takes 'exact' or an evolution strategy, got 'es'"):
        checked_gradient("es")
    with pytest.raises(TypeError, match=r"an evolution strategy, got .* gradient=gx.Evolution\(pairs=16"):
        checked_gradient(gx.Evolution)
    assert hash(gx.Evolution(4, 1)) == hash(gx.Evolution(4, 1.0))
