"""What users do that once went wrong without a word: buffers, domains, units, NumPy's numbers, filters, two precisions."""

import dataclasses
import re
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gyrax as gx
from conftest import DOUBLE
from gyrax import simulation
from gyrax._kinds import number, random_key
from gyrax.parameters.addresses import replace
from gyrax.simulation import _in_default_precision

WEIGHTS = np.array([[0.0, 1.0, 0.5], [0.2, 0.0, 0.3], [0.4, 0.5, 0.0]])
LENGTHS = np.array([[0.0, 30.0, 50.0], [30.0, 0.0, 40.0], [50.0, 40.0, 0.0]])
CONNECTOME = gx.Connectome(WEIGHTS, LENGTHS, labels=["A", "B", "C"])


def network(delay=None, **others) -> gx.Network:
    hopf, far = gx.models.Hopf(), gx.couplings.Linear(source="x", target="c_x", strength=0.1)
    return gx.Network(hopf, far, CONNECTOME, delay, **others)


def loss(model, key):
    return jnp.mean(model.model.a)


#: What takes a buffer, and where its values are afterwards.
BUFFERS = {
    "model": ((3,), lambda x: gx.models.WongWang(w=x).w),
    "coupling": ((3,), lambda x: gx.couplings.Linear(source="S", strength=x).strength),
    "weights": ((3, 3), lambda x: gx.couplings.Linear(source="S", weights=x).weights),
    "sparse": ((3, 3), lambda x: gx.Sparse(x).values),
    "connectome": ((3, 3), lambda x: gx.Connectome(x).weights),
    "lengths": ((3, 3), lambda x: gx.Connectome(np.ones((3, 3)), x).lengths),
    "centres": ((3, 3), lambda x: gx.Connectome(x, centres=x).centres),
    "noise": ((3,), lambda x: gx.noise.White(sigma=x).sigma),
    "mixing": ((3, 2), lambda x: gx.noise.White(mixing=x).mixing),
    "delays": ((3, 3), lambda x: gx.ConnectionDelays(x).ms),
    "gain": ((2, 3), lambda x: gx.LeadField(x).gain),
    "orientation": ((3, 3), lambda x: gx.LeadField(np.ones((2, 3, 3)), orientation=x).orientation),
    "positions": ((2, 3), lambda x: gx.LeadField(np.ones((2, 3)), positions=x).positions),
    "covariance": ((2,), lambda x: gx.monitors.MEG(gx.LeadField(np.ones((2, 3))), period=1.0, covariance=x).covariance),
    "observed": ((3,), lambda x: gx.monitors.ObservationNoise(gx.monitors.Raw(), sigma=x).sigma),
    "history": ((4, 1, 3), lambda x: gx.History(x, 1.0).values),
    "recording": ((4, 3), lambda x: dataclasses.replace(_recording(), values=x).values),
    "samples": ((4,), lambda x: gx.stimuli.Recorded(x, 1.0, outside="hold").values),
    "constant": ((3,), lambda x: gx.stimuli.Stimulus(x).waveform.value),
    "pattern": ((3,), lambda x: gx.stimuli.Stimulus(1.0, x).pattern),
    "replaced": ((), lambda x: replace(gx.models.WongWang(), {"w": x}).w),
    "spectrum": ((2, 3), lambda x: gx.features.Spectrum([1.0, 2.0], x).power),
    "bold": ((4, 3), lambda x: gx.io.from_nilearn(x, 0.72).values),
    "target": ((3, 3), lambda x: gx.EIB(x, monitor=gx.monitors.HRFBold(source="S", period=720.0)).target),
}


def _recording() -> gx.Recording:
    return gx.Recording(jnp.ones((4, 3)), jnp.array(1), 1.0, 1.0, 0.0, ("time", "region"), ("S",), ("A", "B", "C"))


