"""One module for each command, each with a `command` of that name; `main.py` lists them."""
