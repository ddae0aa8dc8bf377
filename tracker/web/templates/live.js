"use strict";
// Shows what the database holds: looks again when a change was stored, and every 5 s besides, because flags,
// new rows and ages come without one. Browsers without scripts load the whole page anew in its place.

const EVERY = 5000, LEAST = 1000, PATIENCE = 10000, AGAIN = 10000; // milliseconds
const HERE = location.origin + location.pathname; // a name and password in the address would be refused
const state = document.getElementById("state");

// What is said of it

let isTold = false; // of changes, by the stream
let trouble = ""; // with the last look

function tellState() {
  const how = trouble ? `not live: ${trouble}` : isTold ? "live" : "not live: refreshed every 5 s";
  if (state.textContent !== how) state.textContent = how;
  state.className = isTold && !trouble ? "live" : "";
}

// When to look

let due = Infinity, lookedAt = performance.now(), isLooking = false, timer;

function lookIn(delay) {
  const at = Math.max(performance.now() + delay, lookedAt + LEAST);
  if (document.hidden || at >= due) return;
  due = at;
  clearTimeout(timer);
  timer = setTimeout(look, at - performance.now());
}

async function look() {
  due = Infinity;
  if (isLooking) return lookIn(LEAST);
  isLooking = true;
  lookedAt = performance.now();
  try {
    take(await read());
    trouble = "";
  } catch (error) {
    trouble = error.message;
  }
  isLooking = false;
  tellState();
  lookIn(EVERY);
}

async function read() {
  let answer;
  try {
    answer = await fetch(HERE, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  } catch {
    throw new Error("tracker does not answer");
  }
  if (!answer.ok) throw new Error(`tracker answers ${answer.status}`);
  return answer.text();
}

// The news

let source, opening;

function listen() {
  source = new EventSource(`${HERE}api/news`);
  source.addEventListener("change", () => lookIn(0));
  source.onopen = () => {
    isTold = true;
    tellState();
  };
  source.onerror = () => {
    isTold = false;
    tellState();
    // A lost connection is the browser's to open again; after an answer such as 503 it gives up.
    if (source.readyState === EventSource.CLOSED) opening = setTimeout(listen, AGAIN);
  };
}

// A page that nobody sees holds no connection: browsers have six for each server.
function attend() {
  clearTimeout(opening);
  source?.close();
  isTold = false;
  due = Infinity;
  clearTimeout(timer);
  if (document.hidden) return;
  listen();
  lookIn(0);
}

// What is shown: only what differs is touched, so that scroll, focus and selection stay

function take(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const [shown, main] = [document, fresh].map((page) => page.querySelector("main"));
  if (!main) throw new Error("another page came; load this one anew");
  document.title = fresh.title;
  update(shown, main);
}

const keyOf = (node) => node.dataset?.key;
const isBlank = (node) => node.nodeType === Node.TEXT_NODE && !node.data.trim();

function skipBlanks(node) {
  while (node && isBlank(node)) node = node.nextSibling;
  return node;
}

function update(shown, fresh) {
  if (shown.isEqualNode(fresh)) return;
  if (shown.nodeName !== fresh.nodeName) return shown.replaceWith(fresh);
  if (shown.nodeType === Node.TEXT_NODE) {
    shown.data = fresh.data;
    return;
  }
  for (const { name } of [...shown.attributes]) if (!fresh.hasAttribute(name)) shown.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  updateChildren(shown, [...fresh.childNodes].filter((node) => !isBlank(node)));
}

function updateChildren(parent, wanted) {
  const keys = new Set(wanted.map(keyOf));
  for (const child of [...parent.children]) if (keyOf(child) && !keys.has(keyOf(child))) child.remove();
  const known = new Map([...parent.children].map((child) => [keyOf(child), child]));
  let at = skipBlanks(parent.firstChild);
  for (const fresh of wanted) {
    const key = keyOf(fresh);
    const shown = key ? known.get(key) : at && !keyOf(at) ? at : undefined;
    if (shown === at && at) at = skipBlanks(at.nextSibling);
    else parent.insertBefore(shown ?? fresh, at);
    if (shown) update(shown, fresh);
  }
  while (at) {
    const gone = at;
    at = skipBlanks(at.nextSibling);
    gone.remove();
  }
}

document.addEventListener("visibilitychange", attend);
attend();
