"""`python -m gateway`. Imports nothing at its head: every shard that is spawned reads this file."""


def main() -> None:
    """Run the command line."""
    from gateway.cli import cli

    cli(prog_name="gateway")


if __name__ == "__main__":
    main()
