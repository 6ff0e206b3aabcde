"""Whether what is on the disk is what it was: raw files and prepared corpora against checksums and counts."""

from __future__ import annotations

from pathlib import Path

from hyperloader.corpora.fetching.manifests import manifest_path, read_manifest
from hyperloader.corpora.prepare import as_sources, checked_sources, content_checksum
from hyperloader.corpora.prepared import MANIFEST, SPLITS, load_corpus, read_prepared_manifest
from hyperloader.corpora.registry import Corpus
from hyperloader.errors import CorpusError
from hyperloader.files import there


def verify_raw(corpus: Corpus, folder: str | Path) -> str | None:
    """Compare the raw files of a corpus with its manifest, and real ones with the published checksums.

    Returns:
        What is there and whole, in a few words; None if nothing of the corpus is there.

    Raises:
        CorpusError: a file is missing or damaged, or the manifest is.
    """
    folder = Path(folder)
    if not any(map(there, (manifest_path(corpus, folder), *(folder / file.path for file in corpus.files)))):
        return None
    sources = checked_sources(corpus, folder)
    return f"{len(sources)} raw files, {' and '.join(sorted({source['provenance'] for source in sources}))}"


def verify_prepared(corpus: Corpus, folder: str | Path, raw_folder: str | Path) -> str | None:
    """Compare a prepared corpus with its manifest: checksums of the files and of the content, sentences per split.

    Where the raw files are there too, it must have been made of them.

    Returns:
        What is there and whole, in a few words; None if the folder does not exist.

    Raises:
        CorpusError: a file is missing or damaged, or made of something else.
    """
    folder = Path(folder)
    if not there(folder):
        return None
    remedy = f"run: hyperloader corpora prepare {corpus.name} --raw {raw_folder} --folder {folder}"
    try:
        manifest = read_prepared_manifest(folder)
        remedy += f" --seed {manifest.seed}"
        prepared = load_corpus(folder)
    except CorpusError as error:
        raise CorpusError(error.message, file=error.file, remedy=remedy) from None
    splits = {split: getattr(prepared, split) for split in SPLITS}
    wrong = ""
    if manifest.corpus != corpus.name:
        wrong = f"is of the corpus {manifest.corpus!r}"
    elif content_checksum(splits) != manifest.checksum:
        wrong = "does not fit the sentences beside it"
    elif manifest.sources != (_sources(corpus, raw_folder) or manifest.sources):
        wrong = f"was made of other raw files than those in {raw_folder}"
    if wrong:
        raise CorpusError(wrong, file=folder / MANIFEST, remedy=remedy)
    return f"prepared, {', '.join(f'{len(part)} {split}' for split, part in splits.items())}"


def _sources(corpus: Corpus, raw_folder: str | Path) -> list[dict] | None:
    try:
        return as_sources(corpus, read_manifest(corpus, raw_folder))
    except CorpusError:  # that there is none, or a damaged one, is a matter of the raw files
        return None
