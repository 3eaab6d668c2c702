//! `peersox hold NAME`: holds the leg of a saved device and lends it to commands. Nobody types this command;
//! the first guest starts it.
//!
//! One task owns the peer and hands channels out. Each connection of a guest is a task, and ends with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use peersox_client::{Channel, Error, Event, Peer, Priority};
use serde_json::json;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::lasting::{self, Row};
use super::lent::lend;
use super::place::Place;
use super::wire::{self, Answer, Asked, Fault, Request, Told};
use crate::args::{Hold, Paths};
use crate::failure;
use crate::fit;
use crate::meet;
use crate::saved::Devices;
use crate::signals::Signals;
use crate::terminal;

/// Runs until the last guest is gone, or the peer has ended. Signals that end a command do not end it while
/// guests use the leg: it ends with them.
pub(crate) async fn run(args: Hold) -> anyhow::Result<()> {
    let _unheard = Signals::listen()?;
    let devices = Devices::of_this_user()?;
    let saved = devices.load(&args.name)?;
    let place = Arc::new(Place::of(&devices, &args.name));
    let Some(_lock) = place.lock()? else {
        return Ok(());
    };
    let listener = place.listen()?;
    let (letters, inbox) = mpsc::channel(LETTERS);
    let doorman = {
        let (place, letters) = (Arc::clone(&place), letters.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if place.is_ours(&stream) {
                    tokio::spawn(receive(stream, letters.clone()));
                }
            }
        })
    };
    let (told, _) = broadcast::channel(TOLD);
    let desk = Desk {
        inbox,
        letters,
        told,
        guests: 0,
        unserved: VecDeque::new(),
        wanting: VecDeque::new(),
        phrase: None,
        looks: args.remote.path != Paths::Relay,
    };
    let parting = match meet::restore(&args.remote, saved).await {
        Ok(peer) => desk.serve(peer).await,
        Err(error) => {
            desk.refuse(&error).await;
            Parting::Done
        }
    };
    doorman.abort();
    place.clear();
    match parting {
        Parting::Done => {}
        // As if this process had been killed with its guest: the other side waits for it to be started again.
        Parting::Killed(_peer, _unserved) => std::process::exit(0),
    }
    Ok(())
}

/// How it ends.
enum Parting {
    Done,
    /// With what would say goodbye to the other side when it is dropped.
    Killed(Peer, VecDeque<Channel>),
}

/// How a guest ended.
enum Farewell {
    Closed(OwnedWriteHalf),
    Left,
    Killed,
}

/// What the tasks of connections hand to the owner of the peer.
enum Letter {
    Attach(Line, OwnedWriteHalf),
    Open(Opening, Line, OwnedWriteHalf),
    Accept(Wanted, Line, OwnedWriteHalf),
    Ping(tokio::sync::oneshot::Sender<Duration>),
    Farewell(Farewell),
}

/// The channel that a guest opens.
struct Opening {
    name: String,
    priority: Priority,
    row: Option<String>,
}

/// The channel that a guest waits for, and whether it may be the first one of a row.
struct Wanted {
    name: String,
    lasting: bool,
}

impl Wanted {
    fn is(&self, channel: &str) -> bool {
        let begins = || self.lasting && !lasting::is_later(channel);
        self.name == channel || begins() && self.name == lasting::purpose(channel)
    }
}

type Line = BufReader<OwnedReadHalf>;

struct Desk {
    inbox: mpsc::Receiver<Letter>,
    letters: mpsc::Sender<Letter>,
    told: broadcast::Sender<Told>,
    guests: usize,
    /// Channels of the other side that no guest has asked for yet.
    unserved: VecDeque<Channel>,
    /// Guests that wait for a channel of a name.
    wanting: VecDeque<(Wanted, Line, OwnedWriteHalf)>,
    /// What was said about the verification phrase, for guests that come later.
    phrase: Option<Told>,
    /// Whether the peer looks for direct paths.
    looks: bool,
}

