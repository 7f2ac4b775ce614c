"""The loop against problems with a known answer, against itself cut in pieces, and against losses that break."""

import importlib
import itertools

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
    c: Array = gx.parameter(1.0)
    frozen: Array = gx.parameter(7.0)


POINT = Point()
SPEC = gx.select(POINT, "a", "b", "c")


class Bowl(eqx.Module):
    """Lowest at a target. A Module, so that one compilation serves all targets."""

    target: Array = eqx.field(default_factory=lambda: jnp.array([1.5, 0.2, -1.0]))

    def __call__(self, m, key):
        return jnp.sum((jnp.stack([m.a, m.b, m.c]) - self.target) ** 2)


bowl = Bowl()


def noisy(m, key):
    """Never the same twice: the best of it is no matter of the last."""
    noise = jax.random.normal(key)
    return bowl(m, key) + noise, {"bowl": bowl(m, key), "noise": noise}


class Broken(eqx.Module):
    """A bowl whose gradient by b (`slope`), or whose value alone, is not finite at some steps."""

    steps: Array = eqx.field(converter=lambda steps: jnp.asarray([*steps, *[-1] * 16])[:16])
    slope: Array = eqx.field(default=True, converter=jnp.asarray)

    def __call__(self, m, key):
        bad = (step_of(key) == self.steps).any()
        at_b = jnp.where(bad & self.slope, jnp.nan, 0.0) * m.b
        return bowl(m, key) + at_b + jnp.where(bad & ~self.slope, jnp.inf, 0.0)


KEYS = jax.vmap(lambda i: jax.random.key_data(jax.random.fold_in(jax.random.key(0), i)))(jnp.arange(50))


def step_of(key):
    return jnp.argmax((jax.random.key_data(key) == KEYS).all(-1))


def fit(loss=bowl, optimiser=ADAM, model=POINT, spec=SPEC, steps=20, **kwargs):
    return gx.fit(model, loss, spec, optimiser, steps=steps, **{"progress": False} | kwargs)


def same(one, two):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


def test_finds_a_minimum_inside_the_domains():
    result = fit(steps=600)
    np.testing.assert_allclose([result.model.a, result.model.b, result.model.c], bowl.target, atol=1e-2)
    assert result.model.frozen is POINT.frozen
    assert result.stopped == "steps" and len(result.history["loss"]) == 600 and result.seconds > 0
    np.testing.assert_allclose(result.history["loss"][0], bowl(POINT, None), rtol=1e-5)
    assert result.plot().get_lines()


def test_a_minimum_outside_is_approached_from_within():
    result = fit(Bowl(jnp.array([5.0, 3.0, 1.0])), steps=400)
    assert 1.9 < result.last.a < 2.0 and (np.diff(result.history["loss"]) <= 0).all()
    assert 0 < fit(Bowl(jnp.array([0.5, -5.0, 1.0])), steps=400).last.b < 0.1


@pytest.mark.slow("float32")
def test_history_and_first_step_are_those_of_a_plain_loop(key, rounding):
    """The same steps by hand, and the norm of the gradient on the real line."""
    result = fit(noisy, steps=6, key=key, realisations=3, validation=None)
    free, fixed = gx.split(POINT, SPEC)
    state = ADAM.init(free)

    @jax.jit
    def value(free, key):
        return jnp.mean(jnp.stack([noisy(gx.join(free, fixed), k)[0] for k in jax.random.split(key, 3)]))

    gradient_of = jax.jit(jax.value_and_grad(value))
    for step in range(6):
        at = jax.random.fold_in(key, step)
        loss, gradient = gradient_of(free, at)
        np.testing.assert_allclose(result.history["loss"][step], loss, rtol=20 * rounding, atol=20 * rounding)
        np.testing.assert_allclose(result.history["gradient"][step], optax.tree.norm(gradient), rtol=20 * rounding)
        noise = jnp.mean(jax.vmap(jax.random.normal)(jax.random.split(at, 3)))
        np.testing.assert_allclose(result.history["noise"][step], noise, rtol=20 * rounding, atol=rounding)
        update, state = ADAM.update(gradient, state, free)
        free = optax.apply_updates(free, update)
    for a, b in zip(jax.tree.leaves(gx.join(free, fixed)), jax.tree.leaves(result.last), strict=True):
        np.testing.assert_allclose(a, b, rtol=100 * rounding)
    assert set(result.history) == {"loss", "gradient", "bowl", "noise"}


