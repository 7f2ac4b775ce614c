"""Several nodes a region: layers with a model each, couplings of their own within a region and over the connectome between regions."""

import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx

N, DT, SPEED = 3, 0.5, 2.0
RNG = np.random.default_rng(3)
W = RNG.uniform(0.2, 1.0, (N, N)) * (1 - np.eye(N))
LENGTHS = np.array([[0, 4, 9], [4, 0, 6], [9, 6, 0]], float)
CONNECTOME = gx.Connectome(W, LENGTHS, labels=["V1", "V2", "V4"])


def laminar(delay=None):
    """Upper layers, fast, feed deep ones of other regions; deep ones, slow, feed back; within a region deep excites and upper inhibits."""
    layered = CONNECTOME.layered(["upper", "deep"])
    models = {"upper": gx.models.Linear(gamma=-0.3), "deep": gx.models.Linear(gamma=-0.1)}
    groups = {
        name: (model, [label for label in layered.labels if label.endswith(f".{name}")])
        for name, model in models.items()
    }
    at_once, own = gx.NoDelay(), np.eye(N)
    couplings = {
        "forward": gx.couplings.Linear(source="upper.x", target="deep.c", strength=0.05),
        "back": gx.couplings.HyperbolicTangent(source="deep.x", target="upper.c", strength=0.02),
        "up": gx.couplings.Linear(source="deep.x", target="upper.c", strength=0.1, weights=own, delay=at_once),
        "down": gx.couplings.Linear(source="upper.x", target="deep.c", strength=0.1, weights=-own, delay=at_once),
    }
    return gx.Network(gx.Groups(groups), couplings, layered, delay)


def naive(steps, lag):
    """Heun, with what arrives at both ends of a step."""
    past = [np.stack([np.full(N, 0.5), np.linspace(-1, 1, N)])]
    past = past * (int(lag.max()) + 1)

    def heard(step, now):  # what arrives at the end of so many steps, whose state may not be known yet
        states = [*past, now] if step == len(past) else past
        late = np.array([[states[step - lag[i, j]][:, j] for j in range(N)] for i in range(N)])
        forward = 0.05 * (W * late[:, :, 0]).sum(1)
        back = 0.02 * (W * (1 + np.tanh(late[:, :, 1]))).sum(1)
        return np.stack([back + 0.1 * now[1], forward - 0.1 * now[0]])

    gamma = np.array([[-0.3], [-0.1]])
    for _ in range(steps):
        step, y = len(past) - 1, past[-1]
        first = gamma * y + heard(step, y)
        guess = y + DT * first
        past.append(y + DT / 2 * (first + gamma * guess + heard(step + 1, guess)))
    return np.array(past[-steps:])


@pytest.mark.parametrize("delayed", [False, True])
def test_two_layers_are_a_loop_over_regions(delayed, rounding):
    start = np.zeros((2, 2 * N))
    start[0, :N], start[1, N:] = 0.5, np.linspace(-1, 1, N)
    net = laminar(gx.Delay(speed=SPEED) if delayed else None)
    run = gx.simulate(
        net,
        40 * DT,
        DT,
        start=start,
        monitors={name: gx.monitors.Raw(source=f"{name}.x") for name in ("upper", "deep")},
    )
    lag = np.rint(LENGTHS / SPEED / DT).astype(int) if delayed else np.zeros((N, N), int)
    found = np.stack([run["upper"].values[:, 0], run["deep"].values[:, 0]], 1)
    np.testing.assert_allclose(found, naive(40, lag), rtol=20 * rounding, atol=20 * rounding)
    assert run["deep"].labels == ("V1.deep", "V2.deep", "V4.deep")


@pytest.mark.once
def test_from_any_layer_to_any_other_lead_the_tracts_of_the_regions():
    layered = CONNECTOME.layered(("a", "b", "c"))
    assert layered.labels[:4] == ("V1.a", "V2.a", "V4.a", "V1.b")
    for i in range(3):
        for j in range(3):
            block = np.ix_(range(N * i, N * i + N), range(N * j, N * j + N))
            np.testing.assert_array_equal(layered.weights[block], jnp.asarray(W))
            np.testing.assert_array_equal(layered.lengths[block], LENGTHS)
    assert gx.Connectome(W).layered(["a"]).lengths is None


@pytest.mark.once
@pytest.mark.parametrize("wrong", [[], ["a", "a"], [""]])
def test_layers_have_names_that_differ(wrong):
    with pytest.raises(ValueError, match="layers is a list of names that differ"):
        CONNECTOME.layered(wrong)
