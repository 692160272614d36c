// Verify a webhook request of Helix Ray: node verify.js SIGNING_SECRET ID TIMESTAMP SIGNATURES < body
const crypto = require("node:crypto");
const fs = require("node:fs");

const TOLERANCE_S = Number(process.env.TOLERANCE_S || 300);

// `body` is the raw body, a Buffer: not what a JSON parser made of it.
function isGenuine(signingSecret, id, timestamp, signatures, body) {
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE_S)) return false;
  const key = Buffer.from(signingSecret.replace(/^whsec_/, ""), "base64");
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const expected = Buffer.from("v1," + crypto.createHmac("sha256", key).update(signed).digest("base64"));
  return signatures.split(" ").some((each) => {
    const given = Buffer.from(each);
    return given.length === expected.length && crypto.timingSafeEqual(given, expected);
  });
}

const genuine = isGenuine(...process.argv.slice(2, 6), fs.readFileSync(0));
console.log(genuine ? "genuine" : "not genuine");
process.exit(genuine ? 0 : 1);
