"""Every public function and class is handed wrong kinds, argument by argument: one sentence says which argument it was."""

import inspect
import traceback
import warnings
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
import pytest
import xarray as xr

import gyrax as gx
from conftest import DOUBLE
from gyrax import simulation
from gyrax._formats.fields import WrongKindError
from gyrax.analysis import bending, branching, fluctuations, identifying, resting, stability
from gyrax.fitting import evaluation, training, tuning
from gyrax.inference import density, flows, posterior, ranks
from gyrax.parameters import parameters
from gyrax.scale import computing, many, pooling
from gyrax.search import plans, walking
from test_public_names import namespaces, public

SOURCE = str(Path(gx.__file__).parent)
RNG = np.random.default_rng(0)
SERIES, MATRIX = RNG.normal(size=(48, 3)), np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.2], [0.5, 0.2, 0.0]])
CONNECTOME = gx.Connectome(MATRIX, 30 * MATRIX, labels=["A", "B", "C"])
NETWORK = gx.Network(gx.models.Hopf(), gx.couplings.Linear(source="x", target="c_x"), CONNECTOME)
RECORDING = gx.Recording(
    jnp.asarray(SERIES), jnp.array(1), 10.0, 1.0, 0.0, ("time", "region"), ("x",), CONNECTOME.labels
)
SPECTRUM = gx.features.Spectrum(np.arange(1.0, 31.0), RNG.gamma(3.0, size=(30, 3)))
QUARTET = gx.Recording(
    jnp.asarray(RNG.normal(size=(48, 4))), jnp.array(1), 10.0, 1.0, 0.0, ("time", "region"), ("x",), tuple("ABCD")
)
THEORY = gx.analysis.linear_noise(
    gx.Network(gx.models.Linear(), gx.couplings.Linear(source="x"), CONNECTOME, noise=gx.noise.White(sigma=0.1))
)
FIELD = gx.LeadField(np.ones((2, 3)), sensors=["P", "Q"], regions=CONNECTOME.labels)
RAW = gx.monitors.Raw(source="x")
FC = np.where(np.eye(3, dtype=bool), 1.0, 0.3 * MATRIX)
SCAN = gx.study.Scan("rest1", FC)


def loss(model, key):
    return jnp.mean(model.model.a)


def squares(model, key):
    return jnp.mean(model.model.a**2), {"a": jnp.mean(model.model.a), "residuals": model.model.a}


def noisy_loss(model, key):
    return jnp.mean(model.model.a) + jax.random.normal(key)


def loss_of_data(model, key, data):
    return jnp.mean(model.model.a) + data


def loss_of_subject(network, data, key):
    return jnp.mean(network.model.a**2)


