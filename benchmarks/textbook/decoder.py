"""The soft-attention decoder as tutorials write it: every caption its own copy of the grid, everything anew for every word.

It has its own weights in the customary places; `load_from` fills them from showtell's decoder, so that both compute the same.
Captions come flat here: B captions, each with its own grid (pictures repeated once a caption).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from showtell.model.decoder import Decoder


class Attention(nn.Module):
    """Additive attention over one grid a caption."""

    def __init__(self, channels: int, hidden_size: int, attention_dim: int) -> None:
        super().__init__()
        self.encoder_att = nn.Linear(channels, attention_dim)
        self.decoder_att = nn.Linear(hidden_size, attention_dim)
        self.full_att = nn.Linear(attention_dim, 1, bias=False)

    def forward(self, grid: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        att1 = self.encoder_att(grid)  # B x P x A, the same for every word, computed for every word
        att2 = self.decoder_att(hidden)  # B x A
        scores = self.full_att(torch.tanh(att1 + att2.unsqueeze(1))).squeeze(2)  # B x P
        alpha = scores.softmax(dim=1)
        return (grid * alpha.unsqueeze(2)).sum(dim=1), alpha


class TextbookDecoder(nn.Module):
    """LSTM cell, attention and vocabulary layer, one word after another over the whole padded batch."""

    def __init__(
        self, embed_size: int, hidden_size: int, attention_dim: int, channels: int, vocabulary_size: int, grid_size: int = 0
    ) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.project = nn.Linear(channels, grid_size) if grid_size else None
        channels = grid_size or channels
        self.embedding = nn.Embedding(vocabulary_size, embed_size)
        self.attention = Attention(channels, hidden_size, attention_dim)
        self.init_h = nn.Linear(channels, hidden_size)
        self.init_c = nn.Linear(channels, hidden_size)
        self.f_beta = nn.Linear(hidden_size, channels)
        self.decode_step = nn.LSTMCell(embed_size + channels, hidden_size)
        self.fc = nn.Linear(hidden_size, vocabulary_size)

    def forward(self, grid: Tensor, captions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B x P x C, B x T, B) -> logits B x T x V and alphas B x T x P, zero beyond each caption's length."""
        batch, words = captions.shape
        if self.project:
            grid = torch.relu(self.project(grid))
        embedded = self.embedding(captions)
        h = torch.tanh(self.init_h(grid.mean(dim=1)))
        c = torch.tanh(self.init_c(grid.mean(dim=1)))
        logits = grid.new_zeros(batch, words, self.vocabulary_size)
        alphas = grid.new_zeros(batch, words, grid.shape[1])
        for t in range(words):
            context, alpha = self.attention(grid, h)
            context = torch.sigmoid(self.f_beta(h)) * context
            h, c = self.decode_step(torch.cat([embedded[:, t], context], dim=1), (h, c))
            on = (lengths > t).to(grid.dtype).unsqueeze(1)
            logits[:, t] = self.fc(h) * on
            alphas[:, t] = alpha * on
        return logits, alphas

    @torch.no_grad()
    def load_from(self, decoder: Decoder) -> TextbookDecoder:
        """Takes over the weights of showtell's decoder (with the plain output layer)."""
        query, gate, recurrent = decoder.from_hidden.weight.split(decoder.splits)
        query_bias, gate_bias, recurrent_bias = decoder.from_hidden.bias.split(decoder.splits)
        pairs = [
            (self.embedding.weight, decoder.embedding.weight),
            (self.attention.encoder_att.weight, decoder.attention.to_keys.weight),
            (self.attention.encoder_att.bias, decoder.attention.to_keys.bias),
            (self.attention.decoder_att.weight, query),
            (self.attention.decoder_att.bias, query_bias),
            (self.attention.full_att.weight, decoder.attention.v.unsqueeze(0)),
            (self.init_h.weight, decoder.initial_hidden.weight),
            (self.init_h.bias, decoder.initial_hidden.bias),
            (self.init_c.weight, decoder.initial_cell.weight),
            (self.init_c.bias, decoder.initial_cell.bias),
            (self.f_beta.weight, gate),
            (self.f_beta.bias, gate_bias),
            (self.decode_step.weight_ih, torch.cat([decoder.from_word.weight, decoder.from_context.weight], dim=1)),
            (self.decode_step.bias_ih, decoder.from_word.bias),
            (self.decode_step.weight_hh, recurrent),
            (self.decode_step.bias_hh, recurrent_bias),
            (self.fc.weight, decoder.output.vocabulary.weight),
            (self.fc.bias, decoder.output.vocabulary.bias),
        ]
        if self.project:
            pairs += [(self.project.weight, decoder.projection[0].weight), (self.project.bias, decoder.projection[0].bias)]
        for mine, theirs in pairs:
            mine.copy_(theirs)
        return self
