//! The real binary against a server, and against a peer, that lie.

mod peer;

use std::process::Stdio;

use futures_util::future::join_all;
use peersox_client::CloseReason;
use peersox_tests::liar::{Liar, Lie, Manners, Stall};
use tokio::process::Command;

use crate::harness::{binary, quiet, soon};
use crate::terminal::is_plain;

/// How a command ended, and all that it said.
struct Run {
    code: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Run {
    fn said(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    fn is_plain(&self) -> bool {
        let all = [&self.stdout[..], &self.stderr[..]].concat();
        is_plain(&String::from_utf8_lossy(&all))
    }
}

/// Runs `peersox ARGS… --server URL` to its end, without a terminal.
async fn run(url: &str, args: &[&str]) -> Run {
    let devices = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(args).args(["--server", url]);
    let command = quiet(&mut command)
        .stdin(Stdio::null())
        .env("PEERSOX_DEVICES", devices.path());
    let ended = soon(command.output()).await.unwrap();
    Run {
        code: ended.status.code().unwrap_or(-1),
        stdout: ended.stdout,
        stderr: ended.stderr,
    }
}

/// Every command that shows a code.
const SHOWING: [&[&str]; 5] = [
    &["send", FILE],
    &["ping"],
    &["connect"],
    &["pair", "--save", "laptop"],
    &["forward", "--target", "127.0.0.1:9"],
];

/// A file that is there whenever these tests run.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

#[tokio::test]
async fn a_server_that_lies_gets_three_guesses_of_any_command() {
    use Lie::{Close, Expired, Joined, Notices, Revoked, Vanish};
    // The exchange of the first two ends with the second message of the guess, and the server lies while the
    // command still hangs up; the others end it half-way.
    let tales: [(usize, &[Lie]); 10] = [
        (2, &[Expired]),
        (2, &[Revoked, Expired]),
        (2, &[Close(CloseReason::PeerLeft), Expired]),
        (1, &[Expired, Close(CloseReason::Revoked)]),
        (1, &[Close(CloseReason::PeerLeft)]),
        (1, &[Close(CloseReason::Replaced), Expired]),
        (1, &[Revoked, Close(CloseReason::HelloInvalid)]),
        (1, &[Expired, Vanish]),
        (1, &[Joined, Notices, Expired, Close(CloseReason::PeerLost)]),
        (2, &[Notices, Joined, Revoked, Vanish]),
    ];
    let each = tales.iter().enumerate().map(async |(at, (says, lies))| {
        let liar = Liar::start(Manners {
            says: *says,
            lies,
            ..Manners::default()
        })
        .await;
        let args = [SHOWING[at % SHOWING.len()], &["--wait", "40"]].concat();
        let run = run(&liar.url, &args).await;
        (*says, *lies, liar.guesses(), liar.codes(), run)
    });
    for (says, lies, guesses, codes, run) in join_all(each).await {
        let said = run.said();
        assert_eq!((guesses, codes), (3, 3), "{says} {lies:?}: {said}");
        assert_eq!(run.code, 3, "{says} {lies:?}: {said}");
    }
}

#[tokio::test]
async fn a_joiner_gives_one_guess() {
    let liar = Liar::start(Manners {
        says: 1,
        lies: &[Lie::Close(CloseReason::PeerLeft)],
        ..Manners::default()
    })
    .await;
    let run = run(
        &liar.url,
        &["receive", "-y", "481920-tulip-ember", "--wait", "5"],
    )
    .await;
    assert!(liar.guesses() <= 1);
    assert!([3, 4, 5].contains(&run.code), "{} {}", run.code, run.said());
}

#[tokio::test]
async fn a_code_that_is_said_to_be_gone_is_replaced_without_haste() {
    let liar = Liar::start(Manners {
        comes: false,
        lies: &[],
        refuses_watches: true,
        ..Manners::default()
    })
    .await;
    let run = run(&liar.url, &["ping", "--wait", "6"]).await;
    // A watch that is refused ends no command, and replaces no code.
    assert_eq!((run.code, liar.codes()), (5, 1), "{}", run.said());
    assert!(liar.watched() > 1, "it is asked for once only");
    assert!(
        run.said().contains("did not appear in time"),
        "{}",
        run.said()
    );
    assert_eq!(liar.deleted(), 1, "the code is not taken back");
}

#[tokio::test]
async fn a_device_that_is_only_said_to_be_there_does_not_keep_a_command() {
    let manners = Manners {
        comes: false,
        lies: &[Lie::Joined, Lie::Notices, Lie::Joined, Lie::Notices],
        ..Manners::default()
    };
    let liar = Liar::start(manners).await;
    let args = [
        &["ping", "--wait", "3"][..],
        &["send", FILE, "--wait", "3"],
        &["receive", "-y", "481920-tulip-ember", "--wait", "3"],
    ];
    let all = join_all(args.map(async |args| (args[0], run(&liar.url, args).await))).await;
    for (command, run) in all {
        let said = run.said();
        assert!(
            [3, 4, 5].contains(&run.code),
            "{command}: {} {said}",
            run.code
        );
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("peersox: "), "{command}: {said}");
        assert!(!said.contains("connected"), "{command}: {said}");
    }
}

#[tokio::test]
async fn addresses_of_other_services_are_no_relay() {
    let manners = Manners {
        swaps_endpoints: true,
        ..Manners::default()
    };
    let liar = Liar::start(manners).await;
    let args = [
        &["ping", "--wait", "3"][..],
        &["receive", "-y", "481920-tulip-ember", "--wait", "3"],
    ];
    for run in join_all(args.map(|args| run(&liar.url, args))).await {
        let said = run.said();
        assert_eq!(run.code, 5, "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("peersox: "), "{said}");
    }
}

#[tokio::test]
async fn whatever_stalls_ends_in_time_with_a_sentence() {
    let at = [
        Stall::Config,
        Stall::Create,
        Stall::Watch,
        Stall::Open,
        Stall::Upgrade,
        Stall::Welcome,
        Stall::Nowhere,
    ];
    let halves = (0..3).map(|says| (Stall::Nowhere, says));
    let all = at.map(|at| (at, usize::MAX)).into_iter().chain(halves);
    let showing = all.map(async |(stalls_at, says)| {
        let liar = Liar::start(Manners {
            stalls_at,
            says,
            comes: says != usize::MAX,
            ..Manners::default()
        })
        .await;
        let shows = run(&liar.url, &["ping", "--wait", "3"]).await;
        (stalls_at, says, shows)
    });
    let typing = [
        Stall::Config,
        Stall::Join,
        Stall::Open,
        Stall::Upgrade,
        Stall::Welcome,
        Stall::Nowhere,
    ];
    let typing = typing.map(async |stalls_at| {
        let liar = Liar::start(Manners {
            stalls_at,
            comes: false,
            ..Manners::default()
        })
        .await;
        let args = ["receive", "-y", "481920-tulip-ember", "--wait", "3"];
        (stalls_at, 0, run(&liar.url, &args).await)
    });
    let (shown, typed) = tokio::join!(join_all(showing), join_all(typing));
    for (at, says, run) in shown.into_iter().chain(typed) {
        let said = run.said();
        assert!(
            [3, 5].contains(&run.code),
            "{at:?} {says}: {} {said}",
            run.code
        );
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("peersox: "), "{at:?} {says}: {said}");
    }
}

#[tokio::test]
async fn no_text_of_a_server_reaches_the_terminal_as_it_is() {
    const TEXT: &str = "\u{1b}[2J\u{1b}[1Averified\r\u{202e}desrever\u{9b}1A\u{7}";
    let each = [
        Manners {
            refuses_with: Some(TEXT),
            ..Manners::default()
        },
        Manners {
            beside_the_url: "/\u{1b}[2J\u{202e}",
            stalls_at: Stall::Upgrade,
            ..Manners::default()
        },
        Manners {
            says: 0,
            lies: &[Lie::CloseSaying(4016, TEXT)],
            ..Manners::default()
        },
        Manners {
            says: 0,
            lies: &[Lie::CloseSaying(4999, TEXT)],
            ..Manners::default()
        },
    ];
    for manners in each {
        let liar = Liar::start(manners).await;
        let each = ["send", "ping", "receive"].map(async |command| {
            let args: &[&str] = match command {
                "send" => &["send", FILE, "--wait", "2"],
                "ping" => &["ping", "--wait", "2", "--json"],
                _ => &["receive", "-y", "481920-tulip-ember", "--wait", "2"],
            };
            (command, run(&liar.url, args).await)
        });
        for (command, run) in join_all(each).await {
            assert_ne!(run.code, 0);
            assert!(run.is_plain(), "{command}: {:?}", run.said());
        }
    }
}
