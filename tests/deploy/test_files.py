"""The files of deploy/ are claims: they parse, and every option they pass exists."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path

import yaml
from typer.main import get_command

from persona.cli import app

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def check_command(words: list[str]) -> None:
    """Let the command line itself parse what follows the program's name."""
    verb, *rest = words
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    context = command.make_context(verb, list(rest))
    assert [str(path) for path in context.params["bundles"]] == [rest[0]]


def test_the_container_starts_with_options_that_exist() -> None:
    lines = re.sub(r"\\\n", " ", (DEPLOY / "Containerfile").read_text()).splitlines()
    words = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines if line[:1].isupper()}
    assert json.loads(words["ENTRYPOINT"]) == ["persona"]
    check_command(json.loads(words["CMD"]))
    assert int(words["USER"]) > 0, "not as root"
    for source in re.findall(r"^COPY (.*) \S+$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE):
        for name in source.split():
            assert (DEPLOY.parent / name).exists()


def test_the_unit_starts_with_options_that_exist_and_few_rights() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(DEPLOY / "persona.service")
    service = unit["Service"]
    check_command(shlex.split(service["ExecStart"])[1:])
    for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "DynamicUser"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["Environment"].startswith("PERSONA_DATABASE=sqlite:////var/lib/persona/")


def test_compose_runs_the_service_and_a_database() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    check_command(services["persona"]["command"])
    assert services.keys() == {"persona", "database"}
    assert (DEPLOY / services["persona"]["build"]["context"] / services["persona"]["build"]["dockerfile"]).exists()
    assert "?" in services["database"]["environment"]["POSTGRES_PASSWORD"], "no password stands in the file"
    url = services["persona"]["environment"]["PERSONA_DATABASE"]
    assert url.startswith("postgresql://persona:${POSTGRES_PASSWORD:?")
    assert url.endswith("@database/persona")
