"""What a device's process carries: no training stack, and little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from persona.bundle import DEVICE_FILE
from tests.worlds import World

FORBIDDEN = ("torch", "scipy", "fastapi", "matplotlib", "sklearn", "onnx", "onnxscript", "pydantic")
LIMIT_MB = 80

PREDICT = f"""
import sys
from pathlib import Path
import numpy as np
from persona import read_bundle
from persona.device import HttpCloud, Runtime
from persona.trust import Unsigned

cloud = HttpCloud("http://127.0.0.1:9", trust=Unsigned())
with cloud, Runtime(read_bundle(Path(sys.argv[1])), cloud) as runtime:
    for size in (1, 32, 7, 256):
        runtime.predict(np.ones((size, 4), np.float32))
loaded = sorted(name for name in {FORBIDDEN} if name in sys.modules)
assert not loaded, f"a device loads {{loaded}}"
"""
WITHOUT_CLOUD = """
import sys
import persona.device
assert "onnxruntime" not in sys.modules
import numpy as np
from pathlib import Path
from persona import read_bundle
with persona.device.Runtime(read_bundle(Path(sys.argv[1]))) as runtime:
    runtime.predict(np.ones((32, 4), np.float32))
loaded = [name for name in ("cryptography", "http.client", "ssl", "persona.trust") if name in sys.modules]
assert not loaded, f"a device without a cloud loads {loaded}"
"""
MEMORY = """
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024)
"""


def run(script: str, bundle: Path, first_on_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    paths = [str(first_on_path)] if first_on_path else []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*paths, str(Path(__file__).parents[2])])}
    command = [sys.executable, "-c", script, str(bundle)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / DEVICE_FILE
    path.write_bytes(World().bundle.to_bytes())
    return path


def test_a_device_loads_no_training_stack(bundle: Path) -> None:
    done = run(PREDICT, bundle)
    assert done.returncode == 0, done.stderr


def test_a_device_without_a_cloud_loads_neither_network_nor_signatures(bundle: Path) -> None:
    done = run(WITHOUT_CLOUD, bundle)
    assert done.returncode == 0, done.stderr
    done = run("import persona.device\npersona.device.Unsigned()\n" + WITHOUT_CLOUD, bundle)
    assert "loads ['cryptography'" in done.stderr, "and this check can fail"


def test_the_check_of_the_training_stack_can_fail(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").touch()
    done = run(f"import torch\n{PREDICT}", bundle, tmp_path)
    assert "a device loads ['torch']" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of its memory from /proc")
def test_a_device_stays_below_its_memory_limit(bundle: Path) -> None:
    done = run(PREDICT + MEMORY, bundle)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < LIMIT_MB
