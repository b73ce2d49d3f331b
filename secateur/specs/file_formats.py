"""The formats of files that the service reads."""

from typing import Literal

DatasetFormat = Literal["npz", "images", "csv", "parquet", "tfrecord"]
