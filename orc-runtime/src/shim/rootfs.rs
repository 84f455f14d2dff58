//! A container's root: the host's file system under a fresh overlay, so that it sees everything and changes nothing.
//!
//! One overlay over `/` where the kernel allows it, and one more over each further real mount. In a user namespace the
//! mounts below `/` are locked to it and such an overlay is refused; then `/` is put together from one overlay for
//! each of its directories, and so on down until no locked mount is left inside ("split"). `/proc`, `/sys` and `/dev`
//! are the container's own. Runs in the container's init, in a mount namespace of its own.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, move_mount,
    open_tree, unmount,
};

use super::mounts::{self, MountPoint, bind, copy_attributes, make_readonly, make_target, named};
use super::protocol::StartSpec;
use crate::runtime::Propagation;

/// What a container may use of `/dev` without being privileged.
const DEVICES: [&str; 7] = ["null", "zero", "full", "random", "urandom", "tty", "ptmx"];
/// Parts of `/proc` that change the whole machine.
const PROC_READONLY: [&str; 5] = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];

/// Leaves the process in the container's root.
pub(crate) fn enter(spec: &StartSpec, shm: &Path) -> io::Result<()> {
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    named(mount_change("/", slave), "detach from the host's mounts at", Path::new("/"))?;
    let sources = spec.mounts.iter().map(|m| open_source(&m.host_path)).collect::<io::Result<Vec<_>>>()?;
    let root = spec.dir.join("root");
    fs::create_dir_all(&root)?;
    let mut layers = Layers::new(spec, mounts::of_this_process()?)?;
    layers.visit(Path::new("/"))?;
    own_proc(&root, spec)?;
    own_sys(&root)?;
    own_dev(&root, shm, spec.privileged)?;
    for hidden in &spec.hidden {
        hide(&root, hidden)?;
    }
    pivot(&root)?;
    if !spec.privileged {
        protect_proc(spec)?;
    }
    place_mounts(spec, sources)?;
    if !spec.cwd.is_empty() && !Path::new(&spec.cwd).exists() {
        make_target(Path::new(&spec.cwd), true)
            .map_err(|e| io::Error::new(e.kind(), format!("make working directory {}: {e}", spec.cwd)))?;
    }
    if spec.readonly_root { layers.freeze(spec) } else { Ok(()) }
}

struct Layers<'a> {
    root: PathBuf,
    base: PathBuf,
    count: usize,
    memory: bool,
    mounts: Vec<MountPoint>,
    hidden: &'a [PathBuf],
    user_namespace: bool,
    placed: Vec<PathBuf>,
}

impl<'a> Layers<'a> {
    fn new(spec: &'a StartSpec, mounts: Vec<MountPoint>) -> io::Result<Self> {
        let hidden = &spec.hidden;
        let base = spec.dir.join("fs");
        fs::create_dir_all(&base)?;
        Ok(Self {
            root: spec.dir.join("root"),
            base,
            count: 0,
            memory: false,
            mounts: mounts.into_iter().filter(|m| !hidden.iter().any(|h| m.at.starts_with(h))).collect(),
            hidden,
            user_namespace: in_user_namespace()?,
            placed: Vec::new(),
        })
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Brings the host's directory `path` into the root, with everything mounted below it.
    fn visit(&mut self, path: &Path) -> io::Result<()> {
        match self.overlay(path) {
            Ok(()) => {
                for inner in self.topmost_real_below(path) {
                    if fs::metadata(&inner).is_ok_and(|m| m.is_dir()) && self.at(&inner).is_dir() {
                        self.visit(&inner)?;
                    }
                }
                Ok(())
            }
            Err(_) if path == Path::new("/") => self.split(path),
            Err(_) if self.mounts.iter().any(|m| m.at != path && m.at.starts_with(path)) => self.split(path),
            // A file system that cannot lie under an overlay is shown as it is, unchangeable.
            Err(_) => bind(path, &self.at(path)).and_then(|()| make_readonly(&self.at(path))),
        }
    }

    fn topmost_real_below(&self, path: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        for mount in self.mounts.iter().filter(|m| m.real && m.at != path && m.at.starts_with(path)) {
            if !found.iter().any(|outer| mount.at.starts_with(outer)) {
                found.push(mount.at.clone());
            }
        }
        found
    }

    /// Puts `path` together entry by entry.
    fn split(&mut self, path: &Path) -> io::Result<()> {
        let target = self.at(path);
        if path == Path::new("/") {
            named(mount("tmpfs", &target, "tmpfs", MountFlags::NODEV, c"mode=0755"), "mount tmpfs on", &target)?;
            self.placed.push(target.clone());
        }
        // What this user cannot list stays empty.
        let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let (inner, kind) = (entry.path(), entry.file_type()?);
            let at = self.at(&inner);
            if kind.is_symlink() {
                symlink(fs::read_link(&inner)?, &at)?;
            } else if kind.is_dir() {
                fs::create_dir(&at)?;
                if !["/proc", "/sys", "/dev"].iter().any(|own| inner == Path::new(own)) && !self.hides(&inner) {
                    self.visit(&inner)?;
                    copy_attributes(&inner, &at).or_else(readonly_is_fine)?;
                }
            } else {
                make_target(&at, false)?;
                bind(&inner, &at).and_then(|()| make_readonly(&at))?;
            }
        }
        Ok(())
    }

