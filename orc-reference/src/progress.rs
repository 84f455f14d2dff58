//! What a person sees while a cluster starts.

use anstyle::{AnsiColor, Style};

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
