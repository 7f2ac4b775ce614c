"""Couplings with weights and delays of their own, side by side, against a plain loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from naive import loop, wiring

SINGLE = jnp.result_type(float) == jnp.float32
DT, STEPS = 0.5, 60
RNG = np.random.default_rng(11)
OTHER = np.where(RNG.random((6, 6)) < 0.5, RNG.uniform(0.1, 0.8, (6, 6)), 0.0)
SHORT = RNG.uniform(2.0, 6.0, (6, 6))


def linear(**own) -> gx.couplings.Linear:
    return gx.couplings.Linear(source="x", target="c_x", strength=0.3, **own)


def built(tag: str) -> tuple[gx.Network, dict]:
    """Five couplings, each wired in its own way, and what a plain loop needs to know of that."""
    shared, second = wiring(tag), gx.Connectome(OTHER, lengths=10 * SHORT, labels=[f"{tag}{i}" for i in range(6)])
    weights = np.asarray(shared.weights)
    lengths = np.asarray(shared.lengths, float)
    couplings = {
        "shared": linear(),
        "weights": linear(weights=OTHER),
        "slow": linear(delay=gx.Delay(1.5)),
        "second": linear(weights=second, delay=gx.Delay(20.0)),
        "given": linear(weights=OTHER.T, delay=gx.ConnectionDelays(SHORT)),
        "now": gx.couplings.Difference(source="y", target="c_y", strength=0.2, delay=gx.NoDelay()),
    }
    own = {
        "weights": (OTHER, lengths / 3.0),
        "slow": (weights, lengths / 1.5),
        "second": (OTHER, SHORT / 2),
        "given": (OTHER.T, SHORT),
        "now": (weights, None),
    }
    model = gx.models.Hopf(a=0.1, omega=0.3)
    return gx.Network(model, couplings, shared, gx.Delay(3.0), gx.noise.White(0.02)), own


@pytest.mark.slow("float64", "float32")
def test_equal_a_plain_loop(key):
    net, own = built("own")
    expected = loop(net, STEPS, DT, key, own=own)
    values = gx.simulate(net, STEPS * DT, DT, key=key)["raw"].values
    np.testing.assert_allclose(values, expected, atol=3e-5 if SINGLE else 1e-12)
    assert len({delay.bounds for delay in net.delays.values()}) == 4 and "now" not in net.delays


@pytest.mark.slow
@pytest.mark.once
def test_each_matters_and_none_is_lost(key):
    """Without any one of them, the result is another."""
    net, _ = built("own")
    whole = gx.simulate(net, STEPS * DT, DT, key=key)["raw"].values
    for name in net.couplings:
        silent = eqx.tree_at(lambda n, k=name: n.coupling[k].strength, net, jnp.asarray(1e-30))
        assert np.abs(gx.simulate(silent, STEPS * DT, DT, key=key)["raw"].values - whole).max() > 1e-3, name


@pytest.mark.slow
@pytest.mark.once
def test_the_adjoint_equals_plain_autodiff_and_differences(key):
    net, _ = built("grad")
    free, fixed = eqx.partition(net, eqx.is_inexact_array)

    def loss(free, autodiff):
        run = gx.simulate(eqx.combine(free, fixed), STEPS * DT, DT, key=key, autodiff=autodiff)
        return jnp.mean(run["raw"].values ** 2)

    value = jax.jit(loss, static_argnums=1)
    by_hand, plain = (jax.jit(jax.grad(loss), static_argnums=1)(free, how) for how in ("reverse", "forward"))
    for one, other in zip(jax.tree.leaves(by_hand), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    for name in net.couplings:
        leaf = lambda tree, k=name: tree.coupling[k].strength  # noqa: E731
        ends = [value(eqx.tree_at(leaf, free, leaf(free) + h), "reverse") for h in (1e-6, -1e-6)]
        np.testing.assert_allclose(leaf(by_hand), (ends[0] - ends[1]) / 2e-6, rtol=1e-5)
    given = by_hand.coupling["given"].weights
    assert (given[OTHER.T != 0] != 0).all()


@pytest.mark.slow
@pytest.mark.once
def test_speeds_of_their_own_have_gradients(key):
    slow = gx.Delay(2.0, interpolation="linear", bounds=(0.1, 40.0))
    connectome = wiring("speeds", longest=20.0)
    net = gx.Network(
        gx.models.Hopf(a=0.1, omega=0.3),
        {"near": linear(), "far": linear(delay=slow)},
        connectome,
        gx.Delay(4.0, interpolation="linear", bounds=(0.1, 40.0)),
    )

    @jax.jit
    def loss(speeds):
        where = lambda n: (n.delay.speed, n.coupling["far"].delay.speed)  # noqa: E731
        run = gx.simulate(eqx.tree_at(where, net, tuple(speeds)), 20.0, 0.5)
        return jnp.mean(run["raw"].values ** 2)

    speeds = jnp.array([4.1, 2.3])  # where no delay is a whole number of steps
    gradient = jax.grad(loss)(speeds)
    for i in range(2):
        h = jnp.zeros(2).at[i].set(1e-5)
        np.testing.assert_allclose(gradient[i], (loss(speeds + h) - loss(speeds - h)) / 2e-5, rtol=1e-4)
    assert gradient[0] != gradient[1]


@pytest.mark.once
@pytest.mark.slow("float64")
def test_ensembles_and_continued_runs(key):
    net, _ = built("own")
    strengths = jnp.array([0.1, 0.5])

    def values(strength):
        moved = eqx.tree_at(lambda n: n.coupling["second"].strength, net, strength)
        return gx.simulate(moved, STEPS * DT, DT, key=key)["raw"].values

    np.testing.assert_allclose(jax.vmap(values)(strengths), [values(s) for s in strengths], atol=1e-12)
    first = gx.simulate(net, 10.0, DT, key=key)
    rest = gx.simulate(net, STEPS * DT - 10.0, DT, start=first.final)
    whole = gx.simulate(net, STEPS * DT, DT, key=key)["raw"].values
    np.testing.assert_allclose(np.concatenate([first["raw"].values, rest["raw"].values]), whole, atol=1e-12)


@pytest.mark.once
def test_wrong_wiring_is_said():
    connectome, model = wiring("wrong"), gx.models.Hopf()
    others = gx.Connectome(OTHER, labels=list("ABCDEF"))
    sparse = gx.Sparse(OTHER)
    for own, message in (
        (dict(weights=OTHER[:5]), r"coupling has weights of shape \(5, 6\), the connectome of \(6, 6\)"),
        (
            dict(weights=others),
            "labels disagree: region 0 is 'wrong0' in the network's connectome, but 'A' in the weights",
        ),
        (dict(weights=gx.Connectome(OTHER), delay=gx.Delay(3.0)), "labels disagree"),
        (dict(weights=sparse, delay=gx.Delay(3.0)), "has gx.Sparse weights, which act at once, and a delay"),
        (dict(delay=gx.ConnectionDelays(SHORT[:4])), "delays have shape"),
    ):
        with pytest.raises(ValueError, match=message):
            gx.Network(model, linear(**own), connectome)
    lengthless = gx.Connectome(OTHER, labels=connectome.labels)
    with pytest.raises(ValueError, match="delays need tract lengths"):
        gx.Network(model, linear(weights=lengthless, delay=gx.Delay(3.0)), connectome)


@pytest.mark.once
def test_a_connectome_of_its_own_fits_the_delay_that_a_coupling_shares_or_is_refused():
    connectome, model = wiring("shared"), gx.models.Hopf()
    longer, bare = (gx.Connectome(OTHER, x, labels=connectome.labels) for x in (3 * connectome.lengths, None))
    for own in (linear, lambda **more: gx.couplings.GapJunction(source="x", **more)):
        with pytest.raises(
            ValueError,
            match=r"delay of coupling from .* ms by the connectome that it has in weights=.*its own, delay=gx\.Delay",
        ):
            gx.Network(model, own(weights=longer), connectome, gx.Delay(3.0))
    with pytest.raises(ValueError, match=r"has in weights= has no tract lengths.*coupling delay=gx\.NoDelay\(\)"):
        gx.Network(model, linear(weights=bare), connectome, gx.Delay(3.0))
    gx.Network(model, linear(weights=longer, delay=gx.Delay(3.0)), connectome, gx.Delay(3.0))
    gx.Network(model, linear(weights=bare, delay=gx.NoDelay()), connectome, gx.Delay(3.0))
    gx.Network(model, linear(weights=bare), connectome, gx.ConnectionDelays(np.full((6, 6), 3.0)))
    wide = gx.Delay(3.0, bounds=(0.1, 500.0))
    gx.simulate(gx.Network(model, linear(weights=longer), connectome, wide), 2.0, 1.0, monitors={})


def test_rounded_delays_of_a_coupling_are_not_set_free():
    net = gx.Network(gx.models.Hopf(), {"far": linear(delay=gx.Delay(3.0))}, wiring("free"))
    with pytest.raises(ValueError, match=r"coupling\.far\.delay\.speed is free, but these delays round"):
        net.check_free(["coupling.far.delay.speed"])
    net.check_free(["coupling.far.strength", "model.a"])
