//! Where a run prints: data on stdout, talk on stderr.
//!
//! Commands hand over whole texts and never see an error of the stream: it is kept until [`Console::finish`].
//! A reader that went away (`| head`) is no error; a full disk is.

use std::io::{self, IsTerminal, Write};

/// The two streams, and whether each may be coloured.
pub struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    colour_out: bool,
    colour_err: bool,
    terminal: bool,
    width: usize,
    failed: Option<io::Error>,
}

impl<'a> Console<'a> {
    /// Streams that are no terminal: no colour, fixed width.
    pub fn plain(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, colour_out: false, colour_err: false, terminal: false, width: 110, failed: None }
    }

    /// This process's streams: coloured on a terminal, unless `NO_COLOR` is set or the terminal is `dumb`.
    pub fn of_process(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = !set("NO_COLOR") && !dumb;
        let colour_out = colour && io::stdout().is_terminal();
        let colour_err = colour && io::stderr().is_terminal();
        let terminal = io::stderr().is_terminal();
        Self { colour_out, colour_err, terminal, ..Self::plain(out, err) }
    }

    /// Writes to stdout.
    pub fn data(&mut self, text: &str) {
        let written = self.out.write_all(text.as_bytes());
        self.keep(written);
    }

    /// Writes to stderr.
    pub fn talk(&mut self, text: &str) {
        let written = self.err.write_all(text.as_bytes());
        self.keep(written);
    }

    /// Progress: said on a terminal, not into a pipe.
    pub fn step(&mut self, words: &str) {
        if self.terminal {
            self.talk(&format!("{words}\n"));
        }
    }

    /// Writes out what was said so far.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Whether stdout may be coloured.
    #[must_use]
    pub fn colour_out(&self) -> bool {
        self.colour_out
    }

    /// Whether stderr may be coloured.
    #[must_use]
    pub fn colour_err(&self) -> bool {
        self.colour_err
    }

    /// How wide a line of findings may be.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Flushes both.
    ///
    /// # Errors
    /// The first thing that could not be written, unless it is because nobody reads any more.
    pub fn finish(&mut self) -> io::Result<()> {
        let flushed = self.out.flush().and(self.err.flush());
        self.keep(flushed);
        self.failed.take().map_or(Ok(()), Err)
    }

    fn keep(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && error.kind() != io::ErrorKind::BrokenPipe
            && self.failed.is_none()
        {
            self.failed = Some(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refusing(io::ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_fine_and_a_full_disk_is_not() {
        for (kind, fine) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
            let (mut out, mut err) = (Refusing(kind), Vec::new());
            let mut console = Console::plain(&mut out, &mut err);
            console.data("text\n");
            assert_eq!(console.finish().is_ok(), fine);
        }
    }
}
