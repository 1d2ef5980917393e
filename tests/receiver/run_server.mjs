// The recipe as a server: prints its port, then each event it is told to keep. Ends with its standard input.
const { receiver } = await import(process.argv[2]);

const kept = new Set();
function keep(events) {
  for (const { event_id, sequence } of events) {
    if (sequence === 99) throw new Error("the database is full");
    if (kept.has(event_id)) continue;
    kept.add(event_id);
    console.log(event_id);
  }
}

const server = receiver([process.argv[3]], keep).listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
