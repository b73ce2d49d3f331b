"""The version of Secateur. Sandboxed processes cannot read the metadata of the installation, which also names it."""

from typing import Final

VERSION: Final = "0.1.0"
