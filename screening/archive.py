"""A zip archive that a stranger sent: opened only within bounds on members, names, sizes and memory.

Every rule here answers a known attack: bombs by ratio, by count and by overlap; paths that leave their folder; links.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Final, Self

from secateur.errors import ArchiveUnreadable, ArchiveUnsafe, UploadEmpty

MAX_MEMBERS: Final = 1_000
MAX_DIRECTORY_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How many files an archive may hold, and how large the list of them may be."""

    members: int = MAX_MEMBERS
    directory_bytes: int = MAX_DIRECTORY_BYTES


FEW: Final = Limits()
IMAGES: Final = Limits(members=100_000, directory_bytes=16 << 20)
"""Of a zip where every sample is a file of its own."""

MAX_NAME_CHARACTERS: Final = 255
MAX_INFLATED_BYTES: Final = 16 << 30
MAX_RATIO: Final = 100
RATIO_FREE_BYTES: Final = 64 << 20
"""Up to this size any ratio is harmless: an array of equal labels packs a thousandfold."""

PIECE_BYTES: Final = 1 << 20
LOCAL_HEADER_BYTES: Final = 30

_BROKEN: Final = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OverflowError)
_SIGNATURES: Final = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (.h5)",
    b"\x93NUMPY": "a single array (.npy)",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x1f\x8b": "a gzip file",
    b"TFL3": "a LiteRT file (.tflite)",
}
_RESAVE: Final = 'Save it again with model.save("model.keras") or numpy.savez("data.npz", ...) and upload the new file.'


class _Source:
    """What ``zipfile`` reads from: real ``bytes``, bounded pieces, and faults of the storage kept apart.

    ``zipfile`` reads the whole directory at once and takes any ``OSError`` for a broken archive.
    """

    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        self._file, self._limits = file, limits
        self.num_bytes = int(file.seek(0, 2))
        self.fault: OSError | None = None

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = 0) -> int:
        target = offset + {0: 0, 1: self.tell(), 2: self.num_bytes}[whence]
        if target < 0:
            raise OSError("a position before the start of the archive")
        return int(self._file.seek(target))

    def read(self, size: int = -1) -> bytes:
        available = max(0, self.num_bytes - self.tell())
        wanted = available if size is None or size < 0 else min(size, available)
        limit = self._limits.directory_bytes
        if wanted > limit:
            raise ArchiveUnsafe(
                f"The directory of the archive takes {wanted} bytes; at most {limit} are accepted.",
                suggestions=[_RESAVE],
            )
        try:
            return bytes(self._file.read(wanted))
        except OSError as fault:
            self.fault = fault
            raise


