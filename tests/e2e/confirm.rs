//! `--confirm`: nobody comes in before a person has said yes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use peersox_client::{
    Error, Invite, Label, Options, Peer, Proof, Replaced, Server as Control, Step,
};
use peersox_client::{Pairing, PairingEvent, Terms, Trust};
use peersox_proto::v1;
use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use peersox_proto::v1::pairing_service_server::PairingService;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Peer as Command, Server, signal, soon};
use crate::look::Terminal;
use crate::nodes::{Service, legs, until_legs};
use crate::terminal::is_plain;

/// A person at a terminal who shows a code and wants to be asked; gives the code, too.
async fn shows(url: &str, options: &str) -> (Terminal, String) {
    let line = format!("ping --confirm --words 1 {options} --no-qr --server {url}");
    let mut person = Terminal::start((80, 50), &[], &line);
    person.shows("code: ").await;
    let shown = person.shows("\n").await;
    (person, shown.trim().to_owned())
}

async fn client(url: &str) -> PairingServiceClient<Channel> {
    let channel = Channel::from_shared(url.to_owned()).unwrap();
    PairingServiceClient::new(channel.connect().await.unwrap())
}

async fn control(url: &str) -> Control {
    Control::connect(url, Trust::default()).await.unwrap()
}

/// What a peer that was not let in must not have heard.
fn heard_nothing(joiner: &Command) {
    for event in ["attached", "peer_online", "secured", "connected"] {
        assert!(!joiner.has_told(event), "{event}");
    }
}

