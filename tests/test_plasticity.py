"""Connections and sources with states of their own: against loops over connections, and closed forms of the rules."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import gyrax as gx
from conftest import DOUBLE
from living import DT, START, STEPS, Both, N, drawn, hebb, listens, loop, markram, network, one_each, recorded

pytestmark = pytest.mark.usefixtures("compiled_fast")
CLOSE = dict(rtol=1e-10, atol=1e-12) if DOUBLE else dict(rtol=2e-4, atol=2e-5)
P = gx.plasticity

NOISES = {
    "white": gx.noise.White(sigma=0.05),
    "coloured": gx.noise.OrnsteinUhlenbeck(sigma=0.05, tau=3.0),
    "both": {
        "grey": gx.noise.White(sigma=0.05),
        "brown": gx.noise.OrnsteinUhlenbeck(sigma=0.05, tau=3.0),
        "black": gx.noise.White(sigma=0.02),
    },
}
SEVERAL = {
    "slow": markram(),
    "at once": P.TsodyksMarkramSources(
        source="x", strength=0.05, tau_rec=20.0, gain=0.1, R=one_each(0, 1)[0], delay=gx.NoDelay()
    ),
    "learning": hebb(weights=drawn(0.3, seed=4).weights),
}
slow = pytest.mark.slow
CASES = [
    pytest.param(markram(), "none", 0.8, "white", id="resources"),
    pytest.param(hebb(), "linear", 0.3, "both", id="learning, late and few"),
    pytest.param(Both(source="x", w=one_each(0.5, 1.2), bias=one_each(0, 0.5)), "nearest", 0.8, None, id="of both"),
    pytest.param(SEVERAL, "nearest", 0.8, "coloured", id="several"),
    pytest.param(markram(), "nearest", 0.2, "coloured", id="few", marks=slow("float64")),
    pytest.param(markram(), "linear", 0.8, None, id="late", marks=slow),
    pytest.param(markram(), "short", 0.8, "white", id="soon", marks=slow),
    pytest.param(hebb(), "none", 0.1, None, id="hardly any", marks=slow),
    pytest.param(hebb(), "nearest", 0.8, "both", id="learning", marks=slow),
    pytest.param(Both(source="x"), "linear", 0.3, "both", id="of both, few", marks=slow),
    pytest.param(Both(source="x", w=one_each(0.5, 1.2)), "short", 0.8, None, id="of both, soon", marks=slow),
    pytest.param(
        P.Oja(source="x", strength=0.05, tau=15.0, w=one_each(-1, 1)), "linear", 0.8, "white", id="Oja", marks=slow
    ),
    pytest.param(
        P.Vogels(source="x", strength=0.2, tau=15.0, rho=0.8), "nearest", 0.8, "white", id="Vogels", marks=slow
    ),
]


def run(net, steps=STEPS, key=None, **more):
    return gx.simulate(net, steps * DT, DT, start=START, key=key, monitors=listens(net), **more)


@pytest.mark.parametrize(("coupling", "delay", "density", "noise"), CASES)
def test_runs_are_loops_over_connections(coupling, delay, density, noise):
    net = network(coupling, delay, density, noise=NOISES.get(noise))
    key = jax.random.key(3)
    found, expected = recorded(run(net, key=key)), loop(net, START[0], key=key)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values[1::2], err_msg=name, **CLOSE)
    if isinstance(coupling, Both) and density > 0.5:  # or their limits are tested by nothing
        assert (expected["coupling.a"] == 0.3).any() and (expected["coupling.w"] == 1.2).any()
    if isinstance(coupling, P.Vogels):
        assert (expected["coupling.w"] == 0).any()


class Held(gx.AbstractModel):
    """A state that nothing moves."""

    states = ("x",)
    inputs = ("c",)

    def drift(self, t, y, u):
        return jnp.zeros_like(y)


class Listening(gx.AbstractModel):
    """Four regions that play two tones, and a last one that takes over what it hears."""

    states = ("x",)
    inputs = ("c",)

    def drift(self, t, y, u):
        tones = jnp.asarray(LOUD) @ (jnp.asarray(PITCH) * jnp.cos(jnp.asarray(PITCH) * t))
        return jnp.append(tones, 2 * (u[0, -1] - y[0, -1]))[None]


PITCH = np.array([0.1, 0.17])
LOUD = np.array([[1.0, 0.2], [0.7, -0.4], [0.1, 0.6], [0.8, 0.1]])

LONG = dict(rtol=1e-9) if DOUBLE else dict(rtol=1e-5)


def rates(coupling, x, duration, dt, start=None, **more):
    """What becomes of connections between regions that stand still."""
    net = gx.Network(Held(), coupling, np.ones((len(x),) * 2) - np.eye(len(x)))
    names = coupling.edge_states
    heard = {"w": gx.monitors.Connections(source=names, period=dt)} | more.pop("heard", {})
    if start is not None:
        x = start.y.at[0].set(jnp.asarray(x))
        start = type(start)(**{**vars(start), "y": x})
    return gx.simulate(net, duration, dt, start=np.asarray(x)[None] if start is None else start, monitors=heard, **more)


def test_at_a_steady_rate_resources_come_to_rest():
    x, U = np.array([5.0, 40.0, 200.0]), one_each(0.1, 0.8)[:3, :3]
    coupling = P.TsodyksMarkram(source="x", strength=2.0, U=U, tau_rec=20.0, tau_facil=30.0)
    run = rates(coupling, x, 1200.0, 1.0, heard={"c": gx.monitors.AfferentCoupling(period=1.0)})
    r = 1e-3 * x
    u = U * (1 + 30 * r) / (1 + U * 30 * r)
    R = 1 / (1 + u * 20 * r)
    there = ~np.eye(3, dtype=bool)
    for found, expected in zip(run["w"].values[-1], (R, u), strict=True):
        np.testing.assert_allclose(np.asarray(found)[there], expected[there], **LONG)
        assert np.isnan(np.diag(found)).all()
    np.testing.assert_allclose(run["c"].values[-1, 0], 2 * (u * R * x * there).sum(1), **LONG)


@pytest.mark.once
def test_a_train_of_pulses_depresses_and_facilitates():
    """Pulses of 10 ms at 100 Hz every 20 ms: utilisation has a closed form, resources are those of an integrator of other people's."""
    U, rec, facil, u, R, t = 0.15, 40.0, 60.0, 0.2, 0.9, 0.0
    start, dt = None, 0.1
    coupling = P.TsodyksMarkram(source="x", U=U, tau_rec=rec, tau_facil=facil, u=u, R=R, gain=1e-3)
    for _ in range(4):
        for x, length in ((100.0, 10.0), (0.0, 10.0)):
            run = rates(coupling, np.array([0.0, x]), length, dt, start, solver=gx.solvers.RungeKutta4())
            times, r = run["w"].times - t, 1e-3 * x
            pace = 1 / facil + U * r
            rest = (U / facil + U * r) / pace
            used = rest + (u - rest) * np.exp(-pace * times)

            def left(s, R, u=u, r=r, pace=pace, rest=rest):
                return (1 - R) / rec - (rest + (u - rest) * np.exp(-pace * s)) * R * r

            exact = solve_ivp(left, (0, length), [R], rtol=1e-12, atol=1e-14, t_eval=times.clip(max=length)).y[0]
            found = np.asarray(run["w"].values[:, :, 0, 1])
            np.testing.assert_allclose(found[:, 1], used, rtol=1e-9)
            np.testing.assert_allclose(found[:, 0], exact, rtol=1e-9)
            (R, u), start, t = found[-1], run.final, t + length
    assert u > 0.3 and R < 0.7


