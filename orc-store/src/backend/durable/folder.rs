//! What is in a data folder: whether it was used before, and whether its files are there.
//!
//! `store.redb` is the base; `<20 digits>.log` are the log's segments; `format` is written once the base is whole, so that a
//! base that vanished or was emptied is told from a folder that was never used. `store.new` is a restore that did not end.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::disk::{Disk, OpenMode};
use super::format::FORMAT;
use super::log;
use super::words::{corrupt, newer, refused};
use crate::backend::BackendError;

/// The base's file.
pub(super) const BASE: &str = "store.redb";
/// A base that a restore is writing.
pub(super) const RESTORING: &str = "store.new";
/// A base that is being made.
pub(super) const MAKING: &str = "store.first";
const MARK: &str = "format";
const MARK_NEW: &str = "format.new";

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The format that its mark names.
    pub(super) format: Option<u64>,
    pub(super) base: bool,
    pub(super) restoring: bool,
    pub(super) segments: BTreeSet<u64>,
}

/// Looks into a folder. Messages name it by `path`.
pub(super) fn look(disk: &dyn Disk, path: &Path) -> Result<Content, BackendError> {
    let names = disk.list().map_err(|e| refused(path, &e))?;
    let has = |name: &str| names.iter().any(|one| one == name);
    let format = if has(MARK) { Some(format(disk, path)?) } else { None };
    if let Some(format) = format
        && format > FORMAT
    {
        return Err(newer(path, format));
    }
    let base =
        has(BASE) && disk.open(BASE, OpenMode::Existing).and_then(|f| f.size()).map_err(|e| refused(path, &e))? > 0;
    let segments = names.iter().filter_map(|name| log::number(name)).collect();
    Ok(Content { format, base, restoring: has(RESTORING), segments })
}

/// Looks into a folder that is to be opened.
pub(super) fn look_for_use(disk: &dyn Disk, path: &Path) -> Result<Content, BackendError> {
    let content = look(disk, path)?;
    if content.format.is_some() && !content.base {
        return Err(corrupt(path, "its file store.redb is missing or empty although the folder was in use"));
    }
    if content.restoring && !content.base {
        return Err(BackendError::Open(format!(
            "a restore into the data folder {} did not end; restore again, or remove its file {RESTORING} to start empty",
            path.display()
        )));
    }
    Ok(content)
}

/// Notes that the base is whole and of this format.
pub(super) fn mark_used(disk: &dyn Disk) -> io::Result<()> {
    let text = format!("{FORMAT}\n");
    let file = disk.open(MARK_NEW, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_at(0, text.as_bytes())?;
    file.sync_data()?;
    disk.rename(MARK_NEW, MARK)?;
    disk.sync_dir()
}

fn format(disk: &dyn Disk, path: &Path) -> Result<u64, BackendError> {
    let text = (|| {
        let file = disk.open(MARK, OpenMode::Existing)?;
        // A number and a line's end; more is no mark of ours.
        let mut text = vec![0; usize::try_from(file.size()?.min(32)).unwrap_or(0)];
        file.read_at(0, &mut text)?;
        io::Result::Ok(text)
    })();
    let text = text.map_err(|e| refused(path, &e))?;
    let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| corrupt(path, "its file `format` does not hold a number"))
}

/// The sum of the sizes of files, for progress.
pub(super) fn sizes<'a>(disk: &dyn Disk, names: impl IntoIterator<Item = String> + 'a) -> u64 {
    let size = |name: String| disk.open(&name, OpenMode::Existing).and_then(|file| file.size());
    // A file that cannot be read is told by whoever reads it.
    names.into_iter().filter_map(|name| size(name).ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeDisk;

    #[test]
    fn a_mark_is_a_number() {
        let (disk, path) = (FakeDisk::new(), Path::new("/d"));
        assert_eq!(look(&disk, path).unwrap().format, None);
        mark_used(&disk).unwrap();
        assert_eq!(look(&disk, path).unwrap().format, Some(FORMAT));
        assert!(matches!(look_for_use(&disk, path), Err(BackendError::Corrupt(_))), "a mark without a base");
        disk.put(MARK, b"nine");
        assert!(matches!(look(&disk, path), Err(BackendError::Corrupt(_))));
    }
}
