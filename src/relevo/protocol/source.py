"""What an engine must know of a working tree: the facts of its repository, and all that a client tells of it who stands in it
to an engine that cannot look (another machine, another user).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: Parts that the snapshot of a source may be in; see `Source.snapshot`.
PARTS_LIMIT: Final = 8


class Repository(Struct, frozen=True):
    """Where a repository lies."""

    root: str  #: the working tree, absolute; the repository itself when it is bare
    git_dir: str
    common_dir: str  #: differs from git_dir in a linked worktree
    bare: bool = False


class Commit(Struct, frozen=True):
    """A commit, as far as contexts show it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author_name: str
    author_email: str
    committer_name: str
    committer_email: str
    time_s: int  #: of the committer, Unix seconds
    timestamp: str  #: the same, ISO 8601
    message: str


class GitFacts(Struct, frozen=True):
    """A folder as the `github` context sees it. A folder that is no repository has `repository` None, no HEAD, no tags."""

    root: str  #: the working tree, absolute
    repository: Repository | None
    head: Commit | None  #: None: nothing is committed yet
    branch: str  #: "": detached
    tags: tuple[str, ...]  #: names of the tags at HEAD, the one that sorts as the latest version first
    config: dict[
        str, str
    ]  #: the keys that matter here, in lower case as git prints them; the last value counts
    remote_url: str  #: without credentials; "" when there is none
    owner: str
    name: str
    default_branch: str
    actor: str

    @property
    def ref(self) -> str:
        """refs/heads/…, refs/tags/… for a detached HEAD at a tag, else HEAD."""
        if self.branch:
            return f"refs/heads/{self.branch}"
        return f"refs/tags/{self.tags[0]}" if self.tags else "HEAD"

    @property
    def ref_name(self) -> str:
        """The short name of `ref`."""
        return self.branch or (self.tags[0] if self.tags else "HEAD")

    @property
    def ref_type(self) -> str:
        """branch or tag."""
        return "tag" if self.tags and not self.branch else "branch"


class ActionText(Struct, frozen=True):
    """The file of a local action."""

    path: str  #: relative to the tree
    text: bytes


class Source(Struct, frozen=True):
    """A working tree, told by a client that stands in it."""

    facts: (
        GitFacts  #: nothing of the machine: `root` is "", `repository` None, of `config` what contexts show
    )
    workflows: dict[
        str, bytes
    ] = {}  #: called workflows of the tree, by reference (`./.github/workflows/x.yml`)
    actions: dict[str, ActionText] = {}  #: local actions, by what steps use (`./tools/build`)
    changed: tuple[str, ...] | None = (
        None  #: paths that the event changes; None: not known, or no filter asks
    )
    #: digests of uploaded blobs: a snapshot, and then others with what it lacks, each with the objects that those before lack
    #: (the last one's header counts); (): nothing checks out
    snapshot: tuple[str, ...] = ()
