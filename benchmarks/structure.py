"""The structure of the package in figures.

Modules at its root, circles, imports that go up, imports inside functions, and the way of a study.

    python benchmarks/structure.py                 # this checkout
    python benchmarks/structure.py --rev v0.1.0    # beside an earlier revision

Nothing is imported or run: the source is read. What is counted:

- *circles*: sets of modules that import one another, imports inside functions and for type checkers counted.
- *up*: of each two rooms (packages or modules at the root) that import one another, the imports in the rarer
  direction.
- *inside functions*: names that functions import, of Probate's own modules and of other libraries.
- *places of a study*: functions that are given a whole `Study`, from the function that runs one on: as an
  argument, or by an object that holds it (`self.study`, `prepared.study`). *Comes back*: calls by which it
  enters a module that it had left.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

STARTS = ("probate.report.pipeline.run_study", "probate.runner.run")


@dataclass
class Module:
    name: str
    tree: ast.Module
    imports: list[tuple[str, str, bool]] = field(default_factory=list)
    """Module, name, and whether inside a function."""
    names: dict[str, str] = field(default_factory=dict)
    """Local name → dotted name that it stands for."""


def read(root: Path) -> dict[str, Module]:
    """Every module of the package below `root`, by its dotted name."""
    modules = {}
    for path in sorted((root / "probate").rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        modules[name] = Module(name, ast.parse(path.read_text(encoding="utf-8")))
    for module in modules.values():
        for node, inside in _imports(module.tree, False):
            parent = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                whole = f"{parent}.{alias.name}" if parent else alias.name
                target = whole if whole in modules else parent or alias.name
                module.imports.append((target, alias.name, inside))
                module.names[alias.asname or alias.name] = whole
    return modules


def _imports(node: ast.AST, inside: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, inside
        yield from _imports(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))


def circles(modules: dict[str, Module]) -> list[list[str]]:
    """Sets of modules that import one another, by Tarjan's algorithm."""
    below = {n: {t for t, _, _ in m.imports if t in modules and t != n} for n, m in modules.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    result = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in below[name]:
            if other not in index:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == index[name]:
            members = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(members) > 1:
                result.append(sorted(members))

    for name in modules:
        if name not in index:
            visit(name)
    return result


def upwards(modules: dict[str, Module]) -> int:
    """Imports in the rarer direction between each two rooms."""
    between: Counter[tuple[str, str]] = Counter()
    for module in modules.values():
        for target in {t for t, _, _ in module.imports if t in modules}:
            rooms = tuple([*n.split("."), ""][1] for n in (module.name, target))
            if rooms[0] != rooms[1] and all(rooms):
                between[rooms[0], rooms[1]] += 1
    return sum(min(n, between[b, a]) for (a, b), n in between.items() if a < b)


class Walk:
    """Follows a study through calls."""

    def __init__(self, modules: dict[str, Module]) -> None:
        self.modules = modules
        self.functions: dict[str, tuple[Module, str, ast.FunctionDef]] = {}
        self.classes: dict[str, dict[str, str]] = defaultdict(dict)
        """Class → attribute → class of its value, or `study`."""
        for module in modules.values():
            for node in module.tree.body:
                if isinstance(node, ast.FunctionDef):
                    self.functions[f"{module.name}.{node.name}"] = (module, "", node)
                elif isinstance(node, ast.ClassDef):
                    self._class(module, node)
        self.places: list[str] = []
        self.returns = 0
        self.left: set[str] = set()

    def _class(self, module: Module, node: ast.ClassDef) -> None:
        name = f"{module.name}.{node.name}"
        for item in node.body:
            if isinstance(item, ast.FunctionDef):
                self.functions[f"{name}.{item.name}"] = (module, name, item)
                known = self._parameters(module, item)
                for inner in ast.walk(item):
                    if isinstance(inner, (ast.Assign, ast.AnnAssign)) and inner.value is not None:
                        target = inner.targets[0] if isinstance(inner, ast.Assign) else inner.target
                        if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                            self.classes[name][target.attr] = self._kind(module, name, inner.value, known)
            elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                self.classes[name][item.target.id] = self._named(module, item.annotation)

    def _named(self, module: Module, annotation: ast.expr | None) -> str:
        """What an annotation stands for: `study`, a class, or ''."""
        text = ast.unparse(annotation).split("|")[0].strip() if annotation else ""
        if text in ("Study", "schema.Study"):
            return "study"
        return module.names.get(text, f"{module.name}.{text}")

    def _parameters(self, module: Module, node: ast.FunctionDef) -> dict[str, str]:
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        return {a.arg: "study" if a.arg == "study" else self._named(module, a.annotation) for a in every}

    def _kind(self, module: Module, owner: str, value: ast.expr, known: dict[str, str]) -> str:
        """What an expression is: `study`, the class of an object, or ''."""
        if isinstance(value, ast.Name):
            return known.get(value.id, "")
        if isinstance(value, ast.Attribute):
            held = (
                owner if ast.unparse(value.value) == "self" else self._kind(module, owner, value.value, known)
            )
            return "study" if value.attr == "study" and held else self.classes[held].get(value.attr, "")
        if isinstance(value, ast.Call):
            whole = self._callee(module, owner, value.func, known)
            if whole.endswith(".__init__"):
                return whole.removesuffix(".__init__")
            if whole in self.functions:
                found, _, node = self.functions[whole]
                return self._named(found, node.returns)
            return whole
        return ""

    def _callee(self, module: Module, owner: str, func: ast.expr, known: dict[str, str]) -> str:
        if isinstance(func, ast.Name):
            whole = module.names.get(func.id, f"{module.name}.{func.id}")
        elif isinstance(func, ast.Attribute):
            text = ast.unparse(func.value)
            held = owner if text == "self" else self._kind(module, owner, func.value, known)
            whole = f"{held or module.names.get(text, text)}.{func.attr}"
        else:
            return ""
        return f"{whole}.__init__" if f"{whole}.__init__" in self.functions else whole

    def go(self, start: str) -> None:
        self._enter(start, "")

    def _enter(self, name: str, before: str) -> None:
        module, owner, node = self.functions[name]
        if before and module.name != before:
            self.returns += module.name in self.left
            self.left.add(before)
        if name in self.places:
            return
        self.places.append(name)
        known = self._parameters(module, node)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Name):
                known[inner.targets[0].id] = self._kind(module, owner, inner.value, known)
        for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
            for func in (call.func, *(a for a in call.args if isinstance(a, ast.Attribute))):
                whole = self._callee(module, owner, func, known)
                if whole in self.functions and self._is_given(module, owner, call, whole, known):
                    self._enter(whole, module.name)

    def _is_given(
        self, module: Module, owner: str, call: ast.Call, whole: str, known: dict[str, str]
    ) -> bool:
        """Whether the called function has the study.

        Among its arguments, or in an object that it is given or belongs to.
        """
        given = [*call.args, *(k.value for k in call.keywords)]
        kinds = [self._kind(module, owner, value, known) for value in given]
        holder = self.functions[whole][1]
        holders = [holder] if holder and not whole.endswith(".__init__") else []
        uses = "study" in ast.unparse(self.functions[whole][2])
        return "study" in kinds or (uses and any(self._holds(k) for k in [*kinds, *holders]))

    def _holds(self, kind: str) -> bool:
        return any(k == "study" or n == "study" for n, k in self.classes.get(kind, {}).items())


