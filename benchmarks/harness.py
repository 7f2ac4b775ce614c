"""What all contestants share: it reads the cases, times the jobs and writes what it found after each case.

A contestant is a script that hands `jobs` to `main`; run.py starts it in this folder, in the environment of its package,
as `python -m peers.NAME --cases CASES.json --out OUT.json`. So: numpy and the standard library only.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass
class Job:
    """One thing to time: `call(strength)` comes back when it is done. `variant` names one way of several to do it."""

    kind: str
    call: Callable[[float], Any]
    steps: int
    variant: str = ""
    same_scheme: bool = False  # whether a trajectory is the same arithmetic as ours, up to rounding
    megabytes: Callable[[], float] | None = None  # of temporaries


def main(jobs: Callable[[dict, dict], Iterable[Job]], packages: tuple[str, ...], note: str = "") -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    versions = {name: version(name) for name in packages} | {"python": platform.python_version()}
    found = {"versions": versions, "note": " ".join(note.split()), "cases": {}}
    for case in json.loads(arguments.cases.read_text()):
        with np.load(case["data"]) as stored:
            data = dict(stored)
        path = arguments.out.with_name(f"{arguments.out.stem}-{case['name']}.npy")
        found["cases"][case["name"]] = measured(case, jobs(case, data), path)
        arguments.out.write_text(json.dumps(found))


def measured(case: dict, jobs: Iterable[Job], path: Path) -> list[dict]:
    entries: list[dict] = []
    try:
        for job in jobs:
            if job.kind == "trajectory":
                np.save(path, np.asarray(job.call(case["strength"]), float))
                entries.append({"kind": job.kind, "file": path.name, "same_scheme": job.same_scheme})
            else:
                entries.append(timed(case, job))
                print(
                    f"{case['name']:12s} {job.kind:24s} {job.variant:24s} {entries[-1]['us']:10.2f} us/step", flush=True
                )
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        entries.append({"kind": "", "failed": f"{type(error).__name__}: {error}"})
    return entries


def timed(case: dict, job: Job) -> dict:
    def seconds(strength: float) -> float:
        began = time.perf_counter()
        job.call(strength)
        return time.perf_counter() - began

    first = seconds(case["strength"])
    took = [seconds(case["strength"]) for _ in range(case["repeats"])]
    simulations = job.steps * max(1, case["batch"])
    entry = {"kind": job.kind, "variant": job.variant, "steps": job.steps, "first_s": first, "all_s": took}
    entry["us"] = statistics.median(took) / simulations * 1e6
    if case["again"]:
        entry["other_s"] = seconds(1.1 * case["strength"])
    if job.megabytes:
        entry["megabytes"] = job.megabytes()
    return entry
