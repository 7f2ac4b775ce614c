"""Files of every format that is read, broken at random: a reader may refuse them with a sentence, and nothing else.

`test_fuzzing.py` does it a little, `nox -s fuzz` at length: `python fuzzing.py --budget 20000` reads so many of each.
"""

import argparse
import bz2
import faulthandler
import gzip
import io
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from specimens import SPECIMENS

from gyrax._formats import reading

#: What numbers in headers and tables are replaced by.
NUMBERS = (0, 1, 2, 7, 255, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 10**6, 10**9, 10**12, 2**63 - 1, 2**63)
WORDS = (
    *map(str, NUMBERS),
    *[
        "-",
        "-1",
        "nan",
        "inf",
        "1e39",
        "1e400",
        "1_0",
        "n/a",
        '"',
        "'",
        "#",
        "{",
        "}",
        "[",
        "]",
        "null",
        "true",
        "../../x",
        "/dev/zero",
        "a\x00b",
        "é",
    ],
    "",
    " ",
    "9" * 400,
)
SECONDS, MEGABYTES = 10, 96


class Specimen(NamedTuple):
    """A good file or folder, what reads it, and which files may be broken."""

    folder: Path
    path: Path
    read: Callable[[Path], Any]
    files: dict[Path, bytes]


class HangsError(BaseException):
    """Not an Exception, so that no reader takes it for one of its own."""


def specimen(name: str, folder: Path) -> Specimen:
    folder = folder / name
    folder.mkdir(parents=True)
    make, read = SPECIMENS[name]
    path = make(folder)
    return Specimen(
        folder, path, read, {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    )


def broken(data: bytes, name: str, rng: random.Random) -> bytes:
    """The bytes of a file with a few faults: often within what is packed in it, for a fault in the packing is soon found."""
    if rng.random() < 0.7:
        if name.endswith(".bz2"):
            return bz2.compress(broken(bz2.decompress(data), name.removesuffix(".bz2"), rng), 1)
        if name.endswith(".gz"):
            return gzip.compress(broken(gzip.decompress(data), name.removesuffix(".gz"), rng), 1)
        if name.endswith((".zip", ".npz")):
            return _repacked(data, rng)
        if name.endswith((".json", ".yaml")):
            return json.dumps(_tree(json.loads(data), rng)).encode()
    text = name.endswith((".txt", ".tsv", ".csv", ".json", ".yaml", ".gii"))
    for _ in range(rng.choice((1, 1, 2, 5))):
        data = _words(data, rng) if text and rng.random() < 0.7 else _bytes(data, rng)
    return data


def _repacked(data: bytes, rng: random.Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            content = broken(old.read(name), name, rng) if name == chosen else old.read(name)
            for _ in range(1 + (rng.random() < 0.05)):
                new.writestr(name if rng.random() < 0.97 else rng.choice((*WORDS, *names)) or "x", content)
    return out.getvalue()


def _tree(value: Any, rng: random.Random) -> Any:
    """A tree of JSON with one of its values replaced."""
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed = value.copy()
        changed[key] = _tree(value[key], rng)
        return changed
    return rng.choice((None, True, -1, 1e300, *NUMBERS, *WORDS, [], {}, [[]], {"a": []}, value))


def _words(data: bytes, rng: random.Random) -> bytes:
    """Text with a word or a line replaced, doubled or lost."""
    lines = data.split(b"\n")
    i = rng.randrange(len(lines))
    what = rng.random()
    if what < 0.1:
        lines.insert(i, lines[i])
    elif what < 0.2:
        lines.pop(i)
    else:
        words = lines[i].replace(b"\t", b" \t ").replace(b",", b" , ").replace(b'"', b' " ').split(b" ")
        words[rng.randrange(len(words))] = rng.choice(WORDS).encode()
        lines[i] = b" ".join(words).replace(b" \t ", b"\t").replace(b" , ", b",").replace(b' " ', b'"')
    return b"\n".join(lines)


def _bytes(data: bytes, rng: random.Random) -> bytes:
    at, what = rng.randrange(len(data) + 1), rng.random()
    if what < 0.1:
        return data[:at]
    if what < 0.2:
        span = rng.randrange(1, 64)
        return (
            data[:at] + (data[at : at + span] if rng.random() < 0.5 else b"") + data[at + span * (rng.random() < 0.7) :]
        )
    if what < 0.5:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    at = at // 4 * 4 if rng.random() < 0.8 else at
    size = rng.choice((2, 4, 8))
    number = rng.choice(NUMBERS) % 256**size
    return data[:at] + number.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def fault(case: Specimen, seed: int) -> str | None:
    """What is wrong with how a broken file is read; None if it is read, or refused with its name."""
    rng = random.Random(seed)
    file = rng.choice(list(case.files))
    with warnings.catch_warnings(action="ignore"):  # of names that are twice in a zip
        data = broken(case.files[file], file.name, rng)
    file.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = _read(case)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if found is None and grown > MEGABYTES + 10 * len(data) / 1e6:
        found = f"took {grown:.0f} MB for {len(data)} bytes"
    file.write_bytes(case.files[file])
    return found and f"seed {seed}, {file}: {found}"


def _read(case: Specimen) -> str | None:
    def stop(*_: Any) -> None:
        raise HangsError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings(action="ignore"):
            result = case.read(case.path)
    except (ValueError, OSError) as error:
        return None if str(case.folder) in str(error) else f"does not name the file: {error!r}"
    except HangsError:
        return f"takes longer than {SECONDS} s"
    except Exception as error:
        return repr(error)
    finally:
        signal.alarm(0)
    values = [np.asarray(leaf) for leaf in jax.tree.leaves(result) if hasattr(leaf, "dtype")]
    return None if all(np.isfinite(value).all() for value in values) else "gives values that are not finite"


def bounded() -> None:
    """Small files have small bounds, so that memory shows what is not checked."""
    reading.TEXT = reading.ARRAYS = 2**20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(SPECIMENS))
    parser.add_argument("--within", help="fuzz one format in this folder; without it, each in a process of its own")
    asked = parser.parse_args()
    if asked.within:
        bounded()
        case = specimen(asked.only[0], Path(asked.within))
        faults = []
        for seed in range(asked.seed, asked.seed + asked.budget):
            faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # where a library, not Python, never ends
            faults += [found] if (found := fault(case, seed)) else []
        print("\n".join(faults))
        sys.exit(bool(faults))
    failed = 0
    for name in asked.only:
        folder = tempfile.mkdtemp(prefix="fuzz-")
        command = [sys.executable, __file__, "--within", folder, "--only", name]
        done = subprocess.run(
            [*command, "--budget", str(asked.budget), "--seed", str(asked.seed)],
            capture_output=True,
            text=True,
            check=False,
        )
        crashed = (
            f"; the process ended with {done.returncode}, the file is in {folder}"
            if done.returncode not in (0, 1)
            else ""
        )
        failed += done.returncode != 0
        print(
            f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}{crashed}\n{done.stdout}{done.stderr[-2000:]}".strip(),
            flush=True,
        )
        if done.returncode == 0:
            shutil.rmtree(folder)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
