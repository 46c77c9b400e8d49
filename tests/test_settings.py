"""The tree of settings: who overrides whom, what is refused and how it is said, and that a saved run can be given back."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from showtell.data.options import Coco2014Options
from showtell.data.scenes.options import ScenesOptions
from showtell.errors import WrongUse
from showtell.settings import TREES, CaptionSettings, TrainSettings, Tree, convert, fill, plain, rooms


class Config:
    BATCH_SIZE = 16
    NUM_EPOCHS = 7
    DATA_DIR = "somewhere"
    ENCODER_DIM = 2048
    DEVICE = "cpu"
    PRETRAINED_DIR = "pretrained_models"


def train(*flags: str, config: object | None = None) -> TrainSettings:
    return fill(TrainSettings(), flags, prog="showtell train", config=config)


def caption(*flags: str, config: object | None = None) -> CaptionSettings:
    return fill(CaptionSettings(), flags, prog="showtell caption", config=config)


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes text to a YAML file and gives its name."""

    def write(text: str) -> str:
        path = tmp_path / "settings.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return str(path)

    return write


def complaint(*flags: str, tree: Tree | None = None, config: object | None = None) -> str:
    with pytest.raises(WrongUse) as raised:
        fill(tree or TrainSettings(), flags, prog="showtell train", config=config)
    return str(raised.value)


# ------------------------------------------------------------------------------------------------------------ precedence


def test_without_anything_every_room_has_its_defaults() -> None:
    assert train() == TrainSettings()
    assert caption() == CaptionSettings()


def test_flags_stand_above_yaml_and_yaml_above_config(written: Any) -> None:
    file = written("training:\n  batch_size: 8\n  epochs: 3\n")
    assert train(config=Config).training.batch_size == 16
    filled = train("--config", file, "--epochs", "2", config=Config)
    assert (filled.training.epochs, filled.training.batch_size, filled.data.data) == (2, 8, Path("somewhere"))


def test_underscores_and_hyphens_mean_the_same() -> None:
    assert train("--batch_size", "4") == train("--batch-size", "4") == train("--batch_size=4")
    assert train("--freeze_encoder").encoder.freeze_encoder
    assert not train("--no-cache-features").training.cache_features


def test_a_flag_can_unset_what_a_file_sets(written: Any) -> None:
    file = written("data: {images: photos}\nencoder: {freeze_encoder: true}\n")
    assert train("--config", file).data.images == Path("photos")
    filled = train("--config", file, "--images", "None", "--no_freeze_encoder")
    assert filled.data.images is None
    assert not filled.encoder.freeze_encoder


def test_the_width_in_config_checks_its_own_encoder_and_no_other(written: Any) -> None:
    """ENCODER_DIM 2048 must not stand in the way of `--encoder tiny`; a width given beside the encoder must."""
    tiny = written("encoder: {encoder: tiny}\n")
    assert train(config=Config).encoder.encoder_dim == 2048
    assert train("--encoder", "resnet50", config=Config).encoder.encoder_dim == 2048
    assert train("--encoder", "tiny", config=Config).encoder.encoder_dim is None
    assert train("--config", tiny, config=Config).encoder.encoder_dim is None
    assert train("--encoder", "tiny", "--encoder_dim", "2048", config=Config).encoder.encoder_dim == 2048
    both = written("encoder: {encoder: resnet18, encoder_dim: 512}\n")
    assert train("--config", both, config=Config).encoder.encoder_dim == 512
    assert train("--config", both, "--encoder", "tiny", config=Config).encoder.encoder_dim is None


def test_pictures_named_by_position_and_by_flag_add_up(written: Any) -> None:
    file = written("captioning:\n  image: [from_file.jpg]\n")
    assert caption("a.jpg", "b/").captioning.image == ("a.jpg", "b/")
    assert caption("--image", "a.jpg", "b.png", "more/*.webp").captioning.image == ("a.jpg", "b.png", "more/*.webp")
    assert caption("--image", "a.jpg", "--image", "b.jpg").captioning.image == ("a.jpg", "b.jpg")
    assert caption("--image", "-").captioning.image == ("-",)
    assert caption("--config", file).captioning.image == ("from_file.jpg",)
    assert caption("--config", file, "a.jpg").captioning.image == ("a.jpg",)


