"""Who owns a home (embedded) or a shard (cluster), and the epoch that fences off whoever owned it before."""
