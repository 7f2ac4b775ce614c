"""Gradients that look back less far than the delays reach, against a plain loop with `stop_gradient` in it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from naive import wiring

pytestmark = pytest.mark.usefixtures("compiled_fast")

DOUBLE = jnp.result_type(float) == jnp.float64
#: Relative to the largest entry of a leaf.
CLOSE = 1e-10 if DOUBLE else 2e-4
N, STEPS = 5, 17
CONNECTOME = wiring("horizon", N, shortest=3.0, longest=36.0)
#: Whole steps, at 3 mm/ms and 1 ms a step: the longest delay is 12.
LAGS = np.rint(np.asarray(CONNECTOME.lengths, float) / 3.0).astype(int)
MODEL = gx.models.WongWang(w=0.6)
NET = gx.Network(MODEL, gx.couplings.Linear(source="S", strength=0.3), CONNECTOME, gx.Delay(3.0))
VALUES = {
    "w": jnp.linspace(0.4, 0.8, N),
    "strength": jnp.asarray(0.3),
    "weights": jnp.asarray(CONNECTOME.weights),
    "start": jnp.linspace(0.05, 0.4, N)[None],
}
SHARES = jnp.asarray(np.random.default_rng(0).normal(size=(STEPS, N)))


def loop(values, horizon):
    """Heun's steps, `(step, region)`; at a horizon's multiples state, past and what is heard just then are given."""
    model = eqx.tree_at(lambda m: m.w, MODEL, values["w"])
    weights = jnp.where(np.asarray(CONNECTOME.weights) != 0, values["weights"], 0)

    def heard(sent, step):
        """What reaches every region at a step; no delay is shorter than one, so what is sent next is not heard yet."""
        return (weights * sent[jnp.maximum(step - LAGS, 0), np.arange(N)[None]]).sum(1)

    def one(state, step):
        y, sent = state
        given = (step > 0) & (step % horizon == 0)
        cut = lambda x: jnp.where(given, jax.lax.stop_gradient(x), x)  # noqa: E731
        now = cut(heard(sent, step))
        y, sent = cut(y), cut(sent)
        soon = heard(sent, step + 1)
        k1 = model.drift(0.0, y, values["strength"] * now[None])
        k2 = model.drift(0.0, y + k1, values["strength"] * soon[None])
        y = y + (k1 + k2) / 2
        return (y, sent.at[step + 1].set(y[0])), y[0]

    sent = jnp.zeros((STEPS + 1, N)).at[0].set(values["start"][0])
    return jax.lax.scan(one, (values["start"], sent), jnp.arange(STEPS))[1]


def engine(values, horizon, autodiff="reverse"):
    """The same by the engine."""
    where = lambda n: (n.model.w, n.coupling.strength, n.connectome.weights)  # noqa: E731
    net = eqx.tree_at(where, NET, (values["w"], values["strength"], values["weights"]))
    options = {} if horizon is None else {"gradient_horizon": float(horizon)}
    run = gx.simulate(net, float(STEPS), 1.0, start=values["start"], autodiff=autodiff, **options)
    return run["raw"].values[:, 0]


def slopes(path, horizon, **options):
    """Of all that was recorded, at once."""

    def loss(values):
        states = path(values, horizon, **options)
        return jnp.vdot(SHARES, states) + 3 * jnp.vdot(states, states)

    return jax.value_and_grad(loss)


def closely(found, expected):
    """Of weights, those of connections: one that is not there has a gradient too, which the loop does not know of."""
    there = np.asarray(CONNECTOME.weights) != 0
    for name in VALUES:
        size = np.abs(expected[name]).max()
        assert size > 0
        if name == "weights":
            found, expected = found | {name: found[name] * there}, expected | {name: expected[name] * there}
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=CLOSE * size, err_msg=name)


def test_the_longest_delay_reaches_over_several_horizons():
    assert LAGS[np.asarray(CONNECTOME.weights) != 0].min() == 1 and LAGS[4, 2] == 12


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [4, 7, 15])
def test_the_adjoint_cuts_where_the_loop_does(horizon):
    """Horizons far shorter than the longest delay, over half of it, and longer: the last cut is in the middle of a delay."""
    value, expected = jax.jit(slopes(loop, horizon))(VALUES)
    found_value, found = jax.jit(slopes(engine, horizon))(VALUES)
    np.testing.assert_allclose(found_value, value, rtol=CLOSE)
    closely(found, expected)


@pytest.mark.once
@pytest.mark.slow("float64")
def test_plain_autodiff_cuts_there_too():
    _, expected = jax.jit(slopes(loop, 4))(VALUES)
    closely(jax.jit(slopes(engine, 4, autodiff="forward"))(VALUES)[1], expected)


@pytest.mark.slow
@pytest.mark.once
def test_members_of_an_ensemble_are_cut_as_they_are_alone():
    """Starts and strengths of their own, weights in common."""
    starts = VALUES["start"] * jnp.array([0.5, 1.0, 1.7])[:, None, None]
    several = VALUES | {"start": starts, "strength": jnp.array([0.2, 0.3, 0.5])}
    axes = {"w": None, "strength": 0, "weights": None, "start": 0}
    _, together = jax.jit(jax.vmap(slopes(engine, 4), in_axes=(axes,)))(several)
    alone = jax.jit(slopes(loop, 4))
    for i in range(3):
        _, expected = alone(several | {"start": starts[i], "strength": several["strength"][i]})
        closely({name: x[i] for name, x in together.items()}, expected)


MONITORS = {
    "mean": gx.monitors.TemporalAverage(source="S", period=6.0),
    "heard": gx.monitors.AfferentCoupling(period=5.0),
}


def recorded(values, horizon, autodiff="reverse"):
    """Averages, what is heard, and where the run ends, its past included: all that a horizon could change."""
    where = lambda n: (n.model.w, n.coupling.strength, n.connectome.weights)  # noqa: E731
    net = eqx.tree_at(where, NET, (values["w"], values["strength"], values["weights"]))
    run = gx.simulate(
        net, 31.0, 1.0, start=values["start"], autodiff=autodiff, monitors=MONITORS, gradient_horizon=horizon
    )
    return [run["mean"].values, run["heard"].values, run.final.y, run.final.history]


def of_recorded(horizon, autodiff="reverse"):
    def loss(values):
        found = jax.tree.leaves(recorded(values, horizon, autodiff))
        return sum(jnp.vdot(jnp.cos(jnp.arange(x.size)), x.reshape(-1)) for x in found), found

    return jax.jit(jax.grad(loss, has_aux=True))


@pytest.mark.slow("float64")
def test_a_horizon_changes_the_gradient_and_not_a_bit_of_the_run():
    whole, run = of_recorded(None)(VALUES)
    cut, same = of_recorded(7.0)(VALUES)
    far, again = of_recorded(31.0)(VALUES)
    for a, b, c in zip(run, same, again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    for name in VALUES:
        np.testing.assert_array_equal(whole[name], far[name])
        assert np.abs(whole[name] - cut[name]).max() > 1e-3 * np.abs(whole[name]).max(), name


@pytest.mark.slow
@pytest.mark.once
def test_what_a_run_leaves_of_before_its_last_ticks_is_cut_too():
    """The last 9 of 521 steps are a segment of their own, shorter than the past that is left, and a horizon lies in them."""

    def left(autodiff):
        def loss(values):
            net = eqx.tree_at(lambda n: (n.model.w, n.coupling.strength), NET, (values["w"], values["strength"]))
            final = gx.simulate(net, 521.0, 1.0, autodiff=autodiff, monitors={}, gradient_horizon=103.0).final
            return sum(jnp.sum(jnp.cos(jnp.arange(x.size)) * x.reshape(-1)) for x in final.history.values())

        return jax.jit(jax.grad(loss))({name: VALUES[name] for name in ("w", "strength")})

    found, expected = left("reverse"), left("forward")
    for name, slope in expected.items():
        np.testing.assert_allclose(found[name], slope, rtol=0, atol=CLOSE * np.abs(slope).max(), err_msg=name)


@pytest.mark.slow
def test_monitors_and_what_a_run_leaves_are_seen_as_plain_autodiff_sees_them():
    """The horizon lies within ticks, windows, periods and delays; monitors are not cut."""
    for horizon in (4.0, 13.0):
        closely(of_recorded(horizon)(VALUES)[0], of_recorded(horizon, "forward")(VALUES)[0])
