"""The demo's signatures: keys of its own, made anew for every run, of which only the service's stays on disk."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from persona.trust import SigningKey
from persona.trust.publish import DAY_S, TRUST_FOLDER, Signers, add_root, root_file, sign_release


@dataclass(frozen=True)
class DemoKeys:
    """Files: the root that devices trust, and the private key that the service signs replies with."""

    root: Path
    reply: Path


def sign_demo(folder: Path) -> DemoKeys:
    """Sign the bundle in ``folder/bundle``; the keys that could sign another one are forgotten on return."""
    bundle, reply_file = folder / "bundle", folder / "keys" / "reply"
    shutil.rmtree(bundle / TRUST_FOLDER, ignore_errors=True)
    shutil.rmtree(reply_file.parent, ignore_errors=True)
    root, release, freshness, reply = (SigningKey.generate() for _ in range(4))
    holders = {"root": ([root.public], 1), "release": ([release.public], 1), "freshness": ([freshness.public], 1)}
    now_s = time.time()
    add_root(bundle / TRUST_FOLDER, root_file(1, now_s + 365 * DAY_S, holders, [root]))
    sign_release(bundle, Signers([release], [freshness], [reply.public]), now_s)
    reply.write(reply_file)
    return DemoKeys(bundle / TRUST_FOLDER / "1.root.json", reply_file)
