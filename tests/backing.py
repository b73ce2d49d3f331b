"""What a service under test keeps its rows and files in: the embedded parts, or real servers.

Tests ask ``backing`` for the settings of a data folder and never say which of the two they want. ``pytest --backing
embedded`` gives them SQLite and a folder; ``--backing servers`` gives PostgreSQL and an S3 API, and runs only the tests
to which that makes a difference. The broker is Valkey either way.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import boto3  # type: ignore[import-untyped]
from sqlalchemy import make_url

from infra.db.database import Database
from infra.settings import Settings
from tests.servers import Servers

Kind = Literal["embedded", "servers"]

BUCKET: Final = "secateur"
NUMBERS: Final = count()


class Template:
    """A database with its tables and no rows. Copying it is many times as quick as migrating another."""

    def __init__(self, folder: Path, servers: Servers | None) -> None:
        self.servers = servers
        self._file = folder / "migrated.db"

    def copy(self, url: str) -> None:
        """Make a database at this URL."""
        name = make_url(url).database or ""
        if self.servers is None:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._migrated, name)
        else:
            self.servers.execute(f"CREATE DATABASE {name} TEMPLATE {self._migrated}")

    @cached_property
    def _migrated(self) -> str:
        name, url = str(self._file), f"sqlite:///{self._file}"
        if self.servers is not None:
            name, url = "migrated", self.servers.postgres.format(name="migrated")
            self.servers.execute(f"CREATE DATABASE {name}")
        database = Database(url)
        database.migrate()
        database.close()
        return name


class Backing:
    """Gives each data folder a database and a store of its own; the same folder gets the same ones again."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._servers = template.servers
        self._urls: dict[Path, dict[str, str]] = {}

    @property
    def kind(self) -> Kind:
        return "embedded" if self._servers is None else "servers"

    def settings(self, data_dir: Path, *, migrated: bool = True, **changes: Any) -> Settings:
        """Settings of a service whose state belongs to this folder.

        Args:
            migrated: whether its database has tables, if this is the first time that it is asked for.
            changes: whatever shall not be as it is by default, also other URLs.
        """
        if data_dir not in self._urls:
            self._urls[data_dir] = self._made(data_dir, migrated)
        return Settings(**{"data_dir": data_dir} | self._urls[data_dir] | changes)

    def _made(self, data_dir: Path, migrated: bool) -> dict[str, str]:
        urls, name = {}, f"test_{next(NUMBERS)}"
        if self._servers is not None:
            urls = {"database_url": self._servers.postgres.format(name=name), "store_url": f"s3://{BUCKET}/{name}"}
        if migrated:
            self._template.copy(Settings(**{"data_dir": data_dir} | urls).database)  # type: ignore[arg-type]
        elif self._servers is not None:
            self._servers.execute(f"CREATE DATABASE {name}")
        return urls

    @contextmanager
    def database_away(self, settings: Settings) -> Iterator[None]:
        """While the block runs, a database on a server answers nobody. A file is never away."""
        assert self._servers is not None
        name = make_url(settings.database).database
        self._servers.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            self._servers.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            yield
        finally:
            self._servers.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def close(self) -> None:
        """Drop the databases. Folders, and what is in the bucket, go with the test run."""
        for urls in self._urls.values():
            if self._servers is not None:
                self._servers.execute(f"DROP DATABASE {make_url(urls['database_url']).database} WITH (FORCE)")


def stored(settings: Settings) -> set[str]:
    """Everything that a store holds, as paths: what is still being written too."""
    parts = urlsplit(settings.store)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    prefix = parts.path.strip("/") + "/"
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name=os.environ["AWS_REGION"])
    found = set()
    for operation, key in (("list_objects_v2", "Contents"), ("list_multipart_uploads", "Uploads")):
        for page in client.get_paginator(operation).paginate(Bucket=parts.netloc, Prefix=prefix):
            found |= {item["Key"].removeprefix(prefix) for item in page.get(key, [])}
    return found


def staged(settings: Settings) -> set[str]:
    """What a store holds of uploads that have not ended."""
    return {key for key in stored(settings) if key.startswith("staging/")}