@pytest.mark.slow
def test_where_all_connections_of_a_region_are_alike_its_own_states_do():
    own = dict(source="x", strength=0.05, U=0.3, tau_rec=20.0, tau_facil=40.0, gain=0.05, R=0.9, u=0.4)
    both = [network(c(**own), noise=NOISES["white"]) for c in (P.TsodyksMarkram, P.TsodyksMarkramSources)]
    each, one = (recorded(run(net, key=jax.random.key(1))) for net in both)
    np.testing.assert_allclose(each["x"], one["x"], **CLOSE)
    there = np.asarray(both[0].connectome.weights) != 0
    for state in ("coupling.R", "coupling.u"):
        spread = np.broadcast_to(one[state][:, None, :], each[state].shape)
        np.testing.assert_allclose(each[state][:, there], spread[:, there], **CLOSE)


def test_weights_follow_covariance():
    x = np.array([0.5, 2.0, -1.0])
    eta, rest, post = one_each(0.2, 2)[:3, :3], one_each(-1, 1, 2)[:3, :3], np.array([0.1, 0.2, 0.3])
    coupling = hebb(eta=eta, rest=rest, w=1.0, theta_pre=0.3, theta_post=post, tau=5.0)
    found = np.asarray(rates(coupling, x, 200.0, 0.5)["w"].values[-1, 0])
    expected = rest + eta * np.outer(x - post, x - 0.3)
    there = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(found[there], expected[there], **LONG)


