"""The only places where adapters are chosen and parts wired."""
