// Does what tests/contract/devices.py asks of a device of examples/devices/sync.js, under Node and in a page.
(function (root) {
  "use strict";

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

  // Open a device whose process `kill` ends; return what answers one line after the other.
  async function driver(Device, url, store, kill) {
    // What happens to requests: `before` they are sent, or `after` the server has answered; by number, from 1.
    let faults = {};
    let sent = 0;
    let skewMs = 0;

    async function faultyFetch(...request) {
      const fault = faults[++sent];
      if (fault === "before") throw new TypeError("fetch failed");
      if (fault === "killed") await kill();
      const answer = await fetch(...request);
      if (fault === "after") throw new TypeError("fetch failed");
      if (fault === "killed after") await kill();
      return answer;
    }

    const device = await Device.open(url, store, { fetch: faultyFetch, clock: () => Date.now() + skewMs });
    return async (asked) => {
      try {
        let answer = null;
        if (asked.do === "faults") [faults, sent] = [asked.faults, 0];
        else if (asked.do === "skew") skewMs = asked.ms;
        else answer = await acts[asked.do](device, asked);
        return { done: answer ?? null };
      } catch (error) {
        return { failed: String(error.message), offline: error instanceof TypeError };
      }
    };
  }

  if (typeof module !== "undefined") module.exports = { driver };
  else root.driver = driver;
})(globalThis);
