//! `peersox doctor`: what this network allows, found out without another device.

use std::time::Duration;

use peersox_client::{Family, Mapping, Relayed, Server, Survey, Transport, Verdict};
use serde_json::{Value, json};

use crate::args::Doctor;
use crate::failure;
use crate::meet;
use crate::terminal::{Voice, out, out_json};

pub(crate) async fn run(args: Doctor) -> anyhow::Result<()> {
    let trust = meet::trust_in(args.ca_cert.as_deref()).await?;
    let server = Server::connect(args.server(), trust).await;
    let server = meet::in_trace(server.map_err(failure::server)?);
    let voice = Voice::new(args.json);
    if voice.has_terminal() {
        voice.say("measuring; this takes some seconds …", &Value::Null);
    }
    let survey = server.survey(&args.stun).await.map_err(failure::server)?;
    for (sentence, event) in findings(server.url(), &survey) {
        match args.json {
            true => out_json(&event)?,
            false => out(&sentence)?,
        }
    }
    Ok(())
}

/// Each finding for people and for scripts; the judgement comes last.
fn findings(url: &str, survey: &Survey) -> Vec<(String, Value)> {
    let mut found = vec![(
        format!(
            "server: {url}, version {}; a call takes {}",
            survey.version,
            millis(survey.call)
        ),
        json!({
            "event": "server", "url": url, "version": survey.version,
            "call_us": survey.call.as_micros(),
        }),
    )];
    for host in &survey.nameless {
        let sentence = format!("STUN: {host} has no address");
        found.push((sentence, json!({"event": "nameless", "host": host})));
    }
    found.push(family("IPv4", &survey.v4));
    found.push(family("IPv6", &survey.v6));
    found.push(relay(Transport::Quic, &survey.quic));
    found.push(relay(Transport::WebSocket, &survey.websocket));
    found.push(verdict(survey));
    found
}

fn family(name: &str, family: &Family) -> (String, Value) {
    let mapping = family.mapping();
    let seen = family
        .seen
        .iter()
        .map(|it| json!({"by": it.by, "at": it.at, "rtt_us": it.round_trip.as_micros()}));
    let event = json!({
        "event": "udp", "family": name.to_ascii_lowercase(), "own": family.own, "port": family.port,
        "asked": family.asked, "seen": seen.collect::<Vec<_>>(),
        "nat": family.has_nat(), "mapping": mapping.as_str(),
    });
    let mut sentence = format!("{name}: {}", kind(family, mapping));
    for it in &family.seen {
        let round_trip = millis(it.round_trip);
        sentence += &format!("; {} sees {} after {round_trip}", it.by, it.at);
    }
    (sentence, event)
}

fn kind(family: &Family, mapping: Mapping) -> &'static str {
    match mapping {
        Mapping::Unseen if !family.asked.is_empty() => "no answer over UDP",
        Mapping::Unseen if family.own.is_empty() => "this device has no address",
        Mapping::Unseen => "no server of STUN to ask",
        Mapping::Inside => {
            "the server is in a private network, and cannot tell what the internet sees"
        }
        Mapping::Own => "no NAT",
        Mapping::Independent => "NAT that maps alike towards all (hard NAT: no)",
        Mapping::Symmetric => "symmetric NAT (hard NAT: yes)",
        Mapping::Unknown => "NAT of unknown kind: name another server with --stun",
    }
}

fn relay(transport: Transport, relayed: &Relayed) -> (String, Value) {
    let name = match transport {
        Transport::Quic => "QUIC",
        Transport::WebTransport => "WebTransport",
        Transport::WebSocket => "WebSocket",
    };
    let transport = transport.as_str();
    let mut event = json!({"event": "relay", "transport": transport, "state": "works"});
    let sentence = match relayed {
        Relayed::NotOffered => {
            event["state"] = "not_offered".into();
            "not offered, or a proxy is in between".to_owned()
        }
        Relayed::Fails(why) => {
            event["state"] = "fails".into();
            event["why"] = why.as_str().into();
            format!("fails: {why}")
        }
        Relayed::Works {
            round_trip,
            udp_payload,
        } => {
            let mut sentence = "works".to_owned();
            if let Some(round_trip) = round_trip {
                event["rtt_us"] = json!(round_trip.as_micros());
                sentence += &format!(", round trip {}", millis(*round_trip));
            }
            if let Some(bytes) = udp_payload {
                event["udp_payload"] = (*bytes).into();
                sentence += &format!(", packets of {bytes} bytes pass");
            }
            sentence
        }
    };
    (format!("relay by {name}: {sentence}"), event)
}

fn verdict(survey: &Survey) -> (String, Value) {
    let verdict = survey.verdict();
    let direct = match verdict {
        Verdict::Most => "likely with most networks",
        Verdict::Ipv6 => "likely with devices that have IPv6, and with no others",
        Verdict::Ipv6OrOpen => {
            "likely with devices that have IPv6, and else only with those whose network is open"
        }
        Verdict::Open => "only with devices whose network is open",
        Verdict::Unknown => "possible; name another server with --stun to learn how likely",
        Verdict::Inside => {
            "likely within the network of the server; to learn what is possible beyond, name a \
             server out there with --stun"
        }
        Verdict::Unseen => {
            "unknown: no server tells the address of this device; name one with --stun"
        }
        Verdict::Blocked => "not possible: UDP is blocked",
    };
    let (otherwise, relay) = match (survey.quic.works(), survey.websocket.works()) {
        (true, _) => (
            "other data goes over the relay by QUIC",
            Some(Transport::Quic),
        ),
        (false, true) => (
            "data goes over the relay by WebSocket",
            Some(Transport::WebSocket),
        ),
        (false, false) => ("the relay cannot be reached either", None),
    };
    let sentence = format!("direct paths: {direct}; {otherwise}");
    let event = json!({
        "event": "verdict", "direct": verdict.as_str(), "relay": relay.map(Transport::as_str),
        "text": sentence,
    });
    (sentence, event)
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
