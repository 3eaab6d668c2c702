//! The control plane, seen from a peer: pairing and opening sessions over gRPC.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use peersox_core::code::Nameplate;
use peersox_core::id::PairingId;
use peersox_core::role::Role;
use peersox_core::time::Timestamp;
use peersox_proto::v1;
use peersox_proto::v1::pairing_service_client::PairingServiceClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use url::Url;

use crate::Error;
use crate::platform::Trust;

/// A server: the control plane of one deployment. Cheap to clone; clones share one connection.
#[derive(Clone, Debug)]
pub struct Server {
    url: Arc<str>,
    trust: Trust,
    client: PairingServiceClient<Channel>,
}

/// A peer's right to a pairing. To be stored as a secret.
#[derive(Clone)]
pub struct Pairing {
    /// The name of the pairing.
    pub id: PairingId,
    /// Which of its two peers this is.
    pub role: Role,
    /// The opaque credential.
    pub credential: Bytes,
}

/// A pairing just created, and what a person needs to carry across.
#[derive(Clone, Debug)]
pub struct Created {
    /// The initiator's right to it.
    pub pairing: Pairing,
    /// The digits. Secret words, if wanted, are appended by the caller.
    pub nameplate: Nameplate,
    /// When the digits stop working.
    pub expires_at: Timestamp,
}

/// The state of a pairing, from [`Server::restore`].
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Whether the code has been redeemed.
    pub joined: bool,
    /// Whether the other peer is attached to the relay.
    pub peer_online: bool,
    /// Until when the pairing can be restored if it is not used.
    pub restorable_until: Timestamp,
}

/// What [`Server::watch`] reports.
pub use peersox_proto::v1::PairingEvent;

