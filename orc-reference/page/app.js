// The page: signing in, the table of a view, and the keyboard.

import { keep, keyOf, sign, whoAmI } from "./api.js";
import * as drawer from "./drawer.js";
import { VIEWS, judged, pathOf } from "./views.js";

/** Rows that are drawn; beyond, a search is of more use than scrolling. */
const ROWS = 500;

const at = (id) => document.getElementById(id);
const objects = new Map();
let view = VIEWS[2];
let watching = null;
let drawn = false;
let shown = new Set();

async function enter(text) {
  sign(text);
  const user = await whoAmI();
  if (user.username === "system:anonymous") throw new Error("nobody is signed in");
  at("who").textContent = user.username.replace(/^system:serviceaccount:/, "");
  at("leave").hidden = false;
  at("login").hidden = true;
  at("board").hidden = false;
  at("token").value = "";
  keep("/api/v1/namespaces", namespaces, new AbortController().signal);
  open(view);
}

function leave() {
  // Forgets everything that was read.
  location.replace("./");
}

const known = new Map();
const namespaces = {
  reset(items) { known.clear(); items.forEach((item) => known.set(keyOf(item), item.metadata.name)); this.draw(); },
  change(type, object) { if (type === "DELETED") known.delete(keyOf(object)); else known.set(keyOf(object), object.metadata.name); this.draw(); },
  failed() { /* without the right to list namespaces, all of them is the only choice */ },
  draw() {
    const select = at("namespace");
    const chosen = select.value;
    const option = (value, label) => Object.assign(document.createElement("option"), { value, textContent: label });
    select.replaceChildren(option("", "all"), ...[...known.values()].sort().map((name) => option(name, name)));
    select.value = chosen;
  },
};

/** Shows a view and keeps it up to date; what was watched before is not any more. */
function open(next) {
  watching?.abort();
  watching = new AbortController();
  view = next;
  objects.clear();
  shown = new Set();
  for (const button of at("views").children) button.setAttribute("aria-current", button.textContent === view.title ? "page" : "false");
  at("notice").hidden = true;
  at("namespace").disabled = Boolean(view.cluster);
  const row = document.createElement("tr");
  row.append(...view.columns.map(([title]) => Object.assign(document.createElement("th"), { textContent: title, scope: "col" })));
  at("table").tHead.replaceChildren(row);
  const signal = watching.signal;
  for (const resource of view.resources) {
    const mine = new Map();
    objects.set(resource.plural, mine);
    keep(pathOf(resource, view.cluster ? "" : at("namespace").value), {
      reset(items) { mine.clear(); items.forEach((item) => mine.set(keyOf(item), item)); draw(); },
      change(type, object) {
        if (type === "DELETED") mine.delete(keyOf(object));
        else mine.set(keyOf(object), object);
        drawer.changed(object);
        draw();
      },
      failed(error) { tell(error && `${resource.plural}: ${error.message}`); },
    }, signal);
  }
  draw();
}

function tell(message) {
  at("notice").hidden = !message;
  at("notice").textContent = message || "";
}

/** Draws once for all changes of a frame. */
function draw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => { drawn = false; table(); });
}

function table() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [...objects.values()].flatMap((kind) => [...kind.values()]).map((object) => [object, view.columns.map(([, of]) => of(object))]);
  const found = all.filter(([, cells]) => { const text = cells.join(" ").toLowerCase(); return words.every((word) => text.includes(word)); });
  if (view.newest) found.sort(([a], [b]) => Date.parse(view.newest(b)) - Date.parse(view.newest(a)));
  else found.sort(([a], [b]) => a.metadata.name.localeCompare(b.metadata.name, undefined, { numeric: true }));
  const focused = document.activeElement?.dataset?.key;
  const first = shown.size === 0;
  at("table").tBodies[0].replaceChildren(...found.slice(0, ROWS).map(([object, cells]) => line(object, cells, first)));
  shown = new Set(all.map(([object]) => keyOf(object)));
  if (focused) document.querySelector(`tr[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  at("title").replaceChildren(`${view.title} `, Object.assign(document.createElement("small"), { textContent: String(found.length) }));
  const left = found.length - ROWS;
  at("more").textContent = left > 0 ? `${left} more are not shown; search for what you need.` : found.length ? "" : "Nothing here.";
}

function line(object, cells, first) {
  const row = document.createElement("tr");
  row.tabIndex = 0;
  row.dataset.key = keyOf(object);
  if (!first && !shown.has(row.dataset.key)) row.className = "fresh";
  row.append(...view.columns.map(([, , how], column) => {
    const cell = document.createElement("td");
    if (how === "wide") cell.className = "wide";
    if (how === "state") cell.append(Object.assign(document.createElement("span"), { textContent: cells[column], className: judged(cells[column]) }));
    else cell.textContent = cells[column];
    return cell;
  }));
  row.onclick = () => drawer.show(object);
  return row;
}

function keys(event) {
  const typing = /^(INPUT|SELECT)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (drawer.isOpen()) drawer.close();
    else if (typing) event.target.blur();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || at("board").hidden) return;
  const row = event.target.closest?.("tbody tr");
  const rows = at("table").tBodies[0].rows;
  const moves = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 };
  if (event.key === "/") at("search").focus();
  else if (/^[1-9]$/.test(event.key) && VIEWS[event.key - 1]) open(VIEWS[event.key - 1]);
  else if (row && (event.key === "Enter" || event.key === " ")) row.click();
  else if (event.key in moves && !drawer.isOpen()) (row ? rows[row.sectionRowIndex + moves[event.key]] : rows[0])?.focus();
  else return;
  event.preventDefault();
}

function start() {
  at("views").append(...VIEWS.map((one) => Object.assign(document.createElement("button"), { textContent: one.title, onclick: () => open(one) })));
  at("namespace").onchange = () => open(view);
  at("search").oninput = draw;
  at("close").onclick = drawer.close;
  at("leave").onclick = leave;
  document.addEventListener("keydown", keys);
  // Ages.
  setInterval(() => { if (!at("board").hidden) draw(); }, 10000);
  at("login-form").onsubmit = (event) => {
    event.preventDefault();
    enter(at("token").value.trim()).catch((error) => { at("login-error").textContent = error.message; });
  };
  const given = new URLSearchParams(location.hash.slice(1)).get("token") || "";
  // Neither the history nor a bookmark shall hold the token.
  if (location.hash) history.replaceState(null, "", location.pathname);
  // Without a token, a client certificate of the browser's may do.
  enter(given).catch((error) => {
    at("login").hidden = false;
    at("login-error").textContent = given ? error.message : "";
    at("token").focus();
  });
}

start();
