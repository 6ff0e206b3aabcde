"""Small backbones that are pre-trained here: text, vocabulary and training put together."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from hyperloader.config.places import near
from hyperloader.config.settings import BackboneSettings
from hyperloader.corpora.generated.generate import DemoLanguage, demo_label_names
from hyperloader.corpora.prepared import PreparedCorpus, load_corpus, slot_types
from hyperloader.files import replacing_folder, sha256
from hyperloader.models.backbones import PIECES, WORD_PIECES, t5_pieces
from hyperloader.text.sentences import Sentence
from hyperloader.text.sentt import to_sbio
from hyperloader.training.backbones.text import checksum, corpora_text, generated_text


def pretrain_backbone(settings: BackboneSettings, folder: Path, model_folder: Path, mirror: str | None) -> None:
    """Pre-train a backbone; one that was interrupted goes on from its last checkpoint.

    Args:
        settings: of a backbone with the source `pretrained`.
        folder: of the backbone; checkpoints and the vocabulary are there until the model is whole.
        model_folder: where the model and its vocabulary go.
        mirror: see `make_backbone`.
    """
    wanted = settings.backbone
    # empty for the generated language
    corpora = [load_corpus(near(path, folder)) for path in settings.data.values()]
    sentences = generated_text(wanted.seed) if wanted.text == "generated" else corpora_text(corpora, wanted.seed)
    if settings.kind == "t5":
        from hyperloader.text.t5_vocabulary import Vocabulary
        from hyperloader.training.backbones.t5 import pretrain

        path = folder / PIECES
        _write_t5_pieces(corpora, sentences, path, mirror)
        vocabulary = Vocabulary(path)
    else:
        from hyperloader.text.bert_vocabulary import WordPieces
        from hyperloader.training.backbones.bert import pretrain

        path = folder / WORD_PIECES
        _write_word_pieces(sentences, wanted.text, path)
        vocabulary = WordPieces(path)
    fingerprint = hashlib.sha256(f"{settings.model_dump_json()} {sha256(path)} {checksum(sentences)}".encode()).hexdigest()
    model = pretrain(sentences, vocabulary, wanted, folder / "checkpoints", fingerprint)
    with replacing_folder(model_folder) as temporary:
        model.save_pretrained(temporary, safe_serialization=True)
        path.replace(temporary / path.name)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _write_t5_pieces(corpora: Sequence[PreparedCorpus], sentences: Sequence[Sentence], path: Path, mirror: str | None) -> None:
    """Whole words of the generated language, or the part of T5's sub-words that the corpora use; with all labels to come."""
    from hyperloader.training.backbones.vocabularies import write_cut_vocabulary, write_word_vocabulary

    if not corpora:
        write_word_vocabulary(["O", "I", *DemoLanguage().words(), *demo_label_names()], path)
        return
    words = {word for sentence in sentences for word in (*sentence.tokens, *to_sbio(sentence.tags))} | {"O", "I"}
    words |= {label for corpus in corpora for label in slot_types([*corpus.train, *corpus.validation])}
    write_cut_vocabulary(t5_pieces(mirror), sorted(words), path)


def _write_word_pieces(sentences: Sequence[Sentence], text: str, path: Path) -> None:
    """Whole words of the generated language, or WordPiece trained on the text; BERT writes no labels."""
    from hyperloader.text.bert_vocabulary import write_trained_vocabulary, write_word_vocabulary

    if text == "generated":
        write_word_vocabulary(DemoLanguage().words(), path)
    else:
        write_trained_vocabulary([word for sentence in sentences for word in sentence.tokens], path)
