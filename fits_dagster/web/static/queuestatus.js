"use strict";
// Fills /queuestatus and keeps it fresh. Nodes are kept and changed in place, so that nothing flickers and
// focus and scroll position stay; ages are worked out here from the times that the server gives.
const REFRESH_MS = 5000;
const AGES_MS = 5000;
const SAY_EVERY_MS = 30000;
const HOUR_S = 3600;
const RECENT_S = 600;
const CHART = {width: 372, height: 56, up: 40, down: 14};

const tokens = {};
const states = {};
let clockAhead = 0; // of the server, against ours

const serverNow = () => Date.now() + clockAhead;
const number = (value) => value.toLocaleString("en").replaceAll(",", " ");

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

// Makes the children of a node those of the items, each under its key; what stays is not moved.
function reconcile(parent, items, keyOf, make, update) {
  const focused = document.activeElement;
  const hadFocus = parent.contains(focused);
  const wanted = new Set(items.map(keyOf));
  const known = new Map();
  for (const node of [...parent.children]) {
    if (wanted.has(node.dataset.key)) known.set(node.dataset.key, node); else node.remove();
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    const node = known.get(keyOf(item)) ?? make(item);
    node.dataset.key = keyOf(item);
    update(node, item);
    if (node === next) next = next.nextElementSibling; else parent.insertBefore(node, next);
  }
  if (!hadFocus) return;
  if (focused.isConnected) {
    if (document.activeElement !== focused) focused.focus({preventScroll: true});
  } else {
    parent.closest(".half")?.querySelector("h2").focus({preventScroll: true});
  }
}

// ---- ages

