//! Reading a container's log file for `kubectl logs`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::ProcessRuntime;
use crate::runtime::{ContainerId, ContainerState, LogChunks, LogOptions, RuntimeError};

/// How often a followed file is looked at; log lines cause no events.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const CHUNK: usize = 64 * 1024;

/// Turns lines of the log file into what the client wants. Pure.
struct Filter {
    since: Option<Timestamp>,
    timestamps: bool,
    stream: Option<String>,
    left: Option<u64>,
    pending: Vec<u8>,
    /// The next piece continues a line that was already begun.
    inside_line: bool,
}

impl Filter {
    fn new(options: &LogOptions, now: Timestamp) -> Self {
        let back = options.since.and_then(|back| now.checked_sub(back).ok());
        Self {
            since: options.since_time.or(back),
            timestamps: options.timestamps,
            stream: options.stream.as_ref().map(|name| name.to_lowercase()).filter(|name| name != "all"),
            left: options.limit_bytes,
            pending: Vec::new(),
            inside_line: false,
        }
    }

    fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pending.extend_from_slice(bytes);
        let Some(end) = self.pending.iter().rposition(|b| *b == b'\n') else { return Vec::new() };
        let rest = self.pending.split_off(end + 1);
        let whole = std::mem::replace(&mut self.pending, rest);
        let mut out = Vec::new();
        for line in whole.split_inclusive(|b| *b == b'\n') {
            self.line(line, &mut out);
        }
        if let Some(left) = &mut self.left {
            out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= out.len() as u64;
        }
        out
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(entry) = parse(line) else { return };
        let early = self.since.is_some_and(|since| entry.time.parse::<Timestamp>().is_ok_and(|at| at < since));
        if early || self.stream.as_ref().is_some_and(|wanted| wanted != entry.stream) {
            return;
        }
        if self.timestamps && !self.inside_line {
            out.extend_from_slice(entry.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(entry.text);
        if entry.whole {
            out.push(b'\n');
        }
        self.inside_line = !entry.whole;
    }
}

struct Entry<'a> {
    time: &'a str,
    stream: &'a str,
    whole: bool,
    text: &'a [u8],
}

fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut parts = line.splitn(4, |b| *b == b' ');
    let mut word = || std::str::from_utf8(parts.next()?).ok();
    let (time, stream, tag) = (word()?, word()?, word()?);
    Some(Entry { time, stream, whole: tag.starts_with('F'), text: parts.next().unwrap_or_default() })
}

/// Where the last `lines` lines begin.
async fn tail_start(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut position = file.seek(io::SeekFrom::End(0)).await?;
    let mut found = 0;
    // The newline at the very end of the file ends the last line and begins none.
    let mut skip_last = true;
    while position > 0 {
        let size = position.min(CHUNK as u64);
        position -= size;
        file.seek(io::SeekFrom::Start(position)).await?;
        let mut chunk = vec![0; size as usize];
        file.read_exact(&mut chunk).await?;
        for (at, _) in chunk.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if std::mem::take(&mut skip_last) && lines > 0 {
                continue;
            }
            if found == lines || found + 1 == lines {
                return Ok(position + at as u64 + 1);
            }
            found += 1;
        }
    }
    Ok(0)
}

