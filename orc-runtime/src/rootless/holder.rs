//! The holder: a process that does nothing but keep namespaces alive.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{MountPropagationFlags, mount_change};

use super::idmap;
use crate::shim::protocol::ShimRecord;
use crate::shim::{HOLD_NAME, record, sys};

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("holder.json")
}

/// The holder of this data directory; a new one when none lives.
pub(super) fn find_or_start(data_dir: &Path) -> io::Result<ShimRecord> {
    let path = path(data_dir);
    if let Some(holder) = record::read::<ShimRecord>(&path)?
        && holder.is_alive()
    {
        return Ok(holder);
    }
    let holder = start()?;
    record::write(&path, &holder)?;
    Ok(holder)
}

/// Ends the holder of a data directory, if there is one: no later start will find its namespaces. Pods that still run
/// keep them until they end.
pub fn release(data_dir: &Path) -> io::Result<()> {
    let path = path(data_dir);
    if let Some(holder) = record::read::<ShimRecord>(&path)? {
        holder.kill(sys::SIGKILL)?;
        fs::remove_file(&path)?;
    }
    Ok(())
}

fn start() -> io::Result<ShimRecord> {
    let mut child = Command::new("/proc/self/exe")
        .arg0(HOLD_NAME)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let pid = child.id() as i32;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the holder has no pipes"));
    };
    let mut output = BufReader::new(output);
    let steps = expect(&mut output, "user")
        .and_then(|()| idmap::map(pid))
        .and_then(|()| input.write_all(b"mapped\n"))
        .and_then(|()| expect(&mut output, "ready"));
    if let Err(error) = steps {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    ShimRecord::of(pid)
}

fn expect(output: &mut impl BufRead, word: &str) -> io::Result<()> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    match line.trim() {
        text if text == word => Ok(()),
        "" => Err(io::Error::other("the namespace holder ended without a word")),
        text => Err(io::Error::other(text.to_owned())),
    }
}

/// Runs as the holder; returns only on failure.
pub(crate) fn hold() -> io::Result<()> {
    sys::set_name(HOLD_NAME);
    sys::close_others(&[]);
    if let Err(error) = enter_new() {
        println!("{error}");
        return Err(error);
    }
    println!("ready");
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for standard in 0..3 {
        sys::dup_to(std::os::fd::AsRawFd::as_raw_fd(&null), standard)?;
    }
    loop {
        std::thread::park();
    }
}

fn enter_new() -> io::Result<()> {
    rustix::process::setsid()?;
    std::env::set_current_dir("/")?;
    sys::unshare(sys::CLONE_NEWUSER)?;
    println!("user");
    let mut go = [0u8; 7];
    io::stdin().read_exact(&mut go)?;
    sys::unshare(sys::CLONE_NEWNS | sys::CLONE_NEWNET | sys::CLONE_NEWUTS | sys::CLONE_NEWIPC)?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}
