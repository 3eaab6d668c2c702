//! What is read once: standard input, named pipes, and files whose size is not what they say.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::Unreadable;

/// A stream. It is read on a thread of its own, because a read may take for ever.
pub(super) struct Stream {
    path: PathBuf,
    state: State,
}

enum State {
    Unopened,
    Idle(Box<dyn Read + Send>),
    Reading(JoinHandle<Outcome>),
}

type Outcome = (Box<dyn Read + Send>, std::io::Result<Vec<u8>>);

impl Stream {
    /// Standard input.
    pub(super) fn stdin() -> Self {
        Self {
            path: "standard input".into(),
            state: State::Idle(Box::new(std::io::stdin())),
        }
    }

    /// A pipe or a file. It is opened when its turn comes: opening a pipe waits for its writer.
    pub(super) fn file(path: PathBuf) -> Self {
        let state = State::Unopened;
        Self { path, state }
    }

    /// What comes next, up to `max` bytes; none at the end. Nothing is lost if the call is dropped.
    pub(super) async fn read(&mut self, max: usize) -> Result<Bytes, Unreadable> {
        let reading = match &mut self.state {
            State::Reading(reading) => reading,
            idle => {
                let path = self.path.clone();
                let reader = match std::mem::replace(idle, State::Unopened) {
                    State::Idle(reader) => Some(reader),
                    State::Unopened | State::Reading(_) => None,
                };
                *idle = State::Reading(tokio::task::spawn_blocking(move || {
                    let mut reader = match reader.map_or_else(|| open(&path), Ok) {
                        Ok(reader) => reader,
                        Err(error) => return (Box::new(std::io::empty()) as _, Err(error)),
                    };
                    let read = read_once(&mut *reader, max);
                    (reader, read)
                }));
                match idle {
                    State::Reading(reading) => reading,
                    State::Idle(_) | State::Unopened => return Ok(Bytes::new()),
                }
            }
        };
        let joined = reading.await;
        match joined {
            Ok((reader, read)) => {
                self.state = State::Idle(reader);
                read.map(Bytes::from)
                    .map_err(|error| Unreadable::new(&self.path, error))
            }
            Err(error) => Err(Unreadable::new(&self.path, error)),
        }
    }
}

fn open(path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(File::open(path)?))
}

fn read_once(reader: &mut dyn Read, max: usize) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; max];
    loop {
        match reader.read(&mut buffer) {
            Ok(read) => {
                buffer.truncate(read);
                return Ok(buffer);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
