"""The decoder of *Show, Attend and Tell* with soft attention (Xu et al. 2015, section 3.1.2 and 4.2).

It is written to compute what the textbook form computes (benchmarks/textbook, the tests' oracle) with less work: keys once a
picture, word products before the loop, one product of stacked weights inside it, the vocabulary layer after it over real tokens
only, and finished captions leaving the loop. Letters in shapes: N pictures, R rows of a picture (captions in training, beams
in search), T words, P cells, C channels, E word vector, H hidden state, A attention, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showtell.model.attention import AdditiveAttention
from showtell.model.options import DecoderOptions
from showtell.search import Result, SearchOptions, search
from showtell.search.decoders import Randoms
from showtell.vocabulary import END, PAD, START


@dataclass(frozen=True)
class State:
    """All that the next step needs. What belongs to a picture is held once, whatever the number of its rows."""

    grid: Tensor  # N x P x C
    keys: Tensor  # N x P x A
    hidden: Tensor  # N x R x H
    cell: Tensor  # N x R x H

    def select(self, pictures: Tensor, rows: Tensor) -> State:
        """The state with M pictures and K rows each: row [m, k] is the old row [pictures[m], rows[m, k]].

        Search reorders beams, widens one row to K, and retires pictures with this one operation.

        Args:
            pictures: M integers.
            rows: M x K integers.
        """
        whole = len(pictures) == len(self.grid)  # search never reorders pictures, so as many are all of them
        return State(
            grid=self.grid if whole else self.grid[pictures],
            keys=self.keys if whole else self.keys[pictures],
            hidden=self.hidden[pictures[:, None], rows],
            cell=self.cell[pictures[:, None], rows],
        )


class Unrolled(NamedTuple):
    """What the loop over words leaves behind, for the real words of all captions, one after another (time first)."""

    hidden: Tensor  # words x H
    context: Tensor  # words x C, gated
    embedded: Tensor  # words x E
    attention_sum: Tensor  # N x R x P, each cell's weight summed over a caption's words
    attention: list[Tensor]  # a step each: pictures x captions x P, of the block that was still running
    order: Tensor  # words; where in the flattened N x R x T input each word stood


class HiddenOutput(nn.Module):
    """Scores of the next word from the hidden state alone."""

    def __init__(self, options: DecoderOptions, channels: int, vocabulary_size: int) -> None:
        super().__init__()
        self.vocabulary: nn.Module = nn.Linear(options.hidden_size, vocabulary_size)
        self.dropout = nn.Dropout(options.dropout)

    def features(self, hidden: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        """... x H, ... x C and ... x E -> ... x H, what `vocabulary` scores; only the first is used."""
        dropped: Tensor = self.dropout(hidden)
        return dropped


class DeepOutput(nn.Module):
    """Scores of the next word from hidden state, context and last word together (Xu et al. 2015, equation 7)."""

    def __init__(self, options: DecoderOptions, channels: int, vocabulary_size: int) -> None:
        super().__init__()
        self.from_hidden = nn.Linear(options.hidden_size, options.embed_size)
        self.from_context = nn.Linear(channels, options.embed_size)
        self.vocabulary: nn.Module = nn.Linear(options.embed_size, vocabulary_size)
        self.dropout = nn.Dropout(options.dropout)

    def features(self, hidden: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        """... x H, ... x C (gated) and ... x E (the last word) -> ... x E, what `vocabulary` scores."""
        deep = embedded + self.from_hidden(self.dropout(hidden)) + self.from_context(context)
        dropped: Tensor = self.dropout(torch.tanh(deep))
        return dropped


class WordScores(nn.Module):
    """A linear layer to the vocabulary whose rows are the word vectors (Press and Wolf 2017); of its own it has a bias only."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.shared = (embedding,)  # in a tuple: the vectors are the embedding's, and stand in a model file once
        self.bias = nn.Parameter(torch.zeros(embedding.num_embeddings))

    @property
    def weight(self) -> Tensor:
        """V x E, as the layer's that it stands for."""
        return self.shared[0].weight

    def forward(self, features: Tensor) -> Tensor:
        """... x E -> ... x V."""
        return F.linear(features, self.weight, self.bias)


