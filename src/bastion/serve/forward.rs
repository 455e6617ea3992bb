//! One destination, opened and carried.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel as SshChannel, ChannelOpenFailure};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::House;
use super::registry::{Channel, Connection};

/// How long a destination may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects, answers the client, and carries until either side ends or it is cut. It is a task of its own: a destination that
/// does not answer keeps nobody else waiting. `told`: that the audit log has it.
pub(super) async fn forward(
    house: Arc<House>,
    connection: Arc<Connection>,
    channel: Arc<Channel>,
    ssh: SshChannel<Msg>,
    reply: ChannelOpenHandle,
) {
    let (addr, port) = channel.to;
    let ended = tokio::select! {
        () = channel.cut.wait() => channel.cut.reason().unwrap_or("cut"),
        () = connection.cut.wait() => "connection-ended",
        ended = carry(&channel, ssh, reply, SocketAddr::new(addr, port)) => ended,
    };
    connection.close(channel.id);
    let (up, down) = (channel.bytes.0.load(Ordering::Relaxed), channel.bytes.1.load(Ordering::Relaxed));
    let millis = u64::try_from(channel.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    house.audit.tell(
        "close",
        json!({ "conn": connection.id, "channel": channel.id, "to": SocketAddr::new(addr, port), "reason": ended,
            "bytes_up": up, "bytes_down": down, "ms": millis }),
    );
}

async fn carry(
    channel: &Arc<Channel>,
    ssh: SshChannel<Msg>,
    reply: ChannelOpenHandle,
    to: SocketAddr,
) -> &'static str {
    let tcp = match tokio::time::timeout(PATIENCE, TcpStream::connect(to)).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(_)) => {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return "connect-failed";
        }
        Err(_) => {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return "connect-timeout";
        }
    };
    // A key press is a packet.
    let _ = tcp.set_nodelay(true);
    reply.accept().await;
    let mut counted = Counted { tcp, channel: Arc::clone(channel) };
    let mut stream = ssh.into_stream();
    match tokio::io::copy_bidirectional_with_sizes(&mut stream, &mut counted, 32_768, 32_768).await {
        Ok(_) => "closed",
        Err(_) => "broken",
    }
}

/// The side of the destination: what passes is counted, and says that the channel is in use.
struct Counted {
    tcp: TcpStream,
    channel: Arc<Channel>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        let read = buf.filled().len().saturating_sub(before);
        if read > 0 {
            self.channel.carried(false, read);
        }
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = &polled {
            self.channel.carried(true, *written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
