//! Writing the files of a volume so that readers see all of the old ones or all of the new ones.
//!
//! The layout is the kubelet's: `name -> ..data/name`, `..data -> ..<time>`; the swap of `..data` is the one step that
//! readers can see.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path};

use jiff::Timestamp;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) content: Vec<u8>,
    pub(super) mode: u32,
}

/// Files by relative path.
pub(super) type Files = BTreeMap<String, File>;

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

/// Brings a volume to hold exactly these files. Nothing is touched when it does already.
pub(super) fn write(volume: &Path, files: &Files, fs_group: Option<i64>, now: Timestamp) -> Result<(), String> {
    if let Some(bad) = files.keys().find(|path| !is_inside(path)) {
        return Err(format!("the path {bad:?} must be relative, without '..'"));
    }
    let failed = |error: io::Error| format!("write {}: {error}", volume.display());
    fs::create_dir_all(volume).map_err(failed)?;
    if is_current(volume, files) {
        return Ok(());
    }
    own(volume, 0o755, fs_group)?;
    let old = fs::read_link(volume.join(DATA)).ok();
    let dir = format!("..{}", now.as_nanosecond());
    let place = volume.join(&dir);
    // What a killed agent left half-written is never linked; it goes with the next sweep.
    fs::create_dir_all(&place).map_err(failed)?;
    own(&place, 0o755, fs_group)?;
    for (path, file) in files {
        let target = place.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&target, &file.content).map_err(failed)?;
        let mode = if fs_group.is_some() { file.mode | 0o440 } else { file.mode };
        own(&target, mode, fs_group)?;
    }
    let next = volume.join(DATA_NEXT);
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    symlink(&dir, &next).map_err(failed)?;
    fs::rename(&next, volume.join(DATA)).map_err(failed)?;
    link(volume, files).map_err(failed)?;
    if let Some(old) = old.filter(|old| *old != Path::new(&dir)) {
        fs::remove_dir_all(volume.join(old)).map_err(failed)?;
    }
    Ok(())
}

/// The links that users see: one for each first part of a path.
fn link(volume: &Path, files: &Files) -> io::Result<()> {
    let wanted: BTreeSet<&str> =
        files.keys().filter_map(|path| path.split('/').find(|part| !part.is_empty())).collect();
    for entry in fs::read_dir(volume)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            fs::remove_file(volume.join(name.as_ref()))?;
        }
    }
    for name in wanted {
        match symlink(Path::new(DATA).join(name), volume.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_))) && !path.starts_with("..")
}

fn is_current(volume: &Path, files: &Files) -> bool {
    let data = volume.join(DATA);
    let mut present = BTreeMap::new();
    data.is_dir() && collect(&data, "", &mut present).is_ok() && {
        let wanted: BTreeMap<&str, &[u8]> =
            files.iter().map(|(path, file)| (path.as_str(), file.content.as_slice())).collect();
        present.len() == wanted.len()
            && present.iter().all(|(path, content)| wanted.get(path.as_str()) == Some(&content.as_slice()))
    }
}

fn collect(dir: &Path, prefix: &str, into: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), into)?;
        } else {
            into.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// Sets mode and, when asked for, group.
pub(super) fn own(path: &Path, mode: u32, fs_group: Option<i64>) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("{what} of {}: {error}", path.display());
    let mut mode = mode;
    if let Some(group) = fs_group.and_then(|group| u32::try_from(group).ok()) {
        let present = fs::metadata(path).map_err(|error| failed("read the group", error))?.gid();
        if present != group {
            std::os::unix::fs::chown(path, None, Some(group))
                .map_err(|error| failed(&format!("set the group {group} (fsGroup)"), error))?;
        }
        if path.is_dir() {
            mode |= 0o2070;
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| failed("set the mode", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> Files {
        pairs
            .iter()
            .map(|(path, text)| ((*path).to_owned(), File { content: text.as_bytes().to_vec(), mode: 0o644 }))
            .collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn contents_are_swapped_whole() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        write(&volume, &files(&[("a", "1"), ("sub/b", "2")]), None, at(1)).unwrap();
        assert_eq!(fs::read_to_string(volume.join("sub/b")).unwrap(), "2");
        let first = fs::read_link(volume.join(DATA)).unwrap();
        write(&volume, &files(&[("a", "1"), ("sub/b", "2")]), None, at(2)).unwrap();
        assert_eq!(fs::read_link(volume.join(DATA)).unwrap(), first, "nothing changed");
        write(&volume, &files(&[("c", "3")]), None, at(3)).unwrap();
        assert_eq!(fs::read_to_string(volume.join("c")).unwrap(), "3");
        let left: BTreeSet<String> =
            fs::read_dir(&volume).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(!volume.join("a").exists());
    }

    #[test]
    fn paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["../x", "/x", "a/../../x", ""] {
            assert!(write(dir.path(), &files(&[(bad, "1")]), None, at(1)).is_err(), "{bad}");
        }
    }
}
