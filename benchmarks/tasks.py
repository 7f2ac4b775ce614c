"""What a task costs beside what it computes, on a local cluster: `python benchmarks/tasks.py [--workers 2] [--out FILE]`.

Tasks sleep, so that nothing else is measured: as many as keep every worker busy for a while, of .1 s and of 10 s, each with a model of 84 regions
that all share, and results of 84 x 84 numbers.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster

import gyrax as gx
from gyrax.scale.tasks import completed

#: Seconds a task, and tasks a worker.
SIZES = ((0.0, 200), (0.1, 100), (1.0, 20), (10.0, 4))


def slept(shared, seconds):
    time.sleep(seconds)
    return np.zeros((84, 84))


def timed(client, model, seconds: float, count: int) -> float:
    since = time.perf_counter()
    ended = sum(1 for _ in completed(slept, model, [seconds] * count, client=client))
    assert ended == count
    return time.perf_counter() - since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    connectome = gx.datasets.load("dk84").connectome
    model = gx.Network(gx.models.Hopf(), gx.couplings.Linear(source="x", target="c_x"), connectome)
    since = time.perf_counter()
    cluster = LocalCluster(
        n_workers=given.workers,
        threads_per_worker=1,
        dashboard_address=None,
        memory_limit=0,
        preload=["gyrax.scale.workers"],
    )
    found = {"machine": platform.machine(), "workers": given.workers, "tasks": []}
    with cluster, Client(cluster) as client:
        found["seconds to begin"] = time.perf_counter() - since
        timed(client, model, 0.0, 4 * given.workers)  # whatever happens once
        for seconds, each in SIZES:
            repeat = given.repeat if seconds < 5 else 1
            took = statistics.median(timed(client, model, seconds, each * given.workers) for _ in range(repeat))
            a_task = took / each - seconds
            one = {"seconds": seconds, "tasks": each * given.workers, "took": took, "beside a task": a_task}
            one["share"] = a_task / (a_task + seconds)
            found["tasks"].append(one)
            print(
                f"tasks of {seconds:g} s: {1e3 * a_task:.1f} ms beside each, {one['share']:.1%} of the time", flush=True
            )
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
