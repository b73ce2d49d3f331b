"""Every error that a user or an operator can meet, as one tree.

::

    SecateurError
    ├── RequestError                     the request, the upload or the spec is at fault
    │   ├── InvalidRequest               invalid_request
    │   ├── Unauthorized                 unauthorized
    │   ├── ScopeMissing                 scope_missing
    │   ├── NotFound                     not_found
    │   ├── MethodNotAllowed             method_not_allowed
    │   ├── Conflict
    │   │   ├── InUse                    in_use
    │   │   ├── NotReady                 not_ready
    │   │   ├── NotCancellable           not_cancellable
    │   │   ├── NotRetryable             not_retryable
    │   │   ├── IdempotencyInFlight      idempotency_in_flight
    │   │   ├── OffsetMismatch           offset_mismatch
    │   │   └── UploadLocked             upload_locked
    │   ├── WebhookUrlRefused            webhook_url_refused
    │   ├── ProtocolUnserved             protocol_unserved
    │   ├── QuotaExceeded                quota_exceeded
    │   ├── RateLimited                  rate_limited
    │   ├── IdempotencyKeyReused         idempotency_key_reused
    │   ├── BodyTooLarge                 body_too_large
    │   ├── UploadTooLarge               upload_too_large
    │   ├── UnsupportedFormat            unsupported_format
    │   ├── RangeNotSatisfiable          range_not_satisfiable
    │   ├── UploadRefused                what was uploaded cannot be used
    │   │   ├── UploadEmpty              upload_empty
    │   │   ├── UploadIncomplete         upload_incomplete
    │   │   ├── ChecksumMismatch         checksum_mismatch
    │   │   ├── ArchiveUnreadable        archive_unreadable
    │   │   ├── ArchiveUnsafe            archive_unsafe
    │   │   ├── ModelUnreadable          model_unreadable
    │   │   ├── ModelClassRefused        model_class_refused
    │   │   ├── DatasetPickled           dataset_pickled
    │   │   ├── DatasetArrayMissing      dataset_array_missing
    │   │   ├── DatasetArrayUnusable     dataset_array_unusable
    │   │   ├── DatasetLengthsDiffer     dataset_lengths_differ
    │   │   ├── DatasetNotFinite         dataset_not_finite
    │   │   ├── DatasetLabelsInvalid     dataset_labels_invalid
    │   │   ├── DatasetSplitEmpty        dataset_split_empty
    │   │   ├── ReadingMismatch          reading_mismatch
    │   │   ├── ColumnMissing            column_missing
    │   │   ├── TableUnusable            table_unusable
    │   │   ├── ImagesUnusable           images_unusable
    │   │   ├── RecordsUnusable          records_unusable
    │   │   ├── UploadTooCostly          upload_too_costly
    │   │   └── SummaryTooLarge          summary_too_large
    │   └── SpecMismatch                 the spec does not fit this model or this data
    │       ├── InputRejected            input_rejected
    │       ├── WrongKind                wrong_kind
    │       ├── UnknownLayer             unknown_layer
    │       ├── LayerNotPrunable         layer_not_prunable
    │       ├── NothingToPrune           nothing_to_prune
    │       ├── BridgeRefused            bridge_refused
    │       ├── StructureMismatch        structure_mismatch
    │       ├── CriterionUnserved        criterion_unserved
    │       ├── ThresholdUnusable        threshold_unusable
    │       ├── TargetUnreachable        target_unreachable
    │       ├── NothingToReconstruct     nothing_to_reconstruct
    │       ├── HeldOutDataMissing       held_out_data_missing
    │       ├── TrainingUnserved         training_unserved
    │       ├── InputShapeMismatch       input_shape_mismatch
    │       ├── LabelsMismatch           labels_mismatch
    │       ├── ObjectiveUnknown         objective_unknown
    │       ├── BaselineAtChance         baseline_at_chance
    │       ├── ClassOrderMismatch       class_order_mismatch
    │       ├── ResultAtChance           result_at_chance
    │       ├── TrainingDiverged         training_diverged
    │       ├── TrialsFailed             trials_failed
    │       ├── GoalsMissed              goals_missed
    │       ├── ConversionFailed         conversion_failed
    │       ├── PendingTimeExceeded      pending_time_exceeded
    │       ├── RuntimeExceeded          runtime_exceeded
    │       ├── OutputsTooLarge          outputs_too_large
    │       └── OutOfMemory              out_of_memory
    └── ServiceError                     we are at fault, or something that we depend on
        ├── InternalError                internal_error
        ├── Unavailable                  unavailable
        ├── StorageFull                  storage_full
        ├── WorkerCrashed                worker_crashed
        ├── SandboxMissing               sandbox_missing
        ├── SparsityMissed               sparsity_missed
        ├── ExportDisagrees              export_disagrees
        └── TranslationDisagrees         translation_disagrees

``code`` is stable; ``detail`` says what happened and what was expected; ``suggestions`` say how to fix it.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Blame = Literal["request", "service"]


class FieldError(BaseModel):
    """What is wrong with one field; ``field`` is its dotted path in the request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    messages: tuple[str, ...]


