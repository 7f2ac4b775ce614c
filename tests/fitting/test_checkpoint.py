"""Checkpoints of fits: what they are of, what they refuse, and that nothing that stops a process harms them."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

import gyrax as gx
from gyrax._formats import writing
from gyrax._formats.locking import held
from gyrax.fitting import blocks
from gyrax.fitting.fingerprint import differences, traced

pytestmark = pytest.mark.once

ADAM = optax.adam(0.1)


class Point(eqx.Module):
    a: Array = gx.parameter(0.5, domain=gx.Interval(0.0, 2.0))
    b: Array = gx.parameter(3.0, domain=gx.Positive())
    frozen: Array = gx.parameter(7.0)
    many: Array = gx.parameter(0.0)
    labels: tuple[str, ...] = eqx.field(default=("V1", "M1"), static=True)


def point(**changes):
    return Point(**{"many": np.arange(3.0)} | changes)


POINT, MIRRORED = point(), point(labels=("M1", "V1"))
SPEC = gx.select(POINT, "a", "b")
TARGET = jnp.array([1.5, 0.2])


def bowl(m, key):
    noise = jax.random.normal(key)
    return jnp.sum((jnp.stack([m.a, m.b]) - TARGET) ** 2) + 0.1 * noise, {"noise": noise}


def fit(loss=bowl, optimiser=ADAM, model=POINT, spec=SPEC, steps=4, **kwargs):
    return gx.fit(model, loss, spec, optimiser, steps=steps, **{"progress": False, "key": jax.random.key(7)} | kwargs)


def same(one, two):
    for what in ("model", "last", "history"):
        for a, b in zip(*(jax.tree.leaves(getattr(x, what)) for x in (one, two)), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (one.best_step, one.best_loss) == (two.best_step, two.best_loss)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The checkpoint of a fit of three steps, as bytes."""
    file = tmp_path_factory.mktemp("saved") / "fit.npz"
    fit(steps=3, checkpoint=file)
    return file.read_bytes()


@pytest.fixture
def file(saved, tmp_path):
    (tmp_path / "fit.npz").write_bytes(saved)
    return tmp_path / "fit.npz"


# What a checkpoint is of

DATA = np.array([1.5, 0.3])


def renamed(m, key):
    return bowl(m, key)


def edited(m, key):
    value, terms = bowl(m, key)
    return value + 1e-6 * m.a, terms


def other_data(m, key):
    noise = jax.random.normal(key)
    return jnp.sum((jnp.stack([m.a, m.b]) - DATA) ** 2) + 0.1 * noise, {"noise": noise}


class Towards(eqx.Module):
    """A loss whose data are its own leaf, which a compiled step takes as an argument."""

    target: Array

    def __call__(self, m, key):
        return jnp.sum((jnp.stack([m.a, m.b]) - self.target) ** 2), {"noise": jax.random.normal(key)}


