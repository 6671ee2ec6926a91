"""The HTTP API of an engine, its live streams, and the way to its page.

    connection ──► app: host, token, limits ──► routes ──► runs · logs · state       ──► EngineApi
     (uvicorn)                                   └───────► streams ◄── hub: feeds    ──► EngineApi, followed once for all

It owns connections, sessions and who follows what; all else is the engine's, asked through `orchestrator.api.EngineApi`.
When a request fails, that request says so (`problems.py`); when the engine is replaced, streams go on with the next one;
when a follower does not read, it is left behind and reads from disk later: nothing grows with it.
"""
