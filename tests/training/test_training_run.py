"""A whole run from a folder of captioned pictures to `best_model.pt`: what it leaves, when it ends, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.optim.swa_utils import AveragedModel
from training_kit import command, events, losses, run, same_run, small, weights, went_on_as

from showtell import cli
from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.data.splits import split_records
from showtell.errors import Problem, WrongUse
from showtell.model.artefact import load_artefact, read_model_file
from showtell.model.captioner import Captioner
from showtell.settings import plain
from showtell.training import loop
from showtell.training import run as run_room
from showtell.training.checkpoint import check_folder
from showtell.training.optimisation import moving_average
from showtell.vocabulary import Vocabulary, build_vocabulary, load_vocab, save_vocab


@pytest.fixture
def copied(scenes: Path, tmp_path: Path) -> Path:
    """Scenes that a test may spoil."""
    return Path(shutil.copytree(scenes, tmp_path / "scenes"))


# ------------------------------------------------------------------------------------------------------ what a run leaves


def test_a_run_tells_which_pictures_it_left_for_validation(tmp_path: Path, scenes: Path) -> None:
    """Data without splits: what `split_list.json` calls val is what the run did not train on."""
    records = read_records(DataOptions(data=scenes))
    table = tmp_path / "captions.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        rows.writerows([record.path, caption] for record in records for caption in record.captions)
    folder = run(small(tmp_path, scenes, annotations=table, images=scenes, val_fraction=0.3, seed=3, epochs=1))

    undivided = DataOptions(annotations=table, images=scenes, val_fraction=0.3)
    left_out = {record.path for record in split_records(read_records(undivided), undivided, seed=3).val}
    listed = replace(undivided, split_list=folder / "split_list.json")
    splits = split_records(read_records(listed), listed, seed=0)
    assert {record.path for record in splits.val} == left_out and not splits.by_share
    assert len(splits.train) == load_artefact(folder / "best_model.pt").training["training_pictures"]


def test_a_run_leaves_models_settings_and_log(tmp_path: Path, scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = small(tmp_path, scenes, quiet=False, epochs=3)
    folder = run(settings)

    assert {path.name for path in folder.iterdir()} == {
        "best_model.pt", "last_model.pt", "settings.yaml", "log.jsonl", "tensorboard",
    }  # fmt: skip
    assert list((folder / "tensorboard").iterdir())
    assert yaml.safe_load((folder / "settings.yaml").read_text("utf-8")) == plain(settings)
    assert len(load_vocab(tmp_path / "vocab.json")) > 20

    assert [step for step, _ in losses(folder)] == list(range(9))
    epochs = events(folder, "epoch")
    assert [(line["epoch"], line["step"]) for line in epochs] == [(1, 2), (2, 5), (3, 8)]
    assert epochs[-1]["val_loss"] < epochs[0]["val_loss"] < 5  # it learns
    assert all(0 <= line["val_top1"] <= line["val_top5"] <= 1 and line["train_loss"] > 0 for line in epochs)

    artefact = load_artefact(folder / "best_model.pt")
    best = min(epochs, key=lambda line: line["val_loss"])
    assert artefact.training == {
        "data": str(scenes), "training_pictures": 10, "epochs": best["epoch"], "steps": best["step"] + 1,
        "lowest_val_loss": best["val_loss"], "settings": artefact.training["settings"],
    }  # fmt: skip
    saved, kept = plain(settings), artefact.training["settings"]
    assert (kept["vocabulary"], kept["augment"]) == (saved["vocabulary"], saved["augment"])
    assert kept["training"].items() <= saved["training"].items() and kept["training"]["batch_size"] == 4
    assert str(tmp_path) not in str(kept)  # nobody else needs to know where it lay
    assert artefact.vocabulary == load_vocab(tmp_path / "vocab.json")

    said = capsys.readouterr()
    assert said.out == ""
    assert "10 pictures to train on, 4 to validate on" in said.err
    assert "on cpu in float32" in said.err and "its 3 epochs are done" in said.err and "best so far" in said.err


def test_a_quiet_run_says_nothing(tmp_path: Path, scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(small(tmp_path, scenes, epochs=1))
    assert capsys.readouterr() == ("", "")


def test_the_best_model_captions(tmp_path: Path, scenes: Path) -> None:
    folder = run(small(tmp_path, scenes, epochs=1))
    captioner = Captioner.from_pretrained(folder / "best_model.pt", "cpu")
    caption = captioner.caption(next((scenes / "images" / "test").iterdir()))
    assert caption.words and captioner.pictures.picture_size == 32


def test_the_training_loss_is_the_mean_over_words(tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate near nothing the model stands still, so what it is trained and validated on, here the same, has one loss."""
    divided = run_room.split_records
    monkeypatch.setattr(run_room, "split_records", lambda *given: replace(divided(*given), val=divided(*given).train))
    changes = {"learning_rate": 1e-12, "encoder_learning_rate": 0.0, "unfrozen_groups": 0, "cache_features": False}
    settings = small(tmp_path, scenes, epochs=1, augment=False, dropout=0.0, embed_dropout=0.0, **changes)
    (epoch,) = events(run(settings), "epoch")
    for figure in ("loss", "top1", "top5"):
        assert epoch[f"train_{figure}"] == pytest.approx(epoch[f"val_{figure}"], rel=1e-4)


