use js_sys::Array;
use wasm_bindgen::JsValue;
use web_sys::{RtcConfiguration, RtcIceServer, RtcIceTransportPolicy};

/// Where a connection gets candidates from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// STUN and TURN servers; without any, the other side has to be in the same network.
    pub ice_servers: Vec<IceServer>,
    /// Which ways may be taken.
    pub policy: Policy,
}

/// A STUN or TURN server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IceServer {
    /// Its URLs (RFC 7064, RFC 7065), such as `turn:host:port?transport=udp`.
    pub urls: Vec<String>,
    /// The user name; empty if none is needed.
    pub username: String,
    /// The password; empty if none is needed. A secret.
    pub credential: String,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without credentials.
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// `RTCIceTransportPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Any way.
    #[default]
    All,
    /// Over TURN servers only, so that the other side does not learn this one's addresses.
    Relay,
}

impl From<&Configuration> for RtcConfiguration {
    fn from(it: &Configuration) -> Self {
        let servers = Array::new();
        for server in &it.ice_servers {
            servers.push(&dictionary(server));
        }
        let configuration = Self::new();
        configuration.set_ice_servers(&servers);
        configuration.set_ice_transport_policy(match it.policy {
            Policy::All => RtcIceTransportPolicy::All,
            Policy::Relay => RtcIceTransportPolicy::Relay,
        });
        configuration
    }
}

fn dictionary(it: &IceServer) -> JsValue {
    let urls = Array::new();
    for url in &it.urls {
        urls.push(&url.into());
    }
    let server = RtcIceServer::new();
    server.set_urls(&urls);
    if !it.username.is_empty() || !it.credential.is_empty() {
        server.set_username(&it.username);
        server.set_credential(&it.credential);
    }
    server.into()
}
