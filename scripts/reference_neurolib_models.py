"""Makes tests/data/neurolib_models.npz: drifts and runs of neurolib 0.6.2's ALN and thalamus (run where that is installed).

    python scripts/reference_neurolib_models.py [OUT.npz]

neurolib (MIT) is asked for numbers, nothing of it is copied. Names of states and parameters are neurolib's.
"""

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

np.object = object  # type: ignore[attr-defined]  # neurolib reads this name, which numpy 2 no longer has

from jitcdde import input as system_input  # noqa: E402
from jitcdde import y as current_y  # noqa: E402
from neurolib.models.aln import ALNModel, timeIntegration  # noqa: E402
from neurolib.models.aln.loadDefaultParams import loadDefaultParams  # noqa: E402
from neurolib.models.multimodel.builder import thalamus  # noqa: E402
from neurolib.models.thalamus import ThalamicMassModel  # noqa: E402

OUT = Path(__file__).parents[1] / "tests" / "data" / "neurolib_models.npz"
DRAWS = 50

#: Lowest and highest value of each state that is drawn; rates in kHz.
ALN_STATES = {
    **{"rates_exc": (0, 0.15), "rates_inh": (0, 0.15), "mufe": (-1.5, 7.5), "mufi": (-1.5, 7.5), "IA": (0, 200)},
    **dict.fromkeys(("seem", "seim", "siem", "siim"), (0, 1)),
    **{"seev": (0, 0.02), "seiv": (0, 0.02), "siev": (0, 0.02), "siiv": (0, 0.02), "mue_ou": (0, 1), "mui_ou": (0, 1)},
}
#: Inputs, as ours are called.
ALN_INPUTS = {
    **{"local_exc": (0, 0.15), "local_inh": (0, 0.15), "network": (0, 0.1), "network_sq": (0, 0.1)},
    **{"ext_exc_rate": (0, 0.05), "ext_inh_rate": (0, 0.05), "ext_exc_current": (-1, 1), "ext_inh_current": (-1, 1)},
}
ALN_PARAMETERS = (
    *("cee", "cei", "cie", "cii", "Ke", "Ki", "c_gl", "Ke_gl", "Jee_max", "Jei_max", "Jie_max", "Jii_max", "tau_se"),
    *("tau_si", "sigmae_ext", "sigmai_ext", "mue_ext_mean", "mui_ext_mean", "tau_ou", "a", "b", "EA", "tauA"),
)
THALAMUS_STATES = {
    **{"V_t": (-90, -30), "V_r": (-90, -30), "Ca": (1e-4, 4e-3), "h_T_t": (0, 1), "h_T_r": (0, 1)},
    **{"m_h1": (0, 0.5), "m_h2": (0, 0.5), "s_et": (0, 1), "s_gt": (0, 2), "s_er": (0, 1), "s_gr": (0, 5)},
    **dict.fromkeys(("ds_et", "ds_gt", "ds_er", "ds_gr"), (-0.1, 0.1)),
}
#: Their name in either population: ours.
TCR = {"s_e": "s_et", "s_i": "s_gt", "ds_e": "ds_et", "ds_i": "ds_gt", "V": "V_t", "h_T": "h_T_t"}
TRN = {"s_e": "s_er", "s_i": "s_gr", "ds_e": "ds_er", "ds_i": "ds_gr", "V": "V_r", "h_T": "h_T_r"}


def short(x: Any) -> np.ndarray:
    """Numbers of 12 binary digits, which single precision holds and which pack well."""
    fraction, power = np.frexp(np.asarray(x, float))
    return np.ldexp(np.round(fraction * 4096) / 4096, power)


def named(names: Iterable[str], values: Iterable[float]) -> dict[str, float]:
    return dict(zip(names, values, strict=True))


def uniform(rng: np.random.Generator, ranges: dict[str, tuple[float, float]]) -> np.ndarray:
    low, high = np.array(list(ranges.values())).T
    return short(rng.uniform(low, high, (DRAWS, len(low))))


def varied(rng: np.random.Generator, defaults: dict[str, float], zeros: dict[str, float]) -> np.ndarray:
    """Every parameter within a fifth of its default, or of what stands in for a default of zero; first the defaults."""
    typical = np.array([value or zeros[name] for name, value in defaults.items()])
    drawn = short(typical * rng.uniform(0.8, 1.2, (DRAWS, len(typical))))
    drawn[0] = list(defaults.values())
    return drawn


