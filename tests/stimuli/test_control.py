"""Stimuli that are looked for: a recorded waveform as the free leaf, against the linear theory of optimal control."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gyrax as gx
from conftest import DOUBLE

N, STEPS, DT = 3, 16, 0.5
RNG = np.random.default_rng(0)
WEIGHTS = RNG.uniform(size=(N, N)) * (1 - np.eye(N))
LABELS = ("V1", "V2", "V3")
START, GOAL = RNG.normal(size=(2, N))
#: What the state changes by: its own decay, and what it hears of others.
SLOPE = -0.5 * np.eye(N) + 0.2 * WEIGHTS


def controlled(regions, samples=STEPS + 1, **options):
    waveform = gx.stimuli.Recorded(np.zeros((samples, len(regions))), period=DT, outside="hold")
    return gx.Network(
        gx.models.Linear(gamma=-0.5),
        gx.couplings.Linear(source="x", strength=0.2),
        gx.Connectome(WEIGHTS, np.full((N, N), 4.0), labels=LABELS),
        stimulus=gx.stimuli.Stimulus(waveform, list(regions)),
        **options,
    )


def optimum(net, cost, solver):
    """Samples of the stimulus that costs least, as a fit finds it."""

    def loss(net, key):
        run = gx.simulate(
            net, STEPS * DT, DT, start=jnp.asarray(START)[None], monitors=gx.monitors.Raw(), solver=solver
        )
        return cost(run["monitor"].values[:, 0], net.stimulus.waveform.values)

    spec = gx.select(net, "stimulus.waveform.values")
    return np.asarray(gx.fit(net, loss, spec, optax.lbfgs(), steps=40, progress=False).model.stimulus.waveform.values)


def riccati(a, b, q, r, last, start, steps):
    """The discrete-time linear-quadratic regulator: what is fed step by step, by the recursion from the end."""
    value, gains = last, []
    for _ in range(steps):
        gain = np.linalg.solve(r + b.T @ value @ b, b.T @ value @ a)
        value = q + a.T @ value @ (a - b @ gain)
        gains.append(gain)
    x, fed = start, []
    for gain in gains[::-1]:
        fed.append(-gain @ x)
        x = a @ x + b @ fed[-1]
    return np.array(fed)


@pytest.mark.slow("float64")
def test_the_stimulus_that_costs_least_is_that_of_the_regulator():
    """Euler's steps hold what is fed for a step each; two of three regions are fed, in an order of their own."""
    regions = ("V3", "V1")
    fed = np.eye(N)[:, [LABELS.index(label) for label in regions]]
    cost = lambda x, u: 0.2 * jnp.sum(x[:-1] ** 2) + 5 * jnp.sum(x[-1] ** 2) + jnp.sum(u**2)  # noqa: E731
    found = optimum(controlled(regions), cost, gx.solvers.EulerMaruyama())
    expected = riccati(np.eye(N) + DT * SLOPE, DT * fed, 0.2 * np.eye(N), np.eye(2), 5 * np.eye(N), START, STEPS)
    np.testing.assert_allclose(found[:-1], expected, atol=1e-9 if DOUBLE else 1e-4)
    np.testing.assert_allclose(found[-1], 0, atol=1e-9 if DOUBLE else 1e-4)  # nothing hears it any more


@pytest.mark.slow
@pytest.mark.once
def test_a_state_is_reached_with_least_energy():
    """Heun's steps take the stimulus at both ends: least squares of the linear map from samples to the last state."""
    a = np.eye(N) + DT * SLOPE + DT**2 / 2 * SLOPE @ SLOPE
    before, after = DT / 2 * (np.eye(N) + DT * SLOPE), DT / 2 * np.eye(N)
    reached, alone = np.zeros((N, (STEPS + 1) * N)), START
    for k in range(STEPS):
        reached, alone = a @ reached, a @ alone
        reached[:, k * N : (k + 1) * N] += before
        reached[:, (k + 1) * N : (k + 2) * N] += after
    expected = np.linalg.solve(10 * reached.T @ reached + np.eye(reached.shape[1]), 10 * reached.T @ (GOAL - alone))
    found = optimum(
        controlled(LABELS), lambda x, u: 10 * jnp.sum((x[-1] - GOAL) ** 2) + jnp.sum(u**2), gx.solvers.Heun()
    )
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-9)


@pytest.mark.once
def test_the_gradient_by_samples_is_that_of_differences():
    net = controlled(("V2", "V1"), samples=6, delay=gx.Delay(speed=2.0))
    net = eqx.tree_at(lambda n: n.stimulus.waveform.values, net, jnp.asarray(RNG.normal(size=(6, 2))))

    @jax.jit
    def total(values):
        fed = eqx.tree_at(lambda n: n.stimulus.waveform.values, net, values)
        return jnp.sum(jnp.sin(gx.simulate(fed, STEPS * DT, DT, monitors=gx.monitors.Raw())["monitor"].values))

    values, h = net.stimulus.waveform.values, 1e-6
    slope = jax.jit(jax.grad(total))(values)
    for at in np.ndindex(6, 2):
        up, down = (float(total(values.at[at].add(sign * h))) for sign in (1, -1))
        assert float(slope[at]) == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-8)


# Columns


def two(**options):
    return gx.stimuli.Stimulus(gx.stimuli.Recorded([[1.0, 2.0], [3.0, 4.0]], period=10.0, outside="hold"), **options)


@pytest.mark.once
def test_columns_go_where_the_pattern_names_them(tmp_path):
    fed = two(pattern={"V3": 1.0, "V1": -10.0}).resolved(LABELS)
    assert fed(0.0)["c"].tolist() == [-20.0, 0.0, 1.0]
    again = fed.resolved(("V1", "X", "V3", "V2"))
    assert again(0.0)["c"].tolist() == [-20.0, 0.0, 1.0, 0.0]
    sampled = fed.sample(10.0, 10.0)
    assert sampled.sel(region="V3").values.ravel().tolist() == [1.0, 3.0]
    # all regions, in an order of their own
    both = two(pattern={"V2": 1.0, "V1": 1.0}).resolved(("V1", "V2"))
    assert both(0.0)["c"].tolist() == [2.0, 1.0]
    assert two(columns=("V3", "V2")).resolved(LABELS)(0.0)["c"].tolist() == [0.0, 2.0, 1.0]
    net = controlled(("V3", "V1"))
    gx.io.save(tmp_path / "net.npz", net)
    assert gx.io.load(tmp_path / "net.npz").stimulus.columns == ("V3", "V1")


@pytest.mark.once
def test_columns_that_fit_nothing_are_refused():
    with pytest.raises(ValueError, match="is for region 'V9'"):
        two(pattern=["V9", "V1"]).resolved(LABELS)
    with pytest.raises(ValueError, match=r"waveform of shape \(2,\): expected one value a region \(3,\)"):
        two(pattern=["V1"]).resolved(LABELS)
    with pytest.raises(
        ValueError, match=r"waveform of shape \(2,\): expected one value a region that it names, \(1,\)"
    ):
        two(columns=("V1",)).resolved(LABELS)
    with pytest.raises(ValueError, match="columns has 'V2', which the pattern does not name"):
        two(pattern=["V1"], columns=("V1", "V2"))
    with pytest.raises(ValueError, match="every region once"):
        two(columns=("V1", "V1"))
