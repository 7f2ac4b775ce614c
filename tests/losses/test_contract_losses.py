"""What every loss promises. A new function joins by an entry in LOSSES of tests/families/losses.py."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from families.losses import LOSSES, NAMES

SINGLE = jnp.result_type(float) == jnp.float32
every = pytest.mark.parametrize("name", LOSSES)


def two(name: str) -> tuple[jax.Array, jax.Array]:
    """What a fit compares: two that are unlike."""
    return tuple(jnp.asarray(LOSSES[name].draw(seed), jnp.result_type(float)) for seed in (1, 2))


@pytest.fixture(scope="module")
def jitted():
    """Each loss, compiled once for all tests here."""
    return {name: jax.jit(case.loss) for name, case in LOSSES.items()}


@pytest.fixture(scope="module")
def slopes():
    """Of each by both, likewise."""
    return {name: jax.jit(jax.grad(case.loss, (0, 1))) for name, case in LOSSES.items()}


@pytest.mark.once
def test_every_public_loss_is_here():
    public = {name for name in gx.losses.__all__ if inspect.isfunction(getattr(gx.losses, name))}
    assert public == {name.split(",")[0] for name in LOSSES}
    for name in public:
        assert "Example:" in getattr(gx.losses, name).__doc__ and "Raises:" in getattr(gx.losses, name).__doc__, name


@every
@pytest.mark.slow("float64", "float32")
def test_a_loss_is_one_number_of_the_default_dtype(name):
    case, (a, b) = LOSSES[name], two(name)
    for given in ((a, b), (np.asarray(a), np.asarray(b, np.float64))):
        value = case.loss(*given)
        assert value.shape == () and value.dtype == jnp.result_type(float) and not value.weak_type
        assert np.isfinite(value)


@pytest.mark.slow("float32")
@every
@pytest.mark.slow("float64")
def test_a_perfect_match_is_best(name, jitted, slopes, rounding):
    """And has no slope: a fit that is there stays there."""
    case, (a, b) = LOSSES[name], two(name)
    np.testing.assert_allclose(case.loss(a, a), case.best, rtol=0, atol=10 * rounding)
    sign = 1 if jitted[name](a, b) > case.best else -1
    others = [jnp.asarray(case.draw(seed), a.dtype) for seed in range(3, 9)]
    assert all(sign * (jitted[name](a, other) - case.best) > 0.01 for other in others)
    if case.differentiable and case.flat:
        np.testing.assert_allclose(slopes[name](a, a)[0], 0, atol=50 * rounding)


@pytest.mark.once
@pytest.mark.slow
@every
def test_jit_and_vmap_change_nothing(name, jitted, rounding):
    case, (a, b) = LOSSES[name], two(name)
    stacked = jnp.stack([a, b, jnp.asarray(case.draw(3), a.dtype)])
    plain = np.array([case.loss(x, b) for x in stacked])
    assert np.ptp(plain) > 0.01
    np.testing.assert_allclose([jitted[name](x, b) for x in stacked], plain, rtol=rounding, atol=10 * rounding)
    over = jax.jit(jax.vmap(case.loss, (0, None)))(stacked, b)
    np.testing.assert_allclose(over, plain, rtol=rounding, atol=10 * rounding)


@every
@pytest.mark.slow("float32")
def test_gradients_equal_finite_differences(name, jitted, slopes):
    """By the first and by the second, along a random direction; of fourth order."""
    pair, rng = two(name), np.random.default_rng(11)
    if not LOSSES[name].differentiable:
        with pytest.raises(TypeError, match="has no slope"):
            slopes[name](*pair)
        return
    exact = slopes[name](*pair)
    h = 2e-3 if SINGLE else 1e-5
    for i in range(2):
        direction = jnp.asarray(rng.normal(size=pair[i].shape), pair[i].dtype)
        ends = []
        for step in (h, -h, 2 * h, -2 * h):
            moved = [x + step * direction if j == i else x for j, x in enumerate(pair)]
            ends.append(float(jitted[name](*moved)))
        numeric = (8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * h)
        slope = np.vdot(exact[i], direction)
        assert abs(slope) > 3e-3
        np.testing.assert_allclose(slope, numeric, rtol=1e-2 if SINGLE else 1e-6)


@pytest.mark.once
@every
def test_shapes_that_differ_are_refused_and_named(name):
    case, (a, _) = LOSSES[name], two(name)
    if case.unlike is None:  # two distributions: each of as many values as there are
        assert np.isfinite(jax.jit(case.loss)(a, jnp.concatenate([a, a[:2]])))
        return
    other = jnp.full(case.unlike, 0.5)
    for one, another in ((a, other), (other, a)):
        with pytest.raises(ValueError) as refused:
            case.loss(one, another)
        # peak frequencies need not be resolved alike: there it is the channels that are compared
        shapes = [(1, *x.shape[1:]) if name.startswith("peak") else x.shape for x in (one, another)]
        said = str(refused.value)
        assert "the two differ in shape: " in said and f"is {shapes[0]} and " in said and f" {shapes[1]}; " in said


@pytest.mark.once
@every
def test_labels_that_differ_are_refused_by_name(name):
    case, (a, b) = LOSSES[name], (np.asarray(x) for x in two(name))
    if case.labelled is None:  # values of a distribution have no order
        return
    one, same, other = (case.labelled(x, names) for x, names in ((a, NAMES), (b, NAMES), (b, ("A", "B", "D", "C"))))
    np.testing.assert_allclose(case.loss(one, same), case.loss(a, b), rtol=1e-12)
    np.testing.assert_allclose(case.loss(one, b), case.loss(a, b), rtol=1e-12)
    said = "labels disagree: number 2 is 'C' in the first, but 'D' in the second"
    with pytest.raises(ValueError, match=re.escape(said)):
        case.loss(one, other)


@every
def test_nan_never_passes_for_a_number(name, jitted):
    """Where values are known a loss may refuse them, by name; inside jit it says NaN."""
    for i in range(2):
        pair = list(two(name))
        pair[i] = pair[i].at[(1,) * (pair[i].ndim - 1) + (2,)].set(jnp.nan)
        assert np.isnan(jitted[name](*pair))
        try:
            value = LOSSES[name].loss(*pair)
        except ValueError as refused:
            assert "nan" in str(refused)
        else:
            assert np.isnan(value)


@pytest.mark.once
@every
def test_another_order_of_regions_on_both_sides_changes_nothing(name, jitted, rounding):
    order, pair = np.array([2, 0, 3, 1]), two(name)
    moved = pair
    for axis in LOSSES[name].regions:
        moved = [jnp.take(x, order, axis) for x in moved]
    assert (moved[0] != pair[0]).any()
    np.testing.assert_allclose(jitted[name](*moved), jitted[name](*pair), rtol=10 * rounding, atol=10 * rounding)


@pytest.mark.once
def test_the_terms_of_a_sum_are_told_apart_and_one_that_is_idle_is_reported():
    total, terms = gx.losses.weighted_sum({"a": (2.0, jnp.array(0.5)), "idle": (0.0, jnp.array(jnp.nan))})
    assert float(total) == 1.0 and list(terms) == ["a", "idle"] and np.isnan(terms["idle"])
    with pytest.raises(ValueError, match=r"term 'a' has a weight of shape \(\) and a value of shape \(2,\)"):
        gx.losses.weighted_sum({"a": (1.0, jnp.ones(2))})
