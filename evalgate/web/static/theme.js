// Which colours a visitor wants: as the system has them, light, or dark. Kept in this browser.
"use strict";
(() => {
  const root = document.documentElement;
  const words = { auto: "Colours: as the system has them", light: "Colours: light", dark: "Colours: dark" };
  const signs = { auto: "◐", light: "○", dark: "●" };
  const next = { auto: "light", light: "dark", dark: "auto" };
  const read = () => {
    try {
      const kept = localStorage.getItem("theme");
      return kept in words ? kept : "auto";
    } catch {
      return "auto"; // storage may be forbidden
    }
  };
  const apply = (theme) => {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
    const button = document.getElementById("theme");
    if (button) {
      button.textContent = signs[theme];
      button.setAttribute("aria-label", words[theme]);
      button.title = words[theme];
    }
  };
  root.classList.add("js");
  apply(read());
  document.addEventListener("DOMContentLoaded", () => {
    apply(read());
    document.getElementById("theme")?.addEventListener("click", () => {
      const theme = next[read()];
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // then it holds for this page
      }
      apply(theme);
    });
  });
})();
