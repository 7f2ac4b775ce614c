"""What classes and networks say of couplings whose states or messages cannot be what they are meant to be."""

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx

pytestmark = pytest.mark.once

EVERY = np.ones((4, 4)) - np.eye(4)
RING = np.roll(np.eye(4), 1, axis=1)
HALVES = gx.Groups({"A": (gx.models.Linear(), ["a", "b"]), "B": (gx.models.Linear(), ["c", "d"])})
LABELLED = gx.Connectome(EVERY, labels=list("abcd"))


def pairs(**methods):
    """A coupling of pairs with a weight that learns, and these of its own."""

    def message(self, x_source, x_target, w):
        return w * x_source

    def edge_drift(self, x_source, x_target, w):
        return {"w": -w}

    known = {"message": message, "edge_drift": edge_drift, "edge_states": ("w",), "w": gx.parameter(1.0)} | methods
    known |= {"__annotations__": {"w": gx.Array}}
    return type("Learning", (gx.AbstractPairCoupling,), {k: v for k, v in known.items() if v is not None})


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ({"edge_states": ()}, "edge_drift moves states, and edge_states names none"),
        ({"edge_drift": None}, "nothing that moves them"),
        ({"edge_states": ("v",)}, "declare v: gx.Array"),
        ({"limits": {"w": 1.0}}, "a pair \\(lowest, highest\\)"),
        ({"limits": {"w": (1.0, 0.0)}}, "a pair \\(lowest, highest\\)"),
    ],
)
def test_classes_are_refused_as_they_are_made(methods, told):
    with pytest.raises(TypeError, match=told):
        pairs(**methods)


def test_states_of_connections_are_of_couplings_of_pairs():
    with pytest.raises(TypeError, match="subclass gx\\.AbstractPairCoupling"):

        class Encoding(gx.AbstractCoupling):
            edge_states = ("w",)

            def encode(self, x):
                return x

            def decode(self, total, x, degree):
                return total


def normalised(self, x_source, x_target, w):
    return {"w": (1 - w.sum(0)) * w}


def loudest(self, x_source, x_target, w):
    return w * x_source / x_source.max(1, keepdims=True)


@pytest.mark.parametrize(
    ("methods", "told"),
    [({"edge_drift": normalised}, "edge_drift of 'w' is of each"), ({"message": loudest}, "message of coupling is of")],
)
@pytest.mark.parametrize("weights", [EVERY, RING + RING.T + RING @ RING])
def test_a_connection_is_by_itself(methods, told, weights):
    with pytest.raises(ValueError, match=told):
        gx.Network(gx.models.Linear(), pairs(**methods)(source="x"), weights)


def test_limits_without_a_state_are_refused():
    limited = type("Limited", (gx.couplings.Threshold,), {"limits": {"w": (0.0, 1.0)}})
    with pytest.raises(ValueError, match="limits for 'w'"):
        gx.Network(gx.models.Linear(), limited(source="x"), EVERY)


@pytest.mark.parametrize("made", [gx.couplings.GapJunction, gx.couplings.Sakaguchi, gx.plasticity.Hebbian])
def test_a_target_of_another_group_has_no_value_to_compare_with(made):
    with pytest.raises(ValueError, match="compares what a region hears with its own"):
        gx.Network(HALVES, made(source="A.x", target="B.c"), LABELLED)
    assert gx.Network(HALVES, gx.plasticity.TsodyksMarkram(source="A.x", target="B.c"), LABELLED).n_regions == 4


def direction(self, x_source, x_target, w):
    return w * (x_source - x_target) / jnp.abs(x_source - x_target)


@pytest.mark.parametrize("weights", [EVERY, RING])
def test_nobody_is_connected_to_itself(weights):
    """Where most pairs are connected there is a place for each region with itself, in which a message may be anything."""
    net = gx.Network(gx.models.Linear(gamma=-0.1), pairs(message=direction)(source="x"), weights)
    x = np.arange(4.0)
    expected = (weights * np.sign(x[None] - x[:, None])).sum(1)
    y = net.whole(jnp.asarray(x)[None])
    np.testing.assert_allclose(net.input(0.0, y)[0], expected)
    assert np.isfinite(net.drift(0.0, y).own["coupling"].edges["w"]).all()


