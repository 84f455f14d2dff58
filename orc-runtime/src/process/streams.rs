//! exec, attach, port-forward.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::client::{self, Answer};
use super::logs;
use super::pty::Terminal;
use super::{Pod, ProcessRuntime};
use crate::pod_net::in_namespace;
use crate::runtime::{
    ByteStream, ContainerId, ContainerState, DuplexStream, ExecOutput, ExecRequest, ExecSession, LogChunks, LogOptions,
    RuntimeError, SandboxId, SandboxState, StreamSet, Streams, TerminalSize,
};
use crate::shim::protocol::{ExecSpec, Reply, Request};

/// The most an `exec_sync` keeps of each stream: containerd's limit.
const OUTPUT_LIMIT: u64 = 16 << 20;
/// Long enough for what is in the pipes already.
const LINGER: Duration = Duration::from_millis(500);
/// Sizes of a terminal that may wait.
const RESIZES: usize = 8;

fn broken(error: io::Error) -> RuntimeError {
    RuntimeError::io("make the streams", error)
}

/// A pipe out of the container: the end for the shim and ours.
fn output() -> Result<(OwnedFd, pipe::Receiver), RuntimeError> {
    let (reader, writer) = io::pipe().map_err(broken)?;
    Ok((writer.into(), pipe::Receiver::from_owned_fd(reader.into()).map_err(broken)?))
}

/// A pipe into the container: the end for the shim and ours.
fn input() -> Result<(OwnedFd, pipe::Sender), RuntimeError> {
    let (reader, writer) = io::pipe().map_err(broken)?;
    Ok((reader.into(), pipe::Sender::from_owned_fd(writer.into()).map_err(broken)?))
}

fn resizer(terminal: Terminal) -> mpsc::Sender<TerminalSize> {
    let (sender, mut receiver) = mpsc::channel(RESIZES);
    tokio::spawn(async move {
        while let Some(size) = receiver.recv().await {
            if let Err(error) = terminal.resize(size) {
                tracing::debug!(%error, "resize");
            }
        }
    });
    sender
}

impl ProcessRuntime {
    fn running(&self, id: &ContainerId) -> Result<Pod, RuntimeError> {
        let (pod, record) = self.container(id)?;
        match self.container_status_of(&pod, &record).state {
            ContainerState::Running => Ok(pod),
            state => Err(RuntimeError::WrongState { id: id.clone(), state: format!("{state:?}").to_lowercase() }),
        }
    }

    /// Asks the shim, and turns its refusals into errors.
    async fn order(
        &self,
        pod: &Pod,
        id: &ContainerId,
        request: Request,
        fds: Vec<OwnedFd>,
    ) -> Result<Answer, RuntimeError> {
        let answer = client::ask(&pod.record.id, &pod.dir, request, fds).await?;
        match answer.reply {
            Reply::Failed { message } | Reply::StartFailed { message } => Err(RuntimeError::Start(message)),
            Reply::NotFound => Err(RuntimeError::ContainerNotFound(id.clone())),
            Reply::NotRunning => Err(RuntimeError::WrongState { id: id.clone(), state: "exited".to_owned() }),
            _ => Ok(answer),
        }
    }

    async fn run(&self, id: &ContainerId, argv: &[String], streams: StreamSet) -> Result<ExecSession, RuntimeError> {
        if argv.is_empty() {
            return Err(RuntimeError::Invalid("exec needs a command".to_owned()));
        }
        let pod = self.running(id)?;
        let spec = ExecSpec {
            container: id.to_string(),
            argv: argv.to_vec(),
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
            tty: streams.tty,
        };
        let mut session =
            ExecSession { stdin: None, stdout: None, stderr: None, resize: None, exit: Box::pin(async { Ok(0) }) };
        let mut fds = Vec::new();
        if streams.tty {
            let (terminal, slave) = Terminal::open().map_err(broken)?;
            fds.push(slave);
            session.stdin = streams.stdin.then(|| Box::new(terminal.clone()) as _);
            session.resize = Some(resizer(terminal.clone()));
            session.stdout = Some(Box::new(terminal));
        } else {
            if streams.stdin {
                let (theirs, ours) = input()?;
                fds.push(theirs);
                session.stdin = Some(Box::new(ours));
            }
            for (wanted, slot) in [(streams.stdout, &mut session.stdout), (streams.stderr, &mut session.stderr)] {
                if wanted {
                    let (theirs, ours) = output()?;
                    fds.push(theirs);
                    *slot = Some(Box::new(ours));
                }
            }
        }
        let answer = self.order(&pod, id, Request::Exec(spec), fds).await?;
        let mut connection = client::to_async(answer.connection).map_err(broken)?;
        let sandbox = pod.record.id;
        session.exit = Box::pin(async move {
            match client::next_reply(&mut connection).await {
                Ok(Reply::Exited { code }) => Ok(code),
                Ok(other) => Err(RuntimeError::Start(format!("the shim answered {other:?}"))),
                Err(source) => Err(RuntimeError::Shim { id: sandbox, source }),
            }
        });
        Ok(session)
    }
}

