//! A command over a saved device: a guest of the process that holds the leg.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use peersox_client::{Error, Priority, ResetCode, Side, Status};
use rand_core::{OsRng, RngCore as _};
use tokio::io::BufReader;
use tokio::sync::{mpsc, oneshot, watch};

use super::Channel;
use super::lasting::Row;
use super::lent::{Line, halves};
use super::place::Place;
use super::pump::{Permit, Pump};
use super::wire::{self, Answer, Asked, Fault, Request, Told};
use crate::args::{Paths, Remote, Transport};
use crate::argv;
use crate::failure::Failure;
use crate::saved::{Devices, Name};
use crate::signals::spawn_goodbye;
use crate::terminal::Voice;

/// A peer that a holder lends.
pub(crate) struct Peer {
    lender: Lender,
    asks: mpsc::Sender<Ask>,
    gone: mpsc::Receiver<()>,
}

/// Where channels come from.
#[derive(Clone)]
pub(crate) struct Lender {
    place: Arc<Place>,
    status: watch::Receiver<Status>,
    /// The holder looks for direct paths.
    looks: Arc<AtomicBool>,
    end: watch::Receiver<Option<Result<(), Error>>>,
    /// Each channel holds a copy; [`Peer::gone`] ends with the last of them.
    alive: mpsc::Sender<()>,
}

enum Ask {
    Ping(oneshot::Sender<Duration>),
    Close,
}

/// Becomes a guest of the device's holder, which is started if there is none. Returns at once, whether or not
/// the device is there; events are said by `voice`.
pub(crate) async fn attach(
    devices: &Devices,
    name: &Name,
    remote: &Remote,
    voice: Voice,
) -> anyhow::Result<Peer> {
    let place = Arc::new(Place::of(devices, name));
    let line = arrive(&place, remote).await?;
    let (asks, asked) = mpsc::channel(1);
    let (stands, status) = watch::channel(Status::default());
    let (ends, end) = watch::channel(None);
    let looks = Arc::new(AtomicBool::new(false));
    let visit = Visit {
        looks: Arc::clone(&looks),
        place: Arc::clone(&place),
        remote: remote.clone(),
        voice,
        asked,
        stands,
        pings: Vec::new(),
        greeted: false,
        closing: false,
    };
    spawn_goodbye(async move {
        let ended = visit.run(line).await;
        ends.send_replace(Some(ended));
    });
    let (alive, gone) = mpsc::channel(1);
    let lender = Lender {
        place,
        status,
        looks,
        end,
        alive,
    };
    Ok(Peer { lender, asks, gone })
}

impl Peer {
    /// Waits until messages flow.
    pub(crate) async fn connected(&self) -> Result<(), Error> {
        let mut status = self.status();
        tokio::select! {
            biased;
            Ok(_) = status.wait_for(|status| status.connected) => Ok(()),
            ended = self.ended() => ended.and(Err(Error::PeerDone)),
        }
    }

    pub(super) async fn open(&self, name: &str, priority: Priority) -> Result<Channel, Error> {
        self.lender.open(name, priority).await
    }

    pub(super) async fn accept(&self, name: &str) -> Option<Channel> {
        self.lender.accept(name).await
    }

    pub(super) fn lender(&self) -> Lender {
        self.lender.clone()
    }

    pub(super) async fn ping(&self) -> Result<Duration, Error> {
        loop {
            let (reply, round_trip) = oneshot::channel();
            if self.asks.send(Ask::Ping(reply)).await.is_err() {
                return Err(self.ended().await.err().unwrap_or(Error::Gone));
            }
            // Unanswered if the holder was killed meanwhile.
            if let Ok(round_trip) = round_trip.await {
                return Ok(round_trip);
            }
        }
    }

    /// Whether the holder looks for direct paths, once messages have flowed.
    pub(crate) fn looks_for_direct_paths(&self) -> bool {
        self.lender.looks.load(Ordering::Relaxed)
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.lender.status.clone()
    }

    pub(super) async fn ended(&self) -> Result<(), Error> {
        self.lender.ended().await
    }

    pub(super) async fn close(mut self) -> Result<(), Error> {
        // The holder has to know of everything that was said over the channels before it parts.
        let (alive, _) = mpsc::channel(1);
        self.lender.alive = alive;
        let _ = tokio::time::timeout(SETTLE, self.gone.recv()).await;
        let _ = self.asks.send(Ask::Close).await;
        self.ended().await
    }
}

impl Lender {
    async fn open(&self, name: &str, priority: Priority) -> Result<Channel, Error> {
        let request = Request::Open {
            name: name.to_owned(),
            priority: priority as u8,
            row: None,
        };
        let (line, _) = self.channel(&request).await?;
        Ok(Channel::lent(name, halves(line, self.alive.clone())))
    }

