"""Bytes of files, as stored and as gzip would send them."""

import gzip
from pathlib import Path

from secateur.reports.report import Sizes


def gzip_bytes(content: bytes) -> int:
    """Size after ``gzip -9n``: no name, no time, so the same content gives the same number everywhere."""
    return len(gzip.compress(content, compresslevel=9, mtime=0))


def measure_sizes(keras_file: Path, tflite_file: Path) -> Sizes:
    """Both files of a variant."""
    keras_content, tflite_content = keras_file.read_bytes(), tflite_file.read_bytes()
    return Sizes(
        keras_bytes=len(keras_content),
        keras_gzip_bytes=gzip_bytes(keras_content),
        tflite_bytes=len(tflite_content),
        tflite_gzip_bytes=gzip_bytes(tflite_content),
    )
