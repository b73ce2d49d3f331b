"""Every setting. ``Settings()`` reads the environment (``SECATEUR_...``); importing the module does not."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from secateur.protocol.cost_bounds import CostBounds


def _bound(name: str) -> Any:
    """A setting that is a bound on what an upload may cost."""
    field = CostBounds.model_fields[name]
    return Field(default=field.default, ge=1, description=field.description)


class Settings(BaseSettings):
    """The settings. The defaults run the whole service on one machine, with all state in ``data_dir``."""

    model_config = SettingsConfigDict(env_prefix="SECATEUR_", frozen=True, extra="ignore", hide_input_in_errors=True)

    data_dir: Path = Field(default=Path("var"), description="Folder of the embedded database, broker and store.")
    database_url: str = Field(default="", description="SQLAlchemy URL. Default: SQLite in data_dir.")
    broker_url: str = Field(default="", description="Redis or Valkey URL. Default: a socket in data_dir.")
    store_url: str = Field(default="", description="file:///... or s3://bucket/prefix. Default: a folder in data_dir.")
    scratch_dir: Path | None = Field(default=None, description="Working folders of running jobs. Default: in data_dir.")

    host: str = Field(default="127.0.0.1", description="Address that the gateway binds to.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port of the gateway; 0 takes a free one.")
    max_body_bytes: int = Field(default=1 << 20, gt=0, description="Largest body of a request that is no upload.")
    idempotency_seconds: float = Field(default=86_400.0, gt=0, description="How long an Idempotency-Key is remembered.")
    max_upload_bytes: int = Field(default=2 * 1024**3, gt=0, description="Largest upload that is accepted.")
    max_layer_calls: int = _bound("layer_calls")
    max_activation_bytes: int = _bound("activation_bytes")
    max_sample_macs: int = _bound("sample_macs")
    max_table_columns: int = _bound("table_columns")
    max_data_values: int = _bound("data_values")
    max_line_bytes: int = _bound("line_bytes")
    max_inflation: int = _bound("inflation")

    quota_stored_bytes: int = Field(default=100 * 1024**3, ge=0, description="Bytes that an owner may store; 0: any.")
    quota_queued_jobs: int = Field(default=1000, ge=0, description="Jobs that an owner may have queued; 0: any number.")
    quota_queued_checks: int = Field(
        default=200, ge=0, description="Uploads of an owner that wait for their check; 0: any number."
    )
    quota_running_jobs: int = Field(default=0, ge=0, description="Jobs of an owner that run at once; 0: any number.")
    uploads_dir: Path | None = Field(default=None, description="Unfinished resumable uploads. Default: in data_dir.")
    resume_hours: float = Field(default=24.0, gt=0, description="How long an unfinished upload waits for more bytes.")
    keep_uploads_days: float = Field(default=0.0, ge=0, description="Days until an upload is removed; 0: never.")
    keep_jobs_days: float = Field(default=0.0, ge=0, description="Days until an ended job is removed; 0: never.")
    collect_seconds: float = Field(default=3600.0, gt=0, description="How often workers collect garbage.")
    collect_grace_seconds: float = Field(
        default=3600.0, ge=0, description="Age at which stored bytes without a row are removed."
    )
    metrics_token: str = Field(
        default="",
        repr=False,
        pattern="^(|[!-~]{16,})$",
        description="Token for /metrics that also works without a database. Empty: only API keys work.",
    )
    requests_per_minute: int = Field(
        default=6000, ge=0, description="Requests of an owner in a minute, where there are keys; 0: any number."
    )

    answer_seconds: float = Field(
        default=10.0,
        ge=1.0,
        le=60.0,
        description="How long database and store may take to answer before they count as unavailable.",
    )
    lease_seconds: float = Field(
        default=30.0, gt=0, description="A worker without a heartbeat for this long loses its job."
    )
    heartbeat_seconds: float = Field(default=1.0, gt=0, description="How often a worker saves progress and its lease.")
    sweep_seconds: float = Field(
        default=10.0, gt=0, description="How often workers look for lost jobs and lost messages."
    )
    max_attempts: int = Field(default=3, ge=1, description="Attempts at one job before it fails permanently.")
    check_seconds: float = Field(
        default=180.0, gt=0, description="How long the check of an upload may take, besides the time for its bytes."
    )
    check_bytes_per_second: float = Field(
        default=2_000_000.0, gt=0, description="One second more for so many bytes of the upload."
    )
    job_memory_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Limit on the data memory of a job's process; 0: none. Default: a slot's share of the memory of "
        "the machine, or of its control group; none where there is an NVIDIA GPU.",
    )
    job_file_bytes: int | None = Field(
        default=64 * 1024**3, gt=0, description="Largest file that a job's process may write."
    )
    job_output_files: int = Field(default=256, ge=1, description="Most files that a job may produce.")
    job_output_bytes: int = Field(
        default=64 * 1024**3, gt=0, description="Most bytes that the files of a job may hold together."
    )
    checkpoint_seconds: float = Field(
        default=5.0, ge=0, description="Least time between two checkpoints of a job; 0: at every epoch and step."
    )
    checkpoint_bytes: int = Field(
        default=8 * 1024**3, ge=0, description="Largest checkpoint of a job; 0: no checkpoints."
    )
    sandbox: Literal["require", "prefer", "off"] = Field(
        default="prefer", description="Whether a worker starts only if the kernel confines its jobs."
    )
    warm_children: bool = Field(
        default=True, description="Whether each slot starts a child process in advance, before there is a job."
    )

    deliver_webhooks: bool = Field(
        default=True, description="Whether workers that run jobs deliver webhooks too; false where a courier does."
    )
    webhook_targets: Literal["public", "any"] = Field(
        default="public",
        description="Allowed addresses of webhooks: https to public addresses, or also http and private networks.",
    )

    log_format: Literal["console", "json"] = Field(default="console", description="How log lines are written.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )

    def environment(self) -> dict[str, str]:
        """Return the environment variables that give another process these settings. Unset ones are left out."""
        made = self.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        prefix = self.model_config["env_prefix"]
        return {f"{prefix}{name.upper()}": str(value) for name, value in made.items()}

    @property
    def cost_bounds(self) -> CostBounds:
        """What the check of one upload may cost."""
        return CostBounds(**{name: getattr(self, f"max_{name}") for name in CostBounds.model_fields})

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'secateur.db'}"

    @property
    def broker(self) -> str:
        return self.broker_url or f"redis+socket://{self.data_dir.resolve() / 'broker' / 'broker.sock'}"

    @property
    def store(self) -> str:
        return self.store_url or (self.data_dir.resolve() / "store").as_uri()

    @property
    def partial_uploads(self) -> Path:
        return self.uploads_dir or self.data_dir.resolve() / "uploads"

    @property
    def scratch(self) -> Path:
        return self.scratch_dir or self.data_dir.resolve() / "scratch"
