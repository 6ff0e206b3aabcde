import hashlib

import pytest

from hyperloader.corpora.fetching.checksum import Checksum
from hyperloader.corpora.readers import READERS
from hyperloader.corpora.registry import CORPORA, get_corpus
from hyperloader.errors import CorpusError


def test_corpora_stand_in_the_order_of_table_3():
    titles = [corpus.title for corpus in CORPORA.values()]
    assert titles == ["MovieTrivia", "Movie", "Restaurant", "ATIS", "SNIPS", "mTOP", "mTOD"]
    assert list(CORPORA) == [title.lower() for title in titles]


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=list(CORPORA))
def test_every_entry_is_complete(corpus):
    assert corpus.licence and corpus.citation and corpus.homepage and corpus.label_convention
    assert corpus.raw_format in READERS
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
    checksum = Checksum(hashlib.sha256(b"O\ta\n\n").hexdigest(), normalise=True)
    for copy in (b"O\ta\r\n\r\n", b"O\ta\n", b"O\ta\n\n", b"O\ta\n\n\n"):
        assert checksum.matches(copy)
    assert not checksum.matches(b"O\tb\n\n")


def test_git_blob_checksum_is_the_object_name_of_git():
    # `printf hello | git hash-object --stdin`
    assert Checksum("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", "git-blob-sha1").matches(b"hello")
