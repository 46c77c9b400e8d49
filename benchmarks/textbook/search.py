"""Beam search as tutorials write it: one picture at a time, its grid copied for every beam, everything on the way to the host.

The best beams by their log-probability alone; complete captions leave, and the search goes on with fewer beams.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.textbook.decoder import TextbookDecoder
from showtell.vocabulary import END, START


@torch.no_grad()
def beam_search(decoder: TextbookDecoder, grid: Tensor, beams: int, longest: int, shortest: int = 1) -> list[int]:
    """The words of one picture's caption (grid: P x C), <end> not counted; of captions as likely, the first found."""
    grid = grid.unsqueeze(0)
    if decoder.project:
        grid = torch.relu(decoder.project(grid))
    h, c = (torch.tanh(layer(grid.mean(dim=1))) for layer in (decoder.init_h, decoder.init_c))
    last, sums, said = torch.full((1,), START, device=grid.device), torch.zeros(1, 1, device=grid.device), [[]]
    complete: list[tuple[float, list[int]]] = []
    for length in range(longest + 1):
        context, _ = decoder.attention(grid.expand(len(said), -1, -1), h)
        context = torch.sigmoid(decoder.f_beta(h)) * context
        h, c = decoder.decode_step(torch.cat([decoder.embedding(last), context], dim=1), (h, c))
        scores = decoder.fc(h).log_softmax(dim=1)
        if length == longest:
            complete += [(total, words) for total, words in zip(sums.flatten().tolist(), said, strict=True)]
            break
        scores[:, [*range(END), END + 1]] = -torch.inf  # <pad>, <start>, <unk>
        if length < shortest:
            scores[:, END] = -torch.inf
        totals, places = (sums + scores).flatten().topk(beams)
        rows, words = (places // decoder.vocabulary_size).tolist(), (places % decoder.vocabulary_size).tolist()
        going = [i for i, word in enumerate(words) if word != END]
        complete += [(totals[i].item(), said[rows[i]]) for i, word in enumerate(words) if word == END]
        beams -= len(words) - len(going)
        if not beams:
            break
        said = [[*said[rows[i]], words[i]] for i in going]
        parents = torch.tensor([rows[i] for i in going], device=grid.device)
        h, c, sums = h[parents], c[parents], totals[going].unsqueeze(1)
        last = torch.tensor([words[i] for i in going], device=grid.device)
    return max(complete, key=lambda each: each[0])[1]
