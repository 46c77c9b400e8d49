"""Self-critical training: what is drawn, what it is worth, which way the weights go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training_kit import events, make_batch, run, small

from showtell.data.batches import Batch, Item, collate
from showtell.data.records import Record
from showtell.metrics import cider_d
from showtell.model.decoder import Decoder
from showtell.model.options import DecoderOptions
from showtell.training.loss import TrainingModel
from showtell.training.self_critical import Reward, SelfCritical
from showtell.vocabulary import END, PAD, START, UNK, VocabularyOptions, build_vocabulary

WORDS = 9
"""In the vocabulary, the four special ones included."""
CAPTIONS = [["a dog runs on the grass", "the dog runs"], ["a cat sleeps on a red sofa", "one cat on a sofa"], ["two men talk"]]


class Likes:
    """A reward of one word: the share of it in a caption. It notes what it was asked."""

    def __init__(self, word: int) -> None:
        self.word, self.asked = word, list[tuple[Any, Any]]()

    def __call__(self, captions: Sequence[Sequence[Sequence[int]]], numbers: Sequence[int]) -> Tensor:
        self.asked.append((captions, numbers))
        return torch.tensor([[caption.count(self.word) / len(caption) for caption in each] for each in captions])


def build(reward: Any, count: int = 3, **options: Any) -> SelfCritical:
    torch.manual_seed(0)
    decoder = Decoder(
        DecoderOptions(**({"embed_size": 5, "hidden_size": 7, "attention_dim": 4, "dropout": 0.0} | options)), WORDS, 6
    )
    return SelfCritical(None, decoder, reward, count)


def grids(pictures: int) -> Batch:
    random = torch.Generator().manual_seed(1)
    return collate([Item(torch.randn(4, 6, generator=random), [[START, 5, END]], number=40 + i) for i in range(pictures)])


# ---------------------------------------------------------------------------------------------------------- what is drawn


def test_captions_are_drawn_as_the_models_probabilities_have_it() -> None:
    model, batch, draws = build(Likes(5), count=500).eval(), grids(1), 4
    with torch.no_grad():
        model.decoder.output.vocabulary.weight.mul_(15)  # fresh weights would guess all words alike
    drawn = [caption for _ in range(draws) for caption in model.draw(batch.pictures)[0]]
    assert all(caption[0] == START and END not in caption[:-1] for caption in drawn)
    first = Counter(caption[1] for caption in drawn)
    with torch.no_grad():
        log_probabilities, *_ = model.decoder.step(torch.tensor([[START]]), model.decoder.start(batch.pictures))
    said = log_probabilities[0, 0].exp()
    said[END] = 0  # a caption has a word at least
    for word in range(WORDS):
        share = float(said[word] / said.sum())
        assert first[word] / len(drawn) == pytest.approx(share, abs=4 * (0.25 / len(drawn)) ** 0.5)  # four standard deviations
    assert len(first) > 2


def test_the_generator_that_a_checkpoint_keeps_decides_what_is_drawn() -> None:
    model, batch = build(Likes(5)).train(), grids(2)
    torch.manual_seed(3)
    drawn = model.draw(batch.pictures)
    torch.manual_seed(3)
    assert drawn == model.draw(batch.pictures)
    assert drawn != model.draw(batch.pictures)
    assert [[len(caption) for caption in each] for each in drawn] == [sorted(map(len, each), reverse=True) for each in drawn]


# ----------------------------------------------------------------------------------------------------- what it is worth


def reward() -> Reward:
    records = [Record(str(i), Path(f"{i}.jpg"), tuple(captions), "train") for i, captions in enumerate(CAPTIONS)]
    words = build_vocabulary([caption for each in CAPTIONS for caption in each], VocabularyOptions(min_frequency=1))
    return Reward(records, words)


def test_the_reward_is_cider_d_of_the_pictures_own_references() -> None:
    worth = reward()
    said = [["a cat sleeps on the grass", "two men talk"], ["a dog on a sofa", "the dog runs"]]
    scores = worth([[worth.vocabulary.encode(caption) for caption in each] for each in said], [1, 0])
    assert scores.shape == (2, 2)
    references = [[f"{caption} <end>".split() for caption in each] for each in CAPTIONS]
    for each, number, row in zip(said, (1, 0), scores, strict=True):
        for caption, score in zip(each, row, strict=True):
            texts = [["none"], ["none"], ["none"]]
            texts[number] = f"{caption} <end>".split()
            assert float(score) == pytest.approx(cider_d(texts, references)[number])
    assert scores[1, 1] > 2 * scores[1, 0] > 0


def test_a_caption_that_breaks_off_loses_and_unknown_words_gain_nothing() -> None:
    worth = reward()
    whole = worth.vocabulary.encode("the dog runs")
    broken, ended = worth([[whole[:-1], whole]], [0])[0]
    assert broken < ended
    with_unknown = Reward(
        [Record("0", Path("0.jpg"), ("a zebra runs",), "train"), Record("1", Path("1.jpg"), ("two men talk",), "train")],
        worth.vocabulary,
    )
    start, a, unknown, runs, end = worth.vocabulary.encode("a zebra runs")
    assert unknown == UNK
    guessed, plain = with_unknown([[[start, a, UNK, runs, end], [start, a, PAD, runs, end]]], [0])[0]
    assert guessed == plain > 0


# ------------------------------------------------------------------------------------------------- which way weights go


def test_the_loss_is_the_cross_entropy_of_its_captions_each_times_how_much_better_it_is() -> None:
    likes = Likes(6)
    model, batch = build(likes, dropout=0.8, embed_dropout=0.8, grid_dropout=0.8).train(), grids(5)  # none takes part
    loss, tally = model(batch)
    ((captions, numbers),) = likes.asked
    assert sorted(numbers) == [40, 41, 42, 43, 44] == sorted(batch.numbers)
    expected, words = torch.zeros(()), 0
    for grid, each, scores in zip(batch.pictures, captions, likes(captions, numbers), strict=True):
        for i, caption in enumerate(each):
            others = torch.cat([scores[:i], scores[i + 1 :]]).mean()
            state = model.decoder.start(grid[None])
            for word, following in pairwise(caption):
                log_probabilities, state, _ = model.decoder.step(torch.tensor([[word]]), state)
                expected, words = expected - (scores[i] - others) * log_probabilities[0, 0, following], words + 1
    assert tally.words == words
    assert model.figures == {"reward": pytest.approx(float(likes(captions, numbers).mean()))}
    torch.testing.assert_close(loss, expected / words)
    parameters = [*model.decoder.parameters()]
    for mine, plain in zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(expected / words, parameters), strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-5, rtol=1e-4)


def test_what_is_rewarded_is_said_more_often() -> None:
    model, batch = build(Likes(7), count=6).train(), grids(2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)

    def share() -> float:
        return float(Likes(7)(model.draw(batch.pictures), ()).mean())

    torch.manual_seed(0)
    before = share()
    for _ in range(30):
        optimizer.zero_grad()
        model(batch)[0].backward()
        optimizer.step()
    assert before < 0.3 < 0.7 < share()


def test_it_is_validated_as_every_model_is() -> None:
    model, batch = build(Likes(5)).eval(), make_batch(0, [[5, 4], [3]], vocabulary=WORDS)
    plain = TrainingModel(None, model.decoder, copies=1).eval()
    loss, tally = model(batch)
    assert loss == plain(batch)[0] and torch.equal(tally.stack(), plain(batch)[1].stack())


def test_a_run_logs_what_its_captions_were_worth(tmp_path: Path, scenes: Path) -> None:
    folder = run(small(tmp_path, scenes, self_critical=2, monitor="cider"))
    rewards = [step["reward"] for step in events(folder, "step")]
    assert len(rewards) == 6 and all(0 <= reward <= 10 for reward in rewards)


@pytest.mark.parametrize(("changes", "said"), [({"self_critical": 1}, "must be 0, or 2"), ({"self_critical": 2}, "monitor")])
def test_settings_that_make_no_sense_are_named(tmp_path: Path, scenes: Path, changes: dict[str, int], said: str) -> None:
    assert said in " ".join(small(tmp_path, scenes, **changes).training.problems())
