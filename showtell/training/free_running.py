"""Validation by what the model says when nobody helps it: greedy captions of some pictures, their CIDEr-D and BLEU-4.

Cross-entropy is measured with the right words fed; a model with a lower one need not say better sentences.
"""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.utils.data import Subset

from showtell.data.batches import Item, PictureSource
from showtell.data.records import Record
from showtell.metrics import CiderD, bleu_counts, tokenise
from showtell.metrics.options import Tokens
from showtell.search import SearchOptions
from showtell.training.loading import loader
from showtell.training.loss import TrainingModel
from showtell.vocabulary import PAD, START, UNK, Vocabulary


class FreeRunning:
    """Some validation pictures and their references, prepared once for a run.

    Args:
        source: the validation pictures; the chosen ones stand evenly spread among them.
        records: the same, with their captions.
        pictures: how many to caption, at most.
        vocabulary: the model's words.
        batch_size, workers: pictures at a time, and processes that open them.
    """

    def __init__(
        self, source: PictureSource, records: list[Record], pictures: int, vocabulary: Vocabulary, batch_size: int, workers: int
    ) -> None:
        self.source, self.vocabulary, self.batch_size, self.workers = source, vocabulary, batch_size, workers
        self.tokens: Tokens = "ptb" if vocabulary.tokenizer == "word" else "characters"
        self.chosen = np.linspace(0, len(records) - 1, min(pictures, len(records))).round().astype(int).tolist()
        self.references = [[tokenise(caption, self.tokens) for caption in records[i].captions] for i in self.chosen]
        self.cider = CiderD(self.references)

    def scores(self, model: TrainingModel, accelerator: Accelerator) -> dict[str, float]:
        """CIDEr-D (0..10; document frequencies from these references) and BLEU-4 (0..1); nothing if no picture can be read.

        Every process captions its share, and all get the same scores.
        """
        said = dict(gather_object(self._said(model, accelerator)))
        places = sorted(said)  # unreadable pictures are left out
        if not places:
            return {}
        captions = [tokenise(said[place], self.tokens) for place in places]
        counts = bleu_counts(captions, [self.references[place] for place in places])
        return {"val_cider": float(self.cider.score(captions, places).mean()), "val_bleu4": float(counts.corpus()[3])}

    @torch.inference_mode()
    def _said(self, model: TrainingModel, accelerator: Accelerator) -> list[tuple[int, str]]:
        """Place among the chosen pictures, and caption, of this process's share."""
        places = list(range(accelerator.process_index, len(self.chosen), accelerator.num_processes))
        share: Subset[Item] = Subset(self.source, [self.chosen[place] for place in places])  # type: ignore[arg-type]
        said: list[tuple[int, str]] = []
        for number, items in enumerate(loader(share, self.workers, list, batch_size=self.batch_size)):
            readable = [(place, item.picture) for place, item in zip(places[number * self.batch_size :], items, strict=False)]
            readable = [(place, picture) for place, picture in readable if picture is not None]
            if readable:
                pictures = torch.stack([picture for _, picture in readable]).to(accelerator.device)
                captions = self._captions(model, pictures)
                said += zip([place for place, _ in readable], captions, strict=True)
        return said

    def _captions(self, model: TrainingModel, pictures: torch.Tensor) -> list[str]:
        """Greedy captions of pixels, or of what the cache holds of pictures."""
        options = SearchOptions(search="greedy", no_repeat_ngram=model.decoder.options.no_repeat_ngram)
        results = model.decoder.search(model.grid(pictures), options, (PAD, START, UNK))
        return [self.vocabulary.sentence(self.vocabulary.decode(result.best.words)) for result in results]
