//! Between what the core says and what is sent.

use bytes::Bytes;
use peersox_core::code::{Malformed, Nameplate};
use peersox_core::id::PairingId;
use peersox_core::pairing::{Created, Credential, Joined, Label, NotALabel, Reject, View};
use peersox_core::role::Role;
use peersox_proto::v1;

use crate::presence::Online;

/// Reads the digits a person typed.
pub(crate) fn nameplate(request: &v1::JoinPairingRequest) -> Result<Nameplate, Malformed> {
    request.nameplate.parse()
}

/// Reads what a joiner calls itself, if it does.
pub(crate) fn label(request: &v1::JoinPairingRequest) -> Result<Option<Label>, NotALabel> {
    let label = Some(&request.label).filter(|label| !label.is_empty());
    label.map(|label| label.parse()).transpose()
}

/// What a joiner calls itself; nothing if it does not say.
pub(crate) fn told(label: Option<&Label>) -> String {
    label.map(ToString::to_string).unwrap_or_default()
}

/// Reads a credential. One of another length opens no pairing, just as one that was never issued.
pub(crate) fn credential(bytes: &Bytes) -> Result<Credential, Reject> {
    Credential::try_from(&bytes[..]).map_err(|_| Reject::CredentialInvalid)
}

pub(crate) fn created(created: &Created, confirm: bool) -> v1::CreatePairingResponse {
    v1::CreatePairingResponse {
        pairing_id: id(created.view.id),
        nameplate: created.nameplate.to_string(),
        credential: secret(&created.credential),
        code_expires_at_millis: created.code_expires_at.as_proto(),
        restorable_until_millis: created.view.restorable_until.as_proto(),
        confirm,
    }
}

pub(crate) fn joined(joined: &Joined) -> v1::JoinPairingResponse {
    v1::JoinPairingResponse {
        pairing_id: id(joined.view.id),
        credential: secret(&joined.credential),
        restorable_until_millis: joined.view.restorable_until.as_proto(),
        unconfirmed: joined.view.unconfirmed,
    }
}

pub(crate) fn view(view: &View, online: Online) -> v1::GetPairingResponse {
    // Who was not let in is told nothing of the other side.
    let is_outside = view.role == Role::Joiner && view.unconfirmed;
    v1::GetPairingResponse {
        pairing_id: id(view.id),
        role: v1::Role::from(view.role).into(),
        joined: view.joined,
        peer_online: !is_outside && online[view.role.other().index()],
        restorable_until_millis: view.restorable_until.as_proto(),
        joiner_label: told(view.label.as_ref()),
        unconfirmed: view.unconfirmed,
    }
}

fn id(id: PairingId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

fn secret(credential: &Credential) -> Bytes {
    Bytes::copy_from_slice(&credential.to_bytes()[..])
}
