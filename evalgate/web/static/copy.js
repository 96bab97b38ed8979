// Copies: what an address answers (data-copy-from), or the text of an element (data-copy-text).
"use strict";
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy-from], [data-copy-text]");
  if (!button) return;
  const before = button.textContent;
  try {
    let text;
    if (button.dataset.copyFrom) {
      const answer = await fetch(button.dataset.copyFrom);
      if (!answer.ok) throw new Error(String(answer.status));
      text = await answer.text();
    } else {
      text = document.getElementById(button.dataset.copyText).textContent;
    }
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied: use the download";
  }
  setTimeout(() => {
    button.textContent = before;
  }, 2500);
});
