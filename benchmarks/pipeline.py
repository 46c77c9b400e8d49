"""The cases around the decoder: photographs, whole captioning, what is read from files, and how soon the program is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch

from benchmarks import made_up
from benchmarks.decoding import CAPTIONS, CELLS, CHANNELS, COPIES, PICTURES, VOCABULARY, our_step
from benchmarks.reading import make_up, read
from benchmarks.textbook.pictures import load
from benchmarks.timing import Pair, Way
from showtell.captioning.options import CaptioningOptions
from showtell.captioning.run import caption_pictures
from showtell.data.batches import BatchOrder
from showtell.data.records import Record
from showtell.files import cache_folder
from showtell.metrics import CiderD
from showtell.model.artefact import Artefact, save_artefact
from showtell.model.captioner import Captioner
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.export import export
from showtell.model.hub import BOX, load_model
from showtell.model.options import DecoderOptions, EncoderOptions, ExportOptions
from showtell.pictures import PictureOptions, pixels_of
from showtell.search import SearchOptions
from showtell.training.features import CachedFeatures
from showtell.training.state import Feed
from showtell.vocabulary import SPECIALS, Vocabulary

PHOTOGRAPHS = 64
"""Enough for two batches."""
TEN_WORDS = SearchOptions(min_length=10, max_length=10)
"""As many as COCO's captions have; five beams."""


@cache
def kept() -> tempfile.TemporaryDirectory[str]:
    """What the cases read and write: made at the first use, gone when the program ends."""
    return tempfile.TemporaryDirectory()


def folder(name: str) -> Path:
    path = Path(kept().name) / name
    path.mkdir(exist_ok=True)
    return path


def words() -> Vocabulary:
    return Vocabulary((*SPECIALS, *(f"w{i}" for i in range(VOCABULARY - len(SPECIALS)))))


def on_one_thread(do: Way) -> Way:
    def alone() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            do()
        finally:
            torch.set_num_threads(threads)

    return alone


def photographs(number: int, width: int, height: int) -> Callable[[torch.device], Pair]:
    """Photographs decoded and made 224 x 224, on one core."""

    def make(device: torch.device) -> Pair:
        paths, options = made_up.photographs(folder(f"photographs_{width}"), number, (width, height)), PictureOptions()
        return Pair(
            on_one_thread(lambda: [load(path) for path in paths]),
            on_one_thread(lambda: [pixels_of(path, options) for path in paths]),
        )

    return make


def captioning(device: torch.device) -> Pair:
    """`showtell caption` with five beams, from files to JSON lines, against ResNet-50 alone on opened pictures."""
    model = saved(resnet50())
    options, captioner = told(model, device.type), Captioner.from_pretrained(model, device.type)
    pixels = torch.stack([torch.from_numpy(pixels_of(path, captioner.pictures)) for path in options.image])
    pixels = pixels.permute(0, 3, 1, 2)

    @torch.inference_mode()
    def alone() -> None:
        for some in pixels.split(options.batch_size):
            captioner.encoder(some.to(device)).sum().item()

    return Pair(alone, lambda: caption_pictures(options, TEN_WORDS))


def without_torch(model: str = "resnet50", int8: bool = False) -> Callable[[torch.device], Pair]:
    """`showtell caption` with a model's graphs, which onnxruntime runs, against the same command with its weights in torch.

    Models are opened each time, as the command does; onnxruntime takes as many threads as OMP_NUM_THREADS says.
    """

    def make(device: torch.device) -> Pair:
        weights = saved(load_model(BOX) if model == BOX else resnet50())
        graphs = Path(BOX) if model == BOX else exported(weights, int8)
        by_torch, by_graphs = told(weights), told(graphs)
        return Pair(lambda: caption_pictures(by_torch, TEN_WORDS), lambda: caption_pictures(by_graphs, TEN_WORDS))

    return make


