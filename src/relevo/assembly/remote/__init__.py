"""An engine elsewhere, behind its HTTP API (`relevo up`), as `orchestrator.api.UserApi`.

    link.py      one server: requests, streams, what becomes of lost connections, refusals as errors
    api.py       what can be asked, by way of a link
    sending.py   brings the snapshot of a working tree there, as far as it is not there yet
    logins.py    which server, and the token for it

The server is the authority; nothing is kept here but tokens, and what was sent last. A connection that is lost is made again, and
streams go on behind the last item that came.
"""