/// One shows the code at one node of control, the other types it at another: the question and the answer
/// cross by the store. Before the yes the relay has the leg of the initiator alone.
#[tokio::test]
async fn a_yes_at_one_node_lets_in_who_waits_at_another() {
    let service = Service::new();
    let controls = [service.control().await, service.control().await];
    let relay = service.relay("one", &controls).await;
    let [here, there] = &controls;
    for transport in ["ws", "quic"] {
        let (mut person, code) = shows(&here.url(), &format!("--transport {transport}")).await;
        until_legs(&relay, 1).await;
        let line = ["ping", &code, "-n", "3", "--label", "Anna’s laptop"];
        let mut joiner = Command::start(&there.url(), &line);
        person.shows("“Anna’s laptop” wants to connect").await;
        person.shows("let it in? [y/N]").await;
        joiner.event("waiting_to_be_let_in").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(legs(&relay).await, 1, "the joiner has no ticket");
        heard_nothing(&joiner);
        person.types("y\n").await;
        person.shows("connected").await;
        let said = String::from_utf8(joiner.output().await).unwrap();
        assert!(said.contains(r#""count":3"#), "{said}");
        assert_eq!(joiner.end().await, (0, String::new()));
        assert_eq!(person.end().await.0, 0);
        until_legs(&relay, 0).await;
    }
}

#[tokio::test]
async fn a_no_is_said_to_both_and_the_code_is_spent() {
    let server = Server::start(&[]).await;
    for keys in ["n\n", "\n", "\u{4}"] {
        let (mut person, code) = shows(&server.url(), "").await;
        let mut joiner = Command::start(&server.url(), &["ping", &code, "--label", "x"]);
        person.shows("let it in? [y/N]").await;
        joiner.event("waiting_to_be_let_in").await;
        person.types(keys).await;
        let (exit, said) = person.end().await;
        assert_eq!(exit, 4, "{said}");
        assert!(said.contains("“x” was not let in"), "{said}");
        heard_nothing(&joiner);
        let (exit, said) = joiner.end().await;
        assert_eq!(exit, 4, "{said}");
        let sentence = "the other device did not let this one in; ask there for a new code";
        assert_eq!(said, sentence);
        let (exit, _) = Command::start(&server.url(), &["ping", &code]).end().await;
        assert_eq!(exit, 3, "the code is spent");
    }
    assert_eq!(legs(&server).await, 0);
}

/// What is typed before the question stands there is no answer to it.
#[tokio::test]
async fn an_answer_before_the_question_is_none() {
    let server = Server::start(&[]).await;
    let (mut person, code) = shows(&server.url(), "").await;
    person.types("y\ny\n").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut joiner = Command::start(&server.url(), &["ping", &code, "-n", "1"]);
    person.shows("let it in? [y/N]").await;
    joiner.event("waiting_to_be_let_in").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    heard_nothing(&joiner);
    assert_eq!(legs(&server).await, 1);
    person.types("yesterday\n").await;
    person.shows("please answer yes or no").await;
    person.types("Yes\n").await;
    let said = String::from_utf8(joiner.output().await).unwrap();
    assert!(said.contains(r#""count":1"#), "{said}");
}

#[tokio::test]
async fn no_answer_in_time_is_a_no() {
    // A joiner waits no longer than an unkept pairing lives.
    let server = Server::start(&["--unkept-ttl", "3"]).await;
    let (mut person, code) = shows(&server.url(), "").await;
    let joiner = Command::start(&server.url(), &["ping", &code, "--label", "x"]);
    person.shows("let it in? [y/N]").await;
    let (exit, said) = joiner.end().await;
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("did not let this one in"), "{said}");
    let (exit, said) = person.end().await;
    assert_eq!(exit, 4, "{said}");
    assert!(
        said.contains("nobody answered in time; “x” was not let in"),
        "{said}"
    );
}

/// Nobody can be asked without a terminal, and nobody is let in then.
#[tokio::test]
async fn without_a_terminal_nobody_is_let_in() {
    let server = Server::start(&[]).await;
    let mut shows = Command::start(&server.url(), &["connect", "--confirm"]);
    let code = shows.code().await;
    let joiner = Command::start(&server.url(), &["connect", &code, "--label", "x"]);
    assert_eq!(shows.event("asked").await["label"], "x");
    let (exit, said) = shows.end().await;
    assert_eq!(exit, 4, "{said}");
    assert_eq!(said, "“x” was not let in: with --json nobody is asked");
    assert_eq!(joiner.end().await.0, 4);
}

#[tokio::test]
async fn a_joiner_that_gives_up_ends_the_question() {
    let server = Server::start(&[]).await;
    let (mut person, code) = shows(&server.url(), "").await;
    let mut joiner = Command::start(&server.url(), &["ping", &code, "--label", "x"]);
    joiner.event("waiting_to_be_let_in").await;
    person.shows("let it in? [y/N]").await;
    signal(&joiner.child, "INT");
    assert_eq!(joiner.end().await.0, 130);
    let (exit, said) = person.end().await;
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("“x” was not let in"), "{said}");
}

async fn join(url: &str, code: &str, label: &str) -> Result<v1::JoinPairingResponse, Status> {
    let nameplate = code.split('-').next().unwrap().to_owned();
    let request = v1::JoinPairingRequest {
        nameplate,
        ephemeral: true,
        label: label.to_owned(),
    };
    let joined = client(url).await.join_pairing(request).await;
    joined.map(Response::into_inner)
}

/// A label is what a stranger says.
#[tokio::test]
async fn a_label_draws_nothing() {
    let server = Server::start(&[]).await;
    let (mut person, code) = shows(&server.url(), "").await;
    for bad in [
        "\u{1b}[2J\u{1b}[1Ax",
        "x\r\nlet it in? [y/N]",
        "\u{9b}2Jx",
        "\u{7}",
    ] {
        let refused = join(&server.url(), &code, bad).await.unwrap_err();
        let details = refused.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "LABEL_INVALID");
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "label");
    }
    // What turns the direction of writing is no control character; the terminal does not obey it either.
    join(&server.url(), &code, "\u{202e}exe.\u{200b}x")
        .await
        .unwrap();
    let shown = person.shows("let it in? [y/N]").await;
    assert!(
        shown.contains("“\\u{202e}exe.\\u{200b}x” wants to connect"),
        "{shown}"
    );
    assert!(is_plain(&shown.replace("\r\n", "\n")), "{shown:?}");
    person.types("n\n").await;
    assert_eq!(person.end().await.0, 4);
    // The same of a label that is typed here.
    let typed = ["ping", "481920", "--label", "\u{1b}[2J"];
    let (exit, said) = Command::start(&server.url(), &typed).end().await;
    assert_eq!(exit, 2, "{said}");
    assert!(is_plain(&said), "{said:?}");
}