impl Desk {
    async fn serve(mut self, mut peer: Peer) -> Parting {
        let mut events = peer.events();
        let mut status = peer.status();
        let mut connected_before = false;
        let first = tokio::time::sleep(wire::PATIENCE);
        let mut first = std::pin::pin!(first);
        loop {
            tokio::select! {
                // What happened is told before a guest is greeted with how things stand.
                biased;
                Ok(event) = events.recv() => {
                    self.tell(&event, connected_before);
                    connected_before |= event == Event::Connected;
                }
                Ok(()) = status.changed() => {
                    let stands = Told::stands(&status.borrow_and_update(), self.looks);
                    let _ = self.told.send(stands);
                }
                letter = self.inbox.recv() => match letter {
                    Some(Letter::Attach(line, write)) => {
                        self.guests += 1;
                        let greeting = self.greeting(&peer);
                        let told = self.told.subscribe();
                        tokio::spawn(attend(line, write, greeting, told, self.letters.clone()));
                    }
                    Some(Letter::Open(opening, line, write)) => {
                        let name = opening.row.filter(|_| fit::is_program(peer.secured().as_ref()));
                        let name = name.unwrap_or(opening.name);
                        let opened = peer.open(&name, opening.priority).await;
                        tokio::spawn(lend(opened, (line, write)));
                    }
                    Some(Letter::Accept(wanted, line, write)) => {
                        self.wanting.retain(|(_, line, _)| !is_gone(line));
                        self.wanting.push_back((wanted, line, write));
                        self.hand_out();
                    }
                    Some(Letter::Ping(reply)) => {
                        let pinging = peer.ping();
                        tokio::spawn(async move {
                            if let Ok(round_trip) = pinging.await {
                                let _ = reply.send(round_trip);
                            }
                        });
                    }
                    Some(Letter::Farewell(farewell)) => {
                        self.guests = self.guests.saturating_sub(1);
                        if self.guests > 0 {
                            if let Farewell::Closed(write) = farewell {
                                end(write, None).await;
                            }
                            continue;
                        }
                        return self.part(peer, farewell).await;
                    }
                    None => return Parting::Done,
                },
                channel = peer.accept() => match channel {
                    Some(channel) => {
                        // A restart ends the channels from before it, and this one came after it.
                        while let Ok(event) = events.try_recv() {
                            self.tell(&event, connected_before);
                            connected_before |= event == Event::Connected;
                        }
                        self.take(channel, fit::is_program(peer.secured().as_ref()));
                    }
                    None => {
                        let ended = peer.ended().await;
                        self.tell_end(ended.err().as_ref()).await;
                        return Parting::Done;
                    }
                },
                () = &mut first, if self.guests == 0 => return Parting::Done,
            }
        }
    }

    /// Tells guests why there is no peer, until none comes any more.
    async fn refuse(mut self, error: &anyhow::Error) {
        let fault = failure::cause(error).map_or(Fault::Gone, Fault::from);
        while let Ok(Some(letter)) = tokio::time::timeout(LAST_GUEST, self.inbox.recv()).await {
            match letter {
                Letter::Attach(_, write) => end(write, Some(fault.clone())).await,
                Letter::Open(_, _, mut write) | Letter::Accept(_, _, mut write) => {
                    let _ = wire::tell(&mut write, &Answer::Fault(fault.clone())).await;
                }
                Letter::Ping(_) | Letter::Farewell(_) => {}
            }
        }
    }

    /// What a guest that comes now has missed.
    fn greeting(&self, peer: &Peer) -> Vec<Told> {
        let status = *peer.status().borrow();
        let mut greeting: Vec<Told> = self.phrase.iter().cloned().collect();
        if status.connected {
            let event = json!({"event": "connected", "again": false});
            let sentence = "connected".to_owned();
            greeting.push(Told::Said { sentence, event });
        }
        greeting.push(Told::stands(&status, self.looks));
        greeting
    }

