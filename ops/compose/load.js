// A k6 load test: each user signs in at the demo, exports the flights of one airport, waits for the end, and fetches the file.
// It fails when an export fails, when a file's length differs from its export's, or when the median exceeds LOAD_MEDIAN_MS.
import { check, fail } from "k6";
import http from "k6/http";
import { Counter, Trend } from "k6/metrics";

const url = __ENV.SLUICE_URL || "http://127.0.0.1:8080";
const median = __ENV.LOAD_MEDIAN_MS || "60000";
const people = ["alice", "bob", "carol", "dave"];
const origins = ["SEA", "JFK", "LAX", "ORD", "ATL", "DFW", "DEN", "PHX", "LAS", "MSP", "BOS", "DTW"];

const whole = new Trend("export_ms", true);
const bytes = new Counter("export_bytes");
const refused = new Counter("export_refused");

export const options = {
  vus: Number(__ENV.LOAD_PEOPLE || 8),
  duration: __ENV.LOAD_FOR || "1m",
  thresholds: { checks: ["rate==1"], export_ms: [`med<${median}`], export_bytes: ["count>0"] },
};

// The demo accepts sign-ins from this machine only, which it recognises by a loopback Host header.
const local = { "content-type": "application/json", host: "127.0.0.1:8080" };
let token;

function signIn() {
  const person = people[__VU % people.length];
  const answer = http.post(`${url}/local/sign-in`, JSON.stringify({ person }), { headers: local });
  if (answer.status !== 200) fail(`signing in: ${answer.status} ${answer.body}`);
  return answer.json("token");
}

export default function () {
  token = token || signIn();
  const headers = { ...local, authorization: `Bearer ${token}` };
  const origin = origins[Math.floor(Math.random() * origins.length)];
  const started = Date.now();
  const body = JSON.stringify({ dataset: "flights", filter: { origin: { eq: origin } } });
  let answer = http.post(`${url}/v1/exports`, body, { headers: { ...headers, prefer: "wait=30" }, timeout: "60s" });
  if (answer.status === 429) {
    // no credits, or too many exports at once: a valid response without a file
    refused.add(1);
    return;
  }
  check(answer, { "the export is accepted": ({ status }) => status === 202 || status === 200 });
  const { id } = answer.json();
  while (["queued", "dispatched", "running"].includes(answer.json("status"))) {
    answer = http.get(`${url}/v1/exports/${id}`, { headers: { ...headers, prefer: "wait=30" }, timeout: "60s" });
  }
  check(answer, { "the export completes": (last) => last.json("status") === "completed" });
  const file = http.get(`${url}/v1/exports/${id}/file`, { headers, responseType: "binary", timeout: "120s" });
  check(file, { "the file is complete": ({ body }) => body && body.byteLength === answer.json("file.size") });
  whole.add(Date.now() - started);
  bytes.add(answer.json("file.size"));
}
