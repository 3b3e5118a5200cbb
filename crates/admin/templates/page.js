"use strict";
// Without this script the page still filters (by its form) and refreshes (by its meta element).
(() => {
  const box = document.getElementById("q");
  const live = () => document.getElementById("live");
  const has = (element, text) => element.textContent.toLowerCase().includes(text);

  function filter() {
    const text = box.value.trim().toLowerCase();
    for (const section of live().querySelectorAll(".proxy")) {
      const whole = section.dataset.name.toLowerCase().includes(text);
      let shown = 0;
      for (const row of section.querySelectorAll("tbody tr")) {
        row.hidden = !whole && !has(row.cells[0], text) && !has(row.cells[1].firstElementChild, text);
        shown += row.hidden ? 0 : 1;
      }
      section.hidden = shown === 0;
    }
  }

  box.addEventListener("input", () => {
    const here = new URL(location);
    if (box.value) here.searchParams.set("q", box.value);
    else here.searchParams.delete("q");
    history.replaceState(null, "", here);
    filter();
  });
  box.form.addEventListener("submit", (event) => event.preventDefault());

  async function refresh() {
    // Replacing the page under someone who is marking text, or in a hidden tab, helps nobody.
    if (document.hidden || String(getSelection())) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(answer.status);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      live().replaceWith(next.getElementById("live"));
      document.title = next.title;
      document.querySelector("link[rel=icon]").href = next.querySelector("link[rel=icon]").href;
      filter();
    } catch {
      document.getElementById("stale").hidden = false;
    }
  }

  const seconds = Number(document.body.dataset.refresh);
  if (seconds) setInterval(refresh, seconds * 1000);
})();
