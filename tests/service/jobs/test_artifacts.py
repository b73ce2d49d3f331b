"""What a job leaves: downloads that can be resumed, cached and verified."""

import base64
import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.jobs.lifecycle import Outcome
from secateur.errors import RangeNotSatisfiable, TrainingDiverged
from secateur.protocol.states import JobState
from service.http.ranges import requested_range
from tests.service.conftest import Running
from tests.service.inputs import end, job, succeed, take

CONTENT = bytes(range(256)) * 20_000
"""Five megabytes: more than one piece of the store."""
FILES = {
    "model.tflite": ("application/octet-stream", CONTENT),
    "empty.log": ("text/plain", b""),
    "report.json": ("application/json", b'{"schema_version": 1}'),
    "report.html": ("text/html; charset=utf-8", "<!doctype html><title>ü</title>".encode()),
}
DIGEST = hashlib.sha256(CONTENT)


@dataclass(frozen=True)
class Done:
    """A job that has succeeded."""

    gateway: Running
    address: str


@pytest.fixture(scope="module")
def finished(shared: Running) -> Done:
    job_id = job(shared)
    succeed(shared, job_id, FILES)
    return Done(shared, f"/v1/jobs/{job_id}")


def test_the_list_tells_name_type_digest_size_and_address(finished: Done) -> None:
    listed = finished.gateway.http.get(f"{finished.address}/artifacts").json()["data"]

    assert [file["name"] for file in listed] == sorted(FILES)
    model = next(file for file in listed if file["name"] == "model.tflite")
    assert model == {
        "name": "model.tflite",
        "media_type": "application/octet-stream",
        "digest": f"sha256:{DIGEST.hexdigest()}",
        "num_bytes": len(CONTENT),
        "url": f"{finished.address}/artifacts/model.tflite",
    }


def test_a_download_is_the_file_and_says_how_to_verify_and_save_it(finished: Done) -> None:
    answer = finished.gateway.http.get(f"{finished.address}/artifacts/model.tflite")

    sha256 = f"sha-256=:{base64.b64encode(DIGEST.digest()).decode()}:"
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["etag"] == f'"sha256:{DIGEST.hexdigest()}"'
    assert answer.headers["repr-digest"] == answer.headers["content-digest"] == sha256
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == 'attachment; filename="model.tflite"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_head_is_get_without_the_file(finished: Done) -> None:
    """Tools ask so for the size before they fetch parts side by side."""
    address = f"{finished.address}/artifacts/model.tflite"
    get, head = (finished.gateway.http.request(method, address) for method in ("GET", "HEAD"))

    own = {"date", "x-request-id"}
    assert (head.status_code, head.content) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in get.headers.items() if k not in own
    }


LAST = len(CONTENT) - 1
RANGES: dict[str, tuple[str, int, int, int]] = {
    "first byte": ("bytes=0-0", 206, 0, 1),
    "some": ("bytes=1000-1999", 206, 1000, 2000),
    "across pieces": ("bytes=1048000-1049000", 206, 1048000, 1049001),
    "from": (f"bytes={LAST - 9}-", 206, LAST - 9, LAST + 1),
    "last": ("bytes=-10", 206, LAST - 9, LAST + 1),
    "more than there is": (f"bytes=5-{LAST + 1000}", 206, 5, LAST + 1),
    "a longer end than the file": (f"bytes=-{LAST + 1000}", 206, 0, LAST + 1),
    "all": ("bytes=0-", 206, 0, LAST + 1),
    "several": ("bytes=0-1,5-6", 200, 0, LAST + 1),
    "another unit": ("lines=0-1", 200, 0, LAST + 1),
    "backwards": ("bytes=5-2", 200, 0, LAST + 1),
    "nonsense": ("bytes=a-b", 200, 0, LAST + 1),
    "nothing": ("bytes=-", 200, 0, LAST + 1),
}


@pytest.mark.parametrize(("header", "status", "start", "end"), RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_range_gives_that_part(method: str, header: str, status: int, start: int, end: int, finished: Done) -> None:
    address = f"{finished.address}/artifacts/model.tflite"

    answer = finished.gateway.http.request(method, address, headers={"Range": header})

    assert answer.status_code == status
    assert answer.content == (CONTENT[start:end] if method == "GET" else b"")
    assert answer.headers["content-length"] == str(end - start)
    shown = f"bytes {start}-{end - 1}/{len(CONTENT)}" if status == 206 else None
    assert answer.headers.get("content-range") == shown
    assert ("content-digest" in answer.headers) == (status == 200)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("model.tflite", f"bytes={LAST + 1}-"),
        ("model.tflite", f"bytes={LAST + 1}-{LAST + 5}"),
        ("model.tflite", "bytes=-0"),
        ("model.tflite", "bytes=999999999999999999-"),
        ("empty.log", "bytes=0-"),
    ],
)
def test_a_range_outside_of_the_file_is_refused_with_its_size(name: str, header: str, finished: Done) -> None:
    answer = finished.gateway.http.get(f"{finished.address}/artifacts/{name}", headers={"Range": header})

    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(FILES[name][1])}"


