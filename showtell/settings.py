"""The settings of every command: the options that the rooms state, filled by flags, over a YAML file, over `config.py`.

A command has a tree, a dataclass with a field for each room it uses. Flags are flat (`--batch_size 64`, since no two rooms of
a tree share a name), YAML files are nested by room:

    training:
      batch_size: 64

Whatever is wrong is listed at once, and only then does the command stop.
"""

# ruff: noqa: RUF009  (options as defaults of a tree: they are frozen, so sharing them is safe)
from __future__ import annotations

import argparse
import difflib
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from showtell.captioning.options import CaptioningOptions
from showtell.data.options import DataOptions
from showtell.errors import WrongUse
from showtell.evaluation.options import ComparisonOptions, EvaluationOptions
from showtell.metrics.options import MetricOptions
from showtell.model.options import DecoderOptions, EncoderOptions, ExportOptions
from showtell.pictures.options import AugmentOptions, PictureOptions
from showtell.search.options import SearchOptions
from showtell.training.options import FinetuningOptions, TrainingOptions
from showtell.training.plan import Plan
from showtell.vocabulary import VocabularyOptions

Layer = dict[str, dict[str, Any]]
"""Values for some settings: room -> field -> value."""

THIS_CALL_ONLY = ("resume", "overwrite")
"""Settings that say how one call treats what lies there; saved with a run, they would do so again behind the user's back."""

KEPT_FOR_FINETUNING = (
    "batch_size", "captions_per_picture", "accumulate", "optimizer", "weight_decay", "grad_clip", "label_smoothing",
    "attention_lambda", "monitor", "scored_pictures",
)  # fmt: skip
"""Settings of a model's training that are the defaults of its fine-tuning too; how fast and how long is another matter."""

CONFIG_NAMES = {
    "NUM_EPOCHS": "epochs", "DATA_DIR": "data", "VOCAB_PATH": "vocab",
    "CHECKPOINT_DIR": "output_dir", "PRETRAINED_DIR": "output_dir",
}  # fmt: skip
"""Attributes of `config.py` that are not simply a setting's name in upper case."""


# ---------------------------------------------------------------------------------------------------------------- trees


@dataclass(frozen=True)
class Tree:
    """What the settings of all commands have in common."""

    config: Path | None = None
    """YAML file of settings, nested by room: the headings below are the rooms. Flags stand above it."""

    deaf_to: ClassVar[tuple[str, ...]] = ("PRETRAINED_DIR",)
    """Attributes of `config.py` that say nothing to this command."""

    def cleared(self) -> Self:
        """The tree on which the next layer (a YAML file, the flags) is laid: without what must not shine through it."""
        return self

    def settled(self, below: Self) -> Self:
        """The tree after a layer was laid on `below.cleared()`: takes from `below` what the layer did not replace."""
        return self


@dataclass(frozen=True)
class TrainSettings(Tree):
    """Train a captioner on captioned pictures."""

    data: DataOptions = DataOptions()
    vocabulary: VocabularyOptions = VocabularyOptions()
    pictures: PictureOptions = PictureOptions()
    augment: AugmentOptions = AugmentOptions()
    encoder: EncoderOptions = EncoderOptions()
    decoder: DecoderOptions = DecoderOptions()
    training: TrainingOptions = TrainingOptions()

    def plan(self) -> Plan:
        """The same as the training room takes it."""
        return Plan(
            self.data, self.vocabulary, self.pictures, self.augment, self.encoder, self.decoder, self.training, plain(self)
        )

    def cleared(self) -> Self:
        """The width of one encoder says nothing of another, so a layer that names another encoder drops encoder_dim."""
        return replace(self, encoder=replace(self.encoder, encoder_dim=None))

    def settled(self, below: Self) -> Self:
        same = self.encoder.encoder == below.encoder.encoder
        if self.encoder.encoder_dim is None and same:
            return replace(self, encoder=replace(self.encoder, encoder_dim=below.encoder.encoder_dim))
        return self


@dataclass(frozen=True)
class FeaturesSettings(TrainSettings):
    """Compute the feature cache of a training run ahead of it. It takes what showtell train takes: the same words serve both."""


