"""What a native action is given, and what it owes.

An action is a module with `async def main(ctx: ActionContext) -> None` and, if it has something to do at the job's
end, `async def post(ctx: ActionContext) -> None`. A main that returns has succeeded; one that raises `ActionFailed`
has failed with that message; any other exception is reported as a failure of the action and named as a defect. Cancel and
the step's time-out cancel the coroutine: clean-up stands in `finally` and takes little time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from relevo.domain.errors import RelevoError

T = TypeVar("T")

#: Action without its @ref → the module that implements it. The same for every ref.
NATIVE_ACTIONS: Final[dict[str, str]] = {
    "actions/checkout": "relevo.agent.actions.checkout",
    "actions/upload-artifact": "relevo.agent.actions.upload_artifact",
    "actions/download-artifact": "relevo.agent.actions.download_artifact",
    "actions/cache": "relevo.agent.actions.cache",
    "actions/cache/restore": "relevo.agent.actions.cache_restore",
    "actions/cache/save": "relevo.agent.actions.cache_save",
    "actions/setup-go": "relevo.agent.actions.setup_go",
    "actions/setup-java": "relevo.agent.actions.setup_java",
    "actions/setup-node": "relevo.agent.actions.setup_node",
    "actions/setup-python": "relevo.agent.actions.setup_python",
}


class ActionFailed(RelevoError):
    """The action could not do what was asked; the message says what and what to do. The step fails with it."""


class Blobs(Protocol):
    """What an action can have of the engine: the part of the attempt's Reporter that it may use."""

    def artifact(self, name: str, digest: str, size_bytes: int, files: int) -> None:
        """Announce an artifact whose bytes were put before."""

    def get_blob(self, what: str) -> AsyncIterator[bytes]:
        """Bytes by what protocol GetBlob names: `blob:<digest>`, `artifact:<run>/<name>`, `artifacts:<run>`.

        Waits for an engine that is away. Raises BlobUnavailable when refused.
        """

    async def put_blob(self, chunks: AsyncIterator[bytes]) -> str:
        """Hand bytes over; returns their digest once they are durable."""


class ActionContext(Protocol):
    """One use of an action by one step. Valid until main (or post) has ended.

    Attributes are for reading; the mappings are not changed by the action: `set_env`, `add_path` and `set_output` do that.
    """

    #: `with:` evaluated to text, trimmed as GitHub does. Names are lower-cased; an input that is not given is absent
    inputs: Mapping[str, str]
    #: the whole environment that a `run:` step would have here: INPUT_* are not in it
    env: Mapping[str, str]
    #: `github.workspace`, absolute. The folder exists
    workspace: str
    #: the `github` context, with what relevo adds (the snapshot's digest for checkout, see protocol.snapshot)
    github: Mapping[str, Any]
    run_id: str  #: relevo's run id: `artifact:<run_id>/<name>`
    job: int
    attempt: int
    temp: str  #: RUNNER_TEMP: a folder of this attempt, emptied at its end
    tool_cache: (
        str  #: RUNNER_TOOL_CACHE: shared by the attempts of this host; exists only if somebody made it
    )
    caches: str  #: the folder of `relevo.agent.caches`, shared by the attempts of this host
    reporter: Blobs
    #: what `save_state` of main wrote, for post
    state: Mapping[str, str]

    @property
    def job_status(self) -> str:
        """Of the job so far: success, failure, cancelled."""

    def input(self, name: str, default: str = "") -> str:
        """An input by any spelling of its name (`Fetch-Depth`), the default when it is absent or empty."""

    def flag(self, name: str, default: bool) -> bool:
        """A boolean input by YAML 1.2's core schema (`true True TRUE false False FALSE`). Raises ActionFailed otherwise."""

    def log(self, text: str) -> None:
        """Write a line to the step's log. It is masked, and it is not read for `::` commands."""

    def warn(self, message: str) -> None:
        """A warning annotation, also written to the log."""

    def notice(self, message: str) -> None:
        """A notice annotation, also written to the log."""

    def mask(self, secret: str) -> None:
        """Hide a text from here on in all logs of the attempt."""

    def set_output(self, name: str, value: str) -> None:
        """An output of the step. Main only."""

    def set_env(self, name: str, value: str) -> None:
        """A variable for the steps that follow. Raises ActionFailed for names that are not the user's to set."""

    def add_path(self, folder: str) -> None:
        """Put a folder in front of PATH for the steps that follow."""

    def save_state(self, name: str, value: str) -> None:
        """Keep something for post."""

    def register_post(self) -> None:
        """Have `post` of this module run after the job's steps, in reverse order of registration, also when the job fails."""

    async def blocking(self, function: Callable[..., T], *args: Any) -> T:
        """Run a blocking function in the agent's pool. It is not interrupted by a cancel: keep it bounded."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> int:
        """Run a process in the attempt's worker as part of this step, one at a time; returns its exit code (128 + n for
        a signal).

        `cwd` defaults to the workspace, `env` to `self.env` (it replaces it whole). Its output goes to the log, or, with
        `on_output`, only there (unmasked). Raises ActionFailed when the program is not there or may not be run.
        """


def action_of(uses: str) -> str:
    """`actions/checkout` of `actions/checkout@v4`. GitHub does not mind case."""
    return uses.partition("@")[0].rstrip("/").lower()


def load(uses: str) -> Any:
    """The module of a native action. Raises ActionFailed naming what there is."""
    import importlib

    name = action_of(uses)
    module = NATIVE_ACTIONS.get(name)
    if module is None:
        known = ", ".join(sorted(NATIVE_ACTIONS))
        raise ActionFailed(f"{uses}: this action is not built in. Use a run: step, or one of {known}")
    return importlib.import_module(module)
