"""A connection that is held or cut after so many bytes: `Wire(port)` is another port on this machine for `port`."""

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Wire:
    """Forwards connections. After `let(n)` no more than n further bytes go up (to the server), all connections
    together; then `reached` is set, and the one that brought more is held, or cut where `cut` is asked for."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.reached = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.count = threading.Lock()
        self.left, self.cut = 0, False
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.free.set()
        self.listening.close()

    def let(self, amount: int, cut: bool = False) -> None:
        """Let `amount` bytes up from now on."""
        self.left, self.cut = amount, cut
        self.reached.clear()
        self.free.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                if up and not self._may(len(data)):
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # so that who still sends is refused, as by a server that is gone, and does not wait for ever

    def _may(self, amount: int) -> bool:
        if self.free.is_set():
            return True
        with self.count:
            self.left -= amount
            enough = self.left >= 0
        if enough:
            return True
        self.reached.set()
        if self.cut:
            return False
        return self.free.wait()