def figures(root: Path) -> dict[str, str]:
    """What is printed of one checkout; `root` is the folder that holds the package."""
    modules = read(root)
    inside = [(t, n) for m in modules.values() for t, n, within in m.imports if within]
    own = sum(t.split(".")[0] == "probate" for t, _ in inside)
    other = Counter(t.split(".")[0] for t, _ in inside if t.split(".")[0] != "probate")
    rings = circles(modules)
    walk = Walk(modules)
    start = next(s for s in STARTS if s in walk.functions)
    walk.go(start)
    at_root = [n for n in modules if n.count(".") == 1 and (root / "probate" / f"{n[8:]}.py").is_file()]
    return {
        "modules at the root": f"{len(at_root) + 1}",
        "rooms (packages at the root)": (
            f"{sum(p.is_dir() and (p / '__init__.py').is_file() for p in (root / 'probate').iterdir())}"
        ),
        "circles": f"{len(rings)} ({', '.join(f'{len(r)} modules' for r in rings) or 'none'})",
        "imports that go up": f"{upwards(modules)}",
        "own names imported inside functions": f"{own}",
        "other names imported inside functions": (
            f"{sum(other.values())} ({', '.join(sorted(other)) or 'none'})"
        ),
        "places of a study": (
            f"{len(walk.places)} in {len({self_module(p, modules) for p in walk.places})} modules"
        ),
        "comes back": f"{walk.returns} times",
    }


def self_module(place: str, modules: dict[str, Module]) -> str:
    """The module that a dotted function name lies in."""
    while place not in modules:
        place = place.rpartition(".")[0]
    return place


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rev", help="also read this revision of the repository")
    args = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    table = {"now": figures(here / "src")}
    if args.rev:
        with tempfile.TemporaryDirectory() as folder:
            packed = subprocess.run(
                ["git", "archive", args.rev, "src"], cwd=here, check=True, capture_output=True
            )
            subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
            table = {args.rev: figures(Path(folder) / "src"), **table}
    for key in table["now"]:
        print(f"{key:40}" + "".join(f"{column[key]:60}" for column in table.values()).rstrip())


if __name__ == "__main__":
    main()
