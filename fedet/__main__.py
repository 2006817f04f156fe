"""`python -m fedet` is the `fedet` command."""

from fedet.cli.main import main

main()
