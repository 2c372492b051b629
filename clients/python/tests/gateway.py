"""A real Sluice on this machine, and a proxy in front of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

READY_SECONDS = 120.0
_PAUSE = 0.1


def free_port() -> int:
    """Return a port that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """`sluice up` with a data folder. `kill` and `start` again keep the data and the port."""

    def __init__(self, data_dir: Path, catalog: Path, settings: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        self._catalog = catalog
        self._env = {**os.environ, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it is ready."""
        log = (self.data_dir / "test.log").open("ab")
        with closing(log):
            self._process = subprocess.Popen(
                [
                    os.environ["SLUICE_BIN"],
                    "up",
                    "--port",
                    str(self.port),
                    "--data-dir",
                    str(self.data_dir),
                    "--catalog",
                    str(self._catalog),
                ],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = (self.data_dir / "test.log").read_text()[-3000:]
                raise AssertionError(f"Sluice is not ready:\n{tail}")
            time.sleep(_PAUSE)

    def _is_ready(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with suppress(OSError), closing(opener.open(f"{self.url}/readyz", timeout=5)) as answer:
            return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        """Kill the process without a chance to clean up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop as Ctrl-C does."""
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(60)

    def token(self, ttl: str = "1h", sub: str = "alice") -> str:
        """Return a token of the local identity."""
        command = [os.environ["SLUICE_BIN"], "token", "--data-dir", str(self.data_dir)]
        command += ["--sub", sub, "--tenant", "acme", "--ttl", ttl]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    def api_key(self) -> str:
        """Return a new API key that does not expire."""
        command = [os.environ["SLUICE_BIN"], "keys", "create", "--data-dir", str(self.data_dir)]
        command += ["--url", self.url, "--name", "test", "--scope", "export:*"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()


class Proxy:
    """Passes bytes on, counts those of the server, and may change or refuse them."""

    def __init__(self, port: int, change: Callable[[bytes], bytes] = lambda data: data) -> None:
        self.received = 0
        """The bytes that the server has sent."""
        self.requests: list[bytes] = []
        """What clients have sent."""
        self.is_open = True
        """Whether new connections are passed on; without it they are closed at once."""
        self.refused: bytes | None = None
        """A connection on which a client sends this is closed."""
        self._target = ("127.0.0.1", port)
        self._change = change
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                if not self.is_open:
                    client.close()
                    continue
                server = socket.create_connection(self._target, timeout=30)
            except OSError:
                return
            server.settimeout(None)
            self._sockets |= {client, server}
            for work in (self._to_server, self._to_client):
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self.requests.append(data)
                if self.refused and self.refused in data:
                    break
                server.sendall(data)
        self._shut(client, server)

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                self.received += len(data)
                client.sendall(self._change(data))
        self._shut(client, server)

    def _shut(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Break all connections."""
        self._shut(*self._sockets)

    def close(self) -> None:
        """Break all connections, and listen no longer."""
        self._listener.close()
        self.drop()
        for one in self._sockets:
            one.close()


@contextmanager
def proxy(
    gateway: Gateway, change: Callable[[bytes], bytes] = lambda data: data
) -> Iterator[Proxy]:
    """Run a proxy in front of a gateway."""
    with closing(Proxy(gateway.port, change)) as running:
        yield running
