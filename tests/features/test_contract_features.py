"""What every feature promises. A new function joins by an entry in FEATURES of tests/families/features.py."""

import dataclasses
import functools
import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from families.features import CHANNELS, FAR_WINDOWS, FEATURES, PERIOD, SAMPLES, SIZES, signals

LABELS = ("A", "B", "C", "D")
ORDER = np.array([2, 0, 3, 1])
H = 1e-5
SINGLE = jnp.result_type(float) == jnp.float32
NO_GRADIENT = r"gradient|not differentiable"
every = pytest.mark.parametrize("name", FEATURES)
smooth = pytest.mark.parametrize("name", [name for name, case in FEATURES.items() if case.differentiable])
counted = pytest.mark.parametrize("name", [name for name, case in FEATURES.items() if not case.differentiable])


def recording(values) -> gx.Recording:
    values = jnp.asarray(values, jnp.result_type(float))
    return gx.Recording(
        values, jnp.array(1), PERIOD, PERIOD, 0.0, ("time", "region"), ("x",), LABELS[: values.shape[-1]]
    )


def made(name: str, x, **changed):
    """What the feature makes of a recording, or of an array, which is told how far its samples are apart."""
    case = FEATURES[name]
    function, arguments = getattr(gx.features, name.split(",")[0]), case.arguments | changed
    given = {} if isinstance(x, gx.Recording) or not case.timed else {"period": PERIOD}
    return function(case.of(x, **given), **arguments) if case.of else function(x, **arguments, **given)


def numbers(result):
    """As one array, whatever it comes in."""
    if isinstance(result, gx.features.Spectrum):
        return result.power
    if isinstance(result, gx.features.Connectivity | gx.Recording):
        return result.values
    if hasattr(result, "data_vars"):
        return np.stack([v.values for v in result.data_vars.values() if v.dims == ("region",)])
    if hasattr(result, "adj"):
        return np.array(
            [[result.edges[i, j]["weight"] if result.has_edge(i, j) else 0.0 for j in result] for i in result]
        )
    return result


def real(values):
    """Complex numbers as two."""
    values = jnp.asarray(values)
    return jnp.stack([values.real, values.imag], -1) if jnp.iscomplexobj(values) else values


DIRECTIONS = [np.random.default_rng(seed).normal(size=(SAMPLES, CHANNELS)) for seed in (20, 21)]


def broken() -> np.ndarray:
    """The first signals with a sample of channel C that is not known."""
    x = signals(1)
    x[5, 2] = np.nan
    return x


def weights(shape) -> np.ndarray:
    """What one number of a result is made with."""
    return np.random.default_rng(3).normal(size=shape)


@pytest.fixture(scope="module")
def plain():
    """Each feature of the first and the second signals, step by step as they are called from a notebook."""
    return functools.cache(lambda name, seed: made(name, recording(signals(seed))))


@pytest.fixture(scope="module")
def batch():
    """Each feature of several recordings at once under jit, and in double precision its slopes, in one program.

    Two runs, one that is broken, and the points around the first that differences are made of.
    """
    around = [signals(1) + h * direction for direction in DIRECTIONS for h in (H, -H, 2 * H, -2 * H)]
    given = [signals(1), signals(2), broken(), *around]
    runs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(recording, given))

    def of(name):
        def function(run, values):
            return real(numbers(made(name, dataclasses.replace(run, values=values))))

        def with_slopes(run):
            result, back = jax.vjp(functools.partial(function, run), run.values)
            return result, back(jnp.asarray(weights(result.shape), result.dtype))[0]

        alone = lambda run: (function(run, run.values), None)  # noqa: E731
        return jax.tree.map(np.asarray, jax.jit(jax.vmap(alone if SINGLE else with_slopes))(runs))

    return functools.cache(of)


@pytest.mark.once
def test_every_public_feature_is_here():
    public = {name for name in gx.features.__all__ if inspect.isfunction(getattr(gx.features, name))}
    assert public == {name.split(",")[0] for name in FEATURES}
    for name in public:
        text = getattr(gx.features, name).__doc__
        assert "Example:" in text and ">>>" in text, name


def check_names(result, case) -> None:
    """Axes of channels have the channels' names, those of pairs both, in every result that is not counted in NumPy."""
    if not isinstance(result, gx.LabelledArray):
        assert getattr(result, "labels", LABELS) == LABELS
        assert (
            not isinstance(result, jax.Array)
            or not {"channel", "pair"} & set(case.axes)
            or (case.pairs is None and case.of is not None)
        )
        return
    for axis, names in zip(case.axes[len(case.axes) - len(result.names) :], result.names, strict=True):
        if axis == "pair":
            above = [f"{a}, {b}" for i, a in enumerate(LABELS) for b in LABELS[i + 1 :]]
            off = [f"{a}, {b}" for a in LABELS for b in LABELS if a != b]
            assert names == tuple(off if case.pairs == "off" else above)
        else:
            assert names == {"channel": LABELS, "group": ("L", "R")}.get(axis)


