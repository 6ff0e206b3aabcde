"""Greedy decoding of SentT': a whole draft in one pass of the decoder, the part that the model agrees with kept, the rest drafted anew.

The structure of the output is known, so a draft needs a guess of each word's label only: the one that the word had last, in what
was learned or decoded before. One pass of the decoder over the draft gives the model's own token in every place. Up to and with the
first one that differs from the draft, these are the tokens that decoding token by token would write, whatever the draft was; after
it they are the guesses of the next draft (docs/decoding.md).

`free` decoding is greedy over the whole vocabulary. `constrained` decoding is greedy over what the tries of the task's labels allow,
`I` only after a span, and writes the sentinels itself, so that no output is malformed; it knows no longest output.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from hyperloader.config.settings import Decoding
from hyperloader.formulations.decoding.drafts import Draft, Drafts
from hyperloader.formulations.decoding.guesses import Guesses
from hyperloader.formulations.decoding.labels import OUT, LabelTables
from hyperloader.models.task_model import TaskModel, headless
from hyperloader.text.batches import pad
from hyperloader.text.t5_vocabulary import PAD, Vocabulary

# for whose next tokens logits are computed at a time
LOGIT_CHUNK = 512


class Written(NamedTuple):
    """What was written for one sentence.

    Attributes:
        ids: the tokens, `</s>` with them if it was written.
        probabilities: of each token among all that it was chosen from.
    """

    ids: list[int]
    probabilities: list[float]


class GreedyDecoder:
    """Decodes sentences of one task.

    Args:
        vocabulary: of the backbone.
        types: the slot types that the task may write.
        decoding: `free` or `constrained`.

    Attributes:
        passes: passes of the decoder so far.
    """

    def __init__(self, vocabulary: Vocabulary, types: Iterable[str], decoding: Decoding = "free"):
        self._tables, self._constrained = LabelTables(vocabulary, types), decoding == "constrained"
        self._guesses = Guesses()
        self.passes = 0

    def learn(self, words: Sequence[str], labels: Sequence[str]) -> None:
        """Draft these sBIO labels for these words from now on; outputs do not depend on it, the number of passes does."""
        numbers = self._tables.numbers
        self._guesses.learn(words, [numbers.get(label, OUT) for label in labels])

    def apart(self) -> GreedyDecoder:
        """One that drafts what this one would, and learns apart from it: so that a call's last bits depend on no other call."""
        other = copy(self)
        other._guesses, other.passes = self._guesses.copy(), 0
        return other

    @torch.no_grad()
    def decode(
        self, model: TaskModel, sources: Sequence[Sequence[int]], sentences: Sequence[Sequence[str]], max_new_tokens: int
    ) -> list[Written]:
        """Decode one batch with a model that is `model.decoding(task)`.

        Args:
            model: on any T5.
            sources: ids of the sentences.
            sentences: their words.
            max_new_tokens: where a free output is cut.
        """
        backbone = model.backbone
        device = backbone.device
        guesses = [self._guesses.guess(words) for words in sentences]
        limit = None if self._constrained else max_new_tokens
        drafts = Drafts(self._tables, guesses, limit, constrained=self._constrained)
        choose = (_Constrained if self._constrained else _Free)(backbone.lm_head, self._tables, max(map(len, sentences)))
        input_ids = pad(sources, PAD).to(device)
        mask = (input_ids != PAD).long()
        encoded = {"input_ids": input_ids}
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        t5 = headless(backbone)
        while len(drafts.active):
            # a token's keys and values are known once it is written and was read; the last one written was not
            known = int(drafts.written[drafts.active].min())
            cache.crop(known)
            draft = drafts.draft()
            fed = torch.from_numpy(drafts.ids[drafts.active, known : draft.position.max()]).to(device)
            output = t5(**encoded, attention_mask=mask, decoder_input_ids=fed, past_key_values=cache, use_cache=True)
            self.passes += 1
            places = torch.from_numpy(np.stack([draft.row, draft.position - 1 - known])).to(device)
            going = drafts.advance(draft, *choose(output.logits[*places], draft))
            states = output.encoder_last_hidden_state
            if not going.all():
                rows = torch.from_numpy(np.flatnonzero(going)).to(device)
                states, mask = states[rows], mask[rows]
                cache.batch_select_indices(rows)
                model.select(rows, states)
            encoded = {"encoder_outputs": BaseModelOutput(states)}
        for words, labels in zip(sentences, drafts.labels(), strict=True):
            self._guesses.learn(words, labels)
        return [
            Written(ids[1 : count + 1].tolist(), probabilities[1 : count + 1].tolist())
            for ids, probabilities, count in zip(drafts.ids, drafts.probabilities, drafts.written, strict=True)
        ]


class _Free:
    """The likeliest token of all."""

    def __init__(self, head: nn.Linear, tables: LabelTables, longest: int):
        self._head = head

    def __call__(self, hidden_ND: Tensor, draft: Draft) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each drafted token the answer, what to guess from, and the answer's probability."""
        # in parts, since over a whole vocabulary they are the largest tensors of all
        parts = [self._choose(part_ND) for part_ND in hidden_ND.split(LOGIT_CHUNK)]
        tokens, total = (torch.cat(own).cpu().numpy() for own in zip(*parts, strict=True))
        return tokens, tokens, 1 / total

    def _choose(self, hidden_ND: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._head(hidden_ND)
        best, tokens = logits.max(-1, keepdim=True)
        # the likeliest token's own term of the sum is 1
        return tokens[:, 0], logits.float().sub_(best).exp_().sum(-1)


class _Constrained:
    """The likeliest token of those that continue a label, or that end it; only their logits are computed."""

    def __init__(self, head: nn.Linear, tables: LabelTables, longest: int):
        self._tables, device = tables, head.weight.device
        separators = tables.vocabulary.sentinel(np.arange(longest + 1))
        self._weight_CD = head.weight[torch.from_numpy(np.concatenate([tables.columns, separators])).to(device)]
        self._first_separator = int(separators[0])
        self._allowed_NC = torch.from_numpy(tables.allowed_NC).to(device)

    def __call__(self, hidden_ND: Tensor, draft: Draft) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each drafted token the answer, what to guess from, and the answer's probability."""
        tables, end = self._tables, self._tables.end
        logits = F.linear(hidden_ND, self._weight_CD).float()
        # the sentinel that ends the segment; after the last one </s> has no rival, and any logit serves
        ending = np.clip(self._first_separator - draft.separator, 0, logits.shape[1] - end - 1) + end
        index = torch.from_numpy(np.stack([draft.node, tables.opened_N[draft.node], ending])).to(logits.device)
        scores_NC = torch.cat([logits[:, :end], logits.gather(1, index[2][:, None])], dim=1)
        allowed, guessable = (scores_NC.masked_fill(~self._allowed_NC[nodes], -torch.inf) for nodes in index[:2])
        best, answers = allowed.max(-1)
        probabilities = (best - allowed.logsumexp(-1)).exp()
        columns = torch.stack([answers, guessable.argmax(-1)]).cpu().numpy()
        tokens = np.where(columns == end, draft.separator, np.append(tables.columns, 0)[columns])
        return *tokens, probabilities.cpu().numpy()