@pytest.mark.once
@pytest.mark.parametrize("name", BUFFERS)
def test_a_buffer_used_again_changes_no_model(name):
    shape, kept = BUFFERS[name]
    buffer = np.full(shape, 1.0)
    values = kept(buffer)
    buffer[...] = 0.25
    assert (np.asarray(values) == 1.0).all()


@pytest.mark.once
def test_dicts_and_masks_used_again_change_nothing():
    noises, mask = {"one": gx.noise.White(0.1)}, np.array([True, False])
    net, free = network(noise=noises), gx.Free("model.a", mask=mask)
    noises["two"], mask[:] = gx.noise.White(0.2), True
    assert list(net.noises) == ["one"] and np.asarray(free.mask).tolist() == [True, False]
    regions = np.array([0, 0, 1], np.int32)
    surface = gx.Surface(regions)
    regions[:] = 0
    assert surface.region_of.tolist() == [0, 0, 1]


OUTSIDE = {
    "time constant": (lambda: gx.models.WongWang(tau_S=-100.0), r"WongWang.tau_S is -100 ms, outside its domain: > 0"),
    "one of several": (lambda: gx.models.WongWang(tau_S=[1.0, -2.0]), r"WongWang.tau_S\[1\] is -2 ms"),
    "noise": (lambda: gx.noise.White(sigma=-0.1), "White.sigma is -0.1, outside its domain: > 0"),
    "coupling": (lambda: gx.couplings.Linear(source="S", strength=-1.0), "Linear.strength is -1, outside"),
    "not finite": (lambda: gx.models.Hopf(a=np.nan), "Hopf.a is nan 1/ms, outside its domain: real"),
    "interval": (lambda: gx.monitors.Balloon(source="S", period=720.0, E_0=1.5), "Balloon.E_0 is 1.5, .*: 0 to 1"),
    "kernel": (lambda: gx.monitors.Gamma(tau=-1.0), "Gamma.tau is -1 s, outside"),
    "rule": (lambda: gx.FIC(rate=-1.0), "FIC.rate is -1, outside"),
    "speed": (lambda: gx.Delay(-3.0), "speed is a positive number|Delay.speed is -3"),
    "pulse": (lambda: gx.stimuli.Pulse(duration=0.0), "Pulse.duration is 0 ms, outside"),
}


@pytest.mark.once
@pytest.mark.parametrize("case", OUTSIDE)
def test_values_outside_their_domain_are_refused(case):
    build, message = OUTSIDE[case]
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.once
def test_edges_tracers_and_updates_are_not_refused():
    assert gx.couplings.Linear(source="S", strength=0.0).strength == 0 and gx.noise.White(sigma=0.0).sigma == 0
    assert jnp.isnan(jax.jit(lambda x: gx.models.Hopf(a=x).a)(jnp.nan))
    later = eqx.tree_at(lambda m: m.tau_S, gx.models.WongWang(), jnp.asarray(-1.0))
    assert jax.tree.map(lambda x: x, later).tau_S == -1
    for domain, edge in ((gx.Positive(), 0.0), (gx.Above(2.0), 2.0), (gx.Below(3.0), 3.0), (gx.Interval(0, 1), 1.0)):
        at = jnp.asarray(edge)
        assert domain.admits(at) and not domain.contains(at) and not domain.admits(jnp.asarray(jnp.nan))


@pytest.mark.skipif(DOUBLE, reason="annotations are checked there, before the package says a word")
def test_a_wrong_name_is_answered_with_the_right_one():
    with pytest.raises(TypeError, match=r"WongWang has no argument W=; did you mean w=\? it has w, J_N"):
        gx.models.WongWang(W=1.0)
    with pytest.raises(TypeError, match=r"Linear.* missing .*'source'"):
        gx.couplings.Linear()


def said(call) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(w.filename == __file__ for w in caught), [w.filename for w in caught]
    return [str(w.message) for w in caught if issubclass(w.category, gx.UnitWarning)]


