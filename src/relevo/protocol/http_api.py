"""What the HTTP API and its clients agree on beside the shapes."""

from __future__ import annotations

from typing import Final

#: Grows with each addition that clients need; a server tells its own in GET /server.
API_LEVEL: Final = 1
#: Clients of a lower level do not understand this server, and say so.
API_OLDEST: Final = 1

#: The exact bytes of a log: frames (`framing.py`) of msgpack `[offset, step, at_ms, data]`. An empty frame is a sign of life; one
#: of the step LOG_END, at the log's size, says that nothing more will come: without it the stream was cut.
FRAMES: Final = "application/vnd.relevo.frames"
LOG_END: Final = -1
#: A blob that is uploaded, at most.
BLOB_LIMIT_BYTES: Final = 8 << 30
#: Digests that are asked for at once.
DIGESTS_LIMIT: Final = 1_000
BLOBS_MISSING: Final = "urn:relevo:blobs-missing"
