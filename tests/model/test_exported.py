"""A captioner exported to ONNX says what torch says, on a machine without torch, and believes nothing that its folder tells."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_floors import without

from showtell.data.scenes import ScenesOptions, write_scenes
from showtell.errors import Problem, WrongUse
from showtell.model.artefact import Artefact, save_artefact
from showtell.model.captioner import Caption, Captioner
from showtell.model.config import GRAPHS
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.export import export
from showtell.model.exported import ExportedCaptioner
from showtell.model.hub import load_model
from showtell.model.onnx_file import Graph, threads
from showtell.model.options import DecoderOptions, EncoderOptions, ExportOptions
from showtell.model.quantization import calibration_pixels
from showtell.model.torch_captioner import TorchCaptioner
from showtell.pictures import PictureOptions
from showtell.search import SearchOptions
from showtell.vocabulary import Vocabulary, save_vocab

onnx = pytest.importorskip("onnx", reason="writing graphs needs the extra `export` (onnx, onnxscript)")
pytest.importorskip("onnxscript", reason="writing graphs needs the extra `export` (onnx, onnxscript)")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    return write_scenes(ScenesOptions(folder, train=1, val=8, test=1, test_new=1, workers=1, quiet=True))


@pytest.fixture(scope="module")
def drawn(scenes: Path) -> list[Path]:
    return sorted((scenes / "images" / "val").iterdir())


def save(captioner: TorchCaptioner, path: Path) -> Path:
    about = {"training": {"data": "scenes", "epochs": 3}}
    artefact = Artefact.of(captioner.encoder, captioner.decoder, captioner.vocabulary, captioner.pictures, **about)
    save_artefact(artefact, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(captioner: TorchCaptioner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(captioner, tmp_path_factory.mktemp("checkpoint") / "best_model.pt")


@pytest.fixture(scope="module")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small captioner, exported once for all tests; none of them changes it."""
    options = ExportOptions(
        checkpoint, output_dir=tmp_path_factory.mktemp("exported"), model_name="mine", format="onnx", quiet=True
    )
    return export(options)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """Its folder, to be broken."""
    return Path(shutil.copytree(folder, tmp_path / "mine"))


def seal(folder: Path, **changes: Any) -> None:
    """Makes config.json name the graphs that are there, as a stranger would who changed them; with other settings too."""
    content = json.loads((folder / "config.json").read_bytes())
    content["graphs"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in GRAPHS}
    (folder / "config.json").write_text(json.dumps(content | changes), "utf-8")


# ------------------------------------------------------------------------------------------------- the same as torch


def same(one: Captioner, other: Captioner, pictures: list[Path], options: SearchOptions) -> None:
    for a, b in zip(one.caption(list(pictures), options), other.caption(list(pictures), options), strict=True):
        assert len(a.candidates) == len(b.candidates) == options.n_best
        for ours, theirs in zip(a.candidates, b.candidates, strict=True):
            assert (ours.text, ours.words, ours.ended) == (theirs.text, theirs.words, theirs.ended)
            np.testing.assert_allclose(ours.log_probabilities, theirs.log_probabilities, atol=1e-4)
            np.testing.assert_allclose(ours.attention, theirs.attention, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        SearchOptions(n_best=3, max_length=8),
        SearchOptions(search="greedy", max_length=8),
        SearchOptions(search="sample", n_best=3, max_length=8, seed=5),
    ],
    ids=lambda options: options.search,
)
def test_it_says_and_looks_as_torch_does(
    captioner: TorchCaptioner, folder: Path, drawn: list[Path], options: SearchOptions
) -> None:
    exported = Captioner.from_pretrained(folder)
    assert isinstance(exported, ExportedCaptioner) and exported.name == "mine"
    assert (exported.vocabulary, exported.pictures) == (captioner.vocabulary, captioner.pictures)
    assert exported.training == {"data": "scenes", "epochs": 3}
    assert len({caption.text for caption in exported.caption(list(drawn), options)}) > 1
    same(exported, captioner, drawn, options)