PRIORS = {"model.a": numpyro.distributions.Normal(0.0, 1.0)}
#: What is handed over for every argument of this name, unless OWN says otherwise.
VALID: dict[str, Any] = {
    "a": FC,
    "b": FC,
    "bounds": None,
    "connectome": CONNECTOME,
    "coupling": gx.couplings.Linear(source="x", target="c_x"),
    "covariance": 0.5 * np.eye(3),
    "domain": gx.Positive(),
    "dt": 1.0,
    "duration": 10.0,
    "features": loss,
    "field": FIELD,
    "found": None,
    "function": loss,
    "gain": np.ones((2, 3)),
    "groups": [0, 1, 1],
    "high": 20.0,
    "keys": jax.random.split(jax.random.key(0), 2),
    "lag": 20.0,
    "lags": 5,
    "leaf": "model.a",
    "loss": loss,
    "lower": 0.0,
    "low": 8.0,
    "matrix": FC,
    "model": NETWORK,
    "monitor": RAW,
    "name": "dk84",
    "network": NETWORK,
    "optimiser": optax.sgd(0.1),
    "period": 10.0,
    "progress": False,
    "recording": RECORDING,
    "region_of": [0, 1, 1],
    "rules": [gx.FIC(excitation="x", inhibition="y", leaf="model.a")],
    "segment": 160.0,
    "sigma": 0.1,
    "source": "x",
    "space": {"model.a": [0.1, 0.2]},
    "spec": gx.select(NETWORK, "model.a"),
    "spectrum": SPECTRUM,
    "step": 60.0,
    "steps": 3,
    "target": FC,
    "upper": 1.0,
    "values": np.ones((4, 2, 3)),
    "weights": MATRIX,
    "where": "model.a",
    "window": 120.0,
    "x": RECORDING,
}
H = gx.models.Hopf()
LEARNING = gx.Network(gx.models.Linear(gamma=-0.1), gx.plasticity.Hebbian(source="x", strength=0.01), MATRIX)
COHORT = gx.Cohort({"sub-01": NETWORK, "sub-02": NETWORK})
RANDOM = np.array([FC + 0.01 * RNG.normal(size=(3, 3)) for _ in range(3)])
#: The same for one function or class alone.
OWN: dict[str, dict[str, Any]] = {
    "gx.Cohort": {"subjects": {"sub-01": NETWORK}},
    "gx.scale.Cohort": {"subjects": {"sub-01": NETWORK}},
    "gx.EIB": {"monitor": gx.monitors.HRFBold(source="x", period=720.0)},
    "gx.Groups": {"groups": {"all": (H, ...)}},
    "gx.History": {"values": np.ones((4, 2, 3))},
    "gx.Network": {"model": H},
    "gx.Tie": {"first": "model.a"},
    "gx.best": {"found": xr.Dataset({"loss": ("model.a", [1.0, 0.5])}, {"model.a": [0.1, 0.2]})},
    "gx.ceiling": {"found": RANDOM},
    "gx.features.Connectivity": {"frequencies": [1.0, 2.0], "values": np.ones((2, 3, 3))},
    "gx.features.Spectrum": {"frequencies": [1.0, 2.0], "power": np.ones((2, 3))},
    "gx.features.band_power": {"low": 8.0, "high": 20.0},
    "gx.features.chimera": {"groups": [0, 0, 1, 1], "x": QUARTET},
    "gx.features.group_orders": {"groups": [0, 0, 1, 1], "x": QUARTET},
    "gx.losses.gaussian_log_likelihood": {"features": np.ones(3), "mean": np.zeros(3), "sd": 1.0},
    "gx.losses.ks_distance": {"a": SERIES[:, 0], "b": SERIES[:, 1]},
    "gx.losses.peak_frequency_rmse": {"a": SPECTRUM, "b": SPECTRUM},
    "gx.losses.wasserstein": {"a": SERIES[:, 0], "b": SERIES[:, 1]},
    "gx.losses.weighted_sum": {"terms": {"fc": (1.0, 0.5)}},
    "gx.datasets.lead_field": {"name": "tvb76", "modality": "eeg"},
    "gx.join": dict(zip(("free", "fixed"), gx.split(NETWORK, gx.select(NETWORK, "model.a")), strict=True)),
    "gx.models.GammaChain": {"model": H, "row": "x"},
    "gx.models.table": {"model": H},
    "gx.monitors.EEG": {"source": None},
    "gx.monitors.PSD": {"period": 320.0},
    "gx.noise.Multiplicative": {"function": jnp.sin},
    "gx.parameter": {},
    "gx.LabelledArray": {"values": np.ones((2, 2)), "names": [("A", "B")] * 2},
    "gx.couplings.as_names": {"names": "S"},
    "gx.couplings.DynamicPreSigmoidal": {"source": ("x", "theta")},
    "gx.stimuli.Product": {"parts": (gx.stimuli.Sine(), gx.stimuli.Pulse())},
    "gx.stimuli.Recorded": {"values": np.ones(4), "outside": "hold"},
    "gx.stimuli.Stimuli": {"parts": (gx.stimuli.Stimulus(1.0),)},
    "gx.stimuli.Stimulus": {"waveform": 1.0},
    "gx.stimuli.Sum": {"parts": (gx.stimuli.Sine(), gx.stimuli.Pulse())},
    "gx.tune": {"network": gx.per_region(NETWORK, "model.a")},
    "gx.by_maps": {"maps": {"size": [1.0, 2.0, 4.0]}},
    "gx.by_groups": {"groups": ["a", "b", "a"]},
    "gx.study.Data": {"fit": (SCAN,)},
    "gx.study.Dynamics": {"values": [0.1, 0.4]},
    "gx.study.Scan": {"name": "rest1", "fc": FC},
    "gx.study.Study": {
        "settings": gx.study.Settings(),
        "data": gx.study.Data(CONNECTOME, (SCAN,)),
        "structure": gx.study.scaled(CONNECTOME),
        "out": Path("nowhere"),
    },
    "gx.study.critical": {"path": "coupling.strength", "highest": 1.0, "values": {"model.a": [-1.0]}},
    "gx.plasticity.as_learnt": {"network": LEARNING, "final": gx.simulate(LEARNING, 2.0, 1.0).final},
    "gx.scale.fit_many": {"fit": loss_of_data, "subjects": {"A": 1.0}},
    "gx.devices": {"cpu": len(jax.local_devices(backend="cpu"))},
    "gx.scale.Draws": {"priors": {"model.a": numpyro.distributions.Uniform(-0.5, 0.5)}, "count": 2},
    "gx.scale.LatinHypercube": {"ranges": {"model.a": (-0.5, 0.5)}, "count": 2},
    "gx.scale.Seeds": {"count": 2},
    "gx.scale.Sobol": {"ranges": {"model.a": (-0.5, 0.5)}, "count": 2},
    "gx.scale.Subjects": {"cohort": COHORT},
    "gx.scale.sensitivity": {"ranges": {"model.a": (-0.5, 0.5), "model.omega": (0.1, 0.2)}, "count": 2},
    "gx.scale.status": {"store": "nowhere.zarr"},
    "gx.search.least_squares": {"loss": squares},
    "gx.search.front": {"loss": squares, "terms": {"loss": "min", "a": "max"}},
    "gx.analysis.linear_noise": {
        "network": eqx.tree_at(lambda n: n.noise, NETWORK, gx.noise.White(), is_leaf=lambda x: x is None)
    },
    "gx.analysis.nonlinearity": {"theory": THEORY, "listener": "x"},
    "gx.analysis.identifiability": {"predict": loss, "sd": 1.0},
    "gx.analysis.adiabatic_scan": {"parameter": "model.a", "values": [-0.5, -0.4]},
    "gx.analysis.continuation": {"parameter": "model.a", "between": (-1.0, 0.0)},
    "gx.analysis.profile": {"name": "model.a", "values": [-0.5, -0.4]},
    "gx.analysis.modes": {"state": np.zeros((2, 3))},
    "gx.inference.log_density": {"priors": PRIORS},
    "gx.inference.laplace": {"priors": PRIORS},
    "gx.inference.nuts": {"priors": PRIORS},
    "gx.inference.svi": {"priors": PRIORS},
    "gx.inference.pseudo_marginal": {"priors": PRIORS, "loss": noisy_loss},
    "gx.inference.learn_posterior": {"priors": PRIORS},
    "gx.inference.neural_posterior": {"priors": PRIORS, "observed": np.ones(())},
    "gx.inference.calibration": {"priors": PRIORS, "data": loss, "loss": loss_of_data},
    "gx.losses.fisher_z_log_likelihood": {"fc": FC, "target": FC, "samples": 20.0},
    "gx.losses.whittle_log_likelihood": {"spectrum": SPECTRUM, "periodogram": SPECTRUM},
    "gx.per_subject": {"cohort": COHORT},
    "gx.scale.per_subject": {"cohort": COHORT},
    "gx.scale.cohort_loss": {"loss": loss_of_subject},
    "gx.scale.random_effects": {"values": [1.0, 2.0, 3.0], "errors": [0.1, 0.1, 0.1]},
    "gx.scale.standard_errors": {
        "cohort": gx.per_subject(COHORT, "network.model.a"),
        "loss": gx.scale.cohort_loss(loss_of_subject),
        "names": ["network.model.a"],
    },
    "gx.study.linear": {"there": np.ones(3, bool)},
    "gx.study.prepare": {"settings": gx.study.Settings(), "out": Path("nowhere")},
}
WRONG = [None, "what", dict, 3, -1.5, [], [object()], {}, {"what": 1}, np.ones((2, 5, 4)), np.array(["a"]), object()]
#: Called with names, though they take several things without.
WRAPPED: dict[str, Any] = {
    "gx.select": lambda model, where: gx.select(model, where),
    "gx.per_region": lambda network, where: gx.per_region(network, where),
    "gx.Tie": lambda first: gx.Tie(first, "model.omega"),
}
#: What only holds what a run or a reader made, and what the engine calls.
RESULTS = (
    "Dataset",
    "UnitWarning",
    "Ceiling",
    "Channels",
    "Evaluation",
    "Final",
    "FitResult",
    "Recording",
    "Run",
    "TuneResult",
    "Window",
    "Recipe",
    "Weighted",
    "StudyInterrupted",
    "FixedPoints",
    "Front",
    "LinearNoise",
    "Nonlinearity",
    "Modes",
    "Exponents",
    "Identifiability",
    "AdiabaticScan",
    "Branch",
    "Curvature",
    "Profile",
    "Calibration",
    "Learnt",
    "LogDensity",
    "Posterior",
    "SamplingWarning",
    "CohortLoss",
    "Spread",
    "Status",
    "Fits",
)
ENGINE = ("increments", "threefry")
#: Namespaces that do not answer yet as the rest does; a name goes when they do.
EXCEPTIONS: dict[str, str] = {
    "gx.io": "files, whose readers name the file",
    "gx.plot": "matplotlib's arguments",
}
#: Arguments of which any value will do: static text for people, and functions of arguments that they alone know.
FREE = {("gx.LeadField", "unit"), ("gx.devices", "cpu"), ("gx.parameter", "unit"), ("gx.parameter", "doc")}


