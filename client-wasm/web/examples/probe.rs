//! What the browser checks run in a page: each function uses one of the crate's modules against the real
//! thing, and fails with a sentence. `tests/web/web-sys.mjs` has the servers that it talks to.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "its functions are called by a check")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use js_sys::Promise;
use js_sys::futures::future_to_promise;
use peersox_web::rtc::{Candidate, Configuration, Connection, Event, Events, Kind, State};
use peersox_web::time::{now, sleep};
use peersox_web::wake::Wakes;
use peersox_web::{http, random, rtc, socket};
use wasm_bindgen::prelude::*;

/// A check's result for JavaScript: what it tells, or why it failed.
type Told = Result<String, String>;

fn run(check: impl Future<Output = Told> + 'static) -> Promise {
    future_to_promise(async move {
        match check.await {
            Ok(told) => Ok(told.into()),
            Err(why) => Err(js_sys::Error::new(&why).into()),
        }
    })
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    holds.then_some(()).ok_or_else(|| format!("not so: {what}"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn end(end: &socket::End) -> String {
    let code = end.code.map_or("none".to_owned(), |code| code.to_string());
    format!("{code} {}", end.reason)
}

/// The server sends each further piece only when it was told that the one before arrived.
#[wasm_bindgen]
pub fn stream(url: String) -> Promise {
    run(async move {
        let headers = [
            ("x-probe", "1"),
            ("content-type", "application/octet-stream"),
        ];
        let post = http::post(&format!("{url}/stream"), &headers, b"begin").await;
        let mut answer = post.map_err(text)?;
        let mut length = 0;
        while let Some(piece) = answer.chunk().await.map_err(text)? {
            length += piece.len();
            let seen = http::post(&format!("{url}/seen"), &headers, &piece).await;
            ensure(seen.map_err(text)?.status == 204, "the piece was seen")?;
        }
        ensure(answer.chunk().await == Ok(None), "an end stays one")?;
        let header = answer.header("X-Probe").unwrap_or_default();
        Ok(format!("{} {header} {length}", answer.status))
    })
}

/// Drops an answer that never ends once its first bytes are here.
#[wasm_bindgen]
pub fn abandon(url: String) -> Promise {
    run(async move {
        let post = http::post(&format!("{url}/endless"), &[], &[]).await;
        let mut answer = post.map_err(text)?;
        let first = answer.chunk().await.map_err(text)?;
        Ok(first.map_or(0, |it| it.len()).to_string())
    })
}

/// The name of what goes wrong.
#[wasm_bindgen]
pub fn refused(url: String) -> Promise {
    run(async move {
        match http::post(&url, &[], &[]).await {
            Ok(answer) => Err(format!("status {}", answer.status)),
            Err(failure) => Ok(failure.name),
        }
    })
}

/// An answer that breaks off: the name of what the body fails with.
#[wasm_bindgen]
pub fn broken_answer(url: String) -> Promise {
    run(async move {
        let post = http::post(&format!("{url}/broken"), &[], &[]).await;
        let mut answer = post.map_err(text)?;
        loop {
            match answer.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => return Err("it ended well".to_owned()),
                Err(failure) => {
                    ensure(answer.chunk().await == Ok(None), "it is over")?;
                    return Ok(failure.name);
                }
            }
        }
    })
}

/// Sends messages of all lengths to a server that returns them, and closes with a code of its own.
#[wasm_bindgen]
pub fn echo(url: String, count: usize, length: usize) -> Promise {
    run(async move {
        let (sender, mut receiver) = socket::connect(&url, "peersox.v1").map_err(text)?;
        ensure(sender.send(b"early").is_err(), "it is not open yet")?;
        receiver.opened().await.map_err(|it| end(&it))?;
        let sending = sender.clone();
        peersox_web::spawn(async move {
            for number in 0..count {
                sending.room().await;
                if sending.send(&numbered(number, length)).is_err() {
                    return;
                }
            }
        });
        let mut most = 0;
        for number in 0..count {
            most = most.max(sender.buffered_amount());
            let message = receiver.next().await.map_err(|it| end(&it))?;
            ensure(
                message == numbered(number, length),
                "messages return as they were sent",
            )?;
        }
        sender.drained().await;
        ensure(
            sender.close(Some(1006)).is_err(),
            "1006 is no code to close with",
        )?;
        sender.close(Some(4001)).map_err(text)?;
        let closed = receiver
            .next()
            .await
            .err()
            .ok_or("a message after the last")?;
        ensure(
            receiver.next().await == Err(closed.clone()),
            "an end stays one",
        )?;
        Ok(format!(
            "{} {}",
            (most as usize) < (1 << 20) + length,
            end(&closed)
        ))
    })
}

/// Says a word to the server and waits for the end; tells it.
#[wasm_bindgen]
pub fn ends(url: String, word: String) -> Promise {
    run(async move {
        let (sender, mut receiver) = socket::connect(&url, "peersox.v1").map_err(text)?;
        if let Err(why) = receiver.opened().await {
            return Ok(format!("never open: {}", end(&why)));
        }
        sender.send(word.as_bytes()).map_err(text)?;
        loop {
            if let Err(why) = receiver.next().await {
                return Ok(end(&why));
            }
        }
    })
}

/// Opens a socket and drops both halves.
#[wasm_bindgen]
pub fn leaves(url: String) -> Promise {
    run(async move {
        let (sender, mut receiver) = socket::connect(&url, "peersox.v1").map_err(text)?;
        receiver.opened().await.map_err(|it| end(&it))?;
        sender.send(b"here").map_err(text)?;
        Ok(String::new())
    })
}

/// Two connections in one page, which exchange frames, restart ICE, and hear that one is closed.
#[wasm_bindgen]
pub fn pair(count: usize, length: usize) -> Promise {
    run(async move {
        let configuration = Configuration::default();
        let (a, mut of_a) = Connection::new(&configuration).map_err(text)?;
        let (b, mut of_b) = Connection::new(&configuration).map_err(text)?;
        ensure(a.send(b"early").is_err(), "it is not open yet")?;
        ensure(!a.send_datagram(b"early"), "datagrams are not open yet")?;
        ensure(
            a.create_answer().await.is_err(),
            "there is no offer to answer",
        )?;
        let offer = describe(&a, &b, false).await?;
        until_open(&a, &b, &mut of_a, &mut of_b).await?;
        let crowded = exchange(&a, &mut of_a, &mut of_b, count, length).await?;
        let pair = a.pair().await.map_err(text)?.ok_or("no pair")?;
        ensure(
            pair.protocol.as_deref() == Some("udp"),
            "the pair is over UDP",
        )?;
        ensure(pair.local_candidate.is_some(), "the pair names a candidate")?;
        ensure(pair.remote_candidate.is_some(), "the pair names another")?;
        a.set_configuration(&configuration).map_err(text)?;
        let again = describe(&a, &b, true).await?;
        ensure(
            fragment(&offer) != fragment(&again),
            "a restart has another fragment",
        )?;
        let late = b.create_offer(false);
        drop(b);
        let failure = late
            .await
            .err()
            .ok_or("a closed connection made an offer")?;
        ensure(failure.name == "InvalidStateError", "it is closed")?;
        while of_a.next().await != Event::Closed {}
        ensure(a.send(b"late").is_err(), "it is closed")?;
        Ok(crowded.to_string())
    })
}

/// One negotiation; the offer. Candidates come by themselves.
async fn describe(a: &Connection, b: &Connection, restart: bool) -> Told {
    let offer = a.create_offer(restart).await.map_err(text)?;
    a.set_local(Kind::Offer, &offer).await.map_err(text)?;
    b.set_remote(Kind::Offer, &offer).await.map_err(text)?;
    let answer = b.create_answer().await.map_err(text)?;
    b.set_local(Kind::Answer, &answer).await.map_err(text)?;
    a.set_remote(Kind::Answer, &answer).await.map_err(text)?;
    Ok(offer)
}

fn fragment(sdp: &str) -> Option<&str> {
    sdp.lines().find(|line| line.starts_with("a=ice-ufrag:"))
}

async fn until_open(
    a: &Connection,
    b: &Connection,
    of_a: &mut Events,
    of_b: &mut Events,
) -> Result<(), String> {
    let mut open = (false, false);
    // A channel may open before its connection says that it is connected.
    while open != (true, true) || a.state() != State::Connected {
        match either(of_a, of_b).await {
            (true, Event::Candidate(it)) => hand(b, &it).await?,
            (false, Event::Candidate(it)) => hand(a, &it).await?,
            (true, Event::Open) => open.0 = true,
            (false, Event::Open) => open.1 = true,
            (_, Event::State(State::Failed | State::Closed)) => return Err("it failed".to_owned()),
            (_, Event::State(_) | Event::Room | Event::Closed | Event::Frame(_)) => {}
        }
    }
    ensure(a.is_open() && b.is_open(), "both say that they are open")
}

async fn hand(to: &Connection, candidate: &Candidate) -> Result<(), String> {
    ensure(
        !candidate.username_fragment.is_empty(),
        "a candidate has a fragment",
    )?;
    to.add_candidate(candidate).await.map_err(text)
}

/// The next event of either, and whether it is of the first.
async fn either(a: &mut Events, b: &mut Events) -> (bool, Event) {
    let (mut a, mut b) = (pin!(a.next()), pin!(b.next()));
    poll_fn(|context| {
        if let Poll::Ready(event) = a.as_mut().poll(context) {
            return Poll::Ready((true, event));
        }
        b.as_mut().poll(context).map(|event| (false, event))
    })
    .await
}

/// Sends frames and a datagram to the other side; says whether there was no room in between.
async fn exchange(
    a: &Connection,
    of_a: &mut Events,
    of_b: &mut Events,
    count: usize,
    length: usize,
) -> Result<bool, String> {
    let mut crowded = false;
    for number in 0..count {
        while !a.has_room() {
            crowded = true;
            while of_a.next().await != Event::Room {}
        }
        a.send(&numbered(number, length)).map_err(text)?;
    }
    let mut number = 0;
    while number < count {
        if let Event::Frame(frame) = of_b.next().await {
            ensure(
                frame == numbered(number, length),
                "frames arrive as they were sent",
            )?;
            number += 1;
        }
    }
    // One may be lost; twenty on the machine itself are not.
    loop {
        ensure(a.send_datagram(b"\x02datagram"), "datagrams leave")?;
        let mut late = pin!(sleep(Duration::from_millis(200)));
        let mut next = pin!(of_b.next());
        let came = poll_fn(|context| {
            if let Poll::Ready(event) = next.as_mut().poll(context) {
                return Poll::Ready(Some(event));
            }
            late.as_mut().poll(context).map(|()| None)
        });
        if let Some(Event::Frame(frame)) = came.await {
            ensure(
                &frame[..] == b"\x02datagram",
                "a datagram arrives as it was sent",
            )?;
            return Ok(crowded);
        }
    }
}

/// Waits for the page to come back; tells how many whole seconds it slept.
#[wasm_bindgen]
pub fn wakes() -> Promise {
    let mut wakes = Wakes::new();
    run(async move { Ok(wakes.next().await.as_secs().to_string()) })
}

/// Timers and random bytes.
#[wasm_bindgen]
pub fn scope() -> Promise {
    run(async move {
        let began = now();
        sleep(Duration::from_millis(40)).await;
        ensure(now() - began >= 40.0, "a timer does not ring early")?;
        // A browser takes more than 2^31 milliseconds for none.
        let mut month = pin!(sleep(Duration::from_secs(30 * 86_400)));
        let mut short = pin!(sleep(Duration::from_millis(40)));
        let first = poll_fn(|context| {
            if month.as_mut().poll(context).is_ready() {
                return Poll::Ready("the long one");
            }
            short.as_mut().poll(context).map(|()| "the short one")
        });
        ensure(
            first.await == "the short one",
            "the short timer rings first",
        )?;
        let mut bytes = vec![0; 200_000];
        random::fill(&mut bytes);
        // 32 zeros in a row are no accident.
        let filled = bytes.chunks(32).all(|part| part.iter().any(|it| *it != 0));
        ensure(filled, "all bytes are random")?;
        Ok(String::new())
    })
}

/// A configuration that no browser takes: the name of what it throws.
#[wasm_bindgen]
pub fn bad_server() -> Promise {
    run(async {
        let server = rtc::IceServer {
            urls: vec!["nonsense".to_owned()],
            ..Default::default()
        };
        let configuration = Configuration {
            ice_servers: vec![server],
            ..Default::default()
        };
        match Connection::new(&configuration) {
            Ok(_) => Err("it was taken".to_owned()),
            Err(failure) => Ok(failure.name),
        }
    })
}

fn numbered(number: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes[length - 1] = number.to_le_bytes()[0];
    bytes
}
