"""The decoder writes what transformers' `generate` writes, and what greedy decoding within the labels writes, whatever is drafted.

Models are in float64: batches, drafts and caches give logits other last digits, and in float32, which rounds those of a network with
random weights by a thousandth, one of thousands of tokens may hang on them, on one processor or another.
"""

import copy
import math
import random

import pytest
import torch

from hyperloader.corpora.prepared import load_corpus
from hyperloader.formulations.decoding import GreedyDecoder
from hyperloader.formulations.text_to_text import collate
from hyperloader.methods.registry import get_method
from hyperloader.models.backbones import open_backbone
from hyperloader.text.batches import IGNORED, Example, pad
from hyperloader.text.sentt import INSIDE, OUTSIDE, to_sbio
from hyperloader.text.t5_vocabulary import EOS, PAD
from hyperloader.training.loss import token_loss

pytestmark = pytest.mark.usefixtures("float64_throughout")

TASK, LIMIT = "atis", 40
SETTINGS = {
    "hyperloader": {"reduction_factor": 4, "lora_rank": 2, "task_dim": 8},
    "hyperformer_pp": {"reduction_factor": 4, "task_dim": 8},
    "hyperformer": {"reduction_factor": 4, "task_dim": 8},
    "hyperdecoder": {"encoder_bottleneck": 4, "decoder_bottleneck": 4, "hidden_dim": 8},
    "unipelt_t5": {"reduction_factor": 4, "lora_rank": 2},
    "full_finetuning": {},
}
# of float64's 16 digits, random weights cost the logits, in relation to the largest, and the probabilities up to five
TOLERANCE = 1e-9
# at this loss the format is learned and outputs differ; how soon depends on the method, and on the machine's rounding
LEARNED, STEPS = 0.7, 800
# training takes seconds
SLOW = [name for name in SETTINGS if name not in ("hyperdecoder", "full_finetuning")]
MODELS = pytest.mark.parametrize(
    ("name", "state"),
    [(name, "wild") for name in SETTINGS]
    + [pytest.param(name, "trained", marks=[pytest.mark.slow] if name in SLOW else []) for name in SETTINGS],
)


@pytest.fixture(scope="module")
def vocabulary(place):
    return open_backbone(place / "t5").vocabulary


@pytest.fixture(scope="module")
def corpus(place):
    return load_corpus(place / "data" / TASK)


@pytest.fixture(scope="module")
def models(place, corpus, vocabulary):
    """Of each method a model with random weights, which writes anything, and one that has learned the format; made when asked for."""
    known = {}

    def model_of(name, state):
        if (name, state) not in known:
            method = get_method(name)
            torch.manual_seed(0)
            tasks = {TASK: corpus.train_label_types} | ({"snips": ()} if method.multitask else {})
            model = method.build(open_backbone(place / "t5").model(), tasks, method.settings(SETTINGS[name])).eval().double()
            known[name, state] = scatter(model) if state == "wild" else teach(model, corpus, vocabulary)
        return known[name, state]

    return model_of


