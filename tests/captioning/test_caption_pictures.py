"""From options to captions: what is written, what is said, and with which exit status."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import os
import subprocess
import sys
from math import exp
from pathlib import Path
from typing import Any

import fake_captioner
import pytest
from fake_captioner import BROKEN, WHOLE, Caption, FakeCaption, FakeCaptioner
from PIL import Image

import showtell
from showtell.captioning.options import CaptioningOptions
from showtell.captioning.run import caption_pictures
from showtell.errors import Problem, WrongUse
from showtell.pictures import PictureOptions
from showtell.search import SearchOptions

PACKAGE = Path(showtell.__file__).parent


def records(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


# --------------------------------------------------------------------------------------------------------------- records


def test_jsonl_holds_a_record_a_picture(caption: Caption) -> None:
    assert caption("photos", output="out.jsonl", search=SearchOptions(n_best=2)) == 1
    by_image = {record["image"]: record for record in records("out.jsonl")}
    assert list(by_image) == sorted([*WHOLE, BROKEN])
    assert list(by_image[BROKEN]) == ["image", "error"] and BROKEN in by_image[BROKEN]["error"]
    record = by_image["photos/c_003.png"]  # its brightness is 36
    assert list(record) == ["image", "caption", "words", "logprobs", "confidence", "candidates", "model"]
    assert record["caption"] == "A “black” thing" and record["words"] == ["a", "black"] and record["model"] == "model.pt"
    assert record["logprobs"] == [-0.1, round(-36 / 255, 6), -0.333333]
    assert record["confidence"] == pytest.approx(exp(sum(record["logprobs"]) / 3), abs=2e-6)
    assert record["candidates"][0] == {key: record[key] for key in ("caption", "words", "logprobs", "confidence")}
    assert [each["caption"] for each in record["candidates"]] == ["A “black” thing", "A “dark” thing"]
    assert "“" in Path("out.jsonl").read_text(encoding="utf-8")  # not \u201c


def test_guesses_and_labels_stand_beside_the_captions(
    caption: Caption, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = (("espresso", 0.9), ("cup", 0.05), ("tray", 0.01))
    say = FakeCaptioner._caption
    monkeypatch.setattr(
        FakeCaptioner, "_caption", lambda *picture: dataclasses.replace(say(*picture), guess=picture[1] > 100, labels=seen)
    )
    assert caption("photos/f_006.png", "photos/a_001.png", output="out.jsonl", labels=2) == 0
    assert capsys.readouterr().out.splitlines() == [
        "photos/f_006.png: A “grey” thing  (0.72, a guess)  [espresso 0.90, cup 0.05]",
        "photos/a_001.png: A “black” thing  (0.87)  [espresso 0.90, cup 0.05]",
    ]
    labels = [{"label": "espresso", "probability": 0.9}, {"label": "cup", "probability": 0.05}]
    assert [(record["guess"], record["labels"]) for record in records("out.jsonl")] == [(True, labels), (False, labels)]
    assert caption("photos/f_006.png", output="out.csv", labels=1) == 0
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["guess"], json.loads(row["labels"]), row["error"]) == ("True", labels[:1], "")
    assert caption("photos/a_001.png", output="none.jsonl", labels=0) == 0
    assert "labels" not in records("none.jsonl")[0]


def test_several_languages(caption: Caption, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    say = FakeCaptioner._caption

    def both(self: FakeCaptioner, brightness: float, n_best: int) -> FakeCaption:
        first = say(self, brightness, n_best)
        other = dataclasses.replace(first, text="Ein Ding", words=("ein", "Ding"), guess=True)
        return dataclasses.replace(first, languages={"en": first, "de": other})

    monkeypatch.setattr(FakeCaptioner, "_caption", both)
    assert caption("photos/sub", output="out.jsonl", attention="figures") == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "photos/sub/a_001.png: A “bright” thing  (0.68)",
        "    de: Ein Ding  (0.68, a guess)",
    ]
    record = records("out.jsonl")[0]
    said = {key: record[key] for key in ("caption", "words", "logprobs", "confidence", "candidates")}
    assert record["languages"] == {"en": said, "de": said | {"caption": "Ein Ding", "words": ["ein", "Ding"], "guess": True}}
    figures = sorted(path.relative_to("figures").as_posix() for path in Path("figures").rglob("*.jpg"))
    assert figures == ["a_001.jpg", "de/a_001.jpg", "de/z.jpg", "z.jpg"]
    assert caption("photos/sub", output="out.csv") == 0
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        assert json.loads(next(csv.DictReader(file))["languages"])["de"]["caption"] == "Ein Ding"


def test_a_missing_figure_of_any_language_is_drawn_again(caption: Caption, monkeypatch: pytest.MonkeyPatch) -> None:
    say = FakeCaptioner._caption

    def both(self: FakeCaptioner, brightness: float, n_best: int) -> FakeCaption:
        first = say(self, brightness, n_best)
        return dataclasses.replace(first, languages={"en": first, "de": first})

    monkeypatch.setattr(FakeCaptioner, "_caption", both)
    monkeypatch.setattr("showtell.captioning.run.is_box", lambda model: True)
    monkeypatch.setattr("showtell.captioning.run.find_in_box", lambda model: {"en": Path(), "de": Path()})
    assert caption("photos/sub", output="out.jsonl", attention="figures") == 0
    for name in ("figures/de/z.jpg", "figures/a_001.jpg"):
        Path(name).unlink()
        assert caption("photos/sub", output="out.jsonl", attention="figures") == 0
        assert Path(name).exists()


def test_pixels_are_limited_by_who_captions(caption: Caption, captioner: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """24 x 20 of them; a model of a stranger may allow any number, but not beyond ours."""
    assert caption("photos/a_001.png", max_pixels=479) == 3
    assert "more than max_pixels (479) allows" in capsys.readouterr().err
    assert caption("photos/a_001.png", max_pixels=480) == 0
    captioner.pictures = PictureOptions(picture_size=16, max_pixels=10**18)
    Image.new("L", (20_000, 10_001)).save("photos/large.png")
    assert caption("photos/large.png") == 3
    assert "more than max_pixels (200,000,000) allows" in capsys.readouterr().err


def test_csv_holds_the_same(caption: Caption) -> None:
    assert caption("photos", output="out.csv") == caption("photos", output="out.jsonl") == 1
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = records("out.jsonl")
    assert [row["image"] for row in rows] == [record["image"] for record in expected]
    for row, record in zip(rows, expected, strict=True):
        assert row["error"] == record.get("error", "") and row["caption"] == record.get("caption", "")
        if row["image"] != BROKEN:
            assert [json.loads(row[key]) for key in ("words", "logprobs", "candidates", "confidence")] == [
                record[key] for key in ("words", "logprobs", "candidates", "confidence")
            ]


def test_coco_results_take_ids_from_names(caption: Caption) -> None:
    assert caption("photos/*.*", "missing_42.jpg", output="out.json") == 1
    results = json.loads(Path("out.json").read_bytes())
    assert [list(result) for result in results] == [["image_id", "caption"]] * 5
    assert [result["image_id"] for result in results] == [1, 3, 4, 5, 6]  # not 2, which is broken
    assert not Path("out.json.part").exists()


def test_coco_results_take_ids_from_annotations(caption: Caption, here: Path) -> None:
    images = [{"file_name": "sub/z.png", "id": 7}, {"file_name": "a_001.png", "id": 391895}]
    Path("annotations.json").write_text(json.dumps({"images": images}))
    assert caption("photos/a_001.png", "photos/sub/z.png", output="out.json", annotations="annotations.json") == 0
    assert [result["image_id"] for result in json.loads(Path("out.json").read_bytes())] == [391895, 7]
    with pytest.raises(WrongUse, match=r"photos/c_003\.png is not in the annotations"):
        caption("photos/c_003.png", output="other.json", annotations="annotations.json")


def test_coco_results_refuse_before_captioning(caption: Caption, captioner: Any) -> None:
    with pytest.raises(WrongUse, match=r"photos/sub/z\.png has no image_id.*--annotations"):
        caption("photos/sub/z.png", output="out.json")
    with pytest.raises(WrongUse, match=r"photos/sub/a_001\.png has the same image_id, 1, as photos/a_001\.png"):
        caption("photos/a_001.png", "photos/sub/a_001.png", output="out.json")
    assert captioner.seen == [] and not Path("out.json").exists() and not Path("out.json.part").exists()
    names = "photos/a_001.png\nphotos/sub/z.png\nphotos/sub/a_001.png\n"
    assert caption("-", stdin=names, output="out.json") == 1  # known only as they come, so skipped
    assert [result["image_id"] for result in json.loads(Path("out.json").read_bytes())] == [1]


NO_ANNOTATIONS = {
    "an empty object": b"{}", "a list": b"[]", "a beginning": b"{", "no file_name": b'{"images": [{"id": 1}]}', "nothing": b"",
    "too deep": 10**5 * b"[", "no text": b"\xff", "damaged gzip": gzip.compress(b"{}")[:10] + b"\xff",
}  # fmt: skip


@pytest.mark.parametrize("content", NO_ANNOTATIONS.values(), ids=NO_ANNOTATIONS.keys())
def test_annotations_that_are_none(caption: Caption, content: bytes) -> None:
    Path("annotations.json").write_bytes(content)
    with pytest.raises(Problem, match=r"annotations\.json holds no COCO annotations"):
        caption("photos", output="out.json", annotations="annotations.json")


# ---------------------------------------------------------------------------------------------- the screen and the status


def test_captions_are_said_in_the_order_of_the_pictures(caption: Caption, capsys: pytest.CaptureFixture[str]) -> None:
    assert caption("photos/f_006.png", "photos/a_001.png", search=SearchOptions(n_best=2)) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "photos/f_006.png: A “grey” thing  (0.72)",
        "    A “bright” thing  (0.51)",
        "photos/a_001.png: A “black” thing  (0.87)",
        "    A “dark” thing  (0.62)",
    ]
    assert said.err.splitlines()[0] == "Captions by model.pt, from model.pt."
    assert said.err.splitlines()[1].startswith("Captioned 2 pictures, ")
    assert len(said.err.splitlines()) == 2


def test_what_is_skipped_is_named_and_counted(caption: Caption, capsys: pytest.CaptureFixture[str]) -> None:
    assert caption("photos", "nowhere.jpg", "*.webp", output="out.jsonl", attention="maps") == 1
    said = capsys.readouterr().err
    skips = [line for line in said.splitlines() if "Skipped: " in line]
    assert len(skips) == 3 and all(any(name in line for line in skips) for name in (BROKEN, "nowhere.jpg", "*.webp"))
    summary = said.splitlines()[-1]
    assert summary.startswith("Captioned 7 pictures, ") and "skipped 3" in summary
    assert "the captions are in out.jsonl" in summary and "the figures are in maps" in summary
    assert records("out.jsonl")[-1]["image"] == "nowhere.jpg"


def test_a_progress_bar_only_for_more_than_a_few(caption: Caption, capsys: pytest.CaptureFixture[str]) -> None:
    caption("photos/sub")
    assert "captioning:" not in capsys.readouterr().err
    for number in range(10):
        Image.new("RGB", (8, 8)).save(f"photos/{number}.png")
    caption("photos")
    assert "18/18" in capsys.readouterr().err


def test_quiet_names_only_what_is_skipped(caption: Caption, capsys: pytest.CaptureFixture[str]) -> None:
    assert caption("photos", quiet=True) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and BROKEN in said.err


def test_a_forbidden_word_that_the_model_does_not_have_is_named(caption: Caption, capsys: pytest.CaptureFixture[str]) -> None:
    assert caption("photos/sub/z.png", search=SearchOptions(forbid=("<unk>", "white", "Grey", "purple"))) == 0
    assert "model.pt has no word Grey or purple to be forbidden: see how its captions write it.\n" in capsys.readouterr().err
    caption("photos/sub/z.png", search=SearchOptions(forbid=("white",)))
    assert "forbidden" not in capsys.readouterr().err


@pytest.mark.parametrize("images", [[BROKEN], ["nowhere.jpg"], ["*.webp"], [BROKEN, "https://example.org/a.jpg"], ["-"]])
def test_nothing_readable(caption: Caption, images: list[str]) -> None:
    assert caption(*images, output="out.jsonl") == 3


def test_control_characters_in_names_do_not_reach_the_terminal(caption: Caption, capsys: pytest.CaptureFixture[str]) -> None:
    assert caption("photos/a_001.png", "evil\x1b[2J.jpg") == 1
    assert "\x1b[2J" not in capsys.readouterr().err


def test_an_id_of_many_digits_is_none(caption: Caption) -> None:
    name = f"photos/{5000 * '1'}.png"
    with pytest.raises(WrongUse, match="has no image_id, for its name does not end in digits, at most 18"):
        caption(name, output="out.json")
    assert caption("-", stdin=f"photos/a_001.png\n{name}\n", output="out.json") == 1


def test_a_name_that_cannot_be_one_is_skipped_with_figures_too(caption: Caption) -> None:
    """As `find -print0 | showtell caption -` has it."""
    assert caption("-", stdin="photos/a_001.png\nx\0y.png\n", output="out.jsonl", attention="maps") == 1
    assert len(list(Path("maps").iterdir())) == 1


def test_control_characters_in_words_do_not_reach_the_terminal(
    caption: Caption, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_captioner, "WORDS", ("\x1b]0;owned\x07", *fake_captioner.WORDS[1:4], "می\u200cرود"))
    caption("photos/a_001.png", "photos/sub/z.png")
    said = capsys.readouterr().out
    assert "\\x1b]0;owned\\x07" in said and "\x1b" not in said
    assert "می\u200cرود" in said


def test_wrong_use(here: Path) -> None:
    with pytest.raises(WrongUse, match=r"the box does not speak tlh: .*--model"):
        caption_pictures(CaptioningOptions(image=("a.jpg",), language="tlh"), SearchOptions())
    with pytest.raises(WrongUse, match="No picture"):
        caption_pictures(CaptioningOptions(model=Path("model.pt")), SearchOptions())
    with pytest.raises(Problem, match=r"no model at gone\.pt"):
        caption_pictures(CaptioningOptions(image=("a.jpg",), model=Path("gone.pt")), SearchOptions())


def test_options_that_do_not_fit() -> None:
    wrong = CaptioningOptions(
        batch_size=0, workers=-1, output=Path("out.txt"), annotations=Path("a.json"), labels=11, language="en", model=Path("m.pt")
    )
    found = [problem.split()[0] for problem in wrong.problems()]
    assert found == ["batch_size", "labels", "language", "workers", "output", "annotations"]
    assert CaptioningOptions(language="en", model=Path("box")).problems() == []
    assert CaptioningOptions(model=Path()).problems() == []
    assert [problem.split()[0] for problem in CaptioningOptions(language="", max_pixels=0).problems()] == [
        "language",
        "max_pixels",
    ]
    (several,) = CaptioningOptions(language="en,de", output=Path("out.json")).problems()
    assert several.startswith("language is en,de, but COCO results hold one")
    assert CaptioningOptions(model=Path("box/en,de"), output=Path("out.json")).problems() == [several]
    assert CaptioningOptions(model=Path("mine/en,de"), output=Path("out.json")).problems() == []
    assert CaptioningOptions(output=Path("out.json"), annotations=Path("a.json")).problems() == []
    (same,) = CaptioningOptions(output=Path("out.json"), annotations=Path("x/../out.json")).problems()
    assert "output is out.json, the annotations themselves" in same


def test_no_torch_before_a_model_is_needed(here: Path) -> None:
    code = "import sys; from showtell.cli import main; status = main(); sys.exit(99 if 'torch' in sys.modules else status)"
    program = [sys.executable, "-c", code, "caption", "*.webp", "--model", "model.pt"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path])}
    done = subprocess.run(program, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "No picture matches *.webp." in done.stderr


def test_too_large_a_batch_is_a_sentence(caption: Caption, captioner: Any) -> None:
    for error in (RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB."), MemoryError()):
        captioner.error = error
        with pytest.raises(Problem, match="lower batch_size"):
            caption("photos")
    captioner.error = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        caption("photos")


# --------------------------------------------------------------------------------------------------- batches and figures


@pytest.mark.parametrize("workers", [0, 1, 5])
def test_batches_hold_readable_pictures(caption: Caption, captioner: Any, workers: int) -> None:
    assert caption("photos", workers=workers, output="out.jsonl") == 1
    assert captioner.seen == [2, 2, 2, 1]
    assert [record["image"] for record in records("out.jsonl")] == sorted([*WHOLE, BROKEN])


def test_a_figure_a_picture(caption: Caption) -> None:
    assert caption("photos", attention="maps") == 1
    names = sorted(path.name for path in Path("maps").iterdir())
    assert [name for name in names if "-" not in name] == [
        f"{name}.jpg" for name in ("a_001", "c_003", "d_004", "e_005", "f_006", "z")
    ]
    assert len(names) == 7  # the second a_001 has digits after its name
    with Image.open("maps/z.jpg") as figure:
        figure.load()
        assert figure.format == "JPEG" and figure.width > 400


def test_a_figure_shows_what_the_model_saw_of_a_large_picture(
    caption: Caption, captioner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner.pictures = dataclasses.replace(captioner.pictures, fit="crop")
    drawn: list[Any] = []

    def draw(picture: Image.Image, words: Any, maps: Any, seen: Any, *, title: str, note: str) -> Image.Image:
        drawn.append((picture.size, words, maps.shape, seen, title, note))
        return picture

    monkeypatch.setattr("showtell.captioning.figures.attention_figure", draw)
    Image.new("RGB", (2000, 1000)).save("photos/wide.png")
    assert caption("photos/wide.png", attention="maps") == 0
    size, words, maps, seen, title, note = drawn[0]
    assert size == (768, 384) and words == ("a", "black") and maps == (2, 4, 4)
    assert seen == pytest.approx((192, 0, 576, 384))  # the middle square
    assert title == "A “black” thing" and note == "wide.png · model.pt · confidence 0.87"


def test_a_figure_that_cannot_be_drawn_costs_no_caption(
    caption: Caption, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise Problem("No font here has these characters; install one.")

    monkeypatch.setattr("showtell.captioning.figures.attention_figure", refuse)
    assert caption("photos/sub/z.png", attention="maps", output="out.jsonl") == 1
    told = capsys.readouterr().err
    assert "Captioned, but not drawn: the figure of photos/sub/z.png: No font" in told
    assert "Captioned 1 picture" in told and "1 figure is missing" in told and "skipped" not in told.lower()
    assert records("out.jsonl")[0]["caption"]


def test_figures_that_cannot_be_written(caption: Caption) -> None:
    Path("maps").write_text("a file")
    with pytest.raises(Problem, match="maps"):
        caption("photos", attention="maps", output="out.jsonl")


# --------------------------------------------------------------------------------------------------------- the real model


def test_with_a_real_model_a_batch_says_what_its_pictures_say(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from showtell.model.artefact import Artefact, save_artefact
    from showtell.model.captioner import Caption as RealCaption
    from showtell.model.captioner import Captioner
    from showtell.model.decoder import Decoder
    from showtell.model.encoder import Encoder
    from showtell.model.options import DecoderOptions, EncoderOptions
    from showtell.pictures import PictureOptions
    from showtell.vocabulary import VocabularyOptions, build_vocabulary

    assert [field.name for field in dataclasses.fields(RealCaption)] == [field.name for field in dataclasses.fields(FakeCaption)]
    torch.manual_seed(0)
    vocabulary = build_vocabulary(["a dog runs on the grass", "a red ball lies there"], VocabularyOptions(min_frequency=1))
    encoder = Encoder(EncoderOptions(encoder="tiny", encoder_weights="none"), picture_size=32)
    decoder = Decoder(DecoderOptions(embed_size=8, hidden_size=16, attention_dim=8), len(vocabulary), encoder.channels)
    save_artefact(Artefact.of(encoder, decoder, vocabulary, PictureOptions(picture_size=32)), Path("tiny.pt"))

    search = SearchOptions(max_length=6, beam_size=3, n_best=2)
    options = CaptioningOptions(image=("photos",), model=Path("tiny.pt"), output=Path("out.jsonl"), batch_size=3, device="cpu")
    assert caption_pictures(options, search) == 1
    captioner = Captioner.from_pretrained("tiny.pt", "cpu")
    for record in records("out.jsonl"):
        if record["image"] != BROKEN:
            alone = captioner.caption(record["image"], search)
            assert record["caption"] == alone.text and record["words"] == list(alone.words) and record["model"] == "tiny.pt"
            assert record["logprobs"] == pytest.approx(alone.log_probabilities, abs=1e-4)
            assert [each["caption"] for each in record["candidates"]] == [each.text for each in alone.candidates]
    assert capsys.readouterr().out.count("\n") == 2 * len(WHOLE)
