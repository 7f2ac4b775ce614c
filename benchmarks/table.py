"""The page of results, as Markdown."""

import os
import platform
import re
from pathlib import Path

from limits import microseconds

HEAD = """# Benchmarks

This page is written by `nox -s bench{quick}`, which installs gyrax and each peer in environments of their own, on the oldest and
the newest Python that it finds, each with the newest JAX for it, and runs the same work on all, one after another; it is not edited
by hand. {cpu}, {cores} cores.{warning}

"""
PART = """# JAX {jax}, Python {python}

{date}, load {load:.1f} at the start.

"""
QUICK = " **A quick run: few steps and {repeats} repeats, to see that all works; its times say little.**"
SPEED = """## Speed

Microseconds a step (of one simulation), median of {repeats} calls after a first; in brackets the peer's time over that of
gyrax. Wong-Wang, Heun, noise 0.01, float32, all states recorded, unless said otherwise; 84 regions are the bundled `dk84`,
more are random and all connected; delays are tract lengths at 3 mm/ms. The gradient is that of the mean square of what was
recorded, with respect to the coupling strength. Of several delay buffers that a peer has, the fastest counts. Without delays, a way
with the coupling at each of a step's stages, or once a step, stands beside ours of the same name. The limit is what the
row's operations or bytes, whichever is longer, take on paper at the best rates of this machine: {giga:.0f} GFLOP a second (a product of
matrices) and {gigabytes:.0f} GB a second (a copy within the second cache). A gradient counts as three steps that read twice.

"""
FIRST = """## First call

84 regions, delays, dt 1 ms: seconds of the first call, which compiles, of a later one, and of one with another coupling
strength, which need not compile again.

"""
ALONE = "## gyrax alone\n\n"
AGREE = """## Agreement

Without noise, from one start, 200 steps: the largest difference from gyrax over all regions and steps, in percent of the
range. Peers that do the same arithmetic may differ by {same:g} %, those that hold the coupling over a step, a difference
of the order of dt, by {other:g} %.

"""
SAME, OTHER = 0.05, 1.0  # percent; to leave the delays out makes 14 here, to halve the speed 6


def cpu():
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.*)$", info.read_text(), re.M) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def failure(reason):
    """A reason of one short line, without this machine's paths."""
    line = re.sub(r"(?:/[^/ ]+)+/([^/ ]+)", r"\1", " ".join(reason.split()).replace("|", ","))
    return f"failed: {line[:120]}"


def ways(found, name, case, kind):
    """What was timed, the fastest first."""
    entries = [e for e in found[name]["cases"].get(case, []) if e.get("kind") == kind and "us" in e]
    return sorted(entries, key=lambda e: e["us"])


def best(found, name, case, kind):
    """The fastest way, or None."""
    return next(iter(ways(found, name, case, kind)), None)


def failed(found, name, case):
    return next((failure(e["failed"]) for e in found[name]["cases"].get(case, []) if "failed" in e), None)


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n\n"


def number(x):
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def cell(entry, mine, case):
    text = number(entry["us"])
    if mine and entry not in mine:
        # Beside the same scheme, where it is known which a peer has; otherwise beside ours by default.
        same = [e for e in mine if e["variant"] == entry["variant"]] or [e for e in mine if "once" not in e["variant"]]
        text += f" ({entry['us'] / same[0]['us']:.2f})"
    if entry["variant"]:
        text += f" {entry['variant']}"
    return text if entry["steps"] == case["steps"] else f"{text}, {entry['steps']} steps"


def speed(cases, found, sizes, rates):
    shown = [c for c in cases if len(c["contestants"]) > 1 and "trajectory" not in c["kinds"]]
    names, rows = list(found), []
    for case in shown:
        for kind in case["kinds"]:
            mine = ways(found, "gyrax", case["name"], kind)
            row = [f"{case['title']}, {case['steps']} steps: {kind}"]
            for name in names:
                entries = ways(found, name, case["name"], kind)
                cells = [cell(entry, mine, case) for entry in (entries[:1] if case["delays"] else entries)]
                row.append("; ".join(cells) or failed(found, name, case["name"]) or "–")
            row.append(number(microseconds(case, kind, sizes[case["connectome"]], rates)))
            rows.append(row)
    return table(["", *names, "limit"], rows) if rows else ""