UNLIKELY = {
    "lengths in m": (
        lambda: gx.Connectome(WEIGHTS, LENGTHS / 1000),
        "the longest tract is 0.05 mm: usual are 1 to 1000 mm",
    ),
    "speed in mm/s": (lambda: gx.Delay(3000.0), "the conduction speed is 3000 mm/ms .* usual are 0.1 to 120 mm/ms"),
    "speed in m/ms": (lambda: gx.Delay(0.003), "the conduction speed is 0.003 mm/ms"),
    "TR in s": (
        lambda: gx.monitors.Balloon(source="S", period=1.0),
        r"TR\) is 1 ms: usual are 50 to 20000 ms; a TR in s",
    ),
    "TR of a kernel": (lambda: gx.monitors.HRFBold(source="S", period=2.0), r"TR\) is 2 ms"),
    "transposed": (lambda: gx.io.from_nilearn(np.ones((6, 9)), 0.72), "has 6 times .* 9 channels .* transposed"),
}


@pytest.mark.once
@pytest.mark.parametrize("case", UNLIKELY)
def test_other_units_are_warned_of_once_where_they_are_written(case):
    call, message = UNLIKELY[case]
    (sentence,) = said(call)
    assert re.search(message, sentence), sentence


@pytest.mark.once
def test_usual_values_say_nothing():
    for call in (
        network,
        lambda: gx.Delay(),
        lambda: gx.datasets.load("dk84"),
        lambda: gx.Connectome(WEIGHTS, 0 * WEIGHTS),
    ):
        assert said(call) == []


@pytest.mark.once
@pytest.mark.parametrize("factor", [1e6, 1e30])
def test_impossible_lengths_are_refused_with_their_unit(factor):
    with pytest.raises(
        ValueError, match=r"the longest tract of lengths is 5e\+\d+ mm, which is impossible: usual are 1 to 1000 mm"
    ):
        gx.Connectome(WEIGHTS, factor * LENGTHS)


JANSEN_RIT = gx.Network(gx.models.JansenRit(), gx.couplings.SigmoidalJansenRit(), CONNECTOME)


@pytest.mark.once
def test_a_step_longer_than_a_time_constant_is_warned_of(monkeypatch):
    monkeypatch.setattr(simulation, "begin", lambda *x: 1 / 0)

    def asked(dt):
        with pytest.raises(ZeroDivisionError):
            gx.simulate(JANSEN_RIT, 20 * dt, dt)

    (sentence,) = said(lambda: asked(20.0))
    assert sentence.startswith("dt = 20 ms is longer than a time constant of the model, 10 ms (by a)")
    assert said(lambda: asked(1.0)) == []
    (sentence,) = said(lambda: asked(0.001))
    assert "the step dt is 0.001 ms: usual are" in sentence


SHORT = {
    "no sample": (lambda: _bold(60.0), "60 ms is shorter than the period of 'bold', 720 ms: it records nothing"),
    "steps": (
        lambda: gx.simulate(JANSEN_RIT, 3e9, 1.0),
        "is 3000000000 steps of dt = 1.0 ms, and a run counts to 2147483647",
    ),
}


def _bold(duration):
    return gx.simulate(JANSEN_RIT, duration, 1.0, monitors={"bold": gx.monitors.Balloon(source="psp", period=720.0)})