/// A peer that was built before labels and questions: it sends neither, and calls again when it is told to.
#[tokio::test]
async fn an_older_joiner_waits_and_is_let_in() {
    let server = Server::start(&[]).await;
    let (mut person, code) = shows(&server.url(), "").await;
    let joined = join(&server.url(), &code, "").await.unwrap();
    person
        .shows("a device without a name wants to connect")
        .await;
    person.shows("let it in? [y/N]").await;
    let mut client = client(&server.url()).await;
    let request = move || v1::OpenSessionRequest {
        credential: joined.credential.clone(),
        ..v1::OpenSessionRequest::default()
    };
    let mut impatient = Request::new(request());
    impatient.set_timeout(Duration::from_secs(1));
    let refused = client.open_session(impatient).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    let retry = refused.get_error_details().retry_info().cloned().unwrap();
    tokio::time::sleep(retry.retry_delay.unwrap()).await;
    let waiting = tokio::spawn(async move { client.open_session(request()).await });
    person.types("y\n").await;
    let opened = soon(waiting).await.unwrap().unwrap().into_inner();
    assert!(!opened.ticket.is_empty());
}

async fn shown(invite: &mut Invite) -> peersox_client::Code {
    match soon(invite.next()).await.unwrap() {
        Step::Show(code) => code,
        other => panic!("{other:?}"),
    }
}

/// The joiner of a program, and its pairing.
async fn joins(control: &Control, code: peersox_client::Code, label: &str) -> (Peer, Pairing) {
    let terms = Terms {
        label: label.parse().ok(),
        ..Terms::default()
    };
    let pairing = control.join_pairing_on(&code.nameplate, &terms).await;
    let pairing = pairing.unwrap();
    let (proof, options) = (Proof::Code(code), Options::default());
    let peer = Peer::start(control.clone(), pairing.clone(), proof, options).unwrap();
    (peer, pairing)
}