@pytest.mark.slow
def test_new_and_common_noise(key):
    new = fit(noisy, steps=30, key=key)
    assert len(set(new.history["noise"])) == 30
    np.testing.assert_allclose(new.history["noise"][4], jax.random.normal(jax.random.fold_in(key, 4)), rtol=1e-5)
    common = fit(noisy, steps=30, key=key, noise="common")
    assert len(set(common.history["noise"])) == 1
    np.testing.assert_allclose(common.history["noise"][0], jax.random.normal(key), rtol=1e-5)
    other = fit(noisy, steps=30, key=jax.random.key(8))
    assert not set(other.history["noise"]) & set(new.history["noise"])
    same(fit(noisy, steps=30, key=key).history, new.history)


def test_the_best_model_is_the_one_its_loss_was_computed_with(key):
    """Where all steps have one noise, so that losses can be compared; the steps are long, and swing around the target."""
    result = fit(noisy, optax.adam(2.0), steps=40, key=key, noise="common", validation=None)
    assert result.best_step == np.argmin(result.history["loss"]) and 0 < result.best_step < 39
    assert result.best_loss == result.history["loss"].min()
    np.testing.assert_allclose(noisy(result.model, key)[0], result.best_loss, rtol=1e-4)
    np.testing.assert_allclose(bowl(result.model, key), result.history["bowl"][result.best_step], rtol=1e-4)
    assert result.last.a != result.model.a


@pytest.mark.slow("float64", "float32")
def test_without_validation_the_luckiest_draw_is_not_what_was_found(key):
    """What a user did: Adam at 1e-6 printed 0.378 -> 0.217, with a mean of 0.361 that never moved."""
    result = fit(noisy, steps=60, key=key, validation=None)
    same(result.model, result.last)
    assert result.best_step == 60 and result.best_loss == pytest.approx(result.history["loss"][-20:].mean())
    assert result.best_loss > result.history["loss"].min() and " ± " in repr(result) and result.learnt
    with pytest.warns(RuntimeWarning, match="nothing was learnt: on validation noise the loss became .* lower"):
        idle = fit(noisy, optax.adam(1e-9), steps=20, key=key)
    assert not idle.learnt and "nothing learnt" in repr(idle)
    np.testing.assert_allclose(idle.best_loss, np.nanmean(idle.history["validation"]), rtol=1e-5)
    several = fit(
        noisy, steps=30, key=key, validation=None, starts=[POINT, eqx.tree_at(lambda p: p.a, POINT, jnp.asarray(0.6))]
    )
    losses = [one.history["loss"][-15:].mean() for one in several.starts]  # of a short fit a half
    assert several.best_loss == pytest.approx(min(losses))


@pytest.mark.slow("float64", "float32")
def test_held_out_noise_decides_by_default(key):
    """Four realisations every fifth step, if the loss hears noise at all."""
    given = gx.Validation(keys=4, every=5)
    auto, asked = (fit(noisy, steps=20, key=key, **options) for options in ({}, {"validation": given}))
    same((auto.model, auto.history), (asked.model, asked.history))
    assert (
        np.isfinite(auto.history["validation"][[0, 4, 9, 14, 19]]).all()
        and np.isfinite(auto.history["validation"]).sum() == 5
    )
    assert "validation" not in fit(bowl, steps=20, key=key).history
    start, found = (np.array([noisy(m, k)[0] for k in given.drawn(key)]) for m in (POINT, auto.model))
    np.testing.assert_allclose(
        auto.gain, [(start - found).mean(), (start - found).std(ddof=1) / 2], rtol=1e-4, atol=1e-5
    )
    assert np.isfinite(fit(noisy, steps=3, key=key).history["validation"]).all()


@pytest.mark.parametrize("seconds", [0.0, 1e6], ids=["one_by_one", "many_at_once"])
def test_patience_does_not_depend_on_how_steps_are_grouped(seconds, monkeypatch, key):
    monkeypatch.setattr(blocks, "_SECONDS", seconds)
    result = fit(noisy, steps=500, key=key, patience=12, validation=None)
    assert result.stopped == "patience"
    assert len(result.history["loss"]) == np.argmin(result.history["loss"]) + 13
    running = np.minimum.accumulate(fit(noisy, steps=120, key=key, validation=None).history["loss"])
    waited = [i - np.argmin(running[: i + 1]) for i in range(120)]
    assert len(result.history["loss"]) == 1 + next(i for i, w in enumerate(waited) if w >= 12)
    assert fit(steps=30, patience=29).stopped == "steps"


