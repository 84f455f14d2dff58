//! The medium of production: files in a folder of the operating system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile, OpenMode};
use crate::backend::BackendError;
use crate::backend::durable::words::{in_use, refused};

/// A folder, locked for this process. The file `lock` names the process.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    _lock: File,
}

impl RealDisk {
    /// Makes the folder when it is missing, and takes it. It is given back when the value is dropped.
    ///
    /// # Errors
    /// [`BackendError::Open`] when the folder is in use or not writable; the message says what to do.
    pub fn take(path: &Path) -> Result<Self, BackendError> {
        fs::create_dir_all(path).map_err(|e| refused(path, &e))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(path.join("lock")).map_err(|e| refused(path, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(refused(path, &error)),
        }
        name_process(&mut lock).map_err(|e| refused(path, &e))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

fn name_process(lock: &mut File) -> io::Result<()> {
    let mut text = String::new();
    // What is there may be anything; only a number equal to ours need not be written again.
    let _ = lock.read_to_string(&mut text);
    let ours = format!("{}\n", std::process::id());
    if text == ours {
        return Ok(());
    }
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(ours.as_bytes())
}

impl Disk for RealDisk {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(mode == OpenMode::Create).truncate(false);
        Ok(Arc::new(RealFile(options.open(self.path.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let now = self.size()?;
        if length > now && allocate(&self.0, now, length - now)? {
            return Ok(());
        }
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Takes room for a range, growing the file; `false` where the file system cannot.
#[cfg(target_os = "linux")]
fn allocate(file: &File, from: u64, length: u64) -> io::Result<bool> {
    use rustix::io::Errno;
    let allocate = || rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), from, length);
    match rustix::io::retry_on_intr(allocate) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        Err(error) => {
            // Linux may have grown the file by a part; take it back, so that a failure changes nothing.
            file.set_len(from)?;
            Err(error.into())
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Whether an error says that there is no room.
pub(in crate::backend::durable) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
