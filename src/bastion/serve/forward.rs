//! One destination, opened and carried.
//!
//! russh gives what a client sends to whoever reads the channel, and waits with everything else of the connection until it
//! is taken: a destination that takes nothing would keep the connection from ending. So what comes is always taken here, and
//! bounded by [`Held`]: over its bound nothing more is read from the client's socket.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel as SshChannel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::House;
use super::guarded::Held;
use super::registry::{Channel, Connection};

/// How long a destination may take to answer, and to take the last that a client sent before it closed.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of a destination at a time: as much as a packet may have.
const AT_ONCE: usize = 32_768;

/// Connects, answers the client, and carries until either side ends or it is cut. It is a task of its own: a destination that
/// does not answer keeps nobody else waiting.
pub(super) async fn forward(
    house: Arc<House>,
    connection: Arc<Connection>,
    channel: Arc<Channel>,
    ssh: SshChannel<Msg>,
    reply: ChannelOpenHandle,
) {
    let (addr, port) = channel.to;
    let (from_client, to_client) = ssh.split();
    let carried = async {
        let tcp = match connect(SocketAddr::new(addr, port), reply).await {
            Ok(tcp) => tcp,
            Err(why) => return why,
        };
        match carry(&channel, &connection.held, (from_client, &to_client), tcp).await {
            Ok(()) => "closed",
            Err(_) => "broken",
        }
    };
    let ended = tokio::select! {
        // What was closed before the connection ended is told as that.
        biased;
        ended = carried => ended,
        () = channel.cut.wait() => channel.cut.reason().unwrap_or("cut"),
        () = connection.cut.wait() => "connection-ended",
    };
    let (up, down) = (channel.bytes.0.load(Ordering::Relaxed), channel.bytes.1.load(Ordering::Relaxed));
    let millis = u64::try_from(channel.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let facts = json!({ "conn": connection.id, "channel": channel.id, "to": SocketAddr::new(addr, port), "reason": ended,
        "bytes_up": up, "bytes_down": down, "ms": millis });
    house.audit.told("close", facts).await;
    connection.close(channel.id);
    // The client hears of it, if it is there and listens.
    tokio::select! {
        _ = to_client.close() => {}
        () = connection.cut.wait() => {}
    }
}

async fn connect(to: SocketAddr, reply: ChannelOpenHandle) -> Result<TcpStream, &'static str> {
    let why = match tokio::time::timeout(PATIENCE, TcpStream::connect(to)).await {
        Ok(Ok(tcp)) => {
            // A key press is a packet.
            let _ = tcp.set_nodelay(true);
            reply.accept().await;
            return Ok(tcp);
        }
        Ok(Err(_)) => "connect-failed",
        Err(_) => "connect-timeout",
    };
    reply.reject(ChannelOpenFailure::ConnectFailed).await;
    Err(why)
}

/// Carries both ways, until the client closes the channel or both have said all they had.
async fn carry(
    channel: &Channel,
    held: &Held,
    (from_client, to_client): (ChannelReadHalf, &ChannelWriteHalf<Msg>),
    tcp: TcpStream,
) -> io::Result<()> {
    let (source, sink) = tcp.into_split();
    let up = upwards(from_client, sink, channel, held);
    let down = downwards(source, to_client, channel);
    tokio::pin!(up, down);
    tokio::select! {
        up = &mut up => match up? {
            // The client's half is over, the destination's is not; and who closes wants no more of it.
            Some((mut from_client, _sink)) => tokio::select! {
                down = &mut down => down,
                () = closed(&mut from_client) => Ok(()),
            },
            None => Ok(()),
        },
        down = &mut down => {
            down?;
            up.await.map(drop)
        }
    }
}

/// From the client to the destination. Ends where the client has said all: with the halves where it still listens, with none
/// where it closed the channel.
async fn upwards(
    mut from: ChannelReadHalf,
    mut sink: OwnedWriteHalf,
    channel: &Channel,
    held: &Held,
) -> io::Result<Option<(ChannelReadHalf, OwnedWriteHalf)>> {
    let mut queue = Queue { held, waiting: VecDeque::new(), begun: 0 };
    let (mut said_all, mut closed_at) = (false, None::<Instant>);
    loop {
        match (closed_at, queue.front()) {
            (Some(_), None) => return Ok(None),
            (None, None) if said_all => {
                sink.shutdown().await?;
                return Ok(Some((from, sink)));
            }
            _ => {}
        }
        let last = closed_at.map(|at| at + PATIENCE).unwrap_or_else(Instant::now);
        tokio::select! {
            said = from.wait(), if closed_at.is_none() => match said {
                Some(ChannelMsg::Data { data }) if !said_all => queue.push(data),
                Some(ChannelMsg::Eof) => said_all = true,
                Some(ChannelMsg::Close) => closed_at = Some(Instant::now()),
                // Of other kinds of data a destination knows nothing.
                Some(_) => {}
                None => return gone().await,
            },
            written = sink.write(queue.front().unwrap_or_default()), if queue.front().is_some() => {
                match written? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => {
                        queue.taken(written);
                        channel.carried(true, written);
                    }
                }
            }
            () = tokio::time::sleep_until(last), if closed_at.is_some() => return Ok(None),
        }
    }
}

/// From the destination to the client, as far as its window goes; then it is told that this was all.
async fn downwards(
    mut source: OwnedReadHalf,
    to: &ChannelWriteHalf<Msg>,
    channel: &Channel,
) -> io::Result<()> {
    let mut to = to.make_writer();
    let mut buffer = vec![0; AT_ONCE];
    loop {
        let read = source.read(&mut buffer).await?;
        let told = match buffer.get(..read).unwrap_or_default() {
            [] => to.shutdown().await,
            data => {
                channel.carried(false, data.len());
                to.write_all(data).await
            }
        };
        if told.is_err() {
            return gone().await;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// Ends when the client has closed the channel.
async fn closed(from: &mut ChannelReadHalf) {
    loop {
        match from.wait().await {
            Some(ChannelMsg::Close) => return,
            Some(_) => {}
            None => gone().await,
        }
    }
}

/// The connection is gone: it is about to be cut, and that is what the log says.
async fn gone<T>() -> T {
    std::future::pending().await
}

/// What a client sent and a destination did not take yet.
struct Queue<'a, D: AsRef<[u8]>> {
    held: &'a Held,
    waiting: VecDeque<D>,
    /// Bytes of the first that were taken.
    begun: usize,
}

impl<D: AsRef<[u8]>> Queue<'_, D> {
    fn push(&mut self, data: D) {
        if !data.as_ref().is_empty() {
            self.held.more(data.as_ref().len());
            self.waiting.push_back(data);
        }
    }

    fn front(&self) -> Option<&[u8]> {
        self.waiting.front().and_then(|data| data.as_ref().get(self.begun..))
    }

    fn taken(&mut self, bytes: usize) {
        self.held.less(bytes);
        self.begun = self.begun.saturating_add(bytes);
        if self.front().is_none_or(<[u8]>::is_empty) {
            self.waiting.pop_front();
            self.begun = 0;
        }
    }
}

impl<D: AsRef<[u8]>> Drop for Queue<'_, D> {
    fn drop(&mut self) {
        let all: usize = self.waiting.iter().map(|data| data.as_ref().len()).sum();
        self.held.less(all.saturating_sub(self.begun));
    }
}
