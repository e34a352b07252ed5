"""HTTP/1.1 on the wire, against the gateway's process: what comes in pieces, in heaps, broken, or too slowly."""

import asyncio
import json
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from services.gateway.connection import HEAD_BYTES
from shared.store import Store
from tests.artifacts import a_champion
from tests.integration.raw_http import Address, Answer, Connection
from tests.integration.test_gateway_http import ROW
from tests.integration.test_gateway_process import a_process, announced
from tests.processes import ServiceProcess
from tests.redis_server import RedisServer

LIMIT = 10_000  # bytes of a row
BODY = json.dumps(ROW).encode()
N = len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"
H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQ")


def request(body: bytes = BODY, *headers: bytes, line: bytes = b"POST /predict HTTP/1.1") -> bytes:
    """A request with a Host, and unless headers say otherwise, with the length of its body and the type of JSON."""
    given = [header.lower() for header in headers]
    own = [b"Host: gateway"]
    if not any(header.startswith((b"content-length", b"transfer-encoding")) for header in given):
        own.append(b"Content-Length: %d" % len(body))
    if not any(header.startswith(b"content-type") for header in given):
        own.append(b"Content-Type: application/json")
    return b"\r\n".join((line, *own, *headers, b"", body))


def without_type(request: bytes) -> bytes:
    return request.replace(b"Content-Type: application/json\r\n", b"", 1)


