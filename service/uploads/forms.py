"""The field ``file`` of a multipart form, as it arrives."""

from collections.abc import AsyncIterator

from fastapi import Request
from streaming_form_data import StreamingFormDataParser
from streaming_form_data.parser import ParseFailedException
from streaming_form_data.targets import BaseTarget

from secateur.errors import FieldError, UploadIncomplete
from service.uploads.raw_body import raw_body


class _Field(BaseTarget):  # type: ignore[misc]
    """Collects what the parser finds of the field, until it is taken away."""

    def __init__(self) -> None:
        super().__init__()
        self.started = False
        self.ended = False
        self.pieces: list[bytes] = []

    def on_start(self) -> None:
        if self.started:
            raise UploadIncomplete(
                "The form has more than one field named file.", suggestions=["Upload one at a time."]
            )
        self.started = True

    def on_finish(self) -> None:
        self.ended = True

    def on_data_received(self, chunk: bytes) -> None:
        self.pieces.append(chunk)


class Form:
    """A multipart body, parsed while it streams; Starlette's own parser would write it to disk first."""

    def __init__(self, request: Request) -> None:
        self._body = raw_body(request)
        self._field = _Field()
        try:
            self._parser = StreamingFormDataParser(headers=dict(request.headers))
        except ParseFailedException as fault:
            raise _no_file() from fault
        self._parser.register("file", self._field)
        self.name: str | None = None

    async def read_until_named(self) -> None:
        """Feed the parser until the field has begun.

        Raises:
            UploadIncomplete: the form has no such field.
        """
        while not self._field.started:
            if not await self._feed():
                raise _no_file()
        self.name = self._field.multipart_filename

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the field.

        Raises:
            UploadIncomplete: the form stops before its last boundary, or has the field twice.
        """
        while True:
            pieces, self._field.pieces = self._field.pieces, []
            if pieces:
                yield b"".join(pieces)
            elif not await self._feed():
                break
        if not self._field.ended:
            raise UploadIncomplete("The form stops in the middle of the file.", suggestions=["Upload again."])

    async def _feed(self) -> bool:
        chunk = await anext(self._body, None)
        if chunk is None:
            return False
        try:
            self._parser.data_received(chunk)
        except ParseFailedException as fault:
            raise _no_file() from fault
        return True


def _no_file() -> UploadIncomplete:
    return UploadIncomplete(
        "The form has no field named file.",
        errors=[FieldError(field="file", messages=("missing",))],
        suggestions=["curl -F file=@model.keras ..., or send the bytes as the body with ?name=model.keras."],
    )
