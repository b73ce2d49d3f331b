"""A gateway in a process of its own, and what its event loop builds at the first request of each kind.

``python -m tests.service.first_requests`` takes the settings from the environment and prints JSON: how often the
OpenAPI document had been built when the gateway first answered and at the end, and what each request made the event
loop import, build or do that takes long: views with summaries of megabytes, pages of jobs, removing a file.
"""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import fastapi.applications
import httpx
import pydantic
import uvicorn

from infra.settings import Settings
from service.__main__ import bind
from service.app import create_app
from tests.service.conftest import model_file

SPEAKS = {"Tus-Resumable": "1.0.0"}
BEGINS = SPEAKS | {"Upload-Length": "10", "Upload-Metadata": "kind bW9kZWw=,name YS5rZXJhcw=="}
PIECE = SPEAKS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.keras"\r\n\r\n%s\r\n--b--\r\n'


def is_on_loop() -> bool:
    """Whether the caller holds an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Record:
    """What was built or imported on an event loop, by the request that was under way."""

    def __init__(self) -> None:
        self.request = "start-up"
        self.found: dict[str, list[str]] = {}
        self.documents = 0

    def note(self, what: str) -> None:
        if is_on_loop():
            self.found.setdefault(self.request, []).append(what)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As a finder of modules it finds none, and sees who looks for one."""
        self.note(f"import {name}")
        return None

    def noting(self, what: str, function: Callable[..., Any], only: Sequence[str] = ()) -> Callable[..., Any]:
        """The function, noted when it is called; with ``only``, when an argument has a type of that name or is it."""

        def noted(*arguments: Any, **named: Any) -> Any:
            names = {getattr(each, "__name__", type(each).__name__) for each in arguments}
            if not only or names.intersection(only):
                self.note(what)
            return function(*arguments, **named)

        return noted

    def install(self) -> None:
        get_openapi = fastapi.applications.get_openapi

        def counted(**named: Any) -> Any:
            self.documents += 1
            return get_openapi(**named)

        fastapi.applications.get_openapi = self.noting("document", counted)
        adapter: Any = pydantic.TypeAdapter
        adapter.__init__ = self.noting("validator", adapter.__init__)
        pydantic.BaseModel.model_json_schema = classmethod(  # type: ignore[method-assign, assignment]
            self.noting("schema", pydantic.BaseModel.model_json_schema.__func__)  # type: ignore[attr-defined]
        )
        validate = pydantic.BaseModel.model_validate.__func__  # type: ignore[attr-defined]
        noted_validate = self.noting("large view", validate, only=("ModelView", "DatasetView"))
        pydantic.BaseModel.model_validate = classmethod(noted_validate)  # type: ignore[method-assign, assignment]
        adapter.dump_json = self.noting("large page", adapter.dump_json, only=("JobPage",))
        os.unlink = self.noting("unlink", os.unlink)
        sys.meta_path.insert(0, self)


def send_all(http: httpx.Client, record: Record, document: dict[str, Any]) -> None:
    """Send every operation of the document to things that are not there, what no operation answers, and a job's way."""

    def send(method: str, path: str, **content: Any) -> httpx.Response:
        record.request = f"{method} {path[:60]}"
        with http.stream(method, path, **content) as answer:
            answer.read()
        return answer

    send("GET", "/nothing")
    send("PUT", "/v1/jobs")
    send("GET", "/v1/jobs?limt=1")
    send("POST", "/v1/jobs", content=b"{")
    send("POST", "/v1/jobs", content=b"x" * (2 << 20))
    send("POST", "/v1/models?name=a.pt", content=b"x")
    for path, operations in document["paths"].items():
        for method in operations:
            send(method.upper(), path.replace("{kind}", "sweep").replace("{owner}", "team"), json={})
    for path in ("/docs", "/redoc", "/openapi.json"):
        send("GET", path)
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    model = send("POST", "/v1/models", content=FORM % model_file("one"), headers=form).json()["id"]
    send("POST", "/v1/models?name=a.keras", content=model_file("one"))
    csv = b"a,label\n" + b"1,x\n2,y\n" * 40
    dataset = send("POST", "/v1/datasets?name=a.csv&label=label", content=csv).json()["id"]
    spec = {"model_id": model, "dataset_id": dataset, "preset": "balanced"}
    job = f"/v1/jobs/{send('POST', '/v1/jobs', json=spec).json()['id']}"
    send("GET", f"{job}?wait=0.1")
    send("POST", f"{job}/cancel")
    send("GET", f"{job}/events", headers={"Accept": "text/event-stream"})
    send("GET", "/v1/jobs")
    upload = send("POST", "/v1/uploads", headers=BEGINS).headers["location"]
    send("PATCH", upload, headers=PIECE, content=b"0123456789")
    send("GET", upload, headers=SPEAKS)
    key = send("POST", "/v1/keys", json={"name": "one", "scopes": ["admin"]}).json()["key"]
    send("GET", "/v1/usage", headers={"Authorization": f"Bearer {key}"})


def main() -> None:
    record, app = Record(), create_app(Settings())
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    listener = bind("127.0.0.1", 0)
    record.install()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as http:
        http.get("/health/live").raise_for_status()
        before, record.found = record.documents, {}
        send_all(http, record, app.openapi())
    server.should_exit = True
    thread.join()
    sys.stdout.write(json.dumps({"documents": [before, record.documents], "found": record.found}) + "\n")


if __name__ == "__main__":
    main()
