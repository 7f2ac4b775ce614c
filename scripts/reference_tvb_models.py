"""Drifts and networks of The Virtual Brain's models, for tests/test_models_tvb.py.

    python scripts/reference_tvb_models.py src/gyrax/data/dk84.npz tests/data/tvb_models.npz tests/data/tvb_networks.npz

Runs in an environment of its own with tvb-library 2.10 from PyPI (GPL: it is asked for numbers, nothing of it is copied).
Names of models, states and parameters are The Virtual Brain's. Draws are numbers of few binary digits, so that both
precisions read the same ones.
"""

import importlib
import logging
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from tvb.datatypes.connectivity import Connectivity
from tvb.simulator import coupling, integrators, monitors, simulator

#: Model: its file there, and what differs from its own ranges of states, or from inputs between -1 and 1.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "Linear": ("linear", {}),
    "Kuramoto": ("oscillator", {}),
    "SupHopf": ("oscillator", {}),
    "Generic2dOscillator": ("oscillator", {}),
    "ReducedWongWang": ("wong_wang", {}),
    "ReducedWongWangExcInh": ("wong_wang_exc_inh", {}),
    "DecoBalancedExcInh": ("wong_wang_exc_inh", {}),
    "WilsonCowan": ("wilson_cowan", {}),
    "JansenRit": ("jansen_rit", {"u": 0.2, "y0": (-0.2, 0.2), "y1": (-40, 40), "y2": (-40, 40), "y5": (-3, 3)}),
    "ZetterbergJansen": ("jansen_rit", {"u": 20.0, **{f"v{i}": (-20, 20) for i in range(1, 8)}}),
    "MontbrioPazoRoxin": ("infinite_theta", {}),
    "CoombesByrne": ("infinite_theta", {}),
    "CoombesByrne2D": ("infinite_theta", {}),
    "GastSchmidtKnosche_SD": ("infinite_theta", {}),
    "GastSchmidtKnosche_SF": ("infinite_theta", {}),
    "DumontGutkin": ("infinite_theta", {}),
    "LarterBreakspear": ("larter_breakspear", {}),
    "Epileptor": ("epileptor", {"y2": (-1, 2)}),
    "Epileptor.modification": ("epileptor", {"modification": np.array([True]), "y2": (-1, 2)}),
    "Epileptor2D": ("epileptor", {}),
    "Epileptor2D.modification": ("epileptor", {"modification": np.array([True])}),
    "EpileptorRestingState": ("epileptor_rs", {"x1": (-2, 1), "x2": (-2, 1), "y2": (-1, 2)}),
    "EpileptorCodim3": ("epileptorcodim3", {"x": (-1, 1), "y": (-1, 1), "z": (-0.5, 0.5)}),
    "EpileptorCodim3.unmodified": (
        "epileptorcodim3",
        {"modification": np.array([False]), "x": (-1, 1), "y": (-1, 1), "z": (-0.5, 0.5)},
    ),
    "EpileptorCodim3SlowMod": (
        "epileptorcodim3",
        {"x": (-1, 1), "y": (-1, 1), "z": (-0.5, 0.5), "uA": (-1, 1), "uB": (-1, 1)},
    ),
    "KIonEx": ("k_ion_exchange", {"V": (-90, 30)}),
    "Hopfield.static": ("hopfield", {}),
    "Hopfield.dynamic": ("hopfield", {"dynamic": np.array([1])}),
    "ReducedSetFitzHughNagumo": ("stefanescu_jirsa", {}),
    "ReducedSetHindmarshRose": ("stefanescu_jirsa", {}),
    "ZerlautAdaptationFirstOrder": ("zerlaut", {"u": (0, 0.02), "W_i": (0, 20), "ou_drift": (-1, 1)}),
    "ZerlautAdaptationSecondOrder": ("zerlaut", {"u": (0, 0.02), "W_i": (0, 20), "ou_drift": (-1, 1)}),
}
DRAWS = 50


def short(x: Any) -> np.ndarray:
    """Numbers of 12 binary digits, which single precision holds and which pack well."""
    fraction, power = np.frexp(np.asarray(x, float))
    return np.ldexp(np.round(fraction * 4096) / 4096, power)


def build(name: str, **parameters: Any) -> Any:
    file, special = MODELS[name]
    kind = getattr(importlib.import_module(f"tvb.simulator.models.{file}"), name.split(".")[0])
    model = kind(**{k: v for k, v in special.items() if k in ("modification", "dynamic")}, **parameters)
    model.configure()
    return model