#[tokio::test]
async fn a_program_asks_and_answers() {
    let server = Server::start(&[]).await;
    let control = control(&server.url()).await;
    for (label, let_in) in [("laptop", true), ("laptop", false), ("", true)] {
        let mut invite = Invite::new(control.clone(), 2, Options::default()).confirm();
        invite.answer(true);
        let code = shown(&mut invite).await;
        let (joiner, pairing) = joins(&control, code, label).await;
        assert!(pairing.is_unconfirmed());
        let Step::Asked(asked) = soon(invite.next()).await.unwrap() else {
            panic!("nobody is asked");
        };
        assert_eq!(asked.as_ref().map(Label::as_str).unwrap_or_default(), label);
        let mut watch = Box::pin(control.watch_news(&pairing).await.unwrap());
        let news = soon(watch.next()).await.unwrap().unwrap();
        assert!(news.event == PairingEvent::Joined && news.unconfirmed);
        invite.answer(let_in);
        match (soon(invite.next()).await, let_in) {
            (Ok(Step::Met(peer, _)), true) => {
                soon(joiner.connected()).await.unwrap();
                let (closed, ended) =
                    soon(async { tokio::join!(peer.close(), joiner.ended()) }).await;
                closed.and(ended).unwrap();
                for expected in [PairingEvent::Confirmed, PairingEvent::PeerOnline] {
                    let news = soon(watch.next()).await.unwrap().unwrap();
                    assert_eq!(news.event, expected);
                }
            }
            (Err(Error::NobodyLetIn), false) => {
                assert_eq!(soon(joiner.ended()).await, Err(Error::NotLetIn));
                let news = soon(watch.next()).await.unwrap().unwrap();
                assert_eq!(news.event, PairingEvent::Revoked);
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

/// What a server does that stands in front of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Laxity {
    /// It does not know the question, and lets everybody in.
    Old,
    /// It promises to ask, and lets everybody in.
    Lies,
    /// It asks, and forgets the pairing at the moment of the yes.
    Forgets,
}

struct Lax {
    to: PairingServiceClient<Channel>,
    laxity: Laxity,
}

async fn lax(server: &Server, laxity: Laxity) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let to = client(&server.url()).await;
    peersox_tests::serve(listener, Arc::new(Lax { to, laxity }));
    url
}

#[tokio::test]
async fn a_server_that_lets_everybody_in_is_not_believed() {
    let server = Server::start(&[]).await;
    // One that is too old to know the question: no code is shown.
    let old = control(&lax(&server, Laxity::Old).await).await;
    let mut invite = Invite::new(old, 2, Options::default()).confirm();
    let refused = soon(invite.next()).await;
    assert_eq!(refused.err(), Some(Error::CannotConfirm));
    // One that lies: the device proves the code, and gets no further.
    let url = lax(&server, Laxity::Lies).await;
    let lying = control(&url).await;
    let mut invite = Invite::new(lying.clone(), 2, Options::default()).confirm();
    let code = shown(&mut invite).await;
    let (joiner, pairing) = joins(&lying, code, "laptop").await;
    assert!(!pairing.is_unconfirmed());
    let ended = soon(invite.next()).await;
    assert!(
        matches!(&ended, Err(Error::Protocol(why)) if why.contains("nobody here had said yes")),
        "{ended:?}"
    );
    assert!(soon(joiner.ended()).await.is_err());
}

/// Whether the call or the watch tells it first.
#[tokio::test]
async fn a_yes_that_comes_too_late_lets_nobody_in_and_another_code_follows() {
    let server = Server::start(&[]).await;
    let forgetful = control(&lax(&server, Laxity::Forgets).await).await;
    for _ in 0..10 {
        let mut invite = Invite::new(forgetful.clone(), 2, Options::default()).confirm();
        let code = shown(&mut invite).await;
        let (_joiner, _) = joins(&forgetful, code, "laptop").await;
        let asked = soon(invite.next()).await.unwrap();
        assert!(matches!(asked, Step::Asked(_)), "{asked:?}");
        invite.answer(true);
        let step = soon(invite.next()).await.unwrap();
        assert!(
            matches!(step, Step::Replaced(Replaced::Gone, Error::NobodyLetIn)),
            "{step:?}"
        );
    }
}

#[tonic::async_trait]
impl PairingService for Lax {
    type WatchPairingStream = BoxStream<'static, Result<v1::WatchPairingResponse, Status>>;

    async fn create_pairing(
        &self,
        request: Request<v1::CreatePairingRequest>,
    ) -> Result<Response<v1::CreatePairingResponse>, Status> {
        let mut asked = request.into_inner();
        asked.confirm &= self.laxity == Laxity::Forgets;
        let mut created = self.to.clone().create_pairing(asked).await?;
        created.get_mut().confirm = self.laxity != Laxity::Old;
        Ok(created)
    }

    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        self.to.clone().get_config(request.into_inner()).await
    }

    async fn join_pairing(
        &self,
        request: Request<v1::JoinPairingRequest>,
    ) -> Result<Response<v1::JoinPairingResponse>, Status> {
        self.to.clone().join_pairing(request.into_inner()).await
    }

    async fn get_pairing(
        &self,
        request: Request<v1::GetPairingRequest>,
    ) -> Result<Response<v1::GetPairingResponse>, Status> {
        self.to.clone().get_pairing(request.into_inner()).await
    }

    async fn watch_pairing(
        &self,
        request: Request<v1::WatchPairingRequest>,
    ) -> Result<Response<Self::WatchPairingStream>, Status> {
        let watched = self.to.clone().watch_pairing(request.into_inner()).await?;
        Ok(watched.map(|told| told.boxed()))
    }

    async fn open_session(
        &self,
        request: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::OpenSessionResponse>, Status> {
        self.to.clone().open_session(request.into_inner()).await
    }

    async fn confirm_join(
        &self,
        request: Request<v1::ConfirmJoinRequest>,
    ) -> Result<Response<v1::ConfirmJoinResponse>, Status> {
        let request = request.into_inner();
        if self.laxity == Laxity::Forgets {
            let credential = request.credential.clone();
            let forgotten = v1::DeletePairingRequest { credential };
            self.to.clone().delete_pairing(forgotten).await?;
        }
        self.to.clone().confirm_join(request).await
    }

    async fn delete_pairing(
        &self,
        request: Request<v1::DeletePairingRequest>,
    ) -> Result<Response<v1::DeletePairingResponse>, Status> {
        self.to.clone().delete_pairing(request.into_inner()).await
    }
}
