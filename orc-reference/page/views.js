// What is shown of each kind: collections, columns, and how an object is judged.

const GOOD = new Set(["Running", "Ready", "Active", "Complete", "Completed", "Succeeded", "Normal", "Available"]);
const BAD = /Err|BackOff|Failed|Failure|Evicted|OOMKilled|Lost|Unknown|NotReady/;

/** `good`, `wait`, `bad` for a word of status. */
export const judged = (word) => (GOOD.has(word) ? "good" : BAD.test(word) ? "bad" : "wait");

export function age(time) {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(time)) / 1000));
  if (!time || Number.isNaN(seconds)) return "";
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

const condition = (object, type) => object.status?.conditions?.find((one) => one.type === type);
const created = (object) => age(object.metadata.creationTimestamp);
const name = ["Name", (o) => o.metadata.name];
const namespace = ["Namespace", (o) => o.metadata.namespace || ""];
const sinceMade = ["Age", created];
const state = (of) => ["Status", of, "state"];

function nodeState(node) {
  const ready = condition(node, "Ready");
  const word = ready?.status === "True" ? "Ready" : "NotReady";
  return node.spec?.unschedulable ? `${word}, cordoned` : word;
}

/** As `kubectl get pods` sums a pod up. */
function podState(pod) {
  if (pod.metadata.deletionTimestamp) return "Terminating";
  const statuses = [...(pod.status?.initContainerStatuses || []), ...(pod.status?.containerStatuses || [])];
  for (const { state: now } of statuses) {
    if (now?.waiting?.reason && now.waiting.reason !== "PodInitializing") return now.waiting.reason;
    if (now?.terminated && now.terminated.exitCode !== 0) return now.terminated.reason || "Error";
  }
  if (pod.status?.phase === "Succeeded") return "Completed";
  return pod.status?.reason || pod.status?.phase || "Pending";
}

function podReady(pod) {
  const statuses = pod.status?.containerStatuses || [];
  return `${statuses.filter((one) => one.ready).length}/${pod.spec.containers.length}`;
}

const restarts = (pod) => (pod.status?.containerStatuses || []).reduce((sum, one) => sum + one.restartCount, 0);

function counts(object) {
  const { spec = {}, status = {} } = object;
  switch (object.kind) {
    case "DaemonSet": return [status.numberReady || 0, status.desiredNumberScheduled || 0];
    case "Job": return [status.succeeded || 0, spec.completions ?? 1];
    case "CronJob": return [(status.active || []).length, null];
    default: return [status.readyReplicas || 0, spec.replicas ?? 1];
  }
}

function workloadState(object) {
  if (object.kind === "Job") {
    if (condition(object, "Failed")?.status === "True") return "Failed";
    return condition(object, "Complete")?.status === "True" ? "Complete" : "Running";
  }
  if (object.kind === "CronJob") return object.spec.suspend ? "Suspended" : "Active";
  const [ready, wanted] = counts(object);
  return ready >= wanted ? "Ready" : "Progressing";
}

const images = (object) => {
  const template = object.spec.template || object.spec.jobTemplate?.spec.template;
  return (template?.spec.containers || []).map((one) => one.image).join(", ");
};

const apps = (plural) => ({ group: "/apis/apps/v1", plural });
const batch = (plural) => ({ group: "/apis/batch/v1", plural });
const seen = (event) => event.series?.lastObservedTime || event.lastTimestamp || event.eventTime || event.metadata.creationTimestamp;

export const VIEWS = [
  {
    title: "Nodes", cluster: true, resources: [{ group: "/api/v1", plural: "nodes" }],
    columns: [
      name, state(nodeState), ["Version", (n) => n.status?.nodeInfo?.kubeletVersion || ""],
      ["CPU", (n) => n.status?.allocatable?.cpu || ""], ["Memory", (n) => n.status?.allocatable?.memory || ""],
      ["Address", (n) => n.status?.addresses?.[0]?.address || ""], sinceMade,
    ],
  },
  {
    title: "Workloads", resources: [apps("deployments"), apps("statefulsets"), apps("daemonsets"), batch("jobs"), batch("cronjobs")],
    columns: [
      name, ["Kind", (o) => o.kind], namespace, state(workloadState),
      ["Ready", (o) => { const [ready, wanted] = counts(o); return wanted === null ? `${ready} active` : `${ready}/${wanted}`; }],
      ["Images", images, "wide"], sinceMade,
    ],
  },
  {
    title: "Pods", resources: [{ group: "/api/v1", plural: "pods" }],
    columns: [
      name, namespace, state(podState), ["Ready", podReady], ["Restarts", (p) => String(restarts(p))],
      ["Node", (p) => p.spec.nodeName || ""], ["Address", (p) => p.status?.podIP || ""], sinceMade,
    ],
  },
  {
    title: "Events", resources: [{ group: "/api/v1", plural: "events" }],
    newest: seen,
    columns: [
      ["Seen", (e) => age(seen(e))], state((e) => e.type || "Normal"), ["Reason", (e) => e.reason || ""],
      ["Object", (e) => `${e.involvedObject.kind}/${e.involvedObject.name}`], namespace,
      ["Message", (e) => e.message || "", "wide"], ["Count", (e) => String(e.series?.count || e.count || 1)],
    ],
  },
];

/** The path of a view's collection in a namespace, or in all. */
export const pathOf = ({ group, plural }, inNamespace) =>
  inNamespace ? `${group}/namespaces/${encodeURIComponent(inNamespace)}/${plural}` : `${group}/${plural}`;

/** An object as YAML; for reading. */
export function yaml(value, indent = "") {
  const scalar = (text) => {
    if (text === null || typeof text !== "string") return JSON.stringify(text);
    if (text.includes("\n")) return `|\n${text.replace(/\n$/, "").split("\n").map((line) => `${indent}  ${line}`).join("\n")}`;
    return /^[A-Za-z0-9/_][\w./ @%+-]*(:[\w./-]+)*$/.test(text) && !/^(true|false|null|yes|no|on|off|[\d.]+)$/i.test(text) && !text.endsWith(" ")
      ? text : JSON.stringify(text);
  };
  const empty = (one) => typeof one === "object" && one !== null && Object.keys(one).length === 0;
  const nested = (one) => typeof one === "object" && one !== null && !empty(one);
  const leaf = (one) => (empty(one) ? (Array.isArray(one) ? "[]" : "{}") : scalar(one));
  if (Array.isArray(value)) {
    return value.map((one) => (nested(one) ? `${indent}- ${yaml(one, `${indent}  `).trimStart()}` : `${indent}- ${leaf(one)}`)).join("\n");
  }
  return Object.entries(value).map(([key, one]) => {
    if (!nested(one)) return `${indent}${key}: ${leaf(one)}`;
    return `${indent}${key}:\n${yaml(one, Array.isArray(one) ? indent : `${indent}  `)}`;
  }).join("\n");
}
