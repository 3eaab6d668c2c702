//! The control plane, seen from a peer: pairing and opening sessions over gRPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::HeaderValue;
use peersox_core::code::Nameplate;
use peersox_core::id::PairingId;
use peersox_core::pairing::Label;
use peersox_core::role::Role;
use peersox_core::time::Timestamp;
use peersox_core::trace::TraceContext;
use peersox_proto::v1;

mod said;

use crate::Error;
#[cfg(not(target_arch = "wasm32"))]
use crate::platform::Proxies;
use crate::platform::{Calls, Dialer, MaybeSend, Trust, Url};
use crate::rpc::Status;

/// A server: the control plane of one deployment. Cheap to clone; clones share one connection.
#[derive(Clone, Debug)]
pub struct Server {
    url: Arc<str>,
    trust: Trust,
    dialer: Dialer,
    calls: Calls,
    trace: Option<TraceContext>,
    /// What is shown when a pairing is created. Marked as sensitive, so that nothing prints it.
    who: Option<HeaderValue>,
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
    /// Whether a peer may still come with a code. Clones share it.
    code: Arc<AtomicBool>,
    /// The other device has to let this one in.
    unconfirmed: bool,
}

/// A pairing just created, and what a person needs to carry across.
#[derive(Clone, Debug)]
pub struct Created {
    /// The initiator's right to it.
    pub pairing: Pairing,
    /// The digits. Secret words, if wanted, are appended by the caller.
    pub nameplate: Nameplate,
    /// Until when the digits work if the server hears nothing more of this peer. While it is
    /// attached, or watches, they go on working.
    pub expires_at: Timestamp,
}

/// What a pairing is made for: what the server is told when it is created or joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How hard the secret words are to guess that will be appended to the digits, in bits
    /// (`Words::entropy_bits`). The fewer there are, the more digits the server gives. Counts for
    /// [`Server::create_pairing_on`] only.
    pub secret_bits: u32,
    /// The pairing need not outlive its use: the server forgets it some minutes after both peers
    /// have left, if both say so and neither calls [`Server::keep`]. Otherwise it can be restored
    /// for days after each use.
    pub ephemeral: bool,
    /// Whoever joins has to be let in by [`Server::confirm_join`] before anything flows. Counts for
    /// [`Server::create_pairing_on`] only.
    pub confirm: bool,
    /// What this side calls itself, for the person at the other one. The server is told it, too. Counts for
    /// [`Server::join_pairing_on`] only.
    pub label: Option<Label>,
}

/// The state of a pairing, from [`Server::restore`].
#[derive(Clone, Debug)]
pub struct State {
    /// Whether the code has been redeemed.
    pub joined: bool,
    /// What the joiner calls itself, if it says so.
    pub label: Option<Label>,
    /// Whether the joiner waits to be let in.
    pub unconfirmed: bool,
    /// Whether the other peer is attached to the relay.
    pub peer_online: bool,
    /// Until when the pairing can be restored if it is not used.
    pub restorable_until: Timestamp,
}

/// What [`Server::watch_news`] reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What happened.
    pub event: PairingEvent,
    /// With [`PairingEvent::Joined`]: what the joiner calls itself, if it says so.
    pub label: Option<Label>,
    /// With [`PairingEvent::Joined`]: whether the joiner waits to be let in by [`Server::confirm_join`].
    pub unconfirmed: bool,
}

/// What [`Server::watch`] reports.
pub use peersox_proto::v1::PairingEvent;

impl Server {
    /// Connects to the server at an `http://` or `https://` address, which may have a path, as in
    /// `https://host/peersox`. Natively, the proxies that `Proxies::from_env` finds are used.
    ///
    /// Native calls are made over HTTP/2, or by gRPC-Web over HTTP/1.1 where a proxy in between passes
    /// no HTTP/2; which of the two is found out here, with one call. Pages call by gRPC-Web, and the
    /// server has to permit their origin.
    ///
    /// # Errors
    /// [`Error::ServerUrl`] if the address cannot be used, [`Error::ProxyVariable`] if a variable of
    /// the environment cannot, [`Error::Unreachable`] if nothing answers there, or something else than
    /// a server.
    pub async fn connect(url: &str, trust: Trust) -> Result<Self, Error> {
        let dialer = Dialer::from_env(&trust)?;
        Self::connect_by(url, trust, dialer).await
    }

