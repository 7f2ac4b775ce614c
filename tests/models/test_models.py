"""Models against The Virtual Brain (numbers of scripts/reference_tvb.py), against facts of their equations, and their classes."""

import dataclasses
import decimal
from pathlib import Path

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import gyrax as gx
from gyrax.models.wong_wang import threshold_linear

SINGLE = jnp.result_type(float) == jnp.float32
TVB = np.load(Path(__file__).parents[1] / "data" / "tvb.npz")
#: Our name of a model: its class, and for parameters that differ from The Virtual Brain's its name there and the unit.
MODELS = {
    "wong_wang": (
        gx.models.WongWang,  # there kHz and ms for Hz and s, and gamma per 1000 spikes
        {"a": ("a", 1e3), "b": ("b", 1e3), "d": ("d", 1e-3), "gamma": ("gamma", 1e-3), "tau_S": ("tau_s", 1.0)},
    ),
    "hopf": (gx.models.Hopf, {}),
    "jansen_rit": (gx.models.JansenRit, {}),
    "linear": (gx.models.Linear, {}),
}


def theirs(name: str) -> dict[str, np.ndarray]:
    """The Virtual Brain's parameters of every draw, in our names and units. The first draw is its defaults."""
    model, renamed = MODELS[name]
    names = {field.name: renamed.get(field.name, (field.name, 1.0)) for field in dataclasses.fields(model)}
    return {key: TVB[f"{name}.{other}"] * unit for key, (other, unit) in names.items()}


@pytest.mark.parametrize("name", MODELS)
def test_drift_equals_the_virtual_brains(name):
    """Every draw of state, input and parameters is a region of one network."""
    y, u, expected = (TVB[f"{name}.{what}"].T for what in ("y", "u", "drift"))
    drift = np.asarray(MODELS[name][0](**theirs(name)).drift(0.0, jnp.asarray(y), jnp.asarray(u)))
    assert len(expected.T) == 20 and drift.shape == expected.shape
    np.testing.assert_allclose(drift, expected, rtol=1e-4 if SINGLE else 1e-6, atol=1e-6 if SINGLE else 0)


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_the_virtual_brains_but_for_v0(name):
    """Jansen & Rit (1995) give v0 = 6 mV; the reference gives 5.52."""
    ours = MODELS[name][0]()
    different = {k: float(getattr(ours, k)) for k, v in theirs(name).items() if not np.isclose(getattr(ours, k), v[0])}
    assert different == ({"v0": 6.0} if name == "jansen_rit" else {})


COUPLINGS = {
    "linear": gx.couplings.Linear(source="a", strength=0.3),
    "difference": gx.couplings.Difference(source="a", strength=0.2),
    "sigmoidal": gx.couplings.SigmoidalJansenRit(strength=12.0, c_min=0.001, c_max=0.006, v0=5.5, r=0.6),
}


@pytest.mark.parametrize("name", COUPLINGS)
def test_couplings_equal_the_virtual_brains(name):
    coupling, weights, x = COUPLINGS[name], TVB["coupling.weights"], jnp.asarray(TVB[f"coupling.{name}.x"])
    assert (weights == 0).any() and not np.array_equal(weights, weights.T)
    total = coupling.encode(x) @ jnp.asarray(weights).T
    value = coupling.decode(total, x, jnp.asarray(weights.sum(1)))
    expected = TVB[f"coupling.{name}.value"]
    # single precision also there: The Virtual Brain keeps weights and history in float32
    np.testing.assert_allclose(value, expected, rtol=2e-5 if SINGLE else 1e-6, atol=1e-6)


# The transfer function of Wong and Wang


def exact(z: float) -> tuple[float, float, float]:
    """z / (1 - exp(-z)) and its two derivatives, in 60 digits."""
    with decimal.localcontext() as context:
        context.prec, context.Emin = 60, -10_000
        x = decimal.Decimal(float(z))
        if abs(x) < 1e-20:  # the series, where even 60 digits cancel
            return 1.0, 0.5, 1 / 6
        q = (-x).exp()
        slope = (1 - q - x * q) / (1 - q) ** 2
        bend = q * (x * (1 + q) - 2 * (1 - q)) / (1 - q) ** 3
        return float(x / (1 - q)), float(slope), float(bend)