function age(iso) {
  const seconds = Math.max(0, (serverNow() - Date.parse(iso)) / 1000);
  if (seconds < 60) return "< 1 min";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function showAge(node) {
  setText(node, (node.dataset.form ?? "{}").replace("{}", age(node.dataset.age)));
}

function setAge(node, iso, form) {
  node.dataset.age = iso;
  if (form) node.dataset.form = form;
  node.title = `${iso.replace("T", " ").replace("Z", "")} UTC`;
  showAge(node);
}

// ---- rows

function makeRow(item) {
  const row = document.createElement("tr");
  const when = row.insertCell();
  when.className = "when";
  when.append(element("time", "since"), " ", element("span", "age"), " ", element("span", "age failed-age"));
  const name = row.insertCell();
  name.className = "name";
  name.append(document.createElement("a"));
  const last = row.insertCell();
  last.className = "outcome";
  last.append(element("span", "word"), " ", element("a", "run", "run"), " ", element("span", "why"));
  return row;
}

function updateRow(row, item, link, [word, detail]) {
  const since = row.querySelector(".since");
  setText(since, item.since);
  since.dateTime = item.added;
  setAge(row.querySelector(".age"), item.added);
  const failed = row.querySelector(".failed-age");
  if (item.failed) setAge(failed, item.failed, "failed {} ago");
  failed.hidden = !item.failed;
  const name = row.querySelector(".name a");
  name.href = link;
  setText(name, item.filename);
  setText(row.querySelector(".word"), word);
  const run = row.querySelector(".run");
  run.hidden = !item.run;
  if (item.run) {
    run.href = item.run;
    run.setAttribute("aria-label", `Dagster run that worked on ${item.filename}`);
  }
  const why = row.querySelector(".why");
  const plain = item.filename.split("/").pop();
  setText(why, detail + (item.error.startsWith(`${plain}: `) ? item.error.slice(plain.length + 2) : item.error));
  why.title = item.error;
}

function fill(half, rows, total, link, words) {
  half.hidden = total === 0;
  reconcile(half.querySelector("tbody"), rows, (item) => String(item.oid), makeRow,
    (row, item) => updateRow(row, item, link(item), words(item)));
  const more = half.querySelector(".more");
  more.hidden = total <= rows.length;
  setText(more, `The first ${rows.length} of ${number(total)} are shown.`);
}

// The word for a row, and what comes before its error.
function waitingWords(item) {
  if (item.state === "running" || !item.reason) return [item.state, ""];
  return [item.state, `${item.reason}${item.attempts > 0 ? ` (${item.attempts} tried)` : ""}: `];
}

function fillReasons(panel, state) {
  const template = document.getElementById("retry-reason");
  const make = ({reason}) => {
    const line = document.createElement("li");
    line.append(element("code", "", reason || "no reason"), " ", element("b"), " ");
    if (template && reason) {
      const form = template.content.cloneNode(true).firstElementChild;
      form.action = `/queuestatus/${state.queue}/retry`;
      form.elements.reason.value = reason;
      form.querySelector("button").setAttribute("aria-label", `Try the files with ${reason} again`);
      line.append(form);
    }
    return line;
  };
  reconcile(panel.querySelector(".reasons"), state.reasons, (item) => item.reason, make,
    (line, item) => setText(line.querySelector("b"), number(item.count)));
}

// ---- throughput: what is done upwards, what failed or was put off downwards

const SVG = "http://www.w3.org/2000/svg";

function bar(className, x, y, width, height) {
  const node = document.createElementNS(SVG, "rect");
  node.setAttribute("class", className);
  for (const [name, value] of Object.entries({x, y, width, height})) node.setAttribute(name, value.toFixed(1));
  return node;
}

function counted(done, failed, retrying) {
  return `${number(done)} done, ${number(failed)} failed${retrying ? `, ${number(retrying)} put off` : ""}`;
}

function drawThroughput(panel, state) {
  const length = state.slot_seconds;
  const last = Math.floor(serverNow() / 1000 / length) * length;
  const first = last - HOUR_S;
  const slots = state.throughput.filter(([start]) => start >= first && start <= last);
  const figure = panel.querySelector(".rate");
  const shown = JSON.stringify([last, slots]);
  if (figure.dataset.shown === shown) return;
  figure.dataset.shown = shown;
  const sum = (index, from) => slots.reduce((all, slot) => all + (slot[0] >= from ? slot[index] : 0), 0);
  const words = counted(sum(1, first), sum(2, first), sum(3, first));
  const svg = figure.querySelector("svg");
  const title = document.createElementNS(SVG, "title");
  title.textContent = `Files in the last hour, by ${length / 60} minutes: ${words}`;
  const unit = Math.min(CHART.up / Math.max(1, ...slots.map((slot) => slot[1])),
    CHART.down / Math.max(1, ...slots.map((slot) => slot[2] + slot[3])));
  const step = CHART.width / (HOUR_S / length + 1);
  const tall = (count) => (count ? Math.max(2, count * unit) : 0);
  const bars = slots.map(([start, done, failed, retrying]) => {
    const group = document.createElementNS(SVG, "g");
    const tip = document.createElementNS(SVG, "title");
    const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);
    tip.textContent = `${clock(start)} – ${clock(start + length)}: ${counted(done, failed, retrying)}`;
    const x = ((start - first) / length) * step + 1;
    group.append(tip, bar("done", x, CHART.up - tall(done), step - 2, tall(done)),
      bar("failed", x, CHART.up + 2, step - 2, tall(failed)),
      bar("retrying", x, CHART.up + 2 + tall(failed), step - 2, tall(retrying)));
    return group;
  });
  svg.replaceChildren(title, ...bars, bar("axis", 0, CHART.up, CHART.width, 1));
  // the last slot is not over yet
  const recent = last - RECENT_S;
  const rate = sum(1, recent) / ((serverNow() / 1000 - recent) / HOUR_S);
  setText(figure.querySelector("figcaption"), slots.length
    ? `Last hour: ${words}. Last ${RECENT_S / 60} minutes: ${number(Math.round(rate))}\u00a0files/h.`
    : "Nothing in the last hour.");
}

// ---- a queue

