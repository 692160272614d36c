// Verify a webhook request of Helix Ray with the package `standardwebhooks` of npm:
// node verify-npm.js SIGNING_SECRET ID TIMESTAMP SIGNATURES < body
const fs = require("node:fs");
const { Webhook } = require("standardwebhooks");

const [signingSecret, id, timestamp, signatures] = process.argv.slice(2);
const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures };
try {
  new Webhook(signingSecret).verify(fs.readFileSync(0, "utf8"), headers);
  console.log("genuine");
} catch (error) {
  console.log("not genuine");
  process.exitCode = 1;
}
