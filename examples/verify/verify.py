"""Verifies a request that Switchhook signed. Python 3.9 or later; pip install standardwebhooks cryptography.

    python3 verify.py < request.json        {"headers": {...}, "body": "...", "secret": "whsec_..."}

A secret that starts with `whpk_` is a public key, and the `v1a` signatures count; any other is shared,
and the `v1` ones do. Exit code 0: the signature holds. 1: it does not.
"""

import base64
import json
import sys
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

TOLERANCE_SECONDS = 300


def verify(headers: dict, body: str, secret: str) -> None:
    """Raises unless one of the signatures in `headers` is right for `body`, as it came."""
    if secret.startswith("whpk_"):
        verify_public(headers, body, secret)
    else:
        Webhook(secret).verify(body, headers)


def verify_public(headers: dict, body: str, secret: str) -> None:
    id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if not abs(time.time() - int(timestamp)) <= TOLERANCE_SECONDS:
        raise ValueError("the timestamp is too far from now")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret[len("whpk_") :]))
    signed = f"{id}.{timestamp}.{body}".encode()
    for one in headers["webhook-signature"].split(" "):
        version, _, signature = one.partition(",")
        if version != "v1a":
            continue
        try:
            return key.verify(base64.b64decode(signature), signed)
        except InvalidSignature:
            pass
    raise ValueError("no signature matches")


if __name__ == "__main__":
    try:
        verify(**json.load(sys.stdin))
    except (WebhookVerificationError, ValueError, KeyError) as error:
        print(f"not verified: {error}", file=sys.stderr)
        sys.exit(1)