struct Reader {
    runtime: ProcessRuntime,
    id: ContainerId,
    path: PathBuf,
    file: Option<File>,
    filter: Filter,
    follow: bool,
    /// Another file is under the name: this one is read to its end once more, for it was written to until then.
    moved_on: bool,
    /// The container was seen ended before the last read: what is read now is all.
    last_round: bool,
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut chunk = vec![0; CHUNK];
        loop {
            if self.filter.is_full() {
                return Ok(None);
            }
            let size = match &mut self.file {
                Some(file) => file.read(&mut chunk).await?,
                None => 0,
            };
            if size > 0 {
                let out = self.filter.push(&chunk[..size]);
                if !out.is_empty() {
                    return Ok(Some(out.into()));
                }
                continue;
            }
            if self.follow_rotation().await? {
                continue;
            }
            if !self.follow || self.last_round {
                return Ok(None);
            }
            let status = self.runtime.container(&self.id).map(|(pod, c)| self.runtime.container_status_of(&pod, &c));
            self.last_round =
                !status.is_ok_and(|s| matches!(s.state, ContainerState::Running | ContainerState::Created));
            if !self.last_round {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Opens the file that is under the name now, if it is another one.
    async fn follow_rotation(&mut self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let Some(there) = metadata(&self.path).await? else { return Ok(false) };
        if let Some(file) = &self.file
            && file.metadata().await?.ino() == there.ino()
        {
            return Ok(false);
        }
        let fresh = self.file.is_none() || self.follow;
        if fresh && self.file.is_some() && !std::mem::replace(&mut self.moved_on, true) {
            return Ok(true);
        }
        if fresh {
            self.moved_on = false;
            self.file = Some(File::open(&self.path).await?);
        }
        Ok(fresh)
    }
}

async fn metadata(path: &Path) -> io::Result<Option<std::fs::Metadata>> {
    match tokio::fs::metadata(path).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn open(
    runtime: &ProcessRuntime,
    id: &ContainerId,
    options: &LogOptions,
) -> Result<LogChunks, RuntimeError> {
    let (pod, record) = runtime.container(id)?;
    let path = runtime.container_status_of(&pod, &record).log_path;
    let path = path.ok_or_else(|| RuntimeError::Invalid(format!("container {id} keeps no log")))?;
    let failed = |error| RuntimeError::io("read the log", error);
    let mut file = None;
    if metadata(&path).await.map_err(failed)?.is_some() {
        let mut opened = File::open(&path).await.map_err(failed)?;
        let start = match options.tail_lines {
            Some(lines) => tail_start(&mut opened, lines).await.map_err(failed)?,
            None => 0,
        };
        opened.seek(io::SeekFrom::Start(start)).await.map_err(failed)?;
        file = Some(opened);
    }
    #[allow(clippy::disallowed_methods, reason = "sinceSeconds counts back from the wall time")]
    let filter = Filter::new(options, Timestamp::now());
    let reader = Reader {
        runtime: runtime.clone(),
        id: id.clone(),
        path,
        file,
        filter,
        follow: options.follow,
        moved_on: false,
        last_round: false,
    };
    Ok(Box::pin(stream::try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|chunk| (chunk, reader)))
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stderr F two\n\
        2026-01-01T00:00:03Z stdout P thr\n2026-01-01T00:00:03Z stdout F ee\n";

    fn shown(options: LogOptions) -> String {
        let mut filter = Filter::new(&options, "2026-01-01T00:00:04Z".parse().unwrap());
        // In two pieces, cut inside a line.
        let mut out = filter.push(&LOG[..40]);
        out.extend(filter.push(&LOG[40..]));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_come_back_as_written() {
        assert_eq!(shown(LogOptions::default()), "one\ntwo\nthree\n");
        assert_eq!(shown(LogOptions { stream: Some("Stderr".into()), ..Default::default() }), "two\n");
        assert_eq!(shown(LogOptions { limit_bytes: Some(5), ..Default::default() }), "one\nt");
        let since = LogOptions { since: Some(Duration::from_secs(2)), timestamps: true, ..Default::default() };
        assert_eq!(shown(since), "2026-01-01T00:00:02Z two\n2026-01-01T00:00:03Z three\n");
    }

    #[tokio::test]
    async fn the_tail_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "a\nbb\nccc\n").unwrap();
        for (lines, start) in [(0, 9), (1, 5), (2, 2), (3, 0), (9, 0)] {
            let mut file = File::open(&path).await.unwrap();
            assert_eq!(tail_start(&mut file, lines).await.unwrap(), start, "{lines}");
        }
    }
}
