"""MEG of The Virtual Brain's 76 regions by its 276-channel gain: sensors' spectra, and a fit to them."""

from importlib import resources

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gyrax as gx

tvb_data = pytest.importorskip("tvb_data")
SINGLE = jnp.result_type(float) == jnp.float32


@pytest.fixture(scope="module")
def study():
    """Noisy cortical columns with delays, near alpha; all regions alike."""
    data = gx.datasets.load("tvb76")
    coupling = gx.couplings.SigmoidalJansenRit(source="psp", strength=10.0)
    net = gx.Network(
        gx.models.JansenRit(mu=0.15),
        coupling,
        data.connectome.normalised("max"),
        gx.Delay(speed=3.0),
        gx.noise.White(sigma=3e-3, states="y4"),
    )
    return gx.per_region(net, lambda n: n.model.a), gx.datasets.lead_field("tvb76", "meg", nonfinite="drop")


@pytest.mark.slow("float32")
def test_sensors_see_the_real_gain(study, key, rounding):
    """Against the file itself: vertices added up by the region map, line by line."""
    net, field = study
    meg = gx.monitors.MEG(field, source="psp", period=2.0)
    monitors = {"meg": meg, "psp": gx.monitors.TemporalAverage(source="psp", period=2.0)}
    run = gx.simulate(net, 60.0, 1.0, monitors=monitors, key=key)
    root = resources.files("tvb_data")
    gain = np.load(str(root / "projectionMatrix" / "projection_meg_276_surface_16k.npy"))
    names = [line.split()[0] for line in (root / "sensors" / "meg_brainstorm_276.txt").read_text().splitlines()]
    region_of = np.loadtxt(str(root / "regionMapping" / "regionMapping_16k_76.txt")).astype(int)
    regions = np.zeros((276, 76))
    for vertex, region in enumerate(region_of):
        regions[:, region] += gain[:, vertex]
    good = np.isfinite(regions).all(1)
    assert good.sum() == 248 and run["meg"].labels == tuple(n for n, g in zip(names, good, strict=True) if g)
    seen = np.asarray(run["psp"].values, float)[:, 0] @ regions[good].T
    assert np.abs(seen).max() > 1e-4
    np.testing.assert_allclose(run["meg"].values, seen, rtol=0, atol=20 * rounding * np.abs(seen).max())


@pytest.mark.once
def test_switched_off_channels_are_named():
    with pytest.raises(ValueError, match="the gain of 28 sensors is not finite: TRIGGER, RESPONSE"):
        gx.datasets.lead_field("tvb76", "meg")


class Rates(eqx.Module):
    """How fast excitation is, by hemisphere, in units of the default."""

    left: jax.Array
    right: jax.Array


@pytest.mark.slow
def test_a_fit_to_sensors_finds_the_faster_hemisphere(study):
    """From what 248 sensors record, none of which sees one hemisphere alone; the noise is known."""
    net, field = study
    left = np.array([label[0] == "l" for label in net.connectome.labels])
    assert left.sum() == 38
    meg = gx.monitors.MEG(field, source="psp", period=4.0)

    def recorded(rates, key):
        faster = eqx.tree_at(lambda n: n.model.a, net, 0.1 * jnp.where(left, rates.left, rates.right))
        return gx.simulate(faster, 160.0, 1.0, monitors=meg, key=key)["monitor"].values

    key = jax.random.key(3)
    target = jax.jit(recorded)(Rates(jnp.asarray(1.1), jnp.ones(())), key)
    size = jnp.std(target)
    loss = lambda rates, _: gx.losses.rmse(recorded(rates, key) / size, target / size)  # noqa: E731
    start = Rates(jnp.ones(()), jnp.ones(()))
    result = gx.fit(start, loss, gx.select(start, "left", "right"), optax.adam(0.02), steps=40, progress=False)
    np.testing.assert_allclose([result.model.left, result.model.right], [1.1, 1.0], atol=0.01)
    assert result.best_loss < 0.1 * result.history["loss"][0]