    /// The same through these proxies, whatever the environment says.
    ///
    /// # Errors
    /// As [`Server::connect`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn connect_through(url: &str, trust: Trust, proxies: Proxies) -> Result<Self, Error> {
        let dialer = Dialer::new(trust.clone(), proxies);
        Self::connect_by(url, trust, dialer).await
    }

    async fn connect_by(url: &str, trust: Trust, dialer: Dialer) -> Result<Self, Error> {
        let parsed = parse(url)?;
        let calls = Calls::connect(&dialer, &parsed).await;
        Ok(Self {
            calls: calls.map_err(|status| Error::from_status(url, &status))?,
            url: url.into(),
            trust,
            dialer,
            trace: None,
            who: None,
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

    /// What opens connections as this server's are opened.
    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// What the deployment offers.
    ///
    /// # Errors
    /// Any failure to reach the server.
    pub async fn config(&self) -> Result<v1::GetConfigResponse, Error> {
        let request = v1::GetConfigRequest {};
        let reply = self.calls.unary(request).await;
        reply.map_err(|status| self.error(&status))
    }

    /// Creates a pairing on the default [`Terms`]: the server keeps it, and gives a code that is
    /// long enough without secret words.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], [`Error::RateLimited`], or any failure to reach the server.
    pub async fn create_pairing(&self) -> Result<Created, Error> {
        self.create_pairing_on(&Terms::default()).await
    }

    /// Creates a pairing on these terms.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], [`Error::RateLimited`], [`Error::CannotConfirm`], or any failure to reach the
    /// server.
    pub async fn create_pairing_on(&self, terms: &Terms) -> Result<Created, Error> {
        let request = v1::CreatePairingRequest {
            secret_bits: terms.secret_bits,
            ephemeral: terms.ephemeral,
            confirm: terms.confirm,
        };
        let reply = self.calls.unary_as(request, self.who.as_ref()).await;
        let reply = reply.map_err(|status| self.error(&status))?;
        if terms.confirm && !reply.confirm {
            // The code expires soon, and nobody is shown it.
            return Err(Error::CannotConfirm);
        }
        let nameplate = reply
            .nameplate
            .parse()
            .map_err(|_| Error::Protocol("the nameplate is no nameplate"))?;
        Ok(Created {
            pairing: Pairing::fresh(&reply.pairing_id, Role::Initiator, reply.credential)?,
            nameplate,
            expires_at: timestamp(reply.code_expires_at_millis),
        })
    }

    /// Redeems a nameplate, once, on the default [`Terms`]: the server keeps the pairing.
    ///
    /// # Errors
    /// [`Error::CodeNotFound`], [`Error::RateLimited`], or any failure to reach the server.
    pub async fn join_pairing(&self, nameplate: &Nameplate) -> Result<Pairing, Error> {
        self.join_pairing_on(nameplate, &Terms::default()).await
    }

    /// Redeems a nameplate, once, on these terms.
    ///
    /// # Errors
    /// [`Error::CodeNotFound`], [`Error::RateLimited`], or any failure to reach the server.
    pub async fn join_pairing_on(
        &self,
        nameplate: &Nameplate,
        terms: &Terms,
    ) -> Result<Pairing, Error> {
        let request = v1::JoinPairingRequest {
            nameplate: nameplate.to_string(),
            ephemeral: terms.ephemeral,
            label: terms
                .label
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        };
        let reply = self.calls.unary(request).await;
        let reply = reply.map_err(|status| self.error(&status))?;
        let unconfirmed = reply.unconfirmed;
        let pairing = Pairing::fresh(&reply.pairing_id, Role::Joiner, reply.credential)?;
        Ok(Pairing {
            unconfirmed,
            ..pairing
        })
    }

    /// Answers whether the joiner of a pairing that was created with [`Terms::confirm`] may come in. After a
    /// no the pairing is gone; a yes may be said again.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`], also if the joiner is not waited for any more; [`Error::Refused`] if
    /// nobody waits to be let in; or any failure to reach the server.
    pub async fn confirm_join(&self, pairing: &Pairing, let_in: bool) -> Result<(), Error> {
        let request = v1::ConfirmJoinRequest {
            credential: pairing.credential.clone(),
            let_in,
        };
        let reply = self.calls.unary(request).await;
        reply.map(|_| ()).map_err(|status| self.error(&status))
    }

    /// Validates a stored credential and extends the time for which it can be restored.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`], or any failure to reach the server.
    pub async fn restore(&self, credential: Bytes) -> Result<(Pairing, State), Error> {
        self.ask(credential, false).await
    }

    /// Keeps a pairing, for both peers and for good: it can be restored for days after each use.
    /// Call it when the credential is stored. Answers until when, if it is not used again.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`], or any failure to reach the server.
    pub async fn keep(&self, pairing: &Pairing) -> Result<Timestamp, Error> {
        let (_, state) = self.ask(pairing.credential.clone(), true).await?;
        Ok(state.restorable_until)
    }

    async fn ask(&self, credential: Bytes, keep: bool) -> Result<(Pairing, State), Error> {
        let request = v1::GetPairingRequest {
            credential: credential.clone(),
            keep,
        };
        let reply = self.calls.unary(request).await;
        let reply = reply.map_err(|status| self.error(&status))?;
        let role = reply
            .role()
            .try_into()
            .map_err(|_| Error::Protocol("the role is missing"))?;
        let state = State {
            joined: reply.joined,
            peer_online: reply.peer_online,
            label: reply.joiner_label.parse().ok(),
            unconfirmed: reply.unconfirmed,
            restorable_until: timestamp(reply.restorable_until_millis),
        };
        let id = pairing_id(&reply.pairing_id)?;
        Ok((Pairing::stored(id, role, credential), state))
    }

    /// Streams what happens to a pairing, beginning with its present state.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`], or any failure to reach the server; the stream's items fail
    /// when it breaks.
    pub async fn watch(
        &self,
        pairing: &Pairing,
    ) -> Result<impl Stream<Item = Result<PairingEvent, Error>> + MaybeSend + use<>, Error> {
        let news = self.watch_news(pairing).await?;
        Ok(news.map(|item| item.map(|news| news.event)))
    }

    /// The same, with what is known of the joiner.
    ///
    /// # Errors
    /// As [`Server::watch`].
    pub async fn watch_news(
        &self,
        pairing: &Pairing,
    ) -> Result<impl Stream<Item = Result<News, Error>> + MaybeSend + use<>, Error> {
        let request = v1::WatchPairingRequest {
            credential: pairing.credential.clone(),
        };
        let reply = self.calls.stream(request).await;
        let stream = reply.map_err(|status| self.error(&status))?;
        let server = self.clone();
        Ok(stream.map(move |item| {
            item.map(|message| News::of(&message))
                .map_err(|status| server.error(&status))
        }))
    }

    /// Revokes a pairing for both peers.
    ///
    /// # Errors
    /// [`Error::CredentialInvalid`], or any failure to reach the server.
    pub async fn delete_pairing(&self, pairing: &Pairing) -> Result<(), Error> {
        let request = v1::DeletePairingRequest {
            credential: pairing.credential.clone(),
        };
        let reply = self.calls.unary(request).await;
        reply.map(|_| ()).map_err(|status| self.error(&status))
    }

    /// Asks for a ticket and the relay's endpoints; says at which epoch the relay could not be reached, or
    /// zero. Through a proxy only WebSocket passes.
    pub(crate) async fn open_session(
        &self,
        pairing: &Pairing,
        unreached_epoch: u32,
    ) -> Result<v1::OpenSessionResponse, Error> {
        let request = v1::OpenSessionRequest {
            credential: pairing.credential.clone(),
            unreached_epoch,
        };
        let reply = self.calls.unary(request).await;
        let mut session = reply.map_err(|status| self.error(&status))?;
        session.endpoints.retain(|endpoint| {
            let url = Url::parse(&endpoint.url);
            endpoint.transport() != v1::Transport::Quic
                || url.is_ok_and(|url| !self.dialer.is_proxied(&url, &self.url))
        });
        Ok(session)
    }

    fn error(&self, status: &Status) -> Error {
        Error::from_status(&self.url, status)
    }
}

impl News {
    /// A label that breaks the rules of one is as good as none.
    fn of(message: &v1::WatchPairingResponse) -> Self {
        Self {
            event: message.event(),
            label: message.joiner_label.parse().ok(),
            unconfirmed: message.unconfirmed,
        }
    }
}

impl Pairing {
    /// A pairing that was stored. Its peers come with [`Proof::Secret`](crate::Proof::Secret): whatever code
    /// it began with is spent.
    #[must_use]
    pub fn stored(id: PairingId, role: Role, credential: Bytes) -> Self {
        Self {
            id,
            role,
            credential,
            code: Arc::default(),
            unconfirmed: false,
        }
    }

    /// Whether the server said, when this side joined, that the other one has to let it in. A
    /// [`Peer`](crate::Peer) waits for that by itself.
    #[must_use]
    pub const fn is_unconfirmed(&self) -> bool {
        self.unconfirmed
    }

    /// A pairing that was just created or joined.
    fn fresh(id: &[u8], role: Role, credential: Bytes) -> Result<Self, Error> {
        let pairing = Self::stored(pairing_id(id)?, role, credential);
        pairing.code.store(true, Ordering::Relaxed);
        Ok(pairing)
    }

    /// Takes the right to come with a code, which there is once.
    pub(crate) fn take_code(&self) -> bool {
        self.code.swap(false, Ordering::Relaxed)
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
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(bad(
            "it must not carry a query or a code; write it as http://host/path",
        ));
    }
    Ok(parsed)
}

fn pairing_id(id: &[u8]) -> Result<PairingId, Error> {
    id.try_into()
        .map_err(|_| Error::Protocol("the pairing id has the wrong length"))
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_with_a_hint() {
        for good in [
            "http://localhost:3000",
            "https://peersox.example",
            "http://[::1]:3000/",
            "https://peersox.example/below/a/path/",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "localhost:3000",
            "",
            "ftp://x",
            "http://",
            "https://user:pw@host",
            "https://host/#481920-tulip",
            "https://host/?x",
            "\0",
        ] {
            assert!(matches!(parse(bad), Err(Error::ServerUrl { .. })), "{bad}");
        }
    }
}