def places() -> np.ndarray:
    """The middle, both sides of the switch between series and quotient at 0.1, the knee, and far out."""
    dtype = np.dtype(jnp.result_type(float))
    switch = [f(np.asarray(s * 0.1, dtype)) for s in (-1, 1) for f in (np.negative, np.abs)]
    beside = [np.nextafter(s, np.asarray(end, dtype)) for s in switch for end in (-1, 1)]
    tiny = [np.finfo(dtype).tiny, np.finfo(dtype).eps, 1e-4]
    far = [40.0, 60.0, 80.0, 85.0]
    z = np.concatenate(
        [np.linspace(-0.25, 0.25, 101), np.linspace(-30, 30, 121), switch, beside, tiny, np.negative(tiny), far]
    )
    return np.unique(np.concatenate([z, np.negative(far), [0.0]]).astype(dtype))


def test_threshold_linear_and_its_derivatives_have_all_their_digits():
    """Relative errors, also where values are as small as 1e-35: nothing is lost to 1 - (1 - tiny)."""
    z = places()
    slope = jax.grad(threshold_linear)
    for i, (function, single, double) in enumerate(
        [(threshold_linear, 1e-6, 1e-13), (slope, 1e-5, 5e-12), (jax.grad(slope), 5e-4, 1e-9)]
    ):
        values = np.asarray(jax.jit(jax.vmap(function))(jnp.asarray(z)), float)
        np.testing.assert_allclose(values, [exact(x)[i] for x in z], rtol=single if SINGLE else double, err_msg=str(i))


def test_threshold_linear_is_finite_wherever_numbers_are():
    f = threshold_linear
    every = jax.jit(jax.vmap(lambda z: jnp.stack([f(z), jax.grad(f)(z), jax.jacfwd(f)(z), jax.grad(jax.grad(f))(z)])))
    z = np.array([-1e8, -1e4, -200.0, -0.0, 0.0, 200.0, 1e4, 1e8])
    expected = [(max(x, 0.0), x > 0, x > 0, 0.0) if x else (1.0, 0.5, 0.5, 1 / 6) for x in z]
    np.testing.assert_allclose(every(jnp.asarray(z)), expected, rtol=1e-6, atol=1e-30)


def test_gradients_of_wong_wang_are_finite_where_the_quotient_is_not():
    """At a x = b, the current is at threshold: 0/0."""
    model = gx.models.WongWang(w=0.0, I_o=0.4, a=270.0, b=108.0)  # 270 * 0.4 - 108 = 0
    gradient = jax.jit(jax.grad(lambda m: m.drift(0.0, jnp.array([[0.3]]), jnp.array([[0.0]])).sum()))(model)
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(gradient))
    np.testing.assert_allclose(gradient.I_o, 0.7 * 0.641e-3 * 270.0 * 0.5, rtol=1e-4)


# Facts of the equations


@eqx.filter_jit
def solve(model: gx.AbstractModel, y, times):
    u = jnp.zeros((len(model.inputs), y.shape[1]))
    term = dfx.ODETerm(lambda t, y, args: model.drift(t, y, u))
    controller = dfx.PIDController(*((1e-5, 1e-7) if SINGLE else (1e-10, 1e-12)))
    save = dfx.SaveAt(ts=times)
    return dfx.diffeqsolve(
        term, dfx.Tsit5(), 0.0, times[-1], 0.1, y, saveat=save, stepsize_controller=controller, max_steps=20_000
    ).ys


def settle(model: gx.AbstractModel, y: np.ndarray, *times: float) -> np.ndarray:
    """States `(time, state, node)` of uncoupled regions, by an adaptive solver of high order."""
    times = times if len(times) > 1 else (times[0] / 2, *times)  # so that one program serves
    return np.asarray(solve(model, jnp.asarray(y), jnp.asarray(times)))