class ReachedError(Exception):
    """A call came as far as the compiler."""


@pytest.fixture
def uncompiled(monkeypatch):
    def reached(*args, **kwargs):
        raise ReachedError

    reached.lower = reached  # type: ignore[attr-defined]
    for module, name in (
        (simulation, "_run"),
        (evaluation, "seen"),
        (computing, "_evaluate_points"),
        (training, "advance"),
        (tuning, "_piece"),
        (resting, "_rests"),
        (fluctuations, "_around"),
        (fluctuations, "covariance_of"),
        (branching, "_come_to_rest"),
        (branching, "_refined"),
        (stability, "_slopes"),
        (identifying, "_slopes"),
        (bending, "_gradient"),
        (many, "_folder"),
        (many, "_fit_all"),
        (walking, "_begin"),
        (plans, "terms_of"),
        (density, "value_at"),
        (flows, "_batch"),
        (ranks, "_made"),
        (posterior, "_predicted"),
        (pooling, "_curvature"),
    ):
        monkeypatch.setattr(module, name, reached)


def everything() -> dict[str, Any]:
    """Every public function and class that can be called, by name."""
    found = {}
    for space, module in namespaces().items():
        for name in public(module):
            what = getattr(module, name)
            ours = (
                callable(what) and getattr(what, "__module__", "").startswith("gyrax") and not inspect.isabstract(what)
            )
            if ours and space not in EXCEPTIONS and name not in RESULTS + ENGINE:
                found[f"{space}.{name}"] = WRAPPED.get(f"{space}.{name}", what)
    return found


