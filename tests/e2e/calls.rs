//! Legs over gRPC at the endpoints that control names: beside control, and at a relay apart.

use peersox_core::frame::{Frame, Lane};
use peersox_proto::v1::attach_request::Kind as Said;
use peersox_proto::v1::attach_response::Kind as Heard;
use peersox_proto::v1::notice::Kind;
use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use peersox_proto::v1::relay_service_client::RelayServiceClient;
use peersox_proto::v1::{self, AttachRequest, Transport};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::harness::{Server, soon};
use crate::nodes::Service;

/// A leg by nothing but generated code.
pub struct Leg(mpsc::Sender<AttachRequest>, Streaming<v1::AttachResponse>);

impl Leg {
    async fn attach(session: v1::OpenSessionResponse) -> Self {
        let url = Self::endpoint(&session).url.clone();
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        Self::attach_by(channel, session.ticket).await
    }

    /// Where a session offers it.
    pub fn endpoint(session: &v1::OpenSessionResponse) -> &v1::RelayEndpoint {
        let endpoints = session.endpoints.iter();
        let mut found = endpoints.filter(|it| it.transport() == Transport::Grpc);
        let endpoint = found.next().expect("gRPC is offered");
        assert_eq!(found.next(), None);
        endpoint
    }

    pub async fn attach_by(channel: Channel, ticket: String) -> Self {
        let mut relay = RelayServiceClient::new(channel);
        let (requests, stream) = mpsc::channel(1);
        let hello = v1::Hello {
            ticket,
            agent: "test".into(),
            ..v1::Hello::default()
        };
        let kind = Some(Kind::Hello(hello));
        let hello = Frame::encode(Lane::Notice, &v1::Notice { kind });
        let kind = Some(Said::Frame(hello.into_bytes()));
        // It does not wait for the head of the answer, which proxies may keep until there is more.
        requests.send(AttachRequest { kind }).await.unwrap();
        let responses = relay.attach(ReceiverStream::new(stream)).await.unwrap();
        Self(requests, responses.into_inner())
    }

    async fn say(&self, kind: Said) {
        let request = AttachRequest { kind: Some(kind) };
        self.0.send(request).await.unwrap();
    }

    pub async fn send(&self, frame: Frame) {
        self.say(Said::Frame(frame.into_bytes())).await;
    }

    async fn hear(&mut self) -> Option<Heard> {
        soon(self.1.message()).await.unwrap()?.kind
    }

    /// The next frame that is no notice.
    pub async fn recv(&mut self) -> Frame {
        loop {
            let Some(Heard::Frame(bytes)) = self.hear().await else {
                panic!("the leg ended");
            };
            let frame = Frame::parse(bytes).unwrap();
            if frame.lane() != Lane::Notice {
                return frame;
            }
        }
    }
}

#[tokio::test]
async fn control_names_legs_over_grpc_here_and_at_relays_apart() {
    let service = Service::new();
    let apart = [service.control().await];
    let _relay = service.relay("one", &apart).await;
    let [apart] = apart;
    for server in [&Server::start(&[]).await, &apart] {
        let mut control = PairingServiceClient::connect(server.url()).await.unwrap();
        let first = control.create_pairing(v1::CreatePairingRequest::default());
        let first = first.await.unwrap().into_inner();
        let second = control.join_pairing(v1::JoinPairingRequest {
            nameplate: first.nameplate,
            ..v1::JoinPairingRequest::default()
        });
        let second = second.await.unwrap().into_inner();
        let mut legs = Vec::new();
        for credential in [first.credential, second.credential] {
            let session = control.open_session(v1::OpenSessionRequest {
                credential,
                ..v1::OpenSessionRequest::default()
            });
            legs.push(Leg::attach(session.await.unwrap().into_inner()).await);
        }
        let [one, two] = &mut legs[..] else {
            unreachable!("two were made");
        };
        for len in [1, 5_000, 65_535] {
            let frame = Frame::new(Lane::Reliable, &vec![7; len]);
            one.send(frame.clone()).await;
            assert_eq!(two.recv().await, frame);
            two.send(frame.clone()).await;
            assert_eq!(one.recv().await, frame);
        }
        one.say(Said::Close(4000)).await;
        assert_eq!(two.hear().await, Some(Heard::Close(4001)));
        // Both calls have ended well.
        assert_eq!((one.hear().await, two.hear().await), (None, None));
    }
}
