"""The scale demo: one nonsense language, seven corpora in the raw formats, twelve auxiliary domains."""

import json

import pytest

from hyperloader.corpora.generated.generate import DEMO_SLOTS, DemoLanguage, auxiliary_sentences, demo_label_names, generate
from hyperloader.corpora.generated.language import CLASSES, DOMAINS, LEADS
from hyperloader.corpora.readers import read_split
from hyperloader.corpora.registry import known_corpora
from hyperloader.errors import CorpusError


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for name in known_corpora():
        generate(name, folder)
    return folder


@pytest.fixture(scope="module")
def language():
    return DemoLanguage(42)


def sentences(raw, name):
    return [sentence for split in known_corpora()[name].splits for sentence in read_split(known_corpora()[name], raw, split)]


def test_a_small_whole_word_vocabulary_without_ambiguous_words(language):
    words = language.words()
    assert len(words) == len(set(words)) <= 1200
    assert 24 <= len(CLASSES) <= 30
    assert all(len(values) == 20 and {len(value) for value in values} == {1, 2} for values in language.values.values())
    assert len(language.carriers) + len(language.leads) == 120


def test_the_seed_decides(language):
    assert DemoLanguage(42).words() == language.words()
    assert DemoLanguage(43).words() != language.words()
    assert list(auxiliary_sentences(language, 20, 1)) == list(auxiliary_sentences(language, 20, 1))
    assert list(auxiliary_sentences(language, 20, 1)) != list(auxiliary_sentences(language, 20, 2))


@pytest.mark.parametrize("name", known_corpora())
def test_each_corpus_reads_as_its_namesake(raw, language, name):
    sizes = {split: len(read_split(known_corpora()[name], raw, split)) for split in known_corpora()[name].splits}
    held_out = known_corpora()[name].held_out_validation is not None
    assert sizes == ({"train": 556, "test": 200} if held_out else {"train": 500, "validation": 60, "test": 200})
    read = sentences(raw, name)
    types = {tag[2:] for sentence in read for tag in sentence.tags if tag != "O"}
    assert types == {slot.type for slot in DEMO_SLOTS[name]}
    assert 5 <= len(types) <= 8
    assert {word for sentence in read for word in sentence.words} <= set(language.words())
    assert 5 <= sum(len(sentence.words) for sentence in read) / len(read) <= 8
    assert types <= set(demo_label_names())


@pytest.mark.parametrize("name", known_corpora())
def test_generating_again_gives_the_same_bytes(raw, tmp_path, name):
    manifest = generate(name, tmp_path)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (raw / path.relative_to(tmp_path)).read_bytes()
    assert {file["provenance"] for file in json.loads(manifest.read_text())["files"]} == {"generated"}


def test_some_types_are_told_apart_by_the_word_before_only(raw, language):
    fro, to = language.leads["from"], language.leads["to"]
    before = {
        (sentence.words[index - 1], tag)
        for sentence in sentences(raw, "atis")
        for index, tag in enumerate(sentence.tags)
        if tag in ("B-fromloc.city_name", "B-toloc.city_name")
    }
    assert before == {(fro, "B-fromloc.city_name"), (to, "B-toloc.city_name")}
    for slots in DEMO_SLOTS.values():
        told_apart = [(slot.word_class, slot.lead) for slot in slots]
        assert len(set(told_apart)) == len(told_apart)
        assert all(slot.word_class in CLASSES and slot.lead in ("", *LEADS) for slot in slots)


def test_corpora_share_word_classes():
    classes = {name: {slot.word_class for slot in slots} for name, slots in DEMO_SLOTS.items()}
    for name, own in classes.items():
        assert own & set().union(*(others for other, others in classes.items() if other != name))


def test_the_oddities_of_the_real_files_are_there_in_small_doses(raw):
    snips = (raw / "snips/train/seq.in").read_text().splitlines()
    assert 0 < sum("  " in line or line != line.strip() for line in snips) < len(snips) / 2
    mtop = (raw / "mtop/en/train.txt").read_text()
    assert not mtop.endswith("\n")
    assert "[IN:GET_CONTACT [SL:CONTACT_RELATED" in mtop and "é" in mtop and "?\t" in mtop
    mtod = (raw / "mtod/en/train-en.conllu").read_text()
    assert "\tNoLabel\n" in mtod and "# slots: \n" in mtod
    orphans = [
        sentence
        for sentence in read_split(known_corpora()["mtod"], raw, "train")
        for before, tag in zip(("O", *sentence.tags), sentence.tags, strict=False)
        if tag.startswith("I-") and before[2:] != tag[2:]
    ]
    assert len(orphans) == 1


def test_auxiliary_domains_use_every_class_under_its_generic_name_in_other_frames(raw, language):
    class_of = {word: name for name, values in language.values.items() for value in values for word in value}
    seen, frames = set(), set()
    for tokens, tags in auxiliary_sentences(language, 3000, 5):
        assert len(tokens) == len(tags)
        for token, tag in zip(tokens, tags, strict=True):
            assert (tag == "O") == (token not in class_of)
            assert tag == "O" or tag[2:] == language.class_names[class_of[token]]
        seen |= {tag[2:] for tag in tags if tag != "O"}
        frames.add(tuple(class_of.get(token, token) for token in tokens))
    assert seen == set(language.class_names.values())
    assert seen <= set(language.words())
    assert len(frames) > 5 * DOMAINS
    for name in known_corpora():
        own = {tuple(class_of.get(token, token) for token in sentence.words) for sentence in sentences(raw, name)}
        assert len(own & frames) <= 0.1 * len(own)


def test_real_files_are_not_overwritten(tmp_path, monkeypatch):
    real = known_corpora()["movie"].files[0]
    path = tmp_path / real.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"real")
    monkeypatch.setattr(type(real.accepted[0]), "matches", lambda self, data: data == b"real")
    with pytest.raises(CorpusError, match="is a file of the real corpus"):
        generate("movie", tmp_path)
    assert path.read_bytes() == b"real"
