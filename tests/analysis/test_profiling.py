"""Profiles of a loss against the algebra of least squares and scipy's minimiser."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, minimize

import gyrax as gx

X = np.linspace(-1, 2, 7)
DATA = 1.3 * X - 0.4 + 0.2 * np.array([0.3, -1.0, 0.4, 1.2, -0.9, 0.1, 0.2])


class Line(eqx.Module):
    slope: jax.Array
    offset: jax.Array

    def __init__(self, slope, offset):
        self.slope, self.offset = jnp.asarray(slope, float), jnp.asarray(offset, float)


def likelihood(model, key):
    return 0.5 * (((model.slope * X + model.offset - DATA) / 0.2) ** 2).sum()


def fitted():
    slope, offset = np.polyfit(X, DATA, 1)
    return Line(slope, offset)


def test_of_a_line_the_interval_is_that_of_least_squares():
    model = fitted()
    spec = gx.select(model, "slope", "offset")
    design = np.stack([X, np.ones(7)], 1) / 0.2
    covariance = np.linalg.inv(design.T @ design)
    best, sd = float(model.slope), np.sqrt(covariance[0, 0])
    found = gx.analysis.profile(
        model, likelihood, spec, "slope", np.linspace(best - 3 * sd, best + 3 * sd, 6), progress=False
    )
    single = jnp.result_type(float) == jnp.float32
    np.testing.assert_allclose(
        found.rises, 0.5 * ((found.values - best) / sd) ** 2, rtol=1e-3, atol=1e-4 if single else 1e-7
    )
    np.testing.assert_allclose(
        found.interval(), best + 1.959964 * sd * np.array([-1, 1]), rtol=1e-3 if single else 1e-5
    )
    np.testing.assert_allclose(found.interval(0.6827), best + sd * np.array([-1, 1]), rtol=1e-3)
    # what makes up for it: along the regression of the other number on this one
    offset = found.to_xarray()["fitted"].sel(number="offset")
    np.testing.assert_allclose(
        offset,
        float(model.offset) + covariance[0, 1] / covariance[0, 0] * (found.values - best),
        rtol=1e-2 if single else 1e-5,
        atol=1e-3,
    )
    assert found.values[3] == best == found.own and len(found.models) == 7
    assert [float(m.slope) for m in found.models] == pytest.approx(found.values.tolist(), rel=1e-6)
    assert "95 % from" in repr(found)


class Rates(eqx.Module):
    rates: jax.Array
    size: jax.Array

    def __init__(self, rates, size):
        self.rates, self.size = jnp.asarray(rates, float), jnp.asarray(size, float)


T = np.linspace(0, 4, 9)
DECAY = np.exp(-0.8 * T) + 0.5 * np.exp(-0.2 * T) + 0.05 * np.sin(17 * T)


def decays(rates, size, maths):
    return ((maths.exp(-rates[0] * T) + size * maths.exp(-rates[1] * T) - DECAY) ** 2).sum() / (2 * 0.1**2)


@pytest.mark.slow
@pytest.mark.once
def test_of_decays_it_is_scipys_on_a_grid_and_at_its_ends():
    positive = gx.Positive(scale=1.0)
    start = Rates([0.8, 0.2], 0.5)
    spec = gx.select(start, gx.Free("rates", domain=positive), gx.Free("size", domain=positive))

    def loss(model, key):
        return decays(model.rates, model.size, jnp)

    model = gx.search.minimise(start, loss, spec, steps=300, progress=False).model
    values = np.linspace(0.02, 0.5, 13)
    found = gx.analysis.profile(model, loss, spec, "rates[1]", values, steps=300, progress=False)

    def lowest(value):
        def function(x):
            return decays([np.exp(x[0]), value], np.exp(x[1]), np)

        return min(
            minimize(function, x0, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}).fun
            for x0 in ([-0.2, -0.7], [0.5, 0.0])
        )

    np.testing.assert_allclose(found.losses, [lowest(v) for v in found.values], rtol=1e-5, atol=1e-6)
    base, (low, high) = found.losses.min(), found.interval()
    assert low == pytest.approx(brentq(lambda v: lowest(v) - base - 1.920729, 0.02, 0.2), abs=2e-3)
    assert high == np.inf and "open above" in repr(found)  # two decays that are alike share what one of them makes
    axes = found.plot()
    assert axes.get_xlabel() == "rates[1]"


@pytest.mark.once
def test_the_others_may_be_none_or_along_a_mask():
    model = fitted()
    found = gx.analysis.profile(model, likelihood, gx.select(model, "slope"), "slope", [1.0, 1.5], progress=False)
    expected = [float(likelihood(Line(v, model.offset), None)) for v in found.values]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-9)
    rates = Rates([0.8, 0.2], 0.5)
    spec = gx.select(rates, gx.Free("rates", mask=[False, True]))

    def distance(m, key):
        return (m.rates[1] - m.rates[0] + 0.6) ** 2

    found = gx.analysis.profile(rates, distance, spec, "rates[1]", [0.1, 0.3], progress=False)
    np.testing.assert_allclose(found.losses, [0.01, 0.0, 0.01], rtol=1e-9, atol=1e-12)


@pytest.mark.once
def test_a_model_that_is_not_the_best_is_told():
    model = Line(1.0, float(fitted().offset))
    with pytest.warns(RuntimeWarning, match="the model was not the best fit"):
        gx.analysis.profile(model, likelihood, gx.select(model, "slope"), "slope", [1.2, 1.4], progress=False)


@pytest.mark.once
def test_where_the_loss_breaks_the_profile_ends_and_keeps_what_was_done():
    model = fitted()

    def loss(m, key):
        return likelihood(m, key) + jnp.where(m.slope > 1.8, jnp.nan, 0.0) * m.slope

    with pytest.warns(RuntimeWarning, match=r"the profile ends before slope = 1\.9"):
        found = gx.analysis.profile(
            model, loss, gx.select(model, "slope", "offset"), "slope", [1.0, 1.9, 2.5], progress=False
        )
    assert len(found.values) == 2 and np.isfinite(found.losses).all()


@pytest.mark.once
def test_after_an_interruption_there_is_what_was_finished(monkeypatch):
    from gyrax.analysis import profiling

    model, descended, calls = fitted(), profiling.descended, []

    def stops(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return descended(*args, **kwargs)

    monkeypatch.setattr(profiling, "descended", stops)
    found = gx.analysis.profile(
        model, likelihood, gx.select(model, "slope", "offset"), "slope", [1.0, 1.1, 1.6, 1.9], progress=False
    )
    assert len(found.values) == 2 and found.values[1] == 1.6
    assert found.interrupted == "after 2 of 5 values" and "! it was interrupted after 2 of 5 values" in repr(found)
    calls[:] = [1, 1]
    with pytest.raises(KeyboardInterrupt, match=r"after 0 of 3 values, before the model.s own: there is no profile"):
        gx.analysis.profile(model, likelihood, gx.select(model, "slope"), "slope", [1.0, 1.6], progress=False)


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "values", "error", "message"),
    [
        ("slop", [1.0, 2.0], ValueError, "none is called 'slop'; there are 'slope'"),
        ("slope", [1.0], ValueError, "two different finite numbers"),
        ("slope", [1.0, 1.0], ValueError, "two different finite numbers"),
        ("slope", [1.0, np.nan], ValueError, "two different finite numbers"),
        ("size", [-1.0, 1.0], ValueError, r"size lives in .*; -1 lies outside"),
        (3, [1.0, 2.0], TypeError, "name"),
    ],
)
def test_what_cannot_be_is_said(name, values, error, message):
    if name == "size":
        model = Rates([0.8, 0.2], 0.5)
        spec = gx.select(model, gx.Free("size", domain=gx.Positive()))
        with pytest.raises(error, match=message):
            gx.analysis.profile(model, lambda m, key: m.size**2, spec, name, values, progress=False)
        return
    model = fitted()
    with pytest.raises(error, match=message):
        gx.analysis.profile(model, likelihood, gx.select(model, "slope", "offset"), name, values, progress=False)


class Named(eqx.Module):
    """Free numbers that have the names of what a table has."""

    loss: jax.Array
    number: jax.Array

    def __init__(self, loss, number):
        self.loss, self.number = jnp.asarray(loss, float), jnp.asarray(number, float)


@pytest.mark.once
@pytest.mark.parametrize("name", ["loss", "number"])
def test_names_of_a_table_of_its_own_do_not_clash(name):
    model = Named(0.5, 0.2)

    def loss(m, key):
        return 10 * (m.loss - 0.5) ** 2 + (m.number - 0.2) ** 2

    found = gx.analysis.profile(model, loss, gx.select(model, "loss", "number"), name, [0.1, 0.6], progress=False)
    table = found.to_xarray()
    np.testing.assert_array_equal(table["loss"], found.losses)
    np.testing.assert_array_equal(table[f"{name}_value"], found.values)
    np.testing.assert_allclose(table["fitted"].sel(number=name), found.values)


@pytest.mark.once
def test_of_several_valleys_all_pieces_are_told():
    model = Named(1.0, 0.2)

    def valleys(m, key):
        return 10 * (m.loss**2 - 1) ** 2

    values = np.linspace(-1.6, 1.6, 33)
    found = gx.analysis.profile(model, valleys, gx.select(model, "loss"), "loss", values, progress=False)
    rise = np.sqrt(1.920729 / 10)
    inner, outer = np.sqrt(1 - rise), np.sqrt(1 + rise)
    np.testing.assert_allclose(found.intervals(), [[-outer, -inner], [inner, outer]], atol=2e-3)
    with pytest.warns(RuntimeWarning, match="2 valleys, .* and this is the one around 1 alone"):
        np.testing.assert_allclose(found.interval(), [inner, outer], atol=2e-3)
    assert "from -1.199 to -0.7478 and from 0.7478 to 1.199" in repr(found)
    assert len(found.plot().patches) == 2
    for level in (0.001, 0.5, 0.99999999):
        assert found.intervals(level)
    one = gx.analysis.profile(model, valleys, gx.select(model, "loss"), "loss", values[values > 0], progress=False)
    assert len(one.intervals()) == 1 and one.interval() == one.intervals()[0]


@pytest.mark.once
def test_an_error_at_one_value_leaves_the_others():
    def measured(x):
        if x > 1.25:
            raise RuntimeError("the instrument was off")
        return np.zeros_like(x)

    @jax.custom_jvp
    def nought(x):
        return jax.pure_callback(measured, jax.ShapeDtypeStruct((), x.dtype), x)

    nought.defjvp(lambda x, bars: (nought(*x), 0.0 * bars[0]))
    model = Named(1.0, 0.2)

    def loss(m, key):
        return 10 * (m.loss - 1) ** 2 + m.number**2 + nought(m.loss)

    spec = gx.select(model, "loss", "number")
    with pytest.warns(RuntimeWarning, match=r"ends before loss = 1\.3: RuntimeError: the instrument was off$"):
        found = gx.analysis.profile(model, loss, spec, "loss", [0.8, 1.2, 1.3], progress=False)
    np.testing.assert_allclose(found.losses, [0.4, 0.0, 0.4], atol=1e-6)
    assert "the instrument was off" in found.failed[0] and f"! it ends before {found.failed[0]}" in repr(found)
    broken = Named(1.5, 0.2)
    with pytest.raises(Exception, match="the instrument was off"):
        gx.analysis.profile(broken, loss, gx.select(broken, "loss", "number"), "loss", [0.8, 1.2], progress=False)


@pytest.mark.parametrize("scale", [1e-26, 1.0])
def test_in_the_unit_of_a_squared_field_it_is_the_same(scale):
    model = Named(-0.4, 0.2)

    def loss(m, key):
        return scale * (50 * (m.loss + m.number + 0.2) ** 2 + 50 * (m.number - 0.2) ** 2)

    found = gx.analysis.profile(
        model, loss, gx.select(model, "loss", "number"), "loss", [-0.5, -0.45, -0.3], progress=False
    )
    np.testing.assert_allclose(found.losses / scale, [0.25, 0.0625, 0.0, 0.25], rtol=1e-4, atol=1e-6)
    assert set(found.stopped) == {"converged"} and "steps" not in repr(found)


def test_a_loss_too_small_for_the_precision_is_refused():
    model = Named(-0.4, 0.2)
    if jnp.result_type(float) == jnp.float64:
        return
    with pytest.raises(FloatingPointError, match="less than float32 tells anything of"):
        gx.analysis.profile(
            model, lambda m, key: 1e-40 * m.loss**2, gx.select(model, "loss"), "loss", [-0.5, 0.3], progress=False
        )
