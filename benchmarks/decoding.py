"""Decoding speed: transformers' greedy `generate` beside ours, every output compared, in one process.

    python benchmarks/decoding.py --run RUN                  # a trained run on its own test sets
    python benchmarks/decoding.py --shape t5-base            # what one pass of a decoder costs at that shape, random weights
    python benchmarks/decoding.py --shape t5-base --synthetic 20517 --precision bf16

The last form tags that many of the real test sentences (all are 20,517) with random weights, constrained, and needs `HYPERLOADER_MIRROR` or
the internet. Random weights are the worst case for drafts: no word tells anything of its label. `generate` has a key-value cache
and batches of 32, and in all arrangements a task's weights are generated once. The last line is JSON. Run beside nothing else.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from training import T5_BASE, real_corpora
from transformers import T5Config, T5ForConditionalGeneration
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from hyperloader.cli.standard_streams import told_in_one_line
from hyperloader.corpora.prepared import PreparedCorpus, load_corpus
from hyperloader.corpora.registry import known_corpora
from hyperloader.formulations import batches_by_length
from hyperloader.formulations.decoding import GreedyDecoder
from hyperloader.methods.loading import from_pretrained
from hyperloader.methods.registry import get_method
from hyperloader.models.backbones import open_backbone
from hyperloader.models.precision import arithmetic
from hyperloader.models.task_model import TaskModel
from hyperloader.runs.run import Run
from hyperloader.text.batches import pad
from hyperloader.text.sentt import to_sbio
from hyperloader.text.t5_vocabulary import EOS, PAD, Vocabulary
from hyperloader.training.backbones.making import t5_pieces

SHAPES = {"t5-base": T5_BASE, "tiny": {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 32128}}
BATCH, ROUNDS, SEED = 32, 3, 42
# tokens on both sides, near the means of the real corpora
SOURCE, DRAFT = 28, 32
TARGET_LENGTH = 128
Outputs = list[list[int]]


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.run:
        summary = compare(options.run, device)
    elif options.synthetic:
        with arithmetic(device, options.precision):
            summary = synthetic(options, device)
    else:
        with arithmetic(device, options.precision):
            summary = costs(random_model(options.shape, {"task": ()}, options.precision, device))
    print(json.dumps({"benchmark": "decoding", "device": str(device), "threads": options.threads} | summary))


def compare(run: Path, device: torch.device) -> dict:
    """A run's test sets, decoded by transformers and by ours."""
    run = Run(run)
    settings = run.settings
    model = from_pretrained(run.model).to(device)
    vocabulary = open_backbone(run.backbone).vocabulary
    corpora = {name: load_corpus(path, settings.percent) for name, path in settings.data.items()}
    limit, length = settings.training.target_length, settings.training.source_length
    reference, arrangements, passes = {}, {"generate": 0.0, "free": 0.0, "constrained": 0.0}, {}
    differing, tokens, batches = 0, 0, 0
    # the first round warms up
    for number in range(ROUNDS + 1):
        for name, corpus in corpora.items():
            sentences = [sentence.words for sentence in corpus.test]
            sources = [vocabulary.encode(words, length) for words in sentences]
            batches += 0 if number else len(list(batches_by_length(list(map(len, sources)))))
            reference[name], seconds = timed(lambda: generate(model, name, sources, limit))  # noqa: B023
            arrangements["generate"] += seconds if number else 0
            for decoding in ("free", "constrained"):
                (own, decoder), seconds = timed(lambda: decode(model, vocabulary, corpus, sources, decoding, limit))  # noqa: B023
                arrangements[decoding] += seconds if number else 0
                passes[decoding, name] = decoder.passes
                if decoding == "free" and not number:
                    differing += sum(map(differences, own, reference[name]))
                    tokens += sum(map(len, reference[name]))
    sentences = sum(len(corpus.test) for corpus in corpora.values())
    speeds = {name: ROUNDS * sentences / seconds for name, seconds in arrangements.items()}
    for name, speed in speeds.items():
        print(f"{name:12} {speed:8.0f} sentences/s   {speed / speeds['generate']:.2f}", flush=True)
    return {
        "sentences": sentences,
        "sentences_per_second": {name: round(speed, 1) for name, speed in speeds.items()},
        "ratio_free": round(speeds["free"] / speeds["generate"], 2),
        "ratio_constrained": round(speeds["constrained"] / speeds["generate"], 2),
        "passes_per_batch": {
            decoding: round(sum(count for (kind, _), count in passes.items() if kind == decoding) / batches, 2)
            for decoding in ("free", "constrained")
        },
        "tokens": tokens,
        "differing_tokens": differing,
    }


def generate(model: TaskModel, task: str, sources: Sequence[Sequence[int]], limit: int) -> Outputs:
    """Outputs by transformers, up to `</s>`."""
    outputs: Outputs = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        input_ids = pad([sources[index] for index in chosen], PAD).to(model.backbone.device)
        mask = (input_ids != PAD).long()
        rows = model.generate(task, input_ids=input_ids, attention_mask=mask, max_new_tokens=limit, do_sample=False, num_beams=1)
        for index, row in zip(chosen, rows.tolist(), strict=True):
            outputs[index] = row[1 : row.index(EOS) + 1 if EOS in row else None]
    return outputs


