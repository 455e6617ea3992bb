//! A connection that can be ended from outside, whatever the library that reads it is doing.
//!
//! russh 0.65 has no time to log in by, answers no request to disconnect during a key exchange, and goes on in a task of its
//! own when whoever started it forgets it. So the socket itself ends: once a connection is cut, reading and writing fail.
//! Windows it opens again by itself, whether or not what came was taken: so reading waits where too much was not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

/// A switch that is thrown once, with a reason.
#[derive(Debug)]
pub struct Cut(watch::Sender<Option<&'static str>>);

impl Default for Cut {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Cut {
    /// Ends what waits for it. The first reason counts.
    pub fn now(&self, reason: &'static str) {
        self.0.send_if_modified(|cut| {
            let first = cut.is_none();
            if first {
                *cut = Some(reason);
            }
            first
        });
    }

    /// Why it was cut, if it was.
    pub fn reason(&self) -> Option<&'static str> {
        *self.0.borrow()
    }

    /// Ends when it is cut.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut seen = self.0.subscribe();
        async move {
            // Nobody is left who could cut it: that ends it too.
            let _ = seen.wait_for(Option::is_some).await;
        }
    }
}

/// What clients may send before destinations take it: for one connection, whatever it has open, and whatever windows it
/// keeps to.
pub const MOST_HELD: usize = 4 << 20;

/// Bytes of a connection that wait here for its destinations.
#[derive(Debug, Default)]
pub struct Held(watch::Sender<usize>);

impl Held {
    /// So many more.
    pub fn more(&self, bytes: usize) {
        self.change(|held| held.saturating_add(bytes));
    }

    /// So many were taken, or are wanted no more.
    pub fn less(&self, bytes: usize) {
        self.change(|held| held.saturating_sub(bytes));
    }

    /// Who waits is woken where there is room again, and not for each packet.
    fn change(&self, change: impl FnOnce(usize) -> usize) {
        self.0.send_if_modified(|held| {
            let before = std::mem::replace(held, change(*held));
            before > MOST_HELD && *held <= MOST_HELD
        });
    }

    fn is_full(&self) -> bool {
        *self.0.borrow() > MOST_HELD
    }

    fn room(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut seen = self.0.subscribe();
        async move {
            let _ = seen.wait_for(|held| *held <= MOST_HELD).await;
        }
    }
}

type Waits = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A stream that ends when it is cut, and is not read while too much of it is held.
pub struct Guarded {
    inner: TcpStream,
    cut: Option<Waits>,
    held: Arc<Held>,
    full: Option<Full>,
}

/// Who is not read is looked at now and then: whether it is still there.
struct Full {
    room: Waits,
    look: Pin<Box<Sleep>>,
}

const LOOK: Duration = Duration::from_secs(1);

impl Guarded {
    /// Guards a stream.
    pub fn new(inner: TcpStream, cut: &Cut, held: &Arc<Held>) -> Self {
        Self { inner, cut: Some(Box::pin(cut.wait())), held: Arc::clone(held), full: None }
    }

    /// An error once it is cut. The task that asks is woken when it is.
    fn whole(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(cut) = &mut self.cut
            && cut.as_mut().poll(cx).is_pending()
        {
            return Ok(());
        }
        self.cut = None;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    }

    /// Ready where there is room for more; an error where nobody is there to send it.
    fn room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.full.is_some() || self.held.is_full() {
            let full = self.full.get_or_insert_with(|| Full {
                room: Box::pin(self.held.room()),
                look: Box::pin(sleep(LOOK)),
            });
            if full.room.as_mut().poll(cx).is_ready() {
                self.full = None;
                continue;
            }
            if full.look.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            full.look.as_mut().reset(Instant::now() + LOOK);
            if let Some(gone) = self.inner.take_error()? {
                return Poll::Ready(Err(gone));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Err(e) = self.whole(cx) {
            return Poll::Ready(Err(e));
        }
        ready!(self.room(cx))?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Err(e) = self.whole(cx) {
            return Poll::Ready(Err(e));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(e) = self.whole(cx) {
            return Poll::Ready(Err(e));
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
