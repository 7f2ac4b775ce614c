"""One process at a time at a file that is read, computed upon and written again."""

import contextlib
import datetime
import errno
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .writing import clear, is_partial

#: What the system says of a file that another process has locked.
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


@contextlib.contextmanager
def held(path: Path, lock: Path | None = None) -> Iterator[None]:
    """Keeps other processes from `path`, by a lock beside it that says who holds it.

    The lock of a process that died on this machine is taken over, and what it left half written is cleared away.

    Args:
        path: a file, or a folder with a lock of its own.
        lock: where the lock is; `path` with `.lock` if left out.

    Raises:
        BlockingIOError: if another one holds it: its process, host and since when.
        OSError: if the folder is not there or takes no files.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "fit.npz"
        >>> with held(file):
        ...     with held(file):
        ...         pass
        Traceback (most recent call last):
        BlockingIOError: ...fit.npz is in use by process ... since ...: wait for it, stop it, or name another
    """
    lock = lock or path.with_name(path.name + ".lock")
    try:
        handle = _taken(path, lock)
    except BlockingIOError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        clear(path)
        yield
    finally:
        with contextlib.suppress(OSError):  # its folder may have been removed meanwhile
            lock.unlink()
        os.close(handle)


def passes(path: Path) -> bool:
    """Whether a file is there only while some process is at work, or was left by one that was killed."""
    return path.suffix == ".lock" or is_partial(path)


def _taken(path: Path, lock: Path) -> int:
    """A handle of the lock, which is ours as long as it is open."""
    handle = None
    while handle is None:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            sure, before = _lock(handle), _holder(handle)
            if sure is False:
                raise _in_use(path, lock, before)
            if before and not (_of_this_machine(before) and (sure or not _alive(before["pid"]))):
                raise _in_use(path, lock, before)
            current = _is_still(lock, handle)
            if current:
                _sign(handle)
        except BaseException:
            os.close(handle)
            raise
        if not current:  # its holder has just taken it away: what we locked has no name any more
            os.close(handle)
            handle = None
    return handle


def _lock(handle: int) -> bool | None:
    """Whether the system gave us the lock; None where it knows no locks, as some file systems do not."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(handle, 1 << 20, os.SEEK_SET)  # what stands in the file stays readable
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _BUSY else None
    return True


def _is_still(lock: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(lock), os.fstat(handle))
    except FileNotFoundError:
        return False


def _boot() -> str | None:
    """What tells this machine, since it was started, from all others; containers on it share it."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _of_this_machine(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine."""
    return holder["host"] == socket.gethostname() or (holder["boot"] is not None and holder["boot"] == _boot())


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # nothing there asks without harm
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sign(handle: int) -> None:
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "boot": _boot(), "since": since})
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, text.encode())


def _holder(handle: int) -> dict[str, Any]:
    """Who signed the lock; nothing if nobody did, or only half."""
    os.lseek(handle, 0, os.SEEK_SET)
    try:
        found = json.loads(os.read(handle, 10_000))
        return found if isinstance(found["pid"], int) and {"host", "boot", "since"} <= set(found) else {}
    except (ValueError, TypeError, KeyError):
        return {}


def _in_use(path: Path, lock: Path, holder: dict[str, Any]) -> BlockingIOError:
    if not holder:
        return BlockingIOError(f"{path} is in use by another process: wait for it, or name another")
    text = f"{path} is in use by process {holder['pid']} on {holder['host']} since {holder['since']}: "
    if _of_this_machine(holder):
        return BlockingIOError(text + "wait for it, stop it, or name another")
    return BlockingIOError(text + f"wait for it, or if that one runs no more, delete {lock}")
