"""Broken files of every format: refused with a ValueError or OSError that names the file, or read to finite values, and soon."""

import fuzzing
import pytest

from gyrax._formats import reading

pytestmark = pytest.mark.once
BUDGET = 12


@pytest.mark.parametrize("name", fuzzing.SPECIMENS)
def test_a_broken_file_is_refused_by_name(name, tmp_path, monkeypatch):
    for package in ("h5py", "nibabel", "netCDF4", "zarr"):
        pytest.importorskip(package)
    monkeypatch.setattr(reading, "TEXT", 2**20)
    monkeypatch.setattr(reading, "ARRAYS", 2**20)
    case = fuzzing.specimen(name, tmp_path)
    case.read(case.path)  # as it is
    found = [fault for seed in range(BUDGET) if (fault := fuzzing.fault(case, seed))]
    assert not found, "\n".join(found)