@pytest.mark.once
@every
@pytest.mark.slow("float64")
def test_a_recording_and_an_array_give_the_same_numbers_of_the_shape_promised(name, plain):
    """Names of channels travel where the result has a place for them."""
    case, result = FEATURES[name], plain(name, 1)
    found = np.asarray(numbers(result))
    np.testing.assert_array_equal(np.asarray(numbers(made(name, signals(1)))), found)
    check_names(result, case)
    counts = {"off": CHANNELS * (CHANNELS - 1), "above": CHANNELS * (CHANNELS - 1) // 2, None: FAR_WINDOWS}
    sizes = SIZES | {"pair": counts[case.pairs]}
    assert found.shape == tuple(sizes[axis] for axis in case.axes)
    assert np.isfinite(found).all() and (found.size == 1 or np.ptp(np.abs(found)) > 0)
    assert not case.differentiable or found.real.dtype == jnp.result_type(float)


@pytest.mark.once
@pytest.mark.slow
@smooth
def test_jit_and_vmap_over_runs_change_nothing(name, plain, batch, rounding):
    found = batch(name)[0]
    for i in range(2):
        alone = np.asarray(real(numbers(plain(name, i + 1))))
        np.testing.assert_allclose(found[i], alone, rtol=0, atol=20 * rounding * np.abs(alone).max())
    assert (found[0] != found[1]).any()


@pytest.mark.once
@smooth
@pytest.mark.slow("float64")
def test_nan_never_passes_for_a_number(name, plain, batch, rounding):
    """Where values are known its channel is named; inside jit what depends on it is NaN, and all else is as it was."""
    with pytest.raises(ValueError, match="C is not finite"):
        made(name, recording(broken()))
    found, alone = batch(name)[0][2], np.asarray(real(numbers(plain(name, 1))))
    unknown = np.isnan(found)
    assert unknown.any()
    np.testing.assert_allclose(found[~unknown], alone[~unknown], rtol=0, atol=20 * rounding * np.abs(alone).max())


@pytest.mark.once
@smooth
def test_gradients_equal_finite_differences(name, batch):
    found, slopes = batch(name)
    seen = (found * weights(found.shape[1:])).reshape(len(found), -1).sum(1)
    for i, direction in enumerate(DIRECTIONS):
        at = seen[3 + 4 * i : 7 + 4 * i]
        numeric = (8 * (at[0] - at[1]) - (at[2] - at[3])) / (12 * H)
        slope = np.vdot(slopes[0], direction)
        assert abs(slope) > 1e-4
        np.testing.assert_allclose(slope, numeric, rtol=1e-5, atol=1e-8 * np.nanmax(np.abs(found)))


@pytest.mark.once
@counted
def test_what_counts_says_that_it_has_no_gradient(name):
    """Inside jit, vmap and grad alike."""
    x = jnp.asarray(signals(1))
    function, arguments = getattr(gx.features, name), FEATURES[name].arguments
    given = x if FEATURES[name].of is None else jnp.asarray(FEATURES[name].of(x))
    call = lambda x: function(x, **arguments)  # noqa: E731
    for traced in (jax.jit(call), jax.grad(call)):
        with pytest.raises(TypeError, match=NO_GRADIENT):
            traced(given)
    with pytest.raises(TypeError, match=NO_GRADIENT):
        jax.vmap(call)(given[None])


def permuted(values: np.ndarray, axes: tuple[str, ...], pairs: str | None) -> np.ndarray:
    """What is expected of channels in another order."""
    index = list(
        itertools.permutations(range(CHANNELS), 2) if pairs == "off" else itertools.combinations(range(CHANNELS), 2)
    )
    at = {pair if pairs == "off" else frozenset(pair): k for k, pair in enumerate(index)}
    moved = [tuple(ORDER[list(pair)]) for pair in index]
    places = [at[pair if pairs == "off" else frozenset(pair)] for pair in moved]
    for axis, of in enumerate(axes):
        if of == "channel":
            values = np.take(values, ORDER, axis)
        elif of == "pair" and pairs:
            values = np.take(values, places, axis)
    return values


@pytest.mark.once
@every
@pytest.mark.slow("float64")
def test_channels_in_another_order_give_the_result_in_that_order(name, plain, rounding):
    case, x = FEATURES[name], signals(1)
    one_each = {k: [v[i] for i in ORDER] for k, v in case.arguments.items() if k in ("groups", "communities")}
    before = np.asarray(numbers(plain(name, 1)))
    expected = permuted(before, case.axes, case.pairs)
    found = np.asarray(numbers(made(name, x[:, ORDER], **one_each)))
    scale = np.abs(before).max()
    if name == "graph_measures":  # communities are numbered as they are met
        found, expected = (np.delete(v, 5, 0) for v in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=50 * rounding * scale)


@pytest.mark.once
@every
def test_too_few_samples_and_wrong_axes_are_refused_with_a_sentence(name):
    x, case = signals(1), FEATURES[name]
    with pytest.raises(ValueError, match=r"at least (two|3) samples are needed, got 1: simulate longer"):
        made(name, x[:1])
    for wrong in (x[:, 0], np.stack([x, x], 1), x[0, 0]):
        with pytest.raises(ValueError, match=r"expected \(time, channel\), got shape \(.*\): choose one state"):
            made(name, wrong)
    assert case.of is None or case.refuses, "what it takes itself is refused too, where it is wrong"
    for wrong, said in case.refuses:
        with pytest.raises(ValueError, match=said):
            getattr(gx.features, name)(wrong, **case.arguments)


@pytest.mark.once
@pytest.mark.parametrize("name", [name for name, case in FEATURES.items() if case.timed and case.of is None])
def test_how_far_samples_of_an_array_are_apart_is_asked_for(name):
    with pytest.raises(ValueError, match=r"how far apart are the samples\? give period= in ms"):
        getattr(gx.features, name.split(",")[0])(signals(1), **FEATURES[name].arguments)
