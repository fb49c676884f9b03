// The night page while it stands open: what comes and goes on is fetched and put in its place; arrows lead
// to the nights before and after. Without this script the page is a picture of a moment.
"use strict";
(() => {
  const night = document.getElementById("night");
  const PAUSE_MS = 1000;
  const MANY = 60;
  const waiting = new Set();
  let timer = 0;

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest("input, select, textarea")) return;
    if (event.key === "ArrowLeft") location.href = night.dataset.previous;
    if (event.key === "ArrowRight") location.href = night.dataset.next;
  });

  if (!("EventSource" in window)) return;
  const live = document.getElementById("live");
  const say = (text) => { live.hidden = false; live.textContent = text; };
  const source = new EventSource(night.dataset.events);
  source.onopen = () => { live.className = "on"; say("live"); };
  source.onerror = () => { live.className = "off"; say("no connection, trying again"); };
  source.addEventListener("progress", (event) => {
    for (const name of JSON.parse(event.data).names) waiting.add(name);
    timer ||= setTimeout(refresh, PAUSE_MS / 4);
  });

  async function refresh() {
    const names = [...waiting];
    waiting.clear();
    const url = new URL(location.pathname, location.href);
    if (names.length <= MANY) for (const name of names) url.searchParams.append("name", name);
    try {
      const answer = await fetch(url, { headers: { Accept: "text/html" } });
      if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"), names);
    } catch {
      // the stream says that the connection is gone
      for (const name of names) waiting.add(name);
    }
    timer = 0;
    if (waiting.size) timer = setTimeout(refresh, PAUSE_MS);
  }

  function put(fresh, names) {
    const [summary, frames] = [document.getElementById("summary"), document.getElementById("frames")];
    const newer = fresh.getElementById("summary");
    if (!newer || !summary) return;
    if (summary.innerHTML !== newer.innerHTML) summary.replaceChildren(...newer.childNodes);
    frames.querySelector(".empty")?.remove();
    for (const card of fresh.querySelectorAll("#frames > article")) {
      const known = document.getElementById(card.id);
      if (known) {
        const [before, after] = [known.querySelector("img"), card.querySelector("img")];
        if (before && after && before.getAttribute("src") === after.getAttribute("src")) after.replaceWith(before);
        const focus = known.contains(document.activeElement);
        known.remove();
        insert(frames, card);
        if (focus) card.querySelector("h3 a").focus();
      } else {
        insert(frames, card);
      }
    }
    const said = names.length > 3 ? `${names.length} files` : names.join(", ");
    document.getElementById("said").textContent = said;
  }

  function insert(frames, card) {
    const order = Number(card.dataset.order);
    const next = [...frames.children].find((each) => Number(each.dataset.order) < order ||
      (Number(each.dataset.order) === order && each.id < card.id));
    frames.insertBefore(card, next ?? null);
  }
})();
