"""Every model beside The Virtual Brain's: drifts anywhere, and networks with delays (numbers of scripts/reference_tvb_models.py)."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from families import PEERS

SINGLE = jnp.result_type(float) == jnp.float32
DATA = Path(__file__).parents[1] / "data"
TVB, NETWORKS = (np.load(DATA / f"tvb_{what}.npz") for what in ("models", "networks"))


def parameters(name: str) -> list[str]:
    return [f.name for f in dataclasses.fields(PEERS[name].model) if "domain" in f.metadata]


def ours(name: str, theirs: dict) -> dict:
    """Their values under our names and in our units."""
    renamed, own = PEERS[name].renamed, PEERS[name].arguments
    places = {key: renamed.get(key, (key, 1.0)) for key in parameters(name) if key not in own}
    return {key: theirs[other] * unit for key, (other, unit) in places.items() if other in theirs}


def drawn(name: str) -> dict:
    """Every draw of their parameters, the defaults first."""
    rows = np.concatenate([TVB[f"{name}.defaults"][None], TVB[f"{name}.parameters"].astype(float)])
    return dict(zip(TVB[f"{name}.names"].tolist(), rows.T, strict=True))


@pytest.mark.slow("float32")
@pytest.mark.parametrize("name", PEERS)
@pytest.mark.slow("float64")
def test_drift_equals_the_virtual_brains(name):
    """Every draw of state, input and parameters is a region of one network."""
    peer = PEERS[name]
    y, u, expected = (TVB[f"{name}.{what}"].reshape(50, -1).T.astype(float) for what in ("y", "u", "drift"))
    model = peer.model(**peer.arguments, **ours(name, drawn(name)))
    drift = np.asarray(model.drift(0.0, jnp.asarray(y), jnp.asarray(np.asarray(peer.inputs(u)))))
    expected = expected / peer.time
    assert drift.shape == expected.shape and np.isfinite(expected).mean() > 0.5
    there = np.isfinite(expected)
    # of what cancels, single precision keeps what the largest term has
    size = np.nanmax(np.abs(np.where(there, expected, np.nan)), axis=1, keepdims=True)
    error = np.abs(np.where(there, drift - expected, 0))
    bound = (1e-4 * np.abs(expected) + 1e-5 * size) if SINGLE else (1e-6 * np.abs(expected) + 1e-12 * size)
    assert (error <= np.where(there, bound, 0)).all(), np.max(error / size, axis=1)


@pytest.mark.parametrize("name", PEERS)
def test_parameters_and_defaults_are_the_virtual_brains(name):
    """All of theirs are there, and what differs follows the paper."""
    peer = PEERS[name]
    theirs = dict(zip(TVB[f"{name}.names"].tolist(), TVB[f"{name}.defaults"], strict=True))
    used = {peer.renamed.get(key, (key, 1.0))[0] for key in parameters(name)}
    assert set(theirs) - used == set(peer.absent)
    model, values = peer.model(**peer.arguments), ours(name, theirs)
    different = {k: float(getattr(model, k)) for k, v in values.items() if not np.isclose(getattr(model, k), v)}
    assert different == pytest.approx(peer.departs)


#: The network of this one takes as long to compile as those of ten others.
HEAVY = ("ZerlautAdaptationSecondOrder",)
COUPLED = [
    pytest.param(name, marks=[pytest.mark.long] * (name in HEAVY))
    for name, peer in PEERS.items()
    if peer.coupling is not None
]


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("name", COUPLED)
def test_network_goes_as_the_virtual_brains(name):
    """dk84 with delays, 200 ms of Heun steps with the coupling once a step, of 0.1 ms unless that is too coarse."""
    peer = PEERS[name]
    defaults = dict(zip(TVB[f"{name}.names"].tolist(), TVB[f"{name}.defaults"], strict=True))
    switched = {k: float(v) for k, v in NETWORKS[f"{name}.switches"] if k}
    assert NETWORKS[f"{name}.effect"] > 0.05, "a coupling that does nothing proves nothing"
    model = peer.model(**peer.arguments, **ours(name, defaults | switched))
    connectome = gx.datasets.load("dk84").connectome.normalised("max")
    net = gx.Network(model, peer.coupling(), connectome, gx.Delay(4.0))
    start = NETWORKS[f"{name}.start"]
    recorded = [TVB[f"{name}.states"].tolist().index(s) for s in NETWORKS[f"{name}.recorded"]]
    rows = np.arange(len(model.states)).reshape(len(TVB[f"{name}.states"]), -1)[recorded].ravel()
    start = np.moveaxis(start, -1, 1) if start.ndim == 3 else start
    monitors = {"some": gx.monitors.Subsample(period=20.0)}
    run = gx.simulate(
        net,
        200.0,
        float(NETWORKS[f"{name}.dt"]),
        monitors=monitors,
        solver=gx.solvers.Heun(coupling_once=True),
        start=start.reshape(len(model.states), -1).astype(float),
    )
    values = np.asarray(run["some"].values)[:, rows, ::4]
    expected = NETWORKS[f"{name}.values"].astype(float)
    expected = np.moveaxis(expected, -1, 2) if expected.ndim == 4 else expected
    expected = expected.reshape(values.shape)
    for state, one, other in zip(rows, np.moveaxis(values, 1, 0), np.moveaxis(expected, 1, 0), strict=True):
        # their history is in single precision
        assert np.linalg.norm(one - other) <= 1e-5 * np.linalg.norm(other), model.states[state]
