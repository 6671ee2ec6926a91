"""The page that `relevo up` serves: where its files are.

The page itself is made in `web/` (Preact, TypeScript) and built by `make console` into `static/`, which is part of the repository and
of the wheel, so that Node is needed only by who changes the page. It talks to the HTTP API and nothing else. Authoritative for
nothing: it shows what the API tells, and asks it to act. When the server goes away, the page says so and goes on by itself afterwards.

`server` hands files of a folder out and does not know this package; `assembly` tells it which folder.
"""

from __future__ import annotations

import os


def static_folder() -> str:
    """The folder with the page's files, absolute. It may be missing in a checkout where they were removed."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
