"""A function that computes something else now is no longer answered by what was compiled, whatever way it reads what has changed."""

import collections
import dataclasses
import itertools
import threading
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pandas as pd
import pytest
from jax.experimental import io_callback

import gyrax as gx
from gyrax.fitting.tracing import seen

MODEL = gx.models.Linear(gamma=-0.5)
SPEC = gx.select(MODEL, "gamma")
KEY = jax.random.key(0)
KEYS = KEY[None]
QUIET: dict[str, Any] = {"progress": False}
TARGET = -1.0


@pytest.fixture(autouse=True)
def first_target():
    global TARGET
    TARGET = -1.0


def value(function):
    """What a loss is at gamma = -0.5."""
    return float(gx.evaluate(MODEL, function, KEYS)["value"][0])


class Global(eqx.Module):
    """A loss that is a Module and reads a global."""

    def __call__(self, m, key):
        return (m.gamma - TARGET) ** 2


class OfClass:
    target = -1.0

    def __call__(self, m, key):
        return (m.gamma - self.target) ** 2


class Slots:
    __slots__ = ("target",)

    def __init__(self):
        self.target = -1.0

    def __call__(self, m, key):
        return (m.gamma - self.target) ** 2


@dataclasses.dataclass(slots=True)
class Fields:
    target: float = -1.0

    def __call__(self, m, key):
        return (m.gamma - self.target) ** 2


class Helpers:
    """All ways to read a global through an object."""

    def by_method(self):
        return TARGET

    @property
    def by_property(self):
        return TARGET

    @staticmethod
    def static():
        return TARGET

    @classmethod
    def of_class(cls):
        return cls.static()

    def __call__(self, m, key):
        return (m.gamma - (self.by_method() + self.by_property + self.static() + self.of_class()) / 4) ** 2


def step(carry, _):
    return carry - TARGET, None


def away(x):
    return x - TARGET


def scanned(m, key):
    return jax.lax.scan(step, m.gamma, None, length=1)[0] ** 2


def branching(m, key):
    return jax.lax.cond(m.gamma < 0, away, away, m.gamma) ** 2


def checkpointed(m, key):
    return jax.checkpoint(away)(m.gamma) ** 2


jitted = jax.jit(away)
OF_GLOBAL = {
    "a Module": Global(),
    "methods, properties, static methods": Helpers(),
    "a static method": lambda m, key: (m.gamma - Helpers.static()) ** 2,
    "globals()": lambda m, key: (m.gamma - globals()["TARGET"]) ** 2,
    "the body of a scan": scanned,
    "a branch": branching,
    "a checkpoint": checkpointed,
    "a jitted function": lambda m, key: jitted(m.gamma) ** 2,
    "a jitted Module": eqx.filter_jit(Global()),
}


@pytest.mark.once
@pytest.mark.parametrize("name", OF_GLOBAL)
def test_a_global_is_read_anew_through(name):
    global TARGET
    loss = OF_GLOBAL[name]
    for TARGET in (-1.0, -2.0, -1.0):
        assert value(loss) == pytest.approx((0.5 + TARGET) ** 2)


def tables(kind):
    """A loss, and what makes it another one without a new object."""
    if kind == "class":
        return OfClass(), lambda: setattr(OfClass, "target", -2.0)
    if kind in ("slots", "dataclass"):
        loss = Slots() if kind == "slots" else Fields()
        return loss, lambda: setattr(loss, "target", -2.0)
    if kind == "frame":
        frame = pd.DataFrame({"region": ["a", "b"], "target": [-1.0, 0.0]})
        return lambda m, key: (m.gamma - frame["target"][0]) ** 2, lambda: frame.__setitem__("target", [-2.0, 0.0])
    queue = collections.deque([-1.0])
    return lambda m, key: (m.gamma - queue[0]) ** 2, lambda: queue.__setitem__(0, -2.0)


@pytest.mark.once
@pytest.mark.parametrize("kind", ["class", "slots", "dataclass", "frame", "deque"])
def test_what_changed_in_place_is_read_anew(kind):
    loss, change = tables(kind)
    assert value(loss) == pytest.approx(0.25)
    change()
    assert value(loss) == pytest.approx(2.25)
    OfClass.target = -1.0


