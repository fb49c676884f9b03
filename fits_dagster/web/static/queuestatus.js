"use strict";
// Fills the tables of /queuestatus and keeps them fresh; only what has changed is drawn again.
const REFRESH_MS = 5000;
const tokens = {};

function cell(row, content) {
  const td = row.insertCell();
  if (content instanceof Node) td.append(content); else td.textContent = content;
}

function fill(half, rows, build) {
  const body = half.querySelector("tbody");
  const fresh = document.createElement("tbody");
  rows.forEach((item) => build(fresh.insertRow(), item));
  body.replaceWith(fresh);
  half.querySelector("table").hidden = rows.length === 0;
  half.querySelector(".empty").hidden = rows.length > 0;
}

function draw(state) {
  tokens[state.queue] = state.token;
  if (!("waiting" in state)) return;
  const tab = document.getElementById(`tab-${state.queue}`);
  tab.querySelector(".total").textContent = state.total_waiting + state.total_errors;
  const errors = tab.querySelector(".error-total");
  errors.textContent = state.total_errors;
  errors.classList.toggle("some", state.total_errors > 0);
  const panel = document.getElementById(`panel-${state.queue}`);
  fill(panel.querySelector(".waiting"), state.waiting, (row, item) => {
    cell(row, item.since); cell(row, item.filename);
    const word = document.createElement("span");
    word.textContent = item.state; word.title = item.error;
    cell(row, word);
  });
  fill(panel.querySelector(".errors"), state.errors, (row, item) => {
    const link = document.createElement("a");
    link.href = `/queuestatus/${state.queue}/${item.oid}`;
    link.textContent = item.filename;
    const why = document.createElement("span");
    why.textContent = item.reason; why.title = item.error;
    cell(row, item.since); cell(row, link); cell(row, why);
  });
}

function select(tab) {
  document.querySelectorAll("[role=tab]").forEach((other) => {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  });
  history.replaceState(null, "", `#${tab.dataset.queue}`);
}

async function refresh() {
  const note = document.getElementById("fresh");
  try {
    const answer = await fetch("/queuestatus/json", {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(tokens),
    });
    if (answer.status === 403) { location.href = "/login/?redirect=/queuestatus"; return; }
    (await answer.json()).forEach(draw);
    note.textContent = `Last looked at ${new Date().toISOString().slice(11, 19)}.`;
  } catch (error) {
    note.textContent = `The server does not answer (${error.message}); trying again.`;
  }
}

const tabs = [...document.querySelectorAll("[role=tab]")];
tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    select(next); next.focus();
  });
});
JSON.parse(document.getElementById("state").textContent).forEach(draw);
select(tabs.find((tab) => `#${tab.dataset.queue}` === location.hash) ?? tabs[0]);
setInterval(refresh, REFRESH_MS);
