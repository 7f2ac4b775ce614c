"""What a loss may return, read in one place by all that fit, judge and sweep."""

import functools
import itertools
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import gyrax as gx
from gyrax.fitting.objective import RESERVED, Objective, described, named_arrays, outcome

MODEL = gx.models.Linear(gamma=-0.5)
SPEC = gx.select(MODEL, "gamma")
KEYS = jax.random.split(jax.random.key(4), 3)


def squares(model, key):
    """A loss made of residuals that noise moves."""
    residuals = model.gamma + jnp.array([1.0, 2.0]) + 0.1 * jax.random.normal(key, (2,))
    return (residuals**2).sum(), {"largest": jnp.abs(residuals).max(), "residuals": residuals}


def test_residuals_stand_apart_from_the_terms():
    value, terms, residuals = outcome(squares(MODEL, KEYS[0]))
    assert set(terms) == {"largest"} and residuals.shape == (2,)
    np.testing.assert_allclose(value, (residuals**2).sum(), rtol=1e-6)
    assert described(squares, MODEL, KEYS[0]).terms == ["largest"]
    assert outcome(jnp.ones(())) == (jnp.ones(()), {}, None)


def test_a_fit_has_no_history_of_residuals_and_a_sweep_has_their_values():
    result = gx.fit(MODEL, squares, SPEC, optax.adam(0.1), steps=3, key=KEYS[0], progress=False)
    assert set(result.history) == {"loss", "gradient", "largest", "validation"}
    judged = gx.evaluate(MODEL, squares, KEYS)
    assert judged["residuals"].shape == (3, 2) and judged["loss"].shape == (3,)
    found = gx.sweep(MODEL, squares, {"gamma": [-2.0, -1.0]}, key=KEYS[0])
    assert found["residuals"].shape == (2, 2)
    assert set(named_arrays(squares(MODEL, KEYS[0]))) == {"loss", "largest", "residuals"}


@pytest.mark.slow
def test_an_objective_on_the_real_line_is_the_loss_of_the_model(rounding):
    free, fixed = gx.split(MODEL, SPEC)
    objective = Objective(squares, fixed)
    alone = [squares(gx.join(free, fixed), key) for key in KEYS]
    np.testing.assert_allclose(objective.at(free, KEYS[1]).value, alone[1][0], rtol=rounding)
    value, terms = objective.mean(free, KEYS)
    np.testing.assert_allclose(value, np.mean([value for value, _ in alone]), rtol=rounding)
    np.testing.assert_allclose(terms["largest"], np.mean([terms["largest"] for _, terms in alone]), rtol=rounding)
    stacked = jax.tree.map(lambda x: jnp.stack([x, x + 1]), free)
    both = objective.means(stacked, KEYS, 2)
    np.testing.assert_allclose(both[0][0], value, rtol=rounding)
    other = objective.mean(jax.tree.map(lambda x: x + 1, free), KEYS)
    np.testing.assert_allclose([both[0][1], both[1]["largest"][1]], [other[0], other[1]["largest"]], rtol=rounding)


@pytest.mark.parametrize("name", RESERVED)
def test_a_term_cannot_be_called_what_a_history_has_of_its_own(name):
    with pytest.raises(ValueError, match=f"the history has a '{name}' of its own"):
        described(lambda model, key: (model.gamma, {name: model.gamma}), MODEL, None)


@pytest.mark.once
def test_what_is_no_loss_is_refused():
    with pytest.raises(TypeError, match="dict of named scalars, got 1"):
        outcome((jnp.ones(()), 1))
    with pytest.raises(TypeError, match="the loss must be a scalar"):
        described(lambda model, key: jnp.ones(3), MODEL, None)
    with pytest.raises(TypeError, match="the loss's term 'r' must be a scalar"):
        described(lambda model, key: (model.gamma, {"r": jnp.ones(3)}), MODEL, None)


TARGET = np.array([1.0], jnp.result_type(float))


def to_target(m, key):
    return jnp.sum((m.gamma + TARGET) ** 2)


def test_arrays_that_changed_in_place_are_read_anew():
    """A notebook writes into the array that its loss closes over, and fits again."""
    model, inner, table = gx.models.Linear(gamma=-0.5), np.ones_like(TARGET), pd.Series([1.0])

    def loss(m, key):
        return jnp.sum((m.gamma + inner) ** 2)

    def by_default(m, key, target=inner):
        return jnp.sum((m.gamma + target) ** 2)

    def of_a_table(m, key):
        return jnp.sum((m.gamma + jnp.asarray(table)) ** 2)

    losses = (to_target, loss, by_default, of_a_table, functools.partial(lambda t, m, key: loss(m, key), inner))
    spec = gx.select(model, "gamma")
    for level in (1.0, 3.0):
        TARGET[:], inner[:], table[:] = level, level, level
        for function in losses:
            found = gx.fit(model, function, spec, optax.adam(0.1), steps=1, progress=False)
            assert found.history["loss"][0] == pytest.approx((level - 0.5) ** 2)
            value = gx.evaluate(model, function, jax.random.split(jax.random.key(0), 1))["value"]
            assert value[0] == pytest.approx((level - 0.5) ** 2)
            swept = gx.sweep(model, function, {"gamma": [-0.5]}, progress=False)["value"]
            assert swept.values[0] == pytest.approx((level - 0.5) ** 2)


