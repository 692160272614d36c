// A device under Node for tests/contract/devices.py: a line of JSON asks, a line answers.
//   node device_child.js URL FILE     the device's state is in FILE, which survives kill -9
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { Device } = require("../../examples/devices/sync.js");
const { driver } = require("./device_driver.js");

const [url, file] = process.argv.slice(2);

// The same interface as MemoryStore and IndexedDBStore: a file that is replaced whole.
const store = {
  async load() { return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : null; },
  async save(state) {
    fs.writeFileSync(`${file}.draft`, JSON.stringify(state));
    fs.renameSync(`${file}.draft`, file);
  },
};

async function main() {
  const answer = await driver(Device, url, store, () => process.kill(process.pid, "SIGKILL"));
  for await (const line of readline.createInterface({ input: process.stdin }))
    process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}

main();