@dataclass(frozen=True)
class FinetuneSettings(TrainSettings):
    """Train a model on: with other pictures, other words, another language. The model's own settings are the defaults."""

    deaf_to: ClassVar[tuple[str, ...]] = (
        "PRETRAINED_DIR", "VOCAB_PATH", "LEARNING_RATE", "NUM_EPOCHS", "BATCH_SIZE", "GRAD_CLIP",
        "EMBED_SIZE", "HIDDEN_SIZE", "ATTENTION_DIM", "ENCODER_DIM", "DROPOUT",
    )  # fmt: skip
    encoder: EncoderOptions = EncoderOptions(unfrozen_groups=99, frozen_statistics=True)
    training: TrainingOptions = TrainingOptions(
        vocab=None, pretrained_path=Path("pretrained_models/coco_captioning_pretrained.pt"), epochs=10, learning_rate=1e-4,
        encoder_learning_rate=1e-5,
    )  # fmt: skip
    finetuning: FinetuningOptions = FinetuningOptions()

    def over(
        self, encoder: EncoderOptions, decoder: DecoderOptions, pictures: PictureOptions, saved: Mapping[str, Any]
    ) -> FinetuneSettings:
        """The tree with a model's settings as defaults: what it is, and how it was trained, but not which of its layers.

        Args:
            saved: room -> setting -> value, as the model file has them; what does not fit is left out.
        """
        encoder = replace(encoder, encoder_dim=None, unfrozen_groups=99, freeze_encoder=False, frozen_statistics=True)
        tree = replace(self, encoder=encoder, decoder=decoder, pictures=pictures)
        for room, kept in (("vocabulary", None), ("augment", None), ("training", KEPT_FOR_FINETUNING)):
            values = saved.get(room)
            if not isinstance(values, Mapping):
                continue
            given = [("", room, name, value) for name, value in values.items() if kept is None or name in kept]
            options = replace(rooms(tree)[room], **_layer(tree, given, []).get(room, {}))
            tree = tree if options.problems() else replace(tree, **{room: options})
        return tree


@dataclass(frozen=True)
class CaptionSettings(Tree):
    """Caption pictures, and show where the model looked for every word."""

    picture: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[PICTURE ...]", help_behavior_hint="")] = ()
    """The same as --image: pictures, folders, patterns, or - for a list of names on standard input."""
    captioning: Annotated[CaptioningOptions, tyro.conf.UseAppendAction] = CaptioningOptions()
    search: SearchOptions = SearchOptions()

    def cleared(self) -> Self:
        """Pictures named by one layer replace those of the layer below; within one, they add up."""
        return replace(self, captioning=replace(self.captioning, image=()))

    def settled(self, below: Self) -> Self:
        named = self.captioning.image + self.picture
        return replace(self, picture=(), captioning=replace(self.captioning, image=named or below.captioning.image))


@dataclass(frozen=True)
class EvaluateSettings(Tree):
    """Score a model on captioned pictures, or captions that some program wrote."""

    evaluation: EvaluationOptions = EvaluationOptions()
    data: DataOptions = DataOptions()
    metrics: MetricOptions = MetricOptions()
    search: SearchOptions = SearchOptions()


@dataclass(frozen=True)
class CompareSettings(Tree):
    """Compare two systems that were evaluated on the same pictures."""

    systems: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FIRST SECOND", help_behavior_hint="")] = ()
    """Two folders that showtell evaluate wrote, or the scores.json in them; the differences are second minus first."""
    comparison: ComparisonOptions = ComparisonOptions()


@dataclass(frozen=True)
class ExportSettings(Tree):
    """Export a trained model as files that others can use: NAME.pt and vocab.pkl, or a folder for the Hugging Face Hub."""

    deaf_to: ClassVar[tuple[str, ...]] = ("CHECKPOINT_DIR", "VOCAB_PATH")
    export: ExportOptions = ExportOptions()


def tree_of(title: str, **options: Any) -> Any:
    """The tree of a small command, made of the options of the rooms named; `title` heads its help."""
    kind = make_dataclass("Settings", [(room, type(each), each) for room, each in options.items()], bases=(Tree,), frozen=True)
    kind.__doc__ = title
    return kind()


TREES: tuple[type[Tree], ...] = (
    TrainSettings,
    FeaturesSettings,
    FinetuneSettings,
    CaptionSettings,
    EvaluateSettings,
    CompareSettings,
    ExportSettings,
)
AnyTree = TypeVar("AnyTree", bound=Tree)


