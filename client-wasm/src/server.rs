//! The control plane, seen from a page: pairing and opening sessions.

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use js_sys::Function;
use peersox_proto::v1;
use prost::Message as _;
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use crate::failure::{Failure, object};
use crate::grpc::{Call, unary};

/// One deployment, by its URL without a slash at the end.
#[wasm_bindgen]
pub struct Server {
    url: String,
}

#[wasm_bindgen]
impl Server {
    /// Names a server; nothing is sent.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(url: String) -> Self {
        Self { url }
    }

    /// Makes a pairing: `{id, nameplate, credential, codeExpiresAt, restorableUntil}`.
    ///
    /// # Errors
    /// What the server or the network says, or the signal's reason.
    #[wasm_bindgen(js_name = createPairing)]
    pub async fn create_pairing(&self, signal: Option<AbortSignal>) -> Result<JsValue, JsValue> {
        let request = v1::CreatePairingRequest {};
        let made: v1::CreatePairingResponse =
            unary(&self.url, "CreatePairing", &request, signal.as_ref()).await?;
        Ok(object(&[
            ("id", HEXLOWER.encode(&made.pairing_id).into()),
            ("nameplate", made.nameplate.into()),
            ("credential", BASE64.encode(&made.credential).into()),
            ("codeExpiresAt", time(made.code_expires_at_millis)),
            ("restorableUntil", time(made.restorable_until_millis)),
        ]))
    }

    /// Redeems a nameplate: `{id, credential, restorableUntil}`.
    ///
    /// # Errors
    /// As above.
    #[wasm_bindgen(js_name = joinPairing)]
    pub async fn join_pairing(
        &self,
        nameplate: String,
        signal: Option<AbortSignal>,
    ) -> Result<JsValue, JsValue> {
        let request = v1::JoinPairingRequest { nameplate };
        let joined: v1::JoinPairingResponse =
            unary(&self.url, "JoinPairing", &request, signal.as_ref()).await?;
        Ok(object(&[
            ("id", HEXLOWER.encode(&joined.pairing_id).into()),
            ("credential", BASE64.encode(&joined.credential).into()),
            ("restorableUntil", time(joined.restorable_until_millis)),
        ]))
    }

    /// The state of a pairing: `{joined, peerOnline, restorableUntil}`.
    ///
    /// # Errors
    /// As above.
    #[wasm_bindgen(js_name = state)]
    pub async fn state(
        &self,
        credential: String,
        signal: Option<AbortSignal>,
    ) -> Result<JsValue, JsValue> {
        let credential = bytes(&credential)?;
        let request = v1::GetPairingRequest { credential };
        let state: v1::GetPairingResponse =
            unary(&self.url, "GetPairing", &request, signal.as_ref()).await?;
        Ok(object(&[
            ("joined", state.joined.into()),
            ("peerOnline", state.peer_online.into()),
            ("restorableUntil", time(state.restorable_until_millis)),
        ]))
    }

    /// Revokes a pairing.
    ///
    /// # Errors
    /// As above.
    #[wasm_bindgen(js_name = deletePairing)]
    pub async fn delete_pairing(
        &self,
        credential: String,
        signal: Option<AbortSignal>,
    ) -> Result<(), JsValue> {
        let credential = bytes(&credential)?;
        let request = v1::DeletePairingRequest { credential };
        let _: v1::DeletePairingResponse =
            unary(&self.url, "DeletePairing", &request, signal.as_ref()).await?;
        Ok(())
    }

    /// Calls `tell` with the number of each event of a pairing until the stream ends.
    ///
    /// # Errors
    /// As above.
    pub async fn watch(
        &self,
        credential: String,
        tell: Function,
        signal: Option<AbortSignal>,
    ) -> Result<(), JsValue> {
        let credential = bytes(&credential)?;
        let request = v1::WatchPairingRequest { credential };
        let mut call =
            Call::begin(&self.url, "WatchPairing", &request, signal.as_ref(), false).await?;
        while let Some(message) = call.next().await? {
            let event = v1::WatchPairingResponse::decode(message)
                .map_err(|_| Failure::protocol("an event cannot be decoded"))?;
            tell.call1(&JsValue::NULL, &event.event.into())?;
        }
        Ok(())
    }
}

/// Opens a session for the shell.
pub(crate) async fn open_session(
    url: &str,
    credential: Bytes,
    signal: &AbortSignal,
) -> Result<v1::OpenSessionResponse, Failure> {
    let request = v1::OpenSessionRequest { credential };
    unary(url, "OpenSession", &request, Some(signal)).await
}

/// A secret as the facade keeps it.
pub(crate) fn bytes(base64: &str) -> Result<Bytes, Failure> {
    BASE64
        .decode(base64.as_bytes())
        .map(Bytes::from)
        .map_err(|_| Failure::new("pairing-invalid", "this is no pairing: it is not base64"))
}

#[allow(clippy::cast_precision_loss)]
fn time(millis: i64) -> JsValue {
    (millis as f64).into()
}
