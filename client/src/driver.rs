//! The task that owns a peer: the channel machine, the leg, and what the handles wait for.
//!
//! ```text
//!   handles ──commands──►┐                  ┌──frames──► writer task ──► sink ┐
//!                        │  driver ── Mux ──┤                                 ├ relay
//!   handles ◄──replies───┘                  └──◄───────────────────── source ─┘
//! ```
//!
//! Each turn takes one thing, in this order: an answer of the transport, a frame, a command, the
//! clock. Then it hands over whatever the machine wants to send, as long as the writer has room:
//! records stay in the machine until then, so that an urgent one can still overtake.

mod desk;
mod link;

use std::time::Duration;

use bytes::Bytes;
use peersox_core::channel::{self, ChannelId, Chunk, Mux, Priority, ResetCode};
use peersox_core::close::{CloseReason, Then};
use peersox_core::frame::{Frame, Lane};
use peersox_core::time::Moment;
use peersox_proto::v1;
use peersox_proto::v1::notice::Kind;
use prost::Message as _;
use rand_core::RngCore as _;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::Error;
use crate::attach::Attached;
use crate::channel::Channel;
use crate::leg::End;
use crate::peer::{Event, Options, Presence, Status};
use crate::server::{Pairing, Server};
use desk::Desk;
use link::{Link, News};

/// Where the driver puts the answer to a command.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a handle asks of the driver.
pub(crate) enum Command {
    Open {
        name: String,
        priority: Priority,
        reply: Reply<Channel>,
    },
    Send {
        channel: ChannelId,
        chunk: Chunk,
        reply: Reply<()>,
    },
    SendDatagram {
        channel: ChannelId,
        datagram: Bytes,
        reply: Reply<()>,
    },
    Read {
        channel: ChannelId,
        reply: Reply<Option<Chunk>>,
    },
    ReadDatagram {
        channel: ChannelId,
        reply: Reply<Bytes>,
    },
    Finish {
        channel: ChannelId,
        reply: Reply<()>,
    },
    Flushed {
        channel: ChannelId,
        reply: Reply<()>,
    },
    Reset {
        channel: ChannelId,
        code: ResetCode,
        reply: Reply<()>,
    },
    Ping {
        reply: Reply<Duration>,
    },
    Close,
}

pub(crate) struct Driver {
    mux: Mux,
    desk: Desk,
    link: Link,
    events: broadcast::Sender<Event>,
    status: watch::Sender<Status>,
    origin: Instant,
    /// When to give up a farewell that nobody answers; set by `close`.
    farewell: Option<Instant>,
}

/// Why a turn was the last one.
pub(crate) type Verdict = Result<(), Error>;

impl Driver {
    pub(crate) fn new(
        server: Server,
        pairing: Pairing,
        options: &Options,
        commands: mpsc::WeakSender<Command>,
        offers: mpsc::Sender<Channel>,
        events: broadcast::Sender<Event>,
        status: watch::Sender<Status>,
    ) -> Self {
        let mut instance = [0; 16];
        rand_core::OsRng.fill_bytes(&mut instance);
        let mux = Mux::new(options.channels, pairing.role, instance);
        let desk = Desk::new(commands, offers, options.max_message);
        Self {
            mux,
            desk,
            link: Link::new(server, pairing, options.transport, options.patience),
            events,
            status,
            origin: Instant::now(),
            farewell: None,
        }
    }