@pytest.mark.slow
def test_steps_that_are_not_finite_are_skipped_and_reported():
    with pytest.warns(RuntimeWarning, match=r"not finite, steps not taken: b at 3 steps \(first 3\)"):
        result = fit(Broken([3, 4, 9]), steps=12)
    assert list(result.skipped) == ["b"]
    np.testing.assert_array_equal(result.skipped["b"], [3, 4, 9])
    assert np.isnan(result.history["loss"][[3, 4, 9]]).all() and np.isfinite(result.best_loss)
    assert "3 gradients not finite" in repr(result)
    # neither the parameters nor the optimiser moved there: the others are the steps of a fit without them
    smooth = fit(steps=9)
    np.testing.assert_allclose(np.delete(result.history["loss"], [3, 4, 9]), smooth.history["loss"], rtol=1e-5)
    np.testing.assert_allclose(result.last.a, smooth.last.a, rtol=1e-5)


def test_a_loss_that_is_not_finite_is_reported_though_its_gradient_is():
    with pytest.warns(RuntimeWarning, match=r"steps not taken: loss at 1 steps \(first 2\)"):
        result = fit(Broken([2], slope=False), steps=5)
    np.testing.assert_array_equal(result.skipped["loss"], [2])
    np.testing.assert_allclose(np.delete(result.history["loss"], 2), fit(steps=4).history["loss"], rtol=1e-5)


def test_raise_names_step_and_leaf():
    with pytest.raises(
        FloatingPointError, match=r"at step 3 the loss is nan and the gradient not finite for: b\. Look"
    ):
        fit(Broken([3, 7]), steps=12, nonfinite="raise")


@pytest.mark.parametrize("seconds", [0.0, 1e6], ids=["one_by_one", "many_at_once"])
def test_ten_in_a_row_are_hopeless(seconds, monkeypatch):
    monkeypatch.setattr(blocks, "_SECONDS", seconds)
    with pytest.raises(FloatingPointError, match=r"at step 5 the loss is nan and the gradient not finite for: b\."):
        fit(Broken([2, *range(5, 15)]), steps=40)
    with pytest.warns(RuntimeWarning, match="b at 10 steps"):
        fit(Broken([2, *range(5, 14)]), steps=40)  # nine in a row


def interrupt(monkeypatch, after):
    """Ctrl-C just before the n-th block of steps."""
    calls, advance = [], module.advance

    def stopping(*args):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return advance(*args)

    monkeypatch.setattr(module, "advance", stopping)
    monkeypatch.setattr(blocks, "_SECONDS", 0.0)  # blocks of one step


def test_an_interruption_returns_what_there_is(monkeypatch):
    interrupt(monkeypatch, after=4)
    result = fit(steps=20)
    assert result.stopped == "interrupted" and len(result.history["loss"]) == 4 and "interrupted" in repr(result)
    np.testing.assert_allclose(bowl(result.model, None), result.best_loss, rtol=1e-5)
    monkeypatch.undo()
    interrupt(monkeypatch, after=0)
    with pytest.raises(KeyboardInterrupt, match="after 0 of 20 steps of 'fit': there is no result yet"):
        fit(steps=20)


def test_an_interruption_between_steps_and_their_record_keeps_them_together(monkeypatch):
    concatenate, calls = np.concatenate, []

    def stopping(*args, **kwargs):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return concatenate(*args, **kwargs)

    monkeypatch.setattr(blocks, "_SECONDS", 0.0)
    monkeypatch.setattr(module.np, "concatenate", stopping)
    result = fit(steps=20)
    monkeypatch.undo()
    steps = len(result.history["loss"])
    assert result.stopped == "interrupted" and 0 < steps < 20
    np.testing.assert_allclose(bowl(result.last, None), fit(steps=20).history["loss"][steps], rtol=1e-5)


