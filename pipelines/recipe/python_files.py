"""What a recipe's Python files define, found without running them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


class Unreadable(Exception):
    """A file is no Python; the message says why, and `line` where."""

    def __init__(self, why: str, line: int) -> None:
        super().__init__(why)
        self.line = line


@dataclass(frozen=True)
class Module:
    """The names that a module has when it is loaded.

    Attributes:
        names: what it defines, assigns or imports at its top, in branches too.
        functions: those that it defines itself, undecorated.
        is_open: whether it may have others, by `from … import *`, `globals()` or a `__getattr__`; or none at all, as it
            raises an error, which says more than any name that is missing.
    """

    names: set[str] = field(default_factory=set[str])
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict[str, ast.FunctionDef])
    is_open: bool = False

    def lacks(self, name: str) -> bool:
        """Whether it surely has nothing of that name."""
        return not self.is_open and name not in self.names


def read_module(file: Path) -> Module:
    """What a Python file defines.

    Raises:
        Unreadable: if it is no Python.
    """
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:  # a ValueError of bytes that are no text
        raise Unreadable(
            f"{type(error).__name__}: {getattr(error, 'msg', error)}", getattr(error, "lineno", 0) or 0
        ) from error
    names: set[str] = set()
    functions: dict[str, ast.FunctionDef] = {}
    for node in _at_the_top(tree.body):
        found = set(_names(node))
        names |= found
        for name in found:
            functions.pop(name, None)  # what is defined again is another
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            functions[node.name] = node
    raises = any(isinstance(node, ast.Raise) for node in tree.body)
    is_open = (
        raises
        or bool(names & {"*", "__getattr__"})
        or any(isinstance(node, ast.Name) and node.id in ("globals", "setattr", "exec") for node in ast.walk(tree))
    )
    return Module(names, functions, is_open)


def _at_the_top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those in branches, loops and `with` included."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for part in ("body", "orelse", "finalbody"):
            yield from _at_the_top(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from _at_the_top(handler.body)
        for case in getattr(node, "cases", []):
            yield from _at_the_top(case.body)


def _names(node: ast.stmt) -> Iterator[str]:
    """What a statement by itself binds."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]
        case _:
            for part in ast.iter_child_nodes(node):
                if not isinstance(part, ast.stmt):
                    yield from (
                        n.id for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                    )


@dataclass(frozen=True)
class Takes:
    """What a function takes by name.

    Attributes:
        by_place: how many it takes by place only.
        names: of its other arguments.
        needed: those without a default.
        others: whether it takes any other (`**others`).
    """

    by_place: int
    names: tuple[str, ...]
    needed: tuple[str, ...]
    others: bool


def takes(function: ast.FunctionDef) -> Takes:
    """What a function takes by name."""
    arguments = function.args
    positional, defaults = [*arguments.posonlyargs, *arguments.args], arguments.defaults
    without = positional[: len(positional) - len(defaults)]
    named = [*arguments.args, *arguments.kwonlyargs]
    needed = [a for a in arguments.args if a in without]
    needed += [a for a, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value is None]
    names = tuple(argument.arg for argument in named)
    return Takes(
        len(arguments.posonlyargs), names, tuple(argument.arg for argument in needed), arguments.kwarg is not None
    )
