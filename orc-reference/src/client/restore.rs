//! `orc restore`.

use std::fs::File;
use std::io::BufReader;

use anyhow::Context as _;
use orc_store::backend::backup::{self, RestoreOptions};

use super::backup::describe;
use crate::args::{ClusterArgs, RestoreArgs};
use crate::data_dir::DataDir;

/// Makes a data folder from a backup, or only looks at it.
///
/// # Errors
/// When the backup is not whole, or the folder holds a store.
pub fn run(args: &RestoreArgs) -> anyhow::Result<()> {
    let name = args.file.display();
    let mut file = BufReader::new(File::open(&args.file).with_context(|| format!("the backup {name} cannot be read"))?);
    if args.check {
        let info = backup::inspect(&mut file)?;
        anstream::println!("{name}: {}", describe(&info));
        return Ok(());
    }
    let place = ClusterArgs { data_dir: args.data_dir.clone(), ..ClusterArgs::default_place() };
    let data = DataDir::open(&place)?;
    let options = RestoreOptions { skip_revisions: args.skip_revisions };
    let info = backup::restore(&mut file, &data.store(), options)?;
    anstream::println!("{}: {}", data.store().display(), describe(&info));
    if !data.pki().join("ca.crt").exists() {
        anstream::println!(
            "A backup holds no keys: to keep kubeconfigs and service account tokens valid, copy the folder pki of the old data \
             folder to {}; without it new ones are made",
            data.pki().display()
        );
    }
    Ok(())
}
