"""The benchmarks compare like with like: both ways give the same, and the figures beside them are what they say."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import decoding, made_up, memory, timing
from benchmarks.__main__ import run
from benchmarks.cases import CASES
from benchmarks.machine import Limits, processor_seconds, seconds
from benchmarks.table import Row, into, table
from benchmarks.textbook.decoder import TextbookDecoder
from benchmarks.textbook.pictures import load
from benchmarks.textbook.search import beam_search
from benchmarks.timing import Case, Pair, Times, in_turns, operations
from showtell.model.decoder import Decoder
from showtell.model.options import DecoderOptions
from showtell.pictures import PictureOptions, open_picture, shape
from showtell.search import SearchOptions, search
from showtell.vocabulary import END, PAD, START


@pytest.mark.parametrize("seed", range(8))
def test_the_textbooks_search_finds_what_ours_finds(seed: int) -> None:
    torch.manual_seed(seed)
    decoder = Decoder(DecoderOptions(5, 7, 4), 12, 6).eval()
    with torch.no_grad():
        decoder.output.vocabulary.weight.mul_(9)  # so that the words differ clearly
    textbook = TextbookDecoder(5, 7, 4, 6, 12).load_from(decoder)
    grid = torch.randn(3, 4, 6)
    never = decoding.NEVER_SAID
    with torch.inference_mode():
        options = SearchOptions(beam_size=3, max_length=5, length_penalty=0.0)
        ours = search(decoder.step, decoder.start(grid), torch.full((3, 1), START), options, end=END, forbidden=never)
    theirs = [beam_search(textbook, each, 3, longest=5, shortest=5) for each in grid]
    assert [list(result.best.words) for result in ours] == theirs
    assert all(len(words) == 5 for words in theirs)


@pytest.mark.parametrize("bf16", [False, True])
def test_both_training_steps_change_the_weights_alike(monkeypatch: pytest.MonkeyPatch, bf16: bool) -> None:
    sizes = {"PICTURES": 2, "CAPTIONS": 2, "VOCABULARY": 12, "CHANNELS": 6}
    for name, size in sizes.items():
        monkeypatch.setattr(decoding, name, size)
    models: list[torch.nn.Module] = []
    for kind in ("our_step", "textbook_step"):
        real = getattr(decoding, kind)
        monkeypatch.setattr(decoding, kind, lambda model, *rest, real=real: (models.append(model), real(model, *rest))[1])
    pair = decoding.training_step(cells=3, copies=4, bf16=bf16)(torch.device("cpu"))
    textbook, ours = sorted(models, key=lambda model: isinstance(model, Decoder))
    ours.output.dropout.p = 0.0  # type: ignore[attr-defined]
    pair.baseline(), pair.ours()
    translated = TextbookDecoder(512, 512, 512, 6, 12).load_from(ours)  # type: ignore[arg-type]
    moved = dict(translated.named_parameters())
    for name, parameter in textbook.named_parameters():
        if not name.startswith("embedding"):  # <pad> has no vector of its own with us
            # Adam's first step moves every weight by the rate, so that the smallest gradients decide as much as the largest
            far = (moved[name] - parameter).abs() > 1e-4
            assert far.float().mean() < (0.1 if bf16 else 0.01), name


def test_both_looks_have_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "PICTURES", 2)
    pair = decoding.one_look(torch.device("cpu"))
    for one, other in zip(pair.baseline(), pair.ours(), strict=True):  # type: ignore[call-overload]
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("device", "goal"), [("cpu", 6.0), ("cuda", 10.0)])
def test_a_gpu_has_a_goal_of_its_own(device: str, goal: float) -> None:
    case = Case("some", "other", lambda device: Pair(lambda: None, lambda: None), 6.0, 10.0)
    assert run("some", case, torch.device(device), Limits(1.0, 1.0, 1.0), 1, False, time.perf_counter).goal == goal


def test_made_up_captions_come_longest_first() -> None:
    words, lengths = made_up.captions(6, 3, 50, shortest=2, longest=5)
    assert words.shape == (6, 3, 7) and lengths.min() >= 4 and lengths.max() <= 7
    assert (lengths[:, 0].diff() <= 0).all() and (lengths.diff(dim=1) <= 0).all()
    for caption, length in zip(words.flatten(0, 1).tolist(), lengths.flatten().tolist(), strict=True):
        assert caption[0] == START and caption[length - 1] == END
        assert all(word > END + 1 for word in caption[1 : length - 1]) and set(caption[length:]) <= {PAD}


def test_both_see_the_same_photograph(tmp_path: Path) -> None:
    """The textbook's is normalised, and neither resizes quite as the other does."""
    path, options = made_up.photographs(tmp_path, 1)[0], PictureOptions()
    ours = torch.from_numpy(shape(open_picture(path, options), options)[0]).permute(2, 0, 1) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    assert (load(path) * std + mean - ours).abs().mean() < 0.02


