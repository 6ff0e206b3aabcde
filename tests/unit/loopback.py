"""A real HTTP server on the loopback interface that answers as a test wants, and a tiny corpus to fetch from it."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hyperloader.corpora.fetching.checksum import Checksum
from hyperloader.corpora.fetching.web import Limits
from hyperloader.corpora.registry import Address, Corpus, RawFile

TEXT = b"O\ta\nB-x\tb\n\n"
QUICK = Limits(pause_seconds=0, connect_seconds=5, silence_seconds=5, total_seconds=20)


class Server(ThreadingHTTPServer):
    """Answers each path with what `answers` holds for it.

    That is bytes, a status, None to break off, a function of the handler, or a list of these, one for each request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.asked = {}, []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, *_):
        pass  # clients hang up on bad servers


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.lstrip("/")
        self.server.asked.append(path)
        answer = self.server.answers.get(path, 404)
        if isinstance(answer, list):
            answer = answer.pop(0)
        self.close_connection = True
        if callable(answer):
            answer(self)
            return
        broken_off = answer is None
        body = b"half" if broken_off else answer if isinstance(answer, bytes) else b""
        self.send_response(answer if isinstance(answer, int) else 200)
        self.send_header("Content-Length", "1000" if broken_off else str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def sha(data):
    return hashlib.sha256(data).hexdigest()


def corpus(*files):
    splits = {"train": "t/train.bio", "test": "t/train.bio"}
    tiny = Corpus(title="Tiny", raw_format="bio", files=files, splits=splits, held_out_validation=0.1)
    tiny._folder = Path("nowhere/tiny")
    return tiny


def at(url, member="", archive_sha256=""):
    return Address(url=url, member=member, archive_sha256=archive_sha256)


def raw(*addresses, path="t/train.bio", accepted=None):
    return RawFile(path=path, accepted=accepted or (Checksum(sha256=sha(TEXT)),), addresses=addresses)


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class Hub(Server):
    """The hub, as far as its library asks: what models there are, and their files, at one commit."""

    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    def serve(self, name, folder):
        """Have a model, the files of a folder."""
        files = sorted(path.name for path in folder.iterdir())
        listing = {"id": name, "modelId": name, "sha": self.COMMIT, "siblings": [{"rfilename": file} for file in files]}
        for revision in ("main", self.COMMIT):
            self.answers[f"api/models/{name}/revision/{revision}"] = json.dumps(listing).encode()
            for file in files:
                self.answers[f"{name}/resolve/{revision}/{file}"] = self.file((folder / file).read_bytes())

    def file(self, data, sent=None, **headers):
        """Answers with a file's bytes, or with others that are `sent` in their place."""

        def answer(handler):
            handler.send_response(200)
            known = {"ETag": f'"{sha(data)}"', "X-Repo-Commit": self.COMMIT, "Content-Length": str(len(data))}
            for key, value in (known | headers).items():
                handler.send_header(key, value)
            handler.end_headers()
            if handler.command == "GET":
                handler.wfile.write(data if sent is None else sent)

        return answer

    def refuse(self, status, code=""):
        """Answers with a status, and the hub's own code for it."""

        def answer(handler):
            handler.send_response(status)
            handler.send_header("Content-Length", "0")
            if code:
                handler.send_header("X-Error-Code", code)
            handler.end_headers()

        return answer
