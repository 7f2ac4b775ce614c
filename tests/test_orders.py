"""Whatever has the names of regions, given anywhere: kept, compared, or refused, and never taken in another order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
import xarray as xr

import gyrax as gx

pytestmark = pytest.mark.once
LABELS, OTHER = list("ABCDE"), list("ECADB")
RNG = np.random.default_rng(0)
WEIGHTS, LENGTHS = (np.triu(RNG.uniform(low, high, (5, 5)), 1) for low, high in ((0.1, 1), (20, 150)))
WEIGHTS, LENGTHS = WEIGHTS + WEIGHTS.T, LENGTHS + LENGTHS.T
ROW = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
CONNECTOME = gx.Connectome(WEIGHTS, LENGTHS, labels=LABELS)


def network(connectome=CONNECTOME):
    return gx.Network(gx.models.WongWang(w=0.3), gx.couplings.Linear(source="S", strength=0.3), connectome)


NETWORK = network()
RUN = gx.simulate(NETWORK, 5.0, 1.0, start=ROW[None])
MATRIX = gx.LabelledArray(WEIGHTS, (LABELS, LABELS))


def tables(values, names):
    """The same with names along every axis, in every form that has some."""
    yield gx.LabelledArray(values, (names,) * values.ndim)
    dims = ["region", "other"][: values.ndim]
    yield xr.DataArray(values, dims=dims, coords=dict.fromkeys(dims, names))
    yield pd.Series(values, names) if values.ndim == 1 else pd.DataFrame(values, names, names)


def start(value):
    return gx.simulate(NETWORK, 1.0, 1.0, start=value)


def gain(**names):
    return gx.LeadField(pd.DataFrame(ROW[None], ["P"], LABELS), **names)


def spectrum(values, **labels):
    return gx.features.Spectrum(np.arange(3.0), values, **labels)


def series(labels=None):
    return gx.io.from_nilearn(pd.DataFrame(RNG.normal(size=(30, 5)), columns=LABELS), tr=2.0, labels=labels)


SWAPPED = gx.LabelledArray(np.tile(ROW, (3, 1)), (OTHER,))
PLACES = {
    "labels": lambda: gx.Connectome(gx.LabelledArray(WEIGHTS, (OTHER, OTHER)), labels=LABELS),
    "lengths": lambda: gx.Connectome(MATRIX, gx.LabelledArray(LENGTHS, (LABELS, LABELS)).for_regions(OTHER)),
    "centres": lambda: gx.Connectome(MATRIX, centres=gx.LabelledArray(np.zeros((5, 3)), (OTHER, None))),
    "rows and columns": lambda: gx.Connectome(gx.LabelledArray(WEIGHTS, (LABELS, OTHER))),
    "numbered": lambda: gx.Connectome(pd.DataFrame(WEIGHTS)[[4, 3, 2, 1, 0]]),
    "gain, regions": lambda: gain(regions=OTHER),
    "gain, sensors": lambda: gain(sensors=["Q"]),
    "positions": lambda: gain(positions=pd.DataFrame(np.zeros((1, 3)), ["Q"])),
    "orientation": lambda: gx.LeadField(
        np.ones((1, 5, 3)), regions=LABELS, orientation=pd.DataFrame(np.ones((5, 3)), OTHER)
    ),
    "a state": lambda: start(gx.LabelledArray(ROW[None], (OTHER,))),
    "a table of states": lambda: start(pd.DataFrame(ROW[None], ["S"], OTHER)),
    "a recording": lambda: start(RUN["raw"].for_regions(OTHER)),
    "a history of a recording": lambda: start(gx.History.of(RUN["raw"].for_regions(OTHER), ("S",))),
    "a history": lambda: start(gx.History(SWAPPED[:, None], 1.0)),
    "a history with labels": lambda: start(gx.History(np.ones((3, 1, 5)), 1.0, OTHER)),
    "a run that ended": lambda: gx.simulate(network(CONNECTOME.subset(OTHER)), 1.0, 1.0, start=RUN.final),
    "a spectrum": lambda: spectrum(SWAPPED, labels=tuple(LABELS)),
    "spectra": lambda: gx.losses.psd_rmse(spectrum(SWAPPED), spectrum(SWAPPED.for_regions(LABELS))),
    "a plot": lambda: gx.plot.fc_fit(MATRIX, MATRIX.for_regions(OTHER)),
    "a series": lambda: series(OTHER),
    "a product": lambda: MATRIX @ gx.LabelledArray(ROW, (OTHER,)),
    "a product with a table": lambda: MATRIX @ pd.Series(ROW, OTHER),
    "NumPy's sum": lambda: np.add(MATRIX, MATRIX.for_regions(OTHER)),
    "NumPy's product": lambda: np.matmul(MATRIX, MATRIX.for_regions(OTHER)),
    "a mask as an index": lambda: gx.LabelledArray(ROW, (LABELS,))[gx.LabelledArray(ROW > 0.2, (OTHER,))],
    "new names": lambda: gx.LabelledArray(pd.Series(ROW, LABELS), (OTHER,)),
    "numbers as names": lambda: gx.losses.fc_rmse(
        pd.DataFrame(WEIGHTS, [3, 1, 4, 7, 5], [3, 1, 4, 7, 5]), pd.DataFrame(WEIGHTS, [5, 7, 4, 1, 3], [5, 7, 4, 1, 3])
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_another_order_is_refused(place):
    with pytest.raises(ValueError, match=r"labels disagree"):
        PLACES[place]()


FREED = gx.per_region(NETWORK, "model.w")
NAMELESS = {
    "a mask": (ROW > 0.2, lambda x: gx.Free("model.w", mask=x)),
    "a mask of weights": (WEIGHTS > 0.5, lambda x: gx.Free("connectome.weights", mask=x)),
    "groups of models": (
        ROW > 0.2,
        lambda x: gx.Groups({"a": (gx.models.Hopf(), x), "b": (gx.models.WongWang(), ...)}),
    ),
    "groups of regions": (ROW > 0.2, lambda x: gx.monitors.SpatialAverage(x, period=1.0)),
    "a covariance": (np.diag(ROW), gx.noise.factor),
    "a sweep": (ROW, lambda x: gx.sweep(NETWORK, lambda net, key: net.model.w, {"model.w": x})),
    "weights of a coupling": (WEIGHTS, lambda x: gx.couplings.Linear(source="S", weights=x)),
}


@pytest.mark.parametrize("place", NAMELESS)
@pytest.mark.parametrize("form", range(3))
def test_what_knows_no_names_takes_none(place, form):
    values, call = NAMELESS[place]
    with pytest.raises(TypeError, match=r"has no names, and these values have: E, C, A, .*order of the connectome"):
        call([*tables(values, OTHER)][form])


@pytest.mark.parametrize("form", range(3))
def test_names_stay_where_they_are_right(form):
    given = [*tables(WEIGHTS, OTHER)][form]
    assert gx.Connectome(given).labels == tuple(OTHER)
    both = gx.Connectome(given, [*tables(LENGTHS, OTHER)][form])
    np.testing.assert_allclose(both.lengths, LENGTHS, rtol=1e-6)
    assert network(given).labels == tuple(OTHER)
    row = [*tables(ROW, LABELS)][form]
    state = gx.LabelledArray(row, (LABELS,))[None]
    np.testing.assert_array_equal(start(state)["raw"].values, start(ROW[None])["raw"].values)
    assert gain().regions == tuple(LABELS) and gain().sensors == ("P",)
    assert series().labels == tuple(LABELS) and spectrum(SWAPPED).labels == tuple(OTHER)


def test_the_line_that_mends_a_table_mends_it():
    table = pd.DataFrame(WEIGHTS, LABELS, LABELS).loc[OTHER, OTHER]
    with pytest.raises(TypeError, match=r"values\.loc\[order, order\]\.to_numpy\(\) with order = list\(connectome"):
        gx.couplings.Linear(source="S", weights=table)
    order = list(CONNECTOME.labels)
    np.testing.assert_array_equal(table.loc[order, order].to_numpy(), WEIGHTS)


def test_a_run_goes_on_among_its_own_regions():
    assert RUN.final.labels == tuple(LABELS)
    gx.simulate(NETWORK, 1.0, 1.0, start=RUN.final)
    gx.simulate(NETWORK, 1.0, 1.0, start=dataclasses.replace(RUN.final, labels=()))  # of no known ones


def test_arithmetic_of_arrays_with_names():
    row = gx.LabelledArray(jnp.asarray(ROW), (LABELS,))
    for found in (np.exp(row), np.ones(5) + row, np.maximum(row, 0.2), MATRIX @ row, row @ MATRIX):
        assert found.labels == tuple(LABELS)
    assert (MATRIX @ MATRIX).names == (tuple(LABELS),) * 2
    np.testing.assert_allclose(MATRIX @ row, WEIGHTS @ ROW, rtol=1e-6)
    np.testing.assert_allclose(np.add.reduce(row), ROW.sum(), rtol=1e-6)
    assert jax.jit(lambda x: np.ones(5) + x)(row).labels == tuple(LABELS)
    for method in ("sort", "fill", "put", "resize"):
        with pytest.raises(AttributeError):
            getattr(gx.LabelledArray(ROW, (LABELS,)), method)


MASKED = {
    "a loss": lambda x: gx.losses.rmse(x, np.zeros((30, 3))),
    "a feature": gx.features.fc,
    "a parameter": lambda x: gx.models.WongWang(w=x[0]),
    "names": lambda x: gx.LabelledArray(x, [None, [*"ABC"]]),
    "a state": lambda x: gx.simulate(NETWORK, 1.0, 1.0, start=x),
    "a pattern": lambda x: gx.stimuli.Stimulus(1.0, x[0]),
    "a recording": lambda x: gx.io.from_nilearn(x, tr=2.0),
    "a gain": gx.LeadField,
}


@pytest.mark.parametrize("place", MASKED)
def test_a_mask_of_numpy_is_never_dropped(place):
    values = np.ma.masked_array(RNG.normal(size=(30, 3)), mask=np.eye(30, 3, dtype=bool))
    with pytest.raises(ValueError, match=r"\d+ of \d+ entries are masked: leave them out"):
        MASKED[place](values)


def test_whole_numbers_of_64_bits_are_compared_as_they_are():
    far = np.array([3_000_000_000, 3_000_000_000])
    np.testing.assert_allclose(gx.losses.rmse(far, np.zeros(2)), 3e9, rtol=1e-6)


def test_seeds_that_repeat_each_other_are_refused():
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=r"a seed is a whole number from 0 to 4294967295"):
            gx.simulate(NETWORK, 1.0, 1.0, key=seed)


def bowl(m, key):
    return (m.gamma + 3.0) ** 2 + 0.01 * jax.random.normal(key)


def fitted(loss, **kwargs):
    model = gx.models.Linear(gamma=-0.5)
    given = {"steps": 20, "key": 0, "progress": False, "validation": None} | kwargs
    return gx.fit(model, loss, gx.select(model, "gamma"), optax.adam(0.1), **given)


def test_a_short_fit_tells_its_beginning_from_its_end():
    found = fitted(bowl)
    first, last = found.history["loss"][:10].mean(), found.history["loss"][10:].mean()
    assert f"loss {first:.4g} ± " in repr(found) and f" -> {last:.4g} ± " in repr(found)


@pytest.mark.filterwarnings("ignore:nothing was learnt")
def test_noise_alone_is_seldom_learnt():
    """Of losses that no parameter can lower, as many as chance allows, and a little more for the best of several looks."""
    learnt = sum(
        fitted(lambda m, key: m.gamma * jax.random.normal(key) + 1, key=seed, validation="auto", steps=25).learnt
        for seed in range(20)
    )
    assert learnt <= 4


def test_one_key_does_not_know_its_error():
    found = fitted(bowl, validation=gx.Validation(1))
    assert np.isnan(found.gain.scatter) and found.learnt


def test_after_a_change_the_start_is_that_of_the_new_loss(tmp_path):
    fitted(bowl, steps=10, validation="auto", checkpoint=tmp_path / "fit.npz")

    def steeper(m, key):
        return 100 * bowl(m, key)

    found = fitted(steeper, validation="auto", changed="accept", checkpoint=tmp_path / "fit.npz")
    judged = found.history["validation"]
    first = judged[np.isfinite(judged)][0]
    assert np.isnan(judged[:10]).all() and first > 50 and f"validation loss {first:.4g} -> " in repr(found)
    assert first - found.best_loss == pytest.approx(found.gain.mean, rel=1e-3)


def test_what_cannot_be_told_is_not_told():
    rng = np.random.default_rng(3)
    found = [gx.ceiling(0.2 * t + rng.normal(size=(3, 28)), t) for t in rng.normal(size=(20, 28))]
    assert all(x.limit == "not told" for x in found if x.without_noise > 1.4 or not x.reliability > 0)
    assert any(x.limit == "not told" for x in found) and all(
        "limited by: not told: take more" in repr(x) for x in found if not x.told
    )


OF_A_STILL_CHANNEL = {
    "envelope_correlation": lambda x: gx.features.envelope_correlation(x)[1],
    "leakage": lambda x: gx.features.envelope_correlation(x, leakage=True)[1],
    "coherence": lambda x: gx.features.coherence(x, period=4.0, segment=128.0).values[1, 1],
    "imaginary_coherence": lambda x: gx.features.imaginary_coherence(x, period=4.0, segment=128.0).values[1, 1],
    "wpli": lambda x: gx.features.wpli(x, period=4.0, segment=128.0).values[1, 1],
    "plv": lambda x: gx.features.plv(x)[1],
    "phase_fcd": lambda x: gx.features.phase_fcd(x)[1],
    "kuramoto_order": gx.features.kuramoto_order,
    "metastability": lambda x: gx.features.metastability(x)[None],
    "fc": lambda x: gx.features.fc(x)[1],
}


@pytest.mark.parametrize("name", OF_A_STILL_CHANNEL)
def test_a_channel_that_never_changes_is_nan_in_jit_and_refused_outside(name):
    feature = OF_A_STILL_CHANNEL[name]
    x = RNG.normal(size=(256, 4))
    assert np.isfinite(jax.jit(feature)(jnp.asarray(x))).all()
    x[:, 1] = 0.37
    assert np.isnan(np.asarray(jax.jit(feature)(jnp.asarray(x)))).all()
    with pytest.raises(ValueError, match="channel 1 never changes"):
        feature(x)


def test_numbers_that_float32_cannot_hold_are_not_loaded_as_infinite(tmp_path):
    gx.io.save(tmp_path / "far.npz", {"a": np.array([1e300])})
    assert gx.io.load(tmp_path / "far.npz")["a"][0] == 1e300  # NumPy's stay as they are
    if jnp.result_type(float) == jnp.float64:
        gx.io.save(tmp_path / "far.npz", {"a": jnp.array([1e300])})
        single = jax.enable_x64(False) if hasattr(jax, "enable_x64") else jax.experimental.disable_x64()
        with single, pytest.raises(ValueError, match="has numbers that float32 cannot hold"):
            gx.io.load(tmp_path / "far.npz")


@pytest.mark.parametrize("first", ["1\t2\t3", "0\t1\t2"])
def test_a_header_of_numbers_is_no_sample(first, tmp_path):
    file = tmp_path / "series.tsv"
    file.write_text(f"{first}\n0.1\t0.2\t0.5\n0.3\t0.1\t0.2\n0.2\t0.2\t0.1\n")
    with pytest.raises(
        ValueError, match=r"its first line counts the columns, [01] to [23], and would be a sample.*skip=1"
    ):
        gx.io.read_series(file, 720.0)
    assert gx.io.read_series(file, 720.0, skip=1).values.shape == (3, 3)


@pytest.mark.parametrize("name", ["Time_ms", "time [ms]", "Time (s)", "timestamp", "volume"])
def test_columns_that_look_like_times_are_no_channels(name, tmp_path):
    (tmp_path / "series.csv").write_text(f"{name},A,B\n0,0.5,0.1\n1,0.2,0.3\n2,0.4,0.2\n")
    with pytest.raises(ValueError, match=r"is the column .* times\?"):
        gx.io.read_series(tmp_path / "series.csv", 720.0)


def test_what_cannot_be_is_refused_where_it_is_given(tmp_path):
    with pytest.raises(ValueError, match=r"start\[0, 1\] is nan: a run starts from finite states"):
        start(np.array([[0.1, np.nan, 0.3, 0.4, 0.5]]))
    with pytest.raises(ValueError, match="no node is in group 1: count them without gaps"):
        gx.monitors.SpatialAverage([0, 2_000_000_000], period=1.0)
    assert gx.monitors.SpatialAverage(np.array([0, 1, 1], np.uint8), period=1.0).labels == ("group_0", "group_1")
    with pytest.raises(TypeError, match=r"an instance such as Gamma\(\)"):
        gx.monitors.HRFBold(gx.monitors.Gamma, source="S", period=720.0)
    with pytest.raises(IsADirectoryError, match=r"checkpoint= is a file, and .* a folder: write checkpoint="):
        fitted(bowl, checkpoint=tmp_path)
    outer = gx.models.Linear(gamma=-0.5)
    with pytest.raises(ValueError, match="does not depend on the model that it is given"):
        fitted(lambda m, key: bowl(outer, key))
    with pytest.raises(TypeError, match=r"loss= is called with a model and a key .*: write loss=lambda model, key"):
        fitted(lambda m: m.gamma)
    with pytest.raises(jax.errors.ConcretizationTypeError) as told:
        fitted(lambda m, key: float(m.gamma))
    assert any("takes jax.numpy's functions" in note for note in told.value.__notes__)
