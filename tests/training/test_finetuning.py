"""Fine-tuning: the four strategies, read from the optimiser in every epoch; words kept, taken anew, or both; exact resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import events, run, same_run, small, weights

from showtell import cli
from showtell.errors import WrongUse
from showtell.model.artefact import load_artefact, save_artefact
from showtell.model.captioner import Captioner
from showtell.settings import FinetuneSettings, rooms
from showtell.training import loop
from showtell.training.models import choose_words
from showtell.training.run import finetune
from showtell.training.unfreezing import Unfreezing
from showtell.vocabulary import SPECIALS, Vocabulary, VocabularyOptions, save_vocab


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> Path:
    """A model that was trained a little; nobody changes it."""
    return run(small(tmp_path_factory.mktemp("pretrained"), scenes, epochs=1, scored_pictures=0)) / "best_model.pt"


def tuned(folder: Path, scenes: Path, model: Path, **changes: Any) -> FinetuneSettings:
    """Settings of a fine-tuning in `folder`/checkpoints: 3 batches an epoch, 2 epochs, some of them changed, by name."""
    base, artefact = small(folder, scenes, scored_pictures=0), load_artefact(model)
    settings = FinetuneSettings().over(artefact.encoder_options, artefact.decoder_options, artefact.pictures, {})
    training = replace(
        base.training, output_dir=folder / "checkpoints", vocab=None, pretrained_path=model, encoder_learning_rate=1e-3
    )
    settings = replace(settings, data=base.data, vocabulary=base.vocabulary, training=training)
    for name, value in changes.items():
        room = next(room for room, options in rooms(settings).items() if hasattr(options, name))
        settings = replace(settings, **{room: replace(getattr(settings, room), **{name: value})})
    return settings


def finetuned(settings: FinetuneSettings) -> Path:
    """Fine-tunes, as `showtell finetune` does; returns the run's folder."""
    path, _ = finetune(settings.plan(), settings.finetuning)
    assert path == settings.training.output_dir / f"{settings.finetuning.output_name}.pt"
    return path.with_suffix("")


# ------------------------------------------------------------------------------------------------------- the strategies


