// Keeps the page of a run that goes on up to date. The server says when there is something new; the page is fetched
// again, and what changed is changed in place: focus, selection, scroll and what is open stay.
"use strict";

// Texts: only what differs is replaced, so that a selection in the rest stays. Of a log the old beginning falls out.
function patchText(node, text) {
  const old = node.data;
  if (old === text) return;
  for (let at = 0; at >= 0 && at < old.length; at = old.indexOf("\n", at) + 1 || -1) {
    if (!text.startsWith(old.slice(at))) continue;
    if (at) node.deleteData(0, at);
    node.appendData(text.slice(old.length - at));
    return;
  }
  node.data = text;
}

function patchAttributes(node, fresh) {
  // What is open is the reader's choice.
  const kept = (name) => name === "open" && node.nodeName === "DETAILS";
  for (const { name } of [...node.attributes]) if (!fresh.hasAttribute(name) && !kept(name)) node.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (!kept(name) && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
}

function isSame(node, fresh) {
  return node.nodeType === fresh.nodeType && node.nodeName === fresh.nodeName && (node.id || "") === (fresh.id || "");
}

function patchChildren(node, fresh) {
  const byId = new Map([...node.children].filter((child) => child.id).map((child) => [child.id, child]));
  let at = node.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    let found = at && isSame(at, wanted) ? at : null;
    if (!found && wanted.id) found = byId.get(wanted.id) || null;
    if (!found) {
      node.insertBefore(document.importNode(wanted, true), at);
    } else if (found === at) {
      at = at.nextSibling;
      patch(found, wanted);
    } else {
      node.insertBefore(found, at);
      patch(found, wanted);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function patch(node, fresh) {
  if (node.nodeType !== Node.ELEMENT_NODE) return patchText(node, fresh.data);
  const follows = node.matches("pre.log") && node.scrollTop + node.clientHeight >= node.scrollHeight - 4;
  patchAttributes(node, fresh);
  patchChildren(node, fresh);
  if (follows) node.scrollTop = node.scrollHeight;
}

// As piecehub/ui/words.py writes them.
function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds), two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
}

function keepLive(main) {
  let taken = performance.now(), busy = false, asked = "";
  const source = new EventSource(main.dataset.live);
  const ticks = setInterval(() => {
    const gone = (performance.now() - taken) / 1000;
    for (const each of main.querySelectorAll(".ticking")) {
      patchText(each.firstChild, duration(Number(each.dataset.seconds) + gone));
    }
  }, 1000);

  async function update() {
    if (busy || asked === main.dataset.mark) return;
    busy = true;
    const want = asked;
    try {
      const answer = await fetch(location.pathname);
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      const focused = document.activeElement;
      patch(main, fresh);
      taken = performance.now();
      if (focused !== document.activeElement && focused && focused.isConnected) focused.focus({ preventScroll: true });
    } catch {
      // The server may be restarting; it says again what is new.
    } finally {
      busy = false;
    }
    if (!main.dataset.live) {
      source.close();
      clearInterval(ticks);
    } else if (asked !== want) {
      update();
    }
  }

  source.onmessage = (event) => {
    asked = event.data;
    update();
  };
}

const main = document.querySelector("main[data-live]");
if (main && window.EventSource) keepLive(main);
