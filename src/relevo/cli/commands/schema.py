"""relevo schema"""

from __future__ import annotations

import click


@click.command("schema", short_help="Print the JSON Schema of workflow files, for editors.")
@click.option("--action", "of_action", is_flag=True, help="That of action.yml instead.")
def command(of_action: bool) -> int:
    """Print the JSON Schema (draft 2020-12) of workflow files. Editors complete and check by it as one types.

    \b
    Example, for editors with the YAML language server: put the schema into a file,
      relevo schema > .relevo/schema.json
    and name it in the first line of a workflow:
      # yaml-language-server: $schema=../../.relevo/schema.json
    """
    import json

    from relevo.workflow.json_schema import action_json_schema, json_schema

    schema = action_json_schema() if of_action else json_schema()
    click.echo(json.dumps(schema, indent=2, ensure_ascii=False))
    return 0
