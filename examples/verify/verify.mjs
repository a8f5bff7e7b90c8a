// Verifies a request that Switchhook signed. Node 18 or later; npm install standardwebhooks.
//
//   node verify.mjs < request.json        {"headers": {...}, "body": "...", "secret": "whsec_..."}
//
// A secret that starts with `whpk_` is a public key, and the `v1a` signatures count; any other is shared,
// and the `v1` ones do. Exit code 0: the signature holds. 1: it does not.
import { createPublicKey, verify as verifySignature } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';

const TOLERANCE_SECONDS = 300;

/** Throws unless one of the signatures in `headers` is right for `body`, the bytes as they came. */
export function verify({ headers, body, secret }) {
  if (secret.startsWith('whpk_')) verifyPublic(headers, body, secret);
  else new Webhook(secret).verify(body, headers);
}

function verifyPublic(headers, body, secret) {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  const age = Math.abs(Date.now() / 1000 - Number(timestamp));
  if (!(age <= TOLERANCE_SECONDS)) throw new Error('the timestamp is too far from now');
  const x = Buffer.from(secret.slice('whpk_'.length), 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const signed = Buffer.from(`${id}.${timestamp}.${body}`);
  const holds = headers['webhook-signature']
    .split(' ')
    .filter((one) => one.startsWith('v1a,'))
    .some((one) => verifySignature(null, signed, key, Buffer.from(one.slice(4), 'base64')));
  if (!holds) throw new Error('no signature matches');
}

try {
  verify(JSON.parse(readFileSync(0, 'utf8')));
} catch (error) {
  console.error(`not verified: ${error.message}`);
  process.exit(1);
}
