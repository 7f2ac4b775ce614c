"""What griffe does not know of our docstrings and modules when it reads the sources for the reference."""

import ast
import re
from collections.abc import Iterator

from griffe import (
    Alias,
    Attribute,
    Class,
    Decorator,
    Docstring,
    ExprCall,
    ExprKeyword,
    ExprName,
    Extension,
    Module,
    Object,
)


class Examples(Extension):
    """Reads the heading `Example:` as `Examples:`, so that what follows is shown as code."""

    def on_instance(self, *, obj: Object, **kwargs: object) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)


class Modules(Extension):
    """Gives an `equinox.Module` the `__init__` of the dataclass that it is.

    A field declared with `parameter(default, unit=..., doc=...)` is shown as its default, meaning and unit.
    """

    def on_attribute_instance(self, *, attr: Attribute, **kwargs: object) -> None:
        if str(attr.annotation) == "ClassVar":
            attr.labels.discard("instance-attribute")
        call = attr.value
        if not isinstance(call, ExprCall):
            return
        if call.function.canonical_path == "equinox.field":
            call.function = ExprName("dataclasses.field")
        elif str(call.function) == "parameter":
            named = {a.name: a.value for a in call.arguments if isinstance(a, ExprKeyword)}
            doc, unit = (ast.literal_eval(str(named[key])) if key in named else "" for key in ("doc", "unit"))
            attr.docstring = Docstring(f"{doc} ({unit})" if unit else doc, parent=attr)
            attr.value = next((a for a in call.arguments if not isinstance(a, ExprKeyword)), None)

    def on_package(self, *, pkg: Module, **kwargs: object) -> None:
        for cls in _classes(pkg):
            bases = (base for c in (cls, *cls.mro()) for base in c.bases)
            if any(getattr(base, "canonical_path", base) == "equinox.Module" for base in bases):
                cls.decorators.append(Decorator(ExprName("dataclasses.dataclass"), lineno=None, endlineno=None))


class PrivateBases(Extension):
    """Shows what a public class has from its private bases with the class itself: they have no place of their own."""

    def on_package(self, *, pkg: Module, **kwargs: object) -> None:
        for cls in _classes(pkg):
            bases = [base for base in reversed(cls.mro()) if base.name.startswith("_")]
            inherited = {name: member for base in bases for name, member in base.members.items()}
            for name, member in inherited.items():
                if name not in cls.members and not cls.name.startswith("_"):
                    cls.members[name] = Alias(name, member, lineno=0, parent=cls)  # in front of the class's own


def _classes(module: Module) -> Iterator[Class]:
    for member in module.members.values():
        if isinstance(member, Module):
            yield from _classes(member)
        elif isinstance(member, Class):
            yield member
