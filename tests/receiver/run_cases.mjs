// What the recipe says to the cases on standard input: `genuine`, or the code of its error.
import { readFileSync } from "node:fs";

const { verify } = await import(process.argv[2]);

function outcome({ keys, headers, body, now }) {
  try {
    verify(headers, Buffer.from(body), keys, now);
    return "genuine";
  } catch (error) {
    return error.message;
  }
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(outcome)));
