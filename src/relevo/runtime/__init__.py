"""What the machine gives: event loop, clock, entropy, disk, pools, limits, services, shutdown, processes."""
