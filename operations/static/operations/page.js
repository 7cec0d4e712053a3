// The page of an operation keeps itself up to date until the operation has ended.
import { LogView } from "./log.js";

const LOOK_MILLISECONDS = 1500;

const page = document.getElementById("operation");
const logElement = document.getElementById("log");
const graph = document.getElementById("graph");
const graphUrl = graph?.getAttribute("src");
let isLogStarted = false;
let isLooking = false;
let isWantedAgain = false;
let timer;

const log = logElement && new LogView(logElement, look);

// Ask for the parts that change and put in those that did; one question at a time.
async function look() {
  clearTimeout(timer);
  if (isLooking) {
    isWantedAgain = true;
    return;
  }
  isLooking = true;
  while (page.dataset.final !== "true" && !document.hidden) {
    isWantedAgain = false;
    await refresh();
    if (!isWantedAgain) {
      break;
    }
  }
  isLooking = false;
  if (page.dataset.final !== "true") {
    timer = setTimeout(look, LOOK_MILLISECONDS);
  }
}

async function refresh() {
  let fresh;
  try {
    const response = await fetch(page.dataset.liveUrl);
    if (response.redirected) {
      location.reload(); // the session has ended: to the login
      return;
    }
    if (!response.ok) {
      return;
    }
    fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("operation");
  } catch {
    return; // the server is away: the next look may find it
  }
  for (const part of fresh.querySelectorAll("[data-live]")) {
    replace(page.querySelector(`[data-live="${part.dataset.live}"]`), part);
  }
  page.dataset.final = fresh.dataset.final;
  page.dataset.status = fresh.dataset.status;
  startLog();
}

function replace(old, fresh) {
  // A version says what a reader would notice; a button must not vanish under the finger for less.
  if (!old || (fresh.dataset.version !== undefined && fresh.dataset.version === old.dataset.version)) {
    return;
  }
  const hadFocus = old.contains(document.activeElement);
  const element = document.importNode(fresh, true);
  old.replaceWith(element);
  if (hadFocus) {
    element.tabIndex = -1;
    element.focus();
  }
  if (element.dataset.live === "steps" && graph) {
    graph.src = `${graphUrl}?at=${Date.now()}`;
  }
}

// What waits has said nothing yet, and a stream would take the place of somebody else's.
function startLog() {
  if (log && !isLogStarted && page.dataset.status !== "pending") {
    isLogStarted = true;
    log.start();
  }
}

document.addEventListener("visibilitychange", () => !document.hidden && look());
startLog();
timer = setTimeout(look, LOOK_MILLISECONDS);
