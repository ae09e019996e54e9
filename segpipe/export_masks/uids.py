"""UIDs that are the same for the same content."""

import hashlib
from uuid import UUID


def uid(*parts: object) -> str:
    """A UID under 2.25 (DICOM PS3.5 B.2), of a UUID made from a hash of ``parts``."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return f"2.25.{UUID(bytes=digest[:16], version=5).int}"
