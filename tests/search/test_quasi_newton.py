"""Quasi-Newton methods in valleys whose lowest point is known, with holes, and at scales far from one."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from valleys import LOWEST, POINT, at, find, holed, noisy, valley

import gyrax as gx

minimise = gx.search.minimise
EXACT = jnp.finfo(jnp.result_type(float)).eps ** 0.3


@pytest.mark.parametrize("method", ["bfgs", "l-bfgs"])
def test_finds_the_lowest_point(method):
    found = find(minimise, method=method, steps=200)
    np.testing.assert_allclose(at(found.model), LOWEST, atol=EXACT)
    assert found.stopped in ("converged", "stuck") and found.model.frozen is POINT.frozen
    assert (np.diff(found.history["loss"]) <= 1e-6 * found.history["loss"][1:] + 1e-9).all()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_a_loss_does_not_matter(scale):
    """Where curvature is told from gradients of 1e-9, a solver that knows no scale learns nothing in float32."""
    plain = find(minimise, steps=200)
    found = find(minimise, functools.partial(_scaled, scale=scale), steps=200)
    np.testing.assert_allclose(at(found.model), LOWEST, atol=2 * EXACT)
    assert abs(found.best_step - plain.best_step) < 20


def _scaled(m, key, scale):
    return scale * valley(m, key)[0]


def test_comes_back_from_where_nothing_is_finite():
    found = find(minimise, holed, steps=200)
    np.testing.assert_allclose(at(found.model), LOWEST, atol=2 * EXACT)
    assert np.isfinite(found.history["loss"]).all() and np.isfinite(found.history["gradient"]).all()


@pytest.mark.once
def test_many_numbers_take_the_last_steps_alone():
    model = {"x": jnp.zeros(400)}

    def bowl(m, key):
        return (jnp.linspace(0.1, 10.0, 400) * (m["x"] - 1.0) ** 2).sum()

    found = minimise(model, bowl, gx.select(model, "x"), progress=False)
    np.testing.assert_allclose(found.model["x"], 1.0, atol=1e-4)


@pytest.mark.slow
def test_is_judged_on_noise_that_it_never_heard():
    found = find(minimise, noisy, realisations=8, validation=gx.Validation(keys=16, every=1))
    assert found.best_loss == np.nanmin(found.history["validation"])
    assert found.gain is not None and found.learnt


@pytest.mark.slow("float32")
def test_goes_on_from_a_file_as_if_it_had_not_stopped(tmp_path):
    whole = find(minimise, steps=12)
    find(minimise, steps=5, checkpoint=tmp_path / "fit.npz")
    again = find(minimise, steps=12, checkpoint=tmp_path / "fit.npz")
    np.testing.assert_array_equal(whole.history["loss"], again.history["loss"])
    np.testing.assert_array_equal(at(whole.model), at(again.model))


@pytest.mark.once
def test_says_where_it_cannot_begin_or_go_on():
    with pytest.raises(FloatingPointError, match="at the start"):
        find(minimise, lambda m, key: jnp.log(m.a - 3.0))

    def rough(m, key):  # the value rises along its own gradient
        return jnp.abs(m.a - 0.5 + 1e-30) * 1e3 + (m.b - 3.0) ** 2 + jnp.sin(m.x * 1e12).sum()

    found = find(minimise, rough, steps=60)
    assert found.stopped == "stuck" and found.best_loss <= found.history["loss"][0]


@pytest.mark.once
def test_at_the_lowest_point_there_is_nothing_to_gain():
    found = minimise(POINT, lambda m, key: (m.x**2).sum(), gx.select(POINT, "x"), progress=False)
    assert found.stopped == "converged" and found.best_loss == 0.0


@pytest.mark.once
def test_its_spec_is_that_of_a_fit():
    with pytest.raises(ValueError, match="does not lie inside its domain"):
        minimise(
            gx.models.Linear(gamma=-1.0),
            lambda m, key: m.gamma**2,
            gx.select(gx.models.Linear(gamma=-1.0), gx.Free("gamma", domain=gx.Positive())),
            progress=False,
        )


@pytest.mark.once
def test_numbers_that_reach_differently_far_are_learnt_in_few_steps():
    """Curvatures over four decades: scipy's BFGS takes 60 evaluations, one that remembers ten steps 455, one without a size anew 517."""
    rng = np.random.default_rng(0)
    turned, _ = np.linalg.qr(rng.normal(size=(50, 50)))
    root = jnp.asarray(np.sqrt(np.logspace(0, 4, 50))[:, None] * turned.T)
    model = {"x": jnp.asarray(3 * rng.normal(size=50))}

    def bowl(m, key):
        return 0.5 * ((root @ m["x"]) ** 2).sum() + 100.0

    found = minimise(model, bowl, gx.select(model, "x"), steps=400, progress=False)
    assert int(np.argmax(found.history["loss"] < 100 + 1e-6)) in range(1, 220)


ALONE = gx.models.Linear(gamma=-0.5)
GAMMA = gx.select(ALONE, "gamma")


@pytest.mark.parametrize("method", ["bfgs", "l-bfgs"])
@pytest.mark.parametrize("scale", [1e-26, 1e-18, 1e20, 1e36])
def test_losses_whose_squares_the_precision_does_not_hold_are_lowered(scale, method):
    """Errors of MEG in T² are 1e-26; in float32 the square of such a gradient is zero."""
    found = minimise(ALONE, lambda m, key: scale * (m.gamma + 1) ** 2, GAMMA, method=method, progress=False)
    np.testing.assert_allclose(found.model.gamma, -1.0, rtol=1e-4)
    assert scale / 10 < found.history["gradient"][0] < 10 * scale


@pytest.mark.parametrize("scale", [1e-30, 1e-40])
def test_a_loss_too_small_for_the_precision_is_no_arrival(scale):
    def loss(m, key):
        return scale * (m.gamma + 1) ** 2

    if jnp.result_type(float) == jnp.float64:
        np.testing.assert_allclose(minimise(ALONE, loss, GAMMA, progress=False).model.gamma, -1.0, rtol=1e-4)
        return
    with pytest.raises(FloatingPointError, match=r"less than float32 tells anything of .*: multiply the loss"):
        minimise(ALONE, loss, GAMMA, progress=False)
