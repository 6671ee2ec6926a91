"""The command line: what was asked becomes calls of `orchestrator.api.UserApi`, its events become lines.

    main.py      the commands, loaded when they are called; errors become a message and an exit code
    commands/    one file for each command
    connect.py   how an engine is reached: the only file that knows of assembly's other parts
    watch.py     follows a run: signals, events, logs ─► a view (live/, view_plain.py, view_json.py, view_quiet.py)
    progress.py  what is known of a run, from its events

Start-up time is a feature: nothing here imports asyncio, msgspec or the engine before a command needs it.
"""
