"""Ensembles over several devices: the same numbers on any number of them."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from gyrax import _devices

#: What every number of devices is to give alike: 7 members, which no number of devices but one divides.
ENSEMBLES = """
import json, sys
import gyrax as gx
there = gx.devices(cpu=8)
import jax, jax.numpy as jnp, optax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)  # it computes for milliseconds
from gyrax import _devices

net = gx.Network(
    gx.models.WongWang(),
    gx.couplings.Linear(source="S"),
    gx.Connectome([[0.0, 1.0, 0.5], [0.3, 0.0, 0.2], [0.1, 0.7, 0.0]], lengths=[[0, 9, 6], [9, 0, 3], [6, 3, 0]]),
    gx.Delay(speed=3.0),
    gx.noise.White(sigma=0.01),
)

def loss(net, key):
    run = gx.simulate(net, 40.0, 1.0, monitors=gx.monitors.TemporalAverage(source="S", period=10.0), key=key)
    return (run["monitor"].values - 0.2).std(), {"m": net.model.w * 1.0}

def numbers(fitted):
    keys = jax.random.split(jax.random.key(1), 7)
    found = {"evaluate": gx.evaluate(net, loss, keys)["loss"]}
    swept = gx.sweep(net, loss, {"model.w": jnp.linspace(0.4, 0.9, 7)}, batch=5)
    found["sweep"] = swept["loss"].values
    if not fitted:
        return {name: [float(x) for x in values] for name, values in found.items()}
    spec, adam = gx.select(net, "model.w", "coupling.strength"), optax.adam(0.05)
    fitted = gx.fit(net, loss, spec, adam, steps=3, realisations=7, validation=gx.Validation(3, every=1), progress=False)
    found["fit"] = [float(fitted.model.model.w), float(fitted.model.coupling.strength), *fitted.history["loss"]]
    assert len(fitted.model.model.w.devices()) == 1, "a model that was fitted lies on every device"
    return {name: [float(x) for x in values] for name, values in found.items()}

found = {}
for count in map(int, sys.argv[1:]):
    _devices._usable = lambda: there[:count]
    jax.clear_caches()
    found[count] = numbers(count in (1, 3))  # a fit takes long to compile
print(json.dumps(found))
"""


def in_a_process(script: str, *arguments: str) -> str:
    settings = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", script, *arguments], env=settings, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow("float64")
def test_any_number_of_devices_gives_the_same_numbers():
    found = json.loads(in_a_process(ENSEMBLES, "1", "2", "3", "8").splitlines()[-1])
    one = found.pop("1")
    assert set(found) == {"2", "3", "8"}
    for numbers in found.values():
        for name, values in numbers.items():
            np.testing.assert_allclose(values, one[name], rtol=1e-10, err_msg=name)
    assert len(set(one["evaluate"])) == 7


@pytest.mark.once
def test_gradients_and_ragged_ends_on_three_devices():
    script = """
import gyrax as gx
print(len(gx.devices(cpu=3)), len(gx.devices()))
import jax, jax.numpy as jnp
from gyrax._devices import among, at_home, mapped

def total(a, x):
    return mapped(lambda x: jnp.sin(a * x) + mapped(lambda y: a * y, jnp.arange(2.0)).sum(), x)

x = jnp.arange(7.0)
plain = lambda a: (jnp.sin(a * x) + a).sum()
loop = lambda a: jax.lax.fori_loop(0, 3, lambda i, a: total(a, x).mean(), a)
for f, g in ((lambda a: total(a, x).sum(), plain),):
    assert jnp.allclose(jax.jit(f)(0.3), g(0.3))
    assert jnp.allclose(jax.jit(jax.grad(f))(0.3), jax.grad(g)(0.3))
    assert jnp.allclose(jax.jit(jax.vmap(jax.grad(f)))(x), jax.vmap(jax.grad(g))(x))
    assert jnp.allclose(jax.jit(lambda a: jax.jvp(f, (a,), (1.0,))[1])(0.3), jax.grad(g)(0.3))
assert jnp.isfinite(jax.jit(loop)(0.3))
assert [len(among(n)) for n in (0, 1, 2, 3, 7)] == [1, 1, 3, 3, 3]
out = jax.jit(lambda x: mapped(jnp.sin, x))(x)
two = jax.jit(lambda x: mapped(jnp.sin, x).sum() + mapped(jnp.cos, x[:2]).sum())(x)  # ensembles of different sizes
assert jnp.allclose(two, jnp.sin(x).sum() + jnp.cos(x[:2]).sum())
assert len(out.devices()) == 3 and len(at_home(out).devices()) == 1
assert (jax.jit(lambda x: mapped(lambda k: jax.random.normal(k), x))(jax.random.split(jax.random.key(0), 5)).shape) == (5,)
key = at_home(jax.jit(lambda k: mapped(jax.random.fold_in, jax.random.split(k, 3), jnp.arange(3)))(jax.random.key(0)))
assert jax.random.key_data(key).shape == (3, 2)
# what an ensemble computes is traced among devices too: noise that mixes, or drives some states, is an operator with a shape of its own
for noise in ({"mixing": jnp.eye(2) + 0.1, "states": "y4"}, {"states": "y4"}):
    net = gx.Network(gx.models.JansenRit(), gx.couplings.Linear(source="y1"), jnp.ones((2, 2)), None, gx.noise.White(sigma=0.1, **noise))
    run = lambda scale, key: scale * gx.simulate(net, 4.0, 1.0, key=key)["raw"].values.mean()
    keys = jax.random.split(jax.random.key(0), 3)
    assert jax.eval_shape(jax.jit(lambda k: mapped(lambda k: jax.grad(run)(2.0, k), k)), keys).shape == (3,)
# and what does not depend on a key is known not to
from gyrax._jaxprs import depends
jaxpr = jax.make_jaxpr(jax.jit(lambda x, y: mapped(lambda a, b: (a, a * b), x, y)))(x, x).jaxpr
assert depends(jaxpr, jaxpr.invars[1:]) == [False, True]
with jax.default_device(jax.devices()[1]):
    assert gx.devices() == [jax.devices()[1]]
try:
    gx.devices(cpu=5)
except RuntimeError as error:
    print(error)
"""
    said = in_a_process(script).splitlines()
    assert said[0] == "3 3"
    assert said[1].startswith(
        "JAX is at work already, with 3 CPU devices, and 5 cannot come to it any more: call gx.devices(cpu=5)"
    )


def test_one_device_is_plain_vmap():
    assert str(jax.make_jaxpr(lambda x: _devices.mapped(jnp.sin, x))(jnp.ones(3))) == str(
        jax.make_jaxpr(jax.vmap(jnp.sin))(jnp.ones(3))
    )
    x = jnp.ones(3)
    assert _devices.at_home(x) is x


@pytest.mark.parametrize("cpu", ["both", 0, 1.5, -1, np.ones(3), [2]])
def test_what_is_no_number_of_devices(cpu):
    with pytest.raises((TypeError, ValueError), match="cpu"):
        gx.devices(cpu=cpu)


def test_as_many_as_there_are_is_no_complaint():
    assert gx.devices(cpu=len(jax.local_devices(backend="cpu"))) == gx.devices()
