//! A peer that means no good offers files to a person at a terminal.

use std::path::Path;

use bytes::Bytes;
use peersox_client::{
    Message, Options, Peer, Priority, Proof, Receiver, Sender, Server as Control,
};
use peersox_client::{Pairing, PairingSecret, Trust};
use peersox_core::transfer::{self, Action, CHANNEL, Entry, Kind, Limits, Offer, SafePath};

use crate::client::code;
use crate::harness::{Server, soon};
use crate::look::Terminal;

/// The peer: it knows the code, and comes back as another process would.
struct Stranger {
    control: Control,
    pairing: Pairing,
    peer: Peer,
}

impl Stranger {
    /// Meets `peersox receive` at a terminal.
    async fn meets(server: &Server, into: &Path) -> (Self, Terminal) {
        let control = Control::connect(&server.url(), Trust::default())
            .await
            .unwrap();
        let created = control.create_pairing().await.unwrap();
        let code = code(&created.nameplate, "tulip-ember");
        let (typed, into, url) = (code.canonical(), into.display(), server.url());
        let line = format!("receive {} -o {into} --server {url}", *typed);
        let person = Terminal::start((80, 24), &[], &line);
        let (pairing, proof) = (created.pairing, Proof::Code(code));
        let attached = Peer::attach(control.clone(), pairing.clone(), proof, Options::default());
        let peer = attached.await.unwrap();
        soon(peer.connected()).await.unwrap();
        let stranger = Self {
            control,
            pairing,
            peer,
        };
        (stranger, person)
    }

    /// Is a new process from now on.
    async fn restarts(self) -> Self {
        let secret: PairingSecret = self.peer.secured().unwrap().secret;
        let Self {
            control, pairing, ..
        } = self;
        let (again, proof) = (pairing.clone(), Proof::Secret(secret));
        let attached = Peer::attach(control.clone(), again, proof, Options::default());
        let peer = attached.await.unwrap();
        soon(peer.connected()).await.unwrap();
        Self {
            control,
            pairing,
            peer,
        }
    }

    /// Offers one file of ten bytes; gives the channel, on which an answer comes.
    async fn offers(&self, name: &str) -> (transfer::Sender, Sender, Receiver) {
        let entry = Entry {
            path: SafePath::new(&[name]).unwrap(),
            kind: Kind::File,
            size: Some(10),
            modified: None,
            executable: false,
            mode: None,
            data_bytes: None,
        };
        let id = transfer::TransferId::from_bytes([7; 16]);
        let offer = Offer::new(id, vec![entry], &Limits::default()).unwrap();
        let mut machine = transfer::Sender::new(offer);
        let channel = self.peer.open(CHANNEL, Priority::Bulk).await.unwrap();
        let (sender, receiver) = channel.split();
        while let Action::Send(message) = machine.poll() {
            sender.send(Message::Binary(message)).await.unwrap();
        }
        (machine, sender, receiver)
    }
}

async fn heard(receiver: &mut Receiver) -> Bytes {
    match soon(receiver.recv()).await.unwrap() {
        Some(Message::Binary(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_is_for_one_offer_and_not_for_its_id() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let (stranger, mut person) = Stranger::meets(&server, dir.path()).await;
    let (mut machine, _sender, mut receiver) = stranger.offers("photo.jpg").await;
    let question = person.shows("accept? [Y/n]").await;
    assert!(question.contains("photo.jpg"), "{question}");
    person.types("quit\n").await;
    person.shows("please answer yes or no").await;
    person.shows("accept? [Y/n]").await;
    person.types("y\n").await;
    machine.handle(heard(&mut receiver).await).unwrap();

    // The same again is not asked about; something else under the same id is.
    let stranger = stranger.restarts().await;
    let (mut machine, _sender, mut receiver) = stranger.offers("photo.jpg").await;
    machine.handle(heard(&mut receiver).await).unwrap();
    let stranger = stranger.restarts().await;
    let (mut machine, _sender, mut receiver) = stranger.offers(".bash_profile").await;
    let question = person.shows("accept, with what is hidden? [y/N]").await;
    assert!(question.contains("hidden (1): .bash_profile"), "{question}");
    assert_eq!(question.matches("accept").count(), 1, "{question}");
    person.types("\n").await;
    let declined = machine.handle(heard(&mut receiver).await);
    assert!(
        matches!(declined, Err(transfer::Error::Declined { .. })),
        "{declined:?}"
    );
    assert_eq!(person.end().await.0, 4);
    assert!(!dir.path().join(".bash_profile").exists());
}

/// The time of a decision is no time of the transfer.
#[tokio::test]
async fn nothing_is_measured_before_the_consent() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let mut sender = crate::harness::Peer::start(&server.url(), &["send", "/bin/true"]);
    let code = sender.code().await;
    let (into, url) = (dir.path().display(), server.url());
    let line = format!("receive {code} -o {into} --server {url}");
    let mut person = Terminal::start((80, 24), &[], &line);
    let question = person.shows("accept? [Y/n]").await;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim().replace("localhost", "peersox/");
    assert!(question.contains(&host), "it names the device: {question}");
    sender.event("waiting_for_consent").await;
    assert!(!sender.has_told("progress"));
    // A person thinks about it.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let answered = std::time::Instant::now();
    person.types("y\n").await;
    let done = sender.event("done").await;
    let since = answered.elapsed().as_secs_f64();
    assert!(sender.has_told("progress"));
    assert!(
        done["seconds"].as_f64().unwrap() <= since,
        "{done}, {since} s after the yes"
    );
    assert_eq!(sender.end().await, (0, String::new()));
    assert_eq!(person.end().await.0, 0);
}

#[tokio::test]
async fn the_end_of_the_input_is_no() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let (stranger, mut person) = Stranger::meets(&server, dir.path()).await;
    let (mut machine, _sender, mut receiver) = stranger.offers("photo.jpg").await;
    person.shows("accept? [Y/n]").await;
    // What Ctrl-D types.
    person.types("\u{4}").await;
    let declined = machine.handle(heard(&mut receiver).await);
    assert!(
        matches!(declined, Err(transfer::Error::Declined { .. })),
        "{declined:?}"
    );
    assert_eq!(person.end().await.0, 4);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_sender_that_gives_up_ends_the_question() {
    let server = Server::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let (stranger, mut person) = Stranger::meets(&server, dir.path()).await;
    let (mut machine, sender, _receiver) = stranger.offers("photo.jpg").await;
    person.shows("accept? [Y/n]").await;
    machine.cancel(transfer::CancelCode::Interrupted, "changed my mind");
    while let Action::Send(message) = machine.poll() {
        sender.send(Message::Binary(message)).await.unwrap();
    }
    person.shows("stopped the transfer: changed my mind").await;
    assert_eq!(person.end().await.0, 4);
}
