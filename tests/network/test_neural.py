"""Neural networks within a model: free as a whole, fitted, resumed and kept."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gyrax as gx

pytestmark = pytest.mark.once


class Driven(gx.AbstractModel):
    states, inputs = ("x", "v"), ("c",)
    force: eqx.Module
    tau: gx.Array = gx.parameter(10.0, domain=gx.Positive(), unit="ms")

    def drift(self, t, y, u):
        return jnp.stack([y[1], jax.vmap(self.force, in_axes=1)(y)[:, 0] + u[0]]) / self.tau


def network(seed=0, width=4, **values):
    force = eqx.nn.MLP(2, 1, width, 1, activation=jnp.tanh, key=jax.random.key(seed))
    connectome = gx.Connectome(np.ones((3, 3)) - np.eye(3), labels=["A", "B", "C"])
    return gx.Network(Driven(force, **values), gx.couplings.Linear(source="x", strength=0.1), connectome)


NET = network()
START = jnp.array([[1.0, 0.5, -0.5], [0.0, 0.3, 0.1]])


def path(net):
    return gx.simulate(net, 20.0, 1.0, start=START)["raw"].values


def loss(net, key):
    return jnp.mean((path(net) - 0.5) ** 2)


def test_it_runs_as_a_plain_loop_does():
    y, weights = np.asarray(START), np.ones((3, 3)) - np.eye(3)

    def slope(y):
        force = np.asarray([NET.model.force(jnp.asarray(column))[0] for column in y.T])
        return np.stack([y[1], force + 0.1 * weights @ y[0]]) / 10.0

    for _ in range(20):
        first = slope(y)
        y = y + (first + slope(y + first)) / 2
    np.testing.assert_allclose(path(NET)[-1], y, rtol=1e-10)


def test_it_is_free_as_a_whole_or_in_part():
    free, fixed = gx.split(NET, gx.select(NET, "model.force"))
    assert [x.shape for x in jax.tree.leaves(free)] == [(4, 2), (4,), (1, 4), (1,)]
    assert eqx.tree_equal(gx.join(free, fixed), NET)
    bias, _ = gx.split(NET, gx.select(NET, "model.force.layers.0.bias", "model.tau"))
    assert [x.shape for x in jax.tree.leaves(bias)] == [(4,), ()]
    weight = NET.model.force.layers[0].weight
    slope = jax.grad(lambda free: loss(gx.join(free, fixed), None))(free).model.force.layers[0].weight
    up, down = (
        loss(eqx.tree_at(lambda n: n.model.force.layers[0].weight, NET, weight.at[1, 0].add(h)), None)
        for h in (1e-6, -1e-6)
    )
    assert float(slope[1, 0]) == pytest.approx(float(up - down) / 2e-6, rel=1e-5)


def test_it_is_fitted_resumed_and_kept(tmp_path):
    free, options = gx.select(NET, "model.force"), {"progress": False}
    fit = lambda steps, **more: gx.fit(NET, loss, free, optax.adam(0.01), steps=steps, **options, **more)  # noqa: E731
    fit(3, checkpoint=tmp_path / "fit.npz")
    resumed, through = fit(6, checkpoint=tmp_path / "fit.npz"), fit(6)
    assert eqx.tree_equal(resumed.last, through.last) and through.best_loss < through.history["loss"][0]
    gx.io.save(tmp_path / "net.npz", resumed.model)
    assert eqx.tree_equal(gx.io.load(tmp_path / "net.npz", network(seed=1)), resumed.model)
    with pytest.raises(ValueError, match="is the checkpoint of another run"):
        gx.fit(network(seed=1), loss, free, optax.adam(0.01), steps=9, checkpoint=tmp_path / "fit.npz", **options)


def test_its_repr_is_short_and_what_is_gyraxs_is_checked():
    assert repr(NET.model) == "Driven(force=MLP(17 numbers), tau=10 ms)"
    with pytest.raises(ValueError, match=r"model.tau has shape \(2,\): expected one value \(\) or one a region \(3,\)"):
        network(tau=np.ones(2))
    broken = eqx.tree_at(lambda n: n.model.force.layers[0].bias, NET, jnp.full(4, jnp.nan))
    with pytest.raises(ValueError, match=r"model\.force\.layers\.0\.bias is not finite"):
        gx.Network(broken.model, NET.coupling, NET.connectome)
    with pytest.raises(ValueError, match="expected one value"):
        gx.Network(gx.models.GammaChain(gx.models.Linear(gamma=-np.ones(2)), "x"), NET.coupling, NET.connectome)
