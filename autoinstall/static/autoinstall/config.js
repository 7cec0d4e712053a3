// The guided form: which fields matter, rows to add and remove, values to suggest.
"use strict";

const form = document.getElementById("config");
const patterns = JSON.parse(document.getElementById("patterns").textContent);

function choiceOf(name) {
  const field = form.elements[name];
  if (field instanceof RadioNodeList) {
    return field.value;
  }
  return field.type === "checkbox" ? (field.checked ? "on" : "") : field.value;
}

// A field goes with a choice (data-when, data-values). One that is wrong is always shown.
function showWhatMatters() {
  for (const field of form.querySelectorAll("[data-when]")) {
    const isWanted = field.dataset.values.split(" ").includes(choiceOf(field.dataset.when));
    field.hidden = !isWanted && !field.classList.contains("wrong");
  }
  for (const more of form.querySelectorAll("[data-more]")) {
    more.hidden = !more.querySelector("[data-field]:not([hidden])");
  }
}

function rowsOf(list) {
  return [...list.querySelectorAll("[data-row]")];
}

function number(list) {
  rowsOf(list).forEach((row, index) => {
    for (const one of row.querySelectorAll("[aria-label]")) {
      one.setAttribute("aria-label", one.getAttribute("aria-label").replace(/\d+$/, index + 1));
    }
  });
}

function clear(row) {
  for (const input of row.querySelectorAll("input")) {
    input.value = "";
  }
  const reach = row.querySelector("[data-each]");
  reach?.replaceChildren();
}

function addRow(list) {
  const row = rowsOf(list).at(-1).cloneNode(true);
  clear(row);
  list.append(row);
  number(list);
  row.querySelector("input").focus();
}

function removeRow(list, row) {
  const next = row.nextElementSibling ?? row.previousElementSibling;
  if (next) {
    row.remove();
    number(list);
  } else {
    clear(row);
  }
  (next ?? row).querySelector("input").focus();
  form.dispatchEvent(new Event("input", { bubbles: true }));
}

// Without script there are blank rows to fill; with it one is enough, and a button makes more.
function prepareRows(rows) {
  const list = rows.querySelector("[data-list]");
  for (const row of rowsOf(list)) {
    row.querySelector("[data-remove]").hidden = false;
    const isBlank = [...row.querySelectorAll("input")].every((input) => !input.value);
    if (isBlank && rowsOf(list).length > 1) {
      row.remove();
    }
  }
  const add = rows.querySelector("[data-add]");
  add.hidden = false;
  add.addEventListener("click", () => addRow(list));
  list.addEventListener("click", (event) => {
    if (event.target.closest("[data-remove]")) {
      removeRow(list, event.target.closest("[data-row]"));
    }
  });
  number(list);
}

// The pattern of a target filter suggests what stands at its pointer on the machines seen.
function suggestValues(input) {
  const pointer = input.closest("[data-row]").querySelector("input").value.trim();
  const options = (patterns[pointer] ?? []).map((value) => {
    const option = document.createElement("option");
    option.value = value;
    return option;
  });
  document.getElementById("list-values").replaceChildren(...options);
  input.setAttribute("list", "list-values");
}

form.addEventListener("focusin", (event) => {
  if (event.target.name === "target_filter-value") {
    suggestValues(event.target);
  }
});
form.addEventListener("change", showWhatMatters);
form.querySelectorAll("[data-rows]").forEach(prepareRows);
showWhatMatters();
