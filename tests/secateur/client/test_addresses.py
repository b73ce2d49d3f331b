"""What people write after ``--url``, and what a service at another address answers."""

import httpx
import pytest

from secateur.client.api import Secateur
from secateur.errors import InvalidRequest, NotFound, SecateurError, Unauthorized, Unavailable


def told(caught: pytest.ExceptionInfo[SecateurError]) -> str:
    return " ".join([caught.value.detail, *caught.value.suggestions])


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        pytest.param("localhost:8123", "--url http://localhost:8123", id="no scheme"),
        pytest.param("pruning.example", "--url http://pruning.example", id="a name"),
        pytest.param("http://localhost:port", "--url http://127.0.0.1:8000", id="no port"),
        pytest.param("ftp://localhost", "--url http://127.0.0.1:8000", id="another protocol"),
        pytest.param("http://", "--url http://127.0.0.1:8000", id="no host"),
        pytest.param("", "--url http://127.0.0.1:8000", id="nothing"),
        pytest.param("https://pruning.example/v1/", "--url https://pruning.example", id="too much"),
    ],
)
def test_what_is_no_address_is_refused_with_one_that_is(url: str, advice: str) -> None:
    """Nothing is asked of anybody before."""
    with pytest.raises(InvalidRequest) as caught:
        Secateur(url)

    assert caught.value.suggestions[0].endswith(advice)


def test_a_service_behind_a_path_keeps_its_path() -> None:
    """As a proxy may put it there."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(404)

    with pytest.raises(NotFound):
        Secateur("https://tools.example/secateur/", transport=httpx.MockTransport(answer)).job("job_1")

    assert asked == ["/secateur/v1/jobs/job_1"]


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_id_is_told_before_anybody_is_asked(empty: str) -> None:
    """Its path would be that of the list."""
    with pytest.raises(InvalidRequest) as caught:
        Secateur("http://127.0.0.1:1").job(empty)

    assert "empty" in caught.value.detail


@pytest.mark.parametrize(
    ("response", "expected", "words"),
    [
        pytest.param(
            httpx.Response(301, headers={"location": "https://service/v1/jobs/job_1"}),
            InvalidRequest,
            "--url https://service",
            id="a proxy that wants TLS",
        ),
        pytest.param(httpx.Response(404, text="nginx"), NotFound, "--url", id="another service"),
        pytest.param(httpx.Response(401, text="nginx"), Unauthorized, "answered 401", id="a proxy that asks who"),
    ],
)
def test_an_answer_without_words_says_where_else_to_look(
    response: httpx.Response, expected: type[SecateurError], words: str
) -> None:
    with pytest.raises(SecateurError) as caught:
        Secateur("http://service", transport=httpx.MockTransport(lambda request: response)).job("job_1")

    assert type(caught.value) is expected
    assert words in told(caught)


def test_who_lacks_a_key_is_told_where_to_put_one() -> None:
    """The service speaks of headers, which nobody writes at a terminal."""
    problem = {"code": "unauthorized", "detail": "The request carries no API key.", "suggestions": ["A header."]}
    transport = httpx.MockTransport(lambda request: httpx.Response(401, json=problem))

    with pytest.raises(Unauthorized) as caught:
        Secateur("http://service", api_key="", transport=transport).job("job_1")

    assert "--api-key" in caught.value.suggestions[0]


def test_tls_to_a_service_without_it_says_so() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number")

    with pytest.raises(Unavailable) as caught:
        Secateur("https://service:8000", transport=httpx.MockTransport(answer)).job("job_1")

    assert "--url http://service:8000" in told(caught)