def decode(model: TaskModel, vocabulary: Vocabulary, corpus: PreparedCorpus, sources, decoding: str, limit: int):
    """Outputs by ours, learning from the training sentences included, and the decoder."""
    decoder = GreedyDecoder(vocabulary, corpus.train_label_types, decoding)
    for sentence in corpus.train:
        decoder.learn(sentence.words, to_sbio(sentence.tags))
    outputs: Outputs = [[] for _ in sources]
    with model.decoding(corpus.name):
        for chosen in batches_by_length([len(source) for source in sources]):
            batch = [sources[index] for index in chosen], [corpus.test[index].words for index in chosen]
            for index, written in zip(chosen, decoder.decode(model, *batch, limit), strict=True):
                outputs[index] = written.ids
    return outputs, decoder


def differences(own: list[int], other: list[int]) -> int:
    """Places in which two outputs differ; what one has more counts."""
    return sum(a != b for a, b in zip(own, other, strict=False)) + abs(len(own) - len(other))


def costs(model: TaskModel) -> dict:
    """Seconds of one pass of the decoder with its head: a token after a cache of half a draft, and a whole draft."""
    task, device = next(iter(model.tasks)), model.backbone.device
    generator = torch.Generator().manual_seed(SEED)
    input_ids, ids = (torch.randint(3, 1000, (BATCH, length), generator=generator).to(device) for length in (SOURCE, DRAFT))
    with model.decoding(task):
        encoded = BaseModelOutput(model.backbone.encoder(input_ids=input_ids).last_hidden_state)

        def a_pass(fed, known):
            cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
            inputs = {"encoder_outputs": encoded, "past_key_values": cache, "use_cache": True}
            model.backbone(**inputs, decoder_input_ids=ids[:, :known] if known else fed)
            # once again, with the keys and values of the source at hand
            cache.crop(known)
            return timed(lambda: model.backbone(**inputs, decoder_input_ids=fed))[1]

        token = min(a_pass(ids[:, :1], DRAFT // 2) for _ in range(ROUNDS))
        draft = min(a_pass(ids, 0) for _ in range(ROUNDS))
    print(
        f"one token {token * 1e3:.1f} ms, a draft of {DRAFT} {draft * 1e3:.1f} ms, {DRAFT} tokens one by one {DRAFT * token * 1e3:.0f} ms"
    )
    return {
        "batch_size": BATCH,
        "draft_tokens": DRAFT,
        "token_ms": round(token * 1e3, 2),
        "draft_ms": round(draft * 1e3, 2),
        "drafts_for_the_price_of_one_by_one": round(DRAFT * token / draft, 2),
    }


def synthetic(options, device: torch.device) -> dict:
    """Real test sentences through a model with random weights, constrained."""
    corpora, vocabulary = real_corpora(known_corpora()), Vocabulary(t5_pieces())
    model = random_model(options.shape, {name: corpus.train_label_types for name, corpus in corpora.items()}, options.precision, device)
    total, seconds, passes = sum(len(corpus.test) for corpus in corpora.values()), 0.0, 0
    number = 0
    for name, corpus in corpora.items():
        # of each corpus its share
        kept = round(len(corpus.test) * min(1, options.synthetic / total))
        corpus.test[:] = corpus.test[:: max(1, len(corpus.test) // max(1, kept))][:kept]
        if not corpus.test:
            continue
        sources = [vocabulary.encode(sentence.words, TARGET_LENGTH) for sentence in corpus.test]
        (_, decoder), own = timed(lambda: decode(model, vocabulary, corpus, sources, "constrained", TARGET_LENGTH))  # noqa: B023
        seconds, passes, number = seconds + own, passes + decoder.passes, number + len(sources)
        print(f"{name:12} {len(sources):6} sentences in {own:6.1f} s, {decoder.passes} passes", flush=True)
    return {
        "shape": options.shape,
        "precision": options.precision,
        "sentences": number,
        "seconds": round(seconds, 1),
        "sentences_per_second": round(number / seconds, 1),
        "passes": passes,
    }


def random_model(shape: str, tasks: dict, precision: str, device: torch.device) -> TaskModel:
    """HyperLoader on a T5 with random weights."""
    torch.manual_seed(SEED)
    method = get_method("hyperloader")
    backbone = T5ForConditionalGeneration(T5Config(**SHAPES[shape], decoder_start_token_id=PAD))
    model = method.build(backbone, tasks, method.settings({})).eval()
    model.place(device, precision)
    return model


def timed(work: Callable):
    """The result of some work and its seconds."""
    started = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - started


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, help="a trained run")
    what.add_argument("--shape", choices=SHAPES, help="random weights")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="real test sentences to tag at that shape")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of random weights")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


if __name__ == "__main__":
    with told_in_one_line():
        main()
