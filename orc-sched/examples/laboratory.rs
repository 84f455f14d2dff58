use orc_sched::policies::{profile, Temper, Tempered, NAMES};
use orc_sched::sim::openb::{Experiment, Trace};
use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let dir = Path::new("/work/shared/data/openb");
    let trace = Trace::read(&dir.join("openb_node_list_gpu_node.csv"), &dir.join(format!("openb_pod_list_{}.csv", args[1]))).unwrap();
    let lab = Experiment::new(trace);
    println!("{} classes", lab.typical().classes().len());
    let names: Vec<String> = if args[2] == "all" { NAMES.iter().map(|n| n.to_string()).collect() } else { args[2].split(',').map(str::to_owned).collect() };
    let seeds: Vec<u64> = args[3].split(',').map(|s| s.parse().unwrap()).collect();
    for name in &names {
        let start = std::time::Instant::now();
        let out = lab.run_all(&[name.clone()], &seeds, |_| ()).unwrap();
        let mean = out.iter().map(|o| o.allocated).sum::<f64>() / out.len() as f64;
        println!("{name:14} {mean:.2}  {:.2?} refused {} placed {} frag {:.2}", start.elapsed(), out[0].refused, out[0].placed, out[0].curve.last().unwrap().fragmented);
    }
}
