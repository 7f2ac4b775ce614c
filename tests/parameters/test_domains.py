"""Bijections that never touch an edge, and parameters that know their domain."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import Array

import gyrax as gx
from gyrax.parameters.addresses import domains
from gyrax.parameters.declaring import summary

DOMAINS = {
    "real": gx.Real(scale=50.0),
    "positive": gx.Positive(),
    "positive_large": gx.Positive(scale=1e3),
    "above": gx.Above(-2.0, scale=0.5),
    "above_far": gx.Above(300.0),
    "below": gx.Below(-40.0, scale=3.0),
    "interval": gx.Interval(0.0, 2.0),
    "interval_scaled": gx.Interval(0.0, 2.0, scale=0.01),
    "interval_wide": gx.Interval(-70.0, 1e4, scale=20.0),
    "interval_odd": gx.Interval(0.1, 0.7),
}
EVERY = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
DTYPES = [jnp.float32, jnp.float64] if jnp.result_type(float) == jnp.float64 else [jnp.float32]
EPS = float(jnp.finfo(jnp.result_type(float)).eps)
REALS = np.concatenate([-np.logspace(6, -3, 40), [0.0], np.logspace(-3, 6, 40)])


@functools.cache
def compiled(domain):
    """from_real, to_real, their slopes, and contains."""
    slopes = (jax.vmap(jax.grad(f)) for f in (domain.from_real, domain.to_real))
    return tuple(jax.jit(f) for f in (domain.from_real, domain.to_real, *slopes, domain.contains))


def ends(domain):
    return getattr(domain, "lower", -np.inf), getattr(domain, "upper", np.inf)


def nearest_end(domain, values):
    """The end beside each value, and how far it is; zero if there is none."""
    low, high = (np.full(values.shape, end) for end in ends(domain))
    end = np.where(np.abs(values - low) <= np.abs(high - values), low, high)
    end = np.where(np.isinf(end), 0.0, end)
    return end, np.abs(values - end)


@EVERY
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_real_lands_inside_with_a_finite_slope(domain, dtype):
    from_real, to_real, slope, *_ = compiled(domain)
    reals = jnp.asarray(REALS, dtype)
    values = from_real(reals)
    assert values.dtype == dtype
    low, high = ends(domain)
    assert (np.asarray(values) > dtype(low)).all() and (np.asarray(values) < dtype(high)).all()
    assert domain.contains(values).all()
    assert (np.diff(values) >= 0).all()
    back = to_real(values)
    assert back.dtype == dtype and np.isfinite(back).all()
    assert domain.contains(from_real(back)).all()
    slopes = slope(reals)
    assert np.isfinite(slopes).all() and (slopes >= 0).all()


def arrays(low, high):
    return hnp.arrays(float, REALS.size, elements=st.floats(low, high))


@given(reals=arrays(-6.0, 6.0))
def test_a_real_comes_back(reals):
    """As exactly as a float beside the end of the domain can tell."""
    for domain in DOMAINS.values():
        from_real, to_real, slope, *_ = compiled(domain)
        reals = np.asarray(reals, jnp.result_type(float))
        values = np.asarray(from_real(reals))
        spacing = EPS * (np.abs(values) + sum(abs(end) for end in ends(domain) if np.isfinite(end)))
        allowed = 8 * (spacing / np.asarray(slope(reals)) + EPS * (1 + np.abs(reals)))
        assert (np.abs(to_real(values) - reals) <= allowed).all(), domain


@settings(max_examples=10)
@given(decades=arrays(-30.0, 15.0), upper=hnp.arrays(bool, REALS.size))
def test_a_value_comes_back(decades, upper):
    """Over many magnitudes of the distance to an end, as close to it as floats go."""
    for domain in DOMAINS.values():
        from_real, to_real, _, _, contains = compiled(domain)
        (low, high), distance = ends(domain), 10.0**decades
        if np.isinf(low) and np.isinf(high):
            values = np.where(upper, distance, -distance)
        else:
            values = np.where((upper & np.isfinite(high)) | np.isinf(low), high - distance, low + distance)
        values = np.asarray(values, jnp.result_type(float))
        inside = np.asarray(contains(values))
        back = np.asarray(from_real(to_real(values)))
        end, distance = nearest_end(domain, values)
        wrong = np.abs(back - values) > 400 * EPS * distance + 4 * EPS * np.abs(end)
        assert not (wrong & inside).any(), (domain, values[wrong & inside], back[wrong & inside])
        assert np.asarray(contains(back))[inside].all()


def test_the_slope_has_its_sign_also_where_a_product_is_flushed_to_zero():
    domain = gx.Interval(0.0, 2.0, scale=0.01)
    tiny = jnp.asarray(jnp.finfo(jnp.result_type(float)).tiny)
    np.testing.assert_allclose(jax.grad(domain.from_real)(-tiny), 0.01, rtol=1e-5)


@EVERY
def test_strictly_increasing_with_the_slope_of_finite_differences(domain):
    from_real, _, slope, inverse, _ = compiled(domain)
    reals = jnp.linspace(-4.0, 4.0, REALS.size)
    values = from_real(reals)
    assert (np.diff(values) > 0).all()
    exact = np.asarray(slope(reals))
    h = 1e-2 if EPS > 1e-10 else 1e-4
    numeric = (np.asarray(from_real(reals + h)) - np.asarray(from_real(reals - h))) / (2 * h)
    size = np.abs(exact).max() + EPS * np.abs(values).max() / h / 1e-4
    np.testing.assert_allclose(exact / size, numeric / size, atol=1e-3 if h == 1e-2 else 1e-6)
    np.testing.assert_allclose(inverse(values) * exact, 1.0, rtol=3e-2 if h == 1e-2 else 1e-9)


@pytest.mark.parametrize("scale", [1e-4, 70.0])
def test_a_unit_step_moves_the_value_by_about_the_scale(scale):
    for domain, value in [
        (gx.Real(scale=scale), 0.0),
        (gx.Positive(scale=scale), scale),
        (gx.Above(5.0, scale=scale), 5.0 + scale),
        (gx.Below(-5.0, scale=scale), -5.0 - scale),
        (gx.Interval(-10 * scale, 10 * scale, scale=scale), 0.0),
    ]:
        real = domain.to_real(jnp.asarray(value, float))
        step = float(domain.from_real(real + 0.5) - domain.from_real(real - 0.5))
        assert 0.5 * scale < step < 1.5 * scale, domain
    # a quarter of the width at most: a larger scale would make a step of the curve
    assert gx.Interval(0.0, 2.0, scale=9.0).from_real(jnp.array(0.3)) == gx.Interval(0.0, 2.0).from_real(jnp.array(0.3))
    slope = jax.grad(gx.Interval(0.0, 2.0, scale=0.02).from_real)(jnp.array(0.0))
    np.testing.assert_allclose(slope, 0.02, rtol=1e-5)


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (gx.Real(), [0.0, -1e30, 1e30], []),
        (gx.Positive(), [1e-30, 1e30], [0.0, -0.0, -1.0]),
        (gx.Above(2.0), [2.0001, 1e9], [2.0, 1.9]),
        (gx.Below(0.0), [-1e-30, -1e9], [0.0, 1.0]),
        (gx.Below(3.0), [2.9999, 0.0], [3.0, 3.1]),
        (gx.Interval(0.1, 0.7), [0.1001, 0.6999], [0.1, 0.7, 0.0, 1.0]),
    ],
)
def test_contains(domain, inside, outside):
    assert domain.contains(jnp.asarray(inside, float)).all()
    assert not domain.contains(jnp.asarray([*outside, np.nan, np.inf, -np.inf], float)).any()


def test_scaled_to_fills_in_what_was_not_given():
    assert gx.Positive().scaled_to(3.0) == gx.Positive(scale=3.0)
    assert gx.Positive(scale=2.0).scaled_to(3.0) == gx.Positive(scale=2.0)
    assert gx.Interval(0.0, 2.0).scaled_to(0.5) == gx.Interval(0.0, 2.0, scale=0.5)
    for nothing in (0.0, np.nan):
        assert gx.Real().scaled_to(nothing) == gx.Real()
    assert hash(gx.Above(1.0).scaled_to(2.0)) == hash(gx.Above(1.0, scale=2.0))


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gx.Real(scale=0.0), "scale is a positive number"),
        (lambda: gx.Positive(scale=-1.0), "scale is a positive number"),
        (lambda: gx.Below(scale=np.nan), "scale is a positive number"),
        (lambda: gx.Interval(0.0, 1.0, scale=np.inf), "scale is a positive number"),
        (lambda: gx.Above(-np.inf), "the lower end of Above must be finite"),
        (lambda: gx.Below(np.inf), "the upper end of Below must be finite"),
        (lambda: gx.Interval(1.0, 1.0), r"lower < upper, got \(1.0, 1.0\)"),
        (lambda: gx.Interval(2.0, 1.0), "lower < upper"),
        (lambda: gx.Interval(0.0, np.inf), "finite ends"),
        (lambda: gx.Interval(np.nan, 1.0), "finite ends"),
    ],
)
def test_wrong_domains_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Part(eqx.Module):
    gain: Array = gx.parameter(domain=gx.Interval(0.0, 4.0))
    tau: Array = gx.parameter(10.0, domain=gx.Positive(), unit="ms", doc="time constant")
    offset: Array = gx.parameter(-3.0)
    extra: Array | None = gx.parameter(None, domain=gx.Positive())
    bare: Array = eqx.field(default_factory=lambda: jnp.ones(2))
    plain: float = 0.5


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float64(2), np.float32(2), np.int32(2), np.asarray(2.0), jnp.asarray(2), jnp.asarray(2.0)]
)
def test_a_parameter_is_a_strong_float_of_the_default_dtype(value):
    part = Part(gain=value)
    assert isinstance(part.gain, jax.Array) and part.gain.dtype == jnp.result_type(float)
    assert not part.gain.weak_type and part.gain == 2.0 and part.gain.shape == ()
    assert not part.tau.weak_type and part.tau == 10.0


def test_arrays_keep_their_shape_and_none_stays():
    part = Part(gain=np.arange(3))
    np.testing.assert_array_equal(part.gain, [0.0, 1.0, 2.0])
    assert part.gain.dtype == jnp.result_type(float) and part.extra is None
    assert Part(gain=1.0, extra=2).extra == 2.0


@pytest.mark.once
@pytest.mark.parametrize(
    "value", [True, np.array([True]), "1.0", "f4", 1j, np.ones(2, complex), object(), {"a": 1.0}, float]
)
def test_what_is_no_real_number_is_refused(value):
    with pytest.raises(TypeError, match=r"a parameter is a (real )?number or an array of (numbers|them), got"):
        Part(gain=value)


def test_a_required_parameter_must_be_given():
    with pytest.raises(TypeError, match="gain"):
        Part()


@pytest.mark.parametrize("domain", ["positive", gx.Positive, (0.0, 1.0)])
def test_only_domains_are_domains(domain):
    # jaxtyping's check comes first in the tests; users without it get the sentence
    with pytest.raises(TypeError):
        gx.parameter(1.0, domain=domain)


def test_domains_are_found_where_they_were_declared():
    found = dict(zip(["gain", "tau", "offset", "bare", "plain"], domains(Part(gain=1.0)), strict=True))
    assert found["tau"] == gx.Positive(scale=10.0)  # takes the magnitude of its default
    assert found["gain"] == gx.Interval(0.0, 4.0)  # has no default to take it from
    assert found["offset"] == gx.Real(scale=3.0)
    assert found["bare"] == found["plain"] == gx.Real()
    nested = domains({"a": [Part(gain=1.0), jnp.ones(1)], "b": (gx.couplings.Linear(source="S"),)})
    assert nested[:2] == [gx.Interval(0.0, 4.0), gx.Positive(scale=10.0)]
    assert nested[5:] == [gx.Real(), gx.Positive(scale=1.0)]


def test_a_new_value_compiles_nothing_anew():
    count = []

    @eqx.filter_jit
    def f(part):
        count.append(1)
        return part.gain + part.tau

    for gain in (1, 2.0, np.float64(3.0), jnp.asarray(4.0)):
        f(Part(gain=gain))
    assert len(count) == 1


def test_summaries_tell_values():
    assert summary(jnp.asarray(0.25)) == "0.25"
    assert summary(jnp.asarray([1.0, 5.0, -2.0])) == "[-2 … 5] (3)"
    assert summary(jnp.ones((0, 2))) == f"{jnp.result_type(float)}[0x2]"
    seen = []
    jax.jit(lambda x: seen.append(summary(x)) or x)(jnp.ones(3))
    assert seen == [f"<traced {jnp.result_type(float)}[3]>"]
    model = gx.models.Linear(gamma=-0.5)
    assert repr(model) == "Linear(gamma=-0.5 1/ms)"
    jax.jit(lambda m: seen.append(repr(m)) or m.gamma)(model)
    assert "traced" in seen[-1]


@EVERY
def test_the_log_slope_is_that_of_from_real(domain):
    """By autodiff, wherever the value is not yet rounded to the end."""
    _, _, slope, *_ = compiled(domain)
    reals = jnp.asarray(np.concatenate([np.linspace(-8, 8, 33), [-1e-3, 1e-3]]), jnp.result_type(float))
    found = np.asarray(jax.jit(domain.log_slope)(reals))
    assert found.shape == reals.shape and found.dtype == reals.dtype
    np.testing.assert_allclose(found, np.log(np.asarray(slope(reals), float)), rtol=0, atol=30 * EPS)


@EVERY
def test_the_log_slope_at_the_edges_is_finite_and_exact(domain):
    """Far out the slopes fall like exp(-|real|), below what a float can hold; their logarithms are lines."""
    low, high = ends(domain)
    width, scale = high - low, domain.scale or 1.0
    rate = min(4 * scale / width, 1.0) if domain.scale and np.isfinite(width) else 1.0
    height = np.log(width * rate) if np.isfinite(width) else np.log(scale)
    reals = jnp.asarray(np.array([-1e4, -1e3, -200.0, 200.0, 1e3, 1e4]) / rate, jnp.result_type(float))
    found = np.asarray(domain.log_slope(reals), float)
    falls = np.where(reals < 0, np.isfinite(low), np.isfinite(high)) * rate
    expected = height - falls * np.abs(np.asarray(reals, float))
    np.testing.assert_allclose(found, expected, rtol=4 * EPS, atol=8 * EPS)


def test_a_domain_without_its_slope_is_abstract():
    class Half(gx.AbstractDomain):
        def contains(self, value):
            return value > 0

        def to_real(self, value):
            return jnp.log(value)

        def from_real(self, real):
            return jnp.exp(real)

    with pytest.raises(TypeError, match="log_slope"):
        Half()
