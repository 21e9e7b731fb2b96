"""A service that is killed under load has lost nothing that it said yes to, and counted nothing twice."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from persona.bundle import Bundle, read_bundle
from persona.device import HttpCloud, Identity, Unsigned, enrol
from persona.errors import CloudError
from persona.service.state import Database, Devices
from persona.service.state.tables import ASSIGNMENTS, STATISTICS
from persona.trust import SigningKey
from persona.wire import AdaptRequest
from tests.service.asking import features, sketch_request

_PROGRAM = """
import sys
from pathlib import Path
from persona.service import serve
from persona.service.fleet import open_fleet
from persona.service.server import Settings

fleet = open_fleet(sys.argv[2], required=True)
serve(Path(sys.argv[1]), port=0, ready=lambda port: print(port, flush=True), settings=Settings(fleet=fleet))
"""
# Answers that a client must have before the service is killed.
_ANSWERS = 12


class Phone:
    """Enrols, then asks until the service is gone; knows what it was promised."""

    def __init__(self, token: str) -> None:
        self.token, self.enrolled = token, False
        self.nonces: set[str] = set()
        self.sent: set[str] = set()
        self.identity = Identity(SigningKey.generate(), dice=self._dice)

    def _dice(self, count: int) -> bytes:
        drawn = os.urandom(count)
        self.sent.add(drawn.hex())
        return drawn

    def talk(self, url: str, bundle: Bundle, enough: threading.Semaphore) -> None:
        request = AdaptRequest.decode(sketch_request(bundle, features(1)))
        try:
            if not self.enrolled:
                enrol(url, self.token, self.identity)
                self.enrolled = True
            with HttpCloud(url, 10.0, trust=Unsigned(), identity=self.identity) as cloud:
                while True:
                    before = set(self.sent)
                    cloud.adapt(request, bundle.decoder.code_shape)
                    self.nonces |= self.sent - before
                    enough.release()
        except CloudError:
            return  # killed


def killed_once(folder: Path, url: str, phones: list[Phone], bundle: Bundle) -> None:
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(folder), url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port, enough = int(process.stdout.readline()), threading.Semaphore(0)
    threads = [threading.Thread(target=one.talk, args=(f"http://127.0.0.1:{port}", bundle, enough)) for one in phones]
    for thread in threads:
        thread.start()
    for _ in range(_ANSWERS):
        assert enough.acquire(timeout=60)
    process.kill()
    process.communicate()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_nothing_is_lost_or_doubled(sketch_folder: Path, tmp_path: Path, kills: int) -> None:
    url, bundle = f"sqlite:///{tmp_path / 'state.db'}", read_bundle(sketch_folder)
    database = Database(url)
    devices = Devices(database)
    phones: list[Phone] = []
    for _ in range(kills):
        fresh = [Phone(devices.new_token("phones", 600, "me")) for _ in range(2)]
        phones += fresh
        killed_once(sketch_folder, url, [*fresh, *phones[:1]] if phones[:1] != fresh[:1] else fresh, bundle)
    started = time.monotonic()
    Database(url).close()
    recovered_s = time.monotonic() - started
    with database.reading() as connection:
        rows = connection.execute(select(ASSIGNMENTS.c.device, ASSIGNMENTS.c.nonce)).all()
        counted = connection.execute(select(func.sum(STATISTICS.c["count"]))).scalar_one()
    kept = {device: {row.nonce for row in rows if row.device == device} for device, _ in rows}
    found = devices.find([one.identity.key.public.id for one in phones])
    database.close()
    for phone in phones:
        id_ = phone.identity.key.public.id
        assert id_ in found or not phone.enrolled
        assert phone.nonces <= kept.get(id_, set()) <= phone.sent
    assert counted == len(rows) >= sum(len(phone.nonces) for phone in phones) >= kills * _ANSWERS
    assert recovered_s < 2
    assert len(set(itertools.chain(*kept.values()))) == len(rows)
