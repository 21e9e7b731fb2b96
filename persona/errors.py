"""Every error the package raises on purpose, drawn as a tree.

PersonaError
├── SpecError              a layer pattern or a layer that cannot be edited
├── EditError              an edit that does not fit the model it is meant for
├── BundleError            a bundle file that cannot be read or trusted
│   └── BundleVersionError   written by a newer release
├── TrustError             signed data that is altered, expired, rolled back, or from nobody who counts
├── WireError              bytes from the other side that are not a valid message
│   ├── MessageTooLarge      longer than the limit for its kind
│   ├── FingerprintMismatch  a message made for another bundle
│   ├── UnusableRequest      well-formed, but not what this bundle's encoder reads
│   ├── Unauthenticated      signed by no enrolled device, or sent before
│   └── EnrolmentRefused     a token that enrols nobody now, or a key that was revoked
├── StateError             a device's state folder cannot be used, or something could not be kept in it
├── CloudError             the service is absent, slow, or answers nonsense
├── ServiceError           the service cannot start, or fails on a request
│   └── Overloaded           it has no room for another request now
│       └── TooOften           this peer asks more often than it may
├── DataError              a data folder or batch that is not what it should be
├── CatalogError           a name that stands for nothing
├── TrainingError          training cannot go on (for example: a loss that is not finite)
└── ExportError            a model cannot be exported, or its files cannot be written

A message says what the thing is, what was found, what was wanted, and what to do.
"""

from __future__ import annotations


class PersonaError(Exception):
    """The root of the family: catch this to catch everything the package raises on purpose."""


class SpecError(PersonaError):
    """A layer pattern matches nothing, or names a layer that cannot be edited."""


class EditError(PersonaError):
    """An edit has missing, extra, misshapen, oversized or non-finite tensors."""


class BundleError(PersonaError):
    """A bundle is truncated, altered, inconsistent, or not a bundle."""


class BundleVersionError(BundleError):
    """A bundle was written in a newer format than this release reads."""


class TrustError(PersonaError):
    """Signed data is altered, expired, older than what was seen, not of one release, or signed by nobody who counts."""


class WireError(PersonaError):
    """A request or reply is malformed."""


class MessageTooLarge(WireError):
    """A request or reply is longer than the limit for its kind."""


class FingerprintMismatch(WireError):
    """A request or reply belongs to another bundle than the one in use."""


class UnusableRequest(WireError):
    """A request is well-formed, but not of the context, shape or range that the bundle's encoder reads."""


class Unauthenticated(WireError):
    """A request is signed by no enrolled device, too old or too new, or was sent before."""


class EnrolmentRefused(WireError):
    """A token enrols nobody now, or the key that asks was revoked."""


class StateError(PersonaError):
    """A device's state folder is in use elsewhere or cannot be written; what was kept in it before stays."""


class CloudError(PersonaError):
    """The service did not give a usable answer in time."""


class ServiceError(PersonaError):
    """The service cannot start, or fails on a request through no fault of the request's form."""


class Overloaded(ServiceError):
    """The service has no room for another request, or no time to answer it: ask again later."""


class TooOften(Overloaded):
    """A peer asks more often than the service allows it to: ask again later."""


class DataError(PersonaError):
    """A data folder, file or batch is not what it should be."""


class CatalogError(PersonaError):
    """A catalogue has no entry of that name, or the entry cannot be loaded."""


class TrainingError(PersonaError):
    """Training cannot go on: a loss that is not finite, or episodes that do not fit the model."""


class ExportError(PersonaError):
    """A model cannot be exported, or its files cannot be written."""
