"""Labels stay with the values of regions, and are compared where two meet."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import gyrax as gx

pytestmark = pytest.mark.once

LABELS = ("A", "B", "C", "D")
ORDER = ("C", "A", "D", "B")
VALUES = np.random.default_rng(0).normal(size=(4, 4))


def matrix(labels=LABELS, values=VALUES) -> gx.LabelledArray:
    return gx.LabelledArray(values, [labels, labels])


def turned(values=VALUES) -> np.ndarray:
    index = [LABELS.index(label) for label in ORDER]
    return values[np.ix_(index, index)]


@pytest.mark.parametrize(
    "name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "lt", "le", "gt", "ge", "eq", "ne"]
)
def test_sums_and_comparisons_are_those_of_plain_arrays_and_keep_names(name):
    function, x = getattr(operator, name), matrix()
    for other in (2.0, VALUES.T + 3, jnp.asarray(VALUES.T), VALUES[0], np.float64(0.5)):
        for found, expected in (
            (function(x, other), function(VALUES, other)),
            (function(other, x), function(other, VALUES)),
        ):
            np.testing.assert_allclose(np.asarray(found), expected)
            if not isinstance(other, jax.Array):
                assert found.names == (LABELS, LABELS)
    np.testing.assert_allclose(np.asarray(function(x, matrix(LABELS, VALUES.T))), function(VALUES, VALUES.T))
    with pytest.raises(ValueError, match=r"number 0 is 'A' in the first, but 'C' in the second; x\.for_regions"):
        function(x, matrix(ORDER))
    with pytest.raises(ValueError, match="number 3 is 'D' in the first, but 'E' in the second; they are not"):
        function(x, pd.DataFrame(VALUES, list("ABCE"), list("ABCE")))


INDICES = [0, -1, slice(2), slice(None, None, -1), [3, 1], np.array([True, False, True, False]), np.ix_([2, 0], [1, 3])]
INDICES += [
    (0, slice(None)),
    (slice(None), [2]),
    (Ellipsis, 1),
    (slice(1), slice(1)),
    (slice(None), None),
    ([0, 1], [1, 0]),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_an_index_keeps_the_names_of_what_it_chooses(index):
    x, plain = matrix(), jnp.asarray(VALUES)
    found = x[index]
    expected = (
        plain[tuple(np.asarray(i) if isinstance(i, list) else i for i in index)]
        if isinstance(index, tuple)
        else plain[np.asarray(index) if isinstance(index, list) else index]
    )
    np.testing.assert_array_equal(np.asarray(found), expected)
    rows = np.broadcast_to(np.array(LABELS)[:, None], (4, 4))
    for along, source in enumerate((rows, rows.T)):
        chosen = source[index]
        for axis in range(np.ndim(chosen)):
            line = np.moveaxis(chosen, axis, 0).reshape(chosen.shape[axis], -1)
            if chosen.ndim > 1 and (line == line[:, :1]).all() and len(set(line[:, 0])) > 1:
                assert found.names[axis] == tuple(line[:, 0]), (along, axis)


def test_what_numpy_jax_and_their_transformations_make_of_it():
    x = matrix()
    for function in (
        jnp.sum,
        jnp.tanh,
        jnp.linalg.inv,
        np.asarray,
        jnp.asarray,
        lambda v: jnp.stack([v, v]),
        lambda v: v @ v.T,
    ):
        np.testing.assert_allclose(function(x), function(VALUES), rtol=1e-9)
    assert jax.jit(lambda v: v * 2)(x).names == x.names
    assert jax.vmap(lambda s: x * s)(jnp.arange(3.0)).labels == LABELS
    slope = jax.grad(lambda v: jnp.sum(v.values**2))(x)
    np.testing.assert_allclose(slope.values, 2 * VALUES)
    np.testing.assert_allclose(np.asarray(matrix().to_pandas()), VALUES)
    assert list(x.to_xarray().coords["region"].values) == list(LABELS) and repr(jax.eval_shape(lambda: x))
    assert x.T.names == (LABELS, LABELS) and x.mean() == pytest.approx(VALUES.mean())


@given(st.permutations(range(4)))
def test_regions_in_another_order_are_the_same_regions(order):
    labels = [LABELS[i] for i in order]
    x = matrix().for_regions(labels)
    np.testing.assert_array_equal(np.asarray(x), VALUES[np.ix_(order, order)])
    np.testing.assert_array_equal(np.asarray(x.for_regions(LABELS)), VALUES)
    assert x.labels == tuple(labels)


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        (["A", "Z"], "there is no region 'Z' here"),
        (["A", "A"], "'A' is asked for twice"),
        (["V", "W", "A"], r"'V' \(and 1 more\)"),
    ],
)
def test_regions_that_are_not_there(regions, said):
    with pytest.raises(ValueError, match=said):
        matrix().for_regions(regions)
    with pytest.raises(TypeError, match="takes a list of labels"):
        matrix().for_regions("A")


def test_names_fit_the_array():
    for names, said in [
        ([LABELS] * 3, "names for 3 axes"),
        ([LABELS[:3]], "3 names along an axis of 4"),
        ([list("AABC")], "'A' stands twice"),
    ]:
        with pytest.raises(ValueError, match=said):
            gx.LabelledArray(VALUES, names)
    for names, said in [
        ("ABCD", "is a list of names"),
        (["ABCD"], "is a list of names"),
        ([[1, 2, 3, 4]], "names are text, got 1"),
    ]:
        with pytest.raises(TypeError, match=said):
            gx.LabelledArray(VALUES, names if isinstance(names, list) else [names])


def test_a_target_in_another_order_is_refused_and_put_in_order():
    """What a user did: the published FC in the order of another atlas file; the fit went on with it."""
    data = gx.datasets.load("dk84")
    order = data.connectome.labels[::-1]
    series = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 84)), columns=data.connectome.labels)
    found, other = gx.features.fc(series), data.fc.for_regions(order)
    for loss in (gx.losses.fc_rmse, gx.losses.fc_correlation, gx.losses.fc_distance, gx.losses.rmse):
        with pytest.raises(ValueError, match="labels disagree"):
            loss(found, other)
        assert (
            loss(found, other.for_regions(found.labels))
            == loss(found, data.fc)
            == loss(np.asarray(found), np.asarray(data.fc))
        )


@pytest.mark.parametrize("given", [pd.DataFrame, xr.DataArray, "turned"])
def test_tables_of_series_keep_their_columns(given):
    values = np.random.default_rng(2).normal(size=(30, 4))
    coords = {"time": np.arange(30.0), "region": list(LABELS)}
    x = (
        pd.DataFrame(values, columns=LABELS)
        if given is pd.DataFrame
        else xr.DataArray(values, coords, ("time", "region"))
    )
    x = x.transpose("region", "time") if given == "turned" else x
    np.testing.assert_allclose(np.asarray(gx.features.fc(x)), np.corrcoef(values.T), rtol=1e-9)
    assert (
        gx.features.fc(x).labels == gx.features.covariance(x).labels == gx.features.autocorrelation(x).labels == LABELS
    )


def test_a_recording_in_another_order():
    values = np.random.default_rng(3).normal(size=(20, 4))
    x = gx.Recording(jnp.asarray(values), jnp.asarray(1), 1.0, 1.0, 0.0, ("time", "region"), ("x",), LABELS)
    np.testing.assert_array_equal(x.for_regions(ORDER).values, values[:, [LABELS.index(r) for r in ORDER]])
    np.testing.assert_allclose(gx.features.fc(x.for_regions(ORDER)), turned(np.asarray(gx.features.fc(x))), rtol=1e-12)
    assert x.for_regions(["B"]).labels == ("B",) and gx.features.fc(x).labels == LABELS
    with pytest.raises(ValueError, match="there is no region 'E'"):
        x.for_regions(["E"])


@pytest.mark.parametrize("value", [0.37, 0.11, 0.054, 1e-7, -3e5])
@pytest.mark.slow("float64")
def test_a_channel_that_never_changes_has_no_correlations_inside_jit(value):
    """Less their mean, equal values leave rounding, which was scaled up to correlations of 1 and slopes of 1e14."""
    x = jnp.asarray(np.random.default_rng(4).normal(size=(50, 3))).at[:, 1].set(value)
    f = gx.features
    bad = np.zeros((3, 3), bool)
    bad[1], bad[:, 1] = True, True
    made = {
        "fc": jax.jit(f.fc)(x),
        "windowed": jax.jit(lambda x: f.windowed_fc(x, 20.0, 30.0, period=1.0)[0])(x),
        "lagged": jax.jit(lambda x: f.lagged_correlation(x, 2.0, period=1.0))(x),
    }
    for name, found in made.items():
        np.testing.assert_array_equal(np.isnan(np.asarray(found)), bad, err_msg=name)
    one = {
        "autocorrelation": jax.jit(lambda x: f.autocorrelation(x, 3)[2])(x),
        "edges": jax.jit(lambda x: f.edge_series(x)[0, [0, 2, 1]])(x)[:2],
        "peak": jax.jit(lambda x: f.peak_frequency(f.psd(x, segment=10.0, period=1.0)))(x),
        "relative": jax.jit(lambda x: f.band_power(f.psd(x, segment=10.0, period=1.0), 100, 300, relative=True))(x),
    }
    for name, found in one.items():
        np.testing.assert_array_equal(
            np.isnan(np.asarray(found)),
            [False, True, False][: len(found)] if name != "edges" else [True, True],
            err_msg=name,
        )
    assert not np.asarray(jax.jit(f.covariance)(x))[1].any()
    assert not np.isfinite(jax.jit(jax.grad(lambda x: f.fc(x)[0, 1]))(x)).all()


@pytest.mark.slow("float64")
def test_regions_without_data_are_left_out_by_where():
    found, target = np.corrcoef(np.random.default_rng(5).normal(size=(4, 50))), VALUES + VALUES.T
    target = np.tanh(target)
    missing = target.copy()
    missing[2], missing[:, 2] = np.nan, np.nan
    there = np.array([True, True, False, True])
    losses = gx.losses
    for loss in (losses.fc_rmse, losses.fc_correlation, losses.fc_distance):
        with pytest.raises(
            ValueError, match=r"entry \[0, 2\] \(A, C\) of the second is nan, as are 5 more: leave it out by where="
        ):
            loss(found, matrix(values=missing))
        with pytest.raises(ValueError, match=r"entry \[0, 2\] of the second is nan"):
            jax.jit(lambda found, loss=loss: loss(found, missing))(found)
        expected = loss(found[np.ix_(there, there)], target[np.ix_(there, there)])
        for where in (there, np.isfinite(missing), pd.Series(there, list(LABELS)), matrix(values=np.isfinite(missing))):
            np.testing.assert_allclose(loss(found, matrix(values=missing), where=where), expected, rtol=1e-9)
        slope = jax.grad(lambda found, loss=loss: loss(found, missing, where=there))(jnp.asarray(found))
        assert np.isfinite(slope).all() and not slope[2].any() and not slope[:, 2].any() and slope[0, 1]
        with pytest.raises(ValueError, match="labels disagree: number 0 is 'C' in where=, but 'A' in the second"):
            loss(found, matrix(values=missing), where=pd.Series(there, list(ORDER)))
        with pytest.raises(TypeError, match="where= has True for the entries that count, got int64"):
            loss(found, target, where=there.astype(int))
        with pytest.raises(ValueError, match="leaves no entry"):
            loss(found, target, where=np.eye(4, dtype=bool) & False)
    np.testing.assert_allclose(
        losses.rmse(found, missing, where=np.isfinite(missing)) ** 2, np.nanmean((found - missing) ** 2)
    )


def test_a_fit_to_a_target_with_nan_does_not_begin():
    """What a user did: `loss nan -> inf ... take a smaller learning rate`, after all steps."""
    target = VALUES.copy()
    target[2, 3] = np.nan
    model = gx.models.Linear(gamma=-0.5)
    loss = lambda m, key: gx.losses.fc_rmse(jnp.asarray(VALUES) * m.gamma, matrix(values=target))  # noqa: E731
    with pytest.raises(ValueError, match=r"entry \[2, 3\] \(C, D\) of the second is nan"):
        gx.fit(model, loss, gx.select(model, "gamma"), optax.adam(0.1), steps=3, progress=False)


def test_labels_reach_sweeps_and_evaluations():
    model, values = gx.models.Linear(gamma=-0.5), matrix()
    found = gx.sweep(model, lambda m, key: {"fc": values * m.gamma, "loss": m.gamma}, {"gamma": [-1.0, -2.0]})
    assert found["fc"].sel(fc_0="B", fc_1="C", gamma=-2.0).item() == pytest.approx(-2 * VALUES[1, 2])
    assert float(gx.best(found, model, by="loss")[0].gamma) == -2.0
    several = gx.evaluate(model, lambda m, key: values * m.gamma, jax.random.split(jax.random.key(0), 3))
    assert several["value"].labels == several.mean["value"].labels == several.sd["value"].labels == LABELS
    assert several.to_xarray()["value"].sel(seed=1, value_0="A", value_1="B").item() == pytest.approx(
        -0.5 * VALUES[0, 1]
    )


@pytest.mark.parametrize("given", [pd.Series, xr.DataArray, gx.LabelledArray])
def test_a_parameter_with_names_is_not_taken_in_whatever_order_it_is(given):
    values = [0.3, 0.2, 0.1, 0.4]
    w = {
        pd.Series: pd.Series(values, list(ORDER)),
        xr.DataArray: xr.DataArray(values, {"region": list(ORDER)}, ("region",)),
        gx.LabelledArray: gx.LabelledArray(values, [ORDER]),
    }[given]
    with pytest.raises(
        TypeError, match=r"a parameter has no names, and these values have: C, A, D, \.\.\.\. Put them in the order"
    ):
        gx.models.WongWang(w=w)
    np.testing.assert_allclose(gx.models.WongWang(w=pd.Series(values)).w, values)
