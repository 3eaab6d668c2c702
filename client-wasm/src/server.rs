//! The control plane, seen from a page: pairing and opening sessions.

use bytes::Bytes;
use js_sys::{Function, Uint8Array};
use peersox_proto::v1;
use prost::{DecodeError, Message as _};
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use crate::failure::{Failure, object};
use crate::grpc::{Call, unary};

/// One deployment, by its URL without a slash at the end.
#[wasm_bindgen]
pub struct Server {
    url: String,
}

/// Which call; `js/src/glue.d.ts` has the same numbers.
mod call {
    pub(super) const CREATE: u8 = 0;
    pub(super) const JOIN: u8 = 1;
    pub(super) const STATE: u8 = 2;
    // Anything else deletes.
}

#[wasm_bindgen]
impl Server {
    /// Names a server; nothing is sent.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(url: String) -> Self {
        Self { url }
    }

    /// Creates a pairing, joins one by its nameplate, or asks for the state of one, or deletes it, by
    /// the credential. One function for all, because each costs the download some kilobytes.
    ///
    /// # Errors
    /// What the server or the network says, or the signal's reason.
    pub async fn call(
        &self,
        call: u8,
        argument: Vec<u8>,
        signal: Option<AbortSignal>,
    ) -> Result<JsValue, JsValue> {
        let credential = Bytes::from(argument);
        let (method, request) = match call {
            call::CREATE => ("CreatePairing", v1::CreatePairingRequest {}.encode_to_vec()),
            call::JOIN => {
                let nameplate = String::from_utf8_lossy(&credential).into_owned();
                let request = v1::JoinPairingRequest { nameplate };
                ("JoinPairing", request.encode_to_vec())
            }
            call::STATE => {
                let request = v1::GetPairingRequest { credential };
                ("GetPairing", request.encode_to_vec())
            }
            _ => {
                let request = v1::DeletePairingRequest { credential };
                ("DeletePairing", request.encode_to_vec())
            }
        };
        let answer = unary(&self.url, method, &request, signal.as_ref()).await?;
        Ok(read(call, answer).map_err(|_| Failure::protocol("the answer cannot be decoded"))?)
    }

    /// Calls `tell` with the number of each event of a pairing until the stream ends.
    ///
    /// # Errors
    /// As above.
    pub async fn watch(
        &self,
        credential: Vec<u8>,
        tell: Function,
        signal: Option<AbortSignal>,
    ) -> Result<(), JsValue> {
        let credential = Bytes::from(credential);
        let request = v1::WatchPairingRequest { credential }.encode_to_vec();
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

/// An answer as the facade has it.
fn read(call: u8, answer: Bytes) -> Result<JsValue, DecodeError> {
    let bytes = |bytes: &Bytes| Uint8Array::from(&bytes[..]).into();
    Ok(match call {
        call::CREATE => {
            let made = v1::CreatePairingResponse::decode(answer)?;
            object(&[
                ("id", bytes(&made.pairing_id)),
                ("nameplate", made.nameplate.into()),
                ("credential", bytes(&made.credential)),
                ("codeExpiresAt", time(made.code_expires_at_millis)),
                ("restorableUntil", time(made.restorable_until_millis)),
            ])
        }
        call::JOIN => {
            let joined = v1::JoinPairingResponse::decode(answer)?;
            object(&[
                ("id", bytes(&joined.pairing_id)),
                ("credential", bytes(&joined.credential)),
                ("restorableUntil", time(joined.restorable_until_millis)),
            ])
        }
        call::STATE => {
            let state = v1::GetPairingResponse::decode(answer)?;
            object(&[
                ("joined", state.joined.into()),
                ("peerOnline", state.peer_online.into()),
                ("restorableUntil", time(state.restorable_until_millis)),
            ])
        }
        _ => JsValue::NULL,
    })
}

/// Opens a session for the shell.
pub(crate) async fn open_session(
    url: &str,
    credential: Bytes,
    signal: &AbortSignal,
) -> Result<v1::OpenSessionResponse, Failure> {
    let request = v1::OpenSessionRequest { credential }.encode_to_vec();
    let answer = unary(url, "OpenSession", &request, Some(signal)).await?;
    v1::OpenSessionResponse::decode(answer)
        .map_err(|_| Failure::protocol("the session cannot be decoded"))
}

#[allow(clippy::cast_precision_loss)]
fn time(millis: i64) -> JsValue {
    (millis as f64).into()
}