@given(size=st.integers(1, 50), start=st.integers(0, 60), end=st.none() | st.integers(0, 60))
def test_ranges_agree_with_slices(size: int, start: int, end: int | None) -> None:
    """Python's slices are the oracle."""
    content = bytes(range(size))
    header = f"bytes={start}-{'' if end is None else end}"

    if end is not None and end < start:
        assert requested_range(header, size) is None
    elif start >= size:
        with pytest.raises(RangeNotSatisfiable):
            requested_range(header, size)
    else:
        found = requested_range(header, size)
        assert found is not None
        assert content[slice(*found)] == content[start : None if end is None else end + 1]


@given(size=st.integers(1, 50), length=st.integers(1, 60))
def test_suffixes_agree_with_slices(size: int, length: int) -> None:
    content = bytes(range(size))

    found = requested_range(f"bytes=-{length}", size)

    assert found is not None
    assert content[slice(*found)] == content[-length:]


ETAG = f'"sha256:{DIGEST.hexdigest()}"'


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"If-None-Match": ETAG}, 304),
        ({"If-None-Match": f"W/{ETAG}"}, 304),
        ({"If-None-Match": f'"old", {ETAG}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": ETAG, "Range": "bytes=0-9"}, 304),
        ({"If-None-Match": '"old"'}, 200),
        ({"If-Range": ETAG, "Range": "bytes=0-9"}, 206),
        ({"If-Range": '"old"', "Range": "bytes=0-9"}, 200),
        ({"If-Range": f"W/{ETAG}", "Range": "bytes=0-9"}, 200),
        ({"If-Range": '"old"', "Range": f"bytes={LAST + 1}-"}, 200),
    ],
)
def test_conditions_spare_what_the_client_has(condition: dict[str, str], status: int, finished: Done) -> None:
    """A weak tag is good enough for a cache, not for joining two halves of a file."""
    answer = finished.gateway.http.get(f"{finished.address}/artifacts/model.tflite", headers=condition)

    assert answer.status_code == status
    assert answer.headers["etag"] == ETAG
    assert len(answer.content) == {304: 0, 206: 10, 200: len(CONTENT)}[status]


def test_an_empty_file_is_a_file(finished: Done) -> None:
    answer = finished.gateway.http.get(f"{finished.address}/artifacts/empty.log")

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


HTML = "text/html"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        (None, "report.json"),
        ("*/*", "report.json"),
        ("application/json", "report.json"),
        ("application/json, text/html", "report.json"),
        (HTML, "report.html"),
        (BROWSER, "report.html"),
    ],
)
def test_the_report_comes_in_the_form_that_is_asked_for(accept: str | None, name: str, finished: Done) -> None:
    """Programs get JSON, browsers the page."""
    headers = {} if accept is None else {"Accept": accept}

    answer = finished.gateway.http.get(f"{finished.address}/report", headers=headers)

    assert answer.status_code == 200
    assert answer.content == FILES[name][1]
    assert answer.headers["content-type"] == FILES[name][0]
    assert answer.headers["vary"] == "Accept"
    assert "content-disposition" not in answer.headers


def test_the_page_may_load_and_run_nothing(finished: Done) -> None:
    """It shows names that a stranger chose."""
    answer = finished.gateway.http.get(f"{finished.address}/report", headers={"Accept": HTML})

    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_report_is_not_sent_twice(finished: Done) -> None:
    address = f"{finished.address}/report"
    first = finished.gateway.http.get(address)

    again = finished.gateway.http.get(address, headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("accept", ["application/json", HTML])
def test_before_its_end_a_job_has_no_report_and_no_files(accept: str, gateway: Running) -> None:
    """409: asking again later may help. The answer says what the job is doing."""
    job_id = job(gateway)
    take(gateway, job_id)

    answer = gateway.http.get(f"/v1/jobs/{job_id}/report", headers={"Accept": accept})

    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
    assert "running" in answer.json()["detail"]
    assert gateway.http.get(f"/v1/jobs/{job_id}/artifacts").json() == {"data": []}


def test_a_failed_job_has_no_report_and_says_where_the_reason_is(gateway: Running) -> None:
    job_id = job(gateway)
    diverged = TrainingDiverged("The loss became NaN.")
    end(gateway, job_id, Outcome(JobState.FAILED, failure=diverged.failure("finetune")))

    answer = gateway.http.get(f"/v1/jobs/{job_id}/report")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
    assert "failed" in answer.json()["detail"]
    assert f"/v1/jobs/{job_id}" in answer.json()["suggestions"][0]


@pytest.mark.parametrize("name", ["model.onnx", "..%2Freport.json", "%00"])
def test_a_file_that_is_not_there_is_not_found(name: str, finished: Done) -> None:
    answer = finished.gateway.http.get(f"{finished.address}/artifacts/{name}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_file_that_the_store_has_lost_is_our_fault_and_not_half_an_answer(gateway: Running) -> None:
    """A 200 with an empty body would be taken for the file."""
    job_id = job(gateway)
    content = b"to be lost"
    succeed(gateway, job_id, {"model.tflite": ("application/octet-stream", content)})
    gateway.parts.store.delete(f"sha256:{hashlib.sha256(content).hexdigest()}")

    answer = gateway.http.get(f"/v1/jobs/{job_id}/artifacts/model.tflite")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