def get(path: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join((method + b" " + path + b" HTTP/1.1", b"Host: gateway", *headers, b"", b""))


def chunks(*parts: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    each = [b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts]
    return b"".join(each) + b"0\r\n" + trailer + b"\r\n"


@dataclass(frozen=True)
class Gateway:
    process: ServiceProcess
    address: Address

    def connect(self, receive_buffer: int | None = None) -> Connection:
        return Connection(self.address, receive_buffer)

    def metrics(self) -> str:
        with self.connect() as connection:
            return connection.ask(get(b"/metrics")).body.decode()

    def in_flight(self) -> int:
        """Requests besides the one that asks."""
        (line,) = (
            line for line in self.metrics().splitlines() if line.startswith("tasador_gateway_requests_in_flight ")
        )
        return int(float(line.split()[1])) - 1

    def eventually(self, state: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not state():
            assert time.monotonic() < deadline, "not within 20 s"
            time.sleep(0.01)


def start(directory: Path, redis_url: str, store: Store, **settings: object) -> Gateway:
    process = a_process(directory, redis_url, store, **settings).start()

    async def url() -> httpx.URL:
        async with Redis.from_url(redis_url, decode_responses=True) as redis:
            return httpx.URL((await announced(redis, pid=process.pid)).address)

    found = asyncio.run(url())
    assert found.port
    return Gateway(process, Address(found.host, found.port))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open((tmp_path_factory.mktemp("conformance") / "store").as_uri())
    asyncio.run(a_champion(store))
    return store


@pytest.fixture(scope="module")
def url(_shared_server: Callable[[str], RedisServer]) -> str:
    server = _shared_server("embedded")
    server.flush()
    return server.url


@pytest.fixture(scope="module", params=[False, True], ids=["as always", "fast path"])
def fast_path(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def gateway(store: Store, url: str, fast_path: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway; what a test does to its connection must not harm others."""
    settings = {"gateway_max_row_bytes": LIMIT, "gateway_body_seconds": 3, "gateway_fast_path": fast_path}
    gateway = start(tmp_path_factory.mktemp("gateway"), url, store, **settings)
    with gateway.process:
        yield gateway
        assert gateway.process.stop() == 0
        assert "Traceback" not in gateway.process.log.read_text()


def outcome(answer: Answer) -> str:
    """The status, and the slug of the problem if it is one; every answer has a request id."""
    assert answer.headers["x-request-id"]
    if answer.headers["content-type"] != "application/problem+json":
        return str(answer.status)
    problem = answer.json()
    assert (problem["status"], problem["request_id"]) == (answer.status, answer.headers["x-request-id"])
    return f"{answer.status} {problem['type'].removeprefix('/problems/')}"


@pytest.mark.parametrize(
    "given",
    {
        "plain": request(),
        "no media type": b"\r\n".join(
            (b"POST /predict HTTP/1.1", b"Host: gateway", b"Content-Length: %d" % N, b"", BODY)
        ),
        "media type in full": request(BODY, b"Content-Type: application/json; charset=utf-8"),
        "the first media type counts": request(BODY, b"Content-Type: application/json", b"Content-Type: text/csv"),
        "chunked": request(chunks(BODY[:9], BODY[9:]), CHUNKED),
        "chunked, in another case": request(chunks(BODY), b"TRANSFER-ENCODING: Chunked"),
        "chunked, by bytes": request(chunks(*(bytes([byte]) for byte in BODY)), CHUNKED),
        "chunk extensions": request(chunks(BODY[:9], BODY[9:], extension=b';a;b="c d"'), CHUNKED),
        "trailers": without_type(request(chunks(BODY, trailer=b"X-After: 1\r\nContent-Type: text/csv\r\n"), CHUNKED)),
        "query": request(line=b"POST /predict?a=1&wait=1 HTTP/1.1"),
        "percent-encoded": request(line=b"POST /%70re%64ict HTTP/1.1"),
        "absolute": request(line=b"POST http://elsewhere:1/predict HTTP/1.1"),
        "empty lines before": b"\r\n\r\n" + request(),
        "expectation of something else": request(BODY, b"Expect: the-unexpected"),
        "upgrade": request(BODY, *H2C),
        "upgrade, chunked": request(chunks(BODY[:9], BODY[9:]), CHUNKED, *H2C),
        "upgrade that is none": request(BODY, b"Upgrade: h2c"),
        "bytes above ASCII in a header": request(BODY, b"X-Other: \xe4\xff"),
        "an empty header": request(BODY, b"X-Empty:"),
        "many headers": request(BODY, *(b"X-%d: 1" % n for n in range(1000))),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_request_that_is_good_however_it_is_written(gateway: Gateway, given: tuple[str, bytes]) -> None:
    with gateway.connect() as connection:
        answer = connection.ask(given[1])
        assert outcome(answer) == "200"
        assert answer.headers["content-type"] == "application/json"
        assert not answer.closes
        again = connection.ask(request())
    assert answer.json()["prediction"] == again.json()["prediction"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"] != again.json()["request_id"]
    assert "date" in answer.headers


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (get(b"/predict"), "405 method-not-allowed"),
        (get(b"/predict", method=b"OPTIONS"), "405 method-not-allowed"),
        (request(line=b"PUT /predict HTTP/1.1"), "405 method-not-allowed"),
        (request(line=b"POST /predict/ HTTP/1.1"), "404 not-found"),
        (request(line=b"POST //predict HTTP/1.1"), "404 not-found"),
        (request(line=b"POST /Predict HTTP/1.1"), "404 not-found"),
        (request(line=b"POST /%2Fpredict HTTP/1.1"), "404 not-found"),
        (request(line=b"POST /predict%00 HTTP/1.1"), "404 not-found"),
        (request(line=b"POST /%ff%zz HTTP/1.1"), "404 not-found"),
        (get(b"*", method=b"OPTIONS"), "404 not-found"),
        (request(b""), "400 malformed-body"),
        (request(b"", b"X-No: length"), "400 malformed-body"),
        (get(b"/predict", method=b"POST"), "400 malformed-body"),
        (request(b"{}"), "422 invalid-row"),
        (request(b"\xff"), "400 malformed-body"),
        (request(BODY, b"Content-Type: text/csv"), "415 unsupported-media-type"),
        (request(BODY, b"Content-Encoding: gzip"), "415 unsupported-media-type"),
        (request(BODY, b"Content-Type: text/csv", b"Content-Type: application/json"), "415 unsupported-media-type"),
        (request(b" " * LIMIT + BODY), "413 payload-too-large"),
        (request(chunks(b" " * LIMIT, BODY), CHUNKED), "413 payload-too-large"),
    ],
)
def test_a_request_that_is_refused_does_not_cost_the_connection(gateway: Gateway, given: bytes, expected: str) -> None:
    with gateway.connect() as connection:
        answer = connection.ask(given)
        assert outcome(answer) == expected
        assert not answer.closes
        assert outcome(connection.ask(request())) == "200"
    assert "allow" in answer.headers or answer.status != 405


@pytest.mark.parametrize(
    "given",
    {
        "length twice": request(BODY, b"Content-Length: %d" % N, b"Content-Length: %d" % N),
        "lengths that differ": request(BODY, b"Content-Length: %d" % N, b"Content-Length: 3"),
        "list of lengths": request(BODY, b"Content-Length: %d, %d" % (N, N)),
        "negative length": request(BODY, b"Content-Length: -1"),
        "length with a sign": request(BODY, b"Content-Length: +%d" % N),
        "length in another base": request(BODY, b"Content-Length: 0x10"),
        "length beyond all measure": request(BODY, b"Content-Length: 99999999999999999999999"),
        "empty length": request(BODY, b"Content-Length:"),
        "length and chunked": request(chunks(BODY), b"Content-Length: %d" % N, CHUNKED),
        "chunked and length": request(chunks(BODY), CHUNKED, b"Content-Length: %d" % N),
        "chunked twice": request(chunks(BODY), CHUNKED, CHUNKED),
        "chunked, but not last": request(chunks(BODY), CHUNKED + b", gzip"),
        "coding that is not chunked": request(chunks(BODY), b"Transfer-Encoding: xchunked"),
        "blank before the colon": request(chunks(BODY), b"Transfer-Encoding : chunked"),
        "chunk without a size": request(b"\r\n" + BODY, CHUNKED),
        "chunk size that is none": request(b"zz\r\n" + BODY, CHUNKED),
        "chunk size with a sign": request(b"-5\r\n" + BODY, CHUNKED),
        "chunk size beyond all measure": request(b"fffffffffffffffff\r\n", CHUNKED),
        "chunk longer than its size": request(b"3\r\nabcdef\r\n0\r\n\r\n", CHUNKED),
        "length in a trailer": request(chunks(BODY, trailer=b"Content-Length: 1\r\n"), CHUNKED),
        "folded header": request(BODY, b"X-A: 1\r\n 2"),
        "header without a colon": request(BODY, b"X-A"),
        "header without a name": request(BODY, b": 1"),
        "blank in a name": request(BODY, b"X A: 1"),
        "zero byte in a header": request(BODY, b"X-A: 1\0002"),
        "line feeds alone": request().replace(b"\r\n", b"\n"),
        "no host": request().replace(b"Host: gateway\r\n", b""),
        "two hosts": request(BODY, b"Host: elsewhere"),
        "method in small letters": request(line=b"post /predict HTTP/1.1"),
        "method that is none": request(line=b"PREDICT /predict HTTP/1.1"),
        "path without a slash": request(line=b"POST predict HTTP/1.1"),
        "bytes above ASCII in the path": request(line=b"POST /\xc3\xa9 HTTP/1.1"),
        "blank in the path": request(line=b"POST /a b HTTP/1.1"),
        "version to come": request(line=b"POST /predict HTTP/1.2"),
        "way of a proxy": get(b"elsewhere:443", method=b"CONNECT"),
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    }.items(),
    ids=lambda item: item[0],
)
def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(
    gateway: Gateway, given: tuple[str, bytes]
) -> None:
    """What follows on the connection might be part of it, or a request that somebody hid in it."""
    with gateway.connect() as connection:
        answer = connection.ask(given[1] + get(b"/health/live"))
        assert outcome(answer) == "400 malformed-request"
        assert answer.closes
        assert connection.is_closed()


def test_a_request_may_come_in_any_two_pieces(gateway: Gateway) -> None:
    for whole in (request(), request(chunks(BODY[:9], BODY[9:], extension=b";a"), CHUNKED), request(BODY, *H2C)):
        with gateway.connect() as connection:
            for cut in range(1, len(whole)):
                assert connection.send(whole[:cut], whole[cut:]).answer().status == 200
            connection.send(*(whole[place : place + 1] for place in range(len(whole))))
            assert connection.answer().status == 200


KINDS: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda name: request(BODY, name), "200"),
    (lambda name: get(b"/health/live", name), "200"),
    (lambda name: request(chunks(BODY), CHUNKED, name), "200"),
    (lambda name: request(b"[]", name), "422 invalid-row"),
    (lambda name: get(b"/nowhere", name), "404 not-found"),
    (lambda name: request(BODY, name, *H2C), "200"),
]


def test_heaps_of_requests_are_answered_in_order(gateway: Gateway) -> None:
    mixed = [KINDS[(n * n + n // 7) % len(KINDS)] for n in range(60)]
    with gateway.connect() as connection:
        connection.send(b"".join(make(b"X-Request-Id: n-%d" % n) for n, (make, _) in enumerate(mixed)))
        answers = [connection.answer() for _ in mixed]
    assert [outcome(answer) for answer in answers] == [expected for _, expected in mixed]
    assert [answer.headers["x-request-id"] for answer in answers] == [f"n-{n}" for n in range(60)]


@pytest.fixture
def a_job(gateway: Gateway) -> bytes:
    """Where a job is that nobody works on."""
    with gateway.connect() as connection:
        table = b"place,length,weight,grade,count\nwest,9.7,0.95,a,9\n"
        answer = connection.ask(request(table, b"Content-Type: text/csv", line=b"POST /jobs HTTP/1.1"))
    assert answer.status == 202
    return answer.headers["location"].encode()


def cancel(gateway: Gateway, job: bytes) -> None:
    with gateway.connect() as connection:
        assert connection.ask(get(job, method=b"DELETE")).status in (200, 202)


def test_a_prediction_waits_behind_a_long_poll_of_its_connection(gateway: Gateway, a_job: bytes) -> None:
    with gateway.connect() as connection:
        connection.send(get(a_job + b"?wait=60", b"X-Request-Id: first") + request(BODY, b"X-Request-Id: second"))
        gateway.eventually(lambda: gateway.in_flight() == 1)
        connection.send(request(BODY, b"X-Request-Id: third"))
        assert not select.select([connection.socket], [], [], 0.05)[0]
        cancel(gateway, a_job)
        answers = [connection.answer() for _ in range(3)]
    assert [answer.headers["x-request-id"] for answer in answers] == ["first", "second", "third"]
    assert [answer.status for answer in answers] == [200] * 3


@pytest.mark.parametrize(
    "nonsense", [b"\0", request(b"zz\r\n", CHUNKED), b"X" * 3 * HEAD_BYTES], ids=["byte", "chunk", "head"]
)
def test_nonsense_behind_a_request_does_not_take_its_answer(gateway: Gateway, a_job: bytes, nonsense: bytes) -> None:
    with gateway.connect() as connection:
        connection.send(get(a_job + b"?wait=60"), request(), nonsense)
        gateway.eventually(lambda: gateway.in_flight() == 1)
        cancel(gateway, a_job)
        assert [connection.answer().status for _ in range(2)] == [200, 200]
        rest = connection.rest()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 4")  # its own, if it was read after the others were answered


def test_a_body_that_is_waited_for_is_asked_for(gateway: Gateway) -> None:
    head, _, body = request(BODY, b"Expect: 100-continue").partition(b"\r\n\r\n")
    with gateway.connect() as connection:
        for _ in range(2):
            assert connection.ask(head + b"\r\n\r\n").status == 100
            assert outcome(connection.ask(body)) == "200"
        assert [connection.send(head + b"\r\n\r\n" + body).answer().status, connection.answer().status] == [100, 200]


@pytest.mark.parametrize(
    ("headers", "line", "expected"),
    [
        ((b"Content-Length: 999999",), b"POST /predict HTTP/1.1", "413 payload-too-large"),
        ((b"Content-Length: 9", b"Content-Type: text/csv"), b"POST /predict HTTP/1.1", "415 unsupported-media-type"),
        ((b"Content-Length: 9",), b"POST /nowhere HTTP/1.1", "404 not-found"),
        ((CHUNKED,), b"PUT /predict HTTP/1.1", "405 method-not-allowed"),
    ],
)
@pytest.mark.parametrize("expect", [(b"Expect: 100-continue",), ()], ids=["asks", "does not ask"])
def test_an_answer_before_the_body_says_that_it_is_the_last(
    gateway: Gateway, headers: tuple[bytes, ...], line: bytes, expected: str, expect: tuple[bytes, ...]
) -> None:
    """The caller may send the body after all, or not: what comes next cannot be told from it."""
    with gateway.connect() as connection:
        answer = connection.ask(request(b"", *headers, *expect, line=line))
        assert outcome(answer) == expected
        assert answer.closes
        connection.send(get(b"/health/live"))
        assert connection.is_closed()


def test_whoever_sends_too_much_gets_to_read_the_answer(gateway: Gateway) -> None:
    for body, framing in ((b"x" * 3_000_000, ()), (chunks(*[b"x" * 1000] * 3000), (CHUNKED,))):
        with gateway.connect() as connection:
            answer = connection.ask(request(body, *framing))
            assert outcome(answer) == "413 payload-too-large"
            assert answer.closes
            assert connection.is_closed()


def test_a_body_that_does_not_come_is_given_up(gateway: Gateway) -> None:
    with gateway.connect() as nothing, gateway.connect() as part:
        nothing.send(request(b"", b"Content-Length: 99"))
        part.send(request(BODY[:9], b"Content-Length: 99"))
        for connection in (nothing, part):
            answer = connection.answer()
            assert outcome(answer) == "408 body-timeout"
            assert answer.closes
            assert connection.is_closed()


@pytest.mark.parametrize(
    ("headers", "version", "closes"),
    [
        ((b"Connection: close",), b"1.1", True),
        ((b"Connection: keep-alive",), b"1.1", False),
        ((b"Connection: Other, Close",), b"1.1", True),
        ((), b"1.0", True),
        ((b"Connection: keep-alive",), b"1.0", True),
        ((b"Expect: 100-continue",), b"1.0", True),
    ],
)
def test_a_connection_stays_open_if_that_was_agreed(
    gateway: Gateway, headers: tuple[bytes, ...], version: bytes, closes: bool
) -> None:
    with gateway.connect() as connection:
        answer = connection.ask(request(BODY, *headers, line=b"POST /predict HTTP/" + version))
        assert outcome(answer) == "200"
        assert answer.closes == closes
        if closes:
            assert connection.is_closed()
        else:
            assert connection.ask(request()).status == 200


def test_nothing_is_answered_after_the_last_answer(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        connection.send(request() + request(BODY, b"Connection: close") + request())
        assert [connection.answer().closes for _ in range(2)] == [False, True]
        assert connection.is_closed()


def test_an_answer_to_head_has_no_body(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        connection.send(get(b"/predict", method=b"HEAD") + request())
        answer = connection.answer(to="HEAD")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert int(answer.headers["content-length"]) > 0
        assert connection.answer().status == 200


@pytest.mark.parametrize(
    ("given", "expected"), [(b"mine", b"mine"), (b"a b", None), (b"x" * 129, None), (b"\xe4", None), (b"", None)]
)
def test_a_request_keeps_its_id_if_it_can(gateway: Gateway, given: bytes, expected: bytes | None) -> None:
    with gateway.connect() as connection:
        for body in (BODY, b"{"):
            answer = connection.ask(request(body, b"X-Request-Id: " + given, b"X-Request-Id: second"))
            found = answer.headers["x-request-id"].encode()
            assert found == answer.json()["request_id"].encode()
            assert found == (expected or b"second")


@pytest.mark.parametrize(
    ("begin", "more", "expected"),
    [
        (b"GET /health HTTP/1.1\r\nX-Long: ", b"x", "431 head-too-large"),
        (b"GET /health HTTP/1.1\r\n", b"X-Many: 1\r\n", "431 head-too-large"),
        (b"GET /", b"x", "431 head-too-large"),
        (request(b"1;", CHUNKED), b"x", "431 head-too-large"),
        (request(b"0\r\n", CHUNKED), b"X-After: 1\r\n", "431 head-too-large"),
    ],
    ids=["header", "headers", "path", "chunk extension", "trailers"],
)
def test_what_is_no_body_is_bounded(gateway: Gateway, begin: bytes, more: bytes, expected: str) -> None:
    with gateway.connect() as connection:
        answer = connection.ask(begin + more * (4 * HEAD_BYTES // len(more)))
        assert outcome(answer) == expected
        assert answer.closes
        assert connection.is_closed()


@pytest.mark.parametrize("behind", [b"", request() + request()[:-9]], ids=["one request", "and more"])
def test_a_caller_that_says_no_more_is_answered(gateway: Gateway, a_job: bytes, behind: bytes) -> None:
    with gateway.connect() as connection:
        connection.send(get(a_job + b"?wait=60") + behind)
        gateway.eventually(lambda: gateway.in_flight() == 1)
        connection.socket.shutdown(socket.SHUT_WR)
        cancel(gateway, a_job)
        assert [connection.answer().status for _ in range(2 if behind else 1)] == [200] * (2 if behind else 1)
        assert connection.is_closed()


def test_a_caller_that_says_all_at_once_and_no_more_is_answered(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        connection.send(request()).socket.shutdown(socket.SHUT_WR)
        assert connection.answer().status == 200
        assert connection.is_closed()


def test_a_caller_that_breaks_off_is_not_answered(gateway: Gateway) -> None:
    with gateway.connect() as connection:
        connection.send(request()[:-9]).socket.shutdown(socket.SHUT_WR)
        assert connection.is_closed()


def test_callers_that_vanish_leave_nothing_behind(gateway: Gateway) -> None:
    for given in (request() * 50, get(b"/openapi.json") * 20, request()[:-9], request() + request()[:-9]):
        with gateway.connect() as connection:
            connection.send(given)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    gateway.eventually(lambda: gateway.in_flight() == 0)


@pytest.mark.parametrize("asked", [request(), get(b"/openapi.json")], ids=["predictions", "documents"])
def test_a_caller_that_reads_nothing_is_not_served_without_end(gateway: Gateway, asked: bytes) -> None:
    before, sent = resident(gateway.process.pid), 0
    with gateway.connect(receive_buffer=4096) as connection:
        connection.socket.setblocking(False)
        heap = asked * 100
        while select.select([], [connection.socket], [], 0.2)[1]:
            sent += connection.socket.send(heap[sent % len(heap) :])
            assert sent < 100_000_000
        assert resident(gateway.process.pid) - before < 32_000_000
        with gateway.connect() as other:
            assert other.ask(request()).status == 200
        connection.socket.settimeout(20)
        assert {connection.answer().status for _ in range(20)} == {200}


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_what_was_asked_before_the_end_is_answered(store: Store, url: str, tmp_path: Path) -> None:
    """Once, for both ways: with the fast path what is in flight still goes the usual one."""
    gateway = start(tmp_path, url, store, gateway_fast_path=True)
    with gateway.process, ThreadPoolExecutor() as threads:
        half, idle, fresh, poll = (gateway.connect() for _ in range(4))
        with half, idle, fresh, poll:
            assert idle.ask(request()).status == 200
            fresh.send(request()[:20])
            half.send(request()[:-9])
            with gateway.connect() as connection:
                table = b"place,length,weight,grade,count\nwest,9.7,0.95,a,9\n"
                made = connection.ask(request(table, b"Content-Type: text/csv", line=b"POST /jobs HTTP/1.1"))
            poll.send(get(made.headers["location"].encode() + b"?wait=60") + request())
            gateway.eventually(lambda: gateway.in_flight() == 2)
            gateway.process.send(signal.SIGTERM)
            ended = threads.submit(gateway.process.wait)
            assert idle.is_closed()
            assert fresh.is_closed()
            last = half.ask(request()[-9:])
            assert (last.status, last.closes) == (200, True)
            assert half.is_closed()
            assert [(poll.answer().status) for _ in range(2)] == [200, 200]
            assert poll.is_closed()
            assert ended.result() == 0
    assert "Traceback" not in gateway.process.log.read_text()
