"""relevo completion"""

from __future__ import annotations

import click


@click.command("completion", short_help="Print the shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script that makes a shell complete relevo's commands, options, workflow files, runs and jobs behind Tab.

    \b
    Examples:
      source <(relevo completion bash)           for this shell; the same line in ~/.bashrc for each
      source <(relevo completion zsh)            in ~/.zshrc, after compinit
      relevo completion fish > ~/.config/fish/completions/relevo.fish
    """
    from relevo.cli.group import group
    from relevo.cli.shells import script

    click.echo(script(shell, group()))
    return 0
