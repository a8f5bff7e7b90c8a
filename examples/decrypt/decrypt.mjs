// Decrypts a body that Switchhook delivered. Node 18 or later, nothing to install.
//
//   SWITCHHOOK_PASSPHRASE=... node decrypt.mjs < body.json > event.json
//
// Takes an envelope, an encryption directive alone, or a structured CloudEvent around one. A directive
// with a `salt` is of the standard scheme, which authenticates the delivery id; one without is seed 002's.
import { createDecipheriv, scryptSync } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** The decrypted bytes. Throws when the body was altered or the passphrase is another. */
export function decrypt(body, passphrase) {
  const document = JSON.parse(body);
  const directive = document.encryptionDirective ?? document.data ?? document;
  if (directive.algorithm !== 'aes-256-gcm' || directive.keyDerivation !== 'scrypt') {
    throw new Error('the body has no encryption directive that this program knows');
  }
  const standard = directive.salt !== undefined;
  // scrypt takes a third of a second and 128 MiB: keep the key for as long as the salt is the same.
  const key = standard
    ? scryptSync(passphrase, bytes(directive.salt, 16), 32, { N: 2 ** 17, r: 8, p: 1, maxmem: 2 ** 28 })
    : scryptSync(passphrase, 'genesys-salt', 32, { N: 2 ** 14, r: 8, p: 1 });
  const iv = bytes(directive.iv, standard ? 12 : 16);
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  if (standard) decipher.setAAD(Buffer.from(directive.deliveryId ?? document.deliveryId));
  decipher.setAuthTag(bytes(directive.authTag, 16));
  const start = decipher.update(bytes(directive.encryptedPayload));
  return Buffer.concat([start, decipher.final()]);
}

/** The bytes that `hex` stands for, `length` of them. Buffer.from alone stops silently at a bad digit. */
function bytes(hex, length = hex?.length / 2) {
  const read = Buffer.from(hex ?? '', 'hex');
  if (read.length !== length || read.length * 2 !== hex.length) {
    throw new Error('a member of the encryption directive is missing or malformed');
  }
  return read;
}

const passphrase = process.env.SWITCHHOOK_PASSPHRASE;
if (!passphrase) {
  console.error('SWITCHHOOK_PASSPHRASE is not set');
  process.exit(2);
}
try {
  process.stdout.write(decrypt(readFileSync(0, 'utf8'), passphrase));
} catch (error) {
  console.error(`not decrypted: ${error.message}`);
  process.exit(1);
}
