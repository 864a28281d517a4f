"""`python -m expand_and_cluster` is the command."""

from expand_and_cluster.cli import main

if __name__ == "__main__":
    main()
