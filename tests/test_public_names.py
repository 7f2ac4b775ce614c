"""What users can write after `gx.`: names and arguments, against those written down in public_names.txt.

A name or an argument that goes breaks other people's scripts, so it goes on purpose: change the file in the same commit, by
hand or with `python tests/test_public_names.py`, which writes it anew.
"""

import inspect
import types
from pathlib import Path

import pytest

import gyrax as gx

SNAPSHOT = Path(__file__).parent / "public_names.txt"
ON_PURPOSE = "If that is meant, change tests/public_names.txt in the same commit (python tests/test_public_names.py) and say so in CHANGELOG.md."


def namespaces() -> dict[str, types.ModuleType]:
    """The package itself, and every namespace in it."""
    return {"gx": gx} | {f"gx.{n}": m for n in gx.__all__ if isinstance(m := getattr(gx, n), types.ModuleType)}


def public(namespace: types.ModuleType) -> list[str]:
    """Its `__all__`; without one, what it defines itself, which what it imports is not."""
    if hasattr(namespace, "__all__"):
        return sorted(namespace.__all__)
    here = namespace.__name__
    homes = {name: getattr(what, "__module__", None) or "" for name, what in vars(namespace).items() if name[0] != "_"}
    return sorted(name for name, home in homes.items() if home == here or home.startswith(f"{here}."))


def described(namespace: types.ModuleType, name: str) -> str:
    """A name with the names of its arguments, in their order: those after * by name alone, those with = may be left out."""
    what = getattr(namespace, name)
    if (
        not callable(what)
        or not what.__module__.startswith("gyrax")
        or (inspect.isclass(what) and issubclass(what, BaseException))
    ):
        return name
    shown, named = [], False
    for parameter in inspect.signature(what).parameters.values():
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        if parameter.kind == parameter.KEYWORD_ONLY and not named:
            shown.append("*")
        named = named or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        shown.append(stars + parameter.name + "=" * (parameter.default is not parameter.empty))
    return f"{name}({', '.join(shown)})"


def described_all() -> dict[str, list[str]]:
    return {space: [described(module, name) for name in public(module)] for space, module in namespaces().items()}


def written_down() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in SNAPSHOT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            found[line.strip("[]")] = []
        elif line:
            found[list(found)[-1]].append(line)
    return found


def differences(before: list[str], now: list[str], space: str) -> list[str]:
    """A sentence for each name that went, came, or has other arguments."""
    old, new = ({line.split("(")[0]: line for line in lines} for lines in (before, now))
    said = [f"{space}.{name} is gone." for name in sorted(old.keys() - new.keys())]
    said += [f"{space}.{name} is new." for name in sorted(new.keys() - old.keys())]
    changed = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    return said + [f"{space}.{old[name]} has become {new[name]}." for name in changed]


@pytest.mark.once
def test_the_namespaces_are_those_written_down():
    assert set(namespaces()) == set(written_down()), ON_PURPOSE


@pytest.mark.once
@pytest.mark.parametrize("space", namespaces())
def test_names_and_arguments_are_those_written_down(space):
    said = differences(written_down().get(space, []), described_all()[space], space)
    assert not said, "\n".join([*said, ON_PURPOSE])


@pytest.mark.once
def test_every_name_that_is_promised_is_there():
    for space, module in namespaces().items():
        missing = [name for name in public(module) if not hasattr(module, name)]
        assert not missing, f"{space}.__all__ names {missing}, which {space} does not have"
        assert len(set(public(module))) == len(public(module)), f"{space}.__all__ names something twice"


@pytest.mark.once
def test_what_went_what_came_and_what_changed_is_said():
    before, now = ["fc(x, shrinkage=)", "plv(x)"], ["fc(x)", "wpli(x)"]
    assert differences(before, now, "gx.features") == [
        "gx.features.plv is gone.",
        "gx.features.wpli is new.",
        "gx.features.fc(x, shrinkage=) has become fc(x).",
    ]
    assert differences(before, before, "gx.features") == []


if __name__ == "__main__":
    blocks = ["\n".join([f"[{space}]", *lines]) for space, lines in described_all().items()]
    SNAPSHOT.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