def defaults(model: Any) -> dict[str, float]:
    """Every parameter that is one real number."""
    found = {}
    for name in type(model).declarative_attrs:
        value = getattr(model, name, None)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size == 1:
            found[name] = float(value[0])
    return found


def drifts(name: str) -> dict[str, np.ndarray]:
    """`.y` (draw, state[, mode]), `.u` (draw, input[, mode]), `.drift` as y, `.parameters` (draw, parameter) and their names."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    special, model = MODELS[name][1], build(name)
    values = defaults(model)
    states, modes = list(model.state_variables), model.number_of_modes
    ranges = [special.get(s, model.state_variable_range[s]) for s in states]
    low, high = (np.array([float(r[i]) for r in ranges]) for i in (0, 1))
    y = low[:, None] + (high - low)[:, None] * rng.random((DRAWS, len(states), modes))
    least, most = np.broadcast_to(special.get("u", 1.0), 2) * (
        [1, 1] if "u" in special and np.ndim(special["u"]) else [-1, 1]
    )
    u = least + (most - least) * rng.random((DRAWS, len(model.cvar), modes))
    y, u = short(y), short(u)
    factor = rng.uniform(0.8, 1.2, (DRAWS, len(values)))
    drawn = factor * np.array(list(values.values())) + np.where(
        np.array(list(values.values())) == 0, rng.uniform(-0.2, 0.2, factor.shape), 0.0
    )
    drawn[0] = list(values.values())  # the first draw is the defaults
    drawn[1:] = short(drawn[1:])
    rows = []
    for i in range(DRAWS):
        model = build(name, **{k: drawn[i, [j]] for j, k in enumerate(values)})
        c = np.zeros((max(len(model.cvar), u.shape[1]), 1, modes))
        c[: u.shape[1], 0] = u[i]
        state = y[i][:, None].copy()
        if name == "Hopfield.dynamic":
            rows.append(np.asarray(model.dfunDyn(state, c))[:, 0])
        else:
            rows.append(np.asarray(model.dfun(state, c))[:, 0])
    squeeze = (lambda x: x[..., 0]) if modes == 1 else (lambda x: x)
    return {
        f"{name}.y": squeeze(y).astype(np.float32),
        f"{name}.u": squeeze(u).astype(np.float32),
        f"{name}.drift": squeeze(np.array(rows)),
        f"{name}.parameters": drawn[1:].astype(np.float32),
        f"{name}.defaults": drawn[0],
        f"{name}.names": np.array(list(values)),
        f"{name}.states": np.array(states),
    }


C = coupling
one = lambda x: np.array([float(x)])  # noqa: E731
#: Coupling of the networks, by model; weights are dk84's over their maximum.
NETWORKS: dict[str, Any] = {
    "Linear": lambda: C.Linear(a=one(0.5), b=one(0.1)),
    "Kuramoto": lambda: C.Kuramoto(a=one(0.3)),
    "SupHopf": lambda: C.Difference(a=one(0.1)),
    "Generic2dOscillator": lambda: C.Linear(a=one(0.5)),
    "ReducedWongWang": lambda: C.Linear(a=one(0.3)),
    "ReducedWongWangExcInh": lambda: C.Linear(a=one(0.5)),
    "DecoBalancedExcInh": lambda: C.Linear(a=one(0.5)),
    "WilsonCowan": lambda: C.Sigmoidal(cmin=one(-1.0), cmax=one(1.0), midpoint=one(0.2), a=one(1.0), sigma=one(0.5)),
    "JansenRit": lambda: C.SigmoidalJansenRit(
        a=one(20.0), cmin=one(0.0), cmax=one(0.005), midpoint=one(6.0), r=one(0.56)
    ),
    "ZetterbergJansen": lambda: C.Linear(a=one(2.0)),
    "MontbrioPazoRoxin": lambda: C.Linear(a=one(1.0)),
    "CoombesByrne": lambda: C.Linear(a=one(0.5)),
    "CoombesByrne2D": lambda: C.Linear(a=one(0.5)),
    "GastSchmidtKnosche_SD": lambda: C.Linear(a=one(0.5)),
    "GastSchmidtKnosche_SF": lambda: C.Linear(a=one(0.5)),
    "DumontGutkin": lambda: C.Linear(a=one(1.0)),
    "LarterBreakspear": lambda: C.HyperbolicTangent(a=one(0.1), b=one(1.0), midpoint=one(0.0), sigma=one(0.65)),
    "Epileptor": lambda: C.Difference(a=one(1.0)),
    "Epileptor2D": lambda: C.Difference(a=one(1.0)),
    "EpileptorRestingState": lambda: C.Difference(a=one(1.0)),
    "EpileptorCodim3": lambda: C.Difference(a=one(1.0)),
    "EpileptorCodim3SlowMod": lambda: C.Difference(a=one(3.0)),
    "KIonEx": lambda: C.Linear(a=one(0.5)),
    # not its PreSigmoidal, which sums over the wrong end of each connection
    "Hopfield.static": lambda: C.HyperbolicTangent(a=one(0.5), b=one(6.0), midpoint=one(3.0), sigma=one(1.0)),
    "Hopfield.dynamic": lambda: C.HyperbolicTangent(a=one(0.5), b=one(6.0), midpoint=one(3.0), sigma=one(1.0)),
    "ReducedSetFitzHughNagumo": lambda: C.Linear(a=one(0.1)),
    "ReducedSetHindmarshRose": lambda: C.Linear(a=one(0.05)),
    "ZerlautAdaptationFirstOrder": lambda: C.Linear(a=one(0.3)),
    "ZerlautAdaptationSecondOrder": lambda: C.Linear(a=one(0.3)),
}
#: What of a model is switched on, so that coupling acts.
SWITCHES: dict[str, dict[str, float]] = {
    "Linear": {"gamma": -1.0},
    "CoombesByrne": {"eta": 2.0, "v_syn": -4.0},
    "DumontGutkin": {"Gamma": 1.0},
    "GastSchmidtKnosche_SF": {"eta": -6.0},
    "ReducedWongWangExcInh": {"G": 1.0},
    "DecoBalancedExcInh": {"G": 1.0},
    "MontbrioPazoRoxin": {"cv": 0.5},
    "Epileptor": {"Kvf": 0.5, "Kf": 0.1, "Ks": -0.5},
    "Epileptor2D": {"Kvf": 0.5, "Ks": -0.5},
    "EpileptorRestingState": {"Kvf": 0.5, "Kf": 0.1, "Ks": -0.5, "K_rs": 0.5, "p": 0.5},
    "EpileptorCodim3": {"Ks": 0.3},
    "EpileptorCodim3SlowMod": {"Ks": 0.3},
    "LarterBreakspear": {"t_scale": 0.3},
    "ReducedSetFitzHughNagumo": {"mu": -1.0},
    "ReducedSetHindmarshRose": {"mu": 1.1},
    "ZerlautAdaptationFirstOrder": {"external_input_ex_ex": 0.000315, "external_input_in_ex": 0.000315},
    "ZerlautAdaptationSecondOrder": {"external_input_ex_ex": 0.000315, "external_input_in_ex": 0.000315},
}
#: Where a network starts, if not anywhere in the model's own ranges.
STARTS: dict[str, dict[str, tuple[float, float]]] = {
    "JansenRit": {"y0": (0, 0.1), "y1": (0, 20), "y2": (0, 20), "y3": (0, 0), "y4": (0, 0), "y5": (0, 0)},
    "ZetterbergJansen": {s: (0, 1) for s in ["v1", "y1", "v2", "y2", "v3", "y3", "v4", "y4", "v5", "y5", "v6", "v7"]},
    "LarterBreakspear": {"V": (-0.3, 0.1), "W": (0.1, 0.4), "Z": (0.05, 0.15)},
    "Epileptor": {"x1": (-2, -1), "y1": (-15, -5), "x2": (-1.5, -0.5), "g": (-0.5, 0.5)},
    "Generic2dOscillator": {"V": (-1, 1), "W": (-3, 3)},
    "SupHopf": {"x": (-1, 1), "y": (-1, 1)},
    "MontbrioPazoRoxin": {"r": (0, 0.5), "V": (-1, 0)},
    "CoombesByrne": {"r": (0, 0.5), "V": (-1, 0), "g": (0, 0.5), "q": (0, 0)},
    "GastSchmidtKnosche_SD": {"r": (0, 0.5), "V": (-1, 0), "A": (0, 0.1), "B": (0, 0)},
    "GastSchmidtKnosche_SF": {"r": (0, 0.5), "V": (-1, 0), "A": (0, 0.1), "B": (0, 0)},
    "DumontGutkin": {s: (0, 0.1) for s in ("r_e", "r_i", "s_ee", "s_ei", "s_ie", "s_ii")}
    | {"V_e": (-1, 0), "V_i": (-1, 0)},
    "ZerlautAdaptationFirstOrder": {"E": (0.005, 0.02), "I": (0.005, 0.02), "W_e": (0, 50)},
    "ZerlautAdaptationSecondOrder": {"E": (0.005, 0.02), "I": (0.005, 0.02), "W_e": (0, 50)},
    "KIonEx": {"x": (0.02, 0.1), "V": (-80, -60), "n": (0.02, 0.1), "DKi": (-1, 0), "Kg": (-3, -1)},
    "ReducedSetFitzHughNagumo": {s: (-1, 1) for s in ("xi", "eta", "alpha", "beta")},
    "ReducedSetHindmarshRose": {
        **{s: (-1, 1) for s in ("xi", "alpha")},
        **{s: (-5, 0) for s in ("eta", "beta")},
        **{s: (2, 4) for s in ("tau", "gamma")},
    },
}
#: Steps in ms, where 0.1 is too coarse.
STEPS = {
    "ReducedSetHindmarshRose": 0.05,
    "KIonEx": 0.02,
    "GastSchmidtKnosche_SD": 0.05,
    "GastSchmidtKnosche_SF": 0.05,
}
DURATION, DT, SPEED, EVERY, REGIONS = 200.0, 0.1, 4.0, 20.0, slice(None, None, 4)


def network(name: str, weights: np.ndarray, lengths: np.ndarray, make: Any) -> tuple[np.ndarray, ...]:
    """Every region's start `(state, region[, mode])`, some states of some `(time, state, region[, mode])`, and which."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    model = build(name, **{k: one(v) for k, v in SWITCHES.get(name, {}).items()})
    states, n = list(model.state_variables), len(weights)
    choices = type(model).variables_of_interest.element_choices
    recorded = [s for s in states if choices is None or s in choices]
    model.variables_of_interest = tuple(recorded)
    ranges = [STARTS.get(name, {}).get(s, model.state_variable_range[s]) for s in states]
    low, high = (np.array([float(r[i]) for r in ranges])[:, None, None] for i in (0, 1))
    y = short(low + (high - low) * rng.random((len(states), n, model.number_of_modes)))
    sim = simulator.Simulator(
        model=model,
        connectivity=Connectivity(
            weights=weights,
            tract_lengths=lengths,
            centres=np.zeros((n, 3)),
            region_labels=np.array([str(i) for i in range(n)]),
            speed=one(SPEED),
        ),
        conduction_speed=SPEED,
        coupling=make(),
        integrator=integrators.HeunDeterministic(dt=STEPS.get(name, DT)),
        initial_conditions=np.broadcast_to(y, (round(200 / STEPS.get(name, DT)) + 1, *y.shape)).copy(),
        monitors=(monitors.SubSample(period=EVERY),),
        simulation_length=DURATION,
    )
    sim.configure()
    model._build_observer()
    ((_, values),) = sim.run()
    squeeze = (lambda x: x[..., 0]) if model.number_of_modes == 1 else (lambda x: x)
    return squeeze(y), squeeze(values), np.array(recorded)