def test_the_same_settings_give_the_same_run(tmp_path: Path, scenes: Path) -> None:
    one, other = (run(small(tmp_path / name, scenes)) for name in "ab")
    same_run(one, other)
    third = run(small(tmp_path / "c", scenes, seed=1))
    assert losses(third) != losses(one)


# ------------------------------------------------------------------------------------------------------------- resuming

WAYS: dict[str, dict[str, Any]] = {
    "plainly": {},
    "with all there is": {
        "accumulate": 2, "ema": 0.9, "schedule": "plateau", "warmup": 2, "label_smoothing": 0.1, "optimizer": "adamw",
        "weight_decay": 0.01, "deep_output": True, "grid_dropout": 0.1, "unfrozen_groups": 1, "epochs": 3,
        "captions_per_picture": 2,
    },
    "on the cosine": {"schedule": "cosine", "warmup": 1, "grad_clip": 0.0},
    "with cached features": {"unfrozen_groups": 0, "ema": 0.5, "cache_views": 3},
    "with cached maps": {"encoder": "resnet18", "unfrozen_groups": 1, "cache_maps": True, "ema": 0.5},
    "from its own captions": {"self_critical": 2, "monitor": "cider", "ema": 0.5, "encoder_learning_rate": 1e-3},
    "with a process that opens pictures": {"workers": 1},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on forks of processes with threads
@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path: Path, scenes: Path, way: str) -> None:
    """Bit for bit, wherever it stopped: inside an epoch, at its last step, and before the first checkpoint of an epoch."""
    undisturbed = run(small(tmp_path / "undisturbed", scenes, **WAYS[way] | {"workers": 0}))  # how many open them is no matter
    settings = small(tmp_path / "stopped", scenes, **WAYS[way])
    for steps in (2, 3):
        stopping = replace(settings, training=replace(settings.training, max_steps=steps, resume=steps > 2))
        folder = run(stopping)
        assert read_model_file(folder / "last_model.pt")["checkpoint"]["position"]["step"] == steps
    went_on_as(run(replace(settings, training=replace(settings.training, resume=True))), undisturbed)


def test_a_rate_that_was_lowered_stays_low(tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs that are not better, and the rate falls to a fifth: also for a run that goes on after them."""
    monkeypatch.setattr(run_room.EarlyStopping, "observe", lambda stopping, score: False)
    plateau = {"schedule": "plateau", "epochs": 3}
    undisturbed = run(small(tmp_path / "undisturbed", scenes, **plateau))
    constant = losses(run(small(tmp_path / "constant", scenes, epochs=3)))
    assert losses(undisturbed)[:7] == constant[:7] and losses(undisturbed)[7:] != constant[7:]  # it fell after six steps
    stopped = run(small(tmp_path / "stopped", scenes, **plateau, max_steps=7))
    run(small(tmp_path / "stopped", scenes, **plateau, resume=True))
    assert losses(stopped) == losses(undisturbed)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on forks of processes with threads
def test_no_more_processes_open_pictures_than_there_are_processors(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch warns of others, and a warning fails a test."""
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)
    run(small(tmp_path, scenes, workers=2, max_steps=1))


def test_frequent_checkpoints_change_nothing(tmp_path: Path, scenes: Path) -> None:
    same_run(run(small(tmp_path / "a", scenes)), run(small(tmp_path / "b", scenes, checkpoint_minutes=0.0)))