def rooms(tree: Tree) -> dict[str, Any]:
    """The options of each room of a tree, by the room's name."""
    return {field.name: getattr(tree, field.name) for field in fields(tree) if is_dataclass(getattr(tree, field.name))}


# -------------------------------------------------------------------------------------------------------------- filling


def fill(tree: AnyTree, arguments: Sequence[str], *, prog: str, config: object | None = None) -> AnyTree:
    """The tree, its defaults replaced by `config.py`, by the YAML file that `--config` names, and by flags: the last wins.

    Args:
        arguments: the words of the command line that follow the command.
        prog: how the command is called, for usage lines.
        config: the class `Config` of an editable `config.py`; None for `showtell` itself.

    Raises:
        WrongUse: the file or a value is wrong; the message lists all that is.
        SystemExit: flags are wrong (2, explained on standard error), or help was asked for (0, on standard output).
    """
    problems: list[str] = []
    if config is not None:
        tree = _laid(tree, _from_config(tree, config, problems))
    file = _config_file(arguments)
    if file is not None:
        tree = _laid(tree, _from_yaml(tree, file, problems))
    tree = _flags_over(tree, arguments, prog, problems)
    problems += _found_by_rooms(tree)
    if problems:
        raise WrongUse(_listed(problems))
    return tree


def _laid(tree: AnyTree, layer: Layer) -> AnyTree:
    cleared = tree.cleared()
    changed: dict[str, Any] = {room: replace(rooms(cleared)[room], **values) for room, values in layer.items()}
    return replace(cleared, **changed).settled(tree)


def _flags_over(tree: AnyTree, arguments: Sequence[str], prog: str, problems: list[str]) -> AnyTree:
    try:
        filled = tyro.cli(
            type(tree),
            prog=prog,
            args=list(arguments),
            default=tree.cleared(),
            use_underscores=True,  # in what it prints; it reads --batch-size as well as --batch_size
            config=(tyro.conf.OmitArgPrefixes,),
        )
    except SystemExit as leaving:  # tyro has explained the flags; what is wrong elsewhere must not wait for the next try
        if leaving.code and problems:
            raise WrongUse(_listed(problems)) from None
        raise
    return filled.settled(tree)


