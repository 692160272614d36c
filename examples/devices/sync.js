// A device that keeps what it follows, and works without a network: the reference client in plain JavaScript.
//
//   <script src="sync.js"></script>                          HelixSync.Device, in a page
//   const { Device } = require("./sync.js")                  under Node 18 or later
//
// It is the same as helix_ray/devices in Python, and passes the same tests; docs/devices.md has the protocol.
// `queue` has its own mutations until a pull contains them, `rows` are always those of one moment, `cursor` is
// its place in the server's list.
(function (root) {
  "use strict";

  const SUM_MODULUS = 2 ** 48;
  const PULL_LIMIT = 500;
  const PUSH_MUTATIONS_MAX = 100;
  const RESTARTS_MAX = 5;
  const REFUSALS_KEPT_MAX = 100;
  // A request that cannot be read, or has too many bytes, as a whole.
  const UNREAD = [400, 413];
  // A stamp is never before the one before it, unless that was of a clock that was wrong by more than this.
  const CLOCK_WRONG_MS_MIN = 60_000;

  // ---------------------------------------------------------------------------------------- the checksum

  const CRC_TABLE = Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value >>> 0;
  });

  function crc32(text) {
    let value = 0xffffffff;
    for (const byte of new TextEncoder().encode(text)) value = CRC_TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
    return (value ^ 0xffffffff) >>> 0;
  }

  // The sum of the CRC-32 of `kind/key@version` of each row, modulo 2**48.
  function checksumOf(rows) {
    let total = 0;
    for (const row of rows) total = (total + crc32(`${row.kind}/${row.key}@${row.version}`)) % SUM_MODULUS;
    return total.toString(16).padStart(12, "0");
  }

  // ------------------------------------------------------------------------------------------- the stores

  // Keeps one value as long as the page lives.
  class MemoryStore {
    constructor() { this.kept = null; }
    async load() { return this.kept === null ? null : JSON.parse(this.kept); }
    async save(state) { this.kept = JSON.stringify(state); }
  }

  // The device was opened once more, in another tab: what this page would save might overwrite changes of that one.
  class TakenOver extends Error {
    constructor() { super("this device is open in another page; load this one again to go on here"); }
  }

  // Keeps one value in the browser's database: `save` resolves when its transaction is on the disk. Only the page
  // that has loaded it last may save: each load takes the next turn.
  class IndexedDBStore {
    constructor(name = "helix-sync") { this.name = name; }

    async load() {
      const kept = await this.call("readwrite", (table) => {
        const turn = table.get("turn");
        turn.onsuccess = () => table.put((this.turn = (turn.result ?? 0) + 1), "turn");
        return table.get("state");
      });
      return kept ?? null;
    }

    async save(state) {
      const turn = await this.call("readwrite", (table) => {
        const held = table.get("turn");
        held.onsuccess = () => { if (held.result === this.turn) table.put(state, "state"); };
        return held;
      });
      if (turn !== this.turn) throw new TakenOver();
    }

    async call(mode, act) {
      const base = await this.opened();
      return new Promise((resolve, reject) => {
        const transaction = base.transaction("kept", mode, { durability: "strict" });
        const request = act(transaction.objectStore("kept"));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = transaction.onerror = () => reject(transaction.error);
      });
    }

    opened() {
      this.opening ??= new Promise((resolve, reject) => {
        const request = root.indexedDB.open(this.name, 1);
        request.onupgradeneeded = () => request.result.createObjectStore("kept");
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      return this.opening;
    }
  }

  // ------------------------------------------------------------------------------------------ the replica

  // What a device knows, and what each answer does to it; it sends and writes nothing.
  class Replica {
    constructor(kept) {
      const fresh = { cursor: null, rows: {}, queue: [], next_id: 1, sent: 0, refused: [] };
      Object.assign(this, fresh, { offset_s: 0, last_stamp: 0 }, kept);
      this.place = this.cursor;
      this.staged = null;
      this.fresh = false;
      this.resets = 0;
    }

    state() {
      const { cursor, rows, queue, next_id, sent, refused, offset_s, last_stamp } = this;
      // The queue as it is now: what is added while the rest is being saved comes with the next save.
      const queued = queue.map((each) => ({ ...each }));
      return { cursor, rows, queue: queued, next_id, sent, refused, offset_s, last_stamp };
    }

    add(mutation) {
      const id = this.next_id++;
      this.queue.push({ id, ...mutation });
      return id;
    }

    // When something is done that is done now, by the server's clock as far as it is known: not before what
    // was done before.
    stamp(nowMs) {
      const stamp = Math.floor(nowMs + this.offset_s * 1000);
      const wrong = this.last_stamp > stamp + CLOCK_WRONG_MS_MIN;
      this.last_stamp = wrong ? stamp : Math.max(stamp, this.last_stamp);
      return this.last_stamp;
    }

    // The next mutations for the server, in order, without what only the device needs.
    unsent(limit) {
      const left = this.queue.filter((each) => each.id > this.sent).slice(0, limit);
      return left.map(({ corrected, ...each }) => each);
    }

    takeVerdicts(verdicts) {
      const refused = [];
      for (const verdict of verdicts) {
        this.sent = Math.max(this.sent, verdict.id);
        const mutation = this.queue.find((each) => each.id === verdict.id);
        if (verdict.verdict === "refused" && mutation !== undefined)
          refused.push({ mutation, code: verdict.code ?? null, reason: verdict.reason ?? null });
      }
      this.queue = this.queue.filter((each) => !refused.some((refusal) => refusal.mutation.id === each.id));
      this.refused = [...this.refused, ...refused].slice(-REFUSALS_KEPT_MAX);
      return refused;
    }

    // Take out a mutation that the server cannot read: those behind it get the numbers before theirs.
    leaveOut(id, { code, message }) {
      const mutation = this.queue.find((each) => each.id === id);
      this.queue = this.queue.filter((each) => each !== mutation);
      for (const each of this.queue) if (each.id > id) each.id -= 1;
      this.next_id -= 1;
      this.refused = [...this.refused, { mutation, code, reason: message }].slice(-REFUSALS_KEPT_MAX);
    }

    // The server expected another number: what it has is not sent again, what it has lost is numbered again.
    expect(expected) {
      const left = this.queue.filter((each) => each.id >= expected);
      const had = this.queue.filter((each) => each.id < expected);
      if (left.length && left[0].id > expected) left.forEach((each, index) => { each.id = expected + index; });
      this.queue = [...had, ...left];
      this.sent = expected - 1;
      this.next_id = expected + left.length;
    }

    // Begin a first pull; the rows stay until it is complete.
    restart() {
      this.place = null;
      this.staged = null;
      this.resets += 1;
    }

    // Take a page; return whether the device has everything now.
    takePage(page) {
      if (this.staged === null) {
        this.fresh = this.place === null;
        this.staged = this.fresh ? {} : { ...this.rows };
      }
      for (const { op, kind, key, version, row } of page.changes) {
        if (op === "delete") delete this.staged[`${kind}/${key}`];
        else this.staged[`${kind}/${key}`] = { kind, key, version, row };
      }
      this.place = page.cursor;
      if (page.has_more) return false;
      const staged = this.staged;
      this.staged = null;
      if (checksumOf(Object.values(staged)) !== page.checksum) {
        if (this.fresh) throw new Error("the rows differ from those of the server, twice in a row");
        this.restart();
        return false;
      }
      this.rows = staged;
      this.cursor = this.place;
      this.queue = this.queue.filter((each) => each.id > page.last_mutation);
      this.sent = Math.max(this.sent, page.last_mutation);
      return true;
    }

    // The rows of a kind by key, with the device's own changes that are not in them yet.
    shown(kind) {
      const found = {};
      for (const row of Object.values(this.rows)) if (row.kind === kind) found[row.key] = { ...row.row };
      for (const mutation of this.queue) {
        if (mutation.kind !== kind) continue;
        if (mutation.op === "delete") delete found[mutation.key];
        if (mutation.op === "put") found[mutation.key] = { ...found[mutation.key], ...mutation.fields };
      }
      return found;
    }

    version(kind, key) { return this.rows[`${kind}/${key}`]?.version ?? null; }
  }

  // ------------------------------------------------------------------------------------------- the device

  class Refused extends Error {
    constructor(status, error) {
      super(`${error.code ?? status}: ${error.message}`);
      this.status = status;
      this.code = error.code;
    }
  }

  // The error of an answer; without a code where something between here and the server has answered.
  async function errorOf(answer) {
    const text = await answer.text();
    try {
      return JSON.parse(text).error ?? { message: text };
    } catch {
      return { message: text };
    }
  }

  // One enrolled device. An error of `fetch` means: later. Do not call it again before it has resolved.
  class Device {
    // `url` is the API's root, like http://127.0.0.1:8080/api/v1.
    static async open(url, store, { fetch = root.fetch.bind(root), clock = Date.now } = {}) {
      const device = new Device();
      const kept = (await store.load()) ?? {};
      Object.assign(device, { url: url.replace(/\/$/, ""), store, fetch, clock, unsaved: false });
      device.id = kept.device_id ?? null;
      device.credential = kept.credential ?? null;
      device.replica = new Replica(kept.replica);
      return device;
    }

    async enrol(code, name, type = "other") {
      const answer = await this.checked(await this.request("POST", "/devices", { code, name, type }));
      this.id = answer.device_id;
      this.credential = answer.credential;
      await this.save();
      return this.id;
    }

    put(kind, key, fields) { return this.add({ op: "put", kind, key, fields }); }
    remove(kind, key) { return this.add({ op: "delete", kind, key }); }
    act(op, fields) { return this.add({ op, ...fields }); }

    async add(mutation) {
      const id = this.replica.add(this.stamped(mutation));
      await this.save();
      return id;
    }

    // When it was made, and on what it was based. What was made in the same millisecond is told apart by a
    // counter.
    stamped(mutation) {
      const made = { ...mutation, stamp: this.replica.stamp(this.clock()), counter: this.replica.next_id };
      if (mutation.key === undefined) return made;
      return { ...made, base_version: this.replica.version(mutation.kind, mutation.key) };
    }

    // Send what was made here, and get everything that has changed.
    async sync() {
      await this.push();
      await this.pull();
    }

    // Where the server cannot read a request it is sent in halves, and a mutation that it cannot read alone is
    // refused: no answer names it, and nothing behind it would ever arrive.
    async push() {
      let [again, most] = [RESTARTS_MAX, PUSH_MUTATIONS_MAX];
      for (;;) {
        const mutations = this.replica.unsent(most);
        if (!mutations.length) return;
        const answer = await this.request("POST", "/harmony/sync/mutations", { mutations });
        if (UNREAD.includes(answer.status) && mutations.length > 1) {
          most = Math.floor(mutations.length / 2);
          continue;
        }
        const error = answer.ok ? null : await errorOf(answer);
        if (error?.code && UNREAD.includes(answer.status)) {
          this.replica.leaveOut(mutations[0].id, error);
          await this.save();
          continue;
        }
        const expected = error?.details?.expected;
        if (answer.status === 409 && Number.isInteger(expected) && again-- > 0) {
          this.replica.expect(expected);
          await this.save();
          continue;
        }
        if (error) throw new Refused(answer.status, error);
        const body = await answer.json();
        most = Math.min(2 * most, PUSH_MUTATIONS_MAX);
        this.heard(body.server_time);
        this.replica.takeVerdicts(body.verdicts).forEach((refusal) => this.correct(refusal));
        await this.save();
      }
    }

    // A mutation that was refused because of this device's clock is made once more, by the server's.
    correct({ code, mutation }) {
      if (code !== "clock" || mutation.corrected) return;
      const { id, stamp, counter, ...plain } = mutation;
      this.replica.add(this.stamped({ ...plain, corrected: true }));
    }

    async pull(waitS = 0) {
      const restarts = this.replica.resets + RESTARTS_MAX;
      while (!(await this.pullPage(waitS))) {
        waitS = 0;
        if (this.replica.resets > restarts) throw new Error("the server asks this device to start again, and again");
      }
      await this.save();
    }

    async pullPage(waitS) {
      const query = new URLSearchParams({ limit: PULL_LIMIT });
      if (this.replica.place !== null) {
        query.set("cursor", this.replica.place);
        if (waitS) query.set("wait_s", waitS);
      }
      const answer = await this.request("GET", `/harmony/sync/changes?${query}`);
      if (answer.status === 410) {
        this.replica.restart();
        return false;
      }
      const page = await this.checked(answer);
      this.heard(page.server_time);
      return this.replica.takePage(page);
    }

    heard(serverTime) { this.replica.offset_s = (Date.parse(serverTime) - this.clock()) / 1000; }

    async save() {
      const { id: device_id, credential, replica } = this;
      this.unsaved = true;
      await this.store.save({ device_id, credential, replica: replica.state() });
      this.unsaved = false;
    }

    // What could not be saved is not sent: its number might be given once more, after the next start.
    async request(method, path, body) {
      if (this.unsaved) await this.save();
      const headers = { "Content-Type": "application/json" };
      if (this.credential !== null) headers.Authorization = `Bearer ${this.credential}`;
      return this.fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    }

    async checked(answer) {
      if (!answer.ok) throw new Refused(answer.status, await errorOf(answer));
      return answer.json();
    }
  }

  const api = { Device, Replica, MemoryStore, IndexedDBStore, Refused, TakenOver, checksumOf };
  if (typeof module !== "undefined") module.exports = api;
  else root.HelixSync = api;
})(globalThis);
