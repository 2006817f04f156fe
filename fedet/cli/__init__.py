"""The `fedet` command."""
