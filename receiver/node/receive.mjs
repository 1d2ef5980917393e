// Offhook's webhooks in Node, without a package: verified, acknowledged at once, each event handed over by its own id.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE_S = 300, MOST_BYTES = 4 * 1024 * 1024;

/** The events of a genuine message; throws an Error whose message is a stable code. Several secrets during a rotation. */
export function verify(headers, body, secrets, now = Date.now() / 1000) {
  const named = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const [id, timestamp, signatures] = ["id", "timestamp", "signature"].map((name) => named[`webhook-${name}`]);
  if (!id || !timestamp || !signatures) throw new Error("missing_header");
  if (!/^[0-9]{1,11}$/.test(timestamp)) throw new Error("bad_timestamp");
  if (Math.abs(now - timestamp) > TOLERANCE_S) throw new Error(now > timestamp ? "stale" : "early");
  const fits = secrets.map((secret) => {
    const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
    if (key.length < 24) throw new Error("no_secret");
    const ours = Buffer.from("v1," + createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64"));
    const same = (theirs) => theirs.length === ours.length && timingSafeEqual(theirs, ours);
    return signatures.split(" ").some((one) => same(Buffer.from(one)));
  });
  if (!fits.includes(true)) throw new Error("bad_signature");
  const told = JSON.parse(body), all = Array.isArray(told) ? told : told.object === "batch" ? told.events : [told];
  return all.map((one) => ("specversion" in one ? one.data : one)); // a CloudEvent holds ours
}

/** A server for one endpoint. `keep(events)` stores them in one transaction, once by `event_id` and `data?.erased`. */
export function receiver(secrets, keep) {
  return createServer(async (request, response) => {
    let status = 500, size = 0, chunks = []; // whatever fails here, Offhook tries again
    try {
      for await (const chunk of request) if ((size += chunk.length) <= MOST_BYTES) chunks.push(chunk);
      await keep(verify(request.headers, Buffer.concat(chunks), secrets));
      status = 204;
    } catch (error) {
      if (/^(missing_header|bad_timestamp|stale|early|bad_signature)$/.test(error.message)) status = 401;
      else console.error(error);
    }
    response.writeHead(status).end();
  });
}
