"""Files in one move, and one process at a time at them."""

import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

import gyrax as gx
from gyrax._formats import locking
from gyrax._formats.locking import held
from gyrax._formats.writing import clear, is_partial, replacing, write_text

pytestmark = pytest.mark.once


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_at_any_moment_leaves_what_was_there(moment, error, tmp_path, monkeypatch):
    file = tmp_path / "notes.txt"
    write_text(file, "before")

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(*{"write": ("pathlib.Path.write_text", fail)}.get(moment, (f"os.{moment}", fail)))
    with pytest.raises(type(error)) as told:
        write_text(file, "after")
    monkeypatch.undo()
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]
    assert str(file) in str(told.value) or isinstance(error, KeyboardInterrupt)


def nifti(path, value):
    nib = pytest.importorskip("nibabel")
    gx.io.to_nifti([value], nib.Nifti1Image(np.ones((2, 1, 1), np.int16), np.eye(4)), path)


def gifti(path, value):
    pytest.importorskip("nibabel")
    gx.io.to_gifti([value], np.array([0, -1]), path)


def recordings(write):
    def written(path, value):
        pytest.importorskip("netCDF4")
        pytest.importorskip("zarr")
        write(gx.io.from_nilearn(np.full((3, 1), value), tr=2.0, labels=["V1"]), path)

    return written


def connectome(path, value):
    gx.Connectome([[0.0, value], [value, 0.0]]).save(path)


WRITERS = {
    "run.nc": recordings(gx.io.to_netcdf),
    "run.zarr": recordings(gx.io.to_zarr),
    "model.npz": lambda path, value: gx.io.save(path, {"a": value}),
    "arrays.npz": lambda path, value: gx.io.write_npz(path, {"a": np.full(2, value)}),
    "brain.npz": connectome,
    "brain": connectome,
    "map.nii": nifti,
    "map.nii.gz": nifti,
    "map.func.gii": gifti,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_leaves_the_old_or_the_new_whole(name, tmp_path, monkeypatch):
    def content():
        files = sorted(x for x in tmp_path.rglob("*") if x.is_file())
        return {str(file.relative_to(tmp_path)): file.read_bytes() for file in files}

    def stopped(one, other, replace=os.replace):
        if ".partial" not in str(other):  # zarr moves files within the folder beside
            raise KeyboardInterrupt
        replace(one, other)

    write, once = WRITERS[name], name == "run.zarr"  # which is never overwritten
    if not once:
        write(tmp_path / name, 0.5)
    before = content()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("os.replace", stopped)
        write(tmp_path / name, 0.25)
    assert content() == before
    write(tmp_path / name, 0.25)
    assert content() != before and not [x for x in tmp_path.rglob("*") if is_partial(x)]


def test_two_writers_do_not_meet_in_one_file(tmp_path):
    """The loser of two that wrote `fit.npz.partial` died in `os.replace`."""
    file = tmp_path / "notes.txt"
    with replacing(file) as one, replacing(file) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert file.read_text() == "one" and list(tmp_path.iterdir()) == [file]  # the first is done last


def test_a_link_stays_one_and_what_is_no_file_stays_what_it_is(tmp_path):
    (tmp_path / "real.txt").write_text("before")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "after")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "after"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="is no file: name one that can be written"):
            write_text(path, "x")
    assert not (tmp_path / "pipe").is_file()
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere for x\.txt"):
        write_text(tmp_path / "nowhere" / "x.txt", "x")


def test_a_long_name_can_be_written(tmp_path):
    file = tmp_path / ("n" * 250 + ".npz")
    gx.io.write_npz(file, {"a": np.ones(2)})
    assert list(tmp_path.iterdir()) == [file]


def test_what_killed_writers_left_is_cleared_by_who_holds_the_file(tmp_path):
    file, left, other = (tmp_path / x for x in ("fit.npz", ".fit.npz.77-ab.partial", ".fit2.npz.77-ab.partial"))
    left.write_text("half")
    other.write_text("half")
    assert is_partial(left) and not is_partial(file)
    clear(file)
    assert list(tmp_path.iterdir()) == [other]


# Locks

HOLDER = """
import sys, time, types
from pathlib import Path
package = sys.modules["gyrax"] = types.ModuleType("gyrax")  # without all that it imports
package.__path__ = [sys.argv[2]]
from gyrax._formats.locking import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_file_is_held_by_one_process_and_free_when_that_is_killed(tmp_path):
    file = tmp_path / "fit.npz"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file), *gx.__path__], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError) as told, held(file):
            pass
        assert f"{file} is in use by process {holder.pid} on {socket.gethostname()} since 2" in str(told.value)
        assert str(told.value).endswith("wait for it, stop it, or name another")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert (tmp_path / "fit.npz.lock").exists()  # of the dead one
    with held(file):
        assert json.loads((tmp_path / "fit.npz.lock").read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


HERE = {"pid": 1, "host": socket.gethostname(), "boot": None, "since": "2026-01-02"}


@pytest.mark.parametrize(
    ("left", "message"),
    [
        (
            json.dumps(HERE | {"host": "elsewhere"}),
            "since 2026-01-02: wait for it, or if that one runs no more, delete",
        ),
        (json.dumps(HERE), None),
        (json.dumps(HERE | {"host": "a container", "boot": locking._boot() or HERE["host"]}), None),
        ("", None),
        ('{"pid": 12', None),
        ('{"pid": "x"}', None),
        ("\udcff", None),
    ],
)
def test_a_lock_that_was_left_is_taken_over_unless_it_is_of_another_machine(left, message, tmp_path):
    file, lock = tmp_path / "fit.npz", tmp_path / "fit.npz.lock"
    lock.write_bytes(left.encode(errors="surrogateescape"))
    if message is None:
        with held(file):
            pass
        assert not lock.exists()
    else:
        with pytest.raises(BlockingIOError, match=message), held(file):
            pass
        assert lock.read_text() == left


def test_where_the_system_knows_no_locks_the_process_decides(tmp_path, monkeypatch):
    file = tmp_path / "fit.npz"
    monkeypatch.setattr(locking, "_lock", lambda handle: None)
    with held(file), pytest.raises(BlockingIOError, match="is in use by process"), held(file):
        pass
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "fit.npz.lock").write_text(json.dumps(HERE | {"pid": dead.pid}))
    with held(file):
        pass


def test_a_folder_that_was_removed_meanwhile_is_no_trouble(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    with held(folder / "fit.npz"):
        (folder / "fit.npz.lock").unlink()
        folder.rmdir()
