//! Checks of probes and lifecycle hooks.

use super::super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;

/// Checks a port that may be a number or the name of one.
pub(super) fn port(value: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    match value {
        Value::String(name) => e.each(path, name, names::port_name(name)),
        other => {
            let number = other.as_i64().unwrap_or(0);
            for rule in names::port_number(number) {
                e.invalid(path, number, rule);
            }
        }
    }
}

fn http_get(action: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if text(action, "path").is_empty() {
        e.required(&path.child("path"), "");
    }
    port(get(action, "port"), &path.child("port"), e);
    e.supported(&path.child("scheme"), text(action, "scheme"), &["HTTP", "HTTPS"]);
    for header in list(action, "httpHeaders") {
        let name = text(header, "name");
        e.each(&path.child("httpHeaders"), name, names::http_header_name(name));
    }
}

/// The kinds of handler, in the order in which they are checked.
const PROBES: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const HOOKS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];

fn handler(value: &Value, kinds: &[&str], grace: Option<i64>, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut found = 0;
    for kind in kinds.iter().filter(|k| has(value, k)) {
        let (action, at) = (get(value, kind), path.child(kind));
        found += 1;
        if found > 1 {
            e.forbidden(&at, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" if list(action, "command").is_empty() => e.required(&at.child("command"), ""),
            "httpGet" => http_get(action, &at, e),
            "tcpSocket" => port(get(action, "port"), &at.child("port"), e),
            "grpc" => port(&Value::from(int(action, "port").unwrap_or(0)), &at.child("port"), e),
            "sleep" => {
                let (seconds, grace) = (int(action, "seconds").unwrap_or(0), grace.unwrap_or(0));
                if seconds < 0 || seconds > grace {
                    let rule = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    e.invalid(&at, seconds, rule);
                }
            }
            _ => {}
        }
    }
    if found == 0 {
        e.required(path, "must specify a handler type");
    }
}

/// Which probe it is; the kinds differ in what they allow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Liveness,
    Readiness,
    Startup,
}

/// Checks a probe; null is fine.
pub(super) fn probe(value: &Value, which: Probe, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if value.is_null() {
        return;
    }
    handler(value, PROBES, None, path, e);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        e.not_negative(&path.child(field), int(value, field));
    }
    let grace = int(value, "terminationGracePeriodSeconds");
    if let Some(seconds) = grace.filter(|s| *s <= 0) {
        e.invalid(&path.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
    }
    if which == Probe::Readiness {
        if let Some(seconds) = grace {
            e.invalid(&path.child("terminationGracePeriodSeconds"), seconds, "must not be set for readinessProbes");
        }
    } else if let Some(threshold) = int(value, "successThreshold").filter(|t| *t != 1) {
        e.invalid(&path.child("successThreshold"), threshold, "must be 1");
    }
}

/// Checks lifecycle hooks; `grace` is the pod's grace period, `os` the pod's operating system.
pub(super) fn lifecycle(value: &Value, grace: Option<i64>, os: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for hook in ["postStart", "preStop"] {
        if has(value, hook) {
            handler(get(value, hook), HOOKS, grace, &path.child(hook), e);
        }
    }
    let signal = text(value, "stopSignal");
    if !signal.is_empty() {
        let at = path.child("stopSignal");
        match os {
            "windows" => e.supported(&at, signal, &["SIGKILL", "SIGTERM"]),
            "" => e.forbidden(&at, "may not be set for containers with empty `spec.os.name`"),
            _ => e.supported(&at, signal, SIGNALS),
        }
    }
}

const SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMIN",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];
