"use strict";
const $ = id => document.getElementById(id);
const KINDS = {accepted: "accepted", refused: "refused by a rule", throttled: "throttled", failed: "failed"};
const number = n => n.toLocaleString("en", {maximumFractionDigits: 1});
const money = n => n === null ? "too large to show" : n.toLocaleString("en", {minimumFractionDigits: 2, maximumFractionDigits: 2});
const percent = x => (x > 0 && x < .01 ? "<1" : x < 1 && x > .99 ? ">99" : Math.round(100 * x)) + " %";
const time = t => new Date(1000 * t).toLocaleTimeString("en-GB");
const sums = values => Object.entries(values).sort().map(([currency, sum]) => `${currency || "no currency"}\u00a0${money(sum)}`).join(" · ");

// Text only ever enters as text: event names and reasons come from outside.
function el(tag, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
}
const table = (heads, rows, kind = "") => el("table", {className: kind},
  el("thead", {}, el("tr", {}, ...heads.map(([text, cell]) => el("th", {className: cell, scope: "col"}, text)))),
  el("tbody", {}, ...rows.map(row => el("tr", {}, ...row.map((cell, i) => {
    const td = el("td", {className: heads[i][1]}, cell);
    td.dataset.label = heads[i][0];
    return td;
  })))));

function showSums(counts) {
  const tile = (label, value, kind = "") =>
    el("div", {className: "tile " + (value ? kind : "zero")}, el("b", {}, number(value)), el("span", {}, label));
  $("totals").replaceChildren(
    tile("requests", counts.requests), tile("events received", counts.events_received),
    tile("events stored", counts.events_stored), tile("repeats dropped", counts.duplicates),
    tile("requests refused", counts.refused_requests, "bad"));
  const alarms = [
    ["raw_pii", "events with personal data in the clear", "bad"], ["pii_in_custom_data", "with it in custom_data", "bad"],
    ["pii_in_urls", "with it in URLs", "bad"], ["tokens_in_url", "tokens in a URL", "bad"],
    ["without_event_id", "events without event_id", ""], ["website_without_url", "website events without a URL", ""],
  ].filter(([name]) => counts[name]);
  $("alarms").replaceChildren(...(alarms.length
    ? alarms.map(([name, label, kind]) => el("span", {className: "alarm " + kind}, `${number(counts[name])} ${label}`))
    : [el("span", {className: "alarm good"}, "No personal data in the clear, no token in a URL, every event with an event_id.")]));
}

// ---- plots: paths in a stretched SVG, everything with text as HTML beside it

const SVG = "http://www.w3.org/2000/svg";
const plots = {};

function path(kind, ink, d) {
  const node = document.createElementNS(SVG, "path");
  node.setAttribute("class", `${kind} ink-${ink}`);
  node.setAttribute("d", d);
  return node;
}

function nice(most) {
  const unit = 10 ** Math.floor(Math.log10(most || 1));
  return [1, 2, 5, 10].map(x => x * unit).find(x => x >= most) || 1;
}

function drawPlot(id, title, unit, lines, stacked) {
  const figure = $(id), length = lines[0].values.length;
  const below = new Array(length).fill(0);
  const drawn = lines.map(line => ({...line, low: [...below], high: line.values.map((v, i) =>
    v === null ? null : stacked ? (below[i] += v) : v)}));
  const top = nice(Math.max(...drawn.flatMap(line => line.high.map(v => v || 0))));
  const x = i => (100 * i / (length - 1)).toFixed(2), y = v => (100 - 100 * v / top).toFixed(2);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  for (const line of drawn) {
    let trace = "", pen = "M";
    line.high.forEach((v, i, all) => {
      const isAlone = pen === "M" && (all[i + 1] ?? null) === null;  // which would be a line without a length
      trace += v === null ? "" : `${pen}${x(i)} ${y(v)}${isAlone ? "h.7" : ""}`;
      pen = v === null ? "M" : "L";
    });
    if (!line.values.some(Boolean)) continue;
    const back = line.low.map((v, i) => `L${x(i)} ${y(v)}`).reverse().join("");
    if (stacked) svg.append(path(lines.length > 1 ? "layer" : "area", line.ink, trace + back + "Z"));
    if (!stacked || lines.length === 1) svg.append(path("line", line.ink, trace));
  }
  const at = plots[id]?.at ?? null, shown = at ?? length - 1;
  const last = v => v === null ? "–" : number(v);
  svg.setAttribute("aria-label", `${title}: ` + lines.map(line => `${line.label} ${last(line.values[length - 1])}`).join(", "));
  const caption = el("figcaption", {}, el("b", {}, `${title}, ${unit}`), ...lines.map(line =>
    el("span", {}, el("i", {className: "ink-" + line.ink}), `${line.label} ${last(line.values[shown])}`)));
  const canvas = el("div", {className: "canvas"}, svg, el("span", {className: "top"}, number(top)));
  if (at !== null) {
    const mark = el("span", {className: "at"});
    mark.style.left = x(at) + "%";
    canvas.append(mark);
  }
  const place = event => {
    const box = canvas.getBoundingClientRect();
    return Math.max(0, Math.min(length - 1, Math.round((length - 1) * (event.clientX - box.left) / box.width)));
  };
  canvas.onpointermove = event => { plots[id].at = place(event); plots[id].draw(); };
  canvas.onpointerleave = () => { plots[id].at = null; plots[id].draw(); };
  const minutes = plots[id].minutes, when = at === null ? "now" : time(plots[id].end - (length - 1 - at) * plots[id].step);
  figure.replaceChildren(caption, canvas, el("div", {className: "axis"}, el("span", {}, `−${minutes} min`), el("span", {}, when)));
}