def test_what_decode_takes_is_no_state():
    def decode(self, total, x, degree):
        return self.w * total

    with pytest.raises(TypeError, match="NoneType") as caught:
        gx.Network(gx.models.Linear(), pairs(decode=decode)(source="x"), EVERY)
    assert "w of Learning are no attributes of self" in " ".join(caught.value.__notes__)


def test_steps_that_are_chosen_make_nothing_of_what_is_beyond_limits():
    class Filling(gx.AbstractModel):
        states, limits = ("x", "z"), {"x": (0, 1)}

        def drift(self, t, y, u):
            return jnp.stack([jnp.full_like(y[0], 0.1), y[0]])

    known = {"solver": dfx.Tsit5(), "stepsize_controller": dfx.PIDController(rtol=1e-8, atol=1e-8)}
    found = gx.simulate(gx.Network(Filling(), {}, np.zeros((1, 1))), 100.0, 0.5, **known)["raw"].values[-1, :, 0]
    np.testing.assert_allclose(found, [1.0, 95.0], rtol=1e-6)


def learnt(names="coupling", **more):
    coupling = {"slow": gx.plasticity.Hebbian(source="x", strength=0.01, tau=20.0, **more)}
    coupling |= {"used": gx.plasticity.TsodyksMarkramSources(source="x", strength=0.05, gain=0.1)}
    weights = gx.Connectome(np.roll(np.eye(4), 1, axis=1) + np.eye(4)[::-1], labels=list("abcd"))
    return gx.Network(gx.models.Linear(gamma=-0.1), coupling if names == "dict" else coupling["slow"], weights)


@pytest.mark.parametrize("names", ["coupling", "dict"])
def test_what_was_learnt_begins_as_it_ended(names):
    net, x, name = learnt(names), np.linspace(0.5, 1.5, 4)[None], "slow" if names == "dict" else "coupling"
    run = gx.simulate(net, 20.0, 0.5, start=x)
    after = gx.plasticity.as_learnt(net, run.final)
    again = gx.simulate(after, 20.0, 0.5, start=run["raw"].values[-1])
    on = gx.simulate(net, 20.0, 0.5, start=run.final)
    np.testing.assert_array_equal(again["raw"].values, on["raw"].values)
    one, other = (gx.plasticity.as_learnt(net, run.final) for run in (again, on))
    np.testing.assert_array_equal(one.couplings[name].w, other.couplings[name].w)
    w = np.asarray(after.couplings[name].w)
    there = np.asarray(net.connectome.weights) != 0
    assert (w[~there] == 1).all() and (w[there] != 1).all()


def test_where_nobody_is_connected_a_value_of_a_region_stays_its_targets():
    net, begun = learnt(w=np.arange(1.0, 5.0)), np.arange(1.0, 5.0)
    w = np.asarray(gx.plasticity.as_learnt(net, gx.simulate(net, 1.0, 0.5, start=np.zeros((1, 4))).final).coupling.w)
    there = np.asarray(net.connectome.weights) != 0
    np.testing.assert_array_equal(w[~there], np.broadcast_to(begun[:, None], (4, 4))[~there])


def test_what_was_learnt_is_of_the_network_that_learnt_it():
    net = learnt()
    with pytest.raises(ValueError, match="give the final of a run of it"):
        gx.plasticity.as_learnt(net, gx.simulate(learnt("dict"), 1.0, 0.5).final)
    plain = gx.Network(gx.models.Linear(), gx.couplings.Linear(source="x"), EVERY)
    with pytest.raises(ValueError, match="nothing was learnt"):
        gx.plasticity.as_learnt(plain, gx.simulate(plain, 0.1, 0.1).final)


@pytest.mark.parametrize(("names", "where"), [("coupling", "coupling.w"), ("dict", "coupling.used.R")])
def test_where_a_state_begins_is_nothing_to_turn(names, where):
    with pytest.raises(ValueError, match=f"{where} is where a state begins"):
        gx.analysis.adiabatic_scan(learnt(names), where, [0.5, 0.6], 10.0, 0.5)


def test_rules_between_runs_do_not_change_where_a_state_begins():
    class Halves(gx.AbstractRule):
        def init(self, network):
            return jnp.zeros(())

        def monitors(self, period):
            return {}

        def update(self, network, state, recordings):
            return eqx.tree_at(lambda n: n.coupling.w, network, network.coupling.w / 2), state, {}

    with pytest.raises(ValueError, match="changes where coupling\\.w begins"):
        gx.tune(learnt(), [Halves()], steps=2, period=5.0, dt=0.5, progress=False)