def arguments(name: str, what: Any) -> tuple[dict[str, Any], list[str]]:
    """Valid values of what must be given, and the arguments to try: of parameters declared alike, the first two."""
    every = [p for p in inspect.signature(what).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    valid = VALID | OWN.get(name, {})
    given = {p.name: valid[p.name] for p in every if p.default is p.empty}
    given |= {"progress": False} if any(p.name == "progress" for p in every) else {}
    declared = [*parameters(what)][2:] if inspect.isclass(what) else []
    tried = [p.name for p in every if p.name not in declared and (name, p.name) not in FREE]
    return given | OWN.get(name, {}), tried


def complaint(what: Any, given: dict[str, Any], argument: str) -> str:
    """What is wrong with how a call ended; empty if it is as it should be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            what(**given)
    except ReachedError:
        return ""
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}: {str(error)[:150]}"
        on_purpose = last.filename.startswith(SOURCE) and (last.line or "").startswith("raise")
        if type(error) not in (TypeError, ValueError, WrongKindError) or not on_purpose:
            return said
        named = argument.rstrip("s").lower() in str(error).lower() or str(error).startswith("no parameter")
        return "" if named else f"does not say {argument}: {said}"
    return ""


def complaints(name: str, what: Any) -> list[str]:
    given, tried = arguments(name, what)
    found = (
        (argument, wrong, complaint(what, given | {argument: wrong}, argument)) for argument in tried for wrong in WRONG
    )
    return [f"{name}({argument}={str(wrong)[:30]!r}): {said}" for argument, wrong, said in found if said]


@pytest.mark.skipif(DOUBLE, reason="annotations are checked there, before the package says a word")
@pytest.mark.parametrize("name", everything())
def test_wrong_kinds_are_named(name, uncompiled):
    found = complaints(name, everything()[name])
    assert not found, "\n".join(found)