def _config_file(arguments: Sequence[str]) -> Path | None:
    """What `--config` names; read ahead of the other flags, since it changes the defaults that they stand above."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path, nargs="?")  # with nothing after it, tyro will say so
    found: Path | None = parser.parse_known_args(list(arguments))[0].config
    return found


def _found_by_rooms(tree: Tree) -> list[str]:
    found = []
    for options in rooms(tree).values():
        for name, value in vars(options).items():
            if isinstance(value, float) and not math.isfinite(value):
                found.append(f"{name} is {value}; it must be a finite number.")
        found += options.problems()
    return found


def _listed(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems in the settings:\n" + "\n".join(f"  - {problem}" for problem in problems)


# --------------------------------------------------------------------------------------------------- config.py and YAML


def _from_config(tree: Tree, config: object, problems: list[str]) -> Layer:
    """An attribute in upper case fills the setting of that name in whatever room of the tree has it."""
    homes = _homes(tree)
    elsewhere = {setting for kind in TREES for setting in _homes(kind())}
    known = [*CONFIG_NAMES, *(setting.upper() for setting in sorted(elsewhere - {*CONFIG_NAMES.values()}))]
    given = []
    for attribute in dir(config):
        if not attribute.isupper() or attribute.startswith("_"):
            continue
        setting = CONFIG_NAMES.get(attribute, attribute.lower())
        if attribute not in known:
            problems.append(f"config.py: {attribute} is no setting{_hint(attribute, known, {})}.")
        elif setting in homes and attribute not in tree.deaf_to:
            given.append((f"config.py: {attribute}", homes[setting], setting, getattr(config, attribute)))
    return _layer(tree, given, problems)


def _from_yaml(tree: Tree, file: Path, problems: list[str]) -> Layer:
    homes, given = _homes(tree), []
    for room, settings in _read_yaml(file).items():
        if room not in rooms(tree):
            problems.append(f"{file}: {room} is no room of these settings{_hint(room, rooms(tree), homes)}.")
        elif not isinstance(settings, dict | NoneType):
            problems.append(
                f"{file}: {room} is {_brief.repr(settings):.80}; it must hold settings, one to a line, set in from the left."
            )
        else:
            given += [(f"{file}: {room}.{setting}", room, str(setting), value) for setting, value in (settings or {}).items()]
    return _layer(tree, given, problems)


_brief = reprlib.Repr()  # of what a few lines of YAML may make endless
_brief.maxlevel, _brief.maxstring, _brief.maxother = 3, 80, 80


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml  # here, since --help needs none

    class Loader(yaml.SafeLoader):
        """Refuses a name that stands twice, of which YAML's readers keep the last without a word."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = [str(name.value) for name, _ in node.value] if isinstance(node, yaml.MappingNode) else []
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise yaml.YAMLError(f"{twice} stands twice in it, near line {node.start_mark.line + 1}")
            return super().construct_mapping(node, deep)

    try:
        read = yaml.load(file.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise WrongUse(f"The settings file {file} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, AttributeError, LookupError, RecursionError) as error:  # but the first, of odd values
        raise WrongUse(f"The settings file {file} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(read, dict | NoneType):
        raise WrongUse(
            f"The settings file {file} must name rooms, and under each its settings; it holds {_brief.repr(read):.60}."
        )
    return {str(room): settings for room, settings in (read or {}).items()}


def _layer(tree: Tree, given: Iterable[tuple[str, str, str, object]], problems: list[str]) -> Layer:
    """Converts (where it stands, room, setting, value) to the types of the fields; adds what does not fit to `problems`."""
    layer: Layer = {}
    for where, room, setting, value in given:
        kinds = _kinds(rooms(tree)[room])
        if setting not in kinds:
            problems.append(f"{where} is no setting{_hint(setting, kinds, _homes(tree))}.")
            continue
        try:
            layer.setdefault(room, {})[setting] = convert(value, kinds[setting])
        except TypeError:
            problems.append(f"{where} is {_brief.repr(value):.80}; it must be {_expected(kinds[setting])}.")
    return layer


def _homes(tree: Tree) -> dict[str, str]:
    """The room of each setting."""
    return {setting: room for room, options in rooms(tree).items() for setting in _kinds(options)}


def _kinds(options: Any) -> dict[str, Any]:
    """The type of each setting of a room."""
    return {setting: kind for setting, kind in get_type_hints(type(options)).items() if setting in vars(options)}


def _hint(name: str, candidates: Iterable[str], homes: Mapping[str, str]) -> str:
    """What the user may have meant: a setting of another room, or the nearest name."""
    if name in homes:
        return f" (it belongs under {homes[name]})"
    close = difflib.get_close_matches(name, [*candidates], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


# ---------------------------------------------------------------------------------------------------------------- types


def convert(value: object, kind: Any) -> Any:
    """`value`, as YAML or Python gives it, as the type `kind`. Nothing is guessed, but 1e-4 is a number (text, to YAML).

    Raises:
        TypeError: it does not fit.
    """
    arguments = get_args(kind)
    if get_origin(kind) in (Union, UnionType):  # X | None
        return None if value is None else convert(value, arguments[0])
    if get_origin(kind) is Literal and value in arguments:
        return value
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
        if len(kinds) == len(value):
            return tuple(convert(item, each) for item, each in zip(value, kinds, strict=True))
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if kind is float and isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            raise TypeError from None
    if type(value) is kind:
        return value
    raise TypeError


def _expected(kind: Any) -> str:
    arguments = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return f"{_expected(arguments[0])}, or null"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(arguments)}"
    if get_origin(kind) is tuple:
        number = "" if arguments[-1] is ... else f" of {len(arguments)}"
        return f"a list{number}, each {_expected(arguments[0])}"
    words = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
    return words.get(kind, "text (in quotes if it looks like something else)")


# --------------------------------------------------------------------------------------------------------------- saving


def plain(tree: Tree) -> dict[str, dict[str, Any]]:
    """Room -> setting -> value, as YAML holds it (paths as text, tuples as lists): saved with a run, `--config` repeats it."""
    return {
        room: {name: _plain(value) for name, value in vars(options).items() if name not in THIS_CALL_ONLY}
        for room, options in rooms(tree).items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
