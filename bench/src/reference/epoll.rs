//! One thread, one epoll, edge-triggered, no allocation for what is relayed. A connection that is idle owns
//! no buffer.
//!
//! What came on one connection is written to the other one from the shared buffer. What the other one does
//! not take waits in `held`, and nothing more is read until it is gone.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::unmask::Unmask;
use super::{MET, TOKEN_BYTES, ready, upgrade};

/// What connections carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Bytes,
    WebSocket,
}

/// Relays for ever.
pub(super) fn run(listen: SocketAddr, speaks: Speaks) -> anyhow::Result<()> {
    let mut listener = TcpListener::bind(listen)?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(512);
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    ready(listener.local_addr())?;
    let mut relay = Relay {
        speaks,
        connections: Vec::new(),
        free: Vec::new(),
        waiting: HashMap::new(),
        buffer: vec![0; BUFFER_BYTES],
    };
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    relay.accept(stream, poll.registry())?;
                }
                continue;
            }
            let at = event.token().0;
            let readable = event.is_readable() || event.is_read_closed();
            relay.woke(at, readable, event.is_writable());
        }
    }
}

struct Relay {
    speaks: Speaks,
    connections: Vec<Option<Connection>>,
    /// Places in `connections` that nobody has.
    free: Vec<usize>,
    /// Who waits for the other peer, by token.
    waiting: HashMap<Vec<u8>, usize>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// What came before the token was whole; later the token.
    token: Vec<u8>,
    greeted: bool,
    peer: Option<usize>,
    readable: bool,
    unmask: Unmask,
    /// What the peer did not take: `held[written..]`.
    held: Vec<u8>,
    written: usize,
    over: bool,
}

impl Relay {
    fn accept(&mut self, mut stream: TcpStream, registry: &mio::Registry) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let at = self.free.pop().unwrap_or(self.connections.len());
        if at == self.connections.len() {
            self.connections.push(None);
        }
        registry.register(
            &mut stream,
            Token(at),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        self.connections[at] = Some(Connection {
            stream,
            token: Vec::new(),
            greeted: false,
            peer: None,
            readable: false,
            unmask: Unmask::default(),
            held: Vec::new(),
            written: 0,
            over: false,
        });
        Ok(())
    }

    fn woke(&mut self, at: usize, readable: bool, writable: bool) {
        let Some(Some(connection)) = self.connections.get_mut(at) else {
            return;
        };
        connection.readable |= readable;
        if connection.readable && !connection.greeted {
            connection.greet(self.speaks, &mut self.buffer);
            if connection.greeted {
                self.meet(at);
            }
        }
        let Some(connection) = &self.connections[at] else {
            return;
        };
        let (peer, readable) = (connection.peer, connection.readable);
        if let Some(peer) = peer {
            if writable {
                self.pass(peer, at);
            }
            if readable {
                self.pass(at, peer);
            }
        }
        if self.connections[at].as_ref().is_some_and(|it| it.over) {
            self.close(at);
        }
    }

    /// Finds the other peer, or waits for it.
    fn meet(&mut self, at: usize) {
        let Some(connection) = &mut self.connections[at] else {
            return;
        };
        let Some(peer) = self.waiting.remove(&connection.token) else {
            self.waiting.insert(connection.token.clone(), at);
            return;
        };
        connection.peer = Some(peer);
        if let Some(other) = &mut self.connections[peer] {
            other.peer = Some(at);
        }
        for at in [at, peer] {
            if let (Speaks::Bytes, Some(connection)) = (self.speaks, &mut self.connections[at]) {
                // One byte on a connection that carried nothing: there is room.
                connection.over |= connection.stream.write_all(&[MET]).is_err();
            }
        }
        self.pass(peer, at);
    }

    /// Moves what can be moved from one connection to the other.
    fn pass(&mut self, from: usize, to: usize) {
        let both = self.connections.get_disjoint_mut([from, to]);
        if let Ok([Some(from), Some(to)]) = both {
            from.pass(&to.stream, self.speaks, &mut self.buffer);
        }
    }

    fn close(&mut self, at: usize) {
        let Some(connection) = self.connections[at].take() else {
            return;
        };
        if self.waiting.get(&connection.token) == Some(&at) {
            self.waiting.remove(&connection.token);
        }
        self.free.push(at);
        if let Some(peer) = connection.peer {
            self.close(peer);
        }
    }
}

impl Connection {
    /// Reads towards the token.
    fn greet(&mut self, speaks: Speaks, buffer: &mut [u8]) {
        let most = match speaks {
            Speaks::Bytes => TOKEN_BYTES - self.token.len(),
            Speaks::WebSocket => buffer.len(),
        };
        let Some(read) = self.read(&mut buffer[..most]) else {
            return;
        };
        self.token.extend_from_slice(&buffer[..read]);
        match speaks {
            Speaks::Bytes => self.greeted = self.token.len() == TOKEN_BYTES,
            Speaks::WebSocket if self.token.ends_with(upgrade::END) => {
                let Some((path, answer)) = upgrade::answer(&self.token) else {
                    self.over = true;
                    return;
                };
                self.over |= self.stream.write_all(answer.as_bytes()).is_err();
                self.token = path;
                self.greeted = true;
            }
            Speaks::WebSocket => {}
        }
    }

    fn pass(&mut self, mut to: &TcpStream, speaks: Speaks, buffer: &mut [u8]) {
        if self.written < self.held.len() {
            let Ok(written) = to.write(&self.held[self.written..]) else {
                return;
            };
            self.written += written;
            if self.written < self.held.len() {
                return;
            }
            self.held = Vec::new();
            self.written = 0;
        }
        while self.readable {
            let cut = self.unmask.resume(buffer);
            let Some(read) = self.read(&mut buffer[cut..]) else {
                return;
            };
            let bytes = &mut buffer[..cut + read];
            let ready = match speaks {
                Speaks::Bytes => bytes.len(),
                Speaks::WebSocket => match self.unmask.run(bytes) {
                    Ok(ready) => ready,
                    Err(_) => {
                        self.over = true;
                        return;
                    }
                },
            };
            let bytes = &bytes[..ready];
            let written = to.write(bytes).unwrap_or(0);
            if written < bytes.len() {
                self.held.extend_from_slice(&bytes[written..]);
                return;
            }
        }
    }

    /// What came, if anything did. A read that does not fill its room has emptied the socket.
    fn read(&mut self, room: &mut [u8]) -> Option<usize> {
        match self.stream.read(room) {
            Ok(0) => {
                self.readable = false;
                self.over = true;
                None
            }
            Ok(read) => {
                self.readable = read == room.len();
                Some(read)
            }
            Err(_) => {
                self.readable = false;
                None
            }
        }
    }
}

const LISTENER: Token = Token(usize::MAX - 1);

/// More than the kernel hands out at once.
const BUFFER_BYTES: usize = 256 * 1024;
