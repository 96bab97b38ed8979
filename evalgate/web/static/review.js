// The form of the queue runner: what follows from a choice, a search among failure modes, drafts that survive a reload,
// and a reservation that lasts as long as somebody works.
"use strict";
(() => {
  const form = document.getElementById("label-form");
  if (!form) return;
  const one = (name, value) => [...form.elements].find((e) => e.name === name && e.value === value);
  const chosen = (name) => form.querySelector(`[name="${name}"]:checked`)?.value ?? "";
  const other = document.getElementById("other-mode");
  const corrected = document.getElementById("corrected");
  const answer = document.getElementById("answer-text")?.content.textContent ?? "";
  const choices = [...document.querySelectorAll("#mode-list .choice")];

  // A failure says that it is bad; good fails in no way.
  form.addEventListener("change", ({ target }) => {
    if (target.name === "verdict" && target.value === "good") {
      one("mode", "").checked = true;
      one("severity", "").checked = true;
      other.value = "";
      search();
    } else if ((target.name === "mode" || target.name === "severity") && target.value) {
      if (target.name === "mode") {
        other.value = "";
        search();
      }
      if (["", "good"].includes(chosen("verdict"))) one("verdict", "bad").checked = true;
    }
  });

  // The keys of failure modes stay where they are for a sitting in this tab, however often each is named meanwhile.

  const SITTING_MS = 4 * 3_600_000;
  const settle = () => {
    const list = document.getElementById("mode-list");
    const place = `evalgate-modes/${form.dataset.draft.split("/")[0]}`;
    const byName = new Map(choices.map((c) => [c.querySelector("input").value, c]));
    byName.delete("");
    let names = [...byName.keys()];
    try {
      const kept = JSON.parse(sessionStorage.getItem(place) ?? "null");
      const before = kept && Date.now() - kept.at < SITTING_MS ? kept.names : [];
      names = [...new Set([...before, ...names])];
      sessionStorage.setItem(place, JSON.stringify({ names, at: Date.now() }));
    } catch {
      // storage may be full or forbidden: the most frequent come first then
    }
    names.forEach((name, index) => {
      const choice = byName.get(name);
      if (!choice) return; // nobody says it any more; its key stays free
      choice.querySelector("kbd")?.remove();
      delete choice.querySelector("input").dataset.key;
      if (index < Number(list.dataset.numbered)) {
        choice.querySelector("input").dataset.key = String(index + 1);
        const key = document.createElement("kbd");
        key.textContent = String(index + 1);
        choice.append(" ", key);
      }
      list.append(choice);
    });
    choices.splice(0, choices.length, ...list.querySelectorAll(".choice"));
  };
  settle();

  // Search. What is typed is a new failure mode unless it is the name of a known one, or the arrows pick one.

  const folded = (text) => text.toLowerCase().replace(/[_\s-]+/g, " ").trim();
  const hint = document.getElementById("mode-hint");
  const unsaid = hint.textContent;
  let picked = null;
  const search = () => {
    const words = folded(other.value);
    for (const choice of choices) {
      const name = choice.querySelector("input").value;
      choice.hidden = words !== "" && (name === "" || !folded(name).includes(words));
    }
    pick(null);
  };
  const found = () => choices.filter((c) => !c.hidden).map((c) => c.querySelector("input")).filter((i) => i.value);
  const meant = () => picked ?? found().find((i) => folded(i.value) === folded(other.value));
  const pick = (input) => {
    picked = input;
    for (const choice of choices) choice.classList.toggle("is-picked", picked !== null && choice.contains(picked));
    picked?.closest(".choice").scrollIntoView({ block: "nearest" });
    const typed = other.value.trim();
    const key = document.activeElement === other ? "Enter: " : "";
    if (picked) hint.textContent = `${key}“${picked.value}”`;
    else if (!typed) hint.textContent = unsaid;
    else if (meant()) hint.textContent = `${key}“${meant().value}”, which is known`;
    else hint.textContent = `${key}new mode “${typed}”${key && found().length ? "; ↓ picks a known one" : ""}`;
  };
  other.addEventListener("input", search);
  other.addEventListener("blur", () => pick(null));
  other.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const every = [null, ...found()];
      const step = event.key === "ArrowDown" ? 1 : every.length - 1;
      pick(every[(every.indexOf(picked) + step) % every.length]);
      return;
    }
    if (event.key !== "Enter") return;
    event.preventDefault();
    const known = meant();
    if (known) {
      known.checked = true;
      known.dispatchEvent(new Event("change", { bubbles: true }));
    } else if (other.value.trim()) {
      one("mode", "").checked = true;
      if (["", "good"].includes(chosen("verdict"))) one("verdict", "bad").checked = true;
      form.dispatchEvent(new Event("change", { bubbles: true }));
    }
    other.blur();
  });

  // What it should have said begins as what it said.
  corrected.addEventListener("entered", () => {
    if (!corrected.value) corrected.value = answer;
  });

  // drafts: never a text of the trace. Of the corrected output what differs from what was said, of places their numbers.

  const key = `evalgate-draft/${form.dataset.draft}`;
  const KEPT = 100;
  const apart = (text) => {
    let start = 0;
    const most = Math.min(text.length, answer.length);
    while (start < most && text[start] === answer[start]) start += 1;
    let end = 0;
    while (end < most - start && text[text.length - 1 - end] === answer[answer.length - 1 - end]) end += 1;
    return { start, end, typed: text.slice(start, text.length - end), of: answer.length };
  };
  const whole = ({ start, end, typed, of }) =>
    of === answer.length ? answer.slice(0, start) + typed + answer.slice(answer.length - end) : typed;
  const state = () => ({
    verdict: chosen("verdict"),
    mode: chosen("mode"),
    other: other.value,
    severity: chosen("severity"),
    comment: form.elements.comment.value,
    corrected: corrected.value ? apart(corrected.value) : null,
    about: [...document.querySelectorAll('[name="about"]:checked')].map((box) => box.value),
    places: [...form.querySelectorAll('[name="place"]:checked')].map((box) => box.value),
  });
  const untouched = JSON.stringify(state());
  const say = (words) => {
    const place = document.getElementById("draft-state");
    if (place) place.textContent = words;
  };
  const keep = (more = {}) => {
    try {
      const now = state();
      if (JSON.stringify(now) === untouched && !more.sent) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify({ ...now, ...more, at: Date.now() }));
      say(JSON.stringify(now) === untouched ? "" : "draft kept in this browser");
    } catch {
      say(""); // storage may be full or forbidden: the form still works
    }
  };
  const restore = () => {
    let draft = null;
    try {
      draft = JSON.parse(localStorage.getItem(key) ?? "null");
      const every = Object.keys(localStorage).filter((k) => k.startsWith("evalgate-draft/"));
      if (every.length > KEPT) {
        const age = (k) => JSON.parse(localStorage.getItem(k))?.at ?? 0;
        for (const old of every.sort((a, b) => age(a) - age(b)).slice(0, every.length - KEPT)) localStorage.removeItem(old);
      }
    } catch {
      return;
    }
    if (!draft || (draft.sent && !("undone" in form.dataset))) return;
    const choose = (name, value) => {
      const found = one(name, value);
      if (found) found.checked = true;
    };
    choose("verdict", draft.verdict);
    choose("mode", draft.mode);
    choose("severity", draft.severity);
    other.value = draft.other ?? "";
    form.elements.comment.value = draft.comment ?? "";
    if (draft.corrected) corrected.value = whole(draft.corrected);
    for (const box of document.querySelectorAll('[name="about"]')) box.checked = (draft.about ?? []).includes(box.value);
    for (const value of draft.places ?? []) window.evalgatePlace?.(value);
    search();
    say("your draft is back");
  };
  restore();
  form.addEventListener("input", () => keep());
  form.addEventListener("change", () => keep());
  document.addEventListener("change", (event) => {
    if (event.target.name === "about") keep();
  });

  // Sent once: the button may be pressed again when an answer has come.
  let isSent = false;
  form.addEventListener("submit", (event) => {
    if (isSent) {
      event.preventDefault();
      return;
    }
    isSent = true;
    keep({ sent: true });
    form.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", () => {
    isSent = false;
    form.removeAttribute("aria-busy");
  });

  // the reservation

  const reservation = document.getElementById("reservation");
  if (!reservation) return;
  const timeLeft = document.getElementById("time-left");
  const TICK_MS = 1000;
  const EXTEND_MS = 60_000;
  let ends = performance.now() + Number(reservation.dataset.seconds) * 1000;
  let extended = performance.now();
  let active = performance.now();
  for (const kind of ["keydown", "pointerdown", "scroll"]) addEventListener(kind, () => (active = performance.now()), { passive: true });
  const lose = (why) => {
    const lost = document.getElementById("lost");
    lost.textContent = `${why}. What you typed is kept in this browser; take the next item.`;
    lost.hidden = false;
    reservation.textContent = "Not yours any more";
  };
  const extend = async () => {
    extended = performance.now();
    try {
      const body = new URLSearchParams({ trace: form.elements.trace.value });
      const answered = await fetch(reservation.dataset.extend, { method: "POST", body });
      const told = await answered.json();
      if (told.lost) {
        clearInterval(timer);
        lose(told.lost);
      } else if (told.seconds) ends = performance.now() + told.seconds * 1000;
    } catch {
      // no network, or the service restarts: the next minute tries again
    }
  };
  const tick = () => {
    const now = performance.now();
    const seconds = Math.max(0, Math.round((ends - now) / 1000));
    timeLeft.textContent = seconds >= 60 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${seconds} s`;
    reservation.classList.toggle("is-short", seconds < 60);
    if (seconds === 0) reservation.classList.add("is-over");
    const isActive = now - active < EXTEND_MS && active > extended;
    if (isActive && now - extended > EXTEND_MS) extend();
  };
  const timer = setInterval(tick, TICK_MS);
})();