@pytest.mark.slow
def test_hopf_cycles_at_its_radius_and_period():
    a, omega = np.array([0.2, 0.05, 1.0]), np.array([0.3, 0.2, 0.5])
    model = gx.models.Hopf(a=a, omega=omega)
    y = np.array([[0.1, 1.0, 0.01], [0.0, 0.3, 0.0]])
    end = settle(model, y, 300.0)[-1]
    radius = np.hypot(*end)
    np.testing.assert_allclose(radius, np.sqrt(a), rtol=1e-3 if SINGLE else 1e-9)
    for i, period in enumerate(2 * np.pi / omega):
        quarter, whole = settle(model, end, period / 4, period)[:, :, i]
        np.testing.assert_allclose(whole, end[:, i], atol=2e-4 if SINGLE else 1e-8)
        np.testing.assert_allclose(quarter, [-end[1, i], end[0, i]], atol=2e-4 if SINGLE else 1e-8)  # counterclockwise


@pytest.mark.slow
def test_hopf_decays_to_zero_below_its_bifurcation():
    end = settle(gx.models.Hopf(a=-0.1, omega=0.3), np.full((2, 1), 0.1), 200.0)[-1]
    assert np.hypot(*end) < 1e-6


@pytest.mark.slow
def test_jansen_rit_settles_at_the_root_of_its_equations():
    """At mu = 0.05/ms, one stable point. y1 - y2 = F(rate(y1 - y2)), in SciPy's own words and The Virtual Brain's v0."""
    rate = lambda v: 0.005 / (1 + np.exp(0.56 * (6.0 - v)))  # noqa: E731
    y0 = lambda v: 3.25 / 0.1 * rate(v)  # noqa: E731
    y1 = lambda v: 3.25 / 0.1 * (0.05 + 108.0 * rate(135 * y0(v)))  # noqa: E731
    y2 = lambda v: 22.0 / 0.05 * 33.75 * rate(33.75 * y0(v))  # noqa: E731
    psp = brentq(lambda v: y1(v) - y2(v) - v, -20, 20, xtol=1e-14)
    expected = np.array([y0(psp), y1(psp), y2(psp), 0, 0, 0])
    model = gx.models.JansenRit(mu=0.05)
    drift = model.drift(0.0, jnp.asarray(expected)[:, None], jnp.zeros((1, 1)))
    np.testing.assert_allclose(drift, 0, atol=1e-6 if SINGLE else 1e-14)
    end = settle(model, expected[:, None] * 1.02, 600.0)[-1]
    np.testing.assert_allclose(end[:, 0], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.psp(jnp.asarray(end)), psp, rtol=1e-4)


@pytest.mark.slow
def test_jansen_rit_oscillates_in_the_alpha_band_at_its_default_input():
    """The paper's figure 3: between 120 and 320 pulses a second, about 10 Hz."""
    times = np.arange(1000.0, 3000.0, 1.0)
    y = settle(gx.models.JansenRit(), np.zeros((6, 1)), *times)[:, :, 0]
    v = y[:, 1] - y[:, 2]
    power = np.abs(np.fft.rfft(v - v.mean())) ** 2
    assert np.ptp(v) > 2.0
    assert 8.0 < np.fft.rfftfreq(len(v), 1e-3)[power.argmax()] < 12.0


@pytest.mark.slow
def test_wong_wang_settles_at_the_root_of_its_equation():
    def drift(s):
        rate = 270 * (0.6 * 0.2609 * s + 0.33) - 108
        return -s / 100 + (1 - s) * 0.641e-3 * rate / (1 - np.exp(-0.154 * rate))

    expected = brentq(drift, 0.0, 1.0, xtol=1e-14)
    assert 0.0 < expected < 0.1  # an isolated region is quiet
    end = settle(gx.models.WongWang(), np.array([[0.1]]), 3000.0)[-1, 0, 0]
    np.testing.assert_allclose(end, expected, rtol=1e-4 if SINGLE else 1e-8)


@pytest.mark.slow
def test_wong_wang_is_bistable_with_the_papers_recurrence():
    """With w = 0.9 and I_o = 0.3 nA, coupling opens a second, high state, and more of it closes the low one."""
    states = jnp.linspace(0.001, 0.999, 1000)
    model = gx.models.WongWang(w=0.9, I_o=0.3)
    for strength, roots in ((0.0, 1), (0.5, 3), (1.0, 1)):
        flow = np.asarray(model.drift(0.0, states[None], strength * states[None]))
        assert (np.diff(np.sign(flow)) != 0).sum() == roots, strength


