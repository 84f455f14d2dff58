//! A container's log file in the CRI's format: `<time> <stdout|stderr> <F|P> <line>`.
//!
//! `F` ends a line; `P` is a piece of one that goes on (longer than [`LINE_LIMIT`], or the output ended without a
//! newline), so that a reader can put the bytes back together exactly.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// The same limit as containerd's, which kubelet's readers expect.
const LINE_LIMIT: usize = 16 * 1024;

/// An open log file with the unfinished line of each stream.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Which stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Stdout,
    Stderr,
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

impl LogFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: open(path)?, stdout: Vec::new(), stderr: Vec::new() })
    }

    /// Starts a new file under the same name.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }

    /// Takes output; writes the lines that are complete.
    pub(crate) fn push(&mut self, source: Source, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        let mut out = Vec::new();
        let pending = if source == Source::Stdout { &mut self.stdout } else { &mut self.stderr };
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, whole) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            pending.extend_from_slice(text);
            let mut rest = pending.as_slice();
            while rest.len() > LINE_LIMIT {
                entry(&mut out, now, source, 'P', &rest[..LINE_LIMIT]);
                rest = &rest[LINE_LIMIT..];
            }
            if whole {
                entry(&mut out, now, source, 'F', rest);
                pending.clear();
            } else {
                *pending = rest.to_vec();
            }
        }
        self.file.write_all(&out)
    }

    /// The output ended: writes what has no newline.
    pub(crate) fn finish(&mut self, now: Timestamp) -> io::Result<()> {
        let mut out = Vec::new();
        for (source, pending) in [(Source::Stdout, &mut self.stdout), (Source::Stderr, &mut self.stderr)] {
            if !pending.is_empty() {
                entry(&mut out, now, source, 'P', pending);
                pending.clear();
            }
        }
        self.file.write_all(&out)
    }
}

fn entry(out: &mut Vec<u8>, now: Timestamp, source: Source, tag: char, text: &[u8]) {
    let source = if source == Source::Stdout { "stdout" } else { "stderr" };
    out.extend_from_slice(format!("{now:.9} {source} {tag} ").as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(steps: &[(Source, &[u8])]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c/0.log");
        let mut log = LogFile::open(&path).unwrap();
        for (source, bytes) in steps {
            log.push(*source, bytes, Timestamp::UNIX_EPOCH).unwrap();
        }
        log.finish(Timestamp::UNIX_EPOCH).unwrap();
        std::fs::read_to_string(path).unwrap().replace("1970-01-01T00:00:00.000000000Z ", "")
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let got = logged(&[(Source::Stdout, b"he"), (Source::Stderr, b"oh\n"), (Source::Stdout, b"llo\n\nrest")]);
        assert_eq!(got, "stderr F oh\nstdout F hello\nstdout F \nstdout P rest\n");
    }

    #[test]
    fn a_long_line_is_cut() {
        let line = [vec![b'a'; LINE_LIMIT + 5], vec![b'\n']].concat();
        let got = logged(&[(Source::Stdout, &line)]);
        assert_eq!(got, format!("stdout P {}\nstdout F aaaaa\n", "a".repeat(LINE_LIMIT)));
    }
}
