// The docs page of one endpoint. Key -> ./openapi.json -> tables, example, Send.
// Everything that comes from the server is put in as text, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const KEY = "inferry-key";
let spec = null;
let example = "";

const endpoint = () => decodeURIComponent(location.pathname.split("/").slice(-2)[0]);
const address = () => location.origin + "/predict/" + encodeURIComponent(endpoint());
const headers = (more) => ({ Authorization: "Bearer " + sessionStorage.getItem(KEY), ...more });

function show(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

// An error of either door as one sentence.
function sentence(body, status) {
  const error = body && body.error;
  if (typeof error === "string") return error;
  if (error && error.message) return error.message + (error.help ? " " + error.help : "");
  return "The server answered " + status + ".";
}

function pretty(value) {
  const flat = JSON.stringify(value);
  return flat.length <= 72 ? flat : rows(value, "");
}

// JSON with each record or row on a line of its own: easier to edit than one value a line.
function rows(value, indent) {
  const flat = JSON.stringify(value);
  if (value === null || typeof value !== "object" || flat.length + indent.length <= 100) return flat;
  const inner = indent + "  ";
  if (Array.isArray(value)) {
    return "[\n" + value.map((item) => inner + rows(item, inner)).join(",\n") + "\n" + indent + "]";
  }
  const parts = Object.entries(value).map(([name, item]) => inner + JSON.stringify(name) + ": " + rows(item, inner));
  return "{\n" + parts.join(",\n") + "\n" + indent + "}";
}

const WORDS = { BYTES: "text", BOOL: "true or false", FP16: "number", FP32: "number", FP64: "number", BF16: "number" };

function notes(tensor) {
  const parts = [];
  if (tensor.categories) {
    const known = tensor.categories.slice(0, 12).map(String).join(", ");
    const more = tensor.categories.length > 12 ? ", …" : "";
    parts.push((tensor.closed ? "one of " : "such as ") + known + more);
  }
  if (tensor.labels) parts.push("one for each of " + tensor.labels.map(String).join(", "));
  if (tensor.nullable) parts.push("may be null");
  return parts.join("; ");
}

function fill(id, tensors) {
  if (!tensors || !tensors.length) {
    $(id).replaceChildren(element("p", "Any JSON value."));
    return;
  }
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const title of ["Name", "Value", "Type", "Shape", "Notes"]) head.append(element("th", title));
  const body = table.createTBody();
  for (const tensor of tensors) {
    const row = body.insertRow();
    const shape = tensor.shape.map((size) => (size < 0 ? "any" : size)).join(" × ") || "one value";
    for (const text of [tensor.name, WORDS[tensor.datatype] || "whole number", tensor.datatype, shape, notes(tensor)]) {
      row.append(element("td", text));
    }
  }
  $(id).replaceChildren(table);
}

function writeCurl() {
  const data = $("body").value.replaceAll("'", "'\\''");
  $("curl").textContent =
    "curl " + address() + " \\\n  -H \"Authorization: Bearer $INFERRY_API_KEY\" \\\n" +
    "  -H 'Content-Type: application/json' \\\n  -d '" + data + "'";
}

function restore() {
  $("body").value = example;
  $("body").rows = Math.min(Math.max(example.split("\n").length + 1, 4), 18);
  writeCurl();
}

async function load() {
  let response;
  try {
    response = await fetch("./openapi.json", { headers: headers() });
  } catch {
    return refuse("The server cannot be reached.");
  }
  let body = null;
  try { body = await response.json(); } catch { /* told below by its status */ }
  if (!response.ok || !body) return refuse(sentence(body, response.status));
  spec = body;
  const signature = spec["x-inferry-signature"];
  const operation = spec.paths["/predict/" + endpoint()].post;
  const given = operation.requestBody.content["application/json"].example;
  example = given === undefined ? "{}" : pretty(given);
  show("version", "version " + spec.info.version);
  show("kind", { table: "table", tensors: "tensors", open: "any JSON" }[signature.kind]);
  $("address").textContent = "POST " + address();
  fill("inputs", signature.inputs);
  fill("outputs", signature.outputs);
  restore();
  $("door").hidden = true;
  $("page").hidden = false;
}

function refuse(message) {
  sessionStorage.removeItem(KEY);
  $("page").hidden = true;
  $("door").hidden = false;
  show("door-problem", message);
  $("key").focus();
}

async function send() {
  $("send").disabled = true;
  const started = performance.now();
  let text = "", status = "no answer", good = false;
  try {
    const response = await fetch(address(), {
      method: "POST",
      headers: headers({ "Content-Type": "application/json" }),
      body: $("body").value,
    });
    text = await response.text();
    status = response.status + " " + response.statusText;
    good = response.ok;
    // integers beyond 2^53 would come out of JSON.parse as others: such an answer is shown as it came
    if (!/(^|[^.\d])\d{16,}(?![.\deE])/.test(text)) {
      try { text = pretty(JSON.parse(text)); } catch { /* not JSON: shown as it came too */ }
    }
  } catch {
    text = "The server cannot be reached.";
  }
  $("latency").textContent = (performance.now() - started).toFixed(1) + " ms";
  $("status").textContent = status;
  $("status").className = "chip " + (good ? "good" : "bad");
  $("answer").textContent = text;
  $("result").hidden = false;
  $("send").disabled = false;
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  if (/[^\x21-\x7e]/.test(key)) return show("door-problem", "A key has no spaces and no such characters.");
  sessionStorage.setItem(KEY, key);
  $("key").value = "";
  show("door-problem", "");
  load();
});
$("send").addEventListener("click", send);
$("reset").addEventListener("click", restore);
$("body").addEventListener("input", writeCurl);
$("body").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
});
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("curl"));  // no clipboard without TLS: select it instead
    $("copy").textContent = "Selected";
  }
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
});
$("openapi").addEventListener("click", (event) => {  // a plain link would carry no key
  event.preventDefault();
  const link = element("a");
  const url = URL.createObjectURL(new Blob([JSON.stringify(spec, null, 2)], { type: "application/json" }));
  link.href = url;
  link.download = endpoint() + ".openapi.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});
$("forget").addEventListener("click", () => refuse(""));

document.title = endpoint() + " · Inferry";
$("title").textContent = endpoint();
if (sessionStorage.getItem(KEY)) load();
else $("key").focus();