@pytest.mark.slow
def test_linear_decays_at_its_rate():
    end = settle(gx.models.Linear(gamma=np.array([-0.1, -0.5])), np.array([[1.0, 2.0]]), 7.0)[-1]
    np.testing.assert_allclose(end[0], [np.exp(-0.7), 2 * np.exp(-3.5)], rtol=1e-4 if SINGLE else 1e-8)


# The class of a model


def model(**body):
    """A class with one state and these attributes."""
    body = {"states": ("x",), "drift": lambda self, t, y, u: -y} | body
    return type("Mine", (gx.AbstractModel,), body)


@pytest.mark.once
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (dict(states="x"), r"Mine.states is a tuple of names, such as \('x',\); got 'x'"),
        (dict(states=(1,)), r"Mine.states is a tuple of names"),
        (dict(inputs="c"), "Mine.inputs is a tuple of names"),
        (dict(outputs="rate"), "Mine.outputs is a tuple of names"),
        (dict(states=()), "Mine needs at least one state"),
        (dict(states=("x", "x")), r"names that differ: states \('x', 'x'\)"),
        (dict(inputs=("c", "c")), r"names that differ: .* inputs \('c', 'c'\)"),
        (dict(outputs=("x",), x=lambda self, y: y[0]), "names that differ"),
        (dict(outputs=("rate",)), r"Mine.outputs names 'rate': define a method rate\(self, y\)"),
        (dict(limits={"y": (0, 1)}), r"Mine.limits names 'y', which is no state of \('x',\)"),
    ],
)
def test_a_wrong_class_is_an_error_when_it_is_written(body, message):
    with pytest.raises(TypeError, match=message):
        model(**body)


def test_a_class_without_a_drift_is_abstract():
    class Half(gx.AbstractModel):
        states = ("x", "x")  # checked only in a class that can be used

    with pytest.raises(TypeError, match="abstract"):
        Half()


@pytest.mark.once
def test_an_unknown_parameter_is_refused():
    with pytest.raises(TypeError, match="omgea"):
        gx.models.Hopf(omgea=1.0)


def test_limits_hold_each_side_of_each_state():
    held = model(states=("a", "b", "c"), limits={"a": (0, None), "c": (-1.0, 1.0)})()
    y = jnp.array([[-5.0, 5.0], [-5.0, 5.0], [-5.0, 5.0]])
    np.testing.assert_array_equal(held.limit(y), [[0, 5], [-5, 5], [-1, 1]])
    assert gx.models.WongWang.limits == {"S": (0.0, 1.0)}
    np.testing.assert_array_equal(gx.models.WongWang().limit(jnp.array([[-0.1, 0.5, 1.1]])), [[0.0, 0.5, 1.0]])
    free = gx.models.Hopf()
    assert free.limit(y) is y


def test_reads_states_and_outputs_in_the_order_asked_for():
    jr = gx.models.JansenRit()
    y = jnp.arange(12.0).reshape(6, 2) ** 2
    assert jr.read(jr.states, y) is y
    np.testing.assert_array_equal(jr.read(("psp", "y4", "y0"), y), np.stack([y[1] - y[2], y[4], y[0]]))
    np.testing.assert_array_equal(jr.read(jr.states[::-1], y), y[::-1])


@pytest.mark.parametrize(
    ("name", "states", "inputs", "outputs", "start"),
    [
        ("WongWang", ("S",), ("c",), (), [0.1]),
        ("WongWangExcInh", ("S_e", "S_i"), ("c_lre", "c_ffi"), (), [0.001, 0.001]),
        ("Hopf", ("x", "y"), ("c_x", "c_y"), (), [0.1, 0.1]),
        ("JansenRit", ("y0", "y1", "y2", "y3", "y4", "y5"), ("c",), ("psp",), [0.0] * 6),
        ("Linear", ("x",), ("c",), (), [0.0]),
    ],
)
def test_names_and_start(name, states, inputs, outputs, start):
    kind = getattr(gx.models, name)
    assert (kind.states, kind.inputs, kind.outputs) == (states, inputs, outputs)
    np.testing.assert_allclose(kind().start(3), np.repeat(np.array(start)[:, None], 3, 1), rtol=1e-6)
