//! `orc backup`.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use orc_store::backend::backup::{self, BackupInfo};

use super::Client;
use crate::args::BackupArgs;

/// Writes a backup, and checks what was written before it gets its name.
///
/// # Errors
/// The server's; when the file cannot be written or is there already.
pub async fn run(args: BackupArgs) -> anyhow::Result<()> {
    let file = &args.output;
    if file.exists() && !args.overwrite {
        anyhow::bail!("{} is there already; name another file, or add --overwrite", file.display());
    }
    let part = file.with_extension("part");
    let done = fetch(&args, &part).await;
    if done.is_err() {
        // Half a backup is of no use.
        let _ = fs::remove_file(&part);
    }
    let info = done?;
    fs::rename(&part, file).with_context(|| format!("{} cannot be written", file.display()))?;
    anstream::println!("{}: {}", file.display(), describe(&info));
    Ok(())
}

async fn fetch(args: &BackupArgs, part: &Path) -> anyhow::Result<BackupInfo> {
    let client = Client::open(&args.client)?;
    let mut body = client.connection.send(http::Method::GET, crate::backup::PATH, "*/*", None).await?.into_body();
    let mut options = fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)
        .with_context(|| format!("{} cannot be written", part.display()))?;
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the server broke the backup off; its log says why")?;
        if let Ok(data) = frame.into_data() {
            out.write_all(&data)?;
        }
    }
    out.sync_all()?;
    let info = backup::inspect(&mut BufReader::new(File::open(part)?))?;
    Ok(info)
}

/// What a backup holds, in a line.
pub fn describe(info: &BackupInfo) -> String {
    let size = info.bytes as f64 / f64::from(1 << 20);
    format!("{} objects at revision {}, {size:.1} MiB, checked", info.records, info.revision)
}
