//! `orc status`.

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::Value;

use super::Client;
use crate::args::{StatusArgs, StatusOutput};
use crate::cells::{Cell, aligned};
use crate::status::PATH;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const WAIT: Style = AnsiColor::Yellow.on_default();

/// Shows how a running cluster does.
///
/// # Errors
/// The server's.
pub async fn run(args: StatusArgs) -> anyhow::Result<()> {
    let client = Client::open(&args.client)?;
    let answer = client.connection.send(http::Method::GET, PATH, "application/json", None).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    let status: Value = serde_json::from_slice(&body).context("the server's answer is not JSON")?;
    match args.output {
        StatusOutput::Json => anstream::println!("{}", serde_json::to_string_pretty(&status)?),
        StatusOutput::Table => anstream::print!("{}", text(&status)),
    }
    Ok(())
}

fn text(status: &Value) -> String {
    let mut out = head(status);
    out.push('\n');
    out.push_str(&aligned(&loops(status)));
    out
}

fn head(status: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let (total, ready) = (number(&status["nodes"]["total"]), number(&status["nodes"]["ready"]));
    let style = if ready == total { GOOD } else { WAIT };
    let pods: Vec<String> =
        status["pods"].as_object().into_iter().flatten().map(|(phase, n)| phase_text(phase, n)).collect();
    let pods = if pods.is_empty() { "none".to_owned() } else { pods.join(", ") };
    let store = &status["store"];
    let size = store["bytes"].as_u64().map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
    let millis = store["meanSeconds"].as_f64().unwrap_or_default() * 1000.0;
    let mut lines = vec![
        format!(
            "{BOLD}orc {}{BOLD:#} {DIM}Kubernetes {}, up {}{DIM:#}",
            word(&status["version"]),
            word(&status["kubernetes"]),
            span(number(&status["uptimeSeconds"]) as f64)
        ),
        format!("{BOLD}nodes{BOLD:#}    {style}{ready} of {total} ready{style:#}"),
        format!("{BOLD}pods{BOLD:#}     {pods}"),
        format!(
            "{BOLD}store{BOLD:#}    revision {}, {} objects{size}, {} watches of clients",
            store["revision"], store["objects"], store["watchers"]
        ),
        format!("         {} operations, {millis:.1} ms each, {} failed", store["operations"], store["errors"]),
        format!("{BOLD}server{BOLD:#}   {}", word(&status["server"])),
    ];
    for other in status["servers"].as_array().into_iter().flatten() {
        lines.push(format!("  {DIM}member{DIM:#} {} at {}", word(&other["name"]), word(&other["endpoint"])));
    }
    for leader in status["leaders"].as_array().into_iter().flatten() {
        let holder = leader["holder"].as_str().unwrap_or("nobody");
        lines.push(format!("  {DIM}{}{DIM:#} led by {holder}", word(&leader["lease"])));
    }
    if let Some(scheduler) = status["scheduler"].as_object() {
        let waits = ["active", "backoff", "parked", "gated"].map(|queue| format!("{} {queue}", scheduler[queue]));
        let bound = &scheduler["bound"];
        lines.push(format!("{BOLD}scheduler{BOLD:#} {bound} pods bound; waiting: {}", waits.join(", ")));
    }
    for ended in status["endedLoops"].as_array().into_iter().flatten() {
        lines.push(format!("{BAD}the loop {} has ended{BAD:#}", word(ended)));
    }
    lines.join("\n") + "\n"
}

fn phase_text(phase: &str, count: &Value) -> String {
    let style = match phase {
        "Running" | "Succeeded" => GOOD,
        "Pending" => WAIT,
        _ => BAD,
    };
    format!("{style}{count} {phase}{style:#}")
}

fn loops(status: &Value) -> Vec<Vec<Cell>> {
    let names = ["LOOP", "LAST RUN", "TOOK", "DEPTH", "OLDEST", "RUNS", "ERRORS", "RETRIES", "LAST ERROR"];
    let mut lines = vec![names.map(|name| (name.to_owned(), BOLD)).to_vec()];
    let now: Option<Timestamp> = status["now"].as_str().and_then(|text| text.parse().ok());
    let ago = |at: &Value| match (at.as_str().and_then(|text| text.parse::<Timestamp>().ok()), now) {
        (Some(at), Some(now)) => Some(now.duration_since(at).as_secs_f64().max(0.0)),
        _ => None,
    };
    let plain = |value: &Value| (value.to_string(), Style::new());
    let marked =
        |value: &Value, style: Style| (value.to_string(), if value.as_u64() == Some(0) { Style::new() } else { style });
    for one in status["loops"].as_array().into_iter().flatten() {
        let last = ago(&one["lastRun"]).map_or("never".to_owned(), |seconds| format!("{} ago", span(seconds)));
        let took = one["lastSeconds"].as_f64().filter(|_| one["lastRun"].is_string());
        let error = one["lastError"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
        lines.push(vec![
            (one["name"].as_str().unwrap_or_default().to_owned(), Style::new()),
            (last, Style::new()),
            (took.map_or("-".to_owned(), |seconds| format!("{:.1}ms", seconds * 1000.0)), Style::new()),
            marked(&one["depth"], WAIT),
            (ago(&one["oldest"]).map_or("-".to_owned(), span), Style::new()),
            plain(&one["runs"]),
            marked(&one["failures"], BAD),
            plain(&one["queue"]["retries"]),
            (error.chars().take(60).collect(), DIM),
        ]);
    }
    lines
}

/// A time as kubectl shows ages, two parts at most.
fn span(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{}s", whole / 60, whole % 60),
        3600..86400 => format!("{}h{}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{}h", whole / 86400, whole / 3600 % 24),
    }
}

fn size(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes < 1e6 => format!("{:.0} kB", bytes / 1e3),
        bytes if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} GB", bytes / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_is_readable_without_colours() {
        let status = json!({
            "version": "0.1.0", "kubernetes": "v1.36", "server": "host_1", "uptimeSeconds": 125, "now": "2026-01-01T00:02:05Z",
            "nodes": {"total": 2, "ready": 1}, "pods": {"Pending": 1, "Running": 3},
            "store": {"revision": 9, "objects": 4, "bytes": 1_500_000, "watchers": 2, "operations": 7, "errors": 0, "meanSeconds": 0.0012},
            "loops": [{"name": "job-controller", "lastRun": "2026-01-01T00:02:00Z", "lastSeconds": 0.0034, "depth": 1,
                "oldest": "2026-01-01T00:01:05Z", "runs": 12, "failures": 2, "lastError": "jobs/x: conflict", "queue": {"retries": 2}}],
            "leaders": [{"lease": "kube-scheduler", "holder": "host_1"}],
        });
        let shown = anstream::adapter::strip_str(&text(&status)).to_string();
        let want = "orc 0.1.0 Kubernetes v1.36, up 2m5s\n\
                    nodes    1 of 2 ready\n\
                    pods     1 Pending, 3 Running\n\
                    store    revision 9, 4 objects, 1.5 MB, 2 watches of clients\n\
                    \x20        7 operations, 1.2 ms each, 0 failed\n\
                    server   host_1\n\
                    \x20 kube-scheduler led by host_1\n\
                    \n\
                    LOOP            LAST RUN  TOOK   DEPTH  OLDEST  RUNS  ERRORS  RETRIES  LAST ERROR\n\
                    job-controller  5s ago    3.4ms  1      1m0s    12    2       2        jobs/x: conflict\n";
        assert_eq!(shown, want);
    }
}