def calls(loss, optimiser, posterior):
    """Of every public call that compiles a loss, one number that the target -1 or -2 makes."""
    prior = {"gamma": dist.TruncatedNormal(-1.0, 0.5, high=-0.1)}
    return {
        "minimise": lambda: gx.search.minimise(MODEL, loss, SPEC, **QUIET).model.gamma,
        "fit": lambda: gx.fit(MODEL, loss, SPEC, optimiser, steps=1, **QUIET).history["loss"][0],
        "sweep": lambda: gx.sweep(MODEL, loss, {"gamma": [-0.5]})["value"].values[0],
        "curvature": lambda: gx.analysis.curvature(MODEL, loss, SPEC, **QUIET).gradient,
        "profile": lambda: gx.analysis.profile(MODEL, loss, SPEC, "gamma", [-0.6, -0.5], **QUIET).losses[1],
        "laplace": lambda: gx.inference.laplace(MODEL, loss, SPEC, priors=prior, draws=50, **QUIET).real.mean(),
        "density": lambda: gx.inference.log_density(MODEL, loss, SPEC, priors=prior)(gx.split(MODEL, SPEC)[0]),
        "predictive": lambda: posterior.predictive(loss, count=2)["value"].mean(),
    }


@pytest.mark.once
@pytest.mark.slow
def test_every_call_reads_anew():
    global TARGET
    module, optimiser = Global(), optax.adam(0.1)

    def fresh(m, key):
        return (m.gamma - TARGET) ** 2

    prior = {"gamma": dist.TruncatedNormal(-1.0, 0.5, high=-0.1)}
    posterior = gx.inference.laplace(MODEL, lambda m, key: 50 * (m.gamma + 1) ** 2, SPEC, priors=prior, **QUIET)
    reused = calls(module, optimiser, posterior)
    for level in (-1.0, -2.0):
        TARGET = level
        other = calls(lambda m, key: fresh(m, key), optax.adam(0.1), posterior)
        for name in reused:
            assert float(reused[name]()) == pytest.approx(float(other[name]()), rel=1e-5), name


@pytest.mark.once
def test_a_checkpoint_is_of_what_was_computed(tmp_path):
    """The numbers in a file are those of the loss that the file says it is of."""
    global TARGET
    loss, file = Global(), tmp_path / "p.npz"
    gx.search.minimise(MODEL, loss, SPEC, **QUIET)
    TARGET = -2.0
    found = gx.search.minimise(MODEL, loss, SPEC, checkpoint=file, **QUIET).model.gamma
    assert float(found) == pytest.approx(-2.0, abs=1e-4)
    assert float(gx.search.minimise(MODEL, Global(), SPEC, checkpoint=file, **QUIET).model.gamma) == float(found)
    TARGET = -1.0
    with pytest.raises(ValueError, match="the loss differs"):
        gx.search.minimise(MODEL, loss, SPEC, checkpoint=file, **QUIET)


@pytest.mark.once
def test_a_rate_that_changed_is_read_anew(tmp_path):
    rate = 0.0
    optimiser, loss = optax.sgd(lambda count: rate), lambda m, key: (m.gamma + 1) ** 2

    def fit(steps, **kwargs):
        return gx.fit(MODEL, loss, SPEC, optimiser, steps=steps, checkpoint=tmp_path / "f.npz", **QUIET, **kwargs)

    assert float(fit(1).last.gamma) == pytest.approx(-0.5)
    rate = 0.25
    with pytest.raises(ValueError, match="the optimiser differs"):
        fit(2)
    assert float(fit(2, changed="accept").last.gamma) < -0.51


SCALAR = jax.ShapeDtypeStruct((), jnp.result_type(float))


def outside(kind, level):
    """A loss whose jaxpr is the same for all levels but for a function on the host, or a rule."""

    def host(x):
        return np.asarray((x - level) ** 2, SCALAR.dtype)

    class Host:
        __slots__ = ("level",)

        def __init__(self):
            self.level = level

        def __call__(self, x):
            return np.asarray((x - self.level) ** 2, SCALAR.dtype)

    double = jax.custom_jvp(lambda x: 2 * x)
    double.defjvp(lambda primals, tangents: (2 * primals[0], level * tangents[0]))
    thrice = jax.custom_vjp(lambda x: 3 * x)
    thrice.defvjp(lambda x: (3 * x, x), lambda left, bar: (level * bar,))
    fourfold = eqx.filter_custom_vjp(lambda x: 4 * x)
    fourfold.def_fwd(lambda moved, x: (4 * x, None))
    fourfold.def_bwd(lambda left, bar, moved, x: level * bar)

    def noted(m, key):
        jax.debug.callback(lambda x: print(host(x)), m.gamma)
        return m.gamma**2

    return {
        "pure_callback": lambda m, key: jax.pure_callback(host, SCALAR, m.gamma),
        "an object": lambda m, key: jax.pure_callback(Host(), SCALAR, m.gamma),
        "mapped": lambda m, key: jax.vmap(lambda x: jax.pure_callback(host, SCALAR, x, vmap_method="sequential"))(
            m.gamma[None]
        )[0],
        "io_callback": lambda m, key: io_callback(host, SCALAR, m.gamma),
        "debug": noted,
        "custom_jvp": lambda m, key: double(m.gamma),
        "custom_vjp": lambda m, key: thrice(m.gamma),
        "Equinox's": lambda m, key: fourfold(m.gamma),
        "inside a scan": lambda m, key: jax.lax.scan(lambda c, _: (thrice(c), None), m.gamma, None, length=2)[0],
    }[kind]