@pytest.mark.once
@pytest.mark.slow
def test_one_that_only_listens_finds_the_first_principal_component():
    weights = np.zeros((5, 5))
    weights[4, :4] = 1
    net = gx.Network(Listening(), P.Oja(source="x", alpha=2.0, tau=1000.0, w=0.3), weights)
    seen = {"w": gx.monitors.Connections(period=4000.0)}
    w = np.asarray(gx.simulate(net, 16000.0, 0.25, start=np.zeros((1, 5)), monitors=seen)["w"].values[-1, 0, 4, :4])
    first = np.linalg.eigh(LOUD @ LOUD.T)[1][:, -1]
    np.testing.assert_allclose(w, first * np.sign(first[0]) / np.sqrt(2), atol=0.01)
    assert np.linalg.norm(w) == pytest.approx(1 / np.sqrt(2), rel=0.01)


@pytest.mark.once
def test_inhibition_brings_its_targets_to_a_rate():
    weights = np.zeros((3, 3))
    weights[1:, 0] = 1.0, 0.5
    drive = gx.stimuli.Stimulus(gx.stimuli.Constant(value=0.3), target="c")
    coupling = P.Vogels(source="x", strength=0.1, tau=200.0, rho=np.array([1.0, 0.5, 5.0]), w=0.2)
    net = gx.Network(gx.models.Linear(gamma=-0.1), coupling, weights, stimulus=drive)
    seen = {"w": gx.monitors.Connections(period=1.0), "x": gx.monitors.Subsample(period=1.0)}
    run = gx.simulate(net, 2000.0, 0.5, start=np.zeros((1, 3)), monitors=seen)
    w, x = np.asarray(run["w"].values[:, 0, 1:, 0]), np.asarray(run["x"].values[-1, 0])
    np.testing.assert_allclose(x, [3.0, 0.5, 3.0], rtol=1e-5)  # the last hears nothing, and is below its rate still
    np.testing.assert_allclose(w[-1], [(3 - 0.5) / (10 * 0.1 * 3), 0.0], rtol=1e-5)
    assert (w >= 0).all() and (w[:, 1] > 0).any()


@pytest.mark.once
def test_rules_take_the_last_source_row_for_the_target():
    """Of two rows the first is sent, and the last is what the target makes of it."""
    x, weights = np.array([[0.3, -0.5, 0.8], [0.2, 0.9, 0.4]]), np.ones((3, 3)) - np.eye(3)
    own, there = x[1][:, None], weights != 0
    expected = {
        hebb: (1.5 * (x[0] - 0.3) * (own - 0.1) - (0.5 - 1)) / 15,
        P.Oja: (own * x[0] - 2 * own**2 * 0.5) / 15,
        P.Vogels: x[0] * (own - 0.7) / 15,
    }
    more = {hebb: dict(eta=1.5, theta_post=0.1), P.Oja: dict(alpha=2.0), P.Vogels: dict(rho=0.7)}
    for kind, flow in expected.items():
        coupling = kind(source=("x", "y"), target="c_x", tau=15.0, w=0.5, strength=0.2, **more[kind])
        net = gx.Network(gx.models.Hopf(), coupling, weights)
        whole = net.whole(jnp.asarray(x))
        found = net.coupling.edges.put(net.drift(0.0, whole).own["coupling"].edges["w"], 3)
        np.testing.assert_allclose(np.asarray(found)[there], flow[there], **CLOSE)
        sign = -1 if kind is P.Vogels else 1
        np.testing.assert_allclose(net.input(0.0, whole)[0], sign * 0.2 * 0.5 * weights @ x[0], **CLOSE)


@pytest.mark.once
@pytest.mark.slow
def test_steps_of_any_kind_come_to_the_same():
    net = network({"a": markram(), "b": P.TsodyksMarkramSources(source="x", strength=0.05, gain=0.05)}, "linear")
    fine = recorded(run(net, solver=gx.solvers.RungeKutta4()))
    steps = dict(solver=dfx.Tsit5(), stepsize_controller=dfx.PIDController(rtol=1e-9, atol=1e-11))
    for how, close in (({}, 1e-2), ({"solver": gx.solvers.Heun(coupling_once=True)}, 5e-2), (steps, 1e-3)):
        for name, values in recorded(run(net, **how)).items():
            np.testing.assert_allclose(values, fine[name], atol=close, err_msg=name)


