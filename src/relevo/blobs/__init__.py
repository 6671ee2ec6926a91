"""Large immutable things by content hash: workspace snapshots, artifacts."""
