//! One peer: an endpoint, its application, and what its shell keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::Dice;
use super::app::App;
use super::manners::Manners;
use super::words;
use crate::attach::{self, LegId};
use crate::channel::{self, Limits};
use crate::direct::{Carrier, Mode};
use crate::endpoint::{Config, End, Endpoint, Identity};
use crate::id::PairingId;
use crate::peer::{self, Proof};
use crate::role::Role;
use crate::secure::PairingSecret;
use crate::time::Moment;

pub(super) struct Shell {
    pub(super) endpoint: Endpoint,
    /// The endpoint's own chance.
    pub(super) rng: Dice,
    pub(super) app: App,
    pub(super) app_at: Moment,
    pub(super) manners: Manners,
    /// The legs that it may still use.
    pub(super) legs: BTreeMap<LegId, u64>,
    /// Since when it sleeps, and until when.
    pub(super) asleep: Option<(Moment, Moment)>,
    /// Set once records flow: what a restarted process comes back with.
    pub(super) stored: Option<PairingSecret>,
    pub(super) has_closed: bool,
    /// Something happened after which the endpoint may have something to do or to send.
    pub(super) is_dirty: bool,
    /// How the endpoint was made, for a replay.
    pub(super) about: Value,
    pub(super) end: Option<End>,
    /// When the process comes back whose first attempt failed.
    pub(super) again_at: Moment,
}

/// What both peers of a world have in common, and each process of a peer.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) limits: Limits,
    pub(super) proof: Proof<'static>,
    pub(super) attach: attach::Config,
    pub(super) direct: [Mode; 2],
    /// Messages are short.
    pub(super) is_brief: bool,
}

impl Plan {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let window = 1_024 << dice.below(4);
        let total = window * (1 + u32::try_from(dice.below(3)).unwrap_or(0));
        let limits = Limits {
            window,
            total,
            max_channels: 16,
            ..Limits::default()
        };
        let proof = match dice.once_in(4) {
            true => Proof::Code(CODE),
            false => Proof::Secret(PairingSecret::from_bytes([9; 32])),
        };
        let attach = attach::Config {
            upgrade_after: Duration::from_secs(1 + dice.below(30)),
            ..attach::Config::default()
        };
        let mut mode = || match dice.below(8) {
            0 => Mode::Off,
            1 | 2 => Mode::Manual,
            _ => Mode::Auto,
        };
        Self {
            limits,
            proof,
            attach,
            direct: [mode(), mode()],
            is_brief: false,
        }
    }
}

impl Plan {
    fn identity(&self, role: Role) -> Identity<'static> {
        Identity {
            role,
            pairing: PAIRING,
            proof: self.proof.clone(),
            hello: Bytes::new(),
            agent: AGENT.into(),
            trace: None,
        }
    }

    /// What [`super::replay`] makes the same endpoint from.
    fn about(&self, role: Role, config: &Config, seed: u64) -> Value {
        let (code, secret) = match &self.proof {
            Proof::Code(code) => (Some(String::from_utf8_lossy(code)), None),
            Proof::Secret(secret) => (None, Some(HEXLOWER.encode(secret.as_bytes()))),
        };
        json!({
            "role": role.to_string(),
            "pairing": HEXLOWER.encode(PAIRING.as_bytes()),
            "code": code,
            "secret": secret,
            "hello": "",
            "agent": AGENT,
            "rng": seed.to_string(),
            "window": self.limits.window,
            "total": self.limits.total,
            "max-channels": self.limits.max_channels,
            "transports": words::transports(config.attach.transports),
            "upgrade-after": words::micros(config.attach.upgrade_after),
            "patience": Value::Null,
            "direct": format!("{:?}", config.direct).to_lowercase(),
        })
    }
}

impl Shell {
    /// A process starts.
    pub(super) fn new(who: usize, plan: &Plan, dice: &mut Dice, now: Moment) -> Self {
        let config = Config {
            peer: peer::Config {
                channels: channel::Config {
                    limits: plan.limits,
                    ..channel::Config::default()
                },
                ..peer::Config::default()
            },
            attach: plan.attach,
            direct: plan.direct[who],
            carrier: Carrier::WebRtc,
            once: false,
        };
        let seed = dice.roll();
        let role = Role::BOTH[who];
        let largest = match plan.is_brief {
            true => 60,
            false => u64::from(plan.limits.window) * 2,
        };
        let mut rng = Dice::new(seed);
        Self {
            endpoint: Endpoint::new(config, plan.identity(role), now, &mut rng),
            rng,
            app: App::new(role, Dice::new(dice.roll()), largest),
            app_at: now,
            manners: Manners::default(),
            legs: BTreeMap::new(),
            asleep: None,
            stored: None,
            has_closed: false,
            is_dirty: true,
            about: plan.about(role, &config, seed),
            end: None,
            again_at: Moment::NEVER,
        }
    }

    /// When it has to be served.
    pub(super) fn next(&self) -> Moment {
        if let Some((_, until)) = self.asleep {
            return until;
        }
        if self.end.is_some() {
            return self.again_at;
        }
        self.app_at.min(self.endpoint.poll_timeout())
    }
}

const PAIRING: PairingId = PairingId::from_bytes([7; 16]);
const CODE: &[u8] = b"481920-tulip-ember";
const AGENT: &str = "world";

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell")
            .field("endpoint", &self.endpoint)
            .field("is_done", &self.app.is_done())
            .field("asleep", &self.asleep)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
