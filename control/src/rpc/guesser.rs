//! Guessers with very many addresses against the calls themselves, in simulated time.
//!
//! Codes live so short and may have so few digits that guesses hit. What is counted are facts: which
//! tries were let through, which codes were burnt, and which right devices were refused.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use peersox_core::code::Digits;
use peersox_core::ticket::Signer;
use peersox_core::time::Timestamp;
use peersox_proto::v1::pairing_service_server::PairingService as _;
use peersox_proto::v1::{CreatePairingRequest, JoinPairingRequest};
use rand_core::{OsRng, RngCore as _};
use tonic::{Code, Request, Status};

use super::Pairing;
use crate::http::ClientAddr;
use crate::{Config, Control, Directory, Memory, directory};

const LIFE: u64 = 130;
const START: u64 = 1_790_000_000_000;

/// A control whose clock the test moves.
struct World {
    control: Control<Memory>,
    calls: Pairing<Memory>,
    clock: Arc<AtomicU64>,
}

/// A code that waits for its device.
struct Waiting {
    nameplate: String,
    until: u64,
}

impl World {
    fn new() -> Self {
        let (_, certificates) = tokio::sync::watch::channel(Vec::new());
        let directory = Directory::new(directory::Config::default(), certificates);
        let clock = Arc::new(AtomicU64::new(START));
        let hand = Arc::clone(&clock);
        let mut config = Config::default();
        config.pairing.digits = Digits::MIN;
        config.pairing.code_max = Duration::from_secs(LIFE);
        let (control, _) = Control::new(
            config,
            Memory::default(),
            Signer::from_seed(&[1; 32]),
            directory,
            Arc::new(move || Timestamp::from_millis(hand.load(Ordering::SeqCst))),
        );
        let calls = Pairing(Arc::clone(&control.0));
        Self {
            control,
            calls,
            clock,
        }
    }

    async fn create(&self, from: IpAddr) -> String {
        let request = CreatePairingRequest {
            secret_bits: 20,
            ephemeral: true,
            ..CreatePairingRequest::default()
        };
        let created = self.calls.create_pairing(call(from, request)).await;
        created.unwrap().into_inner().nameplate
    }

    async fn join(&self, from: IpAddr, nameplate: &str) -> Result<(), Status> {
        let request = JoinPairingRequest {
            nameplate: nameplate.to_owned(),
            ephemeral: true,
            ..JoinPairingRequest::default()
        };
        let joined = self.calls.join_pairing(call(from, request)).await;
        joined.map(drop)
    }
}

fn call<T>(from: IpAddr, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(ClientAddr(from));
    request
}

/// Each in a network of its own.
fn guesser(number: u32) -> IpAddr {
    let [_, a, b, c] = number.to_be_bytes();
    IpAddr::from([10 + a, b, c, 1])
}

fn honest(number: u32) -> IpAddr {
    let [_, _, a, b] = number.to_be_bytes();
    IpAddr::from([100, a, b, 7])
}

fn guess(digits: usize) -> String {
    let number = OsRng.next_u64() % 10u64.pow(u32::try_from(digits).unwrap());
    format!("{number:0digits$}")
}

/// 20,000 networks guess 50 times a second, always at a length that is in use. Meanwhile somebody
/// shows a code each second, and the right device joins it at the end of its life.
#[tokio::test]
async fn guessers_from_everywhere_burn_little_and_lock_nobody_out() {
    const RATE: u32 = 50;
    let world = World::new();
    let mut codes: Vec<Waiting> = Vec::new();
    // Failed tries that were let through: when, and at which length.
    let mut tried: Vec<(u64, usize)> = Vec::new();
    let (mut joined, mut burnt, mut refused_late) = (0u32, 0u32, 0u32);
    let (mut turn, mut shown) = (0u32, 0u32);
    for second in 0..4 * LIFE {
        world.clock.store(START + second * 1_000, Ordering::SeqCst);
        if second % 10 == 0 {
            world.control.sweep().await;
        }
        shown += 1;
        codes.push(Waiting {
            nameplate: world.create(honest(shown)).await,
            until: second + LIFE - 1,
        });
        for _ in 0..RATE {
            turn += 1;
            let target = &codes[OsRng.next_u32() as usize % codes.len()];
            let digits = target.nameplate.len();
            match world.join(guesser(turn % 20_000), &guess(digits)).await {
                Ok(()) => {}
                Err(status) if status.code() == Code::NotFound => tried.push((second, digits)),
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
            }
        }
        let mut due = Vec::new();
        codes.retain_mut(|code| {
            let waits = code.until > second;
            if !waits {
                due.push(std::mem::take(&mut code.nameplate));
            }
            waits
        });
        for nameplate in due {
            // From an address that has not failed.
            match world.join(honest(30_000 + shown), &nameplate).await {
                Ok(()) => joined += 1,
                Err(status) if status.code() == Code::NotFound => burnt += 1,
                Err(_) => refused_late += u32::from(second > 2 * LIFE),
            }
        }
    }

    for start in 0..3 * LIFE {
        let within = |tries: &&(u64, usize)| (start..start + LIFE).contains(&tries.0);
        for digits in 4..=12 {
            let tries = tried.iter().filter(within).filter(|it| it.1 == digits);
            let tries = u32::try_from(tries.count()).unwrap();
            let odds = f64::from(tries) / 10f64.powi(i32::try_from(digits).unwrap());
            assert!(
                odds < 0.01,
                "{odds} of the codes of {digits} digits from {start} s"
            );
        }
    }
    assert!(burnt <= 9, "{burnt} of {joined} codes were burnt");
    assert_eq!(refused_late, 0, "new codes are longer instead");
    assert!(u64::from(joined) > 2 * LIFE, "{joined}");
    let shortest = codes.iter().map(|code| code.nameplate.len()).min();
    assert!(shortest >= Some(6), "{shortest:?}");
}
