"""``python -m persona``: the command line."""

from persona.cli import main

main()
