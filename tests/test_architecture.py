"""Imports point in one direction: between packages as in `MAY_IMPORT`, and never in a circle."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = ("api", "clockwork", "config", "ingest", "scraper")

MAY_IMPORT = {
    "config": "",
    "ingest.slurm": "config",
    "ingest.reasons": "",
    "ingest.reading": "config ingest.slurm",
    "ingest.programs": "config ingest.slurm ingest.reading",
    "ingest.database": "config ingest.slurm",
    "ingest.accounts": "config ingest.slurm ingest.database",
    "ingest.logs": "config ingest.slurm ingest.reading",
    "ingest.documents": "config ingest.slurm ingest.reasons ingest.reading ingest.programs"
    " ingest.database ingest.accounts",
    "ingest.quarantine": "config ingest.slurm ingest.reading ingest.database ingest.logs",
    "ingest.sync": "config ingest.slurm ingest.reading ingest.database ingest.accounts"
    " ingest.documents ingest.quarantine ingest.logs",
    "ingest.clusters": "config ingest.slurm ingest.reading ingest.programs ingest.database"
    " ingest.accounts ingest.documents ingest.sync",
    "ingest.webhooks": "config ingest.slurm ingest.database ingest.documents ingest.clusters",
    "ingest.retention": "config ingest.slurm ingest.reading ingest.database ingest.accounts",
    "ingest.transfer": "config ingest.database",
    "ingest.anonymise": "config ingest.slurm ingest.reading",
    "scraper.ssh": "config",
    "scraper.commands": "config ingest scraper.ssh",
    "scraper.watch": "config ingest scraper.ssh scraper.commands",
    "scraper": "config ingest scraper.ssh scraper.commands scraper.watch",
    "api.http": "config ingest.accounts ingest.database",
    "api.stats": "config ingest api.http",
    "api.schema": "config ingest api.http api.stats",
    "api.lists": "config ingest api.http api.schema",
    "api.endpoints": "config ingest api.http api.stats api.schema api.lists",
    "api.scheduling": "config ingest api.http api.schema api.lists api.endpoints",
    "api.feed": "config ingest api.http api.schema api.lists api.endpoints",
    "api.sign_in": "config ingest.accounts ingest.database ingest.logs api.http",
    "api": "config ingest api.http api.stats api.schema api.lists api.endpoints api.feed"
    " api.scheduling api.sign_in",
    "clockwork": "config ingest scraper api",
}
"""A package, and those that it may import. A name stands for all packages below it as well, unless
one of these has a row of its own. A new package needs a row: a test fails until it has one."""

EXCEPTIONS: set[tuple[str, str]] = {("ingest.database.migrations", "ingest.accounts.users")}
"""Imports against the direction: (importing module, imported module).

An import that is gone must leave this set."""


@cache
def modules() -> dict[str, Path]:
    """The file of every module of the product, by the module's name."""
    files = (path for top in TOP for path in (ROOT / top).rglob("*.py"))
    return {_name(path): path for path in files}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> dict[str, set[str]]:
    """The modules of the product that each module imports, wherever in the file it does so."""
    return {name: set(_imports_of(name, path)) for name, path in modules().items()}


def _imports_of(name: str, path: Path) -> Iterator[str]:
    for each in _imported(path):
        module = each if each in modules() else each.rpartition(".")[0]
        if module in modules() and module != name:
            yield module


def _imported(path: Path) -> Iterator[str]:
    """The names of what a file imports: of a module, or of something in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import, expected the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(module: str) -> str:
    """The row of `MAY_IMPORT` for *module*, the most exact one; "" if there is none."""
    rows = (row for row in MAY_IMPORT if f"{module}.".startswith(f"{row}."))
    return max(rows, key=len, default="")


def may_import(package: str, other: str) -> bool:
    """Whether modules of *package* may import modules of *other*."""
    return package == other or any(
        f"{other}.".startswith(f"{allowed}.") for allowed in MAY_IMPORT[package].split()
    )


def test_every_module_belongs_to_a_package() -> None:
    empty = {name for name, path in modules().items() if not path.read_text().strip()}
    assert {name for name in modules() if not package_of(name)} <= empty


def test_every_package_of_the_table_exists() -> None:
    named = {each for row, allowed in MAY_IMPORT.items() for each in (row, *allowed.split())}
    assert named <= set(modules())


def test_the_table_itself_has_one_direction() -> None:
    graph = {
        row: {other for other in MAY_IMPORT if may_import(row, other)} - {row} for row in MAY_IMPORT
    }
    TopologicalSorter(graph).prepare()


def test_packages_import_only_what_the_table_allows() -> None:
    against = {
        (module, other)
        for module, others in imports().items()
        for other in others
        if package_of(module) and not may_import(package_of(module), package_of(other))
    }
    assert against == EXCEPTIONS


def test_no_files_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_the_product_imports_no_tests() -> None:
    tests = {
        (name, each)
        for name, path in modules().items()
        for each in _imported(path)
        if each.startswith("tests.")
    }
    assert tests == set()


def test_no_helper_stands_in_a_test_file() -> None:
    """A helper of several tests stands in a module beside them, or in tests/support."""
    helpers = {
        (path.name, each)
        for path in (*ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/**/*.py"))
        for each in _imported(path)
        if re.match(r"tests\.(.*\.)?test_", each)
    }
    assert helpers == set()


@pytest.mark.parametrize(
    "folder", sorted({str(path.parent.relative_to(ROOT)) for path in modules().values()})
)
def test_a_package_has_at_most_nine_modules(folder: str) -> None:
    names = [path.name for path in (ROOT / folder).glob("*.py")]
    assert len([name for name in names if not name.startswith("__")]) <= 9
