//! What the real kubectl can do, verb by verb. The steps are transcripts in `tours/`:
//!
//! ```text
//! $ a shell line that must succeed
//! $! a shell line that must fail
//! each further line is a text that the answer holds, on either stream
//! # a comment
//! ```
//!
//! Pods live on simulated nodes: what is toured is the API and the controllers, no program is run.

mod support;

use std::path::Path;
use std::process::Command;

use support::{As, Cluster, text};

/// One line of a transcript and what its answer must hold.
struct Step<'a> {
    command: &'a str,
    fails: bool,
    expected: Vec<&'a str>,
}

fn steps(transcript: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for line in transcript.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        match (line.strip_prefix("$! "), line.strip_prefix("$ ")) {
            (Some(command), _) => steps.push(Step { command, fails: true, expected: Vec::new() }),
            (_, Some(command)) => steps.push(Step { command, fails: false, expected: Vec::new() }),
            _ => steps.last_mut().expect("a transcript begins with a command").expected.push(line),
        }
    }
    steps
}

/// Runs a step in a folder; what is wrong with its answer, if anything is.
fn broken(step: &Step<'_>, folder: &Path, kubeconfig: &Path) -> Option<String> {
    let mut command = Command::new("sh");
    command.args(["-c", step.command]).current_dir(folder).env("KUBECONFIG", kubeconfig).env("HOME", folder);
    let output = command.output().expect("sh runs");
    let said = text(&output.stdout) + &text(&output.stderr);
    let missing: Vec<_> = step.expected.iter().filter(|expected| !said.contains(**expected)).collect();
    let right = output.status.success() != step.fails && missing.is_empty();
    (!right).then(|| format!("$ {}\n{}; missing: {missing:?}\n{said}", step.command, output.status))
}

/// Runs a whole transcript, so that one run tells all that is broken.
fn tour(transcript: &str) {
    let cluster = Cluster::up(As::Me, &["--nodes", "0", "--sim-nodes", "2"]);
    let folder = cluster.folder.path().join("tour");
    std::fs::create_dir(&folder).unwrap();
    let kubeconfig = folder.join("kubeconfig");
    std::fs::copy(cluster.kubeconfig(), &kubeconfig).unwrap();
    cluster.until(&["get", "nodes"], "the nodes are ready", |said| said.matches(" Ready").count() == 2);
    let steps = steps(transcript);
    let wrong: Vec<_> = steps.iter().filter_map(|step| broken(step, &folder, &kubeconfig)).collect();
    assert!(wrong.is_empty(), "{} of {} steps are broken:\n\n{}", wrong.len(), steps.len(), wrong.join("\n\n"));
}

#[test]
fn kubectl_writes() {
    tour(include_str!("tours/write.txt"));
}

#[test]
fn kubectl_reads_rolls_out_and_keeps_nodes() {
    tour(include_str!("tours/read.txt"));
}