def first_calls(cases, found):
    rows = []
    for case in (c for c in cases if c["again"]):
        for kind in case["kinds"]:
            for name in found:
                if entry := best(found, name, case["name"], kind):
                    later = sorted(entry["all_s"])[len(entry["all_s"]) // 2]
                    rows.append([name, kind, *(number(s) for s in (entry["first_s"], later, entry["other_s"]))])
    return table(["", "", "first call", "later call", "another strength"], rows) if rows else ""


def alone(cases, found):
    def us(name, kind):
        entry = best(found, "gyrax", name, kind)
        return entry and entry["us"]

    rows = []
    if (every := us("weights", "gradient of all weights")) and (one := us("weights", "gradient")):
        rows.append(["gradient of all weights and the strength, over that of the strength alone (µs a step)"])
        rows[-1].append(f"{number(every)} / {number(one)} = {every / one:.2f}")
    if entry := best(found, "gyrax", "balloon", "BOLD gradient"):
        what = f"gradient through {entry['steps']} steps with delays and the Balloon model, TR 720 ms"
        beside = best(found, "tvboptim", "dk84", "forward") if "tvboptim" in found else None
        than = f"; tvboptim's forward run alone, no BOLD: {number(beside['us'])} µs" if beside else ""
        rows.append([what, f"{number(entry['us'])} µs a step, {entry['megabytes']:.0f} MB of temporaries{than}"])
    if (dense := us("dense1000", "forward")) and (sparse := us("sparse1000", "forward")):
        rows.append(["1000 regions with delays, forward: all connected, a tenth connected (µs a step)"])
        rows[-1].append(f"{number(dense)}, {number(sparse)}")
    for name in ("weights", "balloon", "dense1000", "sparse1000"):
        if reason := failed(found, "gyrax", name):
            rows.append([name, reason])
    return table(["", ""], rows) if rows else ""


def agreement(cases, found, compared):
    titles, rows, right = {c["name"]: c["title"] for c in cases}, [], True
    for name, case, worst, extent, same in compared:
        percent, allowed = 100 * worst / extent, SAME if same else OTHER
        good = percent <= allowed
        right &= good
        rows.append([titles[case], name, f"{percent:.2g} %", f"{allowed:g} %", "yes" if good else "**no**"])
    done = {(name, case) for name, case, *_ in compared}
    for case in (c for c in cases if "trajectory" in c["kinds"]):
        for name in found:
            if (name, case["name"]) not in done and (reason := failed(found, name, case["name"])):
                rows.append([case["title"], name, reason, "", ""])
    return table(["", "peer", "difference", "allowed", "agrees"], rows) if rows else "", right


def page(results):
    """(the page of what run.py measured, once for each Python, whether gyrax ran and all trajectories agree)"""
    quick, repeats = results[0]["quick"], results[0]["cases"][0]["repeats"]
    right, notes = True, {}
    text = HEAD.format(
        quick=" -- --quick" if quick else "",
        cpu=cpu(),
        cores=os.cpu_count(),
        warning=QUICK.format(repeats=repeats) if quick else "",
    )
    for result in results:
        some, good = part(result)
        text, right = text + some, right and good
        notes |= {name: found["note"] for name, found in result["found"].items() if found["note"]}
    if notes:
        lines = [f"- **{name}**: {note}" for name, note in notes.items()]
        text += "# How each peer was run\n\n" + "\n".join(lines) + "\n"
    return text.rstrip() + "\n", right


def part(result):
    """(what was measured on one Python, whether it is right)"""
    cases, found, rates = (result[name] for name in ("cases", "found", "rates"))
    ours = found["gyrax"]["versions"]
    text = PART.format(**{"jax": "–", "python": "–"} | ours, date=result["date"], load=result["load"])
    versions = [[name, ", ".join(f"{p} {v}" for p, v in r["versions"].items()) or "–"] for name, r in found.items()]
    text += table(["", "versions"], versions)
    if rows := speed(cases, found, result["sizes"], rates):
        giga, gigabytes = (rates[name] / 1e9 for name in ("operations", "bytes"))
        text += SPEED.format(repeats=cases[0]["repeats"], giga=giga, gigabytes=gigabytes) + rows
    if calls := first_calls(cases, found):
        text += FIRST + calls
    if mine := alone(cases, found):
        text += ALONE + mine
    rows, right = agreement(cases, found, result["compared"])
    if rows:
        text += AGREE.format(same=SAME, other=OTHER) + rows
    return text, right and not any(failed(found, "gyrax", case) for case in found["gyrax"]["cases"])
