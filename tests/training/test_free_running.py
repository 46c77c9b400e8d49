"""Validation by the model's own captions: what is logged, what it equals, and that best model and stopping can follow it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from training_kit import events, run, small, went_on_as

from showtell.data.readers import read_records
from showtell.data.splits import split_records
from showtell.errors import WrongUse
from showtell.metrics import score
from showtell.model.artefact import load_artefact
from showtell.model.captioner import Captioner
from showtell.search import SearchOptions
from showtell.settings import TrainSettings, fill
from showtell.training import loop


def test_the_logged_scores_are_those_of_the_models_captions(tmp_path: Path, scenes: Path) -> None:
    """The last epoch's, as the saved model's (the moving average's) greedy captions are scored by `showtell.metrics`."""
    settings = small(tmp_path, scenes, ema=0.5)
    folder = run(settings)
    last = events(folder, "epoch")[-1]
    records = split_records(read_records(settings.data), settings.data, 0).val
    captioner = Captioner.from_pretrained(folder / "last_model.pt", "cpu")
    said = [captioner.caption(record.path, SearchOptions(search="greedy")).text for record in records]
    expected = score(said, [record.captions for record in records])
    assert last["val_cider"] == pytest.approx(expected["CIDEr-D"].value, abs=1e-9)
    assert last["val_bleu4"] == pytest.approx(expected["BLEU-4"].value, abs=1e-9)


def test_cached_features_are_captioned_alike(tmp_path: Path, scenes: Path) -> None:
    cached = events(run(small(tmp_path / "a", scenes, freeze_encoder=True)), "epoch")
    opened = events(run(small(tmp_path / "b", scenes, freeze_encoder=True, cache_features=False, augment=False)), "epoch")
    assert [e["val_bleu4"] for e in cached] == pytest.approx([e["val_bleu4"] for e in opened], abs=0.02)  # half precision


def test_only_so_many_pictures_are_captioned_and_training_is_the_same(tmp_path: Path, scenes: Path) -> None:
    none = run(small(tmp_path / "none", scenes, scored_pictures=0))
    some = run(small(tmp_path / "some", scenes, scored_pictures=2))
    assert "val_cider" not in events(none, "epoch")[0]
    assert [e["val_loss"] for e in events(none, "epoch")] == [e["val_loss"] for e in events(some, "epoch")]


@pytest.mark.parametrize(("monitor", "name"), [("cider", "highest_val_cider"), ("bleu4", "highest_val_bleu4")])
def test_the_best_model_can_follow_the_captions(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], monitor: str, name: str
) -> None:
    """Scores that rise, fall and stay, while the loss does as it likes: the second epoch is the best, two more are waited."""
    rising = iter([0.1, 0.3, 0.2, 0.3])
    monkeypatch.setattr(
        "showtell.training.free_running.FreeRunning.scores", lambda *_: dict.fromkeys(("val_cider", "val_bleu4"), next(rising))
    )
    folder = run(small(tmp_path, scenes, monitor=monitor, epochs=9, early_stop_patience=2, quiet=False))
    assert len(events(folder, "epoch")) == 4
    best = load_artefact(folder / "best_model.pt").training
    assert (best["epochs"], best[name]) == (2, 0.3)
    assert f"{loop.MONITORED[monitor]} has not become better for 2 epochs" in capsys.readouterr().err  # type: ignore[index]


def test_a_run_that_follows_captions_goes_on_as_if_it_had_not_stopped(tmp_path: Path, scenes: Path) -> None:
    """Stopped in the second epoch, so that the best score comes from the checkpoint."""
    settings = small(tmp_path / "whole", scenes, monitor="cider")
    whole = run(settings)
    stopped = small(tmp_path / "stopped", scenes, monitor="cider", max_steps=4)
    run(stopped)
    went_on_as(run(replace(stopped, training=replace(stopped.training, max_steps=0, resume=True))), whole)


def test_following_what_is_not_measured_is_refused() -> None:
    with pytest.raises(WrongUse, match="scored_pictures is 0"):
        fill(TrainSettings(), ["--monitor", "cider", "--scored_pictures", "0"], prog="showtell train")
