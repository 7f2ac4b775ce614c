"""Different models in different regions, against SciPy's and plain loops of the equations."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import solve_ivp

import gyrax as gx
from naive import wiring

SINGLE = jnp.result_type(float) == jnp.float32
TH, CX = [1, 4], [0, 2, 3, 5]
LABELS = tuple(f"R{i}" for i in range(6))
WEIGHTS = np.asarray(wiring("R").weights, float)
LENGTHS = np.asarray(wiring("R").lengths, float)
UP = np.array([[0.5, 0.1], [0.2, 0.4], [0.3, 0.7], [0.6, 0.2]])  # thalamus to cortex


def groups(**own) -> gx.Groups:
    cortex = gx.models.WongWang(w=own.get("w", 0.6))
    return gx.Groups(
        {"thalamus": (gx.models.Hopf(a=-0.1, omega=0.2), [LABELS[i] for i in TH]), "cortex": (cortex, ...)}
    )


def couplings(**own) -> dict:
    linear = gx.couplings.Linear
    return {
        "cc": gx.couplings.Difference(source="cortex.S", target="cortex.c", strength=0.3),
        "ct": linear(source="cortex.S", target="thalamus.c_x", strength=0.5),
        "tc": linear(source="thalamus.x", target="cortex.c", strength=0.2, weights=UP, **own),
    }


def built(tag: str = "R", delay=None, **own) -> gx.Network:
    connectome = gx.Connectome(WEIGHTS, LENGTHS, labels=LABELS)
    return gx.Network(groups(**own), couplings(), connectome, delay)


def flow(t, y):
    """The same network, written down."""
    S, x, v = y[:4], y[4:6], y[6:]
    cc, ct = WEIGHTS[np.ix_(CX, CX)], WEIGHTS[np.ix_(TH, CX)]
    c = 0.3 * (cc @ S - cc.sum(1) * S) + 0.2 * UP @ x
    z = 270 * (0.6 * 0.2609 * S + 0.2609 * c + 0.33) - 108
    dS = -S / 100 + (1 - S) * 0.641e-3 * z / (1 - np.exp(-0.154 * z))
    grow = -0.1 - x**2 - v**2
    return np.concatenate([dS, grow * x - 0.2 * v + 0.5 * ct @ S, grow * v + 0.2 * x])


@pytest.mark.slow
def test_equals_the_equations_solved_by_scipy():
    net = built()
    start = np.concatenate([np.full(4, 0.1), np.full(4, 0.1)])
    expected = solve_ivp(flow, (0, 60), start, rtol=1e-10, atol=1e-12, t_eval=[20, 40, 60]).y.T
    monitors = {
        "cortex": gx.monitors.Subsample(source="cortex.S", period=20.0),
        "thalamus": gx.monitors.Subsample(source=("thalamus.x", "thalamus.y"), period=20.0),
    }
    run = gx.simulate(net, 60.0, 0.05, monitors=monitors, solver=gx.solvers.RungeKutta4())
    tolerance = 1e-5 if SINGLE else 1e-9
    np.testing.assert_allclose(run["cortex"].values[:, 0], expected[:, :4], atol=tolerance)
    np.testing.assert_allclose(run["thalamus"].values.reshape(3, -1), expected[:, 4:], atol=tolerance)
    assert run["cortex"].labels == tuple(LABELS[i] for i in CX) and run["thalamus"].labels == ("R1", "R4")
    assert run.finite


@pytest.mark.slow
@pytest.mark.once
def test_any_diffrax_solver_and_its_steps():
    controller = dfx.PIDController(rtol=1e-9, atol=1e-11)
    monitors = gx.monitors.Subsample(source="cortex.S", period=20.0)
    run = gx.simulate(built(), 60.0, 1.0, monitors=monitors, solver=dfx.Tsit5(), stepsize_controller=controller)
    start = np.concatenate([np.full(4, 0.1), np.full(4, 0.1)])
    expected = solve_ivp(flow, (0, 60), start, rtol=1e-10, atol=1e-12, t_eval=[20, 40, 60]).y.T
    np.testing.assert_allclose(run["monitor"].values[:, 0], expected[:, :4], atol=1e-8)


@pytest.mark.slow
def test_groups_of_one_model_are_the_network_without_groups(key, rounding):
    """With delays and noise; a name that all groups have needs no group."""
    connectome = gx.Connectome(WEIGHTS, LENGTHS, labels=LABELS)
    far = gx.couplings.Linear(source="S", strength=0.5)
    w = np.linspace(0.5, 0.9, 6)
    plain = gx.Network(gx.models.WongWang(w=w), far, connectome, gx.Delay(3.0), gx.noise.White(0.02))
    model = gx.Groups({"a": (gx.models.WongWang(w=w[CX]), CX), "b": (gx.models.WongWang(w=w[TH]), ...)})
    net = gx.Network(model, far, connectome, gx.Delay(3.0))
    noisy = gx.Network(model, far, connectome, gx.Delay(3.0), gx.noise.White(0.02, states="S"))
    assert net.targets(far) == ("c",) and noisy.noisy == ("a.S", "b.S")
    for one, two, given in ((eqx.tree_at(lambda n: n.noise, plain, None), net, None), (plain, noisy, key)):
        expected = gx.simulate(one, 50.0, 0.5, key=given)["raw"].values
        found = gx.simulate(two, 50.0, 0.5, key=given, monitors=gx.monitors.Raw(source="S"))["monitor"].values
        if given is None:
            np.testing.assert_allclose(found, expected, rtol=10 * rounding)
        else:  # a random number for each row: the first group's are those of the network without groups
            np.testing.assert_allclose(found[0, 0, CX], expected[0, 0, CX], rtol=1e-3 if SINGLE else 1e-12)
            assert found.shape == expected.shape and np.isfinite(found).all()


@pytest.mark.slow("float32")
def test_what_a_region_does_not_have_is_missing_and_stays_zero(key):
    net = gx.Network(groups(), couplings(), gx.Connectome(WEIGHTS, LENGTHS, labels=LABELS), noise=gx.noise.White(0.01))
    run = gx.simulate(net, 5.0, 0.5, key=key)
    values = np.asarray(run["raw"].values)
    assert net.model.states == ("thalamus.x", "thalamus.y", "cortex.S")
    assert np.isnan(values[:, :2, CX]).all() and np.isnan(values[:, 2, TH]).all()
    assert np.isfinite(values[:, :2, TH]).all() and np.isfinite(values[:, 2, CX]).all()
    end = np.asarray(run.final.y)
    assert (end[:2, CX] == 0).all() and (end[2, TH] == 0).all() and (end[:2, TH] != 0).all()


@pytest.mark.slow
@pytest.mark.once
def test_gradients_equal_differences_and_stay_in_their_block(key):
    """With delays of two kinds; weights beyond a block have no gradient."""
    ms = np.linspace(2.0, 7.0, 8).reshape(4, 2)
    connectome = gx.Connectome(WEIGHTS, LENGTHS, labels=LABELS)
    net = gx.Network(groups(), couplings(delay=gx.ConnectionDelays(ms)), connectome, gx.Delay(3.0))
    net = gx.per_region(net, "model.models.cortex.w", "coupling.tc.strength")
    assert net.model.models["cortex"].w.shape == (4,) and net.coupling["tc"].strength.shape == (6,)
    free, fixed = eqx.partition(net, eqx.is_inexact_array)

    def loss(free):
        run = gx.simulate(eqx.combine(free, fixed), 20.0, 0.5, monitors=gx.monitors.Raw(source="cortex.S"))
        return jnp.sum(run["monitor"].values[-1] ** 2)

    value, gradient = jax.jit(loss), jax.jit(jax.grad(loss))(free)
    for where in (
        lambda n: n.model.models["cortex"].w,
        lambda n: n.model.models["thalamus"].a,
        lambda n: n.coupling["ct"].strength,
        lambda n: n.coupling["tc"].weights,
        lambda n: n.connectome.weights,
    ):
        leaf = where(free)
        inside = np.ones(leaf.shape) if leaf.ndim < 2 else np.asarray(leaf) != 0
        direction = np.random.default_rng(3).normal(size=leaf.shape) * inside
        ends = [value(eqx.tree_at(where, free, leaf + h * direction)) for h in (1e-6, -1e-6)]
        np.testing.assert_allclose(jnp.vdot(where(gradient), direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-5)
    tc = np.asarray(gradient.coupling["tc"].weights)
    assert (tc[np.ix_(CX, TH)] != 0).all() and np.count_nonzero(tc) == 8
    assert (np.asarray(gradient.coupling["tc"].strength)[TH] == 0).all()


@pytest.mark.slow
@pytest.mark.once
def test_a_fit_finds_one_groups_parameter():
    monitors = gx.monitors.Subsample(source="cortex.S", period=10.0)
    run = lambda net: gx.simulate(net, 50.0, 1.0, monitors=monitors)["monitor"].values  # noqa: E731
    target, net = run(built(w=0.7)), built()
    spec = gx.select(net, lambda n: n.model.models["cortex"].w)
    loss = lambda net, key: jnp.mean((run(net) - target) ** 2)  # noqa: E731
    found = gx.fit(net, loss, spec, optax.adam(0.02), steps=80, key=jax.random.key(0), progress=False)
    assert float(found.model.model.models["cortex"].w) == pytest.approx(0.7, abs=0.005)


def test_saved_and_loaded(tmp_path):
    net = built()
    gx.io.save(tmp_path / "net.eqx", net)
    again = gx.io.load(tmp_path / "net.eqx", built(w=0.9))
    assert float(again.model.models["cortex"].w) == pytest.approx(0.6)


def test_repr_tells_the_groups():
    assert repr(groups()).startswith("Groups(thalamus in 2 regions: Hopf(a=-0.1 1/ms")
    assert "cortex in 4 regions: WongWang(w=0.6" in repr(built())
    assert "coupling tc:  thalamus.x -> cortex.c: Linear" in repr(built())


@pytest.mark.once
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": ([0, 1], 0), "b": (..., 0)}, None),
        ({}, "Groups needs a group at least"),
        ({"a.b": (..., 0)}, "a group's name has no dot"),
        ({"a": (..., 0), "b": (..., 0)}, "only one group can have the regions that are left"),
        ({"a": ([0, 1, 2], 0), "b": ([2, 3, 4, 5], 0)}, "region 'R2' is in the groups 'a' and 'b'"),
        ({"a": ([0, 1, 2], 0)}, "3 regions are in no group, such as 'R3'"),
        ({"a": (range(6), 0), "b": (..., 0)}, "no region is left for the group 'b'"),
        ({"a": (["R9"], 0), "b": (..., 0)}, "there is no region 'R9'"),
    ],
)
def test_wrong_groups_are_said(given, message):
    def build():
        model = gx.Groups({name: (gx.models.Linear(), regions) for name, (regions, _) in given.items()})
        return gx.Network(model, gx.couplings.Linear(source="x"), gx.Connectome(WEIGHTS, labels=LABELS))

    if message is None:
        build()
        return
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.once
@pytest.mark.parametrize(
    ("coupling", "message"),
    [
        (gx.couplings.Linear(source="S", target="cortex.c"), "coupling reads 'S'"),
        (gx.couplings.Linear(source="cortex.x", target="cortex.c"), "coupling reads 'cortex.x'"),
        (gx.couplings.Linear(source="cortex.S", target="cortex.c_x"), "coupling feeds 'cortex.c_x'"),
        (gx.couplings.Linear(source="cortex.S"), "feeds no input: name one with target="),
        (
            gx.couplings.Linear(source="cortex.S", target="thalamus.c_x", weights=np.ones((4, 2))),
            r"weights of shape \(4, 2\), the connectome of \(6, 6\), the groups of \(2, 4\)",
        ),
        (
            gx.couplings.Difference(source="cortex.S", target="thalamus.c_x"),
            "compares what a region hears with its own",
        ),
        (
            gx.couplings.Linear(source=("cortex.S", "thalamus.x"), target=("cortex.c", "thalamus.c_x")),
            "of more than one group",
        ),
    ],
)
def test_wrong_couplings_of_groups_are_said(coupling, message):
    with pytest.raises(ValueError, match=message):
        gx.Network(groups(), coupling, gx.Connectome(WEIGHTS, labels=LABELS))


def test_groups_are_of_regions():
    surface = gx.Surface([0, 0, 1, 1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="a network with a surface has one model"):
        gx.Network(groups(), couplings(), gx.Connectome(WEIGHTS, labels=LABELS), surface=surface)
    with pytest.raises(ValueError, match="not in a network yet"):
        groups().start(6)
    with pytest.raises(TypeError, match="is a pair"):
        gx.Groups({"a": gx.models.Hopf()})
