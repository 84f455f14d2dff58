//! Log files that grow: moved aside when they are too large, packed, and forgotten when there are too many.
//!
//! ```text
//! web/0.log                        written by the runtime
//! web/0.log.20260101-120000        the part before, for readers that are still in it
//! web/0.log.20260101-115000.gz     those before that
//! ```
//!
//! As with the kubelet (`containerLogMaxSize`, `containerLogMaxFiles`), a request for logs reads the present file; one
//! that follows goes on from file to file and loses nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::context::Context;
use crate::runtime::{ContainerState, ContainerStatus, RuntimeError};

/// A file that is being packed; one that is found is the rest of an agent that was killed.
const UNFINISHED: &str = "tmp";
const PACKED: &str = "gz";

/// Looks after the node's logs until it is dropped.
pub(super) async fn run(context: Arc<Context>) {
    if context.config.is_simulated() {
        return;
    }
    loop {
        context.env.clock.sleep(context.config.log_check_interval).await;
        match context.runtime.list_containers(None).await {
            Ok(all) => {
                for container in all.iter().filter(|container| container.state == ContainerState::Running) {
                    look_after(&context, container).await;
                }
            }
            Err(error) => tracing::warn!(error = %error.full_message(), "logs are not rotated now"),
        }
    }
}

async fn look_after(context: &Context, container: &ContainerStatus) {
    let Some(path) = &container.log_path else { return };
    let size = tokio::fs::metadata(path).await.map_or(0, |found| found.len());
    if size <= context.config.log_max_bytes {
        return;
    }
    if let Err(error) = rotate(context, container, path).await {
        tracing::warn!(container = %container.id, error = %error.full_message(), "a log was not rotated");
    }
}

async fn rotate(context: &Context, container: &ContainerStatus, path: &Path) -> Result<(), RuntimeError> {
    let aside = PathBuf::from(format!("{}.{}", path.display(), context.now().strftime("%Y%m%d-%H%M%S")));
    if aside.exists() {
        // Twice in a second: the next look is soon enough.
        return Ok(());
    }
    let failed = |error| RuntimeError::io(format!("rotate {}", path.display()), error);
    // The present file and the one that is moved aside count as well.
    let keep = context.config.log_max_files.saturating_sub(2) as usize;
    let log = path.to_owned();
    let tidied = tokio::task::spawn_blocking(move || tidy(&log, keep)).await;
    tidied.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
    fs::rename(path, &aside).map_err(failed)?;
    if let Err(error) = context.runtime.reopen_log(&container.id).await {
        // What is written goes on into the file moved aside: give it its name back.
        if !path.exists() {
            fs::rename(&aside, path).map_err(failed)?;
        }
        return Err(error);
    }
    Ok(())
}

/// Packs the older parts of a log and removes the oldest.
fn tidy(log: &Path, keep: usize) -> io::Result<()> {
    let mut parts = parts(log)?;
    for rest in parts.extract_if(.., |part| part.extension().is_some_and(|end| end == UNFINISHED)) {
        fs::remove_file(rest)?;
    }
    let excess = parts.len().saturating_sub(keep);
    for oldest in parts.drain(..excess) {
        fs::remove_file(oldest)?;
    }
    let unpacked = parts.into_iter().filter(|part| part.extension().is_none_or(|end| end != PACKED));
    unpacked.into_iter().try_for_each(|part| pack(&part))
}

/// What was moved aside of a log, the oldest first: their names are times.
fn parts(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(dir), Some(name)) = (log.parent(), log.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}

fn pack(part: &Path) -> io::Result<()> {
    let named = |end: &str| PathBuf::from(format!("{}.{end}", part.display()));
    let unfinished = named(UNFINISHED);
    let mut packed = GzEncoder::new(fs::File::create(&unfinished)?, Compression::default());
    io::copy(&mut fs::File::open(part)?, &mut packed)?;
    packed.finish()?.sync_all()?;
    fs::rename(&unfinished, named(PACKED))?;
    fs::remove_file(part)
}

/// Removes the log of a run that nobody can ask for any more, with its older parts.
pub(super) fn forget(log: &Path) -> io::Result<()> {
    for part in parts(log)?.into_iter().chain([log.to_owned()]) {
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn names(dir: &Path) -> Vec<String> {
        let mut all: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        all.sort();
        all
    }

    #[test]
    fn old_parts_are_packed_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        for (name, text) in
            [("0.log", "now"), ("0.log.1.gz", "x"), ("0.log.2", "b"), ("0.log.3", "c"), ("0.log.2.tmp", "")]
        {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::write(dir.path().join("1.log"), "another run").unwrap();
        tidy(&log, 2).unwrap();
        assert_eq!(names(dir.path()), ["0.log", "0.log.2.gz", "0.log.3.gz", "1.log"]);
        let mut text = String::new();
        flate2::read::GzDecoder::new(fs::File::open(dir.path().join("0.log.2.gz")).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "b");
        forget(&log).unwrap();
        assert_eq!(names(dir.path()), ["1.log"]);
    }
}