function showPlots(t) {
  const minutes = Math.round(t.step * t.events.length / 60);
  const plot = (id, ...rest) => {
    plots[id] = {at: null, ...plots[id], minutes, end: t.end, step: t.step, draw: () => drawPlot(id, ...rest)};
    plots[id].draw();
  };
  plot("plot-events", "Events accepted", "per second", [{label: "events/s", ink: "events", values: t.events}], true);
  plot("plot-answers", "Answers", "per second",
    Object.entries(KINDS).map(([kind, label]) => ({label, ink: kind, values: t.answers[kind]})), true);
  plot("plot-latency", "Time to answer", "milliseconds",
    Object.entries(t.latency).map(([name, values]) => ({label: name, ink: name, values})), false);
}

// ---- tables

function showEvents(s) {
  const rows = s.datasets.flatMap(d => [
    [el("b", {}, `Dataset ${d.dataset}`), number(d.stored), sums(d.purchase_value)],
    ...d.events.map(e => [e.event_name, number(e.stored), ""]),
    ...(d.more_events ? [[`and ${number(d.more_events)} more`, "", ""]] : [])]);
  if (s.more_datasets) rows.push([`and ${number(s.more_datasets)} more datasets`, "", ""]);
  $("events").replaceChildren(table([["Event", ""], ["Stored", "n"], ["Value of purchases", "n"]], rows, "sums"));
}

function showKeys(datasets) {
  const events = datasets.flatMap(d => d.events.map(e => ({dataset: d.dataset, ...e})));
  const totals = {};
  for (const e of events) for (const [key, n] of Object.entries(e.match_keys)) totals[key] = (totals[key] || 0) + n;
  const keys = Object.keys(totals).sort((a, b) => totals[b] - totals[a]);
  const node = table([["Event", ""], ...keys.map(key => [key.replaceAll("_", "_\u200b"), "n"])], events.map(e => [
    datasets.length > 1 ? el("span", {}, e.event_name, el("small", {}, e.dataset)) : e.event_name, ...keys.map(key => percent((e.match_keys[key] || 0) / e.stored))]));
  [...node.tBodies[0].rows].forEach((row, r) => keys.forEach((key, k) => {
    const share = (events[r].match_keys[key] || 0) / events[r].stored, cell = row.cells[k + 1];
    cell.style.setProperty("--share", Math.round(45 * share) + "%");
    if (!share) cell.classList.add("none");
  }));
  const scrolled = $("keys").scrollLeft;
  $("keys").replaceChildren(node);
  $("keys").scrollLeft = scrolled;
}

const showRefusals = groups => $("refusals").replaceChildren(table(
  [["Rule", "wide"], ["Code", ""], ["Requests", "n"], ["Last", "late"], ["Where, last", "place"]],
  groups.map(g => [g.rule, g.subcode ? `${g.code}/${g.subcode}` : String(g.code), number(g.count), time(g.last),
    [g.where, `dataset ${g.dataset}`].filter(Boolean).join(", ")]), "stack"));

function showSamples(samples) {
  // An opened event stays as it is: rebuilding the list would close it under the reader.
  if (document.querySelector("#samples details[open]")) return;
  $("samples").replaceChildren(...samples.map(e => el("details", {},
    el("summary", {}, `${e.event_name} `, el("span", {className: "soft"}, e.event_id ?? "no event_id")),
    el("pre", {}, JSON.stringify(e, null, 2)))));
}

// ---- faults: rows are made once; what is being typed is left alone

const faults = {};

