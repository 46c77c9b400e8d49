"""The house stands: imports run downwards only, and the ground floor needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import showtell

PACKAGE = Path(showtell.__file__).parent

FLOORS = {
    "errors": 0, "files": 0, "machine": 0,  # the ground, which all may stand on
    "vocabulary": 1, "pictures": 1, "search": 1, "metrics": 1, "look": 1,
    "model": 2, "data": 2,
    "captioning": 3,
    "training": 4, "evaluation": 4, "serve": 4,
    "settings": 5, "utilities": 5, "cli": 6,
}  # fmt: skip

NOT_OURS_TO_IMPORT = {"config", "utils", "dataset", "model", "train", "finetune", "inference", "tests", "benchmarks", "recipes"}

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def without(blocked: set[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code where some packages cannot be imported."""
    program = BLOCK.format(blocked=blocked) + code
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, encoding="utf-8")


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in files()} - {"__init__", "__main__"} <= set(FLOORS)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    for name in imports(path):
        assert name.partition(".")[0] not in NOT_OURS_TO_IMPORT, f"{path.name} imports {name}, which is not packaged"
        if name.startswith("showtell.") and room(path) in FLOORS:
            imported = name.split(".")[1]
            lower = imported == room(path) or imported == "__version__" or FLOORS[imported] < FLOORS[room(path)]
            assert lower, f"{path.relative_to(PACKAGE)} imports {name}: {imported} is not below {room(path)}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("options.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_options_need_nothing_but_python(path: Path) -> None:
    for name in imports(path):
        top = name.partition(".")[0]
        assert top in sys.stdlib_module_names or top == "showtell", f"{path.relative_to(PACKAGE)} imports {name}"


def test_floor_one_needs_no_torch() -> None:
    ground = [path for path in files() if FLOORS.get(room(path), 9) <= 1 or room(path) == "__init__"]
    names = [
        ".".join(("showtell", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__") for path in ground
    ]
    done = without({"torch", "torchvision"}, "import importlib; [importlib.import_module(name) for name in sys.argv[1:]]", *names)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "--version",
        "--help",
        "train --help",
        "finetune --help",
        "export --help",
        "caption --help",
        "evaluate --help",
        "compare --help",
        "data --help",
        "data coco2014 --help",
        "data features --help",
    ],
)
def test_help_needs_neither_torch_nor_numpy(words: str) -> None:
    done = without({"torch", "torchvision", "numpy", "PIL"}, "from showtell.cli import main; sys.exit(main())", *words.split())
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_package_imports_neither_torch_nor_numpy_by_itself() -> None:
    heavy = {"torch", "numpy", "PIL", "tyro"}
    code = f"import sys, showtell, showtell.cli, showtell.search; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_built_in_set_needs_no_torch(tmp_path: Path) -> None:
    counts = [word for split in ("train", "val", "test", "test_new") for word in (f"--{split}", "1")]
    program = "from showtell.cli import main\nif __name__ == '__main__': sys.exit(main())"
    done = without(
        {"torch", "torchvision"}, program, "data", "scenes", "--data", str(tmp_path), "--workers", "1", "--quiet", *counts
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("*.png"))) == 4


def test_training_without_torch_names_the_extra(tmp_path: Path) -> None:
    done = without({"torch", "torchvision"}, "from showtell.cli import main; sys.exit(main())", "train", "--data", str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert 'pip install ".[train]"' in done.stderr
