"""A service that only does what every service does: announce itself, answer health checks, end on SIGTERM.

    python standin_service.py SERVICE [PORT]

It imports nothing of ours nor of others, so that five of them start at once. What a test wants of it comes by the
environment: STANDIN_FAILS (exit at once, with that code), STANDIN_DRAIN (seconds to end in), STANDIN_DEAF (ignore
SIGTERM).
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

FEATURES = [{"name": "area", "example": 12.5}, {"name": "kind", "example": "it's"}]


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"signature": {"features": FEATURES}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the base class calls it so

    def log_message(self, format: str, *args: Any) -> None:
        pass


def redis(*command: str) -> bytes:
    url = urlsplit(os.environ["TASADOR_REDIS_URL"])
    words = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
    with socket.create_connection((url.hostname, url.port or 6379), timeout=2) as connection:
        connection.sendall(b"*%d\r\n%s" % (len(command), words))
        return connection.recv(100)


def announce(service: str, address: str) -> None:
    seen_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    mine = {"service": service, "id": str(os.getpid()), "pid": os.getpid(), "address": address, "state": "ready"}
    key = f"tasador:{{default}}:replica:{service}:{os.getpid()}"
    try:
        redis("SET", key, json.dumps({**mine, "seen_at": seen_at}), "EX", "3")
        redis("SADD", "tasador:{default}:replicas", f"{service}:{os.getpid()}")
    except OSError:
        return  # the next time, then


def run(service: str, port: int) -> None:
    ended = threading.Event()
    deaf = "STANDIN_DEAF" in os.environ
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda *_: ended.set())
    server = HTTPServer(("127.0.0.1", port), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not ended.wait(0.2):
        announce(service, f"http://127.0.0.1:{server.server_port}")
    time.sleep(float(os.environ.get("STANDIN_DRAIN", "0")))
    # The order of the end is what a test looks at: Redis must still answer.
    say(f"{service} drained, redis says {redis('PING')!r}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if code := os.environ.get("STANDIN_FAILS"):
        say("this service cannot start: no such column")
        sys.exit(int(code))
    run(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