    pub(super) async fn open_lasting(
        &self,
        name: &str,
        priority: Priority,
        permit: Option<Permit>,
    ) -> Result<Channel, Error> {
        let mut random = [0; 16];
        OsRng.fill_bytes(&mut random);
        let row = Row::new(name, random);
        let request = Request::Open {
            name: name.to_owned(),
            priority: priority as u8,
            row: Some(row.first()),
        };
        let (line, begun) = self.channel(&request).await?;
        // A page takes the plain one.
        if begun.is_none() {
            return Ok(Channel::lent(name, halves(line, self.alive.clone())));
        }
        let (sender, receiver) = self.pump(row, Some(priority), permit).start(line);
        match sender.heard().await {
            Ok(()) => Ok(Channel::lasting(name, (sender, receiver))),
            // A program that does not know of such channels.
            Err(Error::Reset { by, code }) if (by, code) == (Side::Other, ResetCode::REFUSED) => {
                self.open(name, priority).await
            }
            Err(error) => Err(error),
        }
    }

    async fn accept(&self, name: &str) -> Option<Channel> {
        let request = Request::Accept {
            name: name.to_owned(),
            lasting: true,
        };
        loop {
            let asked = tokio::select! {
                asked = self.channel(&request) => asked,
                _ = self.ended() => return None,
            };
            match asked {
                Ok((line, begun)) => {
                    return Some(match begun {
                        Some(row) => Channel::lasting(name, self.pump(row, None, None).start(line)),
                        None => Channel::lent(name, halves(line, self.alive.clone())),
                    });
                }
                // The holder is gone; the next one is asked.
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    fn pump(&self, row: Row, opens: Option<Priority>, permit: Option<Permit>) -> Pump {
        Pump {
            place: Arc::clone(&self.place),
            status: self.status.clone(),
            end: self.end.clone(),
            row,
            opens,
            alive: self.alive.clone(),
            permit,
        }
    }

    /// A channel, and the row that it begins.
    async fn channel(&self, request: &Request) -> Result<(Line, Option<Row>), Error> {
        let asking = async {
            loop {
                match ask_for(&self.place, request).await {
                    Ok(Answered::Here(line, row)) => return Ok((line, row)),
                    Ok(Answered::Not(fault)) => return Err(fault.into()),
                    Err(error) => retry(&error).await?,
                }
            }
        };
        tokio::select! {
            asked = asking => asked,
            ended = self.ended() => Err(ended.err().unwrap_or(Error::Gone)),
        }
    }

    async fn ended(&self) -> Result<(), Error> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Err(Error::Gone)),
            Err(_) => Err(Error::Gone),
        }
    }
}

/// The guest's own connection to the holder.
struct Visit {
    place: Arc<Place>,
    remote: Remote,
    voice: Voice,
    asked: mpsc::Receiver<Ask>,
    stands: watch::Sender<Status>,
    looks: Arc<AtomicBool>,
    pings: Vec<(u64, oneshot::Sender<Duration>)>,
    /// The present holder has said how things stand, which it does first.
    greeted: bool,
    closing: bool,
}

impl Visit {
    /// Until the peer ends, or nobody needs it any more.
    async fn run(mut self, mut line: Line) -> Result<(), Error> {
        loop {
            if let Some(ended) = self.stay(line).await {
                return ended;
            }
            self.pings.clear();
            self.stands.send_replace(Status::default());
            if self.closing {
                return Err(Error::NotTaken);
            }
            // A process that is being killed may take one more connection, and says nothing over it.
            if std::mem::take(&mut self.greeted) {
                let event = serde_json::json!({"event": "taken_over"});
                self.voice.say(
                    "the process that held the connection is gone; another one takes over",
                    &event,
                );
            }
            line = arrive(&self.place, &self.remote)
                .await
                .map_err(|_| Error::Gone)?;
        }
    }

