"""What a fit can do beside descending: held-out noise, several starts, rates by leaf, clipping, a budget of time."""

import importlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

import gyrax as gx

module = importlib.import_module("gyrax.fitting.training")
blocks = importlib.import_module("gyrax.fitting.blocks")
ADAM = optax.adam(0.1)


class Point(eqx.Module):
    a: Array = gx.parameter(0.5, domain=gx.Interval(0.0, 2.0))
    b: Array = gx.parameter(3.0, domain=gx.Positive())
    frozen: Array = gx.parameter(7.0)


POINT = Point()
SPEC = gx.select(POINT, "a", "b")
STARTS = [Point(a, b) for a, b in ((0.5, 3.0), (1.5, 0.5), (0.1, 9.0))]


def bowl(m, key):
    return (m.a - 1.2) ** 2 + (m.b - 0.7) ** 2


def noisy(m, key):
    """Noise in the target: what is learnt of it by heart is of no use on other noise."""
    noise = 0.5 * jax.random.normal(key, (2,))
    return (m.a - 1.2 - noise[0]) ** 2 + (m.b - 0.7 - noise[1]) ** 2, {"noise": noise[0]}


def two_valleys(m, key):
    """The one near 0.3 is the shallow one."""
    return jnp.minimum((m.a - 0.3) ** 2 + 0.2, 2 * (m.a - 1.6) ** 2) + 0 * m.b


class Nowhere(eqx.Module):
    """Not finite for a above some value."""

    above: Array = gx.parameter(1.0)

    def __call__(self, m, key):
        return bowl(m, key) + jnp.where(m.a > self.above, jnp.nan, 0.0) * m.a


def fit(loss=bowl, optimiser=ADAM, model=POINT, spec=SPEC, steps=20, **kwargs):
    return gx.fit(model, loss, spec, optimiser, steps=steps, **{"progress": False} | kwargs)


def same(one, two, rtol=0.0):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


# Validation


def validated(result, keys):
    """The loss on validation noise at the values that each look saw, by a fit cut short there."""
    return float(np.mean([noisy(result, k)[0] for k in keys]))


@pytest.mark.slow
def test_the_best_model_is_that_of_the_validation_noise(key, rounding):
    keys = jax.random.split(jax.random.key(99), 6)
    result = fit(noisy, steps=20, key=key, validation=gx.Validation(keys, every=4))
    looked = np.flatnonzero(np.isfinite(result.history["validation"]))
    np.testing.assert_array_equal(looked, [0, 3, 7, 11, 15, 19])
    for step in looked:
        before = fit(noisy, steps=int(step), key=key).last if step else POINT
        np.testing.assert_allclose(result.history["validation"][step], validated(before, keys), rtol=1e3 * rounding)
    assert result.best_step in looked and result.best_loss == np.nanmin(result.history["validation"])
    np.testing.assert_allclose(validated(result.model, keys), result.best_loss, rtol=1e3 * rounding)
    # looking changes no step
    same(result.last, fit(noisy, steps=20, key=key).last, rtol=10 * rounding)
    assert "validation loss" in repr(result) and result.plot().get_lines()


@pytest.mark.slow
def test_validation_noise_of_its_own_is_never_trained(key):
    """The keys made from the fit's own are none of those of its steps, and the same in every fit with that key."""
    drawn = {tuple(jax.random.key_data(k).tolist()) for k in gx.Validation(50).drawn(key)}
    trained = {
        tuple(jax.random.key_data(k).tolist())
        for step in range(200)
        for k in (jax.random.fold_in(key, step), *jax.random.split(jax.random.fold_in(key, step), 3))
    }
    common = {tuple(jax.random.key_data(k).tolist()) for k in (key, *jax.random.split(key, 50))}
    assert len(drawn) == 50 and not drawn & (trained | common)
    assert drawn == {tuple(jax.random.key_data(k).tolist()) for k in gx.Validation(50).drawn(key)}


@pytest.mark.slow
def test_validation_by_another_loss(key):
    result = fit(noisy, steps=6, key=key, validation=gx.Validation(2, every=1, loss=bowl))
    np.testing.assert_allclose(result.history["validation"][0], bowl(POINT, None), rtol=1e-5)
    np.testing.assert_allclose(bowl(result.model, None), result.best_loss, rtol=1e-4)


