// What the search page gains by a script: all files of a page are chosen at once, and are counted. Everything
// works without it.
"use strict";
(() => {
  const form = document.getElementById("files");
  if (!form) return;
  const boxes = [...form.querySelectorAll("input[name=files]")];
  const count = document.getElementById("chosen");
  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", "Choose all of this page");
  const place = form.querySelector("th.choose");
  if (place) place.replaceChildren(all);

  function show() {
    const chosen = boxes.filter((box) => box.checked).length;
    count.textContent = `${chosen} chosen:`;
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
    for (const button of form.querySelectorAll("button")) button.disabled = chosen === 0;
  }
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; show(); });
  form.addEventListener("change", show);
  window.addEventListener("pageshow", show);
  show();
})();
