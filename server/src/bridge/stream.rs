//! One stream to one node of control.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use peersox_core::id::PairingId;
use peersox_core::trace::TARGET;
use peersox_proto::v1;
use peersox_proto::v1::announce_request::Report;
use peersox_proto::v1::announce_response::Order;
use peersox_proto::v1::directory_service_client::DirectoryServiceClient;
use peersox_relay::{PresenceEvent, SessionReport};
use rand_core::{OsRng, RngCore as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::InvalidUri;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tower::service_fn;
use tracing::field::{Empty, debug};
use tracing::{Instrument as _, Span};

use super::Shared;
use crate::metrics::Cause;
use crate::role::ControlUrl;

/// The span of a stream, for exporters of traces: from the first try to connect until it has ended.
fn span() -> Span {
    tracing::trace_span!(
        target: TARGET,
        "bridge",
        otel.name = "peersox.v1.DirectoryService/Announce",
        otel.kind = "client",
        rpc.system = "grpc",
        rpc.service = "peersox.v1.DirectoryService",
        rpc.method = "Announce",
        peersox.cause = Empty,
    )
}

/// One address of control, and what to say there.
pub(super) struct Stream {
    shared: Arc<Shared>,
    control: ControlUrl,
    address: SocketAddr,
}

impl Stream {
    pub(super) const fn new(shared: Arc<Shared>, control: ControlUrl, address: SocketAddr) -> Self {
        Self {
            shared,
            control,
            address,
        }
    }

    /// Opens the stream again and again, whatever ends it.
    pub(super) async fn keep(self) {
        let mut pause = SHORTEST;
        loop {
            let began = Instant::now();
            let mut node = None;
            let span = span();
            let announced = self.announce(&mut node).instrument(span.clone());
            let (Ok(why) | Err(why)) = announced.await;
            span.record("peersox.cause", debug(why.cause));
            self.shared.left(self.address);
            self.shared.bridge.metrics.ended(why.cause);
            if let Some(node) = node.filter(|_| why.cause == Cause::Replaced) {
                // By this relay at another address of the node, perhaps, which is about to hear which node
                // it is.
                tokio::time::sleep(PULSE).await;
                while self.shared.is_reached_elsewhere(&node, self.address) {
                    tokio::time::sleep(PULSE).await;
                }
            }
            // One that ends soon will end again: with another relay of the same name, for instance.
            if began.elapsed() >= LASTING {
                pause = SHORTEST;
            }
            let address = self.address;
            tracing::warn!(%address, why = why.text, "no stream to control; opening one again");
            // Not all relays come back in one instant.
            let jitter = f64::from(OsRng.next_u32()) / f64::from(u32::MAX);
            tokio::time::sleep(pause.mul_f64(0.5 + jitter / 2.0)).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Announces the relay, and obeys, until the stream ends. Notes which node it is that answers, and says
    /// why the stream ended, or why it did not begin.
    async fn announce(&self, node: &mut Option<Bytes>) -> Result<Why, Why> {
        let bridge = &self.shared.bridge;
        let channel = self.connect().await?;
        let (reports, outgoing) = mpsc::channel(REPORTS);
        let say = async |report| {
            let request = v1::AnnounceRequest {
                report: Some(report),
            };
            let said = timeout(STALLED, reports.send(request)).await;
            matches!(said, Ok(Ok(())))
                .then_some(())
                .ok_or("it does not take reports")
        };
        let mut hello = bridge.hello.clone();
        let first = hello.borrow_and_update().clone();
        say(Report::Hello(first)).await?;
        // Before the list: a relay that is stopping is sent nobody.
        say(self.load()).await?;
        let mut request = Request::new(ReceiverStream::new(outgoing));
        let bearer = format!("Bearer {}", bridge.token.as_str()).parse();
        let bearer = bearer.map_err(|_| "the token fits no header")?;
        request.metadata_mut().insert("authorization", bearer);
        let mut client = DirectoryServiceClient::new(channel);
        let opened = timeout(OPENING, client.announce(request)).await;
        let opened = opened.map_err(|_| "it does not answer")?;
        let mut orders = opened.map_err(|status| Why::from(&status))?.into_inner();
        let _open = bridge.metrics.opened();

        let mut sessions = bridge.relay.reports();
        let (attached, mut changes) = self.shared.mirror.watch();
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let telling = async {
            for event in attached {
                say(presence(event)).await?;
            }
            say(Report::Complete(v1::PresenceComplete {})).await?;
            let mut drained = false;
            loop {
                tokio::select! {
                    biased;
                    () = bridge.relay.draining(), if !drained => {
                        drained = true;
                        say(self.load()).await?;
                    }
                    changed = hello.changed() => {
                        if changed.is_err() {
                            return Err("the relay has ended");
                        }
                        let hello = hello.borrow_and_update().clone();
                        say(Report::Hello(hello)).await?;
                    }
                    change = changes.recv() => {
                        let event = change.map_err(|_| "too much happened at once")?;
                        say(presence(event)).await?;
                    }
                    report = sessions.recv() => {
                        // One that was missed is made up for by the next one.
                        if let Ok(report) = report {
                            say(session(&report)).await?;
                        }
                    }
                    _ = pulse.tick() => say(self.load()).await?,
                }
            }
        };
        let obeying = async {
            loop {
                match orders.next().await {
                    Some(Ok(v1::AnnounceResponse { order: Some(order) })) => {
                        if let Order::Hello(hello) = &order {
                            *node = Some(hello.node.clone());
                        }
                        self.obey(order).await;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(status)) => return Why::from(&status).after_it_was_open(),
                    None => return Why::from("it ended the stream").after_it_was_open(),
                }
            }
        };
        let why = tokio::select! {
            Err::<(), &str>(why) = telling => Why::from(why).after_it_was_open(),
            why = obeying => why,
        };
        Ok(why)
    }

    fn load(&self) -> Report {
        let relay = &self.shared.bridge.relay;
        let now = relay.snapshot();
        Report::Load(v1::LoadReport {
            legs: u32::try_from(now.legs).unwrap_or(u32::MAX),
            sessions: u32::try_from(now.all_sessions()).unwrap_or(u32::MAX),
            draining: relay.is_draining(),
        })
    }

    async fn obey(&self, order: Order) {
        let relay = &self.shared.bridge.relay;
        let id = |bytes: &Bytes| PairingId::try_from(&bytes[..]).ok();
        match order {
            Order::Hello(hello) => {
                let version = &hello.server_version;
                tracing::info!(node = %self.address, ?version, "control knows this relay");
                self.shared.trust(self.address, &hello);
            }
            Order::Revoke(order) => {
                if let Some(pairing) = id(&order.pairing_id) {
                    relay.revoke(pairing).await;
                }
            }
            Order::Move(order) => {
                if let Some(pairing) = id(&order.pairing_id) {
                    relay.move_away(pairing, MOVING).await;
                }
            }
        }
    }

    /// A connection to this address, whatever the name of control resolves to by now.
    async fn connect(&self) -> Result<Channel, String> {
        let (control, address) = (&self.control, self.address);
        // The TLS is ours. For `https` tonic wants its own as soon as any crate of the program has that
        // feature, so what is called is told apart from how it is reached.
        let unusable = |error: &dyn std::error::Error| error.to_string();
        let called: Uri = control
            .origin()
            .parse()
            .map_err(|it: InvalidUri| unusable(&it))?;
        let authority = called.authority().map_or("", |it| it.as_str());
        let reached = Endpoint::from_shared(format!("http://{authority}"));
        let reached = reached.map_err(|it| unusable(&it))?;
        let endpoint = reached
            .origin(called)
            .http2_keep_alive_interval(PULSE * 2)
            .keep_alive_timeout(STALLED)
            .keep_alive_while_idle(true);
        let tls = control
            .tls_name()
            .map(|name| (self.shared.bridge.tls.clone(), name));
        let connector = service_fn(move |_| {
            let tls = tls.clone();
            async move {
                let stream = tokio::net::TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok::<_, std::io::Error>(match tls {
                    None => TokioIo::new(Either::Left(stream)),
                    Some((tls, name)) => {
                        TokioIo::new(Either::Right(tls.connect(name, stream).await?))
                    }
                })
            }
        });
        let connecting = endpoint.connect_with_connector(connector);
        let connected = timeout(OPENING, connecting).await;
        let connected = connected.map_err(|_| "it does not answer")?;
        connected.map_err(|error| {
            let mut error: &dyn std::error::Error = &error;
            while let Some(source) = error.source() {
                error = source;
            }
            error.to_string()
        })
    }
}

fn session(report: &SessionReport) -> Report {
    Report::Session(v1::SessionReport {
        pairing_id: Bytes::copy_from_slice(report.session.as_bytes()),
        began_at_millis: report.began.as_millis(),
        lasted_millis: u64::try_from(report.lasted.as_millis()).unwrap_or(u64::MAX),
        bytes: report.bytes,
        ended: report.ended,
    })
}

fn presence(event: PresenceEvent) -> Report {
    Report::Presence(v1::PresenceReport {
        pairing_id: Bytes::copy_from_slice(event.session.as_bytes()),
        role: v1::Role::from(event.role).into(),
        online: event.online,
        epoch: event.epoch,
    })
}

/// Why a stream ended, or did not begin.
struct Why {
    text: String,
    cause: Cause,
}

impl Why {
    fn after_it_was_open(self) -> Self {
        let cause = match self.cause {
            Cause::Replaced => Cause::Replaced,
            Cause::Unreachable | Cause::Refused | Cause::Lost => Cause::Lost,
        };
        Self { cause, ..self }
    }
}

impl From<&Status> for Why {
    fn from(status: &Status) -> Self {
        Self {
            text: format!("{:?}: {}", status.code(), status.message()),
            cause: match status.code() {
                // Another stream announces the same name.
                Code::Aborted => Cause::Replaced,
                Code::Unavailable | Code::DeadlineExceeded | Code::Unknown => Cause::Unreachable,
                _ => Cause::Refused,
            },
        }
    }
}

impl From<&str> for Why {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<String> for Why {
    fn from(text: String) -> Self {
        let cause = Cause::Unreachable;
        Self { text, cause }
    }
}

/// As often as relays report their load, which is a sign of life.
const PULSE: Duration = Duration::from_secs(1);
/// For how long a report may wait, and a ping go unanswered.
const STALLED: Duration = Duration::from_secs(3);
/// For connecting, and for the first word of control.
const OPENING: Duration = Duration::from_secs(3);
/// A stream that lasted so long was a good one.
const LASTING: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(100);
/// A node that is back is told of its relays after this at most.
const LONGEST: Duration = Duration::from_secs(2);
/// Reports on their way.
const REPORTS: usize = 1_024;
/// For how long peers that are to move may find the other relay.
const MOVING: Duration = Duration::from_secs(5);
