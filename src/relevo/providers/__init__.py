"""Makers of workers: the isolated, ephemeral place of one attempt. They run inside agents only."""