# --------------------------------------------------------------------------------------------------------------- refusals


def test_everything_wrong_is_listed_at_once(written: Any) -> None:
    file = written("""
        training:
          batch_sise: 3
          learning_rate: 1e-4   # YAML takes this for text; it is accepted
          epochs: two
          device: gpu
        encoder:
          dropout: 0.1
          pixel_mean: [0.5, 0.5]
        decodr: {}
        seed: 1
        data: here
        """)
    said = complaint("--config", file, "--warmup", "-1", "--ema", "nan")
    assert said.splitlines()[1:] == [
        f"  - {file}: decodr is no room of these settings (did you mean decoder?).",
        f"  - {file}: seed is no room of these settings (it belongs under training).",
        f"  - {file}: data is 'here'; it must hold settings, one to a line, set in from the left.",
        f"  - {file}: training.batch_sise is no setting (did you mean batch_size?).",
        f"  - {file}: training.epochs is 'two'; it must be a whole number.",
        f"  - {file}: training.device is 'gpu'; it must be one of auto, cpu, cuda, mps.",
        f"  - {file}: encoder.dropout is no setting (it belongs under decoder).",
        f"  - {file}: encoder.pixel_mean is [0.5, 0.5]; it must be a list of 3, each a number, or null.",
        "  - ema is nan; it must be a finite number.",
        "  - warmup is -1; it cannot be negative.",
        "  - ema is nan; it must lie from 0 up to, but not at, 1.",
    ]


def test_a_single_problem_is_a_single_sentence() -> None:
    assert complaint("--batch_size", "0") == "batch_size is 0; it must be at least 1."


def test_a_misspelt_flag_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        train("--batch_sise", "3")
    assert leaving.value.code == 2
    assert "--batch_size" in capsys.readouterr().err


