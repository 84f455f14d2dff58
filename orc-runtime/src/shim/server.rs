//! The shim's loop: one thread, one `poll`, everything a pod needs while no runtime may be there to look.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};

use super::container::{self, Container};
use super::protocol::{ExecSpec, Reply, Request, StartSpec};
use super::sys::{self, Ended};
use super::wire;
use crate::runtime::exit_code_of_signal;

/// More clients than this are a fault; a new one is turned away.
const MOST_CONNECTIONS: usize = 256;

struct Connection {
    socket: UnixStream,
    input: Vec<u8>,
    fds: Vec<OwnedFd>,
    subscribed: bool,
    /// The exec'd program whose end this connection waits for.
    waits_for: Option<i32>,
    closed: bool,
}

/// The state of a shim.
pub(crate) struct Server {
    listener: UnixListener,
    signals: OwnedFd,
    shm: PathBuf,
    connections: Vec<Connection>,
    containers: BTreeMap<String, Container>,
    ending: bool,
}

impl Server {
    pub(crate) fn new(listener: UnixListener, signals: OwnedFd, shm: PathBuf) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, signals, shm, connections: Vec::new(), containers: BTreeMap::new(), ending: false })
    }

    /// Serves until told to end and every container is gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !(self.ending && self.containers.values().all(|c| c.exit.is_some())) {
            self.wait()?;
            self.reap();
            self.accept();
            self.containers.values_mut().filter(|c| c.exit.is_none()).for_each(Container::pump);
            self.serve();
            self.close();
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let mut all: Vec<BorrowedFd<'_>> = vec![self.listener.as_fd(), self.signals.as_fd()];
        all.extend(self.connections.iter().map(|c| c.socket.as_fd()));
        all.extend(self.containers.values().flat_map(Container::outputs));
        let mut fds: Vec<PollFd<'_>> = all.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn reap(&mut self) {
        let _ = sys::read_signals(self.signals.as_fd());
        let mut changed = false;
        while let Some((pid, ended)) = sys::reap() {
            if let Some(found) = self.containers.values_mut().find(|c| c.init == pid && c.exit.is_none()) {
                found.finish(ended);
                changed = true;
            } else if let Some(waiting) = self.connections.iter_mut().find(|c| c.waits_for == Some(pid)) {
                let code = match ended {
                    Ended::Code(code) => code,
                    Ended::Signal(signal) => exit_code_of_signal(signal),
                };
                waiting.waits_for = None;
                waiting.answer(&Reply::Exited { code }, &[]);
                waiting.closed = true;
            }
        }
        if changed {
            self.tell_subscribers();
        }
    }

    fn tell_subscribers(&mut self) {
        for connection in self.connections.iter_mut().filter(|c| c.subscribed) {
            connection.answer(&Reply::Changed, &[]);
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if self.connections.len() < MOST_CONNECTIONS && socket.set_nonblocking(true).is_ok() {
                self.connections.push(Connection {
                    socket,
                    input: Vec::new(),
                    fds: Vec::new(),
                    subscribed: false,
                    waits_for: None,
                    closed: false,
                });
            }
        }
    }

    fn serve(&mut self) {
        let mut connections = std::mem::take(&mut self.connections);
        let mut changed = false;
        for connection in &mut connections {
            for request in connection.requests() {
                let fds = std::mem::take(&mut connection.fds);
                changed |= self.handle(connection, request, fds);
            }
        }
        self.connections = connections;
        if changed {
            self.tell_subscribers();
        }
    }

    /// Drops closed connections; the program of an exec does not outlive its client.
    fn close(&mut self) {
        self.connections.retain(|connection| {
            if connection.closed
                && let Some(pid) = connection.waits_for
            {
                // It leads a process group of its own: what it started goes with it, unless that left the group. By its
                // number as well, for it may not have made the group yet.
                let _ = sys::kill(-pid, sys::SIGKILL);
                let _ = sys::kill(pid, sys::SIGKILL);
            }
            !connection.closed
        });
    }

    /// Answers one request; true when the pod changed by it.
    fn handle(&mut self, from: &mut Connection, request: Request, fds: Vec<OwnedFd>) -> bool {
        let mut changed = false;
        let reply = match request {
            Request::Start(spec) => {
                changed = true;
                self.start(*spec)
            }
            Request::Kill { container, signal } => self.on_running(&container, |c| c.signal(signal)),
            Request::Exec(spec) => self.exec(from, &spec, fds),
            Request::Attach { container, stdin, stdout, stderr } => {
                return self.attach(from, &container, stdin, stdout, stderr, fds);
            }
            Request::ReopenLog { container } => self.on_running(&container, |c| c.reopen_log()),
            Request::Forget { container } => {
                self.containers.retain(|id, c| *id != container || c.exit.is_none());
                Reply::Done
            }
            Request::Subscribe => {
                from.subscribed = true;
                Reply::Done
            }
            Request::Shutdown => {
                self.ending = true;
                for container in self.containers.values().filter(|c| c.exit.is_none()) {
                    let _ = container.signal(sys::SIGKILL);
                }
                Reply::Done
            }
        };
        from.answer(&reply, &[]);
        changed
    }

    fn start(&mut self, spec: StartSpec) -> Reply {
        if let Some(have) = self.containers.get(&spec.id) {
            return Reply::Started { pid: have.pid };
        }
        if self.ending {
            return Reply::Failed { message: "the pod is being stopped".to_owned() };
        }
        let among = match spec.share_processes_of.as_ref().map(|id| (id, self.containers.get(id))) {
            None => None,
            Some((_, Some(container))) if container.exit.is_none() => Some(container.init),
            Some((id, _)) => return Reply::Failed { message: format!("target container {id} is not running") },
        };
        let id = spec.id.clone();
        match Container::start(spec, &self.shm, among) {
            Ok(container) => {
                let pid = container.pid;
                self.containers.insert(id, container);
                Reply::Started { pid }
            }
            Err(Ok(message)) => Reply::StartFailed { message },
            Err(Err(error)) => Reply::Failed { message: error.to_string() },
        }
    }

    fn on_running(&mut self, id: &str, act: impl FnOnce(&mut Container) -> io::Result<()>) -> Reply {
        match self.containers.get_mut(id) {
            None => Reply::NotFound,
            Some(container) if container.exit.is_some() => Reply::NotRunning,
            Some(container) => match act(container) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Failed { message: error.to_string() },
            },
        }
    }

    fn exec(&mut self, from: &mut Connection, spec: &ExecSpec, fds: Vec<OwnedFd>) -> Reply {
        let container = match self.containers.get(&spec.container) {
            None => return Reply::NotFound,
            Some(container) if container.exit.is_some() => return Reply::NotRunning,
            Some(container) => container,
        };
        let Some(stdio) = exec_stdio(spec, fds) else {
            return Reply::Failed { message: "an exec came without its descriptors".to_owned() };
        };
        match container::exec(container, &spec.argv, stdio, spec.tty) {
            Ok(pid) => {
                from.waits_for = Some(pid);
                Reply::Started { pid }
            }
            Err(error) => Reply::Failed { message: error.to_string() },
        }
    }

    fn attach(
        &mut self,
        from: &mut Connection,
        id: &str,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        fds: Vec<OwnedFd>,
    ) -> bool {
        let mut fds = fds.into_iter();
        let (stdout, stderr) = (stdout.then(|| fds.next()).flatten(), stderr.then(|| fds.next()).flatten());
        let mut input = None;
        let reply = self.on_running(id, |container| {
            input = container.attach(stdin, stdout, stderr)?;
            Ok(())
        });
        let fds: Vec<BorrowedFd<'_>> = input.iter().map(AsFd::as_fd).collect();
        from.answer(&reply, &fds);
        false
    }
}

