"""The seven corpora of the paper's table 2, in the column order of its table 3.

Adding a corpus is adding an entry to `CORPORA` (and a reader, if its raw format is new).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from hyperloader.corpora.fetching.checksum import Checksum
from hyperloader.corpora.fetching.checksums import GIT_BLOB_SHA1, REBUILT_SHA256, SHA256
from hyperloader.errors import CorpusError


@dataclass(frozen=True)
class Address:
    """Where a raw file can be downloaded: a file, or a member of a zip archive.

    Attributes:
        url: http(s) address of the file or the archive.
        member: the end of the member's path in the archive; empty if `url` is the file itself.
        archive_sha256: SHA-256 of the archive, where it is known.
    """

    url: str
    member: str = ""
    archive_sha256: str = ""


@dataclass(frozen=True)
class RawFile:
    """One published file of a corpus.

    Attributes:
        path: relative to the raw folder, as in the `corpora/` folder of a mirror.
        accepted: the contents that are accepted; the file must match one of them.
        addresses: tried in this order.
    """

    path: str
    accepted: tuple[Checksum, ...]
    addresses: tuple[Address, ...]


@dataclass(frozen=True)
class Corpus:
    """What is known about a corpus.

    Attributes:
        name: on the command line and in paths.
        title: in tables, spelled as in the paper.
        task_kind: what the tags mark.
        licence: licence or terms, as far as they are stated.
        citation: the paper to cite.
        homepage: where the corpus is described.
        raw_format: key of `readers.READERS`.
        label_convention: how slot types are spelled.
        files: every raw file.
        splits: path of each published split (a file, or a folder for formats of several files).
        held_out_validation: share of the published train split that becomes validation, or None if one is published.
    """

    name: str
    title: str
    task_kind: str
    licence: str
    citation: str
    homepage: str
    raw_format: str
    label_convention: str
    files: tuple[RawFile, ...]
    splits: dict[str, str]
    held_out_validation: float | None = None


def get_corpus(name: str | Corpus) -> Corpus:
    """The corpus of that name.

    Raises:
        CorpusError: there is none; lists the known names.
    """
    if isinstance(name, Corpus):
        return name
    if name in CORPORA:
        return CORPORA[name]
    near = difflib.get_close_matches(name.lower(), CORPORA, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise CorpusError(f"unknown corpus {name!r}", remedy=f"{hint}known corpora: {', '.join(CORPORA)}")


def _accepted(path: str) -> tuple[Checksum, ...]:
    official = [Checksum(SHA256[path], normalise=path.startswith("mit/"))] if path in SHA256 else []
    by_git = [Checksum(GIT_BLOB_SHA1[path], "git-blob-sha1")] if path in GIT_BLOB_SHA1 else []
    rebuilt = [Checksum(REBUILT_SHA256[path], provenance="rebuilt")] if path in REBUILT_SHA256 else []
    return (*official, *by_git, *rebuilt)


_GITHUB = "https://raw.githubusercontent.com"
_SLOT_GATED = f"{_GITHUB}/MiuLab/SlotGated-SLU/61f0307c729b1fad479ef1de94aa5ac5dee601b0/data"
_MIT = "https://groups.csail.mit.edu/sls/downloads"
_MTOP_ZIP = "https://dl.fbaipublicfiles.com/mtop/mtop.zip"
_MTOP_ZIP_SHA256 = "0c086500aed2ed48d3df383c91664b152e4a46e2adef6a635fa16d508ebaec0b"
_MTOP_COPY = f"{_GITHUB}/Lijiaqian1/ICL-Example-Selection/5de0dbe82f7c2d7e2f6c82d43eadd99c8403f7ce/data/mtop/en"
_MTOD_ZIP = "https://download.pytorch.org/data/multilingual_task_oriented_dialog_slotfilling.zip"
_MTOD_COPY = f"{_GITHUB}/zliucr/Crosslingual-NLU/1c5123a263f1dddbd6937edfad3b375990758333/data/en"


def _slot_gated(name: str, title: str, **facts: str) -> Corpus:
    paths = [f"{name}/{split}/{part}" for split in ("train", "valid", "test") for part in ("seq.in", "seq.out", "label")]
    files = tuple(RawFile(path, _accepted(path), (Address(f"{_SLOT_GATED}/{path}"),)) for path in paths)
    splits = {"train": f"{name}/train", "validation": f"{name}/valid", "test": f"{name}/test"}
    return Corpus(name, title, "slot filling", raw_format="slot-gated", files=files, splits=splits, **facts)


def _mit(name: str, title: str, stem: str, label_convention: str) -> Corpus:
    splits = {"train": f"mit/{stem}train.bio", "test": f"mit/{stem}test.bio"}
    files = tuple(RawFile(path, _accepted(path), (Address(f"{_MIT}/{path.removeprefix('mit/')}"),)) for path in splits.values())
    return Corpus(
        name,
        title,
        "named entity recognition",
        licence="none stated; customarily used for research",
        citation="Liu et al. 2013, Asgard: A portable architecture for multilingual dialogue systems, ICASSP",
        homepage="https://groups.csail.mit.edu/sls/downloads/",
        raw_format="bio",
        label_convention=label_convention,
        files=files,
        splits=splits,
        held_out_validation=0.1,  # published as train and test; the paper holds out a tenth (table 2)
    )


def _facebook(name: str, folder: str, addresses, **facts: str) -> Corpus:
    ending = {"mtop": "{}.txt", "mtod": "{}-en.conllu"}[name]
    splits = {split: f"{folder}/{ending.format(part)}" for split, part in _FACEBOOK_SPLITS.items()}
    files = tuple(RawFile(path, _accepted(path), addresses(path.rpartition("/")[2])) for path in splits.values())
    return Corpus(name, task_kind="slot filling", raw_format=name, files=files, splits=splits, **facts)


_FACEBOOK_SPLITS = {"train": "train", "validation": "eval", "test": "test"}

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        _mit("movietrivia", "MovieTrivia", "movie/trivia10k13", "title case, words joined by _ (Character_Name)"),
        _mit("movie", "Movie", "movie/eng", "capitals, words joined by _ (RATINGS_AVERAGE)"),
        _mit("restaurant", "Restaurant", "restaurant/restaurant", "title case, words joined by _ (Restaurant_Name)"),
        _slot_gated(
            "atis",
            "ATIS",
            licence="text of the Linguistic Data Consortium (LDC user agreement); the repository states none",
            citation="Hemphill et al. 1990, The ATIS spoken language systems pilot corpus; splits of Goo et al. 2018",
            homepage="https://github.com/MiuLab/SlotGated-SLU/tree/master/data",
            label_convention="lower case, group and slot joined by a dot (fromloc.city_name)",
        ),
        _slot_gated(
            "snips",
            "SNIPS",
            licence="CC0-1.0, as its original repository says; the repository of the splits states none",
            citation="Coucke et al. 2018, Snips voice platform, arXiv 1805.10190; splits of Goo et al. 2018",
            homepage="https://github.com/sonos/nlu-benchmark",
            label_convention="lower case, words joined by _ or camel case (playlist_owner, timeRange)",
        ),
        _facebook(
            "mtop",
            "mtop/en",
            lambda file: (Address(_MTOP_ZIP, f"mtop/en/{file}", _MTOP_ZIP_SHA256), Address(f"{_MTOP_COPY}/{file}")),
            title="mTOP",
            licence="CC-BY-SA-4.0",
            citation="Li et al. 2021, MTOP: A comprehensive multilingual task-oriented semantic parsing benchmark, arXiv 2008.09335",
            homepage="https://fb.me/mtop_dataset",
            label_convention="capitals, words joined by _, prefix SL: dropped (DATE_TIME); top-level slots only",
        ),
        _facebook(
            "mtod",
            "mtod/en",
            lambda file: (Address(_MTOD_ZIP, f"en/{file}"), Address(f"{_MTOD_COPY}/{file}")),
            title="mTOD",
            licence="CC-BY-SA, no version stated",
            citation="Schuster et al. 2019, Cross-lingual transfer learning for multilingual task oriented dialog, arXiv 1810.13327",
            homepage="https://fb.me/multilingual_task_oriented_data",
            label_convention="domain and slot joined by / (weather/noun), some without a domain (datetime)",
        ),
    )
}
