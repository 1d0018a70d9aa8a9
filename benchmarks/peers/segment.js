// Segment's own engine, @segment/actions-core with the destination of @segment/action-destinations: events → requests,
// one for each event, which are answered at once without a network.
//
//     node segment.js events.jsonl           prints nothing
//     node segment.js events.jsonl sample    prints the events of the first hundred lines
//
// It is started in the folder that has the packages (benchmarks/peers/install.py).
const { createReadStream } = require("node:fs");
const { createInterface } = require("node:readline");
const { createRequire } = require("node:module");

for (const network of [require("node:http"), require("node:https")]) {
  network.request = () => {
    throw new Error("a request that was not intercepted");
  };
}
const load = createRequire(`${process.cwd()}/`);
const coreLoads = createRequire(load.resolve("@segment/actions-core"));
const http = coreLoads("cross-fetch");
let received = 0;
let show = false;
const answered = async (request, options) => {
  const body = options?.body ?? (await request.text());
  received += 1;
  if (show) console.log(JSON.stringify(JSON.parse(body).data[0]));
  return new http.Response('{"events_received":1,"messages":[],"fbtrace_id":"A1b2C3"}', {
    status: 200,
    headers: { "content-type": "application/json" },
  });
};
require.cache[coreLoads.resolve("cross-fetch")].exports = Object.assign(answered, http); // before the core takes it

const { Destination, defaultValues } = load("@segment/actions-core");
const definition = load("@segment/action-destinations/dist/destinations/facebook-conversions-api").default;
const destination = new Destination(definition);
const subscriptions = ["purchase", "initiateCheckout", "addToCart", "viewContent", "search", "pageView"].map((action) => {
  const mapping = defaultValues(definition.actions[action].fields);
  mapping.action_source = "website"; // has no default; gender and country have none either
  mapping.user_data = {
    ...mapping.user_data,
    gender: { "@path": "$.context.traits.gender" },
    country: { "@path": "$.context.traits.address.country" },
  };
  const subscribe = definition.actions[action].defaultSubscription;
  return { name: action, partnerAction: action, subscribe, mapping };
});
const settings = { pixelId: "123321", subscriptions };

async function main(path, mode) {
  show = mode === "sample";
  let sent = 0;
  for await (const line of createInterface({ input: createReadStream(path) })) {
    await destination.onEvent(JSON.parse(line), settings);
    sent += 1;
    if (show && sent === 100) break;
  }
  if (received !== sent) throw new Error(`${sent} events became ${received} requests`);
}

main(process.argv[2], process.argv[3]);
