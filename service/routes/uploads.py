"""Models and data sets: take them in, tell what they are, delete them."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

import screening
from infra.accounts import owner_limits, quotas
from infra.accounts.owner_limits import EffectiveLimits
from infra.cleanup import retention
from infra.db.tables import Upload
from infra.uploads import uploads
from screening.formats import ACCEPTED
from secateur import errors
from secateur.ids import kind_of
from secateur.specs.file_formats import DatasetFormat
from secateur.specs.reading import Reading, check_reading
from service.accounts.caller import Caller, UseCaller
from service.components import Components, UseComponents
from service.http import paging
from service.http.problems import responses
from service.uploads import receive
from service.uploads.declared_reading import DeclaredReading
from service.uploads.intake import UploadRequest, store_upload
from service.views.resources import (
    DatasetPage,
    DatasetView,
    ModelPage,
    ModelView,
    dataset_entry,
    dataset_view,
    model_entry,
    model_view,
)

router = APIRouter(prefix="/v1")

UPLOAD_ERRORS = responses(
    errors.InvalidRequest,
    errors.UploadTooLarge,
    errors.QuotaExceeded,
    errors.UnsupportedFormat,
    errors.UploadEmpty,
    errors.UploadIncomplete,
    errors.ArchiveUnreadable,
    errors.ArchiveUnsafe,
    errors.ModelUnreadable,
    errors.ModelClassRefused,
    errors.DatasetPickled,
    errors.DatasetArrayMissing,
    errors.DatasetArrayUnusable,
    errors.DatasetLengthsDiffer,
    errors.ReadingMismatch,
    errors.TableUnusable,
    errors.UploadTooCostly,
    errors.ImagesUnusable,
    errors.RecordsUnusable,
    errors.Unavailable,
    errors.StorageFull,
)
LOOKUP_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.Unavailable)
LIST_ERRORS = responses(errors.InvalidRequest, errors.Unavailable)


def _name(kind: uploads.Kind) -> Any:
    """The query parameter, with the endings that are accepted, in any case."""
    cased = (
        "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in ending[1:])
        for ending in ACCEPTED[kind]
    )
    pattern = rf"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x1f\x7f-\x9f/\\]\.({'|'.join(cased)})$"
    text = "File name; its ending tells the format. Default: that of Content-Disposition, or of the form."
    return Query(max_length=receive.MAX_NAME, description=text, json_schema_extra={"pattern": pattern})


def upload_body(*media_types: str) -> dict[str, Any]:
    """What OpenAPI says of a body that is read by hand."""
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "required": ["file"], "properties": {"file": binary}}
    content = {kind: {"schema": binary} for kind in media_types} | {"multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/models",
    operation_id="upload_model",
    tags=["models"],
    status_code=201,
    responses={200: {"model": ModelView, "description": "You have uploaded this content before."}, **UPLOAD_ERRORS},
    openapi_extra=upload_body("application/vnd.keras", "application/x-hdf5", "application/zip"),
)
async def upload_model(
    request: Request,
    response: Response,
    parts: UseComponents,
    caller: UseCaller,
    name: Annotated[str | None, _name("model")] = None,
) -> ModelView:
    """Upload a Keras model, as the body or as the form field `file`. A worker then checks it.

    Accepted: `.keras` of Keras 3 and 2, `.h5` and `.hdf5` of Keras 1, 2 and 3, a SavedModel as `.zip`.
    """
    upload, is_new = await _take_in(parts, caller, request, "model", name, reading=Reading())
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/models/{upload.id}"
    return await run_in_threadpool(model_view, upload)


@router.post(
    "/datasets",
    operation_id="upload_dataset",
    tags=["datasets"],
    status_code=201,
    responses={200: {"model": DatasetView, "description": "You have uploaded this content before."}, **UPLOAD_ERRORS},
    openapi_extra=upload_body("application/octet-stream"),
)
async def upload_dataset(
    request: Request,
    response: Response,
    parts: UseComponents,
    caller: UseCaller,
    reading: DeclaredReading,
    name: Annotated[str | None, _name("dataset")] = None,
) -> DatasetView:
    """Upload a data set and declare how it is to be read. A worker then checks it.

    `.npz` with x_train, y_train, x_test, y_test; `.zip` of class folders of images; `.csv` and `.parquet` with a label
    column; `.tfrecord` with declared features.
    """
    upload, is_new = await _take_in(parts, caller, request, "dataset", name, reading=reading)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/datasets/{upload.id}"
    return await run_in_threadpool(dataset_view, upload)


async def _take_in(
    parts: Components, caller: Caller, request: Request, kind: uploads.Kind, name: str | None, *, reading: Reading
) -> tuple[Upload, bool]:
    """Look at the head of an upload, then take in its bytes."""
    limits = await run_in_threadpool(_check_room, parts, caller.owner, receive.declared_bytes(request))
    expected = receive.expected_digest(request)
    incoming = await receive.begin(request, name, limit_bytes=limits.max_upload_bytes)
    promised = screening.format_of(kind, incoming.name)
    if kind == "dataset":
        check_reading(reading, cast(DatasetFormat, promised))
    wanted = UploadRequest(caller.owner, kind, incoming.name, reading, expected)
    staging = parts.store.stage(incoming.chunks, limit_bytes=limits.max_upload_bytes)
    return await store_upload(parts, wanted, staging)


def _check_room(parts: Components, owner: str, num_bytes: int) -> EffectiveLimits:
    """Refuse what will not fit before it is sent; what counts is looked at again when it is here."""
    with parts.database.read() as session:
        limits = owner_limits.effective(session, owner, settings=parts.settings)
        quotas.check_storage(session, owner, num_bytes, limits)
        quotas.check_queued_checks(session, owner, limits)
    return limits


@router.get("/models", operation_id="list_models", tags=["models"], responses=LIST_ERRORS)
def list_models(
    parts: UseComponents, caller: UseCaller, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> ModelPage:
    """Models, newest first, without their summaries: each may be megabytes."""
    rows, next_cursor = _page(parts, caller, "model", limit, cursor)
    return ModelPage(data=tuple(map(model_entry, rows)), next_cursor=next_cursor)


@router.get("/datasets", operation_id="list_datasets", tags=["datasets"], responses=LIST_ERRORS)
def list_datasets(
    parts: UseComponents, caller: UseCaller, limit: paging.Limit = 50, cursor: paging.Cursor = None
) -> DatasetPage:
    """Data sets, newest first, without their summaries: each may be megabytes."""
    rows, next_cursor = _page(parts, caller, "dataset", limit, cursor)
    return DatasetPage(data=tuple(map(dataset_entry, rows)), next_cursor=next_cursor)


def _page(
    parts: Components, caller: Caller, kind: uploads.Kind, limit: int, cursor: str | None
) -> tuple[list[Upload], str | None]:
    with parts.database.read() as session:
        rows = list(uploads.page(session, kind, owner=caller.only, limit=limit + 1, after=paging.decode(cursor)))
    return paging.cut(rows, limit)


@router.get("/models/{model_id}", operation_id="get_model", tags=["models"], responses=LOOKUP_ERRORS)
def get_model(parts: UseComponents, caller: UseCaller, model_id: str) -> ModelView:
    """A model, and what its check found."""
    with parts.database.read() as session:
        return model_view(found(uploads.get(session, "model", model_id), "model", model_id, caller))


@router.get("/datasets/{dataset_id}", operation_id="get_dataset", tags=["datasets"], responses=LOOKUP_ERRORS)
def get_dataset(parts: UseComponents, caller: UseCaller, dataset_id: str) -> DatasetView:
    """A data set, and what its check found."""
    with parts.database.read() as session:
        return dataset_view(found(uploads.get(session, "dataset", dataset_id), "dataset", dataset_id, caller))


DELETE_ERRORS = responses(errors.InvalidRequest, errors.NotFound, errors.InUse, errors.Unavailable, errors.StorageFull)


@router.delete(
    "/models/{model_id}", operation_id="delete_model", tags=["models"], status_code=204, responses=DELETE_ERRORS
)
def delete_model(parts: UseComponents, caller: UseCaller, model_id: str) -> None:
    """Delete a model and, when nothing else has the same content, its bytes."""
    _delete(parts, caller, "model", model_id)


@router.delete(
    "/datasets/{dataset_id}", operation_id="delete_dataset", tags=["datasets"], status_code=204, responses=DELETE_ERRORS
)
def delete_dataset(parts: UseComponents, caller: UseCaller, dataset_id: str) -> None:
    """Delete a data set and, when nothing else has the same content, its bytes."""
    _delete(parts, caller, "dataset", dataset_id)


def _delete(parts: Components, caller: Caller, kind: uploads.Kind, upload_id: str) -> None:
    with retention.removing(parts.database, parts.store) as removal:
        upload = found(uploads.get(removal.session, kind, upload_id, hold=True), kind, upload_id, caller)
        retention.remove_upload(removal, upload)


def found(row: Upload | None, kind: uploads.Kind, upload_id: str, caller: Caller) -> Upload:
    """The row, or ``NotFound``, also when it is somebody else's."""
    if row is None or not caller.sees(row.owner):
        wanted, named = {"model": "a model", "dataset": "a data set"}[kind], kind_of(upload_id)
        detail = f"There is nothing with the id {upload_id}."
        if named not in (None, wanted):
            detail = f"{upload_id} names {named}, not {wanted}."
        raise errors.NotFound(detail, suggestions=[f"GET /v1/{kind}s lists what is here."])
    return row
