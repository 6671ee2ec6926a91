"""The life of runs: the only place where a run's state changes.

    command ─► RunActor ─ handle (domain) ─► events ─► store.append ─ after the commit ─► effects
                 ▲   evaluate ready nodes (plans.py)                    ├─► scheduler: enqueue, withdraw, freed
                 │                                                      ├─► worker manager: place, cancel, ended
                 └── commands from users, scheduler, agents             ├─► bus, replies, acknowledgements
                                                                        └─► timers of retries

One actor owns a run; nothing else writes it. While an append is under way its mail waits. An append that failed
discards the actor's state: it is read again from the store, and who sent the commands is told that nothing came of them.
"""
