"""Which handler a path belongs to."""


def route(path: str) -> str:
    """The first part of a path; "index" for none."""
    return path.strip("/").split("/")[0] or "index"
