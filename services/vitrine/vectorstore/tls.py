"""Whose certificates are believed when Milvus is spoken to over TLS; the same for its gRPC and its REST interface."""

import ssl
from urllib.parse import urlsplit

from vitrine.errors import SettingsInvalid
from vitrine.settings import MilvusSettings

_VARIABLE = "VITRINE_MILVUS__CA_FILE"


def trusted_authorities(settings: MilvusSettings) -> ssl.SSLContext | None:
    """The authorities of `ca_file` alone; None when the public ones are meant.

    Composition roots call it before they connect: gRPC would take any bytes, and tell them as a server that is down.

    Raises:
        SettingsInvalid: the file cannot be read or has no certificate, or the address is one without TLS.
    """
    if settings.ca_file is None:
        return None
    if urlsplit(settings.uri).scheme != "https":
        raise SettingsInvalid(
            f"{_VARIABLE} is set, but VITRINE_MILVUS__URI is no https:// address: nothing would be checked."
        )
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except ssl.SSLError as error:
        raise SettingsInvalid(f"{_VARIABLE}: {settings.ca_file} has no certificate in PEM format.") from error
    except OSError as error:
        raise SettingsInvalid(f"{_VARIABLE}: {settings.ca_file} cannot be read: {error.strerror}.") from error
    if not context.cert_store_stats()["x509"]:  # revocation lists alone
        raise SettingsInvalid(f"{_VARIABLE}: {settings.ca_file} has no certificate in PEM format.")
    return context