    fn hides(&self, path: &Path) -> bool {
        self.hidden.iter().any(|hidden| hidden == path)
    }

    /// One overlay. The upper layer lies in the container's directory, or in memory where that cannot carry one.
    fn overlay(&mut self, lower: &Path) -> io::Result<()> {
        let was = self.memory;
        self.overlay_on(lower).or_else(|first| {
            if was {
                return Err(first);
            }
            self.memory = true;
            self.overlay_on(lower).inspect_err(|_| self.memory = was)
        })
    }

    fn overlay_on(&mut self, lower: &Path) -> io::Result<()> {
        let base = if self.memory { self.memory_base()? } else { self.base.clone() };
        self.count += 1;
        let (upper, work) = (base.join(format!("{}/upper", self.count)), base.join(format!("{}/work", self.count)));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        if self.user_namespace {
            own_directories(lower, &upper);
        }
        copy_attributes(lower, &upper)?;
        let extra = if self.user_namespace { ",userxattr" } else { "" };
        let options =
            format!("lowerdir={},upperdir={},workdir={},volatile{extra}", escape(lower), escape(&upper), escape(&work));
        let options = std::ffi::CString::new(options).map_err(|_| io::ErrorKind::InvalidInput)?;
        let target = self.at(lower);
        named(mount("overlay", &target, "overlay", MountFlags::empty(), options.as_c_str()), "overlay", lower)?;
        self.placed.push(target);
        Ok(())
    }

    fn memory_base(&self) -> io::Result<PathBuf> {
        let base = self.base.with_file_name("fs-memory");
        if !base.exists() {
            fs::create_dir(&base)?;
            named(mount("tmpfs", &base, "tmpfs", MountFlags::NODEV, c"mode=0700"), "mount tmpfs on", &base)?;
        }
        Ok(base)
    }

    /// Makes every layer read-only, seen from inside; what is mounted over one keeps its own setting.
    fn freeze(&self, spec: &StartSpec) -> io::Result<()> {
        let inside = self.placed.iter().filter_map(|at| at.strip_prefix(&self.root).ok());
        inside
            .map(|at| Path::new("/").join(at))
            .filter(|at| !spec.mounts.iter().any(|mount| &mount.container_path == at))
            .try_for_each(|at| make_readonly(&at))
    }
}

fn readonly_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::ReadOnlyFilesystem { Ok(()) } else { Err(error) }
}

/// Directories of owners that this user namespace does not map cannot be copied up, so nothing could be created in
/// them. Directories of our own in the upper layer, merged with those below, can be written.
fn own_directories(lower: &Path, upper: &Path) {
    const OVERFLOW_ID: u32 = 65534;
    let Ok(entries) = fs::read_dir(lower) else { return };
    for entry in entries.flatten().take(512) {
        if let Ok(have) = entry.metadata()
            && have.is_dir()
            && have.uid() == OVERFLOW_ID
        {
            let at = upper.join(entry.file_name());
            // Failing leaves the directory read-only, as it would be without this.
            let _ = fs::create_dir(&at).and_then(|()| copy_attributes(&entry.path(), &at));
        }
    }
}

/// Colons and commas part the options of an overlay.
fn escape(path: &Path) -> String {
    path.display().to_string().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
}

/// Whether uids here are not the machine's own.
pub(crate) fn in_user_namespace() -> io::Result<bool> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    Ok(map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"])
}

