// A prepared config tried before it is saved: checked as one types, previewed on a machine. Every rule
// is the server's; this only shows what it says.
"use strict";

(() => {
  const form = document.getElementById("config");
  const pane = form.querySelector("[data-try]");
  const PAUSE = 400; // milliseconds without a key, then it asks

  function later(act) {
    let timer = 0;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(act, PAUSE);
    };
  }

  // Only the last question counts: an answer that comes after a newer question is dropped.
  function asking(ask) {
    let last = 0;
    return async (...given) => {
      const mine = ++last;
      try {
        const answer = await ask(...given);
        return mine === last ? answer : null;
      } catch {
        return null; // the server is away or the session has ended: saving will say so
      }
    };
  }

  async function post(url) {
    const answer = await fetch(url, {
      method: "POST",
      body: new FormData(form),
      headers: { "X-Requested-With": "fetch" },
    });
    if (!answer.ok || answer.redirected) {
      throw new Error(`${answer.status}`);
    }
    return answer;
  }

  // --- Checks --------------------------------------------------------------------------------

  // What nobody has touched yet is not called wrong, only counted.
  const touched = new Set();
  let isStarted = form.hasAttribute("data-started");

  function list(texts) {
    return texts.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    });
  }

  function showErrors(field, texts) {
    const shown = isStarted || touched.has(field.dataset.field) ? texts : [];
    const errors = field.querySelector("[data-errors]");
    field.classList.toggle("wrong", shown.length > 0);
    errors.hidden = !shown.length;
    errors.replaceChildren(...list(shown));
    for (const input of field.querySelectorAll("input, select, textarea")) {
      input.toggleAttribute("aria-invalid", shown.length > 0);
      if (shown.length) {
        input.setAttribute("aria-invalid", "true");
      }
    }
  }

  function showSection(section, fields) {
    const names = [...section.querySelectorAll("[data-field]")].map((one) => one.dataset.field);
    const count = names.filter((name) => fields[name]?.length).length;
    const mark = form.querySelector(`[data-mark="${section.dataset.section}"]`);
    const isWrong = section.querySelector(".wrong") !== null;
    mark.querySelector(".dot").className = `dot ${count ? (isWrong ? "bad" : "") : "good"}`;
    mark.querySelector("[data-count]").textContent = count || "";
    return count;
  }

  function showReach(reach) {
    const place = form.querySelector("[data-reach]");
    if (!reach || !place) {
      return;
    }
    form.querySelectorAll("[data-each]").forEach((one, index) => {
      const count = reach.each[index];
      one.textContent = count == null || !reach.machines ? "" : `matches ${count} of ${reach.machines}`;
    });
    const isFiltered = reach.each.some((count) => count != null);
    place.textContent =
      isFiltered && reach.machines
        ? `All together match ${reach.matched} of the last ${reach.machines} machines seen.`
        : "";
  }

  function showCheck(found) {
    for (const field of form.querySelectorAll("[data-field]")) {
      showErrors(field, found.fields[field.dataset.field] ?? []);
    }
    let count = found.general.length;
    for (const section of form.querySelectorAll("[data-section]")) {
      count += showSection(section, found.fields);
    }
    showReach(found.reach);
    document.getElementById("document").textContent = found.document;
    const verdict = form.querySelector("[data-verdict]");
    const isWrong = form.querySelector(".wrong") !== null;
    verdict.className = `verdict ${count ? (isWrong ? "bad" : "") : "good"}`;
    const words = count === 1 ? "1 field needs" : `${count} fields need`;
    verdict.textContent = count
      ? [...found.general, `${words} your attention.`].join(" ")
      : ["The installer's rules are kept.", ...found.warnings].join(" ");
    form.dispatchEvent(new Event("change"));
  }

  const askCheck = asking(async () => (await post(form.dataset.check)).json());

  async function check() {
    const found = await askCheck();
    if (found) {
      showCheck(found);
    }
  }

  if (form.dataset.check) {
    const soon = later(check);
    form.addEventListener("input", (event) => {
      const field = event.target.closest?.("[data-field]");
      if (field) {
        touched.add(field.dataset.field);
      }
      if (!event.target.closest?.("[data-try]")) {
        soon();
      }
    });
    check();
  }

  // --- Preview -------------------------------------------------------------------------------

  const button = pane.querySelector("[data-preview]");
  const askPreview = asking(async () => (await post(button.formAction)).text());

  async function preview() {
    button.disabled = true;
    const text = await askPreview();
    button.disabled = false;
    if (text === null) {
      return;
    }
    // The server's own, escaped page fragment: scripts in a parsed document never run.
    const parsed = new DOMParser().parseFromString(text, "text/html");
    pane.querySelector("[data-shown]").replaceChildren(...parsed.body.childNodes);
  }

  form.addEventListener("submit", (event) => {
    if (event.submitter === button) {
      event.preventDefault();
      preview();
    }
  });
  pane.querySelector("[data-machine]")?.addEventListener("change", (event) => {
    if (event.target.value) {
      preview();
    }
  });

  // The machine that the config was begun with.
  if (pane.querySelector("[data-machine]")?.value && !pane.querySelector(".result")) {
    preview();
  }

  // --- Machines ------------------------------------------------------------------------------

  const search = pane.querySelector("[data-machine-search]");
  const askMachines = asking(async () => {
    const answer = await fetch(`${form.dataset.machines}?q=${encodeURIComponent(search.value)}`);
    return answer.json();
  });

  async function findMachines() {
    const found = await askMachines();
    if (!found) {
      return;
    }
    const choice = pane.querySelector("[data-machine]");
    const first = new Option(found.length ? `Choose one of ${found.length}` : "No machine has that", "");
    choice.replaceChildren(first, ...found.map((one) => new Option(one.title, one.id)));
  }

  search?.addEventListener("input", later(findMachines));
  // Enter would press the first button of the form, which is the preview's: in a field it saves.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input, select")) {
      event.preventDefault();
      if (!pane.contains(event.target)) {
        form.querySelector("[data-save]")?.click();
      }
    }
  });

  // --- The document --------------------------------------------------------------------------

  for (const copy of document.querySelectorAll("[data-copy-from]")) {
    copy.hidden = false;
    copy.addEventListener("pointerdown", () => fill(copy));
    copy.addEventListener("focus", () => fill(copy));
  }

  // console.js copies what stands in data-copy.
  function fill(copy) {
    copy.dataset.copy = document.getElementById(copy.dataset.copyFrom).textContent;
  }
})();
