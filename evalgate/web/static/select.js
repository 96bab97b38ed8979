// Words of a message that are selected become a place that the label is about: "message:start:end", counted in
// characters (code points, not UTF-16 units) of the text as it is shown.
"use strict";
(() => {
  const button = document.getElementById("add-place");
  const list = document.getElementById("places");
  if (!button || !list) return;
  const SHOWN = 60;
  let picked = null;

  const count = (text) => Array.from(text).length;
  const textOf = (node) => (node instanceof Element ? node : node?.parentElement)?.closest(".talk [data-text]");

  const read = () => {
    const selection = document.getSelection();
    if (!selection || selection.isCollapsed || selection.rangeCount === 0) return null;
    const range = selection.getRangeAt(0);
    const inside = textOf(range.startContainer) ?? textOf(range.endContainer);
    if (!inside) return null;
    const whole = document.createRange();
    whole.selectNodeContents(inside);
    const cut = range.cloneRange();
    if (cut.compareBoundaryPoints(Range.START_TO_START, whole) < 0) cut.setStart(whole.startContainer, whole.startOffset);
    if (cut.compareBoundaryPoints(Range.END_TO_END, whole) > 0) cut.setEnd(whole.endContainer, whole.endOffset);
    const quote = cut.toString();
    if (!quote) return null;
    const before = whole.cloneRange();
    before.setEnd(cut.startContainer, cut.startOffset);
    const start = count(before.toString());
    return { value: `${inside.dataset.text}:${start}:${start + count(quote)}`, quote };
  };

  const chip = ({ value, quote }) => {
    const item = document.createElement("li");
    const label = document.createElement("label");
    label.className = "chip";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.name = "place";
    box.value = value;
    box.checked = true;
    const words = document.createElement("q");
    const letters = Array.from(quote.replace(/\s+/g, " "));
    words.textContent = letters.length > SHOWN ? `${letters.slice(0, SHOWN - 1).join("")}…` : letters.join("");
    label.append(box, " ", words);
    item.append(label);
    return item;
  };

  // For drafts that come back: the words that stand at a place.
  window.evalgatePlace = (value) => {
    const [message, start, end] = value.split(":").map(Number);
    const text = document.querySelector(`.talk [data-text="${message}"]`)?.textContent;
    if (text === undefined || !(end > start)) return;
    if ([...list.querySelectorAll("input")].some((box) => box.value === value)) return;
    list.append(chip({ value, quote: Array.from(text).slice(start, end).join("") }));
  };

  document.addEventListener("selectionchange", () => {
    const found = read();
    // Pressing the button must not lose what is selected: a selection that ends elsewhere is kept.
    if (found || document.activeElement !== button) picked = found;
    button.disabled = picked === null;
  });
  button.addEventListener("mousedown", (event) => event.preventDefault());
  button.addEventListener("click", () => {
    if (!picked) return;
    const { value } = picked;
    if (![...list.querySelectorAll("input")].some((box) => box.value === value)) {
      list.append(chip(picked));
      list.dispatchEvent(new Event("change", { bubbles: true }));
    }
    document.getSelection()?.removeAllRanges();
    picked = null;
    button.disabled = true;
  });
})();