    /// Until the holder is gone, or, with the result, for ever.
    async fn stay(&mut self, (mut read, mut write): Line) -> Option<Result<(), Error>> {
        let (tells, mut told) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            while let Ok(Some(news)) = wire::hear::<Told>(&mut read).await {
                if tells.send(news).await.is_err() {
                    return;
                }
            }
        });
        let ended = loop {
            tokio::select! {
                ask = self.asked.recv(), if !self.closing => {
                    let said = match ask {
                        Some(Ask::Ping(reply)) => {
                            let id = self.pings.last().map_or(0, |(id, _)| id + 1);
                            self.pings.push((id, reply));
                            wire::tell(&mut write, &Asked::Ping { id }).await
                        }
                        Some(Ask::Close) => {
                            self.closing = true;
                            wire::tell(&mut write, &Asked::Close).await
                        }
                        None => {
                            let _ = wire::tell(&mut write, &Asked::Leave).await;
                            break Some(Ok(()));
                        }
                    };
                    // The reader notices as well that the holder is gone.
                    let _ = said;
                }
                news = told.recv() => match news {
                    Some(Told::Said { sentence, event }) => self.voice.say(&sentence, &event),
                    Some(Told::Stands(stands)) => {
                        self.greeted = true;
                        self.looks.store(stands.looks, Ordering::Relaxed);
                        self.stands.send_replace(stands.into());
                    }
                    Some(Told::Pong { id, nanos }) => {
                        if let Some(at) = self.pings.iter().position(|it| it.0 == id) {
                            let _ = self.pings.swap_remove(at).1.send(Duration::from_nanos(nanos));
                        }
                    }
                    Some(Told::Ended { fault }) => {
                        break Some(fault.map_or(Ok(()), |fault| Err(fault.into())));
                    }
                    None => break None,
                },
            }
        };
        reader.abort();
        ended
    }
}

/// Connects to the holder; starts one if there is none.
async fn arrive(place: &Place, remote: &Remote) -> anyhow::Result<Line> {
    let arriving = async {
        let mut attempt = 0;
        loop {
            if let Ok(stream) = place.connect().await {
                let (read, mut write) = stream.into_split();
                if wire::tell(&mut write, &Request::Attach).await.is_ok() {
                    return Ok((BufReader::new(read), write));
                }
            }
            // Of several that are started at once, the lock lets one live; it may still be that of a holder
            // that ends.
            if attempt % START_AGAIN == 0 {
                start(place.name(), remote)?;
            }
            attempt += 1;
            tokio::time::sleep(BREATH).await;
        }
    };
    match tokio::time::timeout(wire::PATIENCE, arriving).await {
        Ok(arrived) => arrived,
        Err(_) => Err(Failure::Unreachable(format!(
            "another command uses {}, and does not share it",
            place.name()
        ))
        .into()),
    }
}

/// Starts a holder, which the signals of this terminal do not reach.
fn start(name: &Name, remote: &Remote) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["hold", &name.to_string()]);
    command.args(["--wait", &remote.wait.to_string(), "--transport"]);
    command.arg(match remote.transport {
        Transport::Auto => "auto",
        Transport::Quic => "quic",
        Transport::Ws => "ws",
    });
    command.arg("--path").arg(match remote.path {
        Paths::Relay => "relay",
        // Each guest insists by itself.
        Paths::Auto | Paths::Direct => "auto",
    });
    if let Some(authority) = &remote.ca_cert {
        command.arg("--ca-cert").arg(absolute(authority)?);
    }
    let devices = Devices::of_this_user()?;
    command.env("PEERSOX_DEVICES", absolute(devices.folder())?);
    command.env_remove(argv::VARIABLE).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn()?;
    // It is waited for, so that none is left behind as a zombie while this command goes on.
    std::thread::spawn(move || child.wait());
    Ok(())
}

fn absolute(path: &Path) -> std::io::Result<std::path::PathBuf> {
    std::path::absolute(path)
}

pub(super) enum Answered {
    /// The channel, and the row that it begins.
    Here(Line, Option<Row>),
    Not(Fault),
}

/// Waits before the holder is asked again: another one is being started in place of one that was killed.
/// Fails if the holder said what this program does not understand, which no repetition mends.
pub(super) async fn retry(error: &std::io::Error) -> Result<(), Error> {
    match error.kind() {
        std::io::ErrorKind::InvalidData => Err(Error::Gone),
        _ => {
            tokio::time::sleep(BREATH).await;
            Ok(())
        }
    }
}

/// Asks the holder for a channel.
pub(super) async fn ask_for(place: &Place, request: &Request) -> std::io::Result<Answered> {
    let (read, mut write) = place.connect().await?.into_split();
    wire::tell(&mut write, request).await?;
    let mut line = BufReader::new(read);
    match wire::hear(&mut line).await? {
        Some(Answer::Here) => Ok(Answered::Here((line, write), None)),
        Some(Answer::Row(name)) => Ok(Answered::Here((line, write), Row::begun_by(&name))),
        Some(Answer::Fault(fault)) => Ok(Answered::Not(fault)),
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// How long the holder may take to read what was said over channels. A channel that is still open is not
/// waited for longer.
const SETTLE: Duration = Duration::from_secs(1);

/// After how many attempts to reach a holder another one is started: a second.
const START_AGAIN: u32 = 20;

/// The pause before the socket of a holder is tried again.
pub(super) const BREATH: Duration = Duration::from_millis(50);
