import hashlib

import pytest

from hyperloader.corpora.fetching.checksum import Checksum
from hyperloader.corpora.readers import READERS
from hyperloader.corpora.registry import DESCRIPTION, VARIABLE, get_corpus, known_corpora, paper_corpora
from hyperloader.errors import CorpusError, UserError


def test_corpora_stand_in_the_order_of_table_3():
    titles = [corpus.title for corpus in known_corpora().values()]
    assert titles == ["MovieTrivia", "Movie", "Restaurant", "ATIS", "SNIPS", "mTOP", "mTOD"]
    assert list(known_corpora()) == list(paper_corpora()) == [title.lower() for title in titles]


@pytest.mark.parametrize("corpus", known_corpora().values(), ids=list(known_corpora()))
def test_every_entry_is_complete(corpus):
    assert corpus.licence and corpus.citation and corpus.homepage and corpus.label_convention
    assert corpus.raw_format in READERS and corpus.paper and not corpus.local
    assert {"train", "test"} <= corpus.splits.keys()
    assert ("validation" in corpus.splits) == (corpus.held_out_validation is None)
    for file in corpus.files:
        assert file.accepted and file.addresses
        assert all(address.url.startswith("https://") for address in file.addresses)
        assert any(file.path.startswith(path) for path in corpus.splits.values())


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    with pytest.raises(CorpusError, match=r"unknown corpus 'atsi'.*did you mean atis\?.*movietrivia, movie, .*mtod"):
        get_corpus("atsi")
    with pytest.raises(CorpusError, match="did you mean atis"):
        get_corpus("ATIS")


def test_a_normalised_checksum_sees_through_line_ends_only():
    checksum = Checksum(sha256=hashlib.sha256(b"O\ta\n\n").hexdigest(), normalise=True)
    for copy in (b"O\ta\r\n\r\n", b"O\ta\n", b"O\ta\n\n", b"O\ta\n\n\n"):
        assert checksum.matches(copy)
    assert not checksum.matches(b"O\tb\n\n")


def test_git_blob_checksum_is_the_object_name_of_git():
    # `printf hello | git hash-object --stdin`
    assert Checksum(git_blob_sha1="b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0").matches(b"hello")


@pytest.fixture
def described(tmp_path, monkeypatch):
    """Writes the `corpus.yaml` of a folder outside of the project."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))

    def write(text, name="mine"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / DESCRIPTION).write_text(text, encoding="utf-8")
        known_corpora.cache_clear()

    yield write
    known_corpora.cache_clear()


FILES = f"files: [{{path: mine/a.conll, accepted: [{{sha256: {'a' * 64}}}]}}]"
RIGHT = f"title: Mine\nraw_format: conll\nsplits: {{train: mine/a.conll, test: mine/a.conll}}\nheld_out_validation: 0.1\n{FILES}\n"


def test_a_folder_elsewhere_is_a_corpus_behind_those_of_the_paper(described):
    described(RIGHT)
    assert list(known_corpora())[-1] == "mine" and len(known_corpora()) == 8 and len(paper_corpora()) == 7
    assert get_corpus("mine").title == "Mine"


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("title: Mine\n", "", "missing key 'title'"),
        ("title:", "titel:", "unknown key 'titel' .did you mean 'title'"),
        ("title: Mine", "title: ATIS", "has the title of another corpus, .*atis/corpus.yaml; change its title"),
        ("test: mine/a.conll", "test: ../a.conll", "'splits.test': string should match"),
        ("path: mine/a.conll", "path: /etc/passwd", "'files.0.path': string should match"),
        ("held_out_validation: 0.1", "held_out_validation: 1", "'held_out_validation': input should be less than 1"),
        ("held_out_validation: 0.1\n", "", "either a validation split or held_out_validation"),
        ("train: mine/a.conll, ", "", "splits need train and test"),
        ("sha256: a", "sha256: x", "sha256': string should match"),
        ("sha256: a", "md5: a", "unknown key"),
        ("raw_format: conll\n", "", "needs either a raw_format or a reader.py"),
        (RIGHT, "[", ":1: not valid YAML"),
    ],
)
def test_a_damaged_description_is_named(described, old, new, message):
    assert old in RIGHT
    described(RIGHT.replace(old, new))
    with pytest.raises(UserError, match=f"mine/corpus.yaml.*{message}"):
        known_corpora()
