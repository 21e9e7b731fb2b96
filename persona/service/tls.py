"""TLS by certificate files, which may be exchanged while the service runs."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from persona.errors import ServiceError

log = logging.getLogger("persona.service")


@dataclass(frozen=True)
class Certificate:
    """A certificate chain and its private key, as PEM files; the key without a passphrase."""

    chain: Path
    private_key: Path

    def context(self) -> ssl.SSLContext:
        """Return a context that takes TLS 1.2 and newer; ServiceError where the files are no such pair."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        return context

    def renew(self, context: ssl.SSLContext) -> bool:
        """Read the files again for connections to come; where they are no good, say so and keep what there is."""
        try:
            self.context()  # a context that fails halfway through would be left with half a pair
            self._load(context)
        except ServiceError as error:
            log.error("the certificate stays as it was: %s", error)
            return False
        log.info("the certificate was read again")
        return True

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # An empty passphrase: a key that wants one is an error, not a question on the terminal.
            context.load_cert_chain(self.chain, self.private_key, password="")
        except (OSError, ssl.SSLError) as error:
            raise ServiceError(
                f"certificate {self.chain} with private key {self.private_key} cannot be used ({error}); wanted PEM "
                "files that belong together, the key without a passphrase"
            ) from error
