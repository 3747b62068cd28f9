"""The certificate of the node's own, and its renewal while the node serves."""

import asyncio
import ssl

from mirror import telemetry
from mirror.config.settings import Tls


def tls_context(tls: Tls) -> ssl.SSLContext | None:
    """Load the certificate; None where there is none. Raises OSError, ssl.SSLError. Blocks."""
    if not tls.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


async def renew(context: ssl.SSLContext, tls: Tls) -> None:
    """Let `context` show what the files of `tls` have now; what cannot be loaded is logged, and changes nothing."""
    try:
        # Tried elsewhere first: a pair that does not match would leave the living context without a key.
        await asyncio.to_thread(tls_context, tls)
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        telemetry.log.error("certificate not reloaded", reason=str(error))
    else:
        telemetry.log.info("certificate reloaded")
