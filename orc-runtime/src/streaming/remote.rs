//! exec and attach: from a client's streams to a program's, and how it ended.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, join};
use orc_core::env::Clock;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

use super::negotiate::Protocol;
use super::transport::{self, Connection};
use super::watchdog::supervise;
use super::wire::{Channel, ChannelCode, Gone, Heard, Incoming, Outgoing, SpdyCode, SpdyReader};
use crate::runtime::{ExecSession, RuntimeError, StreamSet, TerminalSize};

/// Messages that may wait for a client; a program that says more waits.
const QUEUE: usize = 8;
const CHUNK: usize = 16 << 10;
/// A process left in the background may keep the pipes open for ever: what comes within this of the last piece counts.
const LINGER: Duration = Duration::from_millis(500);
/// A size of a terminal is a few dozen bytes of JSON.
const RESIZE_LIMIT: usize = 4096;

/// What is to be run behind the streams.
pub(crate) struct Work {
    /// Starts it.
    pub(crate) start: BoxFuture<'static, Result<ExecSession, RuntimeError>>,
    /// The command of an exec; `None` for attach, whose exit code is the container's affair.
    pub(crate) command: Option<Vec<String>>,
    /// The client's streams.
    pub(crate) streams: StreamSet,
}

/// Serves one exec or attach to its end. Dropping the future, or the client's leaving, ends an exec'd program.
pub(crate) async fn remote(connection: Connection, protocol: Protocol, work: Work, clock: Clock) {
    match protocol {
        Protocol::Channels { base64, version } => {
            let (source, sink, activity) = transport::messages(connection, base64).await;
            let (sender, messages) = mpsc::channel(QUEUE);
            let body = async {
                let outgoing = Outgoing::Channels(sender);
                // An empty message tells that the connection stands, on the first stream that the client listens to.
                let first = match work.streams {
                    StreamSet { stdout: true, .. } => Channel::Stdout,
                    StreamSet { stderr: true, .. } => Channel::Stderr,
                    _ => Channel::Error,
                };
                if outgoing.send(first, Bytes::new()).await.is_ok() {
                    serve(Incoming::Channels { source, base64, version }, outgoing, work, version, &clock).await;
                }
            };
            let writer = transport::write(ChannelCode { base64 }, sink, messages, clock.clone());
            supervise(body, writer, &activity, &clock).await;
        }
        Protocol::Spdy { version } => {
            let (source, sink, activity) = transport::plain(connection);
            let (sender, frames) = mpsc::channel(QUEUE);
            let body = async {
                let wanted = expected(work.streams, version);
                if let Some((incoming, outgoing)) = SpdyReader::new(source, sender).open(wanted, &clock).await {
                    serve(incoming, outgoing, work, version, &clock).await;
                }
            };
            supervise(body, transport::write(SpdyCode::new(), sink, frames, clock.clone()), &activity, &clock).await;
        }
        // `negotiate` gives it to port-forward only.
        Protocol::Tunnel => {}
    }
}

/// How many streams a SPDY client opens: the error stream, those it asked for, and, since version 3, terminal sizes.
fn expected(streams: StreamSet, version: u8) -> usize {
    let resize = streams.tty && version >= 3;
    1 + [streams.stdin, streams.stdout, streams.stderr, resize].into_iter().filter(|wanted| *wanted).count()
}

async fn serve(incoming: Incoming, outgoing: Outgoing, work: Work, version: u8, clock: &Clock) {
    let Some(status) = run(incoming, &outgoing, work, clock).await else { return };
    let told = async {
        let text = if version >= 4 { status.to_string() } else { old_status(&status) };
        if !text.is_empty() {
            outgoing.send(Channel::Error, text.into()).await?;
        }
        for channel in [Channel::Stdout, Channel::Stderr, Channel::Error] {
            outgoing.end(channel).await?;
        }
        Ok::<(), Gone>(())
    };
    if told.await.is_err() {
        tracing::debug!("a client left before it heard how its command ended");
    }
}

/// Runs it; `None` when the client left first.
async fn run(incoming: Incoming, outgoing: &Outgoing, work: Work, clock: &Clock) -> Option<Value> {
    let session = match work.start.await {
        Ok(session) => session,
        Err(error) => return Some(failed(work.command.is_some(), &error)),
    };
    let ExecSession { stdin, stdout, stderr, resize, exit } = session;
    let (ended, ending) = watch::channel(false);
    let output = join(
        copy(stdout, Channel::Stdout, outgoing, ending.clone(), clock),
        copy(stderr, Channel::Stderr, outgoing, ending, clock),
    );
    let exit = async {
        let code = exit.await;
        ended.send_replace(true);
        code
    };
    tokio::select! {
        biased;
        (code, _) = join(exit, output) => Some(match (code, &work.command) {
            (Err(error), command) => failed(command.is_some(), &error),
            (Ok(code), Some(command)) => exit_status(command, code),
            (Ok(_), None) => exit_status(&[], 0),
        }),
        () = input(incoming, stdin, resize) => None,
    }
}

