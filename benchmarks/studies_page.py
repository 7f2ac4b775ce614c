"""The page of the studies, as Markdown, from the record that is kept of each."""

import datetime
import math
import os

from table import cpu, failure, table

TITLES = {
    "fmri": "Functional connectivity from fMRI",
    "meg": "The frequency gradient of MEG",
    "connectivity": "Whole connectivity",
}
NOTES = {
    "fmri": "Wong-Wang on dk84 without delays, 90 s at TR 1 s. tvboptim's stages are wired as its example, with G and one "
    "w, then w of each region and G held; the example itself runs longer and frees I_o too.",
    "meg": "Jansen-Rit on dk84 with delays, a and b of each region. tvboptim's loss is that of the second that it fits, from "
    "the state before the fit; settled is after 20 s with the fitted parameters. Peaks are read from 10 s: with segments of "
    "10 s (0.1 Hz) when settled, coarse ones with segments of 1 s, as in the fit, from the state before it.",
    "connectivity": "Two populations on dk84, 300 s at TR 720 ms. Training of tvboptim's two rules is the functional "
    "connectivity of the last 150 repetition times that they saw.",
}
HEAD = """# Studies

This page is written by `nox -s studies`, which runs the protocol that tvboptim published and then our notebook of the same
study, one after another on the same machine, tvboptim in an environment of its own; it is not edited by hand.

Training is the noise that was fitted on. Unseen are seeds of noise that nothing was trained or validated on: mean ±
standard deviation over them. Seconds are those of a stage, compilation included; the ratio is tvboptim's seconds for the
same way, or else its last with as many parameters, over ours. Memory is the most that the process had held by the end of the stage. In tvboptim's rows, r and
rmse start from the transient of before the fit, and settled ones from one with the fitted parameters and the unseen noise.

"""
COLUMNS = ["", "parameters", "seconds", "ratio", "memory (MB)", "training", "unseen"]
SIDE = ("versions", "precision", "settings", "failed", "load_before")
STAGE = ("name", "n_free", "seconds", "peak_megabytes", "train", "unseen")
#: Ours, and tvboptim's that does the same by another name.
SAME = {
    "FIC": "feedback inhibition control",
    "EIB, published": "balance rule",
    "EIB, left to run": "balance rule",
}
NEAR = 0.02  # of the number of parameters: tvboptim holds the coupling strength where another frees it too


def record(found, smoke, page):
    """What is kept of a study: machine and versions, settings and figures, not what was fitted and how.

    `found` is by side, tvboptim and gyrax; `page` is whether the executed notebook is there.
    """
    machine = {"date": datetime.date.today().isoformat(), "cpu": cpu(), "cores": os.cpu_count()}
    whole = machine | {"smoke": smoke, "page": page}
    for side, result in found.items():
        stages = [{key: stage[key] for key in STAGE if key in stage} for stage in result["stages"]]
        whole[side] = {key: result[key] for key in SIDE if key in result} | {"stages": stages}
    return whole


def page(records):
    """`records` are by study."""
    return (HEAD + "".join(section(name, records[name]) for name in TITLES if name in records)).rstrip() + "\n"


def section(name, record):
    sides = [side for side in ("tvboptim", "gyrax") if side in record]
    said = f"{record['date']}, {record['cpu']}, {record['cores']} cores."
    for side in sides:
        versions = ", ".join(f"{package} {version}" for package, version in record[side].get("versions", {}).items())
        said += f" {side}: {versions or 'did not start'}; load {record[side]['load_before']:.1f} before."
    if record["smoke"]:
        said += " **A smoke run: few steps, to see that all works; its figures say nothing.**"
    link = f"[The study, executed]({name}.md).\n\n" if record.get("page") else ""
    rows = [row for side in sides for row in rows_of(side, record)]
    return f"## {TITLES[name]}\n\n{NOTES[name]}\n\n{said}\n\n{table(COLUMNS, rows)}{link}"


def rows_of(side, record):
    rows = []
    for stage in record[side].get("stages", []):
        beside = same_work(stage, record.get("tvboptim", {}).get("stages", [])) if side == "gyrax" else None
        rows.append(
            [
                f"{side}: {stage['name']}",
                f"{stage['n_free']:,}".replace(",", " "),
                f"{stage['seconds']:.1f}",
                f"{beside['seconds'] / stage['seconds']:.2f}" if beside and stage["seconds"] else "–",
                f"{stage['peak_megabytes']:.0f}" if stage.get("peak_megabytes") else "–",
                figures(stage.get("train")),
                figures(stage.get("unseen")),
            ]
        )
    if "failed" in record[side]:
        rows.append([side, failure(record[side]["failed"]), *[""] * (len(COLUMNS) - 2)])
    return rows


def same_work(stage, others):
    """The stage of others with as many parameters, of several one of the same name, else the last; None without one."""
    alike = [o for o in others if stage["n_free"] and abs(o["n_free"] - stage["n_free"]) <= NEAR * stage["n_free"]]
    named = [o for o in alike if o["name"] == SAME.get(stage["name"], stage["name"])]
    return (named or alike or [None])[-1]


def figures(values):
    """Name and value of each figure, with its standard deviation, and over how many seeds."""
    values = values or {}
    said = []
    for name, value in values.items():
        if name == "seeds" or (name.endswith("_sd") and name[:-3] in values):
            continue
        spread = values.get(f"{name}_sd")
        said.append(f"{name.replace('_', ' ')} {number(value)}" + (f" ± {number(spread)}" if is_number(spread) else ""))
    seeds = f" ({values['seeds']} seeds)" if "seeds" in values else ""
    return (", ".join(said) or "–") + seeds


def number(x):
    return f"{x:.3f}" if is_number(x) else "–"


def is_number(x):
    return isinstance(x, int | float) and math.isfinite(x)