def test_operations_are_those_of_the_products() -> None:
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert operations(lambda: a @ b) == 2 * 3 * 4 * 5


def test_the_share_is_of_the_limit_that_is_nearer() -> None:
    limits = Limits(float32=100.0, bf16=200.0, bandwidth=50.0)
    assert limits.share(operations=60.0, size=10.0, seconds=1.0, precision="float32") == pytest.approx(0.6)
    assert limits.share(operations=60.0, size=10.0, seconds=1.0, precision="bf16") == pytest.approx(0.3)
    assert limits.share(operations=0.0, size=10.0, seconds=0.5, precision="float32") == pytest.approx(0.4)


def test_a_long_first_call_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "seconds", lambda way, clock: way())
    called: list[str] = []
    times = in_turns(Pair(lambda: (called.append("baseline"), 60.0)[1], lambda: (called.append("ours"), 2.0)[1]), turns=2)
    assert called == ["baseline", "ours", "ours", "ours", "baseline"]
    assert times.ratios == [30.0, 30.0]


def test_processor_time_is_not_spent_by_waiting() -> None:
    assert seconds(lambda: time.sleep(0.2), processor_seconds) < 0.1 < seconds(lambda: time.sleep(0.2))


def test_turns_alternate_and_the_first_does_not_count() -> None:
    called: list[str] = []
    times = in_turns(Pair(lambda: called.append("baseline"), lambda: called.append("ours")), turns=2)
    assert called == ["baseline", "ours", "baseline", "ours", "ours", "baseline"]
    assert len(times.baseline) == len(times.ours) == 2


def test_the_ratio_is_the_median_of_the_turns() -> None:
    times = Times([2.0, 9.0, 8.0], [1.0, 3.0, 1.0])
    assert times.ratios == [2.0, 3.0, 8.0] and times.ratio == 3.0


def test_memory_is_what_the_call_takes_beyond_its_preparations(monkeypatch: pytest.MonkeyPatch) -> None:
    megabytes = 300

    def make(device: torch.device) -> Pair:
        held = torch.ones(100 * 2**18)  # 100 MiB that do not count
        return Pair(lambda: held.sum(), lambda: torch.ones(megabytes * 2**18).sum())

    monkeypatch.setitem(CASES, "some", Case("", "", make))
    assert memory._peak_here("some", "ours", "cpu") > 0.9 * megabytes * 2**20
    if sys.platform == "linux":
        assert memory._peak_here("some", "baseline", "cpu") < 50 * 2**20


def test_a_table_goes_into_a_document_and_nothing_else_changes(tmp_path: Path) -> None:
    row = Row("step", "a step", "textbook", 6.0, "cpu", [2.0, 4.0], [0.5, 0.5], 6.0, 8_000_000, 1_000_000, 0.25)
    document = tmp_path / "speed.md"
    document.write_text("before\n\n<!-- bench cpu -->\nold\n<!-- end -->\n\nafter\n<!-- bench cuda -->\nstays\n<!-- end -->\n")
    for _ in range(2):
        into(document, "cpu", table([row]))
    lines = document.read_text().splitlines()
    assert "| a step | textbook | 3 | 0.5 | 6.00 | 2 | 6 | 8 | 1 | 25% |" in lines
    assert lines[0] == "before" and "old" not in lines and "after" in lines and "stays" in lines
    assert lines.count("<!-- end -->") == 2
