//! Tables in the format of the trace.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use orc_sched::policies::NAMES;
use orc_sched::policies::gpu::{Ask, Class, Devices, Typical};
use orc_sched::sim::openb::{Experiment, Trace, arrivals, csv, json};
use orc_sched::{Engine, Event};

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("orc-test-sim-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn trace(&self, nodes: &str, tasks: &str) -> Result<Trace, String> {
        let nodes = self.write("nodes.csv", nodes);
        let tasks = self.write("pods.csv", tasks);
        Trace::read(&nodes, &tasks).map_err(|error| error.to_string().replace(&format!("{}/", self.0.display()), ""))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\n";
const TASKS: &str =
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n";

fn small(folder: &Folder) -> Experiment {
    let (mut nodes, mut tasks) = (NODES.to_owned(), TASKS.to_owned());
    for number in 0..20 {
        let _ = writeln!(
            nodes,
            "n{number:02},{},262144,{},{}",
            32_000 * (1 + number % 3),
            [2, 4, 8][number % 3],
            ["T4", "G2"][number % 2]
        );
    }
    for number in 0..200 {
        let (cpu, count, each) =
            [(4000, 1, 500), (6000, 1, 300), (8000, 1, 1000), (12_000, 0, 0), (16_000, 2, 1000), (2000, 1, 700)]
                [number * 7 % 6];
        let spec = ["", "", "", "T4"][number % 4];
        let _ = writeln!(
            tasks,
            "p{number:03},{cpu},8192,{count},{each},{spec},LS,Running,{number},{},{number}",
            number + 500
        );
    }
    Experiment::new(folder.trace(&nodes, &tasks).unwrap())
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_cores() {
    let experiment = small(&Folder::new("bytes"));
    let names: Vec<String> = NAMES.map(str::to_owned).to_vec();
    let together = experiment.run_all(&names, &[1, 2], |_| ()).unwrap();
    let alone: Vec<_> = names.iter().flat_map(|name| [1, 2].map(|seed| experiment.run(name, seed).unwrap())).collect();
    assert_eq!(csv(&together), csv(&alone));
    assert_eq!(json(&together).to_string(), json(&alone).to_string());
    assert_ne!(together[0].curve, together[1].curve, "seeds differ");
    assert!(experiment.run("Fragrant", 1).unwrap_err().to_string().contains("Unsupported value: \"Fragrant\""));
}

#[test]
fn fgd_packs_better_than_chance() {
    let experiment = small(&Folder::new("better"));
    let mean = |name: &str| (0..5).map(|seed| experiment.run(name, seed).unwrap().allocated).sum::<f64>() / 5.0;
    let (random, fgd) = (mean("Random"), mean("FGD"));
    assert!(fgd > random + 1.0, "FGD {fgd:.2}, Random {random:.2}");
}

#[test]
fn demand_is_inflated_and_devices_are_never_overcommitted() {
    let experiment = small(&Folder::new("devices"));
    let trace = experiment.trace();
    let rng = orc_core::env::Rng::seeded(3);
    let tasks = arrivals(trace, &rng);
    let demand: i64 = tasks.iter().map(|task| task.ask.gpu()).sum();
    let capacity = trace.capacity();
    assert!(demand * 10 <= capacity * 13 && demand * 10 > capacity * 13 - 20_000, "{demand} of {capacity}");

    let profile = orc_sched::policies::named("FGD", experiment.typical(), 0).unwrap();
    let mut engine = Engine::new(vec![profile]);
    trace.nodes.iter().for_each(|node| drop(engine.apply(&Event::Node(node.clone()))));
    let mut given = 0;
    for (number, task) in tasks.iter().enumerate() {
        let pod = task.pod(&number.to_string());
        if let Ok(placement) = engine.decide(0, &pod, number as u64).outcome {
            engine.reserve(0, &pod, &placement.node).unwrap();
            given += task.ask.gpu();
            let model = engine.view().node(placement.slot).unwrap().labels["gpu.orc.dev/model"].clone();
            assert!(task.models.is_empty() || task.models.contains(&model), "a pod got a type that it did not ask for");
        }
    }
    let devices = Devices::of(engine.view());
    let free: Vec<i64> = engine.view().present().iter().flat_map(|slot| devices.node(slot).free().to_vec()).collect();
    assert!(free.iter().all(|free| (0..=1000).contains(free)), "{free:?}");
    assert_eq!(free.iter().sum::<i64>(), capacity - given, "every thousandth is on some device");
}

#[test]
fn fragmentation_is_what_typical_pods_cannot_use() {
    let folder = Folder::new("typical");
    let trace = folder.trace(&format!("{NODES}a,8000,1024,2,T4\n"), &format!("{TASKS}p,1000,1,1,600,,,,,,\n")).unwrap();
    let class = |cpu, gpu, share, models: &[&str]| Class {
        cpu,
        gpu,
        share,
        models: models.iter().map(|model| (*model).to_owned()).collect(),
    };
    let mut engine = Engine::new(vec![orc_sched::Profile::empty("any")]);
    trace.nodes.iter().for_each(|node| drop(engine.apply(&Event::Node(node.clone()))));
    let node = Devices::of(engine.view()).node(0);
    let share = Ask { cpu: 1000, memory: 0, count: 1, each: 600 };
    let after = node.after(&share, 0);
    let typical = Typical::new(vec![
        class(1000, (1, 600), 0.4, &[]),  // fits: the 400 left of the first device are lost to it
        class(1000, (2, 1000), 0.2, &[]), // does not fit any more: all 1400 are
        class(9000, (1, 100), 0.1, &[]),  // too much CPU
        class(1000, (1, 100), 0.1, &["G2"]), // another type
        class(1000, (0, 0), 0.2, &[]),    // wants no GPU
    ]);
    let want = 0.4 * 400.0 + (0.2 + 0.1 + 0.1 + 0.2) * 1400.0;
    assert!((typical.fragmentation(&after) - want).abs() < 1e-9, "{}", typical.fragmentation(&after));
}

#[test]
fn broken_rows_are_told_with_file_line_and_field() {
    let folder = Folder::new("broken");
    let nodes = format!("{NODES}a,8000,1024,2,T4\n");
    let refused = |tasks: &str| folder.trace(&nodes, tasks).unwrap_err();
    assert_eq!(
        refused(&format!("{TASKS}p,1000,1,1,600,,,,,,\nq,x,1,1,600,,,,,,\n")),
        "pods.csv:3: cpu_milli: Invalid value: \"x\": must be a non-negative number"
    );
    assert_eq!(refused(&format!("{TASKS}p,1000,1\n")), "pods.csv:2: 3 fields, the header has 11");
    assert_eq!(
        refused(&format!("{TASKS}p,1000,1,2,600,,,,,,\n")),
        "pods.csv:2: gpu_milli: Invalid value: 600: must be from 1 to 1000, and 1000 for more than one GPU"
    );
    assert!(refused("name,cpu_milli\n").starts_with("pods.csv:1: memory_mib: missing"));
    assert!(refused(&format!("{TASKS}p,1,1,0,0,,,,,,\np,1,1,0,0,,,,,,\n")).starts_with("pods.csv:3: name: Duplicate"));
    assert_eq!(refused(""), "pods.csv: the file is empty");
    let wide = folder.trace(&format!("{NODES}a,1,1,17,T4\n"), TASKS).unwrap_err();
    assert_eq!(wide, "nodes.csv:2: gpu: Invalid value: 17: must be at most 16");
}

/// One seed of the real list, where it is there: the published means are 95.23 and 86.30, and one seed is within a point and a
/// half of them.
#[test]
fn a_slice_of_the_published_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/openb");
    if !folder.exists() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    let trace = Trace::read(&folder.join("openb_node_list_gpu_node.csv"), &folder.join("openb_pod_list_default.csv"));
    let experiment = Experiment::new(trace.unwrap());
    assert_eq!(experiment.typical().classes().len(), 35);
    let outcomes = experiment.run_all(&["FGD".to_owned(), "Random".to_owned()], &[42], |_| ()).unwrap();
    let got: Vec<f64> = outcomes.iter().map(|outcome| outcome.allocated).collect();
    assert!((got[0] - 95.23).abs() < 1.5 && (got[1] - 86.30).abs() < 1.5, "{got:?}");
}
