"""A sweep on every core beside tvboptim's ParallelExecution, in one run; minutes on a quiet machine.

    python benchmarks/ensembles.py --tvboptim PYTHON [--quick] [--out TABLE.md]

Wong-Wang on dk84 with delays, Heun, noise, float32, dt 1 ms; each point has a coupling strength of its own and gives the mean of
every region's S. Ours is `gx.sweep` after `gx.devices(cpu="all")`. Theirs is what is fastest, on 64 points, of three delay buffers, one device or all cores, and
several sizes of `n_vmap`. Both are called anew after a first call that compiles; one process at a time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SIZES = {64: 2_000, 1024: 500}
QUICK = {8: 50, 16: 50}
SETTINGS = {"dt": 1.0, "speed": 3.0, "sigma": 0.01, "lowest": 0.1, "highest": 0.15}


def ours(devices: str, sizes: dict[int, int]) -> dict[str, list[float]]:
    """Seconds of calls, by the number of points."""
    import gyrax as gx

    gx.devices(cpu="all" if devices == "all" else 1)
    import ours as cases  # which makes arrays
    from cases import CASES
    from run import connectome

    case = next(case for case in CASES if case.name == "batch64").settings(quick=False)
    network = cases.network(case, connectome("dk84"))
    found = {}
    for count, steps in sizes.items():

        def mean(network, key, steps=steps):
            run = gx.simulate(network, float(steps), 1.0, monitors=gx.monitors.Raw(), key=key)
            return run["monitor"].values.mean((0, 1))

        space = {"coupling.far.strength": np.linspace(SETTINGS["lowest"], SETTINGS["highest"], count)}
        took = []
        for _ in range(4):
            began = time.perf_counter()
            values = gx.sweep(network, mean, space)["value"].values
            took.append(time.perf_counter() - began)
        assert values.shape == (count, 84) and np.isfinite(values).all()
        found[str(count)] = took
    return found


def process(command: list[str], sizes: dict[int, int]) -> dict:
    """What a process of its own found."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        subprocess.run([*command, "--sizes", json.dumps(sizes), "--found", str(out)], check=True, cwd=HERE)
        return json.loads(out.read_text())


def table(found: dict[str, dict], sizes: dict[int, int]) -> str:
    """A row a number of points: the least of the later calls."""
    lines = [
        "| points | steps | gyrax, one core | gyrax, every core | tvboptim, ParallelExecution | as its best | times |",
        "| --- " * 7 + "|",
    ]
    for count, steps in sizes.items():
        one, every, theirs = (min(found[name][str(count)][1:]) for name in ("one", "all", "tvboptim"))
        cells = [
            str(count),
            str(steps),
            *(f"{x:.2f} s" for x in (one, every, theirs)),
            found["tvboptim"]["best"],
            f"{theirs / every:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tvboptim", help="the Python of an environment that has it")
    parser.add_argument("--quick", action="store_true", help="short runs of few, to see that all works")
    parser.add_argument("--out", type=Path, help="a file for the table")
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--found", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        given.found.write_text(json.dumps(ours(given.ours, {int(n): steps for n, steps in given.sizes.items()})))
        return
    if not given.tvboptim:
        parser.error("--tvboptim is the Python of an environment with tvboptim: nox -s studies -- ensembles makes one")
    sizes = QUICK if given.quick else SIZES
    with tempfile.TemporaryDirectory() as folder:
        from run import connectome

        data = Path(folder) / "dk84.npz"
        np.savez(data, **connectome("dk84"))
        theirs = [
            given.tvboptim,
            "-m",
            "peers.tvboptim_ensembles",
            "--data",
            str(data),
            "--settings",
            json.dumps(SETTINGS),
        ]
        found = {name: process([sys.executable, __file__, "--ours", name], sizes) for name in ("one", "all")}
        found["tvboptim"] = process(theirs, sizes)
    text = table(found, sizes)
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
