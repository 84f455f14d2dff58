//! Writes the good inputs of every decoder into `corpus/<target>/`, for libFuzzer to start from.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let all = [
        orc_core::fuzzing::TARGETS,
        orc_store::fuzzing::TARGETS,
        orc_api::fuzzing::TARGETS,
        orc_net::fuzzing::TARGETS,
        orc_runtime::fuzzing::TARGETS,
    ];
    for target in all.into_iter().flatten() {
        let folder = Path::new("corpus").join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
        println!("{}", folder.display());
    }
    Ok(())
}