STRATEGIES: dict[str, tuple[dict[str, Any], list[dict[str, float]]]] = {
    "everything": ({}, [{"stem": 1e-3, "middle": 1e-3, "top": 1e-3}] * 3),
    "frozen encoder": ({"freeze_encoder": True}, [{}] * 3),
    "gradual unfreezing": ({"unfreeze": ("2:top", "3:all")}, [{}, {"top": 1e-3}, {"stem": 1e-3, "middle": 1e-3, "top": 1e-3}]),
    "rates of encoder and decoder": ({"encoder_learning_rate": 2e-4, "unfrozen_groups": 2}, [{"middle": 2e-4, "top": 2e-4}] * 3),
    "layer-wise decay": ({"layer_decay": 0.5}, [{"stem": 2.5e-4, "middle": 5e-4, "top": 1e-3}] * 3),
    "decay and gradual unfreezing": (
        {"layer_decay": 0.5, "unfreeze": ("1:top", "3:middle")}, [{"top": 1e-3}, {"top": 1e-3}, {"middle": 5e-4, "top": 1e-3}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_trains_at_which_rate_in_each_epoch(
    tmp_path: Path, scenes: Path, model: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from the optimiser, and seen in the weights: what it does not name has not moved, and what it names has."""
    changes, expected = STRATEGIES[strategy]
    moved: list[set[str]] = []

    def seen(state: Any, seconds: float) -> float:
        now = {name: p.detach().clone() for name, p in state.encoder.named_parameters()}
        moved.append({name.split(".")[1] for name, weight in now.items() if not torch.equal(weight, before[name])})
        before.update(now)
        return validate(state, seconds)

    validate, before = loop.validate, dict(load_artefact(model).encoder)
    monkeypatch.setattr(loop, "validate", seen)
    folder = finetuned(tuned(tmp_path, scenes, model, epochs=3, **changes))
    for line, rates, groups in zip(events(folder, "epoch"), expected, moved, strict=True):
        encoder = {name.removeprefix("encoder."): rate for name, rate in line["rates"].items() if name.startswith("encoder.")}
        assert {name: rate for name, (rate,) in encoder.items()} == pytest.approx(rates)
        assert groups == set(rates)
        assert {rate for name, (rate,) in line["rates"].items() if name.startswith("decoder.")} == {5e-3}


def test_the_table_is_printed_before_training_and_when_it_changes(
    tmp_path: Path, scenes: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetuned(tuned(tmp_path, scenes, model, unfreeze=("2:top",), quiet=False))
    tables = capsys.readouterr().err.split("part  ")[1:]
    tops = [next(line.split()[1:] for line in table.splitlines() if line.startswith("encoder.top")) for table in tables]
    assert tops == [["140,352", "0", "-"], ["140,352", "140,352", "0.001"]]


def test_a_model_file_tells_every_training(tmp_path: Path, scenes: Path, model: Path) -> None:
    where = Path(load_artefact(model).training["data"]).name
    once = finetuned(tuned(tmp_path, scenes, model, epochs=1, self_critical=2, monitor="cider", scored_pictures=9))
    twice = finetuned(tuned(tmp_path / "again", scenes, once.with_suffix(".pt"), epochs=1))
    first = f"1 epochs (3 steps) on 10 pictures of {where}"
    assert "before" not in load_artefact(model).training
    assert load_artefact(once / "best_model.pt").training["before"] == [first]
    told = load_artefact(twice / "best_model.pt").training
    assert told["before"] == [first, f"{first}, from 2 captions of its own of each"]
    assert told["steps"] == 3


def test_resuming_a_run_that_never_was_leaves_the_model_of_that_name(tmp_path: Path, scenes: Path, model: Path) -> None:
    settings = tuned(tmp_path, scenes, model, epochs=1, resume=True)
    theirs = settings.training.output_dir / f"{settings.finetuning.output_name}.pt"
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("somebody's")
    with pytest.raises(WrongUse, match="is there already"):
        finetuned(settings)
    assert theirs.read_text() == "somebody's"


@pytest.mark.parametrize(
    "changes",
    [{"unfreeze": ("2:top",), "layer_decay": 0.5, "ema": 0.5}, {"freeze_encoder": True, "words": "both", "min_frequency": 2}],
    ids=["gradual unfreezing", "frozen encoder"],
)
def test_a_stopped_fine_tuning_goes_on_as_if_it_had_not(
    tmp_path: Path, scenes: Path, model: Path, changes: dict[str, Any]
) -> None:
    undisturbed = finetuned(tuned(tmp_path / "undisturbed", scenes, model, **changes))
    settings = tuned(tmp_path / "stopped", scenes, model, **changes)
    for steps in (2, 4):
        finetuned(replace(settings, training=replace(settings.training, max_steps=steps, resume=steps > 2)))
    same_run(finetuned(replace(settings, training=replace(settings.training, resume=True))), undisturbed)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (("3",), "unfreeze has 3;"),
        (("0:top",), "unfreeze has 0:top;"),
        (("x:top",), "unfreeze has x:top;"),
        (("2:",), "unfreeze has 2:;"),
    ],
)
def test_a_schedule_that_is_none_is_named(schedule: tuple[str, ...], said: str) -> None:
    (problem,) = replace(FinetuneSettings().training, unfreeze=schedule).problems()
    assert problem.startswith(said)


def test_a_group_that_is_not_there_is_named(model: Path) -> None:
    encoder, _ = load_artefact(model).build()
    with pytest.raises(WrongUse, match=r"unfreeze names layer4, but the encoder's groups are stem, middle, top \(or all\)"):
        Unfreezing(encoder, ("2:layer4",))


# ------------------------------------------------------------------------------------------------------------ the words

OWN = Vocabulary((*SPECIALS, "a", "dog", "runs"), min_frequency=1, max_words=0)


@pytest.mark.parametrize(
    ("captions", "words_from", "tokenizer", "expected"),
    [
        (["a dog"], "auto", "word", OWN.words),  # nothing new: the model's own
        (["a cat runs"], "auto", "word", (*OWN.words, "cat")),  # most are known: none of the model's is lost
        (["a cat"], "auto", "word", (*SPECIALS, "a", "cat")),
        (["a dog"], "data", "word", (*SPECIALS, "a", "dog")),
        (["a cat"], "both", "word", (*OWN.words, "cat")),
        (["a dog"], "both", "word", OWN.words),
        (["a cat"], "model", "word", OWN.words),
        (["狗跑"], "auto", "character", (*SPECIALS, "狗", "跑")),
        (["a dog"], "auto", "character", (*SPECIALS, "a", "dog")),
    ],
)
def test_which_words_a_model_goes_on_with(
    captions: list[str], words_from: Any, tokenizer: Any, expected: tuple[str, ...]
) -> None:
    words = choose_words(OWN, captions, VocabularyOptions(tokenizer, 1), words_from)
    assert (words.words, words.tokenizer) == (expected, tokenizer)


@pytest.mark.parametrize("words_from", ["model", "both"])
def test_words_of_two_tokenisers_are_not_mixed(words_from: Any) -> None:
    with pytest.raises(WrongUse, match="come from the word tokenizer and these from character: take words from data"):
        choose_words(OWN, ["狗"], VocabularyOptions("character", 1), words_from)


@pytest.fixture
def chinese(tmp_path: Path, scenes: Path) -> Path:
    """Captions of the scenes' pictures in another language, in a table."""
    pictures = sorted((scenes / "images" / "train").iterdir())
    lines = [f"{picture.name},{caption}" for picture in pictures for caption in ("红色的星在圆上", "一个蓝色的圆")]
    (tmp_path / "chinese.csv").write_text("\n".join(["image,caption", *lines]) + "\n", "utf-8")
    return tmp_path / "chinese.csv"


def test_another_language_gets_its_words_and_keeps_the_rest(
    tmp_path: Path, scenes: Path, model: Path, chinese: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"annotations": chinese, "images": scenes / "images" / "train", "tokenizer": "character", "quiet": False}
    settings = tuned(tmp_path, scenes, model, learning_rate=1e-12, freeze_encoder=True, epochs=1, **more)
    folder = finetuned(settings)
    assert "Of 10 words, 0 keep what the model knows of them, 10 are new to it." in capsys.readouterr().err
    path = folder.with_suffix(".pt")
    captioner = Captioner.from_pretrained(path, "cpu")
    assert captioner.vocabulary.tokenizer == "character" and "红" in captioner.vocabulary.words
    assert captioner.caption(next((scenes / "images" / "test").iterdir())).text
    for name, tensor in weights(model).items():
        if "embedding" not in name and "vocabulary" not in name:
            torch.testing.assert_close(weights(path)[name], tensor)
    again = tuned(tmp_path, scenes, path, freeze_encoder=True, epochs=1, output_name="again", **more)
    finetuned(again)  # what it wrote can be fine-tuned in its turn
    assert "The model's own 10 words serve for these captions." in capsys.readouterr().err


def test_word_vectors_are_for_words_that_are_new(
    tmp_path: Path, scenes: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = load_artefact(model).vocabulary.words[4]
    table = tmp_path / "captions.csv"
    pictures = sorted((scenes / "images" / "train").iterdir())
    table.write_text("image,caption\n" + "".join(f"{each.name},{known} zebra\n" for each in pictures), "utf-8")
    vectors = tmp_path / "vectors.txt"
    vectors.write_text(f"{known} 1 2 3 4 5 6 7 8\nzebra 8 7 6 5 4 3 2 1\n", "utf-8")
    settings = tuned(
        tmp_path, scenes, model, annotations=table, images=scenes / "images" / "train", word_vectors=vectors, quiet=False,
        learning_rate=1e-12, freeze_encoder=True, epochs=1,
    )  # fmt: skip
    artefact = load_artefact(finetuned(settings).with_suffix(".pt"))
    said = capsys.readouterr().err
    assert "Of 2 words, 1 keep what the model knows of them, 1 are new to it." in said
    assert f"1 words have their vectors from {vectors}." in said
    rows, before = artefact.decoder["embedding.weight"], load_artefact(model).decoder["embedding.weight"]
    torch.testing.assert_close(rows[artefact.vocabulary.index(known)], before[4])
    zebra = rows[artefact.vocabulary.index("zebra")]
    torch.testing.assert_close(zebra / zebra[-1], torch.tensor([8.0, 7, 6, 5, 4, 3, 2, 1]))


def test_word_vectors_are_not_needed_where_no_word_is_new(tmp_path: Path, scenes: Path, model: Path) -> None:
    settings = tuned(tmp_path, scenes, model, word_vectors=tmp_path / "not_read.txt", freeze_encoder=True, max_steps=1)
    before = load_artefact(model)
    finetuned(settings)
    assert load_artefact(tmp_path / "checkpoints" / "finetuned_model" / "last_model.pt").vocabulary == before.vocabulary


def test_a_hostile_model_costs_no_memory_here_either(tmp_path: Path, scenes: Path, model: Path) -> None:
    artefact = load_artefact(model)
    save_artefact(
        replace(artefact, decoder_options=replace(artefact.decoder_options, hidden_size=1 << 40)), tmp_path / "giant.pt"
    )
    with pytest.raises(WrongUse, match="another architecture than the settings describe"):
        finetuned(tuned(tmp_path, scenes, tmp_path / "giant.pt"))


def test_the_model_that_it_starts_from_is_never_replaced(tmp_path: Path, scenes: Path, model: Path) -> None:
    start = tmp_path / "checkpoints" / "mine.pt"
    start.parent.mkdir()
    start.write_bytes(model.read_bytes())
    with pytest.raises(WrongUse, match=r"mine.pt is the model that is to be trained on: name another --output_name"):
        finetuned(tuned(tmp_path, scenes, start, output_name="mine", overwrite=True))
    assert start.read_bytes() == model.read_bytes()


# ---------------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("named", [["--pretrained_path", "None"], ["--config", "none.yaml"]])
def test_no_model_to_start_from(
    tmp_path: Path, named: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("none.yaml").write_text("training: {pretrained_path: null}")
    assert cli.main(["finetune", *named]) == 2
    assert "No model to fine-tune: name one with --pretrained_path." in capsys.readouterr().err


def flags(scenes: Path, model: Path, *more: str) -> list[str]:
    return [
        "finetune", "--pretrained_path", str(model), "--data", str(scenes), "--workers", "0", "--batch_size", "4",
        "--device", "cpu", "--scored_pictures", "0", *more,
    ]  # fmt: skip


def test_the_command_takes_the_models_settings_as_defaults(
    tmp_path: Path, scenes: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(flags(scenes, model, "--epochs", "1", "--output_name", "mine", "--freeze_encoder", "--quiet")) == 0
    assert {path.name for path in Path("checkpoints").iterdir()} == {"mine", "mine.pt"}
    artefact = load_artefact(Path("checkpoints/mine.pt"))
    before = load_artefact(model)
    assert artefact.decoder_options == before.decoder_options and artefact.pictures == before.pictures
    assert artefact.vocabulary == before.vocabulary
    assert artefact.encoder_options.encoder == "tiny" and artefact.encoder_options.freeze_encoder
    kept = artefact.training["settings"]["training"]
    assert (kept["learning_rate"], kept["encoder_learning_rate"], kept["epochs"]) == (1e-4, 1e-5, 1)
    assert artefact.training["settings"]["vocabulary"]["min_frequency"] == 1  # the model's, not the default of 5
    assert Captioner.from_pretrained("checkpoints/mine.pt", "cpu").caption(next((scenes / "images" / "test").iterdir())).words


def test_saved_settings_that_do_not_fit_are_left_out() -> None:
    tree, options = FinetuneSettings(), FinetuneSettings()
    model = options.encoder, options.decoder, options.pictures
    assert tree.over(*model, {"training": {"batch_size": 7, "epochs": 99, "grad_clip": 2.0}}).training.batch_size == 7
    assert tree.over(*model, {"training": {"batch_size": 7, "epochs": 99}}).training.epochs == 10
    strange = {"training": {"batch_size": "many"}, "augment": {"flip": 7.0}, "vocabulary": 3, "elsewhere": {}, "decoder": {}}
    assert tree.over(*model, strange) == tree.over(*model, {})


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path, scenes: Path, model: Path) -> None:
    settings = tuned(tmp_path, scenes, model, max_steps=1)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "finetuned_model.pt").write_bytes(b"somebody's")
    with pytest.raises(WrongUse, match=r"finetuned_model\.pt is there already: name another --output_name"):
        finetuned(settings)
    (tmp_path / "checkpoints" / "finetuned_model.pt").unlink()
    finetuned(settings)
    (tmp_path / "checkpoints" / "finetuned_model.pt").unlink()
    with pytest.raises(WrongUse, match="holds another run"):
        finetuned(settings)
    for name in ("best_model", "a/b", "", ".."):
        (problem,) = replace(settings.finetuning, output_name=name).problems()
        assert "must be a plain name" in problem


def test_anothers_vocabulary_is_refused(tmp_path: Path, scenes: Path, model: Path) -> None:
    save_vocab(OWN, tmp_path / "other.pkl")
    with pytest.raises(WrongUse, match=r"other\.pkl does not belong to .*best_model\.pt: it has 7 words"):
        finetuned(tuned(tmp_path, scenes, model, vocab=tmp_path / "other.pkl"))


def test_a_model_that_is_not_there_is_named(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(flags(scenes, Path("absent.pt"))) == 3
    assert "there is no model at absent.pt" in capsys.readouterr().err
