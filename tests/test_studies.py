"""The page of the studies beside tvboptim (benchmarks/studies_page.py): what is kept, what is matched, how it is said."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the sdist has no benchmarks", allow_module_level=True)


@pytest.fixture(scope="module")
def pages():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("studies_page")
    for name in ("studies_page", "table"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def scans():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("scans")
    for name in ("scans", "run", "cases", "limits", "table"):
        sys.modules.pop(name, None)


def stage(name, n_free, seconds, **more):
    return {"name": name, "n_free": n_free, "seconds": seconds, "train": {"r": 0.5}, "unseen": {"r": 0.4}} | more


@pytest.fixture
def found():
    unseen = {"r": 0.4434, "r_sd": 0.0306, "rmse": 0.2, "rmse_sd": 0.01, "seeds": 8}
    theirs = [
        stage("start", 0, 3.0),
        stage("rule", 84, 400.0, peak_megabytes=812.3, losses=[1.0]),
        stage("gradient", 84, 36.0, unseen=unseen),
    ]
    ours = [stage("start", 0, 1.0), stage("regional", 85, 4.8, unseen=unseen)]
    versions = {"versions": {"jax": "0.10.2"}, "load_before": 0.25}
    return {"tvboptim": versions | {"stages": theirs, "extra": 1}, "gyrax": versions | {"stages": ours}}


def rows(text):
    """Cells of the first table of the text, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_record_keeps_figures_and_not_what_was_fitted(pages, found):
    kept = pages.record(found, smoke=False, page=True)
    assert json.loads(json.dumps(kept)) == kept
    assert kept["page"] and not kept["smoke"] and kept["cores"] >= 1
    assert "extra" not in kept["tvboptim"] and kept["tvboptim"]["load_before"] == 0.25
    assert kept["tvboptim"]["stages"][1] == {k: v for k, v in found["tvboptim"]["stages"][1].items() if k != "losses"}


def test_rows_have_both_sides_and_the_ratio_of_the_same_work(pages, found):
    text = pages.page({"fmri": pages.record(found, smoke=False, page=True)})
    table = {row[0]: row[1:] for row in rows(text)}
    assert list(table) == [
        "tvboptim: start",
        "tvboptim: rule",
        "tvboptim: gradient",
        "gyrax: start",
        "gyrax: regional",
    ]
    assert table["tvboptim: rule"][:4] == ["84", "400.0", "–", "812"]
    assert table["gyrax: start"][2] == "–"  # nothing was fitted
    # 84 parameters beside 85 are the same work, and of two with 84 the last counts: 36 s / 4.8 s
    unseen = "r 0.443 ± 0.031, rmse 0.200 ± 0.010 (8 seeds)"
    assert table["gyrax: regional"] == ["85", "4.8", "7.50", "–", "r 0.500", unseen]
    assert "[The study, executed](fmri.md)" in text and "load 0.2 before" in text and "smoke" not in text


def test_of_several_with_as_many_parameters_the_name_decides(pages, found):
    others = found["tvboptim"]["stages"]
    assert pages.same_work(stage("rule", 84, 1.0), others) is others[1]
    assert pages.same_work(stage("another", 84, 1.0), others) is others[2]
    assert pages.same_work(stage("rule", 86, 1.0), others) is None
    assert pages.same_work(stage("start", 0, 1.0), others) is None


@pytest.mark.once
def test_a_side_that_failed_is_said_with_what_it_had_found(pages, found):
    found["tvboptim"] |= {
        "failed": "MemoryError: | /secret/place/of/file.py",
        "stages": found["tvboptim"]["stages"][:1],
    }
    text = pages.page({"meg": pages.record(found, smoke=True, page=False)})
    table = rows(text)
    assert [row[0] for row in table] == ["tvboptim: start", "tvboptim", "gyrax: start", "gyrax: regional"]
    assert table[1][1] == "failed: MemoryError: , file.py"
    assert all(len(row) == len(pages.COLUMNS) for row in table)
    assert table[-1][3] == "–"  # nothing to set it beside
    assert "A smoke run" in text and "executed" not in text


def test_studies_stand_in_their_order_and_one_may_lack_a_side(pages, found):
    whole = pages.record(found, smoke=False, page=False)
    alone = pages.record({"gyrax": found["gyrax"]}, smoke=False, page=False)
    text = pages.page({"connectivity": alone, "fmri": whole})
    assert text.index(pages.TITLES["fmri"]) < text.index(pages.TITLES["connectivity"])
    assert pages.TITLES["meg"] not in text
    assert text.count("gyrax: regional") == 2 and text.count("tvboptim: gradient") == 1


def test_figures_without_a_number(pages):
    assert pages.figures({"r": None, "r_sd": None, "loss": 0.03451, "seeds": 8}) == "r –, loss 0.035 (8 seeds)"
    assert pages.figures({"r": float("nan"), "loss_sd": 0.5}) == "r –, loss sd 0.500"
    assert pages.figures({}) == pages.figures(None) == "–"


def test_the_page_of_scans_has_every_study_and_what_became_of_the_peer(scans):
    one = {"head": ["", "free"], "rows": [["explore", "2"]], "verdict": ["It adds nothing."], "stages": []}
    one["stages"] = [
        {"name": n, "n_free": 2, "seconds": 20.0, "unseen": {"r": r}} for n, r in (("explore", 0.1), ("regional", 0.6))
    ]
    record = {"date": "2026-11-30", "cpu": "a CPU", "cores": 2, "gyrax": "0.1.0", "jax": "0.10.2"}
    record |= {"studies": {"Group: FC": one}, "dynamics": {"people": [0.1, 0.2]}}
    stage = {"name": "three numbers", "n_free": 3, "seconds": 180.4, "simulations": 60, "train": {"r": 0.2184}}
    stage |= {"times": [50.0, 105.4, 180.4], "best_r": [0.2, 0.2243, 0.2243]}
    record["cubnm"] = {"versions": {"cubnm": "0.1.0"}, "stages": [stage], "failed": "maps: no memory"}
    text = scans.page(record)
    assert "| 0.224 | 105 |" in text
    assert (
        "The highest r of them all, 0.224, is passed by our stage 'regional' (2 numbers), on unseen noise, 40 s after"
        in text
    )
    for part in ("## Group", "| explore | 2 |", "It adds nothing.", "| three numbers | 3 | 180 | 60 | 0.218 |  |"):
        assert part in text
    assert "It stopped: maps: no memory" in text and "people [0.1, 0.2]" in text
    without = scans.page(record | {"cubnm": {}})
    assert "cubnm" in without and "highest r of them all" not in without
