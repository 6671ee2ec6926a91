"""relevo completion"""

from __future__ import annotations

import click


@click.command("completion", short_help="Print the shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script that makes a shell complete relevo's commands and options.

    \b
    Examples:
      relevo completion bash >> ~/.bashrc
      relevo completion zsh >> ~/.zshrc
      relevo completion fish > ~/.config/fish/completions/relevo.fish
    """
    from click.shell_completion import get_completion_class

    from relevo.cli.group import group

    found = get_completion_class(shell)
    assert found is not None
    # Sourcing the script asks no program: bash's own check of its version is not needed to print it.
    made = found(group(), {}, "relevo", "_RELEVO_COMPLETE")
    click.echo(made.source_template % made.source_vars())
    return 0