class Failure(BaseModel):
    """Why a job failed or an upload was rejected: an error of the tree, as data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(description="Stable name of the error, documented in docs/errors.md.")
    title: str
    detail: str = Field(description="What happened and what was expected.")
    blame: Blame
    retryable: bool = Field(description="Whether the same request may succeed later, unchanged.")
    step: str | None = Field(default=None, description="The step of the job that failed.")
    errors: tuple[FieldError, ...] = ()
    suggestions: tuple[str, ...] = Field(default=(), description="How to fix it.")


class SecateurError(Exception):
    """Root of the tree. A concrete error has a code; a class without one only groups."""

    code: ClassVar[str]
    title: ClassVar[str]
    status: ClassVar[int] = 500
    blame: ClassVar[Blame] = "service"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), suggestions: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.suggestions = tuple(suggestions)

    def failure(self, step: str | None = None) -> Failure:
        """This error as data, ready for a job row."""
        return Failure(
            code=self.code,
            title=self.title,
            detail=self.detail,
            blame=self.blame,
            retryable=self.retryable,
            step=step,
            errors=self.errors,
            suggestions=self.suggestions,
        )


class RequestError(SecateurError):
    status = 422
    blame = "request"


class InvalidRequest(RequestError):
    code = "invalid_request"
    title = "The request does not match its schema"


class Unauthorized(RequestError):
    code = "unauthorized"
    title = "A valid API key is needed"
    status = 401


class ScopeMissing(RequestError):
    code = "scope_missing"
    title = "The API key lacks the scope for this request"
    status = 403


class NotFound(RequestError):
    code = "not_found"
    title = "Not found"
    status = 404


class MethodNotAllowed(RequestError):
    code = "method_not_allowed"
    title = "This address does not allow the method"
    status = 405


class Conflict(RequestError):
    status = 409


class InUse(Conflict):
    code = "in_use"
    title = "A job that has not ended needs this upload"


class NotReady(Conflict):
    code = "not_ready"
    title = "The job's report is not available yet"
    retryable = True


class NotCancellable(Conflict):
    code = "not_cancellable"
    title = "The job cannot be cancelled"


class NotRetryable(Conflict):
    code = "not_retryable"
    title = "The job cannot be retried"


class IdempotencyInFlight(Conflict):
    code = "idempotency_in_flight"
    title = "Another request with this Idempotency-Key is in progress"
    retryable = True


class IdempotencyKeyReused(RequestError):
    code = "idempotency_key_reused"
    title = "The Idempotency-Key was used for another request"


class BodyTooLarge(RequestError):
    code = "body_too_large"
    title = "The request body is too large"
    status = 413


class WebhookUrlRefused(RequestError):
    code = "webhook_url_refused"
    title = "The webhook URL is not allowed"
    status = 422


class OffsetMismatch(Conflict):
    code = "offset_mismatch"
    title = "The upload continues at a different offset"
    retryable = True


class UploadLocked(Conflict):
    code = "upload_locked"
    title = "Another request is writing this upload"
    status = 423
    retryable = True


class ProtocolUnserved(RequestError):
    code = "protocol_unserved"
    title = "This protocol version is not supported"
    status = 412


class QuotaExceeded(RequestError):
    code = "quota_exceeded"
    title = "The owner's quota is used up"
    status = 429
    retryable = True


class RateLimited(RequestError):
    code = "rate_limited"
    title = "The owner sends too many requests"
    status = 429
    retryable = True


class UploadTooLarge(RequestError):
    code = "upload_too_large"
    title = "The upload is larger than this service accepts"
    status = 413


class UnsupportedFormat(RequestError):
    code = "unsupported_format"
    title = "This file format is not supported"
    status = 415


class RangeNotSatisfiable(RequestError):
    code = "range_not_satisfiable"
    title = "The requested range is outside the artifact"
    status = 416


class UploadRefused(RequestError):
    """Groups what can be wrong with an uploaded file itself."""


class UploadEmpty(UploadRefused):
    code = "upload_empty"
    title = "The upload has no bytes"


class UploadIncomplete(UploadRefused):
    code = "upload_incomplete"
    title = "The upload ended early or names no file"
    status = 400


class ChecksumMismatch(UploadRefused):
    code = "checksum_mismatch"
    title = "The bytes do not match their checksum"
    status = 460
    retryable = True


class ArchiveUnreadable(UploadRefused):
    code = "archive_unreadable"
    title = "The file is not a readable archive"


class ArchiveUnsafe(UploadRefused):
    code = "archive_unsafe"
    title = "The archive is unsafe to unpack"


class ModelUnreadable(UploadRefused):
    code = "model_unreadable"
    title = "The model cannot be read"


class ModelClassRefused(UploadRefused):
    code = "model_class_refused"
    title = "The model uses a class that this service does not load"


class DatasetPickled(UploadRefused):
    code = "dataset_pickled"
    title = "The data set holds pickled objects"


class DatasetArrayMissing(UploadRefused):
    code = "dataset_array_missing"
    title = "The data set lacks an array"


class DatasetArrayUnusable(UploadRefused):
    code = "dataset_array_unusable"
    title = "An array of the data set cannot be used"


class DatasetLengthsDiffer(UploadRefused):
    code = "dataset_lengths_differ"
    title = "The numbers of samples and labels differ"


class DatasetNotFinite(UploadRefused):
    code = "dataset_not_finite"
    title = "The data set holds NaN or infinity"


class DatasetLabelsInvalid(UploadRefused):
    code = "dataset_labels_invalid"
    title = "The labels are neither classes nor targets"


class DatasetSplitEmpty(UploadRefused):
    code = "dataset_split_empty"
    title = "A split of the data set has no samples"


class ReadingMismatch(UploadRefused):
    code = "reading_mismatch"
    title = "The declarations of the data set do not match it"


class ColumnMissing(UploadRefused):
    code = "column_missing"
    title = "The table has no column of that name"


class TableUnusable(UploadRefused):
    code = "table_unusable"
    title = "A cell, a row or the header of the table cannot be used"


class ImagesUnusable(UploadRefused):
    code = "images_unusable"
    title = "The images of the archive cannot be used"


class RecordsUnusable(UploadRefused):
    code = "records_unusable"
    title = "The records of the file cannot be used"


class UploadTooCostly(UploadRefused):
    code = "upload_too_costly"
    title = "The upload asks for more work or memory than a file of its kind may"


class SummaryTooLarge(UploadRefused):
    code = "summary_too_large"
    title = "The summary of the upload is too large"


class SpecMismatch(RequestError):
    """Groups what can be wrong between a spec and the model and data that it names."""


class InputRejected(SpecMismatch):
    code = "input_rejected"
    title = "The job names an upload that was rejected"


class WrongKind(SpecMismatch):
    code = "wrong_kind"
    title = "An identifier names another kind of resource"


class UnknownLayer(SpecMismatch):
    code = "unknown_layer"
    title = "The model has no layer of that name"


class LayerNotPrunable(SpecMismatch):
    code = "layer_not_prunable"
    title = "That layer cannot be pruned"


class NothingToPrune(SpecMismatch):
    code = "nothing_to_prune"
    title = "No layer is left to prune"


class StructureMismatch(SpecMismatch):
    code = "structure_mismatch"
    title = "The structure does not fit a layer"


class CriterionUnserved(SpecMismatch):
    code = "criterion_unserved"
    title = "The criterion needs what a layer or the data lacks"


class ThresholdUnusable(SpecMismatch):
    code = "threshold_unusable"
    title = "The threshold removes nothing, or whole layers"


class TargetUnreachable(SpecMismatch):
    code = "target_unreachable"
    title = "The target cannot be reached with the layers that may be pruned"


class NothingToReconstruct(SpecMismatch):
    code = "nothing_to_reconstruct"
    title = "No pruned layer can be reconstructed"


class HeldOutDataMissing(SpecMismatch):
    code = "held_out_data_missing"
    title = "Too few samples are held out of training"


class TrainingUnserved(SpecMismatch):
    code = "training_unserved"
    title = "The training settings do not fit the data"


class BridgeRefused(SpecMismatch):
    code = "bridge_refused"
    title = "The model cannot be rebuilt in tf_keras, which the toolkit needs"


class InputShapeMismatch(SpecMismatch):
    code = "input_shape_mismatch"
    title = "The samples do not fit the model's input"


class LabelsMismatch(SpecMismatch):
    code = "labels_mismatch"
    title = "The labels do not fit the model's output"


class ObjectiveUnknown(SpecMismatch):
    code = "objective_unknown"
    title = "The loss cannot be determined from the model and its data"


class BaselineAtChance(SpecMismatch):
    code = "baseline_at_chance"
    title = "The uploaded model is no better than guessing on this data"


class ClassOrderMismatch(SpecMismatch):
    code = "class_order_mismatch"
    title = "The labels number the classes in another order than the model"


class ResultAtChance(SpecMismatch):
    code = "result_at_chance"
    title = "The result is no better than guessing on this data"


class TrainingDiverged(SpecMismatch):
    code = "training_diverged"
    title = "Training ended in NaN or infinity"


class TrialsFailed(SpecMismatch):
    code = "trials_failed"
    title = "No trial of the sweep succeeded"


class GoalsMissed(SpecMismatch):
    code = "goals_missed"
    title = "No trial met the goals"


class ConversionFailed(SpecMismatch):
    code = "conversion_failed"
    title = "LiteRT cannot express this model"


class PendingTimeExceeded(SpecMismatch):
    code = "pending_time_exceeded"
    title = "The job waited longer than it allows"
    retryable = True


class RuntimeExceeded(SpecMismatch):
    code = "runtime_exceeded"
    title = "The job ran longer than it allows"


class OutputsTooLarge(SpecMismatch):
    code = "outputs_too_large"
    title = "The job's output is too large"


class OutOfMemory(SpecMismatch):
    code = "out_of_memory"
    title = "The job ran out of memory"


class ServiceError(SecateurError):
    status = 500
    blame = "service"


class InternalError(ServiceError):
    code = "internal_error"
    title = "The service failed"
    retryable = True


class Unavailable(ServiceError):
    code = "unavailable"
    title = "A dependency of the service does not answer"
    status = 503
    retryable = True


class StorageFull(ServiceError):
    code = "storage_full"
    title = "The service has no disk space left"
    status = 507
    retryable = True


class WorkerCrashed(ServiceError):
    code = "worker_crashed"
    title = "The process that ran the job died"
    retryable = True


class SandboxMissing(ServiceError):
    code = "sandbox_missing"
    title = "The worker cannot sandbox its jobs"
    status = 503


class SparsityMissed(ServiceError):
    code = "sparsity_missed"
    title = "The exported file has fewer zeros than requested"


class ExportDisagrees(ServiceError):
    code = "export_disagrees"
    title = "The exported file and the model compute different outputs"


class TranslationDisagrees(ServiceError):
    code = "translation_disagrees"
    title = "The imported model and its original compute different outputs"


def catalogue() -> dict[str, type[SecateurError]]:
    """Every concrete error by its code.

    >>> catalogue()["not_found"].status
    404
    """

    def walk(node: type[SecateurError]) -> Iterator[type[SecateurError]]:
        if "code" in vars(node):
            yield node
        for child in node.__subclasses__():
            yield from walk(child)

    return {error.code: error for error in walk(SecateurError)}
