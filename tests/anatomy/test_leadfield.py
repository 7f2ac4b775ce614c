"""Lead fields against plain products, their noise against the covariance asked for, and gains that are not to be had."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gyrax as gx
from gyrax.monitors import EEG, MEG, SEEG, Raw, TemporalAverage
from toys import LABELS, clock, drive

SINGLE = jnp.result_type(float) == jnp.float32
NET = clock()
GAIN = np.array([[1.0, -0.5, 0.2], [0.3, 0.8, -1.0], [0.0, 0.1, 2.0], [1.5, 0.4, 0.6]])
SENSORS = ["Fz", "Cz", "Pz", "Oz"]


def averages(steps, period, dt):
    """Trapezoidal means of the drive."""
    path = drive(dt * np.arange(steps + 1))
    return ((path[1:] + path[:-1]) / 2).reshape(-1, period, 3).mean(1)


@pytest.mark.parametrize("kind", [MEG, SEEG, EEG])
def test_sensors_see_the_gain_times_the_averaged_activity(kind, rounding):
    field = gx.LeadField(GAIN, SENSORS, LABELS)
    arguments = dict(reference=None) if kind is EEG else {}
    run = gx.simulate(NET, 400.0, 4.0, monitors=kind(field, source="drive", period=20.0, **arguments))
    seen = run["monitor"]
    np.testing.assert_allclose(seen.values, averages(100, 5, 4.0) @ GAIN.T, rtol=0, atol=2 * rounding)
    np.testing.assert_allclose(seen.times, 20.0 * np.arange(1, 21) - 10.0)
    assert seen.to_xarray().dims == ("time", "sensor") and list(seen.to_xarray()["sensor"].values) == SENSORS


@pytest.mark.parametrize("reference", ["average", "Pz"])
def test_eeg_has_a_reference(reference, rounding):
    field = gx.LeadField(GAIN, SENSORS)
    run = gx.simulate(NET, 40.0, 4.0, monitors=EEG(field, source="drive", period=8.0, reference=reference))
    plain = averages(10, 2, 4.0) @ GAIN.T
    minus = plain.mean(1) if reference == "average" else plain[:, 2]
    np.testing.assert_allclose(run["monitor"].values, plain - minus[:, None], rtol=0, atol=4 * rounding)


COVARIANCE = np.array([[1.0, 0.9], [0.9, 2.0]])


@pytest.mark.slow
@pytest.mark.parametrize("covariance", [COVARIANCE, np.diag(COVARIANCE), 2.0], ids=["matrix", "variances", "one"])
def test_noise_has_the_covariance_asked_for(covariance, key):
    """[[1, .9], [.9, 2]] comes out so; with a transposed factor it would be [[1.81, 0.8], ...]."""
    field = gx.LeadField(np.zeros((2, 3)), ["A", "B"])
    monitors = {"meg": MEG(field, source="drive", period=1.0, covariance=covariance)}
    found = np.asarray(gx.simulate(NET, 40_000.0, 0.5, monitors=monitors, key=key)["meg"].values, float)
    expected = covariance if np.ndim(covariance) == 2 else np.diag(np.broadcast_to(covariance, 2))
    # standard errors of the entries from 40 000 samples: sqrt((c_ii c_jj + c_ij^2) / n), at most 0.0141
    np.testing.assert_allclose(np.cov(found.T), expected, rtol=0, atol=0.05)
    np.testing.assert_allclose(found.mean(0), 0, atol=0.03)
    lagged = np.mean(found[1:] * found[:-1], 0)
    np.testing.assert_allclose(lagged, 0, atol=0.05)


@pytest.mark.slow
@pytest.mark.once
def test_noise_does_not_depend_on_the_cut_of_a_run_and_on_company(key, rounding):
    field = gx.LeadField(GAIN, SENSORS)
    meg = MEG(field, source="drive", period=6.0, covariance=0.1)
    monitors = {
        "meg": meg,
        "before": meg.then(TemporalAverage(period=12.0)),
        "after": TemporalAverage(source="drive", period=4.0).then(MEG(field, period=8.0, covariance=0.1)),
    }
    whole = gx.simulate(NET, 48.0, 2.0, monitors=monitors, key=key)
    one = gx.simulate(NET, 22.0, 2.0, monitors=monitors | {"raw": Raw()}, key=key)
    two = gx.simulate(NET, 26.0, 2.0, monitors=monitors, start=one.final)
    for name in monitors:
        parts = np.concatenate([one[name].values, two[name].values])
        np.testing.assert_allclose(parts, whole[name].values, rtol=rounding, atol=rounding)
    assert np.std(np.diff(whole["meg"].values[:, 0])) > 0.1
    again = gx.simulate(NET, 48.0, 2.0, monitors={"meg": meg, "other": meg}, key=key)
    np.testing.assert_array_equal(again["meg"].values, whole["meg"].values)
    assert (again["other"].values != again["meg"].values).all()
    assert (
        gx.simulate(NET, 48.0, 2.0, monitors={"meg": meg}, key=jax.random.key(1))["meg"].values != again["meg"].values
    ).all()


@pytest.mark.slow
def test_noise_in_a_batch_and_with_the_networks_own(small_connectome, key):
    net = gx.Network(
        gx.models.WongWang(), gx.couplings.Linear(source="S"), small_connectome, gx.Delay(3.0), gx.noise.White(0.01)
    )
    field = gx.LeadField(np.eye(5)[:2], ["A", "B"])
    monitors = {"meg": MEG(field, source="S", period=2.0, covariance=COVARIANCE), "S": TemporalAverage(period=2.0)}
    simulate = jax.jit(lambda key: gx.simulate(net, 20.0, 1.0, monitors=monitors, key=key))
    keys = jax.random.split(key, 3)
    together = jax.vmap(simulate)(keys)
    for i in range(3):
        alone = simulate(keys[i])
        for name in monitors:
            np.testing.assert_allclose(together[name].values[i], alone[name].values, rtol=1e-4, atol=1e-6)
    noise = together["meg"].values - together["S"].values[:, :, 0, :2]
    assert np.std(noise) > 0.5 and not np.allclose(noise[0], noise[1])


@given(st.integers(0, 100))
def test_gains_of_vertices_add_up_to_regions(seed):
    rng = np.random.default_rng(seed)
    region_of = np.concatenate([rng.permutation(4), rng.integers(-1, 4, 8)])
    gain, normals = rng.normal(size=(3, 12, 3)), rng.normal(size=(12, 3))
    activity = rng.normal(size=4)
    oriented = sum(gain[:, v] @ normals[v] * activity[r] for v, r in enumerate(region_of) if r >= 0)
    for given_gain in (gain, gain.reshape(3, 36)):
        field = gx.LeadField.from_vertices(given_gain, region_of, normals=normals)
        np.testing.assert_allclose(field.matrix @ activity, oriented, rtol=1e-4, atol=1e-4 if SINGLE else 1e-10)
    mean = gx.LeadField.from_vertices(gain, region_of, normals=normals, reduce="mean")
    sizes = np.bincount(region_of[region_of >= 0])
    np.testing.assert_allclose(mean.gain * sizes, field.gain, rtol=1e-4, atol=1e-5)
    free = gx.LeadField.from_vertices(gain, region_of)
    assert free.gain.shape == (3, 4, 3)
    axis = gx.LeadField(free.gain, orientation=np.tile([0.0, 0.0, 5.0], (4, 1)))
    np.testing.assert_allclose(axis.matrix, free.gain[..., 2], rtol=1e-5)


@pytest.mark.once
def test_regions_without_vertices_are_named_or_not_seen():
    with pytest.raises(
        ValueError, match="1 regions have no vertex: thalamus; unseen='zero' says that no sensor sees them"
    ):
        gx.LeadField.from_vertices([[1.0, 2.0]], [0, 2], regions=["V1", "thalamus", "V2"])
    field = gx.LeadField.from_vertices([[1.0, 2.0]], [0, 2], regions=["V1", "thalamus", "V2", "pons"], unseen="zero")
    np.testing.assert_array_equal(field.gain, [[1.0, 0.0, 2.0, 0.0]])


@pytest.mark.once
def test_sensors_without_a_gain_are_named_or_dropped():
    gain = GAIN.copy()
    gain[1, 2], gain[3, 0] = np.nan, np.inf
    with pytest.raises(
        ValueError, match="the gain of 2 sensors is not finite: Cz, Oz; nonfinite='drop' leaves them out"
    ):
        gx.LeadField(gain, SENSORS)
    field = gx.LeadField(gain, SENSORS, nonfinite="drop", positions=np.arange(12.0).reshape(4, 3))
    assert field.sensors == ("Fz", "Pz")
    np.testing.assert_array_equal(field.gain, GAIN[[0, 2]].astype(np.float32 if SINGLE else float))
    np.testing.assert_array_equal(field.positions[1], [6.0, 7.0, 8.0])


def test_sensors_and_regions_by_name():
    field = gx.LeadField(GAIN, SENSORS, LABELS)
    some = field.subset(["Oz", "Fz"]).for_regions(["C", "A"])
    np.testing.assert_allclose(some.gain, GAIN[np.ix_([3, 0], [2, 0])], rtol=1e-6)
    assert some.sensors == ("Oz", "Fz") and some.regions == ("C", "A")
    with pytest.raises(ValueError, match="no sensor 'Fzz': did you mean 'Fz'"):
        field.subset(["Fzz"])
    with pytest.raises(ValueError, match="no region 'D'"):
        field.for_regions("ABD")
    with pytest.raises(ValueError, match="the regions of this lead field have no names"):
        gx.LeadField(GAIN).for_regions(LABELS)


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gx.LeadField(np.ones(3)), r"a gain is \(sensor, region\) or \(sensor, region, 3\), got shape \(3,\)"),
        (lambda: gx.LeadField(np.ones((2, 3, 2))), r"got shape \(2, 3, 2\)"),
        (lambda: gx.LeadField(GAIN, ["a"]), "there are 1 names of sensors, and the gain has 4"),
        (lambda: gx.LeadField(GAIN, ["a", "a", "b", "c"]), "two sensors are called 'a'"),
        (lambda: gx.LeadField(GAIN, regions=["a"]), "there are 1 names of regions, and the gain has 3"),
        (lambda: gx.LeadField(GAIN, orientation=np.ones((3, 3))), "needs a free gain"),
        (lambda: gx.LeadField(np.ones((2, 3, 3)), orientation=np.zeros((3, 3))), "an orientation is zero"),
        (lambda: MEG(gx.LeadField(np.ones((2, 3, 3))), source="drive", period=1.0), "this lead field is free"),
        (lambda: MEG(gx.LeadField(GAIN), source=("t", "ramp"), period=1.0), "MEG sees one state or output"),
        (lambda: MEG(gx.LeadField(GAIN), source="t", period=1.0, covariance=np.ones(3)), "the covariance of 4 sensors"),
        (
            lambda: MEG(gx.LeadField(GAIN), source="t", period=1.0, covariance=-1.0),
            "a variance is finite and not negative",
        ),
        (
            lambda: MEG(gx.LeadField(GAIN[:2], ["A", "B"]), source="t", period=1.0, covariance=[[1, 2], [2, 1]]),
            "not positive definite: its lowest eigenvalue is -1",
        ),
        (
            lambda: MEG(gx.LeadField(GAIN[:2], ["A", "B"]), source="t", period=1.0, covariance=[[1, 0.5], [0, 1]]),
            "the covariance is not symmetric: A and B",
        ),
        (
            lambda: EEG(gx.LeadField(GAIN, SENSORS), source="t", period=1.0, reference="Czz"),
            "not 'Czz': did you mean 'Cz'",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.once
@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        (MEG(gx.LeadField(GAIN, SENSORS, tuple("ACB")), source="drive", period=1.0), "region 1 is 'C' in the lead field and 'B' in the network"),
        (MEG(gx.LeadField(GAIN[:, :2]), source="drive", period=1.0), "of 2 regions, the network of 3"),
        (MEG(gx.LeadField(GAIN), period=1.0), "MEG sees one state or output, not 2"),
        (MEG(gx.LeadField(GAIN), source="drive", period=1.0, covariance=1.0), "monitor 'monitor' has noise: give simulate a key"),
    ],
)  # fmt: skip
def test_what_does_not_fit_a_network_is_named(monitor, message):
    with pytest.raises(ValueError, match=message):
        gx.simulate(NET, 4.0, 1.0, monitors=monitor)


@pytest.mark.slow("float32")
def test_gain_orientation_and_covariance_have_gradients(key):
    rng = np.random.default_rng(0)
    field = gx.LeadField(rng.normal(size=(2, 3, 3)), ["A", "B"], orientation=rng.normal(size=(3, 3)))
    first = MEG(field, source="drive", period=10.0, covariance=COVARIANCE)

    @jax.jit
    def value(leaves):
        gain, orientation, covariance = leaves
        changed = MEG(
            gx.LeadField(gain, ["A", "B"], orientation=orientation), source="drive", period=10.0, covariance=covariance
        )
        run = gx.simulate(NET, 100.0, 5.0, monitors=changed, key=key)
        return (run["monitor"].values ** 2).mean()

    leaves = (first.field.gain, first.field.orientation, first.covariance)
    slopes = jax.jit(jax.grad(value))(leaves)
    h = 1e-2 if SINGLE else 1e-6
    for i in range(3):
        direction = rng.normal(size=leaves[i].shape)
        direction = direction + direction.T if i == 2 else direction
        moved = [tuple(x + s * h * direction if k == i else x for k, x in enumerate(leaves)) for s in (1, -1)]
        numeric = (value(moved[0]) - value(moved[1])) / (2 * h)
        np.testing.assert_allclose(np.vdot(slopes[i], direction), numeric, rtol=1e-2 if SINGLE else 1e-6, atol=1e-4)


@pytest.mark.slow
def test_a_fit_finds_the_gain():
    """The monitor is part of what is fitted: a tuple of network and monitor."""
    true = MEG(gx.LeadField(GAIN[:2, :2], ["A", "B"]), source="x", period=10.0)
    hopf = gx.Network(
        gx.models.Hopf(a=0.05), gx.couplings.Linear(source="x", target="c_x"), gx.Connectome(np.zeros((2, 2)))
    )
    start = np.array([[0.3, -0.2], [0.1, 0.4]])
    target = gx.simulate(hopf, 200.0, 1.0, monitors=true, start=start)["monitor"].values

    def loss(both, key):
        net, meg = both
        return gx.losses.rmse(gx.simulate(net, 200.0, 1.0, monitors=meg, start=start)["monitor"].values, target)

    wrong = MEG(gx.LeadField(np.ones((2, 2)), ["A", "B"]), source="x", period=10.0)
    spec = gx.select((hopf, wrong), lambda m: m[1].field.gain)
    result = gx.fit((hopf, wrong), loss, spec, optax.adam(0.1), steps=200, progress=False)
    np.testing.assert_allclose(result.model[1].field.gain, GAIN[:2, :2], atol=0.1)
