//! Datagrams of a test's own, from anywhere in a laboratory, by `examples/prober.rs`.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::wires::{SERVER_V4, SERVER_V6};
use super::{Device, Lab};
use crate::harness::{example, soon};

pub struct Prober {
    pub port: u16,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    /// What it has told of datagrams while something else was waited for.
    got: VecDeque<Datagram>,
    _child: Child,
}

/// A word, and the address it came from.
pub type Datagram = (String, SocketAddr);

impl Prober {
    /// On a device, with a socket of this family.
    pub async fn on(device: &Device, v6: bool) -> Self {
        let all: IpAddr = if v6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        Self::start(device.command(example("prober")), SocketAddr::new(all, 0)).await
    }

    /// Beside the server, at one of its two addresses of this family.
    pub async fn outside(lab: &Lab, v6: bool, address: usize) -> (Self, SocketAddr) {
        let address = if v6 {
            SERVER_V6[address].into()
        } else {
            SERVER_V4[address].into()
        };
        let at = SocketAddr::new(address, 0);
        let prober = Self::start(lab.outside(example("prober")), at).await;
        let port = prober.port;
        (prober, SocketAddr::new(address, port))
    }

    async fn start(mut command: Command, at: SocketAddr) -> Self {
        command.arg(at.to_string()).stdin(Stdio::piped());
        command.stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the prober starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = soon(stdout.next_line()).await.expect("readable");
        let port = port.and_then(|port| port.parse().ok());
        Self {
            port: port.expect("it says its port"),
            stdin: child.stdin.take().expect("piped"),
            stdout,
            got: VecDeque::new(),
            _child: child,
        }
    }

    /// Sends a word; it has left when this returns.
    pub async fn send(&mut self, to: SocketAddr, word: &str) {
        assert_eq!(
            self.tell(&format!("send {to} {word}")).await,
            "sent",
            "{to}"
        );
    }

    /// Makes a connection of TCP.
    pub async fn dial(&mut self, to: SocketAddr) {
        assert_eq!(self.tell(&format!("dial {to}")).await, "dialled", "{to}");
    }

    /// The next datagram.
    pub async fn next(&mut self) -> Datagram {
        if let Some(datagram) = self.got.pop_front() {
            return datagram;
        }
        let line = self.line().await;
        datagram(&line).unwrap_or_else(|| panic!("{line:?} is not about a datagram"))
    }

    async fn tell(&mut self, line: &str) -> String {
        let line = format!("{line}\n");
        let told = self.stdin.write_all(line.as_bytes()).await;
        told.expect("the prober runs");
        loop {
            let line = self.line().await;
            match datagram(&line) {
                Some(datagram) => self.got.push_back(datagram),
                None => return line,
            }
        }
    }

    async fn line(&mut self) -> String {
        let line = soon(self.stdout.next_line()).await.expect("readable");
        line.expect("the prober runs")
    }
}

fn datagram(line: &str) -> Option<Datagram> {
    let (word, from) = line.strip_prefix("got ")?.split_once(' ')?;
    Some((word.to_owned(), from.parse().expect("an address")))
}
