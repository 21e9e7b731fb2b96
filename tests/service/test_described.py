"""The description of the interface is true: schemathesis tries every path of a real process by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from persona.processes import ServiceProcess


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_service_keeps_to_its_description(sketch_folder: Path, tmp_path: Path) -> None:
    with ServiceProcess(sketch_folder, tmp_path / "service.log") as service:
        program = Path(sys.executable).with_name("schemathesis")
        command = [str(program), "run", f"{service.url}/openapi.json", "--max-examples", "25", "--seed", "1"]
        checks = [
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ]
        done = subprocess.run([*command, *checks], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
