// Pages of auto-install: copying what stands on the page, and forgetting a secret that was shown once.
"use strict";

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy-from]");
  if (button) {
    copyText(document.getElementById(button.dataset.copyFrom).textContent, button);
  }
});

// The answer to the request that made a secret. Reloading it would send the form again, and going back
// would bring the page out of the browser's memory: from now on both show the token's own page.
const once = document.querySelector("[data-once]");
if (once) {
  history.replaceState(null, "", once.dataset.once);
  window.addEventListener("pagehide", () => {
    for (const element of document.querySelectorAll("[data-secret]")) {
      element.remove();
    }
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      location.replace(once.dataset.once);
    }
  });
}
