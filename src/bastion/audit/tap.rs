//! A connection that is listened in on: what the server says before anything is secret is kept, and all of it is counted.
//!
//! russh shows neither lines before an identification nor lists of algorithms, and gives up where both sides have nothing in
//! common. So its bytes pass through here: lines are taken out before russh sees them, the beginning is kept for
//! [`super::wire`], and whoever sends more than is needed for an answer is not read on.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire;

/// Read of a connection at most, and kept. A whole one takes a tenth.
const MOST: usize = 128 * 1024;
/// Read at a time.
const PIECE: usize = 4096;

/// What was heard, shared with who asks after the connection is gone.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    kept: Vec<u8>,
    ended: Option<Ended>,
}

/// How the bytes of a connection came to their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server closed it.
    Closed,
    /// The server, or who stands before it, reset it.
    Reset,
    /// It sent more than any server needs.
    TooMuch,
    /// Its greeting is none.
    Fault(wire::Fault),
    /// Another error of the socket.
    Failed(String),
}

impl Heard {
    /// The beginning of what the server said.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }

    /// How it ended, where it did.
    pub fn ended(&self) -> Option<Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ended.clone()
    }

    fn note<T>(&self, act: impl FnOnce(&mut Notes) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The stream that russh is given.
pub struct Tap<S> {
    inner: S,
    heard: Heard,
    /// Where in what is kept russh goes on; none while its lines have not ended.
    next: Option<usize>,
    search: wire::Search,
}

impl<S> Tap<S> {
    /// Listens in on a stream.
    pub fn new(inner: S, heard: Heard) -> Self {
        Self { inner, heard, next: None, search: wire::Search::default() }
    }
}

impl<S: AsyncRead + Unpin> Tap<S> {
    /// Reads once from the server and keeps it; how much came.
    fn hear(&mut self, cx: &mut Context<'_>, piece: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = piece.filled().len();
        let read = std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, piece));
        let new = piece.filled().get(before..).unwrap_or_default();
        let ended = self.heard.note(|notes| {
            notes.kept.extend(new);
            let ended = match &read {
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Some(Ended::Reset),
                Err(e) => Some(Ended::Failed(e.to_string())),
                Ok(()) if new.is_empty() => Some(Ended::Closed),
                Ok(()) if notes.kept.len() > MOST => Some(Ended::TooMuch),
                Ok(()) => None,
            };
            notes.ended = notes.ended.take().or_else(|| ended.clone());
            ended
        });
        match (read, ended) {
            (Err(e), _) => Poll::Ready(Err(e)),
            (Ok(()), Some(Ended::TooMuch)) => Poll::Ready(Err(stop())),
            (Ok(()), _) => Poll::Ready(Ok(new.len())),
        }
    }
}

fn stop() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Lines before the identification stay here.
        while this.next.is_none() {
            let mut piece = [0; PIECE];
            let read = std::task::ready!(this.hear(cx, &mut ReadBuf::new(&mut piece)))?;
            let search = &mut this.search;
            let found = this.heard.note(|notes| search.start(&notes.kept));
            match found {
                Ok(found) => this.next = found,
                Err(fault) => {
                    this.heard.note(|notes| notes.ended = Some(Ended::Fault(fault)));
                    return Poll::Ready(Err(stop()));
                }
            }
            if read == 0 && this.next.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
        if let Some(at) = this.next {
            let given = this.heard.note(|notes| {
                let rest = notes.kept.get(at..).unwrap_or_default();
                let given = rest.get(..buf.remaining()).unwrap_or(rest);
                buf.put_slice(given);
                given.len()
            });
            if given > 0 {
                this.next = Some(at.saturating_add(given));
                return Poll::Ready(Ok(()));
            }
        }
        // Everything kept was given; what comes now is given as it comes.
        let read = std::task::ready!(this.hear(cx, buf))?;
        this.next = this.next.map(|at| at.saturating_add(read));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    /// Who closes at once may still have said why: what cannot be written any more is dropped, and reading tells the end.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let closed = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        match std::task::ready!(Pin::new(&mut self.inner).poll_write(cx, buf)) {
            Err(e) if closed.contains(&e.kind()) => Poll::Ready(Ok(buf.len())),
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::wire::Greeting;
    use super::*;

    /// A peer that has closed: pieces of what it said, then the end or a reset; nothing can be written to it.
    struct Gone(VecDeque<Vec<u8>>, bool);

    impl AsyncRead for Gone {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.0.pop_front() {
                Some(mut piece) => {
                    let rest = piece.split_off(piece.len().min(buf.remaining()));
                    buf.put_slice(&piece);
                    if !rest.is_empty() {
                        self.0.push_front(rest);
                    }
                    Poll::Ready(Ok(()))
                }
                None if self.1 => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => Poll::Ready(Ok(())),
            }
        }
    }

    impl AsyncWrite for Gone {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What comes out of the tap, in reads of a size, and what was heard.
    fn through(pieces: &[&[u8]], reset: bool, size: usize) -> (Vec<u8>, Heard) {
        let heard = Heard::default();
        let gone = Gone(pieces.iter().map(|piece| piece.to_vec()).collect(), reset);
        let mut tap = Tap::new(gone, heard.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let out = runtime.block_on(async {
            tap.write_all(b"SSH-2.0-us\r\n").await.unwrap();
            let (mut out, mut buffer) = (Vec::new(), vec![0; size]);
            while let Ok(read @ 1..) = tap.read(&mut buffer).await {
                out.extend(&buffer[..read]);
            }
            out
        });
        (out, heard)
    }

    #[test]
    fn lines_stay_and_the_rest_goes_through_unchanged() {
        let said: Vec<u8> = [b"hello\r\nmore\nSSH-2.0-x\r\n".to_vec(), vec![7; 20_000]].concat();
        for piece in [1, 3, 4096, 30_000] {
            for size in [1, 100, 8192] {
                let (out, heard) = through(&said.chunks(piece).collect::<Vec<_>>(), false, size);
                assert!(out == said[12..], "in pieces of {piece}, read by {size}");
                assert!(heard.bytes() == said && heard.ended() == Some(Ended::Closed));
            }
        }
    }

    #[test]
    fn an_end_is_told_with_what_was_said_before_it() {
        let (out, heard) = through(&[b"Not allowed ", b"at this time\r\n"], true, 64);
        assert_eq!((out, heard.ended()), (Vec::new(), Some(Ended::Reset)));
        assert_eq!(Greeting::read(&heard.bytes()).lines, ["Not allowed at this time"]);
        let endless = vec![b'x'; 2 * MOST];
        let (out, heard) = through(&[b"SSH-2.0-x\r\n", &endless], false, 4096);
        assert_eq!(heard.ended(), Some(Ended::TooMuch));
        assert!(out.len() <= MOST + PIECE && heard.bytes().len() <= MOST + PIECE);
        let (out, heard) = through(&[&endless], false, 4096);
        assert_eq!((out, heard.ended()), (Vec::new(), Some(Ended::Fault(wire::Fault::Line))));
    }
}