CHANGES = {
    "an edited loss": (dict(loss=edited), "the loss differs"),
    "a loss of other data": (dict(loss=other_data), "the loss differs"),
    "another learning rate": (dict(optimiser=optax.adam(0.11)), "the optimiser differs"),
    "another schedule": (dict(optimiser=optax.adam(optax.cosine_decay_schedule(0.1, 9))), "the optimiser differs"),
    "an optimiser of each leaf": (dict(optimiser={"a": ADAM, "b": ADAM}), "the optimiser differs"),
    "a frozen value": (dict(model=point(frozen=8.0)), "frozen frozen differs: 7.0 there, 8.0 here"),
    "frozen values": (dict(model=point(many=np.arange(3.0)[::-1])), "frozen many differs"),
    "labels": (dict(model=MIRRORED, spec=gx.select(MIRRORED, "a", "b")), "labels differs"),
    "another start": (dict(model=point(a=0.6)), "the start of a differs"),
    "what is free": (dict(spec=gx.select(POINT, "a")), "what is free differs: a, b there, a here"),
    "a domain": (
        dict(spec=gx.select(POINT, gx.Free("a", domain=gx.Interval(0.0, 3.0)), "b")),
        "the domain of a differs: Interval(",
    ),
    "noise": (dict(noise="common"), "noise differs: new there, common here"),
    "realisations": (dict(realisations=2), "realisations differs: 1 there, 2 here"),
    "clip": (dict(clip=0.1), "clip differs: None there, 0.1 here"),
    "a key": (dict(key=jax.random.key(8)), "the key differs"),
    "validation": (dict(validation=gx.Validation(keys=2, every=1)), "steps there, 2 keys every 1 steps here"),
    "starts": (dict(starts=[POINT, POINT]), "the number of starts differs: 1 there, 2 here"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_is_refused_with_what_differs(name, file, saved):
    """Each of these went on in silence and returned a model of the fit before."""
    change, message = CHANGES[name]
    with pytest.raises(ValueError, match="is the checkpoint of another run") as told:
        fit(**change, checkpoint=file)
    assert message in str(told.value) and str(file) in str(told.value)
    goes = name not in ("what is free", "starts")
    assert ("or give changed='accept' to go on from its parameters" in str(told.value)) == goes
    assert file.read_bytes() == saved


def test_what_changes_nothing_is_no_other_fit(file):
    """More steps, patience, a bar, the same things built anew; and names of functions and variables."""
    more = dict(loss=renamed, optimiser=optax.adam(0.1), model=point(), spec=gx.select(point(), "a", "b"))
    went_on = fit(**more, checkpoint=file, patience=50, nonfinite="raise")
    same(went_on, fit())


def test_accepting_a_change_goes_on_from_the_parameters_and_looks_for_the_best_anew(file, saved):
    """The best of the old loss, 100 lower, is not the best of the new one."""

    def higher(m, key):
        value, terms = bowl(m, key)
        return value + 100.0, {**terms, "more": value}

    before = fit(steps=3)
    changed = fit(higher, optax.sgd(0.01), point(frozen=9.0), checkpoint=file, changed="accept", steps=6)
    assert changed.best_loss > 90 and changed.best_step >= 3 and len(changed.history["loss"]) == 6
    np.testing.assert_array_equal(changed.history["loss"][:3], before.history["loss"])
    assert np.isnan(changed.history["more"][:3]).all() and np.isfinite(changed.history["more"][3:]).all()
    value, _ = higher(before.last, jax.random.fold_in(jax.random.key(7), 3))
    np.testing.assert_allclose(changed.history["loss"][3], value, rtol=1e-6)
    assert float(changed.model.frozen) == 9.0
    # from now on it is the checkpoint of the changed fit
    again = fit(higher, optax.sgd(0.01), point(frozen=9.0), checkpoint=file, steps=6)
    same(again, changed)
    file.write_bytes(saved)
    with pytest.raises(ValueError, match="steps=3 counts the 3 that the checkpoint has taken: give more"):
        fit(higher, checkpoint=file, changed="accept", steps=3)
    with pytest.raises(ValueError, match="what is free differs"):
        fit(spec=gx.select(POINT, "a"), checkpoint=file, changed="accept")


def test_versions_are_named_where_they_may_be_why():
    there = {"the loss": "#1", "made with": "jax 0.1", "clip": "None"}
    here = {"the loss": "#2", "made with": "jax 0.2", "clip": "None"}
    assert differences(there, here)[-1] == "that may come from other versions alone: jax 0.1 there, jax 0.2 here"
    assert differences(there, there | {"made with": "jax 0.2"}) == []
    many = {str(i): "0" for i in range(9)}
    assert differences(many, {name: "1" for name in many})[-1] == "3 more differ"


NETWORK = """
import jax, numpy as np, optax, gyrax as gx
from gyrax.fitting.fingerprint import statics, traced

connectome = gx.Connectome(np.ones((3, 3)) - np.eye(3), 9.0 * (1 - np.eye(3)), labels=["A", "B", "C"])
couplings = {"near": gx.couplings.Linear(source="S"), "far": gx.couplings.Linear(source="S", delay=gx.Delay(speed=3.0))}
net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), connectome, delay=gx.Delay(speed=3.0),
                 noise=gx.noise.White(sigma=0.01))
monitors = {"b": gx.monitors.HRFBold(source="S", period=100.0), "a": gx.monitors.TemporalAverage(period=10.0)}
target = np.eye(3)

def loss(net, key):
    run = gx.simulate(net, 300.0, 1.0, monitors=monitors, key=key)
    return gx.losses.fc_rmse(gx.features.fc(run["a"].values[:, 0]), target) + run["b"].values.mean()

free, _ = gx.split(net, gx.select(net, "model.w"))
state = optax.lbfgs().init(free)
told = [traced(loss, net, jax.random.key(0)), traced(optax.adam(1e-3).update, free, optax.adam(1e-3).init(free)),
        *sorted(map(str, statics(net).items()))]
"""


@pytest.mark.slow
def test_a_fingerprint_is_the_same_in_another_process():
    """No addresses, and no order that depends on the seed of Python's hashes."""
    here: dict = {}
    exec(NETWORK, here)
    env = os.environ | {"PYTHONHASHSEED": "4321", "JAX_ENABLE_X64": "1"}
    done = subprocess.run([sys.executable, "-c", NETWORK + "print(*told, sep='\\n')"], env=env, capture_output=True)
    assert done.stdout.decode().splitlines() == here["told"], done.stderr.decode()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_constants_of_inner_functions_count(sign):
    """Of a loop, of a branch, of a function with a derivative of its own; whatever their values look like in print."""

    def made(number):
        @jax.custom_jvp
        def own(x):
            return x * number

        own.defjvp(lambda primals, tangents: (own(*primals), tangents[0] * number))
        data = np.linspace(0.0, number, 1000)

        def loop(x):
            return jax.lax.fori_loop(0, 3, lambda i, x: jnp.where(x > 0, own(x), x - jnp.asarray(data)[i]), x)

        return (jax.jit(loop), own, lambda x: x + data.sum(), lambda x: (x + jnp.asarray(data)).mean())

    one, again, near = made(sign), made(sign), made(sign * (1 + 1e-15))
    for a, b, c in zip(one, again, near, strict=True):
        assert traced(a, jnp.ones(())) == traced(b, jnp.ones(())) != traced(c, jnp.ones(()))


def test_a_loss_that_is_a_module_is_told_by_its_data():
    told = [traced(Towards(jnp.asarray(x)), POINT, jax.random.key(0)) for x in (DATA, DATA.copy(), DATA + 1e-9)]
    assert told[0] == told[1] != told[2]


# What stops a process


class Killed(BaseException):
    """Ends a process on the spot: nothing cleans up after it."""


@pytest.fixture
def kill(monkeypatch):
    """Kills at the n-th of the moments at which a file is written, brought to the disk, or renamed."""

    def prepare(at):
        count = iter(range(10**6))

        def dying(act, half=None):
            def instead(*args, **kwargs):
                if next(count) == at:
                    if half is not None:
                        half(*args)
                    raise Killed
                return act(*args, **kwargs)

            return instead

        monkeypatch.setattr(writing.os, "replace", dying(os.replace))
        monkeypatch.setattr(writing, "_to_disk", dying(writing._to_disk))
        monkeypatch.setattr(np, "savez", dying(np.savez, lambda file, *_: file.write(b"half of it")))
        monkeypatch.setattr(writing.Path, "unlink", lambda *args, **kwargs: None)
        monkeypatch.setattr(blocks, "_SECONDS", 0.0)  # a file after every step

    return prepare


def test_a_fit_that_is_killed_at_any_moment_of_writing_goes_on_to_the_bit(tmp_path, kill, monkeypatch):
    whole = fit(steps=3)
    for at in range(8):  # of the first file, and of one that takes the place of another
        file = tmp_path / f"{at}.npz"
        kill(at)
        with pytest.raises(Killed):
            fit(steps=3, checkpoint=file)
        monkeypatch.undo()
        same(fit(steps=3, checkpoint=file), whole)
        assert [x.name for x in tmp_path.iterdir() if x.name != f"{at}.npz" and not x.name[0].isdigit()] == []


def test_ctrl_c_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    file, savez, calls = tmp_path / "fit.npz", np.savez, []

    def stopping(target, **arrays):
        calls.append(1)
        if len(calls) > 2:
            target.write(b"half of it")
            raise KeyboardInterrupt
        savez(target, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "_SECONDS", 0.0)
        patch.setattr(np, "savez", stopping)
        part = fit(checkpoint=file)
    assert part.stopped == "interrupted" and len(part.history["loss"]) == 3  # of which two are in the file
    assert list(tmp_path.iterdir()) == [file]
    same(fit(checkpoint=file), fit())


def test_an_error_while_writing_leaves_the_old_checkpoint_and_names_the_file(file, saved, monkeypatch):
    def full(target, **arrays):
        target.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match=f"No space left on device: '{file}'"):
        fit(checkpoint=file)
    assert file.read_bytes() == saved and list(file.parent.iterdir()) == [file]


def test_where_no_checkpoint_can_be_it_is_said_before_anything_is_computed(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fit(checkpoint=tmp_path / "nowhere" / "fit.npz")
    with pytest.raises(NotADirectoryError, match="/dev/null/x"):
        fit(checkpoint="/dev/null/x")


def test_two_fits_at_one_checkpoint_do_not_meet(file, saved):
    with held(file), pytest.raises(BlockingIOError, match=rf"is in use by process {os.getpid()} on \S+ since \d{{4}}-"):
        fit(checkpoint=file)
    assert file.read_bytes() == saved
    fit(checkpoint=file)


# Files that are no checkpoints


def without(name):
    return lambda arrays: arrays.pop(name)


def instead(name, value):
    return lambda arrays: arrays.update({name: np.asarray(value)})


DAMAGES = {
    "empty": lambda data: b"",
    "a text": lambda data: b"half of it",
    "cut off": lambda data: data[: len(data) // 2],
    "turned over": lambda data: data[:300] + bytes(x ^ 255 for x in data[300:400]) + data[400:],
    "without its facts": without("about"),
    "facts of another kind": instead("about", "[1]"),
    "facts that are no JSON": instead("about", "{"),
    "no seconds": instead("about", '{"of": {}, "seconds": null}'),
    "a pickle": instead("free_0", np.array([{}], object)),
    "without a leaf": without("optimiser_1"),
    "a leaf of another shape": instead("free_0", np.zeros(3)),
    "without a history": without("history_loss"),
    "a short history": instead("history_loss", np.zeros(1)),
    "a history without steps": instead("history_loss", 1.0),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_named_with_what_to_do(name, file):
    damage = DAMAGES[name]
    try:
        file.write_bytes(damage(file.read_bytes()))
    except (TypeError, AttributeError):  # what damages arrays
        with np.load(file) as found:
            arrays = dict(found)
        damage(arrays)
        np.savez(file, **arrays)
    with pytest.raises(ValueError, match=r"is damaged, or no checkpoint .*: give another file, or delete it") as told:
        fit(checkpoint=file)
    assert str(file) in str(told.value)


def test_a_checkpoint_of_an_earlier_version_says_so(file):
    with np.load(file) as found:
        arrays = dict(found)
    np.savez(file, **arrays | {"about": np.asarray('{"names": ["a", "b"], "seconds": 1.0}')})
    with pytest.raises(ValueError, match="was written by an earlier gyrax and does not say what it is of"):
        fit(checkpoint=file)
