"""From captions or a model to scores on the disk and the screen; and two evaluations compared."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_floors import without

from showtell import cli
from showtell.captioning.provenance import provenance_path
from showtell.errors import Problem
from showtell.evaluation.results import load_result
from showtell.metrics import score

SAID = {"a.jpg": "a dog runs", "b.jpg": "a cat sits on a mat", "c.jpg": "a red bus"}
KNOWN = {
    "a.jpg": ["A dog runs.", "the dog is running"],
    "b.jpg": ["A cat sits on the mat", "one cat"],
    "c.jpg": ["A red bus on the road.", "a bus"],
}
CHEAP = ["--metrics", "bleu", "rouge", "cider"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `references.csv` (three pictures of val, one of train) and `said.json`."""
    monkeypatch.chdir(tmp_path)
    with Path("references.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "split", "caption"])
        writer.writerows([name, "val", caption] for name, captions in KNOWN.items() for caption in captions)
        writer.writerow(["d.jpg", "train", "A dog runs"])
    write(SAID)
    return tmp_path


def write(captions: dict[str, str], name: str = "said.json") -> None:
    results = [{"image": image, "caption": caption} for image, caption in captions.items()]
    Path(name).write_text(json.dumps(results), encoding="utf-8")


def evaluate(*flags: str, predictions: str = "said.json") -> int:
    return cli.main(["evaluate", "--predictions", predictions, "--annotations", "references.csv", *CHEAP, *flags])


# ----------------------------------------------------------------------------------------------------------- predictions


@pytest.mark.usefixtures("here")
def test_scores_are_those_of_the_metrics_room(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate() == 0
    expected = score(list(SAID.values()), list(KNOWN.values()))
    result = load_result(Path("evaluation"))
    for each in expected.scores:
        assert result.scores[each.name]["value"] == pytest.approx(each.value)
    assert result.pictures["b.jpg"]["CIDEr-D"] == pytest.approx(expected["CIDEr-D"].per_picture[1])
    assert result.pictures["b.jpg"]["references"] == KNOWN["b.jpg"]
    assert result.pictures["a.jpg"]["bleu_counts"] == [3, 2, 1, 0, 3, 3]
    assert result.diversity["novel"] == pytest.approx(2 / 3)  # "a dog runs" stands in train
    assert "data:references.csv/val" in result.scores["CIDEr-D"]["signature"]
    told = capsys.readouterr().out
    row = next(line for line in told.splitlines() if line.startswith("CIDEr-D "))
    assert row.split() == ["CIDEr-D", f"{100 * (expected['CIDEr-D'].value or 0):.1f}"]
    captions = [json.loads(line) for line in Path("evaluation/captions.jsonl").read_text("utf-8").splitlines()]
    assert captions[0] == {"image_id": "a.jpg", "image": "a.jpg", "caption": "a dog runs"}


@pytest.mark.usefixtures("here")
def test_the_protocol_tells_everything() -> None:
    assert evaluate("--tokens", "words", "--quiet") == 0
    protocol = json.loads(Path("evaluation/scores.json").read_text("utf-8"))["protocol"]
    assert protocol["predictions"]["name"] == "said.json" and len(protocol["predictions"]["sha256"]) == 64
    assert (protocol["pictures"], protocol["references"], protocol["references_per_picture"]) == (3, 6, "2")
    assert (protocol["data"], protocol["split"], protocol["tokens"]) == ("references.csv", "val", "words")
    assert set(protocol["versions"]) == {"showtell", "python", "numpy"}


@pytest.mark.usefixtures("here")
def test_scores_are_not_replaced_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate() == 0
    assert evaluate() == 2
    assert "--overwrite" in capsys.readouterr().err
    assert evaluate("--overwrite") == 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["captions.jsonl", "pictures.jsonl", "scores.json"])
def test_the_file_that_is_scored_is_never_replaced(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("evaluation").mkdir()
    file = Path("evaluation") / name
    file.write_bytes(Path("said.json").read_bytes())
    for flags in ((), ("--overwrite",)):
        assert evaluate(*flags, predictions=str(file)) == 2
        assert "would be replaced" in capsys.readouterr().err
    assert evaluate() == 2  # nor is another's, unasked
    assert name in capsys.readouterr().err
    assert file.read_bytes() == Path("said.json").read_bytes()


@pytest.mark.usefixtures("here")
def test_references_are_never_replaced_nor_what_is_not_ours(
    captioning: Callable[[int], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    captioning(0)
    Path("model.pt").write_bytes(b"weights")
    Path("a.jpg").touch()
    rows = [json.dumps({"image": name, "caption": captions}) for name, captions in KNOWN.items()]
    Path("pictures.jsonl").write_text("\n".join(rows))
    model = ["evaluate", "--model", "model.pt", "--output_dir", ".", *CHEAP]
    for flags in ([], ["--overwrite"]):
        assert cli.main([*model, "--annotations", "pictures.jsonl", *flags]) == 2
        assert "pictures.jsonl would be replaced" in capsys.readouterr().err
        assert evaluate("--annotations", "pictures.jsonl", "--output_dir", ".", *flags) == 2
        assert "pictures.jsonl would be replaced" in capsys.readouterr().err
    assert cli.main([*model, "--annotations", "references.csv"]) == 2
    assert ". holds pictures.jsonl already" in capsys.readouterr().err
    Path("set").mkdir()
    shutil.copy("pictures.jsonl", "set")
    for data in ("set", "set/pictures.jsonl"):
        flags = ["--data", data, "--output_dir", "set", "--overwrite", *CHEAP]
        assert cli.main(["evaluate", "--model", "model.pt", *flags]) == 2
        assert "pictures.jsonl would be replaced" in capsys.readouterr().err
    provenance_path(Path("captions.jsonl")).write_text("{}")  # somebody captioned here, and did not evaluate
    assert cli.main([*model, "--annotations", "references.csv"]) == 2
    assert ". holds pictures.jsonl already" in capsys.readouterr().err
    assert Path("pictures.jsonl").read_text() == "\n".join(rows)


@pytest.mark.usefixtures("here")
def test_the_signature_tells_other_references_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--output_dir", "one") == 0
    table = Path("references.csv").read_text("utf-8")
    Path("references.csv").write_text(table.replace("A red bus", "The red bus"), "utf-8")
    assert evaluate("--output_dir", "two") == 0
    first, second = (load_result(Path(name)).scores["BLEU-4"]["signature"] for name in ("one", "two"))
    assert first != second and re.sub("#[0-9a-f]{8}", "", first) == re.sub("#[0-9a-f]{8}", "", second)
    assert evaluate("--output_dir", "three", "--metrics", "bleu") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("BLEU-4 is bleu4|bp:closest|")


@pytest.mark.usefixtures("here")
def test_empty_captions_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    write(SAID | {"a.jpg": " "})
    assert evaluate() == 0
    assert "1 captions are empty." in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_place_that_cannot_be_written_is_named_before_scoring(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").write_text("a file")
    assert evaluate("--output_dir", "taken") == 3
    said = capsys.readouterr().err
    assert "taken cannot be written, for a file lies where a folder has to be" in said and "Scoring" not in said


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes")
@pytest.mark.usefixtures("here")
def test_captions_from_a_pipe_have_no_checksum() -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(Path("said.json").read_bytes()))
    writer.start()
    assert evaluate(predictions="pipe") == 0
    writer.join()
    assert load_result(Path("evaluation")).protocol["predictions"] == {"name": "pipe", "sha256": None}


@pytest.mark.usefixtures("here")
def test_the_same_pictures_under_other_ids_are_compared_by_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--output_dir", "one") == 0
    lines = [json.loads(line) for line in Path("one/pictures.jsonl").read_text("utf-8").splitlines()]
    shutil.copytree("one", "two")
    numbered = [json.dumps(line | {"image_id": number}) for number, line in enumerate(lines)]
    Path("two/pictures.jsonl").write_text("\n".join(numbered), "utf-8")
    capsys.readouterr()
    assert cli.main(["compare", "one/scores.json", "two/pictures.jsonl", "--draws", "100"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("3 pictures") and told.splitlines()[1].split()[:2] == ["one", "two"]


@pytest.mark.usefixtures("here")
def test_signs_that_python_takes_for_ends_of_lines_are_no_ends_of_lines() -> None:
    lines = [{"image": image, "caption": caption.replace(" ", "\u2028", 1)} for image, caption in SAID.items()]
    Path("said.jsonl").write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    assert evaluate("--output_dir", "one", predictions="said.jsonl") == 0
    assert load_result(Path("one")).pictures["a.jpg"]["caption"] == "a\u2028dog runs"
    assert cli.main(["compare", "one", "one", "--draws", "100"]) == 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("content", ['{"model": 1, "search": 2}', "[" * 100_000, '{"model": null}'])
def test_damaged_settings_beside_the_captions_are_passed_over(content: str) -> None:
    Path("said.json.settings.json").write_text(content, encoding="utf-8")
    assert evaluate() == 0
    assert load_result(Path("evaluation")).protocol["search"] is None


@pytest.mark.usefixtures("here")
def test_missing_and_unknown_pictures_are_named_or_counted(capsys: pytest.CaptureFixture[str]) -> None:
    write({"a.jpg": "a dog"})
    assert evaluate() == 2
    assert "lacks captions of 2 of 3 pictures (b.jpg, c.jpg)" in capsys.readouterr().err
    write(SAID | {"z.jpg": "who knows"})
    assert evaluate() == 2
    assert "captions of 1 pictures that the references do not have (z.jpg)" in capsys.readouterr().err
    write({"a.jpg": "a dog", "z.jpg": "who knows", "d.jpg": "of train"})
    assert evaluate("--partial") == 1
    assert "2 pictures of the split have no caption" in capsys.readouterr().err
    left_out = load_result(Path("evaluation")).protocol["left_out"]
    assert left_out == {"without_caption": 2, "without_references": 1, "of_other_splits": 1, "said_twice": 0}
    write({"z.jpg": "who knows"})
    assert evaluate("--partial", "--overwrite") == 2
    assert "No caption of said.json" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_without_model_and_predictions_there_is_nothing_to_score(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "--annotations", "references.csv"]) == 2
    assert "--model" in capsys.readouterr().err
    assert evaluate("--model", "model.pt") == 2


@pytest.mark.usefixtures("here")
def test_collapsed_captions_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("references.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"{number}.jpg,test,a caption\n" for number in range(30))
    write({f"{number}.jpg": "a man" for number in range(30)})
    assert evaluate("--split", "test", "--quiet") == 0
    assert 'Warning: Captions have collapsed: "a man"' in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_chinese_in_english_tokens_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    Path("references.csv").write_text("image,caption\na.jpg,一只狗在跑\n", encoding="utf-8")
    write({"a.jpg": "一只狗"})
    assert evaluate("--quiet") == 0
    assert "try --tokens characters" in capsys.readouterr().err
    assert evaluate("--quiet", "--overwrite", "--tokens", "characters") == 0
    assert capsys.readouterr().err == ""
    assert load_result(Path("evaluation")).pictures["a.jpg"]["bleu_counts"] == [3, 2, 1, 0, 3, 5]


def test_predictions_need_no_torch(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(cli.__file__).parents[1])
    program = "from showtell.cli import main; sys.exit(main())"
    flags = [f"--predictions={here / 'said.json'}", f"--annotations={here / 'references.csv'}", f"--output_dir={here / 'out'}"]
    done = without({"torch", "torchvision"}, program, "evaluate", *flags, *CHEAP)
    assert done.returncode == 0, done.stderr


def test_the_public_example_from_its_own_files(shared: Path, tmp_path: Path) -> None:
    """The results of the public scorer's example, as they were published, against COCO annotations."""
    coco = shared / "data/coco"
    with gzip.open(coco / "fakecap_tokenized.json.gz") as file:
        tokenised = json.load(file)["gts"]
    pictures = [{"id": int(i), "file_name": f"COCO_val2014_{int(i):012d}.jpg"} for i in tokenised]
    annotations = [
        {"id": number, "image_id": int(i), "caption": text}
        for number, (i, text) in enumerate((i, text) for i, texts in tokenised.items() for text in texts)
    ]
    references = tmp_path / "captions_val2014.json"
    references.write_text(json.dumps({"images": pictures, "annotations": annotations}), encoding="utf-8")
    flags = ["--annotations", str(references), "--output_dir", str(tmp_path / "out"), "--quiet", *CHEAP]
    assert cli.main(["evaluate", "--predictions", str(coco / "fakecap_results.json"), *flags]) == 0
    found = load_result(tmp_path / "out").scores
    assert [round(found[name]["value"], 3) for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D")] == [
        0.579, 0.404, 0.279, 0.191, 0.396, 0.600,
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------- model


@pytest.fixture
def captioning(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Any]]:
    """Puts something in the place of captioning that says SAID and ends with a status; gives what it was asked."""

    def put(status: int) -> list[Any]:
        asked: list[Any] = []

        def caption_pictures(options: Any, search: Any) -> int:
            from showtell.captioning.provenance import provenance, save_provenance

            asked.append((options, search))
            print("captions on standard output, which belongs to the scores")
            save_provenance(provenance(options.model, search, None), options.output)
            lines = [{"image": image, "caption": SAID[Path(image).name], "model": "m"} for image in options.image]
            if status == 1:
                lines[-1] = {"image": options.image[-1], "error": "it is broken"}
            options.output.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            return status

        monkeypatch.setattr("showtell.captioning.run.caption_pictures", caption_pictures)
        return asked

    return put


@pytest.mark.parametrize("status", [0, 1])
def test_a_model_captions_the_split_and_is_scored(
    here: Path, captioning: Callable[[int], list[Any]], capsys: pytest.CaptureFixture[str], status: int
) -> None:
    asked = captioning(status)
    (here / "evaluation").mkdir()
    (here / "model.pt").write_bytes(b"weights")
    (here / "a.jpg").touch()  # pictures are looked for, not opened
    flags = ["--model", "model.pt", "--annotations", "references.csv", "--beam_size", "3", "--batch_size", "7", *CHEAP]
    assert cli.main(["evaluate", *flags]) == status
    ((options, search),) = asked
    assert [Path(image).name for image in options.image] == ["a.jpg", "b.jpg", "c.jpg"]
    assert (options.model, options.batch_size, search.beam_size) == (Path("model.pt"), 7, 3)
    result = load_result(here / "evaluation")
    assert result.protocol["model"]["name"] == "model.pt" and len(result.protocol["model"]["sha256"]) == 64
    assert result.protocol["search"]["beam_size"] == 3
    assert "|search:beam3|" in result.scores["BLEU-4"]["signature"]
    assert len(result.pictures) == 3 - status
    assert "captions on standard output" not in capsys.readouterr().out


def test_who_scores_a_model_on_data_without_splits_is_warned(
    here: Path, captioning: Callable[[int], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    captioning(0)
    (here / "evaluation").mkdir()
    (here / "model.pt").write_bytes(b"weights")
    (here / "a.jpg").touch()
    rows = [f'{name},"{caption}"\n' for name, captions in KNOWN.items() for caption in captions]
    (here / "undivided.csv").write_text("".join(["image,caption\n", *rows]), "utf-8")
    for flags, warned in (["undivided.csv"], True), (["references.csv", "--overwrite"], False):
        assert cli.main(["evaluate", "--model", "model.pt", *CHEAP, "--annotations", *flags]) == 0
        assert ("all 3 pictures are scored" in capsys.readouterr().err) == warned


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_itself_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "loop.json").symlink_to("loop.json")
    assert cli.main(["evaluate", "--predictions", "loop.json", "--annotations", "references.csv", *CHEAP]) != 0
    assert re.search(r"^showtell: .*loop\.json", capsys.readouterr().err, re.MULTILINE)


def test_captions_of_a_stranger_are_not_the_models_whose_place_they_take(
    here: Path, captioning: Callable[[int], list[Any]]
) -> None:
    captioning(0)
    (here / "evaluation").mkdir()
    (here / "model.pt").write_bytes(b"weights")
    (here / "a.jpg").touch()
    common = ["--annotations", "references.csv", *CHEAP]
    assert cli.main(["evaluate", "--model", "model.pt", *common]) == 0
    assert cli.main(["evaluate", "--predictions", "said.json", "--overwrite", *common]) == 0
    predictions = str(here / "evaluation" / "captions.jsonl")
    assert cli.main(["evaluate", "--predictions", predictions, "--output_dir", "again", *common]) == 0
    assert load_result(here / "again").protocol["model"] is None


def test_no_scores_stand_beside_captions_that_they_are_not_of(
    here: Path, captioning: Callable[[int], list[Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted while it replaces an evaluation, it goes on when called without --overwrite, as the screen says."""
    captioning(0)
    (here / "evaluation").mkdir()
    (here / "model.pt").write_bytes(b"weights")
    (here / "a.jpg").touch()
    flags = ["evaluate", "--model", "model.pt", "--annotations", "references.csv", *CHEAP]
    assert cli.main(flags) == 0
    before = {path.name: path.read_bytes() for path in (here / "evaluation").iterdir()}
    assert cli.main(["evaluate", "--model", "nowhere.pt", *flags[3:], "--overwrite"]) == 3
    assert {path.name: path.read_bytes() for path in (here / "evaluation").iterdir()} == before

    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("showtell.captioning.run.caption_pictures", interrupted)
        assert cli.main([*flags, "--overwrite"]) == 130
    assert not {"scores.json", "pictures.jsonl"} & {path.name for path in (here / "evaluation").iterdir()}
    assert cli.main(flags) == 0


def test_a_model_that_reads_no_picture_is_a_problem(here: Path, captioning: Callable[[int], list[Any]]) -> None:
    from showtell.data.options import DataOptions
    from showtell.evaluation.options import EvaluationOptions
    from showtell.evaluation.run import evaluate as run
    from showtell.metrics import MetricOptions
    from showtell.search import SearchOptions

    captioning(3)
    (here / "evaluation").mkdir()
    (here / "model.pt").write_bytes(b"weights")
    (here / "a.jpg").touch()
    with pytest.raises(Problem, match="None of the 3 pictures"):
        run(
            EvaluationOptions(model=Path("model.pt")),
            DataOptions(annotations=Path("references.csv")),
            MetricOptions(),
            SearchOptions(),
        )


# --------------------------------------------------------------------------------------------------------------- compare


@pytest.mark.usefixtures("here")
def test_two_systems_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--output_dir", "one") == 0
    write(SAID | {"a.jpg": "two men", "c.jpg": "a red bus on the road"}, "other.json")
    assert evaluate("--output_dir", "two", predictions="other.json") == 0
    capsys.readouterr()
    assert cli.main(["compare", "one", "two/scores.json", "--changed", "1"]) == 0
    told = capsys.readouterr()
    assert told.err == ""  # the same protocol
    lines = told.out.splitlines()
    one, two = load_result(Path("one")), load_result(Path("two"))
    (row,) = [line for line in lines if line.startswith("CIDEr-D ")]
    before, after = one.scores["CIDEr-D"]["value"], two.scores["CIDEr-D"]["value"]
    assert row.split()[1:4] == [f"{100 * before:.1f}", f"{100 * after:.1f}", f"{100 * (after - before):+.1f}"]
    assert "1 captions became better by CIDEr-D:" in told.out and "1 captions became worse by CIDEr-D:" in told.out
    assert "      a red bus\n   -> a red bus on the road\n      people: A red bus on the road." in told.out
    assert "      a dog runs\n   -> two men\n      people: A dog runs." in told.out


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "odd",
    [{"references": []}, {"references": 5}, {"image": None}, {"caption": 5}, {"CIDEr-D": 1e400}, {"bleu_counts": [10**400] * 6}],
)
def test_odd_scores_are_damaged(odd: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--output_dir", "one") == 0
    lines = Path("one/pictures.jsonl").read_text("utf-8").splitlines()
    Path("one/pictures.jsonl").write_text("\n".join([json.dumps(json.loads(lines[0]) | odd), *lines[1:]]), "utf-8")
    assert cli.main(["compare", "one", "one"]) == 3
    assert "holds damaged scores" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_split_that_is_no_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for split in (5, ["val"], None):
        Path("list.json").write_text(json.dumps({"images": [{"filename": "a.jpg", "split": split}]}))
        assert evaluate("--split_list", "list.json") == 2
        assert "list.json is no split list" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_cells_of_any_length_are_read() -> None:
    with Path("said.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("image", "caption", "candidates"), *((name, text, 200_000 * "x") for name, text in SAID.items())]
        )
    assert evaluate(predictions="said.csv") == 0


@pytest.mark.usefixtures("here")
def test_control_characters_of_strangers_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--output_dir", "one") == 0
    write(SAID | {"a.jpg": "two \x1b]0;owned\x07 men\nall is well"}, "other.json")
    assert evaluate("--output_dir", "two", predictions="other.json") == 0
    write({"a.jpg": "two", "x/a.jpg": "\x1b[2J men"}, "twice.json")
    assert cli.main(["compare", "one", "two"]) == 0
    assert evaluate("--output_dir", "three", predictions="twice.json") == 2
    said = "".join(capsys.readouterr())
    assert "two \\x1b]0;owned\\x07 men\\nall is well" in said and "\\x1b[2J men" in said
    assert "\x1b" not in said and "\x07" not in said


@pytest.mark.usefixtures("here")
def test_other_protocols_are_compared_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--output_dir", "one") == 0
    write({"a.jpg": "a dog"})
    assert evaluate("--output_dir", "two", "--tokens", "words", "--partial") == 1
    capsys.readouterr()
    assert cli.main(["compare", "one", "two"]) == 0
    warned = capsys.readouterr().err
    assert "pictures (3, 1)" in warned and "tokens (ptb, words)" in warned and "references_sha256" in warned
    assert "2 pictures were scored in one of the two only; the 1 others are compared" in warned


@pytest.mark.usefixtures("here")
def test_another_search_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("one", "two"):
        assert evaluate("--output_dir", folder) == 0
        scores = json.loads(Path(folder, "scores.json").read_text("utf-8"))
        scores["protocol"]["search"] = {"search": "beam" if folder == "one" else "greedy", "beam_size": 5}
        Path(folder, "scores.json").write_text(json.dumps(scores), "utf-8")
    capsys.readouterr()
    assert cli.main(["compare", "one", "two"]) == 0
    assert "under different protocols: search (beam, greedy)." in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_what_cannot_be_compared_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--output_dir", "one") == 0
    assert cli.main(["compare", "one"]) == 2
    assert cli.main(["compare", "one", "nowhere"]) == 2
    assert "There are no scores at nowhere" in capsys.readouterr().err
    Path("two").mkdir()
    for content in ("{}", '{"format": "showtell scores", "version": 9}'):
        Path("two/scores.json").write_text(content, encoding="utf-8")
        assert cli.main(["compare", "one", "two"]) == 2
    for content in (
        "{",
        "[" * 100_000,
        '{"format": "showtell scores", "version": 1, "scores": [], "diversity": {}, "protocol": null}',
    ):
        Path("two/scores.json").write_text(content, encoding="utf-8")
        Path("two/pictures.jsonl").write_text("", encoding="utf-8")
        assert cli.main(["compare", "one", "two"]) == 3
        assert "damaged" in capsys.readouterr().err
    Path("two/scores.json").write_bytes(Path("one/scores.json").read_bytes())
    whole = '{"image_id": "a.jpg", "caption": "a dog", "references": ["a dog"]'
    for line in (
        '{"image_id": "a.jpg", "caption": "a dog"}',
        whole + ', "bleu_counts": [1, 2]}',
        whole + ', "bleu_counts": [3, 2, 1, 0, 3, "3"]}',
        whole + ', "CIDEr-D": "high"}',
    ):
        Path("two/pictures.jsonl").write_text(f"{line}\n", encoding="utf-8")
        assert cli.main(["compare", "one", "two"]) == 3
        assert "damaged" in capsys.readouterr().err
