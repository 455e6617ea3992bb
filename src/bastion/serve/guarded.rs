//! A connection that can be ended from outside, whatever the library that reads it is doing.
//!
//! russh 0.65 has no time to log in by, answers no request to disconnect during a key exchange, and goes on in a task of its
//! own when whoever started it forgets it. So the socket itself ends: once a connection is cut, reading and writing fail.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

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

/// A stream that ends when it is cut.
pub struct Guarded<S> {
    inner: S,
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Guarded<S> {
    /// Guards a stream.
    pub fn new(inner: S, cut: &Cut) -> Self {
        Self { inner, cut: Some(Box::pin(cut.wait())) }
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
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Err(e) = self.whole(cx) {
            return Poll::Ready(Err(e));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
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
