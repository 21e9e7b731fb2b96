"""The description of the interface is true: schemathesis tries every path of a real process by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from persona.processes import ServiceProcess

# Our bodies are bytes, as the description says.
_HOOKS = """
import schemathesis

schemathesis.serializer.alias(["application/vnd.persona.v1", "application/vnd.persona.v2"], "application/octet-stream")
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_service_keeps_to_its_description(sketch_folder: Path, tmp_path: Path) -> None:
    with ServiceProcess(sketch_folder, tmp_path / "service.log") as service:
        program = Path(sys.executable).with_name("schemathesis")
        command = [str(program), "run", f"{service.url}/openapi.json", "--max-examples", "25", "--seed", "1"]
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        (tmp_path / "hooks.py").write_text(_HOOKS)
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)}
        command += ["--checks", checks]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout[-4000:]
