"""``persona`` and ``python -m persona``: the command line, or what to install for one."""

import sys

# What the command line itself stands on; a device installs neither (docs/decisions/0009).
_OF_THE_COMMAND_LINE = ("typer", "rich")


def main() -> None:
    """Run the command line and exit with its code; 1 where what it stands on is not installed."""
    try:
        from persona.cli import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_COMMAND_LINE:
            raise
        sys.stderr.write(
            f"persona: the command line needs {error.name}, which is not installed; "
            "run: pip install 'persona-edge[cli]'. An app on a device needs none: see persona.device.Runtime\n"
        )
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
