"""The decoder's cases: a training step, and beam search, at the sizes of COCO captioning with ResNet-50."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import made_up
from benchmarks.textbook.decoder import TextbookDecoder
from benchmarks.textbook.search import beam_search
from benchmarks.timing import Pair, Way
from showtell.data.batches import Batch
from showtell.model.attention import attention_weights
from showtell.model.decoder import Decoder
from showtell.model.options import DecoderOptions
from showtell.search import SearchOptions
from showtell.training.loss import TrainingModel
from showtell.training.optimisation import build_optimizer
from showtell.training.options import TrainingOptions
from showtell.vocabulary import END, PAD, START, UNK

PICTURES, CAPTIONS, VOCABULARY, CHANNELS, CELLS, COPIES = 32, 5, 10_000, 2048, 49, 4
BEAMS, WORDS = 5, 20
NEVER_SAID = (PAD, START, END, UNK)
"""Not even <end>: every caption has all its words."""


def training_step(cells: int = CELLS * COPIES, copies: int = 1, bf16: bool = False) -> Callable[[torch.device], Pair]:
    """A step of 32 pictures with five captions of 8 to 20 words, Adam included; the textbook's always in float32."""

    def make(device: torch.device) -> Pair:
        torch.manual_seed(0)
        decoder = Decoder(DecoderOptions(), VOCABULARY, CHANNELS).to(device)
        textbook = TextbookDecoder(512, 512, 512, CHANNELS, VOCABULARY).to(device).load_from(decoder)
        captions, lengths = made_up.captions(PICTURES, CAPTIONS, VOCABULARY)
        grid = torch.rand(PICTURES, cells, CHANNELS, device=device)
        batch = Batch(grid, captions.to(device), lengths)
        whole = grid.repeat_interleave(copies, 1)
        return Pair(
            textbook_step(textbook, Batch(whole, batch.captions, lengths)),
            our_step(decoder, batch, copies, bf16),
            "bf16" if bf16 else "float32",
        )

    return make


def our_step(decoder: Decoder, batch: Batch, copies: int, bf16: bool) -> Way:
    options = TrainingOptions()
    model = TrainingModel(None, decoder, copies, attention_lambda=options.attention_lambda).train()
    optimizer = build_optimizer(None, decoder, options)

    def step() -> None:
        with torch.autocast(batch.pictures.device.type, torch.bfloat16, enabled=bf16):
            loss, _ = model(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), options.grad_clip)
        optimizer.step()
        optimizer.zero_grad()

    return step


def textbook_step(textbook: TextbookDecoder, batch: Batch) -> Way:
    """Every caption with its own copy of the grid, and scores of every word at every place, padding included."""
    options = TrainingOptions()
    optimizer = torch.optim.Adam(textbook.parameters(), options.learning_rate)
    words, lengths = batch.captions.flatten(0, 1), batch.lengths.flatten() - 1
    real = (torch.arange(words.shape[1] - 1) < lengths.unsqueeze(1)).to(words.device)

    def step() -> None:
        logits, alphas = textbook(batch.pictures.repeat_interleave(CAPTIONS, 0), words[:, :-1], lengths.to(words.device))
        loss = F.cross_entropy(logits[real], words[:, 1:][real])
        loss = loss + options.attention_lambda * (1 - alphas.sum(dim=1)).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(textbook.parameters(), options.grad_clip)
        optimizer.step()
        optimizer.zero_grad()

    return step


def one_look(device: torch.device) -> Pair:
    """Attention's weights for one word of every caption, and their gradients, in float32: where there is a GPU, by the kernel."""
    torch.manual_seed(0)
    cells, width = CELLS * COPIES, DecoderOptions().attention_dim
    shapes = (PICTURES, CAPTIONS, width), (PICTURES, cells, width), (width,), (PICTURES, CAPTIONS, cells)
    *inputs, d_weights = (torch.randn(shape, device=device) for shape in shapes)
    for tensor in inputs:
        tensor.requires_grad_()

    def formula(query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        return (torch.tanh(keys.unsqueeze(1) + query.unsqueeze(2)) @ v).softmax(dim=-1)

    def look(way: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Way:
        return lambda: torch.autograd.grad(way(*inputs), inputs, d_weights)

    # inputs twice, their gradients; the weights written and read again, and their gradient: nothing else has to touch memory
    size = 4.0 * 3 * (sum(tensor.numel() for tensor in inputs) + d_weights.numel())
    return Pair(look(formula), look(attention_weights), size=size)


def beams(device: torch.device) -> Pair:
    """Five beams over 32 pictures, 20 words each, from a random model that may not end before."""
    torch.manual_seed(0)
    decoder = Decoder(DecoderOptions(), VOCABULARY, CHANNELS).to(device).eval()
    textbook = TextbookDecoder(512, 512, 512, CHANNELS, VOCABULARY).to(device).load_from(decoder).eval()
    grid = torch.rand(PICTURES, CELLS * COPIES, CHANNELS, device=device)
    return Pair(
        lambda: [beam_search(textbook, each, BEAMS, longest=WORDS, shortest=WORDS) for each in grid],
        lambda: our_search(decoder, grid, BEAMS, WORDS),
    )


@torch.inference_mode()
def our_search(decoder: Decoder, grid: Tensor, beam_size: int, words: int) -> list[tuple[int, ...]]:
    options = SearchOptions(beam_size=beam_size, max_length=words, length_penalty=0.0)
    return [result.best.words for result in decoder.search(grid, options, NEVER_SAID)]
