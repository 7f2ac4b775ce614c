"""Tasks one after another in this process, and what workers compare themselves with."""

import pickle
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gyrax.anatomy.edges import Edges
from gyrax.scale import tasks, workers
from gyrax.scale.tasks import OutOfMemoryError, Waiting, completed

pytestmark = pytest.mark.once


def test_tasks_begin_when_they_are_asked_for():
    begun = []

    def several():
        for number in range(5):
            begun.append(number)
            yield number

    outcomes = completed(lambda shared, task: shared * task, 10, several())
    assert begun == []
    assert next(outcomes) == (0, 0) and begun == [0]
    assert list(outcomes) == [(1, 10), (2, 20), (3, 30), (4, 40)]


def test_what_is_added_comes_next_with_an_index_of_its_own():
    waiting = Waiting(range(10, 13))
    seen = []
    for index, outcome in completed(lambda shared, task: task, None, waiting):
        seen.append((index, outcome))
        if outcome == 10:
            assert waiting.add(77) == 1
    assert seen == [(0, 10), (1, 77), (2, 11), (3, 12)]


def test_tasks_may_be_added_after_the_last_one_ended():
    waiting = Waiting([8])
    ended = []
    for index, outcome in completed(lambda shared, task: task, None, waiting):
        ended.append(outcome)
        if waiting[index] > 1:
            waiting.add(waiting[index] // 2)
    assert ended == [8, 4, 2, 1]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("9 GB"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"),
        ValueError("the batch is too large"),
    ],
)
def test_short_memory_is_told_from_other_errors(error):
    if isinstance(error, ValueError):
        error.__cause__ = MemoryError()

    def fails(shared, task):
        raise error if task else KeyError("other")

    (_, other), (_, short) = completed(fails, None, [0, 1])
    assert isinstance(other, KeyError) and type(short) is OutOfMemoryError and str(short) == str(error)


def test_a_real_lack_of_memory_is_told():
    def fails(shared, task):
        return jnp.zeros((10**8, 10**8)).sum()

    ((_, outcome),) = completed(fails, None, [0])
    assert type(outcome) is OutOfMemoryError and "RESOURCE_EXHAUSTED" in str(outcome)


def test_an_interrupt_that_a_fit_catches_ends_the_tasks(ctrl_c):
    def catches(shared, task):
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
        return "what there is by then"

    outcomes = completed(catches, None, range(3))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_no_client_is_refused():
    for wrong in ("tcp://127.0.0.1:8786", 3, dict):
        with pytest.raises(
            TypeError, match=r"client= takes a client of dask.distributed.*write client=distributed.Client"
        ):
            completed(lambda shared, task: task, None, [1], client=wrong)


def test_without_dask_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'gyrax\[cluster\]'"):
        tasks.check_client(object())


def as_if_elsewhere(monkeypatch, **other) -> workers.Driver:
    """The driver, seen from a worker that is another process."""
    driver = workers.Driver.here()
    monkeypatch.setattr(workers, "_PROCESS", "another")
    monkeypatch.setattr(workers, "_SETTLED", {})
    return driver._replace(versions=driver.versions | other)


def test_other_versions_are_refused_with_both(monkeypatch):
    driver = as_if_elsewhere(monkeypatch, jax="0.0.1")
    with pytest.raises(workers.UnfitWorkerError, match=rf"has jax {jax.__version__} and not 0\.0\.1 as the driver"):
        workers.settle(driver, {})


def test_workers_have_the_cores_of_their_job_or_their_share(monkeypatch):
    monkeypatch.setattr(workers, "usable_cores", lambda: 16)
    assert [workers.cores({}, n) for n in (1, 3, 40)] == [16, 5, 1]
    assert workers.cores({"NCPUS": "6"}, 3) == 6
    assert workers.cores({"SLURM_CPUS_PER_TASK": "", "NSLOTS": "undefined"}, 2) == 8


def test_the_precision_is_that_of_the_driver_for_good(monkeypatch):
    driver = as_if_elsewhere(monkeypatch)
    assert driver.config["jax_enable_x64"] is bool(jax.config.jax_enable_x64)
    here = dict(driver.config)
    try:
        jax.config.update("jax_enable_x64", not here["jax_enable_x64"])
        workers.settle(driver, {})
        assert jax.config.jax_enable_x64 == here["jax_enable_x64"]
        other = driver._replace(config=here | {"jax_enable_x64": not here["jax_enable_x64"]})
        with pytest.raises(workers.UnfitWorkerError, match="jax_enable_x64"):
            workers.settle(other, {})
    finally:
        for name, value in here.items():
            jax.config.update(name, value)


def test_what_cannot_leave_the_process_is_named():
    import threading

    lock = threading.Lock()
    with pytest.raises(TypeError, match="the function, or what it reads, cannot be sent to workers"):
        tasks._bytes(lambda: lock, "the function, or what it reads,")


def test_hashes_of_this_process_do_not_travel():
    edges = Edges.among_all(np.eye(3, dtype=bool))
    hash(edges)
    there = pickle.loads(pickle.dumps(edges))
    assert "_hash" not in vars(there) and "_key" not in vars(there)
    assert there == edges and hash(there) == hash(edges)


def test_keys_travel():
    keys = jax.random.split(jax.random.key(3), 2)
    there = pickle.loads(pickle.dumps(keys))
    np.testing.assert_array_equal(jax.random.key_data(there), jax.random.key_data(keys))
