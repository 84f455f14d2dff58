//! A file that is put aside when it grows too large, with old ones taken away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

/// When a file is put aside, and how long its predecessors are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Limits {
    /// Bytes; 0 for no bound.
    pub(super) size: u64,
    /// How many files are kept; 0 for all.
    pub(super) backups: usize,
    /// For how long; zero for ever.
    pub(super) age: Duration,
}

/// A log file. Backups are named as lumberjack names them: `audit-2026-01-02T03-04-05.678.log`.
pub(super) struct Rotating {
    path: PathBuf,
    limits: Limits,
    file: File,
    size: u64,
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

impl Rotating {
    /// Opens a file, behind what it holds.
    ///
    /// # Errors
    /// When it cannot be opened for writing.
    pub(super) fn open(path: &Path, limits: Limits) -> io::Result<Self> {
        let file = open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), limits, file, size })
    }

    /// Writes a text whole, in a new file if it does not fit into this one.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn write(&mut self, text: &[u8], now: Timestamp) -> io::Result<()> {
        let after = self.size + text.len() as u64;
        if self.limits.size > 0 && self.size > 0 && after > self.limits.size {
            self.rotate(now)?;
        }
        self.file.write_all(text)?;
        self.size += text.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        let (stem, ending) = self.names();
        let mark = now.strftime("%Y-%m-%dT%H-%M-%S%.3f");
        let mut aside = self.path.with_file_name(format!("{stem}-{mark}{ending}"));
        let mut more = 0;
        while aside.exists() {
            more += 1;
            aside = self.path.with_file_name(format!("{stem}-{mark}-{more}{ending}"));
        }
        std::fs::rename(&self.path, aside)?;
        self.file = open(&self.path)?;
        self.size = 0;
        self.clean(now)
    }

    fn names(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let ending = text(self.path.extension()).map(|ending| format!(".{ending}")).unwrap_or_default();
        (text(self.path.file_stem()).unwrap_or_default(), ending)
    }

    /// Takes away what is too old or too many.
    fn clean(&self, now: Timestamp) -> io::Result<()> {
        let (stem, ending) = self.names();
        let prefix = format!("{stem}-");
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut backups: Vec<(String, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Only what looks like a mark of time is ours.
            let ours = name.strip_prefix(&prefix).is_some_and(|rest| {
                rest.ends_with(&ending) && rest.len() > 20 && rest.as_bytes()[4] == b'-' && rest.as_bytes()[10] == b'T'
            });
            if ours && entry.path() != self.path {
                backups.push((name, entry.path()));
            }
        }
        backups.sort();
        backups.reverse();
        let oldest = now.checked_sub(self.limits.age).ok().filter(|_| !self.limits.age.is_zero());
        let oldest = oldest.map(|at| format!("{prefix}{}", at.strftime("%Y-%m-%dT%H-%M-%S%.3f")));
        for (at, (name, path)) in backups.iter().enumerate() {
            let too_many = self.limits.backups > 0 && at >= self.limits.backups;
            if too_many || oldest.as_ref().is_some_and(|oldest| name < oldest) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_put_aside_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(folder.path().join("audit-notes.log"), "mine").unwrap();
        let limits = Limits { size: 10, backups: 2, age: Duration::from_secs(1000) };
        let mut log = Rotating::open(&path, limits).unwrap();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        for second in 0..5 {
            log.write(b"12345678\n", at(second)).unwrap();
        }
        let mark = |second: i64| format!("audit-1970-01-01T00-00-0{second}.000.log");
        assert_eq!(files(folder.path()), [mark(3), mark(4), "audit-notes.log".into(), "audit.log".into()]);
        log.write(b"12345678\n", at(5000)).unwrap();
        let kept = files(folder.path());
        assert_eq!(
            kept,
            ["audit-1970-01-01T01-23-20.000.log", "audit-notes.log", "audit.log"],
            "the others are too old"
        );
        drop(log);
        let mut again = Rotating::open(&path, limits).unwrap();
        again.write(b"x\n", at(5001)).unwrap();
        assert_eq!(files(folder.path()).len(), 4, "what a file holds from before counts");
    }
}
