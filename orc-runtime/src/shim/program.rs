//! The last steps of a process on its way to become somebody else's program.

use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use super::protocol::StartSpec;
use super::sys;

/// How to become the program; the same for a container's own and for an exec'd one.
pub(crate) struct Program<'a> {
    pub(crate) spec: &'a StartSpec,
    pub(crate) argv: &'a [String],
    /// Input, output, error output; what is missing becomes `/dev/null`.
    pub(crate) stdio: [Option<RawFd>; 3],
    pub(crate) tty: bool,
}

impl Program<'_> {
    /// Turns this process into the program. Returns only when that failed, with a sentence for the user.
    pub(crate) fn become_it(&self) -> String {
        match self.prepare() {
            Ok(()) => self.execute(),
            Err(text) => text,
        }
    }

    fn prepare(&self) -> Result<(), String> {
        let say = |what: &str, error: io::Error| format!("{what}: {error}");
        rustix::process::setsid().map_err(|e| say("start a session", e.into()))?;
        self.place_stdio().map_err(|e| say("set up standard streams", e))?;
        if self.tty {
            sys::take_terminal(0).map_err(|e| say("take the terminal", e))?;
        }
        if let Some(score) = self.spec.oom_score_adj {
            match std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
                // Only the machine's root may make the kernel spare a process; elsewhere it keeps the score that it has.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
                other => other.map_err(|e| say("set oom_score_adj", e))?,
            }
        }
        self.enter_directory()?;
        self.lower_privileges()?;
        sys::default_signals();
        Ok(())
    }

    fn place_stdio(&self) -> io::Result<()> {
        for (at, fd) in self.stdio.iter().enumerate() {
            match fd {
                Some(fd) => sys::dup_to(*fd, at as RawFd)?,
                None => {
                    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
                    sys::dup_to(std::os::fd::AsRawFd::as_raw_fd(&null), at as RawFd)?;
                }
            }
        }
        Ok(())
    }

    fn enter_directory(&self) -> Result<(), String> {
        let cwd = if self.spec.cwd.is_empty() { "/" } else { &self.spec.cwd };
        std::env::set_current_dir(cwd).map_err(|e| format!("enter working directory {cwd}: {e}"))
    }

    fn lower_privileges(&self) -> Result<(), String> {
        if self.spec.no_new_privs {
            sys::no_new_privs().map_err(|e| format!("set no_new_privs: {e}"))?;
        }
        if self.spec.isolate {
            sys::limit_capabilities(self.spec.capabilities);
        }
        let run_as = &self.spec.run_as;
        let own_uid = rustix::process::getuid().as_raw();
        let own_gid = rustix::process::getgid().as_raw();
        let (uid, gid) = (run_as.user.unwrap_or(own_uid), run_as.group.unwrap_or(own_gid));
        let denied = std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny");
        let privileged = own_uid == 0;
        if (uid, gid) == (own_uid, own_gid) && run_as.supplemental.is_empty() && (denied || !privileged) {
            return Ok(());
        }
        if denied && !run_as.supplemental.is_empty() {
            return Err("supplemental groups cannot be set: this user namespace maps one group only; give the user \
                        a range in /etc/subgid"
                .to_owned());
        }
        let groups = (!denied).then_some(run_as.supplemental.as_slice());
        sys::become_user(uid, gid, groups).map_err(|e| format!("become user {uid}, group {gid}: {e}"))
    }

    fn execute(&self) -> String {
        let name = &self.argv[0];
        let strings = |list: Vec<String>| list.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
        let env = self.spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (Ok(argv), Ok(env)) = (strings(self.argv.to_vec()), strings(env)) else {
            return format!("exec: {name:?}: a zero byte in the command or the environment");
        };
        let path = self.spec.env.iter().rev().find(|(key, _)| key == "PATH").map_or("", |(_, value)| value);
        let mut refused = None;
        for candidate in candidates(name, path) {
            let Ok(file) = CString::new(candidate.clone()) else { continue };
            let error = sys::exec(&file, &argv, &env);
            match error.kind() {
                io::ErrorKind::NotFound if !Path::new(&candidate).exists() => {}
                io::ErrorKind::NotADirectory => {}
                _ => refused = refused.or(Some(format!("exec {candidate}: {}", plain(&error)))),
            }
        }
        refused.unwrap_or_else(|| {
            if name.contains('/') {
                format!("exec: {name:?}: stat {name}: no such file or directory")
            } else {
                format!("exec: {name:?}: executable file not found in $PATH")
            }
        })
    }
}

fn candidates(name: &str, path: &str) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    path.split(':').map(|dir| if dir.is_empty() { format!("./{name}") } else { format!("{dir}/{name}") }).collect()
}

/// The words of the C library, without Rust's number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