def aln_drift(y: dict[str, float], u: dict[str, float], values: dict[str, float]) -> list[float]:
    """One Euler step of neurolib's own integration: region 0 is the model, region 1 the network that it hears."""
    params = loadDefaultParams(Cmat=np.zeros((2, 2)), Dmat=np.zeros((2, 2)), seed=0)
    params.update(values)
    p, dt = dict(params), 2.0**-10
    # W r = network and W^2 r = network_sq
    weight = u["network_sq"] / u["network"]
    p["Cmat"] = np.array([[0.0, weight], [0.0, 0.0]])
    heard = np.array([u["local_exc"], u["network"] / weight])
    for name in ("cee", "cie", "c_gl"):
        p[name] *= p["tau_se"] / p["Jie_max" if name == "cie" else "Jee_max"]
    for name in ("cei", "cii"):
        p[name] *= p["tau_si"] / abs(p["Jei_max" if name == "cei" else "Jii_max"])
    p |= {name: np.full(2, y[name]) for name in list(ALN_STATES)[2:] if name != "IA"}
    p["IA"] = np.array([[y["IA"], 0.0]] * 2)
    p["rates_exc"] = np.stack([1e3 * heard, np.zeros(2)], axis=1)
    p["rates_inh"] = np.stack([1e3 * np.full(2, u["local_inh"]), np.zeros(2)], axis=1)
    for name in ("ext_exc_rate", "ext_inh_rate", "ext_exc_current", "ext_inh_current"):
        p[name] = np.full((2, 2), u[name])
    p |= {"dt": dt, "sqrt_dt": np.sqrt(dt), "duration": dt, "t": np.array([dt]), "N": 2, "startind": 1}
    p |= {
        "Dmat": np.zeros((2, 2)),
        "Dmat_ndt": np.zeros((2, 2), int),
        "ndt_de": 0,
        "ndt_di": 0,
        "taum": p["C"] / p["gL"],
    }
    p |= {"rd_exc": np.zeros((2, 2)), "rd_inh": np.zeros(2), "noise_exc": np.zeros(2), "noise_inh": np.zeros(2)}
    step = timeIntegration.timeIntegration_njit_elementwise
    names = list(inspect.signature(step.py_func).parameters)
    returned = inspect.getsource(step.py_func).strip().splitlines()[-1].removeprefix("    return ").split(", ")
    after = dict(zip(returned, step(*(p[name] for name in names)), strict=True))
    # a rate has no memory there: these two rows are the transfer functions' values
    rates = [after[name][0, 1] / 1e3 for name in ("rates_exc", "rates_inh")]
    changes = [
        (after["IA"][0, 1] - y["IA"]) / dt if k == "IA" else (after[k][0] - y[k]) / dt for k in list(ALN_STATES)[2:]
    ]
    return rates + changes


def aln() -> dict[str, np.ndarray]:
    rng, defaults = np.random.default_rng(1), loadDefaultParams(seed=0)
    y, u = uniform(rng, ALN_STATES), uniform(rng, ALN_INPUTS)
    drawn = varied(rng, {k: defaults[k] for k in ALN_PARAMETERS}, {"a": 15.0, "b": 40.0})
    rows = [
        aln_drift(named(ALN_STATES, a), named(ALN_INPUTS, b), named(ALN_PARAMETERS, c))
        for a, b, c in zip(y, u, drawn, strict=True)
    ]
    return {"y": y, "u": u, "parameters": drawn, "drift": np.array(rows), "names": np.array(ALN_PARAMETERS)}


#: A network of four regions: what differs from the defaults. Delays are in ms, at 20 mm/ms.
ALN_NETWORK = {"mue_ext_mean": 1.2, "mui_ext_mean": 0.8, "a": 5.0, "b": 5.0, "c_gl": 0.2}


def aln_network() -> dict[str, np.ndarray]:
    """Rates in kHz and adaptation of every region, every 1 ms of 300 ms."""
    rng = np.random.default_rng(2)
    weights = short(rng.uniform(0.1, 1.0, (4, 4))) * (1 - np.eye(4))
    lengths = 4.0 * rng.integers(5, 60, (4, 4))
    model = ALNModel(Cmat=weights, Dmat=lengths, seed=3)
    model.params.update(ALN_NETWORK | {"duration": 300.0, "sigma_ou": 0.0})
    p = model.params
    start = [p["rates_exc_init"][:, 0] / 1e3, p["rates_inh_init"][:, 0] / 1e3, p["mufe_init"], p["mufi_init"]]
    start += [p["IA_init"][:, 0], *(p[f"{k}_init"] for k in list(ALN_STATES)[5:13]), p["mue_ou"], p["mui_ou"]]
    start = np.array(start)
    model.run()
    rows = [model.rates_exc / 1e3, model.rates_inh / 1e3, model.outputs.IA]
    switched = {"names": np.array(list(ALN_NETWORK)), "parameters": np.array(list(ALN_NETWORK.values()))}
    return switched | {"weights": weights, "lengths": lengths, "start": start, "values": np.array(rows)[:, :, 9::10]}


