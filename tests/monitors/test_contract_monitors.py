"""What every monitor and kernel promises. A new class joins by an entry in MONITORS or KERNELS of tests/families/monitors.py.

All monitors watch side by side in the same few runs, which compile once for all of them.
"""

import dataclasses
import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from families.monitors import DT, KERNELS, MONITORS, PERIOD, network

NET, KEY = network(), jax.random.key(3)
WATCHED = {name: case.monitor for name, case in MONITORS.items()}
DURATION, CUT = 4 * PERIOD, 90.0  # the cut lies within a period, and within a step of the hemodynamics
H = 1e-4
every = pytest.mark.parametrize("name", MONITORS)
CLASSES = WATCHED | KERNELS
every_class = pytest.mark.parametrize("name", CLASSES)


def parts(module):
    """A module and the modules within it, such as a kernel."""
    yield module
    for field in dataclasses.fields(module):
        if isinstance(value := getattr(module, field.name, None), eqx.Module):
            yield from parts(value)


def declared(module) -> list:
    """Name, value and domain of every parameter that is there."""
    return [
        (field.name, value, field.metadata["domain"])
        for part in parts(module)
        for field in dataclasses.fields(part)
        if "domain" in field.metadata and (value := getattr(part, field.name)) is not None
    ]


def watch(strength, size, duration=DURATION, start=None):
    """A run of a network of this strength, every parameter of the monitors so many times as large."""
    net = eqx.tree_at(lambda n: n.coupling["far"].strength, NET, jnp.asarray(strength, jnp.result_type(float)))
    grown = lambda x: x * size if eqx.is_inexact_array(x) else x  # noqa: E731
    monitors = jax.tree.map(grown, WATCHED)
    return gx.simulate(net, duration, DT, monitors=monitors, key=KEY, start=start)


@pytest.fixture(scope="module")
def strengths():
    """The network's, and another."""
    strength = float(NET.coupling["far"].strength)
    return strength, 1.5 * strength


@pytest.fixture(scope="module")
def runs(strengths):
    return [watch(strength, 1.0) for strength in strengths]


@pytest.fixture(scope="module")
def in_two(strengths):
    first = watch(strengths[0], 1.0, CUT)
    return first, watch(strengths[0], 1.0, DURATION - CUT, first.final)


@pytest.fixture(scope="module")
def at_once(strengths):
    """Values at both strengths, and at the points around the first that differences are made of, in one batch under jit."""
    around = H * np.array([1.0, -1.0, 2.0, -2.0])
    points = [(s, 1.0) for s in strengths]
    points += [(strengths[0] * (1 + h), 1.0) for h in around] + [(strengths[0], 1 + h) for h in around]
    values = lambda *point: {name: r.values for name, r in watch(*point).recordings.items()}  # noqa: E731
    return jax.jit(jax.vmap(values))(*jnp.asarray(points, jnp.result_type(float)).T)


def seen(values, name):
    """One number of all samples of a monitor."""
    weights = np.random.default_rng(sum(map(ord, name))).normal(size=values.shape)
    return jnp.vdot(jnp.asarray(weights, values.dtype), values)


def close(found, expected, rounding):
    """But for rounding, which passes through some steps of integration."""
    scale = np.abs(np.asarray(expected)).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=50 * rounding * scale)


@pytest.mark.once
def test_every_public_class_is_here():
    kinds = gx.AbstractMonitor, gx.monitors.Channels, gx.monitors.Window  # what monitors are made with
    public = {
        name
        for name in gx.monitors.__all__
        if inspect.isclass(what := getattr(gx.monitors, name)) and what not in kinds
    }
    assert public == set(CLASSES) - {"Chain"}
    for name, case in CLASSES.items():
        assert type(case).__name__ == name


@pytest.mark.once
@pytest.mark.slow
@every
def test_samples_have_the_axes_and_labels_that_are_promised(name, runs):
    monitor, axes = WATCHED[name], MONITORS[name].axes
    recording = runs[0][name]
    samples = round(DURATION / (monitor.period or DT))
    assert recording.values.shape == (samples, *map(len, axes.values()))
    assert recording.values.dtype == jnp.result_type(float)
    assert np.isfinite(recording.values).all() and np.ptp(recording.values) > 0
    assert monitor.dims == tuple(axes) and recording.dims == ("time", *axes)
    channels = monitor.channels(gx.monitors.Channels("region", NET.connectome.labels))
    assert channels.labels == recording.labels == axes[channels.dim]
    assert recording.source == axes.get("state", recording.source)
    step = monitor.period or DT
    ends = step * np.arange(1, samples + 1)
    np.testing.assert_allclose(recording.times, ends - MONITORS[name].stamp, rtol=1e-12)