class Decoder(nn.Module):
    """LSTM with additive attention: `start`, `step` and, for training, `forward` and `unroll`.

    Args:
        options: sizes and dropout.
        vocabulary_size: V.
        channels: C, of the encoder's grid; inside, C is `options.grid_size` where that is set.
    """

    def __init__(self, options: DecoderOptions, vocabulary_size: int, channels: int) -> None:
        super().__init__()
        hidden = options.hidden_size
        self.options, self.vocabulary_size, self.channels = options, vocabulary_size, channels
        self.projection = nn.Sequential(nn.Linear(channels, options.grid_size), nn.ReLU()) if options.grid_size else nn.Identity()
        channels = options.grid_size or channels  # C from here on
        self.embedding = nn.Embedding(vocabulary_size, options.embed_size, padding_idx=PAD)
        self.initial_hidden = nn.Linear(channels, hidden)
        self.initial_cell = nn.Linear(channels, hidden)
        self.attention = AdditiveAttention(channels, options.attention_dim)
        # The LSTM cell's input is [word vector, gated context]; its weights stand apart because their products happen apart:
        self.word_splits = (4 * hidden, options.attention_dim) if options.word_query else (4 * hidden,)
        self.from_word = nn.Linear(options.embed_size, sum(self.word_splits))  # for all words before the loop
        self.from_context = nn.Linear(channels, 4 * hidden, bias=False)
        # and all that reads the hidden state is one product: attention query, context gate, LSTM gates.
        self.splits = (options.attention_dim, channels, 4 * hidden)
        self.from_hidden = nn.Linear(hidden, sum(self.splits))
        self.output = (DeepOutput if options.deep_output else HiddenOutput)(options, channels, vocabulary_size)
        if options.tied_embedding:
            self.output.vocabulary = WordScores(self.embedding)
        self.grid_dropout = nn.Dropout(options.grid_dropout)
        self.embed_dropout = nn.Dropout(options.embed_dropout)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        if isinstance(self.output.vocabulary, nn.Linear):
            nn.init.uniform_(self.output.vocabulary.weight, -0.1, 0.1)
            nn.init.zeros_(self.output.vocabulary.bias)
        with torch.no_grad():
            self.embedding.weight[PAD].zero_()
        if self.options.word_query:
            self._bend_attention()

    @torch.no_grad()
    def _bend_attention(self) -> None:
        """Starts keys and query where tanh bends, and with scores that differ.

        Where tanh is nearly straight, a query moves the scores of all cells alike, and softmax takes no notice: attention then
        does not depend on the query, and takes twice as many pictures to learn that it could.
        """
        size = self.options.attention_dim
        nn.init.normal_(self.attention.to_keys.weight, std=2 * self.attention.to_keys.in_features**-0.5)
        nn.init.normal_(self.attention.v, std=2 * size**-0.5)
        word_rms, state_rms = 0.1 * 3**-0.5, 0.3  # of a word vector as it begins, and about that of a hidden state
        nn.init.normal_(self.from_word.weight[-size:], std=1.5 / word_rms * self.options.embed_size**-0.5)
        nn.init.normal_(self.from_hidden.weight[:size], std=1.0 / state_rms * self.options.hidden_size**-0.5)

    # --- one word at a time: search ---------------------------------------------------------------------------------------

    def start(self, grid: Tensor) -> State:
        """The state before the first word, one row a picture, from the mean of the grid (N x P x C)."""
        grid = self.grid_dropout(self.projection(grid * self.options.grid_scale))
        mean = grid.mean(dim=1, keepdim=True)  # N x 1 x C
        hidden = self.initial_hidden(mean)
        return State(
            grid=grid.to(hidden.dtype),  # under autocast that of the products: cast once, not at every word
            keys=self.attention.keys(grid),
            hidden=torch.tanh(hidden.float()),
            cell=torch.tanh(self.initial_cell(mean).float()),
        )

    def step(self, words: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """One word further.

        Args:
            words: N x R, the last word of each row.
            state: of N pictures with R rows.

        Returns:
            Log-probabilities of the next word (N x R x V, float32), the new state, attention weights (N x R x P).
        """
        embedded = self.embed_dropout(self.embedding(words))  # N x R x E
        state, context, weights = self._advance(self.from_word(embedded), state)
        return self._log_probabilities(state.hidden, context, embedded), state, weights

    def _log_probabilities(self, hidden: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        logits: Tensor = self.output.vocabulary(self.output.features(hidden, context, embedded))
        return logits.float().log_softmax(dim=-1)

    def _advance(self, of_word: Tensor, state: State) -> tuple[State, Tensor, Tensor]:
        """Attention, context gate and LSTM cell: the inside of the loop over words.

        Args:
            of_word: N x R x 4H, the last words' share of the LSTM gates; with `word_query` A more, their share of the query.

        Returns:
            The new state, the gated context (N x R x C) and the attention weights (N x R x P).
        """
        word_gates, *word_query = of_word.split(self.word_splits, dim=-1)
        query, gate, hidden_gates = self.from_hidden(state.hidden).split(self.splits, dim=-1)
        query = sum(word_query, query)
        context, weights = self.attention(query, state.keys, state.grid)
        context = gate.sigmoid() * context  # N x R x C: beta_t of section 4.2.1, here a gate for each channel
        gates = (word_gates + hidden_gates + self.from_context(context)).float()  # N x R x 4H; the state stays float32
        enter, forget, candidate, leave = gates.chunk(4, dim=-1)
        cell = forget.sigmoid() * state.cell + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * cell.tanh()  # N x R x H
        return replace(state, hidden=hidden, cell=cell), context, weights

    def search(
        self, grid: Tensor, options: SearchOptions, forbidden: tuple[int, ...], random: Randoms | None = None
    ) -> list[Result]:
        """What it says of N pictures, found word by word.

        Args:
            grid: N x P x C.
            options: how to search; `no_repeat_ngram` is the caller's to choose.
            forbidden: numbers of words that are never said.
            random: what sampling draws from for each picture; by default one for all, made of `options.seed`.
        """
        begin = torch.full((len(grid), 1), START, device=grid.device)
        return search(self.step, self.start(grid), begin, options, end=END, forbidden=forbidden, random=random)

    # --- all words of given captions: training ----------------------------------------------------------------------------

    def forward(self, grid: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """What `step` would give, fed the words of the captions one by one.

        Args:
            grid: N x P x C.
            captions: N x R x T, padded with PAD; R captions of each of the N pictures; at least one word in all.

        Returns:
            Log-probabilities of the word after each (N x R x T x V) and attention (N x R x T x P), zero where captions is PAD.
        """
        unrolled = self.unroll(grid, captions, (captions != PAD).sum(-1).cpu())
        log_probabilities = self._log_probabilities(unrolled.hidden, unrolled.context, unrolled.embedded)
        places = captions.numel()
        dense = log_probabilities.new_zeros(places, self.vocabulary_size).index_copy(0, unrolled.order, log_probabilities)
        weights = [F.pad(block, _padding(block, captions)) for block in unrolled.attention]
        attention = torch.stack(weights, dim=2)
        attention = F.pad(attention, (0, 0, 0, captions.shape[2] - attention.shape[2]))  # N x R x T x P
        return dense.unflatten(0, captions.shape), attention * (captions != PAD).unsqueeze(-1)

    def unroll(self, grid: Tensor, captions: Tensor, lengths: Tensor) -> Unrolled:
        """Runs the LSTM over the words of all captions, without the vocabulary layer.

        At word t only the pictures up to the last one, and of each the captions up to the last one, that still have words take
        part: with captions sorted by length (as batches are) hardly a finished caption is computed.

        Args:
            grid: N x P x C.
            captions: N x R x T word numbers; what lies beyond a caption's length is ignored.
            lengths: N x R words of each caption, on the CPU (the loop's bounds must not wait for the device); not all of them 0.
        """
        running = torch.arange(captions.shape[2]) < lengths.unsqueeze(-1)  # N x R x T, on the CPU
        n_pictures, n_captions, n_words = captions.shape
        blocks = [
            (min(_rounded(_extent(on.any(dim=1))), n_pictures), _extent(on.any(dim=0))) for on in running.unbind(2) if on.any()
        ]
        words = torch.cat([captions[:n, :r, t].flatten() for t, (n, r) in enumerate(blocks)])  # of all blocks
        embedded = self.embed_dropout(self.embedding(words))  # words x E
        of_words = self.from_word(embedded).split([n * r for n, r in blocks])  # one product for all words
        state = self.start(grid)
        state = replace(state, hidden=state.hidden.expand(-1, n_captions, -1), cell=state.cell.expand(-1, n_captions, -1))
        hiddens, contexts, attention, order, places = [], [], [], [], []
        attention_sum = torch.zeros(n_pictures, n_captions, grid.shape[1], device=grid.device)
        for t, (pictures, rows) in enumerate(blocks):
            on = running[:, :, t]
            state = State(
                state.grid[:pictures], state.keys[:pictures], state.hidden[:pictures, :rows], state.cell[:pictures, :rows]
            )
            state, context, weights = self._advance(of_words[t].unflatten(0, (pictures, rows)), state)
            block = on[:pictures, :rows]
            real = block.flatten().nonzero().squeeze(1).to(grid.device, non_blocking=True)
            hiddens.append(state.hidden.flatten(0, 1)[real])
            contexts.append(context.flatten(0, 1)[real])
            attention.append(weights)
            weights = weights * block.unsqueeze(-1).to(grid.device, non_blocking=True)
            attention_sum = attention_sum + F.pad(weights, _padding(weights, captions))
            places.append(block.flatten())
            order.append((on.flatten().nonzero().squeeze(1) * n_words + t).to(grid.device, non_blocking=True))
        embedded = embedded[torch.cat(places).nonzero().squeeze(1).to(grid.device, non_blocking=True)]
        return Unrolled(torch.cat(hiddens), torch.cat(contexts), embedded, attention_sum, attention, torch.cat(order))


def _extent(on: Tensor) -> int:
    """Index of the last true element, plus one."""
    return int(on.nonzero()[-1]) + 1


def _rounded(pictures: int) -> int:
    """Up to a multiple of 8: libraries make and keep a kernel for each shape of a product, and there may be hundreds."""
    return -(-pictures // 8) * 8


def _padding(block: Tensor, captions: Tensor) -> tuple[int, int, int, int, int, int]:
    """For `F.pad`: fills a block of the first pictures and captions (... x P) with zeros up to all of them."""
    return (0, 0, 0, captions.shape[1] - block.shape[1], 0, captions.shape[0] - block.shape[0])