fn exec_stdio(spec: &ExecSpec, fds: Vec<OwnedFd>) -> Option<[Option<OwnedFd>; 3]> {
    let mut fds = fds.into_iter();
    if spec.tty {
        let terminal = fds.next()?;
        return Some([Some(terminal.try_clone().ok()?), Some(terminal.try_clone().ok()?), Some(terminal)]);
    }
    let mut stdio = [None, None, None];
    for (slot, wanted) in stdio.iter_mut().zip([spec.stdin, spec.stdout, spec.stderr]) {
        if wanted {
            *slot = Some(fds.next()?);
        }
    }
    Some(stdio)
}

impl Connection {
    /// Reads what came, and the requests that are whole.
    fn requests(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        loop {
            match wire::receive(self.socket.as_fd(), &mut self.input, &mut self.fds) {
                Ok(0) => self.closed = true,
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.closed = true,
            }
            break;
        }
        loop {
            match wire::unframe(&mut self.input) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => return requests,
                Err(error) => {
                    eprintln!("bad request: {error}");
                    self.closed = true;
                    return requests;
                }
            }
        }
    }

    /// A client that does not take its answer is let go.
    fn answer(&mut self, reply: &Reply, fds: &[BorrowedFd<'_>]) {
        let sent = wire::frame(reply).and_then(|bytes| wire::send(self.socket.as_fd(), &bytes, fds));
        self.closed |= sent.is_err();
    }
}
