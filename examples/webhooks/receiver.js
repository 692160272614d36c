// A receiver of webhooks: `node receiver.js PORT SECRET [SIGNING_SECRET]`. It needs nothing beside Node.
//
// A request is taken when every one of its signatures is right. The id of a message is the same at each try,
// so a message that has come before is answered, and not worked on again.
"use strict";
const { createHmac, timingSafeEqual } = require("node:crypto");
const { createServer } = require("node:http");

const TOLERANCE_S = 300;
const SIGNATURE = /,"signature":"(sha256=[0-9a-f]{64})"(,"timestamp":"[^"]*"})$/;

const equal = (one, other) => one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
const hexHmac = (secret, data) => "sha256=" + createHmac("sha256", secret).update(data).digest("hex");

// Returns which signature is wrong; null if all are right.
function problem(body, headers, secret, signingSecret) {
  const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signatures = "" } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(at)) <= TOLERANCE_S)) return "webhook-timestamp";
  const key = Buffer.from(signingSecret.replace(/^whsec_/, ""), "base64");
  const expected = "v1," + createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest("base64");
  if (!signatures.split(" ").some((each) => equal(each, expected))) return "webhook-signature";
  if (!equal(headers["x-hub-signature-256"] ?? "", hexHmac(secret, body))) return "X-Hub-Signature-256";
  // The body is canonical JSON: without its signature it is what was signed.
  const text = body.toString("utf8");
  const found = SIGNATURE.exec(text);
  if (!found || !equal(found[1], hexHmac(secret, text.slice(0, found.index) + found[2]))) return "signature";
  return null;
}

const [port, secret, signingSecret = secret] = process.argv.slice(2);
if (!secret) {
  console.error("usage: node receiver.js PORT SECRET [SIGNING_SECRET]");
  process.exit(1);
}
const seen = new Set();
createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  const wrong = problem(body, request.headers, secret, signingSecret);
  if (!wrong && !seen.has(request.headers["webhook-id"])) {
    seen.add(request.headers["webhook-id"]);
    console.log(body.toString("utf8"));
  }
  response.writeHead(wrong ? 401 : 204, wrong ?? undefined).end();
}).listen(Number(port), "127.0.0.1");
