// Comfort only: every page is whole without this file.
"use strict";

function addCopyButtons() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll(".copy")) {
    const label = button.firstChild;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      label.textContent = "Copied";
      setTimeout(() => { label.textContent = "Copy"; }, 1500);
    });
  }
}

// A click on a box of the graph opens the component in the list.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const details = target && target.closest("details");
  if (!details) return;
  details.open = true;
  details.scrollIntoView({ block: "nearest" });
}

// While a run is live its page is fetched again, and exchanged where it changed; what is open stays open.
function keepLive() {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  setTimeout(async () => {
    try {
      const text = await (await fetch(location.pathname)).text();
      const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
      const open = [...main.querySelectorAll("details[open] > .inside")].map((inside) => inside.id);
      const scrolled = [...main.querySelectorAll(".scroll")].map((e) => [e.scrollLeft, e.scrollTop]);
      main.replaceWith(fresh);
      open.forEach((id) => { const inside = document.getElementById(id); if (inside) inside.parentElement.open = true; });
      fresh.querySelectorAll(".scroll").forEach((e, n) => { if (scrolled[n]) [e.scrollLeft, e.scrollTop] = scrolled[n]; });
    } catch {
      // The server may be restarting: ask again.
    }
    keepLive();
  }, Number(main.dataset.live) * 1000);
}

addCopyButtons();
keepLive();
openTarget();
addEventListener("hashchange", openTarget);
