//! Offers and answers: the steps that a browser takes asynchronously. After each the attempt may be
//! over, and then the rest is not done.

use std::rc::Weak;

use js_sys::Promise;
use peersox_proto::v1;
use peersox_proto::v1::signal::Kind as Item;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{RtcIceCandidate, RtcSdpType, RtcSignalingState};

use super::wire::{self, Wire};
use crate::platform::now;
use crate::shell::{Inner, Shell};

impl Inner {
    pub(super) fn offer(&self, number: u64, restart: bool) {
        let steps = Steps {
            me: self.me.clone(),
            number,
        };
        spawn_local(async move {
            let done = steps.offer(restart).await;
            steps.finish(done);
        });
    }

    pub(super) fn answer(&self, number: u64, sdp: String) {
        let steps = Steps {
            me: self.me.clone(),
            number,
        };
        spawn_local(async move {
            let done = steps.answer(sdp).await;
            steps.finish(done);
        });
    }

    pub(super) fn take_answer(&mut self, number: u64, sdp: String) {
        let awaits =
            |it: &&mut super::Attempt| it.wire.signalling() == RtcSignalingState::HaveLocalOffer;
        if self.dialer.current(number).filter(awaits).is_none() {
            return;
        }
        let steps = Steps {
            me: self.me.clone(),
            number,
        };
        spawn_local(async move {
            let done = steps.take(RtcSdpType::Answer, &sdp).await;
            steps.finish(done);
        });
    }

    /// A candidate of this side. It waits for the description that it belongs to.
    pub(super) fn local_candidate(&mut self, number: u64, candidate: &RtcIceCandidate) {
        let Some(attempt) = self.dialer.current(number) else {
            return;
        };
        let candidate = v1::IceCandidate {
            candidate: candidate.candidate(),
            sdp_mid: candidate.sdp_mid().unwrap_or_default(),
            sdp_mline_index: candidate.sdp_m_line_index().unwrap_or_default().into(),
            username_fragment: wire::username_fragment(candidate).unwrap_or_default(),
        };
        if attempt.announced {
            self.signal(number, Item::Candidate(candidate));
        } else {
            attempt.unsent.push(candidate);
        }
    }

    /// Tells the other side, and what had to wait for it.
    fn announce(&mut self, number: u64, kind: &str, sdp: String) {
        let Some(attempt) = self.dialer.current(number) else {
            return;
        };
        attempt.announced = true;
        let unsent = std::mem::take(&mut attempt.unsent);
        let description = v1::SessionDescription {
            r#type: kind.into(),
            sdp,
        };
        self.signal(number, Item::Description(description));
        for candidate in unsent {
            self.signal(number, Item::Candidate(candidate));
        }
    }

    fn described(&mut self, number: u64) {
        if let Some(attempt) = self.dialer.current(number) {
            attempt.described = true;
            for candidate in std::mem::take(&mut attempt.early) {
                attempt.wire.add(&candidate);
            }
        }
    }
}

/// One negotiation under way.
struct Steps {
    me: Weak<Shell>,
    number: u64,
}

/// The attempt is over; nothing is to be said about it.
enum Stop {
    Over,
    Failed(JsValue),
}

impl From<JsValue> for Stop {
    fn from(error: JsValue) -> Self {
        Self::Failed(error)
    }
}

impl Steps {
    async fn offer(&self, restart: bool) -> Result<(), Stop> {
        let offer = self.wait(|wire| wire.create_offer(restart)).await?;
        let sdp = wire::sdp(&offer);
        self.wait(|wire| wire.set_local(RtcSdpType::Offer, &sdp))
            .await?;
        self.with(|inner| inner.announce(self.number, "offer", sdp))
    }

    async fn answer(&self, sdp: String) -> Result<(), Stop> {
        self.take(RtcSdpType::Offer, &sdp).await?;
        let answer = self.wait(Wire::create_answer).await?;
        let sdp = wire::sdp(&answer);
        self.wait(|wire| wire.set_local(RtcSdpType::Answer, &sdp))
            .await?;
        self.with(|inner| inner.announce(self.number, "answer", sdp))
    }

    async fn take(&self, kind: RtcSdpType, sdp: &str) -> Result<(), Stop> {
        self.wait(|wire| wire.set_remote(kind, sdp)).await?;
        self.with(|inner| inner.described(self.number))
    }

    async fn wait(&self, begin: impl FnOnce(&Wire) -> Promise) -> Result<JsValue, Stop> {
        let shell = self.me.upgrade().ok_or(Stop::Over)?;
        let promise = shell.look(|inner| {
            let attempt = inner.dialer.current(self.number);
            attempt.map(|it| begin(&it.wire))
        });
        drop(shell);
        Ok(JsFuture::from(promise.ok_or(Stop::Over)?).await?)
    }

    fn with(&self, act: impl FnOnce(&mut Inner)) -> Result<(), Stop> {
        let shell = self.me.upgrade().ok_or(Stop::Over)?;
        shell.with(|inner| {
            if !inner.is_over() {
                act(inner);
            }
        });
        Ok(())
    }

    fn finish(&self, done: Result<(), Stop>) {
        if let Err(Stop::Failed(error)) = done {
            let text = wire::message(&error);
            let _ = self.with(|inner| {
                if inner.dialer.current(self.number).is_some() {
                    inner.direct_lost(now(), &text);
                }
            });
        }
    }
}
