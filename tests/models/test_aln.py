"""The ALN model against neurolib 0.6.2: its drift, and a network with delays (scripts/reference_neurolib_models.py)."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx

SINGLE = jnp.result_type(float) == jnp.float32
THEIRS = np.load(Path(__file__).parents[1] / "data" / "neurolib_models.npz")
NAMES = THEIRS["aln.names"].tolist()


def test_drift_equals_neurolibs():
    """Fifty draws of state, input and parameters as regions of one network, some of them beyond the tables' edges."""
    y, u, expected = (THEIRS[f"aln.{what}"].T.copy() for what in ("y", "u", "drift"))
    model = gx.models.ALN(**dict(zip(NAMES, THEIRS["aln.parameters"].T, strict=True)))
    # a rate has no drift there: the first two rows are what our rates follow
    expected[:2] = (expected[:2] - y[:2]) / float(model.tau_r)
    beyond = [(low > y[2:4]) | (y[2:4] > high) for low, high in ((-1, np.inf), (-np.inf, 7))]
    assert all(edge.any() for edge in beyond)
    found = np.asarray(model.drift(0.0, jnp.asarray(y), jnp.asarray(u)))
    size = np.abs(expected).max(axis=1, keepdims=True)
    bound = (1e-4 * np.abs(expected) + 1e-5 * size) if SINGLE else (1e-6 * np.abs(expected) + 1e-12 * size)
    assert (np.abs(found - expected) <= bound).all(), (np.abs(found - expected) / size).max(axis=1)


def test_defaults_are_neurolibs():
    model = gx.models.ALN()
    assert {name: float(getattr(model, name)) for name in NAMES} == pytest.approx(
        dict(zip(NAMES, THEIRS["aln.parameters"][0], strict=True)), rel=1e-6
    )


@pytest.mark.slow
def test_only_variances_are_held_above_zero():
    """As in neurolib: a step may take them below in silence."""
    model = gx.models.ALN()
    y = -jnp.ones((len(model.states), 2))
    held = {name for name, row in zip(model.states, model.limit(y), strict=True) if (row == 0).all()}
    assert held == {"seev", "seiv", "siev", "siiv"}
    silent = model.drift(0.0, y.at[5:13].set(0.0), jnp.zeros((8, 2)))
    assert (model.drift(0.0, y.at[5:9].set(0.0), jnp.zeros((8, 2)))[:5] == silent[:5]).all(), "a variance below zero"


@pytest.mark.slow
@pytest.mark.once
def test_network_goes_as_neurolibs():
    """300 ms of four regions that drive each other, 4 ms and 2 ms late within a region, up to 12 ms between regions."""
    switched = dict(zip(THEIRS["aln_network.names"].tolist(), THEIRS["aln_network.parameters"], strict=True))
    connectome = gx.Connectome(THEIRS["aln_network.weights"], THEIRS["aln_network.lengths"])
    model = gx.models.ALN(tau_r=0.1, **switched)  # of one Euler step: their rates are those of the step before
    net = gx.Network(model, gx.models.ALN.couplings(connectome), connectome, gx.Delay(20.0))
    some = gx.monitors.Subsample(period=1.0, source=("r_exc", "r_inh", "IA"))
    start = THEIRS["aln_network.start"]
    run = gx.simulate(net, 300.0, 0.1, solver=gx.solvers.EulerMaruyama(), monitors=some, start=start)
    found, expected = np.asarray(run["monitor"].values), THEIRS["aln_network.values"].transpose(2, 0, 1)
    assert (np.ptp(expected[150:, 0], axis=0) > 0.02).all(), "silence proves nothing"
    size = np.abs(expected).max(axis=(0, 2))
    assert (np.abs(found - expected).max(axis=(0, 2)) < 1e-6 * size).all()