@pytest.mark.slow
def test_patience_waits_for_validation(key):
    """Common noise is learnt by heart: the training loss goes on falling, the other rises."""
    keys = jax.random.split(jax.random.key(99), 50)
    arguments = dict(loss=noisy, steps=400, key=jax.random.key(3), noise="common")
    result = fit(**arguments, validation=gx.Validation(keys, every=5), patience=20)
    assert result.stopped == "patience" and len(result.history["loss"]) == result.best_step + 21
    through = fit(**arguments)
    assert through.history["loss"][-1] < result.history["loss"][-1]
    assert validated(through.model, keys) > validated(result.model, keys)


@pytest.mark.once
def test_wrong_validations_are_refused():
    for wrong, name in ((dict(keys=0), "keys"), (dict(every=0), "every")):
        with pytest.raises(ValueError, match=f"{name} is a whole number from 1 on, got 0"):
            gx.Validation(**wrong)
    with pytest.raises(ValueError, match="validation looks every 30 steps, and the fit takes 20"):
        fit(validation=gx.Validation(every=30))
    with pytest.raises(TypeError, match="the loss must be a scalar"):
        fit(validation=gx.Validation(every=1, loss=lambda m, key: jnp.ones(2)))


@pytest.mark.once
def test_a_validation_that_is_never_finite_is_said():
    nowhere = lambda m, key: m.a * jnp.nan  # noqa: E731
    with pytest.warns(RuntimeWarning, match="the loss was never finite on validation noise"):
        result = fit(validation=gx.Validation(1, every=1, loss=nowhere))
    same(result.model, gx.join(*gx.split(POINT, SPEC)))  # as it was, on the real line and back


# Several starts


@pytest.mark.slow
@pytest.mark.parametrize("realisations", [1, 3])
def test_starts_side_by_side_are_those_one_by_one(realisations, key, rounding):
    arguments = dict(loss=noisy, key=key, steps=12, realisations=realisations, clip=2.0)
    arguments |= dict(validation=gx.Validation(2, every=3))
    together = fit(**arguments, starts=STARTS)
    assert len(together.starts) == 3 and "best of 3 starts" in repr(together)
    for start, found in zip(STARTS, together.starts, strict=True):
        alone = fit(**arguments, model=start)
        same((found.model, found.last), (alone.model, alone.last), rtol=100 * rounding)
        same(found.history, alone.history, rtol=1e3 * rounding)
        assert found.best_step == alone.best_step
    losses = [r.best_loss for r in together.starts]
    assert together.best_loss == min(losses)
    same(together.model, together.starts[int(np.argmin(losses))].model)


@pytest.mark.slow
def test_the_deeper_valley_is_found_from_the_best_of_a_sweep():
    found = gx.sweep(POINT, two_valleys, {"a": np.linspace(0.1, 1.9, 7)})
    starts = gx.best(found, POINT, 4)
    assert fit(two_valleys, steps=150).best_loss > 0.19
    result = fit(two_valleys, steps=150, starts=starts)
    np.testing.assert_allclose(result.model.a, 1.6, atol=0.01)
    assert any(r.best_loss > 0.19 for r in result.starts)


@pytest.mark.slow
def test_a_start_that_breaks_leaves_the_others_alone(rounding):
    bad = [Point(1.5, 1.0), *STARTS[::2]]
    with pytest.warns(RuntimeWarning, match=r"starts\[0\]: losses or gradients .* a at 20 steps \(first 0\)"):
        result = fit(Nowhere(), starts=bad, optimiser=optax.adam(0.01))
    good = fit(Nowhere(), starts=bad[1:], optimiser=optax.adam(0.01))
    same(result.model, good.model, rtol=100 * rounding)
    assert result.starts[0].best_loss == np.inf and list(result.starts[0].skipped) == ["a"]
    with pytest.raises(FloatingPointError, match=r"at step 0 the loss of starts\[0\] is nan .* not finite for: a"):
        fit(Nowhere(), starts=bad, nonfinite="raise")
    with pytest.raises(FloatingPointError, match=r"at step 0 the loss of starts\[0\] is nan"):
        fit(Nowhere(), starts=[bad[0], bad[0]])


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 1e6], ids=["one_by_one", "many_at_once"])
def test_patience_waits_for_every_start(seconds, monkeypatch):
    monkeypatch.setattr(blocks, "_SECONDS", seconds)
    result = fit(two_valleys, starts=[Point(0.31), Point(1.0)], steps=300, patience=10)
    assert result.stopped == "patience"
    steps = len(result.history["loss"])
    assert steps == max(r.best_step for r in result.starts) + 11