@pytest.mark.once
@every
def test_a_recording_goes_to_xarray_with_named_axes(name, runs):
    axes = MONITORS[name].axes
    array = runs[0][name].to_xarray()
    assert array.dims == ("time", *axes) and array["time"].attrs["units"] == "ms"
    np.testing.assert_array_equal(array.values, runs[0][name].values)
    for axis, entries in axes.items():
        if isinstance(entries[0], str):
            assert tuple(array[axis].values) == entries
        else:
            np.testing.assert_allclose(array[axis].values, entries, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.once
@every
def test_a_run_cut_in_two_gives_the_samples_of_the_whole(name, runs, in_two, rounding):
    whole, (first, second) = runs[0][name], (run[name] for run in in_two)
    assert len(second.values) < len(whole.values)
    close(np.concatenate([first.values, second.values]), whole.values, rounding)
    np.testing.assert_allclose(np.concatenate([first.times, second.times]), whole.times, rtol=1e-12)


@pytest.mark.once
@every
@pytest.mark.slow("float64")
def test_jit_and_vmap_change_nothing(name, runs, at_once, rounding):
    one, other = (np.asarray(run[name].values) for run in runs)
    assert (one != other).any(), "it does not hear the network"
    close(at_once[name][0], one, rounding)
    close(at_once[name][1], other, rounding)


@pytest.fixture(scope="module")
def slopes(strengths):
    """Of a monitor's number: by the logarithms of the strength and of the monitors' own arrays. One program for all."""

    def summaries(log_strength, log_size):
        run = watch(strengths[0] * jnp.exp(log_strength), jnp.exp(log_size))
        return {name: seen(run[name].values, name) for name in MONITORS}

    back = jax.jit(lambda chosen: jax.vjp(summaries, 0.0, 0.0)[1](chosen))
    return lambda name: back({other: float(other == name) for other in MONITORS})


def differences(values, name, at):
    """Of fourth order, from the four points of the batch that begin there."""
    one, back, two, far_back = (float(seen(x, name)) for x in values[at : at + 4])
    return (8 * (one - back) - (two - far_back)) / (12 * H)


@pytest.mark.slow
@pytest.mark.once
@every
def test_gradients_equal_finite_differences(name, slopes, at_once):
    """With respect to a parameter of the network, and to all arrays of the monitor together."""
    by_strength, by_size = (float(x) for x in slopes(name))
    size = np.abs(np.asarray(at_once[name][0])).max()
    assert abs(by_strength) > 1e-6 * size
    np.testing.assert_allclose(by_strength, differences(at_once[name], name, 2), rtol=1e-6, atol=1e-9 * size)
    np.testing.assert_allclose(by_size, differences(at_once[name], name, 6), rtol=1e-6, atol=1e-9 * size)
    learns = any(eqx.is_inexact_array(x) for x in jax.tree.leaves(WATCHED[name]))
    assert (by_size != 0) == learns


@pytest.mark.once
@every
def test_a_period_that_is_no_multiple_of_dt_is_refused(name):
    if WATCHED[name].period is None:
        assert WATCHED[name].every_step  # it has no period to refuse
        return
    with pytest.raises(ValueError, match="period") as refused:
        gx.simulate(NET, duration=300.0, dt=3.0, monitors={"mine": WATCHED[name]}, key=KEY)
    assert "3 ms" in str(refused.value) or "dt = 3" in str(refused.value)


@pytest.mark.once
@every_class
def test_repr_tells_name_source_period_and_parameters(name):
    case = CLASSES[name]
    text = repr(case)
    for part in parts(case):
        if type(part).__name__ in gx.monitors.__all__:
            assert f"{type(part).__name__}(" in text
    assert getattr(case, "source", None) is None or f"source={case.source}" in text
    assert getattr(case, "period", None) is None or f"period={case.period}" in text
    for key, value, _ in declared(case):
        assert value.ndim or f"{key}={float(value):.4g}" in text
    shown = []
    jax.jit(lambda case: shown.append(repr(case)))(case)  # as in an error message of a loss
    assert shown[0].split("(")[0] == text.split("(")[0]


@every_class
def test_parameters_are_strong_floats_inside_their_domains(name):
    for x in jax.tree.leaves(CLASSES[name]):
        assert not x.weak_type and x.dtype in (jnp.result_type(float), jnp.int32)
    for key, value, domain in declared(CLASSES[name]):
        assert value.dtype == jnp.result_type(float) and domain.contains(value).all(), key


@pytest.mark.once
@every_class
def test_every_class_and_parameter_is_documented(name):
    for part in parts(CLASSES[name]):
        if type(part).__name__ in gx.monitors.__all__:
            assert "Example:" in (type(part).__doc__ or ""), type(part).__name__
            assert all(f.metadata["doc"] for f in dataclasses.fields(part) if "domain" in f.metadata)


TIMES = np.linspace(0.3, 12.0, 24)


def responses(kernel, seconds):
    """A kernel's values, and what is made of them."""
    values = kernel(seconds)
    if not hasattr(kernel, "signal"):
        return values
    return jnp.concatenate(jnp.broadcast_arrays(values, kernel.signal(values)))


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_is_a_differentiable_function_of_time(name, rounding):
    """One value a time; under jit, and with parameters that differ from region to region, the same; exact slopes."""
    kernel, times = KERNELS[name], jnp.asarray(TIMES)[:, None]
    plain = responses(kernel, times)
    assert kernel(times).shape == times.shape and np.isfinite(plain).all() and np.ptp(plain) > 0
    np.testing.assert_allclose(jax.jit(responses)(kernel, times), plain, rtol=rounding, atol=rounding)
    factors = 1 + 1e-5 * np.array([0.0, 1.0, -1.0, 2.0, -2.0])
    leaves, tree = jax.tree.flatten(kernel)
    exact = jax.jit(jax.jacfwd(responses))(kernel, times)
    for i, slope in enumerate(jax.tree.leaves(exact)):
        moved = jax.tree.unflatten(tree, [*leaves[:i], leaves[i] * factors, *leaves[i + 1 :]])
        at = responses(moved, times)
        assert at.shape == (len(plain), len(factors))
        np.testing.assert_allclose(at[:, 0], plain[:, 0], rtol=rounding, atol=rounding)
        numeric = (8 * (at[:, 1] - at[:, 2]) - (at[:, 3] - at[:, 4])) / 12e-5
        np.testing.assert_allclose(slope[:, 0] * leaves[i], numeric, rtol=1e-6, atol=1e-9)
