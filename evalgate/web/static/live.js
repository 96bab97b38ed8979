// What is live: htmx asks every few seconds, this decides whether it may, and keeps the list from growing for ever. What
// somebody is in with the keyboard is not replaced.
"use strict";
(() => {
  const MOST_ROWS = 500;
  const state = { paused: false, usual: "" };
  const say = (trouble) => {
    const at = document.getElementById("live");
    const text = state.paused ? "paused" : trouble || state.usual;
    if (at && at.textContent !== text) at.textContent = text;
  };

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.dataset.live === undefined && event.detail.elt.id !== "tail") return;
    const isUsed = event.detail.elt.contains(document.activeElement);
    if (state.paused || document.hidden || isUsed) event.preventDefault();
  });
  document.addEventListener("htmx:afterSwap", () => {
    const rows = document.getElementById("rows");
    while (rows && rows.rows.length > MOST_ROWS) rows.deleteRow(-1);
  });
  // What goes wrong must not replace rows: it is said beside the list, and tried again.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const live = event.detail.elt.id === "tail" || event.detail.elt.dataset.live !== undefined;
    if (!live) return;
    if (event.detail.xhr.status >= 400) {
      event.detail.shouldSwap = false;
      say("no answer from the service; trying again");
    } else {
      say("");
    }
  });
  document.addEventListener("htmx:sendError", () => say("the service cannot be reached; trying again"));

  document.addEventListener("DOMContentLoaded", () => {
    state.usual = document.getElementById("live")?.textContent ?? "";
    document.getElementById("pause")?.addEventListener("click", (event) => {
      state.paused = !state.paused;
      event.currentTarget.setAttribute("aria-pressed", String(state.paused));
      event.currentTarget.textContent = state.paused ? "Go on" : "Pause";
      say("");
    });
  });
})();