def test_a_models_own_rule_of_repetition_holds_unless_the_search_has_one(
    captioner: TorchCaptioner, checkpoint: Path, copy: Path, drawn: list[Path], tmp_path: Path
) -> None:
    def twice(found: list[Caption]) -> bool:
        return any(len(set(caption.words)) < len(caption.words) for caption in found)

    artefact = load_model(checkpoint)
    options = replace(artefact.decoder_options, no_repeat_ngram=1)
    save_artefact(replace(artefact, decoder_options=options), tmp_path / "strict.pt")
    seal(copy, architecture={"encoder": asdict(artefact.encoder_options), "decoder": asdict(options)})
    free = captioner.caption(list(drawn), SearchOptions(max_length=8))
    for model in (tmp_path / "strict.pt", copy):
        strict = Captioner.from_pretrained(model)
        assert twice(free) and not twice(strict.caption(list(drawn), SearchOptions(max_length=8)))
        released = strict.caption(list(drawn), SearchOptions(max_length=8, no_repeat_ngram=0))
        assert [caption.words for caption in released] == [caption.words for caption in free]


@pytest.mark.slow
def test_a_pooled_resnet_with_a_deep_decoder_is_the_same_too(vocabulary: Vocabulary, drawn: list[Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = Encoder(EncoderOptions("resnet18", "none", stride_in_1x1=False), 64)
    shape = DecoderOptions(embed_size=7, hidden_size=8, attention_dim=9, grid_size=10, word_query=True, deep_output=True)
    decoder = Decoder(shape, len(vocabulary), encoder.channels)
    pooled = TorchCaptioner(encoder, decoder, vocabulary, PictureOptions(picture_size=64, fit="crop"))
    options = ExportOptions(save(pooled, tmp_path / "pooled.pt"), output_dir=tmp_path, format="onnx", quiet=True)
    exported = Captioner.from_pretrained(export(options))
    assert exported.grid_shape == encoder.grid_shape and exported.grid_shape.copies == 4
    same(exported, pooled, drawn, SearchOptions(n_best=2, max_length=5))


def test_a_batch_gives_what_its_pictures_give_one_by_one(folder: Path, drawn: list[Path]) -> None:
    exported, options = Captioner.from_pretrained(folder), SearchOptions(max_length=6)
    assert [caption.words for caption in exported.caption(list(drawn), options)] == [
        exported.caption(path, options).words for path in drawn
    ]
    assert exported.caption([]) == [] and exported.caption_pixels(np.zeros((0, 32, 32, 3), np.uint8)) == []


def test_a_folder_is_whole_and_knows_nothing_of_its_maker(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted([*GRAPHS, "README.md", "config.json", "vocab.json"])
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    for path in folder.iterdir():
        assert b"stack_trace" not in path.read_bytes() and str(ROOT).encode() not in path.read_bytes()
    assert json.loads((folder / "config.json").read_bytes())["precision"] == "float32"


# ------------------------------------------------------------------------------------------------- smaller graphs


@pytest.fixture
def traced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs that were traced already, since tracing takes seconds."""
    monkeypatch.setattr("showtell.model.graphs.trace", lambda *_: {name: onnx.load(folder / name) for name in GRAPHS})


def test_half_precision_rounds_weights_and_nothing_else(
    checkpoint: Path, folder: Path, drawn: list[Path], traced: None, tmp_path: Path
) -> None:
    half = export(ExportOptions(checkpoint, output_dir=tmp_path, format="onnx", half=True, quiet=True))
    assert (half / "encoder.onnx").stat().st_size < 0.6 * (folder / "encoder.onnx").stat().st_size
    assert json.loads((half / "config.json").read_bytes())["precision"] == "float16"
    options = SearchOptions(search="greedy", max_length=1)  # one word, for rounding adds up
    rounded, exact = (Captioner.from_pretrained(path).caption(list(drawn), options) for path in (half, folder))
    for a, b in zip(rounded, exact, strict=True):
        assert a.words == b.words
        np.testing.assert_allclose(a.log_probabilities, b.log_probabilities, atol=0.05)


def test_int8_is_smaller_and_looks_at_much_the_same(
    checkpoint: Path, folder: Path, drawn: list[Path], traced: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ExportOptions(checkpoint, output_dir=tmp_path, format="onnx", quantize="int8", calibration=drawn[0].parent)
    int8 = export(small)
    assert f"{int8 / 'encoder.onnx'}  " in capsys.readouterr().out
    assert (int8 / "encoder.onnx").stat().st_size < 0.4 * (folder / "encoder.onnx").stat().st_size
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    rough, exact = (Captioner.from_pretrained(path).encoder(pixels)[0] for path in (int8, folder))  # type: ignore[attr-defined]
    assert np.corrcoef(rough.ravel(), exact.ravel())[0, 1] > 0.98
    pixels[0] //= 8  # ranges of its own
    captioner, search = Captioner.from_pretrained(int8), SearchOptions(max_length=5)
    for together, shown in zip(captioner.caption_pixels(pixels, search), pixels, strict=True):
        (alone,) = captioner.caption_pixels(shown[None], search)
        assert alone.words and alone.words == together.words
        np.testing.assert_allclose(alone.log_probabilities, together.log_probabilities, atol=1e-4)


@pytest.mark.parametrize("count", [3, 128, 200])
def test_calibration_sees_pictures_of_the_whole_folder(tmp_path: Path, count: int) -> None:
    """In a folder in order, the first hundred may all be of one kind."""
    for number in range(count):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number:03}.png")
    reds = calibration_pixels(tmp_path, PictureOptions(picture_size=32))[:, 0, 0, 0].astype(int)
    assert (reds[0], reds[-1], len(reds)) == (0, count - 1, min(count, 128))
    assert np.diff(reds).max() <= 2 * np.diff(reds).min()


def test_calibration_needs_pictures(checkpoint: Path, traced: None, tmp_path: Path) -> None:
    empty, out = tmp_path / "empty", tmp_path / "out"
    empty.mkdir()
    options = ExportOptions(checkpoint, output_dir=out, format="onnx", quantize="int8", calibration=empty)
    with pytest.raises(Problem, match=r"empty holds no pictures"):
        export(options)
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantize": "int8"}, "format must be onnx"),
        ({"quantize": "int8", "format": "onnx"}, "calibration, a folder of pictures"),
        ({"calibration": Path("photos"), "format": "onnx"}, "go together"),
        ({"quantize": "int8", "format": "onnx", "half": True, "calibration": Path("photos")}, "choose one of them"),
    ],
)
def test_options_that_cannot_be_are_named(changes: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in replace(ExportOptions(), **changes).problems())


# ------------------------------------------------------------------------------------------------- without torch

WITHOUT = {"torch", "torchvision", "onnx", "onnxscript", "safetensors", "timm"}
CAPTION = "from showtell.cli import main; sys.exit(main())"
INFERENCE = (
    f"import runpy; sys.path.insert(0, {str(ROOT)!r}); runpy.run_path({str(ROOT / 'inference.py')!r}, run_name='__main__')"
)


def test_it_captions_where_torch_cannot_be_imported(
    captioner: TorchCaptioner, folder: Path, drawn: list[Path], tmp_path: Path
) -> None:
    command = ["caption", *map(str, drawn), "--model", str(folder), "--n_best", "2", "--max_length", "6"]
    figures = ["--attention", str(tmp_path / "figures"), "--output", str(tmp_path / "captions.jsonl")]
    done = without(WITHOUT, CAPTION, *command, *figures)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text("utf-8").splitlines()]
    expected = captioner.caption(list(drawn), SearchOptions(n_best=2, max_length=6))
    assert [record["words"] for record in records] == [list(caption.words) for caption in expected]
    assert [record["confidence"] for record in records] == pytest.approx([each.confidence for each in expected], abs=1e-4)
    assert {len(record["candidates"]) for record in records} == {2} and {record["model"] for record in records} == {"mine"}
    assert len(list((tmp_path / "figures").iterdir())) == len(drawn)
    done = without(WITHOUT, INFERENCE, *command[1:], "--output", str(tmp_path / "captions.csv"))
    assert done.returncode == 0, done.stderr
    with (tmp_path / "captions.csv").open(newline="", encoding="utf-8") as file:
        assert [row["caption"] for row in csv.DictReader(file)] == [record["caption"] for record in records]


def test_it_is_scored_where_torch_cannot_be_imported(folder: Path, scenes: Path, tmp_path: Path) -> None:
    command = ["evaluate", "--model", str(folder), "--data", str(scenes), "--split", "val", "--metrics", "bleu", "cider"]
    done = without(WITHOUT, CAPTION, *command, "--output_dir", str(tmp_path / "scores"))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "scores" / "scores.json").read_bytes())["protocol"]["pictures"] == 8


# ------------------------------------------------------------------------------------------------- broken and hostile


def rewritten(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Changes a graph as a stranger would, checksum and all."""

    def act(folder: Path) -> None:
        model = onnx.load(folder / name)
        change(model)
        (folder / name).write_bytes(model.SerializeToString())
        seal(folder)

    return act


def external(model: Any) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")


def external_in_a_node(model: Any) -> None:
    weight = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["w"], value=weight))


def operator(kind: str, domain: str = "") -> Callable[[Any], None]:
    return lambda model: model.graph.node.append(onnx.helper.make_node(kind, ["x"], ["y"], domain=domain))


def nested(model: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Hide", ["x"], ["y"], body=body))


def function(model: Any) -> None:
    model.functions.add(name="f", domain="mine")


def huge(model: Any) -> None:
    model.graph.initializer.add(name="huge", data_type=1, dims=[1 << 40])


def other_output(model: Any) -> None:
    model.graph.output[0].name = "something"
    model.graph.node[-1].output[0] = "something"


def cut(name: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        seal(folder)

    return act


def changed(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: seal(folder, **changes)


def told(**changes: Any) -> Callable[[Path], None]:
    """Other sizes in config.json."""

    def act(folder: Path) -> None:
        sizes = json.loads((folder / "config.json").read_bytes())["sizes"]
        seal(folder, sizes=sizes | changes)

    return act


def written(name: str, content: bytes, sealed: bool = True) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / name).write_bytes(content)
        if sealed:
            seal(folder)

    return act


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    **{f"no {name}": (lambda folder, name=name: (folder / name).unlink(), f"{name} is not in it") for name in (*GRAPHS, "config.json", "vocab.json")},  # noqa: E501
    **{f"half of {name}": (cut(name), "is refused: it is cut off or damaged") for name in GRAPHS},
    "empty": (written("step.onnx", b""), "is refused"),
    "text": (written("step.onnx", b"import os; os.system('ls')\n" * 9), "is refused"),
    "another's": (written("step.onnx", b"", sealed=False), "is refused"),
    "config cut off": (written("config.json", b'{"format": "showtell', sealed=False), "cannot be read as settings"),
    "config of numbers": (written("config.json", b"[1]", sealed=False), "is not a showtell model"),
    "newer": (changed(format_version=2), "install a newer showtell"),
    "no graphs named": (lambda folder: (seal(folder), written("config.json", json.dumps(json.loads((folder / "config.json").read_bytes()) | {"graphs": []}).encode(), sealed=False)(folder))[1], "does not describe a whole model"),  # noqa: E501
    "another grid": (changed(grid={"rows": 2, "columns": 4, "copies": 1}), "encoder.onnx has grid as"),
    "a huge grid": (changed(grid={"rows": 1 << 15, "columns": 1 << 15, "copies": 1}), "cells"),
    "a grid of text": (changed(grid={"rows": "4", "columns": 4, "copies": 1}), "grid rows is '4'"),
    "other pictures": (changed(pictures={"picture_size": 48}), "encoder.onnx has pixels as"),
    "pictures of another kind": (changed(pictures={"picture_size": 1 << 30}), "does not describe a whole model"),
    "another hidden state": (told(hidden=9), "start.onnx has hidden as"),
    "huge sizes": (told(hidden=1 << 40), "hidden is 1099511627776"),
    "external data": (rewritten("encoder.onnx", external), "weights lie in another file"),
    "external data in a node": (rewritten("step.onnx", external_in_a_node), "weights lie in another file"),
    "a loop": (rewritten("step.onnx", operator("Loop")), "uses the operator Loop"),
    "compiled code": (rewritten("step.onnx", operator("EPContext", "com.microsoft")), "uses the operator EPContext"),
    "Python": (rewritten("step.onnx", operator("PyOp", "ai.onnx.contrib")), "operators of ai.onnx.contrib"),
    "a graph in a graph": (rewritten("step.onnx", nested), "graphs within graphs"),
    "functions": (rewritten("step.onnx", function), "functions of its own"),
    "a weight without numbers": (rewritten("start.onnx", huge), "claims to be larger than the file"),
    "an unknown operator": (rewritten("step.onnx", operator("Dance")), "step.onnx cannot be used"),
    "other outputs": (rewritten("step.onnx", other_output), "belong"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_refused_with_one_sentence(copy: Path, name: str) -> None:
    damage, said = BROKEN[name]
    damage(copy)
    with pytest.raises(Problem) as raised:
        Captioner.from_pretrained(copy)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_graph_of_another_model_is_noticed(copy: Path) -> None:
    model = onnx.load(copy / "step.onnx")
    model.producer_name = "somebody"
    (copy / "step.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Problem, match=r"step\.onnx is another than the one that its folder was written with"):
        Captioner.from_pretrained(copy)


def test_words_of_another_model_are_noticed(copy: Path, captioner: TorchCaptioner) -> None:
    save_vocab(Vocabulary(captioner.vocabulary.words[:-3]), copy / "vocab.json")
    with pytest.raises(Problem, match="holds another vocabulary"):
        Captioner.from_pretrained(copy)
    seal(copy, vocabulary_checksum=Vocabulary(captioner.vocabulary.words[:-3]).checksum)
    with pytest.raises(Problem, match=r"step\.onnx has log_probabilities as .* 14\] where the settings tell .* 11\]"):
        Captioner.from_pretrained(copy)


def test_a_graph_that_does_not_keep_its_promise_is_named(tmp_path: Path) -> None:
    """Shapes that are found only while it runs: here, as many rows as the first number of its input says."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["x"], ["shape"], to=onnx.TensorProto.INT64),
        helper.make_node("ConstantOfShape", ["shape"], ["y"]),
    ]
    inputs, outputs = (helper.make_tensor_value_info(name, floats, ["n"]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [inputs], [outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
    sha256 = hashlib.sha256((tmp_path / "g.onnx").read_bytes()).hexdigest()
    run = Graph(tmp_path / "g.onnx", sha256, {"x": ("tensor(float)", ("n",))}, {"y": ("tensor(float)", ("n",))})
    assert run(np.array([1], np.float32))[0].shape == (1,)
    with pytest.raises(Problem, match=r"g\.onnx gives y of shape \(3,\) in place of \(1,\)"):
        run(np.array([3], np.float32))
    with pytest.raises(MemoryError):
        run(np.array([1e15], np.float32))


# ------------------------------------------------------------------------------------------------- what it cannot do


def test_it_goes_no_other_way(folder: Path) -> None:
    with pytest.raises(WrongUse, match="was exported to ONNX: it captions, and goes no other way"):
        load_model(folder)
    with pytest.raises(WrongUse, match="runs on the processor, not on cuda"):
        Captioner.from_pretrained(folder, "cuda")


def test_a_missing_extra_is_named_before_anything_is_done(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("showtell.model.graphs.find_spec", lambda name: None)
    with pytest.raises(Problem, match=r'Exporting to ONNX needs .* pip install "\.\[export\]"'):
        export(ExportOptions(checkpoint, output_dir=tmp_path / "out", format="onnx"))
    assert not (tmp_path / "out").exists()


def test_what_was_there_stays_where_writing_fails(
    checkpoint: Path, copy: Path, traced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    monkeypatch.setattr("showtell.model.graphs.write", full)
    with pytest.raises(Problem, match="No space left on device"):
        export(ExportOptions(checkpoint, output_dir=copy.parent, model_name="mine", format="onnx"))
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert [path.name for path in copy.parent.iterdir()] == ["mine"]


def test_it_takes_as_many_threads_as_the_program_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,1")
    assert threads() == 3
    for unusable in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", unusable)
        assert threads() >= 1
