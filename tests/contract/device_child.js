// Drives examples/devices/sync.js for tests/contract/test_devices.py: a line of JSON asks, a line answers.
//   node device_child.js URL FILE     the device's state is in FILE, which survives kill -9
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { Device } = require("../../examples/devices/sync.js");

const [url, file] = process.argv.slice(2);

// The same interface as MemoryStore and IndexedDBStore: a file that is replaced whole.
const store = {
  async load() { return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : null; },
  async save(state) {
    fs.writeFileSync(`${file}.draft`, JSON.stringify(state));
    fs.renameSync(`${file}.draft`, file);
  },
};

// What happens to requests: `before` they are sent, or `after` the server has answered; by number, from 1.
let faults = {};
let sent = 0;
let skewMs = 0;

async function faultyFetch(...request) {
  const fault = faults[++sent];
  if (fault === "before") throw new TypeError("fetch failed");
  if (fault === "killed") process.kill(process.pid, "SIGKILL");
  const answer = await fetch(...request);
  if (fault === "after") throw new TypeError("fetch failed");
  if (fault === "killed after") process.kill(process.pid, "SIGKILL");
  return answer;
}

const acts = {
  enrol: (device, { code, name, type }) => device.enrol(code, name, type),
  put: (device, { kind, key, fields }) => device.put(kind, key, fields),
  delete: (device, { kind, key }) => device.remove(kind, key),
  act: (device, { op, fields }) => device.act(op, fields),
  push: (device) => device.push(),
  pull: (device, { wait_s }) => device.pull(wait_s ?? 0),
  sync: (device) => device.sync(),
  shown: (device, { kind }) => device.replica.shown(kind),
  state: (device) => ({ ...device.replica.state(), resets: device.replica.resets }),
};

async function main() {
  const device = await Device.open(url, store, { fetch: faultyFetch, clock: () => Date.now() + skewMs });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    let answer;
    try {
      if (asked.do === "faults") [faults, sent, answer] = [asked.faults, 0, null];
      else if (asked.do === "skew") [skewMs, answer] = [asked.ms, null];
      else answer = await acts[asked.do](device, asked);
      answer = { done: answer ?? null };
    } catch (error) {
      answer = { failed: String(error.message), offline: error instanceof TypeError };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

main();
