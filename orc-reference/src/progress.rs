//! What a person sees while a cluster starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use orc_store::backend::{DurableConfig, OpenStage, ProgressHook};

use crate::control_plane::ControlPlane;

const GREEN: Style = AnsiColor::Green.on_default();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// The first line.
pub fn title() {
    anstream::println!("{BOLD}orc {}{BOLD:#} {DIM}Kubernetes v1.36{DIM:#}", env!("CARGO_PKG_VERSION"));
}

/// One part that is up.
pub fn started(part: &str, what: &str) {
    anstream::println!("  {GREEN}✓{GREEN:#} {part:<12} {DIM}{what}{DIM:#}");
}

/// The line that scripts wait for.
pub fn ready(plane: &ControlPlane) {
    anstream::println!("ready: {} kubeconfig={}", plane.url, plane.kubeconfig.display());
}

/// A line about the reading of a large store: a bar where there is a terminal, and a log entry now and then where not.
pub fn reading_store() -> ProgressHook {
    let bar = ProgressBar::hidden();
    let shown = AtomicBool::new(false);
    Arc::new(move |now| {
        // Small stores are read before anybody could read a line about it.
        if now.records < DurableConfig::PROGRESS_EVERY {
            return bar.finish_and_clear();
        }
        let what = match now.stage {
            OpenStage::Base => "store",
            OpenStage::Log => "log of the store",
        };
        if !shown.swap(true, Ordering::Relaxed) {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            let template = "  reading the {msg}: {bytes} of {total_bytes} {wide_bar} {elapsed}";
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        bar.set_length(now.total_bytes);
        bar.set_message(what);
        bar.set_position(now.bytes.min(now.total_bytes));
        tracing::info!(records = now.records, bytes = now.bytes, of = now.total_bytes, "reading the {what}");
    })
}

/// Nodes from which on a person would wonder what takes so long.
const MANY: usize = 50;

/// A line about the start of many nodes, where there is a terminal.
pub fn joining(nodes: usize) -> ProgressBar {
    if nodes < MANY {
        return ProgressBar::hidden();
    }
    let template = "  starting nodes: {pos} of {len} {wide_bar} {elapsed}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(nodes as u64), ProgressDrawTarget::stderr()).with_style(style)
}

/// What to type next.
pub fn next(plane: &ControlPlane) {
    let file = plane.kubeconfig.display();
    anstream::println!("\n{DIM}In another terminal:{DIM:#}");
    anstream::println!("  export KUBECONFIG={file}");
    anstream::println!("  kubectl create deployment web --image=host --replicas=3 -- python3 -m http.server 8080");
    anstream::println!("  kubectl get pods -o wide");
    anstream::println!(
        "{DIM}Ctrl-C stops the cluster and its pods; the data stays in {}.{DIM:#}",
        plane.data.path().display()
    );
}

/// A signal came.
pub fn stopping(leave_pods: bool) {
    let pods = if leave_pods { "the pods go on running" } else { "pods get a few seconds to end" };
    anstream::println!("\n{DIM}stopping; {pods}{DIM:#}");
}

/// Everything has ended.
pub fn stopped(pods: usize) {
    anstream::println!("{DIM}stopped {pods} pods; `orc up` starts them again{DIM:#}");
}