/// Reads both outputs and waits for the end. A process left in the background may keep the pipes open for ever: what
/// came until [`LINGER`] after the program's end counts.
async fn collect(session: ExecSession) -> Result<ExecOutput, RuntimeError> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let code = {
        let mut reading = std::pin::pin!(futures::future::try_join(
            read_into(session.stdout, &mut stdout),
            read_into(session.stderr, &mut stderr)
        ));
        let mut exit = session.exit;
        let failed = |e| RuntimeError::io("read the program's output", e);
        tokio::select! {
            biased;
            read = &mut reading => {
                read.map_err(failed)?;
                exit.await?
            }
            code = &mut exit => {
                if let Ok(read) = tokio::time::timeout(LINGER, reading).await {
                    read.map_err(failed)?;
                }
                code?
            }
        }
    };
    Ok(ExecOutput { stdout, stderr, exit_code: code })
}

async fn read_into(stream: Option<ByteStream>, bytes: &mut Vec<u8>) -> io::Result<()> {
    if let Some(mut stream) = stream {
        (&mut stream).take(OUTPUT_LIMIT).read_to_end(bytes).await?;
        // What is over the limit is read and dropped, so that the program can end.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(())
}

#[async_trait]
impl Streams for ProcessRuntime {
    async fn exec(&self, id: &ContainerId, request: &ExecRequest) -> Result<ExecSession, RuntimeError> {
        self.run(id, &request.command, request.streams).await
    }

    async fn exec_sync(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutput, RuntimeError> {
        let streams = StreamSet { stdout: true, stderr: true, ..Default::default() };
        let work = async { collect(self.run(id, command, streams).await?).await };
        if timeout.is_zero() {
            return work.await;
        }
        tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
            Err(RuntimeError::Timeout { what: format!("command {command:?}"), seconds: timeout.as_secs() })
        })
    }

    async fn attach(&self, id: &ContainerId, streams: StreamSet) -> Result<ExecSession, RuntimeError> {
        let (_, record) = self.container(id)?;
        let pod = self.running(id)?;
        let tty = record.config.tty;
        let mut fds = Vec::new();
        let mut wire = |wanted: bool| -> Result<Option<ByteStream>, RuntimeError> {
            if !wanted {
                return Ok(None);
            }
            let (theirs, ours) = output()?;
            fds.push(theirs);
            Ok(Some(Box::new(ours)))
        };
        let (stdout, stderr) = (wire(streams.stdout)?, wire(streams.stderr && !tty)?);
        let request = Request::Attach {
            container: id.to_string(),
            stdin: streams.stdin,
            stdout: stdout.is_some(),
            stderr: stderr.is_some(),
        };
        let mut answer = self.order(&pod, id, request, fds).await?;
        let (me, container) = (self.clone(), id.clone());
        let mut session = ExecSession {
            stdin: None,
            stdout,
            stderr,
            resize: None,
            exit: Box::pin(async move { me.exit_code_of(&container).await }),
        };
        if let Some(fd) = answer.fds.pop() {
            if tty {
                let terminal = Terminal::of(fd).map_err(broken)?;
                session.resize = Some(resizer(terminal.clone()));
                session.stdin = streams.stdin.then(|| Box::new(terminal) as _);
            } else {
                session.stdin = Some(Box::new(pipe::Sender::from_owned_fd(fd).map_err(broken)?));
            }
        }
        Ok(session)
    }

    async fn logs(&self, id: &ContainerId, options: &LogOptions) -> Result<LogChunks, RuntimeError> {
        logs::open(self, id, options).await
    }

    async fn port_forward(&self, id: &SandboxId, port: u16) -> Result<DuplexStream, RuntimeError> {
        let pod = self.pod(id)?;
        if self.status_of(&pod).state != SandboxState::Ready {
            return Err(RuntimeError::Invalid(format!("sandbox {id} is not ready")));
        }
        let failed = |error| RuntimeError::io(format!("connect to port {port} in the pod"), error);
        let shim = pod.dir.shim().map_err(failed)?.map(|shim| shim.pid.to_string());
        let namespace = match shim {
            Some(pid) if !pod.record.config.host_network => Some(crate::shim::namespace(&pid, "net").map_err(failed)?),
            _ => None,
        };
        let connect = move || {
            let limit = Duration::from_secs(10);
            let to = |ip: std::net::IpAddr| TcpStream::connect_timeout(&SocketAddr::new(ip, port), limit);
            to(Ipv4Addr::LOCALHOST.into()).or_else(|first| to(Ipv6Addr::LOCALHOST.into()).map_err(|_| first))
        };
        let stream = in_namespace(namespace, connect).await.map_err(failed)?;
        stream.set_nonblocking(true).map_err(failed)?;
        Ok(Box::new(tokio::net::TcpStream::from_std(stream).map_err(failed)?))
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let (pod, record) = self.container(id)?;
        if self.container_status_of(&pod, &record).state != ContainerState::Running {
            return Ok(());
        }
        self.order(&pod, id, Request::ReopenLog { container: id.to_string() }, Vec::new()).await.map(drop)
    }
}

impl ProcessRuntime {
    async fn exit_code_of(&self, id: &ContainerId) -> Result<i32, RuntimeError> {
        loop {
            if self.wait_for_end(id, Duration::from_secs(3600)).await? {
                let (pod, record) = self.container(id)?;
                return Ok(self.container_status_of(&pod, &record).exit_code.unwrap_or_default());
            }
        }
    }
}