    /// Runs until the peer ends, says why, and stays to answer handles until the last is dropped: a
    /// receiver that has read everything is still owed its `None`.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Command>,
        attached: Attached,
        end: oneshot::Sender<Verdict>,
    ) {
        self.attached(attached);
        let verdict = loop {
            if let Some(verdict) = self.settle() {
                break verdict;
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                news = self.link.next() => {
                    if let Some(verdict) = self.hear(news) {
                        break verdict;
                    }
                }
                command = inbox.recv() => match command {
                    Some(Command::Close) => self.close(),
                    Some(command) => self.desk.serve(command, &mut self.mux),
                    // Every handle was dropped without a farewell.
                    None => break Err(Error::Gone),
                },
                id = self.desk.dropped() => self.desk.abandon(id, &mut self.mux),
                () = tokio::time::sleep_until(deadline) => {
                    if self.farewell.is_some_and(|end| end <= Instant::now()) {
                        break Ok(());
                    }
                    self.mux.handle_timeout(now(self.origin));
                }
            }
        };
        self.desk.end(&verdict);
        self.status.send_replace(Status::default());
        self.link.hang_up(CloseReason::Done).await;
        // Nobody may be waiting for it.
        let _ = end.send(verdict);
        while let Some(command) = inbox.recv().await {
            self.desk.serve(command, &mut self.mux);
        }
    }

    /// Handles what the machine has to tell and hands over what it has to send.
    fn settle(&mut self) -> Option<Verdict> {
        let mut verdict = None;
        while let Some(event) = self.mux.poll_event() {
            match event {
                channel::Event::Connected => {
                    self.status.send_modify(|status| status.connected = true);
                    self.tell(Event::Connected);
                }
                channel::Event::PeerRestarted => {
                    self.desk.restarted();
                    self.tell(Event::PeerRestarted);
                }
                channel::Event::Closed { flushed } => {
                    let all = flushed || self.farewell.is_none();
                    verdict = Some(if all { Ok(()) } else { Err(Error::PeerDone) });
                }
                event => self.desk.hear(event, &mut self.mux),
            }
        }
        let now = now(self.origin);
        while self.link.has_room() {
            let frame = match self.mux.poll_record(now) {
                Some(record) => record.into_frame(Lane::Reliable),
                None => match self.mux.poll_datagram() {
                    Some(datagram) => datagram.into_frame(Lane::Datagram),
                    None => break,
                },
            };
            self.link.send(frame);
        }
        verdict
    }

    fn hear(&mut self, news: News) -> Option<Verdict> {
        match news {
            News::Room => None,
            News::Frame(frame) => self.receive(&frame),
            News::Attached(attached) => {
                self.attached(*attached);
                None
            }
            News::Lost(end) => self.lost(&end),
            News::GaveUp(error) => Some(Err(error)),
        }
    }

    fn receive(&mut self, frame: &Frame) -> Option<Verdict> {
        let now = now(self.origin);
        let heard = match frame.lane() {
            Lane::Notice => {
                self.notice(frame.payload());
                Ok(())
            }
            Lane::Reliable => self.mux.handle_record(frame.payload(), now),
            Lane::Datagram => {
                self.mux.handle_datagram(frame.payload());
                Ok(())
            }
            // Signals belong to direct paths, which this client does not have yet.
            Lane::Signal => Ok(()),
        };
        heard.err().map(|violation| {
            tracing::debug!(%violation, "the other peer broke the protocol");
            Err(Error::Reset(format!(
                "the other peer broke the protocol: {violation}"
            )))
        })
    }

    fn notice(&mut self, payload: Bytes) {
        let Ok(v1::Notice { kind: Some(kind) }) = v1::Notice::decode(payload) else {
            return;
        };
        match kind {
            Kind::PeerOnline(_) => self.peer_online(),
            Kind::PeerAway(away) => {
                self.mux.path_down(now(self.origin));
                self.presence(Presence::Away);
                let grace = Duration::from_millis(away.grace_millis.into());
                self.tell(Event::PeerAway { grace });
            }
            Kind::Draining(_) => self.tell(Event::Draining),
            Kind::DatagramsDropped(dropped) => self.tell(Event::DatagramsDropped(dropped.count)),
            Kind::Pong(pong) => {
                if let Some(rtt) = self.link.pong(pong.nonce) {
                    self.status
                        .send_modify(|status| status.relay_rtt = Some(rtt));
                }
            }
            Kind::Hello(_) | Kind::Welcome(_) | Kind::Ping(_) => {}
        }
    }

    fn attached(&mut self, attached: Attached) {
        let Attached { leg, welcome } = attached;
        let transport = leg.transport;
        self.link.up(leg, &welcome);
        self.status
            .send_modify(|status| status.leg = Some(transport));
        self.tell(Event::Attached {
            transport,
            resumed: welcome.resumed,
        });
        if welcome.peer_online {
            self.peer_online();
        }
    }

    fn peer_online(&mut self) {
        self.mux.path_up(now(self.origin));
        self.presence(Presence::Online);
        self.tell(Event::PeerOnline);
    }

    fn lost(&mut self, end: &End) -> Option<Verdict> {
        self.mux.path_down(now(self.origin));
        self.presence(Presence::Absent);
        self.status.send_modify(|status| status.leg = None);
        let fatal = match end {
            End::HungUp(reason) if reason.then() == Then::Stop => Some(*reason),
            End::HungUp(_) | End::Lost(_) => None,
        };
        match fatal {
            // The other side hangs up once it knows that everything arrived.
            Some(CloseReason::PeerLeft) if self.farewell.is_some() => Some(Ok(())),
            Some(reason) => Some(Err(Error::Closed(reason))),
            None => {
                self.tell(Event::LegLost {
                    why: end.to_string(),
                });
                None
            }
        }
    }

    fn close(&mut self) {
        self.farewell = Some(Instant::now() + FAREWELL);
        self.mux.close();
    }

    fn presence(&mut self, presence: Presence) {
        self.status.send_modify(|status| {
            status.presence = presence;
            status.connected &= presence == Presence::Online;
        });
    }

    fn tell(&self, event: Event) {
        tracing::debug!(?event, "peer");
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn deadline(&self) -> Instant {
        let machine = self
            .mux
            .poll_timeout()
            .map(|at| self.origin + at.since_origin());
        let far = Instant::now() + Duration::from_secs(3600);
        [machine, self.farewell]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(far)
    }
}

fn now(origin: Instant) -> Moment {
    Moment::from_origin(origin.elapsed())
}

/// For how long a farewell may take: what is still under way may have to cross a slow network.
const FAREWELL: Duration = Duration::from_secs(30);
