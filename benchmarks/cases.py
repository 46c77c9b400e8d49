"""All cases, by name."""

from __future__ import annotations

from benchmarks import decoding, pipeline
from benchmarks.timing import Case

TEXTBOOK, TRANSFORMS = "textbook decoder, float32", "torchvision's transforms"
POOLED = "training step, pooled from 7 x 7"
IMPORT, PARSED = "`import torch`", "json, grouped by picture"
TORCH = "the same model in torch"
PROGRAM, PROCESSOR = {"on_gpu": False, "memory": False}, {"on_gpu": False}

CASES = {
    "step": Case("training step, 196 cells, float32", TEXTBOOK, decoding.training_step(), 6, 10),
    "step_bf16": Case("training step, 196 cells, bf16", TEXTBOOK, decoding.training_step(bf16=True), 10, 10, bf16=True),
    "step_pooled": Case(f"{POOLED}, float32", TEXTBOOK, decoding.training_step(49, 4), 10, 10),
    "step_pooled_bf16": Case(f"{POOLED}, bf16", TEXTBOOK, decoding.training_step(49, 4, bf16=True), 18, 10, bf16=True),
    "attention": Case("a look of 160 captions at 196 cells, and gradients", "the formula, by autograd", decoding.one_look),
    "beam": Case("beam search, 5 beams, 32 pictures, 20 words", "textbook search, one by one", decoding.beams, 15, 60),
    "pictures": Case("64 photographs of 640 x 480 to pixels", TRANSFORMS, pipeline.photographs(64, 640, 480), 2, on_gpu=False),
    "pictures_large": Case("4 photographs of 4000 x 3000", TRANSFORMS, pipeline.photographs(4, 4000, 3000), 2, on_gpu=False),
    "captioning": Case("64 photographs from disk to captions, 5 beams", "bare ResNet-50", pipeline.captioning, 1 / 1.35),
    "onnx": Case("the same through onnxruntime, float32", TORCH, pipeline.without_torch(), **PROCESSOR),
    "onnx_int8": Case("the same through onnxruntime, int8", TORCH, pipeline.without_torch(int8=True), **PROCESSOR),
    "onnx_box": Case("64 photographs to captions by the box", TORCH, pipeline.without_torch("box"), **PROCESSOR),
    "features": Case("four batches from the feature cache", "their training steps", pipeline.features, 20, on_gpu=False),
    "annotations": Case("COCO 2014's captions to records, cold", PARSED, pipeline.annotations(from_index=False), on_gpu=False),
    "annotations_index": Case("the same from the index", PARSED, pipeline.annotations(from_index=True), on_gpu=False),
    "help": Case("`showtell --help`", IMPORT, pipeline.start_up("-m", "showtell", "--help"), **PROGRAM),
    "train_help": Case("`showtell train --help`", IMPORT, pipeline.start_up("-m", "showtell", "train", "--help"), **PROGRAM),
    "import": Case("`import showtell`", IMPORT, pipeline.start_up("-c", "import showtell"), **PROGRAM),
    "cider": Case("CIDEr-D of 5,000 captions", "pycocoevalcap", pipeline.cider, 30, on_gpu=False),
}  # fmt: skip
