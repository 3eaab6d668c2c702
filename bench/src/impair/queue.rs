//! The kernel's queue of packets, over netlink: `linux/netfilter/nfnetlink_queue.h`.
//!
//! ```text
//!   message    length u32, type u16, flags u16, sequence u32, port u32      as the host writes numbers
//!              family u8, version u8, queue u16                             from here on big-endian
//!   attribute  length u16, type u16 (both as the host), value, up to 3 bytes of padding
//! ```
//!
//! The kernel tells the number of each packet and keeps the packet itself, whole: with the flag `GSO` a
//! batch of segments stays one.

use std::io::{self, Read as _};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

/// A queue whose packets this program judges.
pub(super) struct Queue {
    socket: Socket,
    number: u16,
    room: Vec<u8>,
}

/// Says what becomes of packets.
pub(super) struct Verdicts {
    socket: Socket,
    number: u16,
}

impl Queue {
    pub(super) fn bind(number: u16) -> anyhow::Result<Self> {
        let socket = Socket::new(
            Domain::from(NETLINK),
            Type::RAW,
            Some(Protocol::from(NETFILTER)),
        )
        .context("no netlink here")?;
        // What the kernel cannot tell is lost without a verdict.
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        let room = vec![0; 64 * 1024];
        let mut queue = Self {
            socket,
            number,
            room,
        };
        let flags = (
            FLAG_GSO.to_be_bytes(),
            attribute(CONFIG_MASK, &FLAG_GSO.to_be_bytes()),
        );
        for settings in [
            attribute(CONFIG_COMMAND, &[COMMAND_BIND, 0, 0, 0]),
            attribute(CONFIG_PARAMETERS, &[0, 0, 0, 0, COPY_META]),
            attribute(CONFIG_LENGTH, &MAX_PACKETS.to_be_bytes()),
            [attribute(CONFIG_FLAGS, &flags.0), flags.1].concat(),
        ] {
            queue.configure(&settings)?;
        }
        Ok(queue)
    }

    pub(super) fn verdicts(&self) -> anyhow::Result<Verdicts> {
        let socket = self.socket.try_clone()?;
        let number = self.number;
        Ok(Verdicts { socket, number })
    }

    /// Waits for packets, and tells their numbers.
    pub(super) fn packets(&mut self) -> anyhow::Result<Vec<u32>> {
        let read = (&self.socket).read(&mut self.room);
        match read {
            Ok(read) => Ok(packets(&self.room[..read])),
            Err(error) if error.raw_os_error() == Some(NO_BUFFER) => {
                eprintln!(
                    "warning: more packets than could be judged; some are lost without a verdict"
                );
                Ok(Vec::new())
            }
            Err(error) => Err(error).context("the queue is gone"),
        }
    }

    fn configure(&mut self, settings: &[u8]) -> anyhow::Result<()> {
        let message = message(CONFIG, WITH_ACKNOWLEDGEMENT, self.number, settings);
        self.socket
            .send(&message)
            .context("no queue of packets here")?;
        let read = (&self.socket).read(&mut self.room)?;
        let code = self.room[..read].get(HEADER..HEADER + 4);
        match code
            .and_then(|it| it.first_chunk())
            .map(|it| i32::from_ne_bytes(*it))
        {
            Some(0) => Ok(()),
            Some(code) => {
                Err(io::Error::from_raw_os_error(-code)).context("the kernel refuses the queue")
            }
            None => anyhow::bail!("the kernel's answer is cut"),
        }
    }
}

impl Verdicts {
    pub(super) fn lose(&self, packet: u32) -> io::Result<()> {
        self.send(VERDICT, DROP, packet)
    }

    /// Lets all packets go on up to this one.
    pub(super) fn pass_up_to(&self, packet: u32) -> io::Result<()> {
        self.send(VERDICT_BATCH, ACCEPT, packet)
    }

    fn send(&self, kind: u16, verdict: u32, packet: u32) -> io::Result<()> {
        let value = [verdict.to_be_bytes(), packet.to_be_bytes()].concat();
        let message = message(
            kind,
            REQUEST,
            self.number,
            &attribute(VERDICT_HEADER, &value),
        );
        self.socket.send(&message).map(drop)
    }
}

