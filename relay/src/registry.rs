//! Which task runs which session. Touched when a leg attaches and when a session ends or is told
//! something from outside, never for a frame.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

// Its channels have a node for each message; those of tokio, room for 32 from the start.
use futures_channel::mpsc;
use futures_util::SinkExt as _;
use peersox_core::close::CloseReason;
use peersox_core::id::PairingId;
use peersox_core::session::Drain;

use crate::session::{Attach, Command};

#[derive(Default)]
pub(crate) struct Registry(Mutex<State>);

#[derive(Default)]
struct State {
    sessions: HashMap<PairingId, mpsc::Sender<Command>>,
    /// Pairings whose tickets are void, the newest last.
    revoked: HashSet<PairingId>,
    revoked_order: VecDeque<PairingId>,
    draining: bool,
}

/// What became of a leg that asked for its session.
pub(crate) enum Placed {
    /// The task of its session has it.
    There,
    /// It is the first: a task has to be started with this inbox.
    First(mpsc::Receiver<Command>),
    /// There is no place.
    Refused(Box<Attach>, CloseReason),
}

impl Registry {
    /// Hands a leg to the task of its session.
    pub(crate) fn place(&self, attach: Box<Attach>) -> Placed {
        let session = attach.admission.session();
        let mut state = self.lock();
        if state.draining {
            return Placed::Refused(attach, CloseReason::Draining);
        }
        if state.revoked.contains(&session) {
            return Placed::Refused(attach, CloseReason::Revoked);
        }
        let mut command = Command::Attach(attach);
        if let Some(inbox) = state.sessions.get_mut(&session) {
            match inbox.try_send(command) {
                Ok(()) => return Placed::There,
                Err(error) if error.is_full() => {
                    return refused(error.into_inner(), CloseReason::Overloaded);
                }
                Err(error) => command = error.into_inner(),
            }
        }
        let (mut inbox, receiver) = mpsc::channel(INBOX);
        if let Err(error) = inbox.try_send(command) {
            return refused(error.into_inner(), CloseReason::Internal);
        }
        state.sessions.insert(session, inbox);
        Placed::First(receiver)
    }

    /// Forgets a session that has ended. Legs that arrived too late for it are answered: they are
    /// the first of the next one.
    pub(crate) fn end(
        &self,
        session: PairingId,
        mut inbox: mpsc::Receiver<Command>,
    ) -> Vec<Attach> {
        let mut state = self.lock();
        // Nobody else removes it and a task has one session, so the entry is ours.
        state.sessions.remove(&session);
        inbox.close();
        let mut late = Vec::new();
        while let Ok(command) = inbox.try_recv() {
            if let Command::Attach(attach) = command {
                late.push(*attach);
            }
        }
        late
    }

    /// Voids the tickets of a pairing and answers the inbox of its session.
    pub(crate) fn revoke(&self, session: PairingId) -> Option<mpsc::Sender<Command>> {
        let mut state = self.lock();
        if state.revoked.insert(session) {
            state.revoked_order.push_back(session);
        }
        if state.revoked_order.len() > MAX_REVOKED
            && let Some(oldest) = state.revoked_order.pop_front()
        {
            state.revoked.remove(&oldest);
        }
        state.sessions.get(&session).cloned()
    }

    /// The inbox of a session.
    pub(crate) fn find(&self, session: PairingId) -> Option<mpsc::Sender<Command>> {
        self.lock().sessions.get(&session).cloned()
    }

    /// Refuses every leg from now on and answers the inboxes of all sessions.
    pub(crate) fn drain(&self) -> Vec<mpsc::Sender<Command>> {
        let mut state = self.lock();
        state.draining = true;
        state.sessions.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells every session of `inboxes` to drain.
pub(crate) async fn tell_draining(inboxes: Vec<mpsc::Sender<Command>>, drain: Drain) {
    for mut inbox in inboxes {
        // A session that ended meanwhile needs no telling.
        let _ = inbox.send(Command::Drain(drain)).await;
    }
}

fn refused(command: Command, reason: CloseReason) -> Placed {
    match command {
        Command::Attach(attach) => Placed::Refused(attach, reason),
        Command::Revoke | Command::Drain(_) => unreachable!("place sends nothing but Attach"),
    }
}

/// Commands that wait for one session, beside one of each sender; its task takes them before anything else.
const INBOX: usize = 8;
/// Ids are never used twice and tickets live for minutes, so the newest are enough.
const MAX_REVOKED: usize = 4096;
