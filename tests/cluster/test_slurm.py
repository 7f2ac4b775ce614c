"""Fits of many subjects by jobs of a real SLURM, submitted by dask-jobqueue."""

import os
import signal
import subprocess
import time

import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from gyrax.scale.tasks import completed

distributed = pytest.importorskip("distributed")
dask_jobqueue = pytest.importorskip("dask_jobqueue")


@pytest.fixture(scope="module")
def client(slurm, tmp_path_factory):
    """Two jobs of one core, a worker each."""
    folder = tmp_path_factory.mktemp("jobs")
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = slurm["SLURM_CONF"]  # for sbatch, which jobqueue calls
    cluster = dask_jobqueue.SLURMCluster(
        cores=1,
        memory="1GB",
        walltime="00:20:00",
        local_directory=str(folder),
        log_directory=str(folder),
        worker_extra_args=["--preload", "gyrax.scale.workers", "--host", "127.0.0.1"],
        scheduler_options={"host": "127.0.0.1", "dashboard_address": ":0"},
    )
    try:
        cluster.scale(jobs=2)
        with distributed.Client(cluster) as client:
            client.wait_for_workers(2, timeout=300)
            yield client
    finally:
        cluster.close()
        os.environ.pop("SLURM_CONF") if before is None else os.environ.update(SLURM_CONF=before)


def jobs() -> list[str]:
    """Of SLURM, by their numbers, those that run."""
    found = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%i"], capture_output=True, text=True, timeout=60)
    return found.stdout.split()


def test_workers_are_jobs(client):
    assert len(jobs()) == 2
    numbers = client.run(lambda: os.environ["SLURM_JOB_ID"])
    assert sorted(numbers.values()) == sorted(jobs())


def test_fits_by_jobs_are_those_of_this_process(client, tmp_path):
    network = gx.models.Linear(gamma=-2.0)

    def fit(target):
        import optax

        def loss(model, key):
            return (model.gamma - target) ** 2

        return gx.fit(network, loss, gx.select(network, "gamma"), optax.sgd(0.1), steps=5, key=0, progress=False)

    subjects = {f"sub-{i:02}": -1.0 - 0.1 * i for i in range(6)}
    here = gx.scale.fit_many(fit, subjects, progress=False)
    there = gx.scale.fit_many(fit, subjects, out=tmp_path / "fits", client=client, progress=False)
    assert list(there) == list(here) == list(subjects)
    for column in ("loss", "gamma"):
        np.testing.assert_array_equal(there.table[column], here.table[column])
    assert there["sub-03"].model.gamma.dtype == jnp.result_type(float)


def test_a_job_that_is_killed_loses_nothing_and_doubles_nothing(client):
    def slow(shared, task):
        import time

        time.sleep(0.3)
        return task * 1.5

    found = []
    for index, outcome in completed(slow, None, range(20), client=client):
        found.append((index, outcome))
        if len(found) == 3:
            workers = client.run(os.getpid)
            os.kill(next(iter(workers.values())), signal.SIGKILL)  # its nanny begins another
        if len(found) == 8:
            subprocess.run(["scancel", jobs()[0]], check=True, timeout=60)  # the job ends for good
    assert sorted(found) == [(index, 1.5 * index) for index in range(20)]
    until = time.monotonic() + 60
    while len(jobs()) > 1 and time.monotonic() < until:
        time.sleep(0.5)
    assert len(jobs()) == 1
