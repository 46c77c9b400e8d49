"""Recipes: every file is understood, and so is every command that is printed in it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from showtell.settings import TrainSettings, fill, plain

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def commands(recipe: Path) -> list[list[str]]:
    """The `showtell train` commands in a recipe's comments, without `showtell train`; a backslash goes on with the next line."""
    comment = "\n".join(line.removeprefix("#") for line in recipe.read_text("utf-8").splitlines() if line.startswith("#"))
    return [shlex.split(each)[2:] for each in re.findall(r"^ +(showtell train .*)$", comment.replace("\\\n", " "), re.MULTILINE)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipes_commands_are_understood(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert commands(recipe)
    for flags in commands(recipe):
        assert f"recipes/{recipe.name}" in flags
        settings = plain(fill(TrainSettings(), flags, prog="showtell train"))
        for room, values in yaml.safe_load(recipe.read_text("utf-8")).items():
            for name in values:
                assert name in settings[room]


def test_a_fine_tuned_model_has_the_decoder_that_it_starts_from() -> None:
    for frozen in RECIPES:
        tuned = frozen.with_stem(f"{frozen.stem}_finetune")
        if tuned.is_file():
            one, other = (yaml.safe_load(path.read_text("utf-8"))["decoder"] for path in (frozen, tuned))
            sizes = {"grid_size", "embed_size", "hidden_size", "attention_dim", "deep_output", "word_query"}
            assert {k: v for k, v in one.items() if k in sizes} == {k: v for k, v in other.items() if k in sizes}


@pytest.mark.parametrize(
    "arguments",
    [
        ["judge.py", "--model", "nowhere.pt"],
        ["judge.py", "--model", "box", "--data", "nowhere"],
        ["transfer.py", "world", "--data", "nowhere"],
        ["box.py", "--annotations", "nowhere.json", "--images", "nowhere", "--model", "nowhere.pt"],
    ],
    ids=" ".join,
)
def test_a_mistake_ends_a_recipe_with_a_sentence(arguments: list[str], tmp_path: Path) -> None:
    script, *flags = arguments
    done = subprocess.run([sys.executable, ROOT / "recipes" / script, *flags], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(f"recipes/{script}: ") and done.stderr.count("\n") == 1, done.stderr
