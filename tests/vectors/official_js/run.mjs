// What the official library says to the cases on its standard input: each signed, or believed at its own time.
import { readFileSync } from "node:fs";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const { sign, verify } = JSON.parse(readFileSync(0, "utf8"));

function believed({ keys, headers, body, now }) {
  Date.now = () => now * 1000;
  try {
    new Webhook(keys[0]).verify(body, headers);
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
  return true;
}

const signed = ({ keys, id, timestamp, body }) => new Webhook(keys[0]).sign(id, new Date(timestamp * 1000), body);
console.log(JSON.stringify({ sign: sign.map(signed), verify: verify.map(believed) }));