impl Server {
    /// Connects to the server at an `http://` or `https://` address.
    ///
    /// # Errors
    /// [`Error::ServerUrl`] if the address cannot be used, [`Error::Unreachable`] if nothing
    /// answers there.
    pub async fn connect(url: &str, trust: Trust) -> Result<Self, Error> {
        let parsed = parse(url)?;
        let bad = |why| Error::ServerUrl {
            url: url.to_owned(),
            why,
        };
        let mut endpoint = Endpoint::from_shared(parsed.to_string())
            .map_err(|_| bad("it is not a valid URI"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .tcp_nodelay(true);
        if parsed.scheme() == "https" {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(pem) = trust.extra_pem() {
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|_| bad("TLS cannot be set up for it"))?;
        }
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| Error::Unreachable {
                server: url.to_owned(),
                why: deepest(&error),
                retry_after: None,
            })?;
        let client = PairingServiceClient::new(channel);
        Ok(Self {
            url: url.into(),
            trust,
            client,
        })
    }

    /// The address given to [`Server::connect`].
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What the deployment offers.
    ///
    /// # Errors
    /// Any failure to reach the server.
    pub async fn config(&self) -> Result<v1::GetConfigResponse, Error> {
        let request = unary(v1::GetConfigRequest {});
        let reply = self.client.clone().get_config(request).await;
        Ok(reply.map_err(|status| self.error(&status))?.into_inner())
    }

    /// Creates a pairing.
    ///
    /// # Errors
    /// [`Error::RateLimited`], or any failure to reach the server.
    pub async fn create_pairing(&self) -> Result<Created, Error> {
        let request = unary(v1::CreatePairingRequest {});
        let reply = self.client.clone().create_pairing(request).await;
        let reply = reply.map_err(|status| self.error(&status))?.into_inner();
        let nameplate = reply
            .nameplate
            .parse()
            .map_err(|_| Error::Protocol("the nameplate is no nameplate"))?;
        Ok(Created {
            pairing: pairing(&reply.pairing_id, Role::Initiator, reply.credential)?,
            nameplate,
            expires_at: timestamp(reply.code_expires_at_millis),
        })
    }

    /// Redeems a nameplate, once.
    ///
    /// # Errors
    /// [`Error::CodeNotFound`], [`Error::RateLimited`], or any failure to reach the server.
    pub async fn join_pairing(&self, nameplate: &Nameplate) -> Result<Pairing, Error> {
        let request = unary(v1::JoinPairingRequest {
            nameplate: nameplate.to_string(),
        });
        let reply = self.client.clone().join_pairing(request).await;
        let reply = reply.map_err(|status| self.error(&status))?.into_inner();
        pairing(&reply.pairing_id, Role::Joiner, reply.credential)
    }

    /// Validates a stored credential and extends the time for which it can be restored.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`], or any failure to reach the server.
    pub async fn restore(&self, credential: Bytes) -> Result<(Pairing, State), Error> {
        let request = unary(v1::GetPairingRequest {
            credential: credential.clone(),
        });
        let reply = self.client.clone().get_pairing(request).await;
        let reply = reply.map_err(|status| self.error(&status))?.into_inner();
        let role = reply
            .role()
            .try_into()
            .map_err(|_| Error::Protocol("the role is missing"))?;
        let state = State {
            joined: reply.joined,
            peer_online: reply.peer_online,
            restorable_until: timestamp(reply.restorable_until_millis),
        };
        Ok((pairing(&reply.pairing_id, role, credential)?, state))
    }

    /// Streams what happens to a pairing, beginning with its present state.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`], or any failure to reach the server; the stream's items fail
    /// when it breaks.
    pub async fn watch(
        &self,
        pairing: &Pairing,
    ) -> Result<impl Stream<Item = Result<PairingEvent, Error>> + Send + use<>, Error> {
        let request = v1::WatchPairingRequest {
            credential: pairing.credential.clone(),
        };
        let reply = self.client.clone().watch_pairing(request).await;
        let stream = reply.map_err(|status| self.error(&status))?.into_inner();
        let server = self.clone();
        Ok(stream.map(move |item| {
            item.map(|message| message.event())
                .map_err(|status| server.error(&status))
        }))
    }

    /// Revokes a pairing for both peers.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`], or any failure to reach the server.
    pub async fn delete_pairing(&self, pairing: &Pairing) -> Result<(), Error> {
        let request = unary(v1::DeletePairingRequest {
            credential: pairing.credential.clone(),
        });
        let reply = self.client.clone().delete_pairing(request).await;
        reply.map(|_| ()).map_err(|status| self.error(&status))
    }

    /// Asks for a ticket and the relay's endpoints.
    pub(crate) async fn open_session(
        &self,
        pairing: &Pairing,
    ) -> Result<v1::OpenSessionResponse, Error> {
        let request = unary(v1::OpenSessionRequest {
            credential: pairing.credential.clone(),
        });
        let reply = self.client.clone().open_session(request).await;
        Ok(reply.map_err(|status| self.error(&status))?.into_inner())
    }

    fn error(&self, status: &tonic::Status) -> Error {
        Error::from_status(&self.url, status)
    }
}

impl std::fmt::Debug for Pairing {
    /// Never shows the credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pairing")
            .field("id", &self.id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<Url, Error> {
    let bad = |why| Error::ServerUrl {
        url: url.to_owned(),
        why,
    };
    let parsed =
        Url::parse(url).map_err(|_| bad("write it as http://host:port or https://host"))?;
    match parsed.scheme() {
        "http" | "https" if parsed.has_host() => {}
        _ => return Err(bad("write it as http://host:port or https://host")),
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(bad("it must not carry a user name or password"));
    }
    Ok(parsed)
}

fn pairing(id: &[u8], role: Role, credential: Bytes) -> Result<Pairing, Error> {
    let id = id
        .try_into()
        .map_err(|_| Error::Protocol("the pairing id has the wrong length"))?;
    Ok(Pairing {
        id,
        role,
        credential,
    })
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The last cause in a chain of errors: the one that says what happened.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A unary request with a deadline that the server sees too.
fn unary<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(UNARY_TIMEOUT);
    request
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Long enough for a slow mobile network, short enough that a person does not give up first.
const UNARY_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_with_a_hint() {
        for good in [
            "http://localhost:3000",
            "https://peersox.example",
            "http://[::1]:3000/",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "localhost:3000",
            "",
            "ftp://x",
            "http://",
            "https://user:pw@host",
            "\0",
        ] {
            assert!(matches!(parse(bad), Err(Error::ServerUrl { .. })), "{bad}");
        }
    }
}
