//! Running the table: a cluster, its namespaces, some rows side by side, and what came of each.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use crate::row::{Place, Row, Want};
use crate::support::{As, Cluster, text, wait_for};

/// Rows that run at once. A kubectl takes a tenth of a second of a processor; more would only wait.
const LANES: usize = 4;
/// The longest that one shell line may take, in seconds.
const PATIENCE: &str = "90";
/// What rows read and do not change.
const SEEN: &str = include_str!("seen.yaml");

/// Shell functions for rows: `has FILE TEXT` waits until a file has a text, `try LINE` until a command succeeds; `stop` ends the
/// process that was started last with `&`.
const PRELUDE: &str = r#"
has() { until grep -q -e "$2" "$1" 2>/dev/null; do sleep 0.1; done; }
try() { until "$@" >/dev/null 2>&1; do sleep 0.1; done; }
stop() { kill $! 2>/dev/null; wait $! 2>/dev/null; true; }
"#;

/// A cluster with a namespace for each row.
pub struct World {
    pub cluster: Cluster,
    home: PathBuf,
}

/// A row and the name of its namespace.
#[derive(Clone, Copy)]
pub struct Numbered<'a> {
    pub number: usize,
    pub row: &'a Row,
}

impl Numbered<'_> {
    fn namespace(&self) -> String {
        if self.row.place == Place::Seen { "seen".to_owned() } else { format!("row-{}", self.number) }
    }
}

impl World {
    /// Starts a cluster with two nodes of this machine and makes what the rows need.
    pub fn up(rows: &[Numbered<'_>]) -> Self {
        let cluster = Cluster::up(As::Me, &["--nodes", "2"]);
        let home = cluster.folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let world = Self { cluster, home };
        let mut names: Vec<String> = rows.iter().map(Numbered::namespace).collect();
        names.push("seen".to_owned());
        names.sort_unstable();
        names.dedup();
        let mut objects = String::new();
        for name in &names {
            let _ = writeln!(
                objects,
                "---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{of: rows}}}}}}"
            );
        }
        world.cluster.ok_with(&["create", "-f", "-"], &objects);
        // Pods are refused until the controller has made their service account.
        let accounts = ["get", "serviceaccounts", "-A", "--field-selector=metadata.name=default", "-o", "name"];
        world
            .cluster
            .until(&accounts, "each namespace has its account", |said| said.lines().count() >= names.len() + 4);
        if rows.iter().any(|row| row.row.place == Place::Seen) {
            world.cluster.ok_with(&["apply", "-n", "seen", "-f", "-"], SEEN);
            world.cluster.ok(&["rollout", "status", "-n", "seen", "deployment/web", "--timeout=90s"]);
            world.cluster.ok(&["wait", "-n", "seen", "--for=condition=Ready", "pod/talker", "--timeout=90s"]);
        }
        world
    }

    /// Runs the rows, those that must be alone last; what failed.
    pub fn run(&self, rows: &[Numbered<'_>]) -> Vec<String> {
        let (alone, beside): (Vec<_>, Vec<_>) = rows.iter().copied().partition(|row| row.row.place == Place::Alone);
        let mut wrong = self.side_by_side(beside, LANES);
        wrong.extend(self.side_by_side(alone, 1));
        wrong
    }

    fn side_by_side(&self, rows: Vec<Numbered<'_>>, lanes: usize) -> Vec<String> {
        let (queue, wrong) = (Mutex::new(VecDeque::from(rows)), Mutex::new(Vec::new()));
        let take = || queue.lock().unwrap().pop_front();
        std::thread::scope(|scope| {
            for _ in 0..lanes {
                scope.spawn(|| {
                    while let Some(row) = take() {
                        let began = Instant::now();
                        let result = self.attempt(row);
                        let mark = if result.is_ok() { "ok" } else { "FAILED" };
                        let millis = began.elapsed().as_millis();
                        println!("{mark:6} {millis:6} ms  {:3} {}: {}", row.number, row.row.verb, row.row.line);
                        if let Err(said) = result {
                            wrong.lock().unwrap().push(format!("row {} ({}): {said}", row.number, row.row.verb));
                        }
                    }
                });
            }
        });
        wrong.into_inner().unwrap()
    }

    /// Runs one row; what is wrong with it.
    fn attempt(&self, numbered: Numbered<'_>) -> Result<(), String> {
        let row = numbered.row;
        let namespace = numbered.namespace();
        let folder = self.folder(&numbered);
        for (name, content) in &row.files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            // kubectl takes a file that begins with a brace for JSON, whatever it is called.
            let head = if name.ends_with(".yaml") && content.starts_with('{') { "# YAML\n" } else { "" };
            std::fs::write(path, head.to_owned() + &content.replace("$NS", &namespace)).unwrap();
        }
        let sh = |line: &str| self.sh(&numbered, line);
        for line in &row.given {
            let output = sh(line);
            if !output.status.success() {
                return Err(told(line, &output, "to succeed, before the row"));
            }
        }
        let output = sh(row.line);
        let code = output.status.code();
        if row.code.map_or(code == Some(0), |wanted| code != Some(wanted)) {
            return Err(told(row.line, &output, &format!("exit code {:?}", row.code)));
        }
        for (wants, said) in [(&row.out, &output.stdout), (&row.err, &output.stderr)] {
            if let Some(missing) = wants.iter().find_map(|want| want.missing(&text(said), &namespace)) {
                return Err(told(row.line, &output, &missing));
            }
        }
        row.after.iter().try_for_each(|(line, want)| comes_to(|| sh(line), line, want, &namespace))?;
        if row.place != Place::Seen {
            // The pods of many rows would be too many for two nodes.
            sh("kubectl delete namespace $NS --wait=false");
        }
        Ok(())
    }

    fn folder(&self, numbered: &Numbered<'_>) -> PathBuf {
        let folder = self.cluster.folder.path().join(format!("row-{}", numbered.number));
        std::fs::create_dir_all(&folder).unwrap();
        let config = std::fs::read_to_string(self.cluster.kubeconfig()).unwrap();
        let here = format!("    cluster: orc\n    namespace: {}\n", numbered.namespace());
        std::fs::write(folder.join("kubeconfig"), config.replace("    cluster: orc\n", &here)).unwrap();
        folder
    }

    /// Runs a shell line in a row's folder and namespace.
    fn sh(&self, numbered: &Numbered<'_>, line: &str) -> Output {
        let folder = self.cluster.folder.path().join(format!("row-{}", numbered.number));
        let mut command = Command::new("timeout");
        command.args(["-k", "5", PATIENCE, "bash", "-c", &format!("{PRELUDE}{line}")]);
        command.env("KUBECONFIG", folder.join("kubeconfig")).env("HOME", &self.home).env("NS", numbered.namespace());
        command.current_dir(&folder).stdin(Stdio::null()).output().expect("timeout and bash run")
    }
}

/// Waits until a line says what is wanted.
fn comes_to(sh: impl Fn() -> Output, line: &str, want: &Want, namespace: &str) -> Result<(), String> {
    let mut last = None;
    let held = wait_for(line, || {
        let output = sh();
        let missing = want.missing(&text(&output.stdout), namespace);
        last = missing.map(|missing| told(line, &output, &format!("to come to {missing}")));
        last.is_none().then_some(())
    });
    held.ok_or_else(|| last.unwrap_or_default())
}

fn told(line: &str, output: &Output, wanted: &str) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    format!("{line}\nwanted: {wanted}\n{}\nstdout: {out}\nstderr: {err}", output.status)
}