@pytest.mark.once
@pytest.mark.parametrize(
    "kind",
    [
        "pure_callback",
        "an object",
        "mapped",
        "io_callback",
        "custom_jvp",
        "custom_vjp",
        "Equinox's",
        "inside a scan",
    ],
)
def test_functions_on_the_host_and_rules_count_by_what_they_read(kind):
    loss = outside(kind, -1.0)
    one, same, other = (seen(x, MODEL, KEY).function for x in (loss, outside(kind, -1.0), outside(kind, -2.0)))
    assert one.told() == same.told() != other.told()
    assert one == seen(loss, MODEL, KEY).function  # made anew by each trace, and no reason to compile anew


@pytest.mark.once
def test_who_is_only_told_something_does_not_count(tmp_path):
    """A log that grows is no other loss, nor does a file refuse it."""
    one, other = (seen(outside("debug", level), MODEL, KEY).function for level in (-1.0, -2.0))
    assert one.told() == other.told()
    log = []

    def loss(m, key):
        jax.debug.callback(lambda x: log.append((x, threading.Lock())), m.gamma)
        return (m.gamma + 1) ** 2

    for steps in (2, 4):
        gx.fit(MODEL, loss, SPEC, optax.adam(0.1), steps=steps, key=0, checkpoint=tmp_path / "fit", progress=False)
    assert len(log) >= 4


@pytest.mark.once
def test_what_nothing_can_look_into_is_told_by_object_and_refused_for_a_file(tmp_path):
    lock = threading.Lock()

    def host(x):
        with lock:
            return np.asarray(x, SCALAR.dtype)

    def loss(m, key):
        return jax.lax.stop_gradient(jax.pure_callback(host, SCALAR, m.gamma, vmap_method="sequential")) + m.gamma**2

    before = seen(loss, MODEL, KEY).function
    assert before == seen(loss, MODEL, KEY).function
    with pytest.raises(ValueError, match=r"a checkpoint cannot say what run it is of: .* reads lock \(lock\)"):
        gx.fit(MODEL, loss, SPEC, optax.adam(0.1), steps=1, checkpoint=tmp_path / "f.npz", **QUIET)
    assert not (tmp_path / "f.npz").exists()
    lock = threading.Lock()
    assert before != seen(loss, MODEL, KEY).function


@pytest.mark.once
def test_what_did_not_change_compiles_once():
    """Objects, Modules with other arrays, bound methods made anew for each call, and functions of a cell that is run again."""
    traced = itertools.count()

    class Loss(eqx.Module):
        target: jax.Array

        def __call__(self, m, key):
            next(traced)
            return (m.gamma - self.target) ** 2

    class Named:
        def loss(self, m, key):
            next(traced)
            return (m.gamma + 3) ** 2

    def cell(target):
        def loss(m, key):
            next(traced)
            return (m.gamma - target) ** 2

        return loss

    named = Named()
    for several in (
        [Loss(jnp.asarray(x)) for x in (-1.0, -2.0, -4.0)],
        [named.loss, named.loss, named.loss],
        [cell(-3.0), cell(-3.0), cell(-3.0)],
    ):
        values, counts = [], []
        for loss in several:
            values.append(value(loss))
            counts.append(next(traced))
        assert counts[2] - counts[1] == 2  # one trace, to see what it is; nothing is compiled
    assert values == pytest.approx([6.25] * 3)
    assert value(Loss(jnp.asarray(-2.0))) == pytest.approx(2.25)
    assert [value(cell(x)) for x in (-2.0, -3.0)] == pytest.approx([2.25, 6.25])
