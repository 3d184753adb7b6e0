"""Every fault that the proxy injects, seen by an ordinary HTTP client."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.harness import faults
from tests.harness.faults import LoseAnswer, Outage, Reset, ResetRequest, ResetResponse, Slow
from tests.harness.proxy import Proxy
from tests.harness.server import Shelf, shelf
from tests.harness.tcp import TcpProxy

BODY = bytes(range(256)) * 4000


@pytest.fixture
def server() -> Iterator[Shelf]:
    with shelf() as server:
        server.objects["/there"] = BODY
        yield server


@pytest.fixture
def proxy(server: Shelf) -> Iterator[Proxy]:
    with Proxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, trust_env=False) as client:
        yield client


def test_without_a_fault_everything_passes(
    server: Shelf, proxy: Proxy, client: httpx.Client
) -> None:
    assert client.put("/new", content=BODY).status_code == 201
    assert client.get("/new").content == BODY
    assert client.head("/new").headers["content-length"] == str(len(BODY))
    assert client.get("/nothing").status_code == 404
    assert server.objects["/new"] == BODY
    assert [(e.method, e.target, e.status) for e in proxy.log] == [
        ("PUT", "/new", 201),
        ("GET", "/new", 200),
        ("HEAD", "/new", 200),
        ("GET", "/nothing", 404),
    ]
    assert proxy.log[0].sent == len(BODY)
    assert proxy.bytes_fetched() == len(BODY)
    assert proxy.injected() == []


def test_bodies_of_unknown_length_pass_in_both_directions(
    server: Shelf, client: httpx.Client
) -> None:
    pieces = (BODY[start : start + 10_000] for start in range(0, len(BODY), 10_000))
    assert client.put("/new", content=pieces).status_code == 201  # in chunks
    assert server.objects["/new"] == BODY
    assert client.get("/new?chunked").content == BODY


def test_a_client_that_asks_before_it_sends_its_body(server: Shelf, proxy: Proxy) -> None:
    head = b"PUT /new HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as wire:
        wire.sendall(head)
        assert wire.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sendall(b"hello")
        assert wire.recv(1000).startswith(b"HTTP/1.1 201")
    assert server.objects["/new"] == b"hello"


def test_a_reset_before_the_request_arrives(
    server: Shelf, proxy: Proxy, client: httpx.Client
) -> None:
    proxy.inject(Reset())
    with pytest.raises(httpx.TransportError):
        client.put("/new", content=BODY)
    assert "/new" not in server.objects


def test_a_reset_in_the_middle_of_the_request(
    server: Shelf, proxy: Proxy, client: httpx.Client
) -> None:
    proxy.inject(ResetRequest(after=1000))
    with pytest.raises(httpx.TransportError):
        client.put("/new", content=BODY)
    time.sleep(0.1)
    assert "/new" not in server.objects


def test_a_reset_in_the_middle_of_the_answer(proxy: Proxy, client: httpx.Client) -> None:
    proxy.inject(ResetResponse(after=1000))
    got: list[bytes] = []
    with client.stream("GET", "/there") as answer, pytest.raises(httpx.TransportError):
        got.extend(answer.iter_raw())
    assert answer.status_code == 200
    assert BODY[:1000].startswith(b"".join(got))


def test_a_lost_answer_to_a_request_that_took_effect(
    server: Shelf, proxy: Proxy, client: httpx.Client
) -> None:
    proxy.inject(LoseAnswer(), method="PUT")
    with pytest.raises(httpx.TransportError):
        client.put("/new", content=BODY)
    assert server.objects["/new"] == BODY
    (exchange,) = proxy.injected()
    assert (exchange.status, exchange.received) == (201, 0)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (faults.internal_error(), 500, "InternalError"),
        (faults.unavailable(retry_after=7), 503, "SlowDown"),
        (faults.too_many_requests(), 429, "TooManyRequests"),
        (faults.expired_token(), 403, "ExpiredToken"),
        (faults.access_denied(), 403, "AccessDenied"),
    ],
)
def test_an_answer_that_the_server_did_not_give(
    server: Shelf,
    proxy: Proxy,
    client: httpx.Client,
    fault: faults.Answer,
    status: int,
    code: str,
) -> None:
    proxy.inject(fault)
    answer = client.put("/new", content=BODY)
    assert answer.status_code == status
    assert answer.headers["x-ms-error-code"] == code
    assert f"<Code>{code}</Code>" in answer.text
    assert answer.headers.get("retry-after") == ("7" if status == 503 else None)
    assert server.requests == []
    assert client.put("/new", content=BODY).status_code == 201  # the second one passes


def test_an_answer_to_a_head_has_no_body(proxy: Proxy, client: httpx.Client) -> None:
    proxy.inject(faults.internal_error())
    assert client.head("/there").status_code == 500
    assert client.get("/there").content == BODY  # on the same connection


def test_an_answer_that_comes_late(proxy: Proxy, client: httpx.Client) -> None:
    proxy.inject(Slow(delay=0.2))
    began = time.monotonic()
    assert client.get("/there").content == BODY
    assert time.monotonic() - began >= 0.2


def test_an_answer_in_a_trickle(server: Shelf, proxy: Proxy, client: httpx.Client) -> None:
    server.objects["/small"] = BODY[:1000]
    proxy.inject(Slow(rate=5000))
    began = time.monotonic()
    assert client.get("/small").content == BODY[:1000]
    assert time.monotonic() - began >= 0.15


def test_a_plan_hits_by_method_path_and_number(proxy: Proxy, client: httpx.Client) -> None:
    proxy.inject(faults.internal_error(), method="PUT", path=r"^/log/.*\.json$", skip=1, times=2)
    assert client.get("/log/1.json").status_code == 404
    assert client.put("/data/1.json", content=b"").status_code == 201
    asked = [client.put("/log/%31.json", content=b"").status_code for _ in range(4)]
    assert asked == [201, 500, 500, 201]
    assert [exchange.target for exchange in proxy.injected()] == ["/log/1.json"] * 2


def test_clearing_forgets_the_plan_and_the_log(proxy: Proxy, client: httpx.Client) -> None:
    proxy.inject(faults.internal_error(), times=None)
    assert client.get("/there").status_code == 500
    proxy.clear()
    assert client.get("/there").status_code == 200
    assert len(proxy.log) == 1


def test_an_outage_refuses_connections_and_ends(proxy: Proxy, client: httpx.Client) -> None:
    assert client.get("/there").status_code == 200
    with proxy.outage(), pytest.raises(httpx.TransportError):
        client.get("/there")
    with proxy.outage(), pytest.raises(httpx.ConnectError):
        client.get("/there")
    assert client.get("/there").content == BODY


def test_an_outage_that_begins_with_a_request(proxy: Proxy, client: httpx.Client) -> None:
    proxy.inject(Outage(), method="PUT")
    assert client.get("/there").status_code == 200
    with pytest.raises(httpx.TransportError):
        client.put("/new", content=BODY)
    with pytest.raises(httpx.ConnectError):
        client.get("/there")
    proxy.accept()
    assert client.get("/there").content == BODY


def test_a_server_that_is_down(client: httpx.Client, server: Shelf) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(httpx.TransportError):
        client.get("/there")


def test_a_connection_of_any_other_protocol(server: Shelf) -> None:
    with (
        TcpProxy("127.0.0.1", int(server.server_address[1])) as proxy,
        httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}", trust_env=False) as client,
    ):
        assert client.get("/there").content == BODY
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as wire:
            wire.sendall(b"GET /there HTTP/1.1\r\nHost: x\r\n")
            time.sleep(0.05)
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                wire.recv(1000)
        assert client.get("/there").content == BODY
        with proxy.outage(), pytest.raises(httpx.ConnectError):
            client.get("/there")
