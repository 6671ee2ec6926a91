"""The group of all commands, each loaded when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relevo.cli.errors import PipeClosed
from relevo.cli.main import SECTIONS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {name: words for section in SECTIONS.values() for name, words in section.items()}


class LazyGroup(click.Group):
    """Finds its commands in `relevo.cli.commands`, by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        from importlib import import_module

        found = import_module(f"relevo.cli.commands.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(_unknown(args[0]))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        # Without loading the commands, as for the help.
        names = [
            CompletionItem(name, help=words)
            for name, words in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # click would leave with its own code here.
            raise PipeClosed from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in _COMMANDS)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), words) for name, words in commands.items()])


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, _COMMANDS, n=1)
    if close:
        return f"there is no command {name!r}. Did you mean {close[0]!r}?"
    if name.endswith((".yml", ".yaml")):
        return f"there is no command {name!r}. To run that file: relevo run {name}"
    return f"there is no command {name!r}. They are: {', '.join(_COMMANDS)}"


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from relevo import __version__

        click.echo(f"relevo {__version__}")
        ctx.exit()


def group() -> click.Group:
    """`relevo` itself."""
    return LazyGroup(
        "relevo",
        help=(
            "Run GitHub workflow files on your own machine, and lose nothing.\n\n"
            "\b\n"
            "  relevo run                  the workflow in .github/workflows\n"
            "  relevo run ci.yml --job test\n"
            "  relevo logs -f              what the latest run writes\n"
        ),
        epilog=(
            "Exit codes: 0 succeeded, 1 failed, 2 bad input, 3 a job is held and asks, 4 infrastructure was lost, "
            "130 cancelled. RELEVO_HOME (default ~/.local/state/relevo) holds all that is kept."
        ),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        params=[
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Tell the version.",
            )
        ],
        no_args_is_help=True,
    )
