"""The packages of the API import one another in one direction, and never the scraper."""

import ast
from collections.abc import Iterator
from pathlib import Path

API = Path(__file__).parents[2] / "api"
LAYERS = (
    ("http",),
    ("stats", "auth"),
    ("schema",),
    ("lists",),
    ("endpoints",),
    ("app", "connections", "server"),
    ("__init__",),
)
"""Packages and modules of the API; a layer may import those above it in this list."""


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports, with their packages."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_imports_point_one_way() -> None:
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    files = {file: file.relative_to(API).parts[0].removesuffix(".py") for file in API.rglob("*.py")}

    assert set(files.values()) == rank.keys()
    for file, package in files.items():
        for module in imported(file):
            top, _, rest = module.partition(".")
            other = rest.partition(".")[0]
            if top == "api" and other != package:
                siblings = package in LAYERS[-2] and other in LAYERS[-2]
                assert rank[other] < rank[package] or siblings, (file.name, module)
            assert top not in {"scraper", "clockwork", "tests"}, (file.name, module)


def test_a_package_has_at_most_nine_modules() -> None:
    for folder in (each for each in API.iterdir() if (each / "__init__.py").exists()):
        modules = [each for each in folder.glob("*.py") if each.name != "__init__.py"]
        assert 3 <= len(modules) <= 9, folder.name