@pytest.mark.parametrize(
    ("optimiser", "loss"),
    [
        pytest.param(ADAM, noisy, id="adam"),
        pytest.param(optax.lbfgs(memory_size=3), bowl, id="lbfgs", marks=pytest.mark.slow),
    ],
)
def test_resumed_is_bit_for_bit_uninterrupted(optimiser, loss, tmp_path, monkeypatch, key):
    file = tmp_path / "fit.npz"
    arguments = dict(loss=loss, optimiser=optimiser, key=key, steps=15)
    whole = fit(**arguments)
    interrupt(monkeypatch, after=6)
    part = fit(**arguments, checkpoint=file)
    assert part.stopped == "interrupted" and len(part.history["loss"]) == 6
    monkeypatch.undo()
    resumed = fit(**arguments, checkpoint=file)
    assert resumed.seconds > part.seconds * 0.5 and resumed.stopped == "steps"
    same((resumed.model, resumed.last, resumed.history), (whole.model, whole.last, whole.history))
    assert (resumed.best_step, resumed.best_loss) == (whole.best_step, whole.best_loss)
    same(fit(**arguments, checkpoint=file).history, whole.history)  # finished: nothing left to do
    more = fit(**arguments | {"steps": 22}, checkpoint=file)
    longer = fit(**arguments | {"steps": 22})
    same((more.model, more.last, more.history), (longer.model, longer.last, longer.history))
    if loss is bowl:  # L-BFGS, given the loss for its line search, is there already
        np.testing.assert_allclose([more.model.a, more.model.b, more.model.c], bowl.target, atol=1e-3)


def test_skipped_steps_survive_a_resumption(tmp_path):
    file = tmp_path / "fit.npz"
    loss = Broken([1, 5])
    with pytest.warns(RuntimeWarning):
        fit(loss, steps=3, checkpoint=file, validation=None)
    with pytest.warns(RuntimeWarning, match="b at 2 steps"):
        np.testing.assert_array_equal(fit(loss, steps=8, checkpoint=file, validation=None).skipped["b"], [1, 5])


@pytest.mark.once
@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (lambda m, key: m.a * jnp.ones(3), TypeError, r"the loss must be a scalar .* got .*3"),
        (lambda m, key: {"value": m.a}, TypeError, "the loss must be a scalar"),
        (lambda m, key: None, TypeError, "the loss must be a scalar"),
        (lambda m, key: (m.a, m.b), TypeError, "beside its value is a dict of named scalars"),
        (lambda m, key: (m.a, {"x": jnp.ones(2)}), TypeError, "the loss's term 'x' must be a scalar"),
        (lambda m, key: (m.a, {"gradient": m.a}), ValueError, "the history has a 'gradient' of its own"),
        (lambda m, key: (m.a, {"loss": m.a}), ValueError, "the history has a 'loss' of its own"),
    ],
)
def test_wrong_losses_are_refused(loss, error, message):
    with pytest.raises(error, match=message):
        fit(loss)


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(steps=0), "steps is a whole number from 1 on, got 0"),
        (dict(realisations=0), "realisations is a whole number from 1 on"),
        (dict(patience=0), "patience is a whole number from 1 on"),
        (dict(spec=jax.tree.map(lambda _: False, POINT)), "the spec frees no leaf"),
        (dict(model=Point(a=2.0)), r"a = 2 does not lie inside its domain Interval\(lower=0.0, upper=2.0"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        fit(**change)


@pytest.mark.once
def test_wrong_policies_are_refused():
    for name in ("noise", "nonfinite"):
        with pytest.raises((ValueError, TypeError), match=name):  # TypeError: the tests' own check of annotations
            fit(**{name: "no"})


@pytest.mark.parametrize("optimiser", [optax.adam(0.1), optax.scale(-0.1)], ids=["adam", "bare"])
def test_a_second_fit_compiles_nothing_anew(optimiser, key):
    traces = itertools.count()

    def loss(m, key):
        next(traces)
        return bowl(m, key)

    first = fit(loss, optimiser, steps=5, key=key)
    count = next(traces)
    second = fit(loss, optimiser, model=Point(a=0.7, b=2.0, frozen=1.0), steps=9, key=jax.random.key(3), patience=4)
    assert next(traces) <= count + 2  # once to see what the loss returns
    assert first.best_loss != second.best_loss


@pytest.mark.slow
def test_frozen_leaves_and_masks_through_a_fit():
    """Weight decay pulls on free entries alone."""
    model = Point(c=np.array([1.0, 2.0, 3.0]))
    spec = gx.select(model, gx.Free("c", mask=np.array([True, False, True])))
    result = fit(lambda m, key: 0.0 * m.c.sum() + 0.0 * m.frozen, optax.adamw(0.1, weight_decay=1.0), model, spec)
    np.testing.assert_array_equal(result.last.c != model.c, [True, False, True])
    same((result.last.a, result.last.b, result.last.frozen), (model.a, model.b, model.frozen))


def test_the_bar_speaks_only_when_asked(capfd):
    fit(steps=3, progress=False)
    assert capfd.readouterr() == ("", "")
    fit(steps=3, progress="my fit")
    err = capfd.readouterr().err
    assert "my fit" in err and "3/3" in err and "best=" in err
