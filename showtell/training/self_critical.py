"""Training on what the model says by itself, by how good that is: the last epochs, after training on given words.

Cross-entropy teaches the next word of a right beginning; at work the model goes on from its own words, and is judged by whole
captions. Here it draws several captions of each picture. Each is scored by CIDEr-D, and becomes likelier where it is better than
the mean of the others, less likely where it is worse: the gradient of the expected score (REINFORCE), which is that of a
cross-entropy with a factor on each caption.

S. J. Rennie et al., *Self-critical Sequence Training for Image Captioning*, CVPR 2017, equations 5 to 8; the mean of the others
in place of the greedy caption as the baseline: R. Luo, *A Better Variant of Self-Critical Sequence Training*, 2020, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from showtell.data.batches import Batch, Item, collate, encode_captions
from showtell.data.records import Record
from showtell.metrics import CiderD
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.search import SearchOptions
from showtell.training.loss import Tally, TrainingModel
from showtell.vocabulary import END, PAD, START, UNK, Vocabulary


class Reward:
    """CIDEr-D of captions of the training pictures, their captions being the references, prepared once.

    Texts are the words of the vocabulary with <end>: it makes n-grams too, so that a caption that breaks off ("... with a")
    loses by it. <unk> gains nothing: what is unknown in a caption is never what is unknown in a reference.

    Args:
        records: the training pictures with their captions.
        vocabulary: the model's words.
    """

    def __init__(self, records: Sequence[Record], vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.cider = CiderD([[self._text(caption) for caption in encode_captions(record, vocabulary)] for record in records])

    def __call__(self, captions: Sequence[Sequence[Sequence[int]]], numbers: Sequence[int]) -> Tensor:
        """The scores (0..10) of N x R captions, word numbers from <start> to <end>, of the N pictures with these numbers."""
        rows = len(captions[0])
        texts = [self._text([PAD if word == UNK else word for word in caption]) for each in captions for caption in each]
        return torch.tensor(self.cider.score(texts, np.repeat(numbers, rows))).view(len(captions), rows)

    def __deepcopy__(self, _: Any) -> Reward:
        """Itself, since it never changes: the moving average of the weights copies the model with all that it holds."""
        return self

    def _text(self, caption: Sequence[int]) -> list[str]:
        return [self.vocabulary.words[number] for number in caption[1:]]


class SelfCritical(TrainingModel):
    """A training model that learns from its own captions, and is validated as ever.

    What learns has to be what drew: a word that is likely and never drawn, because a rule forbids it or dropout saw to it, would
    gain by every caption that is worse than the others, without end. So nothing is forbidden, and the decoder has no dropout.
    Label smoothing and the regularisation of attention have no part in it either.

    Args:
        encoder, decoder: as for `TrainingModel`.
        reward: of the training pictures.
        count: captions to draw of each picture, two at least.
    """

    def __init__(self, encoder: Encoder | None, decoder: Decoder, reward: Reward, count: int) -> None:
        super().__init__(encoder, decoder, copies=1)
        self.reward, self.count = reward, count

    def forward(self, batch: Batch) -> tuple[Tensor, Tally]:
        """The loss of the model's own captions of a batch, and their tally; in evaluation mode that of the batch's captions."""
        if not self.training or not len(batch.pictures):
            return super().forward(batch)
        self.decoder.eval()
        grid = self.grid(batch.pictures)
        drawn = self.draw(grid)
        scores = self.reward(drawn, batch.numbers)  # N x R
        self.figures = {"reward": float(scores.mean())}
        others = (scores.sum(dim=1, keepdim=True) - scores) / (self.count - 1)
        items = zip(grid, drawn, strict=True)
        own = collate([Item(each, captions, number=place) for place, (each, captions) in enumerate(items)])  # longest first
        better = (scores - others)[list(own.numbers)].float()  # N x R
        return self.loss(own.pictures, own.captions.to(grid.device), own.lengths, better.to(grid.device))

    @torch.no_grad()
    def draw(self, grid: Tensor) -> list[list[list[int]]]:
        """So many captions of each picture as the model's probabilities have it, the longest first.

        Args:
            grid: N x cells x channels.

        Returns:
            N lists of captions: word numbers from <start> to <end>, which is missing where the longest allowed did not end.
        """
        # The seed comes from the generator that a checkpoint remembers, so that a run that goes on draws the same captions.
        random = len(grid) * [np.random.default_rng(int(torch.randint(1 << 62, ())))]
        found = self.decoder.search(grid, SearchOptions(search="sample", n_best=self.count), forbidden=(), random=random)
        captions = [[[START, *each.words, *[END] * each.ended] for each in result.candidates] for result in found]
        return [sorted(each, key=len, reverse=True) for each in captions]
