"""Decrypts a body that Switchhook delivered. Python 3.9 or later; pip install cryptography.

    SWITCHHOOK_PASSPHRASE=... python3 decrypt.py < body.json > event.json

Takes an envelope, an encryption directive alone, or a structured CloudEvent around one. A directive
with a `salt` is of the standard scheme, which authenticates the delivery id; one without is seed 002's.
"""

import hashlib
import json
import os
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def decrypt(body: bytes, passphrase: bytes) -> bytes:
    """The decrypted bytes. Raises when the body was altered or the passphrase is another."""
    document = json.loads(body)
    directive = document.get("encryptionDirective") or document.get("data") or document
    if (directive.get("algorithm"), directive.get("keyDerivation")) != ("aes-256-gcm", "scrypt"):
        raise ValueError("the body has no encryption directive that this program knows")
    standard = "salt" in directive
    if standard:
        salt, cost = hexadecimal(directive, "salt", 16), 2**17
        delivery_id = (directive.get("deliveryId") or document["deliveryId"]).encode()
    else:
        salt, cost, delivery_id = b"genesys-salt", 2**14, None
    # scrypt takes a third of a second and 128 MiB: keep the key for as long as the salt is the same.
    key = hashlib.scrypt(passphrase, salt=salt, n=cost, r=8, p=1, maxmem=2**28, dklen=32)
    iv = hexadecimal(directive, "iv", 12 if standard else 16)
    sealed = hexadecimal(directive, "encryptedPayload") + hexadecimal(directive, "authTag", 16)
    return AESGCM(key).decrypt(iv, sealed, delivery_id)


def hexadecimal(directive: dict, name: str, length: "int | None" = None) -> bytes:
    read = bytes.fromhex(directive[name])
    if length not in (None, len(read)):
        raise ValueError(f"`{name}` has {len(read)} bytes, {length} are right")
    return read


def main() -> int:
    passphrase = os.environb.get(b"SWITCHHOOK_PASSPHRASE")
    if not passphrase:
        print("SWITCHHOOK_PASSPHRASE is not set", file=sys.stderr)
        return 2
    try:
        sys.stdout.buffer.write(decrypt(sys.stdin.buffer.read(), passphrase))
    except InvalidTag:
        print("not decrypted: the body was altered, or the passphrase is another", file=sys.stderr)
        return 1
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        print(f"not decrypted: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
