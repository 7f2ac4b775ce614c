"""How the parts of the package may lean on each other: downwards, on what stands before them on the way of the data."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import gyrax

pytestmark = pytest.mark.once

SOURCE = Path(gyrax.__file__).parent
#: A room may import from itself and from those before it.
ROOMS = [
    "_compiler",
    "_types",
    "_pairs",
    "_static",
    "_kinds",
    "_devices",
    "_warned",
    "_ranges",
    "_extras",
    "_progress",
    "_pictures",
    "_steps",
    "_jaxprs",
    "_digests",
    "parameters",
    "_formats",
    "labelled",
    "_swept",
    "anatomy",
    "datasets",
    "delays",
    "couplings",
    "models",
    "memory",
    "noise",
    "stimuli",
    "solvers",
    "network",
    "monitors",
    "recordings",
    "plasticity",
    "_engine",
    "simulation",
    "features",
    "losses",
    "fitting",
    "search",
    "analysis",
    "plot",
    "io",
    "inference",
    "scale",
    "study",
    "cli",
]
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in SOURCE.rglob("*.py")
}
MOST_LINES, MOST_OF_A_FUNCTION = 450, 60
#: The hardest rooms may be longer.
LONG = {"_engine.loops", "_engine.backward"}
#: Abstract by design, though no method and no name says so.
BARE = {"Parametric"}


def imports(name: str) -> set[str]:
    """The modules of the package that a module imports anywhere, but for types alone."""
    path, tree, found = FILES[name], ast.parse(FILES[name].read_text()), set()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    types = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    skipped = {id(inner) for block in types for inner in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.ImportFrom | ast.Import):
            continue
        if isinstance(node, ast.Import):
            assert not any(a.name.split(".")[0] == "gyrax" for a in node.names), f"{name}: import relatively"
            continue
        if not node.level:
            continue
        base = [*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else [])]
        for alias in node.names:
            inner = ".".join([*base, alias.name])
            found.add(inner if inner in FILES else ".".join(base))
    return found - {name}


ARROWS = {name: imports(name) for name in FILES if name}


def test_every_room_is_in_the_list():
    assert {name.split(".")[0] for name in FILES if name} == set(ROOMS)


def test_imports_point_down():
    place = ROOMS.index
    upwards = [
        f"{name} imports {other}"
        for name, others in ARROWS.items()
        for other in others
        if not other or place(other.split(".")[0]) > place(name.split(".")[0])
    ]
    assert not upwards


def test_nothing_imports_in_circles():
    left = {name: set(others) for name, others in ARROWS.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"these import each other: {sorted(left)}"


def test_no_file_bears_the_name_of_a_public_function():
    functions = {name for name in gyrax.__all__ if callable(getattr(gyrax, name))}
    assert not functions & {name.split(".")[-1] for name in FILES}


def test_files_and_functions_are_short():
    long = [name for name, path in FILES.items() if len(path.read_text().splitlines()) > MOST_LINES]
    assert not set(long) - LONG
    for name, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                doc = ast.get_docstring(node, clean=False)
                lines = node.end_lineno - node.lineno + 1 - (len(doc.splitlines()) if doc else 0)
                assert lines <= MOST_OF_A_FUNCTION, f"{name}.{node.name} has {lines} lines"


def classes() -> set[type]:
    """Every class that a module of the package defines."""
    modules = [importlib.import_module(module.name) for module in pkgutil.walk_packages(gyrax.__path__, "gyrax.")]
    named = (what for module in modules for what in vars(module).values() if inspect.isclass(what))
    return {what for what in named if what.__module__.split(".")[0] == "gyrax"}


def is_abstract(kind: type) -> bool:
    """Whether it leaves methods to others, or says by its name (`Abstract...`, or a private one) that it is but a part."""
    return inspect.isabstract(kind) or kind.__name__.startswith(("Abstract", "_")) or kind.__name__ in BARE


def test_concrete_classes_are_final():
    """What classes share is in an abstract base: then no method of a class that one can have is replaced somewhere else."""
    found = classes()
    heirs = {
        f"{kind.__name__} is a {base.__name__}"
        for kind in found
        for base in kind.__bases__
        if base in found and not is_abstract(base)
    }
    assert not heirs
