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

addCopyButtons();
openTarget();
addEventListener("hashchange", openTarget);