@pytest.mark.once
@pytest.mark.parametrize("case", SHORT)
def test_runs_that_make_no_sense_are_refused(case):
    call, message = SHORT[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_late_runs_are_refused_or_warned_of(monkeypatch):
    monkeypatch.setattr(simulation, "begin", lambda *x: 1 / 0)

    class Own(gx.stimuli.AbstractWaveform):
        def __call__(self, t):
            return t

    def asked(step, waveform):
        net = network(stimulus=gx.stimuli.Stimulus(waveform, target="c_x"))
        final = dataclasses.replace(things()["final"], step=jnp.asarray(step, jnp.int32), dt=0.1)
        with pytest.raises(ZeroDivisionError):
            gx.simulate(net, 1.0, 0.1, start=final)

    with pytest.raises(ValueError, match="would end at step 2147483656, and runs that go on"):
        asked(2**31 - 2, Own())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asked(1_000_000, Own())
        asked(864_000_000, gx.stimuli.Sine())  # a day
        assert not caught
        asked(36_000_000, gx.stimuli.Sine() * Own())  # an hour
    assert len(caught) == (0 if DOUBLE else 1)
    said = "3.6e+06 ms, where float32 tells times apart by 0.25 ms, more than a step, and Own is given such times"
    assert all(said in str(w.message) for w in caught)


@pytest.mark.parametrize("how", ["spectral", "region", "max"])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30, 2e38])
def test_normalising_does_not_depend_on_the_scale(how, scale):
    def normalised(weights):
        return np.asarray(gx.Connectome(weights).normalised(how).weights)

    # in float32, 2e38 is near the largest number there is
    np.testing.assert_allclose(normalised(WEIGHTS * scale), normalised(WEIGHTS), rtol=3e-6)


NUMBERS = [np.float64(2), np.float32(2), np.int64(2), np.array(2.0), 2, 2.0]


@pytest.mark.skipif(DOUBLE, reason="annotations are checked there, before the package says a word")
@pytest.mark.parametrize("two", NUMBERS, ids=lambda x: type(x).__name__)
def test_numbers_of_numpy_are_numbers(two):
    assert gx.monitors.Balloon(source="x", period=360 * two).period == 720
    assert type(gx.History(np.zeros((3, 1, 3)), two).period) in (int, float)
    assert gx.Delay(3.0, bounds=(two, 10 * two)).bounds == (2, 20)
    assert hash(gx.Interval(-two, two)) == hash(gx.Interval(-2.0, 2.0)) and gx.Positive(scale=two) == gx.Positive(2.0)
    assert number("dt", two) == 2 and number("dt", np.float32(0.1)) == 0.1


@pytest.mark.once
def test_a_whole_number_is_a_seed():
    same = jax.random.key_data(random_key("key", 3)) == jax.random.key_data(jax.random.key(3))
    assert same.all() and random_key("key", jax.random.PRNGKey(3)).shape == (2,)
    with pytest.raises(
        TypeError, match=r"key= takes one random key or a whole number, got .* write key=jax.random.key\(0\)"
    ):
        random_key("key", jax.random.split(jax.random.key(0)))


def things() -> dict:
    """One of everything whose repr tells numbers."""
    rng = np.random.default_rng(0)
    delayed = network(gx.Delay(3.0))
    recording = _recording()
    final = gx.Final(jnp.zeros((2, 3)), {}, {}, jnp.array(5), None, 1.0, (), ())
    return {
        "network": delayed,
        "connectome": CONNECTOME,
        "recording": recording,
        "final": final,
        "run": gx.Run({"raw": recording}, final, jnp.full(3, -1), 1.0, 4, ("A", "B", "C")),
        "history": gx.History(np.zeros((3, 2, 3)), 1.0),
        "spectrum": gx.features.Spectrum([1.0, 2.0], rng.gamma(1.0, size=(2, 3))),
        "connectivity": gx.features.Connectivity([1.0, 2.0], np.ones((2, 3, 3))),
        "surface": gx.Surface([0, 1, 1]),
        "sparse": gx.Sparse(np.eye(3)),
        "lead field": gx.LeadField(np.ones((2, 3))),
        "spatial": gx.monitors.SpatialAverage([0, 1, 1], period=1.0),
        "observed": gx.monitors.ObservationNoise(gx.monitors.Raw(), sigma=0.1),
        "stimulus": gx.stimuli.Stimulus(gx.stimuli.Pulse(), {"A": 1.0}),
    }


