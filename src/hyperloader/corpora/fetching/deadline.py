"""HTTP connections that wait for a server until a set time, however slowly it sends.

The HTTP library limits each wait on its own: a server that sends a byte now and then holds it for ever, in a status line,
between two chunks, in redirect after redirect. Here no wait is longer than what is left of the whole.
"""

from __future__ import annotations

import io
import math
import time

from requests.adapters import HTTPAdapter


class Deadline:
    """When what goes on has to be over. Connections are kept for the next download, so that it can be set again."""

    def __init__(self):
        self._end = math.inf

    def set(self, seconds: float) -> None:
        """Let it be so many seconds from now."""
        self._end = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._end

    def shortened(self, seconds: float) -> float:
        """What is left of a wait of so many seconds.

        Raises:
            TimeoutError: nothing.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(seconds, left)


class DeadlineAdapter(HTTPAdapter):
    """Makes connections, to proxies as well, that keep a deadline."""

    def __init__(self, deadline: Deadline):
        super().__init__()
        self._deadline = deadline

    def get_connection_with_tls_context(self, *arguments, **options):
        pool = super().get_connection_with_tls_context(*arguments, **options)
        if not issubclass(pool.ConnectionCls, _Connection):
            pool.ConnectionCls = type("DeadlineConnection", (_Connection, pool.ConnectionCls), {"deadline": self._deadline})
        return pool


class _Connection:
    """A connection of urllib3, of whichever kind, that keeps a deadline; every answer is read by its `response_class`."""

    deadline: Deadline

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.socket_options = _SocketOptions(self.socket_options or (), self.deadline)

    def _new_conn(self):
        self.timeout = self.deadline.shortened(self.timeout)
        connected = super()._new_conn()
        try:
            connected.settimeout(self.deadline.shortened(self.timeout))  # of a whole TLS handshake, not of each of its packets
        except TimeoutError:
            connected.close()
            raise
        return connected

    def response_class(self, connected, *arguments, **options):
        response = super().response_class(connected, *arguments, **options)
        response.fp = io.BufferedReader(_Reader(response.fp.detach(), connected, self.deadline))
        return response


class _SocketOptions:
    """Set for each address of a host in turn, before it is tried: past the deadline no further one is."""

    def __init__(self, options, deadline: Deadline):
        self._options, self._deadline = options, deadline

    def __iter__(self):
        self._deadline.shortened(0)
        return iter(self._options)


class _Reader(io.RawIOBase):
    """Reads a socket's file, whatever asks for it, and waits each time for what is left."""

    def __init__(self, file: io.RawIOBase, connected, deadline: Deadline):
        self._file, self._connected, self._deadline = file, connected, deadline
        self._silence = connected.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int | None:
        self._connected.settimeout(self._deadline.shortened(self._silence))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