class Archive:
    """The members of a zip archive that passed every check of its directory.

    Raises, when made:
        UploadEmpty: the file has no bytes. ArchiveUnreadable: it is no zip archive, or one cut short.
        ArchiveUnsafe: unpacking it could fill the disk or the memory, or write outside its folder.
    """

    def __init__(self, file: IO[bytes], *, limits: Limits = FEW) -> None:
        self._source = _Source(file, limits)
        if self._source.num_bytes == 0:
            raise UploadEmpty("The upload has 0 bytes.", suggestions=["Check the path that you upload from."])
        with _Reading(self._source):
            self._source.seek(0)
            head = self._source.read(8)
            if not head.startswith(b"PK"):
                raise _not_a_zip(head)
            self._zip = zipfile.ZipFile(self._source)
        members = self._zip.infolist()
        if len(members) > limits.members:
            raise _unsafe(f"The archive has {len(members)} members; at most {limits.members} are accepted.")
        _check_members(members, num_bytes=self._source.num_bytes, directory_start=self._zip.start_dir)
        self.num_bytes = self._source.num_bytes
        self.sizes: dict[str, int] = {info.filename: info.file_size for info in self._zip.infolist()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def read_head(self, name: str, num_bytes: int) -> bytes:
        """The first bytes of a member, fewer when it is shorter; never inflates more than that.

        Raises:
            ArchiveUnreadable: the member is damaged.
        """
        head = bytearray()
        with _Reading(self._source), self._zip.open(name) as member:
            while piece := member.read(min(PIECE_BYTES, num_bytes - len(head))):
                head += piece
        return bytes(head)

    def offset_of(self, name: str) -> int | None:
        """Where in the file the bytes of a member lie as they are; None when it is packed.

        Raises:
            ArchiveUnreadable: the member is damaged.
        """
        info = self._zip.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED:
            return None
        with _Reading(self._source), self._zip.open(name):  # compares both headers of the member
            self._source.seek(info.header_offset + LOCAL_HEADER_BYTES - 4)
            name_length, extra_length = struct.unpack("<HH", self._source.read(4))
        return info.header_offset + LOCAL_HEADER_BYTES + int(name_length) + int(extra_length)

    def pieces(self, name: str) -> Iterator[bytes]:
        """A member unpacked, a little at a time.

        Raises:
            ArchiveUnreadable: the member is damaged.
        """
        with _Reading(self._source), self._zip.open(name) as member:
            while piece := member.read(PIECE_BYTES):
                yield piece

    def copy(self, name: str, to: IO[bytes]) -> None:
        """Unpack one member into a file, and never more than the directory declares.

        Raises:
            ArchiveUnreadable: the member is damaged.
        """
        left = self.sizes[name]
        with _Reading(self._source), self._zip.open(name) as member:
            while left and (piece := member.read(min(PIECE_BYTES, left))):
                to.write(piece)
                left -= len(piece)

    def inflate_all(self) -> None:
        """Unpack every member into nothing, and compare its length and checksum.

        Raises:
            ArchiveUnreadable: a member is damaged.
        """
        for name, declared in self.sizes.items():
            actual = sum(map(len, self.pieces(name)))
            if actual != declared:
                raise ArchiveUnreadable(
                    f"{name!r} should unpack to {declared} bytes but ends after {actual}.", suggestions=[_RESAVE]
                )


class _Reading:
    """Turns what ``zipfile`` raises on a damaged archive into the errors of the tree."""

    def __init__(self, source: _Source) -> None:
        self._source = source

    def __enter__(self) -> None:
        self._source.fault = None

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._source.fault is not None:
            raise self._source.fault
        if isinstance(fault, (*_BROKEN, OSError)):
            raise ArchiveUnreadable(
                f"The archive is cut short or damaged ({fault}). A whole zip archive was expected.",
                suggestions=["Upload it again; if that fails too, the file on your side is damaged.", _RESAVE],
            ) from fault


def _not_a_zip(head: bytes) -> ArchiveUnreadable:
    found = next((what for start, what in _SIGNATURES.items() if head.startswith(start)), "no zip archive")
    return ArchiveUnreadable(
        f"Files that end in .keras or .npz are zip archives, but this is {found}. Renaming a file does not convert it.",
        suggestions=[_RESAVE],
    )


def _check_members(members: list[zipfile.ZipInfo], *, num_bytes: int, directory_start: int) -> None:
    for member in members:
        _check_member(member)
    _check_unique(member.filename for member in members)
    _check_sizes(members, num_bytes=num_bytes)
    _check_overlap(members, directory_start=directory_start)


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    shown = repr(name[:80])
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise _unsafe(f"The archive has a member with an empty, overlong or unprintable name: {shown}.")
    if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
        raise _unsafe(f"The member {shown} would be written outside its folder; names must be relative paths.")
    # The upper half of external_attr is the Unix mode; archives made elsewhere leave it 0.
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe(f"The member {shown} is a link or a device; only plain files are accepted.")
    if member.flag_bits & 0x41:
        raise _unsafe(f"The member {shown} is encrypted; nothing encrypted can be checked.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _unsafe(f"The member {shown} is packed by an unusual method; only stored and deflated are accepted.")
    if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
        raise _unsafe(f"The member {shown} is stored as it is, yet declares two different sizes.")


def _check_unique(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        path = "/".join(part for part in name.split("/") if part not in ("", "."))
        if path in seen:
            raise _unsafe(
                f"The archive has two members named {name[:80]!r}; readers would disagree about which counts."
            )
        seen.add(path)


def _check_sizes(members: list[zipfile.ZipInfo], *, num_bytes: int) -> None:
    inflated = sum(member.file_size for member in members)
    if inflated > MAX_INFLATED_BYTES:
        raise _unsafe(f"The archive unpacks to {inflated} bytes; at most {MAX_INFLATED_BYTES} are accepted.")
    if inflated > max(RATIO_FREE_BYTES, MAX_RATIO * num_bytes):
        raise _unsafe(
            f"The archive of {num_bytes} bytes unpacks to {inflated} bytes, more than {MAX_RATIO} times as many.",
            "If the data really is that uniform, save it unpacked: numpy.savez instead of numpy.savez_compressed.",
        )


def _check_overlap(members: list[zipfile.ZipInfo], *, directory_start: int) -> None:
    """Members that share bytes unpack to far more than the archive holds (Fifield 2019, "A better zip bomb")."""
    next_start = directory_start
    for member in sorted(members, key=lambda member: member.header_offset, reverse=True):
        least = LOCAL_HEADER_BYTES + len(member.orig_filename) + member.compress_size
        if member.header_offset < 0 or member.header_offset + least > next_start:
            raise _unsafe(f"The member {member.orig_filename[:80]!r} shares its bytes with another one.")
        next_start = member.header_offset


def _unsafe(detail: str, suggestion: str = _RESAVE) -> ArchiveUnsafe:
    return ArchiveUnsafe(detail, suggestions=[suggestion])