def main(connectome: Path, out_drifts: Path, out_networks: Path) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    found: dict[str, np.ndarray] = {}
    for name in MODELS:
        found |= drifts(name)
        bad = ~np.isfinite(found[f"{name}.drift"])
        print(f"{name:32} drift {found[f'{name}.drift'].shape}" + (f" {bad.sum()} not finite" if bad.any() else ""))
    np.savez_compressed(out_drifts, **found)
    data, found = np.load(connectome), {}
    weights, lengths = (data[k].astype(float) for k in ("weights", "lengths"))
    weights = weights / weights.max()
    for name, make in NETWORKS.items():
        y, values, recorded = network(name, weights, lengths, make)
        _, alone, _ = network(name, np.where(weights > 0, 1e-12, 0.0), lengths, make)
        effect = np.abs(values - alone).max((0, 2)) / np.ptp(values, (0, 2))
        print(f"{name:32} effect of coupling by state {np.round(effect, 3).ravel()} largest {np.abs(values).max():.3g}")
        found |= {f"{name}.effect": np.nanmax(effect), f"{name}.recorded": recorded}
        found[f"{name}.dt"] = np.array(STEPS.get(name, DT))
        found |= {f"{name}.start": y.astype(np.float32), f"{name}.values": values[:, :, REGIONS].astype(np.float32)}
        found[f"{name}.switches"] = np.array([[k, repr(v)] for k, v in SWITCHES.get(name, {}).items()] or [["", ""]])
    np.savez_compressed(out_networks, **found)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
