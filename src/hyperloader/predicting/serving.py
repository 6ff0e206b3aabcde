"""`hyperloader serve`: a page on which one types a sentence and sees its spans, and the endpoint behind it.

    GET  /       the page
    GET  /runs   [{"name", "tasks"}]
    POST /tag    {"text", "run", "task"} -> {"spans"} as `Tagger.predict` gives them, or {"error"} with status 400, 413 or 415

It answers this machine only, unless it is told another address, and only under names of this machine: no page from elsewhere reaches it.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperloader.config.plugins import extra
from hyperloader.config.settings import Decoding
from hyperloader.errors import FormatError, SettingsError, UserError
from hyperloader.predicting.tagger import Tagger

if TYPE_CHECKING:
    from fastapi import FastAPI

EXTRA, LOOPBACK = "serve", ("127.0.0.1", "localhost", "::1")
# of a request; the longest sentence of the corpora has 400 characters
MOST_BYTES = 1 << 16
# who is cut off while sending does not see the answer, so of longer ones this much is read
MOST_DISCARDED = 1 << 26


def serve(runs: Sequence[Path], host: str, port: int, decoding: Decoding) -> None:
    """Serve trained runs until Ctrl-C.

    Args:
        runs: folders of runs or of saved models.
        host: address to listen on.
        port: of it; 0 for any that is free.
        decoding: see `Tagger.from_pretrained`.

    Raises:
        SettingsError: FastAPI or uvicorn are not installed, or the address cannot be had.
        UserError: a run is missing or damaged.
    """
    uvicorn = extra("uvicorn", EXTRA)
    extra("fastapi", EXTRA)
    # an address that is taken is said before the models are loaded
    with _listening(host, port) as listener:
        app = application({name: Tagger.from_pretrained(run, decoding) for name, run in zip(_names(runs), runs, strict=True)}, host)
        print(f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/  Ctrl-C ends", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def application(taggers: dict[str, Tagger], host: str = LOOPBACK[0]) -> FastAPI:
    """The web application of some taggers by name."""
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import HTMLResponse, JSONResponse
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK[:2], "[::1]"] if host in LOOPBACK else ["*"])
    page = files(__package__).joinpath("page.html").read_text(encoding="utf-8")

    # the annotations of an inner function are looked up in this module, where FastAPI may be missing
    async def show(request) -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'"})

    async def runs(request) -> JSONResponse:
        return JSONResponse([{"name": name, "tasks": tagger.tasks} for name, tagger in taggers.items()])

    async def tag(request) -> JSONResponse:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return JSONResponse({"error": "expected a body of type application/json"}, 415)
        body = await _body(request)
        if body is None:
            return JSONResponse({"error": f"more than {MOST_BYTES} bytes"}, 413, headers={"Connection": "close"})
        try:
            tagger, text, task = _asked(body, taggers)
            return JSONResponse({"spans": await run_in_threadpool(tagger.predict, text, task)})
        except UserError as error:
            return JSONResponse({"error": str(error)}, 400)

    for path, endpoint, method in (("/", show, "GET"), ("/runs", runs, "GET"), ("/tag", tag, "POST")):
        endpoint.__annotations__["request"] = Request
        app.add_api_route(path, endpoint, methods=[method], response_model=None)
    return app


async def _body(request) -> bytes | None:
    """The body of a request; None for one that is too long, which is not kept."""
    body, size = bytearray(), int(request.headers.get("content-length") or 0)
    if size > MOST_DISCARDED:
        return None
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_DISCARDED:
            break
        if size <= MOST_BYTES:
            body += chunk
    return bytes(body) if size <= MOST_BYTES else None


def _asked(body: bytes, taggers: dict[str, Tagger]) -> tuple[Tagger, str, str | None]:
    try:
        value: Any = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()  # half a character, which an answer could not repeat
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not valid JSON ({error})") from None
    match value:
        case {"text": str(text), "run": str(run)} if isinstance(value.get("task"), str | None):
            if run not in taggers:
                raise FormatError(f"unknown run '{run}'", remedy=f"known runs: {', '.join(taggers)}")
            return taggers[run], text, value.get("task")
    raise FormatError("expected an object with strings as its text, run and task")


def _names(runs: Sequence[Path]) -> list[str]:
    """What tells runs apart, without what they have in common."""
    parts = [Path(run).resolve().parts for run in runs]
    if len(set(parts)) < len(parts):
        raise SettingsError("a run is named twice", remedy="name each once")
    length = max(map(len, parts))
    first = next((place for place in range(length) if len({own[place : place + 1] for own in parts}) > 1), max(0, length - 4))
    # one that lies within another has nothing of its own left
    first = min(first, *(len(own) - 1 for own in parts))
    return ["/".join(own[first:]) for own in parts]


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno in errno.errorcode else error
        raise SettingsError(f"cannot listen on {host}, port {port} ({reason})", remedy="name another --port; 0 takes a free one") from None
    return listener
