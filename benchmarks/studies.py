"""The studies of notebooks 04 to 06 beside what tvboptim published of them; `nox -s studies` runs it.

    python benchmarks/studies.py [fmri] [meg] [connectivity] [--tvboptim PYTHON] [--smoke] [--out docs/studies]

PYTHON is the interpreter of an environment that has tvboptim. Of each study it writes the executed notebook as a page, what
both sides found as a record, and, from all records that are there, the page of comparison. A side that fails is said in the
table and loses nothing else. `--smoke` tries it all in few steps, and writes only where `--out` says.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import MarkdownExporter
from run import started
from studies_page import TITLES, page, record

import gyrax as gx

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = {"fmri": "04_*.ipynb", "meg": "05_*.ipynb", "connectivity": "06_*.ipynb"}


def data(path):
    whole = gx.datasets.load("dk84")
    connectome = whole.connectome.normalised("max")
    matrices = {"weights": connectome.weights, "lengths": connectome.lengths, "fc": whole.fc}
    np.savez(path, labels=np.array(connectome.labels), **{k: np.asarray(v, float) for k, v in matrices.items()})


def tvboptim(study, python, folder, smoke):
    """What it found, which is written to tvboptim.json as far as it came."""
    out, load = folder / "tvboptim.json", os.getloadavg()[0]
    arguments = ["--data", folder / "data.npz", "--out", out, *["--smoke"][:smoke]]
    reason = started([python, "-m", f"peers.tvboptim_{study}", *arguments])
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"stages": []}
    finished = reason == "ended with 0"
    return found | {"load_before": load} | ({} if finished else {"failed": reason})


def ours(path, folder, smoke):
    """(what our notebook found, the notebook as it was executed or None)"""
    load = os.getloadavg()[0]
    found = {"load_before": load, "versions": {p: version(p) for p in ("gyrax", "jax", "optax", "numpy")}, "stages": []}
    found["versions"]["python"] = platform.python_version()
    told = {"GYRAX_STUDY_OUT": str(folder)} | ({"GYRAX_SMOKE": "1"} if smoke else {})
    if (folder / "tvboptim.json").exists():
        told["GYRAX_PEER"] = str(folder / "tvboptim.json")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(folder)}})
    try:
        client.execute(env=os.environ | told)
    except (CellExecutionError, DeadKernelError) as error:
        print(error, file=sys.stderr)
        return found | {"failed": str(error).strip().splitlines()[-1]}, None
    summary = folder / "summary.json"
    if not summary.exists():
        return found | {"failed": "the notebook wrote no summary.json"}, notebook
    return found | {"stages": json.loads(summary.read_text(encoding="utf-8"))["stages"]}, notebook


def publish(study, path, notebook, out):
    """The executed notebook as a page with its figures, without what went to stderr: warnings, and bars of progress."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    resources = {"unique_key": study, "output_files_dir": f"{study}_files"}
    body, resources = MarkdownExporter().from_notebook_node(notebook, resources)
    shutil.rmtree(out / f"{study}_files", ignore_errors=True)
    (out / f"{study}_files").mkdir(parents=True)
    for name, content in resources["outputs"].items():
        (out / name).write_bytes(content)
    source = f"\nExecuted by `nox -s studies` from [this notebook](../notebooks/{path.name}).\n"
    (out / f"{study}.md").write_text(body.strip() + "\n" + source, encoding="utf-8")


def one(study, python, out, smoke):
    """Both sides of a study, its page and its record."""
    paths = sorted((ROOT / "notebooks").glob(NOTEBOOKS[study]))
    found, notebook = {}, None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data(folder / "data.npz")
        if python:
            print(f"== {study}: tvboptim", file=sys.stderr, flush=True)
            found["tvboptim"] = tvboptim(study, python, folder, smoke)
        if paths:
            print(f"== {study}: {paths[0].name}", file=sys.stderr, flush=True)
            found["gyrax"], notebook = ours(paths[0], folder, smoke)
            if notebook:
                publish(study, paths[0], notebook, out)
    whole = record(found, smoke, page=notebook is not None)
    (out / f"{study}.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"of {', '.join(TITLES)}; all without one")
    parser.add_argument(
        "--tvboptim", metavar="PYTHON", help="interpreter with tvboptim; without it, gyrax is run alone"
    )
    parser.add_argument("--smoke", action="store_true", help="few steps, to see that all works")
    parser.add_argument("--out", type=Path, help="folder of the pages, docs/studies")
    arguments = parser.parse_args()
    if unknown := set(arguments.studies) - set(TITLES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.smoke and not arguments.out:
        parser.error("--smoke needs --out, so that its pages do not replace those of a full run")
    out = arguments.out or ROOT / "docs" / "studies"
    out.mkdir(parents=True, exist_ok=True)
    python = arguments.tvboptim and str(Path(arguments.tvboptim).absolute())
    for study in arguments.studies or TITLES:
        one(study, python, out, arguments.smoke)
        records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*.json")}
        (out / "index.md").write_text(page(records), encoding="utf-8")
    print(page(records))
    if any("failed" in records[study].get("gyrax", {}) for study in arguments.studies or TITLES):
        sys.exit("a notebook failed")


if __name__ == "__main__":
    main()
