"""The run on a terminal: what runs is drawn at the bottom and drawn again, what has ended scrolls up as lines that stay.

    events, log bytes ─► view.py ─► state.py     what is shown of each job that runs (folds.py: the end of its log)
                            │   └─► blocks.py    what stays: a job that has ended, with its steps and annotations
                            │ at most twelve times a second, and only if something changed
                            ▼
         frame.py   render(state, width, height, now) ─► lines
         screen.py  paint(lines that stay, lines) ─► what is sent: only the difference
                            ▼
         the thread of output.py

The view never waits for the terminal: while one is held (Ctrl-S), nothing new is drawn. What runs is of bounded size however
many jobs there are, so that ten thousand cost no more than a screenful.

`terminal.py` says whether a terminal can do this; where it cannot, view_plain.py tells the same as lines.
"""
