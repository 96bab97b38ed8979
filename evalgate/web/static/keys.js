// Keys. An element says its key itself: data-key="j", or "v h" in two strokes as data-key="vh".
// A radio button is chosen, a text field entered, a button or link pressed, a <details> opened.
"use strict";
(() => {
  const isTyping = (element) =>
    element instanceof HTMLElement &&
    (element.matches("textarea, select") ||
      (element instanceof HTMLInputElement && !["radio", "checkbox", "submit", "button"].includes(element.type)));
  const find = (key) =>
    [...document.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key && !e.disabled && e.checkVisibility?.() !== false);
  const has = (prefix) => [...document.querySelectorAll("[data-key]")].some((e) => e.dataset.key.length > 1 && e.dataset.key.startsWith(prefix) && e.dataset.key !== "Enter");

  const use = (element) => {
    if (element.dataset.opens) {
      document.getElementById(element.dataset.opens)?.showModal();
    } else if (element instanceof HTMLInputElement && element.type === "radio") {
      element.checked = true;
      element.dispatchEvent(new Event("change", { bubbles: true }));
      element.scrollIntoView({ block: "nearest" });
    } else if (isTyping(element)) {
      element.dispatchEvent(new CustomEvent("entered", { bubbles: true }));
      element.focus();
    } else if (element.tagName === "SUMMARY") {
      element.parentElement.open = true;
      element.parentElement.querySelector("input")?.focus();
    } else {
      element.click();
    }
  };

  let first = ""; // of a key of two strokes
  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-opens]");
    if (opener && event.isTrusted) document.getElementById(opener.dataset.opens)?.showModal();
  });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const target = event.target;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const button = find("Enter");
      if (button) {
        event.preventDefault();
        button.click();
      }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(target)) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.key === "Escape") {
      first = "";
      return;
    }
    // Enter and Space on a control are the control's own.
    if (event.key === "Enter" && target instanceof HTMLElement && target.matches("a, button, summary")) return;
    if (event.key.length > 1 && event.key !== "Enter") return;
    const wanted = first + event.key;
    first = "";
    const element = find(wanted);
    if (element) {
      event.preventDefault();
      use(element);
    } else if (wanted.length === 1 && has(wanted)) {
      event.preventDefault();
      first = wanted;
    }
  });
})();