def test_wrong_flags_do_not_hide_what_is_wrong_in_the_file(written: Any, capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint("--config", written("training: {epoch: 3}\n"), "--batch_sise", "3")
    assert "epoch is no setting (did you mean epochs?)" in said
    assert "--batch_size" in capsys.readouterr().err


ENDLESS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrst"))
ENDLESS += "training: *t\n"
"""Each line holds the one before it four times: the last, written out, would fill a disk."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training: [", "is not YAML"),
        ("training: {epochs: 2024-13-45}", "is not YAML"),
        ("training: {epochs: 3}\ntraining: {batch_size: 4}", "training stands twice in it, near line 1"),
        ("training:\n  epochs: 3\n  epochs: 4", "epochs stands twice in it, near line 2"),
        ("- training", "must name rooms"),
        ("just words", "must name rooms"),
        ("\x00", "is not YAML"),
        ("training: {epochs: !!int '_'}", "is not YAML"),
        ("training: {device: !!bool maybe}", "is not YAML"),
        (ENDLESS, "a is no room"),
    ],
)
def test_a_file_of_another_kind_is_refused(written: Any, text: str, said: str) -> None:
    assert said in complaint("--config", written(text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "missing.yaml cannot be read" in complaint("--config", str(tmp_path / "missing.yaml"))
    assert "cannot be read" in complaint("--config", str(tmp_path))


def test_an_empty_file_and_empty_rooms_change_nothing(written: Any) -> None:
    assert train("--config", written("# nothing yet\n")).training == TrainSettings().training
    assert train("--config", written("training:\n")).training == TrainSettings().training


def test_config_py_is_checked_like_the_rest() -> None:
    class Wrong(Config):
        LEARNING_RATE = "fast"
        BATCHSIZE = 3
        BEAM_SIZE = 5  # a setting of captioning: fine, and nothing to training
        MIN_FREQUENCY = 2
        helper = "not a setting, and not in upper case"

    said = complaint(config=Wrong)
    assert "config.py: LEARNING_RATE is 'fast'; it must be a number." in said
    assert "config.py: BATCHSIZE is no setting (did you mean BATCH_SIZE?)." in said
    assert len(said.splitlines()) == 3
    assert caption(config=type("Config", (), {"BEAM_SIZE": 3})).search.beam_size == 3
    assert train(config=type("Config", (), {"MIN_FREQUENCY": 3})()).vocabulary.min_frequency == 3  # an instance will do


# ------------------------------------------------------------------------------------------------------------------ types


@pytest.mark.parametrize(
    ("value", "kind", "converted"),
    [
        (3, int, 3), (3, float, 3.0), ("1e-4", float, 1e-4), (True, bool, True), ("a", str, "a"), ("a/b", Path, Path("a/b")),
        (Path("a"), Path, Path("a")), (None, Path | None, None), ("a", Path | None, Path("a")), (False, bool | None, False),
        (["a", "b"], tuple[str, ...], ("a", "b")), ([], tuple[str, ...], ()), ([1, 2.5], tuple[float, float], (1.0, 2.5)),
    ],
)  # fmt: skip
def test_values_that_fit(value: object, kind: Any, converted: object) -> None:
    assert convert(value, kind) == converted
    assert type(convert(value, kind)) is type(converted)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2.5, int), ("3", int), (True, int), (1, bool), ("yes", bool), (3, str), (None, str), (True, float), ("ten", float),
        (10**400, float), (3, Path), ("left", tuple[str, ...]), ([1], tuple[str, ...]), ([1, 2, 3], tuple[float, float]),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_not_bent(value: object, kind: Any) -> None:
    with pytest.raises(TypeError):
        convert(value, kind)


# ----------------------------------------------------------------------------------------------------------------- saving


def save(settings: Tree, folder: Path) -> str:
    """Writes settings as training saves them with a run."""
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(plain(settings), allow_unicode=True), encoding="utf-8")
    return str(path)


@given(st.data())
@hypothesis_settings(max_examples=25)
def test_saved_settings_given_back_are_the_same(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    settings = TrainSettings()
    settings = replace(
        settings,
        training=replace(
            settings.training,
            learning_rate=data.draw(st.floats(1e-12, 10)),
            output_dir=Path(data.draw(st.text("abcé 左:#-'", min_size=1))),
            seed=data.draw(st.integers(0, 2**32 - 1)),
        ),
        augment=replace(
            settings.augment,
            no_flip_words=tuple(
                data.draw(
                    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=9), max_size=4)
                )
            ),
        ),
        encoder=replace(settings.encoder, pixel_mean=data.draw(st.none() | st.tuples(*[st.floats(0, 1)] * 3))),
    )
    path = save(settings, tmp_path_factory.mktemp("saved"))
    assert replace(train("--config", path), config=None) == settings


def test_what_concerned_one_call_only_is_not_saved(tmp_path: Path) -> None:
    again = train("--config", save(train("--overwrite", "--seed", "3"), tmp_path), "--resume")
    assert (again.training.resume, again.training.overwrite, again.training.seed) == (True, False, 3)


def test_saved_settings_are_plain_and_nested_by_room() -> None:
    saved = plain(TrainSettings())
    assert list(saved) == ["data", "vocabulary", "pictures", "augment", "encoder", "decoder", "training"]
    assert saved["data"]["data"] == str(Path("data/coco2014"))
    assert yaml.safe_load(yaml.safe_dump(saved)) == saved


# ------------------------------------------------------------------------------------------------------------- the trees


@pytest.mark.parametrize("kind", TREES)
def test_no_two_rooms_of_a_tree_share_a_setting(kind: type[Tree]) -> None:
    names = Counter(name for options in rooms(kind()).values() for name in vars(options))
    assert [name for name, count in names.items() if count > 1] == []


OPTIONS = [*(room for kind in TREES for room in rooms(kind()).values()), ScenesOptions(), Coco2014Options()]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: type(options).__name__)
def test_every_setting_is_explained_and_defaults_are_right(options: Any) -> None:
    body = ast.parse(inspect.getsource(type(options))).body[0].body  # type: ignore[attr-defined]
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign):
            explained = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            assert explained, f"{type(options).__name__}: {ast.unparse(statement.target)} lacks its sentence"
    assert options.problems() == []
