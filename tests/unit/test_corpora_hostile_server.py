"""Downloads from servers that misbehave on purpose: whatever they do, one line says so and nothing is left on the disk."""

import asyncio
import io
import os
import signal
import socket
import stat
import struct
import threading
import time
import zipfile
import zlib
from dataclasses import replace

import pytest
from loopback import QUICK, TEXT, Server, at, corpus, everything, raw, sha

from hyperloader.corpora.fetching.download import fetch
from hyperloader.corpora.fetching.web import Unavailable, Web
from hyperloader.errors import DownloadError

SMALL = replace(QUICK, size=1000)
IMPATIENT = replace(SMALL, silence_seconds=0.3, total_seconds=0.5)
BRIEF = replace(SMALL, total_seconds=0.2)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HYPERLOADER_MIRROR", raising=False)
    with Server() as server:
        yield server


def sends(*parts, status="200 OK", headers="", every=0.0):
    """Answer with these bytes, one part after the other; without a `Content-Length` they end with the connection."""

    def answer(handler):
        handler.wfile.write(f"HTTP/1.1 {status}\r\n{headers}\r\n".encode("latin-1"))
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(every)

    return answer


def at_once(*parts):
    """Answer in one packet, headers and all."""

    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(parts))

    return answer


def forever(part, headers="", every=0.0):
    def answer(handler):
        handler.wfile.write(f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode())
        while True:  # until the client hangs up
            handler.wfile.write(part)
            time.sleep(every)

    return answer


def silent(handler):
    time.sleep(1)


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def redirects(target):
    return sends(status="302 Found", headers=f"Location: {target}\r\nConnection: close\r\nContent-Length: 0\r\n")


def length(count):
    return f"Content-Length: {count}\r\n"