    fn tell(&mut self, event: &Event, connected_before: bool) {
        let (sentence, value) = terminal::describe(event, connected_before);
        let said = Told::Said {
            sentence,
            event: value,
        };
        if matches!(event, Event::Secured { .. }) {
            self.phrase = Some(said.clone());
        }
        if *event == Event::PeerRestarted {
            self.unserved.clear();
        }
        let _ = self.told.send(said);
    }

    async fn tell_end(&mut self, error: Option<&Error>) {
        let fault = error.map(Fault::from);
        let ended = fault.clone();
        let _ = self.told.send(Told::Ended { fault: ended });
        // The tasks of the guests pass it on, but to one that says goodbye in this very moment.
        let until = tokio::time::Instant::now() + LAST_GUEST;
        let mut late = Vec::new();
        while let Ok(Some(letter)) = tokio::time::timeout_at(until, self.inbox.recv()).await {
            match letter {
                Letter::Farewell(Farewell::Closed(write)) => end(write, fault.clone()).await,
                // Who comes now is let go with this process, and finds the next one.
                other => late.push(other),
            }
        }
    }

    /// Takes a channel of the other side, which is this program or a page.
    fn take(&mut self, channel: Channel, from_program: bool) {
        let name = channel.name().to_owned();
        let is_later = lasting::is_later(&name);
        self.unserved.push_back(channel);
        self.hand_out();
        let same = |it: &Channel| lasting::is_later(it.name()) == is_later;
        let most = if is_later { MAX_LATER } else { MAX_UNSERVED };
        if self.unserved.iter().filter(|it| same(it)).count() > most {
            // Dropping a channel refuses it: of the later ones the oldest, whose command has not come.
            let refused = match is_later {
                true => self.unserved.iter().position(same),
                false => self.unserved.iter().rposition(same),
            };
            refused.map(|at| self.unserved.remove(at));
        }
        let waits = !is_later && self.unserved.iter().any(|it| it.name() == name);
        // A page opens a pipe to a program that does not name its command, in case it reads one.
        let opens = fit::Command::that_opens(lasting::purpose(&name)).filter(|_| from_program);
        if let Some(needed) = opens.filter(|_| waits).map(|it| it.other().name()) {
            let _ = self.told.send(Told::Said {
                sentence: format!("the other side waits for `peersox {needed}` here"),
                event: json!({"event": "wanted", "command": needed}),
            });
        }
    }

    /// Gives channels to guests that wait for them, the first to the first.
    fn hand_out(&mut self) {
        let mut at = 0;
        while let Some(channel) = self.unserved.get(at) {
            let name = channel.name();
            // A command that took the first channel of this row, and was not heard over it.
            let again = Row::begun_by(name).map(|row| row.later());
            let has_row = |it: &(Wanted, _, _)| Some(&it.0.name) == again.as_ref();
            let wanted = self.wanting.iter().position(has_row);
            let wanted = wanted.or_else(|| self.wanting.iter().position(|it| it.0.is(name)));
            let Some(wanted) = wanted else {
                at += 1;
                continue;
            };
            let Some((_, line, write)) = self.wanting.remove(wanted) else {
                return;
            };
            // A guest that is gone does not take a channel along.
            if is_gone(&line) {
                continue;
            }
            if let Some(channel) = self.unserved.remove(at) {
                tokio::spawn(lend(Ok(channel), (line, write)));
            }
        }
    }

    /// The last guest is gone.
    async fn part(self, mut peer: Peer, farewell: Farewell) -> Parting {
        match farewell {
            Farewell::Closed(write) => {
                drop(self.unserved);
                let closed = peer.close().await;
                end(write, closed.err().as_ref().map(Fault::from)).await;
                Parting::Done
            }
            Farewell::Left => {
                let mut events = peer.events();
                drop((peer, self.unserved));
                // They end when it has hung up, which takes a round trip, and longer on a busy machine.
                let hung_up =
                    async { while !matches!(events.recv().await, Err(RecvError::Closed)) {} };
                let _ = tokio::time::timeout(HANG_UP, hung_up).await;
                Parting::Done
            }
            Farewell::Killed => Parting::Killed(peer, self.unserved),
        }
    }
}