def test_a_run_killed_after_its_epochs_last_step_goes_on_as_if_it_had_not(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has the epoch's line already, the checkpoint does not know of it: the line is there once in the end."""
    undisturbed = run(small(tmp_path / "undisturbed", scenes))
    settings = small(tmp_path / "killed", scenes, checkpoint_minutes=0.0)
    save, saves = loop.save_checkpoint, []

    def die_at_the_fourth(running: Any) -> None:
        saves.append(running.position.step)
        if len(saves) == 4:  # after three steps and the validation
            raise KeyboardInterrupt
        save(running)

    monkeypatch.setattr(loop, "save_checkpoint", die_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        run(settings)
    assert saves == [1, 2, 3, 3] and len(events(tmp_path / "killed" / "run", "epoch")) == 1
    monkeypatch.setattr(loop, "save_checkpoint", save)
    same_run(run(replace(settings, training=replace(settings.training, resume=True))), undisturbed)


def test_a_finished_run_is_not_made_longer_by_resuming(tmp_path: Path, scenes: Path) -> None:
    for settings in (small(tmp_path / "a", scenes), small(tmp_path / "b", scenes, max_steps=4)):
        folder = run(settings)
        before = losses(folder), weights(folder / "last_model.pt")
        run(replace(settings, training=replace(settings.training, resume=True)))
        assert losses(folder) == before[0]
        after = weights(folder / "last_model.pt")
        assert all(torch.equal(after[name], tensor) for name, tensor in before[1].items())


def test_a_finished_run_goes_on_with_more_epochs(tmp_path: Path, scenes: Path) -> None:
    settings = small(tmp_path / "a", scenes, epochs=1)
    run(settings)
    longer = run(replace(settings, training=replace(settings.training, resume=True, epochs=2)))
    same_run(longer, run(small(tmp_path / "b", scenes, epochs=2)))


def test_a_run_from_before_a_setting_was_there_goes_on(tmp_path: Path, scenes: Path) -> None:
    settings = small(tmp_path, scenes, max_steps=1)
    file = run(settings) / "settings.yaml"
    now = file.read_text("utf-8")
    assert "  no_repeat_ngram: 0\n" in now
    file.write_text(now.replace("  no_repeat_ngram: 0\n", ""), "utf-8")
    assert len(losses(run(replace(settings, training=replace(settings.training, resume=True, max_steps=2))))) == 2


@pytest.mark.parametrize("unfreeze", [(), ("2:head",)])
def test_labels_are_forgotten_where_what_they_read_will_train(tmp_path: Path, scenes: Path, unfreeze: tuple[str, ...]) -> None:
    lite = {"encoder": "efficientnet_lite0", "grid": "native", "freeze_encoder": True}
    folder = run(small(tmp_path, scenes, **lite, unfreeze=unfreeze, max_steps=1, scored_pictures=0))
    known = weights(folder / "last_model.pt")["encoder.backbone.classifier.weight"].any()
    assert bool(known) == (not unfreeze)


def test_resuming_nothing_begins(tmp_path: Path, scenes: Path) -> None:
    assert len(losses(run(small(tmp_path, scenes, resume=True, epochs=1)))) == 3


def test_the_precision_that_auto_chose_stays(tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor is measured, and a busy one may come out otherwise the next time."""
    settings = small(tmp_path, scenes, precision="auto", max_steps=1)
    monkeypatch.setattr(run_room, "has_fast_bf16", lambda device: False)
    folder = run(settings)
    monkeypatch.setattr(run_room, "has_fast_bf16", lambda device: True)
    run(replace(settings, training=replace(settings.training, resume=True, max_steps=2)))
    assert read_model_file(folder / "last_model.pt")["checkpoint"]["precision"] == "float32"


def test_bf16_trains_too(tmp_path: Path, scenes: Path) -> None:
    folder = run(small(tmp_path, scenes, precision="bf16", epochs=1))
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights(folder / "best_model.pt").values())
    assert losses(folder) != losses(run(small(tmp_path / "b", scenes, epochs=1)))
    assert events(folder, "epoch")[0]["val_loss"] == pytest.approx(
        events(tmp_path / "b" / "run", "epoch")[0]["val_loss"], rel=0.02
    )


# -------------------------------------------------------------------------------------------------- the moving average


def test_the_moving_average_is_what_is_validated_and_saved(tmp_path: Path, scenes: Path) -> None:
    averaged = run(small(tmp_path / "a", scenes, ema=0.9, epochs=1))
    plainly = run(small(tmp_path / "b", scenes, epochs=1))
    assert losses(averaged) == losses(plainly)  # training itself does not look at it
    assert events(averaged, "epoch")[0]["val_loss"] != events(plainly, "epoch")[0]["val_loss"]
    state = read_model_file(averaged / "last_model.pt")["checkpoint"]["model"]
    for name, tensor in weights(plainly / "last_model.pt").items():
        assert torch.equal(state[name], tensor)
    after = [weights(run(small(tmp_path / f"steps{steps}", scenes, max_steps=steps)) / "last_model.pt") for steps in (1, 2, 3)]
    mine = weights(averaged / "last_model.pt")
    for name in ("decoder.attention.v", next(name for name in mine if name.startswith("encoder.") and mine[name].ndim > 1)):
        first, second, third = (each[name] for each in after)
        after_two = 2 / 11 * first + 9 / 11 * second  # decay (1 + n) / (10 + n), until that is the setting's 0.9
        torch.testing.assert_close(mine[name], 3 / 12 * after_two + 9 / 12 * third)
        assert not torch.allclose(mine[name], third)


def test_the_moving_average_reaches_back_a_tenth_of_the_run_and_no_further_than_its_decay() -> None:
    model, steps = torch.nn.Linear(1, 1), 3_000
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1e3)  # what a run begins with, far from what follows
        averages = {decay: AveragedModel(model, multi_avg_fn=moving_average(decay)) for decay in (0.0, 0.9, 0.99, 0.999)}
        for step in range(steps):
            for p in model.parameters():
                p.fill_(step / steps)
            for average in averages.values():
                average.update_parameters(model)
    behind = {decay: 1 - average.module.weight.item() for decay, average in averages.items()}
    assert behind[0.9] == pytest.approx(10 / steps, rel=0.01)  # a ramp's average with decay d lags 1 / (1 - d) steps
    assert behind[0.99] == pytest.approx(100 / steps, rel=0.01)
    assert behind[0.999] == pytest.approx(0.1, rel=0.01)  # a thousand steps would be a third of the run
    assert behind[0.0] == pytest.approx(1 / steps, rel=0.01)


# -------------------------------------------------------------------------------------------------- starting from a model


def test_a_run_starts_from_a_models_weights(tmp_path: Path, scenes: Path) -> None:
    first = run(small(tmp_path / "first", scenes, epochs=1, grid_scale=2.0))
    still = {"learning_rate": 1e-12, "encoder_learning_rate": 0.0, "unfrozen_groups": 0, "max_steps": 1}
    second = run(small(tmp_path / "second", scenes, seed=5, pretrained_path=first / "best_model.pt", **still))
    for name, tensor in weights(first / "best_model.pt").items():
        torch.testing.assert_close(weights(second / "last_model.pt")[name], tensor)
    assert load_artefact(second / "last_model.pt").decoder_options.grid_scale == 2.0  # without it the weights mean something else


def test_a_model_of_another_architecture_is_refused(tmp_path: Path, scenes: Path) -> None:
    first = run(small(tmp_path / "first", scenes, epochs=1, max_steps=1))
    said = r"another architecture than the settings describe \(hidden_size is 8 in the model and 9 in the settings\): leave"
    with pytest.raises(WrongUse, match=said):
        run(small(tmp_path / "second", scenes, pretrained_path=first / "last_model.pt", hidden_size=9))
    with pytest.raises(WrongUse, match=r"\(encoder is tiny in the model and resnet18 in the settings, hidden_size"):
        run(small(tmp_path / "third", scenes, pretrained_path=first / "last_model.pt", hidden_size=9, encoder="resnet18"))


@pytest.mark.parametrize(
    "changes",
    [{"encoder_weights": "nowhere.pt"}, {"unfreeze": ("2:layer9",)}, {"cache_maps": True}],
    ids=["no such weights", "no such group", "no place to cut"],
)
def test_a_refused_run_leaves_nothing(tmp_path: Path, scenes: Path, changes: dict[str, Any]) -> None:
    """A vocabulary that it left would be taken for another run's, or refused to it."""
    with pytest.raises(Problem):
        run(small(tmp_path, scenes, **changes))
    assert list(tmp_path.iterdir()) == []


def test_a_model_with_other_words_is_refused(tmp_path: Path, scenes: Path) -> None:
    first = run(small(tmp_path / "first", scenes, epochs=1, max_steps=1))
    with pytest.raises(WrongUse, match="other words than these captions"):
        run(small(tmp_path / "second", scenes, pretrained_path=first / "last_model.pt", min_frequency=3))


# ---------------------------------------------------------------------------------------------------------- accumulation


def test_accumulated_batches_are_one_larger_batch(tmp_path: Path, scenes: Path) -> None:
    """But for the batches' different numbers of words, and so nearly: both see the same pictures in a step."""
    still = {"unfrozen_groups": 0, "cache_features": False, "dropout": 0.0, "embed_dropout": 0.0, "augment": False, "epochs": 1}
    one = run(small(tmp_path / "a", scenes, batch_size=2, accumulate=2, **still))
    other = run(small(tmp_path / "b", scenes, batch_size=4, **still))
    assert [step for step, _ in losses(one)] == [0, 0, 1, 1, 2]
    assert [step for step, _ in losses(other)] == [0, 1, 2]
    halves = [loss for step, loss in losses(one) if step == 0]
    assert sum(halves) / 2 == pytest.approx(losses(other)[0][1], rel=0.02)
    mine, yours = (weights(each / "last_model.pt")["decoder.output.vocabulary.bias"] for each in (one, other))
    assert torch.nn.functional.cosine_similarity(mine, yours, dim=0) > 0.99


def test_the_last_short_group_counts_by_its_own_batches(tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three batches in groups of two: halves of the first two losses go backward, and the whole of the third."""
    backward, sent = run_room.Accelerator.backward, []

    def note(accelerator: Any, loss: torch.Tensor) -> None:
        sent.append(float(loss.detach()))
        backward(accelerator, loss)

    monkeypatch.setattr(run_room.Accelerator, "backward", note)
    folder = run(small(tmp_path, scenes, accumulate=2, epochs=1))
    assert sent == [loss / share for (_, loss), share in zip(losses(folder), (2, 2, 1), strict=True)]


# ------------------------------------------------------------------------------------------------------ what ends a run


def test_early_stopping_ends_it_and_keeps_the_best(tmp_path: Path, scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = small(tmp_path, scenes, epochs=9, early_stop_patience=2, min_delta=100.0, quiet=False)
    folder = run(settings)
    assert len(events(folder, "epoch")) == 3  # the first is progress, then two without
    assert "has not become better for 2 epochs" in capsys.readouterr().err
    run(replace(settings, training=replace(settings.training, resume=True)))
    assert len(events(folder, "epoch")) == 3


@pytest.mark.parametrize(("steps", "epochs"), [(2, [0]), (3, [0]), (4, [0, 1])])
def test_a_run_that_its_steps_end_is_validated_and_keeps_its_best(
    tmp_path: Path, scenes: Path, steps: int, epochs: list[int]
) -> None:
    settings = small(tmp_path, scenes, max_steps=steps)
    folder = run(settings)
    best = load_artefact(folder / "best_model.pt").training
    assert best["epochs"] in epochs and best["lowest_val_loss"] == min(line["val_loss"] for line in events(folder, "epoch"))
    assert [line["step"] for line in events(folder, "epoch")] == sorted({min(3, steps) - 1, steps - 1})
    same = (folder / "log.jsonl").read_text("utf-8").count('"epoch"')
    run(replace(settings, training=replace(settings.training, resume=True)))
    assert (folder / "log.jsonl").read_text("utf-8").count('"epoch"') == same


def test_the_best_model_of_a_run_that_its_steps_ended_stays_the_best(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validated inside an epoch, it may be better than what the epochs' ends bring; which only these hear of."""
    settings = small(tmp_path, scenes, epochs=2, max_steps=4)
    scores = iter([2.5, 2.4, 2.45])
    monkeypatch.setattr(loop, "validate", lambda *_: next(scores))
    folder = run(settings)
    best = (folder / "best_model.pt").read_bytes()
    run(replace(settings, training=replace(settings.training, resume=True, max_steps=0)))
    assert (folder / "best_model.pt").read_bytes() == best
    assert load_artefact(folder / "best_model.pt").training["lowest_val_loss"] == 2.4
    assert read_model_file(folder / "last_model.pt")["checkpoint"]["stopping"]["best"] == 2.45


def test_a_model_that_is_too_large_for_memory_is_a_sentence(tmp_path: Path, scenes: Path) -> None:
    with pytest.raises(Problem, match="a model of these sizes does not fit into memory: lower --embed_size"):
        run(small(tmp_path, scenes, hidden_size=1 << 40))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("minutes", [0.0, 5.0])
def test_a_loss_that_is_not_finite_stops_it_and_leaves_the_last_good_checkpoint(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    settings = small(tmp_path, scenes, checkpoint_minutes=minutes, epochs=3)
    forward = run_room.TrainingModel.forward

    def runs_away(model: Any, batch: Any) -> Any:
        loss, tally = forward(model, batch)
        calls.append(model.training)
        return (loss * float("nan") if sum(calls) == 5 and model.training else loss), tally

    calls: list[bool] = []
    monkeypatch.setattr(run_room.TrainingModel, "forward", runs_away)
    with pytest.raises(Problem, match=r"the loss became nan near step \d, so training stopped; .* lower --learning_rate"):
        run(settings)
    last = read_model_file(tmp_path / "run" / "last_model.pt")
    assert last["checkpoint"]["position"]["step"] == (4 if minutes == 0 else 3)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run" / "last_model.pt").values())


@pytest.mark.parametrize(
    "said", ["CUDA out of memory. Tried to allocate 20.00 GiB.", "DefaultCPUAllocator: can't allocate memory"]
)
def test_too_large_a_batch_is_a_sentence(tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def fail(model: Any, batch: Any) -> Any:
        raise RuntimeError(said)

    monkeypatch.setattr(run_room.TrainingModel, "forward", fail)
    with pytest.raises(Problem, match=r"a batch of 4 pictures .* does not fit into memory: .* --batch_size"):
        run(small(tmp_path, scenes))


def test_a_rate_that_is_far_too_high_leaves_no_broken_model(tmp_path: Path, scenes: Path) -> None:
    """The loss of the only step is finite; what that step did to the weights shows in the validation."""
    settings = small(tmp_path, scenes, learning_rate=1e30, encoder_learning_rate=1e30, batch_size=10, grad_clip=0.0)
    with pytest.raises(Problem, match="so training stopped"):
        run(settings)
    assert not list((tmp_path / "run").glob("*.pt"))


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small(tmp_path, scenes, checkpoint_minutes=0.0)
    update = torch.optim.Adam.step

    def overflow(optimizer: Any, *arguments: Any, **more: Any) -> Any:
        done = update(optimizer, *arguments, **more)
        if optimizer.state[optimizer.param_groups[-1]["params"][0]]["step"] == 2:
            optimizer.param_groups[-1]["params"][0].data[0] = float("inf")
        return done

    monkeypatch.setattr(torch.optim.Adam, "step", overflow)
    with pytest.raises(Problem, match=r"the weights of decoder.* became infinite near step 2"):
        run(settings)
    assert read_model_file(tmp_path / "run" / "last_model.pt")["checkpoint"]["position"]["step"] == 1


# ---------------------------------------------------------------------------------------------------- broken pictures


def test_a_broken_picture_is_named_once_and_left_out(tmp_path: Path, copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = sorted((copied / "images" / "train").iterdir())[3]
    broken.write_bytes(b"no picture")
    folder = run(small(tmp_path, copied))
    assert capsys.readouterr().err.count(broken.name) == 1
    assert len(losses(folder)) == 6


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_exit_status_tells_that_pictures_were_left_out(
    tmp_path: Path, copied: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    _, *flags = command(small(tmp_path, copied, epochs=1, quiet=False))[1:]
    assert cli.main(flags) == 0
    next((copied / "images" / split).iterdir()).write_bytes(b"no picture")
    capsys.readouterr()
    assert cli.main([*flags, "--overwrite"]) == 1
    assert "Pictures that could not be read and were left out: 1 (each is named above)." in capsys.readouterr().err


def test_a_batch_of_broken_pictures_is_passed_over(tmp_path: Path, copied: Path) -> None:
    broken = sorted((copied / "images" / "train").iterdir())[3]
    broken.write_bytes(b"no picture")
    assert len(losses(run(small(tmp_path, copied, batch_size=1, epochs=1)))) == 9


def test_nothing_readable_is_a_problem(tmp_path: Path, copied: Path) -> None:
    for path in (copied / "images" / "train").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(Problem, match="no picture of the train split could be read"):
        run(small(tmp_path, copied))


# ------------------------------------------------------------------------------------------------------ what is refused


def test_a_folder_with_another_run_is_refused_unless_told(tmp_path: Path, scenes: Path) -> None:
    settings = small(tmp_path, scenes, epochs=1)
    folder = run(settings)
    with pytest.raises(WrongUse, match=r"run holds another run: go on with it \(--resume\), replace it \(--overwrite\)"):
        run(settings)
    run(replace(settings, training=replace(settings.training, overwrite=True, batch_size=10)))
    assert len(losses(folder)) == 1  # nothing is left of the other run's log


def test_a_log_of_another_program_is_left_alone(tmp_path: Path, scenes: Path) -> None:
    settings = small(tmp_path, scenes, epochs=1)
    log = settings.training.output_dir / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("theirs\n")
    with pytest.raises(WrongUse, match="run holds another run"):
        run(settings)
    assert log.read_text() == "theirs\n"


def test_a_run_whose_vocabulary_cannot_be_saved_leaves_no_run_behind(tmp_path: Path, scenes: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Problem, match=r"file cannot be written, for a file lies where a folder has to be"):
        run(small(tmp_path, scenes, epochs=1, vocab=tmp_path / "file" / "vocab.json"))
    run(small(tmp_path, scenes, epochs=1))


def test_a_run_goes_on_with_the_captions_it_began_with_only(tmp_path: Path, scenes: Path) -> None:
    """That its words are the same words says nothing."""
    data = Path(shutil.copytree(scenes, tmp_path / "scenes"))
    settings = small(tmp_path, data, max_steps=1, vocab=None)
    folder = run(settings)
    before = (folder / "last_model.pt").read_bytes(), (folder / "log.jsonl").read_bytes()
    file = data / "annotations" / "captions_train.json"
    content = json.loads(file.read_text("utf-8"))
    one, other = content["annotations"][0], content["annotations"][-1]
    one["image_id"], other["image_id"] = other["image_id"], one["image_id"]
    file.write_text(json.dumps(content), "utf-8")
    with pytest.raises(WrongUse, match="has other pictures or captions than it began with: bring those back"):
        run(replace(settings, training=replace(settings.training, resume=True, max_steps=0)))
    assert before == ((folder / "last_model.pt").read_bytes(), (folder / "log.jsonl").read_bytes())


def test_resuming_without_a_checkpoint_leaves_the_best_model(tmp_path: Path, scenes: Path) -> None:
    folder = run(small(tmp_path, scenes, epochs=1))
    best = (folder / "best_model.pt").read_bytes()
    (folder / "last_model.pt").unlink()
    with pytest.raises(WrongUse, match=r"holds best_model\.pt, but no last_model\.pt to go on from: start from that model"):
        run(small(tmp_path, scenes, epochs=1, resume=True))
    assert (folder / "best_model.pt").read_bytes() == best


def test_overwriting_leaves_no_checkpoint_of_the_other_run(tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before its first checkpoint, the new run begins anew when resumed, rather than go on with the old one."""
    run(small(tmp_path, scenes, epochs=1))
    settings = small(tmp_path, scenes, epochs=1, learning_rate=1e-3, overwrite=True)

    def die(running: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_room, "fit", die)
        run(settings)
    resumed = run(replace(settings, training=replace(settings.training, overwrite=False, resume=True)))
    same_run(resumed, run(small(tmp_path / "b", scenes, epochs=1, learning_rate=1e-3)))


def test_a_run_does_not_overwrite_the_model_that_it_starts_from(tmp_path: Path, scenes: Path) -> None:
    best = run(small(tmp_path, scenes, epochs=1)) / "best_model.pt"
    before = best.read_bytes()
    with pytest.raises(WrongUse, match=r"best_model\.pt would be removed by the run that starts from it"):
        run(small(tmp_path, scenes, epochs=1, overwrite=True, pretrained_path=best))
    assert best.read_bytes() == before


def test_a_resumed_run_sees_with_the_encoder_that_it_began_with(tmp_path: Path, scenes: Path) -> None:
    """The model that it started from may have been trained on meanwhile; its frozen encoder is the checkpoint's."""
    source = run(small(tmp_path / "source", scenes, epochs=1)) / "best_model.pt"
    still = {"unfrozen_groups": 0, "pretrained_path": source, "vocab": tmp_path / "source" / "vocab.json"}
    settings = small(tmp_path, scenes, **still, epochs=2, max_steps=3)
    run(settings)
    began_with = load_artefact(source).encoder
    run(small(tmp_path / "source", scenes, epochs=1, seed=5, overwrite=True))
    assert any(not torch.equal(tensor, load_artefact(source).encoder[name]) for name, tensor in began_with.items())
    folder = run(replace(settings, training=replace(settings.training, resume=True, max_steps=0)))
    now = load_artefact(folder / "best_model.pt").encoder
    assert all(torch.equal(tensor, now[name]) for name, tensor in began_with.items())


def test_other_settings_are_refused_when_resuming(tmp_path: Path, scenes: Path) -> None:
    run(small(tmp_path, scenes, epochs=1))
    changed = small(tmp_path, scenes, epochs=1, resume=True, learning_rate=1e-4, hidden_size=16)
    with pytest.raises(WrongUse) as caught:
        run(changed)
    sentence = str(caught.value)
    assert "training.learning_rate was 0.005 and is 0.0001" in sentence and "decoder.hidden_size was 8 and is 16" in sentence
    assert "settings.yaml" in sentence and "resume" not in sentence.split("but")[1].split(":")[0]


@pytest.mark.parametrize("content", ["", "[1]", "data: 3", "training: null", "a: [", "[" * 100_000])
def test_damaged_settings_of_a_run_are_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(Problem, match="damaged"):
        check_folder(tmp_path, {}, resume=True, overwrite=False)


def test_settings_that_do_not_touch_the_numbers_may_change(tmp_path: Path, scenes: Path) -> None:
    run(small(tmp_path, scenes, epochs=1))
    run(small(tmp_path, scenes, epochs=1, resume=True, checkpoint_minutes=1.0, quiet=True, early_stop_patience=9))
    run(small(tmp_path, scenes, epochs=2, resume=True))
    cosine = small(tmp_path / "b", scenes, epochs=1, schedule="cosine")
    run(cosine)
    with pytest.raises(WrongUse, match=r"training\.epochs was 1 and is 2"):  # the whole curve would have been another
        run(replace(cosine, training=replace(cosine.training, epochs=2, resume=True)))


def test_a_vocabulary_of_other_captions_is_refused_by_name(tmp_path: Path, scenes: Path) -> None:
    settings = small(tmp_path, scenes)
    save_vocab(build_vocabulary(["a dog", "a cat"], settings.vocabulary), settings.training.vocab)
    with pytest.raises(WrongUse, match=r"vocab\.json was made from other captions"):
        run(settings)
    assert not (tmp_path / "run").exists()


def test_a_run_whose_words_changed_is_not_gone_on_with(tmp_path: Path, scenes: Path) -> None:
    """Another vocabulary took the file's place: of as many words, and nobody knows from which captions."""
    settings = small(tmp_path, scenes, epochs=1)
    run(settings)
    words = load_vocab(settings.training.vocab).words
    save_vocab(Vocabulary((*words[:4], *words[:3:-1])), settings.training.vocab)
    with pytest.raises(WrongUse, match=r"has other words than .*vocab\.json now"):
        run(replace(settings, training=replace(settings.training, resume=True, epochs=2)))


DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another thing in its place": lambda content: content.update(checkpoint=5),
    "nothing in its place": lambda content: content.update(checkpoint={}),
    "no optimiser": lambda content: content["checkpoint"].update(optimizer={}),
    "no place": lambda content: content["checkpoint"].update(position={"epoch": "two"}),
    "no random state": lambda content: content["checkpoint"]["processes"][0].update(random={}),
    "no weights": lambda content: content["decoder"].clear(),
    "no checksum": lambda content: content.pop("vocabulary_checksum"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_a_sentence(tmp_path: Path, scenes: Path, damage: Callable[[dict[str, Any]], Any]) -> None:
    settings = small(tmp_path, scenes, epochs=1)
    last = run(settings) / "last_model.pt"
    content = torch.load(last, weights_only=True)
    damage(content)
    torch.save(content, last)
    with pytest.raises(
        Problem, match=r"last_model\.pt .*(this run cannot be gone on with: start from its best model|from its maker)"
    ):
        run(replace(settings, training=replace(settings.training, resume=True, epochs=2)))


@pytest.mark.parametrize("best", [True, False])
def test_a_cut_off_checkpoint_tells_how_to_go_on(tmp_path: Path, scenes: Path, best: bool) -> None:
    settings = small(tmp_path, scenes, epochs=1)
    folder = run(settings)
    (folder / "last_model.pt").write_bytes((folder / "last_model.pt").read_bytes()[:-1000])
    if not best:
        (folder / "best_model.pt").unlink()
    with pytest.raises(Problem, match=r"last_model\.pt cannot be read as a model: it is cut off") as caught:
        run(replace(settings, training=replace(settings.training, resume=True)))
    assert "its maker" not in str(caught.value) and str(caught.value).endswith("anew (--overwrite).")
    assert (f"--pretrained_path {folder / 'best_model.pt'} with another --output_dir" in str(caught.value)) is best


def test_a_model_without_a_runs_state_is_not_gone_on_with(tmp_path: Path, scenes: Path) -> None:
    settings = small(tmp_path, scenes, epochs=1)
    folder = run(settings)
    shutil.copy(folder / "best_model.pt", folder / "last_model.pt")
    with pytest.raises(Problem, match=r"last_model\.pt is a model, not a checkpoint"):
        run(replace(settings, training=replace(settings.training, resume=True)))
