// The page of a file gains two things by a script: its headers are searched while one types, and why a
// calibration was chosen, or none found, comes without loading the page again. Without it links and a form do.
"use strict";
(() => {
  const cards = document.getElementById("cards");
  const find = document.getElementById("find");
  if (cards && find && !find.value) {
    const lines = cards.textContent.split("\n");
    find.form.addEventListener("submit", (event) => event.preventDefault());
    find.addEventListener("input", () => {
      const wanted = find.value.toLowerCase();
      const found = wanted ? lines.filter((line) => line.toLowerCase().includes(wanted)) : lines;
      cards.textContent = found.length ? found.join("\n") : "No line has it.";
    });
  }

  async function explain(link) {
    const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const section = link.closest("section");
    const newer = fresh.getElementById(section.id);
    if (newer) section.replaceWith(newer);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.why");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    link.setAttribute("aria-busy", "true");
    explain(link).catch(() => { location.href = link.href; });
  });

  (async () => {
    for (const link of document.querySelectorAll("a.why[data-missing]")) {
      try { await explain(link); } catch { return; }
    }
  })();
})();
