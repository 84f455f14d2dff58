//! `orc simulate`: policies side by side, without a cluster.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn simulate(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orc")).arg("simulate").args(args).current_dir(folder).output().unwrap()
}

fn ok(folder: &Path, args: &[&str]) -> String {
    let output = simulate(folder, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, args: &[&str]) -> String {
    let output = simulate(folder, args);
    assert!(!output.status.success(), "it ran");
    String::from_utf8(output.stderr).unwrap()
}

/// A small trace in the format of the public one.
fn trace(folder: &Path) {
    let mut nodes = "sn,cpu_milli,memory_mib,gpu,model\n".to_owned();
    for number in 0..10 {
        let _ = writeln!(nodes, "n{number},64000,262144,{},T4", 2 + number % 3 * 3);
    }
    let mut tasks =
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time\n".to_owned();
    for number in 0..100 {
        let (count, each) = [(1, 400), (1, 700), (1, 1000), (2, 1000), (0, 0)][number % 5];
        let _ = writeln!(tasks, "p{number},4000,8192,{count},{each},,LS,Running,{number},{}", number + 60);
    }
    fs::write(folder.join("nodes.csv"), nodes).unwrap();
    fs::write(folder.join("pods.csv"), tasks).unwrap();
}

const TRACE: [&str; 4] = ["--nodes", "nodes.csv", "--pods", "pods.csv"];

#[test]
fn the_experiment_as_json_csv_and_report() {
    let folder = tempfile::tempdir().unwrap();
    trace(folder.path());
    let run = |files: [&str; 2]| {
        let more = ["--policy", "FGD,Random", "--seeds", "1..3", "--json", "--csv", files[0], "--report", files[1]];
        ok(folder.path(), &[&TRACE[..], &more].concat())
    };
    let (once, again) = (run(["a.csv", "a.html"]), run(["b.csv", "b.html"]));
    assert_eq!(once, again);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("a.csv"), read("b.csv"));
    assert_eq!(read("a.html"), read("b.html"));
    let told: serde_json::Value = serde_json::from_str(&once).unwrap();
    assert_eq!(told["policies"][0]["runs"].as_array().unwrap().len(), 3);
    assert!(told["policies"][1]["allocatedPercent"].as_f64().unwrap() > 50.0);
    assert!(String::from_utf8(read("a.html")).unwrap().contains("<polyline"));
}

#[test]
fn virtual_time_with_failures_and_more_nodes() {
    let folder = tempfile::tempdir().unwrap();
    trace(folder.path());
    let more = ["--policy", "Default,BestFit", "--replay", "--fail-every", "20", "--repair", "10", "--autoscale", "3"];
    let table = ok(folder.path(), &[&TRACE[..], &more].concat());
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].contains("delay p50") && lines[1].starts_with("Default") && lines[2].starts_with("BestFit"),
        "{table}"
    );
}

#[test]
fn what_is_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    trace(folder.path());
    let unknown = refused(folder.path(), &[&TRACE[..], &["--policy", "Best"]].concat());
    assert!(unknown.contains("Unsupported value: \"Best\": supported values: Random, DotProd"), "{unknown}");
    fs::write(folder.path().join("pods.csv"), "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,one,0\n").unwrap();
    let broken = refused(folder.path(), &[&TRACE[..], &["--policy", "FGD"]].concat());
    assert!(broken.contains("pods.csv:2: num_gpu: Invalid value: \"one\""), "{broken}");
    let nothing = refused(folder.path(), &["--policy", "FGD"]);
    assert!(nothing.contains("--nodes"), "{nothing}");
    fs::write(folder.path().join("w.json"), r#"{"ops": [{"op": "explode"}]}"#).unwrap();
    let workload = refused(folder.path(), &["--workload", "w.json", "--policy", "Default"]);
    assert!(workload.contains("w.json: ops[0].op: Unsupported value"), "{workload}");
}