fn open_source(path: &Path) -> io::Result<(OwnedFd, bool)> {
    let directory = fs::metadata(path)
        .map_err(|error| io::Error::new(error.kind(), format!("mount source {}: {error}", path.display())))?
        .is_dir();
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok((named(open_tree(CWD, path, flags), "open mount source", path)?, directory))
}

fn own_proc(root: &Path, spec: &StartSpec) -> io::Result<()> {
    let at = root.join("proc");
    fs::create_dir_all(&at)?;
    if spec.host_pid {
        return bind(Path::new("/proc"), &at);
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    named(mount("proc", &at, "proc", flags, None), "mount proc on", &at)
}

/// A fresh sysfs shows the pod's own network. Where one may not be mounted, the host's is shown.
fn own_sys(root: &Path) -> io::Result<()> {
    let at = root.join("sys");
    fs::create_dir_all(&at)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    if mount("sysfs", &at, "sysfs", flags, None).is_err() {
        bind(Path::new("/sys"), &at)?;
        make_readonly(&at)?;
    }
    Ok(())
}

fn own_dev(root: &Path, shm: &Path, privileged: bool) -> io::Result<()> {
    let dev = root.join("dev");
    fs::create_dir_all(&dev)?;
    named(mount("tmpfs", &dev, "tmpfs", MountFlags::NOSUID, c"mode=0755,size=65536k"), "mount tmpfs on", &dev)?;
    for name in DEVICES {
        device(&dev, name)?;
    }
    if privileged {
        for entry in fs::read_dir("/dev")?.flatten() {
            if entry.file_type().is_ok_and(|kind| !kind.is_dir() && !kind.is_symlink()) {
                device(&dev, &entry.file_name().to_string_lossy())?;
            }
        }
    }
    for (from, name) in [(Path::new("/dev/pts"), "pts"), (shm, "shm")] {
        fs::create_dir(dev.join(name))?;
        bind(from, &dev.join(name))?;
    }
    fs::create_dir(dev.join("mqueue"))?;
    for (name, to) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        symlink(format!("/proc/self/{to}"), dev.join(name))?;
    }
    Ok(())
}

fn device(dev: &Path, name: &str) -> io::Result<()> {
    let (from, at) = (Path::new("/dev").join(name), dev.join(name));
    if at.exists() || !from.exists() {
        return Ok(());
    }
    fs::File::create(&at)?;
    bind(&from, &at)
}

fn hide(root: &Path, hidden: &Path) -> io::Result<()> {
    let at = root.join(hidden.strip_prefix("/").unwrap_or(hidden));
    if at.is_dir() {
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        named(mount("tmpfs", &at, "tmpfs", flags, c"mode=0755,size=4k"), "hide", &at)?;
    }
    Ok(())
}

fn pivot(root: &Path) -> io::Result<()> {
    named(rustix::process::chdir(root), "enter", root)?;
    named(rustix::process::pivot_root(".", "."), "pivot into", root)?;
    named(unmount(".", UnmountFlags::DETACH), "leave the old root for", root)?;
    named(rustix::process::chdir("/"), "enter", Path::new("/"))
}

fn protect_proc(spec: &StartSpec) -> io::Result<()> {
    if spec.host_pid {
        return Ok(());
    }
    for path in PROC_READONLY.iter().map(Path::new).filter(|p| p.exists()) {
        bind(path, path)?;
        make_readonly(path)?;
    }
    Ok(())
}

/// Puts the container's mounts in place: outer ones first. Paths resolve inside the new root, links included.
fn place_mounts(spec: &StartSpec, sources: Vec<(OwnedFd, bool)>) -> io::Result<()> {
    let mut all: Vec<_> = spec.mounts.iter().zip(sources).collect();
    all.sort_by_key(|(mount, _)| mount.container_path.components().count());
    for (wanted, (source, directory)) in all {
        let at = wanted.container_path.as_path();
        make_target(at, directory)
            .map_err(|error| io::Error::new(error.kind(), format!("make mount point {}: {error}", at.display())))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
        named(move_mount(&source, "", CWD, at, flags), "mount", at)?;
        let propagation = match wanted.propagation {
            Propagation::Private => MountPropagationFlags::PRIVATE,
            Propagation::HostToContainer | Propagation::Bidirectional => MountPropagationFlags::DOWNSTREAM,
        };
        named(mount_change(at, propagation | MountPropagationFlags::REC), "set propagation of", at)?;
        if wanted.readonly {
            make_readonly(at)?;
        }
    }
    Ok(())
}
