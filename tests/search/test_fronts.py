"""Fronts against those known in closed form."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import gyrax as gx
from gyrax.search.fronts import Front
from gyrax.search.pareto import Downhill, common_descent

MODEL = {"x": jnp.array([0.3, 0.5])}
SPEC = gx.select(MODEL, "x")
GOALS = {"left": "min", "right": "max"}


def two(m, key):
    """Schaffer's two bowls: unbeaten are the points on the line between (-1, 0) and (1, 0)."""
    far = (m["x"] - jnp.array([-1.0, 0.0])) ** 2, (m["x"] - jnp.array([1.0, 0.0])) ** 2
    return far[0].sum() + far[1].sum(), {"left": far[0].sum(), "right": -far[1].sum(), "other": m["x"][0]}


def noisy(m, key):
    value, terms = two(m, key)
    return value, {"left": terms["left"] + 0.1 * jax.random.normal(key), "right": terms["right"]}


def front(loss=two, terms=GOALS, **options):
    return gx.search.front(
        MODEL, loss, SPEC, **{"terms": terms, "generations": 15, "population": 16, "progress": False} | options
    )


@pytest.mark.slow("float32")
def test_lies_on_the_front_that_is_known():
    found = front()
    points = np.stack([m["x"] for m in found.models])
    assert len(found) >= 8 and (np.abs(points[:, 1]) < 0.02).all() and (np.abs(points[:, 0]) <= 1.02).all()
    np.testing.assert_allclose(np.sqrt(found.terms[:, 0]) + np.sqrt(-found.terms[:, 1]), 2.0, atol=0.02)
    assert (np.diff(found.terms[:, 0]) >= 0).all() and (np.diff(found.terms[:, 1]) >= 0).all()
    assert np.ptp(points[:, 0]) > 1.0 and abs(points[found.balanced(), 0]) < 0.35
    assert "left (min)" in repr(found) and found.to_xarray()["mean"].dims == ("point", "term")
    assert found.plot().get_xlabel() == "left"


@pytest.mark.slow("float32")
def test_gradients_bring_what_the_search_left_nearer_to_it():
    rough = front(refine=0, generations=4)
    fine = front(refine=20, generations=4)

    def off(found):
        return np.mean(np.sqrt(found.terms[:, 0]) + np.sqrt(-found.terms[:, 1]) - 2.0)

    assert off(fine) < 0.2 * off(rough)


@pytest.mark.slow("float32")
def test_is_judged_on_noise_that_it_never_heard():
    found = front(noisy, validation=gx.Validation(keys=8))
    keys = gx.Validation(keys=8).drawn(jax.random.key(0))
    each = np.array([[noisy(m, k)[1]["left"] for k in keys] for m in found.models])
    np.testing.assert_allclose(found.terms[:, 0], each.mean(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.sd[:, 0], each.std(1, ddof=1), rtol=1e-3)
    beaten = [(found.terms[:, 0] <= p[0]) & (found.terms[:, 1] >= p[1]) for p in found.terms]
    assert all(np.sum(b) == 1 for b in beaten)


@pytest.mark.slow("float32")
@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=2, max_size=3))
def test_the_common_descent_is_the_shortest_mean(rows):
    gradients = np.array(rows)
    found = np.asarray(common_descent(jnp.asarray(gradients)), float)
    shares = optimize.minimize(
        lambda w: ((w @ gradients) ** 2).sum(),
        np.full(len(rows), 1 / len(rows)),
        bounds=[(0, 1)] * len(rows),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 200},
    ).x
    shortest = ((shares @ gradients) ** 2).sum()
    assert (found**2).sum() <= shortest + 0.02 * (1 + (gradients**2).sum(1).max())
    if len(rows) == 2:  # Frank and Wolfe's steps are exact there
        np.testing.assert_allclose((found**2).sum(), shortest, atol=1e-4)
        assert (gradients @ found >= -1e-4 * (1 + (gradients**2).sum())).all()


@pytest.mark.slow("float32")
def test_no_step_downhill_leaves_a_term_worse():
    def function(points):
        def one(x):
            def terms(x):
                return jnp.stack(
                    [jnp.sin(3 * x[0]) + x[1] ** 2, jnp.where(x[0] > 0.4, jnp.nan, 1.0) * jnp.cos(2 * x[0])]
                )

            return terms(x), jax.jacrev(terms)(x)

        return jax.vmap(one)(points)

    state = Downhill.at(function, jnp.array([[0.3, 1.0], [-2.0, -0.5]]), 0.5)
    for _ in range(6):
        later = state.moved(function)
        assert (np.asarray(later.terms) <= np.asarray(state.terms)).all() and np.isfinite(later.gradients).all()
        state = later


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"terms": {"left": "min"}}, "two terms or more"),
        ({"terms": {"left": "min", "r": "max"}}, "no term 'r'; it has loss, left, other, right"),
        ({"terms": {"left": "min", "right": "up"}}, "'min' or 'max'"),
        ({"within": 0.0}, "within"),
        ({"population": 3}, "population"),
        ({"validation": 4}, "validation"),
    ],
)
def test_refuses_what_makes_no_front(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        front(**options)


@pytest.mark.once
def test_says_what_is_not_finite_or_missing(monkeypatch):
    def broken(m, key):
        value, terms = two(m, key)
        return value, {"left": terms["left"] * jnp.nan, "right": terms["right"]}

    with pytest.raises(FloatingPointError, match="give a smaller within="):
        front(broken)
    monkeypatch.setitem(sys.modules, "pymoo", None)
    with pytest.raises(ImportError, match=r"pip install 'gyrax\[search\]'"):
        front()


@pytest.mark.once
def test_the_balanced_point_is_that_nearest_to_the_best_of_each():
    terms = np.array([[0.0, 0.0], [0.2, 9.0], [1.0, 10.0]])
    assert Front([None] * 3, terms, terms, {"a": "min", "b": "max"}, terms, 0.0).balanced() == 1
