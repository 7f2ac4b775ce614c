"""The network: what it refuses and how it says so, how couplings add up, its diffrax terms, its delays."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import gyrax as gx
from gyrax._engine.prepare import assemble, resolve

RNG = np.random.default_rng(11)
N = 4
WEIGHTS = RNG.uniform(0.1, 1.0, (N, N)) * (1 - np.eye(N))
OTHER = RNG.uniform(0.1, 1.0, (N, N))
LENGTHS = RNG.uniform(6.0, 24.0, (N, N)) * (1 - np.eye(N))
CONNECTOME = gx.Connectome(WEIGHTS, LENGTHS, labels=["A", "B", "C", "D"])
STATE = RNG.normal(size=(2, N))


def linear(**kwargs):
    return gx.couplings.Linear(**({"source": "x", "strength": 0.5} | kwargs))


def hopf(coupling, **kwargs):
    return gx.Network(gx.models.Hopf(a=0.1, omega=0.3), coupling, CONNECTOME, **kwargs)


class Scalar(gx.AbstractModel):
    """One state, one input; the tests replace its drift and start."""

    states = ("x",)
    inputs = ("c",)
    k: gx.Array = gx.parameter(1.0)

    def drift(self, t, y, u):
        return -self.k * y + u


# What it refuses


class TupleDrift(Scalar):
    def drift(self, t, y, u):
        return (-y[0], u[0])


class NarrowDrift(Scalar):
    def drift(self, t, y, u):
        return -y.sum(keepdims=True)[0]  # (1,) would broadcast over the state in silence


class WrongStart(Scalar):
    def start(self, n):
        return jnp.zeros((3, n))


class Flat(gx.couplings.Linear):
    def encode(self, x):
        return x[0]


class Averaged(gx.couplings.Linear):
    def decode(self, total, x, degree):
        return total.mean(1, keepdims=True)


class TwoRows(gx.couplings.Linear):
    def decode(self, total, x, degree):
        return jnp.concatenate([total, total])


def later(module, **values):
    """The module with other values than it would take when it is built."""
    (name,) = values
    return eqx.tree_at(lambda m: getattr(m, name), module, jnp.asarray(values[name]))


NAN, WHITE = np.array([1.0, np.nan, 1.0, 1.0]), gx.noise.White
REFUSED = {
    "source": (
        Scalar(),
        linear(source="V"),
        {},
        r"coupling reads 'V', but Scalar has the states \('x',\) and the outputs",
    ),
    "target": (Scalar(), linear(target="d"), {}, r"coupling feeds 'd', but the inputs of Scalar are \('c',\)"),
    "in a dict": (Scalar(), {"far": linear(source="V")}, {}, "far reads 'V'"),
    "noisy state": (
        Scalar(),
        linear(),
        dict(noise=WHITE(states="V")),
        r"noise drives 'V', but the states of Scalar are",
    ),
    "parameter": (
        Scalar(k=np.ones(3)),
        linear(),
        {},
        r"model.k has shape \(3,\): expected one value \(\) or one a region",
    ),
    "parameter (1,)": (Scalar(k=np.ones(1)), linear(), {}, r"model.k has shape \(1,\)"),
    "strength": (Scalar(), {"far": linear(strength=np.ones(5))}, {}, r"coupling.far.strength has shape \(5,\)"),
    "sigma": (
        Scalar(),
        linear(),
        dict(noise=WHITE(sigma=np.ones((4, 1)))),
        r"noise.sigma has shape \(4, 1\): .* \(4,\), or \(1, 1\) for one a noisy state",
    ),
    "not finite": (later(Scalar(), k=NAN), linear(), {}, "model.k is not finite: nan"),
    "strength inf": (Scalar(), later(linear(), strength=np.inf), {}, "coupling.coupling.strength is not finite: inf"),
    "sigma nan": (Scalar(), linear(), dict(noise=later(WHITE(), sigma=NAN)), "noise.sigma is not finite: nan"),
    "own weights": (
        Scalar(),
        {"far": linear(weights=np.ones((3, 3)))},
        {},
        r"far has weights of shape \(3, 3\), the connectome of \(4, 4\)",
    ),
    "own weights nan": (
        Scalar(),
        linear(weights=np.full((N, N), np.nan)),
        {},
        "coupling.coupling.weights is not finite",
    ),
    "drift tuple": (TupleDrift(), linear(), {}, r"TupleDrift.drift must return an array of the state's shape \(1, 4\)"),
    "drift (1,)": (NarrowDrift(), linear(), {}, r"NarrowDrift.drift must return .* it returns .*shape=\(1,\)"),
    "start": (WrongStart(), linear(), {}, r"WrongStart.start returns \(3, 4\), expected \(state, node\) = \(1, 4\)"),
    "encode": (Scalar(), Flat(source="x"), {}, r"coupling.encode returns shape \(4,\), expected \(feature, 4\)"),
    "decode (1, 1)": (Scalar(), Averaged(source="x"), {}, r"decode must return shape \(1, 4\); it returns \(1, 1\)"),
    "decode rows": (
        Scalar(),
        TwoRows(source="x"),
        {},
        r"feeds \('c',\), so its decode must return shape \(1, 4\); it returns \(2, 4\). Name as many inputs",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("case", REFUSED)
def test_what_disagrees_is_named(case):
    model, coupling, rest, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        gx.Network(model, coupling, CONNECTOME, **rest)


def test_one_row_does_not_feed_two_inputs():
    with pytest.raises(ValueError, match=r"feeds \('c_x', 'c_y'\), so its decode must return shape \(2, 4\)"):
        hopf(linear())


def test_delays_need_lengths():
    bare = gx.Connectome(WEIGHTS)
    with pytest.raises(ValueError, match="delays need tract lengths: give the connectome lengths="):
        gx.Network(Scalar(), linear(), bare, gx.Delay())
    assert gx.Network(Scalar(), linear(), bare).delay is None


@pytest.mark.parametrize("names", [(), ("x", "x"), ("x", 1), 3])
def test_names_are_strings_that_differ(names):
    with pytest.raises(TypeError):
        linear(source=names)
    with pytest.raises(TypeError):
        WHITE(states=names)


def test_a_sigmoid_reads_two_rows_at_most():
    with pytest.raises(ValueError, match="SigmoidalJansenRit reads two rows or their difference"):
        gx.couplings.SigmoidalJansenRit(source=("y0", "y1", "y2"))


def test_a_parameter_of_several_dimensions_is_the_models_own_affair():
    assert gx.Network(Scalar(k=np.ones((1, N))), linear(), CONNECTOME).model.k.shape == (1, N)


# What it says


def test_repr_names_every_part():
    coupling = {"far": gx.couplings.Difference(source=("x", "y")), "fast": linear(target="c_y")}
    text = repr(hopf(coupling, delay=gx.Delay(3.0), noise=WHITE(sigma=np.array([0.1, 0.2, 0.3, 0.4]), states="y")))
    shortest, longest = (f(LENGTHS[WEIGHTS > 0]) / 3 for f in (np.min, np.max))
    for line in (
        "Network of 4 regions",
        "model     Hopf(a=0.1 1/ms, omega=0.3 rad/ms)",
        "coupling far:  x, y -> c_x, c_y: Difference(source=('x', 'y'), strength=1)",
        "coupling fast:  x -> c_y: Linear(source=('x',), target=('c_y',), strength=0.5)",
        f"delay     {shortest:.3g} to {longest:.3g} ms at 3 mm/ms",
        "noise     on y: White(states=('y',), sigma=[0.1 … 0.4] (4))",
    ):
        assert line in text
    text = repr(gx.Network(Scalar(), linear(), CONNECTOME))
    assert "coupling  x -> c: Linear" in text and "none: instantaneous" in text and "noise     none" in text


def test_a_network_can_be_built_and_shown_inside_jit(rounding):
    def value(strength):
        net = hopf(gx.couplings.Difference(source=("x", "y"), strength=strength), noise=WHITE())
        assert "strength=<traced" in repr(net)
        return net.drift(0.0, jnp.asarray(STATE)).sum()

    np.testing.assert_allclose(jax.jit(value)(0.3), value_of(0.3), rtol=rounding * 10)


def value_of(strength):
    return hopf(gx.couplings.Difference(source=("x", "y"), strength=strength)).drift(0.0, jnp.asarray(STATE)).sum()


# Couplings


def test_couplings_equal_plain_sums(rounding):
    """Row i receives: weights are directed, so a transpose would show."""
    y = RNG.normal(size=(6, N)) * 5
    own = RNG.uniform(1, 2, N)
    sigmoid = gx.couplings.SigmoidalJansenRit(strength=own, c_min=0.001, c_max=0.01, v0=5.0, r=0.4)
    net = gx.Network(gx.models.JansenRit(), sigmoid, CONNECTOME)
    expected, difference, plain = np.zeros((3, N))
    for i in range(N):
        for j in range(N):
            rate = 0.001 + 0.009 / (1 + np.exp(0.4 * (5.0 - (y[1, j] - y[2, j]))))
            expected[i] += own[i] * WEIGHTS[i, j] * rate
            difference[i] += own[i] * WEIGHTS[i, j] * (y[0, j] - y[0, i])
            plain[i] += own[i] * WEIGHTS[i, j] * y[0, j]
    np.testing.assert_allclose(net.input(0.0, jnp.asarray(y))[0], expected, rtol=rounding)
    by_output = gx.couplings.SigmoidalJansenRit(source="psp", strength=own, c_min=0.001, c_max=0.01, v0=5.0, r=0.4)
    net = gx.Network(gx.models.JansenRit(), by_output, CONNECTOME)
    np.testing.assert_allclose(net.input(0.0, jnp.asarray(y))[0], expected, rtol=rounding)
    for kind, sums in ((gx.couplings.Difference, difference), (gx.couplings.Linear, plain)):
        net = gx.Network(Scalar(), kind(source="x", strength=own), CONNECTOME)
        np.testing.assert_allclose(net.input(0.0, jnp.asarray(y[:1]))[0], sums, rtol=rounding, atol=rounding * 10)


def test_couplings_of_one_input_add_up_and_leave_the_other_at_zero(rounding):
    coupling = {
        "a": linear(target="c_y"),
        "b": gx.couplings.Difference(source="y", target="c_y", strength=0.2, weights=OTHER),
    }
    net = hopf(coupling)
    u = net.input(0.0, jnp.asarray(STATE))
    x, y = STATE
    np.testing.assert_array_equal(u[0], np.zeros(N))
    np.testing.assert_allclose(u[1], 0.5 * WEIGHTS @ x + 0.2 * (OTHER @ y - OTHER.sum(1) * y), rtol=rounding * 10)
    degree = net.degree()
    np.testing.assert_allclose(degree["a"], WEIGHTS.sum(1), rtol=rounding)
    np.testing.assert_allclose(degree["b"], OTHER.sum(1), rtol=rounding)
    assert net.targets(coupling["a"]) == ("c_y",) and net.weights(coupling["b"]) is coupling["b"].weights


def test_targets_are_fed_in_the_order_of_their_names(rounding):
    x, y = STATE
    u = hopf(linear(source=("x", "y"), target=("c_y", "c_x"))).input(0.0, jnp.asarray(STATE))
    np.testing.assert_allclose(u, 0.5 * np.stack([WEIGHTS @ y, WEIGHTS @ x]), rtol=rounding)


def test_own_weights_decide_the_delays():
    """A pair the connectome lacks, but a coupling has, is heard after its own delay."""
    lengths = np.array([[0.0, 30.0], [6.0, 0.0]])
    connectome = gx.Connectome([[0.0, 0.0], [1.0, 0.0]], lengths)
    assert gx.Network(Scalar(), linear(), connectome, gx.Delay(3.0)).delay.bounds == (2.0, 2.0)
    both = gx.Network(
        Scalar(), {"a": linear(), "b": linear(weights=np.array([[0.0, 1.0], [0.0, 0.0]]))}, connectome, gx.Delay(3.0)
    )
    assert both.delay.bounds == (2.0, 10.0)


def test_a_model_without_inputs_and_a_network_without_couplings():
    class Alone(gx.AbstractModel):
        states = ("x",)

        def drift(self, t, y, u):
            assert u.shape == (0, N)
            return -y

    net = gx.Network(Alone(), {}, CONNECTOME)
    np.testing.assert_array_equal(net.drift(0.0, jnp.ones((1, N))), -np.ones((1, N)))
    np.testing.assert_array_equal(hopf({}).input(0.0, jnp.asarray(STATE)), np.zeros((2, N)))


# Terms


@pytest.mark.slow
def test_terms_work_in_diffeqsolve_with_a_brownian_tree(key):
    """On part of the states, against a loop over the same path."""
    sigma = np.array([0.1, 0.2, 0.3, 0.4])
    net = hopf(linear(target="c_x"), noise=WHITE(sigma=sigma, states="y"))
    path = dfx.VirtualBrownianTree(0.0, 4.0, 1e-3, (1, N), key)
    solution = dfx.diffeqsolve(net.terms(path), gx.solvers.Heun(), 0.0, 4.0, 0.25, jnp.asarray(STATE))
    drift = jax.jit(lambda y: net.drift(0.0, y))
    times = 0.25 * jnp.arange(17)
    drawn = sigma * np.asarray(jax.jit(jax.vmap(lambda t0, t1: path.evaluate(t0, t1)))(times[:-1], times[1:]))
    y = STATE.copy()
    for k in range(16):
        noise, slope = np.concatenate([np.zeros((1, N)), drawn[k]]), np.asarray(drift(y))
        y = y + 0.125 * (slope + np.asarray(drift(y + 0.25 * slope + noise))) + noise
    np.testing.assert_allclose(solution.ys[-1], y, rtol=1e-4, atol=1e-5)


def test_terms_of_a_noisy_network_need_a_control():
    with pytest.raises(ValueError, match=r"needs a control: Wiener increments of shape \(noisy state, region\)"):
        hopf(linear(target="c_x"), noise=WHITE()).terms()


# Delays


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(speed=np.array([1.0, 2.0])), r"speed is one number in mm/ms, got shape \(2,\)"),
        (dict(speed=0.0), "speed is a positive number in mm/ms, got 0.0"),
        (dict(speed=-3.0), "speed is a positive number"),
        (dict(speed=np.nan), "speed is a positive number"),
        (dict(bounds=(5.0, 2.0)), r"bounds are \(shortest, longest\) delay in ms, got \(5.0, 2.0\)"),
        (dict(bounds=(-1.0, 2.0)), "bounds are"),
        (dict(bounds=(1.0, np.inf)), "bounds are"),
        (dict(bounds=(np.nan, 2.0)), "bounds are"),
    ],
)
def test_wrong_delays_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        gx.Delay(**arguments)


def test_delays_inside_jit_need_bounds():
    build = lambda bounds: jax.jit(  # noqa: E731
        lambda speed: hopf(linear(target="c_x"), delay=gx.Delay(speed, bounds=bounds)).delay.speed
    )
    with pytest.raises(ValueError, match="inside jit, a Delay needs its bounds in ms"):
        build(None)(3.0)
    assert build((1.0, 9.0))(3.0) == 3.0


@given(
    st.lists(st.integers(1, 1200), min_size=1, max_size=4),
    st.sampled_from([1.0, 1.1, 2.0, 3.0, 3.3, 4.7, 7.0]),
    st.sampled_from([0.05, 0.1, 0.4, 0.5, 0.8, 1.0]),
)
@example([20], 1.0, 0.8)  # 2.5 steps
@example([28], 1.0, 0.8)  # 3.5 steps
@example([5, 15], 1.0, 1.0)  # half a step, a step and a half
def test_window_and_depth_hold_every_delay_however_it_is_rounded(tenths, speed, dt):
    lengths = np.zeros((len(tenths) + 1,) * 2)
    lengths[0, 1:] = np.array(tenths) / 10
    connectome = gx.Connectome((lengths > 0).astype(float), lengths)
    net = gx.Network(Scalar(), linear(), connectome, gx.Delay(speed))
    steps = np.asarray(net.delay.steps(connectome, dt)[0])[0, 1:]
    exact = np.array(tenths) / 10 / speed / dt
    assert np.abs(steps - exact).max() <= 0.5 + 1e-4
    fewest, most = (x[0, 1:] for x in net.delay.reach(dt))
    assert (fewest <= steps).all() and (steps <= most).all()
    assert (most - fewest <= 1).all()  # and waste no more than the tie
    assert net.delay.depth(dt) == most.max() + 1


def test_what_rounds_to_no_step_is_instantaneous():
    lengths = np.array([[0.0, 1.0, 3.0], [1.6, 0.0, 9.0], [0.5, 0.0, 0.0]])
    connectome = gx.Connectome(np.where(lengths > 0, 2.0, 0.0), lengths)
    net = gx.Network(Scalar(), linear(), connectome, gx.Delay(1.0))
    parts = assemble(resolve(net, {}, gx.solvers.Heun(), None, 3.0), jnp.zeros((), int))
    np.testing.assert_array_equal(
        jnp.eye(3) @ parts.instant["coupling"], np.transpose([[0, 2, 0], [0, 0, 0], [2, 0, 0]])
    )
    np.testing.assert_array_equal(parts.delayed["coupling"][0], [[0, 0, 2], [2, 0, 2], [0, 0, 0]])