@pytest.mark.slow
def test_starts_go_on_from_a_checkpoint(tmp_path, key):
    arguments = dict(loss=noisy, key=key, starts=STARTS)
    fit(**arguments, steps=5, checkpoint=tmp_path / "fit.npz")
    resumed = fit(**arguments, steps=9, checkpoint=tmp_path / "fit.npz")
    same(resumed.starts[1].history, fit(**arguments, steps=9).starts[1].history)
    with pytest.raises(ValueError, match="number of starts"):
        fit(**arguments | {"starts": STARTS[:2]}, steps=9, checkpoint=tmp_path / "fit.npz")


@pytest.mark.slow
def test_line_searches_of_several_starts():
    """L-BFGS asks for the loss again, start by start."""
    result = fit(starts=STARTS, optimiser=optax.lbfgs(memory_size=3), steps=25)
    for found in result.starts:
        np.testing.assert_allclose([found.model.a, found.model.b], [1.2, 0.7], atol=1e-3)


@pytest.mark.once
@pytest.mark.slow
def test_wrong_starts_are_refused():
    with pytest.raises(ValueError, match="starts is empty"):
        fit(starts=[])
    with pytest.raises(ValueError, match=r"starts\[1\] differs from the model in frozen, which is frozen"):
        fit(starts=[POINT, Point(frozen=8.0)])
    with pytest.raises(ValueError, match=r"starts\[0\]: a = 2 does not lie inside its domain"):
        fit(starts=[Point(2.0)])
    with pytest.raises(ValueError, match=r"starts\[0\] is built otherwise than the model"):
        fit(starts=[gx.models.WongWang()], spec=lambda x: True)
    with pytest.raises(ValueError, match="the free leaves of starts have different shapes"):
        fit(starts=[POINT, Point(np.array([0.5, 0.5]))])
    wide = Point(np.array([0.5, 1.0]))
    spec = gx.select(wide, gx.Free("a", mask=np.array([True, False])))
    held = lambda m, key: m.a.sum()  # noqa: E731
    with pytest.raises(ValueError, match=r"starts\[0\] differs from the model in a, which is frozen"):
        fit(held, model=wide, spec=spec, starts=[Point(np.array([0.5, 1.1]))])
    moved = fit(held, model=wide, spec=spec, starts=[Point(np.array([0.7, 1.0]))], steps=1)
    np.testing.assert_allclose(moved.model.a, [0.7, 1.0], rtol=1e-5)


# Rates, clipping, time


@pytest.mark.slow
def test_each_leaf_by_its_own_optimiser(rounding):
    both = fit(optimiser={"a": optax.adam(0.2), "b": optax.sgd(0.01)}, steps=1)
    same(both.last.a, fit(optimiser=optax.adam(0.2), steps=1).last.a, rtol=rounding)
    same(both.last.b, fit(optimiser=optax.sgd(0.01), steps=1).last.b, rtol=rounding)
    assert both.last.a != POINT.a and both.last.b != POINT.b


def test_an_optimiser_for_all_of_a_part(small_connectome):
    net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), small_connectome)
    loss = lambda n, key: (n.model.w - 1) ** 2 + (n.model.I_o - 1) ** 2 + (n.coupling.strength - 2) ** 2  # noqa: E731
    spec = gx.select(net, "model.w", "model.I_o", "coupling.strength")
    result = gx.fit(
        net, loss, spec, {"model": optax.adam(0.05), "coupling.strength": optax.sgd(0.0)}, steps=300, progress=False
    )
    found = result.last
    np.testing.assert_allclose([found.model.w, found.model.I_o, found.coupling.strength], [1, 1, 1], atol=0.02)


