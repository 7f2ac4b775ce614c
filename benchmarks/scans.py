"""A group's connectome and scans, and one person's: how far each stage of `gyrax fit` comes, beside cubnm in one run.

    python benchmarks/scans.py --cubnm PYTHON [--seconds 180] [--smoke] [--out docs/studies]

PYTHON is the interpreter of an environment that has cubnm, whose data (HCP, 100 regions of Schaefer's atlas, raw streamline
counts) are read from there and kept nowhere. `nox -s studies -- scans` runs it. It writes scans.md and scans.json.
"""

import argparse
import datetime
import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from run import started
from table import cpu, table

import gyrax as gx
from gyrax.study import Dynamics, Scan, Study
from gyrax.study.report import cells, verdict

ROOT = Path(__file__).resolve().parent.parent
GROUP, HELD_OUT, PERSON = "group-train706", "group-test303", "100206"
WINDOW, STEP, TR = 30.0, 5.0, 0.72
HEAD = """# From one person's scan to the next

This page is written by `nox -s studies -- scans`, which runs cubnm and then `gx.study` on the data that come with cubnm, one after
another on the same machine; it is not edited by hand. 100 regions, raw streamline counts, functional connectivity (FC) of 706 people
and its dynamics (FCD, windows of 30 s every 5 s, pooled), that of 303 others held out, and two scans of one person on two days.

`mean r` is the correlation of the mean FC of 8 recordings on noise that no fit has heard; `test` is that with a scan that no
choice has seen. Rows without seconds are no models: what a model is to be compared with.

"""


def group(name, folder):
    found = np.load(folder / f"{name}.npz")
    connectome = gx.Connectome(found["weights"] * (1 - np.eye(len(found["weights"]))), lengths=found["lengths"])
    return connectome, found["fc"], found["fcd"]


def studies(folder, out, smoke):
    """By title: a study that has run, and what to say of it."""
    short = {"steps": 4, "seeds": 2, "warm_up": 5_000.0} if smoke else {}
    connectome, fc, fcd = group(GROUP, folder)
    _, others, others_fcd = group(HELD_OUT, folder)
    target, held = (Scan.of(x, connectome, name=name) for x, name in ((fc, GROUP), (others, HELD_OUT)))

    def run(title, fit, test, **settings):
        print(f"== {title}", file=sys.stderr, flush=True)
        one = Study.of(connectome, fit=fit, test=test, out=out / str(len(done)), **short | settings)
        one.run()
        done[title] = one

    done = {}
    times = {"duration": 20_000.0, "judged": 20_000.0} if smoke else {}
    run("Group: FC", [target], [held], **times)
    times = {"duration": 60_000.0, "judged": 60_000.0} if smoke else {"duration": 300_000.0, "judged": 864_000.0}
    dynamics = Dynamics(jnp.asarray(np.sort(fcd)[::4]), 1000 * WINDOW, 1000 * STEP)
    run("Group: FC and FCD", [target], [held], dynamics=dynamics, period=1000 * TR, realisations=2, **times)
    series = np.load(folder / f"{PERSON}.npz")
    first, second = (Scan.of(series[name], connectome, tr=TR, name=name) for name in ("REST1_LR", "REST2_LR"))
    stages, times = ("connectivity",), {"duration": 20_000.0, "judged": 20_000.0} if smoke else {"judged": 864_000.0}
    run("One person, by the first scan alone", [first], [second], stages=stages, **times)
    known = done["Group: FC"].found
    run("One person, with the group's model as prior", [first], [second], prior=known, stages=stages, **times)
    run("One person, with the group's FC as prior", [first], [second], prior=fc, stages=stages, **times)
    return done, {"people's FCD beside the pooled, KS": persons(series, fcd), "the 303 others'": ks(others_fcd, fcd)}


def ks(one, two):
    return round(float(gx.losses.ks_distance(np.asarray(one), np.asarray(two))), 3)


