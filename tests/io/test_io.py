"""Models to disk and back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx


def same(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def net(small_connectome):
    coupling = {"far": gx.couplings.Linear(source="S", strength=0.3)}
    return gx.Network(gx.models.WongWang(), coupling, small_connectome, gx.Delay(3.0), gx.noise.White(sigma=0.02))


def test_a_network_comes_back_with_what_was_fitted(net, tmp_path):
    """From a scalar start to one value a region, bit for bit, without weak types."""
    file = tmp_path / "fitted.npz"
    fitted = gx.per_region(net, "model.w")
    fitted = eqx.tree_at(lambda n: n.model.w, fitted, jnp.linspace(0.1, 0.9, 5))
    fitted = eqx.tree_at(lambda n: n.coupling["far"].strength, fitted, jnp.asarray(0.7))
    gx.io.save(file, fitted)
    back = gx.io.load(file, net)
    same(back, fitted)
    assert all(x.dtype == y.dtype for x, y in zip(jax.tree.leaves(back), jax.tree.leaves(net), strict=True))
    assert not any(x.weak_type for x in jax.tree.leaves(back))
    assert net.model.w.shape == ()
    same(gx.io.load(str(file), fitted), fitted)  # into one that is wide already, by a path as text
    gx.io.save(str(file), net)  # over the old one, and back to a scalar
    same(gx.io.load(file, fitted), net)
    assert [f.name for f in tmp_path.iterdir()] == ["fitted.npz"]


class Bare(eqx.Module):
    x: float = 0.5
    n: int = 3
    on: bool = True
    name: str = "plain"
    y: jax.Array = eqx.field(default_factory=lambda: jnp.arange(3))


def test_plain_numbers_stay_plain(tmp_path):
    gx.io.save(tmp_path / "bare.npz", Bare(x=0.25, n=7, on=False, name="other", y=jnp.arange(3) + 4))
    back = gx.io.load(tmp_path / "bare.npz", Bare())
    assert (back.x, back.n, back.on, back.name) == (0.25, 7, False, "plain")  # text is no number: the model's own
    assert [type(v) for v in (back.x, back.n, back.on)] == [float, int, bool]
    np.testing.assert_array_equal(back.y, [4, 5, 6])
    assert jnp.issubdtype(back.y.dtype, jnp.integer)


def test_a_file_of_another_precision_takes_the_models(tmp_path):
    gx.io.save(tmp_path / "m.npz", {"x": np.float64(1 / 3), "y": np.float32(2.0)})
    back = gx.io.load(tmp_path / "m.npz", {"x": jnp.zeros((), jnp.float32), "y": jnp.zeros(())})
    assert back["x"].dtype == jnp.float32 and back["y"].dtype == jnp.result_type(float)
    assert back["x"] == np.float32(1 / 3) and back["y"] == 2.0


@pytest.mark.once
def test_what_does_not_fit_is_named(net, tmp_path):
    file = tmp_path / "model.npz"
    with pytest.raises(FileNotFoundError, match=r"there is no .*model.npz"):
        gx.io.load(file, net)
    gx.io.save(file, gx.models.WongWang())
    with pytest.raises(ValueError, match="holds another model: only the file has I_o"):
        gx.io.load(file, gx.models.Hopf())
    gx.io.save(file, {"a": jnp.ones(())})
    with pytest.raises(ValueError, match="holds another model: only the model has b"):
        gx.io.load(file, {"a": jnp.ones(()), "b": jnp.ones(())})
    gx.io.save(file, {"a": jnp.ones(4)})
    with pytest.raises(ValueError, match=r"a has shape \(4,\) in .*model.npz and \(3,\) in the model"):
        gx.io.load(file, {"a": jnp.ones(3)})


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "model.npz"
    gx.io.save(file, gx.models.WongWang(w=0.7))

    def stopping(file, **kwargs):
        file.write(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", stopping)
        with pytest.raises(KeyboardInterrupt):
            gx.io.save(file, gx.models.WongWang(w=0.9))
    assert gx.io.load(file, gx.models.WongWang()).w == jnp.asarray(0.7)
    gx.io.save(file, gx.models.WongWang(w=0.9))  # what was left does not stand in the way
    assert gx.io.load(file, gx.models.WongWang()).w == jnp.asarray(0.9)
    assert [f.name for f in tmp_path.iterdir()] == ["model.npz"]