HTML = b"\n<!DOCTYPE html><html><body>Please log in</body></html>"
FAULTS = {
    # name: (answer, how often it is asked for, cause)
    "cut": (sends(TEXT[:5], headers=length(len(TEXT))), 3, "broken off"),
    "cut and no length told": (sends(TEXT[:5]), 1, "wrong checksum: 5 bytes"),
    "corrupted": (TEXT.replace(b"a", b"b"), 1, "wrong checksum"),
    "longer than told": (sends(b"", TEXT * 2, headers=length(len(TEXT) + 1), every=0.2), 1, "wrong checksum"),
    "longer than told, at once": (at_once(length(len(TEXT) + 1).encode(), b"\r\n", TEXT * 2), 3, "no connection"),
    "empty": (b"", 1, "wrong checksum: 0 bytes"),
    "a page instead of the file": (HTML, 1, "wrong checksum: an HTML page of 55 bytes"),
    "missing": (404, 1, "HTTP status 404"),
    "overloaded": (503, 3, "HTTP status 503"),
    "too many requests": (429, 3, "HTTP status 429"),
    "nothing for it": (204, 1, "HTTP status 204"),
    "a part only": (sends(TEXT, status="206 Partial Content"), 1, "HTTP status 206"),
    "redirected to itself": (redirects("fault"), 11, "redirects without end"),
    "redirected to a file of ours": (redirects("file:///etc/passwd"), 1, "unreadable answer"),
    "redirected to nonsense": (redirects("http://[/"), 1, "unreadable answer"),
    "redirected to nobody": (redirects("http://127.0.0.1:1/"), 3, "no connection"),
    "silent": (silent, 3, "timed out"),
    "silent in the middle": (sends(TEXT[:5], b"", headers=length(len(TEXT)), every=1), 3, "timed out"),
    "slow": (forever(b"x", every=0.1), 3, "not done after 0.5 seconds"),
    "endless": (forever(b"x" * 100), 1, "more than 1000 bytes"),
    "endless in chunks": (forever(b"64\r\n" + b"x" * 100 + b"\r\n", "Transfer-Encoding: chunked\r\n"), 1, "more than 1000 bytes"),
    "bad chunks": (sends(b"", b"zz\r\n", headers="Transfer-Encoding: chunked\r\n", every=0.2), 3, "broken off"),
    "bad chunks, at once": (at_once(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 3, "no connection"),
    "bad chunks later": (
        sends(b"", b"1\r\nx\r\n", b"zz\r\n", headers="Transfer-Encoding: chunked\r\n", every=0.2),
        3,
        "broken off",
    ),
    "reset": (reset, 3, "no connection"),
    "no HTTP": (lambda handler: handler.wfile.write(b"\0" * 100), 3, "no connection"),
    "endless headers": (sends(headers="X: y\r\n" * 1000), 3, "no connection"),
    "packed unasked": (sends(zlib.compress(TEXT), headers="Content-Encoding: deflate\r\n"), 1, "wrong checksum"),
    "length that is none": (sends(TEXT[:5], headers="Content-Length: many\r\n"), 3, "no connection"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_the_next_address_is_asked(server, tmp_path, name):
    answer, asked, cause = FAULTS[name]
    limits = IMPATIENT if name.startswith(("silent", "slow")) else SMALL
    server.answers = {"fault": answer, "right": TEXT}
    fault = at(server.url("fault"))
    with pytest.raises(DownloadError) as caught:
        fetch(corpus(raw(fault)), tmp_path, limits=limits)
    assert f"t/train.bio could be had from nowhere: {fault.url} ({cause}" in str(caught.value)
    assert f"put the file at {tmp_path}/t/train.bio by hand" in caught.value.remedy and "\n" not in str(caught.value)
    assert everything(tmp_path) == []
    assert server.asked == ["fault"] * asked
    fetch(corpus(raw(fault, at(server.url("right")))), tmp_path, limits=limits)
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT


@pytest.mark.parametrize("headers", ["", "Transfer-Encoding: chunked\r\n", "Content-Length: 1000000000\r\n"])
def test_the_body_of_a_redirect_is_not_read(server, tmp_path, headers):
    sent = []

    def moved(handler):
        handler.wfile.write(f"HTTP/1.1 302 Found\r\nLocation: right\r\n{headers}\r\n".encode())
        while True:  # until the client hangs up
            sent.append(handler.wfile.write(b"fffff\r\n" + bytes(0xFFFFF) + b"\r\n"))

    server.answers = {"moved": moved, "right": TEXT}
    fetch(corpus(raw(at(server.url("moved")))), tmp_path, limits=QUICK)
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT
    # what the network's buffers take
    assert sum(sent) < 32 * 2**20


def test_a_redirect_that_ends_is_followed(server, tmp_path):
    server.answers = {"moved": redirects("right"), "right": sends(TEXT)}
    fetch(corpus(raw(at(server.url("moved")))), tmp_path, limits=SMALL)
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT


def test_a_wrong_certificate(server, tmp_path):
    url = server.url("right").replace("http:", "https:")
    with pytest.raises(DownloadError, match="certificate not accepted|no connection"):
        fetch(corpus(raw(at(url))), tmp_path, limits=SMALL)


# --- servers that are never silent for long, and never done ---------------------------------------------------------------


def drips(start, part):
    """Send something, and then a little more every twentieth of a second until the client hangs up."""

    def answer(handler):
        handler.wfile.write(start)
        while True:
            time.sleep(0.05)
            handler.wfile.write(part)

    return answer


def slowly(answer):
    def later(handler):
        time.sleep(0.05)
        answer(handler)

    return later


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "status line": drips(b"HTTP/1.1 200 ", b"O"),
    "interim answers": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "header": drips(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "headers": drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "redirects": redirects("redirected"),
    "size of a chunk": drips(CHUNKED, b"0"),
    "trailer": drips(CHUNKED + b"0\r\n", b"X: y\r\n"),
}


@pytest.fixture(params=DRIPS)
def dripping(server, request):
    server.answers = {"fault": DRIPS[request.param], "redirected": slowly(redirects("redirected")), "right": TEXT}
    return server


def test_an_attempt_has_its_time_and_no_more(dripping, tmp_path):
    fault, began = at(dripping.url("fault")), time.monotonic()
    with pytest.raises(DownloadError) as caught:
        fetch(corpus(raw(fault)), tmp_path, limits=BRIEF)
    assert 3 * 0.2 <= time.monotonic() - began < 3 * 0.2 + 1
    assert f"t/train.bio could be had from nowhere: {fault.url} (not done after 0.2 seconds)" in str(caught.value)
    # the time above is that of three attempts; on a busy machine one may be over before the server reads its request
    assert 1 <= dripping.asked.count("fault") <= 3 and everything(tmp_path) == []
    fetch(corpus(raw(fault, at(dripping.url("right")))), tmp_path, limits=replace(BRIEF, attempts=1))
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT


def only(threads):
    """Whether no others are left: of the client none, and of the server none that waits for the client to hang up."""
    until = time.monotonic() + 5
    while set(threading.enumerate()) - threads and time.monotonic() < until:
        time.sleep(0.01)
    return set(threading.enumerate()) <= threads


def test_an_attempt_leaves_no_thread_and_no_connection(dripping):
    threads = set(threading.enumerate())
    with Web(replace(BRIEF, attempts=1)) as web:
        with pytest.raises(Unavailable, match="not done after 0.2 seconds"):
            web.read(at(dripping.url("fault")))
        assert only(threads)


def test_a_slow_tls_handshake(server, tmp_path):
    class Greeting(Server):
        def finish_request(self, connection, _):
            self.asked.append(connection)
            connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16384 bytes
            while True:
                time.sleep(0.05)
                connection.sendall(b"\x02")

    server.answers = {"right": TEXT}
    threads = set(threading.enumerate())
    with Greeting() as greeting:
        fault = at(greeting.url("right").replace("http:", "https:"))
        with pytest.raises(DownloadError, match="not done after 0.2 seconds"):
            fetch(corpus(raw(fault)), tmp_path, limits=BRIEF)
        assert len(greeting.asked) == 3 and everything(tmp_path) == []
        fetch(corpus(raw(fault, at(server.url("right")))), tmp_path, limits=replace(BRIEF, attempts=1))
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT and only(threads)


@pytest.mark.parametrize(("addresses", "connect_seconds"), [(1, 5), (100, 0.05)])
def test_a_host_that_does_not_answer(server, monkeypatch, tmp_path, addresses, connect_seconds):
    def resolve(host, *arguments, **options):
        found = resolved("127.0.0.1" if host == "many" else host, *arguments, **options)
        return [(*found[0][:4], full.getsockname())] * addresses if host == "many" else found

    server.answers = {"right": TEXT}
    fault, resolved = at("http://many/"), socket.getaddrinfo
    limits = replace(BRIEF, connect_seconds=connect_seconds)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,many")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):  # nobody accepts it, and there is no place for a second
            began = time.monotonic()
            with pytest.raises(DownloadError, match="not done after 0.2 seconds"):
                fetch(corpus(raw(fault)), tmp_path, limits=limits)
            assert 3 * 0.2 <= time.monotonic() - began < 3 * 0.2 + 1 and everything(tmp_path) == []
            fetch(corpus(raw(fault, at(server.url("right")))), tmp_path, limits=replace(limits, attempts=1))
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT


def test_the_time_of_an_attempt_begins_with_it(server):
    clients = []

    def keeps_the_connection(handler):
        sends(TEXT, headers=length(len(TEXT)))(handler)
        handler.close_connection = False
        clients.append(handler.client_address)

    server.answers = {"right": keeps_the_connection}
    with Web(BRIEF) as web:
        for _ in range(3):
            assert web.read(at(server.url("right"))) == TEXT
            time.sleep(0.3)
    assert len(clients) == 3 and len(set(clients)) == 1


def test_in_a_thread_where_a_loop_is_running(server):
    async def notebook():
        with Web(QUICK) as web:
            return web.read(at(server.url("right")))

    server.answers = {"right": sends(TEXT)}
    assert asyncio.run(notebook()) == TEXT


def test_ctrl_c_ends_a_download(server, capfd):
    def interrupts(handler):
        os.kill(os.getpid(), signal.SIGINT)
        sends(TEXT[:5])(handler)
        handler.rfile.read()  # until the client hangs up

    server.answers = {"fault": interrupts}
    threads, began = set(threading.enumerate()), time.monotonic()
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), Web(QUICK) as web:
            web.read(at(server.url("fault")))
    finally:
        signal.signal(signal.SIGINT, former)
    assert time.monotonic() - began < QUICK.silence_seconds and only(threads) and capfd.readouterr().err == ""


# --- archives --------------------------------------------------------------------------------------------------------


def archived(name="t/train", content=TEXT, link=False, method=zipfile.ZIP_DEFLATED):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFLNK | 0o777 if link else stat.S_IFREG | 0o644) << 16
        archive.writestr(entry, content, method)
    return data.getvalue()


def lying(size, told):
    """An archive whose member unpacks to `size` zeros and says that it has `told` bytes."""
    data = archived(content=bytes(size))
    return data.replace(struct.pack("<I", size), struct.pack("<I", told))


def encrypted():
    data = bytearray(archived())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    return bytes(data)


ARCHIVES = {
    "climbs out": (archived("../../t/train"), "outside of it"),
    "absolute": (archived("/t/train"), "outside of it"),
    "link": (archived(content=b"/etc/passwd", link=True), "is a link"),
    "bomb": (archived(content=bytes(10**7)), "has more than"),
    "bomb that lies": (lying(10**7, 999), "damaged archive"),
    "unbounded method": (archived(method=zipfile.ZIP_LZMA), "packed otherwise"),
    "encrypted": (encrypted(), "damaged archive"),
    "cut": (archived()[:-10], "damaged archive"),
    "corrupted": (archived().replace(TEXT[:4], b"wxyz").replace(b"t/train", b"t/tra\xff\xff"), "0 members|damaged archive"),
    "page": (HTML, "damaged archive: an HTML page"),
    "empty": (b"", "damaged archive: 0 bytes"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_writes_nothing_but_what_is_right(server, tmp_path, name):
    data, cause = ARCHIVES[name]
    server.answers = {"a.zip": data}
    with pytest.raises(DownloadError, match=cause) as caught:
        fetch(corpus(raw(at(server.url("a.zip"), "t/train"))), tmp_path / "raw", limits=replace(QUICK, size=10**5))
    assert f"{server.url('a.zip')}, in it t/train (" in str(caught.value)
    assert everything(tmp_path) == []


def test_every_damage_of_an_archive_gives_the_file_or_a_cause(server, tmp_path):
    intact = archived()
    for place in range(len(intact)):
        for new in (0xFF, intact[place] ^ 1):
            server.answers = {"a.zip": intact[:place] + bytes([new]) + intact[place + 1 :]}
            folder = tmp_path / f"{place}-{new}"
            try:
                fetch(corpus(raw(at(server.url("a.zip"), "t/train"))), folder, limits=QUICK)
                assert (folder / "t/train.bio").read_bytes() == TEXT
            except DownloadError:
                assert everything(folder) == []


def test_a_whole_and_a_wrong_archive_of_known_checksum(server, tmp_path):
    data = archived("top/t/train")
    server.answers = {"a.zip": [data[:-1] + b"x", data]}
    address = at(server.url("a.zip"), "t/train", sha(data))
    with pytest.raises(DownloadError, match="wrong checksum of the archive"):
        fetch(corpus(raw(address)), tmp_path, limits=QUICK)
    fetch(corpus(raw(address)), tmp_path, limits=QUICK)
    assert (tmp_path / "t/train.bio").read_bytes() == TEXT
