"""Models from the Hugging Face hub or its cache; whatever keeps one away is one line with its cause and a remedy."""

from __future__ import annotations

import errno
import logging
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperloader.config.settings import HubBackbone
from hyperloader.errors import BackboneError

log = logging.getLogger(__name__)

ELSEWHERE = (
    "or download it where there is internet and name its folder in config/scales/ (source: directory, path: ...), "
    "or run a scale that needs none: snakemake results/demo/table4.csv"
)


def snapshot(wanted: HubBackbone, patterns: list[str], check: Callable[[Path], object]) -> Path:
    """The folder in the hub's cache that holds a model; what it lacks of it is downloaded, with bars on a terminal.

    Args:
        wanted: which model, at which revision.
        patterns: of the names of the files that are wanted.
        check: raises a `BackboneError` if a folder is not a whole model.

    Raises:
        BackboneError: it cannot be had, or is not whole.
    """
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    model = {"repo_id": wanted.name, "revision": wanted.revision}
    with explained(wanted):
        try:
            commit = HfApi().model_info(**model, timeout=constants.HF_HUB_ETAG_TIMEOUT).sha
        except Exception as error:
            try:
                folder = Path(snapshot_download(**model, local_files_only=True))
            except LocalEntryNotFoundError:
                raise error from None
            try:
                check(folder)
            except BackboneError as lack:
                cause, remedy = _cause(error, wanted, ELSEWHERE)
                message = f"the cache holds a part of {wanted.name} only: it {lack.message}; the rest cannot be had: {cause}"
                raise BackboneError(message, file=folder, remedy=remedy) from None
            return folder
        log.info("%s at %s: what is not in the cache is downloaded", wanted.name, commit)
        return Path(snapshot_download(**model, allow_patterns=patterns))


@contextmanager
def explained(wanted: HubBackbone, file: str = "", elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Turn whatever the hub's library raises for a model into one line.

    Args:
        wanted: the model.
        file: of it, if it is not all of it.
        elsewhere: what else can be done where there is no hub.

    Raises:
        BackboneError: that line.
    """
    try:
        yield
    except BackboneError:
        raise
    except Exception as error:
        cause, remedy = _cause(error, wanted, elsewhere)
        what = f"{file} of {wanted.name}" if file else f"the weights of {wanted.name}"
        raise BackboneError(f"{what} can be had neither from the hub nor from its cache: {cause}", remedy=remedy) from None


def _cause(error: Exception, wanted: HubBackbone, elsewhere: str) -> tuple[str, str]:
    """Why a model cannot be had, and what to do."""
    from huggingface_hub import constants, errors
    from requests import exceptions as web

    hub, chain = constants.ENDPOINT, list(_chain(error))

    def raised(*kinds: type[Exception]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    def says(*texts: str) -> bool:
        return any(text in str(link) for link in chain for text in texts)

    if any(getattr(link, "errno", None) in (errno.ENOSPC, errno.EDQUOT) for link in chain) or says("No space left"):
        return f"no room on the disk of {constants.HF_HUB_CACHE}", "make room there, or let HF_HOME name a folder on another disk"
    if raised(PermissionError):
        return f"{constants.HF_HUB_CACHE} cannot be written to", "let HF_HOME name a folder of your own"
    if raised(errors.GatedRepoError):
        return "it is gated", f"accept its terms at {hub}/{wanted.name}, and let HF_TOKEN hold your token"
    if raised(errors.RevisionNotFoundError):
        return f"it has no revision '{wanted.revision}'", "correct 'revision' in config/scales/"
    if raised(errors.RepositoryNotFoundError):
        return f"{hub} knows no model of this name, or it is private", "correct 'name' in config/scales/, or let HF_TOKEN hold your token"
    if raised(errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set", f"unset it, {elsewhere}"
    if raised(web.ProxyError):
        return f"the proxy does not lead to {hub}", "see HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    if raised(web.SSLError):
        return f"no TLS connection to {hub} that can be trusted", "let REQUESTS_CA_BUNDLE name the certificates of your network"
    if raised(web.Timeout) or says("timed out"):
        return f"{hub} does not answer in time", f"try again, {elsewhere}"
    if raised(web.ChunkedEncodingError) or says("Consistency check failed"):
        return "the download was broken off", "the same command goes on from there"
    status = next((link.response.status_code for link in chain if getattr(link, "response", None) is not None), None)
    if status in (401, 403):
        return f"{hub} does not let you (HTTP status {status})", "see the token in HF_TOKEN, and whether 'name' in config/scales/ is right"
    if status is not None:
        return f"{hub} answers with HTTP status {status}", f"try again later, {elsewhere}"
    if raised(web.ConnectionError):
        return f"no connection to {hub}", f"see the network and HF_ENDPOINT, {elsewhere}"
    # of the fast transfer come errors of any kind
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 200)}", f"try again with HF_HUB_DISABLE_XET=1, {elsewhere}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
