"""Models and results to disk and back."""

import dataclasses
import importlib
import inspect
import io
import json
import os
import random
import stat
import subprocess
import sys
import zipfile

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import xarray as xr

import gyrax as gx
from families import CASES
from families.couplings import attracted, squared
from families.monitors import KERNELS, MONITORS
from families.noise import grown
from gyrax._formats.names import Names

#: Every model, coupling, noise, waveform, stimulus, monitor and kernel there is: a new one that cannot be saved fails here.
EVERY = {name: case for name, (case, _) in CASES.items()}
EVERY |= {f"monitors.{name}": watched.monitor for name, watched in MONITORS.items()}
EVERY |= {f"kernels.{name}": kernel for name, kernel in KERNELS.items()}


#: The precision for a while; JAX 0.6 has it elsewhere.
in_precision = (jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")).enable_x64


def same(one, two, where="it"):
    """Bit for bit, and of one kind, whatever the tree holds."""
    assert type(one) is type(two), where
    if isinstance(one, jax.Array | np.ndarray | np.generic):
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            assert jax.random.key_impl(one) == jax.random.key_impl(two)
            one, two = map(jax.random.key_data, (one, two))
        assert one.dtype == two.dtype and one.shape == two.shape, where
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes(), where
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert hasattr(one, field.name) == hasattr(two, field.name), where
            same(getattr(one, field.name, None), getattr(two, field.name, None), f"{where}.{field.name}")
    elif isinstance(one, tuple | list):
        assert len(one) == len(two), where
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            same(a, b, f"{where}.{i}")
    elif isinstance(one, dict):
        assert list(one) == list(two), where
        for key in one:
            same(one[key], two[key], f"{where}.{key}")
    elif isinstance(one, xr.Dataset | xr.DataArray):
        assert one.identical(two), where
    else:
        assert one == two or one != one, where


def there_and_back(tmp_path, what, *like, **given):
    gx.io.save(tmp_path / "it.npz", what)
    back = gx.io.load(tmp_path / "it.npz", *like, **given)
    same(what, back)
    assert repr(back) == repr(what)
    assert jax.tree.structure(back) == jax.tree.structure(what)
    return back


@pytest.mark.parametrize("name", EVERY)
def test_every_class_comes_back_without_a_word_about_it(tmp_path, name):
    what = EVERY[name]
    there_and_back(tmp_path, what, own=[squared, attracted, grown])
    there_and_back(tmp_path, what, what)


def test_every_public_class_has_a_name_in_files():
    """By which `load` finds it again: none is a stranger to the list."""
    spaces = [gx, gx.models, gx.couplings, gx.monitors, gx.noise, gx.stimuli, gx.features, gx.losses, gx.io, gx.solvers]
    kinds = {k for space in spaces for k in vars(space).values() if inspect.isclass(k) and not inspect.isabstract(k)}
    kinds = {
        k
        for k in kinds
        if k.__module__.startswith("gyrax.") and (issubclass(k, eqx.Module | tuple) or dataclasses.is_dataclass(k))
    }
    names = Names()
    assert len(kinds) > 90
    assert all(names.class_of(names.name_of(kind) or "none", "") is kind for kind in kinds)


@pytest.mark.parametrize("kind", [gx.Real(2.0), gx.Positive(0.5), gx.Above(1.0), gx.Below(1.0), gx.Interval(0.0, 1.0)])
def test_domains(tmp_path, kind):
    there_and_back(tmp_path, kind)


LABELS = ["V1", "M1", "A1"]
WEIGHTS = np.array([[0.0, 1.0, 0.5], [0.3, 0.0, 0.7], [0.9, 0.2, 0.0]])
LENGTHS = 30.0 * (WEIGHTS > 0) + 10.0 * WEIGHTS


def regions(labels=tuple(LABELS)):
    return gx.Connectome(WEIGHTS, LENGTHS, labels=list(labels), centres=np.eye(3))


def network(labels=tuple(LABELS), source="E", **given):
    model = gx.models.WilsonCowan()
    far = gx.couplings.Linear(source=source, target="c_P", strength=0.3)
    return gx.Network(model, far, regions(labels), **given)


def surface():
    near = gx.couplings.Linear(
        source="S", strength=0.1, weights=gx.Sparse(np.eye(5, k=1) + np.outer([1, 0, 0, 0, 0], np.ones(5)))
    )
    far = gx.couplings.Linear(source="S", strength=0.5)
    delay = gx.Delay(3.0, interpolation="cubic", bounds=(1.0, 30.0))
    return gx.Network(
        gx.models.WongWang(), {"near": near, "far": far}, regions(), delay, surface=gx.Surface([0, 0, 1, 1, 2])
    )


def groups():
    model = gx.Groups({"thalamus": (gx.models.Hopf(), ["M1"]), "cortex": (gx.models.WongWang(w=[0.5, 0.6]), ...)})
    far = gx.couplings.Linear(source="cortex.S", target="thalamus.c_x", weights=np.ones((1, 2)))
    noise = {"z": gx.noise.White(states="cortex.S"), "a": gx.noise.OrnsteinUhlenbeck(inputs="thalamus.c_x")}
    return gx.Network(model, far, regions(), noise=noise)


def stimulated():
    pulse = gx.stimuli.Stimulus(gx.stimuli.Pulse(onset=5.0) * 2.0, {"A1": 1.0}, target="c_P")
    noise = gx.noise.White(sigma=[[0.1], [0.2]], mixing=gx.noise.factor(np.eye(3) + 0.1))
    steps = gx.ConnectionDelays(np.full((3, 3), 4.0))
    return network(noise=noise, stimulus=pulse + gx.stimuli.Stimulus(0.1, target="c_P"), delay=steps)


NETWORKS = {
    "instantaneous": network,
    "delays": lambda: network(delay=gx.Delay(3.0)),
    "no delay": lambda: network(delay=gx.NoDelay()),
    "a surface": surface,
    "groups": groups,
    "stimuli and noise": stimulated,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks(tmp_path, kind):
    net = NETWORKS[kind]()
    there_and_back(tmp_path, net)
    there_and_back(tmp_path, net, NETWORKS[kind]())


def test_what_belongs_to_networks(tmp_path):
    there_and_back(tmp_path, gx.Groups({"all": (gx.models.Hopf(), ...)}))  # not placed yet
    there_and_back(tmp_path, regions())
    there_and_back(tmp_path, gx.Connectome(WEIGHTS))
    there_and_back(
        tmp_path, gx.LeadField(np.ones((2, 3, 3)), orientation=np.eye(3), positions=np.ones((2, 3)), unit="V")
    )
    there_and_back(tmp_path, gx.datasets.load("dk84"))


@pytest.fixture(scope="module")
def run():
    monitors: dict = {"raw": gx.monitors.Raw()}
    monitors["bold"] = gx.monitors.GlobalAverage(source="E", period=1.0).then(gx.monitors.Balloon(period=2.0))
    net = network(delay=gx.Delay(10.0), noise=gx.noise.White())
    return gx.simulate(net, 4.0, 1.0, monitors=monitors, key=jax.random.key(3, impl="rbg"))


def test_runs_recordings_and_their_ends(tmp_path, run):
    back = there_and_back(tmp_path, run)
    assert jax.random.key_impl(back.final.key) == jax.random.key_impl(run.final.key)
    there_and_back(tmp_path, run.final)
    there_and_back(tmp_path, run.final, run.final)
    there_and_back(tmp_path, run["bold"])
    there_and_back(tmp_path, run["raw"].to_xarray())
    there_and_back(tmp_path, gx.History(np.zeros((5, 2, 3)), period=2.0))


def test_results(tmp_path, run):
    model, history = gx.models.Linear(gamma=-0.5), {"loss": np.array([2.0, 1.0]), "validation": np.array([1.5, np.nan])}
    one = gx.FitResult(model, model, 0, 1.5, history, {"gamma": np.array([1])}, 0.1, "steps")
    there_and_back(tmp_path, dataclasses.replace(one, starts=[one, one]))
    there_and_back(tmp_path, gx.Evaluation({"r": np.array([0.5, 0.7]), "fc": np.ones((2, 3, 3))}))
    there_and_back(tmp_path, gx.Ceiling(0.5, 0.6, None, 4, 30))
    states = {"FIC": None, "EIB": {"w": jnp.ones(3)}}
    there_and_back(tmp_path, gx.TuneResult(network(), {"FIC.a": np.ones(2)}, run.final, states, 720.0, 1.5, "steps"))
    swept = xr.Dataset({"r": (("model.w", "r_0"), np.ones((2, 3)))}, {"model.w": [0.5, 0.7]}, {"about": "a sweep"})
    there_and_back(tmp_path, swept)
    there_and_back(tmp_path, gx.features.Spectrum(frequencies=[0.0, 2.0], power=np.ones((2, 3)), labels=tuple(LABELS)))


def test_every_kind_of_value(tmp_path):
    there_and_back(
        tmp_path,
        {
            "plain": [None, True, -3, 0.1, float("inf"), float("nan"), -0.0, 2j, "ü\ud800", ..., ()],
            "keys": {(1, "a"): 1, (0, "b"): 2},
            "a.b": jnp.ones(2),
            "a": {"b": jnp.zeros(3)},
            "half": jnp.arange(3, dtype=jnp.bfloat16),
            "eighth": jnp.ones(3, ml_dtypes.float8_e4m3fn),
            "no gradient": np.zeros((2, 3), jax.dtypes.float0),
            "complex": jnp.asarray([1 + 2j]),
            "flags": jnp.asarray([True, False]),
            "whole": jnp.asarray([1, 2**40]),
            "bytes": jnp.asarray([1, 255], jnp.uint8),
            "narrow": jnp.ones(2, jnp.float32),
            "numpy": np.arange(6.0).reshape(2, 3).T,
            "foreign": np.arange(3, dtype=">i4"),
            "scalars": (np.float32(0.1), np.int8(3), np.bool_(True), np.str_("x")),
            "names": np.array(["a", "bc"]),
            "times": np.array(["2020-01-01"], "M8[D]"),
            "nothing": np.zeros((0, 3)),
            "old key": jax.random.PRNGKey(3),
            "typed keys": jax.random.split(jax.random.key(3), 2),
            "functions": (jnp.tanh, jax.nn.relu, jnp.linalg.norm),
        },
    )
    with zipfile.ZipFile(tmp_path / "it.npz") as file:
        assert {"a.b.npy", "a.b~2.npy", "gyrax.json"} <= set(file.namelist())


def test_a_file_says_what_it_holds(tmp_path):
    gx.io.save(tmp_path / "net.npz", network())
    with np.load(tmp_path / "net.npz") as file:
        about = json.loads(file["gyrax.json"])
        np.testing.assert_array_equal(file["connectome.weights"], WEIGHTS)
    assert about["format"] == 1 and about["gyrax"] and about["float"] == "float64"
    tree = about["tree"]
    assert tree["class"] == "gyrax.Network"
    assert tree["fields"]["connectome"]["static"]["labels"] == {"tuple": LABELS}
    model = tree["fields"]["model"]
    assert model["class"] == "gyrax.models.WilsonCowan" and model["units"]["tau_e"] == "ms"


# With a model to compare


def renamed(net, labels):
    return eqx.tree_at(lambda n: n.connectome, net, regions(labels))


def test_labels_in_another_order_are_refused(tmp_path):
    gx.io.save(tmp_path / "net.npz", network(("V1", "M1", "A1")))
    with pytest.raises(ValueError, match=r"net.npz: the file does not fit the model: connectome.labels\[0\] is 'V1' in the file "
                       r"and 'A1' in the model \(the same names, in another order\)"):  # fmt: skip
        gx.io.load(tmp_path / "net.npz", network(("A1", "V1", "M1")))
    with pytest.raises(ValueError, match=r"connectome.labels\[2\] is 'A1' in the file and 'S1' in the model$"):
        gx.io.load(tmp_path / "net.npz", network(("V1", "M1", "S1")))


def test_a_coupling_on_another_population_is_refused(tmp_path):
    gx.io.save(tmp_path / "net.npz", network(source="E"))
    with pytest.raises(ValueError, match=r"coupling.source\[0\] is 'E' in the file and 'I' in the model"):
        gx.io.load(tmp_path / "net.npz", network(source="I"))


REFUSED = {
    "class": (
        gx.models.WongWang(),
        gx.models.Hopf(),
        "it is a gyrax.models.WongWang in the file and a gyrax.models.Hopf",
    ),
    "static": (gx.noise.White(states="S"), gx.noise.White(), r"states is \('S',\) in the file and None in the model"),
    "flag": (gx.models.EpileptorCodim3(N=2), gx.models.EpileptorCodim3(N=1), "N is 2 in the file and 1 in the model"),
    "optional": (
        gx.couplings.Linear(source="S", offset=0.1),
        gx.couplings.Linear(source="S"),
        "offset is float64 in the file and None in the model",
    ),
    "shape": (
        gx.models.Linear(gamma=[[-1.0] * 3] * 7),
        gx.models.Linear(),
        r"gamma has shape \(7, 3\) in the file and \(\) in the model",
    ),
    "length": ({"a": jnp.ones(4)}, {"a": jnp.ones(3)}, r"a has shape \(4,\) in the file and \(3,\) in the model"),
    "kind": ({"a": jnp.ones(3)}, {"a": jnp.arange(3)}, "a has numbers in the file and whole numbers in the model"),
    "part": ({"a": 1.0}, {"a": 1.0, "b": 2.0}, "only the model has b"),
    "parts": ([1.0, 2.0], [1.0], "it has 2 parts in the file and 1 in the model"),
    "key": ({"k": jax.random.key(0)}, {"k": jnp.zeros(2)}, "k has random keys in the file and numbers in the model"),
    "function": (
        gx.couplings.Coupling(source="x", pre=jnp.tanh),
        gx.couplings.Coupling(source="x", pre=jnp.sin),
        "pre is a jax.numpy.tanh in the file and a jax.numpy.sin in the model",
    ),
    "own function": (
        gx.couplings.Coupling(source="x", pre=squared),
        gx.couplings.Coupling(source="x", pre=grown),
        "pre is squared in the file and grown in the model",
    ),
    "bounds": (
        gx.Delay(3.0, bounds=(1.0, 20.0)),
        gx.Delay(3.0, bounds=(1.0, 30.0)),
        r"bounds.1 is 20.0 in the file and 30.0 in the model",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named(tmp_path, case):
    saved, model, said = REFUSED[case]
    gx.io.save(tmp_path / "it.npz", saved)
    with pytest.raises(ValueError, match=said):
        gx.io.load(tmp_path / "it.npz", model)


def test_a_network_comes_back_with_what_was_fitted(tmp_path):
    """From a scalar start to one value a region, bit for bit, without weak types."""
    file, net = tmp_path / "fitted.npz", network(delay=gx.Delay(3.0))
    fitted = gx.per_region(net, "model.tau_e")
    fitted = eqx.tree_at(lambda n: n.model.tau_e, fitted, jnp.linspace(8.0, 9.0, 3))
    fitted = eqx.tree_at(lambda n: n.coupling.strength, fitted, jnp.asarray(0.7))
    gx.io.save(file, fitted)
    back = gx.io.load(file, net)
    same(back, fitted)
    assert jax.tree.structure(back) == jax.tree.structure(net)
    assert not any(x.weak_type for x in jax.tree.leaves(back))
    assert net.model.tau_e.shape == ()
    same(gx.io.load(str(file), fitted), fitted)  # into one that is wide already, by a path as text
    gx.io.save(str(file), net)  # over the old one, and back to a scalar
    same(gx.io.load(file, fitted), net)
    assert [f.name for f in tmp_path.iterdir()] == ["fitted.npz"]


def test_as_many_values_as_regions(tmp_path):
    net = network()
    gx.io.save(tmp_path / "net.npz", eqx.tree_at(lambda n: n.model.tau_e, net, jnp.full(4, 10.0)))
    for like in ((), (net,)):
        with pytest.raises(ValueError, match=r"net.npz: Network cannot be: model.tau_e has shape \(4,\)"):
            gx.io.load(tmp_path / "net.npz", *like)


class Bare(eqx.Module):
    x: float = 0.5
    n: int = 3
    on: bool = True
    name: str = "plain"
    y: jax.Array = eqx.field(default_factory=lambda: jnp.arange(3))
    act: object = eqx.field(default=squared, static=True)


def test_plain_numbers_stay_plain(tmp_path):
    gx.io.save(tmp_path / "bare.npz", Bare(x=0.25, n=7, on=False, y=jnp.arange(3) + 4))
    for given in ({"model": Bare()}, {"own": [Bare, squared]}):
        back = gx.io.load(tmp_path / "bare.npz", **given)
        assert (back.x, back.n, back.on, back.name) == (0.25, 7, False, "plain")
        assert [type(v) for v in (back.x, back.n, back.on)] == [float, int, bool]
        np.testing.assert_array_equal(back.y, [4, 5, 6])
        assert jnp.issubdtype(back.y.dtype, jnp.integer)
    gx.io.save(tmp_path / "bare.npz", Bare(name="other"))
    with pytest.raises(ValueError, match="name is 'other' in the file and 'plain' in the model"):
        gx.io.load(tmp_path / "bare.npz", Bare())


def test_classes_and_functions_of_ones_own_are_not_looked_up(tmp_path):
    gx.io.save(tmp_path / "bare.npz", Bare())
    with pytest.raises(
        ValueError, match=r"it is a .*Bare, which is not gyrax's, .*load\(path, model\).* load\(path, own="
    ):
        gx.io.load(tmp_path / "bare.npz")
    with pytest.raises(ValueError, match=r"act is .*squared, of which a file can hold but the name: .* own="):
        gx.io.load(tmp_path / "bare.npz", own=[Bare])
    gx.io.save(tmp_path / "mlp.npz", mlp := eqx.nn.MLP(1, 1, 2, 1, key=jax.random.key(0)))
    same(gx.io.load(tmp_path / "mlp.npz", eqx.nn.MLP(1, 1, 2, 1, key=jax.random.key(1))), mlp)
    gx.io.save(tmp_path / "tree.npz", {"p": jax.tree_util.Partial(squared, jnp.ones(2))})
    like = {"p": jax.tree_util.Partial(squared, jnp.zeros(2))}
    np.testing.assert_array_equal(gx.io.load(tmp_path / "tree.npz", like)["p"].args[0], [1.0, 1.0])
    with pytest.raises(ValueError, match="which is not gyrax's"):
        gx.io.load(tmp_path / "tree.npz")


@pytest.mark.parametrize(
    "what, said",
    [
        ({"a": np.array([1, None])}, "a is an array of dtype object"),
        ({"a": [np.ma.masked_array([1.0, 2.0], [True, False])]}, "a.0 is a numpy.*MaskedArray, not a plain array"),
        ({"a": {1, 2}}, "a is a builtins.set: what is saved are numbers, text, arrays"),
        ([(i for i in "ab")], "0 is a builtins.generator: what is saved are"),
        ({"a": np.zeros(2, [("x", float)])}, r"a is an array of dtype \[\('x', '<f8'\)\]"),
    ],
)
def test_what_cannot_be_saved_is_named_and_leaves_the_old_file(tmp_path, what, said):
    gx.io.save(tmp_path / "it.npz", {"a": 1.0})
    with pytest.raises(TypeError, match=said):
        gx.io.save(tmp_path / "it.npz", what)
    assert gx.io.load(tmp_path / "it.npz") == {"a": 1.0}
    with pytest.raises(TypeError, match="b is not known yet, inside jit"):
        jax.jit(lambda b: gx.io.save(tmp_path / "it.npz", {"b": b}))(1.0)


# Values that cannot be


def written(tmp_path, changed, net=None):
    """A file with other numbers than the constructors would take."""
    gx.io.save(tmp_path / "it.npz", eqx.tree_at(changed[0], net or network(), changed[1]))
    return tmp_path / "it.npz"


WRONG = {
    "NaN": (
        (lambda n: n.model.tau_e, jnp.asarray([1.0, jnp.nan, 1.0])),
        r"model.tau_e\[1\] \(M1\) = nan does not lie inside",
    ),
    "negative": (
        (lambda n: n.model.tau_e, jnp.asarray(-10.0)),
        "model.tau_e = -10 does not lie inside its domain Positive",
    ),
    "shape": (
        (lambda n: n.coupling.strength, jnp.ones((7, 3))),
        r"coupling.strength has shape \(7, 3\): expected one value",
    ),
    "text": ((lambda n: n.model.tau_e, "fast"), "model.tau_e is a number or an array of numbers, got 'fast'"),
    "whole": ((lambda n: n.model.tau_e, jnp.asarray(3)), "model.tau_e is a number or an array of numbers"),
    "weights": ((lambda n: n.connectome.weights, -WEIGHTS), "connectome cannot be: .*negative"),
    "regions": ((lambda n: n.connectome.weights, jnp.ones((4, 4))), "connectome cannot be: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_values_that_cannot_be_are_named(tmp_path, case):
    changed, said = WRONG[case]
    path = written(tmp_path, changed)
    with pytest.raises(ValueError, match=said):
        gx.io.load(path)


def test_what_lies_on_the_edge_or_outside_on_purpose_loads(tmp_path):
    """Weights that rules learn end at zero; `Free(domain=...)` lets a fit leave the declared domain."""
    path = written(tmp_path, (lambda n: n.coupling.strength, jnp.asarray(0.0)))
    assert gx.io.load(path).coupling.strength == 0
    far = (lambda n: n.coupling.strength, jnp.asarray(-0.5))
    path = written(tmp_path, far)
    with pytest.raises(ValueError, match=r"strength = -0.5 .* give load.* a model that lies there too"):
        gx.io.load(path, network())
    assert gx.io.load(path, eqx.tree_at(far[0], network(), jnp.asarray(-1.0))).coupling.strength == -0.5


def test_several_networks_in_one_load(tmp_path):
    """As `vmap` makes them."""
    many = jax.tree.map(lambda x: jnp.stack([x, x]), network(delay=gx.Delay(3.0)))
    there_and_back(tmp_path, many)


def one_that_hears_all():
    return gx.Sparse(np.eye(40) + np.outer(np.arange(40) == 3, np.ones(40)))


@pytest.mark.parametrize(
    "what, where, said",
    [
        (
            surface,
            lambda n: n.coupling["near"].weights.lists.heard,
            "near.weights cannot be: a connection lies outside of 5",
        ),
        (surface, lambda n: n.surface.members.heard, "surface cannot be: its regions and the lists"),
        (surface, lambda n: n.surface.region_of, "surface cannot be: "),
        (one_that_hears_all, lambda s: s.lists.owners, "Sparse cannot be: a connection lies outside of 40 x 40"),
        (one_that_hears_all, lambda s: s.lists.entries, "Sparse cannot be: its lists and the number of its weights"),
    ],
)
def test_indices_are_looked_at(tmp_path, what, where, said):
    path = written(tmp_path, (where, where(what()) + 10**6), what())
    with pytest.raises(ValueError, match=said):
        gx.io.load(path)


# Precision, versions


def test_floats_take_the_precision_of_here(tmp_path):
    net = network(delay=gx.Delay(3.0))
    with in_precision(False):
        single = network(delay=gx.Delay(3.0))
        gx.io.save(tmp_path / "single.npz", single)
        gx.io.save(
            tmp_path / "loose.npz",
            {"x": jnp.ones(2), "n": np.ones(2), "i": jnp.arange(2), "h": jnp.ones(2, jnp.float16)},
        )
        there_and_back(tmp_path, single)
    for back in (gx.io.load(tmp_path / "single.npz"), gx.io.load(tmp_path / "single.npz", net)):
        assert {x.dtype for x in jax.tree.leaves(back)} == {np.dtype("float64")}
        assert back.coupling.strength == np.float32(0.3)
    assert jax.tree.structure(back) == jax.tree.structure(net)  # bounds of delays are the model's own
    loose = gx.io.load(tmp_path / "loose.npz")
    assert [str(loose[name].dtype) for name in ("x", "n", "i", "h")] == ["float64", "float64", "int32", "float16"]
    gx.io.save(tmp_path / "double.npz", net)
    gx.io.save(tmp_path / "whole.npz", {"i": jnp.asarray([1, 2**40])})
    with in_precision(False):
        back = gx.io.load(tmp_path / "double.npz")
        assert {x.dtype for x in jax.tree.leaves(back)} == {np.dtype("float32")}
        same(gx.io.load(tmp_path / "double.npz", single), single)
        with pytest.raises(ValueError, match="i has whole numbers beyond 32 bits: switch on jax_enable_x64"):
            gx.io.load(tmp_path / "whole.npz")


def edited(path, change):
    """The file with its description changed; its checksums are right."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    about = json.loads(members["gyrax.json"])
    changed = change(about) or about
    members["gyrax.json"] = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    with zipfile.ZipFile(path, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)


def test_versions_fields_and_units_that_changed_are_named(tmp_path):
    path = tmp_path / "it.npz"
    for change, said in (
        (lambda a: a.update(format=2, gyrax="9.9"), "gyrax 9.9 wrote it in a later format .*: update gyrax"),
        (
            lambda a: a["tree"]["units"].update(tau_S="s"),
            "tau_S was saved in 's', and gyrax.models.WongWang has it in 'ms' now",
        ),
        (lambda a: a["tree"]["fields"].update(z=1), "only the file has a field 'z'"),
        (lambda a: a["tree"]["fields"].pop("w") and None, "only this version has a field 'w'"),
        (
            lambda a: a["tree"].update({"class": "gyrax.models.Gone"}),
            "gyrax.models.Gone, which is none that this version has",
        ),
        (lambda a: a["tree"].update({"class": "os.system"}), "os.system, which is not gyrax's"),
    ):
        gx.io.save(path, gx.models.WongWang())
        edited(path, change)
        with pytest.raises(ValueError, match=f"it.npz: .*{said}"):
            gx.io.load(path)


def test_files_of_arrays_alone_load_into_a_model(tmp_path):
    """As gyrax 0.1 wrote them."""
    net = gx.per_region(network(delay=gx.Delay(3.0)), "model.tau_e")
    arrays = {name: np.asarray(x) for name, x in zip(gx.parameters.leaf_names(net), jax.tree.leaves(net), strict=True)}
    np.savez(tmp_path / "old.npz", **arrays)
    same(gx.io.load(tmp_path / "old.npz", network(delay=gx.Delay(3.0))), net)
    with pytest.raises(ValueError, match=r"old.npz: it has arrays alone, .* give load.* a model"):
        gx.io.load(tmp_path / "old.npz")
    with pytest.raises(ValueError, match=r"only the model has delay.speed"):
        np.savez(tmp_path / "old.npz", **{k: v for k, v in arrays.items() if k != "delay.speed"})
        gx.io.load(tmp_path / "old.npz", net)
    with pytest.raises(ValueError, match="only the file has more"):
        np.savez(tmp_path / "old.npz", **arrays, more=1)
        gx.io.load(tmp_path / "old.npz", net)
    with pytest.raises(ValueError, match=r"model.tau_e has shape \(7, 3\) in the file and \(3,\) in the model"):
        np.savez(tmp_path / "old.npz", **arrays | {"model.tau_e": np.ones((7, 3))})
        gx.io.load(tmp_path / "old.npz", net)
    with pytest.raises(ValueError, match=r"model.tau_e = nan does not lie inside"):
        np.savez(tmp_path / "old.npz", **arrays | {"model.tau_e": np.nan})
        gx.io.load(tmp_path / "old.npz", net)


# Files


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "model.npz"
    gx.io.save(file, gx.models.WongWang(w=0.7))

    def stopping(file, array, **kwargs):
        file.write(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", stopping)
        with pytest.raises(KeyboardInterrupt):
            gx.io.save(file, gx.models.WongWang(w=0.9))
    assert gx.io.load(file).w == jnp.asarray(0.7)
    gx.io.save(file, gx.models.WongWang(w=0.9))
    assert gx.io.load(file).w == jnp.asarray(0.9)
    assert [f.name for f in tmp_path.iterdir()] == ["model.npz"]


@pytest.mark.skipif(os.name != "posix", reason="links and modes")
def test_links_and_modes_stay(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "latest.npz").symlink_to(tmp_path / "there" / "it.npz")
    gx.io.save(tmp_path / "latest.npz", 1.0)
    assert (tmp_path / "latest.npz").is_symlink() and gx.io.load(tmp_path / "there" / "it.npz") == 1.0
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE((tmp_path / "there" / "it.npz").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


def test_places_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*model.npz"):
        gx.io.load(tmp_path / "model.npz")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none for model.npz: make it first"):
        gx.io.save(tmp_path / "none" / "model.npz", 1.0)
    with pytest.raises(ValueError, match="is no file"):
        gx.io.load(tmp_path)
    with pytest.raises(OSError, match="is no file: name one that can be written"):
        gx.io.save(tmp_path, 1.0)
    with pytest.raises(TypeError, match=r"model= is the class WongWang: give .* an instance"):
        gx.io.load(tmp_path / "model.npz", gx.models.WongWang)
    with pytest.raises(TypeError, match="own= takes a list"):
        gx.io.load(tmp_path / "model.npz", own=Bare)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="pipe is no file"):
            gx.io.load(tmp_path / "pipe")
        with pytest.raises(OSError, match="pipe is no file"):
            gx.io.save(tmp_path / "pipe", 1.0)  # a device would be replaced


def member(array_header, data=b""):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, array_header)
    return out.getvalue() + data


HOSTILE = {
    "text": lambda path: path.write_bytes(b"weights = 3"),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "a bit": lambda path: path.write_bytes(
        path.read_bytes().replace(np.float64(0.6).tobytes(), np.float64(0.7).tobytes())
    ),
    "larger than it is": lambda path: packed(
        path, w=member({"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    ),
    "empty texts": lambda path: packed(path, w=member({"descr": "<U0", "fortran_order": False, "shape": (10**12,)})),
    "pickles": lambda path: packed(path, w=member({"descr": "|O", "fortran_order": False, "shape": ()}, b"\x80\x04N.")),
    "compressed": lambda path: packed(
        path, zipfile.ZIP_DEFLATED, w=member({"descr": "<f8", "fortran_order": False, "shape": ()}, b"\0" * 8)
    ),
    "another shape": lambda path: packed(
        path, w=member({"descr": "<f8", "fortran_order": False, "shape": (1,)}, b"\0" * 8)
    ),
    "deep": lambda path: edited(path, lambda about: b'{"list": [' * 10**5),
    "no tree": lambda path: edited(path, lambda about: {"format": 1}),
    "no dict": lambda path: edited(path, lambda about: [1]),
    "no kind": lambda path: edited(path, lambda about: about.update(tree={"eval": "1"})),
    "another path": lambda path: edited(
        path, lambda about: about["tree"]["fields"].update(w={"function": "gyrax.io.export.os"})
    ),
    "a class called": lambda path: edited(
        path, lambda about: about["tree"]["fields"].update(w={"function": "gyrax.io.save"})
    ),
}


def packed(path, how=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path) as old:
        kept = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", how) as new:
        for name, data in {**kept, **{f"{name}.npy": data for name, data in members.items()}}.items():
            new.writestr(name, data)


@pytest.mark.parametrize("case", HOSTILE)
def test_damaged_files_are_refused_in_one_sentence(tmp_path, case):
    path = tmp_path / "it.npz"
    gx.io.save(path, gx.models.WongWang())
    HOSTILE[case](path)
    for like in ((), (gx.models.WongWang(),)):
        with pytest.raises(ValueError, match=r"it\.npz"):
            gx.io.load(path, *like)


def test_mutated_files_load_or_are_refused(tmp_path):
    """Bytes, and the description with its checksum right."""
    path, rng = tmp_path / "it.npz", random.Random(4)
    gx.io.save(path, stimulated())
    whole = path.read_bytes()

    def mutate(node):
        while isinstance(node, dict | list) and node:
            key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.15:
                node[key] = rng.choice(
                    [None, -1, 10**30, "x", [], {}, {"list": [1]}, {"array": "model.c_ee"}, 0.5, True]
                )
                return
            node = node[key]

    outcomes = []
    for i in range(40):
        if i % 2:
            data = bytearray(whole)
            for _ in range(rng.choice([1, 5])):
                data[rng.randrange(len(data))] = rng.randrange(256)
            path.write_bytes(data)
        else:
            path.write_bytes(whole)
            edited(path, lambda about: mutate(about["tree"]))
        try:
            gx.io.load(path)
            outcomes.append(True)
        except ValueError as error:
            assert "it.npz" in str(error)
            outcomes.append(False)
    assert outcomes.count(False) > 25


def test_rooms_that_come_late_are_found_by_name(tmp_path):
    """In a process that has not used them: a saved posterior, front or branch."""
    from gyrax._formats import names

    code = (
        "import sys; from gyrax._formats.names import Names\n"
        "assert 'gyrax.inference' not in sys.modules\n"
        "print(Names().class_of('gyrax.inference.Posterior', 'it').__name__, Names().class_of('gyrax.search.Front', 'it').__name__)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["Posterior", "Front"]
    with pytest.raises(ValueError, match="none that this version has"):
        names.Names().class_of("gyrax.nowhere.Posterior", "it")
