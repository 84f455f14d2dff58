// The drawer beside the table: an object as YAML, and the logs of a pod's containers as they come.

import { lines, send } from "./api.js";
import { yaml } from "./views.js";

/** Lines of a log that are kept on the page. */
const LINES = 5000;

const drawer = document.getElementById("drawer");
const text = document.getElementById("text");
const tabs = document.getElementById("tabs");
let open = null;
let following = null;
let before = null;

export const isOpen = () => open !== null;

/** Shows an object. */
export function show(object) {
  before ??= document.activeElement;
  open = { object, tab: "yaml" };
  drawer.hidden = false;
  document.getElementById("drawer-title").textContent = `${object.kind} ${object.metadata.name}`;
  const containers = object.kind === "Pod" ? [...(object.spec.initContainers || []), ...object.spec.containers] : [];
  const names = [["yaml", "Details"], ...containers.map((one) => [one.name, `Log: ${one.name}`])];
  tabs.replaceChildren(...names.map(([tab, title]) => {
    const button = document.createElement("button");
    Object.assign(button, { textContent: title, onclick: () => choose(tab) });
    button.setAttribute("role", "tab");
    button.dataset.tab = tab;
    return button;
  }));
  choose("yaml");
  text.focus();
}

/** Takes a change of the object that is shown. */
export function changed(object) {
  if (open?.object.metadata.uid !== object.metadata.uid) return;
  open.object = object;
  if (open.tab === "yaml") details();
}

export function close() {
  following?.abort();
  open = null;
  drawer.hidden = true;
  before?.focus?.();
  before = null;
}

function choose(tab) {
  following?.abort();
  open.tab = tab;
  for (const button of tabs.children) button.setAttribute("aria-selected", String(button.dataset.tab === tab));
  if (tab === "yaml") details();
  else follow(open.object, tab);
}

function details() {
  const { managedFields, ...metadata } = open.object.metadata;
  const { apiVersion, kind, ...rest } = open.object;
  text.textContent = yaml({ apiVersion, kind, ...rest, metadata });
}

/** A time as the server writes it, with all nine digits, so that times compare as texts. */
const padded = (time) => time.replace(/(?:\.(\d+))?Z$/, (_, digits = "") => `.${digits.padEnd(9, "0")}Z`);

/** The lines of a log as they come. A connection that breaks is taken up after the last line that came. */
async function* logLines({ namespace, name }, container, signal) {
  const path = `/api/v1/namespaces/${namespace}/pods/${name}/log?container=${encodeURIComponent(container)}&follow=true&timestamps=true`;
  let last = "";
  for (let broken = 0; broken < 5; ) {
    const before = last;
    const from = last ? `sinceTime=${encodeURIComponent(last)}` : "tailLines=500";
    try {
      for await (const line of lines(await send(`${path}&${from}`, { signal }))) {
        const word = line.split(" ", 1)[0];
        // Not every runtime knows when a line was written.
        if (!/^\d{4}-\d\d-\d\dT.*Z$/.test(word)) {
          yield line;
          continue;
        }
        // What was read before the connection broke. Lines of one time are told apart only within one connection.
        if (padded(word) <= before) continue;
        last = padded(word);
        broken = 0;
        yield line.slice(word.length + 1);
      }
      return;
    } catch (error) {
      if (error.code || signal.aborted || broken === 4) throw error;
      broken += 1;
      await new Promise((resolve) => setTimeout(resolve, 300 * broken));
    }
  }
}

async function follow({ metadata }, container) {
  const abort = new AbortController();
  following = abort;
  text.textContent = "";
  let count = 0;
  let waiting = [];
  const flush = () => {
    if (!waiting.length || abort.signal.aborted) return;
    const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 30;
    count += waiting.length;
    text.append(`${waiting.join("\n")}\n`);
    waiting = [];
    if (count > LINES * 1.2) {
      text.textContent = text.textContent.split("\n").slice(-LINES - 1).join("\n");
      count = LINES;
    }
    if (atEnd) text.scrollTop = text.scrollHeight;
  };
  const timer = setInterval(flush, 100);
  try {
    for await (const line of logLines(metadata, container, abort.signal)) waiting.push(line);
    waiting.push("(the log has ended)");
  } catch (error) {
    waiting.push(`(${error.message})`);
  }
  flush();
  clearInterval(timer);
}