fn message(kind: u16, flags: u16, queue: u16, attributes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER + 4 + attributes.len()).expect("it is short");
    let mut message = Vec::new();
    message.extend(len.to_ne_bytes());
    message.extend((QUEUE_SUBSYSTEM << 8 | kind).to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0, 0]);
    message.extend(queue.to_be_bytes());
    message.extend_from_slice(attributes);
    message
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + value.len()).expect("it is short");
    let mut attribute = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    attribute.extend_from_slice(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// The numbers of the packets that messages of the kernel announce.
fn packets(mut bytes: &[u8]) -> Vec<u32> {
    let mut packets = Vec::new();
    while let Some(len) = bytes
        .first_chunk()
        .map(|it| u32::from_ne_bytes(*it) as usize)
    {
        let Some(message) = bytes.get(..len).filter(|_| len > HEADER + 4) else {
            break;
        };
        let kind = [message[4], message[5]];
        if u16::from_ne_bytes(kind) == QUEUE_SUBSYSTEM << 8 | PACKET {
            packets.extend(number(&message[HEADER + 4..]));
        }
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    packets
}

/// The value of the attribute that begins with a packet's number.
fn number(mut attributes: &[u8]) -> Option<u32> {
    while let [a, b, c, d, ..] = *attributes {
        let len = usize::from(u16::from_ne_bytes([a, b]));
        if u16::from_ne_bytes([c, d]) == PACKET_HEADER {
            return attributes
                .get(4..8)?
                .first_chunk()
                .map(|it| u32::from_be_bytes(*it));
        }
        attributes = attributes.get(len.max(4).next_multiple_of(4)..)?;
    }
    None
}

/// `AF_NETLINK`, `NETLINK_NETFILTER`, `NFNL_SUBSYS_QUEUE`.
const NETLINK: i32 = 16;
const NETFILTER: i32 = 12;
const QUEUE_SUBSYSTEM: u16 = 3;

/// Of a message, before what netfilter adds.
const HEADER: usize = 16;

/// `NLM_F_REQUEST`, and with `NLM_F_ACK`.
const REQUEST: u16 = 1;
const WITH_ACKNOWLEDGEMENT: u16 = 5;

/// Messages: `NFQNL_MSG_*`.
const PACKET: u16 = 0;
const VERDICT: u16 = 1;
const CONFIG: u16 = 2;
const VERDICT_BATCH: u16 = 3;

/// Attributes: `NFQA_PACKET_HDR`, `NFQA_VERDICT_HDR`, `NFQA_CFG_*`.
const PACKET_HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;
const CONFIG_COMMAND: u16 = 1;
const CONFIG_PARAMETERS: u16 = 2;
const CONFIG_LENGTH: u16 = 3;
const CONFIG_MASK: u16 = 4;
const CONFIG_FLAGS: u16 = 5;

const COMMAND_BIND: u8 = 1;
const COPY_META: u8 = 1;
const FLAG_GSO: u32 = 4;

/// `NF_DROP`, `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// `ENOBUFS`.
const NO_BUFFER: i32 = 105;

/// More than 50 ms of small packets.
const MAX_PACKETS: u32 = 100_000;
const RECEIVE_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_in_what_the_kernel_says() {
        let header = |number: u32| {
            let value = [&number.to_be_bytes()[..], &[8, 0, 1]].concat();
            [attribute(9, &[1]), attribute(PACKET_HEADER, &value)].concat()
        };
        let said = [
            message(PACKET, 0, 7, &header(1)),
            message(CONFIG, 0, 7, &header(2)),
            message(PACKET, 0, 7, &header(300)),
        ]
        .concat();
        assert_eq!(packets(&said), [1, 300]);
        for cut in 0..said.len() {
            assert!(packets(&said[..cut]).len() <= 1, "cut at {cut}");
        }
    }

    #[test]
    fn attributes_are_padded() {
        assert_eq!(attribute(2, &[0xaa; 5]).len(), 12);
        assert_eq!(message(VERDICT, 1, 258, &[])[18..], [1, 2]);
    }
}
