"""Least squares against scipy, linear algebra, and losses that break."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import optimize
from valleys import LOWEST, POINT, SPEC, at, find, holed, noisy, residuals, valley

import gyrax as gx
from gyrax.search.slopes import guarded, jacobian

squares = gx.search.least_squares
EXACT = jnp.finfo(jnp.result_type(float)).eps ** 0.4


def test_finds_what_scipy_finds_and_says_so():
    found = find(squares)
    np.testing.assert_allclose(at(found.model), LOWEST, atol=EXACT)
    assert found.model.frozen is POINT.frozen and found.stopped == "converged"
    assert (np.diff(found.history["squares"]) <= 0).all()
    free, fixed = gx.split(POINT, SPEC)
    flat, back = ravel_pytree(free)
    scipys = optimize.least_squares(
        lambda x: np.asarray(residuals(gx.join(back(jnp.asarray(x, flat.dtype)), fixed))), flat
    )
    assert found.history["squares"][-1] <= 2 * scipys.cost + EXACT
    assert len(found.history["loss"]) < 60
    np.testing.assert_allclose(found.history["a"][0], POINT.a)


def linear(m, key):
    design = jnp.arange(15.0).reshape(5, 3) % 4 + jax.random.normal(key, (5, 3))
    off = design @ m.x - jnp.arange(5.0)
    return (off**2).mean(), {"residuals": off}


def test_one_step_of_gauss_and_newton_solves_a_linear_problem_over_all_realisations():
    found = find(
        squares, linear, spec=gx.select(POINT, "x"), method="gauss-newton", realisations=3, validation=None, steps=3
    )
    keys = jax.random.split(jax.random.key(0), 3)
    design = np.concatenate([np.arange(15.0).reshape(5, 3) % 4 + jax.random.normal(k, (5, 3)) for k in keys])
    wanted = np.linalg.lstsq(design, np.tile(np.arange(5.0), 3), rcond=None)[0]
    np.testing.assert_allclose(found.model.x, wanted, rtol=100 * EXACT**2, atol=100 * EXACT**2)
    squares_ = ((design @ wanted - np.tile(np.arange(5.0), 3)) ** 2).sum() / 3
    np.testing.assert_allclose(found.history["squares"][-1], squares_, rtol=EXACT)
    np.testing.assert_allclose(found.history["loss"], found.history["squares"] / 5, rtol=1e-4)


@pytest.mark.parametrize("forward", [True, False])
def test_jacobians_are_those_of_jax_in_more_than_one_batch(forward):
    def function(x):
        return jnp.sin(jnp.outer(jnp.arange(1.0, 3.0), x)).reshape(-1) * x.sum(), {"sum": x.sum()}

    x = jnp.linspace(0.1, 1.0, 40)
    value, slope, rest = jacobian(function, x, forward)
    np.testing.assert_allclose(slope, jax.jacfwd(lambda x: function(x)[0])(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(value, function(x)[0])
    assert float(rest["sum"]) == pytest.approx(float(x.sum()))


def test_what_is_not_finite_is_infinite_and_has_a_derivative():
    def function(x):
        return x**2, jnp.diag(jnp.where(x > 1, jnp.nan, 2 * x)), None

    inside, outside = jnp.array([0.5, 0.25]), jnp.array([0.5, 2.0])
    guard = guarded(function)
    np.testing.assert_array_equal(guard(outside, None)[0], np.inf)
    np.testing.assert_allclose(jax.jvp(lambda x: guard(x, None)[0], (inside,), (jnp.ones(2),))[1], 2 * inside)
    np.testing.assert_allclose(jax.vjp(lambda x: guard(x, None)[0], inside)[1](jnp.ones(2))[0], 2 * inside)


def test_comes_back_from_where_nothing_is_finite():
    found = find(squares, holed)
    np.testing.assert_allclose(at(found.model), LOWEST, atol=10 * EXACT)
    assert np.isfinite(found.history["loss"]).all()


@pytest.mark.slow
def test_is_judged_on_noise_that_it_never_heard():
    found = find(squares, noisy, realisations=8, validation=gx.Validation(keys=24, every=1))
    keys = gx.Validation(keys=24).drawn(jax.random.key(0))
    wanted = np.mean([noisy(found.model, key)[0] for key in keys])
    assert found.best_loss == pytest.approx(wanted, rel=1e-4)
    assert found.best_loss == np.nanmin(found.history["validation"]) and found.gain is not None


@pytest.mark.slow("float32")
def test_goes_on_from_a_file_as_if_it_had_not_stopped(tmp_path):
    whole = find(squares, steps=8)
    file = tmp_path / "fit.npz"
    find(squares, steps=3, checkpoint=file)
    again = find(squares, steps=8, checkpoint=file)
    for name in whole.history:
        np.testing.assert_array_equal(whole.history[name], again.history[name])
    np.testing.assert_array_equal(at(whole.model), at(again.model))
    with pytest.raises(ValueError, match="the loss differs"):
        find(squares, holed, steps=8, checkpoint=file)
    with pytest.raises(ValueError, match="the method differs"):
        find(squares, method="gauss-newton", steps=8, checkpoint=file)


@pytest.mark.once
def test_a_second_call_compiles_nothing():
    traced = itertools.count()

    def loss(m, key):
        next(traced)
        return valley(m, key)

    find(squares, loss)
    count = next(traced)
    find(squares, loss, key=3)
    # it is traced for its shapes, and remembered for the rest
    assert count > 0 and next(traced) - 1 - count <= count // 2


@pytest.mark.slow
@pytest.mark.once
def test_simulations_go_forward_where_that_is_cheaper():
    connectome = gx.Connectome(np.array([[0.0, 1.0], [0.5, 0.0]]), labels=["a", "b"])
    network = gx.Network(gx.models.Linear(gamma=-0.5), gx.couplings.Linear(source="x", strength=0.1), connectome)
    spec = gx.select(network, "model.gamma")

    def loss_of(autodiff):
        def loss(network, key):
            start = jnp.ones((1, 2))
            found = gx.simulate(network, 2.0, dt=0.1, start=start, autodiff=autodiff, key=key).final.y
            off = jnp.concatenate([found.reshape(-1), 2 * found.reshape(-1), 3 * found.reshape(-1)]) - 0.5
            return (off**2).sum(), {"residuals": off}

        return loss

    forward = squares(network, loss_of("forward"), spec, progress=False, steps=4)
    with pytest.warns(RuntimeWarning, match=r"6 residuals take 6 runs a step.*would take 1"):
        backward = squares(network, loss_of("reverse"), spec, progress=False, steps=4)
    np.testing.assert_allclose(forward.history["squares"], backward.history["squares"], rtol=1e-9)


@pytest.mark.once
@pytest.mark.parametrize(
    ("loss", "error", "text"),
    [
        (lambda m, key: (m.a - 1.0) ** 2, ValueError, "least squares needs residuals, and the loss returns none"),
        (lambda m, key: (m.a, {"residuals": jnp.arange(3)}), ValueError, "residuals are real numbers, got int"),
        (lambda m, key: (-(residuals(m) ** 2).sum(), {"residuals": residuals(m)}), ValueError, "not one objective"),
        (lambda m, key: ((m.a - 3) ** 2, {"residuals": jnp.sqrt(m.a - 3.0)[None]}), FloatingPointError, "at the start"),
    ],
)
def test_refuses_losses_that_least_squares_cannot_take(loss, error, text):
    with pytest.raises(error, match=text):
        find(squares, loss)


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tolerance": 0.0}, "tolerance is a relative change"),
        ({"steps": 0}, "steps"),
        ({"method": "newton"}, "method"),
        ({"realisations": 0}, "realisations"),
        ({"spec": "a"}, "gx.select"),
        ({"validation": 3}, "validation"),
    ],
)
def test_refuses_arguments_out_of_range(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        find(squares, **options)


ALONE = gx.models.Linear(gamma=-0.5)


@pytest.mark.parametrize("scale", [1e-20, 1e-13, 1e12])
def test_residuals_whose_squares_the_precision_does_not_hold(scale):
    def loss(m, key):
        off = scale * jnp.stack([m.gamma + 1, 2 * m.gamma + 2])
        return (off**2).mean(), {"residuals": off}

    spec = gx.select(ALONE, "gamma")
    if scale < 1e-18 and jnp.result_type(float) == jnp.float32:
        with pytest.raises(
            FloatingPointError, match="residuals are 1e-20 at most, and float32 tells nothing of so small"
        ):
            squares(ALONE, loss, spec, progress=False)
        return
    found = squares(ALONE, loss, spec, progress=False)
    np.testing.assert_allclose(found.model.gamma, -1.0, rtol=1e-4)
    assert found.history["gradient"][0] > 0
