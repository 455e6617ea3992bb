//! A program that is given so much time, and is ended when that is over.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often one that says no more is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What a program said and how it ended; none where it did not end in time, and was ended.
///
/// # Errors
/// When it cannot be started.
pub(super) fn output(command: &mut Command, most: Duration) -> io::Result<Option<Output>> {
    let begun = Instant::now();
    let left = || most.saturating_sub(begun.elapsed());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let said = [child.stdout.take().map(all_of), child.stderr.take().map(all_of)];
    let mut heard = Vec::new();
    for pipe in said.into_iter().flatten() {
        match pipe.recv_timeout(left()) {
            Ok(bytes) => heard.push(bytes),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    loop {
        let ended = child.try_wait()?;
        if let (Some(status), [stdout, stderr]) = (ended, heard.as_mut_slice()) {
            return Ok(Some(Output {
                status,
                stdout: std::mem::take(stdout),
                stderr: std::mem::take(stderr),
            }));
        }
        if left().is_zero() || heard.len() < 2 {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// Everything that comes out of a pipe, by a thread that ends with the pipe.
fn all_of(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = tell.send(bytes);
    });
    told
}
