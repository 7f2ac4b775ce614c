"""Speed of gyrax beside its peers, on the same work, one after another; `nox -s bench` runs it.

    python benchmarks/run.py [--quick] [--peer NAME=PYTHON ...] [--only CASES] [--results RESULTS.json]
    python benchmarks/run.py --page RESULTS.json ... --out docs/benchmarks.md

NAME is tvboptim, tvb-library, neurolib, vbjax or brainmass, PYTHON the interpreter of an environment that has it. CASES
are names in cases.py, with commas between. What a peer fails at is said in the table and loses nothing else.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from cases import CASES
from limits import rates, size
from scipy.spatial import cKDTree
from table import page

import gyrax as gx

HERE = Path(__file__).resolve().parent
MODULES = {"gyrax": "ours"} | {
    name: f"peers.{name.split('-')[0]}_speed" for name in ("tvboptim", "tvb-library", "neurolib", "vbjax", "brainmass")
}
PATIENCE = 3_600  # seconds for a contestant


def connectome(name):
    if name == "dk84":
        whole = gx.datasets.load("dk84").connectome.normalised("max")
        return {"weights": np.asarray(whole.weights), "lengths": np.asarray(whole.lengths)}
    kind, n = re.fullmatch(r"(\D+)(\d+)", name).groups()
    random, shape = np.random.default_rng(0), (int(n), int(n))
    vertices = {}
    if kind == "surface":
        shape = (76, 76)
        vertices = surface(int(n), 76, random)
    weights, lengths = random.lognormal(size=shape), random.gamma(6, 20, size=shape).clip(12)
    if kind == "sparse":
        weights *= random.random(shape) < 0.1
    np.fill_diagonal(weights, 0)
    return {"weights": weights / weights.sum(1, keepdims=True), "lengths": lengths} | vertices


def surface(n, regions, random):
    """Points spread over a sphere, each with weights from its 30 nearest, and in the region whose centre is nearest."""
    i = np.arange(n)
    z, angle = 1 - 2 * (i + 0.5) / n, i * np.pi * (3 - 5**0.5)
    points = np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], 1)
    distance, near = (x[:, 1:] for x in cKDTree(points).query(points, 31))
    weights = np.exp(-((distance / distance[:, -1:].mean()) ** 2))
    region_of = cKDTree(points[random.choice(n, regions, replace=False)]).query(points)[1]
    local = {"values": (weights / weights.sum(1, keepdims=True)).ravel(), "targets": np.repeat(i, 30)}
    return {f"local_{k}": v for k, v in local.items()} | {"local_sources": near.ravel(), "region_of": region_of}


def run(name, python, cases, folder):
    """What a contestant found in its cases. One that dies in a case goes on with the next."""
    found = {"versions": {}, "note": "", "cases": {}}
    waiting = [case for case in cases if name in case["contestants"]]
    while waiting:
        names, out = folder / f"{name}.cases.json", folder / f"{name}.json"
        names.write_text(json.dumps(waiting))
        out.unlink(missing_ok=True)
        reason = started([python, "-m", MODULES[name], "--cases", names, "--out", out])
        if out.exists():
            latest = json.loads(out.read_text())
            found = latest | {"cases": found["cases"] | latest["cases"]}
        waiting = [case for case in waiting if case["name"] not in found["cases"]]
        if waiting:
            found["cases"][waiting.pop(0)["name"]] = [{"kind": "", "failed": reason}]
    return found


def started(command):
    """Why it ended."""
    try:
        done = subprocess.run(command, cwd=HERE, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"took over {PATIENCE // 60} minutes"
    except OSError:
        return "not installed"
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    said = done.stderr.strip().splitlines()
    return said[-1] if done.returncode > 0 and said else f"ended with {done.returncode}"


def trajectories(found, folder):
    """(peer, case name, largest difference, range, whether it is the same scheme), for each trajectory beside ours."""
    compared = []
    for name, results in found.items():
        for case, entries in results["cases"].items():
            for entry in entries:
                reference = folder / f"gyrax-{case}.npy"
                if name == "gyrax" or "file" not in entry or not reference.exists():
                    continue
                ours, theirs = np.load(reference), np.load(folder / entry["file"])
                worst = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")
                compared.append((name, case, worst, float(np.ptp(ours)), entry["same_scheme"]))
    return compared


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps and repeats, to see that all works")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--only", help="names of cases, with commas between")
    parser.add_argument("--results", type=Path, help="a file for what was measured")
    parser.add_argument("--page", type=Path, nargs="+", metavar="RESULTS", help="no measuring: the page of these")
    parser.add_argument("--out", type=Path, help="the page to write")
    arguments = parser.parse_args()
    results = [json.loads(path.read_text()) for path in arguments.page or []] or [measured(parser, arguments)]
    text, right = page(results)
    print(text)
    if arguments.results:
        arguments.results.write_text(json.dumps(results[0]))
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    if not right:
        sys.exit("gyrax failed, or a trajectory differs from ours by more than is allowed")


def measured(parser, arguments):
    """All that the page says, as JSON has it."""
    peers = {name: str(Path(python).absolute()) for name, _, python in (p.partition("=") for p in arguments.peer)}
    if unknown := (set(peers) - set(MODULES)) or (
        set((arguments.only or "").split(",")) - {c.name for c in CASES} - {""}
    ):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    chosen = [c for c in CASES if not arguments.only or c.name in arguments.only.split(",")]
    result = {"quick": arguments.quick, "date": datetime.date.today().isoformat(), "load": os.getloadavg()[0]}
    result |= {"rates": rates(), "sizes": {}, "found": {}}

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in {case.connectome for case in chosen}:
            data = connectome(name)
            result["sizes"][name] = size(data)
            np.savez(folder / f"{name}.npz", **data)
        cases = [c.settings(arguments.quick) | {"data": str(folder / f"{c.connectome}.npz")} for c in chosen]
        for name, python in {"gyrax": sys.executable, **peers}.items():
            print(f"== {name}", file=sys.stderr, flush=True)
            result["found"][name] = run(name, python, cases, folder)
        compared = trajectories(result["found"], folder)
    return result | {"cases": [{**c, "data": None} for c in cases], "compared": compared}


if __name__ == "__main__":
    main()