@pytest.mark.once
@pytest.mark.parametrize("name", things())
def test_filters_specs_and_shapes_of_anything_can_be_printed(name):
    thing = things()[name]
    trees = [
        thing,
        jax.tree.map(lambda _: True, thing),
        jax.tree.map(lambda _: None, thing),
        *eqx.partition(thing, eqx.is_array),
        *eqx.partition(thing, eqx.is_inexact_array),
        eqx.filter_eval_shape(lambda x: x, thing),
        jax.tree.map(lambda x: jnp.stack([x, x]), thing),
    ]
    assert all(repr(tree) and str(tree) for tree in trees)
    eqx.filter_eval_shape(lambda x: (repr(x), x)[1], thing)


@pytest.mark.once
def test_free_and_spec_of_a_delayed_network_can_be_printed():
    net = network(gx.Delay(3.0))
    spec = gx.select(net, "model.a", gx.Free("coupling.strength"))
    assert all(map(repr, (spec, *gx.split(net, spec))))


MOVING = {
    "fit": lambda net: gx.fit(net, loss, gx.select(net, "delay.speed"), optax.sgd(0.1), steps=1),
    "within a tuple": lambda net: gx.split((net, 1.0), gx.select((net, 1.0), "0.delay.speed")),
    "sweep": lambda net: gx.sweep(net, loss, {"delay.speed": [2.0, 3.0]}),
}


@pytest.mark.once
@pytest.mark.parametrize("case", MOVING)
def test_delays_without_room_may_not_move(case):
    sentence = r"delay.speed is to change, .* they are 10 to 16.67 ms now; .* such as bounds=\(5, 33\)"
    with pytest.raises(ValueError, match=sentence):
        MOVING[case](network(gx.Delay(3.0, interpolation="linear")))
    roomy = network(gx.Delay(3.0, bounds=(5.0, 33.0), interpolation="linear"))
    gx.split(roomy, gx.select(roomy, "delay.speed"))


@pytest.mark.once
def test_a_run_takes_the_precision_that_is_switched_on_and_numbers_that_were_put_in():
    with jax.enable_x64(not DOUBLE):
        before = network(gx.Delay(3.0))
    later = eqx.tree_at(lambda n: n.coupling.strength, before, 0.3)  # a Python number: each would compile anew
    for leaf in jax.tree.leaves(eqx.filter(_in_default_precision(later), eqx.is_inexact_array)):
        assert leaf.dtype == jnp.result_type(float) and not leaf.weak_type
    assert eqx.is_array(_in_default_precision(later).coupling.strength)
    now = network(gx.Delay(3.0))
    assert _in_default_precision(now) is now


@pytest.mark.once
def test_a_mesh_with_explicit_axes_is_answered_with_the_line_to_write():
    if not hasattr(jax.sharding, "AxisType") or not hasattr(jax, "shard_map"):
        pytest.skip("this JAX has no such meshes")
    mesh = jax.make_mesh((1,), ("b",), axis_types=(jax.sharding.AxisType.Explicit,))
    keys = jax.device_put(jax.random.split(jax.random.key(0), 2), NamedSharding(mesh, PartitionSpec("b")))
    net = network(noise=gx.noise.White(0.1))

    def values(key):
        return gx.simulate(net, 5.0, 1.0, key=key)["raw"].values

    with pytest.raises(ValueError, match=r"axis_types=.jax\.sharding\.AxisType\.Auto"):
        jax.eval_shape(jax.vmap(values), keys)
    mesh = jax.make_mesh((1,), ("b",), axis_types=(jax.sharding.AxisType.Auto,))
    mapped = jax.shard_map(jax.vmap(values), mesh=mesh, in_specs=PartitionSpec("b"), out_specs=PartitionSpec("b"))
    with pytest.raises(ValueError, match="check_vma=False"):
        jax.eval_shape(mapped, jax.random.split(jax.random.key(0), 2))
