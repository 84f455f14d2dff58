//! Questions about other names, passed to the host's resolvers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::message::{self, Transport};

/// How long one resolver may take; then the next is asked. Two of them fit into the 5 s that clients wait.
const ONE: Duration = Duration::from_secs(2);
/// How long the whole may take: clients give up or ask again after 5 s.
const ALL: Duration = Duration::from_millis(4500);

/// Opens sockets towards the host's resolvers, which may be reached from another network namespace than the pods'.
#[async_trait]
pub trait Reach: Send + Sync + 'static {
    /// A datagram socket bound to an address of the host.
    ///
    /// # Errors
    /// As the system says.
    async fn bind_udp(&self, address: SocketAddr) -> io::Result<std::net::UdpSocket>;
    /// A connection from the host.
    ///
    /// # Errors
    /// As the system says.
    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// Passes questions on.
pub(super) struct Forwarder {
    pub(super) reach: Arc<dyn Reach>,
    pub(super) random: SystemRandom,
}

impl Forwarder {
    /// The answer of the first resolver that gives a usable one; `None` when none does. The id is the question's.
    pub(super) async fn ask(&self, question: &[u8], transport: Transport, servers: &[SocketAddr]) -> Option<Vec<u8>> {
        let all = async {
            let mut last = None;
            for server in servers {
                match tokio::time::timeout(ONE, self.ask_one(question, transport, *server)).await {
                    Ok(Ok(reply)) if is_usable(&reply) => return Some(reply),
                    Ok(Ok(reply)) => last = Some(reply),
                    Ok(Err(error)) => tracing::debug!(%server, %error, "a resolver did not answer"),
                    Err(_) => tracing::debug!(%server, "a resolver did not answer in time"),
                }
            }
            last
        };
        tokio::time::timeout(ALL, all).await.ok().flatten()
    }

    async fn ask_one(&self, question: &[u8], transport: Transport, server: SocketAddr) -> io::Result<Vec<u8>> {
        // Another id than the client's, and another port for each question: both have to be guessed to forge an answer.
        let mut asked = question.to_vec();
        self.random.fill(&mut asked[..2]).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let mut reply = match transport {
            Transport::Udp => self.by_udp(&asked, server).await?,
            Transport::Tcp => self.by_tcp(&asked, server).await?,
        };
        reply[..2].copy_from_slice(&question[..2]);
        Ok(reply)
    }

    async fn by_udp(&self, asked: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = self.reach.bind_udp(SocketAddr::new(any, 0)).await?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        // Connected: datagrams of anybody else are not delivered, and a closed port is told at once.
        socket.connect(server).await?;
        socket.send(asked).await?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let length = socket.recv(&mut buffer).await?;
            if message::answers(&buffer[..length], asked) {
                return Ok(buffer[..length].to_vec());
            }
        }
    }

    async fn by_tcp(&self, asked: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
        let mut stream = self.reach.connect_tcp(server).await?;
        stream.write_all(&framed(asked)?).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        if message::answers(&reply, asked) { Ok(reply) } else { Err(io::Error::other("an answer to something else")) }
    }
}

/// A message as it stands in a stream: after its length.
pub(super) fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), message].concat())
}

/// Whether the next resolver need not be asked: SERVFAIL, NOTIMP and REFUSED say something of the resolver, not of the name.
fn is_usable(reply: &[u8]) -> bool {
    !matches!(reply.get(3).map(|flags| flags & 0x0f), Some(2 | 4 | 5) | None)
}