def resnet50() -> Artefact:
    """A captioner of the usual sizes, as random as it was made."""
    torch.manual_seed(0)
    encoder, decoder = Encoder(EncoderOptions("resnet50", "none"), 224), Decoder(DecoderOptions(), VOCABULARY, CHANNELS)
    return Artefact.of(encoder.eval(), decoder, words(), PictureOptions())


def saved(artefact: Artefact) -> Path:
    path = folder("model") / "model.pt"
    save_artefact(artefact, path)
    return path


def exported(weights: Path, int8: bool) -> Path:
    """The model's graphs, in a folder."""
    made_up.photographs(folder("photographs"), PHOTOGRAPHS)
    calibration = {"quantize": "int8", "calibration": folder("photographs")} if int8 else {}
    return export(ExportOptions(weights, None, folder("graphs"), "model", "onnx", quiet=True, **calibration))


def told(model: Path, device: str = "cpu") -> CaptioningOptions:
    """What the command is told: captions of made-up photographs, as JSON lines."""
    paths = made_up.photographs(folder("photographs"), PHOTOGRAPHS)
    results = folder("results") / "captions.jsonl"
    return CaptioningOptions(tuple(map(str, paths)), model, output=results, overwrite=True, quiet=True, device=device)


def features(device: torch.device) -> Pair:
    """Reading four batches from the feature cache, against the training steps that they feed (pooled grid, float32)."""
    torch.manual_seed(0)
    path = folder("features") / "grids.npy"
    number = 4 * PICTURES
    grids = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(number, CELLS, CHANNELS))
    grids[:] = np.random.default_rng(0).random((number, 1, CHANNELS), np.float32)
    said = made_up.sentences(number * CAPTIONS)
    records = [Record(str(i), f"{i}.jpg", tuple(said[i::number]), "train") for i in range(number)]
    source = CachedFeatures(records, words(), [np.load(path, mmap_mode="r")], {})
    feed = Feed(source, BatchOrder(number, PICTURES, 0), workers=0)
    batches = list(feed.batches(0))[:1]
    step = our_step(Decoder(DecoderOptions(), VOCABULARY, CHANNELS).to(device), batches[0].to(device), COPIES, bf16=False)

    def four_steps() -> None:
        for _ in range(4):
            step()

    return Pair(four_steps, lambda: sum(1 for _ in feed.batches(0)), size=2.0 * grids.size)


def annotations(from_index: bool) -> Callable[[torch.device], Pair]:
    """A file of COCO 2014's size to records: against parsing it and grouping captions by picture, as pycocotools does."""

    def make(device: torch.device) -> Pair:
        os.environ["SHOWTELL_CACHE"] = str(folder("cache"))
        path = folder("annotations") / "captions_train2014.json"
        make_up(made_up.sentences(10_000), path)

        def parse() -> object:
            data = json.loads(path.read_text("utf-8"))
            pictures = {picture["id"]: picture for picture in data["images"]}
            grouped = defaultdict(list)
            for annotation in data["annotations"]:
                grouped[annotation["image_id"]].append(annotation)
            return pictures, grouped

        def ours() -> object:
            if not from_index:
                for index in (cache_folder() / "indexes").glob("*"):
                    index.unlink()
            return read(path)

        return Pair(parse, ours)

    return make


def start_up(*arguments: str) -> Callable[[torch.device], Pair]:
    """A command of its own, from start to end, against the import of torch with which other programs begin."""

    def program(*words: str) -> Way:
        return lambda: subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    return lambda device: Pair(program("-c", "import torch"), program(*arguments))


def cider(device: torch.device) -> Pair:
    """CIDEr-D of 5,000 captions with five references each, as a training reward needs it: the references prepared once."""
    from pycocoevalcap.cider.cider import Cider

    said, known = made_up.sentences(5_000), made_up.sentences(25_000, seed=1)
    references = [known[i : i + 5] for i in range(0, len(known), 5)]
    prepared = CiderD([[each.split() for each in five] for five in references])
    gts, res = dict(enumerate(references)), {i: [caption] for i, caption in enumerate(said)}
    return Pair(lambda: Cider().compute_score(gts, res), lambda: prepared.score([caption.split() for caption in said]))