def persons(series, pooled):
    window, step = (1000 * TR * round(s / TR) for s in (WINDOW, STEP))
    return [
        ks(gx.features.fcd_values(gx.features.fcd(series[name], window, step, 1000 * TR)), pooled)
        for name in series.files
    ]


def page(record):
    text = (
        HEAD
        + f"{record['date']}, {record['cpu']}, {record['cores']} cores. gyrax {record['gyrax']}, jax {record['jax']}.\n\n"
    )
    for title, one in record["studies"].items():
        text += f"## {title}\n\n{table(one['head'], one['rows'])}" + "".join(f"{x}\n\n" for x in one["verdict"])
    peer = record["cubnm"]
    rows = [
        [
            x["name"],
            str(x["n_free"]),
            f"{x['seconds']:.0f}",
            str(x["simulations"]),
            f"{x['train']['r']:.3f}",
            f"{x['train']['ks']:.3f}" if "ks" in x["train"] else "",
            f"{x['best_r'][-1]:.3f}",
            f"{x['times'][x['best_r'].index(x['best_r'][-1])]:.0f}",
        ]
        for x in peer.get("stages", [])
    ]
    said = ", ".join(f"{name} {number}" for name, number in peer.get("versions", {}).items())
    text += (
        f"## cubnm on the same group\n\n{said}. CMA-ES on the CPU, steps of 1 ms, 450 s a simulation, its own feedback inhibition; r and "
        "KS of its best simulation, on the noise that it was chosen by.\n\n"
        + table(["", "free", "seconds", "simulations", "r", "KS of FCD", "highest r", "after s"], rows)
        + passed(record["studies"]["Group: FC"]["stages"], peer.get("stages", []))
        + (f"It stopped: {peer['failed']}\n\n" if "failed" in peer else "")
    )
    return (
        text
        + "KS of FCD between people and the pooled: "
        + "; ".join(f"{k} {v}" for k, v in record["dynamics"].items())
        + ".\n"
    )


def passed(stages, others):
    """After how long our stages are above all that the peer found."""
    if not others:  # it failed: there is nothing to pass
        return ""
    highest, seconds = max(x["best_r"][-1] for x in others), 0.0
    for x in stages:
        seconds += x["seconds"]
        if x["unseen"]["r"] > highest:
            return (
                f"The highest r of them all, {highest:.3f}, is passed by our stage '{x['name']}' ({x['n_free']} numbers), on unseen noise, "
                f"{seconds:.0f} s after the first one began.\n\n"
            )
    return f"None of our stages passes the highest r of them all, {highest:.3f}.\n\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cubnm", metavar="PYTHON", required=True, help="interpreter with cubnm")
    parser.add_argument("--seconds", type=float, default=180.0, help="of each of the peer's searches")
    parser.add_argument("--smoke", action="store_true", help="few steps, to see that all works")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "studies")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        limits = [f"--seconds={arguments.seconds:g}", *["--smoke"][: arguments.smoke]]
        reason = started([str(Path(arguments.cubnm).absolute()), "-m", "peers.cubnm_scans", "--out", folder, *limits])
        told = folder / "cubnm.json"
        peer = json.loads(told.read_text()) if told.exists() else {}
        if reason != "ended with 0":
            peer.setdefault("failed", reason)
        done, dynamics = studies(folder, folder, arguments.smoke)
        record = {
            "date": datetime.date.today().isoformat(),
            "cpu": cpu(),
            "cores": os.cpu_count(),
            "smoke": arguments.smoke,
            "gyrax": version("gyrax"),
            "jax": version("jax"),
            "studies": {},
            "dynamics": dynamics,
            "cubnm": peer,
        }
        for title, one in done.items():
            head, rows, _ = cells(one)
            record["studies"][title] = {"head": head, "rows": rows, "verdict": verdict(one), "stages": one.stages}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "scans.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "scans.md").write_text(page(record), encoding="utf-8")
    print(page(record))


if __name__ == "__main__":
    main()