function draw(state) {
  tokens[state.queue] = state.token;
  if (!("waiting" in state)) return;
  states[state.queue] = state;
  const tab = document.getElementById(`tab-${state.queue}`);
  setText(tab.querySelector(".total"), String(state.total_waiting + state.total_errors));
  const errors = tab.querySelector(".error-total");
  setText(errors, String(state.total_errors));
  errors.classList.toggle("some", state.total_errors > 0);
  tab.querySelector(".pause-mark").hidden = !state.paused;
  const panel = document.getElementById(`panel-${state.queue}`);
  for (const count of panel.querySelectorAll("[data-count]")) {
    const value = state[count.dataset.count];
    setText(count, number(value));
    count.parentElement.classList.toggle("zero", value === 0);
  }
  const oldest = panel.querySelector(".oldest");
  oldest.hidden = !state.oldest;
  if (state.oldest) setAge(oldest.querySelector("b"), state.oldest);
  const paused = panel.querySelector(".paused");
  paused.hidden = !state.paused;
  if (state.paused) {
    const since = state.paused.since.slice(0, 16).replace("T", " ");
    setText(paused, `${panel.dataset.title} was paused by ${state.paused.by || "somebody"} at ${since}; its queue keeps what comes.`);
  }
  const [pause, resume] = [panel.querySelector("form.pause"), panel.querySelector("form.resume")];
  if (pause) [pause.hidden, resume.hidden] = [Boolean(state.paused), !state.paused];
  const where = (item) => `/queuestatus/file?name=${encodeURIComponent(item.filename.split("/").pop())}`;
  fill(panel.querySelector(".waiting"), state.waiting, state.total_waiting, where, waitingWords);
  fillReasons(panel, state);
  fill(panel.querySelector(".errors"), state.errors, state.total_errors,
    (item) => `/queuestatus/${state.queue}/${item.oid}`, (item) => [item.reason || "failed", ""]);
  panel.querySelector(".halves").classList.toggle("one", !state.total_waiting !== !state.total_errors);
  panel.querySelector(".empty").hidden = state.total_waiting + state.total_errors > 0;
  drawThroughput(panel, state);
}

// ---- telling those who listen: new errors at once, other totals now and then

let said = "";
let saidAt = 0;
let saidErrors = "";

function say() {
  const state = states[document.querySelector("[role=tab][aria-selected=true]").dataset.queue];
  const errors = Object.values(states).map((each) => each.total_errors).join();
  const title = document.getElementById(`panel-${state.queue}`).dataset.title;
  const all = Object.values(states).reduce((sum, each) => sum + each.total_errors, 0);
  const words = `${title}: ${state.total_waiting} waiting, ${state.total_errors} failed; ${all} failed in all queues.`;
  if (words === said || (errors === saidErrors && Date.now() - saidAt < SAY_EVERY_MS)) return;
  [said, saidAt, saidErrors] = [words, Date.now(), errors];
  setText(document.getElementById("said"), words);
}

// ---- tabs

const tabs = [...document.querySelectorAll("[role=tab]")];

function select(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  history.replaceState(null, "", `#${tab.dataset.queue}`);
}

const fromAddress = () => tabs.find((tab) => `#${tab.dataset.queue}` === location.hash);

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const target = {
      ArrowRight: (index + 1) % tabs.length,
      ArrowLeft: (index + tabs.length - 1) % tabs.length,
      Home: 0,
      End: tabs.length - 1,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    select(tabs[target]);
    tabs[target].focus();
  });
});
window.addEventListener("hashchange", () => { if (fromAddress()) select(fromAddress()); });

// ---- keeping fresh

let timer = 0;

async function refresh() {
  clearTimeout(timer);
  const note = document.getElementById("fresh");
  try {
    const answer = await fetch("/queuestatus/json", {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(tokens),
    });
    if (answer.status === 403) {
      location.href = `/login/?redirect=${encodeURIComponent(`/queuestatus${location.hash}`)}`;
      return;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const date = Date.parse(answer.headers.get("Date"));
    if (date) clockAhead = date - Date.now();
    (await answer.json()).forEach(draw);
    say();
    note.classList.remove("problem");
    setText(note, `Looked at ${new Date(serverNow()).toISOString().slice(11, 19)}.`);
  } catch (error) {
    note.classList.add("problem");
    setText(note, `The server does not answer (${error.message}); trying again.`);
  }
  if (!document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(() => {
  document.querySelectorAll("[role=tabpanel]:not([hidden]) [data-age]:not([data-age=''])").forEach(showAge);
  Object.values(states).forEach((state) => drawThroughput(document.getElementById(`panel-${state.queue}`), state));
}, AGES_MS);

JSON.parse(document.getElementById("state").textContent).forEach(draw);
select(fromAddress() ?? tabs[0]);
refresh();