async function post(where, body) {
  const answer = await fetch(where, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
  return answer.ok ? "" : (await answer.json()).error || "refused";
}

const typed = (field, text) => field.type === "bool" ? text === "true" : field.type === "str" ? text : Number(text);

function faultRow(fault) {
  const row = {node: el("div", {className: "fault"}), inputs: {}, error: el("div", {className: "error", role: "alert"})};
  row.check = el("input", {type: "checkbox", id: `fault-${fault.name}`});
  row.check.setAttribute("role", "switch");
  const change = async changes => { row.error.textContent = await post("/sandbox/faults", changes); await load(); };
  row.check.onchange = () => change(row.check.checked ? row.sample : {[fault.name]: fault.default});
  row.values = el("div", {className: "values"});
  for (const field of [fault, ...fault.parameters]) {
    if (field.type === "bool") continue;
    const input = field.choices.length
      ? el("select", {}, ...field.choices.map(choice => el("option", {}, String(choice))))
      : el("input", {type: field.type === "str" ? "text" : "number", step: "any"});
    input.onchange = () => change({[field.name]: typed(field, input.value)});
    row.inputs[field.name] = input;
    row.values.append(el("label", {title: field.help}, field === fault ? "" : field.name, input));
    if (field === fault) input.setAttribute("aria-label", field.name);
  }
  row.node.append(row.check, el("label", {htmlFor: row.check.id}, el("code", {}, fault.name)),
    el("span", {className: "help"}, fault.help), row.values, row.error);
  return row;
}

function showFaults(s) {
  for (const fault of s.switches) {
    const row = faults[fault.name] ??= faultRow(fault);
    if (!row.node.isConnected) $("faults").append(row.node);
    row.sample = fault.sample;
    row.check.checked = fault.on;
    row.values.hidden = !fault.on;
    for (const field of [fault, ...fault.parameters]) {
      const input = row.inputs[field.name];
      if (input && input !== document.activeElement) input.value = field.value;
    }
  }
  const on = s.switches.filter(fault => fault.on);
  const chips = on.map(fault => el("span", {className: "chip"}, fault.type === "bool" ? fault.name : `${fault.name} ${fault.value}`));
  if (s.null) chips.unshift(el("span", {className: "chip"}, "null: nothing is checked or stored"));
  $("faults-on").replaceChildren(...(chips.length ? chips : [el("span", {className: "soft"}, "none is on")]));
  const met = Object.entries(s.injected).map(([name, n]) => `${name} ${number(n)}`).join(", ");
  $("faults-met").textContent = met ? `Met so far: ${met}` : "";
}

// ---- the empty page

function showStart(s) {
  const token = s.wants_token ? "YOUR_TOKEN" : "any-text", hash = "8".repeat(64);
  const event = {event_name: "Purchase", event_time: Math.floor(s.now), event_id: "order-1", action_source: "website",
    event_source_url: "https://shop.example/", user_data: {em: hash, client_user_agent: "curl"}, custom_data: {value: 9.5, currency: "EUR"}};
  const texts = {
    endpoint: `endpoint: ${location.origin}`,
    run: `META_ACCESS_TOKEN=${token} capybeam run --config conversions.yaml --input events.jsonl`,
    curl: `curl ${location.origin}/v25.0/123321/events -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json'`
      + ` -d '${JSON.stringify({data: [event]})}'`,
  };
  for (const [id, text] of Object.entries(texts)) {
    const code = $(id);
    if (!code.textContent) {
      const button = el("button", {type: "button"}, "Copy");
      button.onclick = async () => {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      };
      code.after(button);
    }
    if (!getSelection().containsNode(code, true)) code.textContent = text;
  }
}

// ---- all of it

function show(s) {
  const began = s.counts.requests > 0;
  for (const [id, shown] of Object.entries({start: !began, sums: began, plots: began, stored: s.datasets.length > 0,
    "keys-card": s.datasets.length > 0, refused: s.refusals.length > 0, "samples-card": s.samples.length > 0})) $(id).hidden = !shown;
  $("reset").hidden = !began;
  showFaults(s);
  if (!began) return showStart(s);
  showSums(s.counts);
  showPlots(s.timeline);
  showEvents(s);
  showKeys(s.datasets);
  showRefusals(s.refusals);
  showSamples(s.samples);
}

async function load() {
  try {
    const s = await (await fetch("/sandbox/overview")).json();
    show(s);
    $("state").className = "";
    $("state").textContent = `endpoint ${location.origin} · ${number(s.timeline.events.at(-1))} events/s`;
    document.body.dataset.loaded = "yes";
  } catch {
    $("state").className = "lost";
    $("state").textContent = "The sandbox does not answer";
  }
}

$("reset").onclick = async () => { await post("/sandbox/reset", {}); await load(); };
(async () => {
  for (;;) {
    await load();
    await new Promise(done => setTimeout(done, 1000));
  }
})();