/// Moves output until its end, or until it is quiet after the program's end.
async fn copy(
    from: Option<impl AsyncRead + Unpin>,
    channel: Channel,
    outgoing: &Outgoing,
    mut ending: watch::Receiver<bool>,
    clock: &Clock,
) -> Result<(), Gone> {
    let Some(mut from) = from else { return Ok(()) };
    let mut chunk = vec![0; CHUNK];
    loop {
        let quiet = async {
            // The sender lives as long as this future.
            let _ = ending.wait_for(|ended| *ended).await;
            clock.sleep(LINGER).await;
        };
        let size = tokio::select! {
            biased;
            read = from.read(&mut chunk) => read.unwrap_or_default(),
            () = quiet => 0,
        };
        if size == 0 {
            return Ok(());
        }
        outgoing.send(channel, Bytes::copy_from_slice(&chunk[..size])).await?;
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// Moves input until the client is gone.
async fn input(
    mut incoming: Incoming,
    mut stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    resize: Option<mpsc::Sender<TerminalSize>>,
) {
    let mut sizes = Vec::new();
    while let Some(heard) = incoming.next().await {
        match heard {
            Heard::Data(Channel::Stdin, bytes) => {
                if let Some(program) = &mut stdin
                    && write(program, &bytes).await.is_err()
                {
                    // The program reads no more; it may go on without input.
                    stdin = None;
                }
            }
            Heard::End(Channel::Stdin) => stdin = None,
            Heard::Data(Channel::Resize, bytes) => {
                if let (Some(size), Some(resize)) = (last_size(&mut sizes, &bytes), &resize) {
                    // A full queue holds sizes that come before this one; the terminal is asked again soon.
                    let _ = resize.send(size).await;
                }
            }
            Heard::Data(..) | Heard::End(_) => {}
        }
    }
}

async fn write(program: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    program.write_all(bytes).await?;
    program.flush().await
}

/// The newest whole size in a stream of JSON texts, of which `pending` is what came before.
fn last_size(pending: &mut Vec<u8>, bytes: &[u8]) -> Option<TerminalSize> {
    pending.extend_from_slice(bytes);
    let mut texts = serde_json::Deserializer::from_slice(pending).into_iter::<Size>();
    let (mut found, mut used, mut broken) = (None, 0, false);
    while let Some(size) = texts.next() {
        match size {
            Ok(size) => found = Some(TerminalSize { width: size.width, height: size.height }),
            Err(error) => {
                // A text that is cut short waits for its rest.
                broken = !error.is_eof();
                break;
            }
        }
        used = texts.byte_offset();
    }
    pending.drain(..used);
    if broken || pending.len() > RESIZE_LIMIT {
        pending.clear();
    }
    found
}

/// How a command ended, as the error stream says it since version 4.
fn exit_status(command: &[String], code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    let command = command.join(" ");
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!(
            "command terminated with non-zero exit code: error executing command [{command}], exit code {code}"
        ),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn failed(exec: bool, error: &RuntimeError) -> Value {
    let what = if exec { "error executing command in container" } else { "error attaching to container" };
    let text = format!("{what}: {}", error.full_message());
    json!({
        "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
        "message": format!("Internal error occurred: {text}"), "details": {"causes": [{"message": text}]},
    })
}

/// Before version 4: nothing for success, else the message alone.
fn old_status(status: &Value) -> String {
    let failed = status["status"] == "Failure";
    if failed { status["message"].as_str().unwrap_or_default().to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_pieces() {
        let mut pending = Vec::new();
        assert_eq!(last_size(&mut pending, br#"{"Width":80,"Hei"#), None);
        let size = last_size(&mut pending, br#"ght":24}{"Width":100,"Height":30}{"#);
        assert_eq!(size, Some(TerminalSize { width: 100, height: 30 }));
        assert_eq!(pending, b"{");
        assert_eq!(last_size(&mut pending, b"nonsense"), None);
        assert!(pending.is_empty(), "what cannot become a size is dropped");
        assert_eq!(last_size(&mut pending, br#"{"Width":1,"Height":2}"#), Some(TerminalSize { width: 1, height: 2 }));
    }
}
