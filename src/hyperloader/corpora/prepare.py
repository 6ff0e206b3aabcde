"""From raw files to a `datasets` folder: `tokens` and `tags` of train, validation and test, and a manifest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

from hyperloader.corpora.fetching.manifests import GENERATED, RawEntry, read_manifest
from hyperloader.corpora.prepared import (
    MANIFEST,
    SPLITS,
    PreparedCorpus,
    PreparedManifest,
    load_corpus,
    read_prepared_manifest,
    slot_type,
    slot_types,
)
from hyperloader.corpora.readers import nested_slots, read_split
from hyperloader.corpora.registry import Corpus, get_corpus
from hyperloader.corpora.splits import hold_out
from hyperloader.errors import CorpusError
from hyperloader.files import replacing_folder, sha256, there
from hyperloader.text.sentences import Sentence

__all__ = ["PreparedCorpus", "load_corpus", "prepare"]


def prepare(corpus: Corpus | str, raw_folder: str | Path, folder: str | Path, seed: int = 42, *, replace: bool = False) -> Path:
    """Read the raw files of a corpus and store it as a `datasets.DatasetDict` with a `manifest.json`.

    The features are `tokens` (list of string) and `tags` (list of ClassLabel: `O`, then the BIO tags of all splits,
    sorted). The folder appears whole or not at all; the same input gives the same bytes.

    Args:
        corpus: a corpus or its name.
        raw_folder: where `fetch` or `generate` put its files.
        folder: to write; a prepared corpus that is there is replaced, but not a generated one by a real one or the other way round.
        seed: of the held-out validation part, and later of fractions.
        replace: a folder that is there, whatever is in it.

    Returns:
        `folder`.

    Raises:
        CorpusError: the raw files are missing, damaged, or not those that were fetched; or `folder` is in use.
    """
    corpus, folder = get_corpus(corpus), Path(folder)
    if folder.exists() and not (folder.is_dir() and (replace or (folder / MANIFEST).is_file() or not any(folder.iterdir()))):
        remedy = "choose another --folder, or --replace it if nothing in it is needed"
        raise CorpusError("is there and is not a prepared corpus", file=folder, remedy=remedy)
    sources = checked_sources(corpus, Path(raw_folder))
    if not replace and there(folder / MANIFEST):
        _refuse_other_kind(sources, folder)
    splits = _splits(corpus, Path(raw_folder), seed)
    tags = ["O", *sorted({tag for part in splits.values() for sentence in part for tag in sentence.tags} - {"O"})]
    with replacing_folder(folder) as temporary:
        _save(splits, tags, temporary)
        manifest = PreparedManifest(
            corpus=corpus.name,
            title=corpus.title,
            seed=seed,
            sources=sources,
            sentences={split: len(part) for split, part in splits.items()},
            longest_sentence=max(len(sentence.words) for part in splits.values() for sentence in part),
            slot_types=len({slot for part in splits.values() for slot in slot_types(part)}),
            nested_slots={split: nested_slots(corpus, raw_folder, split) for split in corpus.splits},
            spans={split: _spans(part) for split, part in splits.items()},
            tags=tags,
            checksum=content_checksum(splits),
            files={str(p.relative_to(temporary)): sha256(p) for p in sorted(temporary.glob("*/*.arrow"))},
        )
        manifest.write(temporary / MANIFEST)
    return folder


def checked_sources(corpus: Corpus, raw_folder: Path) -> list[dict]:
    """Path, SHA-256 and provenance of each raw file, after comparing it with what was fetched or generated.

    Raises:
        CorpusError: there is no manifest, or a file is missing, another one, or not what the corpus' description accepts.
    """
    entries = read_manifest(corpus, raw_folder)
    for file in corpus.files:
        path, generated = raw_folder / file.path, entries[file.path].provenance == GENERATED
        verb = "generate" if generated else "fetch"
        remedy = f"run: hyperloader corpora {verb} {corpus.name} --folder {raw_folder}"
        if not path.is_file() or sha256(path) != entries[file.path].sha256:
            raise CorpusError(f"missing, or not as `hyperloader corpora {verb}` left it", file=path, remedy=remedy)
        # a description that was changed since, or a manifest
        data = b"" if generated else path.read_bytes()
        if not generated and not any(checksum.matches(data) for checksum in file.accepted):
            raise CorpusError(f"not a file that {corpus.description} accepts", file=path, remedy=remedy)
    return as_sources(corpus, entries)


def _refuse_other_kind(sources: list[dict], folder: Path) -> None:
    try:
        former = read_prepared_manifest(folder).sources
    except CorpusError:  # a damaged one
        return
    ours, theirs = (GENERATED if any(own["provenance"] == GENERATED for own in which) else "real" for which in (sources, former))
    if ours != theirs:
        remedy = "name the --raw that it was made of, or another --folder, or --replace it"
        raise CorpusError(f"is the {theirs} corpus, and these raw files are {ours}", file=folder / MANIFEST, remedy=remedy)


def as_sources(corpus: Corpus, entries: dict[str, RawEntry]) -> list[dict]:
    """What the manifest of a prepared corpus says of the raw files that it was made of."""
    return [{"path": file.path, "sha256": entries[file.path].sha256, "provenance": entries[file.path].provenance} for file in corpus.files]


def _splits(corpus: Corpus, raw_folder: Path, seed: int) -> dict[str, list[Sentence]]:
    splits = {split: read_split(corpus, raw_folder, split) for split in corpus.splits}
    if corpus.held_out_validation is not None:
        published = splits["train"]
        train, validation = hold_out(len(published), corpus.held_out_validation, seed, corpus.description)
        splits["train"] = [published[index] for index in train]
        splits["validation"] = [published[index] for index in validation]
    return {split: splits[split] for split in SPLITS}


def _save(splits: dict[str, list[Sentence]], tags: list[str], folder: Path) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value, disable_progress_bars

    disable_progress_bars()  # a second's work
    number = {tag: index for index, tag in enumerate(tags)}
    features = Features({"tokens": List(Value("string")), "tags": List(ClassLabel(names=tags))})
    datasets = DatasetDict()
    for split, part in splits.items():
        columns = {
            "tokens": [list(sentence.words) for sentence in part],
            "tags": [[number[tag] for tag in sentence.tags] for sentence in part],
        }
        # an explicit fingerprint: the default one is random, and is stored
        datasets[split] = Dataset.from_dict(columns, features=features).select_columns(
            ["tokens", "tags"], new_fingerprint=content_checksum({split: part})[:16]
        )
    datasets.save_to_disk(folder)


def _spans(sentences: list[Sentence]) -> dict[str, int]:
    """How often each slot type begins, most frequent first; types that only continue (stray `I-`) count 0."""
    begins = Counter({slot: 0 for slot in slot_types(sentences)})
    begins.update(slot_type(tag) for sentence in sentences for tag in sentence.tags if tag.startswith("B-"))
    return dict(sorted(begins.items(), key=lambda item: (-item[1], item[0])))


def content_checksum(splits: dict[str, list[Sentence]]) -> str:
    """SHA-256 over tokens and tags of all splits, whatever the encoding on disk."""
    digest = hashlib.sha256()
    for split, part in splits.items():
        for sentence in part:
            digest.update(json.dumps([split, sentence.words, sentence.tags]).encode() + b"\n")
    return digest.hexdigest()
