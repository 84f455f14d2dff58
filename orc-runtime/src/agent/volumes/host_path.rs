//! `hostPath`: what must be there, and what is made.

use std::fs::{self, FileType};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use k8s_openapi::api::core::v1::HostPathVolumeSource;

/// Checks or makes the path as its `type` says.
pub(super) fn check(volume: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&volume.path);
    let kind = volume.type_.as_deref().unwrap_or_default();
    let found = fs::metadata(path).ok().map(|meta| meta.file_type());
    let must = |what: &str, is: fn(&FileType) -> bool| match &found {
        Some(found) if is(found) => Ok(()),
        _ => Err(format!("hostPath type check failed: {} is not {what}", path.display())),
    };
    let failed = |error: std::io::Error| format!("make {}: {error}", path.display());
    match kind {
        "" => Ok(()),
        "Directory" => must("a directory", FileType::is_dir),
        "File" => must("a file", FileType::is_file),
        "Socket" => must("a socket file", FileType::is_socket),
        "CharDevice" => must("a character device", FileType::is_char_device),
        "BlockDevice" => must("a block device", FileType::is_block_device),
        "DirectoryOrCreate" if found.is_none() => {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed)
        }
        "DirectoryOrCreate" => must("a directory", FileType::is_dir),
        "FileOrCreate" if found.is_none() => fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)
            .map(drop)
            .map_err(failed),
        "FileOrCreate" => must("a file", FileType::is_file),
        other => Err(format!("hostPath type {other:?} is not known")),
    }
}