class Bare(gx.AbstractPairCoupling):
    """A coupling of pairs to which the tests below add what does not fit."""

    w: gx.Array = gx.parameter(1.0)
    R: gx.Array = gx.parameter(1.0)

    def message(self, x_source, x_target):
        return x_source


def edge(self, x_source, x_target, w):
    return {"w": w * x_source[0]}


def source(self, x, R):
    return {"R": R}


def encode(self, x, q):
    return x


UNFIT = [
    (dict(edge_states="w", edge_drift=edge), r"Bad\.edge_states is a tuple of names, such as \('w',\); got 'w'"),
    (dict(source_states=("R", 3), source_drift=source), r"Bad\.source_states is a tuple of names"),
    (dict(edge_states=("q",), edge_drift=edge), "names 'q', and a state begins somewhere: declare q: gx.Array"),
    (dict(source_states=("q",), source_drift=source), "names 'q', and a state begins somewhere"),
    (dict(edge_states=("w",)), r"nothing that moves them: define edge_drift\(self, x_source, x_target, w\)"),
    (dict(source_states=("R",)), r"nothing that moves them: define source_drift\(self, x, R\)"),
    (dict(encode=encode), r"Bad\.encode takes q beside x, and source_states are \(\)"),
    (dict(source_states=("R",), source_drift=lambda self, x, R, w: {"R": w}), r"Bad\.source_drift takes w beside x"),
    (dict(edge_states=("w",), edge_drift=lambda self, x_source: {}), r"edge_drift takes the two ends"),
    (dict(edge_states=("w",), edge_drift=lambda self, a, b, lag: {}), "edge_drift takes lag, and Bad declares no such"),
]


@pytest.mark.once
@pytest.mark.parametrize(("body", "words"), UNFIT)
def test_a_class_that_does_not_fit_is_refused_as_it_is_made(body, words):
    with pytest.raises(TypeError, match=words):
        type(Bare)("Bad", (Bare,), body)


def made(**body):
    return type(Bare)("Made", (Bare,), body)(source="x")


UNLIKE = [
    (
        made(edge_states=("w",), edge_drift=edge, source_states=("w",), source_drift=lambda self, x, w: {"w": w}),
        "twice",
    ),
    (made(edge_states=("w",), edge_drift=edge, limits={"R": (0, 1)}), r"limits for 'R', and its states are \('w',\)"),
    (made(source_states=("R",), source_drift=lambda self, x, R: R), r"{\"R\": ...}; it returned"),
    (
        made(source_states=("R",), source_drift=lambda self, x, R: {"w": R}),
        r"source_drift returns .*it returned \('w',\)",
    ),
    (made(source_states=("R",), source_drift=lambda self, x: {"R": x}), r"for 'R' shape \(1, 6\): expected \(6,\)"),
    (
        made(source_states=("R",), source_drift=lambda self, x: {"R": 0.0}),
        r"shape \(\): expected \(6,\), one number a region",
    ),
    (made(edge_states=("w",), edge_drift=lambda self, a, b: None), r"edge_drift returns .*returned NoneType"),
    (made(edge_states=("w",), edge_drift=lambda self, a, b: {}), r"returned \(\)"),
    (made(edge_states=("w",), edge_drift=lambda self, a, b: {"w": a}), r"for 'w' shape \(1, .*one number a connection"),
]


@pytest.mark.once
@pytest.mark.parametrize(("coupling", "words"), UNLIKE)
def test_a_coupling_that_does_not_fit_is_refused_as_the_network_is_built(coupling, words):
    with pytest.raises(ValueError, match=words):
        network(coupling)


