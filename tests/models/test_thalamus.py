"""The thalamus against neurolib 0.6.2: its drift, and a spindle (numbers of scripts/reference_neurolib_models.py)."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx

SINGLE = jnp.result_type(float) == jnp.float32
THEIRS = np.load(Path(__file__).parents[1] / "data" / "neurolib_models.npz")
NAMES = THEIRS["thalamus.names"].tolist()


@pytest.mark.slow
def test_drift_equals_neurolibs():
    """Fifty draws of state, input and parameters as regions of one network."""
    y, u, expected = (THEIRS[f"thalamus.{what}"].T for what in ("y", "u", "drift"))
    model = gx.models.Thalamus(**dict(zip(NAMES, THEIRS["thalamus.parameters"].T, strict=True)))
    found = np.asarray(model.drift(0.0, jnp.asarray(y), jnp.asarray(u)))
    size = np.abs(expected).max(axis=1, keepdims=True)
    bound = (1e-4 * np.abs(expected) + 1e-5 * size) if SINGLE else (1e-6 * np.abs(expected) + 1e-12 * size)
    assert (np.abs(found - expected) <= bound).all(), (np.abs(found - expected) / size).max(axis=1)


def test_defaults_are_neurolibs():
    model = gx.models.Thalamus()
    assert {name: float(getattr(model, name)) for name in NAMES} == pytest.approx(
        dict(zip(NAMES, THEIRS["thalamus.parameters"][0], strict=True)), rel=1e-6
    )


@pytest.mark.once
def test_a_spindle_goes_as_neurolibs():
    """One second of 10 to 13 Hz out of rest, then silence; neurolib steps by 0.002 ms."""
    net = gx.Network(gx.models.Thalamus(), {}, gx.Connectome(np.zeros((1, 1))))
    some = gx.monitors.Subsample(period=2.0, source=("V_t", "V_r"))
    found = np.asarray(gx.simulate(net, 1200.0, 0.1, monitors=some)["monitor"].values)[:, :, 0]
    expected = THEIRS["thalamus_run.values"].T
    bursts = np.flatnonzero((found[1:, 0] > -45) & (found[:-1, 0] <= -45)) * 2.0
    rate = 1000 / np.diff(bursts)
    assert len(bursts) > 8 and bursts[-1] < 1150 and (np.diff(rate) > -0.5).all() and 10 < rate[0] < rate[-1] < 13.5
    assert np.abs(found - expected).max() < 0.02 * np.ptp(expected)
