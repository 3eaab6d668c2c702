//! Two devices that pair.

use bytes::Bytes;
use http::Uri;
use peersox_core::frame::{Frame, Lane};
use peersox_proto::v1;

use crate::args::Transport;
use crate::control::{Control, refused};
use crate::failure::Failure;
use crate::leg::Leg;

/// Two devices that pair again and again.
pub(crate) trait Couple: Sized + Send + 'static {
    /// Both legs of a set-up.
    type Session: Send;

    /// Connects the two to the places where they pair.
    fn connect(one: &Uri, two: &Uri) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Makes a pairing.
    fn pair(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes a pairing, attaches both devices, and sends a message across.
    fn set_up(
        &mut self,
        transport: Transport,
    ) -> impl Future<Output = Result<Self::Session, Failure>> + Send;

    /// Ends what was set up.
    fn part(&mut self, session: Self::Session) -> impl Future<Output = ()> + Send;

    /// Takes back one of the pairings that were made; false if none is left.
    fn take_back(&mut self) -> impl Future<Output = Result<bool, Failure>> + Send;
}

/// Devices of PeerSox.
pub(crate) struct Devices {
    one: Device,
    two: Device,
    /// The credentials of the pairings that exist, one of each.
    made: Vec<Bytes>,
}

struct Device {
    control: Control,
    /// For legs over QUIC, once there was one.
    socket: Option<quinn::Endpoint>,
}

impl Couple for Devices {
    type Session = (Leg, Leg);

    async fn connect(one: &Uri, two: &Uri) -> Result<Self, Failure> {
        Ok(Self {
            one: Device::connect(one).await?,
            two: Device::connect(two).await?,
            made: Vec::new(),
        })
    }

    async fn pair(&mut self) -> Result<(), Failure> {
        let (_, nameplate) = self.create().await?;
        self.two.join(nameplate).await?;
        Ok(())
    }

    async fn set_up(&mut self, transport: Transport) -> Result<(Leg, Leg), Failure> {
        let (mut one, mut two) = self.attach([transport; 2]).await?;
        two.send(Frame::new(Lane::Reliable, &MESSAGE)).await?;
        // PeerOnline comes before the message.
        while one.next().await?.lane() != Lane::Reliable {}
        Ok((one, two))
    }

    async fn part(&mut self, (one, two): (Leg, Leg)) {
        tokio::join!(one.hang_up(), two.closed());
    }

    async fn take_back(&mut self) -> Result<bool, Failure> {
        let Some(credential) = self.made.pop() else {
            return Ok(false);
        };
        let request = v1::DeletePairingRequest { credential };
        let reply = self.one.control.calls().await?.delete_pairing(request);
        match reply.await {
            Ok(_) => Ok(true),
            Err(status) => Err(refused("DeletePairing", &status)),
        }
    }
}

impl Devices {
    /// Makes a pairing and attaches both devices, each by its transport.
    pub(crate) async fn attach(
        &mut self,
        [one, two]: [Transport; 2],
    ) -> Result<(Leg, Leg), Failure> {
        let (credential, nameplate) = self.create().await?;
        let one = self.one.attach(credential, one).await?;
        let credential = self.two.join(nameplate).await?;
        let two = self.two.attach(credential, two).await?;
        Ok((one, two))
    }

    /// Credential and nameplate of a new pairing, on the terms of the command line: two words in the code,
    /// and not kept.
    async fn create(&mut self) -> Result<(Bytes, String), Failure> {
        let request = v1::CreatePairingRequest {
            secret_bits: 20,
            ephemeral: true,
            ..v1::CreatePairingRequest::default()
        };
        let reply = self.one.control.calls().await?.create_pairing(request);
        let reply = reply
            .await
            .map_err(|status| refused("CreatePairing", &status))?;
        let created = reply.into_inner();
        self.made.push(created.credential.clone());
        Ok((created.credential, created.nameplate))
    }
}

impl Device {
    async fn connect(control: &Uri) -> Result<Self, Failure> {
        Ok(Self {
            control: Control::connect(control).await?,
            socket: None,
        })
    }

    async fn join(&mut self, nameplate: String) -> Result<Bytes, Failure> {
        let request = v1::JoinPairingRequest {
            nameplate,
            ephemeral: true,
            ..v1::JoinPairingRequest::default()
        };
        let reply = self.control.calls().await?.join_pairing(request);
        let reply = reply
            .await
            .map_err(|status| refused("JoinPairing", &status))?;
        Ok(reply.into_inner().credential)
    }

    async fn attach(&mut self, credential: Bytes, transport: Transport) -> Result<Leg, Failure> {
        let request = v1::OpenSessionRequest {
            credential,
            unreached_epoch: 0,
        };
        let reply = self.control.calls().await?.open_session(request);
        let reply = reply
            .await
            .map_err(|status| refused("OpenSession", &status))?;
        let session = reply.into_inner();
        let wanted = match transport {
            Transport::Ws => v1::Transport::Websocket,
            Transport::Quic => v1::Transport::Quic,
        };
        let mut endpoints = session.endpoints.iter();
        let endpoint = endpoints.find(|it| it.transport() == wanted);
        let endpoint =
            endpoint.ok_or_else(|| Failure::new("OpenSession", "no such transport is offered"))?;
        Leg::attach(endpoint, session.ticket, &mut self.socket).await
    }
}

/// The first message: what a peer says first is about as long.
pub(crate) const MESSAGE: [u8; 64] = [0x5a; 64];