/// Whether the other end of a connection is closed, as far as can be known without waiting.
fn is_gone(line: &Line) -> bool {
    line.buffer().is_empty() && matches!(line.get_ref().try_read(&mut [0; 1]), Ok(0))
}

async fn end(mut write: OwnedWriteHalf, fault: Option<Fault>) {
    let _ = wire::tell(&mut write, &Told::Ended { fault }).await;
}

/// Reads the first line of a connection.
async fn receive(stream: UnixStream, letters: mpsc::Sender<Letter>) {
    let (read, write) = stream.into_split();
    let mut line = BufReader::new(read);
    let request = tokio::time::timeout(wire::PATIENCE, wire::hear(&mut line)).await;
    let letter = match request {
        Ok(Ok(Some(Request::Attach))) => Letter::Attach(line, write),
        Ok(Ok(Some(Request::Open {
            name,
            priority,
            row,
        }))) => {
            let priority = match priority {
                0 => Priority::Interactive,
                2 => Priority::Bulk,
                _ => Priority::Normal,
            };
            let opening = Opening {
                name,
                priority,
                row,
            };
            Letter::Open(opening, line, write)
        }
        Ok(Ok(Some(Request::Accept { name, lasting }))) => {
            Letter::Accept(Wanted { name, lasting }, line, write)
        }
        _ => return,
    };
    let _ = letters.send(letter).await;
}

/// Serves a guest's own connection.
async fn attend(
    mut line: Line,
    mut write: OwnedWriteHalf,
    greeting: Vec<Told>,
    mut told: broadcast::Receiver<Told>,
    letters: mpsc::Sender<Letter>,
) {
    for greeting in greeting {
        let _ = wire::tell(&mut write, &greeting).await;
    }
    let (pongs, mut ponged) = mpsc::channel(1);
    // A task of its own reads: half a line that was read must not get lost.
    let (asks, mut asked) = mpsc::channel(1);
    let reader = tokio::spawn(async move {
        while let Ok(Some(ask)) = wire::hear::<Asked>(&mut line).await {
            if asks.send(ask).await.is_err() {
                return;
            }
        }
    });
    let farewell = loop {
        tokio::select! {
            ask = asked.recv() => match ask {
                Some(Asked::Ping { id }) => {
                    let (reply, round_trip) = tokio::sync::oneshot::channel();
                    let _ = letters.send(Letter::Ping(reply)).await;
                    let pongs = pongs.clone();
                    tokio::spawn(async move {
                        if let Ok(round_trip) = round_trip.await {
                            let _ = pongs.send((id, round_trip)).await;
                        }
                    });
                }
                Some(Asked::Close) => break Farewell::Closed(write),
                Some(Asked::Leave) => break Farewell::Left,
                None => break Farewell::Killed,
            },
            Some((id, round_trip)) = ponged.recv() => {
                let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
                let _ = wire::tell(&mut write, &Told::Pong { id, nanos }).await;
            }
            news = told.recv() => match news {
                Ok(news) => {
                    let _ = wire::tell(&mut write, &news).await;
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break Farewell::Left,
            },
        }
    };
    reader.abort();
    let _ = letters.send(Letter::Farewell(farewell)).await;
}

/// Letters wait here for the owner of the peer; tasks wait when it is full.
const LETTERS: usize = 32;

/// What a guest that does not read may fall behind.
const TOLD: usize = 64;

/// Channels that wait for a guest; more are refused.
const MAX_UNSERVED: usize = 16;

/// Later channels of rows that wait for their command: as many as a peer takes.
const MAX_LATER: usize = 128;

/// How long the holder stays to say its last words.
const LAST_GUEST: Duration = Duration::from_millis(600);

/// For how long the holder stays at most to hang up.
const HANG_UP: Duration = Duration::from_secs(3);
