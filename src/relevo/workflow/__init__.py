"""What a workflow file means: read, check, expressions, matrix, plan. No I/O but reading files it is told to.

    bytes ─nodes─► tree ─check (grammar, language), rules─► diagnostics ─build─► model.Workflow        reader.py
                                                                                    │ ◄─calls─ the workflows it calls
    event, inputs, git facts ─events─► inputs                                       ├─support─► what is refused
                                                                                    ├─plan────► order, closure
    needs' results ─evaluate (templates, expressions, matrix)─► Verdict with Legs ◄─┘

A file that is wrong yields all its diagnostics at once, each with line and column. An expression that fails later
fails its job, with the place of the key that holds it. Everything but the reader (YAML) is also used by agents.
"""
