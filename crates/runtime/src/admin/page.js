"use strict";
// Reads /api/v1/status and /metrics every two seconds. Text goes into the page as text only.

const PERIOD_MS = 2000;
const byId = (id) => document.getElementById(id);
let before = null;

function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function read(path) {
  const answer = await fetch(path, { headers: headers(), cache: "no-store" });
  byId("login").hidden = answer.status !== 401;
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

// One sample a line: name{label="value",..} number
function parseMetrics(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const parts = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!parts) continue;
    const labels = {};
    for (const [, name, value] of (parts[2] || "").matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    samples.push({ name: parts[1], labels, value: Number(parts[3]) });
  }
  return samples;
}

function total(samples, name, wanted) {
  const fits = (s) => s.name === name && Object.entries(wanted).every(([k, v]) => s.labels[k] === v);
  return samples.filter(fits).reduce((sum, s) => sum + s.value, 0);
}

function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return `${Math.round(s / 3600)} h`;
}

const count = (n) => n.toLocaleString("en");

function cell(text, className, detail) {
  const td = document.createElement("td");
  td.textContent = text;
  if (className) td.className = className;
  if (detail) {
    const more = document.createElement("span");
    more.className = "detail";
    more.textContent = detail;
    td.append(more);
  }
  return td;
}

function fill(id, rows) {
  byId(id).replaceChildren(...rows.map((cells) => {
    const tr = document.createElement("tr");
    tr.append(...cells);
    return tr;
  }));
}

const ORDER = { source: 0, transform: 1, sink: 2 };

function showComponents(status, samples, seconds) {
  const entries = Object.entries(status.components);
  entries.sort((a, b) => ORDER[a[1].kind] - ORDER[b[1].kind] || a[0].localeCompare(b[0]));
  fill("components", entries.map(([id, component]) => {
    const sum = (what, from = samples) => total(from, `tapline_component_${what}`, { component_id: id });
    const out = sum("sent_events_total");
    const rate = before ? (out - sum("sent_events_total", before.samples)) / seconds : 0;
    const inputs = component.inputs.length ? `reads ${component.inputs.join(", ")}` : "";
    return [
      cell(id, "", inputs), cell(component.type),
      cell(component.state, component.state, component.detail),
      cell(count(sum("received_events_total")), "n"), cell(count(out), "n"),
      cell(Math.max(0, rate).toFixed(1), "n"),
      cell(count(sum("discarded_events_total")), "n"),
      cell(count(sum("in_flight_events")), "n"), cell(count(sum("errors_total")), "n"),
    ];
  }));
}

function showStreams(samples, now) {
  const lags = samples.filter((s) => s.name === "tapline_source_lag_seconds");
  fill("streams", lags.map((lag) => {
    const last = total(samples, "tapline_source_last_success_timestamp_seconds", lag.labels);
    return [
      cell(lag.labels.component_id), cell(lag.labels.stream), cell(duration(lag.value), "n"),
      cell(last ? `${duration(now - last)} ago` : "never", "n"),
    ];
  }));
}

function showTokens(samples, now) {
  const named = samples.filter((s) => s.name.startsWith("tapline_token_"));
  const identities = [...new Set(named.map((s) => s.labels.identity))].sort();
  fill("tokens", identities.map((identity) => {
    const outcome = (o) => count(total(samples, "tapline_token_refreshes_total", { identity, outcome: o }));
    const expiry = total(samples, "tapline_token_expiry_timestamp_seconds", { identity });
    return [
      cell(identity), cell(outcome("ok"), "n"), cell(outcome("denied"), "n"),
      cell(outcome("unreachable"), "n"), cell(expiry ? duration(expiry - now) : "", "n"),
    ];
  }));
}

async function refresh() {
  try {
    const status = await (await read("/api/v1/status")).json();
    const samples = parseMetrics(await (await read("/metrics")).text());
    const now = Date.now() / 1000;
    document.title = `${status.pipeline}: ${status.state}`;
    byId("pipeline").textContent = status.pipeline;
    setState(status.state);
    byId("since").textContent = `for ${duration(now - Date.parse(status.started_at) / 1000)}`;
    showComponents(status, samples, before ? now - before.now : 1);
    showStreams(samples, now);
    showTokens(samples, now);
    before = { samples, now };
  } catch (error) {
    setState("unreachable");
  }
  setTimeout(refresh, PERIOD_MS);
}

function setState(state) {
  byId("state").textContent = state;
  byId("state").className = `state ${state}`;
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value);
});

refresh();
