"""The actions that are built in: the usual set-up steps, done natively and without a download.

    step `uses: actions/checkout@v4` ─► load("actions/checkout") ─► main(ctx) … at the job's end: post(ctx)

`contract.py` says what an action is given and owes; each action is one module beside it, loaded when a step first
uses it. An action runs inside the agent, on its loop: what blocks goes through `ctx.blocking`, processes are started in
the attempt's worker with `ctx.run`.
"""
