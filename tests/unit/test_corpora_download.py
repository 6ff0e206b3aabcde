"""Fetching against a real HTTP server on the loopback interface: order, checksums, retries, archives, mirrors."""

import gzip
import io
import json
import logging
import zipfile

import pytest
from loopback import QUICK, TEXT, Server, at, corpus, everything, raw, sha

from hyperloader.corpora.fetching import download
from hyperloader.corpora.fetching.checksum import Checksum
from hyperloader.corpora.generated.generate import generate
from hyperloader.errors import CorpusError, DownloadError


def fetch(*arguments):
    return download.fetch(*arguments, limits=QUICK)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HYPERLOADER_MIRROR", raising=False)
    with Server() as server:
        yield server


def entries(manifest):
    return json.loads(manifest.read_text())["files"]


def zipped(members):
    """An archive of these members; without the time of day, which would name a test otherwise in each process that collects it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


def test_addresses_are_tried_in_order_until_one_is_right(server, tmp_path):
    server.answers = {"wrong": b"O\tc\n\n", "right": TEXT, "unneeded": TEXT}
    addresses = [at(server.url(path)) for path in ("missing", "wrong", "right", "unneeded")]
    manifest = fetch(corpus(raw(*addresses)), tmp_path)
    assert server.asked == ["missing", "wrong", "right"]
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT
    assert entries(manifest) == [{"path": "t/train.bio", "sha256": sha(TEXT), "bytes": len(TEXT), "provenance": "official"}]


def test_a_second_fetch_asks_nobody_and_changes_nothing(server, tmp_path):
    server.answers = {"right": TEXT}
    tiny = corpus(raw(at(server.url("right"))))
    before = fetch(tiny, tmp_path).read_bytes()
    assert fetch(tiny, tmp_path).read_bytes() == before
    assert server.asked == ["right"]


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    server.answers = {"right": TEXT}
    tiny = corpus(raw(at(server.url("right"))))
    fetch(tiny, tmp_path)
    (tmp_path / "t/train.bio").write_bytes(TEXT[:-5])
    fetch(tiny, tmp_path)
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT


def test_a_file_put_there_by_hand_is_kept(server, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t/train.bio").write_bytes(TEXT)
    fetch(corpus(raw(at(server.url("any")))), tmp_path)
    assert server.asked == []


def test_when_all_sources_fail_one_error_says_it_all_and_nothing_is_left(server, tmp_path):
    server.answers = {"wrong": b"something else", "forbidden": 403}
    tiny = corpus(raw(*(at(server.url(path)) for path in ("missing", "wrong", "forbidden"))))
    with pytest.raises(DownloadError) as caught:
        fetch(tiny, tmp_path / "raw")
    message = str(caught.value)
    for part in ("Tiny", "t/train.bio", server.url("missing"), "404", server.url("wrong"), "wrong checksum", "403"):
        assert part in message
    for remedy in ("HYPERLOADER_MIRROR", "by hand", "demo"):
        assert remedy in caught.value.remedy
    assert "\n" not in message
    assert everything(tmp_path) == []
    assert server.asked == ["missing", "wrong", "forbidden"]


CRLF, MARK = TEXT.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("copy", "said"),
    [
        (CRLF, "the published file but for its line ends, as git's core.autocrlf makes them; set that to false"),
        (TEXT.replace(b"\n", b"\r"), "but for its line ends"),
        (TEXT.replace(b"\n", b"\r\r\n"), "but for its line ends"),
        (MARK + TEXT, "but for a byte order mark"),
        (MARK + CRLF, "but for its line ends and a byte order mark"),
        (TEXT[:-1], "but for its last line end"),
        (TEXT + b"\n", "but for its last line end"),
        (TEXT.decode().encode("utf-16"), "but for its encoding, UTF-16"),
        (TEXT[:-5], f"{len(TEXT) - 5} bytes with SHA-256 [0-9a-f]+..., the published file has {len(TEXT)}"),
        (b"<!DOCTYPE html><p>log in", "an HTML page of 24 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "a pointer of Git LFS, which `git lfs pull` replaces"),
        (gzip.compress(TEXT, mtime=0), "a packed file, to be unpacked, of"),
        (zipped({"t/train.bio": TEXT}), "a packed file, to be unpacked, of"),
        (TEXT.replace(b"a", b"b"), f"{len(TEXT)} bytes with SHA-256 [0-9a-f]+..."),
    ],
)
def test_a_copy_that_was_spoilt_in_a_usual_way_is_told(server, tmp_path, copy, said):
    path = tmp_path / "mirror/corpora/t/train.bio"
    path.parent.mkdir(parents=True)
    path.write_bytes(copy)
    tiny = corpus(raw(at(server.url("missing")), accepted=(Checksum(sha256=sha(TEXT), size=len(TEXT)),)))
    with pytest.raises(DownloadError, match=rf"mirror \(wrong checksum: [^()]*{said}[^()]*\); "):
        fetch(tiny, tmp_path / "raw", tmp_path / "mirror")


def test_a_server_in_trouble_is_asked_again(server, tmp_path):
    server.answers = {"busy": [503, None, TEXT]}
    fetch(corpus(raw(at(server.url("busy")))), tmp_path)
    assert server.asked == ["busy"] * 3


def test_a_broken_download_never_gets_the_name(server, tmp_path):
    server.answers = {"broken": None, "right": TEXT}
    fetch(corpus(raw(at(server.url("broken")), at(server.url("right")))), tmp_path)
    assert server.asked == ["broken"] * 3 + ["right"]
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT


def test_no_server_at_all(server, tmp_path):
    with pytest.raises(DownloadError, match="no connection"):
        fetch(corpus(raw(at("http://127.0.0.1:1/x"))), tmp_path)


def test_members_of_an_archive_downloaded_once(server, tmp_path):
    archive = zipped({"top/t/train": TEXT, "top/t/test": TEXT, "__MACOSX/t/train": b"x"})
    server.answers = {"a.zip": archive}
    address = {part: at(server.url("a.zip"), f"t/{part}", sha(archive)) for part in ("train", "test")}
    fetch(corpus(raw(address["train"]), raw(address["test"], path="t/test.bio")), tmp_path)
    assert everything(tmp_path) == ["t/test.bio", "t/train.bio", "tiny.json"]
    assert server.asked == ["a.zip"]


@pytest.mark.parametrize(
    ("archive", "checksum", "cause"),
    [
        (zipped({"t/other": TEXT}), "", "0 members"),
        (zipped({"a/t/train": TEXT, "b/t/train": TEXT}), "", "2 members"),
        (zipped({"t/train": b"other"}), "", "wrong checksum"),
        (zipped({"t/train": TEXT}), sha(b""), "wrong checksum of the archive"),
        (zipped({"t/train": TEXT})[:-30], "", "damaged archive"),
        (b"no archive", "", "damaged archive"),
    ],
)
def test_an_unusable_archive_leads_to_the_next_address(server, tmp_path, archive, checksum, cause):
    server.answers = {"a.zip": archive, "right": TEXT}
    from_archive = at(server.url("a.zip"), "t/train", checksum)
    with pytest.raises(DownloadError, match=cause):
        fetch(corpus(raw(from_archive)), tmp_path)
    fetch(corpus(raw(from_archive, at(server.url("right")))), tmp_path)
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT


def test_line_ends_of_a_copy_are_made_those_of_the_original(server, tmp_path):
    server.answers = {"copy": TEXT.rstrip(b"\n").replace(b"\n", b"\r\n")}
    tiny = corpus(raw(at(server.url("copy")), accepted=(Checksum(sha256=sha(TEXT), normalise=True),)))
    fetch(tiny, tmp_path)
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT
    (tmp_path / "t/train.bio").write_bytes(server.answers["copy"])  # as it might be put there by hand
    fetch(tiny, tmp_path)
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT


@pytest.fixture
def mirror(tmp_path):
    path = tmp_path / "mirror/corpora/t/train.bio"
    path.parent.mkdir(parents=True)
    path.write_bytes(TEXT)
    return tmp_path / "mirror"


@pytest.mark.parametrize("by_environment", [True, False])
def test_the_mirror_comes_first_and_its_place_stays_private(server, tmp_path, mirror, monkeypatch, caplog, by_environment):
    caplog.set_level(logging.INFO)
    tiny = corpus(raw(at(server.url("right"))))
    if by_environment:
        monkeypatch.setenv("HYPERLOADER_MIRROR", str(mirror))
    manifest = fetch(tiny, tmp_path / "raw", None if by_environment else mirror)
    assert caplog.messages == ["t/train.bio: from mirror"]
    assert str(tmp_path) not in manifest.read_text()
    assert server.asked == []


def test_a_damaged_mirror_file_leads_to_the_network(server, tmp_path, mirror, caplog):
    caplog.set_level(logging.INFO)
    (mirror / "corpora/t/train.bio").write_bytes(TEXT[:3])
    server.answers = {"right": TEXT}
    fetch(corpus(raw(at(server.url("right")))), tmp_path / "raw", mirror)
    assert caplog.messages == [f"t/train.bio: from {server.url('right')}"]


def test_a_rebuilt_file_is_accepted_and_recorded_as_such(server, tmp_path, mirror):
    accepted = (Checksum(git_blob_sha1="0" * 40), Checksum(sha256=sha(TEXT), provenance="rebuilt"))
    manifest = fetch(corpus(raw(accepted=accepted)), tmp_path / "raw", mirror)
    assert entries(manifest)[0]["provenance"] == "rebuilt"


def test_a_mirror_that_does_not_exist(server, tmp_path):
    with pytest.raises(DownloadError, match=r"nowhere/corpora: the mirror has no such folder.*contains corpora/"):
        fetch("atis", tmp_path / "raw", tmp_path / "nowhere")
    assert everything(tmp_path) == []


def test_generated_files_are_not_overwritten(server, tmp_path):
    generate("atis", tmp_path)
    before = everything(tmp_path)
    with pytest.raises(CorpusError, match="describes a generated corpus"):
        fetch("atis", tmp_path)
    assert everything(tmp_path) == before
