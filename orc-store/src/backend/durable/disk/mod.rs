//! The medium: the one way from the durable backend to bytes that survive.
//!
//! Log, base and folder are written through [`Disk`] and [`DiskFile`], so that a test can put
//! [`FakeDisk`](crate::testing::FakeDisk) below and cut the power between any two calls. Names are flat: no folders below.
//!
//! What is assumed of an implementation: after [`DiskFile::sync_data`] a file's content and length survive a crash; after
//! [`Disk::sync_dir`] so do names. Before that any sector written may be old or new, in any order, and names are as after
//! some of the operations. Sectors that were not written keep what they hold.

mod real;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

pub use real::RealDisk;
pub(super) use real::is_full;

/// Whether opening may make a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// Fails with `NotFound` when there is no such file.
    Existing,
    /// Makes an empty file when there is none.
    Create,
}

/// A flat folder of files that one process has to itself while the value lives.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` for a missing file in [`OpenMode::Existing`]; others as the medium has them.
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, over any file of that name, in one step.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Files that are open stay readable.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, sorted.
    ///
    /// # Errors
    /// As the medium has them.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes names durable: files made, renamed and removed so far.
    ///
    /// # Errors
    /// After an error it is unknown which names survive.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file. All methods may be called from several threads.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// The length in bytes.
    ///
    /// # Errors
    /// As the medium has them.
    fn size(&self) -> io::Result<u64>;

    /// Fills the buffer from an offset in bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file is shorter.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all bytes at an offset, growing the file when it is shorter.
    ///
    /// # Errors
    /// `StorageFull` and `QuotaExceeded` when there is no room; any part may then have been written.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Sets the length. Growing takes the room first where the file system can, so that later writes inside do not find
    /// the disk full; new bytes are zero.
    ///
    /// # Errors
    /// `StorageFull` and `QuotaExceeded` when there is no room; the content is then as before.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes content and length durable.
    ///
    /// # Errors
    /// After an error it is unknown what survives, and a later success proves nothing of writes before it: Linux forgets
    /// the pages that it failed to write (<https://wiki.postgresql.org/wiki/Fsync_Errors>).
    fn sync_data(&self) -> io::Result<()>;
}