def scatter(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def teach(model, corpus, vocabulary):
    """A moment of training, of every weight."""
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.requires_grad_(True)
    examples = [Example(vocabulary.encode(sentence.words), vocabulary.encode_labels(to_sbio(sentence.tags))) for sentence in corpus.train]
    optimizer, draw = torch.optim.AdamW(model.parameters(), lr=5e-3), random.Random(0)
    for _ in range(STEPS):
        batch = collate(TASK, draw.sample(examples, 32))
        loss = token_loss(model.states(TASK, **batch.inputs), model.head(None), batch.labels) / (batch.labels != IGNORED).sum()
        if loss < LEARNED:
            break
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert loss < LEARNED
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
    return model


@pytest.fixture(scope="module")
def sentences(corpus):
    """Sentences of the corpus, and of its words in any order up to the longest that T5's sentinels can number."""
    draw = random.Random(0)
    words = sorted({word for sentence in corpus.test for word in sentence.words})
    return [sentence.words for sentence in corpus.test[:20]] + [draw.choices(words, k=length) for length in (1, 2, 30, 99)]


def generated(model, vocabulary, sentences, max_new_tokens):
    """What transformers writes, up to `</s>`."""
    input_ids = pad([vocabulary.encode(words) for words in sentences], PAD)
    mask = (input_ids != PAD).long()
    rows = model.generate(
        TASK, input_ids=input_ids, attention_mask=mask, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1
    ).tolist()
    return [row[1 : row.index(EOS) + 1 if EOS in row else None] for row in rows]


def decoded(decoder, model, vocabulary, sentences, max_new_tokens=LIMIT):
    with model.decoding(TASK):
        return decoder.decode(model, [vocabulary.encode(words) for words in sentences], sentences, max_new_tokens)


def labels_by_reference(model, vocabulary, labels, words):
    """Greedy decoding within the labels, one token and one whole forward pass at a time, in the plainest way."""
    pieces = {label: list(vocabulary.pieces(label)) for label in labels}
    source, written, probabilities, before = torch.tensor([vocabulary.encode(words)]), [PAD, vocabulary.sentinel(0)], [1.0], OUTSIDE
    for index in range(1, len(words) + 1):
        possible = [label for label in labels if label != INSIDE or before != OUTSIDE]
        start, sentinel = len(written), vocabulary.sentinel(index)
        while written[-1] != sentinel:
            prefix = written[start:]
            going = [pieces[label] for label in possible if pieces[label][: len(prefix)] == prefix]
            allowed = sorted({own[len(prefix)] if len(own) > len(prefix) else sentinel for own in going})
            with torch.no_grad():
                logits = model(task=TASK, input_ids=source, decoder_input_ids=torch.tensor([written])).logits[0, -1, allowed]
            written.append(allowed[int(logits.argmax())])
            probabilities.append(float(logits.softmax(0).max()))
        before = next(label for label in possible if pieces[label] == written[start:-1])
    return [*written[1:], EOS], [*probabilities, 1.0]


@MODELS
def test_free_outputs_are_those_of_transformers(models, vocabulary, corpus, sentences, name, state):
    model = models(name, state)
    expected = generated(model, vocabulary, sentences, LIMIT)
    assert len(set(map(tuple, expected))) > 1 or state == "wild"
    decoder = GreedyDecoder(vocabulary, corpus.train_label_types)
    assert [own.ids for own in decoded(decoder, model, vocabulary, sentences)] == expected
    # other company in the batch, and drafts from what was decoded before
    for part in (slice(0, 1), slice(5, 9), slice(15, None)):
        assert [own.ids for own in decoded(decoder, model, vocabulary, sentences[part])] == expected[part]
    for limit in (1, 2, 7):
        again = decoded(decoder, model, vocabulary, sentences, limit)
        assert [own.ids for own in again] == [ids[:limit] for ids in expected]


@pytest.mark.parametrize("limit", [128, 300])
def test_long_outputs_are_those_of_transformers(models, vocabulary, corpus, sentences, limit):
    model = models("hyperdecoder", "trained")
    decoder = GreedyDecoder(vocabulary, corpus.train_label_types)
    written = decoded(decoder, model, vocabulary, sentences, limit)
    assert [own.ids for own in written] == generated(model, vocabulary, sentences, limit)


@MODELS
def test_constrained_outputs_are_those_of_the_plainest_way(models, vocabulary, corpus, sentences, name, state):
    model, types = models(name, state), corpus.train_label_types
    some = [*sentences[:5], *sentences[-4:-1]]
    written = decoded(GreedyDecoder(vocabulary, types, "constrained"), model, vocabulary, some)
    for words, own in zip(some, written, strict=True):
        ids, probabilities = labels_by_reference(model, vocabulary, [OUTSIDE, INSIDE, *types], words)
        assert own.ids == ids
        assert own.probabilities == pytest.approx(probabilities, abs=TOLERANCE)


@pytest.mark.parametrize("name", SETTINGS)
def test_no_constrained_output_is_malformed(models, vocabulary, corpus, sentences, name):
    decoder = GreedyDecoder(vocabulary, corpus.train_label_types, "constrained")
    for words, own in zip(sentences, decoded(decoder, models(name, "wild"), vocabulary, sentences), strict=True):
        labels, malformed = vocabulary.read(own.ids, len(words), set(corpus.train_label_types))
        assert not malformed
        assert all(label != INSIDE or before != OUTSIDE for before, label in zip([OUTSIDE, *labels], labels, strict=False))


def test_one_label_of_more_pieces_than_there_are_labels(models, vocabulary, sentences):
    model, words, chosen = models("full_finetuning", "wild"), sentences[1], 0
    for letter in "abcdefghij":
        label = 12 * letter
        (own,) = decoded(GreedyDecoder(vocabulary, [label], "constrained"), model, vocabulary, [words])
        assert own.ids == labels_by_reference(model, vocabulary, [OUTSIDE, INSIDE, label], words)[0]
        chosen += vocabulary.read(own.ids, len(words), [label])[0].count(label)
    assert chosen > len(words)


def test_labels_that_begin_alike_and_in_pieces(models, vocabulary, sentences):
    """Labels of several pieces, one the beginning of another, one that begins as `I` does."""
    known = [word for word in ("a b", "a b c", "a d", "I x", "b") if vocabulary.label(vocabulary.pieces(word)) == word]
    words = sentences[0]
    for types in (known, [*words[:2], f"{words[0]} {words[1]}", f"{words[0]} {words[2]} {words[1]}", f"I {words[0]}"]):
        model = models("full_finetuning", "wild")
        written = decoded(GreedyDecoder(vocabulary, types, "constrained"), model, vocabulary, sentences[:6])
        for words_of, own in zip(sentences, written, strict=False):
            assert own.ids == labels_by_reference(model, vocabulary, [OUTSIDE, INSIDE, *types], words_of)[0]


@pytest.mark.parametrize("decoding", ["free", "constrained"])
def test_what_is_learned_changes_passes_and_no_token(models, vocabulary, corpus, decoding):
    model, types = models("hyperdecoder", "trained"), corpus.train_label_types
    batch = [sentence.words for sentence in corpus.test[:12]]

    def decode(labels_of, batch=batch):
        decoder = GreedyDecoder(vocabulary, types, decoding)
        for words in batch:
            decoder.learn(words, labels_of(words))
        written = decoded(decoder, model, vocabulary, batch, 128)
        return [own.ids for own in written], decoder.passes

    outputs, passes = decode(lambda words: [OUTSIDE] * len(words))
    wrong, _ = decode(lambda words: [types[len(word) % len(types)] for word in words])
    lost, _ = decode(lambda words: ([INSIDE, "no such label"] * len(words))[: len(words)])
    assert outputs == wrong == lost
    # an output without an end takes a pass for each of its last tokens, which no draft holds
    ended = [words for words, ids in zip(batch, outputs, strict=True) if ids[-1] == EOS]
    outputs, passes = decode(lambda words: [OUTSIDE] * len(words), ended)
    assert passes < max(map(len, outputs))


def test_a_right_draft_takes_one_pass(models, vocabulary, corpus):
    model, types, words = models("hyperdecoder", "trained"), corpus.train_label_types, corpus.test[0].words
    decoder = GreedyDecoder(vocabulary, types, "constrained")
    (own,) = decoded(decoder, model, vocabulary, [words])
    again = GreedyDecoder(vocabulary, types, "constrained")
    distinct = [f"{number}" for number in range(len(words))]
    again.learn(distinct, vocabulary.read(own.ids, len(words), set(types))[0])
    with model.decoding(TASK):
        (same,) = again.decode(model, [vocabulary.encode(words)], [distinct], 128)
    assert same.ids == own.ids and again.passes == 1


@MODELS
def test_probabilities_are_those_of_one_forward_pass(models, vocabulary, corpus, sentences, name, state):
    model = models(name, state)
    for words, own in zip(
        sentences[:4], decoded(GreedyDecoder(vocabulary, corpus.train_label_types), model, vocabulary, sentences[:4]), strict=True
    ):
        with torch.no_grad():
            logits = model(
                task=TASK, input_ids=torch.tensor([vocabulary.encode(words)]), decoder_input_ids=torch.tensor([[PAD, *own.ids[:-1]]])
            ).logits[0]
        expected = logits.softmax(-1).gather(1, torch.tensor(own.ids)[:, None])[:, 0]
        assert own.probabilities == pytest.approx(expected.tolist(), abs=TOLERANCE)


def test_merged_weights_write_the_same_and_are_gone_afterwards(models, vocabulary, corpus, sentences):
    model = models("hyperloader", "wild")
    source = {"input_ids": torch.tensor([vocabulary.encode(sentences[0])]), "decoder_input_ids": torch.tensor([[PAD, 5, 6]])}
    with torch.no_grad():
        before, encoded = (model(task=TASK, **source)[key] for key in ("logits", "encoder_last_hidden_state"))
        with model.decoding(TASK):
            inside = model.backbone(**source)
            merged = inside.logits
        after = model(task=TASK, **source).logits
    assert torch.equal(before, after)
    # which passes once
    assert torch.equal(encoded, inside.encoder_last_hidden_state)
    # the same sums in another order: other last digits, and no more
    assert not torch.equal(before, merged)
    torch.testing.assert_close(merged, before, rtol=0, atol=TOLERANCE * before.abs().max().item())


def test_adapters_per_sentence_are_generated_once_a_batch(models, vocabulary, corpus, sentences):
    model, calls = models("hyperdecoder", "trained"), []
    handle = model.generator.register_forward_hook(lambda *_: calls.append(1))
    decoder = GreedyDecoder(vocabulary, corpus.train_label_types)
    decoded(decoder, model, vocabulary, sentences)
    handle.remove()
    assert len(calls) == 1 < decoder.passes


def test_a_model_is_whole_after_a_failure(models, vocabulary, corpus):
    model = models("hyperloader", "wild")
    head = model.backbone.lm_head
    with pytest.raises(IndexError):
        decoded(GreedyDecoder(vocabulary, corpus.train_label_types), model, type("Far", (), {"encode": lambda *_: [10**6]}), [["a"]])
    assert model.backbone.lm_head is head


def test_bf16_is_decoded_too(models, vocabulary, corpus, sentences):
    model = copy.deepcopy(models("full_finetuning", "wild")).bfloat16()
    written = decoded(GreedyDecoder(vocabulary, corpus.train_label_types, "constrained"), model, vocabulary, sentences)
    assert all(own.ids[-1] == EOS and all(0 < probability <= 1 for probability in own.probabilities) for own in written)


def test_confidences_multiply_the_tokens_of_a_label(vocabulary, corpus):
    from hyperloader.formulations.text_to_text import TextToText

    first, second = corpus.train_label_types[:2]
    formulation = TextToText(vocabulary, {TASK: (first, second)})
    ids = vocabulary.encode([first, OUTSIDE, "unheard"])
    probabilities = [1 - 0.01 * place for place in range(len(ids))]
    prediction = formulation.read(TASK, 4, ids, probabilities)
    piece, end = ids.index(vocabulary.sentinel(0)) + 1, ids.index(vocabulary.sentinel(1))
    assert prediction.tags == [f"B-{first}", "O", "O", "O"] and prediction.malformed
    assert prediction.confidences[0] == pytest.approx(math.prod(probabilities[piece : end + 1]))
    assert prediction.confidences[2:] == [0, 0]


def test_the_authors_saw_the_labels_that_fit_into_their_targets(vocabulary):
    from hyperloader.formulations.text_to_text import TextToText

    formulation = TextToText(vocabulary, {TASK: ()})
    # 127 ids are left beside </s>: the first sentinel, and 63 labels of one piece with a sentinel each
    assert len(vocabulary.pieces(OUTSIDE)) == 1
    assert [formulation.gold_words([OUTSIDE] * length) for length in (0, 1, 62, 63, 64, 99)] == [0, 1, 62, 63, 63, 63]