@pytest.mark.once
def test_leaves_without_an_optimiser_and_optimisers_without_a_leaf_are_named():
    with pytest.raises(ValueError, match="b is free and has no optimiser: give each free leaf one; they are a, b"):
        fit(optimiser={"a": ADAM})
    wide = {"w": 1.0, "wide": 2.0}
    with pytest.raises(ValueError, match="wide is free and has no optimiser"):
        fit(lambda m, key: m["w"], {"w": ADAM}, wide, gx.select(wide, "w", "wide"))
    with pytest.raises(ValueError, match="the optimiser of 'frozen' has no free leaf; they are a, b"):
        fit(optimiser={"a": ADAM, "b": ADAM, "frozen": ADAM})


@pytest.mark.slow
def test_long_gradients_are_shortened_and_short_ones_are_not(rounding):
    free = fit(optimiser=optax.sgd(1.0), steps=1)
    length = float(free.history["gradient"][0])
    short = fit(optimiser=optax.sgd(1.0), steps=1, clip=length / 4)
    at = lambda m: np.stack([np.ravel(x) for x in jax.tree.leaves(gx.split(m, SPEC)[0])])  # noqa: E731
    np.testing.assert_allclose(at(short.last) - at(POINT), (at(free.last) - at(POINT)) / 4, rtol=100 * rounding)
    same(fit(optimiser=optax.sgd(1.0), steps=1, clip=2 * length).last, free.last, rtol=rounding)
    assert short.history["gradient"][0] == length


def test_a_budget_of_time_ends_a_fit(monkeypatch):
    monkeypatch.setattr(blocks, "_SECONDS", 0.0)  # blocks of one step
    clock = iter(range(10_000))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    result = fit(steps=1000, seconds=40.0)
    assert result.stopped == "seconds" and 3 < len(result.history["loss"]) < 30 and "by seconds" in repr(result)
    assert fit(steps=2, seconds=1e6).stopped == "steps"


@pytest.mark.parametrize("name", ["clip", "seconds"])
def test_what_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} is a positive number, got 0"):
        fit(**{name: 0.0})


# Explosions


@jax.custom_jvp
def cliff(x):
    """The identity, whose gradient now and then is far from one, as that of a chaotic run is."""
    return x


@cliff.defjvp
def _(primals, tangents):
    x = primals[0]
    return x, tangents[0] * jnp.where(jnp.abs(jnp.sin(1e5 * x)) > 0.95, 1e8, 1.0)


def test_gradients_that_explode_are_told_once():
    with pytest.warns(
        RuntimeWarning, match=r"steps \(first \d+\) the loss was finite .*gradient_horizon\(\)"
    ) as caught:
        result = fit(lambda m, key: cliff(bowl(m, key)), steps=40, starts=STARTS)
    assert sum("gradient_horizon" in str(w.message) for w in caught) == 1 and np.isfinite(result.best_loss)
    with pytest.warns(RuntimeWarning, match="the loss was finite and its gradient was not"):
        fit(lambda m, key: bowl(m, key) + jnp.where(m.a > 0.6, jnp.sqrt(jnp.maximum(m.a - 9, 0.0)), 0.0), steps=5)
    with pytest.raises(FloatingPointError, match=r"not finite for: a\. .*gradient_horizon"):
        fit(lambda m, key: bowl(m, key) + jnp.sqrt(jnp.maximum(m.a - 9, 0.0)), steps=20)


def test_a_descent_that_converges_or_meets_one_cliff_is_no_explosion(recwarn):
    fit(optimiser=optax.sgd(0.3), steps=60)
    exploded = importlib.import_module("gyrax.fitting.explosions").exploded
    falling = 10.0 ** -np.arange(60.0)
    assert not exploded(falling, falling, np.zeros(60, bool)).any()
    falling[30] *= 1e9
    assert not exploded(falling, falling, np.zeros(60, bool)).any() and not recwarn.list