@pytest.mark.once
def test_what_a_network_with_states_of_couplings_cannot_do_it_says():
    net = network({"a": markram(), "b": P.TsodyksMarkramSources(source="x")})
    for ask in (net.drift, net.input):
        with pytest.raises(
            ValueError, match=r"a\.R, a\.u, b\.R, b\.u, which the model's states do not tell: give net\.whole"
        ):
            ask(0.0, net.start())
    with pytest.raises(
        ValueError, match=r"shape \(2, 6\): expected one value \(\) or one a region \(6,\), or one a connection"
    ):
        network(markram(R=np.ones((2, N)) / 2))
    with pytest.raises(ValueError, match=r"coupling\.tau_rec has shape \(6, 6\): expected one value"):
        network(P.TsodyksMarkramSources(source="x", tau_rec=np.ones((N, N))))
    with pytest.raises(ValueError, match=r"b\.u, and the theory here is of the model's alone"):
        gx.analysis.fixed_points(net)
    with pytest.raises(
        ValueError,
        match=r"reads 'a\.R', .*its couplings \('b\.R', 'b\.u'\); gx\.monitors\.Connections records a\.R, a\.u",
    ):
        gx.simulate(net, 1.0, DT, monitors=gx.monitors.Subsample(source="a.R", period=1.0))
    with pytest.raises(ValueError, match=r"is no parameter of connections"):
        gx.per_connection(net, "coupling.b.R")
    groups = gx.Groups({"b": (gx.models.Linear(), ...)})

    class Own(gx.AbstractCoupling):
        source_states = ("x",)
        x: gx.Array = gx.parameter(1.0)

        def encode(self, rows, x):
            return rows * x

        def source_drift(self, rows, x):
            return {"x": -x}

        def decode(self, total, rows, degree):
            return total

    with pytest.raises(ValueError, match=r"'b\.x' is of the model and of the coupling 'b'"):
        gx.Network(groups, {"b": Own(source="b.x", target="b.c")}, drawn())


@pytest.mark.once
@pytest.mark.parametrize("coupling", [markram(), P.TsodyksMarkramSources(source="x")])
def test_a_surface_has_no_room_for_them(coupling):
    surface = gx.Surface(np.repeat(np.arange(N), 2))
    with pytest.raises(
        ValueError, match=r"has states of its own, R, u, one a region or connection, and a network with a surface"
    ):
        gx.Network(gx.models.Linear(), coupling, drawn(), surface=surface)


@pytest.mark.once
@pytest.mark.slow
def test_exponents_are_of_connections_that_are_there():
    """Weights that nothing teaches decay at one rate, as many of them as there are connections."""
    net = network(hebb(eta=1e-12, strength=1e-9, tau=50.0), density=0.4)
    many = int((np.asarray(net.connectome.weights) != 0).sum())
    assert many < net.coupling.edges.shape[0] * N
    found = gx.analysis.lyapunov_exponents(net, 1000.0, DT, count=many + 2, warm_up=10.0).values
    np.testing.assert_allclose(found, [-1 / 50] * many + [-0.1] * 2, rtol=5e-2)
    with pytest.raises(ValueError, match=f"has {many + N} numbers"):
        gx.analysis.lyapunov_exponents(net, 100.0, DT, count=many + N + 1, warm_up=10.0)


@pytest.mark.once
def test_groups_of_regions_have_them_too():
    """Of a group's states, a coupling's own are of its regions; between groups, connections are those of the block."""
    model = gx.Groups({"e": (gx.models.Linear(gamma=-0.1), ["a", "c"]), "i": (gx.models.Linear(gamma=-0.2), ...)})
    couplings = {
        "out": P.TsodyksMarkramSources(source="e.x", target="i.c", strength=0.05, gain=0.1),
        "within": hebb(source="i.x", target="i.c"),
    }
    net = gx.Network(model, couplings, drawn(0.9))
    seen = {
        "own": gx.monitors.Subsample(source="out.R", period=1.0),
        "both": gx.monitors.Subsample(source=("e.x", "out.R"), period=1.0),
        "all": gx.monitors.Subsample(source=("out.R", "e.x", "i.x"), period=1.0),
        "w": gx.monitors.Connections(period=1.0),
    }
    start = np.repeat(START, 2, 0) * np.array([[1, 0, 1, 0, 0, 0], [0, 1, 0, 1, 1, 1]])
    found = gx.simulate(net, 5.0, DT, start=start, monitors=seen)
    own, both, every, w = (np.asarray(found[name].values) for name in seen)
    assert found["both"].labels == ("a", "c") and found["all"].labels == net.labels == found["w"].labels
    np.testing.assert_array_equal(both[:, 1], own[:, 0][:, [0, 2]])
    np.testing.assert_array_equal(every[:, 0], own[:, 0])
    np.testing.assert_array_equal(every[:, 1][:, [0, 2]], both[:, 0])
    assert (own[-1, 0, [0, 2]] < 0.95).all() and (own[-1, 0, [1, 3, 4, 5]] == 1).all()
    inside = np.isin(np.arange(N), [1, 3, 4, 5])
    there = (np.asarray(net.connectome.weights) != 0) & inside[:, None] & inside
    np.testing.assert_array_equal(~np.isnan(w[-1, 0]), there)