LEVEL, SETTINGS = jnp.asarray(1.0), types.SimpleNamespace(level=np.asarray(1.0))


class Settings:
    level = 1.0


class Distance:
    """A loss that is an object."""

    def __init__(self):
        self.level = 1.0

    def __call__(self, m, key):
        return (m.gamma + self.level) ** 2


def to_a_global(m, key):
    return (m.gamma + LEVEL) ** 2


def to_an_attribute(m, key):
    return (m.gamma + SETTINGS.level) ** 2


def to_one_of_a_class(m, key):
    return (m.gamma + Settings.level) ** 2


def test_what_was_assigned_anew_counts():
    """The next cell of a notebook: the same functions, other numbers under the same names."""
    global LEVEL
    model, distance, outer = gx.models.Linear(gamma=-0.5), Distance(), 1.0
    spec, optimiser = gx.select(model, "gamma"), optax.adam(0.1)

    def to_a_cell(m, key):
        return to_a_global(m, key) + 0.0 * outer

    module = types.ModuleType("settings")
    module.level = 1.0  # pyright: ignore[reportAttributeAccessIssue]

    def to_a_module(m, key):
        return (m.gamma + module.level) ** 2  # pyright: ignore[reportAttributeAccessIssue]

    functions = (to_a_global, to_an_attribute, to_one_of_a_class, to_a_cell, to_a_module, distance)
    for level in (1.0, 3.0):
        LEVEL, SETTINGS.level, outer = jnp.asarray(level), np.asarray(level), level
        Settings.level = distance.level = module.level = level  # pyright: ignore[reportAttributeAccessIssue]
        for function in functions:
            found = gx.fit(model, function, spec, optimiser, steps=1, progress=False)
            assert found.history["loss"][0] == pytest.approx((level - 0.5) ** 2)


@pytest.mark.parametrize("name", ["target", "tables['one']"])
def test_an_array_that_jax_does_not_read_anew_is_refused_by_its_name(name):
    """In float32 JAX keeps its copy of an array of float64 while a program uses it: another digest alone changes nothing."""
    model, target = gx.models.Linear(gamma=-0.5), np.array([1.0])
    tables = {"one": target}

    def by_name(m, key):
        return jnp.sum((m.gamma + target) ** 2)

    def by_key(m, key):
        return jnp.sum((m.gamma + tables["one"]) ** 2)

    loss = by_name if name == "target" else by_key
    spec, options = gx.select(model, "gamma"), {"steps": 1, "progress": False}
    gx.fit(model, loss, spec, optax.adam(0.1), **options)
    target[:] = 3.0
    if jnp.result_type(float) == jnp.float32:
        with pytest.raises(ValueError, match=re.escape(f"the array {name} was changed in place, and JAX still reads")):
            gx.fit(model, loss, spec, optax.adam(0.1), **options)
        target = tables["one"] = target.copy()
    assert gx.fit(model, loss, spec, optax.adam(0.1), **options).history["loss"][0] == pytest.approx(6.25)


def test_what_did_not_change_is_compiled_once():
    model, inner, traced = gx.models.Linear(gamma=-0.5), np.array([1.0]), itertools.count()

    def loss(m, key):
        next(traced)
        return jnp.sum((m.gamma + inner) ** 2)

    def fit():
        return gx.fit(model, loss, spec, optimiser, steps=1, progress=False)

    spec, optimiser = gx.select(model, "gamma"), optax.adam(0.1)
    fit()
    count = next(traced)
    fit()
    assert next(traced) == count + 2  # to see what it returns; nothing is compiled


@pytest.mark.parametrize("kind", [bool, complex])
def test_a_loss_is_a_real_number(kind):
    model = gx.models.Linear(gamma=-0.5)
    with pytest.raises(TypeError, match="the loss is a real number, got one of"):
        described(lambda m, key: (m.gamma > 0).astype(kind), model, None)


class Plain(gx.AbstractModel):
    states, inputs = ("x",), ("c",)
    a: float = 0.7

    def drift(self, t, y, u):
        return u - self.a * y


def test_plain_floats_of_ones_own_model_are_free_like_arrays():
    model = Plain()
    found = gx.search.minimise(model, lambda m, key: (m.a - 2.0) ** 2, gx.select(model, "a"), progress=False)
    assert float(found.model.a) == pytest.approx(2.0)


def test_what_ran_to_the_end_of_its_domain_is_told():
    model = gx.models.JansenRit()
    spec = gx.select(model, "A", "B")

    def loss(m, key):
        return (m.A + 1.0) ** 2 + (m.B - 20.0) ** 2

    with pytest.warns(RuntimeWarning, match="^A ran to the end of the domain") as said:
        gx.search.minimise(model, loss, spec, progress=False)
    assert len(said) == 1 and said[0].filename == __file__


def test_realisations_of_what_hears_no_noise_are_refused():
    model = gx.models.Linear(gamma=-0.5)
    with pytest.raises(ValueError, match="all realisations are one"):
        gx.search.minimise(model, lambda m, key: m.gamma**2, gx.select(model, "gamma"), realisations=2)
