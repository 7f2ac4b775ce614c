"""Tasks side by side on a cluster of three processes."""

import collections
import os
import random
import signal
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from gyrax.scale.tasks import LostError, OutOfMemoryError, UnfitWorkerError, completed

pytestmark = pytest.mark.slow("float64")  # three processes that import all of it
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    job = {"SLURM_CPUS_PER_TASK": "2"}  # each has two cores of its own, as a job of a queue
    cluster = distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, memory_limit=0, dashboard_address=None, env=job
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


def pids(client) -> list[int]:
    return list(client.run(os.getpid).values())


def told_in(path):
    """A function that says in a file that it was called, and sleeps."""

    def called(seconds, task):
        import os
        import time

        with open(f"{path}/{task}-{os.getpid()}-{time.monotonic_ns()}", "w"):
            pass
        time.sleep(seconds)
        return task * 1.5

    return called


def test_numbers_are_those_of_one_process(client):
    network = gx.Network(
        gx.models.Hopf(),
        gx.couplings.Linear(source="x", target="c_x"),
        np.ones((3, 3)) - np.eye(3),
        noise=gx.noise.White(sigma=0.1),
    )

    def simulated(network, task):
        changed = eqx.tree_at(lambda n: n.coupling.strength, network, task["strength"])
        raw = gx.monitors.Raw(source="x")
        return gx.simulate(changed, 20.0, 1.0, monitors={"x": raw}, key=task["key"])["x"].values

    some = [{"strength": jnp.asarray(0.1 * i), "key": jax.random.key(i)} for i in range(6)]
    there = dict(completed(simulated, network, some, client=client))
    here = dict(completed(simulated, network, some))
    assert sorted(there) == sorted(here) == list(range(6))
    for index in here:
        assert there[index].dtype == here[index].dtype == jnp.result_type(float)
        np.testing.assert_array_equal(there[index], here[index])


def test_a_worker_uses_the_cores_of_its_job(client):
    def devices(shared, task):
        return len(gx.devices())

    assert {n for _, n in completed(devices, None, range(6), client=client)} == {2}


def test_errors_are_outcomes_and_short_memory_is_told(client):
    def fails(shared, task):
        if task == 0:
            raise MemoryError("9 GB")
        if task == 1:
            raise KeyError("FC")
        return task

    found = dict(completed(fails, None, range(3), client=client))
    assert type(found[0]) is OutOfMemoryError and str(found[0]) == "9 GB"
    assert isinstance(found[1], KeyError) and found[2] == 2


def test_no_more_begin_than_are_asked_for(client):
    begun = []

    def many():
        for number in range(100_000):
            begun.append(number)
            yield number

    outcomes = completed(lambda shared, task: task, None, many(), client=client)
    for ended in range(1, 6):
        next(outcomes)
        assert len(begun) <= 2 * 3 + ended
    outcomes.close()
    time.sleep(0.1)
    assert not [key for key in client.cluster.scheduler.tasks if key.startswith("gyrax-")]


def test_functions_that_workers_do_not_have_are_named(client):
    import sys
    import types

    module = types.ModuleType("nowhere_else")
    exec("def function(shared, task):\n    return task", vars(module))
    sys.modules["nowhere_else"] = module
    try:
        with pytest.raises(UnfitWorkerError, match=r"No module named 'nowhere_else'.*upload_file"):
            list(completed(module.function, None, [1], client=client))
    finally:
        del sys.modules["nowhere_else"]


def test_clusters_and_workers_of_several_threads_are_refused(client):
    with pytest.raises(TypeError, match=r"client= takes a client of a cluster.*get_client"):
        completed(print, None, [1], client=client.cluster)
    several = distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None)
    with several, pytest.raises(ValueError, match=r"has 2 threads.*threads_per_worker=1"):
        completed(print, None, [1], client=several)
    with pytest.raises(ValueError, match="client is closed"):
        completed(print, None, [1], client=several)


def test_many_fits_on_a_cluster_are_those_of_one_process(client, tmp_path):
    def fit(subject):
        if subject is None:
            raise ValueError("no scan")
        return {"loss": jnp.sum(subject**2), "curve": subject}

    subjects = {"a": jnp.ones(3), "b": None, "c": jnp.arange(4.0)}
    here = gx.scale.fit_many(fit, subjects, progress=False)
    there = gx.scale.fit_many(fit, subjects, out=tmp_path / "fits", client=client, progress=False)
    for column in ("loss", "error"):
        assert there.table[column].astype(str).tolist() == here.table[column].astype(str).tolist()
    assert list(there) == ["a", "c"] and there["c"]["curve"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert there.table.loc["b", "error"] == "ValueError: no scan" and "no scan" in there.tracebacks["b"]


def test_a_killed_worker_loses_nothing_and_doubles_nothing(client, tmp_path):
    seen = collections.Counter()
    found = {}
    for index, outcome in completed(told_in(tmp_path), 0.1, range(30), client=client):
        seen[index] += 1
        found[index] = outcome
        if index in (3, 14):  # while others are under way
            os.kill(random.choice(pids(client)), signal.SIGKILL)
    assert seen == dict.fromkeys(range(30), 1)
    assert found == {index: 1.5 * index for index in range(30)}
    assert len(list(tmp_path.iterdir())) >= 30


def test_a_task_that_kills_its_worker_is_given_up(client, monkeypatch):
    def kills(shared, task):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)  # after three more it would be as lost
    ((index, outcome),) = completed(kills, None, ["a"], client=client)
    assert index == 0 and type(outcome) is LostError and "workers died" in str(outcome)


def test_a_sweep_on_workers_gives_the_same_numbers(client, tmp_path):
    def noisy(model, key):
        return {"v": model.w * model.I_o + jax.random.normal(key), "series": model.w * jnp.arange(3.0)}

    space = {"w": np.linspace(0.1, 1.0, 5), "seed": gx.scale.Seeds(2)}
    here = gx.sweep(gx.models.WongWang(), noisy, space, key=3, batch=2)
    there = gx.sweep(gx.models.WongWang(), noisy, space, key=3, batch=2, client=client, store=tmp_path / "study.zarr")
    plain = gx.sweep(gx.models.WongWang(), noisy, space, key=3, batch=2, client=client)
    for name in here.data_vars:
        np.testing.assert_array_equal(there[name].values, here[name].values)
        np.testing.assert_array_equal(plain[name].values, here[name].values)
    assert (there["status"] == 1).all()
