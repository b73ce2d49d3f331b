"""What schemathesis learns of this service by code: a piece of an upload goes over the wire as it is."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
