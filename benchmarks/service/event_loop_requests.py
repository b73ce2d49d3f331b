"""Every kind of request that a gateway takes, right and wrong, small and as large as it may be."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from event_loop_contents import KERAS, STEPS, Contents, dataset_summary, keras_file, long_step, model_summary

JSON: Final = {"Content-Type": "application/json"}
FORM: Final = {"Content-Type": "multipart/form-data; boundary=b"}
SPEAKS: Final = {"Tus-Resumable": "1.0.0"}
PIECE: Final = SPEAKS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
STREAM: Final = {"Accept": "text/event-stream"}
MIB: Final = 1 << 20


def unknown(prefix: str) -> str:
    """The id of a thing that is not there."""
    return f"{prefix}_" + "0" * 20


@dataclass(frozen=True)
class Case:
    """A request of one kind."""

    name: str
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], Mapping[str, str]] | None = None
    """Makes anew what the request uses up, for the names in braces in the path."""


def cases(contents: Contents, client: httpx.Client) -> Iterator[Case]:
    """All of them, those that a cold gateway is slow to answer first."""
    yield from discovery()
    yield from lists(contents)
    yield from single_things(contents)
    yield from specs(contents)
    yield from wrong_specs(contents)
    yield from moves_of_jobs(contents)
    yield from events(contents)
    yield from artifacts(contents)
    yield from uploads(contents)
    yield from resumable_uploads(client)
    yield from webhooks(client)
    yield from keys_and_limits(contents, client)


def discovery() -> Iterator[Case]:
    """What is open to all, and addresses that lead nowhere."""
    yield Case("live", "GET", "/health/live")
    yield Case("404", "GET", "/v1/job/x")
    yield Case("405", "PUT", "/v1/jobs")
    yield Case("405 of a thing", "PUT", f"/v1/jobs/{unknown('job')}/events")
    yield Case("404 of 30 parts", "GET", "/v1/" + "jobs/" * 30)
    yield Case("404 of 190 letters", "GET", "/v1/jobs/" + "a" * 180 + "/")
    yield Case("ready", "GET", "/health/ready")
    for path in ("/", "/docs", "/redoc", "/docs/oauth2-redirect", "/openapi.json", "/metrics", "/v1/methods"):
        yield Case(f"get {path}", "GET", path)
    for kind in ("compress", "sensitivity", "sweep", "search", "nothing"):
        yield Case(f"schema {kind}", "GET", f"/v1/schemas/{kind}")


def lists(contents: Contents) -> Iterator[Case]:
    """Full pages, and queries that are refused."""
    for things in ("models", "datasets", "jobs", "keys", "limits", "webhooks"):
        yield Case(f"list {things}", "GET", f"/v1/{things}?limit=200")
    yield Case("list jobs with long specs", "GET", f"/v1/jobs?limit=200&model_id={contents.long_jobs_of}")
    yield Case("unknown parameter", "GET", "/v1/jobs?limt=5")
    yield Case("1,000 unknown parameters", "GET", "/v1/jobs?" + "&".join(f"lim{n}=5" for n in range(1000)))
    yield Case("wrong parameter", "GET", "/v1/jobs?limit=9999")
    yield Case("wrong cursor", "GET", "/v1/jobs?cursor=x")


def single_things(contents: Contents) -> Iterator[Case]:
    """Models, data sets and jobs by their ids."""
    keep, things = {"expires_in_days": 9}, {"models": contents.large_model, "datasets": contents.large_dataset}
    for kind, large in things.items():
        yield Case(f"get large of {kind}", "GET", f"/v1/{kind}/{large}")
        yield Case(f"keep large of {kind}", "PATCH", f"/v1/{kind}/{large}", keep)
    yield Case("get model", "GET", f"/v1/models/{contents.model}")
    yield Case("get dataset", "GET", f"/v1/datasets/{contents.dataset}")
    yield Case("get unknown model", "GET", f"/v1/models/{unknown('mdl')}")
    yield Case("keep model wrong", "PATCH", f"/v1/models/{contents.model}", {"expires_in_day": 9})
    job = f"/v1/jobs/{contents.jobs[0]}"
    yield Case("get job", "GET", job)
    yield Case("get job with long spec", "GET", f"/v1/jobs/{contents.long_jobs[0]}")
    yield Case("get unknown job", "GET", f"/v1/jobs/{unknown('job')}")
    yield Case("wait for job", "GET", f"{job}?wait=0.2")
    yield Case("keep job", "PATCH", job, keep)
    model, dataset = model_summary(3), dataset_summary(3)
    yield Case("delete model", "DELETE", "/v1/models/{id}", prepare=lambda: {"id": contents.upload("model", model)})
    yield Case(
        "delete dataset", "DELETE", "/v1/datasets/{id}", prepare=lambda: {"id": contents.upload("dataset", dataset)}
    )


def specs(contents: Contents) -> Iterator[Case]:
    """Jobs that are taken, or do not fit their model."""
    path, pair = "/v1/jobs?force=true", contents.pair()
    methods = {f"m{n}": [{"kind": "prune", "schedule": {"kind": "one_shot"}}] * 32 for n in range(16)}
    large = {"model_id": contents.large_model, "dataset_id": contents.large_dataset, "preset": "balanced"}
    yield Case("post preset", "POST", path, pair | {"preset": "balanced"})
    yield Case("post 31 steps", "POST", path, pair | {"steps": STEPS})
    yield Case("post sensitivity", "POST", path, pair | {"kind": "sensitivity"})
    yield Case("post search", "POST", path, pair | {"kind": "search", "goals": {"max_accuracy_drop": 0.1}})
    yield Case("post sweep", "POST", path, pair | {"kind": "sweep"})
    yield Case("post sweep of 512 steps", "POST", path, pair | {"kind": "sweep", "methods": methods})
    yield Case("post with a key", "POST", "/v1/jobs", pair | {"preset": "small"}, {"Idempotency-Key": "one"})
    yield Case("post on large summaries", "POST", path, large)
    yield Case("post 10,000 names of layers", "POST", path, pair | {"steps": [long_step()]})


def wrong_specs(contents: Contents) -> Iterator[Case]:
    """Bodies that are refused, up to a mebibyte long."""
    wrong_step = {"kind": "prune", "sparsity": "90%", "criterion": "magnitud", "a": 1}
    methods = {f"m{n}": [{"kind": "prune", "x": 1}] * 1500 for n in range(16)}
    bodies: dict[str, Any] = {
        "nothing": {},
        "unknown field": {"stps": []},
        "unknown kind": {"kind": "compres"},
        "swapped ids": {"model_id": unknown("dst")},
        "32 wrong steps": {"steps": [wrong_step] * 32},
        "300 unknown fields": {f"stepz{n}": 1 for n in range(300)},
        "text of 1,000,000 letters": {"preset": "x" * 1_000_000},
        "100,000 wrong steps": {"steps": [1] * 100_000},
        "60,000 unknown fields": {f"field{n}": 1 for n in range(60_000)},
        "100,000 wrong sparsities": {"kind": "sweep", "sparsities": ["x"] * 100_000},
        "16 methods of 1,500 wrong steps": {"kind": "sweep", "methods": methods},
    }
    for name, body in bodies.items():
        yield Case(f"post {name}", "POST", "/v1/jobs", contents.pair() | body)
    texts = {"900 lists in lists": b"[" * 900 + b"]" * 900, "no JSON": b"{" * 1_000_000, "no UTF-8": b'{"a": "\xff"}'}
    for name, text in texts.items():
        yield Case(f"post {name}", "POST", "/v1/jobs", text, JSON)
    yield Case("post without a type", "POST", "/v1/jobs", b"{}")
    yield Case("413", "POST", "/v1/jobs", b"x" * (2 * MIB), JSON)


def moves_of_jobs(contents: Contents) -> Iterator[Case]:
    """Cancel, retry, delete."""
    queued = f"/v1/jobs/{contents.jobs[0]}"
    yield Case("cancel", "POST", "/v1/jobs/{id}/cancel", prepare=lambda: {"id": contents.job()})
    yield Case("retry", "POST", "/v1/jobs/{id}/retry", prepare=contents.cancelled_job)
    yield Case("retry a queued job", "POST", f"{queued}/retry")
    yield Case("delete job", "DELETE", "/v1/jobs/{id}", prepare=contents.cancelled_job)
    yield Case("delete a queued job", "DELETE", queued)


def events(contents: Contents) -> Iterator[Case]:
    """Pages, waits and streams."""
    path = f"/v1/jobs/{contents.job_with_events}/events"
    yield Case("events", "GET", f"{path}?limit=1000")
    yield Case("wait for events", "GET", f"{path}?after=5000&wait=0.2")
    yield Case("events of unknown job", "GET", f"/v1/jobs/{unknown('job')}/events")
    yield Case("stream that ends", "GET", f"/v1/jobs/{contents.ended_job}/events", None, STREAM)
    yield Case("stream that goes on", "GET", path, None, STREAM)


def artifacts(contents: Contents) -> Iterator[Case]:
    """Files of eight megabytes, and parts of them."""
    job = f"/v1/jobs/{contents.ended_job}"
    model = f"{job}/artifacts/model.tflite"
    yield Case("list artifacts", "GET", f"{job}/artifacts")
    yield Case("get artifact", "GET", model)
    yield Case("get unknown artifact", "GET", f"{job}/artifacts/none")
    yield Case("head artifact", "HEAD", model)
    yield Case("range", "GET", model, None, {"Range": "bytes=5-900000"})
    yield Case("416", "GET", model, None, {"Range": "bytes=99999999-"})
    yield Case("report", "GET", f"{job}/report")
    yield Case("report as a page", "GET", f"{job}/report", None, {"Accept": "text/html"})


def uploads(contents: Contents) -> Iterator[Case]:
    """Bodies and forms, of models and data sets."""
    models, datasets = "/v1/models?name=a.keras", "/v1/datasets?name=a.csv"
    csv, zeros = b"a,b,label\n" + b"1,2,x\n" * 100_000, bytes(32 * MIB)
    features = json.dumps({f"f{n}": {"shape": [4]} for n in range(1000)})
    yield Case("upload model", "POST", models, KERAS)
    yield Case("upload form", "POST", "/v1/models", form(KERAS), FORM)
    yield Case("upload model of 20,000 layers", "POST", models, keras_file(20_000))
    yield Case("upload what has a large summary", "POST", models, KERAS, prepare=contents.known_content)
    yield Case("upload form of 32 MiB", "POST", "/v1/datasets", form(zeros, "a.npz"), FORM)
    yield Case("upload form without a file", "POST", "/v1/models", form(b"x", field_name="fil"), FORM)
    yield Case("upload form that is none", "POST", "/v1/models", b"x" * 999, {"Content-Type": "multipart/form-data"})
    yield Case("upload 32 MiB", "POST", "/v1/datasets?name=a.npz", zeros)
    yield Case("415", "POST", "/v1/models?name=a.pt", KERAS)
    yield Case("upload no model", "POST", models, b"x")
    yield Case("upload nothing", "POST", models, b"")
    yield Case("upload without name", "POST", "/v1/models", b"x")
    yield Case("upload with wrong digest", "POST", models, b"x", {"Repr-Digest": "x"})
    yield Case("upload csv", "POST", f"{datasets}&label=label", csv)
    yield Case("upload csv with unknown parameter", "POST", f"{datasets}&lable=label", csv)
    yield Case("upload with wrong reading", "POST", f"{datasets}&image_size=9x", csv)
    yield Case("upload with long reading", "POST", f"/v1/datasets?name=a.tfrecord&features={features}", csv)


def form(content: bytes, name: str = "m.keras", field_name: str = "file") -> bytes:
    """A multipart body with one file."""
    head = f'--b\r\nContent-Disposition: form-data; name="{field_name}"; filename="{name}"\r\n\r\n'.encode()
    return head + content + b"\r\n--b--\r\n"


def resumable_uploads(client: httpx.Client) -> Iterator[Case]:
    """Uploads in pieces."""
    path, long = "/v1/uploads/{id}", bytes(48 * MIB)
    small, large = begun(client, "model", "a.keras", len(KERAS)), begun(client, "dataset", "a.npz", len(long))
    checksum = {"Upload-Checksum": "sha256 " + base64.b64encode(bytes(32)).decode()}
    yield Case("tus options", "OPTIONS", "/v1/uploads")
    yield Case("tus begin", "POST", "/v1/uploads", None, begins("model", "a.keras", 9))
    yield Case("tus begin wrong", "POST", "/v1/uploads", None, SPEAKS)
    yield Case("tus offset", "HEAD", path, None, SPEAKS, small)
    yield Case("tus get", "GET", path, None, SPEAKS, small)
    yield Case("tus piece", "PATCH", path, KERAS, PIECE, small)
    yield Case("tus piece of 48 MiB", "PATCH", path, long, PIECE, large)
    yield Case("tus wrong checksum", "PATCH", path, KERAS, PIECE | checksum, small)
    yield Case("tus wrong offset", "PATCH", path, KERAS, PIECE | {"Upload-Offset": "5"}, small)
    yield Case("tus terminate", "DELETE", path, None, SPEAKS, small)
    yield Case("tus unknown", "GET", f"/v1/uploads/{unknown('upl')}", None, SPEAKS)


def begins(kind: str, name: str, num_bytes: int) -> dict[str, str]:
    """The headers of a request that begins an upload."""
    words = (base64.b64encode(text.encode()).decode() for text in (kind, name))
    metadata = "kind {},name {}".format(*words)
    return SPEAKS | {"Upload-Length": str(num_bytes), "Upload-Metadata": metadata}


def begun(client: httpx.Client, kind: str, name: str, num_bytes: int) -> Callable[[], Mapping[str, str]]:
    """Begins an upload, whenever it is called."""

    def make() -> Mapping[str, str]:
        answer = client.post("/v1/uploads", headers=begins(kind, name, num_bytes))
        return {"id": answer.headers["location"].rpartition("/")[2]}

    return make


def made(client: httpx.Client, path: str, body: Any) -> Callable[[], Mapping[str, str]]:
    """Makes a thing, whenever it is called."""
    return lambda: {"id": client.post(path, json=body).raise_for_status().json()["id"]}


def webhooks(client: httpx.Client) -> Iterator[Case]:
    """Webhooks and their deliveries; an owner may have 20 of them."""
    body = {"url": "https://example.com/x", "subscriptions": ["job.succeeded"]}
    fresh = made(client, "/v1/webhooks", body)
    one = f"/v1/webhooks/{fresh()['id']}"
    yield Case("make webhook", "POST", "/v1/webhooks", body)
    yield Case("make webhook wrong", "POST", "/v1/webhooks", {"url": "http://10.0.0.1/x", "subscription": 1})
    yield Case("make webhook refused", "POST", "/v1/webhooks", body | {"url": "https://10.0.0.1/x"})
    yield Case("get webhook", "GET", one)
    yield Case("change webhook", "PATCH", one, {"description": "x"})
    yield Case("rotate webhook", "POST", f"{one}/rotate", {})
    yield Case("ping webhook", "POST", f"{one}/ping")
    yield Case("list deliveries", "GET", f"{one}/deliveries")
    yield Case("redeliver unknown", "POST", f"{one}/deliveries/{unknown('msg')}/redeliver")
    yield Case("delete webhook", "DELETE", "/v1/webhooks/{id}", prepare=fresh)


def keys_and_limits(contents: Contents, client: httpx.Client) -> Iterator[Case]:
    """Limits and usage of owners; then, with a key, keys."""
    yield Case("get limits", "GET", "/v1/limits/team")
    yield Case("set limits", "PUT", "/v1/limits/team", {"queued_jobs": 5})
    yield Case("set limits wrong", "PUT", "/v1/limits/team", {"queue_jobs": 5})
    yield Case("reset limits", "DELETE", "/v1/limits/team")
    yield Case("get usage", "GET", "/v1/usage")
    client.headers["Authorization"] = f"Bearer {contents.admin_key()}"
    fresh = made(client, "/v1/keys", {"name": "x"})
    yield Case("get usage with a key", "GET", "/v1/usage")
    yield Case("ready for admins", "GET", "/health/ready")
    yield Case("make key", "POST", "/v1/keys", {"name": "x"})
    yield Case("make key wrong", "POST", "/v1/keys", {"nam": "x"})
    yield Case("get key", "GET", "/v1/keys/{id}", prepare=fresh)
    yield Case("rotate key", "POST", "/v1/keys/{id}/rotate", {}, prepare=fresh)
    yield Case("revoke key", "DELETE", "/v1/keys/{id}", prepare=fresh)
    yield Case("401", "GET", "/v1/jobs", None, {"Authorization": "Bearer sk_none"})