def thalamus_drift(y: dict[str, float], u: np.ndarray, values: dict[str, float]) -> list[float]:
    """neurolib's derivatives of both populations, as its networks have them, at numbers."""
    masses = []
    for kind, defaults, renamed, population in (
        (thalamus.ThalamocorticalMass, thalamus.TCR_DEFAULT_PARAMS, TCR, "t"),
        (thalamus.ThalamicReticularMass, thalamus.TRN_DEFAULT_PARAMS, TRN, "r"),
    ):
        own = {k: v for k, v in values.items() if k in defaults}
        own |= {k: values[f"{k}_{population}"] for k in ("g_T", "ext_current")}
        mass = kind(params=defaults | own)
        mass.idx_state_var, mass.noise_input_idx, mass.index = 0, [0], 0
        mass.initialised = True
        masses.append((mass, renamed))
    tcr, trn = masses[0][0], masses[1][0]
    Q_t, Q_r = (float(mass._get_firing_rate(y[V])) for mass, V in ((tcr, "V_t"), (trn, "V_r")))
    heard = (
        {"node_exc_exc": 0.0, "node_exc_inh": values["N_tr"] * Q_r, "network_exc_exc": u[0]},
        {"node_inh_exc": values["N_rt"] * Q_t, "node_inh_inh": values["N_rr"] * Q_r, "network_inh_exc": u[1]},
    )
    found = {}
    for (mass, renamed), inputs in zip(masses, heard, strict=True):
        names = [renamed.get(name, name) for name in mass.state_variable_names]
        at = {current_y(i): y.get(name, 0.0) for i, name in enumerate(names)} | {system_input(0): 0.0}
        for name, expression in zip(names, mass._derivatives(inputs), strict=True):
            found[name] = float(expression.subs(at)) if hasattr(expression, "subs") else float(expression)
    return [found[name] for name in THALAMUS_STATES]


def thalamus_model() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    left_out = {"dt", "duration", "seed", "C1", "d_phi", "N"}
    defaults = {
        k: float(v)
        for k, v in ThalamicMassModel(seed=0).params.items()
        if isinstance(v, float | int) and k not in left_out and not k.endswith("_init")
    }
    y, u = uniform(rng, THALAMUS_STATES), uniform(rng, {"c_t": (0, 1), "c_r": (0, 1)})
    drawn = varied(rng, defaults, {"E_AMPA": 5.0, "ext_current_t": 2.0, "ext_current_r": 2.0})
    rows = [
        thalamus_drift(named(THALAMUS_STATES, a), b, named(defaults, c)) for a, b, c in zip(y, u, drawn, strict=True)
    ]
    return {"y": y, "u": u, "parameters": drawn, "drift": np.array(rows), "names": np.array(list(defaults))}


def thalamus_run() -> dict[str, np.ndarray]:
    """Both potentials every 2 ms of 1200 ms: a spindle out of rest."""
    model = ThalamicMassModel(seed=0)
    rest = {"V_t_init": np.array([-70.0]), "V_r_init": np.array([-70.0])}
    model.params.update(rest | {"duration": 1200.0, "dt": 0.002})
    model.run()
    return {"values": np.array([model.V_t[0], model.V_r[0]])[:, 999::1000].astype(np.float32)}


def main(out: Path) -> None:
    found: dict[str, Any] = {}
    made = {"aln": aln(), "aln_network": aln_network(), "thalamus": thalamus_model(), "thalamus_run": thalamus_run()}
    for name, arrays in made.items():
        for key, value in arrays.items():
            assert value.dtype.kind == "U" or np.isfinite(value).all(), (name, key)
            found[f"{name}.{key}"] = value
            print(f"{name}.{key:12} {value.shape}")
    np.savez_compressed(out, **found)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]) if len(sys.argv) == 2 else OUT)
