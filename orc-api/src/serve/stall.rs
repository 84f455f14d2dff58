//! Answers that nobody takes.
//!
//! A client that asks for a large list and does not read would hold the list, and on HTTP/1.1 its connection, for as long as it
//! likes. So there is a bound on standing still, not on the time an answer takes: a reader that is slow and steady is served.
//! Watches, logs and the like are exempt: what they have to say comes when it comes.
//!
//! On HTTP/1.1 a socket that takes no byte for that long is closed ([`Stalling`]). On HTTP/2 one stream may stand still
//! while others move, which the socket does not show; there [`Answers`] counts, and takes away what an answer holds. Its stream
//! is reset when it is next looked at; it never disturbs the others.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::http::{Body, BoxError};

/// How often a waiting answer is looked at before it is given up; the patience is divided by it.
const LOOKS: u32 = 4;

/// A socket that fails when it takes nothing for too long, unless `exempt` is set at that time.
pub(super) struct Stalling<S> {
    stream: S,
    patience: Duration,
    exempt: Arc<AtomicBool>,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    pub(super) fn new(stream: S, patience: Duration, exempt: Arc<AtomicBool>) -> Self {
        Self { stream, patience, exempt, waiting: None }
    }

    /// What comes of a write: one that has to wait is given up in time.
    fn noted<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let patience = self.patience;
        let timer = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(timer.as_mut().poll(cx));
        self.waiting = None;
        if self.exempt.load(Ordering::Relaxed) {
            // Asked again for as long as it lasts; the next answer on this connection may not be exempt.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.noted(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.noted(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.noted(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The answers of a connection that are under way and hold more than a stream's buffer.
#[derive(Default)]
pub(super) struct Answers(Mutex<Vec<Weak<Answer>>>);

struct Answer {
    /// `None` once it was given up.
    body: Mutex<Option<Body>>,
    /// Looks since the body was last asked for more; it is not asked while the client has no room.
    looks: AtomicU32,
    /// Whether the last that was asked for is still being made: then it is not the client who waits.
    making: AtomicBool,
}

impl Answers {
    /// The same body under watch, unless it is short enough to be sent whole.
    pub(super) fn watch(&self, body: Body) -> Body {
        if body.size_hint().upper().is_some_and(|most| most <= super::SEND_BUFFER as u64) {
            return body;
        }
        let (looks, making) = (AtomicU32::new(0), AtomicBool::new(false));
        let answer = Arc::new(Answer { body: Mutex::new(Some(body)), looks, making });
        let mut all = self.0.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&answer));
        Watched(answer).boxed_unsync()
    }

    /// Looks at the answers for as long as the connection lasts.
    pub(super) async fn keep(&self, patience: Duration) {
        loop {
            tokio::time::sleep(patience / LOOKS).await;
            self.look();
        }
    }

    fn look(&self) {
        let all: Vec<Arc<Answer>> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        for answer in all {
            let idle = !answer.making.load(Ordering::Relaxed);
            if idle && answer.looks.fetch_add(1, Ordering::Relaxed) >= LOOKS {
                let held = answer.body.lock().take();
                if held.is_some() {
                    tracing::debug!("an answer was given up: the client does not take it");
                }
            }
        }
    }
}

struct Watched(Arc<Answer>);

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let answer = &self.0;
        let mut body = answer.body.lock();
        let Some(body) = body.as_mut() else {
            return Poll::Ready(Some(Err("the client did not take its answer in time".into())));
        };
        answer.looks.store(0, Ordering::Relaxed);
        let next = Pin::new(body).poll_frame(cx);
        answer.making.store(next.is_pending(), Ordering::Relaxed);
        next
    }

    fn is_end_stream(&self) -> bool {
        self.0.body.lock().as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.lock().as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn long() -> Body {
        let parts = (0..100).map(|_| Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"part"))));
        StreamBody::new(futures::stream::iter(parts)).boxed_unsync()
    }

    #[tokio::test]
    async fn an_answer_that_is_not_asked_for_is_given_up() {
        let answers = Answers::default();
        let mut body = answers.watch(long());
        for _ in 0..LOOKS * 3 {
            answers.look();
            assert!(body.frame().await.unwrap().is_ok(), "a slow reader is served");
        }
        (0..=LOOKS).for_each(|_| answers.look());
        assert!(body.frame().await.unwrap().is_err());
        drop(body);
        answers.watch(long());
        assert_eq!(answers.0.lock().len(), 1, "what is over is forgotten");
    }

    #[tokio::test]
    async fn an_answer_that_is_still_made_is_waited_for() {
        let answers = Answers::default();
        let (send, receive) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, BoxError>>(1);
        let made = futures::stream::unfold(receive, |mut from| async { from.recv().await.map(|part| (part, from)) });
        let mut body = answers.watch(StreamBody::new(made).boxed_unsync());
        assert!(futures::poll!(std::pin::pin!(body.frame())).is_pending());
        (0..LOOKS * 3).for_each(|_| answers.look());
        send.send(Ok(Frame::data(Bytes::from_static(b"late")))).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_takes_nothing_is_given_up_unless_it_is_exempt() {
        let exempt = Arc::new(AtomicBool::new(true));
        let (near, _far) = tokio::io::duplex(8);
        let mut socket = Stalling::new(near, PATIENCE, exempt.clone());
        let mut writing = std::pin::pin!(socket.write_all(&[0; 64]));
        assert!(tokio::time::timeout(PATIENCE * 10, &mut writing).await.is_err(), "exempt");
        exempt.store(false, Ordering::Relaxed);
        let ended = tokio::time::timeout(PATIENCE * 2, writing).await.expect("given up in time");
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
